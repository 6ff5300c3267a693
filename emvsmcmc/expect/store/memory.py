"""Rows in memory: passed over by numpy where they are few, by the compiled pass where they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...problem.problem import Problem
from ...spec.evaluate import Environment
from ...spec.variable import Variable
from ..kernel.plain import row_pass
from ..layout import Coefficients, Collapsed, Layout, Sums
from ..roots import nearly_collinear
from ..rowdata import moments
from .base import Groups, PlanOfRows, Store
from .patterns import Patterns

COMPILED_FROM = 20_000  # distinct rows x configurations below which numpy is quicker than loading a compiler


def worth_compiling(rows: int, K: int) -> bool:
    """Whether passes over so many rows are worth loading a compiler for."""
    return rows * K >= COMPILED_FROM


@dataclass(frozen=True, eq=False)
class Memory(Store):
    """All rows in memory.

    problem : the problem they belong to. children : its row variables that are no configuration axis.
    """

    full: Layout
    layout: Layout
    inverse: np.ndarray
    centre: np.ndarray
    covariates: tuple[int, ...]
    problem: Problem
    children: tuple[Variable, ...]

    def expect(self, C: Coefficients, hard: bool = False) -> Sums:
        return self.packed.expect(C, hard) if self.compiled else row_pass(self.layout, C, hard, self.delicate)

    @cached_property
    def moments_by_pattern(self) -> Patterns:
        layout, problem = self.full, self.problem
        q, sums = len(layout.start) - 1, self._moments()
        pattern = layout.pattern[self.inverse]
        counted = problem.weights > 0
        there = {}
        for v in self.children:
            if v.label in problem.given:
                values = np.isfinite(problem.columns(v))
                if values.all():
                    there[v.label] = np.repeat(np.bincount(pattern, counted, q)[:, None], values.shape[1], axis=1)
                else:
                    there[v.label] = np.stack([np.bincount(pattern, column & counted, q) for column in values.T], axis=1)
        return Patterns(
            layout.hidden, layout.allowed, sums.weight, sums.R, sums.S, sums.constant, np.bincount(pattern, counted, q),
            there, layout.radial.holes,
        )  # fmt: skip

    def _moments(self) -> Collapsed:
        """Of every pattern of `full`; those of collapsed patterns are there."""
        single = (self.full.allowed.sum(axis=1) == 1) & (len(self.full.radial.column) == 0)
        order = np.concatenate([np.flatnonzero(single), np.flatnonzero(~single)])
        both = Collapsed.total([self.layout.collapsed, moments(self.full, np.flatnonzero(~single))])
        return both.taken(np.argsort(order))

    @property
    def sample(self) -> Memory:
        return self

    def map_rows(self, function: Callable[[PlanOfRows], Groups], sample: PlanOfRows) -> Groups:
        return function(sample)

    @property
    def rows(self) -> int:
        return len(self.inverse)

    @property
    def every_row(self) -> bool:
        return True

    @property
    def in_core(self) -> bool:
        return True

    @property
    def compiled(self) -> bool:
        return worth_compiling(len(self.layout.V), self.layout.K) and not self.delicate

    @cached_property
    def delicate(self) -> bool:
        return nearly_collinear(self.full.V[:, list(self.covariates)] * np.sqrt(self.full.w)[:, None])

    @property
    def cuts(self) -> list[tuple[int, int]]:
        return [(0, self.rows)]

    def remember(self, folder: str | Path, parameters: list[str]) -> None:
        raise BadInput("checkpoint", "rows in chunks, whose passes take long", "rows in memory", "Leave it out.")

    def note(self, env: Environment, objective: float) -> None:
        pass

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # what was worked out can be worked out again

"""The expectation over rows in chunks: every block by itself, wherever Dask runs it, and the statistics added in a tree.

Only sums travel: statistics, the moments of what is collapsed, and a sample of rows to start from. All blocks are laid out about
the same centre, with the same levels, so that their statistics add (`Conventions`).
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...errors import UnsupportedModel
from ...problem.blocks import RETRIES, Refused, computed, raise_refusal, task
from ...problem.chunked import AnyProblem, ChunkedProblem
from ...spec.evaluate import Environment
from ..kernel.plain import row_pass
from ..layout import Coefficients, Conventions, Sums
from ..plan import Plan
from ..planner import make_plan
from ..radial import without_holes
from ..roots import nearly_collinear
from .base import Groups, PlanOfRows, Store
from .block import (
    COMPILED,
    GENERAL,
    Disk,
    Missing,
    Recipe,
    applied,
    finite,
    levels_of,
    merged,
    prepared,
    several_passes,
    slots_of,
    summed,
)
from .journal import Journal
from .memory import Memory, worth_compiling
from .patterns import Patterns

BRANCHES = 8  # sums that one task of the tree adds
# Of a pass, from which a task takes several blocks: handing one out costs Dask some 7 ms, which no second worker makes shorter.
# By the number of blocks alone, so that sums are added in one order whoever adds them.
TASKS = 32
MOST_LEVELS = 200_000  # distinct values of the row data of one slot: each is a row of a table that travels with every pass


class Chunks(Store):
    """Rows that are not in memory: blocks that Dask holds, laid out alike.

    Attributes
    ----------
    start : a sample of them, in memory. patterns : moments of all rows, by pattern. kind : how the rows of a block are kept.
    journal : remembers expectations, if there is one.
    """

    def __init__(self, problem: ChunkedProblem, start: Memory, recipes: list[Recipe], disk: Disk) -> None:
        self.problem, self.start = problem, start
        self.recipes, self.disk = recipes, disk
        self.kind = COMPILED if worth_compiling(problem.n, start.full.K) else GENERAL
        self.journal: Journal | None = None
        self.patterns = p = self._patterns()
        full = start.full
        if len(p.holes):
            full = replace(full, radial=replace(full.radial, holes=p.holes))
        none = slice(0, 0)
        self.full, self.layout = full, full.taken(none, np.zeros(0, dtype=int), none, p.collapsed)
        self.inverse, self.centre, self.covariates = start.inverse, start.centre, start.covariates
        self._finalizer = weakref.finalize(self, disk.remove)

    def _patterns(self) -> Patterns:
        delayed = [task(prepared, r, i, self.disk, self.kind, name="lay-out") for i, r in enumerate(self.recipes)]
        patterns = tree(delayed, merged)
        raise_refusal(patterns)
        return patterns

    @property
    def moments_by_pattern(self) -> Patterns:
        return self.patterns

    @property
    def sample(self) -> Memory:
        return self.start

    @property
    def rows(self) -> int:
        return self.problem.n

    @property
    def every_row(self) -> bool:
        return False

    @property
    def in_core(self) -> bool:
        return bool(self.patterns.single.all())

    @property
    def compiled(self) -> bool:
        return self.kind == COMPILED and not self.in_core and not self.delicate

    @cached_property
    def delicate(self) -> bool:
        return nearly_collinear(self.patterns.R.reshape(-1, len(self.centre))[:, list(self.covariates)])

    @property
    def cuts(self) -> list[tuple[int, int]]:
        return [(r.block.first, r.block.rows) for r in self.recipes]

    def remember(self, folder: str | Path, parameters: list[str]) -> None:
        self.journal = Journal(folder, self.fingerprint, parameters)

    def note(self, env: Environment, objective: float) -> None:
        if self.journal is not None:
            self.journal.note(env, objective)

    def expect(self, C: Coefficients, hard: bool = False) -> Sums:
        if self.journal is None or self.in_core:
            return self._expect(C, hard)
        recalled = self.journal.recall(C, hard)
        return recalled if recalled is not None else self.journal.record(C, hard, lambda: self._expect(C, hard))

    def _expect(self, C: Coefficients, hard: bool) -> Sums:
        here = row_pass(self.layout, C, hard, self.delicate)
        if self.in_core:
            return here
        kind = GENERAL if self.delicate else self.kind
        arguments = (self.disk, kind, C, hard, self.delicate)
        missing: set[int] = set()
        while True:
            blocks = [(i, recipe if i in missing else None) for i, recipe in enumerate(self.recipes)]
            some = min(BRANCHES, max(1, len(blocks) // TASKS))
            delayed = [
                task(several_passes, blocks[i : i + some], *arguments, name="row-pass") for i in range(0, len(blocks), some)
            ]
            there = tree(delayed, summed)
            if not isinstance(there, Missing):
                break
            # a machine that has not seen a block yet: it lays it out. All are added again, in the same order as ever.
            missing |= set(there.blocks)
        raise_refusal(there)
        value, S = finite(summed([here, there]))
        without_holes(self.layout, S.M, S.U)
        return value, S

    def map_rows(self, function: Callable[[PlanOfRows], Groups], sample: PlanOfRows) -> Groups:
        """Each block is read and passed over when Dask computes it. Rows have no labels: they are counted from 0."""
        import dask
        import dask.array as da

        like = function(sample)
        parts: dict[tuple[str, str], list[Any]] = {(g, str(name)): [] for g, shown in like.items() for name in shown.data_vars}
        take = dask.delayed(_variable, pure=True, traverse=False)
        for recipe in self.recipes:
            block = task(_unwrapped, recipe, function, name="block-of-rows")
            for (group, name), rows in parts.items():
                shown = like[group][name]
                rows.append(da.from_delayed(take(block, group, name), (recipe.block.rows, *shown.shape[1:]), shown.dtype))
        return {
            group: xr.Dataset(
                {str(name): (shown[name].dims, da.concatenate(parts[group, str(name)], axis=0)) for name in shown.data_vars},
                coords={str(k): v for k, v in shown.coords.items() if k != self.problem.plate},
            )
            for group, shown in like.items()
        }


def _unwrapped(recipe: Recipe, function: Callable[..., Any]) -> Any:
    answer = applied(recipe, function)
    raise_refusal(answer)
    return answer


def _variable(groups: Groups, group: str, name: str) -> np.ndarray:
    return groups[group][name].values


def tree(delayed: list[Any], add: Callable[[Any], Any]) -> Any:
    """All results added, some at a time, in an order that depends on their number alone."""
    import dask

    joined = dask.delayed(add, name="add", pure=False, traverse=False)
    with dask.annotate(retries=RETRIES):
        while True:
            delayed = [joined(delayed[i : i + BRANCHES]) for i in range(0, len(delayed), BRANCHES)]
            if len(delayed) == 1:
                break
    return computed(delayed)[0]


def plan_rows(problem: AnyProblem) -> Plan:
    """A plan of rows in memory, or in chunks."""
    return chunked_plan(problem) if isinstance(problem, ChunkedProblem) else make_plan(problem)


def chunked_plan(problem: ChunkedProblem) -> Plan:
    """A plan of rows in chunks: two passes over the blocks (one without row data in slots), in which each is laid out.

    Raises what `make_plan` raises, and UnsupportedModel where a slot has more than MOST_LEVELS different values of row data.
    """
    start = make_plan(problem.sample)
    conventions = Conventions(start.centre, start.scale)
    slots = slots_of(start)
    if slots:
        recipes = [Recipe(problem.reader, b, conventions, start.axes) for b in problem.blocks]
        levels = tree([task(levels_of, r, slots, name="levels") for r in recipes], _all_levels)
        raise_refusal(levels)
        conventions = replace(conventions, levels=levels)
        start = make_plan(problem.sample, conventions)
    recipes = [Recipe(problem.reader, b, conventions, start.axes) for b in problem.blocks]
    sample = start.store.sample
    assert isinstance(sample, Memory)
    return replace(start, store=Chunks(problem, sample, recipes, Disk(f"emvsmcmc-{uuid.uuid4().hex}")))


def _all_levels(parts: list[Any]) -> Any:
    for part in parts:
        if isinstance(part, Refused):
            return part
    out = {slot: np.unique(np.vstack([p[slot] for p in parts]), axis=0) for slot in parts[0]}
    for slot, values in out.items():
        if len(values) > MOST_LEVELS:
            names = ", ".join([*slot.names, *([] if slot.variable is None else [slot.variable])])
            wanted = f"at most {MOST_LEVELS} different values where a density depends on them, for rows in chunks"
            return Refused(
                UnsupportedModel, (names, wanted, f"more than {MOST_LEVELS}", "Round them, or read the rows into memory.")
            )
    return out

"""The contract of a store: what a plan asks of its rows, wherever they are. Nothing outside this folder knows where that is."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr

from ...spec.evaluate import Environment
from ..kernel.plain import Output, row_pass
from ..layout import Coefficients, Layout, RowOutput, Statistics, Sums
from .compiled import PackedRows
from .patterns import Patterns

PlanOfRows = TypeVar("PlanOfRows")
Groups = Mapping[str, xr.Dataset]  # {what it is about: variables, along the rows first}


class Store(ABC):
    """The rows of a plan.

    Attributes
    ----------
    full : every distinct row, nothing collapsed; a sample of them where `every_row` is false.
    layout : the rows that a pass reads from memory, with what is collapsed of all rows; `in_core` says whether a pass reads
        others too.
    inverse : original row -> row of `full`. centre (d,) : what was subtracted from v. covariates : the columns of v that hold
        covariates of means.
    """

    full: Layout
    layout: Layout
    inverse: np.ndarray
    centre: np.ndarray
    covariates: tuple[int, ...]

    @abstractmethod
    def expect(self, C: Coefficients, hard: bool = False) -> Sums:
        """Log-likelihood and statistics of all rows (see `rows.expect`). Raises Degenerate where a row has probability zero."""

    def expect_rows(self, C: Coefficients, hard: bool = False) -> tuple[float, Statistics, RowOutput]:
        """The same of the rows of `full`, with what is of their size."""
        output = Output(self.full)
        value, statistics = row_pass(self.full, C, hard, output=output)
        return value, statistics, output.result(self.inverse, self.centre)

    @cached_property
    def packed(self) -> PackedRows:
        """`layout` as the compiled pass reads it."""
        return PackedRows(self.layout)

    @property
    @abstractmethod
    def moments_by_pattern(self) -> Patterns:
        """Moments of all rows, one entry for each (hidden coordinates, allowed configurations)."""

    @property
    @abstractmethod
    def sample(self) -> Store:
        """Some of the rows, weighted up to the weight of all, in memory: to start from, and to tell labels by. All of them where
        they are in memory.
        """

    @abstractmethod
    def map_rows(self, function: Callable[[PlanOfRows], Groups], sample: PlanOfRows) -> Groups:
        """`function(plan of some rows)` over all original rows in their order: arrays in memory, or such as Dask works out when
        they are asked for, block by block. sample : the plan of `sample`, which shows what is to come.
        """

    @property
    @abstractmethod
    def rows(self) -> int:
        """Number of original rows."""

    @property
    @abstractmethod
    def every_row(self) -> bool:
        """Whether `full` has every row."""

    @property
    @abstractmethod
    def in_core(self) -> bool:
        """Whether a pass reads nothing but `layout`."""

    @property
    @abstractmethod
    def compiled(self) -> bool:
        """Whether the rows are so many that they are worth loading a compiler for."""

    @property
    @abstractmethod
    def delicate(self) -> bool:
        """Whether covariates are so nearly collinear that passes keep square roots of the moments (`roots`)."""

    @abstractmethod
    def remember(self, folder: str | Path, parameters: list[str]) -> None:
        """Write every pass down in a folder, and take those from there that were made before. parameters : their names, for
        `note`. Raises BadInput where passes are not worth it, and DifferentFit where the folder is another fit's.
        """

    @abstractmethod
    def note(self, env: Environment, objective: float) -> None:
        """Keep the parameters of an iteration in the folder of `remember`, if there is one."""

    @property
    @abstractmethod
    def cuts(self) -> list[tuple[int, int]]:
        """(first, number) of the rows of each block."""

    @cached_property
    def fingerprint(self) -> str:
        """What tells these rows, cut into these blocks and met by this model, from others."""
        digest = hashlib.sha256(repr(self.cuts).encode())
        for x in (*self.moments_by_pattern.arrays().values(), self.centre):
            digest.update(np.ascontiguousarray(x).tobytes())
        return digest.hexdigest()

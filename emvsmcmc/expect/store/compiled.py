"""Rows as the compiled pass reads them. Numba is loaded when the first of them are packed: small data never wait for it.

Rows are cut into a fixed number of ranges, whatever the machine, so that sums are added in the same order everywhere; as many of
them run at a time as there are cores. The compiled pass takes no lock and allocates nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np

from ...errors import Degenerate
from ...numerics import cores
from ..layout import Coefficients, Layout, Sums
from ..radial import without_holes

RANGES = 8
RANGED_FROM = 100_000  # distinct rows x configurations from which cutting pays

Packed = tuple[np.ndarray, np.ndarray]  # floats (float64) and ints (int64)


class Kernel(Protocol):
    """What is asked of `kernel.pack`."""

    def pack(self, layout: Layout, K: int) -> Packed: ...
    def expect_compiled(self, packed: Packed, coefficients: Coefficients, hard: bool = False) -> Sums: ...


def kernel() -> Kernel:
    """The compiled pass."""
    from ..kernel import pack  # loads numba

    return pack


@dataclass(frozen=True, eq=False)
class PackedRows:
    """The rows of a layout for the compiled pass, packed when first asked for."""

    layout: Layout

    @cached_property
    def whole(self) -> Packed:
        """One vector of floats and one of integers."""
        return kernel().pack(self.layout, self.layout.K)

    @cached_property
    def ranges(self) -> list[Packed]:
        """The same rows in ranges."""
        return [kernel().pack(part, part.K) for part in ranges(self.layout, RANGES)]

    def expect(self, C: Coefficients, hard: bool = False) -> Sums:
        """`rows.expect` through the compiled pass; same value, statistics and errors."""
        one = kernel().expect_compiled
        if len(self.layout.V) * self.layout.K < RANGED_FROM:
            value, statistics = one(self.whole, C, hard)
        else:
            parts = list(_threads().map(lambda part: one(part, C, hard), self.ranges))
            value, statistics = float(sum(v for v, _ in parts)), parts[0][1].total([s for _, s in parts])
        if not np.isfinite(value):
            raise Degenerate("rows", "a row has probability zero in every configuration")
        without_holes(self.layout, statistics.M, statistics.U)
        return value, statistics


def ranges(layout: Layout, count: int) -> list[Layout]:
    """A layout cut into consecutive ranges of rows, each with the patterns that occur in it; what is collapsed stays with the
    first.
    """
    ends = np.linspace(0, len(layout.V), count + 1).astype(int)
    return [_range(layout, a, b, first=i == 0) for i, (a, b) in enumerate(pairwise(ends))]


def _range(layout: Layout, a: int, b: int, first: bool) -> Layout:
    sizes = np.diff(np.clip(layout.start, a, b))
    there = sizes > 0
    return layout.taken(slice(a, b), sizes[there], there, layout.collapsed if first else layout.collapsed.zero())


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores())

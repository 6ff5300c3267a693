"""The numba path of the expectation. Imported only for data large enough to be worth a compiler.

Rows are cut into a fixed number of ranges, whatever the machine, so that sums are added in the same order everywhere; as many of
them run at a time as there are cores. The compiled pass takes no lock and allocates nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np

from ...errors import Degenerate
from ...numerics import cores
from ..kernel.pack import expect_compiled, pack
from ..layout import Coefficients, Layout, Statistics
from ..plan import Plan
from ..radial import without_holes

RANGES = 8
RANGED_FROM = 100_000  # distinct rows x configurations from which cutting pays

_packed: WeakKeyDictionary[Plan, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()
_ranged: WeakKeyDictionary[Plan, list[tuple[np.ndarray, np.ndarray]]] = WeakKeyDictionary()


def packed_rows(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """The plan's layout as one vector of floats and one of integers, made once for each plan."""
    if plan not in _packed:
        _packed[plan] = pack(plan.layout, plan.K)
    return _packed[plan]


def packed_ranges(plan: Plan) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same rows in ranges."""
    if plan not in _ranged:
        _ranged[plan] = [pack(part, plan.K) for part in ranges(plan.layout, RANGES)]
    return _ranged[plan]


def ranges(layout: Layout, count: int) -> list[Layout]:
    """A layout cut into consecutive ranges of rows, each with the patterns that occur in it; what is collapsed stays with the
    first.
    """
    ends = np.linspace(0, len(layout.V), count + 1).astype(int)
    return [_range(layout, a, b, first=i == 0) for i, (a, b) in enumerate(pairwise(ends))]


def _range(layout: Layout, a: int, b: int, first: bool) -> Layout:
    start = np.clip(layout.start, a, b) - a
    kept = np.diff(start) > 0
    c = layout.collapsed
    none = np.zeros(0, dtype=int)
    rows = {name: getattr(layout, name)[a:b] for name in ("V", "w", "X", "phi", "level")}
    return replace(
        layout,
        **rows,
        E=layout.E[a:b] if len(layout.E) else layout.E,
        start=np.concatenate([[0], start[1:][kept]]).astype(np.int64),
        hidden=layout.hidden[kept],
        allowed=layout.allowed[kept],
        collapsed=c if first else replace(c, **{name: getattr(c, name)[none] for name in c.__dataclass_fields__}),
    )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores())


def expect_compiled_plan(plan: Plan, C: Coefficients, hard: bool = False) -> tuple[float, Statistics]:
    """`expect` through the compiled row pass; same value, statistics and errors."""
    if len(plan.layout.V) * plan.K < RANGED_FROM:
        value, statistics = expect_compiled(packed_rows(plan), C, hard)
    else:
        found = list(_threads().map(lambda part: expect_compiled(part, C, hard), packed_ranges(plan)))
        value, statistics = float(sum(v for v, _ in found)), _sum([s for _, s in found])
    if not np.isfinite(value):
        raise Degenerate("rows", "a row has probability zero in every configuration")
    without_holes(plan.layout, statistics.M, statistics.U)
    return value, statistics


def _sum(parts: list[Statistics]) -> Statistics:
    first, *rest = parts
    out = replace(first, N=first.N.copy(), M=first.M.copy(), S=first.S.copy(), U=first.U.copy(), L=first.L.copy())
    for part in rest:
        for name in ("N", "M", "S", "U", "L"):
            getattr(out, name)[...] += getattr(part, name)
    return out

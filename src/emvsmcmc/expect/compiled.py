"""The numba path of the expectation. Imported only for data large enough to be worth a compiler."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ..errors import Degenerate
from .kernels import expect_compiled, pack
from .layout import Coefficients, Statistics
from .plan import Plan
from .radial import without_holes

_packed: WeakKeyDictionary[Plan, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def packed_rows(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """The plan's layout as one vector of floats and one of integers, made once for each plan."""
    if plan not in _packed:
        _packed[plan] = pack(plan.layout, plan.K)
    return _packed[plan]


def expect_compiled_plan(plan: Plan, C: Coefficients, hard: bool = False) -> tuple[float, Statistics]:
    """`expect` through the compiled row pass; same value, statistics and errors."""
    value, statistics = expect_compiled(packed_rows(plan), C, hard)
    if not np.isfinite(value):
        raise Degenerate("rows", "a row has probability zero in every configuration")
    without_holes(plan.layout, statistics.M, statistics.U)
    return value, statistics

"""Square roots of second moments, for covariates so nearly collinear that squares lose the digits in which they differ.

With a reciprocal condition of 1e-6 among covariates, second moments in float64 locate a coefficient only to 1e-4 of its standard
error, and the objective falls by more than rounding. Triangular roots from a QR of the rows keep eight digits.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from .plan import Plan

DELICATE = 1e-7  # smallest eigenvalue of the correlations of covariates below which roots are worth their cost

_delicate: WeakKeyDictionary[Plan, bool] = WeakKeyDictionary()


def delicate(plan: Plan) -> bool:
    """Whether the covariates of means are nearly collinear."""
    if plan not in _delicate:
        settle(plan, plan.full.V[:, covariate_columns(plan)] * np.sqrt(plan.full.w)[:, None])
    return _delicate[plan]


def covariate_columns(plan: Plan) -> list[int]:
    """The columns of v that hold covariates."""
    known = [where for key, where in plan.slices.items() if key not in plan.problem.spec.variables]
    return [c for where in known for c in range(where.start, where.stop)]


def settle(plan: Plan, X: np.ndarray) -> None:
    """Answer `delicate` from the covariates of weighted rows, or of any rows with the same second moments about the centre."""
    size = np.sqrt((X**2).sum(axis=0))
    X = X[:, size > 0] / size[size > 0]
    _delicate[plan] = X.shape[1] > 1 and bool(np.linalg.eigvalsh(X.T @ X)[0] < DELICATE)


def add_lifted_root(
    R: np.ndarray, Z: np.ndarray, weight: float, o: np.ndarray, l: np.ndarray, map_: np.ndarray, root: np.ndarray
) -> None:
    """Fold weighted rows Z (n, o), and what their hidden coordinates vary about their means, into R (d, d): R'R += ... as
    `add_lifted` does to M.
    """
    rows = np.zeros((len(Z) + len(l), len(R)))
    rows[: len(Z), o] = Z
    if len(l):
        rows[: len(Z), l] = Z @ map_.T
        rows[len(Z) :, l] = np.sqrt(weight) * root.T
    R[:] = np.linalg.qr(np.vstack([R, rows]), mode="r")

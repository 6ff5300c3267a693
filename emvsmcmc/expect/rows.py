"""The expectation: coefficients -> log-likelihood and expected complete-data statistics, wherever the rows are."""

from __future__ import annotations

import numpy as np

from .layout import Coefficients, RowOutput, Statistics
from .plan import Plan

NEAR = 1e3  # squared distance from the centre, in standard deviations, up to which moments about it keep their digits


def expect(plan: Plan, C: Coefficients, hard: bool = False) -> tuple[float, Statistics]:
    """Log-likelihood and its gradient S = (N, M, S, ...) with respect to the coefficients (Fisher's identity).

    hard : responsibilities are one-hot at their maximum, hidden Gaussian coordinates sit at their conditional mean, and the value
    is the maximum of the complete-data log density.

    Raises Degenerate where a row has probability zero in every configuration.
    """
    return plan.store.expect(C, hard)


def expect_rows(plan: Plan, C: Coefficients, hard: bool = False) -> tuple[float, Statistics, RowOutput]:
    """`expect`, and what is of the size of the data, of the rows of `plan.full`."""
    return plan.store.expect_rows(C, hard)


def reference_points(S: Statistics, C: Coefficients | None = None) -> np.ndarray:
    """(K, d) expected mean of v in each configuration: where the next coefficients are centred. Kept where a configuration is
    empty.

    With the coefficients that gave S: all zero, the common centre, where no configuration lies farther from it than NEAR. Then
    nothing is lost (moments to 1e-13 of their size), and the rows of a block are centred once instead of once a configuration.
    """
    rho = S.rho.copy()
    # Student-t rows by their expected weights: one value of 1e12 would move the plain mean, and cost all others their digits
    total, first = (S.U[:, :, 0, 0].sum(axis=1), S.U[:, :, 0, 1:].sum(axis=1)) if S.U.shape[1] else (S.N, S.M[:, 0, 1:])
    seen = total > 0
    rho[seen, 1:] += first[seen] / total[seen, None]
    if C is not None:
        B = np.abs(np.concatenate([C.B, C.A], axis=1) if C.nu.shape[1] else C.B)
        if not (((B @ np.abs(rho)[:, :, None])[..., 0] ** 2).sum(axis=1) > NEAR).any():
            rho[:] = 0.0
    return rho

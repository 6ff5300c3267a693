"""What rounding can do to an objective: asked only where it fell, to tell rounding from an M-step that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..spec.evaluate import Environment
from .coefficients import coefficients, residual_rows
from .layout import Coefficients, Statistics
from .plan import Plan, ResidualPart
from .radial import row_moments

EPS = float(np.finfo(float).eps)
SUMS = 64.0  # roundings that add up on the way to one number
LOST = 1e-3  # share of a squared residual, summed from moments, that is rounding: its scale then means nothing


def rounding_of_sums(plan: Plan, env: Environment, S: Statistics) -> float:
    """Nats by which rounding may move the log-likelihood: eps times the sizes of what is added, much of which may cancel.

    A count of a million alone brings log(10^6!) = 1.3e7. A whitened residual sum_j W_rj e_j, of columns that are nearly
    collinear, is small beside its terms |W_rj| |e_j|; its square moves by twice the residual times their rounding. A factor of
    a covariance is known to eps times the condition of its correlations, and so are squares and determinant. A mean is known to
    eps of itself, e standard deviations: to be off by so much costs e^2 / 2 a row.
    """
    C = coefficients(plan, env, S.rho)
    seen, read = S.N != 0, S.S != 0
    size = float(np.abs(C.c[seen]) @ S.N[seen]) + float(np.abs(C.T[read]) @ np.abs(S.S[read]))
    for parts, rows, M in _residuals(plan, C, S):
        squares, weight = _squares(rows, M), M[..., 0, 0]
        size += 0.5 * float(squares.sum()) + float((np.sqrt(weight * squares) * _terms(plan, env, S, parts, rows, M)).sum())
        size += float((weight * _off(plan, S, rows) ** 2).sum()) / EPS
    for v in plan.parameters:
        if v.family.matrix:
            cov = env.values[v.label].array
            sd = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
            values = np.linalg.eigvalsh(cov / (sd[..., :, None] * sd[..., None, :]))
            size += float(S.N.sum()) * cov.shape[-1] * float((values[..., -1] / np.maximum(values[..., 0], EPS)).max())
    return SUMS * EPS * size


def at_rounding(plan: Plan, env: Environment, S: Statistics) -> bool:
    """Whether some residual is so small beside what it is the difference of that its scale, estimated from moments, is rounding:
    a component that collapsed onto its mean. So is one that is smaller than the rounding of the mean itself.
    """
    return any(
        bool((EPS * _terms(plan, env, S, parts, rows, M) ** 2 > LOST).any() or (_off(plan, S, rows) ** 2 > LOST).any())
        for parts, rows, M in _residuals(plan, coefficients(plan, env, S.rho), S)
    )


def _residuals(plan: Plan, C: Coefficients, S: Statistics) -> Iterator[tuple[Sequence[ResidualPart], np.ndarray, np.ndarray]]:
    """(parts, their residual rows (K, r, d), the moments that each of these reads (K, r, d, d)), of both kinds."""
    for parts, rows, M in ((plan.gaussians, C.B, S.M[:, None]), (plan.radials, C.A, row_moments(plan.full.radial, S.U))):
        if parts:
            yield parts, rows, np.broadcast_to(M, (*rows.shape, rows.shape[2]))


def _off(plan: Plan, S: Statistics, rows: np.ndarray) -> np.ndarray:
    """(K, r) how far off a residual is, in units of its scale, where what it is the difference of is known to eps of itself."""
    return EPS * np.einsum("krd,kd->kr", np.abs(rows[:, :, 1:]), np.abs(plan.centre + S.rho)[:, 1:])


def _squares(rows: np.ndarray, M: np.ndarray) -> np.ndarray:
    """(K, r) sums of squared residuals."""
    return np.maximum(np.einsum("krd,krde,kre->kr", rows, M, rows), 0.0)


def _terms(
    plan: Plan, env: Environment, S: Statistics, parts: Sequence[ResidualPart], rows: np.ndarray, M: np.ndarray
) -> np.ndarray:
    """(K, r) typical size of the terms whose sum is a residual, in units of its scale."""
    weight = np.where(M[..., 0, 0] > 0, M[..., 0, 0], 1.0)[..., None]
    spread = np.sqrt(np.maximum(np.einsum("krdd->krd", M), 0.0) / weight)[..., 1:]
    terms = np.einsum("krd,krd->kr", np.abs(rows[:, :, 1:]), spread)
    for part in parts:  # how far the means are from the reference points
        away = np.abs(residual_rows(plan, part, env, plan.centre + S.rho)[:, :, 0])
        terms[:, part.rows] += np.einsum("krd,kd->kr", np.abs(rows[:, part.rows, part.columns]), away)
    return terms

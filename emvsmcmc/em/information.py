"""Observed and complete-data information, by differences of the exact score, and its inverse across rotations."""

from __future__ import annotations

import numpy as np

from ..expect.coefficients import coefficients
from ..expect.coordinates import Coordinates
from ..expect.layout import Statistics
from ..expect.objective import Objective
from ..expect.plan import Plan
from ..expect.rows import expect, reference_points
from ..spec.evaluate import Environment
from .newton import hessian

RELATIVE_STEP = 1e-3  # of a complete-data standard error: differences then err by 1e-6 and rounding by 1e-9
LEAST_STEP = 1e-12  # of the coordinate itself
FLAT = 1e-10  # eigenvalue of the scaled information below which a direction has none


def score_at(
    plan: Plan, chart: Coordinates, u: np.ndarray, rho: np.ndarray | None, objective: Objective
) -> tuple[np.ndarray, Statistics]:
    """(score, statistics) of the observed-data objective at u: one expectation, then the exact derivative of Q."""
    _, S = expect(plan, coefficients(plan, chart.unpack(u), rho))
    return chart.score(u, S, objective), S


def observed_information(
    plan: Plan, env: Environment, rho: np.ndarray | None, objective: Objective
) -> tuple[Coordinates, np.ndarray, np.ndarray]:
    """-Hessian of the log-likelihood (+ log prior, in declared space) in unconstrained coordinates, by central differences of
    the score; and that of Q with the statistics held, the complete-data information.
    """
    chart = Coordinates(plan, env)
    u = chart.pack(env)
    if rho is None:  # about one common centre the information of far clusters is rounding
        rho = reference_points(expect(plan, coefficients(plan, env))[1])
    _, S = score_at(plan, chart, u, rho, objective)
    complete = -hessian(chart, u, S, objective)
    curvature = np.diag(complete)
    with np.errstate(divide="ignore", invalid="ignore"):
        # a thousandth of each coordinate's complete-data standard error, which vanishes with a residual variance
        least = 1e-5 if chart.zero else 1e-12
        steps = np.where(curvature > 0, np.clip(RELATIVE_STEP / np.sqrt(np.abs(curvature)), least, 1e-2), 1e-4)
    steps = np.maximum(steps, LEAST_STEP * np.abs(u))  # a step that rounding swallows has no difference
    H = np.empty((chart.size, chart.size))
    for i in range(chart.size):
        e = np.zeros(chart.size)
        e[i] = steps[i]
        up, down = u + e, u - e
        H[i] = (score_at(plan, chart, up, rho, objective)[0] - score_at(plan, chart, down, rho, objective)[0]) / (up[i] - down[i])
    return chart, -0.5 * (H + H.T), complete


def across(information: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Inverse of an information matrix on the complement of its known flat directions, zero along them; and, where it is not
    positive definite there, the direction in which it fails (the inverse is then NaN).
    """
    if flat.shape[1] >= len(information):  # nothing, or nothing that is not flat
        return np.zeros_like(information), None
    d = np.sqrt(np.abs(np.diag(information)))
    d = np.where(d > 0, d, 1.0)
    # units of the coordinates' own precision: columns in other units must not look flat
    Q = np.linalg.qr(np.hstack([d[:, None] * flat, np.eye(len(d))]))[0][:, flat.shape[1] :] if flat.size else np.eye(len(d))
    values, vectors = np.linalg.eigh(Q.T @ (information / np.outer(d, d)) @ Q)
    vectors = Q @ vectors
    if values[0] <= FLAT:
        return np.full_like(information, np.nan), vectors[:, 0]
    return (vectors / values) @ vectors.T / np.outer(d, d), None

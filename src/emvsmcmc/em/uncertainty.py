"""Standard errors: observed information from differences of the exact score, and the weighted-likelihood bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import Degenerate
from ..expect.coefficients import coefficients
from ..expect.coordinates import Coordinates
from ..expect.layout import Statistics
from ..expect.plan import Plan, make_plan
from ..expect.rows import expect
from ..spec.graph import Environment
from .iterate import Loop
from .mstep import MStep

RELATIVE_STEP = 1e-3  # of a complete-data standard error: differences then err by 1e-6 and rounding by 1e-9
REPLICATES = 200


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors by parameter, in declared shape; NaN comes with its reason.

    information (size, size) is the observed information in the chart's unconstrained coordinates, None under the bootstrap.
    """

    standard_error: dict[str, np.ndarray]
    reasons: dict[str, str]
    information: np.ndarray | None
    coordinates: Coordinates


def score_at(plan: Plan, chart: Coordinates, u: np.ndarray, rho: np.ndarray | None, prior: bool) -> tuple[np.ndarray, Statistics]:
    """(score, statistics) of the observed-data objective at u: one expectation, then the exact derivative of Q."""
    _, S = expect(plan, coefficients(plan, chart.unpack(u), rho))
    return chart.score(u, S, prior), S


def observed_information(plan: Plan, env: Environment, rho: np.ndarray | None, prior: bool) -> tuple[Coordinates, np.ndarray]:
    """-Hessian of the log-likelihood (+ log prior, in declared space) in unconstrained coordinates, by central differences of
    the score.
    """
    chart = Coordinates(plan, env)
    u = chart.pack(env)
    _, S = score_at(plan, chart, u, rho, prior)
    steps = _steps(chart, u, S, prior)
    H = np.empty((chart.size, chart.size))
    for i in range(chart.size):
        e = np.zeros(chart.size)
        e[i] = steps[i]
        H[i] = (score_at(plan, chart, u + e, rho, prior)[0] - score_at(plan, chart, u - e, rho, prior)[0]) / (2 * steps[i])
    return chart, -0.5 * (H + H.T)


def _steps(chart: Coordinates, u: np.ndarray, S: Statistics, prior: bool) -> np.ndarray:
    """A thousandth of each coordinate's complete-data standard error, from the curvature of Q."""
    curvature = np.empty(chart.size)
    for i in range(chart.size):
        e = np.zeros(chart.size)
        e[i] = 1e-5
        curvature[i] = (chart.score(u - e, S, prior)[i] - chart.score(u + e, S, prior)[i]) / 2e-5
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(curvature > 0, np.clip(RELATIVE_STEP / np.sqrt(np.abs(curvature)), 1e-7, 1e-2), 1e-4)


def observed(plan: Plan, env: Environment, rho: np.ndarray | None, prior: bool) -> Uncertainty:
    """Delta method: sqrt diag(J I^-1 J') for every declared value, J the derivative of the value along the coordinates."""
    chart, information = observed_information(plan, env, rho, prior)
    reasons: dict[str, str] = {}
    errors: dict[str, np.ndarray] = {}
    covariance = np.full_like(information, np.nan)
    if chart.size:
        values, vectors = np.linalg.eigh(_scaled(information))
        if values[0] <= 1e-10:
            flat = vectors[:, 0]
            worst = _owner(chart, int(np.argmax(np.abs(flat))))
            for b in chart.blocks:
                reasons[b.variable.label] = (
                    f"the observed information is not positive definite (direction of {worst}): not a strict maximum"
                )
        else:
            d = np.sqrt(np.diag(information))
            covariance = (vectors / values) @ vectors.T / np.outer(d, d)
    u = chart.pack(env)
    for name, J in chart.jacobian(u).items():
        variance = np.einsum("...i,ij,...j->...", J, covariance, J)
        errors[name] = np.sqrt(np.where(variance >= 0, variance, np.nan))
    for b in chart.blocks:
        if not b.free.all():
            reasons.setdefault(b.variable.label, "on the boundary of its support: it has no standard error there")
            moving = np.abs(chart.jacobian(u)[b.variable.label]).max(axis=-1) > 0 if chart.size else np.zeros(b.shape, dtype=bool)
            errors[b.variable.label] = np.where(moving, errors[b.variable.label], np.nan)
    return Uncertainty(errors, reasons, information, chart)


def _scaled(information: np.ndarray) -> np.ndarray:
    d = np.sqrt(np.abs(np.diag(information)))
    d = np.where(d > 0, d, 1.0)
    return information / np.outer(d, d)


def _owner(chart: Coordinates, position: int) -> str:
    return next(b.variable.label for b in chart.blocks if b.where.start <= position < b.where.stop)


def bootstrap(
    plan: Plan,
    env: Environment,
    prior: bool,
    tol: float,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    tick: Callable[[], None] | None = None,
) -> Uncertainty:
    """Weighted-likelihood bootstrap (Newton and Raftery 1994): each replicate draws Gamma(w) row weights and is fitted from
    the estimate.

    Starting at the estimate keeps the labels of exchangeable components. Replicates that collapse are left out and counted in
    `reasons`.
    """
    draws: dict[str, list[np.ndarray]] = {v.label: [] for v in plan.parameters}
    lost = 0
    weights = plan.problem.weights
    for _ in range(replicates):
        w = rng.gamma(np.where(weights > 0, weights, 1.0)) * (weights > 0)
        replica = make_plan(plan.problem.with_weights(w * weights.sum() / w.sum()))
        run = Loop(replica, MStep(replica, prior), False, max(tol, 1e-6), 2000, True).run(env)
        if tick is not None:
            tick()
        if run.status.value in ("converged", "stalled"):
            for name, kept in draws.items():
                kept.append(run.environment.values[name].array)
        else:
            lost += 1
    reasons = {} if not lost else dict.fromkeys(draws, f"{lost} of {replicates} bootstrap replicates collapsed and are left out")
    if replicates - lost < 2:
        raise Degenerate("bootstrap", f"{lost} of {replicates} replicates collapsed")
    errors = {name: np.std(np.stack(kept), axis=0, ddof=1) for name, kept in draws.items()}
    return Uncertainty(errors, reasons, None, Coordinates(plan, env))

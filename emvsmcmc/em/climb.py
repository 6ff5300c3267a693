"""The last stretch of an EM that creeps: quasi-Newton on the observed-data objective, then Newton, both by EM's own exact score.

Near a maximum EM's error shrinks by the largest fraction of missing information in each iteration; where that is .9999, or where
a residual variance goes to zero (a Heywood case, which EM approaches like 1 / iterations), the score leads there directly. (Lange
1995; Jamshidian and Jennrich 1997.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ..errors import Degenerate
from ..expect.coefficients import coefficients
from ..expect.coordinates import Coordinates
from ..expect.heywood import HELD, scale_at, zero_uniquenesses
from ..expect.objective import Objective
from ..expect.plan import Plan
from ..expect.rows import expect
from ..invariance.axes import generators
from ..spec.evaluate import Environment
from ..spec.named import Named
from .information import across, observed_information
from .newton import hessian

LARGEST = 400  # parameters; Newton takes two passes for each
NEWTON_STEPS = 8
ROUNDS = 3
FAILED = 1e300
NEAR = 1e-5  # share of a column's variance below which a residual variance may be on its way to zero
SETTLED = 1e-2  # nats for each doubling: what is lost by stopping there is a thousandth of that
LIFTED = 1e-2  # of a column's standard deviation: what a residual sd at zero is lifted to, to see whether it goes back


@dataclass(frozen=True)
class Climbed:
    """Where the climb ended, and what Newton expects it still to gain, in nats (infinite where it could not tell)."""

    env: Environment
    objective: float
    gain: float


def climb(plan: Plan, env: Environment, rho: np.ndarray, objective: Objective, tol: float) -> Climbed | None:
    """Climb the objective from `env`; None where that cannot be done (too many parameters, no finite step)."""
    env = _lifted(plan, env)
    climbed = None
    for round_ in range(ROUNDS):
        # first with every residual variance free to move, then with those that went to zero held there
        chart = Coordinates(plan, env, heywood=round_ > 0)
        if not 0 < chart.size <= LARGEST:
            return None
        reached = _quasi_newton(plan, chart, rho, objective)
        if reached is None:
            return climbed
        env = reached
        climbed = _newton(plan, env, rho, objective, tol)
        if climbed.gain < tol:
            return climbed
        env = climbed.env
    return climbed


def _quasi_newton(plan: Plan, chart: Coordinates, rho: np.ndarray, objective: Objective) -> Environment | None:
    """L-BFGS in coordinates in which EM's own step has length one."""
    _, S = expect(plan, coefficients(plan, chart.env, rho))
    u = chart.pack(chart.env)
    scale = _preconditioner(-hessian(chart, u, S, objective))

    def falling(z: np.ndarray) -> tuple[float, np.ndarray]:
        at = u + scale @ z
        try:
            with np.errstate(all="ignore"):
                value, score = _value_and_score(plan, chart, at, rho, objective)
        except (Degenerate, np.linalg.LinAlgError):
            return FAILED, np.zeros_like(z)
        return (-value, -(scale.T @ score)) if np.isfinite(value) and np.isfinite(score).all() else (FAILED, np.zeros_like(z))

    options = {"maxiter": 1000, "maxfun": 2000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-5}
    optimum = minimize(falling, np.zeros(chart.size), jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(optimum.fun) or optimum.fun >= FAILED:
        return None
    at = u + scale @ optimum.x
    _, score = _value_and_score(plan, chart, at, rho, objective)
    return _at_zero(plan, chart, chart.unpack(at), score)


def _value_and_score(
    plan: Plan, chart: Coordinates, u: np.ndarray, rho: np.ndarray, objective: Objective
) -> tuple[float, np.ndarray]:
    env = chart.unpack(u)
    value, S = expect(plan, coefficients(plan, env, rho))
    return value + float(objective.log_prior(plan, env)), chart.score(u, S, objective)


def _preconditioner(complete: np.ndarray) -> np.ndarray:
    """P with P P' = complete-data information^-1: in its coordinates EM's own step has length one."""
    d = np.sqrt(np.maximum(np.abs(np.diag(complete)), 1e-300))
    values, vectors = np.linalg.eigh(complete / np.outer(d, d))
    return (vectors / np.sqrt(np.maximum(values, 1e-8))) / d[:, None]


def _newton(plan: Plan, env: Environment, rho: np.ndarray, objective: Objective, tol: float) -> Climbed:
    """Newton steps across the directions of rotations; residual variances at zero stay there."""
    gain = np.inf
    value = -np.inf
    for _ in range(NEWTON_STEPS):
        chart, information, _ = observed_information(plan, env, rho, objective)
        u = chart.pack(env)
        value, score = _value_and_score(plan, chart, u, rho, objective)
        covariance, failed = across(information, generators(plan, chart, objective))
        if failed is not None:
            return Climbed(env, value, np.inf)
        step = covariance @ score
        gain = 0.5 * float(score @ step)
        if abs(gain) < tol:
            break
        length, risen = min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300)), False
        while length > 1e-6 and not risen:
            try:
                tried = chart.unpack(u + length * step)
                new, _ = _value_and_score(plan, chart, u + length * step, rho, objective)
                risen = bool(np.isfinite(new)) and new >= value - 1e-13 * abs(value)
            except (Degenerate, np.linalg.LinAlgError):
                risen = False
            length /= 2
        if not risen:
            return Climbed(env, value, np.inf)
        env = tried
    return Climbed(env.having(batch=None), value, abs(gain))


def _lifted(plan: Plan, env: Environment) -> Environment:
    """Residual variances at zero raised to where the score can tell whether they belong there."""
    return _rescaled(plan, env, zero_uniquenesses(plan, env), LIFTED)


def _at_zero(plan: Plan, chart: Coordinates, env: Environment, score: np.ndarray) -> Environment:
    """Residual variances that are nearly zero, and gain nothing from being larger, put at zero."""
    near = zero_uniquenesses(plan, env, NEAR)
    for b in chart.blocks:
        if b.variable.label in near:
            along = np.zeros(len(b.free))
            along[b.free] = score[b.where]
            near[b.variable.label] &= (along < 0.1 * SETTLED) & (along > -SETTLED)
    return _rescaled(plan, env, near, np.sqrt(HELD))


def _rescaled(plan: Plan, env: Environment, entries: dict[str, np.ndarray], share: float) -> Environment:
    """Entries of scale parameters set to a share of their columns' implied standard deviation."""
    values = {}
    for v in plan.parameters:
        if v.label in entries and entries[v.label].any():
            x = env.values[v.label].array
            chosen = entries[v.label].reshape(x.shape)
            x = np.where(chosen, scale_at(plan, env, v, share), x)
            values[v.label] = Named(x, env.values[v.label].dims)
    return env.with_values(values) if values else env

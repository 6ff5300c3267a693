"""Standard errors: observed information from differences of the exact score, and the weighted-likelihood bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..errors import Degenerate
from ..expect.coordinates import Coordinates
from ..expect.objective import Objective
from ..expect.plan import Plan
from ..expect.planner import make_plan
from ..invariance.axes import generators, rotations
from ..numerics import scaled_inverse
from ..spec.evaluate import Environment
from .identify.open_directions import direction_text, only_here, structural
from .information import across, observed_information
from .loop import Loop
from .mstep import MStep
from .options import EMOptions
from .recession import Recession

REPLICATES = 200
OPEN = 1e-5  # the same, for directions found by differences
SHARE = 1e-3  # of a value's derivative along directions without information, from which it has no standard error
TURNED = 1e-6  # share of a value's derivative along a rotation from which the value counts as turned by it


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors by parameter, in declared shape; NaN comes with its reason.

    missing : fraction of missing information of each value, 1 - (variance were everything hidden given) / (variance as observed).
    information, complete, covariance : (size, size) observed and complete-data information in the chart's unconstrained
    coordinates, and the inverse of the first across the flat directions; None under the bootstrap. flat : (size, g) directions
    along which a rotation leaves the objective as it is. rate : that of plain EM, the largest eigenvalue of
    I - complete^-1 information; NaN where it is not known. silent : (size, h) further directions without information, at the
    estimate only: of equal components, or of recession. replicates : {parameter: (kept replicates, *shape)} of the bootstrap.
    """

    standard_error: dict[str, np.ndarray]
    missing: dict[str, np.ndarray]
    reasons: dict[str, str]
    information: np.ndarray | None
    complete: np.ndarray | None
    covariance: np.ndarray | None
    coordinates: Coordinates
    flat: np.ndarray
    rate: float = float("nan")
    replicates: dict[str, np.ndarray] | None = None
    undecided: bool = False  # whether `flat` holds more than rotations: directions that the data leave open
    silent: np.ndarray | None = None
    lost: int = 0  # replicates of the bootstrap that collapsed

    @property
    def n_parameters(self) -> int:
        """Free parameters: coordinates less rotations and directions that the data leave open."""
        return self.coordinates.size - self.flat.shape[1]

    def of(self, J: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(standard error, fraction of missing information) of values with derivative J (..., size): sqrt(J covariance J').

        NaN where a value changes along a rotation. (Orchard and Woodbury 1972 for the missing information.)
        """
        nothing = np.full(J.shape[:-1], np.nan)
        if self.covariance is None or self.complete is None:
            return nothing, nothing
        variance = np.einsum("...i,ij,...j->...", J, self.covariance, J)
        turned = np.abs(J @ self.flat).max(axis=-1, initial=0.0) > (OPEN if self.undecided else TURNED) * np.linalg.norm(
            J, axis=-1
        )
        variance = np.where((variance >= 0) & ~turned & ~self.unsaid(J), variance, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            given = np.einsum("...i,ij,...j->...", J, _inverse(self.complete, self.silent), J)
            return np.sqrt(variance), 1 - given / variance

    def unsaid(self, J: np.ndarray) -> np.ndarray:
        """Which values with derivative J (..., size) change along a direction without information (`silent`)."""
        if self.silent is None or not self.silent.shape[1]:
            return np.zeros(J.shape[:-1], dtype=bool)
        return np.abs(J @ self.silent).max(axis=-1) > SHARE * np.linalg.norm(J, axis=-1)


def unknown(plan: Plan, env: Environment, reason: str, objective: Objective, endless: Recession | None = None) -> Uncertainty:
    """No standard errors, for a reason; parameters are counted all the same."""
    chart = Coordinates(plan, env)
    reasons = {v.label: reason for v in plan.parameters}
    flat, undecided = _flat(plan, chart, objective, endless)
    return Uncertainty({}, {}, reasons, None, None, None, chart, flat, undecided=undecided)


def _flat(plan: Plan, chart: Coordinates, objective: Objective, endless: Recession | None = None) -> tuple[np.ndarray, bool]:
    """((size, g) flat directions, whether they are more than rotations); proper priors inform what data leave open."""
    turns = generators(plan, chart, objective)
    directions = turns if objective.prior else structural(plan, chart, None if endless is None else endless.span)
    return (directions, True) if directions.shape[1] > turns.shape[1] else (turns, False)


def observed(
    plan: Plan, env: Environment, rho: np.ndarray | None, objective: Objective, endless: Recession | None = None
) -> Uncertainty:
    """Delta method: sqrt diag(J I^-1 J') for every declared value, J the derivative of the value along the coordinates; I is
    inverted across the directions of rotations, along which it is zero, and of recession, along which it vanishes.
    """
    chart, information, complete = observed_information(plan, env, rho, objective)
    flat, undecided = _flat(plan, chart, objective, endless)
    beyond = np.zeros((chart.size, 0)) if endless is None else endless.span
    reasons: dict[str, str] = {}
    here = only_here(plan, chart, information, np.hstack([flat, beyond]), objective)
    silent = np.hstack([here, beyond])
    covariance, worst = across(information, np.hstack([flat, silent]))
    if worst is not None:
        owner = _owner(chart, int(np.argmax(np.abs(worst))))
        sentence = f"the observed information is not positive definite (direction of {owner}): not a strict maximum"
        reasons = {b.variable.label: sentence for b in chart.blocks}
    rate = _rate(_left(complete, beyond), _left(information, beyond), flat)
    result = Uncertainty({}, {}, reasons, information, complete, covariance, chart, flat, rate)
    result = replace(result, undecided=undecided, silent=silent)
    for b in chart.blocks:
        name = b.variable.label
        J = chart.jacobian(chart.pack(env))[name] if chart.size else np.zeros((*b.shape, 0))
        error, missing = result.of(J)
        if replace(result, silent=beyond).unsaid(J).any():
            assert endless is not None
            reasons[name] = endless.no_error
        elif replace(result, silent=here).unsaid(J).any():
            reasons[name] = (
                "the likelihood is flat here, at the estimate only (two components are equal, or one has no rows): "
                f"along {here.shape[1]} combination{'s' if here.shape[1] > 1 else ''} of the parameters"
            )
        if (infinite := chart.limits.infinite.get(name)) is not None:
            error, missing = (np.where(infinite.reshape(b.shape), np.nan, x) for x in (error, missing))
        if infinite is not None or not b.free.all():
            where = "on the boundary of its support" if infinite is None else f"as good as infinite ({chart.limits.words[name]})"
            reasons.setdefault(name, f"{where}: it has no standard error there")
            moving = np.abs(J).max(axis=-1, initial=0.0) > 0
            error, missing = np.where(moving, error, np.nan), np.where(moving, missing, np.nan)
        still = b.support.fixed(b.shape)
        error, missing = np.where(still, np.nan, error), np.where(still, np.nan, missing)
        if name not in reasons and undecided and np.isnan(error[~still]).any():
            reasons[name] = f"the data leave it open: the likelihood does not change {direction_text(chart, flat)}, at any values"
        if name not in reasons and np.isnan(error[~still]).any():
            latents = [r.latent for r in rotations(plan) if name in r.carriers]
            angles = f"{flat.shape[1]} free direction{'s' if flat.shape[1] > 1 else ''}"
            reasons[name] = (
                f"the axes of {', '.join(latents)} may be turned without changing the likelihood ({angles}): "
                "what no turn changes is compared instead"
            )
        result.standard_error[name], result.missing[name] = error, missing
    reasons |= _with_fixed(chart, reasons)
    return result


def by_reason(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """(parameters, why they have no standard error): each reason once, as "a, b"; an empty one is none."""
    parameters: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if reason:
            parameters.setdefault(reason, []).append(name)
    return [(", ".join(names), reason) for reason, names in parameters.items()]


def _with_fixed(chart: Coordinates, reasons: dict[str, str]) -> dict[str, str]:
    """Reasons of the parameters with entries that the prior leaves one value only, beside the others'."""
    out = {}
    for b in chart.blocks:
        name, still = b.variable.label, b.support.fixed(b.shape)
        if still.any():
            values = " or ".join(f"{x:g}" for x in np.unique(chart.env.values[name].array[still]))
            sentence = f"fixed at {values} by its prior" + ("" if still.all() else f", {still.sum()} of {still.size} entries")
            out[name] = f"{sentence}; else {reasons[name]}" if name in reasons else sentence
    return out


def _rate(complete: np.ndarray, information: np.ndarray, flat: np.ndarray) -> float:
    """Rate of plain EM at the optimum (Dempster, Laird and Rubin 1977): directions of a rotation do not move and do not count."""
    if not len(complete):
        return 0.0
    try:
        root = np.linalg.cholesky(complete)
    except np.linalg.LinAlgError:
        return float("nan")
    kept = np.linalg.eigvalsh(np.linalg.solve(root, np.linalg.solve(root, information).T))[flat.shape[1] :]
    return float(1 - kept[0]) if len(kept) else 0.0


def _left(matrix: np.ndarray, without: np.ndarray) -> np.ndarray:
    """A symmetric matrix on the complement of some directions."""
    if not without.shape[1]:
        return matrix
    Q = np.linalg.qr(without, mode="complete")[0][:, without.shape[1] :]
    return Q.T @ matrix @ Q


def _inverse(matrix: np.ndarray, silent: np.ndarray | None) -> np.ndarray:
    if not len(matrix) or silent is None or not silent.shape[1]:
        return scaled_inverse(matrix)[0] if len(matrix) else matrix
    return across(matrix, silent)[0]


def _owner(chart: Coordinates, position: int) -> str:
    return next(b.variable.label for b in chart.blocks if b.where.start <= position < b.where.stop)


def bootstrap(
    plan: Plan,
    env: Environment,
    objective: Objective,
    tol: float,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    tick: Callable[[], None] | None = None,
    endless: Recession | None = None,
) -> Uncertainty:
    """Weighted-likelihood bootstrap (Newton and Raftery 1994): each replicate draws Gamma(w) row weights and is fitted from
    the estimate.

    Starting at the estimate keeps the labels of exchangeable components. Replicates that collapse are left out and counted in
    `reasons`.
    """
    draws: dict[str, list[np.ndarray]] = {v.label: [] for v in plan.parameters}
    lost = 0
    weights = plan.problem.weights
    options = EMOptions(objective=objective.name, tol=max(tol, 1e-6), max_iter=2000)
    for _ in range(replicates):
        w = rng.gamma(np.where(weights > 0, weights, 1.0)) * (weights > 0)
        replica = make_plan(plan.problem.with_weights(w * weights.sum() / w.sum()))
        run = Loop(replica, MStep(replica, objective), options).run(env)
        if tick is not None:
            tick()
        if run.status.finished:
            for name, kept in draws.items():
                kept.append(run.environment.values[name].array)
        else:
            lost += 1
    reasons = {} if not lost else dict.fromkeys(draws, f"{lost} of {replicates} bootstrap replicates collapsed and are left out")
    if replicates - lost < 2:
        raise Degenerate("bootstrap", f"{lost} of {replicates} replicates collapsed")
    stacked = {name: np.stack(kept) for name, kept in draws.items()}
    counted = unknown(plan, env, "", objective, endless)
    still = {b.variable.label: b.support.fixed(b.shape) for b in counted.coordinates.blocks}
    errors = {name: np.where(still[name], np.nan, np.std(x, axis=0, ddof=1)) for name, x in stacked.items()}
    reasons |= _with_fixed(counted.coordinates, reasons)
    if endless is not None:  # where in a replicate the iteration left the way to infinity says nothing
        chart = counted.coordinates
        counted = replace(counted, silent=endless.span)
        for name, J in chart.jacobian(chart.pack(env)).items():
            shut = counted.unsaid(J)
            errors[name] = np.where(shut, np.nan, errors[name])
            reasons |= {name: endless.no_error} if shut.any() else {}
    return replace(counted, standard_error=errors, reasons=reasons, replicates=stacked, lost=lost)

"""The table: one row a scalar parameter, EM beside the posterior, and what the differences are made of."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from ..em.result import EMFit
from ..expect.coefficients import log_prior
from ..expect.coordinates import Coordinates
from ..expect.draws import CHUNK, joint_log_densities
from ..expect.inside import fixed_entries
from ..expect.objective import MAP
from ..invariance.axes import Turn, directions_at, rotations
from ..numerics import LOG_2PI, logsumexp
from ..words import entries

HDI_PROBABILITY = 0.94
NONE: Mapping[str, np.ndarray] = {}
COLUMNS = (
    "em", "se", "fmi", "map", "mean", "sd", "hdi_lower", "hdi_upper", "ess_bulk", "ess_tail", "r_hat", "mcse", "r_hat_unaligned",
    "gap", "gap_prior", "gap_shape", "gap_monte_carlo", "se_ratio", "in_hdi", "rank",
)  # fmt: skip


def scalar_names(
    dataset: xr.Dataset, matrices: Container[str] = (), fixed: Mapping[str, np.ndarray] = NONE
) -> list[tuple[str, str, tuple[int, ...]]]:
    """(label as ArviZ writes it, variable, position) of every scalar of a Dataset; of symmetric `matrices`, one triangle; without
    what is fixed by a prior ({variable: mask}), since it is no parameter.
    """
    out = []
    for label, name, at in entries(dataset):
        if not ((name in matrices and at[-2] > at[-1]) or (name in fixed and fixed[name][at])):
            out.append((label, name, at))
    return out


def posterior_figures(draws: np.ndarray) -> dict[str, float]:
    """mean, sd, 94% HDI, ESS of bulk and tail, R-hat and MCSE of one scalar's draws (chain, draw)."""
    lower, upper = np.ravel(array_stats.hdi(draws.ravel(), HDI_PROBABILITY))
    return {
        "mean": float(draws.mean()),
        "sd": float(draws.std(ddof=1)),
        "hdi_lower": float(lower),
        "hdi_upper": float(upper),
        "ess_bulk": float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")),
        "ess_tail": float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))),
        "r_hat": float(array_stats.rhat(draws, chain_axis=0, draw_axis=1)),
        "mcse": float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean")),
    }


def table(
    em: EMFit, map_fit: EMFit, posterior: xr.Dataset, unaligned: xr.Dataset, truth: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """One row a scalar parameter; an entry that is zero by declaration is none.

    Columns: em, se, fmi (fraction of missing information), map, mean, sd, hdi_lower, hdi_upper (94%), ess_bulk, ess_tail, r_hat,
    r_hat_unaligned, mcse, gap = (em - mean) / sd, split into prior = (map - em) / sd, shape = (mean - map) / sd and monte_carlo =
    mcse / sd; se_ratio = se / sd; in_hdi; rank, the share of draws below EM's estimate; truth where simulated.
    """
    matrices = {v.label for v in em.problem.parameters if v.family.matrix}
    fixed = fixed_entries(em.problem)
    points = Points(em.estimate, em.standard_error, em.missing_information, map_fit.estimate)
    return beside(points, posterior, unaligned, matrices, truth, fixed)


@dataclass(frozen=True)
class Points:
    """What EM says of quantities, in Datasets of the same variables: estimate, standard error, fraction of missing information,
    and the value at the posterior mode.
    """

    estimate: xr.Dataset
    error: xr.Dataset
    missing: xr.Dataset
    mode: xr.Dataset


def beside(
    points: Points,
    posterior: xr.Dataset,
    unaligned: xr.Dataset,
    matrices: Container[str] = (),
    truth: Mapping[str, np.ndarray] | None = None,
    fixed: Mapping[str, np.ndarray] = NONE,
) -> pd.DataFrame:
    """The rows of `table` for any quantities: Datasets of the same variables, the draws with dims (chain, draw, ...) in front."""
    rows: list[dict[str, Any]] = []
    estimate, error, missing, mode = points.estimate, points.error, points.missing, points.mode
    for label, name, at in scalar_names(estimate, matrices, fixed):
        where = dict(zip(estimate[name].dims, at, strict=True))
        draws, raw = posterior[name][where].values, unaligned[name][where].values
        em, se, top = (float(x[name].values[at]) for x in (estimate, error, mode))
        figures = posterior_figures(draws)
        mean, sd, mcse = figures["mean"], figures["sd"], figures["mcse"]
        row = {
            "parameter": label,
            "em": em,
            "se": se,
            "fmi": float(missing[name].values[at]),
            "map": top,
            **figures,
            "r_hat_unaligned": float(array_stats.rhat(raw, chain_axis=0, draw_axis=1)),
            "gap": (em - mean) / sd,
            "gap_prior": (top - em) / sd,
            "gap_shape": (mean - top) / sd,
            "gap_monte_carlo": mcse / sd,
            "se_ratio": se / sd,
            "in_hdi": bool(figures["hdi_lower"] <= em <= figures["hdi_upper"]),
            "rank": float((draws < em).mean()),
        }
        if truth is not None and name in truth:
            row["truth"] = float(np.asarray(truth[name])[at])
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["parameter", *COLUMNS]).set_index("parameter")


def k_hat(fit: EMFit, rng: np.random.Generator, size: int = 4000) -> float:
    """Pareto tail index of the importance weights posterior / Normal(estimate, information^-1), in unconstrained coordinates.

    Below 0.7 the normal approximation could stand in for the posterior (Vehtari, Simpson, Gelman, Yao and Gabry 2024). NaN where
    there is no information matrix, a parameter is on its boundary, or the prior picks an orientation of latents of which the
    likelihood knows nothing. fit : its information must be that of the likelihood or of the posterior in declared space.
    """
    weights = log_importance_weights(fit, rng, size)
    if weights is None:
        return float("nan")
    keep = np.isfinite(weights)
    return pareto_k(weights[keep]) if keep.sum() >= size // 2 else float("inf")


def log_importance_weights(fit: EMFit, rng: np.random.Generator, size: int) -> np.ndarray | None:
    """(size,) log of (likelihood x prior) / density of draws from the normal approximation; their mean is the evidence.

    Along the turns of latents the approximation has no width: draws lie on a slice across them, and each stands for its orbit,
    whose volume |det(N'G)| enters the weight (G the velocities of the turns, N the normals of the slice). The evidence is then
    the mean times the volume of the group.
    """
    covariance, chart, plan = fit.uncertainty.covariance, fit.uncertainty.coordinates, fit.plan
    if covariance is None or not np.isfinite(covariance).all() or not all(b.free.all() for b in chart.blocks):
        return None  # on a boundary the approximation has fewer dimensions than the posterior
    if fit.uncertainty.silent is not None and fit.uncertainty.silent.shape[1]:
        return None  # and no width at all where the likelihood is flat or rises for ever
    flat = fit.uncertainty.flat.shape[1]
    if flat and any(r.density is Turn.ROTATION and r.posterior is not Turn.ROTATION for r in rotations(plan)):
        return None
    values, vectors = np.linalg.eigh(covariance)
    sd, along = np.sqrt(np.maximum(values[flat:], 0.0)), vectors[:, :flat]
    z = rng.standard_normal((chart.size - flat, size))
    u = chart.pack(fit.environment)[:, None] + (vectors[:, flat:] * sd) @ z
    log_q = -0.5 * (z**2).sum(axis=0) - 0.5 * len(z) * LOG_2PI - np.log(sd).sum()
    log_p = np.empty(size)
    block = max(1, CHUNK // max(1, plan.d * plan.d * plan.K))
    for start in range(0, size, block):
        at = slice(start, start + block)
        log_p[at] = log_posterior_density(chart, u[:, at])
        if flat:
            env = chart.unpack(u[:, at])
            draws = {v.label: np.moveaxis(env.values[v.label].array, -1, 0) for v in plan.parameters}
            log_p[at] += np.linalg.slogdet(along.T @ directions_at(plan, chart, draws, objective=MAP))[1]
    return log_p - log_q


def pareto_k(log_weights: np.ndarray) -> float:
    """Index of a generalised Pareto distribution fitted to the largest importance weights, given by their logarithms."""
    return float(array_stats.psislw(-log_weights)[1])  # it takes the log-likelihood that leave-one-out divides by


def log_posterior_density(chart: Coordinates, u: np.ndarray) -> np.ndarray:
    """(draws,) log likelihood + log prior + log Jacobian at unconstrained points u (size, draws)."""
    plan = chart.plan
    env = chart.unpack(u)
    draws = {v.label: np.moveaxis(env.values[v.label].array, -1, 0) for v in plan.parameters}
    total = np.broadcast_to(np.asarray(log_prior(plan, env), dtype=float), (u.shape[1],)).copy()
    for b in chart.blocks:
        if b.free.all():
            total += b.log_jacobian(u[b.where])
    for at, lp in joint_log_densities(plan, draws):
        total[at] += plan.full.w @ logsumexp(lp, axis=1)
    return total

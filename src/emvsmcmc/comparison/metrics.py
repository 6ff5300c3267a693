"""The table: one row a scalar parameter, EM beside the posterior, and what the differences are made of."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from ..em.result import EMFit
from ..expect.coefficients import log_prior
from ..expect.coordinates import Coordinates
from ..expect.many import CHUNK, joint_log_densities
from ..numerics import logsumexp

HDI_PROBABILITY = 0.94


def scalar_names(dataset: xr.Dataset, matrices: Container[str] = ()) -> list[tuple[str, str, tuple[int, ...]]]:
    """(label as ArviZ writes it, variable, position) of every scalar of a Dataset; of symmetric `matrices`, one triangle."""
    out = []
    for name, variable in dataset.data_vars.items():
        for at in np.ndindex(*variable.shape):
            if name in matrices and at[-2] > at[-1]:
                continue
            labels = ", ".join(str(variable[d].values[i]) for d, i in zip(variable.dims, at, strict=True))
            out.append((f"{name}[{labels}]" if at else str(name), str(name), at))
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
    em: EMFit, map_fit: EMFit, posterior: xr.Dataset, unaligned: xr.Dataset, truth: dict[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """One row a scalar parameter.

    Columns: em, se, map, mean, sd, hdi_lower, hdi_upper (94%), ess_bulk, ess_tail, r_hat, r_hat_unaligned, mcse, gap = (em -
    mean) / sd, split into prior = (map - em) / sd, shape = (mean - map) / sd and monte_carlo = mcse / sd; se_ratio = se / sd;
    in_hdi; rank, the share of draws below EM's estimate; truth where simulated.
    """
    rows: list[dict[str, Any]] = []
    for label, name, at in scalar_names(em.estimate, {v.label for v in em.problem.parameters if v.family.event_dims == 2}):
        draws = posterior[name][dict(zip(em.estimate[name].dims, at, strict=True))].values
        raw = unaligned[name][dict(zip(em.estimate[name].dims, at, strict=True))].values
        estimate, error = float(em.estimate[name].values[at]), float(em.standard_error[name].values[at])
        mode = float(map_fit.estimate[name].values[at])
        figures = posterior_figures(draws)
        mean, sd, mcse = figures["mean"], figures["sd"], figures["mcse"]
        row = {
            "parameter": label,
            "em": estimate,
            "se": error,
            "map": mode,
            **figures,
            "r_hat_unaligned": float(array_stats.rhat(raw, chain_axis=0, draw_axis=1)),
            "gap": (estimate - mean) / sd,
            "gap_prior": (mode - estimate) / sd,
            "gap_shape": (mean - mode) / sd,
            "gap_monte_carlo": mcse / sd,
            "se_ratio": error / sd,
            "in_hdi": bool(figures["hdi_lower"] <= estimate <= figures["hdi_upper"]),
            "rank": float((draws < estimate).mean()),
        }
        if truth is not None and name in truth:
            row["truth"] = float(np.asarray(truth[name])[at])
        rows.append(row)
    return pd.DataFrame(rows).set_index("parameter")


def k_hat(fit: EMFit, rng: np.random.Generator, size: int = 4000) -> float:
    """Pareto tail index of the importance weights posterior / Normal(estimate, information^-1), in unconstrained coordinates.

    Below 0.7 the normal approximation could stand in for the posterior (Vehtari, Simpson, Gelman, Yao and Gabry 2024). NaN
    where there is
    no information matrix, or a parameter is on its boundary. fit : its information must be that of the likelihood or of the
    posterior in declared space.
    """
    if fit.information is None:
        return float("nan")
    plan = fit.plan
    chart = Coordinates(plan, fit.environment)
    if not all(b.free.all() for b in chart.blocks):
        return float("nan")  # on a boundary the approximation has fewer dimensions than the posterior
    try:
        factor = np.linalg.cholesky(fit.information)
    except np.linalg.LinAlgError:
        return float("nan")
    z = rng.standard_normal((chart.size, size))
    u = chart.pack(fit.environment)[:, None] + np.linalg.solve(factor.T, z)
    log_q = -0.5 * (z**2).sum(axis=0)
    log_p = np.empty(size)
    block = max(1, CHUNK // max(1, plan.d * plan.d * plan.K))
    for start in range(0, size, block):
        at = slice(start, start + block)
        log_p[at] = log_posterior_density(chart, u[:, at])
    weights = log_p - log_q
    keep = np.isfinite(weights)
    if keep.sum() < size // 2:
        return float("inf")
    return pareto_k(weights[keep])


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

"""One simulation of a calibration: data from the prior, both engines on them, where the truth lies in what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.stats import norm

from ...comparison.align import align
from ...comparison.invariant import errors_at, values_at, values_of_draws
from ...comparison.metrics import scalar_names
from ...comparison.starting import SEARCH, chain_starts, within_reach
from ...em.fit import run_em
from ...em.options import EMOptions
from ...em.result import EMFit, parameter_dataset
from ...em.uncertainty import bootstrap
from ...errors import EmvsmcmcError, FitFailed, Status
from ...expect.coefficients import log_prior
from ...expect.draws import draws_environment
from ...expect.inside import fixed_entries
from ...expect.objective import ML
from ...expect.plan import Plan
from ...expect.planner import make_plan
from ...invariance.axes import Turn, rotations
from ...invariance.implied import implied
from ...invariance.labels import exchangeable
from ...mcmc.options import NUTSOptions
from ...problem.problem import Problem
from ...spec.evaluate import Environment
from .data import Design, simulated

LEVELS = (0.5, 0.8, 0.95)
METHODS = ("wald", "bootstrap", "eti", "hdi")
PARAMETER, INVARIANT, DENSITY = "parameter", "invariant", "density"  # kinds of quantities
NUMBERS = ("truth", "rank", "ranked", "pit", "estimate", "se", "mean", "sd", "ess", "r_hat")
SAMPLED = "sampled"
UNALIGNED = "unaligned"  # status of draws whose labels could not be given a reference, since EM reached no optimum

# (problem, seed) -> {parameter: draws (chain, draw, *shape)}
Posterior = Callable[[Problem, int], Mapping[str, np.ndarray]]


def simulation(
    seed: int,
    design: Design,
    n: int,
    em: EMOptions,
    nuts: NUTSOptions,
    replicates: int,
    ranked: int,
    posterior: Posterior | None,
) -> dict[str, Any]:
    """A task of the sweep.

    Raises what `condition` says about simulated data that cannot be fitted (a constant column). How each engine ended is part of
    the result: `em_status`, `bootstrap_status`, `mcmc_status`; what it did not find is NaN.
    """
    seeds = np.random.SeedSequence(seed).generate_state(5)
    truth, problem = simulated(design, n, int(seeds[0]))
    plan = make_plan(problem)
    em = replace(em, random_seed=int(seeds[1]), progress=False)
    fit, em_status, em_message = _maximum_likelihood(problem, em)
    needed = posterior is None or fit is None  # for chains to start at, or as the reference of labels
    optima = _modes(problem, fit, em) if needed else []
    reference = fit.environment if fit is not None else optima[0] if optima else None
    if reference is None and _ambiguous(plan):
        draws, mcmc_status, mcmc_message = None, UNALIGNED, "EM reached no optimum that labels could be aligned to"
        divergent = np.nan
    else:
        draws, mcmc_status, mcmc_message, divergent = _posterior(
            plan, optima, replace(nuts, random_seed=int(seeds[2]), progress=False), posterior
        )
    one = {k: x[None] for k, x in truth.items()}
    flat = one if draws is None else {k: np.concatenate([one[k], x.reshape(-1, *x.shape[2:])]) for k, x in draws.items()}
    known = reference if reference is not None else plan.environment(truth)
    names, kinds, values = quantities(plan, flat, known)
    size = len(names)
    out = {k: np.full(size, np.nan) for k in NUMBERS}
    lower, upper = (np.full((len(METHODS), size, len(LEVELS)), np.nan) for _ in range(2))
    out["truth"] = values[0]
    bootstrap_status, bootstrap_message = "none", ""
    if fit is not None:
        out["estimate"], out["se"] = _at_estimate(fit, kinds)
        half = norm.ppf(0.5 + np.array(LEVELS) / 2) * out["se"][:, None]
        lower[0], upper[0] = out["estimate"][:, None] - half, out["estimate"][:, None] + half
        if replicates:
            replicated, bootstrap_status, bootstrap_message = _replicates(fit, replicates, int(seeds[3]))
            if replicated is not None:
                x = _flat_quantities(fit.plan, replicated)
                ends = percentiles(x)
                lower[1, : x.shape[1]], upper[1, : x.shape[1]] = ends[0].T, ends[1].T
    if draws is not None:
        chains = next(iter(draws.values())).shape[0]
        x = values[1:].reshape(chains, -1, size)
        out |= ranks(out["truth"], x, ranked, np.random.default_rng(seeds[4]))
        out["mean"], out["sd"] = x.mean(axis=(0, 1)), x.std(axis=(0, 1), ddof=1)
        lower[2:], upper[2:] = _credible(x.reshape(-1, size))
    return {
        **out,
        "lower": lower,
        "upper": upper,
        "names": np.array(names),
        "kinds": np.array(kinds),
        "em_status": em_status,
        "em_message": em_message,
        "bootstrap_status": bootstrap_status,
        "bootstrap_message": bootstrap_message,
        "mcmc_status": mcmc_status,
        "mcmc_message": mcmc_message,
        "divergent": divergent,
    }


# ---------------------------------------------------------------------------------------------------------------- quantities


def quantities(plan: Plan, draws: Mapping[str, np.ndarray], reference: Environment) -> tuple[list[str], list[str], np.ndarray]:
    """(names, kinds, (draws, quantities)) of every scalar parameter after alignment to `reference`, of what no rotation changes,
    and of the log-likelihood and the log prior density, which depend on no label at all.

    Each is a function of a draw and of the data alone (the reference is: it is EM's answer), and so is its value at the truth,
    which goes through the same lines.
    """
    alignment = align(plan, draws, reference)
    aligned = _flat_quantities(plan, alignment.draws)
    dataset = _as_draws(plan, {k: x[:1] for k, x in alignment.draws.items()})
    names = [label for label, *_ in _scalars(plan, dataset)]
    kinds = [PARAMETER] * len(names)
    if implied(plan, reference) is not None:
        extra = [label for label, *_ in scalar_names(values_at(plan, reference), {"implied_cov"})]
        names, kinds = names + extra, kinds + [INVARIANT] * len(extra)
    likelihood = alignment.log_likelihood @ plan.problem.weights
    prior = np.broadcast_to(log_prior(plan, draws_environment(plan, alignment.draws)), likelihood.shape)
    return (
        [*names, "log likelihood", "log prior"],
        [*kinds, DENSITY, DENSITY],
        np.column_stack([aligned, likelihood, prior]),
    )


def _flat_quantities(plan: Plan, draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """(draws, quantities) parameters and what no rotation changes, in the order of `quantities`."""
    dataset = _as_draws(plan, draws)
    parts = [dataset[name].values[0][(..., *at)] for _, name, at in _scalars(plan, dataset)]
    if implied(plan, plan.environment({k: np.asarray(x)[0] for k, x in draws.items()})) is not None:
        more = values_of_draws(plan, dataset)
        listed = scalar_names(more.isel(chain=0, draw=0, drop=True), {"implied_cov"})
        parts += [more[name].transpose("chain", "draw", ...).values[0][(..., *at)] for _, name, at in listed]
    return np.column_stack(parts)


def _scalars(plan: Plan, dataset: xr.Dataset) -> list[tuple[str, str, tuple[int, ...]]]:
    matrices = {v.label for v in plan.parameters if v.family.matrix}
    return scalar_names(dataset.isel(chain=0, draw=0, drop=True), matrices, fixed_entries(plan.problem))


def _as_draws(plan: Plan, draws: Mapping[str, np.ndarray]) -> xr.Dataset:
    first = parameter_dataset(plan.problem, {k: x[0] for k, x in draws.items()})
    variables = {k: (("chain", "draw", *first[k].dims), draws[str(k)][None]) for k in first.data_vars}
    return xr.Dataset(variables, coords=first.coords)


def _at_estimate(em: EMFit, kinds: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """EM's estimate and standard error of every quantity; NaN for the densities, of which it gives none."""
    one = {v.label: em.environment.values[v.label].array[None] for v in em.plan.parameters}
    estimate, error = np.full(len(kinds), np.nan), np.full(len(kinds), np.nan)
    flat = _flat_quantities(em.plan, one)[0]
    estimate[: len(flat)] = flat
    errors = [float(em.standard_error[name].values[at]) for _, name, at in _scalars(em.plan, _as_draws(em.plan, one))]
    if INVARIANT in kinds:
        more = errors_at(em)[0]
        errors += [float(more[name].values[at]) for _, name, at in scalar_names(more, {"implied_cov"})]
    error[: len(errors)] = errors
    return estimate, error


# ---------------------------------------------------------------------------------------------------------------------- fits


def _maximum_likelihood(problem: Problem, options: EMOptions) -> tuple[EMFit | None, str, str]:
    """(fit, its status, in words); no fit where it has not ended at a maximum."""
    try:
        fit = run_em(problem, options)
    except EmvsmcmcError as error:
        return None, _name_of(error), str(error)
    usable = fit.status.finished
    return fit if usable else None, fit.status.value, "" if fit.status is Status.CONVERGED else fit.sentence


def _name_of(error: EmvsmcmcError) -> str:
    return error.status.value if type(error) is FitFailed else type(error).__name__


def _modes(problem: Problem, em: EMFit | None, options: EMOptions) -> list[Environment]:
    """Where chains start: as those of `compare` do."""
    options = replace(options, objective="map", starts=SEARCH.starts, tol=SEARCH.tol, standard_errors=None)
    try:
        if em is None:
            return within_reach(run_em(problem, options))
        start = {str(k): v.values for k, v in em.estimate.data_vars.items()}
        return chain_starts(em, run_em(problem, replace(options, starts=1), start), options)[1]
    except EmvsmcmcError:
        return []


def _posterior(
    plan: Plan, optima: list[Environment], options: NUTSOptions, posterior: Posterior | None
) -> tuple[dict[str, np.ndarray] | None, str, str, float]:
    """(draws (chain, draw, *shape), status, in words, share of divergent transitions)."""
    try:
        if posterior is not None:
            assert options.random_seed is not None
            handed_in = posterior(plan.problem, options.random_seed)
            return {v.label: np.asarray(handed_in[v.label], dtype=float) for v in plan.parameters}, SAMPLED, "", np.nan
        from ...mcmc.sample import sample

        done = sample(plan, options, optima or None)
    except EmvsmcmcError as error:
        return None, _name_of(error), str(error), np.nan
    draws = {v.label: done.posterior[v.label].transpose("chain", "draw", *v.dims).values for v in plan.parameters}
    stats = done.sample_stats
    return draws, SAMPLED, "", float(stats["diverging"].values.mean()) if "diverging" in stats else np.nan


def _replicates(em: EMFit, count: int, seed: int) -> tuple[dict[str, np.ndarray] | None, str, str]:
    """Parameters of the bootstrap's replicates, how it ended, in words."""
    try:
        drawn = bootstrap(em.plan, em.environment, ML, 1e-6, np.random.default_rng(seed), count)
    except EmvsmcmcError as error:
        return None, _name_of(error), str(error)
    message = f"{drawn.lost} of {count} bootstrap replicates collapsed and are left out" if drawn.lost else ""
    return drawn.replicates, "incomplete" if drawn.lost else "done", message


def _ambiguous(plan: Plan) -> bool:
    """Whether the posterior is the same under other labels or axes, so that draws must be aligned to be averaged."""
    turns = any(r.posterior is not Turn.NONE for r in rotations(plan))
    return turns or any(reason is None for reason in exchangeable(plan).values())


# ----------------------------------------------------------------------------------------------------------------- the truth


def percentiles(replicates: np.ndarray) -> np.ndarray:
    """(2, levels, *shape) ends of the percentile intervals of replicates (B, *shape): order statistics (B + 1) p.

    Were the truth one more replicate, these would hold it as often as they say; numpy's usual quantiles of 20 replicates 86% of
    the time instead of 95, of 100 replicates 93%.
    """
    levels = np.array(LEVELS)
    return np.quantile(replicates, [0.5 - levels / 2, 0.5 + levels / 2], axis=0, method="weibull")


def ranks(truth: np.ndarray, draws: np.ndarray, most: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Where the truth (quantities,) lies among thinned draws (chain, draw, quantities).

    Of each quantity at most `most` draws are kept, at equal distances, and no more than its bulk effective sample size, so that
    they are as good as independent (Talts, Betancourt, Simpson, Vehtari and Gelman 2018, section 5.1). rank : how many of the
    `ranked` draws lie below the truth; ties are broken at random. pit : (rank + u) / (ranked + 1) with u uniform on (0, 1), which
    under a right posterior is exactly uniform whatever `ranked` is. NaN where the truth and all draws are one and the same number
    (the log density of a flat prior), which says nothing.
    """
    size = len(truth)
    total = draws.shape[0] * draws.shape[1]
    constant = np.ptp(draws, axis=(0, 1)) == 0
    ess, r_hat = np.full(size, np.nan), np.full(size, np.nan)
    moving = draws[:, :, ~constant]
    if moving.size:
        axes = {"chain_axis": 0, "draw_axis": 1}
        ess[~constant] = array_stats.ess(moving, method="bulk", **axes)
        if len(draws) > 1:
            r_hat[~constant] = array_stats.rhat(moving, **axes)
    flat = draws.reshape(total, size)
    rank, ranked = np.full(size, np.nan), np.full(size, np.nan)
    for i in np.flatnonzero(~constant | (flat[0] != truth)):
        count = int(np.clip(np.nan_to_num(ess[i], nan=1.0), 1, min(most, total)))
        kept = flat[np.linspace(0, total - 1, count).round().astype(int), i]
        rank[i] = (kept < truth[i]).sum() + rng.integers((kept == truth[i]).sum() + 1)
        ranked[i] = count
    pit = (rank + rng.random(size)) / (ranked + 1)
    return {"rank": rank, "ranked": ranked, "pit": pit, "ess": ess, "r_hat": r_hat}


def _credible(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, quantities, levels) ends of the equal-tailed and the highest-density intervals of draws (draws, quantities)."""
    levels = np.array(LEVELS)
    equal = np.quantile(x, [0.5 - levels / 2, 0.5 + levels / 2], axis=0)  # (2, levels, quantities)
    dense = np.stack([array_stats.hdi(x, level, axis=0) for level in LEVELS])  # (levels, quantities, 2)
    return np.stack([equal[0].T, dense[..., 0].T]), np.stack([equal[1].T, dense[..., 1].T])

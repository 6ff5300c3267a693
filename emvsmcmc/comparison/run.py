"""fit_mcmc and compare: both inferences on one problem, aligned, with a verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ..em.fit import run_em
from ..em.options import EMOptions, Errors
from ..em.result import EMFit, assignment_probabilities, parameter_dataset
from ..errors import FitFailed, MissingData, OutOfSupport
from ..expect.coefficients import coefficients
from ..expect.derived import derived, with_derived
from ..expect.derived import values as derived_values
from ..expect.draws import prior_of_draws
from ..expect.layout import RowOutput
from ..expect.plan import Plan
from ..expect.planner import make_plan
from ..expect.rows import expect_rows
from ..invariance.axes import rotations
from ..invariance.labels import exchangeable
from ..mcmc.options import Init, Likelihood, Marginalize, NUTSOptions
from ..mcmc.recover import recover
from ..problem.chunked import AnyProblem, ChunkedProblem, in_memory
from ..problem.covariates import as_given
from ..problem.problem import Problem
from ..simulation import draw_prior, replicate
from ..spec.evaluate import Environment
from ..spec.walk import names_in
from ..words import name_of
from .align import Alignment, align, best_draw
from .chunked import attributes, sample_chunks, statistics
from .contract import contract
from .invariant import invariant, turned_parameters
from .loo import likelihood_name, rowwise
from .metrics import k_hat, table
from .result import Comparison
from .starting import chain_starts, map_optima, names_by_chain
from .verdict import verdict

MAX_POINTWISE = 20_000_000  # entries of the stored pointwise log-likelihood; beyond it draws are thinned for LOO
PREDICTED = 4_000_000  # numbers in posterior_predictive; beyond it draws are thinned, to PREDICTIVE_DRAWS at least
PREDICTIVE_DRAWS = 400
PRIOR_DRAWS = 1000
# 200 iterations of hard assignment: it either stops soon or has no maximum
HARD = EMOptions(assignment="hard", starts=1, max_iter=200, accelerate=False, standard_errors=None, progress=False)


def fit_mcmc(
    problem: AnyProblem,
    *,
    draws: int = NUTSOptions.draws,
    tune: int = NUTSOptions.tune,
    chains: int = NUTSOptions.chains,
    likelihood: Likelihood = NUTSOptions.likelihood,
    marginalize: Marginalize = NUTSOptions.marginalize,
    init: Init = NUTSOptions.init,
    random_seed: int | None = NUTSOptions.random_seed,
    progress: bool = NUTSOptions.progress,
    optima: Sequence[Environment] | None = None,
) -> xr.DataTree:
    """Sample the posterior by NUTS (Hoffman and Gelman 2014) with discrete latents summed out.

    Parameters
    ----------
    likelihood : "fused" (one Op on the shared expectation) or "native" (plain PyTensor); the same number.
    marginalize : "all" sums and integrates everything hidden out; "discrete" only the assignments; "none" samples them.
    init : "em" starts around EM's MAP optima and whitens by the Hessian there; "prior" starts from the prior.
    optima : EM's optima where they are known already; otherwise `init="em"` runs EM.

    A chain that has several cores to itself shares the rows between them, where they are many. Rows in chunks are sampled as
    well (see `chunked.sample_chunks`), without the groups that are of the size of the data.

    Returns
    -------
    DataTree with groups posterior (aligned), posterior_unaligned, sample_stats, log_likelihood (pointwise, one variable),
    log_prior (of each parameter, as declared), prior (PRIOR_DRAWS draws of the parameters, labels as they fall), assignment
    (mean probabilities over draws), latent (draws of everything hidden, see `recover`, for PREDICTIVE_DRAWS draws or a few
    more), posterior_predictive (for every draw where that is at most PREDICTED numbers, else thinned), observed_data,
    constant_data. Attributes: compile_seconds, sampling_seconds, random_seed, likelihood, marginalize, whitened,
    label_uncertainty.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec() as spec:
    ...     rate = ev.Gamma("rate", 2, 0.1)
    ...     _ = ev.Poisson("count", rate, dims="day")
    >>> problem = ev.condition(spec, {"count": [3, 5, 4]})
    >>> tree = ev.fit_mcmc(problem, draws=50, tune=100, chains=2, random_seed=1, progress=False)
    >>> dict(tree["posterior"]["rate"].sizes)
    {'chain': 2, 'draw': 50}
    >>> bool(3 < tree["posterior"]["rate"].mean() < 6)  # the posterior is Gamma(14, 3.1), its mean 4.5
    True
    """
    options = NUTSOptions(
        draws=draws, tune=tune, chains=chains, likelihood=likelihood, marginalize=marginalize, init=init,
        random_seed=random_seed, progress=progress,
    )  # fmt: skip
    return run_nuts(problem, options, optima)


def run_nuts(problem: AnyProblem, options: NUTSOptions, optima: Sequence[Environment] | None = None) -> xr.DataTree:
    """`fit_mcmc`, with its options as a record."""
    from ..mcmc.sample import flat_draws, sample, unflattened

    if isinstance(problem, ChunkedProblem):
        return sample_chunks(problem, options)
    plan = make_plan(problem)
    if options.init == "em" and optima is None and options.marginalize != "none":
        optima = map_optima(problem, options.random_seed)
    began = time.perf_counter()
    done = sample(plan, options, optima if options.init == "em" else None)
    flat = flat_draws(done.posterior)
    reference = optima[0] if optima else best_draw(plan, flat, done.sample_stats)
    alignment = align(plan, flat, reference)
    modes, alike = names_by_chain(plan, flat, reference, done.posterior.sizes["chain"])
    draws = with_derived(problem, unflattened(done.posterior, alignment.draws))
    tree = _tree(problem, plan, done, alignment, draws, options)
    tree.attrs |= {
        "modes": modes,
        "chains_of_mode": alike,
        "recovery_seconds": time.perf_counter() - began - done.compile_seconds - done.sampling_seconds,
    }
    return tree


def _tree(
    problem: Problem, plan: Plan, done: Any, alignment: Alignment, aligned: xr.Dataset, options: NUTSOptions
) -> xr.DataTree:
    seed = options.random_seed
    chains, size = aligned.sizes["chain"], aligned.sizes["draw"]
    plate = problem.plate
    labels = problem.labels(plate)
    n = len(labels)
    thin = max(1, int(np.ceil(chains * size * n / MAX_POINTWISE)))
    pointwise = alignment.log_likelihood.reshape(chains, size, n)[:, ::thin]
    coords = {"chain": np.arange(chains), "draw": np.arange(size)[::thin], plate: labels}
    rows = RowOutput(alignment.probability, np.zeros(n), np.zeros((n, plan.d)), np.zeros((n, plan.d)))
    step = max(1, size // max(1, PREDICTIVE_DRAWS // chains))
    few = aligned.isel(draw=slice(None, None, step))
    cells = sum(int(np.prod(problem.shape(v))) for v in problem.row_variables if problem.roles[v.label] == "observed")
    many = aligned.isel(draw=slice(None, None, min(step, max(1, int(np.ceil(chains * size * cells / PREDICTED))))))
    observed = {
        k: (problem.spec.variables[k].dims, v.array)
        for k, v in problem.given.items()
        if k in problem.spec.variables and problem.roles[k] != "fixed"
    }
    constant = {k: (problem.spec.data[k].dims, v.array) for k, v in as_given(problem).items()}
    constant |= {k: (v.dims, v.array) for k, v in problem.fixed.items()}
    of_prior = np.random.default_rng(seed).spawn(2)[1]
    tree = xr.DataTree.from_dict(
        {
            "posterior": aligned,
            "posterior_unaligned": with_derived(problem, done.posterior),
            "sample_stats": statistics(done),
            "log_likelihood": xr.Dataset({likelihood_name(problem): (("chain", "draw", plate), pointwise)}, coords=coords),
            "log_prior": _log_prior(plan, alignment, aligned),
            "prior": draw_prior(problem, PRIOR_DRAWS, of_prior).expand_dims(chain=1).assign_coords(chain=[0]),
            "assignment": assignment_probabilities(plan, rows),
            "posterior_predictive": replicate(problem, many, np.random.default_rng(seed)),
            "latent": recover(problem, few, np.random.default_rng(seed).spawn(1)[0]),
            "observed_data": xr.Dataset(
                observed, coords={d: problem.labels(d) for d in {d for dims, _ in observed.values() for d in dims}}
            ),
            "constant_data": xr.Dataset(constant),
        }
    )
    tree.attrs = attributes(done, alignment, options)
    return tree


def _log_prior(plan: Plan, alignment: Alignment, aligned: xr.Dataset) -> xr.Dataset:
    """(chain, draw, dims before the event's) log prior density of each parameter, as declared."""
    lead = (aligned.sizes["chain"], aligned.sizes["draw"])
    dims = {v.label: v.dims[: len(v.dims) - v.family.event_dims] for v in plan.parameters}
    out = {
        k: (("chain", "draw", *dims[k]), x.reshape(*lead, *x.shape[1:])) for k, x in prior_of_draws(plan, alignment.draws).items()
    }
    return xr.Dataset(out, coords={d: aligned[d] for d in ("chain", "draw", *{d for own in dims.values() for d in own})})


def compare(
    problem: AnyProblem,
    *,
    starts: int = EMOptions.starts,
    tol: float = EMOptions.tol,
    max_iter: int = EMOptions.max_iter,
    standard_errors: Errors | None = EMOptions.standard_errors,
    draws: int = NUTSOptions.draws,
    tune: int = NUTSOptions.tune,
    chains: int = NUTSOptions.chains,
    likelihood: Likelihood = NUTSOptions.likelihood,
    marginalize: Literal["all", "discrete"] = NUTSOptions.marginalize,  # type: ignore[assignment]
    init: Init = NUTSOptions.init,
    hard: bool = True,
    truth: Mapping[str, Any] | None = None,
    random_seed: int | None = EMOptions.random_seed,
    progress: bool = EMOptions.progress,
    name: str = "model",
) -> Comparison:
    """Fit by EM (ML and MAP) and by NUTS, align the draws to EM's estimate, and say whether the estimate would have been enough.

    Takes the options of `fit_em` and `fit_mcmc`. hard : also run EM with hard assignment from the truth where it is known, else
    from EM's estimate, to show what filling in the likeliest values would do. truth : true parameter values where the data were
    simulated. Raises what those two raise.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec() as spec:
    ...     rate = ev.Gamma("rate", 2, 0.1)
    ...     _ = ev.Poisson("count", rate, dims="day")
    >>> problem = ev.condition(spec, {"count": [3, 5, 4] * 10})
    >>> both = ev.compare(problem, draws=400, tune=200, chains=2, random_seed=1, progress=False)
    >>> both.table.loc["rate", ["em", "se", "map"]].astype(float).round(4).to_dict()
    {'em': 4.0, 'se': 0.3651, 'map': 4.0199}
    >>> print(both.verdict)
    EM suffices: largest gap 0... posterior sd (rate); ...
    """
    problem = in_memory(problem, "compare")
    em_options = EMOptions(
        starts=starts, tol=tol, max_iter=max_iter, standard_errors=standard_errors, random_seed=random_seed, progress=progress
    )
    nuts_options = NUTSOptions(
        draws=draws, tune=tune, chains=chains, likelihood=likelihood, marginalize=marginalize, init=init,
        random_seed=random_seed, progress=progress,
    )  # fmt: skip
    em = run_em(problem, em_options)
    mode, optima = chain_starts(em, _map_from(problem, em, em_options), em_options)
    posterior = run_nuts(problem, nuts_options, optima)
    known = None if truth is None else _aligned_truth(em, truth)
    filled_in = _hard(problem, em, known) if hard else None
    return _compared(name, problem, em, mode, posterior, known, filled_in)


def _compared(
    name: str,
    problem: Problem,
    em: EMFit,
    mode: EMFit,
    posterior: xr.DataTree,
    known: dict[str, np.ndarray] | None,
    filled_in: EMFit | None,
) -> Comparison:
    """Both inferences side by side. known : true values, aligned to EM's. filled_in : EM with hard assignment."""
    aligned, unaligned = posterior["posterior"].to_dataset(), posterior["posterior_unaligned"].to_dataset()
    modes = str(posterior.attrs.get("modes", ""))
    if modes:  # a mean over chains in different modes belongs to none of them
        alike = list(posterior.attrs["chains_of_mode"])
        aligned = aligned.isel(chain=alike)
        modes += f"; the figures are those of chain{'s' * (len(alike) > 1)} {', '.join(map(str, alike))}, in the better mode"
    numbers, fixed = table(em, mode, aligned, unaligned, known), invariant(em, mode, aligned, unaligned, known)
    turned = turned_parameters(em.plan)
    turned |= {d.name for d in derived(problem) if names_in(d.expression) & turned and em.standard_error[d.name].isnull().any()}
    deciding = pd.concat([t for t in (numbers[[name_of(p) not in turned for p in numbers.index]], fixed) if len(t)])
    stats = posterior["sample_stats"].to_dataset()
    divergent = float(stats["diverging"].values.mean()) if "diverging" in stats else 0.0
    ours = rowwise(posterior).values @ problem.weights
    sampled = stats["log_likelihood"].values if "log_likelihood" in stats else None
    if sampled is not None and sampled.shape != ours.shape:
        sampled = sampled[:, :: sampled.shape[1] // ours.shape[1]][:, : ours.shape[1]]
    k = k_hat(em, np.random.default_rng(em.random_seed))
    places = chain_optima(em, posterior)
    endless = "" if em.recession is None else em.recession.along
    return Comparison(
        name=name,
        problem=problem,
        em=em,
        map=mode,
        posterior=posterior,
        table=numbers,
        invariant=fixed,
        verdict=verdict(deciding, k, aligned.sizes["chain"], divergent, places, modes, endless, bool(em.plan.latents)),
        contract=contract(em.plan, em.environment, sampled, ours),
        k_hat=k,
        chain_optima=places,
        exchangeable=exchangeable(em.plan),
        truth=known,
        hard=filled_in,
    )


def _hard(problem: Problem, em: EMFit, truth: Mapping[str, np.ndarray] | None) -> EMFit | None:
    """EM with hard assignment, for 200 iterations at most; None where nothing is hidden or it could not start."""
    if not ({"assignment", "latent"} & set(problem.roles.values()) or em.latent.data_vars):
        return None
    whole = truth is not None and {v.label for v in em.plan.parameters} <= set(truth)
    start = dict(truth) if whole and truth is not None else {str(k): v.values for k, v in em.estimate.data_vars.items()}
    try:
        return run_em(problem, HARD, start)
    except (FitFailed, OutOfSupport, MissingData):  # an estimate on the boundary, or without an end, is no place to start
        return None


def _aligned_truth(em: EMFit, truth: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The true values with their exchangeable labels in the order of EM's estimate; as they are where some parameter is left
    out.
    """
    values = {k: np.asarray(v, dtype=float) for k, v in truth.items()}
    if not {v.label for v in em.plan.parameters} <= set(values):
        return values
    one = {v.label: values[v.label][None] for v in em.plan.parameters}
    aligned = {k: x[0] for k, x in align(em.plan, one, em.environment).draws.items()}
    return aligned | derived_values(em.plan.problem, em.plan.environment(aligned))


def _map_from(problem: Problem, em: EMFit, options: EMOptions) -> EMFit:
    """The MAP optimum of EM's own mode, from EM's estimate and with its axes turned to it: the decomposition of the gap compares
    like with like.
    """
    values = {v.label: em.estimate[v.label].values for v in em.plan.parameters}
    fit = run_em(problem, replace(options, objective="map", starts=1, standard_errors=None, progress=False), values)
    if not rotations(em.plan):
        return fit
    aligned = align(em.plan, {v.label: fit.environment.values[v.label].array[None] for v in em.plan.parameters}, em.environment)
    turned = {k: x[0] for k, x in aligned.draws.items()}
    env = em.plan.environment(turned)
    return replace(fit, environment=env, estimate=parameter_dataset(problem, turned | derived_values(problem, env)))


def chain_optima(em: EMFit, posterior: xr.DataTree) -> list[int]:
    """Which of EM's optima each chain sits in: the one whose row log-likelihoods are nearest to the chain's mean."""
    fingerprints = []
    for env in em.optima:
        _, _, rows = expect_rows(em.plan, coefficients(em.plan, env))
        fingerprints.append(rows.log_likelihood)
    means = rowwise(posterior).values.mean(axis=1)
    return [int(np.argmin([np.square(mean - f).sum() for f in fingerprints])) for mean in means]

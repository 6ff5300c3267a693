"""Drawing from the posterior: NUTS by nutpie on the compiled model, or PyMC's compound step where assignments are sampled."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from ..expect.coordinates import Coordinates
from ..expect.objective import MAP
from ..expect.plan import Plan
from ..invariance.axes import directions_at
from ..numerics import cores
from ..spec.evaluate import Environment
from .compile.compile import compile_model, constrained, log_density, unconstrained, whitening_at
from .compile.compile import sample as run_nutpie
from .model import LIKELIHOOD, ROWS, build_model
from .options import NUTSOptions
from .parameters import starting_point
from .unconstrained import prepare

TOTAL = "total_log_likelihood"  # Deterministic of the fused model: its own graph at every draw, for the contract check
SHARED_FROM = 1_000_000  # distinct rows x configurations from which the rows of one evaluation are shared between threads
DISPERSION = 2.0  # posterior standard deviations around an optimum from which chains start


@dataclass(frozen=True)
class Sampled:
    """Raw draws. posterior holds the spec's parameters only, over (chain, draw, dims).

    compile_seconds : building the model and its machine code. sampling_seconds : whitening, tuning and drawing. The
    log-likelihood of the draws is computed afterwards, and is part of neither.
    """

    posterior: xr.Dataset
    sample_stats: xr.Dataset
    log_likelihood: np.ndarray | None  # (chain, draw) as computed by the sampled graph
    model: pm.Model
    compile_seconds: float
    sampling_seconds: float
    whitened: bool


def sample(
    plan: Plan,
    options: NUTSOptions,
    optima: Sequence[Environment] | None = None,
) -> Sampled:
    """Sample the posterior of a plan.

    optima : EM's optima, best first. Chains then start over-dispersed around them (chains also at different ones) and
        coordinates are whitened by the log posterior's Hessian at the first; None starts from the prior's support points.
    Raises SamplingFailed where no chain can start.
    """
    began = time.perf_counter()
    shared = options.likelihood == "fused" and options.marginalize == "all" and _spare(plan, options.chains)
    model = build_model(plan, options.likelihood, options.marginalize, optima[0] if optima else None, shared)
    fused = shared or ROWS in model.named_vars
    if fused:
        with model:
            pm.Deterministic(TOTAL, model[LIKELIHOOD])
    seed = int(np.random.SeedSequence(options.random_seed).generate_state(1)[0])
    if options.marginalize == "none":
        return _compound(plan, model, options, seed, began)
    names = [v.label for v in plan.parameters]
    compiled = compile_model(model, var_names=names)
    prepare(model, names)
    ready = time.perf_counter()
    starts = None
    if optima:
        inside = [(env, u) for env in optima[: options.chains] if (u := _interior(plan, model, env)) is not None]
        points = [u for _, u in inside]
        if points and compiled.native:
            turns = _turns(plan, model, *inside[0])
            if (whitening := whitening_at(log_density(compiled), points[0], turns=turns)) is not None:
                compiled = compiled.whiten(whitening)
        starts = _dispersed(points, compiled.whitening, options.chains, seed) if points else None
    tree = run_nutpie(
        compiled,
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        seed=seed,
        initial_points=starts,
        progress=options.progress,
    )
    done = time.perf_counter()
    kept = _labelled(plan, tree["posterior"].to_dataset())
    total = constrained(model, tree["unconstrained_posterior"]["x"].to_numpy(), [TOTAL])[TOTAL] if fused else None
    return Sampled(
        kept, tree["sample_stats"].to_dataset(), total, model, ready - began, done - ready, compiled.whitening is not None
    )


def _spare(plan: Plan, chains: int) -> bool:
    """Whether each chain has several cores to itself, and rows enough for them."""
    return 2 * chains <= cores() and plan.store.compiled and len(plan.layout.V) * plan.K >= SHARED_FROM


def _interior(plan: Plan, model: pm.Model, env: Environment) -> np.ndarray | None:
    """Unconstrained coordinates of an optimum; None where it lies on a boundary (a probability of 0), which has none."""
    if not all(b.free.all() for b in Coordinates(plan, env).blocks):
        return None
    return unconstrained(model, starting_point(plan, env))


def _turns(plan: Plan, model: pm.Model, env: Environment, at: np.ndarray) -> np.ndarray:
    """(n, g) velocities of the model's unconstrained vector as the axes of latents turn: linear in the coefficients, which are
    free.
    """
    chart = Coordinates(plan, env)
    directions = directions_at(plan, chart, {v.label: env.values[v.label].array[None] for v in plan.parameters}, objective=MAP)[0]
    u = chart.pack(env)
    ends = [unconstrained(model, starting_point(plan, chart.unpack(u + d).having(batch=None))) for d in directions.T]
    return np.array([end - at for end in ends]).T.reshape(len(at), directions.shape[1])


def _dispersed(points: Sequence[np.ndarray], whitening: Any, chains: int, seed: int) -> list[np.ndarray]:
    """One start for each chain, DISPERSION posterior standard deviations around the optima in turn."""
    rng = np.random.default_rng(seed)
    out = []
    for chain in range(chains):
        centre = points[chain % len(points)]
        z = DISPERSION * rng.standard_normal(len(centre))
        out.append(centre + (whitening.L @ z if whitening is not None else 0.1 * z))
    return out


def _labelled(plan: Plan, posterior: xr.Dataset) -> xr.Dataset:
    """The spec's parameters with the spec's dims and coords."""
    problem = plan.problem
    chain, draw = posterior.sizes["chain"], posterior.sizes["draw"]
    dims = {d for v in plan.parameters for d in v.dims}
    return xr.Dataset(
        {
            v.label: (("chain", "draw", *v.dims), posterior[v.label].values.reshape((chain, draw, *problem.shape(v))))
            for v in plan.parameters
        },
        coords={"chain": np.arange(chain), "draw": np.arange(draw), **{d: problem.labels(d) for d in sorted(dims)}},
    )


def _compound(plan: Plan, model: pm.Model, options: NUTSOptions, seed: int, began: float) -> Sampled:
    ready = time.perf_counter()
    tree = pm.sample(
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        random_seed=seed,
        progressbar=options.progress,
        model=model,
        cores=1,
        compute_convergence_checks=False,
    )
    done = time.perf_counter()
    stats = tree["sample_stats"].to_dataset()
    return Sampled(_labelled(plan, tree["posterior"].to_dataset()), stats, None, model, ready - began, done - ready, False)


def flat_draws(posterior: xr.Dataset) -> dict[str, np.ndarray]:
    """{parameter: (chains * draws, *shape)} in the order of the chains."""
    return {str(n): v.values.reshape(-1, *v.shape[2:]) for n, v in posterior.data_vars.items()}


def unflattened(posterior: xr.Dataset, draws: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Draws put back into the Dataset they came from."""
    return posterior.assign({n: (v.dims, draws[str(n)].reshape(v.shape)) for n, v in posterior.data_vars.items()})

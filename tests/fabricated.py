"""A Comparison without a sampler: EM is real, the posterior is EM's own normal approximation, its labels shuffled and its axes
turned.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import xarray as xr

import emvsmcmc as ev
from emvsmcmc.comparison import run
from emvsmcmc.comparison.align import align
from emvsmcmc.comparison.contract import Contract
from emvsmcmc.comparison.invariant import invariant
from emvsmcmc.comparison.metrics import scalar_names
from emvsmcmc.comparison.result import Comparison
from emvsmcmc.comparison.verdict import SUFFICES, Verdict
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.invariance.axes import positions, rotations, turned
from emvsmcmc.invariance.labels import exchangeable
from emvsmcmc.mcmc.options import NUTSOptions

CHAINS, DRAWS = 2, 60


def fabricate(problem: ev.Problem, name: str = "some_model") -> Comparison:
    """A Comparison without a sampler."""
    rng = np.random.default_rng(0)
    em = ev.fit_em(problem, starts=3, tol=1e-8, random_seed=1, progress=False)
    chart = Coordinates(em.plan, em.environment)
    values, vectors = np.linalg.eigh(em.uncertainty.covariance)  # singular along the directions of rotations
    spread = vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * rng.normal(size=(chart.size, CHAINS * DRAWS)))
    env = chart.unpack(chart.pack(em.environment)[:, None] + spread)
    flat = {v.label: np.moveaxis(env.values[v.label].array, -1, 0) for v in problem.parameters}
    symmetric = exchangeable(em.plan)
    for dim in [d for d, reason in symmetric.items() if reason is None]:
        for v in problem.parameters:
            if dim in v.dims:  # the second chain calls the components by other names
                axis = v.dims.index(dim) + 1
                flat[v.label] = np.concatenate([flat[v.label][:DRAWS], np.flip(flat[v.label][DRAWS:], axis)])
    for r in rotations(em.plan):
        around = np.tile(np.eye(r.size), (CHAINS * DRAWS, positions(em.plan, r), 1, 1))
        around[DRAWS:] = -np.roll(np.eye(r.size), 1, axis=0)  # and its axes point elsewhere
        for v in problem.parameters:
            if v.label in r.carriers:
                flat[v.label] = turned(v, flat[v.label], r, around)
    coords = {d: problem.labels(d) for v in problem.parameters for d in v.dims}

    def dataset(draws: dict[str, np.ndarray]) -> xr.Dataset:
        shaped = {
            v.label: (("chain", "draw", *v.dims), draws[v.label].reshape(CHAINS, DRAWS, *problem.shape(v)))
            for v in problem.parameters
        }
        return xr.Dataset(shaped, coords={"chain": range(CHAINS), "draw": range(DRAWS), **coords})

    found = align(em.plan, flat, em.environment)
    raw, aligned = dataset(flat), dataset(found.draws)
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((CHAINS, DRAWS), dtype=bool))})
    done = SimpleNamespace(
        posterior=raw, sample_stats=stats, log_likelihood=None, compile_seconds=1.2, sampling_seconds=0.5, whitened=True
    )
    tree = run._tree(problem, em.plan, done, found, aligned, NUTSOptions(random_seed=7))
    tree.attrs |= {"likelihood": "fused", "marginalize": "all", "init": "em", "recovery_seconds": 0.1}
    verdict = Verdict(SUFFICES, ("largest gap 0.02 posterior sd (mean[0])", "k-hat 0.31"))
    contract = Contract({"EM": em.log_likelihood, "textbook density": em.log_likelihood}, 2e-14, CHAINS * DRAWS)
    return Comparison(
        name=name,
        problem=problem,
        em=em,
        map=em,
        posterior=tree,
        table=table(em, aligned),
        invariant=invariant(em, em, aligned, raw),
        verdict=verdict,
        contract=contract,
        k_hat=0.31,
        chain_optima=[0] * CHAINS,
        exchangeable=symmetric,
        hard=run._hard(problem, em, None),
    )


def table(em: ev.EMFit, posterior: xr.Dataset) -> pd.DataFrame:
    """The columns of `metrics.table`, with invented sampler diagnostics."""
    rows = []
    matrices = {v.label for v in em.problem.parameters if v.family.event_dims == 2}
    for label, name, at in scalar_names(em.estimate, matrices):
        draws = posterior[name].values[(..., *at)].ravel()
        estimate, error = float(em.estimate[name].values[at]), float(em.standard_error[name].values[at])
        lower, upper = np.quantile(draws, [0.03, 0.97])
        numbers = {"em": estimate, "se": error, "fmi": float(em.missing_information[name].values[at]), "map": estimate}
        numbers |= {"mean": draws.mean(), "sd": draws.std(ddof=1)}
        numbers |= {"hdi_lower": lower, "hdi_upper": upper, "ess_bulk": 900.0, "ess_tail": 800.0, "r_hat": 1.002}
        numbers |= {"r_hat_unaligned": 1.9, "mcse": draws.std() / 30, "gap": (estimate - draws.mean()) / draws.std()}
        numbers |= {"gap_prior": 0.0, "gap_shape": 0.0, "gap_monte_carlo": 0.03, "se_ratio": error / draws.std()}
        numbers |= {"in_hdi": lower <= estimate <= upper, "rank": (draws < estimate).mean()}
        rows.append({"parameter": label, **numbers})
    return pd.DataFrame(rows).set_index("parameter")


def factor_spec(axes: int) -> ev.Spec:
    """Latents behind several columns: one axis, or several that may be turned."""
    columns = [f"x{i}" for i in range(1, 5 if axes == 1 else 8)]
    with ev.Spec(coords={"column": columns} | ({} if axes == 1 else {"axis": axes})) as spec:
        mean = ev.Normal("mean", 0, 5, dims="column")
        loading = ev.Normal("loading", 0, 2, dims="column" if axes == 1 else ("column", "axis"))
        sd = ev.HalfNormal("sd", 2, dims="column")
        f = ev.Normal("f", 0, 1, dims="row" if axes == 1 else ("row", "axis"))
        ev.Normal("x", mean + (loading * f if axes == 1 else ev.dot(loading, f)), sd, dims=("row", "column"))
    return spec


def factors(axes: int = 1, rows: int = 120) -> ev.Problem:
    rng = np.random.default_rng(11)
    spec = factor_spec(axes)
    p = len(spec.coords["column"])
    loading = rng.normal(0, 1, (p, axes))
    return ev.condition(spec, {"x": rng.normal(size=(rows, axes)) @ loading.T + rng.normal(0, 0.7, (rows, p))})


def pairs(holes: int = 20) -> ev.Problem:
    """A bivariate normal, the second coordinate lost in some rows."""
    with ev.Spec(coords={"axis": ["x", "y"]}) as spec:
        mean = ev.Normal("mean", 0, 5, dims="axis")
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("axis", "axis_bis"))
        ev.MvNormal("point", mean, cov, dims=("row", "axis"))
    points = np.random.default_rng(12).multivariate_normal([1, 2], [[1, 0.6], [0.6, 0.8]], 60)
    points[:holes, 1] = np.nan
    return ev.condition(spec, {"point": points})

"""A Comparison without a sampler: EM is real, the posterior is EM's own normal approximation with its labels shuffled."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import xarray as xr

import emvsmcmc as ev
from emvsmcmc.comparison import run
from emvsmcmc.comparison.agree import Contract
from emvsmcmc.comparison.align import align
from emvsmcmc.comparison.result import Comparison
from emvsmcmc.comparison.verdict import SUFFICES, Verdict
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.symmetry import exchangeable

CHAINS, DRAWS = 2, 60


def fabricate(problem: ev.Problem, name: str = "some_model") -> Comparison:
    """A Comparison without a sampler."""
    rng = np.random.default_rng(0)
    em = ev.fit_em(problem, starts=3, tol=1e-8, random_seed=1, progress=False)
    chart = Coordinates(em.plan, em.environment)
    spread = np.linalg.solve(np.linalg.cholesky(em.information).T, rng.normal(size=(chart.size, CHAINS * DRAWS)))
    env = chart.unpack(chart.pack(em.environment)[:, None] + spread)
    flat = {v.label: np.moveaxis(env.values[v.label].array, -1, 0) for v in problem.parameters}
    symmetric = exchangeable(em.plan)
    for dim in [d for d, reason in symmetric.items() if reason is None]:
        for v in problem.parameters:
            if dim in v.dims:  # the second chain calls the components by other names
                axis = v.dims.index(dim) + 1
                flat[v.label] = np.concatenate([flat[v.label][:DRAWS], np.flip(flat[v.label][DRAWS:], axis)])
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
    tree = run._tree(problem, em.plan, done, found, aligned, 7)
    tree.attrs |= {"likelihood": "fused", "marginalize": "all", "init": "em", "recovery_seconds": 0.1}
    verdict = Verdict(SUFFICES, ("largest gap 0.02 posterior sd (mean[0])", "k-hat 0.31"))
    contract = Contract({"EM": em.log_likelihood, "textbook density": em.log_likelihood}, 2e-14, CHAINS * DRAWS)
    return Comparison(
        name, problem, em, em, tree, table(em, aligned), verdict, contract, 0.31, [0] * CHAINS, symmetric, None
    )  # fmt: skip


def table(em: ev.EMFit, posterior: xr.Dataset) -> pd.DataFrame:
    """The columns of `metrics.table`, with invented sampler diagnostics."""
    rows = []
    for name, variable in em.estimate.data_vars.items():
        for at in np.ndindex(*variable.shape):
            labels = ", ".join(str(variable[d].values[i]) for d, i in zip(variable.dims, at, strict=True))
            draws = posterior[name].values[(..., *at)].ravel()
            estimate, error = float(variable.values[at]), float(em.standard_error[name].values[at])
            lower, upper = np.quantile(draws, [0.03, 0.97])
            numbers = {"em": estimate, "se": error, "map": estimate, "mean": draws.mean(), "sd": draws.std(ddof=1)}
            numbers |= {"hdi_lower": lower, "hdi_upper": upper, "ess_bulk": 900.0, "ess_tail": 800.0, "r_hat": 1.002}
            numbers |= {"r_hat_unaligned": 1.9, "mcse": draws.std() / 30, "gap": (estimate - draws.mean()) / draws.std()}
            numbers |= {"gap_prior": 0.0, "gap_shape": 0.0, "gap_monte_carlo": 0.03, "se_ratio": error / draws.std()}
            numbers |= {"in_hdi": lower <= estimate <= upper, "rank": (draws < estimate).mean()}
            rows.append({"parameter": f"{name}[{labels}]" if at else name, **numbers})
    return pd.DataFrame(rows).set_index("parameter")

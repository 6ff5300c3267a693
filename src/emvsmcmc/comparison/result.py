"""Comparison: everything a run found, to look at, to save, and to make a page of."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..aligning import indexing_names
from ..em.result import EMFit
from ..errors import BadFile, BadInput
from ..expect.many import joint_log_densities
from ..expect.plan import make_plan
from ..numerics import logsumexp
from ..problem import Problem, condition
from ..spec.variable import Switch, Variable
from .agree import Contract
from .verdict import Verdict

Arrays = dict[str, np.ndarray]
LOO_ROWS = 1000  # distinct rows beyond which leave-one-out works on a sample
CURVE_DRAWS = 400  # posterior draws behind a density band
ELLIPSE_DRAWS = 31
GRID = 200  # points of a density curve
MAX_CURVES = 12  # components that are still drawn one by one


@dataclass(frozen=True)
class Comparison:
    """EM and MCMC on the same problem.

    Attributes
    ----------
    table : DataFrame, one row a scalar parameter (see `metrics.table` for the columns).
    verdict : one of four, with the figures that decided it. contract : agreement of all routes to the log-likelihood.
    em, map : EMFit of the maximum likelihood and of the posterior mode. posterior : the DataTree of `fit_mcmc`.
    k_hat : Pareto tail index of the posterior under EM's normal approximation. chain_optima : EM optimum that each chain sits in.
    exchangeable : {dim: None if its labels were aligned, else what tells its positions apart}.
    """

    name: str
    problem: Problem
    em: EMFit
    map: EMFit
    posterior: xr.DataTree
    table: pd.DataFrame
    verdict: Verdict
    contract: Contract
    k_hat: float
    chain_optima: list[int]
    exchangeable: dict[str, str | None]
    truth: dict[str, np.ndarray] | None = None

    @property
    def timings(self) -> dict[str, float]:
        """Seconds of each stage, and effective draws a second of sampling (smallest bulk ESS)."""
        attrs = self.posterior.attrs
        sampling = float(attrs["sampling_seconds"])
        return {
            "EM": self.em.seconds,
            "compile": float(attrs["compile_seconds"]),
            "sampling": sampling,
            "recovery": float(attrs["recovery_seconds"]),
            "effective draws a second": float(self.table["ess_bulk"].min()) / sampling,
        }

    @property
    def optima(self) -> pd.DataFrame:
        """The map of optima: hits, log-likelihood below the best, chains that sit there."""
        best = max(s.objective for s in self.em.starts if s.optimum >= 0)
        rows = []
        for i in range(len(self.em.optima)):
            hits = [s for s in self.em.starts if s.optimum == i]
            below = best - max(s.objective for s in hits)
            rows.append({"optimum": i, "hits": len(hits), "below_best": below, "chains": self.chain_optima.count(i)})
        failed = sum(s.optimum < 0 for s in self.em.starts)
        if failed:
            rows.append({"optimum": -1, "hits": failed, "below_best": float("nan"), "chains": 0})
        return pd.DataFrame(rows).set_index("optimum")

    @property
    def loo(self) -> Any:
        """PSIS-LOO of the posterior, leaving out one row at a time (arviz ELPDData)."""
        from arviz_stats import loo

        groups = {name: self.posterior[name].to_dataset() for name in ("posterior", "log_likelihood")}
        return loo(xr.DataTree.from_dict(groups), var_name="rows", pointwise=True)

    def report(self, folder: str | os.PathLike[str]) -> Path:
        """Write the page: `folder`/index.html, one self-contained file. Returns its path."""
        from ..report.page import write

        return write(self, Path(folder))

    def to_dict(self) -> dict[str, Any]:
        """The result for programs: JSON-ready, NaN as None."""

        def clean(x: Any) -> Any:
            if isinstance(x, dict):
                return {str(k): clean(v) for k, v in x.items()}
            if isinstance(x, (list, tuple)):
                return [clean(v) for v in x]
            if isinstance(x, (bool, np.bool_)):
                return bool(x)
            if isinstance(x, (int, np.integer)):
                return int(x)
            if isinstance(x, (float, np.floating)):
                return float(x) if np.isfinite(x) else None
            return x

        return clean(
            {
                "model": self.name,
                "verdict": self.verdict.name,
                "reasons": list(self.verdict.reasons),
                "table": self.table.reset_index().to_dict(orient="records"),
                "log_likelihood": self.em.log_likelihood,
                "status": self.em.status.value,
                "n_parameters": self.em.n_parameters,
                "aic": self.em.aic,
                "bic": self.em.bic,
                "k_hat": self.k_hat,
                "contract": asdict(self.contract) | {"holds": self.contract.holds},
                "optima": self.optima.reset_index().to_dict(orient="records"),
                "timings": self.timings,
                "versions": versions(),
            }
        )

    def to_datatree(self) -> xr.DataTree:
        """Everything the run found: what `save` writes and the page is made of.

        The posterior's groups; em/estimate, em/standard_error, em/probability, em/latent; em/starts, every start with its path;
        table; loo (see `_leave_one_out`); fitted/... (see `fitted`); rows, their weights. `attrs["comparison"]` is `to_dict()`,
        `attrs["about"]` what else there is to know of problem and run, both as JSON.
        """
        tree = self.posterior.copy()
        groups = {f"em/{k}": child.to_dataset() for k, child in self.em.to_datatree().children.items()}
        plate = next(iter(self.problem.plates))
        groups |= {
            "em/starts": self._starts(),
            "table": xr.Dataset.from_dataframe(self.table.astype(float)),
            "loo": self._leave_one_out(),
            "rows": xr.Dataset({"weight": (plate, self.problem.weights)}),
        }
        groups |= {f"fitted/{k}": v for k, v in fitted(self.em, self.posterior["posterior"].to_dataset()).items()}
        for name, dataset in groups.items():
            tree[name] = xr.DataTree(dataset)
        tree.attrs = {k: v for k, v in tree.attrs.items() if v is not None} | {
            "model": self.name,
            "comparison": json.dumps(self.to_dict()),
            "about": json.dumps(self._about()),
        }
        return tree

    def _about(self) -> dict[str, Any]:
        starts = self.em.starts
        return {
            "roles": self.problem.roles,
            "plate": next(iter(self.problem.plates)),
            "rows": self.problem.n,
            "total_weight": float(self.problem.weights.sum()),
            "notes": list(self.problem.notes),
            "contract": self.contract.sentence,
            "exchangeable": self.exchangeable,
            "carriers": {d: [v.label for v in self.problem.parameters if d in v.dims] for d in self.exchangeable},
            "chain_optima": self.chain_optima,
            "status_sentence": self.em.status.sentence,
            "iterations": self.em.iterations,
            "objective": self.em.objective,
            "standard_error_reasons": self.em.reasons,
            "starts": len(starts),
            "em_seed": self.em.random_seed,
        }

    def _starts(self) -> xr.Dataset:
        starts = self.em.starts
        path = np.full((len(starts), max([len(s.path) for s in starts], default=0)), np.nan)
        for row, s in zip(path, starts, strict=True):
            row[: len(s.path)] = s.path
        return xr.Dataset(
            {
                "path": (("start", "iteration"), path),
                "objective": ("start", [s.objective for s in starts]),
                "iterations": ("start", [s.iterations for s in starts]),
                "status": ("start", [s.status.value for s in starts]),
                "optimum": ("start", [s.optimum for s in starts]),
            }
        )

    def _leave_one_out(self) -> xr.Dataset:
        """PSIS-LOO (Vehtari, Gelman and Gabry 2017) of every distinct row once, weighted by the rows that share it.

        Beyond LOO_ROWS distinct rows, a random sample of them corrects the log predictive density of all (the difference
        estimator of Magnusson, Andersen, Jonasson and Vehtari 2020). Variables elpd and pareto_k over the rows used; attributes
        elpd, se, p, sampled.
        """
        from arviz_stats.base import array_stats

        pointwise = self.posterior["log_likelihood"]["rows"].values
        _, first, inverse = np.unique(self.em.plan.inverse, return_index=True, return_inverse=True)
        distinct = pointwise.reshape(-1, pointwise.shape[-1])[:, first].T
        weights = np.bincount(inverse, self.problem.weights)
        used = np.flatnonzero(weights > 0)
        if len(used) > LOO_ROWS:
            used = np.random.default_rng(0).choice(used, LOO_ROWS, replace=False)
        efficiency = float(np.clip(self.table["ess_bulk"].mean() / distinct.shape[1], 0.01, 1.0))
        log_weights, pareto_k = array_stats.psislw(distinct[used], r_eff=efficiency)  # it takes the log-likelihood itself
        density = logsumexp(distinct, axis=1) - np.log(distinct.shape[1])
        elpd = logsumexp(log_weights + distinct[used], axis=1)
        share = (weights > 0).sum() / len(used)
        loss = share * float(weights[used] @ (density[used] - elpd))
        se = np.sqrt(share * weights[used] @ (elpd - np.average(elpd, weights=weights[used])) ** 2)
        attrs = {"elpd": float(weights @ density) - loss, "se": float(se), "p": loss, "sampled": int(share > 1)}
        return xr.Dataset(
            {"elpd": ("row", elpd), "pareto_k": ("row", np.asarray(pareto_k))}, coords={"row": first[used]}, attrs=attrs
        )

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Save `to_datatree()` as NetCDF; `load` reads it back. Nothing half-written stays."""
        path = Path(file)
        temporary = path.with_name(f".{path.name}.part")
        try:
            self.to_datatree().to_netcdf(temporary, engine="h5netcdf")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path


def load(file: str | os.PathLike[str]) -> xr.DataTree:
    """A saved comparison as a DataTree; `.attrs["comparison"]` is its `to_dict()` as JSON. Raises BadFile where it is none."""
    path = Path(file)
    if not path.is_file():
        raise BadFile(str(path), "a file saved by Comparison.save", "no such file", "Run `emvsmcmc compare` first.")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf")
        tree.load()
        tree.close()
    except (OSError, ValueError) as error:
        raise BadFile(str(path), "a NetCDF file saved by Comparison.save", f"{type(error).__name__}") from None
    if "comparison" not in tree.attrs:
        raise BadFile(str(path), "a file saved by Comparison.save", "another NetCDF file")
    return tree


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    from importlib.metadata import PackageNotFoundError, version

    names = ("emvsmcmc", "numpy", "scipy", "xarray", "pymc", "pytensor", "nutpie", "arviz", "numba")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package run from a bare checkout has no metadata
            continue
    return found


def fitted(em: EMFit, posterior: xr.Dataset) -> dict[str, xr.Dataset]:
    """Densities of the observed variables by component, under EM's estimate and under posterior draws, ready to be drawn.

    {variable: Dataset} for each observed variable with one number a row: em, mean, lower, upper (configuration, x), weighted by
    the component's probability, and em_total, mean_total, lower_total, upper_total (x); lower and upper enclose 94% of the draws.
    A count adds frequency_lower and frequency_upper, within which 94% of replicated data sets fall. {"gaussian": Dataset} where
    two to six numeric columns are jointly Gaussian in every component: mean and cov (configuration, sample, column), sample 0
    being EM. Models with covariates have no such curves.
    """
    problem, size = em.problem, posterior.sizes["chain"] * posterior.sizes["draw"]
    few = np.unique(np.linspace(0, size - 1, CURVE_DRAWS).astype(int))
    draws = {}
    for v in problem.parameters:
        flat = posterior[v.label].values.reshape(size, *problem.shape(v))
        draws[v.label] = np.concatenate([em.estimate[v.label].values[None], flat[few]])
    indices = indexing_names(problem.spec)
    out: dict[str, xr.Dataset] = {}
    gaussian: dict[str, list[tuple[int, ...]]] = {}
    for v in problem.row_variables:
        if problem.roles[v.label] != "observed" or v.label in indices or v.dims[0] not in problem.plates:
            continue
        if not _discrete(v):
            gaussian[v.label] = list(np.ndindex(*problem.shape(v)[1:]))
        if len(v.dims) == 1 and (curves := _curves(em, v, draws)) is not None:
            out[v.label] = curves
    if 2 <= sum(map(len, gaussian.values())) <= 6 and (ellipses := _ellipses(em, gaussian, draws)) is not None:
        out["gaussian"] = ellipses
    return out


def _by_configuration(em: EMFit, rows: Arrays, draws: Arrays) -> tuple[list[str], np.ndarray] | None:
    """Labels of the discrete latents' configurations, and log p(row, configuration) of made-up rows under every draw, (rows,
    configurations, draws); None where the model needs more data for it (covariates) or has too many configurations."""
    problem = em.problem
    try:
        plan = make_plan(condition(problem.spec, {**rows, **{k: v.array for k, v in problem.fixed.items()}}))
    except BadInput:
        return None
    lp = np.concatenate([block for _, block in joint_log_densities(plan, draws)], axis=2)[plan.inverse]
    lp = lp.reshape(len(lp), *plan.shape, lp.shape[2])
    for position in reversed([i for i, name in enumerate(plan.axes) if name not in em.plan.axes]):
        lp = logsumexp(lp, axis=position + 1)  # measured here, left out there
    axes = [name for name in plan.axes if name in em.plan.axes]
    levels = [problem.level_labels(problem.spec.variables[name]) for name in axes]
    labels = [", ".join(f"{name} {level}" for name, level in zip(axes, at, strict=True)) for at in product(*levels)]
    return (labels, lp.reshape(len(lp), -1, lp.shape[-1])) if len(labels) <= MAX_CURVES else None


def _curves(em: EMFit, v: Variable, draws: Arrays) -> xr.Dataset | None:
    values = em.problem.given[v.label].array
    values = values[np.isfinite(values)]
    discrete = _discrete(v)
    if not discrete:
        if isinstance(v, Switch):
            return None  # a lump among a density
        margin = 0.12 * np.ptp(values)
        low = values.min() - margin
        x = np.linspace(max(low, 0.0) if v.family.name == "Exponential" else low, values.max() + margin, GRID)
    else:
        x = np.arange(em.problem.levels(v) if v.discrete else values.max() + 1, dtype=float)
    if len(x) > GRID:
        return None
    repeats = 1 + em.plan.K // len(x)  # there must be as many rows as components
    found = _by_configuration(em, {v.label: np.tile(x, repeats)}, draws)
    if found is None:
        return None
    labels, lp = found
    density = np.exp(lp[: len(x)])
    data: dict[str, Any] = {}
    for name, p, dims in (("", density.swapaxes(0, 1), ("configuration", "x")), ("_total", density.sum(axis=1), ("x",))):
        lower, upper = np.quantile(p[..., 1:], [0.03, 0.97], axis=-1)
        for key, value in (("em", p[..., 0]), ("mean", p[..., 1:].mean(axis=-1)), ("lower", lower), ("upper", upper)):
            data[f"{key}{name}"] = (dims, value)
    if discrete:
        p, n = density.sum(axis=1)[:, 1:], em.problem.weights[np.isfinite(em.problem.given[v.label].array)].sum()
        again = np.random.default_rng(0).binomial(round(n), np.clip(p[..., None], 0, 1), (*p.shape, 20)).reshape(len(x), -1)
        data |= {
            f"frequency_{k}": ("x", q) for k, q in zip(("lower", "upper"), np.quantile(again, [0.03, 0.97], axis=1), strict=True)
        }
    return xr.Dataset(data, coords={"configuration": labels, "x": x}, attrs={"discrete": int(discrete)})


def _ellipses(em: EMFit, columns: dict[str, list[tuple[int, ...]]], draws: Arrays) -> xr.Dataset | None:
    """Means and covariances of every component, from the quadratic that log p(row, component) is, however it is declared."""
    problem = em.problem
    some = np.unique(np.linspace(0, len(next(iter(draws.values()))) - 1, ELLIPSE_DRAWS).astype(int))
    draws = {k: x[some] for k, x in draws.items()}
    given = np.column_stack([problem.given[name].array[(slice(None), *at)] for name, cells in columns.items() for at in cells])
    labels = [_cell(problem, name, at) for name, cells in columns.items() for at in cells]
    centre, scale, p = np.nanmean(given, axis=0), np.nanstd(given, axis=0), given.shape[1]
    rows, cols = np.triu_indices(p)
    z = np.random.default_rng(0).normal(size=(max(2 * len(rows) + 2 * p, em.plan.K + 1), p))
    points = iter((centre + scale * z).T)
    made = {name: np.stack([next(points) for _ in cells], axis=1) for name, cells in columns.items()}
    shapes = {name: (len(z), *problem.shape(problem.spec.variables[name])[1:]) for name in columns}
    found = _by_configuration(em, {name: x.reshape(shapes[name]) for name, x in made.items()}, draws)
    if found is None or not np.isfinite(found[1]).all():
        return None
    configurations, lp = found
    design = np.column_stack([np.ones(len(z)), z, z[:, rows] * z[:, cols]])
    y = lp.reshape(len(z), -1)
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    if np.abs(design @ beta - y).max() > 1e-6 * np.abs(y).max():
        return None  # not Gaussian given the component
    precision = np.zeros((y.shape[1], p, p))
    precision[:, rows, cols] -= beta[1 + p :].T
    precision += precision.swapaxes(1, 2)
    cov = np.linalg.inv(precision)
    mean = np.einsum("nij,nj->ni", cov, beta[1 : 1 + p].T)
    shape = (len(configurations), len(some), p)
    cov, mean = cov.reshape(*shape, p) * np.outer(scale, scale), mean.reshape(shape) * scale + centre
    dims = ("configuration", "sample", "column")
    coords = {"configuration": configurations, "column": labels}
    return xr.Dataset(
        {"mean": (dims, mean), "cov": ((*dims, "column_bis"), cov), "data": (("row", "column"), given)}, coords=coords
    )


def _discrete(v: Variable) -> bool:
    return all(b.family.discrete or b.family.name == "Dirac" for b in (v.branches if isinstance(v, Switch) else (v,)))


def _cell(problem: Problem, name: str, at: tuple[int, ...]) -> str:
    dims = problem.spec.variables[name].dims[1:]
    return f"{name}[{', '.join(str(problem.labels(d)[i]) for d, i in zip(dims, at, strict=True))}]" if at else name

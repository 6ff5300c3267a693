"""Densities of the fitted model over the data, by component: what the report draws and a saved comparison keeps."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from ..em.result import EMFit
from ..errors import BadInput
from ..expect.draws import joint_log_densities
from ..expect.planner import make_plan
from ..families.support import Interval, Positive, Real
from ..numerics import logsumexp
from ..problem.chunked import in_memory
from ..problem.condition import condition
from ..problem.conditioned import Conditioned
from ..spec.private_dims import second_dim
from ..spec.roles import indexing_names
from ..spec.variable import Variable

Arrays = dict[str, np.ndarray]
CURVE_DRAWS = 400  # posterior draws behind a density band
ELLIPSE_DRAWS = 31
GRID = 200  # points of a density curve
MAX_CURVES = 12  # components that are still drawn one by one


def fitted(em: EMFit, posterior: xr.Dataset) -> dict[str, xr.Dataset]:
    """Densities of the observed variables by component, under EM's estimate and under posterior draws, ready to be drawn.

    {variable: Dataset} for each observed variable with one number a row: em, mean, lower, upper (configuration, x), weighted by
    the component's probability, and em_total, mean_total, lower_total, upper_total (x); lower and upper enclose 94% of the draws.
    A count adds frequency_lower and frequency_upper, within which 94% of replicated data sets fall. {"gaussian": Dataset} where
    two to six numeric columns are jointly Gaussian in every component: mean and cov (configuration, sample, column), sample 0
    being EM. Models with covariates have no such curves.
    """
    problem, size = in_memory(em.problem, "curves"), posterior.sizes["chain"] * posterior.sizes["draw"]
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
    problem = in_memory(em.problem, "curves")
    values = problem.given[v.label].array
    values = values[np.isfinite(values)]
    discrete = _discrete(v)
    if not discrete:
        if any(b.family.mass for b in v.branches):
            return None  # a lump among a density
        margin = 0.12 * np.ptp(values)
        ends = values.min() - margin, values.max() + margin
        x = _axis(v, np.array(ends))
    else:
        x = np.arange(problem.levels(v) if v.discrete else values.max() + 1, dtype=float)
    if len(x) > GRID:
        return None
    repeats = 1 + em.plan.K // len(x)  # there must be as many rows as components
    table = _by_configuration(em, {v.label: np.tile(x, repeats)}, draws)
    if table is None:
        return None
    labels, lp = table
    density = np.exp(lp[: len(x)])
    data: dict[str, Any] = {}
    for name, p, dims in (("", density.swapaxes(0, 1), ("configuration", "x")), ("_total", density.sum(axis=1), ("x",))):
        lower, upper = np.quantile(p[..., 1:], [0.03, 0.97], axis=-1)
        for key, value in (("em", p[..., 0]), ("mean", p[..., 1:].mean(axis=-1)), ("lower", lower), ("upper", upper)):
            data[f"{key}{name}"] = (dims, value)
    if discrete:
        p, n = density.sum(axis=1)[:, 1:], problem.weights[np.isfinite(problem.given[v.label].array)].sum()
        again = np.random.default_rng(0).binomial(round(n), np.clip(p[..., None], 0, 1), (*p.shape, 20)).reshape(len(x), -1)
        data |= {
            f"frequency_{k}": ("x", q) for k, q in zip(("lower", "upper"), np.quantile(again, [0.03, 0.97], axis=1), strict=True)
        }
    return xr.Dataset(data, coords={"configuration": labels, "x": x}, attrs={"discrete": int(discrete)})


def _ellipses(em: EMFit, columns: dict[str, list[tuple[int, ...]]], draws: Arrays) -> xr.Dataset | None:
    """Means and covariances of every component, from the quadratic that log p(row, component) is, however it is declared."""
    problem = in_memory(em.problem, "curves")
    some = np.unique(np.linspace(0, len(next(iter(draws.values()))) - 1, ELLIPSE_DRAWS).astype(int))
    draws = {k: x[some] for k, x in draws.items()}
    given = np.column_stack([_column(problem.given[name].array, at) for name, cells in columns.items() for at in cells])
    labels = [_cell(problem, name, at) for name, cells in columns.items() for at in cells]
    centre, scale, p = np.nanmean(given, axis=0), np.nanstd(given, axis=0), given.shape[1]
    rows, cols = np.triu_indices(p)
    z = np.random.default_rng(0).normal(size=(max(2 * len(rows) + 2 * p, em.plan.K + 1), p))
    points = iter((centre + scale * z).T)
    made = {name: np.stack([next(points) for _ in cells], axis=1) for name, cells in columns.items()}
    shapes = {name: (len(z), *problem.shape(problem.spec.variables[name])[1:]) for name in columns}
    table = _by_configuration(em, {name: x.reshape(shapes[name]) for name, x in made.items()}, draws)
    if table is None or not np.isfinite(table[1]).all():
        return None
    configurations, lp = table
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
        {"mean": (dims, mean), "cov": ((*dims, second_dim("column")), cov), "data": (("row", "column"), given)}, coords=coords
    )


def _axis(v: Variable, ends: np.ndarray) -> np.ndarray:
    """Points between two ends moved into the set of a variable's values; half a step inside where its end has no density."""
    supports = [b.family.support() for b in v.branches if not any(a.decides for a in b.family.arguments.values())]
    if not supports or any(isinstance(s, Real) for s in supports):
        return np.linspace(ends[0], ends[1], GRID)
    support = supports[0]
    if isinstance(support, Positive):
        ends = np.maximum(ends, 0.0)
    elif isinstance(support, Interval):
        ends = np.clip(ends, support.lower, support.upper)
    x = np.linspace(ends[0], ends[1], GRID)
    if any(b.family.open_support for b in v.branches):
        half = 0.5 * (x[1] - x[0])
        x = np.where(support.interior(x), x, x + np.where(x == ends[0], half, -half))
    return x


def _discrete(v: Variable) -> bool:
    return all(b.family.mass for b in v.branches)


def _cell(problem: Conditioned, name: str, at: tuple[int, ...]) -> str:
    return problem.entry(name, problem.spec.variables[name].dims[1:], at)


def _column(array: Any, at: tuple[int, ...]) -> np.ndarray:
    """(n,) one cell of every row."""
    return array[(slice(None), *at)]

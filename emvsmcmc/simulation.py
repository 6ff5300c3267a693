"""Ancestral sampling: every variable drawn in order of declaration, given those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from .errors import UnknownName, WrongDims
from .families.base import FACTOR
from .families.kinds import COVARIANCE
from .problem.align import named, plate_dims
from .problem.covariates import determined, whole
from .problem.known import known_values, parameter_values
from .problem.labels import hint
from .problem.problem import Problem
from .problem.read import read
from .seed import checked_seed
from .spec.arguments import argument_values
from .spec.evaluate import Environment, value_of
from .spec.model import Spec
from .spec.named import Named
from .spec.private_dims import SAMPLE
from .spec.variable import Switch, Variable

CHUNK = 4_000_000  # numbers drawn at a time for one variable


def simulate(
    spec: Spec,
    sizes: Mapping[str, int] | None = None,
    parameters: Any = None,
    random_seed: int | np.random.Generator | None = None,
    data: Any = None,
) -> xr.Dataset:
    """Draw every variable of the spec, hidden truth included.

    Parameters
    ----------
    sizes : {plate: number of rows}; a plate with coords, or one that `data` has, needs none.
    parameters : values of parameters (mapping or xarray Dataset), wholly; those not given are drawn from their priors.
    random_seed : seed or numpy Generator.
    data : covariates, in any form that `condition` takes; columns that are none are left out.

    Returns
    -------
    Dataset with one variable for each variable, covariate and named function of parameters (`ev.Deterministic`) of the spec, in
    its dims and coords; discrete ones as codes.

    Raises
    ------
    UnknownName, WrongDims, MissingData, and what `condition` raises for bad covariates and parameters.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as spec:
    ...     share = ev.Dirichlet("share", 1, dims="kind")
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")
    ...     _ = ev.Poisson("count", rate[z], dims="day")
    >>> drawn = ev.simulate(spec, {"day": 5}, {"rate": [1, 20], "share": [0.5, 0.5]}, random_seed=1)
    >>> drawn["z"].values.tolist(), drawn["count"].values.tolist()
    ([1, 1, 0, 1, 0], [19, 19, 0, 24, 0])
    >>> sorted(ev.simulate(spec, {"day": 5}, random_seed=1).data_vars)  # parameters come from their priors
    ['count', 'rate', 'share', 'z']
    """
    checked_seed(random_seed, generator=True)
    sizes = dict(sizes or {})
    dims = plate_dims(spec)
    for dim, size in sizes.items():
        if dim not in dims:
            raise UnknownName(f"size of {dim!r}", "a dim without coords that the spec uses", "another name", hint(dim, dims))
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise WrongDims(f"size of {dim!r}", "a whole number of at least 1", repr(size), "Sizes count rows.")
        if dim in spec.coords and size != spec.size(dim):
            raise WrongDims(f"size of {dim!r}", f"{spec.size(dim)}, the number of its coords", str(size), "Leave it out.")
    raws = parameter_values(spec, parameters)
    columns = read(data if data is not None else {})
    covariates = {k: raw for k, raw in named(spec, columns, True, [])[0].items() if k in spec.data}
    labels = {d: np.arange(n) for d, n in sizes.items() if d not in spec.coords}
    problem = known_values(spec, {**raws, **covariates}, labels, [], list(columns))
    whole(problem)
    rng = np.random.default_rng(random_seed)
    given = {k: Named(x.array[None], (SAMPLE, *x.dims)) for k, x in problem.given.items() if k not in spec.data}
    drawn = _draw_all(problem, Environment({**problem.covariates, **given}), list(spec.variables.values()), rng, 1)
    out = {k: (drawn[k].dims[1:], drawn[k].array[0]) for k in spec.variables}
    out |= {k: (x.dims, x.array) for k, x in problem.covariates.items()}
    env = Environment({k: Named(x.array[0], x.dims[1:]) for k, x in drawn.items()})
    for d in spec.deterministics.values():
        shape = tuple(problem.sizes[x] for x in d.dims)
        out[d.name] = (d.dims, np.broadcast_to(value_of(d.expression, env).to(d.dims), shape))
    return xr.Dataset(out, coords=_coords(problem, {d for dims, _ in out.values() for d in dims}))


def replicate(problem: Problem, parameters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """New rows for every draw of the parameters (posterior predictive draws).

    `parameters` holds all that is not fixed, with one or more dims of its own (sample, or chain and draw), which come first in
    the result. Row variables that the problem observes are drawn afresh, together with everything hidden above them, for the same
    rows and covariates; every cell is drawn, also those missing in the data, and is NaN where a covariate that it depends
    on is missing.
    """
    spec = problem.spec
    lead = [str(d) for d in parameters.dims if d not in problem.sizes]
    shape = tuple(parameters.sizes[d] for d in lead)
    samples = int(np.prod(shape, dtype=int))
    values = {}
    for v in problem.parameters:
        array = parameters[v.label].broadcast_like(parameters[lead]) if lead else parameters[v.label]
        array = array.transpose(*lead, *v.dims)
        values[v.label] = array.to_numpy().reshape(samples, *array.shape[len(lead) :])
    observed = [v for v in problem.row_variables if problem.roles[v.label] == "observed"]
    step = max(1, CHUNK // max(1, max((int(np.prod(problem.shape(v), dtype=int)) for v in problem.row_variables), default=1)))
    parts: dict[str, list[np.ndarray]] = {v.label: [] for v in observed}
    for start in range(0, samples, step):
        size = min(step, samples - start)
        some = {k: Named(x[start : start + size], (SAMPLE, *spec.variables[k].dims)) for k, x in values.items()}
        env = Environment({**problem.covariates, **problem.fixed, **some})
        some_rows = _draw_all(problem, env, problem.row_variables, rng, size)
        for v in observed:
            parts[v.label].append(some_rows[v.label].array)
    drawn = {v: np.concatenate(parts[v.label]).reshape(*shape, *problem.shape(v)) for v in observed}
    out = {v.label: ((*lead, *v.dims), determined(problem, v, v.dims, x)) for v, x in drawn.items()}
    coords = _coords(problem, {d for v in observed for d in v.dims})
    return xr.Dataset(out, coords={**{d: parameters[d] for d in lead if d in parameters.coords}, **coords})


def draw_prior(problem: Problem, draws: int, rng: np.random.Generator) -> xr.Dataset:
    """(draw, *dims) draws of the parameters that are not fixed from their priors, hyperparameters first."""
    env = Environment({**problem.covariates, **problem.fixed})
    drawn = _draw_all(problem, env, problem.parameters, rng, draws)
    coords = _coords(problem, {d for v in problem.parameters for d in v.dims})
    out = {k: (("draw", *x.dims[1:]), x.array) for k, x in drawn.items()}
    return xr.Dataset(out, coords={"draw": np.arange(draws), **coords})


def _draw_all(
    problem: Problem, env: Environment, variables: list[Variable], rng: np.random.Generator, samples: int
) -> dict[str, Named]:
    """{name: draws (SAMPLE, *dims)} of the variables that have no value in env, and the values of those that have."""
    out: dict[str, Named] = {}
    for v in variables:
        if v.label not in env.values:
            array = draw_variable(problem, v, env, rng, samples)
            env = env.with_values({v.label: Named(array, (SAMPLE, *v.dims))})
        out[v.label] = env.values[v.label]
    return out


def draw_variable(problem: Problem, variable: Variable, env: Environment, rng: np.random.Generator, samples: int) -> np.ndarray:
    """(samples, *dims) draws of one variable given the values of its parents in env, which may have the dim SAMPLE."""
    dims, shape = (SAMPLE, *variable.dims), (samples, *problem.shape(variable))
    if not isinstance(variable, Switch):
        return np.asarray(variable.family.sample(rng, shape, **_arguments(variable, env, dims)))
    index = np.broadcast_to(env.values[variable.index.label].to(dims), shape)
    branches = [np.broadcast_to(b.family.sample(rng, shape, **argument_values(b, env, dims)), shape) for b in variable.branches]
    return np.choose(index.astype(int), branches)


def _arguments(variable: Variable, env: Environment, dims: tuple[str, ...]) -> dict[str, Any]:
    """`argument_values`, but of a parameter's covariance matrix its lower Cholesky factor, FACTOR: one for each component, not
    one for each row.
    """
    keys = variable.keys_of(COVARIANCE)
    expression = variable.arguments[keys[0]] if keys else None
    base = getattr(expression, "base", expression)
    if not isinstance(base, Variable) or base.label not in env.values:
        return argument_values(variable, env, dims)
    cov = env.values[base.label]
    by_factor = argument_values(variable, env.with_values({base.label: Named(np.linalg.cholesky(cov.array), cov.dims)}), dims)
    return {(FACTOR if k in keys else k): x for k, x in by_factor.items()}


def _coords(problem: Problem, dims: set[str]) -> dict[str, np.ndarray]:
    return {d: problem.labels(d) for d in problem.sizes if d in dims}

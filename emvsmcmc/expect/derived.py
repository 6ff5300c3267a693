"""Values of the named functions of parameters (`ev.Deterministic`), and their derivatives along the packed vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..numerics import COMPLEX_STEP
from ..problem.problem import Problem
from ..spec.deterministic import Derived
from ..spec.evaluate import Environment, value_of
from ..spec.named import Named
from ..spec.walk import names_in
from .coordinates import Coordinates
from .plan import BATCH


def derived(problem: Problem) -> list[Derived]:
    """Those that depend on a parameter that is estimated, in order of declaration."""
    estimated = {v.label for v in problem.parameters}
    return [d for d in problem.spec.deterministics.values() if names_in(d.expression) & estimated]


def value(problem: Problem, d: Derived, env: Environment, lead: Sequence[str] = (), sizes: Sequence[int] = ()) -> np.ndarray:
    """(*lead, *dims) value at the parameters of `env`, which may have the dims `lead`."""
    dims = (*lead, *d.dims)
    shape = (*sizes, *(problem.sizes[x] for x in d.dims))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a ratio to nothing has no value: NaN, or infinity
        return np.broadcast_to(value_of(d.expression, env).to(dims), shape)


def values(problem: Problem, env: Environment) -> dict[str, np.ndarray]:
    """{name: (*dims)} at one parameter value."""
    return {d.name: value(problem, d, env) for d in derived(problem)}


def jacobians(problem: Problem, chart: Coordinates, env: Environment) -> dict[str, np.ndarray]:
    """{name: (*dims, size)} exact derivative along the packed vector, by a complex step."""
    along = chart.unpack(chart.steps(chart.pack(env)))
    out = {}
    for d in derived(problem):
        front = value(problem, d, along, (BATCH,), (chart.size,))
        out[d.name] = np.moveaxis(np.imag(front) / COMPLEX_STEP, 0, -1)
    return out


def with_derived(problem: Problem, draws: xr.Dataset) -> xr.Dataset:
    """A Dataset of parameters, over any dims of its own and theirs, with the named functions of them beside."""
    own = {x for v in problem.parameters for x in v.dims}
    lead = [str(x) for x in draws.dims if x not in own]
    sizes = [draws.sizes[x] for x in lead]
    given = {v.label: draws[v.label] for v in problem.parameters}
    env = Environment({**problem.fixed, **{k: Named(x.to_numpy(), [str(d) for d in x.dims]) for k, x in given.items()}})
    columns = {d.name: ((*lead, *d.dims), value(problem, d, env, lead, sizes)) for d in derived(problem)}
    more = {x: problem.labels(x) for d in derived(problem) for x in d.dims if x not in draws.coords}
    return draws.assign(columns).assign_coords(more)

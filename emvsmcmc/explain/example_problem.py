"""A small problem drawn from a spec, so that its steps can be derived before there are data."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..problem.align import constant_size, plate_dims
from ..problem.chunked import in_memory
from ..problem.condition import condition
from ..problem.problem import Problem
from ..simulation import simulate
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment
from ..spec.model import Spec
from ..spec.named import Named
from ..spec.roles import look_ups, usually_hidden

SPARE_ROWS = 20  # beyond the levels of every dim, so that no component goes short


def tiny_problem(spec: Spec) -> Problem:
    """The spec with simulated rows: what data usually leave out is hidden, the rest given.

    Raises the named errors of `simulate` and `condition`.
    """
    rows = SPARE_ROWS + sum(len(labels) for labels in spec.coords.values())
    sizes = {d: rows for d in plate_dims(spec) if d not in spec.coords}
    covariates = _covariates(spec, sizes)
    drawn = simulate(spec, sizes, _plain_parameters(spec), random_seed=0, data=covariates)
    hidden = usually_hidden(spec)
    given = {v.label: drawn[v.label] for v in spec.variables.values() if spec.plates_of(v) and v.label not in hidden}
    for name, values in given.items():
        counts = spec.variables[name].counts
        if counts in spec.coords:  # codes would be ambiguous where the labels are numbers too
            given[name] = values.copy(data=np.asarray(spec.coords[counts], dtype=object)[values.values.astype(int)])
    return in_memory(condition(spec, {**given, **covariates}), "an example")


def _plain_parameters(spec: Spec) -> dict[str, np.ndarray]:
    """Every parameter in the middle of its support."""
    values: dict[str, Named] = {}
    for v in spec.variables.values():
        if spec.plates_of(v):
            continue
        shape = tuple(spec.size(d) for d in v.dims)
        values[v.label] = Named(parameter_support(v, Environment(values)).middle(shape), v.dims)
    return {name: x.array for name, x in values.items()}


def _covariates(spec: Spec, sizes: dict[str, int]) -> dict[str, xr.DataArray]:
    """Small whole numbers: they serve as positions, exposures, trials and regressors alike."""
    longest: dict[str, int] = {}
    for base, dim, index in look_ups(spec):
        if index in spec.data:
            size = spec.size(dim) if dim in spec.coords else constant_size(base, dim)
            longest[index] = min(size, longest.get(index, size))
    rng = np.random.default_rng(0)
    out = {}
    for name, d in spec.data.items():
        shape = tuple(sizes[x] if x in sizes else spec.size(x) for x in d.dims)
        if name in longest:
            values = np.arange(int(np.prod(shape, dtype=int))).reshape(shape) % longest[name]
        else:
            values = rng.integers(1, 4, shape)
        out[name] = xr.DataArray(values, dims=d.dims)
    return out

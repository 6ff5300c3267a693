"""Units of real parameters: a change by one unit moves some row by about one standard deviation of its column.

Numerical steps, step lengths and rates compare coordinates with each other. In the data's own units a mean of a column of 1e8 and
a slope on it differ by 1e16, and nothing that compares them survives.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..families.support import Real
from ..numerics import COMPLEX_STEP
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import BATCH
from ..spec.variable import Variable
from ..spec.walk import value_names
from .coefficients import residual_rows, table_rows
from .inside import typical
from .plan import Plan, kept


def power_of_two(x: np.ndarray) -> np.ndarray:
    """The power of two nearest to each positive number, by its logarithm."""
    return np.exp2(np.round(np.log2(x)))


@kept
def natural_units(plan: Plan) -> dict[str, np.ndarray]:
    """{real parameter: (size,) unit of each of its elements}, powers of two, so that dividing by them loses nothing."""
    real = [v for v in plan.parameters if isinstance(v.family.support(), Real)]
    effect = {v.label: np.maximum(_effect_on_means(plan, v), _effect_on_tables(plan, v)) for v in real}
    units = {k: power_of_two(np.where(e > 0, 1 / np.where(e > 0, e, 1.0), 1.0)) for k, e in effect.items()}
    for _ in real:  # what occurs only in priors has the unit of what those are priors of
        for v in real:
            below = [w.label for w in real if any(v.label in value_names(a) for a in w.arguments.values())]
            if not effect[v.label].any() and below:
                units[v.label] = np.full(units[v.label].shape, max(units[w].max() for w in below))
    return units


def _effect_on_means(plan: Plan, v: Variable) -> np.ndarray:
    """(size,) largest change of a mean, in standard deviations of its column, as a row coordinate goes through one of its own."""
    size, values = prod(plan.problem.shape(v)), _values(plan)
    out = np.zeros(size)
    origin = np.tile(plan.centre, (plan.K, 1))
    for part in plan.residual_parts:
        if v.label not in value_names(part.mean):
            continue
        shape = plan.problem.shape(v)
        zero, unit = np.zeros(shape), np.eye(size).reshape((*shape, size))
        base = residual_rows(plan, part, Environment({**values, v.label: Named(zero, v.dims)}), origin)
        moved = residual_rows(plan, part, Environment({**values, v.label: Named(unit, (*v.dims, BATCH))}, batch=size), origin)
        change = np.abs(moved - base[..., None]) / plan.scale[part.columns][:, None, None]
        slopes = (change[:, :, 1:] * plan.scale[1:, None]).max(axis=(0, 1, 2), initial=0.0)
        # the value at the centre counts only for what multiplies no coordinate: an intercept far outside the data is no scale
        out = np.maximum(out, np.where(slopes > 0, slopes, change[:, :, 0].max(axis=(0, 1), initial=0.0)))
    return out


def _effect_on_tables(plan: Plan, v: Variable) -> np.ndarray:
    """(size,) largest change of an entry of a table at the typical parameter value: of a log rate, for an exponential link."""
    size, values = prod(plan.problem.shape(v)), _values(plan)
    out = np.zeros(size)
    for part in plan.tables:
        if v.label not in part.reads:
            continue
        x = values[v.label].array
        steps = x[..., None] + 1j * COMPLEX_STEP * np.eye(size).reshape((*x.shape, size))
        T = table_rows(plan, part, Environment({**values, v.label: Named(steps, (*v.dims, BATCH))}, batch=size))
        out = np.maximum(out, np.abs(np.imag(T)).max(axis=(0, 1), initial=0.0) / COMPLEX_STEP)
    return np.where(np.isfinite(out), out, 0.0)


def _values(plan: Plan) -> dict[str, Named]:
    return {**plan.problem.fixed, **{v.label: Named(typical(v, plan), v.dims) for v in plan.parameters}}

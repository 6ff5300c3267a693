"""The parameters of a spec as PyMC's random variables: the prior half of every model built here."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from ..errors import UnsupportedModel
from ..expect.plan import Plan
from ..families.base import INVERSE_WHITENER
from ..families.support import Covariance, Simplex, whitener
from ..spec.arguments import argument_values, parameter_support
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.variable import Variable

JACOBIAN = "_jacobian"  # ends the name of a Potential that is part of a change of variables, not of the model
PLACED = 10_000  # multiplications up to which a covariance's coordinates are placed by a product


def declare(plan: Plan) -> Environment:
    """Free random variables for all parameters of the plan inside the open pm.Model; returns their values for `coefficients`.

    Every constant enters as float64: PyTensor would make float32 of a Python 2.5, which costs 1e-7 of the log-probability.
    """
    fixed = plan.problem.fixed
    values: dict[str, Named] = dict(fixed)
    whiteners = {
        name: Named(whitener(value.array), value.dims)
        for name, value in fixed.items()
        if plan.problem.spec.variables[name].family.matrix
    }
    for v in plan.problem.spec.variables.values():
        if v not in plan.parameters:
            continue
        env = Environment(values, whiteners, xp=pt)
        if v.family.matrix:
            matrix, W = _covariance(plan, v, env)
            values[v.label], whiteners[v.label] = Named(matrix, v.dims), Named(W, v.dims)
        else:
            values[v.label] = Named(_variable(plan, v, env), v.dims)
    return Environment(values, whiteners, xp=pt)


def _variable(plan: Plan, v: Variable, env: Environment) -> Any:
    twin = v.family.twin
    assert twin is not None
    arguments = argument_values(v, env)
    if isinstance(v.family.support(), Simplex):
        shape = plan.problem.shape(v)  # a scalar stands for every entry, and its sum needs them all
        arguments = {k: (pt if _symbolic(a) else np).broadcast_to(a, shape) for k, a in arguments.items()}
        if groups := sub_simplices(plan, v):
            return _on_sub_simplices(plan, v, groups)
    known = {k: as_float(a) for k, a in arguments.items()}
    return getattr(pm, twin.name)(v.label, **twin.arguments(pt, known), dims=v.dims or None)


def as_float(x: Any) -> Any:
    """A constant as float64: PyTensor would make float32 of a Python 2.5, which costs 1e-7 of the log-probability."""
    return x if _symbolic(x) else np.asarray(x, dtype=np.float64)


def sub_simplices(plan: Plan, v: Variable) -> dict[str, np.ndarray]:
    """{name of a free variable: (rows, m) flat positions, of the parameter's rows with m > 1 entries that are not zero by
    declaration}; nothing where none is. With one entry left nothing is free.
    """
    support = parameter_support(v, Environment(plan.problem.fixed))
    if not isinstance(support, Simplex) or support.open is None:
        return {}
    shape = plan.problem.shape(v)
    opened = support.opened(shape).reshape(-1, shape[-1])
    counts = opened.sum(axis=1)
    where = {m: np.flatnonzero(opened & (counts == m)[:, None]).reshape(-1, m) for m in np.unique(counts).tolist()}
    return {f"{v.label}_open_{m}": at for m, at in where.items()}


def _on_sub_simplices(plan: Plan, v: Variable, groups: dict[str, np.ndarray]) -> Any:
    """A parameter with entries that are zero by declaration: the others are a random variable of the same family for each number
    of them in a row, and the parameter itself is a Deterministic with exact zeros.

    Entries are set by position, so that the gradient of log 0, which is no number, ends at a constant.
    """
    twin = v.family.twin
    assert twin is not None
    shape = plan.problem.shape(v)
    known = {k: np.broadcast_to(a, shape) for k, a in argument_values(v, Environment(plan.problem.fixed)).items()}
    start, places, free = np.zeros(prod(shape)), [], []
    for name, at in groups.items():
        if at.shape[1] == 1:
            start[at] = 1.0
            continue
        own = {k: as_float(a).ravel()[at] for k, a in known.items()}
        places.append(at.ravel())
        free.append(getattr(pm, twin.name)(name, **twin.arguments(pt, own)).ravel())
    whole: Any = pt.as_tensor(start)
    if free:
        whole = whole[np.concatenate(places)].set(free[0] if len(free) == 1 else pt.concatenate(free))
    return pm.Deterministic(v.label, whole.reshape(shape), dims=v.dims or None)


def _symbolic(x: Any) -> bool:
    return not isinstance(x, np.ndarray | float | int)


def _covariance(plan: Plan, v: Variable, env: Environment) -> tuple[Any, Any]:
    """All of a parameter's covariance matrices as one block of unconstrained coordinates u: Sigma^-1 = W'W, u_ii = log W_ii.

    The density is the one declared, on the matrix itself; the change of variables is a Potential of its own,
    log|dSigma/du| = p log 2 + sum_i (i - 2(p + 1) + 1) log W_ii with i counting from 1, so that it can be left out.
    """
    shape = plan.problem.shape(v)
    lead, p = shape[:-2], shape[-1]
    count = prod(lead)
    raw = pm.Flat(f"{v.label}_whitener", shape=(count, p * (p + 1) // 2), initval=_initial(plan, v, count))
    W = _unpacked(raw, count, p)
    inverse = pt.linalg.solve_triangular(W, np.eye(p), lower=True)
    arguments = argument_values(v, env)
    for key, value in arguments.items():
        if not v.family.arguments[key].distribution and _symbolic(value):
            raise UnsupportedModel(
                f"{v.label}.{key}", "a constant", "another parameter", "Fix the hyperparameters of a covariance."
            )
    arguments[INVERSE_WHITENER] = inverse
    flat = {k: _flatten(a, lead, count) for k, a in arguments.items()}
    pm.Potential(f"{v.label}_prior", v.family.log_prior(pt, W, **flat).sum())  # type: ignore[attr-defined]
    i, j = np.tril_indices(p)
    weights = np.where(i == j, i - 2.0 * p, 0.0)  # i - 2 (p + 1) + 1 with i from 1
    pm.Potential(f"{v.label}{JACOBIAN}", np.float64(count * p * np.log(2.0)) + (raw * weights).sum())
    matrix = (inverse @ inverse.mT).reshape(shape)
    pm.Deterministic(v.label, matrix, dims=v.dims)
    return matrix, W.reshape(shape)


def _unpacked(raw: Any, count: int, p: int) -> Any:
    """Coordinates (count, p (p + 1) / 2), row by row of a lower triangle with log W_ii on its diagonal -> W (count, p, p).

    Looking up and setting by integer vectors take numba seconds each to compile, and so do their gradients. Small blocks are
    placed by a product with zeros and ones instead, which costs nanoseconds more at every draw.
    """
    i, j = np.tril_indices(p)
    on = (i == j).astype(np.float64)
    # below the diagonal exp(0): an entry of W may be larger than any logarithm, and 0 x inf would follow
    packed = on * pt.exp(on * raw) + (1.0 - on) * raw
    if count * len(i) * p * p > PLACED:
        return pt.zeros((count, p, p))[:, i, j].set(packed)
    place = np.zeros((len(i), p * p))
    place[np.arange(len(i)), i * p + j] = 1.0
    return (packed @ place).reshape((count, p, p))


def _flatten(value: Any, lead: tuple[int, ...], count: int) -> Any:
    """Leading dims of a constant hyperparameter as one axis."""
    if not isinstance(value, np.ndarray) or not lead or value.ndim < len(lead):
        return value
    return np.broadcast_to(value, (*lead, *value.shape[len(lead) :])).reshape((count, *value.shape[len(lead) :]))


def _initial(plan: Plan, v: Variable, count: int) -> np.ndarray:
    """Coordinates of the covariance of the columns it belongs to, a start of the right units."""
    p = plan.problem.shape(v)[-1]
    scale = np.ones(p)
    for part in plan.residual_parts:
        if part.scale_kind.matrix and v.label in {e.name for e in _bases(part.scale)}:
            scale = plan.scale[part.columns].reshape(-1, p)[0]
    i, j = np.tril_indices(p)
    return np.tile(np.where(i == j, -np.log(scale[i]), 0.0), (count, 1))


def _bases(expression: Any) -> list[Any]:
    return [getattr(expression, "base", expression)]


def starting_point(plan: Plan, env: Environment) -> dict[str, np.ndarray]:
    """Values of the model's free variables at given parameters: covariances by their unconstrained coordinates, probabilities
    without what is zero by declaration.
    """
    out = {}
    for v in plan.parameters:
        x = env.values[v.label].array
        if v.family.matrix:
            p = x.shape[-1]
            out[f"{v.label}_whitener"] = Covariance().to_real(x).reshape(-1, p * (p + 1) // 2)
        elif groups := sub_simplices(plan, v):
            out |= {name: x.ravel()[at] for name, at in groups.items() if at.shape[1] > 1}
        else:
            out[v.label] = x
    return out

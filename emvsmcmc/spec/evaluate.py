"""The one evaluator of expressions: values, M-step designs and coefficients, on numpy and on PyTensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np

from .expression import Constant, Dot, Expression, Index, Operation, Softmax, Stack, Take
from .functions import ELEMENTWISE, power, softmax, stacked, take
from .named import Named, lift, sum_over, union
from .private_dims import configuration_dim, coordinate_dim
from .walk import Key, coordinate_key, with_children


class NotAffineHere(ValueError):
    """A product or function of row quantities met during evaluation; `plan` turns it into a NotAffine error with the
    variable's name.
    """


@dataclass(frozen=True)
class Environment:
    """Values of variables and covariates by name.

    `whiteners` holds, for each covariance parameter, W with W'W = cov^-1, in the dims of the covariance. `batch` is the size
    of a trailing dim "#" that every parameter value may carry (all derivatives in one evaluation).
    """

    values: Mapping[str, Named]
    whiteners: Mapping[str, Named] = field(default_factory=dict)
    xp: ModuleType = np
    batch: int | None = None

    def having(self, **changes: Any) -> Environment:
        return replace(self, **changes)

    def with_values(self, values: Mapping[str, Named]) -> Environment:
        return replace(self, values={**self.values, **values})


Coordinates = Mapping[Key, list[tuple[str, int]]]


def evaluate(expression: Expression, env: Environment, coordinates: Coordinates | None = None) -> dict[Key, Named]:
    """{row coordinate: coefficient}, with key None for the part that multiplies no row coordinate.

    A variable or covariate with a value in `env` is that value. One listed in `coordinates` with its non-plate dims is itself
    a block of the row: its coefficient is the identity, dims d and "~d". A discrete variable without a value turns the dim it
    indexes into the configuration axis "@name" (named by variable, so that two latents may count the same dim).
    """
    coordinates = coordinates or {}
    if not isinstance(expression, Constant) and (key := coordinate_key(expression)) in coordinates and key not in env.values:
        return {key: _identity(coordinates[key])}
    if isinstance(expression, Constant):
        return {None: Named(expression.value, expression.dims)}
    if expression.name is not None:
        if expression.name in env.values:
            return {None: env.values[expression.name]}
        raise KeyError(f"{expression.name} has no value")
    if isinstance(expression, Index):
        return {k: _look_up(expression, v, env) for k, v in evaluate(expression.base, env, coordinates).items()}
    parts = [evaluate(c, env, coordinates) for c in expression.children]
    if isinstance(expression, Dot):
        left, right = _one_constant(parts)
        return {k: sum_over(lift(lambda a, b: a * b, v, right[None]), {expression.over}) for k, v in left.items()}
    if isinstance(expression, Take):
        return {k: take(v, expression.dim, expression.position) for k, v in parts[0].items()}
    if isinstance(expression, Stack):
        return stacked(env.xp, parts, expression.dim)
    if isinstance(expression, Softmax):
        return {None: softmax(env.xp, _no_row(expression, parts)[0], expression.dim)}
    assert isinstance(expression, Operation)
    if expression.function == "add":
        return _add(*parts)
    if expression.function == "neg":
        return {k: Named(-v.array, v.dims) for k, v in parts[0].items()}
    if expression.function == "mul":
        left, right = _one_constant(parts)
        return {k: lift(lambda a, b: a * b, v, right[None]) for k, v in left.items()}
    values = _no_row(expression, parts)
    with np.errstate(over="ignore", divide="ignore"):  # infinity is what a rate far along its link is in float64
        if expression.function == "pow":
            return {None: power(env.xp, *values)}
        return {None: Named(ELEMENTWISE[expression.function](env.xp, values[0].array), values[0].dims)}


def _no_row(expression: Expression, parts: list[dict[Key, Named]]) -> list[Named]:
    """The values of what a function is taken of, which no row coordinate multiplies."""
    for part in parts:
        if set(part) != {None}:
            what = expression.function if isinstance(expression, Operation) else type(expression).__name__.lower()
            raise NotAffineHere(f"{'a power' if what == 'pow' else what} of a row quantity")
    return [part[None] for part in parts]


def complement(expression: Expression) -> Expression | None:
    """1 - p of a logistic function, as sigmoid(-a) of p = sigmoid(a) and as 1 / (1 + exp(-a)) of p = 1 / (1 + exp(a)): it has its
    digits where p rounds to 1. None for other expressions.
    """
    if isinstance(expression, Index | Take):
        other = complement(expression.base)
        return None if other is None else with_children(expression, (other, *expression.children[1:]))
    if isinstance(expression, Operation) and expression.function == "sigmoid":
        return Operation("sigmoid", Operation("neg", expression.children[0]))
    inner = expression
    while isinstance(inner, Operation) and inner.function == "mul":
        ones = [c for c in inner.children if _is_one(c)]
        if not ones:
            return None
        inner = next(c for c in inner.children if c is not ones[0])
    if not (isinstance(inner, Operation) and inner.function == "inv"):
        return None
    below = inner.children[0]
    if not (isinstance(below, Operation) and below.function == "add" and any(_is_one(c) for c in below.children)):
        return None
    rest = next((c for c in below.children if not _is_one(c)), None)
    if not (isinstance(rest, Operation) and rest.function == "exp"):
        return None
    return Operation("inv", Operation("add", 1.0, Operation("exp", Operation("neg", rest.children[0]))))


def _is_one(e: Expression) -> bool:
    return isinstance(e, Constant) and e.value.ndim == 0 and float(e.value) == 1.0


def value_of(expression: Expression, env: Environment) -> Named:
    """Evaluate an expression that has no row coordinate left."""
    return evaluate(expression, env)[None]


def _identity(own: list[tuple[str, int]]) -> Named:
    out = Named(np.float64(1.0))
    for dim, size in own:
        out = lift(np.multiply, out, Named(np.eye(size), (dim, coordinate_dim(dim))))
    return out


def _add(left: dict[Key, Named], right: dict[Key, Named]) -> dict[Key, Named]:
    out = dict(left)
    for k, v in right.items():
        out[k] = lift(lambda a, b: a + b, out[k], v) if k in out else v
    return out


def _one_constant(parts: list[dict[Key, Named]]) -> tuple[dict[Key, Named], dict[Key, Named]]:
    left, right = parts
    if set(right) != {None}:
        left, right = right, left
    if set(right) != {None}:
        raise NotAffineHere("a product of two row quantities")
    return left, right


def _look_up(expression: Index, value: Named, env: Environment) -> Named:
    n = len(expression.index)
    axes = expression.base.dims[:n]
    given = [i for i in expression.index if i.name in env.values]
    if not given:
        return _diagonal(value, [(d, configuration_dim(str(i.name))) for d, i in zip(axes, expression.index, strict=False)])
    if len(given) != n:
        raise ValueError("an index mixes given and hidden variables")
    rest = [d for d in value.dims if d not in axes]
    where = [env.values[i.name] for i in expression.index]
    dims = union(*where)
    codes = [w.to(dims) for w in where]
    # data hold codes as floats; PyTensor's discrete variables are integers already
    whole = [c.astype(np.int64) if isinstance(c, np.ndarray) else c for c in codes]
    # a dim that base and index share (rows of a covariate, a batch of draws) is matched, never crossed
    shared, others = [d for d in rest if d in dims], [d for d in rest if d not in dims]
    along = [env.xp.arange(value.sizes[d]).reshape([-1 if e == d else 1 for e in dims]) for d in shared]
    return Named(value.to((*axes, *shared, *others))[(*whole, *along)], (*dims, *others))


def _diagonal(value: Named, names: list[tuple[str, str]]) -> Named:
    """Rename axes; where two get the same name (table[a, a]) keep the diagonal."""
    for d, new in names:
        if new in value.dims:
            first, second = value.dims.index(new), value.dims.index(d)
            order = [first, second, *[i for i in range(len(value.dims)) if i not in (first, second)]]
            array = value.array.transpose(*order)
            k = np.arange(int(array.shape[0]))
            value = Named(array[k, k], [value.dims[i] for i in order if i != second])
        else:
            value = value.rename({d: new})
    return value

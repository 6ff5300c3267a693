"""Arguments that are as good as infinite, where a distribution has become its limit: a boundary like any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..families import Limiting
from ..families.support import Positive
from ..spec.evaluate import Environment, value_of
from ..spec.expression import Expression, Index
from ..spec.named import Named
from ..spec.private_dims import LEVELS
from ..spec.variable import Variable
from ..spec.walk import value_names
from .coefficients import at_levels
from .plan import Part, Plan, TablePart

TOLD = 1e-8  # nats by which all rows together may tell a distribution from its limit


@dataclass(frozen=True)
class Limits:
    """held : {parameter: (size,) bool} entries that have come so far and stay. infinite : {parameter: (size,) bool} those and the
    entries that went with them, of which a finite value says nothing either. words : {parameter: what the limit is}.
    """

    held: dict[str, np.ndarray] = field(default_factory=dict)
    infinite: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


def at_limit(plan: Plan, env: Environment) -> Limits:
    """The entries of parameters that stand in an argument with a limit, where every distribution that reads them has come to it.

    A parameter stands in an argument looked up, as it is, or as the only positive one in an expression.
    """
    rows = max(1.0, float(plan.problem.weights.sum()))
    parts = [(p, p.family) for p in plan.parts if isinstance(p.family, Limiting)]
    last = [v.label for p, family in parts if (v := stands(plan, p, family.endless[-1])) is not None]
    if not any((env.values[name].array > rows / TOLD).any() for name in last):
        return Limits()
    uses: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    words = {}
    for part, family in parts:
        short = (departures(plan, part, env) * rows >= TOLD) & part.on[:, None, None]
        for key in family.endless:
            if (v := stands(plan, part, key)) is None:
                continue
            index, size = entries_read(plan, part, key, v), prod(plan.problem.shape(v))
            on = np.broadcast_to(part.on[:, None, None], np.broadcast_shapes(index.shape, short.shape))
            index, missed = np.broadcast_to(index, on.shape), np.broadcast_to(short, on.shape)
            read = tuple(np.bincount(index[some], minlength=size) > 0 for some in (on, missed))
            uses.setdefault(v.label, []).append(read)  # type: ignore[arg-type]
            words[v.label] = family.limit
    infinite = {}
    for name, masks in uses.items():
        mask = np.any([read for read, _ in masks], axis=0) & ~np.any([missed for _, missed in masks], axis=0)
        if name in last:
            mask &= env.values[name].array.ravel() > rows / TOLD
        if mask.any():
            infinite[name] = mask
    return Limits({k: x for k, x in infinite.items() if k in last}, infinite, words)


def stands(plan: Plan, part: Part, key: str) -> Variable | None:
    """The positive parameter in an argument: looked up, or a single number that is the only one in an expression."""
    expression = part.distribution.arguments[key]
    read = value_names(expression)
    candidates = [v for v in plan.parameters if v.label in read and isinstance(v.family.support(), Positive)]
    if len(candidates) != 1 or (_base(expression) is not candidates[0] and prod(plan.problem.shape(candidates[0])) > 1):
        return None
    return candidates[0]


def departures(plan: Plan, part: Part, env: Environment) -> np.ndarray:
    """(K, m, levels) how far a distribution is from its limit, in nats a row."""
    family = part.family
    assert isinstance(family, Limiting)
    if isinstance(part, TablePart):
        values = at_levels(plan, part, family.departure_reads, part.values or part.levels, env)
    else:
        arguments = part.distribution.arguments
        values = {k: plan.spread(value_of(arguments[k], env), part.elements, [(LEVELS, 1)]) for k in family.departure_reads}
    with np.errstate(divide="ignore", over="ignore"):
        return family.departure(**values)


def entries_read(plan: Plan, part: Part, key: str, v: Variable) -> np.ndarray:
    """(K, m, levels) which entry of a parameter stands in an argument; one level where it is not looked up by row data."""
    expression, shape = part.distribution.arguments[key], plan.problem.shape(v)
    if _base(expression) is not v:
        return np.zeros((plan.K, part.size, 1), dtype=np.int64)
    data = part.values.data if isinstance(part, TablePart) and part.values is not None else {}
    size = next((len(x.array) for x in data.values()), 1)
    places = Named(np.arange(prod(shape), dtype=float).reshape(shape), v.dims)
    value = value_of(expression, Environment({**data, v.label: places}))
    return plan.spread(value, part.elements, [(LEVELS, size)]).astype(np.int64)


def _base(expression: Expression) -> Expression:
    return expression.base if isinstance(expression, Index) else expression

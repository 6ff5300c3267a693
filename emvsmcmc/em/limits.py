"""The step to the limit of a distribution and back (`families.Limiting`), where an argument could go to infinity.

Q is all but straight in 1 / argument out there, and Newton walks along the logarithm: it would creep, and end where the tolerance
lets it. So the limit itself is tried; and from there, where no coordinate leads back (`expect.limits`), a place nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..expect.coordinates import pairing
from ..expect.layout import Statistics
from ..expect.limits import TOLD, departures, entries_read, stands
from ..expect.objective import Objective
from ..expect.plan import Plan, TablePart
from ..families import Limiting
from ..spec.evaluate import Environment
from ..spec.named import Named

FAR = 1e-2  # nats by which all rows may tell a distribution from its limit where the limit is tried
BACK = 1.0  # nats of where it is tried to come back to
WITHIN = 0.1 * TOLD  # nats that are left at what is taken for the limit
RISE = 1e-9  # nats that coming back has to gain: less is what rounding feigns


@dataclass(frozen=True)
class Endless:
    """One entry of the parameter in the last endless argument of a table, and the entries that go with it.

    together : {parameter: (size,) bool}, itself included. at : (K, m, levels) where it is read.
    """

    part: TablePart
    name: str
    together: dict[str, np.ndarray]
    at: np.ndarray


def endless_entries(plan: Plan) -> list[Endless]:
    """Every entry that can go to its limit without taking others along that are still read elsewhere."""
    out = []
    for part in plan.tables:
        if not isinstance(part.family, Limiting):
            continue
        keys = part.family.endless
        variables = [stands(plan, part, key) for key in keys]
        if any(v is None for v in variables):
            continue
        index = [entries_read(plan, part, key, v) for key, v in zip(keys, variables, strict=True) if v is not None]
        index = list(np.broadcast_arrays(*index))
        on = np.broadcast_to(part.on[:, None, None], index[-1].shape)
        last = variables[-1]
        assert last is not None
        for e in range(prod(plan.problem.shape(last))):
            at = on & (index[-1] == e)
            if not at.any():
                continue
            together, alone = {}, True
            for v, where in zip(variables, index, strict=True):
                assert v is not None
                size = prod(plan.problem.shape(v))
                together[v.label] = np.bincount(where[at], minlength=size) > 0
                alone &= v is last or not together[v.label][where[on & ~at]].any()
            if alone:
                out.append(Endless(part, last.label, together, at))
    return out


def at_best(plan: Plan, entries: list[Endless], env: Environment, S: Statistics, objective: Objective) -> Environment:
    """The environment with those entries at their limit where Q is no lower there, and away from it where Q is higher."""
    rows = max(1.0, float(plan.problem.weights.sum()))
    here: float | None = None
    for entry in entries:
        far = departures(plan, entry.part, env)
        away = rows * float(far[np.broadcast_to(entry.at, far.shape)].max())
        if not 0 < away < FAR:
            continue
        here = _value(plan, env, S, objective) if here is None else here
        goal, least = (BACK, RISE) if away < TOLD else (WITHIN, 0.0)
        tried = _scaled(env, entry, away / goal)
        there = _value(plan, tried, S, objective)
        if there >= here + least:
            env, here = tried, there
    return env


def _value(plan: Plan, env: Environment, S: Statistics, objective: Objective) -> float:
    with np.errstate(all="ignore"):
        value = pairing(plan, env, S)
        return value + float(objective.log_prior(plan, env))


def _scaled(env: Environment, entry: Endless, factor: float) -> Environment:
    values = {}
    for name, mask in entry.together.items():
        old = env.values[name]
        values[name] = Named(np.where(mask.reshape(old.array.shape), factor * old.array, old.array), old.dims)
    return env.with_values(values)

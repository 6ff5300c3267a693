"""A parameter value to start from where nothing else is known."""

from __future__ import annotations

import numpy as np

from ..families.support import Interval, Real
from ..spec.graph import Environment, argument_values
from ..spec.variable import Variable
from .plan import Plan


def typical(v: Variable, plan: Plan) -> np.ndarray:
    """A value inside the support, to start from where nothing else is known: equal probabilities, 1, 0, the identity."""
    shape = plan.problem.shape(v)
    event = v.family.event_dims
    if v.family.name == "Uniform":
        env = Environment(plan.problem.fixed)
        try:
            a = argument_values(v, env)
            return np.broadcast_to(0.5 * (a["lower"] + a["upper"]), shape).copy()
        except KeyError:
            return np.full(shape, 0.5)
    if event == 2:
        return np.broadcast_to(np.eye(shape[-1]), shape).copy()
    if v.family.name == "Dirichlet":
        return np.full(shape, 1.0 / shape[-1])
    support = v.family.support()
    if isinstance(support, Interval):
        return np.full(shape, 0.5 * (support.lower + support.upper))
    return np.zeros(shape) if isinstance(support, Real) else np.ones(shape)

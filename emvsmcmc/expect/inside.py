"""A parameter value to start from where nothing else is known, and what has probability zero there, as everywhere."""

from __future__ import annotations

import numpy as np

from ..problem.conditioned import Conditioned
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment
from ..spec.variable import Variable
from .coefficients import coefficients
from .layout import Coefficients, Layout
from .plan import Plan


def typical(v: Variable, plan: Plan) -> np.ndarray:
    """A value inside the support, to start from where nothing else is known: equal probabilities, 1, 0, the identity."""
    return parameter_support(v, Environment(plan.problem.fixed)).middle(plan.problem.shape(v))


def fixed_entries(problem: Conditioned) -> dict[str, np.ndarray]:
    """{parameter: mask in declared shape} of the entries that its prior leaves one value only; those that have any."""
    env = Environment(problem.fixed)
    masks = {v.label: parameter_support(v, env).fixed(problem.shape(v)) for v in problem.parameters}
    return {name: mask for name, mask in masks.items() if mask.any()}


def possible(plan: Plan, layout: Layout) -> np.ndarray:
    """(n, K) configurations in which the rows of a layout have a positive density in the middle of every support: the others are
    ruled out by probabilities that are zero by declaration, whatever the parameters are.
    """
    C = _in_the_middle(plan)
    out = np.tile(~np.isneginf(C.c), (len(layout.V), 1))
    if np.isneginf(C.T).any():
        for t in range(layout.phi.shape[1]):
            read = layout.phi[:, t] != 0
            out[read] &= ~np.isneginf(C.T[layout.level[read, t]])
    return out


def possible_configurations(plan: Plan) -> np.ndarray:
    """(K,) configurations that some row might be in; the others have probability zero by declaration."""
    return ~np.isneginf(_in_the_middle(plan).c)


def _in_the_middle(plan: Plan) -> Coefficients:
    return coefficients(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))

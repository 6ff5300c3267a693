"""Degrees of freedom of Student-t variables on the side of the complete data: what Q adds for them, and when they run off."""

from __future__ import annotations

import numpy as np

from ..families.radial import log_constant, scale_constant
from ..families.support import Positive
from ..spec.evaluate import Environment
from ..spec.walk import value_names
from .layout import Array, Coefficients, Statistics
from .plan import Plan

# Degrees of freedom, for a total weight of 1, from which a Student-t is Normal: all rows together tell them apart by 1e-8 nats.
NORMAL = 1e8


def counts(plan: Plan, S: Statistics) -> Array:
    """(K, t) sum of w r over the rows whose value is there; 0 where a branch of a Switch is off."""
    return np.where(plan.radial_on, S.S[plan.radial_tables].T, 0.0)


def complete(plan: Plan, C: Coefficients, S: Statistics) -> Array:
    """What Q(nu) adds to <T, S>, which holds the constant of the marginal density, summed: a number, or (batch,).

    The complete-data log density of u is a (log u - u + 1) + (a log a - a - log Gamma(a)) + ..., a = nu/2.
    """
    nu = C.nu
    tail = (1,) * (nu.ndim - 2)
    n = counts(plan, S).reshape(*plan.radial_on.shape, *tail)
    L = np.where(plan.radial_on, S.L, 0.0).reshape(n.shape)
    return (n * (scale_constant(nu) - log_constant(np, nu)) + 0.5 * nu * L).sum(axis=(0, 1))


def normal_tails(plan: Plan, env: Environment) -> dict[str, Array]:
    """{parameter: (size,) bool} degrees of freedom that have run off: the rows want no heavier tails than a Normal's.

    The likelihood then rises for ever, and a finite value says nothing: infinity is a boundary like any other.
    """
    read = set().union(*[value_names(p.tail) for p in plan.radials])
    limit = NORMAL * max(1.0, float(plan.problem.weights.sum()))
    return {
        v.label: env.values[v.label].array.ravel() > limit
        for v in plan.parameters
        if v.label in read and isinstance(v.family.support(), Positive)
    }

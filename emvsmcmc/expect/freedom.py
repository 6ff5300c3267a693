"""Degrees of freedom of Student-t variables on the side of the complete data: what Q adds for them."""

from __future__ import annotations

import numpy as np

from ..families.radial import log_constant, scale_constant
from .layout import Array, Coefficients, Statistics
from .plan import Plan


def counts(plan: Plan, S: Statistics) -> Array:
    """(K, g) sum of w r over the rows whose value is there; 0 where a branch of a Switch is off."""
    return np.where(plan.radial_on, S.S[plan.radial_tables].T, 0.0)


def complete(plan: Plan, C: Coefficients, S: Statistics) -> Array:
    """What Q(nu) adds to <T, S>, which holds the constant of the marginal density, summed: a number, or (batch,).

    The complete-data log density of u is a (log u - u + 1) + (a log a - a - log Gamma(a)) + ..., a = nu/2.
    """
    nu = C.nu
    tail = (1,) * (nu.ndim - 2)
    n = counts(plan, S).reshape(*plan.radial_on.shape, *tail)
    L = np.where(plan.radial_on, S.L, 0.0).reshape(n.shape)
    constants = [log_constant(np, nu[:, [j]], int(p)) for j, p in enumerate(plan.full.radial.lengths)]
    return (n * (scale_constant(nu) - np.concatenate(constants, axis=1)) + 0.5 * nu * L).sum(axis=(0, 1))

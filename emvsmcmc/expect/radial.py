"""Radial rows in plain numpy: the log density of Student-t values, and what is expected of their latent scales.

With e the standardised residual, the latent scale u ~ Gamma(nu/2, nu/2) of y | u ~ Normal(mu, sigma / sqrt(u)) has

    E[u | e] = (nu + 1) / (nu + e^2),   E[log u | e] = digamma((nu + 1)/2) - log((nu + e^2)/2)

(Lange, Little and Taylor 1989, section 4.1). Under hard assignment u stays integrated out: no user declared it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..families.radial import digamma_less_log, log_constant, scale_constant
from ..families.support import Positive
from ..spec.evaluate import Environment
from ..spec.walk import value_names
from .layout import Array, Coefficients, Layout, Statistics

if TYPE_CHECKING:
    from .plan import Plan

# Degrees of freedom, for a total weight of 1, from which a Student-t is Normal: all rows together tell them apart by 1e-8 nats.
NORMAL = 1e8


def radial_part(layout: Layout, C: Coefficients, at: slice, k: int) -> Array:
    """(rows,) what the radial rows of configuration k add to log p."""
    e, there = residuals(layout, C, at, k)
    nu = C.nu[k]
    return -(there * 0.5 * (nu + 1) * np.log1p(e * e / nu)).sum(axis=1)


def residuals(layout: Layout, C: Coefficients, at: slice, k: int) -> tuple[Array, Array]:
    """(rows, t) standardised residuals, and 1 where the value is there."""
    return (layout.V[at] - C.rho[k]) @ C.A[k].T, layout.X[at][:, layout.radial.column]


def add_radial(U: Array, W: Array, layout: Layout, C: Coefficients, at: slice, k: int, wr: Array) -> None:
    """U[k] += sum of wr E[u] z z', W[k] += sum of wr (log E[u] - E[u] + 1), over the rows whose value is there."""
    e, there = residuals(layout, C, at, k)
    square = e * e
    weight = wr[:, None] * there
    U[k] += weighted_moments(layout, layout.V[at] - C.rho[k], weight * (C.nu[k] + 1) / (C.nu[k] + square))
    W[k] += (weight * log_less_excess(C.nu[k], square)).sum(axis=0)


def weighted_moments(layout: Layout, Z: Array, weight: Array) -> Array:
    """(t, d, d) sum of weight z z' over the coordinates that each radial row reads; weight (rows, t)."""
    out = np.zeros((weight.shape[1], Z.shape[1], Z.shape[1]))
    for j, reads in enumerate(layout.radial.reads):
        z = Z[:, reads]
        out[j][np.ix_(reads, reads)] = (z * weight[:, [j]]).T @ z
    return out


def without_holes(layout: Layout, M: Array, U: Array) -> None:
    """M of a Student-t value with holes: zero, since what is dropped has no second moment; nothing reads it.

    Only its first row, which says where the values lie (`reference_points`), holds the sum weighted by the expected scales.
    """
    for j in np.flatnonzero(layout.radial.holes):
        own = layout.radial.own[j]
        M[:, own], M[:, :, own] = 0.0, 0.0
        M[:, 0, own] = M[:, own, 0] = U[:, j, 0, own]


def log_less_excess(nu: Array, square: Array) -> Array:
    """log x - x + 1 at x = E[u] = (nu + 1)/(nu + e^2); of the order of 1 / nu^2, so never as a difference of its terms."""
    excess = (1 - square) / (nu + square)
    near = np.maximum(excess, -0.5)
    return np.where(excess > -0.5, np.log1p(near), np.log((nu + 1) / (nu + square))) - excess


def expected_logs(W: Array, counts: Array, nu: Array) -> Array:
    """`Statistics.L`, the sum of w r (E[log u] - E[u] + 1), from W, the sum of w r (log E[u] - E[u] + 1)."""
    return W + counts * digamma_less_log(0.5 * (nu + 1))


def unexpected_logs(L: Array, counts: Array, nu: Array) -> Array:
    """W of `expected_logs`, back from `Statistics.L`."""
    return L - counts * digamma_less_log(0.5 * (nu + 1))


def nu_gradient(W: Array, counts: Array, nu: Array) -> Array:
    """Derivative of the log-likelihood along nu where the tables stay as they are (they hold the constant of nu as well)."""
    return 0.5 * (W + counts * (1 / nu - np.log1p(1 / nu)))


# ---------------------------------------------------------------------------------------------- the complete-data side: Q


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

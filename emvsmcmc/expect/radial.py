"""Radial rows in plain numpy: the log density of Student-t values, and what is expected of their latent scales.

With e the p whitened residuals of one value, the latent scale u ~ Gamma(nu/2, nu/2) of y | u ~ Normal(mu, scale / u) has

    E[u | e] = (nu + p) / (nu + |e|^2),   E[log u | e] = digamma((nu + p)/2) - log((nu + |e|^2)/2)

(Lange, Little and Taylor 1989, section 4.1). Under hard assignment u stays integrated out: no user declared it.
"""

from __future__ import annotations

import numpy as np

from ..families.radial import digamma_less_log
from .layout import Array, Coefficients, Layout, Radial


def radial_part(layout: Layout, C: Coefficients, at: slice, k: int) -> Array:
    """(rows,) what the radial rows of configuration k add to log p."""
    square, there = squares(layout, C, at, k)
    nu = C.nu[k]
    return -(there * 0.5 * (nu + layout.radial.lengths) * np.log1p(square / nu)).sum(axis=1)


def squares(layout: Layout, C: Coefficients, at: slice, k: int) -> tuple[Array, Array]:
    """(rows, g) squared lengths of the whitened residuals of each group, and 1 where its value is there."""
    e = (layout.V[at] - C.rho[k]) @ C.A[k].T
    return layout.radial.summed(e * e), layout.X[at][:, layout.radial.column]


def add_radial(U: Array, W: Array, layout: Layout, C: Coefficients, at: slice, k: int, wr: Array) -> None:
    """U[k] += sum of wr E[u] z z', W[k] += sum of wr (log E[u] - E[u] + 1), over the rows whose value is there."""
    square, there = squares(layout, C, at, k)
    nu, p = C.nu[k], layout.radial.lengths
    weight = wr[:, None] * there
    U[k] += weighted_moments(layout, layout.V[at] - C.rho[k], weight * (nu + p) / (nu + square))
    W[k] += (weight * log_less_excess(nu, square, p)).sum(axis=0)


def weighted_moments(layout: Layout, Z: Array, weight: Array) -> Array:
    """(g, d, d) sum of weight z z' over the coordinates that each group reads; weight (rows, g)."""
    out = np.zeros((weight.shape[1], Z.shape[1], Z.shape[1]))
    for j, reads in enumerate(layout.radial.reads):
        z = Z[:, reads]
        out[j][np.ix_(reads, reads)] = (z * weight[:, [j]]).T @ z
    return out


def without_holes(layout: Layout, M: Array, U: Array) -> None:
    """M of a Student-t value with holes: zero, since what is dropped has no second moment; nothing reads it.

    Only its first row, which says where the values lie (`reference_points`), holds the sum weighted by the expected scales.
    """
    radial = layout.radial
    for j in np.flatnonzero(radial.holes):
        own = radial.own[radial.start[j] : radial.start[j + 1]]
        M[:, own], M[:, :, own] = 0.0, 0.0
        M[:, 0, own] = M[:, own, 0] = U[:, j, 0, own]


def log_less_excess(nu: Array, square: Array, p: Array | int = 1) -> Array:
    """log x - x + 1 at x = E[u] = (nu + p)/(nu + e^2); of the order of 1 / nu^2, so never as a difference of its terms."""
    excess = (p - square) / (nu + square)
    near = np.maximum(excess, -0.5)
    return np.where(excess > -0.5, np.log1p(near), np.log((nu + p) / (nu + square))) - excess


def expected_logs(W: Array, counts: Array, nu: Array, p: Array) -> Array:
    """`Statistics.L`, the sum of w r (E[log u] - E[u] + 1), from W, the sum of w r (log E[u] - E[u] + 1)."""
    return W + counts * digamma_less_log(0.5 * (nu + p))


def unexpected_logs(L: Array, counts: Array, nu: Array, p: Array) -> Array:
    """W of `expected_logs`, back from `Statistics.L`."""
    return L - counts * digamma_less_log(0.5 * (nu + p))


def nu_gradient(W: Array, counts: Array, nu: Array, p: Array) -> Array:
    """Derivative of the log-likelihood along nu where the tables stay as they are (they hold the constant of nu as well)."""
    return 0.5 * (W + counts * (p / nu - np.log1p(p / nu)))


def row_moments(radial: Radial, U: Array) -> Array:
    """(K, t, d, d) the moments that each radial row reads, from those of the groups."""
    return U if len(radial.own) == len(radial.column) else U[:, radial.group]

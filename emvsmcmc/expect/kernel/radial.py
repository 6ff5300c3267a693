"""Arithmetic of radial rows (Student-t) on raw memory. See `loops.py` for why it is written as it is.

The radial rows A (p, d) of a group stand in the order of v, not of the pattern: `reads` (count,) lists the coordinates that they
may read, `where` (d,) their columns of z. `where` is floats, like all scratch memory.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

from .parts import at, compiled, compiled_summing


@compiled
def locate(index, order, d, hidden, where):
    """where (d,) = column of z that holds each coordinate of v that the pattern observes."""
    for j in range(d - hidden):
        where[index[order + hidden + j]] = float(j)


@compiled
def residual(index, reads, count, A, z, where, block, m, e):
    """e (m,) = A z, over the coordinates that A (d,) may read."""
    for i in range(m):
        e[i] = 0.0
    for a in range(count):
        column = index[reads + a]
        g, x = A[column], at(z, int(where[column]) * block)
        if g != 0.0:  # whitened rows are triangular
            for i in range(m):
                e[i] += g * x[i]


@compiled
def squared_length(index, reads, count, A, p, d, z, where, block, m, e, square):
    """square (m,) = |A z|^2, A (p, d). e (m,) is the last residual then."""
    for r in range(p):
        residual(index, reads, count, at(A, r * d), z, where, block, m, e)
        if r == 0:
            for i in range(m):
                square[i] = e[i] * e[i]
        else:
            for i in range(m):
                square[i] += e[i] * e[i]


@compiled
def add_log_density(there, nu, p, square, m, row):
    """row (m,) -= (nu + p)/2 log(1 + square / nu) where the value is there."""
    half, inverse = 0.5 * (nu + p), 1.0 / nu
    for i in range(m):
        row[i] -= there[i] * half * math.log1p(square[i] * inverse)


@compiled
def expected_scales(there, nu, p, square, m, row, weight):
    """weight (m,) = w r E[u] where the value is there; returns the sum of w r (log E[u] - E[u] + 1)."""
    total = 0.0
    for i in range(m):
        x = row[i] * there[i]
        u = (nu + p) / (nu + square[i])
        excess = (p - square[i]) / (nu + square[i])  # u - 1: for a large nu the difference would have no digits
        weight[i] = x * u
        total += x * ((math.log1p(excess) if excess > -0.5 else math.log(u)) - excess)
    return total


@compiled_summing
def add_moments(index, reads, count, z, where, d, block, m, weight, U):
    """U (d, d), upper triangle in the order of `reads`, += sum of weight z z'."""
    for a in range(count):
        p = index[reads + a]
        x = at(z, int(where[p]) * block)
        for b in range(a, count):
            q = index[reads + b]
            y = at(z, int(where[q]) * block)
            total = 0.0
            for i in range(m):
                total += weight[i] * x[i] * y[i]
            U[p * d + q] += total


@compiled_summing
def add_slope(index, reads, count, z, where, block, m, weight, e, dA):
    """dA (d,) -= sum of weight e z: the gradient along the row."""
    for a in range(count):
        p = index[reads + a]
        x = at(z, int(where[p]) * block)
        total = 0.0
        for i in range(m):
            total += weight[i] * e[i] * x[i]
        dA[p] -= total


@compiled
def mirror(index, reads, count, d, U):
    """The lower triangle of U (d, d)."""
    for a in range(count):
        for b in range(a + 1, count):
            p, q = index[reads + a], index[reads + b]
            U[q * d + p] = U[p * d + q]

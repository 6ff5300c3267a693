"""Arithmetic of the row pass on raw memory: exponentials, residuals, elimination of hidden coordinates, the gradient.

Nothing here knows how rows are packed. See `kernel_loops.py` for why it is written as it is.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LOG_2PI = math.log(2 * math.pi)
NEGLIGIBLE = -700.0  # exp of less is a denormal number: it counts for nothing and costs a hundred times a normal one
LOG2_E, LN2_HIGH, LN2_LOW = 1 / math.log(2), float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
ROUNDING = 1.5 * 2.0**52  # a number so large that its last bit is worth 1
TAYLOR = tuple(1 / math.factorial(j) for j in range(13, -1, -1))  # of exp(r), |r| <= log(2) / 2: the rest is below 5e-18
FAR = 4e4  # squared distance, in standard deviations, from which B M loses more than 1e-11 of its size in float64
# Reordering sums is allowed only where rows are summed: there it vectorises, elsewhere it would only be more code to compile.
# Infinities are never assumed away: log-probabilities are -inf by right.
OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy", "boundscheck": False}
PART = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "no_rewrites": True}
compiled = numba.njit(**OPTIONS, **PART)
compiled_summing = numba.njit(**(OPTIONS | {"fastmath": {"contract", "reassoc", "nsz"}}), **PART)


@intrinsic
def at(typingctx, pointer, offset):
    """The pointer that many elements further on."""
    return pointer(pointer, offset), lambda context, builder, signature, arguments: builder.gep(arguments[0], [arguments[1]])


@intrinsic
def times_power(typingctx, p, t):
    """p 2^n with n in the last bits of t, added to the exponent of p."""

    def code(context, builder, signature, arguments):
        bits = ir.IntType(64)
        p_bits, t_bits = (builder.bitcast(x, bits) for x in arguments)
        return builder.bitcast(builder.add(p_bits, builder.shl(t_bits, ir.Constant(bits, 52))), ir.DoubleType())

    return types.float64(types.float64, types.float64), code


@compiled
def exponentiate(m, x):
    """x (m,) = exp(x), all x <= 0: to an ulp or two, and several at a time, which the library's exp cannot be."""
    for i in range(m):
        t = x[i] * LOG2_E + ROUNDING  # now the last bits of t are n = x log2(e), rounded
        n = t - ROUNDING
        r = x[i] - n * LN2_HIGH - n * LN2_LOW
        p = TAYLOR[0]
        for j in range(1, len(TAYLOR)):
            p = p * r + TAYLOR[j]
        x[i] = 0.0 if x[i] < NEGLIGIBLE else times_power(p, t) + (x[i] - x[i])  # a NaN stays one


@compiled
def add_quadratic(G, z, e, picked, observed, block, m, row):
    """row (m,) -= 1/2 (G z)^2 of one residual row G (observed,)."""
    count = 0  # a diagonal B has two entries in d: pick them out, and take them in fours, the last ones with zeros
    for j in range(observed):
        if G[j] != 0.0:
            picked[count] = j * block
            picked[count + 1] = G[j]
            count += 2
    for j in range(count, count + 6):
        picked[j] = 0.0
    for i in range(m):
        e[i] = 0.0
    for j in range(0, count, 8):
        g0, g1, g2, g3 = picked[j + 1], picked[j + 3], picked[j + 5], picked[j + 7]
        z0, z1, z2, z3 = at(z, int(picked[j])), at(z, int(picked[j + 2])), at(z, int(picked[j + 4])), at(z, int(picked[j + 6]))
        for i in range(m):
            e[i] += g0 * z0[i] + g1 * z1[i] + g2 * z2[i] + g3 * z3[i]
    for i in range(m):
        row[i] -= 0.5 * e[i] * e[i]


@compiled
def eliminate(G, R, d, hidden, columns):
    """Householder QR of the first columns of G (R, d), in place: [R_ll R_lo; 0 marginal residual rows].

    Returns log of the integral of exp(-1/2 |R_ll x|^2) over the hidden coordinates: hidden/2 log 2 pi - log |det R_ll|.
    """
    constant = 0.5 * hidden * LOG_2PI
    for j in range(columns):
        below = 0.0
        for r in range(j + 1, R):
            below += G[r * d + j] * G[r * d + j]
        head = G[j * d + j] if j < R else 0.0
        if below != 0.0:  # else triangular already: keep its zeros
            norm = math.sqrt(head * head + below)
            pivot = -norm if head > 0.0 else norm
            u = head - pivot
            scale = 2.0 / (u * u + below)
            for h in range(j + 1, d):
                x = u * G[j * d + h]
                for r in range(j + 1, R):
                    x += G[r * d + j] * G[r * d + h]
                x *= scale
                G[j * d + h] -= x * u
                for r in range(j + 1, R):
                    G[r * d + h] -= x * G[r * d + j]
            G[j * d + j] = pivot
            for r in range(j + 1, R):
                G[r * d + j] = 0.0
            head = pivot
        if j < hidden:
            if abs(head) <= 1e-300:
                return math.inf  # improper: no residual row holds this coordinate
            constant -= math.log(abs(head))
    return constant


@compiled
def add_hidden(G, d, order, hidden, moments, C, hard, M):
    """M += what hidden coordinates add: C m, C m C' + N P. C = -R_ll^-1 R_lo, P = (R_ll' R_ll)^-1, m the observed moments.

    order (d,): the coordinates, hidden ones first.
    """
    observed, stride = d - hidden, d + 3
    mass = moments[(observed - 1) * stride + observed - 1]
    for l in range(hidden - 1, -1, -1):  # back substitution for [C, R_ll^-1], (hidden, d)
        for h in range(d):
            x = -G[l * d + hidden + h] if h < observed else 1.0 if h - observed == l else 0.0
            for j in range(l + 1, hidden):
                x -= G[l * d + j] * C[j * d + h]
            C[l * d + h] = x / G[l * d + l]
    for l in range(hidden):  # [C m, N R_ll^-1] in the rows of the moments that the observed coordinates leave free
        target = order[l]
        for h in range(d):
            x = mass * C[l * d + h] if h >= observed and not hard else 0.0
            if h < observed:
                other = order[hidden + h]
                for j in range(observed):
                    x += C[l * d + j] * moments[j * stride + h]
                M[target * d + other] += x
                M[other * d + target] += x
            moments[(observed + l) * stride + h] = x
    for l in range(hidden):
        for g in range(hidden):
            x = 0.0
            for h in range(d):
                x += moments[(observed + l) * stride + h] * C[g * d + h]
            M[order[l] * d + order[g]] += x


@compiled
def shift_to_means(d, K, R, B, N, M, rho, shifted):
    """Whether B M would cancel; if so, rho = each configuration's mean and shifted = B about it. B and M are about the centre."""
    far = 0.0
    for k in range(K):
        distance = 0.0  # squared, of typical rows of k from the centre, as B_k sees it
        for r in range(R):
            x = 0.0
            for j in range(d):
                shifted[(k * R + r) * d + j] = B[(k * R + r) * d + j]
                if N[k] > 0.0:
                    x += abs(B[(k * R + r) * d + j]) * math.sqrt(M[(k * d + j) * d + j] / N[k])
            distance += x * x
        far = max(far, distance)
    if not far > FAR:
        return False
    for k in range(K):
        for j in range(1, d):
            if N[k] > 0.0:
                rho[k * d + j] = M[k * d * d + j] / N[k]
        for r in range(R):
            for j in range(1, d):
                shifted[(k * R + r) * d] += B[(k * R + r) * d + j] * rho[k * d + j]
    return True


@compiled
def to_gradient(d, K, R, quadratic, B, M, rho, dB):
    """dB = -B M in the first rows, those that are `quadratic`; the others hold their gradient already. Then all are brought back
    from the reference points to the centre: there, B~[:, 0] = B[:, 0] + B[:, 1:] rho.
    """
    for k in range(K):
        for r in range(quadratic):
            target = (k * R + r) * d
            for j in range(d):
                x = 0.0
                for h in range(d):
                    x -= B[target + h] * M[(k * d + h) * d + j]
                dB[target + j] = x
        for r in range(R):
            target = (k * R + r) * d
            for j in range(1, d):
                dB[target + j] += dB[target] * rho[k * d + j]

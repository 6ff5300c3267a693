"""Arithmetic of the row pass on raw memory: exponentials, residuals, elimination of hidden coordinates, the gradient.

Nothing here knows how rows are packed. See `loops.py` for why it is written as it is.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LOG_2PI = math.log(2 * math.pi)
NEGLIGIBLE = -700.0  # exp of less is a denormal number: it counts for nothing and costs a hundred times a normal one
LOG2_E, LN2_HIGH, LN2_LOW = 1 / math.log(2), float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
ROUNDING = 1.5 * 2.0**52  # a number so large that its last bit is worth 1
TAYLOR = tuple(1 / math.factorial(j) for j in range(13, -1, -1))  # of exp(r), |r| <= log(2) / 2: the rest is below 5e-18
HALF_ROOT_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2)
ATANH = tuple(1 / (2 * j + 1) for j in range(10, 0, -1))  # of (atanh(s) - s) / s^3, |s| <= .172: the rest is below 1e-17
FAR = 4e4  # squared distance, in standard deviations, from which B M loses more than 1e-11 of its size in float64
TILE, VECTOR = 16, 8  # rows taken at a time, and in one vector (which is two registers where registers hold four)
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
def exponentiate(m, x, top, total):
    """x (m,) = exp(x - top), x <= top, added to total. To an ulp or two, and several at a time: the library has one."""
    for i in range(m):
        y = x[i] - top[i]
        t = y * LOG2_E + ROUNDING  # now the last bits of t are n = y log2(e), rounded
        n = t - ROUNDING
        r = y - n * LN2_HIGH - n * LN2_LOW
        p = TAYLOR[0]
        for j in range(1, len(TAYLOR)):
            p = p * r + TAYLOR[j]
        x[i] = 0.0 if y < NEGLIGIBLE else times_power(p, t) + (y - y)  # a NaN stays one
        total[i] += x[i]


@intrinsic
def split(typingctx, x):
    """(f, n) with x = f 2^n and f between sqrt(1/2) and sqrt(2), for a normal positive x."""

    def code(context, builder, signature, arguments):
        bits, double = ir.IntType(64), ir.DoubleType()
        whole = builder.bitcast(arguments[0], bits)
        exponent = builder.ashr(builder.sub(whole, ir.Constant(bits, HALF_ROOT_BITS)), ir.Constant(bits, 52))
        f = builder.bitcast(builder.sub(whole, builder.shl(exponent, ir.Constant(bits, 52))), double)
        return context.make_tuple(builder, signature.return_type, (f, builder.sitofp(exponent, double)))

    return types.UniTuple(types.float64, 2)(x), code


@compiled
def logarithm(x):
    """log x of a normal positive number, to an ulp or two: in a loop several at a time."""
    f, n = split(x)
    s = (f - 1.0) / (f + 1.0)
    q = s * s
    p = ATANH[0]
    for j in range(1, len(ATANH)):
        p = p * q + ATANH[j]
    return n * LN2_HIGH + (2.0 * s + (n * LN2_LOW + 2.0 * s * q * p))


@intrinsic
def aligned(typingctx, pointer):
    """The next address on a cache line: vectors that cross one cost twice."""

    def code(context, builder, signature, arguments):
        whole, mask = ir.IntType(64), ir.Constant(ir.IntType(64), -64)
        address = builder.add(builder.ptrtoint(arguments[0], whole), ir.Constant(whole, 63))
        return builder.inttoptr(builder.and_(address, mask), arguments[0].type)

    return pointer(pointer), code


@intrinsic
def subtract_squares(typingctx, picked, count, z, m, row):
    """row (m,) -= 1/2 (g z)^2 + 1/2 (h z)^2, with (column of z, g, h) at `picked`, count times.

    Written in vectors, TILE rows at a time, so that both sums stay in registers; m is rounded up to whole tiles.
    """
    i64, f64, vector = ir.IntType(64), ir.DoubleType(), ir.VectorType(ir.DoubleType(), VECTOR)
    zero = ir.Constant(vector, [0.0] * VECTOR)
    contract = ("contract",)

    def code(context, builder, signature, arguments):
        picked, count, z, m, row = arguments
        sums = [cgutils.alloca_once(builder, vector) for _ in range(2 * TILE // VECTOR)]

        def many(x):
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), [0] * VECTOR))

        def place(pointer, at):
            return builder.bitcast(builder.gep(pointer, [at]), vector.as_pointer())

        def shifted(x, by):
            return builder.add(x, ir.Constant(i64, by))

        with cgutils.for_range_slice(builder, ir.Constant(i64, 0), m, ir.Constant(i64, TILE), i64, inc=True) as (i, _):
            for s in sums:
                builder.store(zero, s)
            with cgutils.for_range(builder, count, intp=i64) as loop:
                entry = builder.gep(picked, [builder.mul(loop.index, ir.Constant(i64, 3))])
                column, g, h = (builder.load(builder.gep(entry, [ir.Constant(i64, a)])) for a in range(3))
                where = builder.add(builder.fptosi(column, i64), i)
                g, h = many(g), many(h)
                for a in range(TILE // VECTOR):
                    x = builder.load(place(z, shifted(where, a * VECTOR)), align=8)
                    for y, s in ((g, sums[2 * a]), (h, sums[2 * a + 1])):
                        builder.store(builder.fadd(builder.fmul(x, y, contract), builder.load(s), contract), s)
            half = many(ir.Constant(f64, -0.5))
            for a in range(TILE // VECTOR):
                e, f = builder.load(sums[2 * a]), builder.load(sums[2 * a + 1])
                squares = builder.fadd(builder.fmul(e, e, contract), builder.fmul(f, f, contract), contract)
                target = place(row, shifted(i, a * VECTOR))
                exponent = builder.fadd(builder.fmul(half, squares, contract), builder.load(target, align=8), contract)
                builder.store(exponent, target, align=8)
        return context.get_dummy_value()

    return types.void(picked, count, z, m, row), code


@compiled
def add_quadratic(G, d, rows, z, picked, observed, block, m, row):
    """row (m,) -= 1/2 (G z)^2, summed over residual rows (rows, of d): two at a time, so that z is read half as often.

    picked (3 observed).
    """
    for r in range(0, rows, 2):
        g, h = at(G, r * d), at(G, min(r + 1, rows - 1) * d)
        both = 1.0 if r + 1 < rows else 0.0
        count = 0  # a diagonal B has two entries in d: pick them out
        for j in range(observed):
            if g[j] != 0.0 or h[j] != 0.0:
                picked[3 * count] = j * block
                picked[3 * count + 1] = g[j]
                picked[3 * count + 2] = h[j] * both
                count += 1
        subtract_squares(picked, count, z, m, row)


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

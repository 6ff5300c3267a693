"""The row pass, as plain loops over flat memory: what numba compiles, once per machine, for every model there is.

Users wait for the compiler, so nothing here has an array type: raw pointers and offsets (as `pack` in `kernels.py` lays them
out), no allocation, no exception, no library call. Inner loops run over the rows of a block, which are contiguous, so that they
vectorise.

Everything is formed from residuals B_k (v - rho_k), never from expanded squares. With a triangular B that is the same number of
multiplications as two matrix products over the monomials of the row, and there is no cancellation to guard against.

All of it stays in this one file: numba's cache looks at the file of the outermost function only, so a helper elsewhere could
change and the old machine code would still be loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
from numba import types
from numba.extending import intrinsic

LOG_2PI = math.log(2 * math.pi)
NEGLIGIBLE = -700.0  # exp of less is a denormal number: it counts for nothing and costs a hundred times a normal one
FAR = 4e4  # squared distance, in standard deviations, from which B M loses more than 1e-11 of its size in float64
SOFT, HARD, GRADIENT = 0, 1, 2

# header of `index`: sizes, then where each part starts
SIZES = ("rows", "d", "K", "L", "flat", "levelled", "evidence", "patterns", "open", "block")
INDEX_PARTS = ("x_row", "level", "start", "n_hidden", "order", "n_allowed", "allowed")
DATA_PARTS = ("V", "w", "X", "phi", "E", "weight", "S", "constant")
POSITION = {name: i for i, name in enumerate(SIZES + INDEX_PARTS + DATA_PARTS)}
HEADER = len(POSITION)
N_ROWS, D, K_, L_, N_FLAT, N_LEVELLED, HAS_EVIDENCE, N_PATTERNS, N_OPEN, BLOCK = (POSITION[x] for x in SIZES)
X_ROW, LEVEL, START, N_HIDDEN, ORDER, N_ALLOWED, ALLOWED = (POSITION[x] for x in INDEX_PARTS)
V, W, X, PHI, E, WEIGHT, S_COLLAPSED, CONSTANT = (POSITION[x] for x in DATA_PARTS)

FLOATS, INTS, INT = types.CPointer(types.float64), types.CPointer(types.int64), types.int64
#                          data    index c       B       R    T       rho     mode N       M       S       dB      work
SIGNATURE = types.float64(FLOATS, INTS, FLOATS, FLOATS, INT, FLOATS, FLOATS, INT, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS)
# Reordering sums is allowed only where rows are summed: there it vectorises, elsewhere it would only be more code to compile.
# Infinities are never assumed away: log-probabilities are -inf by right.
OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy", "boundscheck": False}
PART = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "no_rewrites": True}
compiled = numba.njit(**OPTIONS, **PART)
compiled_summing = numba.njit(**(OPTIONS | {"fastmath": {"contract", "reassoc", "nsz"}}), **PART)


def work_size(K: int, d: int, R: int, block: int) -> int:
    """Floats of scratch memory a pass needs: kept in step with the first lines of `row_pass`."""
    return K * block + (d + 1) * block + (d + 3) + 2 * K * R * d + K * d * (d + 3) + K + d * d + K * d


@intrinsic
def at(typingctx, pointer, offset):  # type: ignore[no-untyped-def]
    """The pointer that many elements further on."""
    return pointer(pointer, offset), lambda context, builder, signature, arguments: builder.gep(arguments[0], [arguments[1]])


@compiled
def eliminate(G, R, d, hidden, columns):  # type: ignore[no-untyped-def]
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
def add_hidden(index, G, d, order, hidden, moments, C, hard, M):  # type: ignore[no-untyped-def]
    """M += what hidden coordinates add: C m, C m C' + N P. C = -R_ll^-1 R_lo, P = (R_ll' R_ll)^-1, m the observed moments."""
    observed, stride = d - hidden, d + 3
    mass = moments[(observed - 1) * stride + observed - 1]
    for l in range(hidden - 1, -1, -1):  # back substitution for [C, R_ll^-1], (hidden, d)
        for h in range(d):
            x = -G[l * d + hidden + h] if h < observed else 1.0 if h - observed == l else 0.0
            for j in range(l + 1, hidden):
                x -= G[l * d + j] * C[j * d + h]
            C[l * d + h] = x / G[l * d + l]
    for l in range(hidden):  # [C m, N R_ll^-1] in the rows of the moments that the observed coordinates leave free
        target = index[order + l]
        for h in range(d):
            x = mass * C[l * d + h] if h >= observed and not hard else 0.0
            if h < observed:
                other = index[order + hidden + h]
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
            M[index[order + l] * d + index[order + g]] += x


@compiled
def centre(data, index, z, d, hidden, order, s, m, rho):  # type: ignore[no-untyped-def]
    """z (observed, block) = m rows from s on, their observed coordinates about rho (d,)."""
    n, block, source = index[N_ROWS], index[BLOCK], index[V] + s
    for j in range(d - hidden):
        column = index[order + hidden + j]
        x = rho[column]
        for i in range(m):  # data[source + i] is 1, but in the rows of a collapsed pattern
            z[j * block + i] = data[source + column * n + i] - data[source + i] * x


@compiled
def add_quadratic(G, z, e, picked, observed, block, m, row):  # type: ignore[no-untyped-def]
    """row (m,) -= 1/2 (G z)^2 of one residual row G (observed,)."""
    count = 0  # a diagonal B has two entries in d: pick them out, and take them in fours
    for j in range(observed):
        if G[j] != 0.0:
            picked[count] = j
            count += 1
    for i in range(m):
        e[i] = 0.0
    for j in range(0, count, 4):
        j0, j1 = int(picked[j]), int(picked[min(j + 1, count - 1)])
        j2, j3 = int(picked[min(j + 2, count - 1)]), int(picked[min(j + 3, count - 1)])
        g0, g1 = G[j0], G[j1] if j + 1 < count else 0.0
        g2, g3 = G[j2] if j + 2 < count else 0.0, G[j3] if j + 3 < count else 0.0
        z0, z1, z2, z3 = at(z, j0 * block), at(z, j1 * block), at(z, j2 * block), at(z, j3 * block)
        for i in range(m):
            e[i] += g0 * z0[i] + g1 * z1[i] + g2 * z2[i] + g3 * z3[i]
    for i in range(m):
        row[i] -= 0.5 * e[i] * e[i]


@compiled
def add_terms(data, index, T, k, s, m, row):  # type: ignore[no-untyped-def]
    """row (m,) += log-evidence and table terms of configuration k. A table entry may be -inf: never 0 x -inf."""
    n, K = index[N_ROWS], index[K_]
    if index[HAS_EVIDENCE]:
        source = index[E] + k * n + s
        for i in range(m):
            row[i] += data[source + i]
    for f in range(index[N_FLAT]):
        t = T[index[index[X_ROW] + f] * K + k]
        source = index[X] + f * n + s
        for i in range(m):
            x = data[source + i]
            row[i] += t * x if x != 0.0 else 0.0
    for f in range(index[N_LEVELLED]):
        source, level = index[PHI] + f * n + s, index[LEVEL] + f * n + s
        for i in range(m):
            x = data[source + i]
            if x != 0.0:
                row[i] += x * T[index[level + i] * K + k]


@compiled
def responsibilities(w, n_allowed, block, m, hard, lp):  # type: ignore[no-untyped-def]
    """lp (allowed, block): log-probabilities, overwritten by w times the responsibilities. Returns the rows' log-likelihood."""
    ll = 0.0
    for i in range(m):
        top = -math.inf
        for a in range(n_allowed):
            top = max(top, lp[a * block + i])
        if w[i] == 0.0:
            for a in range(n_allowed):
                lp[a * block + i] = 0.0
            continue
        if top == -math.inf:
            return top  # probability zero in every configuration
        total = 0.0
        for a in range(n_allowed):
            x = lp[a * block + i] - top
            if hard:
                x = 1.0 if x == 0.0 and total == 0.0 else 0.0  # the first of equals
            else:
                x = 0.0 if x < NEGLIGIBLE else math.exp(x)
            lp[a * block + i] = x
            total += x
        ll += w[i] * (top + math.log(total))
        for a in range(n_allowed):
            lp[a * block + i] *= w[i] / total
    return ll


@compiled_summing
def add_statistics(data, index, z, e, observed, k, s, m, row, moments, S):  # type: ignore[no-untyped-def]
    """S += and moments (upper triangle) += the m rows weighted by row (m,) = w r of configuration k."""
    n, K, block, stride = index[N_ROWS], index[K_], index[BLOCK], index[D] + 3
    for f in range(index[N_FLAT]):
        source = index[X] + f * n + s
        x = 0.0
        for i in range(m):
            x += row[i] * data[source + i]
        S[index[index[X_ROW] + f] * K + k] += x
    for f in range(index[N_LEVELLED]):
        source, level = index[PHI] + f * n + s, index[LEVEL] + f * n + s
        for i in range(m):
            x = data[source + i]
            if x != 0.0:
                S[index[level + i] * K + k] += row[i] * x
    for j in range(observed):
        z0 = at(z, j * block)
        for i in range(m):
            e[i] = row[i] * z0[i]
        for h in range(j, observed, 4):  # past the last column, the last again into cells nobody reads
            z0, z1 = at(z, h * block), at(z, min(h + 1, observed - 1) * block)
            z2, z3 = at(z, min(h + 2, observed - 1) * block), at(z, min(h + 3, observed - 1) * block)
            m0, m1, m2, m3 = 0.0, 0.0, 0.0, 0.0
            for i in range(m):
                x = e[i]
                m0 += x * z0[i]
                m1 += x * z1[i]
                m2 += x * z2[i]
                m3 += x * z3[i]
            target = at(moments, j * stride + h)
            target[0] += m0
            target[1] += m1
            target[2] += m2
            target[3] += m3


@compiled
def shift_to_means(d, K, R, B, N, M, rho, shifted):  # type: ignore[no-untyped-def]
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
def to_gradient(d, K, R, B, M, rho, dB):  # type: ignore[no-untyped-def]
    """dB = -B M, brought back from the reference points to the centre: there, B~[:, 0] = B[:, 0] + B[:, 1:] rho."""
    for k in range(K):
        for r in range(R):
            target = (k * R + r) * d
            for j in range(d):
                x = 0.0
                for h in range(d):
                    x -= B[target + h] * M[(k * d + h) * d + j]
                dB[target + j] = x
            for j in range(1, d):
                dB[target + j] += dB[target] * rho[k * d + j]


def make_row_pass(eliminating: bool) -> Callable[..., float]:
    """The pass over all rows. Where no pattern hides a coordinate, the code for that is left out: a fifth of the compile time."""

    def row_pass(data, index, c, B, R, T, rho, mode, N, M, S, dB, work):  # type: ignore[no-untyped-def]
        """Log-likelihood; fills N (K,), M (K, d, d), S (L, K), in gradient mode dB (K, R, d) too."""
        d, K, L, block, hard = index[D], index[K_], index[L_], index[BLOCK], mode == HARD
        stride = d + 3  # room for the last group of four columns
        buffer = work  # (K, block) log p of the rows, then w times their responsibilities
        z = at(buffer, K * block)  # (d, block) observed coordinates about the reference point
        e = at(z, d * block)  # (block,) one residual, or one column of z times the responsibilities
        picked = at(e, block)  # (d + 3,) where a residual row is not zero
        G = at(picked, stride)  # (K, R, d) B in the pattern's order: hidden columns first, the constant last
        moments = at(G, K * R * d)  # (K, d, d + 3) sum of w r z z', observed coordinates
        constant = at(moments, K * d * stride)  # (K,) log-integral over the hidden coordinates
        C = at(constant, K)  # (hidden, d) conditional map
        if mode == GRADIENT:  # B is about the plan's centre
            rho = at(C, d * d)
            for i in range(K * d):
                rho[i] = 0.0
        for attempt in range(2):
            ll = 0.0
            for i in range(K):
                N[i] = 0.0
            for i in range(K * d * d):
                M[i] = 0.0
            for i in range(L * K):
                S[i] = 0.0
            for p in range(index[N_PATTERNS]):
                hidden, order = index[index[N_HIDDEN] + p], index[ORDER] + p * d
                n_allowed, allowed = index[index[N_ALLOWED] + p], index[ALLOWED] + p * K
                observed = d - hidden
                for a in range(n_allowed):
                    k = index[allowed + a]
                    for r in range(R):
                        for j in range(d):
                            G[(a * R + r) * d + j] = B[(k * R + r) * d + index[order + j]]
                    for i in range(d * stride):
                        moments[a * d * stride + i] = 0.0
                    constant[a] = 0.0
                    if eliminating:  # with many rows the whole triangle pays: half the multiplications a row
                        many = index[index[START] + p + 1] - index[index[START] + p] > 2 * d
                        x = eliminate(at(G, a * R * d), R, d, hidden, min(R, d) if many and hidden > 0 else hidden)
                        if x == math.inf:
                            return x
                        constant[a] = 0.0 if hard else x
                if p >= index[N_OPEN]:  # a collapsed pattern: its rows are the square root of its moments
                    q, k = p - index[N_OPEN], index[allowed]
                    ll += data[index[WEIGHT] + q] * (c[k] + constant[0]) + data[index[CONSTANT] + q]
                    for l in range(L):
                        x = data[index[S_COLLAPSED] + q * L + l]
                        if x != 0.0:  # never 0 x -inf
                            ll += x * T[l * K + k]
                            S[l * K + k] += x
                    if ll == -math.inf:
                        return ll
                for s in range(index[index[START] + p], index[index[START] + p + 1], block):
                    m = min(block, index[index[START] + p + 1] - s)
                    about = -1  # the configuration whose reference point z is about; -2: the centre, for all that have none
                    for pair in range(2 * n_allowed):  # first the log p of each configuration, then the statistics of each
                        a = pair % n_allowed
                        k, row = index[allowed + a], at(buffer, a * block)
                        if pair == n_allowed:
                            x = responsibilities(at(data, index[W] + s), n_allowed, block, m, hard, buffer)
                            if x == -math.inf:
                                return x
                            ll += x
                        point = -2
                        for j in range(d):
                            if rho[k * d + j] != 0.0:
                                point = k
                        if point != about:
                            centre(data, index, z, d, hidden, order, s, m, at(rho, k * d))
                            about = point
                        if pair < n_allowed:
                            x = c[k] + constant[a] if p < index[N_OPEN] else 0.0
                            for i in range(m):
                                row[i] = x
                            for r in range(hidden, R):
                                add_quadratic(at(G, (a * R + r) * d + hidden), z, e, picked, observed, block, m, row)
                            add_terms(data, index, T, k, s, m, row)
                        else:
                            add_statistics(data, index, z, e, observed, k, s, m, row, at(moments, a * d * stride), S)
                for a in range(n_allowed):
                    k = index[allowed + a]
                    mk, Mk = at(moments, a * d * stride), at(M, k * d * d)
                    N[k] += mk[(observed - 1) * stride + observed - 1]  # the constant is the last column
                    for j in range(observed):
                        for h in range(observed):
                            mk[j * stride + h] = mk[min(j, h) * stride + max(j, h)]
                            Mk[index[order + hidden + j] * d + index[order + hidden + h]] += mk[j * stride + h]
                    if eliminating:
                        add_hidden(index, at(G, a * R * d), d, order, hidden, mk, C, hard, Mk)
            if mode != GRADIENT:
                break
            if attempt == 0 and shift_to_means(d, K, R, B, N, M, rho, at(rho, K * d)):
                B = at(rho, K * d)
            else:
                to_gradient(d, K, R, B, M, rho, dB)
                break
        return ll

    return row_pass

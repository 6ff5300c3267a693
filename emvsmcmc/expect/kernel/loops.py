"""The row pass, as plain loops over flat memory: what numba compiles, once per machine, for every model there is.

Users wait for the compiler, so nothing here has an array type: raw pointers and offsets (as `pack` in `pack.py` lays them
out), no allocation, no exception, no library call. Inner loops run over the rows of a block, which are contiguous, so that they
vectorise.

Everything is formed from residuals B_k (v - rho_k), never from expanded squares. With a triangular B that is the same number of
multiplications as two matrix products over the monomials of the row, and there is no cancellation to guard against.

Numba's cache looks at the file of the outermost function and at what its closure holds: the version there stands for the rest.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from numba import types

from . import parts as kernel_parts
from . import radial as kernel_radial
from .parts import (
    TILE,
    add_hidden,
    add_quadratic,
    aligned,
    at,
    compiled,
    compiled_summing,
    eliminate,
    exponentiate,
    logarithm,
    shift_to_means,
    to_gradient,
)
from .radial import add_log_density, add_moments, add_slope, expected_scales, locate, mirror, residual, squared_length

SOFT, HARD, GRADIENT = 0, 1, 2

# header of `index`: sizes, then where each part starts
ROW_SIZES = ("version", "rows", "d", "K", "L", "flat", "levelled", "evidence", "patterns", "open", "block", "hidden")
RADIAL_SIZES = ("radial", "groups")  # radial rows, and the groups that they come in
SIZES = ROW_SIZES + RADIAL_SIZES
ROW_PARTS = ("x_row", "level", "start", "n_hidden", "order", "n_allowed", "allowed")
RADIAL_PARTS = ("radial_start", "radial_column", "reads_start", "reads")
INDEX_PARTS = ROW_PARTS + RADIAL_PARTS
DATA_PARTS = ("V", "w", "X", "phi", "E", "weight", "S", "constant")
POSITION = {name: i for i, name in enumerate(SIZES + INDEX_PARTS + DATA_PARTS)}
HEADER = len(POSITION)
VERSION_, N_ROWS, D, K_, L_, N_FLAT, N_LEVELLED, HAS_EVIDENCE, N_PATTERNS, N_OPEN, BLOCK, ANY_HIDDEN = (
    POSITION[x] for x in ROW_SIZES
)
N_RADIAL, N_GROUPS = (POSITION[x] for x in RADIAL_SIZES)
X_ROW, LEVEL, START, N_HIDDEN, ORDER, N_ALLOWED, ALLOWED = (POSITION[x] for x in ROW_PARTS)
RADIAL_START, RADIAL_COLUMN, READS_START, READS = (POSITION[x] for x in RADIAL_PARTS)
V, W, X, PHI, E, WEIGHT, S_COLLAPSED, CONSTANT = (POSITION[x] for x in DATA_PARTS)

FLOATS, INTS, INT = types.CPointer(types.float64), types.CPointer(types.int64), types.int64
#                          data    index c       B       R    T       rho     mode N       M       S       dB      work
SIGNATURE = types.float64(FLOATS, INTS, FLOATS, FLOATS, INT, FLOATS, FLOATS, INT, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS)


def fingerprint(*files: str | Path) -> str:
    """Short hash of source files: a version number that nobody can forget to raise."""
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:12]


# Machine code is cached under this number, and refuses rows that carry another: positions read in the wrong place end in a crash.
VERSION = int(fingerprint(__file__, kernel_parts.__file__, kernel_radial.__file__), 16)


def work_size(K: int, d: int, R: int, block: int) -> int:
    """Floats of scratch memory a pass needs: kept in step with the first lines of `row_pass`."""
    return 8 + K * block + (d + 3) * block + 3 * (d + 3) + 2 * K * R * d + K * d * (d + 3) + K + d * d + K * d + d


@compiled
def centre(data, index, z, d, hidden, order, s, m, rho):
    """z (observed, block) = m rows from s on, their observed coordinates about rho (d,)."""
    n, block, source = index[N_ROWS], index[BLOCK], index[V] + s
    for j in range(d - hidden):
        column = index[order + hidden + j]
        x = rho[column]
        for i in range(m):  # data[source + i] is 1, but in the rows of a collapsed pattern
            z[j * block + i] = data[source + column * n + i] - data[source + i] * x


@compiled
def add_terms(data, index, T, k, s, m, row):
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


@compiled_summing
def responsibilities(w, n_allowed, block, m, hard, lp, top, total):
    """lp (allowed, block): log-probabilities, overwritten by w times the responsibilities. Returns the rows' log-likelihood."""
    for i in range(m):
        top[i] = lp[i]
        total[i] = 0.0
    for a in range(1, n_allowed):
        row = at(lp, a * block)
        for i in range(m):
            top[i] = max(top[i], row[i])
    impossible = 0.0
    for i in range(m):  # probability zero in every configuration matters where there is a weight
        impossible += abs(w[i]) if top[i] == -math.inf else 0.0
        top[i] = 0.0 if top[i] == -math.inf else top[i]
    if impossible != 0.0:
        return -math.inf
    for a in range(n_allowed):
        row = at(lp, a * block)
        if hard:
            for i in range(m):
                row[i] = 1.0 if row[i] == top[i] and total[i] == 0.0 else 0.0  # the first of equals
                total[i] += row[i]
        else:
            exponentiate(m, row, top, total)
    ll = 0.0
    for i in range(m):
        x = total[i] if total[i] != 0.0 else 1.0
        ll += w[i] * (top[i] + logarithm(x))
        total[i] = w[i] / x
    for a in range(n_allowed):
        row = at(lp, a * block)
        for i in range(m):
            row[i] *= total[i]
    return ll


@compiled_summing
def add_statistics(data, index, z, e, observed, k, s, m, row, moments, S):
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
    f = at(e, block)
    for j in range(0, observed, 2):  # two columns at a time against four: each is read half as often
        last = observed - 1
        z0, z1 = at(z, j * block), at(z, min(j + 1, last) * block)
        for i in range(m):
            e[i] = row[i] * z0[i]
            f[i] = row[i] * z1[i]
        target, below = at(moments, j * stride), at(moments, min(j + 1, last) * stride)
        for h in range(j, observed, 4):  # past the last column, the last again into cells nobody reads
            z0, z1 = at(z, h * block), at(z, min(h + 1, last) * block)
            m0, m1, n0, n1 = 0.0, 0.0, 0.0, 0.0
            if h + 1 >= last:
                for i in range(m):
                    x, y = e[i], f[i]
                    m0 += x * z0[i]
                    m1 += x * z1[i]
                    n0 += y * z0[i]
                    n1 += y * z1[i]
            else:
                z2, z3 = at(z, (h + 2) * block), at(z, min(h + 3, last) * block)
                m2, m3, n2, n3 = 0.0, 0.0, 0.0, 0.0
                for i in range(m):
                    x, y = e[i], f[i]
                    m0 += x * z0[i]
                    m1 += x * z1[i]
                    m2 += x * z2[i]
                    m3 += x * z3[i]
                    n0 += y * z0[i]
                    n1 += y * z1[i]
                    n2 += y * z2[i]
                    n3 += y * z3[i]
                target[h + 2] += m2
                target[h + 3] += m3
                if j < last:
                    below[h + 2] += n2
                    below[h + 3] += n3
            target[h] += m0
            target[h + 1] += m1
            if j < last:
                below[h] += n0
                below[h + 1] += n1


def make_row_pass(eliminating: bool, radial: bool = False, version: int = VERSION) -> Callable[..., float]:
    """The pass over all rows. Where no pattern hides a coordinate, the code for that is left out: a fifth of the compile time.
    So is the code for radial rows where there are none.

    t radial rows, in g groups, are the last of B. What belongs to the groups stands behind what every pass has: nu (K, g) behind
    T, U (K, g, d, d) behind M (not in gradient mode), and behind S the sums (K, g) of w r (log E[u] - E[u] + 1).
    """

    def row_pass(data, index, c, B, R, T, rho, mode, N, M, S, dB, work):
        """Log-likelihood; fills N (K,), M (K, d, d), S (L, K), in gradient mode dB (K, R, d) too."""
        if index[VERSION_] != version:
            return math.nan
        d, K, L, block, hard = index[D], index[K_], index[L_], index[BLOCK], mode == HARD
        taken = block - block % TILE  # rows of a block; what is left keeps columns apart in the cache
        stride = d + 3  # room for the last group of four columns
        buffer = aligned(work)  # (K, block) log p of the rows, then w times their responsibilities
        z = at(buffer, K * block)  # (d, block) observed coordinates about the reference point
        e = at(z, d * block)  # (block,) one residual, or one column of z times the responsibilities
        total = at(e, block)  # (block,) sum over configurations
        square = at(total, block)  # (block,) squared length of the residuals of a group of radial rows
        picked = at(square, block)  # (3 d + 9,) what is not zero in two residual rows, and where
        G = at(picked, 3 * stride)  # (K, R, d) B in the pattern's order: hidden columns first, the constant last
        moments = at(G, K * R * d)  # (K, d, d + 3) sum of w r z z', observed coordinates
        constant = at(moments, K * d * stride)  # (K,) log-integral over the hidden coordinates
        C = at(constant, K)  # (hidden, d) conditional map
        quadratic = R
        if radial:
            groups = index[N_GROUPS]
            quadratic = R - index[N_RADIAL]
            nu, U, logs = at(T, L * K), at(M, K * d * d), at(S, L * K)
            where = at(C, d * d + K * d + K * R * d)  # (d,) columns of z
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
            if radial:
                for i in range(K * groups):
                    logs[i] = 0.0
                if mode == GRADIENT:
                    for i in range(K * R * d):
                        dB[i] = 0.0
                else:
                    for i in range(K * groups * d * d):
                        U[i] = 0.0
            for p in range(index[N_PATTERNS]):
                hidden, order = index[index[N_HIDDEN] + p], index[ORDER] + p * d
                n_allowed, allowed = index[index[N_ALLOWED] + p], index[ALLOWED] + p * K
                observed = d - hidden
                if n_allowed == 0:
                    return -math.inf
                if radial:
                    locate(index, order, d, hidden, where)
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
                        x = eliminate(
                            at(G, a * R * d), quadratic, d, hidden, min(quadratic, d) if many and hidden > 0 else hidden
                        )
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
                for s in range(index[index[START] + p], index[index[START] + p + 1], taken):
                    m = min(taken, index[index[START] + p + 1] - s)
                    about = -1  # the configuration whose reference point z is about; -2: the centre, for all that have none
                    for pair in range(2 * n_allowed):  # first the log p of each configuration, then the statistics of each
                        a = pair % n_allowed
                        k, row = index[allowed + a], at(buffer, a * block)
                        if pair == n_allowed:
                            x = responsibilities(at(data, index[W] + s), n_allowed, block, m, hard, buffer, e, total)
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
                            residuals = at(G, (a * R + hidden) * d + hidden)
                            add_quadratic(residuals, d, quadratic - hidden, z, picked, observed, block, m, row)
                            add_terms(data, index, T, k, s, m, row)
                        else:
                            add_statistics(data, index, z, e, observed, k, s, m, row, at(moments, a * d * stride), S)
                        if radial:
                            for j in range(groups):
                                reads, first = index[READS] + index[index[READS_START] + j], index[index[RADIAL_START] + j]
                                count = index[index[READS_START] + j + 1] - index[index[READS_START] + j]
                                p_rows, first = index[index[RADIAL_START] + j + 1] - first, (k * R + quadratic + first) * d
                                there = at(data, index[X] + index[index[RADIAL_COLUMN] + j] * index[N_ROWS] + s)
                                x = nu[k * groups + j]
                                squared_length(index, reads, count, at(B, first), p_rows, d, z, where, block, m, e, square)
                                if pair < n_allowed:
                                    add_log_density(there, x, p_rows, square, m, row)
                                    continue
                                logs[k * groups + j] += expected_scales(there, x, p_rows, square, m, row, total)
                                if mode == GRADIENT:
                                    for r in range(p_rows):
                                        if p_rows > 1:  # else e is that of the only row
                                            residual(index, reads, count, at(B, first + r * d), z, where, block, m, e)
                                        add_slope(index, reads, count, z, where, block, m, total, e, at(dB, first + r * d))
                                else:
                                    Ukj = at(U, (k * groups + j) * d * d)
                                    add_moments(index, reads, count, z, where, d, block, m, total, Ukj)
                for a in range(n_allowed):
                    k = index[allowed + a]
                    mk, Mk = at(moments, a * d * stride), at(M, k * d * d)
                    N[k] += mk[(observed - 1) * stride + observed - 1]  # the constant is the last column
                    for j in range(observed):
                        for h in range(observed):
                            mk[j * stride + h] = mk[min(j, h) * stride + max(j, h)]
                            Mk[index[order + hidden + j] * d + index[order + hidden + h]] += mk[j * stride + h]
                    if eliminating:
                        add_hidden(at(G, a * R * d), d, at(index, order), hidden, mk, C, hard, Mk)
            if mode != GRADIENT:
                break
            if attempt == 0 and shift_to_means(d, K, R, B, N, M, rho, at(rho, K * d)):
                B = at(rho, K * d)
            else:
                to_gradient(d, K, R, quadratic, B, M, rho, dB)
                break
        if radial and mode != GRADIENT:
            for i in range(K * groups):
                j = i % groups
                first, last = index[index[READS_START] + j], index[index[READS_START] + j + 1]
                mirror(index, index[READS] + first, last - first, d, at(U, i * d * d))
        return ll

    return row_pass

"""The compiled row pass as numpy sees it: pack a layout once, then `expect_compiled` or `expected_gradient` as often as wanted.

This module imports numba, so whoever needs it imports it late. The machine code is made at first use, kept in numba's cache on
disk and the same for every model: neither data nor sizes are compiled in.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import llvmlite.binding
import numba
import numpy as np

from ..layout import Array, Coefficients, Layout, Statistics
from ..radial import expected_logs, nu_gradient
from . import loops
from .parts import OPTIONS

Packed = tuple[Array, Array]  # floats (float64) and ints (int64)

# Callers are compiled and cached with this name in them, and with sizes and offsets: those made for other loops must not find it.
SIMPLE, GENERAL, RADIAL = range(3)  # False and True are the first two: whether patterns hide coordinates
SYMBOLS = {i: f"emvsmcmc_row_pass_{name}_{loops.VERSION:x}" for i, name in enumerate(("simple", "general", "radial"))}
BLOCK_FLOATS = 2**12  # a block of rows, (d + 3, block): in the first cache
WORK_FLOATS = 2**15  # log-probabilities of a block, (K, block): they should stay in the processor's second cache


def pack(layout: Layout, K: int) -> Packed:
    """A layout of K configurations as two flat vectors: float64 data, and int64 sizes, offsets and indices.

    Columns become contiguous. A collapsed pattern becomes a pattern with one allowed configuration and d rows, those of its R:
    their squares sum to its moments, so the pass treats them like other rows. Its weight, S and constant are kept beside them.

    Raises ValueError where patterns are collapsed although there are radial rows.
    """
    n, d = layout.V.shape
    collapsed, radial = layout.collapsed, layout.radial
    if len(radial.column) and len(collapsed.weight):
        raise ValueError("radial rows weight every row anew: their patterns cannot be collapsed")
    kept = np.flatnonzero(collapsed.weight > 0)  # without weight, nothing is contributed: not even 0 x -inf
    p, q, m = len(layout.start) - 1, len(kept), len(kept) * d
    hidden = np.concatenate([layout.hidden.reshape(p, d), collapsed.hidden[kept].reshape(q, d)]).astype(bool)
    one = np.arange(K) == collapsed.configuration[kept][:, None]
    allowed = np.concatenate([layout.allowed.reshape(p, K), one]).astype(bool)
    # hidden coordinates first, then the observed ones backwards: the constant comes last
    order = np.argsort(np.where(hidden, np.arange(d), 3 * d - np.arange(d)), axis=1)
    # an odd number of cache lines, so that the rows of the work memory do not all fall on the same few
    lines = max(3, min(31, WORK_FLOATS // (8 * K), BLOCK_FLOATS // (8 * (d + 3))))
    sizes = {
        "version": loops.VERSION,
        "rows": n + m,
        "d": d,
        "K": K,
        "L": layout.n_tables,
        "flat": layout.X.shape[1],
        "levelled": layout.phi.shape[1],
        "evidence": len(layout.E) > 0,
        "patterns": p + q,
        "open": p,
        "block": 8 * (lines - 1 + lines % 2),
        "hidden": hidden.any(),
        "radial": len(radial.own),
        "groups": len(radial.column),
    }

    def columns(x: Array, fill: float = 0.0) -> Array:
        return np.concatenate([x, np.full((m, *x.shape[1:]), fill, dtype=x.dtype)]).T

    index = {
        "x_row": layout.x_row,
        "level": columns(layout.level),
        "start": np.concatenate([layout.start, n + d * np.arange(1, q + 1)]),
        "n_hidden": hidden.sum(1),
        "order": order,
        "n_allowed": allowed.sum(1),
        "allowed": np.argsort(~allowed, axis=1, kind="stable"),
        "radial_start": radial.start,
        "radial_column": radial.column,
        "reads_start": np.concatenate([[0], np.cumsum(radial.reads.sum(axis=1))]),
        "reads": np.nonzero(radial.reads)[1],
    }
    data = {
        "V": np.concatenate([layout.V, collapsed.R[kept].reshape(m, d)]).T,
        "w": columns(layout.w, 1.0),
        "X": columns(layout.X),
        "phi": columns(layout.phi),
        "E": columns(layout.E) if len(layout.E) else layout.E,
        "weight": collapsed.weight[kept],
        "S": collapsed.S[kept],
        "constant": collapsed.constant[kept],
    }
    header = np.zeros(loops.HEADER, dtype=np.int64)
    for name, size in sizes.items():
        header[loops.POSITION[name]] = size
    for parts, at in ((index, loops.HEADER), (data, 0)):
        for name, part in parts.items():
            header[loops.POSITION[name]] = at
            at += np.size(part)
    ints = [np.ravel(part).astype(np.int64) for part in index.values()]
    return np.concatenate([np.ravel(part).astype(np.float64) for part in data.values()]), np.concatenate([header, *ints])


_passes: dict[int, tuple[Any, Callable[..., float]]] = {}  # numba's object beside the callable: without it the code is freed
_lock = Lock()


def row_pass(kind: int) -> Callable[..., float]:
    """The compiled pass (`kernel_loops.SIGNATURE`, pointers as integers), also registered under its name in `SYMBOLS`.

    kind : SIMPLE, GENERAL or RADIAL.

    Callers that are compiled and cached themselves keep the name, since an address is another one in the next process. It has to
    be registered before such a caller is loaded: one that finds no symbol takes the process down with it.
    """
    with _lock:
        if kind not in _passes:
            source = loops.make_row_pass(kind != SIMPLE, kind == RADIAL)
            try:
                kernel = numba.cfunc(loops.SIGNATURE, cache=True, **OPTIONS)(source)
            except RuntimeError:  # nowhere to write a cache: every process compiles
                kernel = numba.cfunc(loops.SIGNATURE, **OPTIONS)(source)
            llvmlite.binding.add_symbol(SYMBOLS[kind], kernel.address)
            pointer, size = ctypes.c_void_p, ctypes.c_int64
            kinds = [pointer] * 4 + [size] + [pointer] * 2 + [size] + [pointer] * 5
            _passes[kind] = kernel, ctypes.CFUNCTYPE(ctypes.c_double, *kinds)(kernel.address)
        return _passes[kind][1]


@dataclass(frozen=True)
class _Result:
    """What a pass fills. slope is dB (K, R, d), in gradient mode only; groups of radial rows have U (K, g, d, d), in the other
    modes, and W (K, g).
    """

    value: float
    N: Array
    M: Array
    S: Array
    slope: Array | None
    U: Array
    W: Array


def _run(
    packed: Packed,
    c: Array,
    B: Array,
    T: Array,
    rho: Array | None,
    mode: int,
    general: bool | None = None,
    nu: Array | None = None,
) -> _Result:
    """One call of the compiled pass: allocates the results, and checks what would otherwise read past the end of an array."""
    floats, ints = np.ascontiguousarray(packed[0], dtype=np.float64), np.ascontiguousarray(packed[1], dtype=np.int64)
    c, B, T = (np.ascontiguousarray(x, dtype=np.float64) for x in (c, B, T))
    d, K, L, block, hidden = (int(ints[i]) for i in (loops.D, loops.K_, loops.L_, loops.BLOCK, loops.ANY_HIDDEN))
    if ints[loops.VERSION_] != loops.VERSION:
        raise ValueError("the rows were packed by another version of the pass: pack them again")
    if c.shape != (K,) or B.ndim != 3 or B.shape[::2] != (K, d) or T.shape != (L, K):
        raise ValueError(f"the rows take c {(K,)}, B ({K}, R, {d}) and T {(L, K)}; got {c.shape}, {B.shape} and {T.shape}")
    t, g = int(ints[loops.N_RADIAL]), int(ints[loops.N_GROUPS])
    nu = np.zeros((K, 0)) if nu is None else np.ascontiguousarray(nu, dtype=np.float64)
    if nu.shape != (K, g) or B.shape[1] < t:
        raise ValueError(f"the rows take nu {(K, g)}, and B with {t} radial rows; got {nu.shape} and {B.shape}")
    if hidden and general is False and not t:
        raise ValueError("patterns with hidden coordinates need the general pass; got the simple one")
    gradient = mode == loops.GRADIENT
    # what belongs to radial rows stands behind what every pass has
    N, M, S = np.empty(K), np.empty(K * d * d * (1 if gradient else 1 + g)), np.empty(L * K + K * g)
    dB = np.zeros_like(B) if gradient else None
    work = np.empty(loops.work_size(K, d, B.shape[1], block))
    if rho is not None:
        rho = np.ascontiguousarray(rho, dtype=np.float64)
        if rho.shape != (K, d):
            raise ValueError(f"the rows take rho {(K, d)}; got {rho.shape}")
    tables = np.concatenate([T.ravel(), nu.ravel()]) if t else T
    memory = [None if x is None else x.ctypes.data for x in (floats, ints, c, B, tables, rho, N, M, S, dB, work)]
    kernel = row_pass(RADIAL if t else int(bool(hidden) if general is None else general))
    value = kernel(*memory[:4], B.shape[1], *memory[4:6], mode, *memory[6:])
    U = np.zeros((K, g, d, d)) if gradient else M[K * d * d :].reshape(K, g, d, d)
    return _Result(value, N, M[: K * d * d].reshape(K, d, d), S[: L * K].reshape(L, K), dB, U, S[L * K :].reshape(K, g))


def _radial_counts(packed: Packed, S: Array) -> tuple[Array, Array]:
    """(K, g) sum of w r over the rows whose value is there, the statistic of the constant of each group of radial rows; and (g,)
    the rows of each.
    """
    ints = packed[1]
    first, start, g = ints[loops.RADIAL_COLUMN], ints[loops.RADIAL_START], ints[loops.N_GROUPS]
    return S[ints[ints[loops.X_ROW] + ints[first : first + g]]].T, np.diff(ints[start : start + g + 1])


def expect_compiled(packed: Packed, coefficients: Coefficients, hard: bool = False) -> tuple[float, Statistics]:
    """Log-likelihood of all rows and their expected complete-data statistics, for `packed = pack(layout, K)`.

    N_k = sum w r, M_k = sum w r E[v v'] about rho_k, S = sum w r phi at each table row, with r the responsibilities: the gradient
    of the log-likelihood with respect to c, B (through -B M) and T. Fisher's identity: the score of the observed data is the
    expected score of the complete data. U and L are those of radial rows.

    `hard`: each row goes wholly to its likeliest configuration (the first of equals), hidden coordinates to their conditional
    mean, and the log-likelihood is that of the data so completed.

    The log-likelihood is -inf where a row has probability zero in every configuration, and +inf where no residual row holds a
    hidden coordinate (its distribution is improper); the statistics are then unfinished.

    Raises ValueError where shapes do not fit the rows.
    """
    mode = loops.HARD if hard else loops.SOFT
    C = coefficients
    if not C.nu.shape[1]:
        sums = _run(packed, C.c, C.B, C.T, C.rho, mode)
        return sums.value, Statistics(N=sums.N, M=sums.M, S=sums.S, rho=C.rho)
    sums = _run(packed, C.c, np.concatenate([C.B, C.A], axis=1), C.T, C.rho, mode, nu=C.nu)
    counts, lengths = _radial_counts(packed, sums.S)
    L = expected_logs(sums.W, counts, C.nu, lengths)
    return sums.value, Statistics(N=sums.N, M=sums.M, S=sums.S, rho=C.rho, U=sums.U, L=L)


def expected_gradient(
    packed: Packed, c: Array, B: Array, T: Array, general: bool | None = None, nu: Array | None = None
) -> tuple[Any, ...]:
    """Log-likelihood and its gradient dc = N (K,), dB = -B M (K, R, d), dT = S (L, K), for B about the plan's centre.

    Where the configurations lie so many standard deviations from the centre that B M would cancel, the rows are passed a second
    time, about each configuration's mean. `general` picks the compiled pass (None: whichever the rows need). Infinite
    log-likelihoods and errors as in `expect_compiled`.

    Radial rows are the last of B; with `nu` (K, g) of their groups comes its gradient too, T held (T has the constant of nu as
    well).
    """
    sums = _run(packed, c, B, T, None, loops.GRADIENT, general, nu)
    assert sums.slope is not None
    if nu is None:
        return sums.value, sums.N, sums.slope, sums.S
    counts, lengths = _radial_counts(packed, sums.S)
    return sums.value, sums.N, sums.slope, sums.S, nu_gradient(sums.W, counts, np.asarray(nu), lengths)

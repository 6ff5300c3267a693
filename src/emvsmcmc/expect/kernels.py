"""The compiled row pass as numpy sees it: pack a layout once, then `expect_compiled` or `expected_gradient` as often as you like.

This module imports numba, so whoever needs it imports it late. The machine code is made at first use, kept in numba's cache on disk
and the same for every model: neither data nor sizes are compiled in.
"""

from __future__ import annotations

import ctypes
from functools import cache

import llvmlite.binding
import numba
import numpy as np

from emvsmcmc.expect import kernel_loops as loops
from emvsmcmc.expect.layout import Array, Coefficients, Layout, Statistics

SYMBOL = "emvsmcmc_row_pass_1"  # change the number whenever the signature or the meaning of an argument changes
WORK_FLOATS = 2**15  # log-probabilities of a block, (K, block): they should stay in the processor's second cache


def pack(layout: Layout, K: int) -> tuple[Array, Array]:
    """A layout as two flat vectors, (floats, ints): float64 data, and int64 sizes, offsets and indices.

    Columns become contiguous. A collapsed pattern becomes a pattern of d rows, the rows of its R (their squares sum to its moments,
    so the pass treats them like any other row), and one allowed configuration; its weight, S and constant are kept beside them.
    """
    n, d = layout.V.shape
    collapsed = layout.collapsed
    kept = np.flatnonzero(collapsed.weight > 0)  # without weight, nothing is contributed: not even 0 x -inf
    p, q, m = len(layout.hidden), len(kept), len(kept) * d
    hidden = np.concatenate([layout.hidden.reshape(p, d), collapsed.hidden[kept].reshape(q, d)]).astype(bool)
    allowed = np.concatenate([layout.allowed.reshape(p, K), np.arange(K) == collapsed.configuration[kept][:, None]]).astype(bool)
    # hidden coordinates first, then the observed ones backwards: the constant comes last, and diagonal residuals stay triangular
    order = np.argsort(np.where(hidden, 0, 1) * 2 * d + np.where(hidden, np.arange(d), d - np.arange(d)), axis=1)
    # an odd number of cache lines, so that rows of the work memory do not all fall on the same few
    lines = max(2, min(31, WORK_FLOATS // (8 * K)))
    sizes = {
        "rows": n + m, "d": d, "K": K, "L": layout.n_tables, "flat": layout.X.shape[1], "levelled": layout.phi.shape[1],
        "evidence": len(layout.E) > 0, "patterns": p + q, "open": p, "block": 8 * (lines - 1 + lines % 2),
    }  # fmt: skip

    def extended(x: Array, fill: float = 0.0) -> Array:
        return np.concatenate([x, np.full((m, *x.shape[1:]), fill)]).T

    index = {
        "x_row": layout.x_row,
        "level": extended(layout.level),
        "start": np.concatenate([layout.start, n + d * np.arange(1, q + 1)]) if p else d * np.arange(q + 1),
        "n_hidden": hidden.sum(1),
        "order": order,
        "n_allowed": allowed.sum(1),
        "allowed": np.argsort(~allowed, axis=1, kind="stable"),
    }
    data = {
        "V": np.concatenate([layout.V, collapsed.R[kept].reshape(m, d)]).T,
        "w": extended(layout.w, 1.0),
        "X": extended(layout.X),
        "phi": extended(layout.phi),
        "E": extended(layout.E) if len(layout.E) else np.zeros(0),
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
    ints = np.concatenate([header, *(np.ravel(part).astype(np.int64) for part in index.values())])
    return np.concatenate([np.ravel(part).astype(np.float64) for part in data.values()]), ints


@cache
def row_pass_address() -> int:
    """Address of the compiled pass, also registered under `SYMBOL` for callers that are compiled and cached themselves.

    A name and not the address is what such a caller may keep: an address is another in the next process. It must be registered before
    a cached caller is loaded: a caller that finds no symbol takes the process down.
    """
    try:
        kernel = numba.cfunc(loops.SIGNATURE, cache=True, **loops.OPTIONS)(loops.row_pass)
    except RuntimeError:  # nowhere to write a cache: compile in every process
        kernel = numba.cfunc(loops.SIGNATURE, **loops.OPTIONS)(loops.row_pass)
    llvmlite.binding.add_symbol(SYMBOL, kernel.address)
    return kernel.address


@cache
def _row_pass() -> ctypes._CFuncPtr:  # type: ignore[name-defined]
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    kinds = [pointer] * 4 + [size] + [pointer] * 2 + [size] + [pointer] * 5
    return ctypes.CFUNCTYPE(ctypes.c_double, *kinds)(row_pass_address())


def _run(
    packed: tuple[Array, Array], c: Array, B: Array, T: Array, rho: Array | None, mode: int
) -> tuple[float, Array, Array, Array, Array | None]:
    """One call of the compiled pass: checks what would otherwise read past the end of an array, and allocates the results."""
    floats, ints = (np.ascontiguousarray(x, dtype=kind) for x, kind in zip(packed, (np.float64, np.int64), strict=True))
    c, B, T = (np.ascontiguousarray(x, dtype=np.float64) for x in (c, B, T))
    d, K, L, block = (int(ints[i]) for i in (loops.D, loops.K_, loops.L_, loops.BLOCK))
    if c.shape != (K,) or B.ndim != 3 or B.shape[::2] != (K, d) or T.shape != (L, K):
        raise ValueError(f"rows want c {(K,)}, B ({K}, R, {d}), T {(L, K)}; got {c.shape}, {B.shape}, {T.shape}")
    N, M, S = np.empty(K), np.empty((K, d, d)), np.empty((L, K))
    dB = np.zeros_like(B) if mode == loops.GRADIENT else None
    work = np.empty(loops.work_size(K, d, B.shape[1], block))
    if rho is not None:
        rho = np.ascontiguousarray(rho, dtype=np.float64)
        if rho.shape != (K, d):
            raise ValueError(f"rho must be {(K, d)}; got {rho.shape}")
    memory = [None if x is None else x.ctypes.data for x in (floats, ints, c, B, T, rho, N, M, S, dB, work)]
    ll = _row_pass()(*memory[:4], B.shape[1], *memory[4:6], mode, *memory[6:])
    return ll, N, M, S, dB


def expect_compiled(packed: tuple[Array, Array], coefficients: Coefficients, hard: bool = False) -> tuple[float, Statistics]:
    """Log-likelihood of all rows and their expected complete-data statistics, for `packed = pack(layout, K)`.

    The statistics are the gradient of the log-likelihood (Fisher's identity: the score of the observed data is the expected score of
    the complete data). `hard`: each row goes wholly to its likeliest configuration (the first of equals), hidden coordinates to their
    conditional mean, and the log-likelihood is that of the completed data.

    Returns -inf where a row has probability zero in every configuration, +inf where no residual row holds a hidden coordinate (its
    distribution is improper); the statistics are then unfinished.

    Errors: ValueError where shapes do not fit the rows.
    """
    mode = loops.HARD if hard else loops.SOFT
    ll, N, M, S, _ = _run(packed, coefficients.c, coefficients.B, coefficients.T, coefficients.rho, mode)
    return ll, Statistics(N=N, M=M, S=S, rho=coefficients.rho)


def expected_gradient(packed: tuple[Array, Array], c: Array, B: Array, T: Array) -> tuple[float, Array, Array, Array]:
    """Log-likelihood and its gradient: dc = N (K,), dB = -B M (K, R, d), dT = S (L, K). B is about the plan's centre.

    Where the configurations lie so far from the centre that B M would cancel, rows are passed a second time, about each
    configuration's mean. Infinite log-likelihoods as in `expect_compiled`, with an unfinished gradient.
    """
    ll, N, _, S, dB = _run(packed, c, B, T, None, loops.GRADIENT)
    return ll, N, dB, S

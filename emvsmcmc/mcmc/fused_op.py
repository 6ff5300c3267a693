"""The expectation as one PyTensor Op: log-likelihood forwards, expected statistics backwards.

Rows are inputs, never attributes or constants: neither data nor sizes are part of a compiled model's cache key. The rows' own
loop is compiled and cached once per machine (`expect/kernel/pack.py`) and reached by the name of a symbol: no model compiles it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import types
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from ..expect.kernel import loops
from ..expect.kernel.pack import RADIAL, SYMBOLS, expected_gradient, row_pass


class Expectation(Op):
    """(floats, ints, c, B, T[, nu]) -> (log-likelihood, dc, dB, dT[, dnu]): the log-likelihood of all rows, hidden variables
    summed out.

        log p(row n, k) = c_k - 1/2 |B_k v_n|^2 + sum_t phi_nt T[level_nt, k]
        log-likelihood  = sum_n w_n log sum_k p(row n, k)

    (and the integral over hidden coordinates of v). floats, ints: `expect.kernels.pack(layout, K)`. c (K,), B (K, R, d) about the
    plan's centre, T (L, K), whose entries may be -inf. The gradient is Fisher's identity: dc = N, dB = -B M, dT = S, the expected
    complete-data statistics, (K,), (K, R, d), (L, K). It has no gradient of its own.

    `general`: whether some pattern of the rows hides a coordinate of v. The simple pass has less to compile.
    `radial`: whether there are Student-t rows. They are the last t of B, nu (K, g) the degrees of freedom of their groups.
    Their constants stand in T, so that dnu is the gradient along the rest of their log density, -(nu + p)/2 log(1 + |e|^2 / nu).

    The log-likelihood is -inf where a row has probability zero in every configuration, +inf where no residual row holds a hidden
    coordinate.

    Raises ValueError when run on rows that do not fit the coefficients, or that need the general pass and get the simple one.
    """

    __props__ = ("general", "radial")

    def __init__(self, general: bool = True, radial: bool = False) -> None:
        self.general, self.radial = bool(general), bool(radial)

    def make_node(self, floats: Any, ints: Any, c: Any, B: Any, T: Any, *nu: Any) -> Apply:
        floats, ints = pt.as_tensor(floats), pt.as_tensor(ints)
        if (floats.dtype, ints.dtype) != ("float64", "int64"):  # pm.Data narrows integers, and offsets could overflow in silence
            raise TypeError(f"rows: expected float64 and int64, shared as packed; got {floats.dtype} and {ints.dtype}")
        # float32 would cost nine digits in silence
        coefficients = [pt.as_tensor(x).astype("float64") for x in (c, B, T, *nu)]
        axes = [x.ndim for x in (floats, ints, *coefficients)]
        if axes != [1, 1, 1, 3, 2, *([2] if self.radial else [])]:
            raise TypeError(f"floats, ints, c, B, T (and nu of radial rows): expected 1, 1, 1, 3, 2 (and 2) axes; got {axes}")
        return Apply(self, [floats, ints, *coefficients], [pt.dscalar(), *(x.type() for x in coefficients)])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        floats, ints, c, B, T, *nu = inputs
        ll, *gradient = expected_gradient((floats, ints), c, B, T, self.general, *nu)
        for storage, value in zip(output_storage, (np.asarray(ll), *gradient), strict=True):
            storage[0] = value

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        return [(), *shapes[2:]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        n = len(node.outputs)
        return [[False] * n] * 2 + [[True] * n] * (n - 1)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        if not all(isinstance(x.type, DisconnectedType) for x in cotangents[1:]):
            raise NotImplementedError(
                "Expectation: expected a gradient of the log-likelihood; got one of its gradient (a Hessian)"
            )
        return [disconnected_type(), disconnected_type(), *(cotangents[0] * x for x in outputs[1:])]


_pointer = types.voidptr
_SIGNATURE = types.float64(*[_pointer] * 4, types.intp, *[_pointer] * 2, types.intp, *[_pointer] * 5)


@register_funcify_and_cache_key(Expectation)
def _numba_expectation(op: Expectation, node: Apply | None = None, **kwargs: Any) -> tuple[Any, str]:
    kind = RADIAL if op.radial else int(op.general)
    row_pass(kind)  # registers the symbol, before anything that names it is compiled or loaded
    external = types.ExternalFunction(SYMBOLS[kind], _SIGNATURE)
    return (_radial if op.radial else _quadratic)(op, external), f"{SYMBOLS[kind]}-{loops.fingerprint(__file__)}"


def _quadratic(op: Expectation, external: Any) -> Any:
    work_size = numba_njit(loops.work_size)
    general, gradient = op.general, loops.GRADIENT
    version, at_version, at_d, at_K = loops.VERSION, loops.VERSION_, loops.D, loops.K_
    at_L, at_block, at_hidden, at_radial = loops.L_, loops.BLOCK, loops.ANY_HIDDEN, loops.N_RADIAL

    @numba_njit
    def expectation(floats: Any, ints: Any, c: Any, B: Any, T: Any) -> Any:
        floats, ints = np.ascontiguousarray(floats), np.ascontiguousarray(ints)
        c, B, T = np.ascontiguousarray(c), np.ascontiguousarray(B), np.ascontiguousarray(T)
        if ints[at_version] != version:
            raise ValueError("the rows were packed by another version of the pass: pack them again")
        d, K, L, R = ints[at_d], ints[at_K], ints[at_L], B.shape[1]
        if c.shape[0] != K or B.shape[0] != K or B.shape[2] != d or T.shape[0] != L or T.shape[1] != K or ints[at_radial] != 0:
            raise ValueError("the coefficients do not fit the rows")
        if ints[at_hidden] != 0 and not general:
            raise ValueError("patterns with hidden coordinates need the general pass; got the simple one")
        N, M, S, dB = np.empty(K), np.empty(K * d * d), np.empty((L, K)), np.zeros(B.shape)
        work = np.empty(work_size(K, d, R, ints[at_block]))
        # the reference points (here the first M) are not read in gradient mode: B is about the centre
        ll = external(
            floats.ctypes, ints.ctypes, c.ctypes, B.ctypes, R, T.ctypes, M.ctypes, gradient,
            N.ctypes, M.ctypes, S.ctypes, dB.ctypes, work.ctypes,
        )  # fmt: skip
        return np.asarray(ll), N, dB, S

    return expectation


def _radial(op: Expectation, external: Any) -> Any:
    work_size, gradient = numba_njit(loops.work_size), loops.GRADIENT
    version, at_version, at_d, at_K = loops.VERSION, loops.VERSION_, loops.D, loops.K_
    at_L, at_block, at_radial, at_groups = loops.L_, loops.BLOCK, loops.N_RADIAL, loops.N_GROUPS
    at_start, at_column, at_x_row = loops.RADIAL_START, loops.RADIAL_COLUMN, loops.X_ROW

    @numba_njit
    def expectation(floats: Any, ints: Any, c: Any, B: Any, T: Any, nu: Any) -> Any:
        floats, ints = np.ascontiguousarray(floats), np.ascontiguousarray(ints)
        c, B = np.ascontiguousarray(c), np.ascontiguousarray(B)
        if ints[at_version] != version:
            raise ValueError("the rows were packed by another version of the pass: pack them again")
        d, K, L, R, t, g = ints[at_d], ints[at_K], ints[at_L], B.shape[1], ints[at_radial], ints[at_groups]
        if c.shape[0] != K or B.shape[0] != K or B.shape[2] != d or T.shape[0] != L or T.shape[1] != K:
            raise ValueError("the coefficients do not fit the rows")
        if nu.shape[0] != K or nu.shape[1] != g or t > R:
            raise ValueError("the degrees of freedom do not fit the rows")
        # what belongs to radial rows stands behind what every pass has; loops, since slices cost seconds of compile time
        tables, sums = np.empty((L + g) * K), np.empty((L + g) * K)
        for l in range(L):
            for k in range(K):
                tables[l * K + k] = T[l, k]
        for k in range(K):
            for j in range(g):
                tables[L * K + k * g + j] = nu[k, j]
        N, M, S, dB, dnu = np.empty(K), np.empty(K * d * d), np.empty((L, K)), np.zeros(B.shape), np.empty((K, g))
        work = np.empty(work_size(K, d, R, ints[at_block]))
        ll = external(
            floats.ctypes, ints.ctypes, c.ctypes, B.ctypes, R, tables.ctypes, M.ctypes, gradient,
            N.ctypes, M.ctypes, sums.ctypes, dB.ctypes, work.ctypes,
        )  # fmt: skip
        for l in range(L):
            for k in range(K):
                S[l, k] = sums[l * K + k]
        for k in range(K):
            for j in range(g):  # `radial.nu_gradient`
                first = ints[at_start] + j
                x = (ints[first + 1] - ints[first]) / nu[k, j]
                count = S[ints[ints[at_x_row] + ints[ints[at_column] + j]], k]
                dnu[k, j] = 0.5 * (sums[L * K + k * g + j] + count * (x - math.log1p(x)))
        return np.asarray(ll), N, dB, S, dnu

    return expectation

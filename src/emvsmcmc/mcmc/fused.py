"""The expectation as one PyTensor Op: log-likelihood forwards, expected statistics backwards.

Rows are inputs, never attributes or constants: neither data nor sizes are part of a compiled model's cache key. The rows' own
loop is compiled and cached once per machine (`expect/kernels.py`) and reached by the name of a symbol: no model compiles it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import types
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from ..expect import kernel_loops as loops
from ..expect.kernels import SYMBOLS, expected_gradient, row_pass


class Expectation(Op):
    """(floats, ints, c, B, T) -> (log-likelihood, dc, dB, dT): the log-likelihood of all rows, hidden variables summed out.

        log p(row n, k) = c_k - 1/2 |B_k v_n|^2 + sum_t phi_nt T[level_nt, k]
        log-likelihood  = sum_n w_n log sum_k p(row n, k)

    (and the integral over hidden coordinates of v). floats, ints: `expect.kernels.pack(layout, K)`. c (K,), B (K, R, d) about the
    plan's centre, T (L, K), whose entries may be -inf. The gradient is Fisher's identity: dc = N, dB = -B M, dT = S, the expected
    complete-data statistics, (K,), (K, R, d), (L, K). It has no gradient of its own.

    `general`: whether some pattern of the rows hides a coordinate of v. The simple pass has less to compile.

    The log-likelihood is -inf where a row has probability zero in every configuration, +inf where no residual row holds a hidden
    coordinate.

    Raises ValueError when run on rows that do not fit the coefficients, or that need the general pass and get the simple one.
    """

    __props__ = ("general",)

    def __init__(self, general: bool = True) -> None:
        self.general = bool(general)

    def make_node(self, floats: Any, ints: Any, c: Any, B: Any, T: Any) -> Apply:
        floats, ints, c, B, T = (pt.as_tensor(x) for x in (floats, ints, c, B, T))
        if (floats.dtype, ints.dtype) != ("float64", "int64"):  # pm.Data narrows integers, and offsets could overflow in silence
            raise TypeError(f"rows: expected float64 and int64, shared as packed; got {floats.dtype} and {ints.dtype}")
        c, B, T = (x.astype("float64") for x in (c, B, T))  # float32 would cost nine digits in silence
        axes = [x.ndim for x in (floats, ints, c, B, T)]
        if axes != [1, 1, 1, 3, 2]:
            raise TypeError(f"floats, ints, c, B, T: expected 1, 1, 1, 3, 2 axes; got {axes}")
        return Apply(self, [floats, ints, c, B, T], [pt.dscalar(), c.type(), B.type(), T.type()])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        floats, ints, c, B, T = inputs
        ll, dc, dB, dT = expected_gradient((floats, ints), c, B, T, self.general)
        for storage, value in zip(output_storage, (np.asarray(ll), dc, dB, dT), strict=True):
            storage[0] = value

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        return [(), *shapes[2:]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False] * 4] * 2 + [[True] * 4] * 3

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
    row_pass(op.general)  # registers the symbol, before anything that names it is compiled or loaded
    external = types.ExternalFunction(SYMBOLS[op.general], _SIGNATURE)
    work_size = numba_njit(loops.work_size)
    general, gradient = op.general, loops.GRADIENT
    version, at_version, at_d, at_K = loops.VERSION, loops.VERSION_, loops.D, loops.K_
    at_L, at_block, at_hidden = loops.L_, loops.BLOCK, loops.ANY_HIDDEN

    @numba_njit
    def expectation(floats: Any, ints: Any, c: Any, B: Any, T: Any) -> Any:
        floats, ints = np.ascontiguousarray(floats), np.ascontiguousarray(ints)
        c, B, T = np.ascontiguousarray(c), np.ascontiguousarray(B), np.ascontiguousarray(T)
        if ints[at_version] != version:
            raise ValueError("the rows were packed by another version of the pass: pack them again")
        d, K, L, R = ints[at_d], ints[at_K], ints[at_L], B.shape[1]
        if c.shape[0] != K or B.shape[0] != K or B.shape[2] != d or T.shape[0] != L or T.shape[1] != K:
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

    return expectation, f"{SYMBOLS[op.general]}-{loops.fingerprint(__file__)}"

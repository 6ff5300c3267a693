"""PyTensor nodes that numba compiles in a tenth of the time, and compute and refuse the same.

* `Split` and `SpecifyShape` format an f-string when they fail, and numba compiles the string formatting: seconds each. They are
  replaced by nodes with the same checks and a constant message.
* A product of small matrices goes through every case of BLAS, a partial sum sorts the strides: 10 and 4 seconds. Small ones are
  plain loops here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytensor.link.numba.cache as numba_cache
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.link.numba.dispatch.basic import (
    numba_njit,
    register_funcify_and_cache_key,
    register_funcify_default_op_cache_key,
)
from pytensor.tensor.basic import Split
from pytensor.tensor.blas import BatchedDot, Dot22
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.type_other import NoneTypeT


class _LeanSplit(Split):
    """`Split` whose failure has a constant message."""


class _LeanSpecifyShape(SpecifyShape):
    """`SpecifyShape` whose failure has a constant message."""


@register_funcify_default_op_cache_key(_LeanSplit)
def _funcify_split(op: _LeanSplit, **_: Any) -> tuple[Callable, int]:
    k, axis = op.len_splits, op.axis
    lines = ["def split(x, sizes):", f"    bad = len(sizes) != {k}", "    e0 = 0"]
    for i in range(k):
        lines += [f"    e{i + 1} = e{i} + sizes[{i}]", f"    bad |= sizes[{i}] < 0"]
    lines += [f"    if bad or e{k} != x.shape[{axis}]:", "        raise ValueError('Split: sizes do not fit the input')"]
    lines += ["    return (" + "".join(f"x[{':, ' * axis}e{i}:e{i + 1}], " for i in range(k)) + ")"]
    return numba_njit(numba_cache.compile_numba_function_src("\n".join(lines), "split", {})), 1


@register_funcify_default_op_cache_key(_LeanSpecifyShape)
def _funcify_specify_shape(op: _LeanSpecifyShape, node: Any, **_: Any) -> tuple[Callable, int]:
    sizes = [f"s{i}" for i in range(len(node.inputs) - 1)]
    lines = [f"def specify_shape(x, {', '.join(sizes)}):"]
    for i, size in enumerate(node.inputs[1:]):
        if not isinstance(size.type, NoneTypeT):
            lines += [f"    if x.shape[{i}] != s{i}.item():", "        raise AssertionError('SpecifyShape: another shape')"]
    return numba_njit(numba_cache.compile_numba_function_src("\n".join([*lines, "    return x"]), "specify_shape", {})), 1


class _SmallSum(Sum):
    """`Sum` of a small float64 array over some of its axes."""


class _SmallDot(Dot):
    """`Dot` of two small float64 matrices."""


class _SmallBatchedDot(BatchedDot):
    """`BatchedDot` (b, i, l) x (b, l, j) of float64 matrices, narrow in all but one dim."""


@register_funcify_and_cache_key(_SmallSum)
def _funcify_sum(op: _SmallSum, node: Any, **_: Any) -> tuple[Callable, str]:
    ndim = node.inputs[0].type.ndim
    kept = [d for d in range(ndim) if d not in op.axis]
    lines = ["def small_sum(x):", f"    out = np.zeros(({''.join(f'x.shape[{d}], ' for d in kept)}))"]
    lines += ["    " * (d + 1) + f"for i{d} in range(x.shape[{d}]):" for d in range(ndim)]
    where, all_axes = ", ".join(f"i{d}" for d in kept), ", ".join(f"i{d}" for d in range(ndim))
    lines += ["    " * (ndim + 1) + f"out[{where}] += x[{all_axes}]", "    return out"]
    function = numba_cache.compile_numba_function_src("\n".join(lines), "small_sum", {"np": np})
    return numba_njit(function), f"emvsmcmc-small-sum-1-{ndim}-{op.axis}"


@register_funcify_default_op_cache_key(_SmallDot)
def _funcify_dot(op: _SmallDot, **_: Any) -> tuple[Callable, int]:
    @numba_njit
    def small_dot(x: Any, y: Any) -> Any:
        if x.shape[1] != y.shape[0]:
            raise ValueError("Dot: shapes do not fit")
        out = np.zeros((x.shape[0], y.shape[1]))
        for i in range(x.shape[0]):
            for k in range(x.shape[1]):
                for j in range(y.shape[1]):
                    out[i, j] += x[i, k] * y[k, j]
        return out

    return small_dot, 1


@register_funcify_default_op_cache_key(_SmallBatchedDot)
def _funcify_batched_dot(op: _SmallBatchedDot, **_: Any) -> tuple[Callable, int]:
    @numba_njit
    def small_batched_dot(x: Any, y: Any) -> Any:
        if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]:
            raise ValueError("BatchedDot: shapes do not fit")
        out = np.zeros((x.shape[0], x.shape[1], y.shape[2]))
        for b in range(x.shape[0]):
            for i in range(x.shape[1]):
                for k in range(x.shape[2]):
                    for j in range(y.shape[2]):
                        out[b, i, j] += x[b, i, k] * y[b, k, j]
        return out

    return small_batched_dot, 1


@node_rewriter([Split, SpecifyShape, Sum, Dot, Dot22, BatchedDot])
def lean(fgraph: Any, node: Any) -> list | None:
    """The same node without what small arrays do not need (argument checks, calls of BLAS, reductions over an iterator); None
    where there is nothing to spare: other types than float64, or arrays that may be large.
    """
    op, inputs = node.op, node.inputs
    if type(op) is Split:
        return _LeanSplit(op.len_splits, op.axis)(*inputs, return_list=True)
    if type(op) is SpecifyShape:
        return [_LeanSpecifyShape()(*inputs)]
    types = [v.type for v in [*inputs, *node.outputs]]
    if not all(t.dtype == "float64" for t in types):
        return None
    if type(op) is Sum and op.axis is not None and 0 < len(op.axis) < types[0].ndim and op.acc_dtype in (None, "float64"):
        small = None not in types[0].shape and prod(types[0].shape) <= 10_000
        return [_SmallSum(axis=op.axis, dtype=op.dtype, acc_dtype=op.acc_dtype)(*inputs)] if small else None
    if type(op) in (Dot, Dot22) and types[0].ndim == types[1].ndim == 2:
        sizes = [*types[0].shape, types[1].shape[1]]
        return [_SmallDot()(*inputs)] if None not in sizes and prod(sizes) <= 10_000 else None
    if type(op) is BatchedDot and types[0].ndim == types[1].ndim == 3:
        sizes = [types[0].shape[1], types[0].shape[2], types[1].shape[2]]
        return [_SmallBatchedDot()(*inputs)] if sum(size is None or size > 16 for size in sizes) <= 1 else None
    return None

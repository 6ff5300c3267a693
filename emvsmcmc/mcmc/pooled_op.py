"""The fused likelihood by EM's own pass: over chunks, by whatever runs Dask, or over rows in memory by a pool of threads, for a
chain that has cores to itself.

The same sums as EM's (`expect.rows.expect`), so the same number and the same gradient. Who hands out the work is Python: the
sampler's compiled function calls back into it, and such a model is compiled anew in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import get_numba_type, numba_funcify, numba_njit

from ..errors import Degenerate
from ..expect.coefficients import coefficients
from ..expect.layout import Coefficients
from ..expect.plan import Plan
from ..expect.radial import nu_gradient, row_moments, unexpected_logs
from ..expect.rows import expect, reference_points
from ..spec.evaluate import Environment


class PooledExpectation(Op):
    """(c, B, T[, A, nu]) -> (log-likelihood, dc, dB, dT[, dA, dnu]) of all rows, hidden variables summed out.

    c (K,), B (K, R, d), T (L, K), and of Student-t rows A (K, t, d), nu (K, g): `Coefficients` about the reference points rho
    (K, d). The gradient is Fisher's identity: dc = N, dB = -B M, dT = S, dA = -A U, with the statistics about rho: about points
    near the rows of each configuration no product cancels. The log-likelihood is -inf, its gradient zero, where a row has
    probability zero in every configuration. It has no gradient of its own.
    """

    def __init__(self, plan: Plan, rho: np.ndarray) -> None:
        self.plan, self.rho = plan, rho

    def make_node(self, *coefficients: Any) -> Apply:
        inputs = [pt.as_tensor(x).astype("float64") for x in coefficients]
        return Apply(self, inputs, [pt.dscalar(), *(x.type() for x in inputs)])

    def perform(self, node: Apply | None, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        c, B, T, *radial = inputs
        C = Coefficients(c, B, T, self.rho, *radial)
        try:
            value, S = expect(self.plan, C)
        except Degenerate:
            outputs = [np.asarray(-np.inf), *(np.zeros_like(x) for x in inputs)]
        else:
            outputs = [np.asarray(value), S.N, -B @ S.M, S.S]
            if radial:
                counts, rows = S.S[self.plan.radial_tables].T, self.plan.full.radial
                W = unexpected_logs(S.L, counts, C.nu, rows.lengths)
                slope = nu_gradient(W, counts, C.nu, rows.lengths)
                outputs += [-np.einsum("krd,krde->kre", C.A, row_moments(rows, S.U)), slope]
        for storage, x in zip(output_storage, outputs, strict=True):
            storage[0] = np.ascontiguousarray(x) if x.ndim else x

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        return [(), *shapes]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        if not all(isinstance(x.type, DisconnectedType) for x in cotangents[1:]):
            raise NotImplementedError(
                "PooledExpectation: expected a gradient of the log-likelihood; got one of its gradient (a Hessian)"
            )
        return [cotangents[0] * x for x in outputs[1:]]


_OPS: WeakValueDictionary[int, PooledExpectation] = WeakValueDictionary()  # those that live in some graph


def _performed(key: int, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """What the Op of that number gives. A closure over the Op would be unpickled with all its rows at every call."""
    storage: list[list[Any]] = [[None] for _ in range(len(inputs) + 1)]
    _OPS[key].perform(None, inputs, storage)
    return tuple(x for (x,) in storage)


@numba_funcify.register(PooledExpectation)
def _numba_pooled(op: PooledExpectation, node: Apply, **kwargs: Any) -> Any:
    key = id(op)
    _OPS[key] = op
    signature = numba.types.Tuple([get_numba_type(x.type) for x in node.outputs])

    @numba_njit
    def perform(*inputs: Any) -> Any:
        with numba.objmode(outputs=signature):
            outputs = _performed(key, inputs)
        return outputs  # noqa: RET504 (numba hands it out of the block by its name)

    return perform


def pooled(plan: Plan, env: Environment, near: Environment | None) -> Any:
    """The log-likelihood of all rows as a graph. near : parameters at which the rows' means become the reference points;
    None for the centre of all rows.
    """
    rho = np.zeros((plan.K, plan.d))
    if near is not None:
        rho = reference_points(expect(plan, coefficients(plan, near))[1])
    C = coefficients(plan, env, rho, pytensor.shared(plan.centre, name="_centre"))
    radial = [C.A, C.nu] if plan.radials else []
    return PooledExpectation(plan, rho)(*(pt.as_tensor(x) for x in (C.c, C.B, C.T, *radial)))[0]

"""The fused likelihood of rows in chunks: one pass over all chunks for each evaluation, by whatever runs Dask.

The same sums as in memory (`expect.chunks`), so the same number and the same gradient. Dask is Python: the sampler's compiled
function calls back into it, and such a model is compiled anew in every process.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import generate_fallback_impl, numba_funcify

from ..errors import Degenerate
from ..expect.coefficients import coefficients
from ..expect.layout import Coefficients
from ..expect.plan import Plan
from ..expect.radial import nu_gradient, unexpected_logs
from ..expect.rows import expect, reference_points
from ..spec.graph import Environment


class ChunkedExpectation(Op):
    """(c, B, T[, A, nu]) -> (log-likelihood, dc, dB, dT[, dA, dnu]) of all rows, hidden variables summed out.

    c (K,), B (K, R, d), T (L, K), and of Student-t rows A (K, t, d), nu (K, t): `Coefficients` about the reference points rho
    (K, d). The gradient is Fisher's identity: dc = N, dB = -B M, dT = S, dA = -A U, with the statistics about rho: about points
    near the rows of each configuration no product cancels. The log-likelihood is -inf, its gradient zero, where a row has
    probability zero in every configuration. It has no gradient of its own.
    """

    def __init__(self, plan: Plan, rho: np.ndarray) -> None:
        self.plan, self.rho = plan, rho

    def make_node(self, *coefficients: Any) -> Apply:
        inputs = [pt.as_tensor(x).astype("float64") for x in coefficients]
        return Apply(self, inputs, [pt.dscalar(), *(x.type() for x in inputs)])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        c, B, T, *radial = inputs
        C = Coefficients(c, B, T, self.rho, *radial)
        try:
            value, S = expect(self.plan, C)
        except Degenerate:
            found = [np.asarray(-np.inf), *(np.zeros_like(x) for x in inputs)]
        else:
            found = [np.asarray(value), S.N, -B @ S.M, S.S]
            if radial:
                counts = S.S[self.plan.radial_tables].T
                W = unexpected_logs(S.L, counts, C.nu)
                found += [-np.einsum("krd,krde->kre", C.A, S.U), nu_gradient(W, counts, C.nu)]
        for storage, x in zip(output_storage, found, strict=True):
            storage[0] = np.ascontiguousarray(x) if x.ndim else x

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        return [(), *shapes]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        if not all(isinstance(x.type, DisconnectedType) for x in cotangents[1:]):
            raise NotImplementedError(
                "ChunkedExpectation: expected a gradient of the log-likelihood; got one of its gradient (a Hessian)"
            )
        return [cotangents[0] * x for x in outputs[1:]]


@numba_funcify.register(ChunkedExpectation)
def _numba_chunked(op: ChunkedExpectation, node: Apply, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it runs in Python is what it is for
        return generate_fallback_impl(op, node, **kwargs)


def chunked(plan: Plan, env: Environment, near: Environment | None) -> Any:
    """The log-likelihood of rows in chunks as a graph. near : parameters at which the rows' means become the reference points;
    None for the centre of all rows.
    """
    rho = np.zeros((plan.K, plan.d))
    if near is not None:
        rho = reference_points(expect(plan, coefficients(plan, near))[1])
    C = coefficients(plan, env, rho, pytensor.shared(plan.centre, name="centre"))
    radial = [C.A, C.nu] if plan.radials else []
    return ChunkedExpectation(plan, rho)(*(pt.as_tensor(x) for x in (C.c, C.B, C.T, *radial)))[0]

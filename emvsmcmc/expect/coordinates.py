"""One unconstrained vector for all parameters, the derivatives of the coefficients along it, and the exact score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..families.support import Covariance, Real, Support
from ..numerics import COMPLEX_STEP
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import BATCH
from ..spec.variable import Variable
from .coefficients import coefficients
from .freedom import complete
from .heywood import zero_uniquenesses
from .layout import Statistics
from .limits import at_limit
from .objective import Objective
from .plan import Plan
from .radial import row_moments
from .scaling import natural_units, power_of_two

TOGETHER = 4096  # columns of a batch that one evaluation of the coefficients takes


@dataclass(frozen=True)
class Block:
    """One parameter's place in the packed vector."""

    variable: Variable
    support: Support
    shape: tuple[int, ...]
    start: np.ndarray  # flat coordinates of the whole parameter where the chart was made, -inf or inf on the boundary
    free: np.ndarray  # which of them are packed
    unit: np.ndarray  # of each flat coordinate: packed in these, columns whose scales differ by 1e8 look alike
    where: slice  # in the packed vector

    def log_jacobian(self, u: np.ndarray) -> np.ndarray:
        """log |d value / d u| of packed coordinates u (size, *batch) without a boundary."""
        flat = u * self.unit.reshape((-1,) + (1,) * (u.ndim - 1))
        return self.support.log_jacobian(flat, self.shape) + np.log(self.unit).sum()


class Coordinates:
    """Charts around given parameter values. A parameter on its boundary (a zero probability, a residual variance of zero) is left
    out of the vector; what its prior fixes (a zero by declaration) has no place in it to begin with.

    names : restricts the vector to some parameters; the others stay at their values. heywood : leave out residual variances of
    zero; such entries are in `zero`. Arguments that are as good as infinite are left out too, and are in `limits`.
    """

    def __init__(self, plan: Plan, env: Environment, names: set[str] | None = None, heywood: bool = True) -> None:
        self.plan, self.env = plan, env
        self.zero = zero_uniquenesses(plan, env) if heywood else {}
        self.limits = at_limit(plan, env)
        self.blocks: list[Block] = []
        # EM walks towards a boundary for ever: a probability that stands for less than 1e-8 of a row has arrived
        margin = min(1e-10, 1e-8 / max(1.0, float(plan.problem.weights.sum())))
        at = 0
        for v in plan.parameters:
            if names is not None and v.label not in names:
                continue
            x = env.values[v.label].array
            support = parameter_support(v, env).at(x)
            start = support.to_real(x)
            free = support.free(x, margin)
            if v.label in self.zero:
                free = free & ~self.zero[v.label]
            if v.label in self.limits.held:
                free = free & ~self.limits.held[v.label]
            unit = _unit(plan, v, support, x, len(start))
            self.blocks.append(Block(v, support, x.shape, start, free, unit, slice(at, at + int(free.sum()))))
            at += int(free.sum())
        self.size = at

    def shares(self, other: Coordinates) -> bool:
        """Whether both charts have the same coordinates: nothing on a boundary in one only."""
        return self.size == other.size and all(
            np.array_equal(a.free, b.free) for a, b in zip(self.blocks, other.blocks, strict=True)
        )

    def pack(self, env: Environment) -> np.ndarray:
        """(size,) coordinates of other parameter values in this chart."""
        parts = [(b.support.to_real(env.values[b.variable.label].array) / b.unit)[b.free] for b in self.blocks]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unpack(self, u: np.ndarray) -> Environment:
        """Parameter values at u, of shape (size,) or (size, batch); real or complex."""
        values, whiteners = dict(self.env.values), dict(self.env.whiteners)
        tail = (BATCH,) if u.ndim == 2 else ()
        for b in self.blocks:
            flat = np.zeros((len(b.start), *u.shape[1:]), dtype=u.dtype)
            flat[...] = b.start.reshape((-1,) + (1,) * (u.ndim - 1))
            flat[b.free] = u[b.where] * b.unit[b.free].reshape((-1,) + (1,) * (u.ndim - 1))
            dims = (*b.variable.dims, *tail)
            values[b.variable.label] = Named(b.support.from_real(flat, b.shape), dims)
            if isinstance(b.support, Covariance):
                whiteners[b.variable.label] = Named(b.support.whitener_from_real(flat, b.shape), dims)
        return Environment(values, whiteners, batch=u.shape[1] if u.ndim == 2 else None)

    def jacobian(self, u: np.ndarray) -> dict[str, np.ndarray]:
        """{parameter: (*shape, size)} derivative of every declared value along the vector."""
        env = self.unpack(self.steps(u))
        return {b.variable.label: _imaginary(env.values[b.variable.label].array) for b in self.blocks}

    def steps(self, u: np.ndarray) -> np.ndarray:
        """(size, size) one complex step along each coordinate: the imaginary part of a function of `unpack(steps)`, divided by
        COMPLEX_STEP, is its derivative.
        """
        return u[:, None] + 1j * COMPLEX_STEP * np.eye(len(u))

    def score(self, u: np.ndarray, S: Statistics, objective: Objective) -> np.ndarray:
        """(size,) gradient of Q( . ; S) at u, which at the parameters that gave S is that of the log-likelihood (+ log prior)."""
        if not self.size:
            return np.zeros(0)
        return self._slopes(u[:, None], S, objective, np.eye(self.size))

    def scores(self, points: np.ndarray, S: Statistics, objective: Objective) -> np.ndarray:
        """(size, m) scores at the columns of points (size, m), as many at a time as keep arrays small."""
        out = np.empty(points.shape)
        some = max(1, TOGETHER // max(1, self.size))
        for at in range(0, points.shape[1], some):
            part = points[:, at : at + some]
            along = np.tile(np.eye(self.size), part.shape[1])
            slopes = self._slopes(np.repeat(part, self.size, axis=1), S, objective, along)
            out[:, at : at + some] = slopes.reshape(-1, self.size).T
        return out

    def slope(self, u: np.ndarray, S: Statistics, objective: Objective, along: np.ndarray) -> float:
        """score . along, at the price of one evaluation of the coefficients."""
        return float(self._slopes(u[:, None], S, objective, along[:, None])[0]) if self.size else 0.0

    def _slopes(self, u: np.ndarray, S: Statistics, objective: Objective, along: np.ndarray) -> np.ndarray:
        """(batch,) derivatives of Q( . ; S) along the columns of `along` (size, batch), each at its column of u, or all at the
        same one (size, 1).
        """
        batch = along.shape[1]
        base = slice(u.shape[1])  # what is the same for all columns is worked out once
        env = self.unpack(u + 1j * COMPLEX_STEP * along)
        with np.errstate(divide="ignore", invalid="ignore"):
            C = coefficients(self.plan, env, S.rho)
        gradient = _imaginary(np.broadcast_to(C.c, (self.plan.K, batch))).T @ S.N
        if C.B.shape[1] and S.root is not None:
            root = S.root[:, None]
            gradient = gradient - _paired(root @ C.B.real[..., base], root @ _imaginary(C.B))
        elif C.B.shape[1]:
            gradient = gradient - _paired(np.einsum("krdp,kde->krep", C.B.real[..., base], S.M, optimize=True), _imaginary(C.B))
        if self.plan.radials:
            U = row_moments(self.plan.full.radial, S.U)
            AU = np.einsum("krdp,krde->krep", C.A.real[..., base], U, optimize=True)
            gradient = gradient - _paired(AU, _imaginary(C.A)) + _imaginary(complete(self.plan, C, S))
        if len(C.T):
            read = S.S != 0
            T = np.broadcast_to(C.T, (*S.S.shape, batch))
            gradient = gradient + S.S[read] @ _imaginary(T[read])
        if objective.prior:
            gradient = gradient + _imaginary(np.broadcast_to(objective.log_prior(self.plan, env), (batch,)))
        return gradient

    def value(self, u: np.ndarray, S: Statistics, objective: Objective) -> float:
        """Q(u; S) = <coefficients, S> (+ log prior)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            env = self.unpack(u)
            q = pairing(self.plan, env, S)
        return q + float(objective.log_prior(self.plan, env))


def pairing(plan: Plan, env: Environment, S: Statistics) -> float:
    """<coefficients(theta), S>: the expected complete-data log-likelihood.

    A statistic of zero never meets its coefficient (-inf).
    """
    C = coefficients(plan, env, S.rho)
    seen = S.N != 0
    q = float(C.c[seen] @ S.N[seen])
    if C.B.shape[1]:
        q -= 0.5 * float(np.einsum("krd,kde,kre->", C.B, S.M, C.B, optimize=True))
    if plan.radials:
        U = row_moments(plan.full.radial, S.U)
        q += float(complete(plan, C, S)) - 0.5 * float(np.einsum("krd,krde,kre->", C.A, U, C.A, optimize=True))
    read = S.S != 0
    return q + float(C.T[read] @ S.S[read])


def _unit(plan: Plan, v: Variable, support: Support, x: np.ndarray, size: int) -> np.ndarray:
    """Unit of each flat coordinate: a real value moves its column by a standard deviation, an entry of a whitener below the
    diagonal a whitened row; logarithms need none.
    """
    if isinstance(support, Real):
        return natural_units(plan)[v.label]
    if isinstance(support, Covariance):
        i, j = np.tril_indices(x.shape[-1])
        sd = np.sqrt(np.diagonal(x, axis1=-2, axis2=-1))
        return power_of_two(np.where(i == j, 1.0, 1 / sd[..., j])).ravel()
    return np.ones(size)


def _paired(one: np.ndarray, several: np.ndarray) -> np.ndarray:
    """(p,) sum over all but the last axis of a product; the first of p columns, or of one for all."""
    if one.shape[-1] == 1:
        return np.einsum("kre,krep->p", one[..., 0], several)
    return np.einsum("krep,krep->p", one, several)


def _imaginary(x: np.ndarray) -> np.ndarray:
    return np.imag(x) / COMPLEX_STEP

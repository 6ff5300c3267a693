"""The row densities at many parameter draws at once: what recovery, alignment and importance sampling read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..families.support import whitener
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import BATCH
from .coefficients import coefficients, prior_terms
from .gaussian import eliminate
from .layout import Coefficients, Layout
from .plan import Plan

CHUNK = 4_000_000  # doubles of one block of row densities


def draws_environment(plan: Plan, draws: Mapping[str, np.ndarray]) -> Environment:
    """{parameter: (draws, *shape)} as an environment with the draws on the batch axis."""
    values, whiteners = dict(plan.problem.fixed), {}
    size = 1
    for v in plan.parameters:
        x = np.asarray(draws[v.label], dtype=float)
        size = len(x)
        values[v.label] = Named(np.moveaxis(x, 0, -1), (*v.dims, BATCH))
        if v.family.matrix:
            whiteners[v.label] = Named(np.moveaxis(whitener(x), 0, -1), (*v.dims, BATCH))
    for name, value in plan.problem.fixed.items():
        if plan.problem.spec.variables[name].family.matrix:
            whiteners[name] = Named(whitener(value.array), value.dims)
    return Environment(values, whiteners, batch=size)


def prior_of_draws(plan: Plan, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{parameter: (draws, *shape before its event dims)} log prior density of each value in declared space, given its
    hyperparameters' draws.
    """
    env, out = draws_environment(plan, draws), {}
    size = len(next(iter(draws.values()))) if draws else 0
    for v in plan.parameters:
        with np.errstate(divide="ignore"):  # -inf on a boundary that the prior excludes
            terms = np.moveaxis(np.asarray(prior_terms(v, env)), -1, 0)
        shape = plan.problem.shape(v)
        out[v.label] = np.broadcast_to(terms, (size, *shape[: len(shape) - v.family.event_dims]))
    return out


def joint_log_densities(plan: Plan, draws: Mapping[str, np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of draws: (which draws, (n distinct rows, K, block) log p(row, configuration | draw), -inf where not allowed)."""
    total = len(next(iter(draws.values())))
    block = max(1, CHUNK // max(1, len(plan.full.V) * plan.K))
    for start in range(0, total, block):
        at = slice(start, min(start + block, total))
        with np.errstate(divide="ignore"):
            C = coefficients(plan, draws_environment(plan, {k: x[at] for k, x in draws.items()}))
        yield at, row_densities(plan.full, plan.K, C, at.stop - at.start)


def row_densities(layout: Layout, K: int, C: Coefficients, size: int) -> np.ndarray:
    """(n distinct rows, K, size) log p(row, configuration) under coefficients with a batch of `size`."""
    d = layout.V.shape[1]
    out = np.full((len(layout.V), K, size), -np.inf)
    c = np.broadcast_to(C.c, (K, size))
    B = np.broadcast_to(C.B, (K, C.B.shape[1], d, size))
    T = np.broadcast_to(C.T, (len(C.T), K, size))
    radial, groups = layout.radial, len(layout.radial.column)
    A = np.broadcast_to(C.A, (K, len(radial.own), d, size)) if groups else np.zeros((K, 0, d, size))
    nu = np.broadcast_to(C.nu, (K, groups, size)) if groups else np.zeros((K, 0, size))
    for p in range(len(layout.start) - 1):
        at = slice(layout.start[p], layout.start[p + 1])
        ks = np.flatnonzero(layout.allowed[p])
        hidden, observed = np.flatnonzero(layout.hidden[p]), np.flatnonzero(~layout.hidden[p])
        lp = np.tile(c[ks], (at.stop - at.start, 1, 1))
        V = layout.V[at][:, observed]
        for i, k in enumerate(ks):
            rows = B[k][:, observed]
            if len(hidden):
                e = eliminate(np.moveaxis(B[k], -1, 0), observed, hidden)
                rows = np.moveaxis(e.rows, 0, -1)
                lp[:, i] += e.constant
            for r in range(rows.shape[0]):
                lp[:, i] -= 0.5 * (V @ rows[r]) ** 2
            for j, (column, p_) in enumerate(zip(radial.column, radial.lengths, strict=True)):
                there = layout.X[at, column, None]
                square = np.zeros((at.stop - at.start, size))
                for r in range(radial.start[j], radial.start[j + 1]):
                    square += (layout.V[at] @ A[k, r]) ** 2
                lp[:, i] -= there * (0.5 * (nu[k, j] + p_)) * np.log1p(square / nu[k, j])
        lp += _tables(layout, T[:, ks], at)
        if len(layout.E):
            lp += layout.E[at][:, ks, None]
        out[at.start : at.stop, ks] = lp
    return out


def _tables(layout, T: np.ndarray, at: slice) -> np.ndarray:  # type: ignore[no-untyped-def]
    X, phi, level = layout.X[at], layout.phi[at], layout.level[at]
    out = np.zeros((len(X), *T.shape[1:]))
    for f in range(X.shape[1]):
        read = X[:, f] != 0
        out[read] += X[read, f, None, None] * T[layout.x_row[f]]
    for t in range(phi.shape[1]):
        read = phi[:, t] != 0
        out[read] += phi[read, t, None, None] * T[level[read, t]]
    return out

"""Alignment of posterior draws to a reference: each draw takes the permutation that makes its responsibilities agree best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from ..expect.draws import joint_log_densities
from ..expect.objective import MAP
from ..expect.plan import Plan
from ..expect.scaling import natural_units
from ..invariance.axes import DETERMINED, Turn, as_rows, nearest, oriented, rotations, turned
from ..invariance.labels import canonical, exchangeable, stated_order
from ..numerics import logsumexp
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import DRAW

UNCERTAIN = 0.05  # expected share of rows that the second best relabelling would lose, below which a draw's labels are uncertain


@dataclass(frozen=True)
class Alignment:
    """What alignment found.

    draws : aligned {parameter: (draws, *shape)}. orders : {dim: (draws, size)} position i of the aligned draw held the original
    order[i]. uncertain : {dim: share of draws whose second best relabelling is nearly as good}. turned : {latent: share of draws
    whose axes changed sign or place}, undetermined : {latent: share of draws in which some axis has a congruence below .85 with
    its reference even so}. log_likelihood : (draws, n) of each original row, which neither changes. probability : (n, K) joint
    assignment probabilities averaged over aligned draws.
    """

    draws: dict[str, np.ndarray]
    orders: dict[str, np.ndarray]
    uncertain: dict[str, float]
    turned: dict[str, float]
    undetermined: dict[str, float]
    log_likelihood: np.ndarray
    probability: np.ndarray


def align(
    plan: Plan, draws: Mapping[str, np.ndarray], reference: Environment, by_row: bool = True, dims: Sequence[str] | None = None
) -> Alignment:
    """Relabel every exchangeable dim of every draw by the Hungarian method on expected responsibilities.

    For a dim of size k, G[i, j] = sum_n w_n p_reference(z_n = i) p_draw(z_n = j), summed over the latents that count the dim;
    the draw takes the permutation that maximises the trace (equivalence-class relabelling, Papastamoulis and Iliopoulos 2010,
    with probabilities in the place of allocations). A dim whose naming the spec states (`Spec.ordered`) is named by its own
    values in every draw instead. Then the axes of every latent that may be turned without changing the posterior are brought
    nearest to the reference by orthogonal Procrustes, or by a change of sign where that is all there is.

    by_row : keep what is of the size of the rows; without, `log_likelihood` and `probability` are empty.
    dims : other dims than those that may be permuted without changing the posterior.
    """
    dims = [d for d, reason in exchangeable(plan).items() if reason is None] if dims is None else dims
    size = len(next(iter(draws.values()))) if draws else 0
    target = _responsibilities(plan, {v.label: reference.values[v.label].array[None] for v in plan.parameters})[:, :, 0]
    orders = {d: np.tile(np.arange(plan.problem.sizes[d]), (size, 1)) for d in dims}
    margins = {d: np.zeros(size) for d in dims}
    stated = _stated(plan, draws, dims)
    kept = len(plan.full.V) if by_row else 0
    log_likelihood = np.empty((size, kept))
    total = np.zeros((kept, plan.K))
    w = plan.full.w
    for at, lp in joint_log_densities(plan, draws):
        rows = logsumexp(lp, axis=1)
        r = np.exp(lp - rows[:, None, :])
        for d in dims:
            if d in stated:  # named by its own values, which leaves nothing uncertain
                orders[d][at], margins[d][at] = stated[d][at], np.inf
                continue
            for s, G in enumerate(_agreement(plan, d, target, r, w), start=at.start):
                _, order = linear_sum_assignment(-G)
                orders[d][s] = order
                margins[d][s] = _margin(G[:, order]) / w.sum()
        if by_row:
            log_likelihood[at] = rows.T
            total += _relabelled(plan, r, {d: orders[d][at] for d in dims}).sum(axis=2)
    aligned = {k: np.array(x, dtype=float) for k, x in draws.items()}
    for v in plan.parameters:
        for d in dims:
            if d in v.dims:
                axis = v.dims.index(d) + 1
                index = orders[d].reshape([size if a == 0 else -1 if a == axis else 1 for a in range(aligned[v.label].ndim)])
                aligned[v.label] = np.take_along_axis(aligned[v.label], index, axis=axis)
    uncertain = {d: float((margins[d] < UNCERTAIN).mean()) if size else 0.0 for d in dims}
    moved, loose = to_axes(plan, aligned, reference)
    rows_of = plan.inverse if by_row else slice(0)
    return Alignment(aligned, orders, uncertain, moved, loose, log_likelihood[:, rows_of], total[rows_of] / max(size, 1))


def _stated(plan: Plan, draws: Mapping[str, np.ndarray], dims: Sequence[str]) -> dict[str, np.ndarray]:
    """{dim: (draws, size)} of the dims whose naming the spec states."""
    env = Environment({**plan.problem.fixed, **{v.label: Named(draws[v.label], (DRAW, *v.dims)) for v in plan.parameters}})
    orders = {d: stated_order(plan, env, d, (DRAW,)) for d in dims}
    return {d: x for d, x in orders.items() if x is not None}


def best_draw(plan: Plan, flat: Mapping[str, np.ndarray], stats: xr.Dataset) -> Environment:
    """The draw of highest density as the reference of alignment, in canonical order."""
    name = "logp" if "logp" in stats else "lp"
    best = int(np.argmax(stats[name].values.ravel())) if name in stats else 0
    return oriented(
        plan, canonical(plan, plan.environment({v.label: flat[v.label][best] for v in plan.parameters})), objective=MAP
    )


def to_axes(plan: Plan, draws: dict[str, np.ndarray], reference: Environment) -> tuple[dict[str, float], dict[str, float]]:
    """Turn the carriers of every rotation in place; (share of draws that were turned, share that stay far from the reference)."""
    moved, loose, units = {}, {}, natural_units(plan)
    variables = {v.label: v for v in plan.parameters}
    for r in rotations(plan):
        if r.posterior is Turn.NONE or not len(draws[r.carriers[0]]):
            continue
        rows = np.concatenate([as_rows(variables[n], draws[n], r) for n in r.carriers], axis=2)
        target = np.concatenate([as_rows(variables[n], reference.values[n].array[None], r) for n in r.carriers], axis=2)[0]
        # in units in which a coefficient of one moves its column by a standard deviation, columns of other scales count alike
        unit = np.concatenate(
            [as_rows(variables[n], units[n].reshape((1, *plan.problem.shape(variables[n]))), r) for n in r.carriers], axis=2
        )[0]
        R, congruence = nearest(rows / unit, target / unit, r.posterior)
        for n in r.carriers:
            draws[n] = turned(variables[n], draws[n], r, R)
        moved[r.latent] = float((np.abs(np.einsum("sbkk->sbk", R) - 1).max(axis=(1, 2)) > 0.5).mean())
        loose[r.latent] = float((congruence < DETERMINED).mean())
    return moved, loose


def _responsibilities(plan: Plan, draws: Mapping[str, np.ndarray]) -> np.ndarray:
    _, lp = next(joint_log_densities(plan, draws))
    return np.exp(lp - logsumexp(lp, axis=1)[:, None, :])


def _agreement(plan: Plan, dim: str, target: np.ndarray, r: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(draws, size, size) G of `align`, for responsibilities r (n, K, draws), by one matrix product for all draws."""
    size = plan.problem.sizes[dim]
    G = np.zeros((r.shape[2], size, size))
    flat = r.reshape(len(r), -1)
    for latent in plan.latents:
        if latent.counts == dim:
            to = np.eye(size)[plan.configurations(latent.label)]
            by_configuration = ((target @ to * w[:, None]).T @ flat).reshape(size, *r.shape[1:])
            G += np.einsum("iks,kj->sij", by_configuration, to)
    return G


def _margin(G: np.ndarray) -> float:
    """What the best swap of two labels would lose."""
    if len(G) < 2:
        return np.inf
    d = np.diag(G)
    loss = d[:, None] + d[None, :] - G - G.T
    return float(loss[~np.eye(len(G), dtype=bool)].min())


def _relabelled(plan: Plan, r: np.ndarray, orders: dict[str, np.ndarray]) -> np.ndarray:
    """(n, K, draws) responsibilities with the configuration axes of permuted dims taken in each draw's order."""
    if not orders:
        return r
    shaped = r.reshape(len(r), *plan.shape, r.shape[2])
    for latent in plan.latents:
        if latent.counts in orders:
            axis = list(plan.axes).index(latent.label) + 1
            order = orders[latent.counts].T
            shape = [1] * shaped.ndim
            shape[axis], shape[-1] = order.shape
            shaped = np.take_along_axis(shaped, order.reshape(shape), axis=axis)
    return shaped.reshape(r.shape)

"""Starts: a random completion of everything hidden, then two ordinary M-steps. One mechanism for every model."""

from __future__ import annotations

import numpy as np

from ..expect.inside import possible, typical
from ..expect.kernel.plain import add_lifted, add_tables
from ..expect.layout import Layout, Statistics
from ..expect.plan import Plan
from ..expect.radial import weighted_moments
from ..families.radial import digamma_less_log
from ..spec.evaluate import Environment
from .completion import completed_moments
from .factor_starts import follow, structure
from .mstep import MStep

DEGREES = (2.0, 20.0)  # of freedom: where nu starts, uniform on the log scale
FENCE = 3.0  # interquartile ranges beyond the quartiles at which a Student-t column is cut off before distances are taken
MANY = 64  # configurations above which centres are drawn uniformly instead of by k-means++


def random_start(plan: Plan, mstep: MStep, rng: np.random.Generator) -> Environment:
    """Parameters after two M-steps on one random completion.

    Labels are kept; responsibilities come from k-means++ centres (a labelled class starts at its labelled rows); cells are drawn;
    factors are expected under random coefficients (`structure`); a little noise breaks every symmetric saddle. Raises Degenerate
    where the completion already collapses.
    """
    r = None
    if len(plan.layout.V) == 0:  # nothing is left of the rows but their moments, and nothing more is needed
        S = completed_moments(plan, rng)
    else:
        V, r = _complete(plan, plan.full, rng), _responsibilities(plan, plan.full, rng)
        S = _statistics(plan, plan.full, V, r, rng)
    env = plan.environment({v.label: typical(v, plan) for v in plan.parameters})
    if structure(plan) is not None:
        env, S = follow(plan, mstep, env, S, r, rng)
    for _ in range(2):
        env = mstep(env, S)
    return env


def _row_hidden(layout: Layout) -> np.ndarray:
    return np.repeat(layout.hidden, np.diff(layout.start), axis=0)


def _row_allowed(layout: Layout) -> np.ndarray:
    return np.repeat(layout.allowed, np.diff(layout.start), axis=0)


def _complete(plan: Plan, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """v with missing cells drawn around their column, and factors left at zero."""
    hidden = _row_hidden(layout)
    cells = hidden & ~(hidden.all(axis=0) if len(hidden) else np.zeros(plan.d, dtype=bool))
    return np.where(cells, rng.standard_normal(layout.V.shape) * plan.scale, layout.V)


def _features(plan: Plan, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """(n, columns) what distances between rows are measured in: measured columns, counts and categories, standardised.

    Half of the starts whiten the columns as well, so that elongated clusters are found too.
    """
    hidden = _row_hidden(layout)
    measured = layout.V if not plan.radials else _fenced(layout)
    columns = [measured[:, j] / plan.scale[j] for j in range(1, plan.d) if not hidden[:, j].all()]
    columns += [layout.X[:, f] for f in range(layout.X.shape[1]) if f not in layout.radial.column]
    numbers = _numbers(plan)
    for t in range(layout.phi.shape[1]):
        at, there = numbers[layout.level[:, t]], layout.phi[:, t] > 0
        if there.any() and not np.isnan(at[there]).any():
            columns.append(np.where(there, at, at[there].mean()))
            continue
        level = layout.level[:, t] - layout.level[:, t].min()
        seen = np.unique(level)
        if 1 < len(seen) <= 50:
            columns += [layout.phi[:, t] * (level == value) for value in seen[1:]]
    if not columns:
        return np.zeros((len(layout.V), 0))
    Z = np.column_stack(columns)
    Z = Z - np.average(Z, axis=0, weights=layout.w)
    scale = np.sqrt(np.average(Z**2, axis=0, weights=layout.w))
    Z = Z[:, scale > 0] / scale[scale > 0]
    if Z.shape[1] > 1 and rng.random() < 0.5:
        values, vectors = np.linalg.eigh((Z * layout.w[:, None]).T @ Z / layout.w.sum())
        keep = values > 1e-6 * values[-1]
        Z = Z @ vectors[:, keep] / np.sqrt(values[keep])
    return Z


def _numbers(plan: Plan) -> np.ndarray:
    """(L,) the value that a row of T stands for, of terms at values that are numbers and have parameters; NaN elsewhere."""
    out = np.full(plan.full.n_tables, np.nan)
    for part in plan.tables:
        if part.values is not None and part.values.value is not None and part.estimated and not part.family.indexes:
            first = part.offset + part.height - part.size * part.values.size
            out[first : part.offset + part.height] = np.tile(part.values.value, part.size)
    return out


def _quartiles(layout: Layout) -> np.ndarray:
    """(t, 2) lower and upper quartile of each Student-t column, of the values that are there."""
    radial = layout.radial
    there = zip(radial.column[radial.group], radial.own, strict=True)
    return np.array([np.quantile(layout.V[layout.X[:, f] > 0, j], [0.25, 0.75]) for f, j in there])


def _fenced(layout: Layout) -> np.ndarray:
    """The rows with Student-t columns cut off at their fences: one far outlier would be every start's own component."""
    V = layout.V.copy()
    for column, (low, high) in zip(layout.radial.own, _quartiles(layout), strict=True):
        if high > low:
            V[:, column] = np.clip(V[:, column], low - FENCE * (high - low), high + FENCE * (high - low))
    return V


def _responsibilities(plan: Plan, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """(n, K) soft assignment to random centres, within the allowed configurations and the evidence."""
    n, K = len(layout.V), plan.K
    if K == 1:
        return np.ones((n, 1))
    allowed = _row_allowed(layout)
    likely = allowed & possible(plan, layout)
    allowed = np.where(likely.any(axis=1, keepdims=True), likely, allowed)  # a row that nothing allows is named by the first pass
    Z = _features(plan, layout, rng)
    if Z.shape[1]:
        D = _distances(Z, _centres(Z, layout.w, allowed, rng))
        spread = np.average(D.min(axis=1), weights=layout.w)
        lp = -0.5 * D * Z.shape[1] / spread if spread > 0 else -0.5 * D
        lp = lp + 0.2 * rng.standard_normal((n, K))
    else:
        lp = np.log(rng.dirichlet(np.ones(K), n))
    if len(layout.E):
        lp = lp + layout.E
    lp = np.where(allowed, lp, -np.inf)
    r = np.exp(lp - lp.max(axis=1, keepdims=True))
    return r / r.sum(axis=1, keepdims=True)


def _centres(Z: np.ndarray, w: np.ndarray, allowed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K, columns) labelled classes at the mean of their labelled rows, the others by k-means++ over all rows."""
    K = allowed.shape[1]
    centres = np.full((K, Z.shape[1]), np.nan)
    single = allowed.sum(axis=1) == 1
    for k in range(K):
        labelled = single & allowed[:, k] & (w > 0)
        if labelled.any():
            centres[k] = np.average(Z[labelled], axis=0, weights=w[labelled])
    open_ = [int(k) for k in rng.permutation(K) if np.isnan(centres[k, 0])]
    chosen = [c for c in centres if not np.isnan(c[0])]
    for k in open_:
        weight = w * (_distances(Z, np.array(chosen)).min(axis=1) if chosen and K <= MANY else 1.0)
        total = weight.sum()
        row = rng.choice(len(Z), p=weight / total if total > 0 else w / w.sum())
        centres[k] = Z[row]
        chosen.append(centres[k])
    return centres


def _distances(Z: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([((Z - c) ** 2).sum(axis=1) for c in centres], axis=1)


def _statistics(plan: Plan, layout: Layout, V: np.ndarray, r: np.ndarray, rng: np.random.Generator) -> Statistics:
    """The statistics that an expectation would return if the completed rows were observed with these responsibilities.

    Student-t values are weighted by their distance from the middle of their column, so that outliers do not decide where a run
    starts; the logs of the weights are those that put nu at a random value.
    """
    wr = r * layout.w[:, None]
    M, S = np.zeros((plan.K, plan.d, plan.d)), np.zeros((layout.n_tables, plan.K))
    everything, none = np.arange(plan.d), np.zeros(0, dtype=int)
    if plan.R:
        for k in range(plan.K):
            add_lifted(M[k], (V * wr[:, [k]]).T @ V, 0.0, everything, none, np.zeros((0, plan.d)), np.zeros((0, 0)))
    add_tables(S, layout, slice(0, len(V)), np.arange(plan.K), wr)
    N, rho = wr.sum(axis=0), np.zeros((plan.K, plan.d))
    if not plan.radials:
        return Statistics(N, M, S, rho)
    radial, there = layout.radial, layout.X[:, layout.radial.column]
    degrees = np.exp(rng.uniform(np.log(DEGREES[0]), np.log(DEGREES[1]), there.shape[1]))
    quartiles, own = _quartiles(layout), radial.own
    spread = np.where(np.ptp(quartiles, axis=1) > 0, np.ptp(quartiles, axis=1) / 1.349, plan.scale[own])
    square = radial.summed(((V[:, own] - quartiles.mean(axis=1)) / spread) ** 2)
    weight = there * (degrees + radial.lengths) / (degrees + square)
    U = np.stack([weighted_moments(layout, V, wr[:, [k]] * weight) for k in range(plan.K)])
    return Statistics(N, M, S, rho, U, (wr.T @ there) * digamma_less_log(0.5 * degrees))

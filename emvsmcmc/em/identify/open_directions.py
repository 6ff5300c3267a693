"""Directions in which the data leave the parameters open, by structure: along them no row's log-likelihood changes, here or
anywhere.
"""

from __future__ import annotations

import numpy as np

from ...expect.coefficients import coefficients
from ...expect.coordinates import Coordinates
from ...expect.draws import row_densities
from ...expect.layout import Layout
from ...expect.objective import Objective
from ...expect.plan import Plan

STEP = 2e-3  # five points: differences err by its fourth power, 1e-11, and rounding by as much
SAME = 1e-8  # singular value, in units of the columns, below which rows do not tell a direction from none
CANCELLED = 1e-6  # eigenvalue of the information in units of its diagonal, which differences of scores give to 1e-6
WEAK = 1e-5  # of the scores' own size, what is left of them along a direction that EM comes to slowly, so never quite to zero
SILENT = 1e-6  # score of one observation along a coordinate, in nats for each natural unit of it
FEW = 2000  # rows that are asked first
POINTS = 3
MOST = 200  # coordinates
WORK = 200_000_000  # row densities of one look
BLOCK = 4_000_000  # doubles at a time
SHARE = 0.05  # of a direction's largest entry, from which a parameter is named
NAMED = 6  # entries that are written out


def row_scores(plan: Plan, chart: Coordinates, u: np.ndarray, layout: Layout) -> np.ndarray:
    """(rows of the layout that count, size) derivative of each row's log-likelihood, by five-point differences."""
    counted = np.flatnonzero(layout.w > 0)
    out = np.empty((len(counted), chart.size))
    some = max(1, BLOCK // max(1, 4 * len(layout.V) * plan.K))
    offsets, factors = STEP * np.array([-2.0, -1.0, 1.0, 2.0]), np.array([1.0, -8.0, 8.0, -1.0]) / (12 * STEP)
    for at in range(0, chart.size, some):
        which = np.arange(at, min(at + some, chart.size))
        points = np.repeat(u[:, None], 4 * len(which), axis=1)
        points[np.repeat(which, 4), np.arange(4 * len(which))] += np.tile(offsets, len(which))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            C = coefficients(plan, chart.unpack(points))
            densities = row_densities(layout, plan.K, C, points.shape[1])[counted]
            top = densities.max(axis=1, keepdims=True)
            rows = top[:, 0] + np.log(np.exp(densities - top).sum(axis=1))
        out[:, which] = rows.reshape(len(counted), len(which), 4) @ factors
    return out


def structural(plan: Plan, chart: Coordinates, beyond: np.ndarray | None = None) -> np.ndarray:
    """(size, g) orthonormal directions at the chart's values along which the likelihood is constant, where it is so at values
    without special relations too. The same for every seed of a fit.

    A direction orthogonal to every row's score at one point may be so by luck (two equal components); where that holds nearly
    everywhere, the likelihood is constant along curves. Some rows are asked first: what they tell apart, all tell apart. None
    are looked for where asking all would take too long.

    beyond : (size, g) directions of recession. Far along them the rows say nothing any more, nearer they did.
    """
    nothing = np.zeros((chart.size, 0))
    if not chart.size or chart.size > MOST or not plan.store.every_row:
        return nothing
    for layout in (some_rows(plan.full, FEW), plan.full):
        if 4 * chart.size * len(layout.V) * plan.K > WORK:
            return nothing
        u = chart.pack(chart.env)
        rank, flat = _null(row_scores(plan, chart, u, layout), beyond)
        if not rank:  # rows outside the model say nothing of directions
            return nothing
        rng = np.random.default_rng(0)
        for _ in range(POINTS):
            if rank < chart.size:
                moved = u + 0.5 * rng.normal(size=chart.size)
                rank = max(rank, _null(row_scores(plan, chart, moved, layout), beyond)[0])
        if rank == chart.size:
            return nothing
    return np.linalg.qr(flat[:, rank:])[0]


def some_rows(layout: Layout, most: int) -> Layout:
    """At most about so many rows, some of every pattern; the layout itself where it has no more."""
    n = len(layout.V)
    if n <= most:
        return layout
    pattern = layout.pattern
    order = np.random.default_rng(0).permutation(n)
    rank = np.empty(n, dtype=np.int64)
    for p in range(len(layout.start) - 1):
        mine = order[pattern[order] == p]
        rank[mine] = np.arange(len(mine))
    kept = np.sort(np.lexsort((order, rank))[:most])  # the first of every pattern, then the second, ...
    return layout.taken(kept, np.bincount(pattern[kept], minlength=len(layout.start) - 1))


def only_here(plan: Plan, chart: Coordinates, information: np.ndarray, flat: np.ndarray, objective: Objective) -> np.ndarray:
    """(size, g) directions, beside those of `flat`, that neither the information nor the rows' scores tell from none at the
    estimate: combinations along which the scores cancel (two equal components), and coordinates in which an observation's score
    is next to nothing.

    The information is known to 1e-6 of its parts only; where it is suspiciously small the scores, known to 1e-10, decide. With a
    prior, which has a say in the information but not in the scores, a coordinate without information is all that is found: one of
    a component without rows, under a flat prior.
    """
    nothing = np.zeros((chart.size, 0))
    work = 4 * chart.size * len(plan.full.V) * plan.K
    if not chart.size or not plan.store.every_row or chart.size > MOST or work > WORK:
        return nothing
    sizes, n = np.sqrt(np.abs(np.diag(information))), float(plan.full.w.sum())
    silent = sizes < (1 if objective.prior else 10) * SILENT * np.sqrt(n)
    if objective.prior:
        return np.eye(chart.size)[:, silent]
    d = np.where(sizes > 0, sizes, 1.0)
    values, vectors = np.linalg.eigh(information / np.outer(d, d))
    weak = vectors[:, (np.abs(values) < CANCELLED) & ~silent.any() & (flat.shape[1] == 0)] / d[:, None]
    if not silent.any() and not weak.shape[1]:
        return nothing
    w = plan.full.w[plan.full.w > 0]
    J = np.sqrt(w)[:, None] * row_scores(plan, chart, chart.pack(chart.env), plan.full)
    lengths = np.linalg.norm(J, axis=0)
    if silent.any():
        own = np.eye(chart.size)[:, silent & (lengths < SILENT * np.sqrt(n))]
        Q = np.linalg.qr(flat)[0]
        beside = own - Q @ (Q.T @ own)
        return np.linalg.qr(own[:, np.linalg.norm(beside, axis=0) > 0.5])[0]
    heard = np.linalg.norm(J @ weak, axis=0) / np.linalg.norm(lengths[:, None] * weak, axis=0)
    kept = weak[:, heard < WEAK]
    return np.linalg.qr(kept)[0] if kept.shape[1] else nothing


def _null(J: np.ndarray, known: np.ndarray | None = None) -> tuple[int, np.ndarray]:
    """(rank, directions in descending order of what the rows say along them), columns at unit length. told : (size, g) directions
    that count as told apart.
    """
    if not np.isfinite(J).all():  # a point outside the model says nothing
        return 0, np.eye(J.shape[1])
    if known is not None and known.shape[1]:
        J = np.vstack([J, max(1.0, float(np.linalg.norm(J, axis=0).max(initial=0.0))) * known.T])
    lengths = np.linalg.norm(J, axis=0)
    lengths = np.where(lengths > SAME * lengths.max(initial=0.0), lengths, np.inf)
    R = np.linalg.qr(J / lengths, mode="r")  # no matrix of rows by rows: J is as tall as the data
    s, V = np.linalg.svd(R, full_matrices=True)[1:]
    unit = np.where(np.isfinite(lengths), lengths, 1.0)
    return int((s > SAME * max(1.0, s.max(initial=0.0))).sum()), V.T / unit[:, None]


def direction_text(chart: Coordinates, flat: np.ndarray) -> str:
    """What the likelihood does not change along: "with cov[height, weight]", "along 2 combinations of w[0], w[1] and 4 more"."""
    open_ = entries(chart, flat)
    shown = ", ".join(open_[:NAMED]) + (f" and {len(open_) - NAMED} more" if len(open_) > NAMED else "")
    if len(open_) == flat.shape[1]:
        return f"with {shown}"
    return f"along {flat.shape[1]} combination{'s' if flat.shape[1] > 1 else ''} of {shown}"


def entries(chart: Coordinates, flat: np.ndarray) -> list[str]:
    """The declared entries that move along flat directions, by their coordinates: "cov[height, weight]"."""
    out = []
    problem, jacobian = chart.plan.problem, chart.jacobian(chart.pack(chart.env))
    for b in chart.blocks:
        moved = np.abs(jacobian[b.variable.label] @ flat).max(axis=-1, initial=0.0)
        scale = np.linalg.norm(jacobian[b.variable.label], axis=-1)
        for index in np.argwhere(moved > SHARE * np.where(scale > 0, scale, np.inf)):
            name = b.variable.label
            if len(index) == 2 and b.variable.family.matrix and index[0] > index[1]:
                continue  # the other half of a symmetric matrix
            out.append(problem.entry(name, b.variable.dims, index))
    return out

"""Directions in which the data leave the parameters open, by structure: along them no row's log-likelihood changes, here or
anywhere.
"""

from __future__ import annotations

import numpy as np

from ..expect.coefficients import coefficients
from ..expect.coordinates import Block, Coordinates
from ..expect.many import row_densities
from ..expect.plan import Plan

STEP = 2e-3  # five points: differences err by its fourth power, 1e-11, and rounding by as much
SAME = 1e-8  # singular value, in units of the columns, below which rows do not tell a direction from none
WEAK = 1e-5  # the same at an estimate, where EM comes to such a direction slowly
POINTS = 3
MOST = 200  # coordinates
WORK = 200_000_000  # row densities of one look
BLOCK = 4_000_000  # doubles at a time
SHARE = 0.05  # of a direction's largest entry, from which a parameter is named


def row_scores(plan: Plan, chart: Coordinates, u: np.ndarray) -> np.ndarray:
    """(rows that count, size) derivative of each distinct row's log-likelihood, by five-point differences."""
    counted = np.flatnonzero(plan.full.w > 0)
    out = np.empty((len(counted), chart.size))
    some = max(1, BLOCK // max(1, 4 * len(plan.full.V) * plan.K))
    offsets, factors = STEP * np.array([-2.0, -1.0, 1.0, 2.0]), np.array([1.0, -8.0, 8.0, -1.0]) / (12 * STEP)
    for at in range(0, chart.size, some):
        which = np.arange(at, min(at + some, chart.size))
        points = np.repeat(u[:, None], 4 * len(which), axis=1)
        points[np.repeat(which, 4), np.arange(4 * len(which))] += np.tile(offsets, len(which))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            densities = row_densities(plan, coefficients(plan, chart.unpack(points)), points.shape[1])[counted]
            top = densities.max(axis=1, keepdims=True)
            rows = top[:, 0] + np.log(np.exp(densities - top).sum(axis=1))
        out[:, which] = rows.reshape(len(counted), len(which), 4) @ factors
    return out


def structural(plan: Plan, chart: Coordinates) -> np.ndarray:
    """(size, g) orthonormal directions at the chart's values along which the likelihood is constant, where it is so at values
    without special relations too. The same for every seed of a fit.

    A direction orthogonal to every row's score at one point may be so by luck (two equal components); where that holds nearly
    everywhere, the likelihood is constant along curves. None are looked for where the look would take too long.
    """
    nothing = np.zeros((chart.size, 0))
    work = 4 * chart.size * len(plan.full.V) * plan.K if plan.chunks is None else WORK + 1
    if not chart.size or chart.size > MOST or work > WORK:
        return nothing
    u = chart.pack(chart.env)
    here, flat = _null(row_scores(plan, chart, u))
    if not here:  # rows outside the model say nothing of directions
        return nothing
    rank = here
    rng = np.random.default_rng(0)
    for _ in range(POINTS):
        if rank == chart.size:
            return nothing
        rank = max(rank, _null(row_scores(plan, chart, u + 0.5 * rng.normal(size=chart.size)))[0])
    if rank == chart.size:
        return nothing
    return np.linalg.qr(flat[:, rank:])[0]


def only_here(plan: Plan, chart: Coordinates, information: np.ndarray) -> np.ndarray:
    """(size, g) directions that neither the rows nor the information tell from none at the estimate (two equal components)."""
    nothing = np.zeros((chart.size, 0))
    d = np.sqrt(np.abs(np.diag(information)))
    if not chart.size or plan.chunks is not None or chart.size > MOST or not (d > 0).all():
        return nothing
    values, vectors = np.linalg.eigh(information / np.outer(d, d))
    weak = vectors[:, np.abs(values) < WEAK**2 * 1e4] / d[:, None]
    if not weak.shape[1] or 4 * chart.size * len(plan.full.V) * plan.K > WORK:
        return nothing
    J = row_scores(plan, chart, chart.pack(chart.env))
    lengths = np.linalg.norm(J, axis=0)
    said = np.linalg.norm(J @ weak, axis=0) / np.linalg.norm(lengths[:, None] * weak, axis=0)
    kept = weak[:, said < WEAK]
    return np.linalg.qr(kept)[0] if kept.shape[1] else nothing


def _null(J: np.ndarray) -> tuple[int, np.ndarray]:
    """(rank, directions in descending order of what the rows say along them), columns at unit length."""
    if not np.isfinite(J).all():  # a point outside the model says nothing
        return 0, np.eye(J.shape[1])
    lengths = np.linalg.norm(J, axis=0)
    lengths = np.where(lengths > SAME * lengths.max(initial=0.0), lengths, np.inf)
    s, V = np.linalg.svd(J / lengths, full_matrices=True)[1:]
    unit = np.where(np.isfinite(lengths), lengths, 1.0)
    return int((s > SAME * max(1.0, s.max(initial=0.0))).sum()), V.T / unit[:, None]


def entries(blocks: list[Block], jacobian: dict[str, np.ndarray], flat: np.ndarray) -> list[str]:
    """The declared entries that move along flat directions: "cov[0, 1]"."""
    out = []
    for b in blocks:
        moved = np.abs(jacobian[b.variable.label] @ flat).max(axis=-1, initial=0.0)
        scale = np.linalg.norm(jacobian[b.variable.label], axis=-1)
        for index in np.argwhere(moved > SHARE * np.where(scale > 0, scale, np.inf)):
            name = b.variable.label
            if len(index) == 2 and b.variable.family.event_dims == 2 and index[0] > index[1]:
                continue  # the other half of a symmetric matrix
            out.append(f"{name}[{', '.join(map(str, index))}]" if len(index) else name)
    return out

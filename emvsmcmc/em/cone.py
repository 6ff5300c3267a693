"""Directions along which no number of a list falls: a cone, decided by linear programs.

Logistic data are separated, completely or not, exactly where such a direction exists (Albert and Anderson 1984; Konis 2007 for
the linear program); for Poisson counts see Correia, Guimaraes and Zylkin 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, hstack

TELLS = 1e-9  # singular value, of rows of length one, below which they do not tell a direction from none
RISES = 0.5  # of the 1 that a number that can rise is made to rise by
ALIKE = 12  # decimals in which the directions of two rows may differ
SMALL = 1e-9  # of the largest entry of a direction: a smaller one is rounding


@dataclass(frozen=True)
class Cone:
    """direction (m,): in the inside of the cone, its largest entry 1. span (m, g): orthonormal, of all its directions. rises
    (rows,) bool: what rises along `direction`, and along any direction of the inside; the others change along none.
    """

    direction: np.ndarray
    span: np.ndarray
    rises: np.ndarray


def cone(rows: np.ndarray, upward: np.ndarray) -> Cone | None:
    """The directions d with rows @ d >= 0, unless none of them makes a row rise.

    rows : (n, m) derivatives, in units in which the m coordinates are alike. upward : (m,) bool, coordinates that may not fall.
    Directions that change no row are left out. Of the inside, the direction of the smallest sum of sizes for which every row that
    can rise does so by its length or more: few coordinates take part where few will do.
    """
    n, m = rows.shape
    lengths = np.linalg.norm(rows, axis=1)
    nonzero = np.flatnonzero(lengths > 0)
    if not len(nonzero):
        return None
    unit = rows[nonzero] / lengths[nonzero, None]
    first, back = np.unique(np.round(unit, ALIKE), axis=0, return_index=True, return_inverse=True)[1:]
    unit = unit[first]
    # in the rows' own principal axes: an intercept beside a covariate far from zero is nearly collinear in any others
    s, V = np.linalg.svd(unit, full_matrices=False)[1:]
    kept = s > TELLS * s[0]
    axes = V[kept].T / s[kept]
    every = np.vstack([unit, np.eye(m)[upward]]) @ axes
    sizes = np.linalg.norm(every, axis=1)
    every = every / np.where(sizes > 0, sizes, 1.0)[:, None]
    rising = _rising(every)
    if not rising[: len(unit)].any():
        return None
    still = every[~rising]
    span = np.eye(every.shape[1])
    if len(still):
        singular, W = np.linalg.svd(still, full_matrices=True)[1:]
        span = W[int((singular > TELLS).sum()) :].T
    if not span.shape[1]:
        return None
    d = _shortest(every[rising] @ span, axes @ span)
    if d is None:
        return None
    direction = axes @ span @ d
    fixed = np.vstack([unit, np.eye(m)[upward]])[~rising]
    if len(fixed):  # far along the direction what should not move must not
        direction = direction - np.linalg.lstsq(fixed, fixed @ direction, rcond=None)[0]
    direction = np.where(np.abs(direction) > SMALL * np.abs(direction).max(), direction, 0.0)
    rises = np.zeros(n, dtype=bool)
    rises[nonzero] = rising[: len(unit)][back.ravel()]
    return Cone(direction / np.abs(direction).max(), np.linalg.qr(axes @ span)[0], rises)


def _rising(rows: np.ndarray) -> np.ndarray:
    """(n,) bool rows that some direction makes rise while none falls: as many as can be, at once."""
    n, r = rows.shape
    # the sum of z, at most 1 each, with z <= rows @ d: a cone may be scaled, so what can rise at all rises by 1
    solution = linprog(
        np.r_[np.zeros(r), -np.ones(n)],
        A_ub=hstack([csr_array(-rows), eye_array(n)]),
        b_ub=np.zeros(n),
        bounds=[(None, None)] * r + [(0, 1)] * n,
        method="highs",
    )
    return solution.x[r:] > RISES if solution.x is not None else np.zeros(n, dtype=bool)


def _shortest(rows: np.ndarray, back: np.ndarray) -> np.ndarray | None:
    """The d with rows @ d >= 1 of which back @ d has the smallest sum of sizes."""
    (n, g), m = rows.shape, len(back)
    upper = np.vstack([np.hstack([-rows, np.zeros((n, m))]), np.hstack([back, -np.eye(m)]), np.hstack([-back, -np.eye(m)])])
    cost = np.r_[np.zeros(g), np.ones(m)]
    free = [(None, None)] * g + [(0, None)] * m
    solution = linprog(cost, A_ub=upper, b_ub=np.r_[-np.ones(n), np.zeros(2 * m)], bounds=free, method="highs")
    return solution.x[:g] if solution.x is not None else None

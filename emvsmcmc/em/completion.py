"""A random completion of rows of which only the moments are kept, at a cost that does not depend on their number."""

from __future__ import annotations

import numpy as np

from ..expect.layout import Statistics
from ..expect.plan import Plan


def completed_moments(plan: Plan, rng: np.random.Generator) -> Statistics:
    """Statistics of rows whose hidden cells were drawn around their column; factors are left at zero.

    Draws Z (n, h) of independent standard normals beside rows V = QR have Z'V = G R and Z'Z = G'G + A'A, with G (r, h) standard
    normal, r the rows of R, and A'A Wishart of n - r degrees of freedom. So [[R, G], [0, A]] are a few rows with the moments of
    all.
    """
    rows, d = plan.layout.collapsed, plan.d
    wholly = rows.hidden.all(axis=0) if len(rows.hidden) else np.zeros(d, dtype=bool)
    drawn, configuration = [], []
    for q in np.flatnonzero(rows.weight > 0):
        hidden = np.flatnonzero(rows.hidden[q])
        R = rows.R[q][rows.R[q].any(axis=1)]
        A = _root_of_wishart(len(hidden), rows.weight[q] - len(R), rng)
        few = np.vstack([R, np.zeros((len(A), d))])
        few[:, hidden] = np.vstack([rng.standard_normal((len(R), len(hidden))), A]) * plan.scale[hidden]
        drawn.append(few)
        configuration += [int(rows.configuration[q])] * len(few)
    V, k = np.vstack(drawn), np.array(configuration)
    V[:, wholly] = 0.0
    N, M, S = np.zeros(plan.K), np.zeros((plan.K, d, d)), np.zeros((plan.layout.n_tables, plan.K))
    np.add.at(N, rows.configuration, rows.weight)
    np.add.at(S.T, rows.configuration, rows.S)
    if plan.R:
        for c in np.unique(k):
            M[c] = V[k == c].T @ V[k == c]
    return Statistics(N, M, S, np.zeros((plan.K, d)))


def _root_of_wishart(size: int, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """A (rows, size), A'A of a standard Wishart distribution: as many draws as it has degrees, or a triangle of Bartlett's where
    that is fewer rows.
    """
    if degrees < size:
        return rng.standard_normal((max(0, round(degrees)), size))
    A = np.triu(rng.standard_normal((size, size)), 1)
    A[np.diag_indices(size)] = np.sqrt(rng.chisquare(degrees - np.arange(size)))
    return A

"""Square roots of second moments, for covariates so nearly collinear that squares lose the digits in which they differ.

With a reciprocal condition of 1e-6 among covariates, second moments in float64 locate a coefficient only to 1e-4 of its standard
error, and the objective falls by more than rounding. Triangular roots from a QR of the rows keep eight digits.
"""

from __future__ import annotations

import numpy as np

DELICATE = 1e-7  # smallest eigenvalue of the correlations of covariates below which roots are worth their cost


def nearly_collinear(X: np.ndarray) -> bool:
    """Whether covariates are nearly collinear: X (m, c) of weighted rows, or of any rows with the same second moments about the
    centre.
    """
    size = np.sqrt((X**2).sum(axis=0))
    X = X[:, size > 0] / size[size > 0]
    return X.shape[1] > 1 and bool(np.linalg.eigvalsh(X.T @ X)[0] < DELICATE)


def add_lifted_root(
    R: np.ndarray, Z: np.ndarray, weight: float, o: np.ndarray, l: np.ndarray, map_: np.ndarray, root: np.ndarray
) -> None:
    """Fold weighted rows Z (n, o), and what their hidden coordinates vary about their means, into R (d, d): R'R += ... as
    `add_lifted` does to M.
    """
    rows = np.zeros((len(Z) + len(l), len(R)))
    rows[: len(Z), o] = Z
    if len(l):
        rows[: len(Z), l] = Z @ map_.T
        rows[len(Z) :, l] = np.sqrt(weight) * root.T
    R[:] = np.linalg.qr(np.vstack([R, rows]), mode="r")

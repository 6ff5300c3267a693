"""The few numerical rules that several rooms share."""

from __future__ import annotations

import os

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))
PRODUCT_ROWS = 2048  # rows of a block that stays in the cache
INDEPENDENT = 1e-3  # smallest eigenvalue of a correlation matrix from which its products are as good as its roots
NOTHING = 1e-290  # a diagonal below it has no inverse in float64, whatever else it is divided by
COMPLEX_STEP = 1e-30  # Im f(x + ih) / h is f'(x) to the last bit for every h this small, since nothing is subtracted


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def logsumexp(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """log sum exp along an axis; -inf where every entry is -inf (scipy's warns there)."""
    top = np.max(x, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.squeeze(safe, axis) + np.log(np.exp(x - safe).sum(axis=axis))


def scaled_inverse(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of symmetric positive definite matrices (..., n, n) after scaling their diagonal to one, and the reciprocal
    condition found.

    Scaling first keeps columns whose units differ by 1e8 apart from true collinearity. Reciprocal condition 0 means singular,
    or a diagonal whose inverse float64 could not hold.
    """
    d = np.diagonal(matrix, axis1=-2, axis2=-1)
    good = np.isfinite(d).all(axis=-1) & (d > NOTHING).all(axis=-1)
    scale = np.sqrt(np.where(good[..., None], d, 1.0))
    units = scale[..., :, None] * scale[..., None, :]
    unit = np.where(good[..., None, None], matrix / units, np.eye(matrix.shape[-1]))
    values, vectors = np.linalg.eigh(unit)
    good &= values[..., 0] > 0
    safe = np.where(good[..., None], values, 1.0)
    inverse = (vectors / safe[..., None, :]) @ vectors.swapaxes(-1, -2) / units
    return np.where(good[..., None, None], inverse, np.nan), np.where(good, safe[..., 0] / safe[..., -1], 0.0)


def root_of_moments(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Upper triangular R (d, d) with R'R = sum_i w_i v_i v_i' of rows (n, d).

    From the products, by blocks of rows, where the columns are far from collinear: their smallest direction is then known
    to eps / INDEPENDENT. Otherwise, and for few rows, by QR, which never forms a product.
    """
    n, d = rows.shape
    R = np.zeros((d, d))
    if n > 4 * d:
        G = np.zeros((d, d))
        for s in range(0, n, PRODUCT_ROWS):
            block = rows[s : s + PRODUCT_ROWS]
            G += (block * weights[s : s + PRODUCT_ROWS, None]).T @ block
        on = np.flatnonzero(np.diagonal(G) > 0)
        scale = np.sqrt(np.diagonal(G)[on])
        unit = G[np.ix_(on, on)] / scale / scale[:, None]
        if len(on) and np.isfinite(unit).all() and np.linalg.eigvalsh(unit)[0] > INDEPENDENT:
            R[np.ix_(on, on)] = np.linalg.cholesky(unit).T * scale
            return R
    upper = np.linalg.qr(rows * np.sqrt(weights)[:, None], mode="r")
    R[: len(upper)] = upper
    return R

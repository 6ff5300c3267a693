"""The few numerical rules that several rooms share."""

from __future__ import annotations

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))
COMPLEX_STEP = 1e-30  # Im f(x + ih) / h is f'(x) to the last bit for every h this small, since nothing is subtracted


def logsumexp(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """log sum exp along an axis; -inf where every entry is -inf (scipy's warns there)."""
    top = np.max(x, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.squeeze(safe, axis) + np.log(np.exp(x - safe).sum(axis=axis))


def scaled_inverse(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverse of a symmetric positive definite matrix after scaling its diagonal to one, and the reciprocal condition found.

    Scaling first keeps columns whose units differ by 1e8 apart from true collinearity. Reciprocal condition 0 means singular.
    """
    scale = np.sqrt(np.diagonal(matrix))
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return np.full_like(matrix, np.nan), 0.0
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    if values[0] <= 0:
        return np.full_like(matrix, np.nan), 0.0
    return (vectors / values) @ vectors.T / np.outer(scale, scale), float(values[0] / values[-1])

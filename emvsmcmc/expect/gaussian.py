"""Elimination of hidden Gaussian coordinates (factors and missing cells) by one QR per pattern and configuration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import Degenerate
from ..numerics import LOG_2PI


@dataclass(frozen=True)
class Elimination:
    """What is left of residual rows once hidden coordinates are integrated out, for configurations ks of one pattern.

    constant (ks,), rows (ks, R', o) on the observed coordinates, map (ks, l, o) and covariance (ks, l, l) of the hidden given
    the observed, root (ks, l, l) upper triangular with root root' = covariance.
    """

    constant: np.ndarray
    rows: np.ndarray
    map: np.ndarray
    covariance: np.ndarray
    root: np.ndarray


def eliminate(B: np.ndarray, observed: np.ndarray, hidden: np.ndarray, hard: bool = False) -> Elimination:
    """QR of [B_l B_o] = Q [R_ll R_lo; 0 R_oo]: mean map -R_ll^-1 R_lo, covariance (R_ll' R_ll)^-1, marginal residual rows R_oo.

    Under hard assignment the covariance and the log determinant are dropped. Raises Degenerate where a hidden coordinate has no
    information at all (an improper latent).
    """
    K, l = len(B), len(hidden)
    if l == 0:
        nothing = np.zeros((K, 0, 0))
        return Elimination(np.zeros(K), B[:, :, observed], np.zeros((K, 0, len(observed))), nothing, nothing)
    R = np.linalg.qr(B[:, :, np.concatenate([hidden, observed])], mode="r")
    R_ll, R_lo, R_oo = R[:, :l, :l], R[:, :l, l:], R[:, l:, l:]
    diagonal = np.abs(np.einsum("kii->ki", R_ll))
    if R.shape[1] < l or not (diagonal > 1e-300).all():
        raise Degenerate("hidden coordinates", "a latent or a missing cell without any distribution left")
    inverse = np.linalg.inv(R_ll)
    constant = np.zeros(K) if hard else 0.5 * l * LOG_2PI - np.log(diagonal).sum(1)
    covariance = np.zeros((K, l, l)) if hard else inverse @ inverse.swapaxes(-1, -2)
    return Elimination(constant, R_oo, -inverse @ R_lo, covariance, np.zeros((K, l, l)) if hard else inverse)

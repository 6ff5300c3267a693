"""Special functions that densities need on numpy, under a complex step, and on PyTensor."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln, loggamma

from ..numerics import LOG_2PI
from .base import Array

LARGE = 64.0  # from here on the asymptotic series is exact to the last digit, below it the sum over the circle
ANGLES = 1 - np.cos(2 * np.pi * np.arange(48) / 96)  # one side of the circle in 96 steps, without the far end
WEIGHTS = np.where(np.arange(48) == 0, 1.0, 2.0) / 96  # both sides; what stands at the far end is e^(-2 kappa) / 96
SERIES = tuple(float(np.prod([(2 * j - 1) ** 2 / (8 * j) for j in range(1, m + 1)])) for m in range(1, 11))


def log_gamma(xp: ModuleType, a: Array) -> Array:
    """log Gamma(a) of positive a; holomorphic."""
    if xp is not np:
        return xp.gammaln(a)
    return loggamma(a) if np.iscomplexobj(a) else gammaln(a)


def log_bessel(xp: ModuleType, kappa: Array) -> Array:
    """log I0(kappa) of kappa >= 0, the modified Bessel function of order zero; holomorphic, and finite for any kappa.

    I0 is the mean of exp(kappa cos t) over the circle, which equal steps give to the last digit. (scipy's has no derivative by a
    complex step, and PyTensor's overflows from 700 on.)
    """
    near = xp.lt(kappa, LARGE) if xp is not np else np.real(kappa) < LARGE
    small, large = xp.where(near, kappa, 1.0), xp.where(near, LARGE, kappa)
    circle = (WEIGHTS * xp.exp(-small[..., None] * ANGLES)).sum(axis=-1) + xp.exp(-2.0 * small) / 96
    return kappa + xp.where(near, xp.log(circle), _far(xp, large))


def _far(xp: ModuleType, kappa: Array) -> Array:
    """log I0(kappa) - kappa of large kappa: 1 + 1/(8 kappa) + 9/(2 (8 kappa)^2) + ... over sqrt(2 pi kappa)."""
    r, total = 1.0 / kappa, 0.0
    for coefficient in reversed(SERIES):
        total = (total + np.float64(coefficient)) * r
    return xp.log1p(total) - 0.5 * (xp.log(kappa) + np.float64(LOG_2PI))

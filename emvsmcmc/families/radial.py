"""The formulas of a Normal vector whose precision has a Gamma scale of its own: what degrees of freedom bring to densities and to
what is expected of the scale. Holomorphic, and to the last digits for large degrees of freedom.

`p` is the length of the vector, 1 for a number.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import digamma, loggamma

from ..numerics import LOG_2PI
from .base import Array

LARGEST_NU = 1e15  # beyond it the density is Normal to the last bit
LARGE = 16.0  # from here on six terms of Stirling's series are exact, while log Gamma loses a digit for each of its own
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)  # of log Gamma(a), in a^-1, a^-3, ...
HALF_STEP = (-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224)  # of log Gamma(a + 1/2) - log Gamma(a)
DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760)  # of digamma(a) - log a + 1/(2 a), in a^-2, a^-4, ...


def log_constant(xp: ModuleType, nu: Array, p: int = 1) -> Array:
    """log Gamma((nu + p)/2) - log Gamma(nu/2) - p/2 log(nu pi), the log density at x = mu of scale 1; holomorphic.

    The difference of two large log Gammas would lose the monotone objective from nu = 1e4 on. Gamma(a + p/2) is a product of as
    many factors as p has twos and, where p is odd, of Gamma(a + 1/2).
    """
    odd = p % 2
    total = _log_constant_of_one(xp, nu) if odd else 0.0 * nu
    for j in range(p // 2):
        total = total + xp.log1p((odd + 2 * j) / nu) - np.float64(LOG_2PI)
    return total


def _log_constant_of_one(xp: ModuleType, nu: Array) -> Array:
    if xp is not np:
        a = 0.5 * nu
        small = xp.gammaln(a + 0.5) - xp.gammaln(a) - 0.5 * xp.log(np.float64(2 * np.pi) * a)
        return xp.switch(xp.lt(a, np.float64(LARGE)), small, _odd(HALF_STEP, a) - np.float64(0.5 * LOG_2PI))
    a = 0.5 * np.asarray(nu)
    small, large = _ranges(a)
    near = loggamma(small + 0.5) - loggamma(small) - 0.5 * np.log(2 * np.pi * small)
    return np.where(a.real < LARGE, near, _odd(HALF_STEP, large) - 0.5 * LOG_2PI)


def scale_constant(nu: np.ndarray) -> np.ndarray:
    """a log a - a - log Gamma(a), a = nu/2: what nu brings to the log density of its latent scale u, beside a (log u - u + 1).

    Holomorphic.
    """
    a = 0.5 * np.asarray(nu)
    small, large = _ranges(a)
    far = 0.5 * np.log(large) - 0.5 * LOG_2PI - _odd(STIRLING, large)
    return np.where(a.real < LARGE, small * np.log(small) - small - loggamma(small), far)


def digamma_less_log(a: np.ndarray) -> np.ndarray:
    """digamma(a) - log a of positive a: E[log g] of g ~ Gamma(a, a)."""
    small, large = _ranges(np.asarray(a, dtype=float))
    far = -0.5 / large + _odd(DIGAMMA, large) / large
    return np.where(a < LARGE, digamma(small) - np.log(small), far)


def _ranges(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a where the first formula holds and where the second does, 1 and LARGE elsewhere, so that neither overflows."""
    near = a.real < LARGE
    return np.where(near, a, 1.0), np.where(near, LARGE, a)


def _odd(series: tuple[float, ...], a: Array) -> Array:
    """sum_j series_j a^-(2j + 1)."""
    r = 1.0 / a
    square, total = r * r, 0.0
    for coefficient in reversed(series):
        total = total * square + np.float64(coefficient)
    return total * r

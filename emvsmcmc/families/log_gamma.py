"""Ratios of Gamma functions and of numbers that are nearly equal, to their last digits: what the densities of overdispersed
counts are made of. Holomorphic, on numpy and on PyTensor.

With d(a) what Stirling's formula leaves of log Gamma(a), the factor of a count x > 0

    Gamma(a + x) / (Gamma(a) x!) = sqrt(a / (2 pi x (a + x))) exp(d(a + x) - d(a) - d(x)) (a + x)^(a + x) / (a^a x^x),

and what remains of the powers in a density is a deviance: small where the count is near its mean, however large both are
(Loader 2000, Fast and accurate computation of binomial probabilities).
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import log1p, loggamma

from ..numerics import LOG_2PI
from .base import Array
from .radial import LARGE, STIRLING


def stirling_remainder(xp: ModuleType, a: Array) -> Array:
    """d(a) = log Gamma(a) - (a - 1/2) log a + a - 1/2 log(2 pi) of positive a."""
    near = _real(xp, a) < LARGE
    small, large = xp.where(near, a, 1.0), xp.where(near, LARGE, a)
    lgamma = loggamma if xp is np else xp.gammaln
    direct = lgamma(small) - (small - 0.5) * xp.log(small) + small - np.float64(0.5 * LOG_2PI)
    r = 1.0 / large
    square, series = r * r, 0.0
    for coefficient in reversed(STIRLING):
        series = series * square + np.float64(coefficient)
    return xp.where(near, direct, series * r)


def log_beta(xp: ModuleType, a: Array, b: Array) -> Array:
    """log B(a, b) of positive a and b, to its own last digits where one of them is large: the difference of log Gammas would have
    those of b log b.
    """
    total = a + b
    powers = (a - 0.5) * log_ratio(xp, a, total, -b) + (b - 0.5) * log_ratio(xp, b, total, -a) - 0.5 * xp.log(total)
    remainders = stirling_remainder(xp, a) + stirling_remainder(xp, b) - stirling_remainder(xp, total)
    return powers + remainders + np.float64(0.5 * LOG_2PI)


def log_ratio(xp: ModuleType, a: Array, b: Array, less: Array) -> Array:
    """log(a / b) of positive numbers, given less = a - b to its own digits: near 1 a ratio has fewer."""
    near = abs(_real(xp, less)) < 0.5 * _real(xp, b)
    close = xp.where(near, less, 0.0) / b
    one_more = log1p(close) if xp is np else xp.log1p(close)
    return xp.where(near, one_more, xp.log(xp.where(near, b, a)) - xp.log(b))


def times_log_ratio(xp: ModuleType, x: Array, a: Array, b: Array, less: Array) -> Array:
    """x log(a / b) of a count x; 0 where x is 0, whatever a is."""
    there = x > 0
    return x * log_ratio(xp, xp.where(there, a, 1.0), xp.where(there, b, 1.0), xp.where(there, less, 0.0))


def gamma_factor(xp: ModuleType, a: Array, x: Array) -> Array:
    """log Gamma(a + x) - log Gamma(a) - log x! - (a + x) log(a + x) + a log a + x log x of counts x and positive a: never larger
    than a few logarithms of them; 0 at x = 0.
    """
    there = x > 0
    count = xp.where(there, x, 1.0)
    root = 0.5 * (log_ratio(xp, a, a + count, -count) - xp.log(count) - np.float64(LOG_2PI))
    remainders = stirling_remainder(xp, a + count) - stirling_remainder(xp, a) - stirling_remainder(xp, count)
    return xp.where(there, root + remainders, 0.0)


def _real(xp: ModuleType, a: Array) -> Array:
    return np.real(a) if xp is np else a

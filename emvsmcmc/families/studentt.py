"""StudentT: a Normal whose precision is multiplied by a Gamma variable of its own in every value; as a prior over real numbers
too."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import digamma, loggamma
from scipy.stats import t as student

from ..numerics import LOG_2PI
from .base import REQUIRED, Array, Family, Parametrisation, Prior, RadialFamily, Slot, Twin
from .support import Real, Support

LARGE = 16.0  # from here on six terms of Stirling's series are exact, while log Gamma loses a digit for each of its own
LARGEST_NU = 1e15  # beyond it the density is Normal to the last bit
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)  # of log Gamma(a), in a^-1, a^-3, ...
HALF_STEP = (-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224)  # of log Gamma(a + 1/2) - log Gamma(a)
DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760)  # of digamma(a) - log a + 1/(2 a), in a^-2, a^-4, ...


class StudentT(Family, RadialFamily, Prior):
    """log p(x | nu, mu, sigma) = log G((nu + 1)/2) - log G(nu/2) - 1/2 log(nu pi) - log sigma - (nu + 1)/2 log(1 + e^2 / nu).

    G is the Gamma function and e = (x - mu) / sigma. The same as x | u ~ Normal(mu, sigma / sqrt(u)), u ~ Gamma(nu/2, nu/2):
    heavy tails, which an outlier pulls little (Lange, Little and Taylor 1989). sigma is a scale, not the standard deviation.
    """

    name = "StudentT"
    arguments = {"nu": REQUIRED, "mu": 0.0, "sigma": 1.0}
    slots = {"nu": Slot(None, lower=0.0, upper=LARGEST_NU), "mu": Slot("mean"), "sigma": Slot("sigma", lower=0.0)}
    twin = Twin("StudentT", {"nu": "nu", "mu": "mu", "sigma": "sigma"})
    parametrisations = (
        Parametrisation(("lam",), ("sigma",), lambda math, lam: {"sigma": 1 / math.sqrt(lam)}, "lam > 0", ("lam",)),
    )

    def support(self, **arguments: Array) -> Support:
        return Real()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return arguments["mu"] + arguments["sigma"] * rng.standard_t(arguments["nu"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        return student.logpdf(x, arguments["nu"], loc=arguments["mu"], scale=arguments["sigma"])

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        nu, sigma = arguments["nu"], arguments["sigma"]
        e = (x - arguments["mu"]) / sigma
        return log_constant(xp, nu) - xp.log(sigma) - 0.5 * (nu + 1) * xp.log1p(e**2 / nu)

    def natural(self, kind: str, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: str, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


def log_constant(xp: ModuleType, nu: Array) -> Array:
    """log Gamma((nu + 1)/2) - log Gamma(nu/2) - 1/2 log(nu pi), the log density at x = mu of scale 1; holomorphic.

    The difference of two large log Gammas would lose the monotone objective from nu = 1e4 on.
    """
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

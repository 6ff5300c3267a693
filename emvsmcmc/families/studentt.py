"""StudentT: a Normal whose precision is multiplied by a Gamma variable of its own in every value; as a prior over real numbers
too."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.stats import t as student

from .argument import Argument
from .base import Array, Family, Limiting, Parametrisation, Prior, RadialFamily, Twin
from .kinds import MEAN, SIGMA, TAIL, Kind
from .radial import LARGEST_NU, log_constant
from .support import Interval, Positive, Real, Support


class StudentT(Family, RadialFamily, Limiting, Prior):
    """log p(x | nu, mu, sigma) = log G((nu + 1)/2) - log G(nu/2) - 1/2 log(nu pi) - log sigma - (nu + 1)/2 log(1 + e^2 / nu).

    G is the Gamma function and e = (x - mu) / sigma. The same as x | u ~ Normal(mu, sigma / sqrt(u)), u ~ Gamma(nu/2, nu/2):
    heavy tails, which an outlier pulls little (Lange, Little and Taylor 1989). sigma is a scale, not the standard deviation.
    """

    name = "StudentT"
    arguments = {
        "nu": Argument(Interval(0.0, LARGEST_NU), TAIL),
        "mu": Argument(Real(), MEAN, 0.0),
        "sigma": Argument(Positive(), SIGMA, 1.0),
    }
    endless = ("nu",)
    limit = "no heavier tails than a Normal"
    departure_reads = ("nu",)
    twin = Twin("StudentT")
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

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

    def departure(self, **arguments: np.ndarray) -> np.ndarray:
        return 1.0 / arguments["nu"]

"""NegativeBinomial: counts that vary more than a Poisson's."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln, xlogy

from .argument import Argument
from .base import Array, Family, Limiting, Parametrisation, Twin, ValueFamily
from .log_gamma import gamma_factor, log_ratio, times_log_ratio
from .support import Positive, Support
from .uncharted import Counts


class NegativeBinomial(Family, ValueFamily, Limiting):
    """log p(x | mu, alpha) = log G(x + alpha) - log G(alpha) - log x! + alpha log(alpha / m) + x log(mu / m), m = alpha + mu.

    G is the Gamma function. The same as x | g ~ Poisson(mu g), g ~ Gamma(alpha, alpha): mean mu, variance mu + mu^2 / alpha. As
    alpha goes to infinity it becomes a Poisson. One row of a table for each distinct count (and distinct values of the row data
    in mu), since the density is no product of what depends on the count and what depends on the parameters.
    """

    name = "NegativeBinomial"
    arguments = {"mu": Argument(Positive(), boundary=True), "alpha": Argument(Positive())}
    discrete = True
    mass = True
    value_reads = ("mu", "alpha")
    endless = ("alpha",)
    limit = "no more spread than a Poisson"
    departure_reads = ("mu", "alpha")
    twin = Twin("NegativeBinomial")
    parametrisations = (
        Parametrisation(
            ("n", "p"), ("mu", "alpha"), lambda math, n, p: {"mu": n * (1 - p) / p, "alpha": n}, "n > 0 and 0 < p < 1", ("n", "p")
        ),
    )

    def support(self, **arguments: Array) -> Support:
        return Counts()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        mu, alpha = (np.broadcast_to(arguments[k], shape) for k in ("mu", "alpha"))
        return rng.poisson(mu * rng.gamma(alpha) / alpha)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        mu, alpha = arguments["mu"], arguments["alpha"]
        inside = (np.asarray(x) >= 0) & (x == np.floor(x))
        x = np.where(inside, x, 0.0)
        value = gammaln(x + alpha) - gammaln(alpha) - gammaln(x + 1.0)
        value = value + xlogy(x, mu / (alpha + mu)) - alpha * np.log1p(mu / alpha)
        return np.where(inside, value, -np.inf)

    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        mu, alpha, x = arguments["mu"], arguments["alpha"], value
        assert x is not None
        away = mu - x
        deviance = (x + alpha) * log_ratio(xp, mu + alpha, x + alpha, away) - times_log_ratio(xp, x, mu, x, away)
        return gamma_factor(xp, alpha, x) - deviance

    def departure(self, **arguments: np.ndarray) -> np.ndarray:
        return np.maximum(arguments["mu"], 1.0) / arguments["alpha"]

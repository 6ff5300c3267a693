"""Poisson counts."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln, xlogy

from .argument import Argument
from .base import Array, ConjugateFamily, Family, TableFamily, Twin, missing_as_zero
from .kinds import RATE
from .support import Positive, Support
from .uncharted import Counts


class Poisson(Family, TableFamily, ConjugateFamily):
    """log p(x | mu) = x log mu - mu - log x!"""

    name = "Poisson"
    arguments = {"mu": Argument(Positive(), RATE, boundary=True)}
    discrete = True
    mass = True
    twin = Twin("Poisson")

    def support(self, **arguments: Array) -> Support:
        return Counts()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.poisson(np.broadcast_to(arguments["mu"], shape))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        inside = (x >= 0) & (x == np.floor(x))
        x = np.where(inside, x, 0.0)
        return np.where(inside, xlogy(x, arguments["mu"]) - arguments["mu"] - gammaln(x + 1.0), -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = missing_as_zero(x)
        return [there, value, -gammaln(value + 1) * there]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        mu = arguments["mu"]
        return [-mu, xp.log(mu), xp.ones_like(mu)]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return statistics[1], statistics[0]  # Gamma: alpha - 1 grows by the events, beta by the exposure

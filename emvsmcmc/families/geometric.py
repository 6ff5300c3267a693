"""Geometric: trials up to and including the first success."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import xlog1py

from .argument import Argument
from .base import COMPLEMENT, Array, ConjugateFamily, Family, TableFamily, Twin, missing_as_zero
from .kinds import PROBABILITY
from .support import Interval, Support
from .uncharted import Counts


class Geometric(Family, TableFamily, ConjugateFamily):
    """log p(x | p) = log p + (x - 1) log(1 - p), x = 1, 2, ..."""

    name = "Geometric"
    arguments = {"p": Argument(Interval(0.0, 1.0), PROBABILITY, boundary=True)}
    discrete = True
    mass = True
    twin = Twin("Geometric")

    def support(self, **arguments: Array) -> Support:
        return Counts(lower=1)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.geometric(np.broadcast_to(arguments["p"], shape))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        p = np.asarray(arguments["p"], dtype=float)
        inside = (np.asarray(x) >= 1) & (x == np.floor(x))
        with np.errstate(divide="ignore"):
            return np.where(inside, np.log(p) + xlog1py(np.where(inside, x, 1) - 1.0, -p), -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = missing_as_zero(x)
        return [there, value - there]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        p = arguments["p"]
        return [xp.log(p), xp.log(arguments[COMPLEMENT]) if COMPLEMENT in arguments else xp.log1p(-p)]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return statistics[0], statistics[1]

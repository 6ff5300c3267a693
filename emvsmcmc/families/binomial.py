"""Binomial counts out of a known number of trials."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from .argument import Argument
from .base import COMPLEMENT, Array, ConjugateFamily, Family, Parametrisation, TableFamily, Twin, missing_as_zero
from .kinds import PROBABILITY
from .support import Interval, Support
from .uncharted import Counts


class Binomial(Family, TableFamily, ConjugateFamily):
    """log p(x | n, p) = log C(n, x) + x log p + (n - x) log(1 - p); n is a constant or a covariate."""

    name = "Binomial"
    arguments = {
        "n": Argument(Counts(), fixed=True, boundary=True, decides=True),
        "p": Argument(Interval(0.0, 1.0), PROBABILITY, boundary=True),
    }
    discrete = True
    mass = True
    twin = Twin("Binomial")
    parametrisations = (Parametrisation(("logit_p",), ("p",), lambda math, logit_p: {"p": math.sigmoid(logit_p)}),)

    def support(self, **arguments: Array) -> Support:
        return Counts(arguments.get("n", np.inf))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        n = np.broadcast_to(arguments["n"], shape).astype(int)
        return rng.binomial(n, np.broadcast_to(arguments["p"], shape))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        n, p = arguments["n"], arguments["p"]
        inside = (np.asarray(x) >= 0) & (x <= n) & (x == np.floor(x))
        x = np.where(inside, x, 0)
        value = gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0) + xlogy(x, p) + xlog1py(n - x, -p)
        return np.where(inside, value, -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = missing_as_zero(x)
        n = fixed["n"]
        return [value, there * (n - value), there * (gammaln(n + 1) - gammaln(value + 1) - gammaln(n - value + 1))]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        p = arguments["p"]
        q = xp.log(arguments[COMPLEMENT]) if COMPLEMENT in arguments else xp.log1p(-p)
        return [xp.log(p), q, xp.ones_like(p)]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return statistics[0], statistics[1]

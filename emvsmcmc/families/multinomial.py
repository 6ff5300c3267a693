"""Multinomial: how often each of several categories was seen in a known number of trials."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln, xlogy

from .argument import Argument
from .base import Array, ConjugateFamily, Family, TableFamily, Twin, missing_as_zero
from .kinds import PROBABILITIES
from .support import Simplex, Support
from .uncharted import Counts, CountVectors


class Multinomial(Family, TableFamily, ConjugateFamily):
    """log p(x | n, p) = log n! + sum_j (x_j log p_j - log x_j!), x counts over the last dim that sum to n, which is known.

    A vector is given wholly, or not at all: a count that is missing beside others would be known from their sum.
    """

    name = "Multinomial"
    arguments = {
        "n": Argument(Counts(), fixed=True, boundary=True, decides=True),
        "p": Argument(Simplex(), PROBABILITIES, event_dims=1),
    }
    discrete = True
    mass = True
    event_dims = 1
    twin = Twin("Multinomial")

    def support(self, **arguments: Array) -> Support:
        return CountVectors(arguments.get("n"))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        n = np.broadcast_to(arguments["n"], shape[:-1]).astype(int)
        return rng.multinomial(n, np.broadcast_to(arguments["p"], shape))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        x, n = np.asarray(x, dtype=float), arguments["n"]
        inside = ((x >= 0) & (x == np.floor(x))).all(-1) & (x.sum(-1) == n)
        x = np.where(inside[..., None], x, 0.0)
        value = gammaln(np.asarray(n) + 1.0) + (xlogy(x, arguments["p"]) - gammaln(x + 1.0)).sum(-1)
        return np.where(inside, value, -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = missing_as_zero(x)
        n = fixed["n"]
        each = gammaln(n + 1.0) / np.maximum(n, 1.0)  # of log n!, by the trials that a category has of all
        return [value, value * each - there * gammaln(value + 1.0)]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        p = arguments["p"]
        return [xp.log(p), xp.ones_like(p)]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return (statistics[0],)

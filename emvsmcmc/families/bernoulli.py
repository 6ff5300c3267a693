"""Bernoulli: 0 or 1."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import COMPLEMENT, Array, ConjugateFamily, Family, Parametrisation, Twin, ValueFamily
from .kinds import PROBABILITY
from .support import Interval, Support
from .uncharted import Counts


class Bernoulli(Family, ValueFamily, ConjugateFamily):
    """p(x = 1) = p, p(x = 0) = 1 - p."""

    name = "Bernoulli"
    arguments = {"p": Argument(Interval(0.0, 1.0), PROBABILITY, boundary=True)}
    discrete = True
    mass = True
    indexes = True
    value_reads = ("p",)
    twin = Twin("Bernoulli")
    parametrisations = (Parametrisation(("logit_p",), ("p",), lambda math, logit_p: {"p": math.sigmoid(logit_p)}),)

    def support(self, **arguments: Array) -> Support:
        return Counts(1)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return (rng.random(shape) < arguments["p"]).astype(int)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            value = np.log(np.where(np.asarray(x) == 1, arguments["p"], 1 - arguments["p"]))
        return np.where((np.asarray(x) == 0) | (np.asarray(x) == 1), value, -np.inf)

    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        p = arguments["p"]
        no = xp.log(arguments[COMPLEMENT]) if COMPLEMENT in arguments else xp.log1p(-p)
        return xp.where(value == 1, xp.log(p), no)

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        (counts,) = statistics
        return counts[..., 1:], counts[..., :1]

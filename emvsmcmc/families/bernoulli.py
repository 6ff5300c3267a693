"""Bernoulli: 0 or 1."""

from __future__ import annotations

import numpy as np

from .base import REQUIRED, Array, Family, LevelFamily, Parametrisation, Slot, Twin
from .support import Counts, Support


class Bernoulli(Family, LevelFamily):
    """p(x = 1) = p, p(x = 0) = 1 - p."""

    name = "Bernoulli"
    arguments = {"p": REQUIRED}
    discrete = True
    mass = True
    slots = {"p": Slot("probability", lower=0.0, upper=1.0)}
    twin = Twin("Bernoulli", {"p": "p"})
    parametrisations = (Parametrisation(("logit_p",), ("p",), lambda math, logit_p: {"p": math.sigmoid(logit_p)}),)

    def support(self, **arguments: Array) -> Support:
        return Counts(1)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return (rng.random(shape) < arguments["p"]).astype(int)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            value = np.log(np.where(np.asarray(x) == 1, arguments["p"], 1 - arguments["p"]))
        return np.where((np.asarray(x) == 0) | (np.asarray(x) == 1), value, -np.inf)

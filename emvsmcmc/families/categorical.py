"""Categorical: one of the labels of a dim."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import Array, ConjugateFamily, Family, Parametrisation, Twin, ValueFamily
from .kinds import PROBABILITIES
from .support import Simplex, Support
from .uncharted import Counts


class Categorical(Family, ValueFamily, ConjugateFamily):
    """p(x = k) = p_k; x counts the last dim of p."""

    name = "Categorical"
    arguments = {"p": Argument(Simplex(), PROBABILITIES, event_dims=1)}
    discrete = True
    mass = True
    indexes = True
    counted = "p"
    value_reads = ("p",)
    twin = Twin("Categorical")
    parametrisations = (Parametrisation(("logit_p",), ("p",), lambda math, logit_p: {"p": math.softmax(logit_p)}),)

    def support(self, **arguments: Array) -> Support:
        return Counts(np.shape(arguments["p"])[-1] - 1 if "p" in arguments else np.inf)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        p = np.broadcast_to(arguments["p"], (*shape, np.shape(arguments["p"])[-1]))
        levels = (rng.random((*shape, 1)) * p.sum(-1, keepdims=True) >= np.cumsum(p, -1)).sum(-1)
        return np.minimum(levels, p.shape[-1] - 1 - np.argmax(p[..., ::-1] > 0, axis=-1))  # rounding never makes the impossible

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        p = np.broadcast_to(arguments["p"], (*np.shape(x), np.shape(arguments["p"])[-1]))
        with np.errstate(divide="ignore"):
            return np.log(np.take_along_axis(p, np.asarray(x, int)[..., None], -1)[..., 0])

    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        return xp.log(arguments["p"])  # its last dim lies where the values do

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return (statistics[0],)

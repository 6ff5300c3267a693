"""Dirac: all mass on one value, the zeros of a zero-inflated count."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import Array, Family, Twin, ValueFamily, same
from .support import Real, Support
from .uncharted import Point


class Dirac(Family, ValueFamily):
    """p(x) = 1 where x = c, else 0; c is a constant."""

    name = "Dirac"
    arguments = {"c": Argument(fixed=True, decides=True)}
    mass = True
    value_reads = ("c",)
    twin = Twin("DiracDelta")

    def support(self, **arguments: Array) -> Support:
        return Point(arguments["c"]) if "c" in arguments else Real()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.broadcast_to(arguments["c"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        return np.where(np.equal(x, arguments["c"]), 0.0, -np.inf)

    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        return xp.where(same(xp, value, arguments["c"]), 0.0, -np.inf)

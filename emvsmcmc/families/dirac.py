"""Dirac: all mass on one value, the zeros of a zero-inflated count."""

from __future__ import annotations

import numpy as np

from .base import REQUIRED, Array, Family, LevelFamily, Slot, Twin
from .support import Point, Real, Support


class Dirac(Family, LevelFamily):
    """p(x) = 1 where x = c, else 0; c is a constant."""

    name = "Dirac"
    arguments = {"c": REQUIRED}
    mass = True
    slots = {"c": Slot(None)}
    twin = Twin("DiracDelta", {"c": "c"})

    def support(self, **arguments: Array) -> Support:
        return Point(arguments["c"]) if "c" in arguments else Real()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.broadcast_to(arguments["c"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        return np.where(np.equal(x, arguments["c"]), 0.0, -np.inf)

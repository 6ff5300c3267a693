"""Exponential waiting times; as a prior over positive parameters too."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import Array, ConjugateFamily, Family, Parametrisation, Prior, TableFamily, Twin, missing_as_zero
from .kinds import RATE, Kind
from .support import Positive, Support


class Exponential(Family, TableFamily, ConjugateFamily, Prior):
    """log p(x | lam) = log lam - lam x; lam is a rate, 1 / mean."""

    name = "Exponential"
    arguments = {"lam": Argument(Positive(), RATE, boundary=True)}
    twin = Twin("Exponential")
    parametrisations = (Parametrisation(("scale",), ("lam",), lambda math, scale: {"lam": 1 / scale}, "scale > 0", ("scale",)),)
    conjugate = {RATE: "mode of a Gamma"}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.standard_exponential(shape) / arguments["lam"]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        rate = arguments["lam"]
        return np.where(np.asarray(x) < 0, -np.inf, np.log(rate) - rate * x)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        return list(missing_as_zero(x))

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        return [xp.log(arguments["lam"]), -arguments["lam"]]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return statistics[0], statistics[1]

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        return xp.log(arguments["lam"]) - arguments["lam"] * x

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        if kind is not RATE:
            return None
        return np.zeros_like(arguments["lam"]), arguments["lam"]  # Gamma(1, lam)

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

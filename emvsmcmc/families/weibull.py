"""Weibull: lifetimes whose hazard rises or falls as a power of time; as a prior over positive parameters too."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import Array, CollapsingFamily, Family, Prior, TableFamily, Twin, ValueFamily, inside_or_one
from .kinds import Kind
from .support import Positive, Support


class Weibull(Family, TableFamily, ValueFamily, CollapsingFamily, Prior):
    """log p(x | alpha, beta) = log alpha - alpha log beta + (alpha - 1) log x - (x / beta)^alpha on x > 0; beta is a scale.

    The last term is no product of something of x and something of the arguments: it has a value at each distinct x.
    """

    name = "Weibull"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive())}
    open_support = True
    value_reads = ("alpha", "beta")
    twin = Twin("Weibull", sized=True)

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return arguments["beta"] * rng.standard_exponential(shape) ** (1 / np.asarray(arguments["alpha"]))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        inside, x = inside_or_one(np.asarray(x) > 0, x)
        return np.where(inside, np.log(a / b) + (a - 1) * np.log(x / b) - (x / b) ** a, -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = inside_or_one(np.isfinite(x), x)
        return [there.astype(float), np.log(value)]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        a = arguments["alpha"]
        return [xp.log(a) - a * xp.log(arguments["beta"]), a - 1]

    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        assert value is not None
        return -xp.exp(arguments["alpha"] * (np.log(value) - xp.log(arguments["beta"])))

    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        return np.pi / np.sqrt(6) / arguments["alpha"]

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        log = xp.log(x) - xp.log(b)
        return xp.log(a) - xp.log(b) + (a - 1) * log - xp.exp(a * log)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

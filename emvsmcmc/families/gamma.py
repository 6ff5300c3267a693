"""Gamma: positive values such as durations and sizes; as a prior over positive parameters too."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln

from .argument import Argument
from .base import (
    Array,
    CollapsingFamily,
    ConjugateFamily,
    Family,
    Parametrisation,
    Prior,
    TableFamily,
    Twin,
    inside_or_one,
    times_log,
)
from .kinds import RATE, Kind
from .special import log_gamma
from .support import Positive, Support


class Gamma(Family, TableFamily, ConjugateFamily, CollapsingFamily, Prior):
    """p(x) proportional to x^(alpha - 1) exp(-beta x) on x > 0; beta is a rate."""

    name = "Gamma"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive(), RATE)}
    open_support = True
    twin = Twin("Gamma")
    parametrisations = (
        Parametrisation(
            ("mu", "sigma"),
            ("alpha", "beta"),
            lambda math, mu, sigma: {"alpha": mu**2 / sigma**2, "beta": mu / sigma**2},
            "mu > 0 and sigma > 0",
            ("mu", "sigma"),
        ),
    )
    conjugate = {RATE: "mode of a Gamma"}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.gamma(arguments["alpha"], 1 / np.asarray(arguments["beta"]), shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        inside, x = inside_or_one(np.asarray(x) > 0, x)
        return np.where(inside, (a - 1) * np.log(x) - b * x + a * np.log(b) - gammaln(a), -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = inside_or_one(np.isfinite(x), x)
        return [there.astype(float), np.log(value), value * there]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        a, b = arguments["alpha"], arguments["beta"]
        return [a * xp.log(b) - log_gamma(xp, a), a - 1, -b]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return others["alpha"] * statistics[0], statistics[2]

    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        return arguments["alpha"] ** -0.5

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        return times_log(xp, a - 1, x) - b * x + a * xp.log(b) - log_gamma(xp, a)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return (arguments["alpha"] - 1, arguments["beta"]) if kind is RATE else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

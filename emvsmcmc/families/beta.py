"""Beta: shares between 0 and 1; as a prior over probabilities too."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import betaln

from .argument import Argument
from .base import Array, CollapsingFamily, Family, Parametrisation, Prior, TableFamily, Twin, inside_or_one, times_log
from .kinds import PROBABILITY, Kind
from .log_gamma import log_beta
from .support import Interval, Positive, Support


def _by_sd(math: Any, mu: Any, sigma: Any) -> dict[str, Any]:
    nu = mu * (1 - mu) / sigma**2 - 1
    return {"alpha": mu * nu, "beta": (1 - mu) * nu}


class Beta(Family, TableFamily, CollapsingFamily, Prior):
    """p(x) proportional to x^(alpha - 1) (1 - x)^(beta - 1) on (0, 1)."""

    name = "Beta"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive())}
    open_support = True
    twin = Twin("Beta")
    parametrisations = (
        Parametrisation(
            ("mu", "sigma"), ("alpha", "beta"), _by_sd, "0 < mu < 1 and 0 < sigma**2 < mu * (1 - mu)", ("mu", "sigma")
        ),
        Parametrisation(
            ("mu", "nu"),
            ("alpha", "beta"),
            lambda math, mu, nu: {"alpha": mu * nu, "beta": (1 - mu) * nu},
            "0 < mu < 1 and nu > 0",
            ("mu", "nu"),
        ),
    )
    conjugate = {PROBABILITY: "mode of a Beta"}

    def support(self, **arguments: Array) -> Support:
        return Interval(0.0, 1.0)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.beta(arguments["alpha"], arguments["beta"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        x = np.asarray(x)
        inside, x = inside_or_one((x > 0) & (x < 1), x, 0.5)
        return np.where(inside, (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b), -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = inside_or_one(np.isfinite(x), x, 0.5)
        return [there.astype(float), np.log(value) * there, np.log1p(-value) * there]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        a, b = arguments["alpha"], arguments["beta"]
        return [-log_beta(xp, a, b), a - 1, b - 1]

    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        # over the mean of x, or of 1 - x where that is smaller: shares that are all small are not near each other
        a, b = arguments["alpha"], arguments["beta"]
        return np.sqrt(np.maximum(a, b) / (np.minimum(a, b) * (a + b + 1)))

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        return times_log(xp, a - 1, x) + times_log(xp, b - 1, 1 - x) - log_beta(xp, a, b)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return (arguments["alpha"] - 1, arguments["beta"] - 1) if kind is PROBABILITY else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

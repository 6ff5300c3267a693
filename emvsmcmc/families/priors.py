"""Priors over one positive number: HalfNormal, HalfCauchy."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import Array, Family, Parametrisation, Prior, Twin
from .kinds import SIGMA, Kind
from .support import Positive, Support


class HalfNormal(Family, Prior):
    """p(x) proportional to exp(-x^2 / 2 sigma^2) on x > 0."""

    name = "HalfNormal"
    arguments = {"sigma": Argument(Positive(), default=1.0)}
    twin = Twin("HalfNormal")
    parametrisations = (
        Parametrisation(("tau",), ("sigma",), lambda math, tau: {"sigma": 1 / math.sqrt(tau)}, "tau > 0", ("tau",)),
    )
    equations = {SIGMA: ("quadratic in its square", "s⁴ / {sigma}² + N s² − SS = 0")}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.abs(rng.standard_normal(shape)) * arguments["sigma"]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        s = arguments["sigma"]
        return 0.5 * np.log(2 / np.pi) - np.log(s) - x**2 / (2 * np.asarray(s) ** 2)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        s = arguments["sigma"]
        return -0.5 * (x / s) ** 2 - xp.log(s) + 0.5 * np.log(2 / np.pi)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        # -n/x + ss/x^3 - x/s^2 = 0 is a quadratic in x^2; written so that no difference of large numbers remains
        n, ss = messages
        s2 = np.asarray(arguments["sigma"], dtype=float) ** 2
        if kind is SIGMA:
            below = n + np.sqrt(n**2 + 4 * ss / s2)
            # without rows the prior alone speaks, and it is highest at zero
            return np.sqrt(np.divide(2 * ss, below, out=np.zeros_like(below), where=below > 0))
        return None


class HalfCauchy(Family, Prior):
    """p(x) = 2 / (pi beta (1 + (x / beta)^2)) on x > 0."""

    name = "HalfCauchy"
    arguments = {"beta": Argument(Positive(), default=1.0)}
    twin = Twin("HalfCauchy")
    equations = {SIGMA: ("quadratic in its square", "(N + 2) s⁴ + (N {beta}² − SS) s² − SS {beta}² = 0")}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.abs(rng.standard_cauchy(shape)) * arguments["beta"]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        b = np.asarray(arguments["beta"])
        return np.log(2 / np.pi) + np.log(b) - np.log(b**2 + x**2)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        b = arguments["beta"]
        return np.log(2 / np.pi) - xp.log(b) - xp.log1p((x / b) ** 2)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        # -n/x + ss/x^3 - 2x/(b^2 + x^2) = 0 is (n + 2) v^2 + (n b^2 - ss) v - ss b^2 = 0 in v = x^2
        n, ss = messages
        b2 = np.asarray(arguments["beta"], dtype=float) ** 2
        if kind is SIGMA:
            half = (n * b2 - ss) / 2
            root = np.sqrt(half**2 + (n + 2) * ss * b2)
            above = np.divide(ss * b2, half + root, out=np.zeros_like(root), where=half > 0)
            return np.sqrt(np.where(half > 0, above, (root - half) / (n + 2)))
        return None

"""LogNormal: positive values whose logarithm is Normal; as a prior over positive parameters too."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..numerics import LOG_2PI
from .argument import Argument
from .base import Array, CollapsingFamily, Family, Parametrisation, Prior, TableFamily, Twin, inside_or_one
from .kinds import Kind
from .support import Positive, Real, Support


class LogNormal(Family, TableFamily, CollapsingFamily, Prior):
    """log p(x | mu, sigma) = -1/2 ((log x - mu) / sigma)^2 - log x - log sigma - 1/2 log 2 pi on x > 0."""

    name = "LogNormal"
    arguments = {"mu": Argument(Real(), default=0.0), "sigma": Argument(Positive(), default=1.0)}
    open_support = True
    twin = Twin("LogNormal")
    parametrisations = (
        Parametrisation(("tau",), ("sigma",), lambda math, tau: {"sigma": math.sqrt(1 / tau)}, "tau > 0", ("tau",)),
    )

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.exp(arguments["mu"] + arguments["sigma"] * rng.standard_normal(shape))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        inside, x = inside_or_one(np.asarray(x) > 0, x)
        log, variance = np.log(x), np.asarray(arguments["sigma"]) ** 2
        density = -((log - arguments["mu"]) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2 - log
        return np.where(inside, density, -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = inside_or_one(np.isfinite(x), x)
        return [there.astype(float), np.log(value), np.log(value) ** 2]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        mu, sigma = arguments["mu"], arguments["sigma"]
        precision = sigma**-2.0
        constant = -0.5 * mu * mu * precision - xp.log(sigma) - np.float64(0.5 * LOG_2PI)
        return [constant, mu * precision - 1, -0.5 * precision]

    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        return arguments["sigma"] / np.hypot(1.0, arguments["mu"])

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        log, sigma = xp.log(x), arguments["sigma"]
        return -0.5 * ((log - arguments["mu"]) / sigma) ** 2 - log - xp.log(sigma) - 0.5 * LOG_2PI

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

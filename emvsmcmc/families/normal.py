"""Normal: the Gaussian variable of one dimension, as a child and as a prior over real parameters."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..numerics import LOG_2PI
from .base import Array, Family, GaussianFamily, Parametrisation, Prior, Slot, Twin
from .support import Real, Support


class Normal(Family, GaussianFamily, Prior):
    """log p(x | mu, sigma) = -1/2 ((x - mu) / sigma)^2 - log sigma - 1/2 log 2 pi. Scale by `sigma` or by `variance`."""

    name = "Normal"
    arguments = {"mu": 0.0, "sigma": None, "variance": None}
    slots = {"mu": Slot("mean"), "sigma": Slot("sigma", lower=0.0), "variance": Slot("variance", lower=0.0)}
    twin = Twin("Normal", {"mu": "mu", "sigma": "sigma"})
    parametrisations = (
        Parametrisation(("tau",), ("sigma", "variance"), lambda math, tau: {"variance": 1 / tau}, "tau > 0", ("tau",)),
    )

    def support(self, **arguments: Array) -> Support:
        return Real()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return arguments["mu"] + _sigma(arguments) * rng.standard_normal(shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        variance = _sigma(arguments) ** 2
        return -((x - arguments["mu"]) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        sigma = arguments["sigma"] if "sigma" in arguments else xp.sqrt(arguments["variance"])
        return -0.5 * ((x - arguments["mu"]) / sigma) ** 2 - xp.log(sigma) - 0.5 * LOG_2PI

    def natural(self, kind: str, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None  # its conjugate slot is the mean, which is solved as one regression

    def mode(self, kind: str, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


def _sigma(arguments: dict[str, np.ndarray]) -> np.ndarray:
    return arguments["sigma"] if "sigma" in arguments else np.sqrt(arguments["variance"])

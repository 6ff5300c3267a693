"""Normal: the Gaussian variable of one dimension, as a child and as a prior over real parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from ..numerics import LOG_2PI
from .argument import Argument
from .base import Array, Family, GaussianFamily, Parametrisation, Prior, Twin
from .kinds import MEAN, SIGMA, VARIANCE, Kind
from .support import Positive, Real, Support


def _by_sigma(xp: ModuleType, arguments: Mapping[str, Array]) -> dict[str, Array]:
    return {"mu": arguments["mu"], "sigma": _sigma(arguments, xp)}


class Normal(Family, GaussianFamily, Prior):
    """log p(x | mu, sigma) = -1/2 ((x - mu) / sigma)^2 - log sigma - 1/2 log 2 pi. Scale by `sigma` or by `variance`."""

    name = "Normal"
    arguments = {
        "mu": Argument(Real(), MEAN, 0.0),
        "sigma": Argument(Positive(), SIGMA, 1.0),
        "variance": Argument(Positive(), VARIANCE, None),
    }
    one_of = ("sigma", "variance")
    twin = Twin("Normal", _by_sigma)
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
        sigma = _sigma(arguments, xp)
        return -0.5 * ((x - arguments["mu"]) / sigma) ** 2 - xp.log(sigma) - 0.5 * LOG_2PI

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None  # its conjugate slot is the mean, which is solved as one regression

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

    def precision(self, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        variance = arguments["variance"] if "variance" in arguments else arguments["sigma"] ** 2
        return 1 / np.broadcast_to(variance, shape).ravel()


def _sigma(arguments: Mapping[str, Array], xp: ModuleType = np) -> Array:
    return arguments["sigma"] if "sigma" in arguments else xp.sqrt(arguments["variance"])

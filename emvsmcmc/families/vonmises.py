"""VonMises: angles."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import ive

from ..numerics import LOG_2PI
from .argument import Argument
from .base import Array, CollapsingFamily, Family, TableFamily, Twin, missing_as_zero
from .special import log_bessel
from .support import Circle, Positive, Real, Support


class VonMises(Family, TableFamily, CollapsingFamily):
    """log p(x | mu, kappa) = kappa cos(x - mu) - log(2 pi I0(kappa)) on the angles from -pi to pi, in radians.

    mu is any angle: what is 2 pi further is the same. kappa is a concentration, about 1 / variance where it is large.
    """

    name = "VonMises"
    arguments = {"mu": Argument(Real(), default=0.0), "kappa": Argument(Positive(), default=1.0)}
    twin = Twin("VonMises")

    def support(self, **arguments: Array) -> Support:
        return Circle()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.vonmises(arguments["mu"], arguments["kappa"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        kappa = np.asarray(arguments["kappa"])
        density = kappa * (np.cos(x - arguments["mu"]) - 1) - np.log(2 * np.pi * ive(0, kappa))
        return np.where(np.abs(x) <= np.pi, density, -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = missing_as_zero(x)
        return [there, np.cos(value) * there, np.sin(value)]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        mu, kappa = arguments["mu"], arguments["kappa"]
        return [-log_bessel(xp, kappa) - np.float64(LOG_2PI), kappa * xp.cos(mu), kappa * xp.sin(mu)]

    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        return arguments["kappa"] ** -0.5

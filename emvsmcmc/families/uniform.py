"""Uniform: background noise beside other branches of a Switch, between bounds that are given; as a prior too."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .argument import Argument
from .base import Array, Family, Prior, Restricted, TableFamily, Twin
from .kinds import PROBABILITY, RATE, SIGMA, VARIANCE, Kind
from .support import Interval, Support


class Uniform(Family, Restricted, TableFamily, Prior):
    """p(x) = 1 / (upper - lower) between two bounds: constants, of a child also covariates or given parameters."""

    name = "Uniform"
    arguments = {
        "lower": Argument(default=0.0, fixed=True, decides=True),
        "upper": Argument(default=1.0, fixed=True, decides=True),
    }
    twin = Twin("Uniform")

    def support(self, **arguments: Array) -> Support:
        # without its bounds, as a kind of support only
        return Interval(arguments.get("lower", 0.0), arguments.get("upper", 1.0))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.uniform(arguments["lower"], arguments["upper"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        inside = (x >= arguments["lower"]) & (x <= arguments["upper"])
        return np.where(inside, -np.log(arguments["upper"] - arguments["lower"]), -np.inf)

    def complaint(self, **known: np.ndarray) -> tuple[str, str, str] | None:
        if not {"lower", "upper"} <= known.keys() or np.all(np.asarray(known["lower"]) < known["upper"]):
            return None
        got = f"{np.asarray(known['lower']).tolist()} and {np.asarray(known['upper']).tolist()}"
        return "lower, upper", "a lower bound below the upper one", got

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        # the whole density is known: its table is the number 1
        return [-np.log(fixed["upper"] - fixed["lower"]) * np.isfinite(x)]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        return [np.ones(())]

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        return -xp.log(arguments["upper"] - arguments["lower"]) + 0.0 * x

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        # flat, and every look-up objective is unimodal: the mode is the unrestricted one moved to the nearer bound
        zero = np.zeros_like(np.asarray(arguments["lower"], float))
        return (zero, zero) if kind in (PROBABILITY, RATE, SIGMA, VARIANCE) else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

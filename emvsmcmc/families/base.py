"""The contract of a family: what a distribution must offer to be a child, a Gaussian variable, or a prior.

Three abilities, each an abstract class; a family inherits those it has and overrides nothing concrete.
`xp` is numpy or pytensor.tensor: the formulas below run on both, and under complex numbers (they are holomorphic).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from .support import Support

Array = Any  # numpy.ndarray, or a PyTensor variable inside `mcmc`
REQUIRED = object()
COMPLEMENT = "complement"  # 1 - p beside a probability p, where it is known to more digits than p has left


@dataclass(frozen=True)
class Slot:
    """A parameter of a child. `kind` names the sufficient message its look-up sends; None where there is no closed form."""

    kind: str | None
    lower: float = -np.inf  # constants standing in the slot must lie strictly inside
    upper: float = np.inf


@dataclass(frozen=True)
class Twin:
    """PyMC's class of the same distribution: its name and how our arguments are called there. Data, so nothing is imported."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parametrisation:
    """Another set of arguments of a family, by PyMC's names, and what the family's own are in terms of them.

    canonical : (math, **arguments) -> {own argument: value}. `math` has exp, log, sqrt, sigmoid and softmax (over the last dim),
    of numbers or of expressions as the arguments are. replaces : the own arguments that it gives, which may not be written beside
    it. positive : those of `arguments` that must be positive. holds : what must hold of numbers, in words, where not all make a
    distribution; the own arguments are then positive and finite.
    """

    arguments: tuple[str, ...]
    replaces: tuple[str, ...]
    canonical: Callable[..., Mapping[str, Any]]
    holds: str = ""
    positive: tuple[str, ...] = ()


class Family(ABC):
    """A distribution. `arguments` maps each argument, in PyMC's order, to its default (`REQUIRED` where it has none)."""

    name: str
    arguments: Mapping[str, Any]
    discrete: bool = False
    mass: bool = False  # its values have probability, not density: beside a density at the same value, only it counts
    event_dims: int = 0  # trailing dims of one value: 1 for a vector, 2 for a matrix
    support_reads: tuple[str, ...] = ()  # arguments on whose values the set of a parameter's values depends
    twin: Twin | None = None
    parametrisations: tuple[Parametrisation, ...] = ()

    @abstractmethod
    def support(self, **arguments: Array) -> Support:
        """The set of values; its `check` serves data, its coordinates serve parameters."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        """Draws of the given shape (event dims included); arguments broadcast against it."""

    @abstractmethod
    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        """The textbook density, written apart from the engine's formulas: the oracle's only ingredient."""


class TableFamily(ABC):
    """A child whose log density is sum_f multiplier_f(x) table_f(parameters): counts, categories, waiting times."""

    slots: Mapping[str, Slot]

    @abstractmethod
    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        """One array per table, shaped as x; 0 wherever x is missing (NaN), the constant included."""

    @abstractmethod
    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        """One array per multiplier, from the slot arguments alone; a probability may come with its COMPLEMENT."""

    @abstractmethod
    def message(self, slot: str, statistics: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """The increment that the tables' statistics bring to the natural parameters of the slot's conjugate prior."""


class LevelFamily(ABC):
    """A child whose value itself is the level of one table: Categorical, Bernoulli, Dirac."""

    slots: Mapping[str, Slot]


class GaussianFamily(ABC):
    """A child that adds residual rows instead of tables: Normal, MvNormal."""

    slots: Mapping[str, Slot]


class RadialFamily(ABC):
    """A child that adds residual rows whose log density is a function of their square, not the square itself: StudentT."""

    slots: Mapping[str, Slot]


class Prior(ABC):
    """A distribution that may stand over a parameter."""

    @abstractmethod
    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        """Log density of the parameter as declared (no Jacobian), one number per value; holomorphic in x."""

    @abstractmethod
    def natural(self, kind: str, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """What the prior adds to messages of this kind where it is conjugate to them; None where it is not."""

    @abstractmethod
    def mode(self, kind: str, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        """Maximiser of likelihood times prior where it has a formula although the prior is not conjugate; None elsewhere.

        Messages to a scale are (n, ss): log-likelihood -n log sigma - ss / (2 sigma^2).
        """


def times_log(xp: ModuleType, k: Array, x: Array) -> Array:
    """k log x, and 0 where k is 0 even at x = 0: a flat prior is finite on the boundary too.

    Symbolically k log x as it stands.
    """
    if xp is not np:
        return k * xp.log(x)
    flat = np.broadcast_to(np.asarray(k) == 0, np.broadcast_shapes(np.shape(k), np.shape(x)))
    return np.where(flat, 0.0, k * np.log(np.where(flat, 1.0, x)))


def missing_as_zero(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 where x is there and 0 where it is missing, x with 0 for the missing): a child's own constant and value."""
    there = np.isfinite(x)
    return there.astype(float), np.where(there, x, 0.0)

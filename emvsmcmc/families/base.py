"""The contract of a family: what a distribution must offer to be a child, a Gaussian variable, or a prior.

Abilities, each an abstract class; a family inherits those it has and overrides nothing concrete.
`xp` is numpy or pytensor.tensor: the formulas below run on both, and under complex numbers (they are holomorphic).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from .argument import Argument
from .kinds import Kind
from .support import Support

Array = Any  # numpy.ndarray, or a PyTensor variable inside `mcmc`
FACTOR = "factor"  # the lower Cholesky factor of a covariance in its place, where one has it for many rows at once
WHITENER, INVERSE_WHITENER = (
    "whitener",
    "inverse_whitener",
)  # W with W'W the inverse of a covariance, and W^-1, where one has them
COMPLEMENT = "complement"  # 1 - p beside a probability p, where it is known to more digits than p has left


def as_named(xp: ModuleType, arguments: Mapping[str, Array]) -> dict[str, Array]:
    """PyMC calls the arguments as we do."""
    return dict(arguments)


@dataclass(frozen=True)
class Twin:
    """PyMC's class of the same distribution: its name and what its arguments are, from ours. Data, so nothing is imported.

    sized : its log density takes values of the shape of its arguments only.
    """

    name: str
    arguments: Callable[[ModuleType, Mapping[str, Array]], dict[str, Array]] = as_named
    sized: bool = False


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
    """A distribution. `arguments` says what each argument is, in PyMC's order.

    one_of : arguments of which exactly one is given (the first with its default where none is). counted : the argument over
    whose last dim a value counts. indexes : its values may look something up. matrix : its values are covariance matrices.
    """

    name: str
    arguments: Mapping[str, Argument]
    one_of: tuple[str, ...] = ()
    discrete: bool = False
    mass: bool = False  # its values have probability, not density: beside a density at the same value, only it counts
    indexes: bool = False
    counted: str | None = None
    event_dims: int = 0  # trailing dims of one value: 1 for a vector, 2 for a matrix
    matrix: bool = False
    open_support: bool = False
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


class Restricted(ABC):
    """A distribution with a rule that several of its arguments keep together."""

    @abstractmethod
    def complaint(self, **known: np.ndarray) -> tuple[str, str, str] | None:
        """(argument, what was expected, what came) of arguments whose values are known; None where nothing is wrong."""


class TableFamily(ABC):
    """A child whose log density has terms multiplier_f(x) table_f(arguments): counts, waiting times, exponential families."""

    @abstractmethod
    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        """One array per table, shaped as x; 0 wherever x is missing (NaN), the constant included."""

    @abstractmethod
    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        """One array per multiplier, from the arguments that are not fixed; a probability may come with its COMPLEMENT."""


class ValueFamily(ABC):
    """A child whose log density has a term that is no product, but a function of the value itself: one row of a table for each
    distinct value. `value_reads` are the arguments that it reads, fixed ones included.
    """

    value_reads: tuple[str, ...]

    @abstractmethod
    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        """The term at each value, value and arguments broadcast. Where a value counts the last dim of an argument, that dim lies
        where the values would, in order, and `value` is None. A probability may come with its COMPLEMENT.
        """


class ConjugateFamily(ABC):
    """A child with an argument whose look-up has a closed form where the others are known."""

    @abstractmethod
    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the sums of weights times multipliers (a ValueFamily's: of weights at each value) bring to the messages of an
        argument's kind, given the values of the others.
        """


class CollapsingFamily(ABC):
    """A child whose density at one value grows for ever as its distribution narrows to it, while the terms of its log density
    grow and cancel.
    """

    @abstractmethod
    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        """Its standard deviation, where that is small, over the size of its values (of their logarithm or angle, where its terms
        are functions of those): the terms grow at most as its inverse square.
        """


class GaussianFamily(ABC):
    """A child that adds residual rows instead of tables, and a prior that makes a regression of a mean: Normal, MvNormal.

    Its arguments have one of kind MEAN, and one of a ScaleKind.
    """

    @abstractmethod
    def precision(self, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        """Of values of this shape: (size,) precisions where they are independent, else (events, p, p)."""


class RadialFamily:
    """A child that adds residual rows whose log density is a function of their square, not the square itself: a Normal whose
    precision is multiplied by a latent scale u ~ Gamma(nu/2, nu/2), StudentT and MvStudentT.

    Its arguments have one of kind MEAN, one of a ScaleKind, and one of kind TAIL, nu. The p residual rows of one value (p = 1
    where values are numbers, the length of a vector otherwise) are a group: they have one square and one u. All that the engine
    needs of nu and p is in `radial`.
    """


class Limiting(ABC):
    """A child that becomes another distribution as some arguments go to infinity together.

    Where the rows want that other distribution, the likelihood rises for ever and a finite value says nothing: infinity is a
    boundary like any other (`expect.limits`). endless : those arguments; the last is held where it has come so far, and what its
    limit leaves free stays with the others. limit : the other distribution, in words ("no heavier tails than a Normal").
    departure_reads : the arguments of `departure`, which depend on no row data but what a table is looked up by.
    """

    endless: tuple[str, ...]
    limit: str
    departure_reads: tuple[str, ...]

    @abstractmethod
    def departure(self, **arguments: np.ndarray) -> np.ndarray:
        """How far the log density of a typical value is from its limit, in nats; of the order of 1 / the last argument."""


class Prior(ABC):
    """A distribution that may stand over a parameter.

    conjugate : {kind of messages to which it is conjugate: the step in words}. equations : {kind: (what it is, the equation of
    the mode)} for kinds where `mode` has a formula although it is not; arguments stand in braces, s is the unknown.
    """

    conjugate: Mapping[Kind, str] = {}
    equations: Mapping[Kind, tuple[str, str]] = {}

    @abstractmethod
    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        """Log density of the parameter as declared (no Jacobian), one number per value; holomorphic in x."""

    @abstractmethod
    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """What the prior adds to messages of this kind where it is conjugate to them; None where it is not."""

    @abstractmethod
    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        """Maximiser of likelihood times prior where it has a formula although the prior is not conjugate; None elsewhere.

        `kinds` says what the messages of each kind are.
        """


def times_log(xp: ModuleType, k: Array, x: Array) -> Array:
    """k log x, and 0 where k is 0 even at x = 0: a flat prior is finite on the boundary too.

    Symbolically k log x as it stands.
    """
    if xp is not np:
        return k * xp.log(x)
    flat = np.broadcast_to(np.asarray(k) == 0, np.broadcast_shapes(np.shape(k), np.shape(x)))
    return np.where(flat, 0.0, k * np.log(np.where(flat, 1.0, x)))


def same(xp: ModuleType, a: Array, b: Array) -> Array:
    """a == b, elementwise; of symbolic arrays too, whose `==` is another question."""
    return np.equal(a, b) if xp is np else xp.eq(a, b)


def missing_as_zero(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 where x is there and 0 where it is missing, x with 0 for the missing): a child's own constant and value."""
    there = np.isfinite(x)
    return there.astype(float), np.where(there, x, 0.0)


def inside_or_one(inside: np.ndarray, x: np.ndarray, other: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(where, x with 1 or another number elsewhere, of which a logarithm can be taken)."""
    return inside, np.where(inside, x, other)

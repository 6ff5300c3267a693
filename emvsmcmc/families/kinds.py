"""Kinds of arguments: what the argument of a child sends as sufficient message, and where the mode of its messages lies.

A parameter that stands alone in an argument is updated by the mode of the sum of the messages of all its uses (plus what its
prior adds to them, where it is conjugate to that kind). Each kind says so once, in numbers and in words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .writing import bracketed, grouped

Array = Any  # numpy.ndarray, or a PyTensor variable inside `mcmc`
Messages = tuple[np.ndarray, ...]


class Kind:
    """What an argument is to EM. `name` is its word in sentences."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class ConjugateKind(Kind, ABC):
    """A kind whose look-ups have a closed form: the mode of two sums (one, for the probabilities of several labels).

    title : the step in words. takes_factor : a known factor in the argument (an exposure) keeps the closed form. bounded : the
    mode may lie outside of what the argument can be, under a prior with a pole.
    """

    title: str
    takes_factor: bool = False
    bounded: bool = False

    @abstractmethod
    def mode(self, messages: Messages) -> np.ndarray:
        """Maximiser of the log-likelihood that the messages sum up; NaN or infinite where nothing was counted."""

    @abstractmethod
    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        """`mode` in words: `first` over `second`. counted : the symbol of the label that is counted."""


class ScaleKind(ConjugateKind):
    """A kind of scale. Messages are (n, ss): log-likelihood -n log s - ss / (2 s^2), s the standard deviation.

    power : the argument is the standard deviation to this power.
    """

    title = "weighted sum of squares"
    takes_factor = True
    power: int
    matrix: bool = False

    @abstractmethod
    def sd(self, value: Array) -> Array:
        """The standard deviation that a value means; of a covariance, those of its diagonal."""

    @abstractmethod
    def inverse_sd(self, value: Array) -> Array:
        """1 / standard deviation; holomorphic."""

    @abstractmethod
    def variance_text(self, text: str) -> str:
        """The variance, where the argument is written as `text`."""

    @abstractmethod
    def precision_text(self, text: str) -> str:
        """The precision matrix of a vector of values, where the argument is written as `text`."""


class Sigma(ScaleKind):
    """A standard deviation s: sqrt(ss / n)."""

    power = 1

    def mode(self, messages: Messages) -> np.ndarray:
        return np.sqrt(np.maximum(messages[1], 0.0) / messages[0])  # rounding of a sum of squares that is nothing

    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        return f"{left}² = {grouped(first)} / {grouped(second)}"

    def sd(self, value: Array) -> Array:
        return value

    def inverse_sd(self, value: Array) -> Array:
        return 1.0 / value

    def variance_text(self, text: str) -> str:
        return f"{bracketed(text)}²"

    def precision_text(self, text: str) -> str:
        return f"diag({text}⁻²)"


class Variance(ScaleKind):
    """A variance s^2: ss / n."""

    power = 2

    def mode(self, messages: Messages) -> np.ndarray:
        return np.maximum(messages[1], 0.0) / messages[0]

    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        return f"{left} = {grouped(first)} / {grouped(second)}"

    def sd(self, value: Array) -> Array:
        return np.sqrt(value)

    def inverse_sd(self, value: Array) -> Array:
        return value**-0.5

    def variance_text(self, text: str) -> str:
        return bracketed(text)

    def precision_text(self, text: str) -> str:
        return f"diag({text}⁻¹)"


class CovarianceKind(ScaleKind):
    """A covariance matrix: messages (n, SS), SS the sum of outer products; SS / n."""

    title = "weighted sum of outer products"
    takes_factor = False
    power = 2
    matrix = True

    def mode(self, messages: Messages) -> np.ndarray:
        return messages[1] / messages[0][..., None, None]

    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        return f"{left} = {grouped(first)} / {grouped(second)}"

    def sd(self, value: Array) -> Array:
        return np.sqrt(np.maximum(np.diagonal(value, axis1=-2, axis2=-1), 0))

    def inverse_sd(self, value: Array) -> Array:
        raise TypeError("a covariance has a whitener, not an inverse standard deviation")

    def variance_text(self, text: str) -> str:
        return text

    def precision_text(self, text: str) -> str:
        return f"{text}⁻¹"


class Rate(ConjugateKind):
    """A rate: messages (events, exposure), log-likelihood events log x - exposure x."""

    title = "events over exposure"
    takes_factor = True
    bounded = True

    def mode(self, messages: Messages) -> np.ndarray:
        return messages[0] / messages[1]

    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        return f"{left} = {grouped(first)} / {grouped(second)}"


class Probability(ConjugateKind):
    """A probability: messages (successes, failures)."""

    title = "share of successes"
    bounded = True

    def mode(self, messages: Messages) -> np.ndarray:
        return messages[0] / (messages[0] + messages[1])

    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        return f"{left} = {grouped(first)} / ({first} + {second})"


class Probabilities(ConjugateKind):
    """Probabilities of the labels along the last dim: one message, the counts."""

    title = "counts, normalised"
    bounded = True

    def mode(self, messages: Messages) -> np.ndarray:
        return messages[0] / messages[0].sum(-1, keepdims=True)

    def formula(self, left: str, first: str, second: str, counted: str) -> str:
        return f"{left} = {grouped(first)} / Σ_{counted} {bracketed(first)}"


MEAN = Kind("mean")  # solved by one regression for all that share a row
TAIL = Kind("degrees of freedom")
SIGMA = Sigma("sigma")
VARIANCE = Variance("variance")
COVARIANCE = CovarianceKind("cov")
RATE = Rate("rate")
PROBABILITY = Probability("probability")
PROBABILITIES = Probabilities("probabilities")

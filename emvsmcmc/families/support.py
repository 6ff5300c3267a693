"""Supports: the set a value lies in, and the unconstrained coordinates that numerical steps and standard errors use.

Every map takes flat coordinates u of shape (size, *batch) to values of shape (*shape, *batch) and is holomorphic, so that a
complex step differentiates it. A boundary value (a zero probability, a zero rate) has no coordinate: `free` says which entries
have one. What a support fixes (a probability that is zero by declaration) is no coordinate to begin with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod

import numpy as np

EDGE = 700.0  # log-odds beyond which exp overflows
ROUNDING = 1e-12  # of the width of an interval


class Support(ABC):
    """A set of values with a smooth chart."""

    description: str
    remedy = "Mend the value, or declare another distribution."  # where data lie outside

    @abstractmethod
    def contains(self, x: np.ndarray) -> np.ndarray:
        """True for each entry (or event) inside the closed set; NaN counts as inside, it is a hole."""

    def interior(self, x: np.ndarray) -> np.ndarray:
        """True for each number of the set that does not lie on its boundary."""
        return np.ones(np.shape(x), dtype=bool)

    @property
    def open_description(self) -> str:
        """The set without its boundary, in words."""
        return self.description

    def at(self, x: np.ndarray) -> Support:
        """The same set with the chart that suits the neighbourhood of x."""
        return self

    def fixed(self, shape: tuple[int, ...]) -> np.ndarray:
        """(*shape) True for entries that have the same value everywhere in the set: no parameters."""
        return np.zeros(shape, dtype=bool)

    def middle(self, shape: tuple[int, ...]) -> np.ndarray:
        """A value inside the set, with nothing special about it: 0, 1, the midpoint, equal probabilities, the identity."""
        raise TypeError(f"{self.description}: not the support of a parameter")

    @abstractmethod
    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Which coordinates exist at x, flat: False where x lies on the boundary (a probability: within `margin` of it)."""

    @abstractmethod
    def to_real(self, x: np.ndarray) -> np.ndarray:
        """Flat coordinates of x, infinite on the boundary."""

    @abstractmethod
    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """log |d value / d u| at u (size, *batch), one number for each batch entry; of the free entries of a simplex or a
        matrix.
        """

    @abstractmethod
    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The inverse of `to_real`; u may carry trailing batch axes."""


def _reshape(u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return u.reshape(shape + u.shape[1:])


@dataclass(frozen=True)
class Real(Support):
    """All real numbers; the coordinate is the value."""

    description = "a real number"

    def contains(self, x: np.ndarray) -> np.ndarray:
        return ~np.isinf(x)

    def middle(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return np.ones(x.size, dtype=bool)

    def to_real(self, x: np.ndarray) -> np.ndarray:
        return x.ravel()

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(u.shape[1:])

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return _reshape(u, shape)


@dataclass(frozen=True)
class Positive(Support):
    """Numbers from 0 upwards; the coordinate is the logarithm."""

    description = "a number of at least 0"
    open_description = "a positive number"

    def contains(self, x: np.ndarray) -> np.ndarray:
        return ~((x < 0) | np.isinf(x))

    def interior(self, x: np.ndarray) -> np.ndarray:
        return ~(np.asarray(x) <= 0)

    def middle(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape)

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return x.ravel() > 0

    def to_real(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(x.ravel())

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return u.sum(axis=0)

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return _reshape(np.exp(u), shape)


@dataclass(frozen=True, eq=False)
class Interval(Support):
    """Numbers from `lower` to `upper`, arrays where each entry has bounds of its own; the coordinate is the log-odds of the
    position.
    """

    lower: float | np.ndarray = 0.0
    upper: float | np.ndarray = 1.0

    @property
    def description(self) -> str:  # type: ignore[override]
        low, high = np.unique(self.lower), np.unique(self.upper)
        own = "" if len(low) == len(high) == 1 else ", each within its own bounds"
        return f"a number from {low[0]:g} to {high[-1]:g}{own}"

    @property
    def open_description(self) -> str:
        low, high = np.unique(self.lower), np.unique(self.upper)
        if len(low) == len(high) == 1 and low[0] == 0:
            return f"a positive number below {high[0]:g}"
        return f"{self.description}, its ends excluded"

    def contains(self, x: np.ndarray) -> np.ndarray:
        rounding = ROUNDING * (np.asarray(self.upper) - self.lower)  # a value at its bound went through the chart
        return ~((x < self.lower - rounding) | (x > self.upper + rounding))

    def interior(self, x: np.ndarray) -> np.ndarray:
        return ~((x <= self.lower) | (x >= self.upper))

    def middle(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(0.5 * (np.asarray(self.lower) + self.upper), shape).copy()

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        width = margin * (np.asarray(self.upper) - self.lower)
        return ((x - self.lower > width) & (self.upper - x > width)).ravel()

    def to_real(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return (np.log(x - self.lower) - np.log(self.upper - x)).ravel()

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        _, width = self._bounds(shape, u.ndim - 1)
        return (np.log(width).reshape(-1, *width.shape[len(shape) :]) - np.logaddexp(0, u) - np.logaddexp(0, -u)).sum(axis=0)

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        # beyond the edge the exponential would overflow, and the value is the bound to the last bit; at infinity it is the bound
        far = np.where((u.real < -EDGE) & np.isfinite(u.real), -EDGE, u)
        lower, width = self._bounds(shape, u.ndim - 1)
        return lower + width / (1 + np.exp(-_reshape(far, shape)))

    def _bounds(self, shape: tuple[int, ...], batch: int) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper - lower), each (*shape, 1, ...) with `batch` axes of length 1."""
        lower = np.broadcast_to(np.asarray(self.lower, dtype=float), shape)
        width = np.broadcast_to(np.asarray(self.upper, dtype=float), shape) - lower
        return tuple(np.reshape(x, (*shape, *(1,) * batch)) for x in (lower, width))  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Circle(Interval):
    """Angles in radians, from -pi to pi."""

    lower: float | np.ndarray = -np.pi
    upper: float | np.ndarray = np.pi
    remedy = "Turn degrees into radians, and wrap the angles: numpy.angle(numpy.exp(1j * x))."

    @property
    def description(self) -> str:  # type: ignore[override]
        return "an angle in radians from -pi to pi"

    def contains(self, x: np.ndarray) -> np.ndarray:
        return ~((x < self.lower) | (x > self.upper))


@dataclass(frozen=True, eq=False)
class Simplex(Support):
    """Probabilities along the last axis; coordinates log(x_i / x_ref), one for every open entry but the reference.

    open : bool, broadcasts against a value; entries that may be positive, the others are 0 by declaration and have no
    coordinate (None: all are open). Rows may differ in it; one with a single open entry is a unit vector.

    The reference is the last open entry, or, after `at(x)`, the largest of each row of x, so that a zero never serves as one. A
    zero in an open entry leaves the chart: its coordinate is not free and stays at -inf, where exp makes it 0 again.
    """

    open: np.ndarray | None = None
    reference: np.ndarray | None = None

    @property
    def description(self) -> str:  # type: ignore[override]
        zeros = "" if self.open is None else ", with 0 wherever the prior's concentration is 0"
        return f"probabilities that sum to 1 over the last dim{zeros}"

    def at(self, x: np.ndarray) -> Simplex:
        return Simplex(self.open, np.argmax(x, axis=-1))

    def opened(self, shape: tuple[int, ...]) -> np.ndarray:
        """(*shape) True for the entries that may be positive."""
        return np.broadcast_to(True if self.open is None else self.open, shape)

    def _reference(self, shape: tuple[int, ...]) -> np.ndarray:
        if self.reference is not None:
            return self.reference
        return shape[-1] - 1 - np.argmax(self.opened(shape)[..., ::-1], axis=-1)

    def _others(self, shape: tuple[int, ...]) -> np.ndarray:
        """(size,) flat positions of the open entries that are not the reference."""
        return np.flatnonzero(self.opened(shape) & (np.arange(shape[-1]) != self._reference(shape)[..., None]))

    def contains(self, x: np.ndarray) -> np.ndarray:
        inside = (x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) < 1e-8)
        return np.isnan(x).any(-1) | (inside if self.open is None else inside & (self.opened(x.shape) | (x == 0)).all(-1))

    def fixed(self, shape: tuple[int, ...]) -> np.ndarray:
        opened = self.opened(shape)
        return ~opened | (opened.sum(-1, keepdims=True) == 1)

    def middle(self, shape: tuple[int, ...]) -> np.ndarray:
        opened = self.opened(shape)
        return opened / opened.sum(-1, keepdims=True)

    def counted(self, counts: np.ndarray) -> np.ndarray:
        """Counts whose shares lie in the set: none for what is closed, one for all of a row whose shares are fixed."""
        if self.open is None:
            return counts
        opened = self.opened(counts.shape)
        return np.where(opened.sum(-1, keepdims=True) == 1, opened, np.where(opened, counts, 0.0))

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return x.ravel()[self._others(x.shape)] > margin

    def to_real(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logs = np.log(x)
        last = np.take_along_axis(logs, self._reference(x.shape)[..., None], -1)
        others = self._others(x.shape)
        return logs.ravel()[others] - np.broadcast_to(last, x.shape).ravel()[others]

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        # det d(open entries but one) / du = product of all open entries
        x = self.from_real(u, shape).reshape(-1, *u.shape[1:])
        return np.log(x if self.open is None else x[self.opened(shape).ravel()]).sum(axis=0)

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        axis = len(shape) - 1
        logs = np.zeros((prod(shape), *u.shape[1:]), dtype=u.dtype)
        logs[self._others(shape)] = u
        logs = _reshape(logs, shape)
        e = np.exp(logs - logs.real.max(axis=axis, keepdims=True))
        if self.open is not None:
            e = e * self.opened(shape).reshape(*shape, *(1,) * (u.ndim - 1))
        return e / e.sum(axis=axis, keepdims=True)


@dataclass(frozen=True)
class Covariance(Support):
    """Positive definite matrices over the last two axes; coordinates are those of W, lower triangular with W'W = the inverse.

    The diagonal of W enters by its logarithm. `whitener_from_real` returns W itself, which the coefficients use.
    """

    description = "a symmetric positive definite matrix over the last two dims"

    def middle(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(np.eye(shape[-1]), shape).copy()

    def contains(self, x: np.ndarray) -> np.ndarray:
        symmetric = np.isclose(x, x.swapaxes(-1, -2)).all((-1, -2))
        return symmetric & (np.linalg.eigvalsh(np.where(symmetric[..., None, None], x, np.eye(x.shape[-1])))[..., 0] > 0)

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        p = x.shape[-1]
        return np.ones(prod(x.shape[:-2]) * p * (p + 1) // 2, dtype=bool)

    def to_real(self, x: np.ndarray) -> np.ndarray:
        i, j = np.tril_indices(x.shape[-1])
        packed = whitener(x)[..., i, j]
        packed[..., i == j] = np.log(packed[..., i == j])
        return packed.ravel()

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        p = shape[-1]
        i, j = np.tril_indices(p)
        logs = _reshape(u, (prod(shape[:-2]), len(i)))[:, i == j]
        weights = (np.arange(1, p + 1) - 2.0 * (p + 1) + 1.0).reshape(1, p, *(1,) * (u.ndim - 1))
        return (p * np.log(2.0) + (weights * logs).sum(axis=1)).sum(axis=0)

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        w = np.moveaxis(self.whitener_from_real(u, shape), (len(shape) - 2, len(shape) - 1), (-2, -1))
        inverse = np.linalg.inv(w)
        return np.moveaxis(inverse @ inverse.swapaxes(-1, -2), (-2, -1), (len(shape) - 2, len(shape) - 1))

    def whitener_from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """W of shape (*shape, *batch)."""
        p, batch = shape[-1], u.shape[1:]
        i, j = np.tril_indices(p)
        packed = np.moveaxis(_reshape(u, (*shape[:-2], len(i))), len(shape) - 2, -1)
        w = np.zeros((*packed.shape[:-1], p, p), dtype=u.dtype)
        diagonal = i == j
        w[..., i, j] = np.where(diagonal, np.exp(np.where(diagonal, packed, 0.0)), packed)
        lead = len(shape) - 2
        return np.moveaxis(w, (-2, -1), (lead, lead + 1)) if batch else w


def whitener(cov: np.ndarray) -> np.ndarray:
    """W, lower triangular, with W'W = cov^-1, for real positive definite matrices over the last two axes.

    Raises numpy.linalg.LinAlgError where a matrix is not positive definite.
    """
    # cov = L L' with L lower triangular, so W = L^-1 is lower triangular too
    return np.linalg.inv(np.linalg.cholesky(cov)) * np.tri(cov.shape[-1])

"""Supports: the set a value lies in, and the unconstrained coordinates that numerical steps and standard errors use.

Every map takes flat coordinates u of shape (size, *batch) to values of shape (*shape, *batch) and is holomorphic, so that a
complex step differentiates it. A boundary value (a zero probability, a zero rate) has no coordinate: `free` says which entries
have one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod

import numpy as np

EDGE = 700.0  # log-odds beyond which exp overflows


class Support(ABC):
    """A set of values with a smooth chart."""

    description: str

    @abstractmethod
    def contains(self, x: np.ndarray) -> np.ndarray:
        """True for each entry (or event) inside the closed set; NaN counts as inside, it is a hole."""

    def at(self, x: np.ndarray) -> Support:
        """The same set with the chart that suits the neighbourhood of x."""
        return self

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

    def contains(self, x: np.ndarray) -> np.ndarray:
        return ~((x < 0) | np.isinf(x))

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return x.ravel() > 0

    def to_real(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(x.ravel())

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return u.sum(axis=0)

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return _reshape(np.exp(u), shape)


@dataclass(frozen=True)
class Interval(Support):
    """Numbers from `lower` to `upper`; the coordinate is the log-odds of the position."""

    lower: float = 0.0
    upper: float = 1.0

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"a number from {self.lower:g} to {self.upper:g}"

    def contains(self, x: np.ndarray) -> np.ndarray:
        return ~((x < self.lower) | (x > self.upper))

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        width = margin * (self.upper - self.lower)
        return (x.ravel() - self.lower > width) & (self.upper - x.ravel() > width)

    def to_real(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(x.ravel() - self.lower) - np.log(self.upper - x.ravel())

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return (np.log(self.upper - self.lower) - np.logaddexp(0, u) - np.logaddexp(0, -u)).sum(axis=0)

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        # beyond the edge the exponential would overflow, and the value is the bound to the last bit; at infinity it is the bound
        far = np.where((u.real < -EDGE) & np.isfinite(u.real), -EDGE, u)
        return _reshape(self.lower + (self.upper - self.lower) / (1 + np.exp(-far)), shape)


@dataclass(frozen=True, eq=False)
class Simplex(Support):
    """Probabilities along the last axis; coordinates log(x_i / x_ref), one for every entry but the reference.

    The reference is the last entry, or, after `at(x)`, the largest of each row of x, so that a zero never serves as one. A zero
    entry leaves the chart: its coordinate is not free and stays at -inf, where exp makes it 0 again.
    """

    reference: np.ndarray | None = None
    description = "probabilities that sum to 1 over the last dim"

    def at(self, x: np.ndarray) -> Simplex:
        return Simplex(np.argmax(x, axis=-1))

    def _others(self, lead: tuple[int, ...], k: int) -> np.ndarray:
        """(*lead, k - 1): positions of the entries that are not the reference."""
        if self.reference is None:
            return np.broadcast_to(np.arange(k - 1), (*lead, k - 1))
        rest = np.arange(k - 1)
        return rest + (rest >= self.reference[..., None])

    def contains(self, x: np.ndarray) -> np.ndarray:
        return np.isnan(x).any(-1) | ((x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) < 1e-8))

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return (np.take_along_axis(x, self._others(x.shape[:-1], x.shape[-1]), -1) > margin).ravel()

    def to_real(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logs = np.log(x)
        last = logs[..., -1:] if self.reference is None else np.take_along_axis(logs, self.reference[..., None], -1)
        return (np.take_along_axis(logs, self._others(x.shape[:-1], x.shape[-1]), -1) - last).ravel()

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        x = self.from_real(u, shape)
        return np.log(x).reshape(-1, *u.shape[1:]).sum(axis=0)  # det d(x_1..x_{k-1})/du = prod of all k entries

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        lead, k, axis = shape[:-1], shape[-1], len(shape) - 1
        u = _reshape(u, (*lead, k - 1))
        logs = np.zeros((*shape, *u.shape[len(shape) :]), dtype=u.dtype)
        others = self._others(lead, k).reshape((*lead, k - 1) + (1,) * (u.ndim - len(shape)))
        np.put_along_axis(logs, np.broadcast_to(others, u.shape), u, axis=axis)
        e = np.exp(logs - logs.real.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)


@dataclass(frozen=True)
class Covariance(Support):
    """Positive definite matrices over the last two axes; coordinates are those of W, lower triangular with W'W = the inverse.

    The diagonal of W enters by its logarithm. `whitener_from_real` returns W itself, which the coefficients use.
    """

    description = "a symmetric positive definite matrix over the last two dims"

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


@dataclass(frozen=True, eq=False)
class Point(Support):
    """One value, or one for each entry."""

    value: np.ndarray

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"the value {', '.join(map(str, np.unique(self.value).tolist()))}"

    def contains(self, x: np.ndarray) -> np.ndarray:
        return np.isnan(x) | (x == self.value)

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return np.zeros(x.size, dtype=bool)

    def to_real(self, x: np.ndarray) -> np.ndarray:
        raise TypeError("a fixed value has no unconstrained coordinate")

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        raise TypeError("a fixed value has no unconstrained coordinate")

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        raise TypeError("a fixed value has no unconstrained coordinate")


@dataclass(frozen=True)
class Counts(Support):
    """Whole numbers from 0 (to `upper`, where given)."""

    upper: float = np.inf

    @property
    def description(self) -> str:  # type: ignore[override]
        return "a whole number of at least 0" + (f" and at most {self.upper:g}" if np.isfinite(self.upper) else "")

    def contains(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.isnan(x) | ((x >= 0) & (x == np.floor(x)) & np.isfinite(x) & (x <= self.upper))

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return np.zeros(x.size, dtype=bool)

    def to_real(self, x: np.ndarray) -> np.ndarray:
        raise TypeError("a count has no unconstrained coordinate")

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        raise TypeError("a count has no unconstrained coordinate")

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        raise TypeError("a count has no unconstrained coordinate")

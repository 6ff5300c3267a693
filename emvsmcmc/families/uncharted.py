"""Sets of values that no parameter has, so that they need no chart: one value, whole numbers, vectors of counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .support import Support


class Uncharted(Support):
    """A set of separate values: nothing in it moves, and no parameter lies in it."""

    def free(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        return np.zeros(x.size, dtype=bool)

    def to_real(self, x: np.ndarray) -> np.ndarray:
        raise TypeError(f"{self.description} has no unconstrained coordinate")

    def log_jacobian(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        raise TypeError(f"{self.description} has no unconstrained coordinate")

    def from_real(self, u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        raise TypeError(f"{self.description} has no unconstrained coordinate")


@dataclass(frozen=True, eq=False)
class CountVectors(Uncharted):
    """Counts along the last axis that sum to `total`, where it is known; an array where each vector has a total of its own."""

    total: np.ndarray | None = None
    end: str = "n"

    @property
    def description(self) -> str:  # type: ignore[override]
        ends = np.zeros(0) if self.total is None else np.unique(self.total)
        total = f"{ends[0]:g}" if len(ends) == 1 else self.end
        return f"whole numbers of at least 0 that sum to {total} over the last dim, all of them there or all missing"

    def contains(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            counts = ((x >= 0) & (x == np.floor(x)) & np.isfinite(x)).all(-1)
            right = True if self.total is None else x.sum(-1) == self.total
        return np.isnan(x).all(-1) | (counts & right)


@dataclass(frozen=True, eq=False)
class Point(Uncharted):
    """One value, or one for each entry."""

    value: np.ndarray

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"the value {', '.join(map(str, np.unique(self.value).tolist()))}"

    def contains(self, x: np.ndarray) -> np.ndarray:
        return np.isnan(x) | (x == self.value)


@dataclass(frozen=True, eq=False)
class Counts(Uncharted):
    """Whole numbers from `lower` (to `upper`, where given; an array where each value has an end of its own)."""

    upper: float | np.ndarray = np.inf
    lower: int = 0
    end: str = "n"

    @property
    def description(self) -> str:  # type: ignore[override]
        ends = np.unique(self.upper)
        if len(ends) > 1:
            return f"a whole number from {self.lower} to {self.end}"
        return f"a whole number of at least {self.lower}" + (f" and at most {ends[0]:g}" if np.isfinite(ends[0]) else "")

    def contains(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.isnan(x) | ((x >= self.lower) & (x == np.floor(x)) & np.isfinite(x) & (x <= self.upper))

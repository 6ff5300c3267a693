"""Arrays whose axes have names. Everything broadcasts by name, as in xarray, on numpy arrays and PyTensor variables alike.

xarray itself is not used here: the same few operations must run on symbolic tensors and under a complex step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


class Named:
    """An array and the names of its axes."""

    __slots__ = ("array", "dims")

    def __init__(self, array: Any, dims: Sequence[str] = ()) -> None:
        self.array = array if hasattr(array, "ndim") else np.asarray(array)
        self.dims = tuple(dims)
        if self.array.ndim != len(self.dims):
            raise ValueError(f"{self.array.ndim} axes, dims {self.dims}")
        if len(set(self.dims)) != len(self.dims):
            raise ValueError(f"dims {self.dims} repeat a name")

    def __repr__(self) -> str:
        return f"Named({self.dims})"

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.dims, self.array.shape, strict=True))

    def to(self, dims: Sequence[str]) -> Any:
        """The bare array with axes in the order of dims, a superset of its own; axes it lacks have length 1."""
        order = [self.dims.index(d) for d in dims if d in self.dims]
        if len(order) != len(self.dims):
            raise ValueError(f"dims {self.dims} do not fit into {tuple(dims)}")
        array = self.array.transpose(*order) if order != sorted(order) else self.array
        if len(order) == len(dims):
            return array
        return array[tuple(slice(None) if d in self.dims else None for d in dims)]

    def rename(self, names: Mapping[str, str]) -> Named:
        return Named(self.array, [names.get(d, d) for d in self.dims])


def union(*arrays: Named) -> tuple[str, ...]:
    """Dims of all, in order of first appearance."""
    return tuple(dict.fromkeys(d for x in arrays for d in x.dims))


def lift(function: Callable[..., Any], *arrays: Named) -> Named:
    """Apply an elementwise function, broadcasting by name."""
    dims = union(*arrays)
    return Named(function(*[x.to(dims) for x in arrays]), dims)


def sum_over(x: Named, dims: set[str]) -> Named:
    """Sum the named dims away."""
    axes = tuple(i for i, d in enumerate(x.dims) if d in dims)
    return Named(x.array.sum(axis=axes), [d for d in x.dims if d not in dims])

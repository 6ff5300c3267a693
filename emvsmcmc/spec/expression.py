"""Expressions: what may stand in an argument of a variable. They hold no data and no parameters, only structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidSpec, WrongDims
from ..words import labelled
from .context import current_spec
from .private_dims import is_unnamed, unnamed_dim


def as_dims(dims: str | Sequence[str] | None) -> tuple[str, ...]:
    """Dims as a tuple: none, one, or several."""
    return () if dims is None else (dims,) if isinstance(dims, str) else tuple(dims)


class Expression:
    """A node: `children` are what it is made of, `dims` the names of its axes."""

    __array_ufunc__ = None  # else numpy would make an object array of `array * expression`
    dims: tuple[str, ...]
    children: tuple[Expression, ...] = ()
    name: str | None = None

    def __add__(self, other: Any) -> Expression:
        return Operation("add", self, other)

    def __radd__(self, other: Any) -> Expression:
        return Operation("add", other, self)

    def __sub__(self, other: Any) -> Expression:
        return Operation("add", self, Operation("neg", other))

    def __rsub__(self, other: Any) -> Expression:
        return Operation("add", other, Operation("neg", self))

    def __mul__(self, other: Any) -> Expression:
        return Operation("mul", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return Operation("mul", other, self)

    def __neg__(self) -> Expression:
        return Operation("neg", self)

    def __truediv__(self, other: Any) -> Expression:
        if isinstance(other, Expression):
            return Operation("mul", self, Operation("inv", other))
        return Operation("mul", self, 1.0 / np.asarray(other, dtype=float))

    def __rtruediv__(self, other: Any) -> Expression:
        return Operation("mul", other, Operation("inv", self))

    def __getitem__(self, index: Any) -> Expression:
        return Index(self, index if isinstance(index, tuple) else (index,))

    def __iter__(self) -> Any:
        raise TypeError("an expression has no length; index it by a discrete variable")

    def __bool__(self) -> bool:
        raise TypeError("an expression has no truth value: it has no data yet")


class Constant(Expression):
    """A fixed array. Axes without a name get a private one, so that they only match by position."""

    def __init__(self, value: Any, dims: str | Sequence[str] | None = None) -> None:
        try:
            self.value = np.asarray(value, dtype=np.float64)  # float64 always: a float32 constant costs 1e-7 of the contract
        except (TypeError, ValueError):
            raise InvalidSpec("constant", "numbers", repr(value)[:60], "Pass a number, an array or an expression.") from None
        if np.isnan(self.value).any():
            raise InvalidSpec("constant", "numbers", "NaN", "A constant cannot have holes.")
        self.dims = tuple(unnamed_dim(id(self), i) for i in range(self.value.ndim)) if dims is None else as_dims(dims)
        if len(self.dims) != self.value.ndim:
            raise WrongDims("constant", f"{self.value.ndim} dims", f"{self.dims}", "Name one dim for each axis of the array.")


class Operation(Expression):
    """add, mul, neg, inv, exp, sqrt; elementwise, broadcasting by name."""

    def __init__(self, function: str, *children: Any) -> None:
        self.function = function
        self.children = tuple(wrap(c) for c in children)
        self.dims = tuple(dict.fromkeys(d for c in self.children for d in c.dims))


class Dot(Expression):
    """Sum of products over the one dim with coords that both sides share."""

    def __init__(self, left: Any, right: Any) -> None:
        spec = current_spec()
        self.children = (wrap(left), wrap(right))
        common = [d for d in self.children[0].dims if d in self.children[1].dims and not spec.is_plate(d)]
        if len(common) != 1:
            raise WrongDims(
                "dot",
                "exactly one dim with coords that both sides share",
                f"{common or 'none'} of {self.children[0].dims} and {self.children[1].dims}",
                "Give the summed dim coords in the Spec and use its name on both sides.",
            )
        self.over = common[0]
        self.dims = tuple(d for d in dict.fromkeys(self.children[0].dims + self.children[1].dims) if d != self.over)


def _no_index(got: Any) -> tuple[str, str]:
    """What stands where an index should, and the way out."""
    if isinstance(got, Index):
        inner = labelled(getattr(got.base, "name", None) or "something", (i.name for i in got.index))
        return f"{inner}, itself a look-up", "Work it out beforehand and pass it as an integer ev.Data."
    if isinstance(got, Expression):
        return "an expression", "Work it out beforehand and pass it as an integer ev.Data."
    return f"{got!r}", "Index by position is not part of a model."


class Index(Expression):
    """base[z, ...]: look-up by discrete variables, first axes first."""

    def __init__(self, base: Any, index: tuple[Any, ...]) -> None:
        self.base = wrap(base)
        self.index = index
        for i in index:
            if not isinstance(i, Expression) or i.name is None:
                raise InvalidSpec("index", "a discrete variable or an integer ev.Data", *_no_index(i))
            if getattr(i, "discrete", True) is False:
                raise InvalidSpec(
                    f"index {i.name!r}", "a discrete variable", "a continuous one", "Index by a Categorical or Bernoulli."
                )
        n = len(index)
        if n > len(self.base.dims):
            raise WrongDims(
                "index", f"at most {len(self.base.dims)} indices, one an axis", str(n), f"The base has dims {self.base.dims}."
            )
        for dim, i in zip(self.base.dims, index, strict=False):
            counts = getattr(i, "counts", None)
            if counts is not None and not is_unnamed(dim) and not is_unnamed(counts) and counts != dim:
                raise WrongDims(
                    f"index {i.name!r}",
                    f"an axis of dim {counts!r}, which it counts",
                    f"{dim!r}",
                    "Declare the indexed dim first in `dims`.",
                )
        self.children = (self.base, *index)
        self.dims = tuple(dict.fromkeys([d for i in index for d in i.dims] + list(self.base.dims[n:])))


class Data(Expression):
    """A covariate: known row data without a distribution.

    Parameters: name, and dims (its plate, then dims with coords). Used as an index it must hold whole numbers counting from 0.
    """

    def __init__(self, name: str, dims: str | Sequence[str] | None = None) -> None:
        self.name = name
        self.dims = as_dims(dims)
        current_spec().add_data(self)


def wrap(value: Any, dims: Sequence[str] | None = None) -> Expression:
    """An expression as it is; a number or array as a Constant."""
    return value if isinstance(value, Expression) else Constant(value, dims)


def constant(value: Any, dims: str | Sequence[str] | None = None) -> Constant:
    """A fixed array that may be indexed: `ev.constant(table)[a, b]`. Axes take `dims` by position; unnamed where None."""
    return Constant(value, dims)


def dot(left: Any, right: Any) -> Dot:
    """Sum of left * right over the one dim with coords that both have. Raises WrongDims where there is none or more than one."""
    return Dot(left, right)


def exp(x: Any) -> Operation:
    """exp(x), elementwise: the link of counts and rates."""
    return Operation("exp", x)


def sqrt(x: Any) -> Operation:
    """sqrt(x), elementwise: a variance where an argument wants a standard deviation."""
    return Operation("sqrt", x)

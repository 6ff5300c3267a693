"""Expressions: what may stand in an argument of a variable. They hold no data and no parameters, only structure."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidSpec, WrongDims
from ..words import labelled
from .context import current_spec
from .private_dims import is_unnamed, unnamed_dim


def as_dims(dims: str | Sequence[str] | None) -> tuple[str, ...]:
    """Dims as a tuple of names. Raises InvalidSpec for anything else: an array given in their place, a number."""
    if dims is None or isinstance(dims, str):
        return () if dims is None else (dims,)
    names = tuple(dims) if isinstance(dims, list | tuple) else (dims,)
    if not all(isinstance(d, str) for d in names):
        remedy = "A spec holds no data: write dims=..., and give values with ev.condition(spec, {name: values})."
        raise InvalidSpec("dims", "names of dims", repr(dims)[:60], remedy)
    return names


# numpy's name of an operation -> the operator, for arrays on its left
ARITHMETIC: dict[str, Any] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "matmul": operator.matmul,
    "negative": operator.neg,
    "absolute": abs,
}


class Expression:
    """A node: `children` are what it is made of, `dims` the names of its axes."""

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
        inverse = Operation("inv", self)
        return inverse if isinstance(other, int | float) and other == 1 else Operation("mul", other, inverse)

    def __pow__(self, other: Any) -> Expression:
        number = float(other) if isinstance(other, int | float | np.number) else None
        if number == 1:
            return self
        if number is not None and number < 0:
            return Operation("inv", self**-number)
        return Operation("sqrt", self) if number == 0.5 else Operation("pow", self, other)

    def __rpow__(self, other: Any) -> Expression:
        return Operation("pow", other, self)

    def __matmul__(self, other: Any) -> Expression:
        return Dot(self, other)

    def __rmatmul__(self, other: Any) -> Expression:
        return Dot(other, self)

    def __abs__(self) -> Expression:
        return Operation("abs", self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Expression:
        """Arithmetic of arrays with expressions, which numpy would make object arrays of; its functions are answered."""
        if method == "__call__" and not options and ufunc.__name__ in ARITHMETIC:
            return ARITHMETIC[ufunc.__name__](*map(wrap, inputs))
        raise TypeError(f"np.{ufunc.__name__} knows no expressions: the functions of parameters and covariates are in ev.math")

    def __getitem__(self, index: Any) -> Expression:
        index = index if isinstance(index, tuple) else (index,)
        base = at_positions(self, index)
        variables = tuple(i for i in index if not is_position(i))
        return Index(base, variables) if variables else base

    def __iter__(self) -> Any:
        raise TypeError("an expression has no length; index it by a discrete variable or a position")

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
    """add, mul, neg, pow, and the functions of one argument (see `functions.ELEMENTWISE`); elementwise, broadcasting by name."""

    def __init__(self, function: str, *children: Any) -> None:
        self.function = function
        self.children = tuple(wrap(c) for c in children)
        if function == "pow":
            _checked_power(*self.children)
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


class Take(Expression):
    """base[3] or base["label"]: one position of a dim with coords, or of an unnamed axis of a constant."""

    def __init__(self, base: Expression, dim: str, position: int, label: str) -> None:
        self.base, self.children = base, (base,)
        self.dim, self.position, self.label = dim, position, label
        self.dims = tuple(d for d in base.dims if d != dim)


class Stack(Expression):
    """Expressions side by side along a new last dim with coords."""

    def __init__(self, children: Sequence[Any], dim: str) -> None:
        self.children, self.dim = tuple(wrap(c) for c in children), dim
        self.dims = (*dict.fromkeys(d for c in self.children for d in c.dims), dim)


class Softmax(Expression):
    """exp(x) / sum of exp(x) over one dim, which comes last."""

    def __init__(self, x: Any, dim: str) -> None:
        self.children, self.dim = (wrap(x),), dim
        self.dims = (*[d for d in self.children[0].dims if d != dim], dim)


def is_position(index: Any) -> bool:
    """Whether an index is known by itself: a whole number, a label, or all of an axis."""
    whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
    return whole or isinstance(index, str | slice) or index is Ellipsis or index is None


def at_positions(base: Expression, index: tuple[Any, ...]) -> Expression:
    """The expression at the known positions of an index, first axes first; the axes of its variables are left to `Index`."""
    if len(index) > len(base.dims):
        raise WrongDims(
            "index", f"at most {len(base.dims)} indices, one an axis", str(len(index)), f"The base has dims {base.dims}."
        )
    out, kept = base, False
    for dim, i in zip(base.dims, index, strict=False):
        if not is_position(i):
            if kept:
                raise WrongDims(
                    "index", "variables before ':'", f"':' before {getattr(i, 'name', i)!r}", "Declare the indexed dim first."
                )
        elif isinstance(i, slice) and i == slice(None):
            kept = True
        elif isinstance(i, int | np.integer | str):
            out = _taken(out, dim, i)
        else:
            wanted = "a discrete variable, an integer ev.Data, one position or one label"
            raise InvalidSpec("index", wanted, _slice_text(i), "Name the part that you want with a dim of its own.")
    return out


def _slice_text(i: Any) -> str:
    if not isinstance(i, slice):
        return "'...'" if i is Ellipsis else repr(i)
    return f"the slice {':'.join('' if x is None else str(x) for x in (i.start, i.stop, i.step)[: 3 if i.step else 2])}"


def _taken(base: Expression, dim: str, i: Any) -> Take:
    """base at position or label i of dim. Raises WrongDims where there is none."""
    size, labels = _positions(base, dim)
    if isinstance(i, str):
        if i not in labels:
            raise WrongDims(f"index {i!r}", f"a label of {dim!r}: {labels}", "none of them", "Or give a position, from 0.")
        return Take(base, dim, labels.index(i), i)
    position = int(i)
    if not -size <= position < size:
        raise WrongDims(f"index {position}", f"a position of {dim!r} from 0 to {size - 1}", str(position))
    return Take(base, dim, position % size, str(labels[position]))


def _positions(base: Expression, dim: str) -> tuple[int, list[Any]]:
    """(size, labels) of a dim: from the coords of the open spec, or from the constant that has an unnamed axis."""
    if is_unnamed(dim):
        size = next(int(e.value.shape[e.dims.index(dim)]) for e in _constants(base) if dim in e.dims)
        return size, list(range(size))
    spec = current_spec()
    if dim not in spec.coords or spec.is_plate(dim):
        raise WrongDims(
            "index",
            f"a discrete variable or an integer ev.Data for {dim!r}, whose size comes from the data",
            "a position",
            f"Give {dim!r} coords in the Spec, or pick the column with x[:, position].",
        )
    return len(spec.coords[dim]), list(spec.coords[dim])


def _constants(e: Expression) -> list[Constant]:
    return [e] if isinstance(e, Constant) else [c for child in e.children for c in _constants(child)]


def _checked_power(base: Expression, exponent: Expression) -> None:
    """What is not multiplied by itself a whole number of times is exp(exponent log base): the base is positive."""
    whole = isinstance(exponent, Constant) and exponent.value.ndim == 0 and float(exponent.value).is_integer()
    if isinstance(base, Constant) and not whole and not (base.value > 0).all():
        raise InvalidSpec("**", "a positive base", str(base.value.tolist())[:60], "Write base ** exponent with a positive base.")


def _no_index(got: Any) -> tuple[str, str]:
    """What stands where an index should, and the way out."""
    if isinstance(got, Index):
        inner = labelled(getattr(got.base, "name", None) or "something", (i.name for i in got.index))
        return f"{inner}, itself a look-up", "Work it out beforehand and pass it as an integer ev.Data."
    if isinstance(got, Expression):
        return "an expression", "Work it out beforehand and pass it as an integer ev.Data."
    return f"{got!r}", "One position is a whole number, as in mean[0]."


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
    Raises InvalidSpec for values, which `condition` takes.
    """

    def __init__(self, name: str, *values: Any, dims: str | Sequence[str] | None = None) -> None:
        if dims is None and len(values) == 1:
            (dims,) = values  # where they are values, `as_dims` says so
        elif values:
            got, remedy = (
                repr(values[0])[:60],
                f"Write ev.Data({name!r}, dims=...), and ev.condition(spec, {{{name!r}: values}}).",
            )
            raise InvalidSpec(f"Data {name!r}", "a name and dims: a spec holds no data", got, remedy)
        self.name = name
        self.dims = as_dims(dims)
        current_spec().add_data(self)


def wrap(value: Any, dims: Sequence[str] | None = None) -> Expression:
    """An expression as it is; a number or array as a Constant."""
    return value if isinstance(value, Expression) else Constant(value, dims)


def constant(value: Any, dims: str | Sequence[str] | None = None) -> Constant:
    """A fixed array that may be indexed: `ev.constant(table)[a, b]`. Axes take `dims` by position; unnamed where None."""
    return Constant(value, dims)

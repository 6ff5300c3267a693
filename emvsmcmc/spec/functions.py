"""What the functions of the language compute, on numpy (real, or complex along a complex step) and on PyTensor variables.

Each is holomorphic where it is smooth, and keeps its digits where the textbook formula loses them: a sigmoid far out is not 1
minus something, a softmax does not overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .named import Named, lift, union

Array = Any  # numpy.ndarray or a PyTensor variable


def inverse(xp: ModuleType, x: Array) -> Array:
    """1 / x; 0 at infinity along a complex step too, where numpy's division gives NaN."""
    if not (isinstance(x, np.ndarray) and np.iscomplexobj(x)) or np.isfinite(x.real).all():
        return 1.0 / x
    finite = np.isfinite(x.real) & np.isfinite(x.imag)
    return np.where(finite, 1.0 / np.where(finite, x, 1.0), 0.0)


def absolute(xp: ModuleType, x: Array) -> Array:
    """|x|; along a complex step the sign of the real part times x, which is holomorphic on both sides of 0."""
    return np.where(np.real(x) < 0, -x, x) if xp is np else xp.abs(x)


def sigmoid(xp: ModuleType, x: Array) -> Array:
    """1 / (1 + exp(-x)), as exp(x) / (1 + exp(x)) below 0: relative precision on both sides."""
    if xp is not np:
        return xp.sigmoid(x)
    x = np.asarray(x)
    far = np.exp(np.where(x.real < 0, x, -x))
    return np.where(x.real < 0, far, 1.0) / (1.0 + far)


def logit(xp: ModuleType, p: Array) -> Array:
    """log p - log(1 - p)."""
    return xp.log(p) - xp.log1p(-p)


def named_function(name: str) -> Callable[[ModuleType, Array], Array]:
    """The function that both libraries have under the same name."""
    return lambda xp, x: getattr(xp, name)(x)


def identity(xp: ModuleType, x: Array) -> Array:
    """x itself: the link of what has none."""
    return x


# name of a function in the language -> what it computes; all of one argument, elementwise
ELEMENTWISE: dict[str, Callable[[ModuleType, Array], Array]] = {
    "abs": absolute,
    "exp": named_function("exp"),
    "expm1": named_function("expm1"),
    "inv": inverse,
    "log": named_function("log"),
    "log1p": named_function("log1p"),
    "logit": logit,
    "sigmoid": sigmoid,
    "sqrt": named_function("sqrt"),
}


def power(xp: ModuleType, base: Named, exponent: Named) -> Named:
    """base ** exponent: by multiplication for one whole number, so that the base may be negative; else exp(exponent log base)."""
    if whole_exponent(exponent.array):
        n = int(exponent.array)
        return Named(base.array**n, base.dims)
    return lift(lambda a, b: xp.exp(b * xp.log(a)), base, exponent)


def whole_exponent(exponent: Any) -> bool:
    """Whether an exponent is one known whole number."""
    known = isinstance(exponent, np.ndarray | np.generic) and exponent.ndim == 0 and not np.iscomplexobj(exponent)
    return bool(known and float(exponent) == int(exponent)) if known and np.isfinite(exponent) else False


def softmax(xp: ModuleType, x: Named, dim: str) -> Named:
    """exp(x) / sum of exp(x) over `dim`, which comes last."""
    dims = (*[d for d in x.dims if d != dim], dim)
    array = x.to(dims)
    if xp is not np:
        return Named(xp.special.softmax(array, axis=-1), dims)
    far = np.exp(array - array.real.max(axis=-1, keepdims=True))
    return Named(far / far.sum(axis=-1, keepdims=True), dims)


def take(x: Named, dim: str, position: int) -> Named:
    """The values at one position of a dim."""
    axis = x.dims.index(dim)
    at = tuple(position if i == axis else slice(None) for i in range(len(x.dims)))
    return Named(x.array[at], [d for d in x.dims if d != dim])


def placed(xp: ModuleType, x: Named, dim: str, position: int, size: int) -> Named:
    """The values at one position of a new last dim, 0 at the others. Not by a product: what is infinite stays in its place."""
    there = np.arange(size) == position
    return Named(xp.where(there, x.to((*x.dims, dim)), 0.0), (*x.dims, dim))


def stacked(xp: ModuleType, parts: Sequence[dict[Any, Named]], dim: str) -> dict[Any, Named]:
    """Coefficients of several expressions, one a position of a new last dim."""
    out: dict[Any, Named] = {}
    for position, part in enumerate(parts):
        for key, value in part.items():
            own = placed(xp, value, dim, position, len(parts))
            dims = (*[d for d in union(out[key], own) if d != dim], dim) if key in out else own.dims
            out[key] = Named(out[key].to(dims) + own.to(dims), dims) if key in out else own
    return out

"""`ev.math`: functions of parameters and covariates in expressions, by the names that PyMC and numpy give them.

Each broadcasts by name, keeps its digits far out, and is differentiated exactly by EM and by PyMC alike. A mean that holds a
covariate stays affine in it whatever function is taken of the covariate alone; a parameter inside a function has no closed form
and is maximised by safeguarded Newton, as `explain` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidSpec, WrongDims
from ..families.support import Interval, Positive, Simplex
from .context import current_spec
from .expression import Constant, Dot, Expression, Operation, Softmax, Stack, wrap
from .habits import math_name
from .variable import Variable
from .walk import looked_up

__all__ = ["abs", "dot", "exp", "expm1", "invlogit", "log", "log1p", "logit", "sigmoid", "softmax", "sqrt", "stack"]


def exp(x: Any) -> Operation:
    """exp(x), elementwise: the link of counts and rates."""
    return Operation("exp", x)


def expm1(x: Any) -> Operation:
    """exp(x) - 1, elementwise, with its digits near x = 0."""
    return Operation("expm1", x)


def log(x: Any) -> Operation:
    """log(x), elementwise. Raises InvalidSpec for a parameter whose prior lies on negative numbers too."""
    return Operation("log", _positive("log", x))


def log1p(x: Any) -> Operation:
    """log(1 + x), elementwise, with its digits near x = 0."""
    return Operation("log1p", x)


def sqrt(x: Any) -> Operation:
    """sqrt(x), elementwise: a variance where an argument wants a standard deviation. Raises InvalidSpec as `log` does."""
    return Operation("sqrt", _positive("sqrt", x))


def logit(p: Any) -> Operation:
    """log(p / (1 - p)), elementwise: the log odds of a probability. Raises InvalidSpec as `log` does."""
    return Operation("logit", _positive("logit", p))


def sigmoid(x: Any) -> Operation:
    """1 / (1 + exp(-x)), elementwise: the probability whose log odds are x. 1 - sigmoid(x) keeps its digits wherever the engines
    need it.
    """
    return Operation("sigmoid", x)


def abs(x: Any) -> Operation:  # noqa: A001  the field's name, as in numpy and PyMC
    """|x|, elementwise. It has no derivative at 0."""
    return Operation("abs", x)


def dot(left: Any, right: Any) -> Dot:
    """Sum of left * right over the one dim with coords that both have. Raises WrongDims where there is none or more than one."""
    return Dot(left, right)


def softmax(x: Any, dim: str | None = None) -> Softmax:
    """exp(x) / sum of exp(x) over `dim`, by default the only dim with coords of x: probabilities of a Categorical.

    A constant added to x along `dim` changes nothing, so that one entry is fixed: `softmax(stack([0, a, b], dim="component"))`.
    Raises WrongDims where x does not have the dim, or has several and none is named.
    """
    x = wrap(x)
    spec = current_spec()
    own = [d for d in x.dims if not spec.is_plate(d)]
    if (dim is None and len(own) != 1) or (dim is not None and dim not in x.dims):
        wanted = f"dim {dim!r}" if dim is not None else "one dim with coords, or dim=..."
        raise WrongDims("softmax", wanted, f"dims {x.dims}", 'Write softmax(x, dim="component").')
    return Softmax(x, dim if dim is not None else own[0])


def stack(parts: Sequence[Any], dim: str) -> Stack:
    """Numbers and expressions side by side along a dim with coords, which comes last: `stack([0, a, b], dim="component")`.

    Raises WrongDims where the dim has no coords, has another length, or stands in a part already.
    """
    if not isinstance(parts, list | tuple):
        raise InvalidSpec("stack", "a list of numbers and expressions", repr(parts)[:60], 'Write stack([a, b], dim="component").')
    spec = current_spec()
    if not isinstance(dim, str) or dim not in spec.coords or spec.is_plate(dim):
        raise WrongDims("stack", "a dim with coords in the Spec", repr(dim), "Give the new dim coords, one label a part.")
    out = Stack(parts, dim)
    if len(parts) != len(spec.coords[dim]):
        raise WrongDims("stack", f"{len(spec.coords[dim])} parts, one for each of {dim!r}", str(len(parts)))
    if any(dim in c.dims for c in out.children):
        raise WrongDims("stack", f"parts without dim {dim!r}", "one that has it", "The stacked dim is new.")
    return out


def invlogit(x: Any) -> Operation:
    """The same as `sigmoid`, by PyMC's name."""
    return sigmoid(x)


def __getattr__(name: str) -> Any:
    raise AttributeError(math_name(name, __all__))


def _positive(function: str, x: Any) -> Any:
    """x, refused where it is a parameter that may be negative: its logarithm would be no number."""
    base = looked_up(x) if isinstance(x, Expression) else x
    if not isinstance(base, Variable) or base.family.discrete:
        return x
    known = {k: e.value for k, e in base.arguments.items() if base.family.arguments[k].decides and isinstance(e, Constant)}
    support = base.family.support(**known)
    below = isinstance(support, Interval) and bool((np.asarray(support.lower) < 0).any())
    if below or not isinstance(support, Positive | Interval | Simplex):
        raise InvalidSpec(
            f"{function}({base.label})",
            "a positive quantity",
            f"{base.label!r}, whose {base.family.name} distribution lies on negative numbers too",
            f"Give it a prior on positive numbers, or write {function} of ev.math.exp({base.label}).",
        )
    return x

"""What is called to declare a variable: one constructor for each family, made from the family's own arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidSpec
from ..families import ALL, REQUIRED, Family
from ..families.base import Parametrisation
from . import math
from .context import current_spec
from .expression import Constant, Expression, Softmax, as_dims
from .functions import ELEMENTWISE, softmax
from .habits import KEYWORDS
from .named import Named
from .variable import Variable


class Expressions:
    """The functions that a parametrisation is written in, of expressions; softmax goes over the last dim."""

    exp, log, sqrt, sigmoid = map(staticmethod, (math.exp, math.log, math.sqrt, math.sigmoid))

    @staticmethod
    def softmax(x: Any) -> Any:
        return Softmax(x, x.dims[-1])


class Numbers:
    """The same of numbers and arrays."""

    @staticmethod
    def exp(x: Any) -> Any:
        return np.exp(x)

    @staticmethod
    def log(x: Any) -> Any:
        return np.log(x)

    @staticmethod
    def sqrt(x: Any) -> Any:
        return np.sqrt(x)

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return ELEMENTWISE["sigmoid"](np, x)

    @staticmethod
    def softmax(x: Any) -> Any:
        dims = tuple(str(i) for i in range(x.ndim))
        return softmax(np, Named(x, dims), dims[-1]).array


@dataclass(frozen=True)
class Bound:
    """The arguments of a declaration by the names of the family, and as they were written where those are others."""

    arguments: dict[str, Any]
    declared: dict[str, Any] | None = None


class Constructor:
    """Calls like PyMC's: `Normal("x", mu, sigma, dims="row")` declares, `Normal.dist(mu, sigma)` gives an unnamed one."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.__name__ = self.__qualname__ = family.name
        sets = [tuple(family.arguments), *(p.arguments for p in family.parametrisations)]
        others = "".join(f" Or by {' and '.join(s)}." for s in sets[1:])
        self.__doc__ = f"{family.__doc__}\n\nArguments: name, {', '.join(family.arguments)}, dims.{others}"
        self.__signature__ = signature(family)

    def __call__(self, name: str, *args: Any, dims: str | Sequence[str] | None = None, **kwargs: Any) -> Variable:
        current_spec()
        if not isinstance(name, str):
            raise InvalidSpec(
                self.family.name, "a name as its first argument", repr(name)[:60], f'Write ev.{self.family.name}("name", ...).'
            )
        own = as_dims(dims)
        bound = self._bind(name, args, kwargs, own)
        return Variable(name, self.family, bound.arguments, own, bound.declared)

    def dist(self, *args: Any, **kwargs: Any) -> Variable:
        """An unnamed distribution, for a branch of a Switch or the scales of an LKJCov."""
        bound = self._bind(f"{self.family.name}.dist", args, kwargs, ())
        return Variable(None, self.family, bound.arguments, (), bound.declared)

    def _bind(self, label: str, args: Sequence[Any], kwargs: Mapping[str, Any], dims: tuple[str, ...]) -> Bound:
        names = list(self.family.arguments)
        given = self._given(label, names, args, kwargs)
        written = dict(given)
        chosen = self._parametrisation(label, given)
        if chosen is not None:
            given = _canonical(label, chosen, given, dims)
        together = [k for k in self.family.one_of if k in given]
        if len(together) > 1:
            raise InvalidSpec(label, f"either {' or '.join(self.family.one_of)}", "both", "Keep one of them.")
        for key, argument in self.family.arguments.items():
            if key in given or argument.default is None or (together and key in self.family.one_of):
                continue
            if argument.default is REQUIRED:
                raise InvalidSpec(label, f"argument {key!r} of {self.family.name}", "nothing", f"Arguments are {names}.")
            given[key] = argument.default
        kept = {k: v for k, v in given.items() if chosen is None or k not in chosen.replaces}
        return Bound(given, None if chosen is None else kept | {k: written[k] for k in chosen.arguments})

    def _given(self, label: str, names: list[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """What was written, by name. Raises InvalidSpec for a name that is none, with what to write instead."""
        others = {k for p in self.family.parametrisations for k in p.arguments}
        unknown = [k for k in kwargs if k not in names and k not in others]
        if unknown or len(args) > len(names):
            got = f"{len(args)} positional and {sorted(kwargs)}"
            habit = next((KEYWORDS[k] for k in unknown if k in KEYWORDS), "See the signature.")
            raise InvalidSpec(label, f"arguments {names} of {self.family.name}", got, habit)
        given = dict(zip(names, args, strict=False))
        twice = sorted(set(given) & set(kwargs))
        if twice:
            raise InvalidSpec(label, "each argument once", f"{twice} twice", "Pass it by position or by name.")
        given |= kwargs
        text = next((k for k, v in given.items() if isinstance(v, str)), None)
        if text is not None and text in names[1:]:
            remedy = f"Names of dims are given by name: dims={given[text]!r}."
            raise InvalidSpec(f"{label}.{text}", "numbers", repr(given[text]), remedy)
        return {k: v for k, v in given.items() if v is not None}

    def _parametrisation(self, label: str, given: Mapping[str, Any]) -> Parametrisation | None:
        """The set of arguments that was written, None for the family's own. Raises InvalidSpec for a mixture of sets."""
        own = self.family.arguments
        extra = set(given) - set(own)
        if not extra:
            return None
        for p in self.family.parametrisations:
            if extra == set(p.arguments) - set(own) and set(p.arguments) <= set(given) and not set(p.replaces) & set(given):
                return p
        sets = [[k for k in own if k in self._replaced()], *(p.arguments for p in self.family.parametrisations)]
        wanted = "; or ".join(" and ".join(s) for s in sets if s)
        raise InvalidSpec(label, f"one set of arguments: {wanted}", " and ".join(sorted(given)), "Keep one of the sets.")

    def _replaced(self) -> set[str]:
        return {k for p in self.family.parametrisations for k in p.replaces}


def signature(family: Family) -> inspect.Signature:
    """PyMC's signature: the family's own arguments by position, those of its other parametrisations by name, then dims."""
    kind, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    replaced = {k for p in family.parametrisations for k in p.replaces}
    parameters = [inspect.Parameter("name", kind)]
    optional = False
    for key, argument in family.arguments.items():
        optional = optional or argument.default is not REQUIRED or key in replaced
        default = None if argument.default is REQUIRED or key in family.one_of else argument.default
        shown = {"default": default} if optional else {}
        parameters.append(inspect.Parameter(key, kind, **shown))
    others = dict.fromkeys(k for p in family.parametrisations for k in p.arguments if k not in family.arguments)
    parameters += [inspect.Parameter(key, named, default=None) for key in others]
    parameters.append(inspect.Parameter("dims", named, default=None))
    return inspect.Signature(parameters)


def _canonical(label: str, chosen: Parametrisation, given: Mapping[str, Any], dims: tuple[str, ...]) -> dict[str, Any]:
    """The family's own arguments: numbers where all that was written are numbers, else expressions."""
    rest = {k: v for k, v in given.items() if k not in chosen.arguments}
    values = {k: given[k] for k in chosen.arguments}
    if any(isinstance(v, Expression) for v in values.values()):
        named = {k: v if isinstance(v, Expression) else _trailing(v, dims) for k, v in values.items()}
        return rest | dict(chosen.canonical(Expressions, **named))
    try:
        numbers = {k: np.asarray(v, dtype=float) for k, v in values.items()}
    except (TypeError, ValueError):
        raise InvalidSpec(label, "numbers", repr(values)[:60], "Pass numbers, arrays or expressions.") from None
    with np.errstate(all="ignore"):
        canonical = dict(chosen.canonical(Numbers, **numbers))
        inside = all(
            (np.asarray(x) > 0).all() and np.isfinite(x).all() for x in (*canonical.values(), *_positive(chosen, numbers))
        )
    if chosen.holds and not inside:
        got = ", ".join(f"{k} = {v.tolist()}" for k, v in numbers.items())[:80]
        raise InvalidSpec(label, chosen.holds, got, "No such distribution exists.")
    return rest | canonical


def _positive(chosen: Parametrisation, numbers: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [numbers[k] for k in chosen.positive]


def _trailing(value: Any, dims: tuple[str, ...]) -> Constant:
    """An unnamed array beside an expression takes the trailing dims of the variable."""
    array = np.asarray(value)
    return Constant(value, dims[len(dims) - array.ndim :]) if 0 < array.ndim <= len(dims) else Constant(value)


CONSTRUCTORS = {family.name: Constructor(family) for family in ALL}

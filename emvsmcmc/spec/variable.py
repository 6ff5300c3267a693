"""Random variables and their constructors, with PyMC's names and argument order."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidSpec
from ..families import BY_NAME, REQUIRED, Family
from ..families.kinds import Kind
from . import check
from .context import current_spec
from .expression import Constant, Expression, as_dims
from .private_dims import second_dim


class Variable(Expression):
    """A random variable of the joint distribution: a family, its arguments, and its dims.

    `counts` is the dim that a Categorical counts (None for a Bernoulli, which counts 0 and 1, and for everything continuous).
    `branches` are its distributions: itself, or those of a Switch.
    """

    def __init__(self, name: str | None, family: Family, arguments: dict[str, Any], dims: tuple[str, ...]) -> None:
        self.name, self.family, self.dims = name, family, dims
        self.label = name or f"unnamed {family.name}"
        self.arguments: dict[str, Expression] = {}
        for key, value in arguments.items():
            self.arguments[key] = value if isinstance(value, Expression) else self._constant(key, value)
        self.children = tuple(a for a in self.arguments.values() if not _is_dist(a))
        self.branches: tuple[Variable, ...] = (self,)
        self.counts: str | None = None
        if family.counted is not None:
            check.counts(self)
            self.counts = self.arguments[family.counted].dims[-1]
        check.argument_ranges(self)
        if name is not None:
            check.matrix_dims(current_spec(), self)
            check.argument_dims(self)
            current_spec().add_variable(self)

    def keys_of(self, kind: Kind | type[Kind]) -> list[str]:
        """Its arguments of a kind."""
        kinds = {key: self.family.arguments[key].kind for key in self.arguments}
        return [key for key, own in kinds.items() if own is kind or (isinstance(kind, type) and isinstance(own, kind))]

    def has(self, kind: Kind | type[Kind]) -> bool:
        return bool(self.keys_of(kind))

    def argument_of(self, kind: Kind | type[Kind]) -> Expression:
        """The expression in the only argument of a kind: MEAN, TAIL, or any ScaleKind."""
        (key,) = self.keys_of(kind)
        return self.arguments[key]

    @property
    def discrete(self) -> bool:
        """True for variables whose values may index (Categorical and Bernoulli)."""
        return self.family.indexes

    def _constant(self, key: str, value: Any) -> Constant:
        """An unnamed array takes the trailing dims of its variable (a covariance, the last dim twice)."""
        array, family = np.asarray(value), self.family
        argument = family.arguments[key]
        lead = self.dims[: len(self.dims) - max(0, family.event_dims - argument.event_dims)]
        if argument.event_dims > family.event_dims:
            if not argument.matrix or not lead or not 0 < array.ndim <= len(lead) + 1:
                return Constant(value)
            return Constant(value, (*lead[len(lead) - array.ndim + 1 :], second_dim(lead[-1])))
        return Constant(value) if array.ndim > len(lead) or not array.ndim else Constant(value, lead[len(lead) - array.ndim :])

    def __repr__(self) -> str:
        return f"{self.family.name}({self.label!r}, dims={self.dims})"


class Switch(Variable):
    """A mixed component: branch `distributions[b]` where the discrete variable `index` equals b.

    Parameters: name; index, a Bernoulli or Categorical; distributions, one `.dist(...)` for each value of it; dims.
    """

    def __init__(
        self, name: str, index: Variable, distributions: Sequence[Variable], dims: str | Sequence[str] | None = None
    ) -> None:
        self.name, self.dims, self.label = name, as_dims(dims), name
        self.index, self.branches = index, tuple(distributions)
        check.switch(self)
        self.family = self.branches[0].family
        self.arguments = {}
        self.counts = None
        self.children = (index, *(a for b in self.branches for a in b.children))
        for branch in self.branches:
            check.branch(self, branch)
        current_spec().add_variable(self)

    @property
    def discrete(self) -> bool:
        return False


def _is_dist(value: Expression) -> bool:
    return isinstance(value, Variable) and value.name is None


class Constructor:
    """Calls like PyMC's: `Normal("x", mu, sigma, dims="row")` declares, `Normal.dist(mu, sigma)` gives an unnamed one."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.__name__ = self.__qualname__ = family.name
        self.__doc__ = f"{family.__doc__}\n\nArguments: name, {', '.join(family.arguments)}, dims."
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter("name", kind)]
        for key, argument in family.arguments.items():
            optional = {} if argument.default is REQUIRED else {"default": None if key in family.one_of else argument.default}
            parameters.append(inspect.Parameter(key, kind, **optional))
        parameters.append(inspect.Parameter("dims", inspect.Parameter.KEYWORD_ONLY, default=None))
        self.__signature__ = inspect.Signature(parameters)

    def __call__(self, name: str, *args: Any, dims: str | Sequence[str] | None = None, **kwargs: Any) -> Variable:
        current_spec()
        if not isinstance(name, str):
            raise InvalidSpec(
                self.family.name, "a name as its first argument", repr(name)[:60], f'Write ev.{self.family.name}("name", ...).'
            )
        return Variable(name, self.family, self._bind(name, args, kwargs), as_dims(dims))

    def dist(self, *args: Any, **kwargs: Any) -> Variable:
        """An unnamed distribution, for a branch of a Switch or the scales of an LKJCov."""
        label = f"{self.family.name}.dist"
        return Variable(None, self.family, self._bind(label, args, kwargs), ())

    def _bind(self, label: str, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        names = list(self.family.arguments)
        unknown = [k for k in kwargs if k not in names]
        if unknown or len(args) > len(names):
            got = f"{len(args)} positional and {sorted(kwargs)}"
            raise InvalidSpec(label, f"arguments {names} of {self.family.name}", got, "See the signature.")
        given = dict(zip(names, args, strict=False))
        twice = sorted(set(given) & set(kwargs))
        if twice:
            raise InvalidSpec(label, "each argument once", f"{twice} twice", "Pass it by position or by name.")
        given |= kwargs
        given = {k: v for k, v in given.items() if v is not None}
        together = [k for k in self.family.one_of if k in given]
        if len(together) > 1:
            raise InvalidSpec(label, f"either {' or '.join(self.family.one_of)}", "both", "Keep one of them.")
        for key, argument in self.family.arguments.items():
            if key in given or argument.default is None or (together and key in self.family.one_of):
                continue
            if argument.default is REQUIRED:
                raise InvalidSpec(label, f"argument {key!r} of {self.family.name}", "nothing", f"Arguments are {names}.")
            given[key] = argument.default
        return given


Normal = Constructor(BY_NAME["Normal"])
MvNormal = Constructor(BY_NAME["MvNormal"])
StudentT = Constructor(BY_NAME["StudentT"])
Categorical = Constructor(BY_NAME["Categorical"])
Bernoulli = Constructor(BY_NAME["Bernoulli"])
Binomial = Constructor(BY_NAME["Binomial"])
Poisson = Constructor(BY_NAME["Poisson"])
Exponential = Constructor(BY_NAME["Exponential"])
Dirac = Constructor(BY_NAME["Dirac"])
Dirichlet = Constructor(BY_NAME["Dirichlet"])
Beta = Constructor(BY_NAME["Beta"])
Uniform = Constructor(BY_NAME["Uniform"])
Gamma = Constructor(BY_NAME["Gamma"])
InverseGamma = Constructor(BY_NAME["InverseGamma"])
HalfNormal = Constructor(BY_NAME["HalfNormal"])
HalfCauchy = Constructor(BY_NAME["HalfCauchy"])
InverseWishart = Constructor(BY_NAME["InverseWishart"])
LKJCov = Constructor(BY_NAME["LKJCov"])

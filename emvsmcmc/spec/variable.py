"""Random variables: a family, its arguments and its dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..families import Family
from ..families.kinds import Kind
from . import check
from .context import current_spec
from .expression import Constant, Expression, as_dims
from .private_dims import second_dim
from .products import grouped


class Variable(Expression):
    """A random variable of the joint distribution: a family, its arguments, and its dims.

    `counts` is the dim that a Categorical counts (None for a Bernoulli, which counts 0 and 1, and for everything continuous).
    `branches` are its distributions: itself, or those of a Switch. `declared` are the arguments as they were written, where that
    is another parametrisation than the family's own.
    """

    declared: dict[str, Expression] | None = None

    def __init__(
        self,
        name: str | None,
        family: Family,
        arguments: dict[str, Any],
        dims: tuple[str, ...],
        declared: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.family, self.dims = name, family, dims
        self.label = name or f"unnamed {family.name}"
        self.arguments: dict[str, Expression] = {}
        for key, value in arguments.items():
            self.arguments[key] = grouped(value) if isinstance(value, Expression) else self._constant(key, value)
        if declared is not None:
            self.declared = {k: v if isinstance(v, Expression) else self._constant(k, v) for k, v in declared.items()}
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
        if key not in family.arguments:  # of another parametrisation: shaped as what it stands for
            key = next(p.replaces[0] for p in family.parametrisations if key in p.arguments)
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

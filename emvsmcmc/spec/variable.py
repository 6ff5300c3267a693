"""Random variables: a family, its arguments and its dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..families import Family
from . import check
from .context import current_spec
from .expression import Constant, Expression, as_dims
from .products import grouped


class Variable(Expression):
    """A random variable of the joint distribution: a family, its arguments, and its dims.

    `counts` is the dim that a Categorical counts (None for a Bernoulli, which counts 0 and 1, and for everything continuous).
    `declared` are the arguments as they were written, where that is another parametrisation than the family's own.
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
        self.counts: str | None = None
        if family.name == "Categorical":
            check.categorical_counts(self)
            self.counts = self.arguments["p"].dims[-1]
        check.argument_ranges(self)
        if name is not None:
            check.matrix_dims(current_spec(), self)
            check.argument_dims(self)
            current_spec().add_variable(self)

    @property
    def discrete(self) -> bool:
        """True for Categorical and Bernoulli, the variables that may index; False for continuous ones."""
        return self.family.name in ("Categorical", "Bernoulli")

    def _constant(self, key: str, value: Any) -> Constant:
        """An unnamed array takes the trailing dims of its variable (a covariance, the last dim twice)."""
        array = np.asarray(value)
        if array.ndim == 0:
            return Constant(value)
        if key == "cov" and self.dims:
            d = self.dims[-1]
            return (
                Constant(value, (*self.dims[len(self.dims) - array.ndim + 1 :], f"{d}_bis"))
                if array.ndim <= len(self.dims) + 1
                else Constant(value)
            )
        if self.family.name == "Categorical" or array.ndim > len(self.dims):
            return Constant(value)
        return Constant(value, self.dims[len(self.dims) - array.ndim :])

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

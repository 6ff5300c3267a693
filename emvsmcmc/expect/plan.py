"""The record of how each hidden block of a problem is handled: `planner` makes it once, every expectation uses it.

Rows become v = (1, covariates, Gaussian variables) and table terms; discrete latents become one axis of joint configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, wraps
from math import prod
from typing import Any

import numpy as np

from ..families import Family
from ..families.kinds import MEAN, TAIL, ScaleKind
from ..families.support import whitener
from ..problem.problem import Problem
from ..spec.evaluate import Environment
from ..spec.expression import Expression
from ..spec.named import Named
from ..spec.private_dims import BATCH, configuration_dim
from ..spec.variable import Variable
from ..spec.walk import value_names
from .distinct import Slot
from .layout import Layout
from .store.base import Groups, Store


@dataclass(frozen=True, eq=False)
class Part:
    """One distribution of one row variable: the variable itself, or one branch of a Switch (`on` marks its configurations)."""

    variable: Variable
    distribution: Variable
    on: np.ndarray  # (K,) bool
    elements: tuple[tuple[str, int], ...]  # the variable's dims without the plate, with sizes

    @property
    def size(self) -> int:
        return prod(n for _, n in self.elements)

    @property
    def family(self) -> Family:
        return self.distribution.family

    def argument(self, key: str) -> Expression:
        return self.distribution.arguments[key]

    @cached_property
    def reads(self) -> set[str]:
        """Names that stand in its arguments as values."""
        return set().union(*[value_names(e) for e in self.distribution.arguments.values()])


@dataclass(frozen=True, eq=False)
class ResidualPart(Part):
    """A child with a mean and a scale: `rows` are its residual rows in B (or A), `columns` its place in v, `data` the distinct
    values of the row data in its scale, along a configuration axis.
    """

    rows: slice
    columns: slice
    data: dict[str, Named]

    @cached_property
    def mean(self) -> Expression:
        return self.distribution.argument_of(MEAN)

    @cached_property
    def scale_key(self) -> str:
        """The argument that holds its scale."""
        (key,) = self.distribution.keys_of(ScaleKind)
        return key

    @property
    def scale(self) -> Expression:
        return self.argument(self.scale_key)

    @cached_property
    def scale_kind(self) -> ScaleKind:
        kind = self.family.arguments[self.scale_key].kind
        assert isinstance(kind, ScaleKind)
        return kind


@dataclass(frozen=True, eq=False)
class GaussianPart(ResidualPart):
    """A Normal or MvNormal: its residual rows stand in B."""


@dataclass(frozen=True, eq=False)
class RadialPart(ResidualPart):
    """A StudentT or MvStudentT: its residual rows stand in A, `length` of them a group, and its groups are `groups` of all; their
    constants stand in T from row `offset`.
    """

    groups: slice
    offset: int

    @property
    def length(self) -> int:
        """Rows of a group: numbers in one value."""
        return prod(n for _, n in self.elements[len(self.elements) - self.family.event_dims :])

    @property
    def lead(self) -> tuple[tuple[str, int], ...]:
        """The variable's dims without those of one value: one group for each place in them."""
        return self.elements[: len(self.elements) - self.family.event_dims]

    @cached_property
    def tail(self) -> Expression:
        return self.distribution.argument_of(TAIL)


@dataclass(frozen=True, eq=False)
class Levels:
    """Distinct values of what a group of tables depends on: `size` of them, each a row of every table, from row `offset` of T.

    data : distinct values of covariates, along LEVELS. value : (size,) distinct values of the variable itself, where they are
    what the table is a function of. slot : what they are distinct values of.
    """

    size: int
    offset: int
    data: dict[str, Named]
    value: np.ndarray | None = None
    slot: Slot | None = None


@dataclass(frozen=True, eq=False)
class TablePart(Part):
    """A child with multipliers and tables: `n_tables` of (size, levels) rows each, and one at its values where it has one."""

    n_tables: int
    levels: Levels
    values: Levels | None

    @property
    def offset(self) -> int:
        return self.levels.offset

    @property
    def height(self) -> int:
        """Rows of T, those at its values last."""
        at_values = 0 if self.values is None else self.values.size
        return self.size * (self.n_tables * self.levels.size + at_values)

    def blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        """Its rows (height, ...) of T, or of what is shaped as T, as (tables, size, levels, ...): those of multipliers, then (1,
        size, values, ...) those at values, each where there are any.
        """
        at = self.n_tables * self.size * self.levels.size
        out = []
        if self.n_tables:
            out.append(rows[:at].reshape(self.n_tables, self.size, self.levels.size, *rows.shape[1:]))
        if self.values is not None:
            out.append(rows[at:].reshape(1, self.size, self.values.size, *rows.shape[1:]))
        return out

    @cached_property
    def estimated(self) -> tuple[str, ...]:
        """Its arguments that may hold parameters."""
        return tuple(k for k in self.distribution.arguments if not self.family.arguments[k].fixed)

    @property
    def counted(self) -> str | None:
        """The dim that its value counts."""
        return self.distribution.counts


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a problem that does not depend on parameter values.

    axes : {latent or index: number of values}, the joint configurations in C order. coordinates, slices : layout of v (key
    None, column
    0, is the constant). centre : (d,) subtracted from rows before they are used. store : the rows, wherever they are.
    known : {axis: (n,) the value of every row} of an axis that stands for row data in a scale; no variable has its name.
    """

    problem: Problem
    axes: dict[str, int]
    latents: tuple[Variable, ...]
    coordinates: dict[Any, list[tuple[str, int]]]
    slices: dict[Any, slice]
    centre: np.ndarray
    scale: np.ndarray
    gaussians: tuple[GaussianPart, ...]
    radials: tuple[RadialPart, ...]
    tables: tuple[TablePart, ...]
    store: Store
    known: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def full(self) -> Layout:
        """Every distinct row, nothing collapsed; a sample of them where not all are in memory."""
        return self.store.full

    @property
    def layout(self) -> Layout:
        """The rows in memory that a pass reads, and what is collapsed of all."""
        return self.store.layout

    @property
    def inverse(self) -> np.ndarray:
        """(n,) the row of `full` of each row of the problem."""
        return self.store.inverse

    @property
    def pattern(self) -> np.ndarray:
        """(n,) the pattern of each row of the problem."""
        return self.full.pattern[self.inverse]

    @property
    def sample(self) -> Plan:
        """The plan of rows in memory to start from and to tell labels by: of all of them where they are there."""
        return self if self.store.sample is self.store else self._sample

    @cached_property
    def _sample(self) -> Plan:
        return replace(self, store=self.store.sample)

    def map_rows(self, function: Callable[[Plan], Groups]) -> Groups:
        """`function(plan of some rows)` over all rows: see `Store.map_rows`."""
        return self.store.map_rows(function, self.sample)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Dims of the configuration axes."""
        return tuple(configuration_dim(a) for a in self.axes)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.axes.values())

    @cached_property
    def K(self) -> int:
        return prod(self.shape)

    @property
    def d(self) -> int:
        return len(self.centre)

    @cached_property
    def R(self) -> int:
        return sum(p.size for p in self.gaussians)

    @cached_property
    def radial_on(self) -> np.ndarray:
        """(K, g) bool: the configurations in which each group of radial rows counts."""
        rows = [np.repeat(p.on[:, None], p.groups.stop - p.groups.start, axis=1) for p in self.radials]
        return np.concatenate(rows, axis=1) if rows else np.zeros((self.K, 0), dtype=bool)

    @cached_property
    def radial_tables(self) -> np.ndarray:
        """(g,) the row of T with the constant of each group of radial rows."""
        rows = [p.offset + np.arange(p.groups.stop - p.groups.start) for p in self.radials]
        return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)

    @cached_property
    def parameters(self) -> list[Variable]:
        return self.problem.parameters

    @cached_property
    def residual_parts(self) -> tuple[ResidualPart, ...]:
        """The parts that have means."""
        return (*self.gaussians, *self.radials)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return (*self.gaussians, *self.radials, *self.tables)

    def environment(self, values: dict[str, np.ndarray]) -> Environment:
        """Parameter values as arrays in declared shape -> Environment with fixed parameters and whiteners of covariances."""
        named = {v.label: Named(np.asarray(values[v.label], dtype=float), v.dims) for v in self.parameters}
        return whitened(self, Environment({**self.problem.fixed, **named}))

    def spread(
        self, x: Named, elements: Sequence[tuple[str, int]] = (), extra: Sequence[tuple[str, int]] = (), xp: Any = np
    ) -> Any:
        """(K, elements, *extra[, batch]): a named array over all configurations and the child's elements."""
        dims = [*self.names, *[d for d, _ in elements], *[d for d, _ in extra]]
        shape = [*self.shape, *[n for _, n in elements], *[n for _, n in extra]]
        m = prod(n for _, n in elements)
        final = [self.K, m, *[n for _, n in extra]]
        if BATCH in x.dims:
            size = x.array.shape[x.dims.index(BATCH)]
            dims, shape, final = [*dims, BATCH], [*shape, size], [*final, size]
        array = xp.broadcast_to(x.to(dims), tuple(shape))
        return array.reshape(tuple(final))

    @cached_property
    def _answers(self) -> dict[Callable[[Plan], Any], Any]:
        return {}

    def answer[T](self, function: Callable[[Plan], T]) -> T:
        """function(self), worked out when first asked for."""
        if function not in self._answers:
            self._answers[function] = function(self)
        value: T = self._answers[function]
        return value

    def configurations(self, latent: str) -> np.ndarray:
        """(K,) value that one latent takes in every joint configuration."""
        axis = list(self.axes).index(latent)
        return np.indices(self.shape)[axis].ravel() if self.axes else np.zeros(1, dtype=int)

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # what was worked out can be worked out again


def kept[T](function: Callable[[Plan], T]) -> Callable[[Plan], T]:
    """A function of a plan that is worked out once for each plan, which keeps the answer."""

    @wraps(function)
    def ask(plan: Plan) -> T:
        return plan.answer(function)

    return ask


def whitened(plan: Plan, env: Environment) -> Environment:
    """The environment with the whitener of every covariance parameter, estimated or fixed."""
    whiteners = {}
    for v in plan.problem.spec.variables.values():
        if v.label in env.values and v.family.matrix:
            value = env.values[v.label]
            whiteners[v.label] = Named(whitener(value.array), value.dims)
    return env.having(whiteners=whiteners)

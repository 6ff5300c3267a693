"""How each hidden block of a problem is handled: made once, used by every expectation. The only place that refuses a model.

Rows become v = (1, covariates, Gaussian variables) and table terms; discrete latents become one axis of joint configurations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NotInMemory
from ..families import GaussianFamily, LevelFamily, RadialFamily, TableFamily
from ..problem.chunked import ChunkedProblem
from ..problem.problem import Problem
from ..spec.expression import Expression, Index
from ..spec.graph import Environment, covariate_expressions, index_names, value_of, walk
from ..spec.named import Named
from ..spec.variable import Switch, Variable
from . import refuse
from .layout import Conventions, Layout
from .scales import DISTINCT, scale_levels

if TYPE_CHECKING:
    from .store.chunks import Chunks

BATCH = "#"  # trailing dim of all derivatives in one evaluation
LEVELS = "%"  # distinct values of the row data that a slot depends on


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

    def argument(self, key: str) -> Expression:
        return self.distribution.arguments[key]


@dataclass(frozen=True, eq=False)
class ResidualPart(Part):
    """A child with a mean and a scale: `rows` are its residual rows in B (or A), `columns` its place in v, `data` the distinct
    values of the row data in its scale, along a configuration axis.
    """

    rows: slice
    columns: slice
    data: dict[str, Named]

    @property
    def scale_slot(self) -> str:
        return next(k for k in ("sigma", "variance", "cov") if k in self.distribution.arguments)


@dataclass(frozen=True, eq=False)
class GaussianPart(ResidualPart):
    """A Normal or MvNormal: its residual rows stand in B."""


@dataclass(frozen=True, eq=False)
class RadialPart(ResidualPart):
    """A StudentT: its residual rows stand in A, the constants of its elements in T from row `offset`."""

    offset: int


@dataclass(frozen=True, eq=False)
class TablePart(Part):
    """A child with multipliers: n_tables tables of (size, levels) rows each, from row `offset` of T."""

    slot: str
    n_tables: int
    levels: int
    data: dict[str, Named]  # distinct values of the slot's row data, along LEVELS
    offset: int

    @property
    def height(self) -> int:
        return self.n_tables * self.size * self.levels


@dataclass(frozen=True, eq=False)
class LevelPart(Part):
    """A child whose value is the level: (size, levels) rows from row `offset` of T."""

    levels: int
    counted: str | None  # dim of p that the value counts; None for Bernoulli and Dirac
    offset: int

    @property
    def height(self) -> int:
        return self.size * self.levels


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a problem that does not depend on parameter values.

    axes : {latent or index: number of values}, the joint configurations in C order. coordinates, slices : layout of v (key
    None, column
    0, is the constant). centre : (d,) subtracted from rows before they are used. inverse : original row -> row of `full`.
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
    levels: tuple[LevelPart, ...]
    full: Layout  # every distinct row, nothing collapsed
    layout: Layout  # what the iteration reads
    inverse: np.ndarray
    chunks: Chunks | None = None  # the rows that are not in `layout`: `full` is then a sample, `layout` what is collapsed of all
    known: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Dims of the configuration axes."""
        return tuple(f"@{a}" for a in self.axes)

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
        """(K, t) bool: the configurations in which each radial row counts."""
        rows = [np.repeat(p.on[:, None], p.size, axis=1) for p in self.radials]
        return np.concatenate(rows, axis=1) if rows else np.zeros((self.K, 0), dtype=bool)

    @cached_property
    def radial_tables(self) -> np.ndarray:
        """(t,) the row of T with the constant of each radial row."""
        rows = [np.arange(p.offset, p.offset + p.size) for p in self.radials]
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
        return (*self.gaussians, *self.radials, *self.tables, *self.levels)

    def environment(self, values: dict[str, np.ndarray]) -> Environment:
        """Parameter values as arrays in declared shape -> Environment with fixed parameters and whiteners of covariances."""
        from .coefficients import whitened

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

    def configurations(self, latent: str) -> np.ndarray:
        """(K,) value that one latent takes in every joint configuration."""
        axis = list(self.axes).index(latent)
        return np.indices(self.shape)[axis].ravel() if self.axes else np.zeros(1, dtype=int)


def make_plan(problem: Problem, conventions: Conventions | None = None) -> Plan:
    """Plan a problem. conventions : shared with other rows, whose statistics are added to those of these.

    Raises NotInMemory for rows in chunks (`chunks.plan_rows` takes those too), and UnsupportedModel, NotAffine or
    TooManyConfigurations, each naming the variable, the reason and what to do.
    """
    if isinstance(problem, ChunkedProblem):
        raise NotInMemory.rows("what was asked")
    refuse.no_problem(problem)
    from .rowdata import RowBuilder

    spec = problem.spec
    plate = refuse.one_plate(problem)
    refuse.priors(problem)
    variables = problem.row_variables
    indices = {n for v in variables for n in _indexing(v)}
    latents = [
        v for v in variables if v.discrete and (v.label in indices or v.label not in problem.given or v.label in problem.evidence)
    ]
    for v in latents:
        refuse.assignment_dims(v, plate)
    axes = {v.label: problem.levels(v) for v in latents}
    for name in sorted(indices - set(axes)):
        refuse.index_dims(spec.data[name], plate)
        axes[name] = int(np.nanmax(problem.given[name].array)) + 1
    _check_index_lengths(problem, axes)
    refuse.too_many(axes)
    scales = scale_levels(problem, plate, conventions)
    for name, codes in scales.codes.items():
        axes[name] = scales.size
        refuse.known_scale(axes, name, name.removeprefix(DISTINCT), len(codes))
    shape = tuple(axes.values())
    K = prod(shape)

    residual = [v for v in variables if any(isinstance(b.family, GaussianFamily | RadialFamily) for b in _distributions(v))]
    coordinates, slices, at = {}, {}, 1
    for key, own in _row_coordinates(problem, residual, plate):
        coordinates[key] = own
        size = prod(n for _, n in own)
        slices[key] = slice(at, at + size)
        at += size

    builder = RowBuilder(problem, plate, axes, coordinates, slices, at, conventions, scales.codes)
    gaussians: list[GaussianPart] = []
    radials: list[RadialPart] = []
    tables: list[TablePart] = []
    levels: list[LevelPart] = []
    for v in variables:
        if v in latents:
            refuse.probabilities(v, problem, coordinates)
            continue
        elements = tuple((d, problem.sizes[d]) for d in v.dims if d != plate)
        for on, distribution in _branches(v, axes, K):
            family = distribution.family
            if isinstance(family, GaussianFamily):
                refuse.residual(problem, v, distribution, coordinates)
                gaussians.append(
                    GaussianPart(v, distribution, on, elements, _next(gaussians, elements), slices[v.label], scales.data)
                )
            elif isinstance(family, RadialFamily) and v.label in problem.given:
                refuse.residual(problem, v, distribution, coordinates)
                rows, offset = _next(radials, elements), builder.radial(v, distribution, elements)
                radials.append(RadialPart(v, distribution, on, elements, rows, slices[v.label], scales.data, offset))
            elif v.label not in problem.given:
                refuse.hidden(v)
            elif isinstance(family, TableFamily):
                refuse.tabled(v, distribution, problem)
                tables.append(builder.table(v, distribution, on, elements))
            elif isinstance(family, LevelFamily):
                refuse.tabled(v, distribution, problem)
                levels.append(builder.level(v, distribution, on, elements))
            else:
                refuse.not_a_child(v, distribution)
    refuse.switch_holes(problem, gaussians, tables, levels)
    refuse.radial_holes(problem, gaussians, radials)
    refuse.joint_affinity(problem, [*gaussians, *radials])
    full, layout, inverse = builder.layouts()
    return Plan(
        problem, axes, tuple(latents), coordinates, slices, builder.centre, builder.scale,
        tuple(gaussians), tuple(radials), tuple(tables), tuple(levels), full, layout, inverse,
        known=scales.codes,
    )  # fmt: skip


def _next(parts: Sequence[ResidualPart], elements: tuple[tuple[str, int], ...]) -> slice:
    """The rows after those of the parts so far."""
    start = parts[-1].rows.stop if parts else 0
    return slice(start, start + prod(n for _, n in elements))


def _indexing(variable: Variable) -> set[str]:
    """Names that index anything in the variable's distribution."""
    found = set().union(*[index_names(c) for c in variable.children], set())
    if isinstance(variable, Switch):
        found.add(variable.index.label)
    return found


def _distributions(variable: Variable) -> tuple[Variable, ...]:
    return variable.branches if isinstance(variable, Switch) else (variable,)


def _branches(variable: Variable, axes: dict[str, int], K: int) -> list[tuple[np.ndarray, Variable]]:
    if not isinstance(variable, Switch):
        return [(np.ones(K, dtype=bool), variable)]
    name = variable.index.label
    refuse.branch_count(variable, axes[name])
    value = np.indices(tuple(axes.values()))[list(axes).index(name)].ravel()
    return [(value == b, branch) for b, branch in enumerate(variable.branches)]


def _row_coordinates(problem: Problem, residual: list[Variable], plate: str) -> list[tuple[Any, list[tuple[str, int]]]]:
    """Columns of v after the constant: covariate expressions of means, then the variables that have means."""
    keys: dict[Any, list[tuple[str, int]]] = {}
    for v in residual:
        for distribution in _distributions(v):
            if "mu" not in distribution.arguments:
                continue
            for e in covariate_expressions(distribution.arguments["mu"]):
                key = e.name if e.name is not None else e
                keys[key] = [(d, problem.sizes[d]) for d in e.dims if d != plate]
    return [*keys.items(), *[(v.label, [(d, problem.sizes[d]) for d in v.dims if d != plate]) for v in residual]]


def _check_index_lengths(problem: Problem, axes: dict[str, int]) -> None:
    """Every indexed axis is as long as its index counts; an integer covariate may count fewer, and then takes the axis'
    length.
    """
    env = Environment(problem.fixed)
    for v in problem.row_variables:
        for child in v.children:
            for e in walk(child):
                if not isinstance(e, Index):
                    continue
                for dim, i in zip(e.base.dims, e.index, strict=False):
                    size = problem.sizes.get(dim) or value_of(e.base, env).sizes[dim]
                    if i.name in axes:
                        axes[i.name] = refuse.index_length(v, i, axes[i.name], size, dim)

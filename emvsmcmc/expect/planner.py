"""Problem -> Plan: which latent is an axis, which variable a residual, which a table. The only place that refuses a model."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..families import GaussianFamily, RadialFamily, TableFamily, ValueFamily
from ..families.kinds import MEAN
from ..problem.chunked import AnyProblem, in_memory
from ..problem.problem import Problem
from ..spec.evaluate import Environment, value_of
from ..spec.expression import Index
from ..spec.private_dims import DISTINCT
from ..spec.variable import Switch, Variable
from ..spec.walk import covariate_expressions, index_names, walk
from . import refuse
from .distinct import scale_levels
from .layout import Conventions
from .plan import GaussianPart, Plan, RadialPart, ResidualPart, TablePart
from .rowdata import RowBuilder
from .store.memory import Memory


def make_plan(problem: AnyProblem, conventions: Conventions | None = None) -> Plan:
    """Plan a problem. conventions : shared with other rows, whose statistics are added to those of these.

    Raises NotInMemory for rows in chunks (`chunks.plan_rows` takes those too), and UnsupportedModel, NotAffine or
    TooManyConfigurations, each naming the variable, the reason and what to do.
    """
    problem = in_memory(problem, "what was asked")
    refuse.no_problem(problem)
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

    residual = [v for v in variables if any(isinstance(b.family, GaussianFamily | RadialFamily) for b in v.branches)]
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
    for v in variables:
        if v in latents:
            refuse.probabilities(v, problem, coordinates)
            continue
        elements = tuple((d, problem.sizes[d]) for d in v.dims if d != plate)
        for on, distribution in _configurations(v, axes, K):
            family = distribution.family
            if isinstance(family, GaussianFamily):
                refuse.residual(problem, v, distribution, coordinates)
                gaussians.append(
                    GaussianPart(v, distribution, on, elements, _next(gaussians, elements), slices[v.label], scales.data)
                )
            elif isinstance(family, RadialFamily) and v.label in problem.given:
                refuse.residual(problem, v, distribution, coordinates)
                rows = _next(radials, elements)
                groups, offset = builder.radial(v, distribution, elements)
                radials.append(RadialPart(v, distribution, on, elements, rows, slices[v.label], scales.data, groups, offset))
            elif v.label not in problem.given:
                refuse.hidden(v)
            elif isinstance(family, TableFamily | ValueFamily):
                refuse.tabled(v, distribution, problem)
                tables.append(builder.table(v, distribution, on, elements))
            else:
                refuse.not_a_child(v, distribution)
    refuse.switch_holes(problem, gaussians)
    refuse.radial_holes(problem, gaussians, radials)
    refuse.joint_affinity(problem, [*gaussians, *radials])
    full, layout, inverse = builder.layouts()
    covariates = [c for key, where in slices.items() if key not in spec.variables for c in range(where.start, where.stop)]
    children = tuple(v for v in variables if v not in latents)
    store = Memory(full, layout, inverse, builder.centre, tuple(covariates), problem, children)
    return Plan(
        problem, axes, tuple(latents), coordinates, slices, builder.centre, builder.scale,
        tuple(gaussians), tuple(radials), tuple(tables), store,
        known=scales.codes,
    )  # fmt: skip


def _next(parts: Sequence[ResidualPart], elements: tuple[tuple[str, int], ...]) -> slice:
    """The rows after those of the parts so far."""
    start = parts[-1].rows.stop if parts else 0
    return slice(start, start + prod(n for _, n in elements))


def _indexing(variable: Variable) -> set[str]:
    """Names that index anything in the variable's distribution."""
    names = set().union(*[index_names(c) for c in variable.children], set())
    if isinstance(variable, Switch):
        names.add(variable.index.label)
    return names


def _configurations(variable: Variable, axes: dict[str, int], K: int) -> list[tuple[np.ndarray, Variable]]:
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
        for distribution in v.branches:
            if not distribution.has(MEAN):
                continue
            for e in covariate_expressions(distribution.argument_of(MEAN)):
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

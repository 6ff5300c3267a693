"""Distinct values of row data: of known scales they become an axis of configurations, of what a table depends on its rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..families.kinds import ScaleKind
from ..problem.branches import inside_cells
from ..problem.problem import Problem
from ..spec.named import Named
from ..spec.private_dims import DISTINCT, configuration_dim
from ..spec.walk import value_names
from .layout import Conventions


@dataclass(frozen=True)
class ScaleLevels:
    """Row data in scales. A row's residual is divided by a number of its own, so the distinct values become an axis of
    configurations, of which every row allows the one that holds its own value: all that is exact for a scale looked up by a
    label is so for a known one.

    codes : {axis: (n,) level of every row}, empty without such data. size : levels. data : distinct values along the axis.
    """

    codes: dict[str, np.ndarray] = field(default_factory=dict)
    size: int = 1
    data: dict[str, Named] = field(default_factory=dict)


def scale_levels(problem: Problem, plate: str, conventions: Conventions | None) -> ScaleLevels:
    """The distinct joint values of all covariates in scales. One axis for them all, since a row knows them all."""
    names = scale_names(problem)
    if not names:
        return ScaleLevels()
    axis = f"{DISTINCT}{', '.join(names)}"
    scales = distinct(Slot(tuple(names)), problem, plate, conventions, configuration_dim(axis))
    return ScaleLevels({axis: scales.codes}, scales.size, scales.data)


def scale_names(problem: Problem) -> list[str]:
    """The covariates in scales."""
    names: set[str] = set()
    for v in problem.row_variables:
        for distribution in v.branches:
            for key in distribution.keys_of(ScaleKind):
                names |= value_names(distribution.arguments[key]) & set(problem.covariates)
    return sorted(names)


@dataclass(frozen=True)
class Slot:
    """What some tables depend on, row by row: covariates and, where `variable` is named, its own value in one of its branches."""

    names: tuple[str, ...]
    variable: str | None = None
    branch: int = 0

    def values(self, problem: Problem, plate: str) -> np.ndarray:
        """(n, cells, columns) what is told apart: the value (NaN where there is none), then the covariates."""
        blocks = []
        for k in self.names:  # what has no rows of its own (trials by cell) is the same in all of them
            x = problem.given[k].to((plate, *_own(problem, k, plate)))
            blocks.append(np.broadcast_to(x, (problem.n, *x.shape[1:])).reshape(problem.n, 1, -1))
        if self.variable is None:
            return np.concatenate(blocks, axis=2)
        x = given_inside(problem, plate, self.variable, self.branch)
        wide = [np.broadcast_to(b, (*x.shape, b.shape[2])) for b in blocks]
        return np.concatenate([x[:, :, None], *wide], axis=2)

    def levels(self, problem: Problem, plate: str) -> np.ndarray:
        """(levels, columns) the distinct ones, in order."""
        rows = _rows(self.values(problem, plate))
        return np.unique(rows[~np.isnan(rows).any(axis=1)], axis=0)


@dataclass(frozen=True)
class Distinct:
    """codes : level of every row, (n,), or of every cell, (n, cells), 0 where there is no value. size : levels. data :
    {covariate: distinct values along a dim}. value : (size,) the variable's own, where a slot has one.
    """

    codes: np.ndarray
    size: int
    data: dict[str, Named]
    value: np.ndarray | None


def distinct(slot: Slot, problem: Problem, plate: str, conventions: Conventions | None, dim: str) -> Distinct:
    """The distinct values of a slot along `dim`; those that rows elsewhere have as well, where `conventions` tell them."""
    values = slot.values(problem, plate)
    rows = _rows(values)
    hole = np.isnan(rows).any(axis=1)
    levels = slot.levels(problem, plate) if conventions is None else conventions.levels[slot]
    levels = levels if len(levels) else np.zeros((1, rows.shape[1]))  # a table has a row, though nothing reads it
    codes = np.zeros(len(rows), dtype=np.int64)
    codes[~hole] = np.unique(np.vstack([levels, rows[~hole]]), axis=0, return_inverse=True)[1].ravel()[len(levels) :]
    at = 0 if slot.variable is None else 1
    data = {}
    for k in slot.names:
        own = _own(problem, k, plate)
        sizes = [problem.sizes[d] for d in own]
        width = int(np.prod(sizes, dtype=int))
        data[k] = Named(levels[:, at : at + width].reshape(len(levels), *sizes), (dim, *own))
        at += width
    shape = values.shape[:1] if slot.variable is None else values.shape[:2]
    return Distinct(codes.reshape(shape), len(levels), data, None if slot.variable is None else levels[:, 0])


def given_inside(problem: Problem, plate: str, name: str, branch: int = 0) -> np.ndarray:
    """(n, cells) given values of one branch of a variable; holes where a branch of a Switch has neither mass nor density, since
    its configurations are ruled out there.
    """
    variable = problem.spec.variables[name]
    x = problem.given[name].to((plate, *[d for d in variable.dims if d != plate])).reshape(problem.n, -1)
    if len(variable.branches) == 1:
        return x
    return np.where(inside_cells(problem, variable, variable.branches[branch]), x, np.nan)


def _own(problem: Problem, name: str, plate: str) -> tuple[str, ...]:
    return tuple(d for d in problem.given[name].dims if d != plate)


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[2])

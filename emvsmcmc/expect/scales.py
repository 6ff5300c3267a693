"""Known scales of rows: the distinct values of row data become an axis of configurations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..problem.problem import Problem
from ..spec.named import Named
from ..spec.variable import Switch
from ..spec.walk import value_names
from .layout import Conventions

SCALES = ("sigma", "variance")
DISTINCT = "distinct "  # starts the name of their axis, which no variable can have: it holds a space


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
    codes, size, data = distinct_values(problem, plate, names, conventions, f"@{axis}")
    return ScaleLevels({axis: codes}, size, data)


def scale_names(problem: Problem) -> list[str]:
    """The covariates in scales."""
    names: set[str] = set()
    for v in problem.row_variables:
        for distribution in v.branches if isinstance(v, Switch) else (v,):
            for slot in SCALES:
                if slot in distribution.arguments:
                    names |= value_names(distribution.arguments[slot]) & set(problem.covariates)
    return sorted(names)


def distinct_values(
    problem: Problem, plate: str, names: list[str], conventions: Conventions | None, dim: str
) -> tuple[np.ndarray, int, dict[str, Named]]:
    """(level of every row, levels, {covariate: distinct values along `dim`}) of some covariates, jointly."""
    own = {k: tuple(d for d in problem.given[k].dims if d != plate) for k in names}
    blocks = [problem.given[k].to((plate, *own[k])).reshape(problem.n, -1) for k in names]
    if conventions is None:
        distinct, codes = np.unique(np.hstack(blocks), axis=0, return_inverse=True)
    else:
        distinct = conventions.levels[tuple(names)]
        codes = np.unique(np.vstack([distinct, np.hstack(blocks)]), axis=0, return_inverse=True)[1].ravel()[len(distinct) :]
    data, at = {}, 0
    for k, block in zip(names, blocks, strict=True):
        sizes = [problem.sizes[d] for d in own[k]]
        data[k] = Named(distinct[:, at : at + block.shape[1]].reshape(len(distinct), *sizes), (dim, *own[k]))
        at += block.shape[1]
    return codes.ravel(), len(distinct), data

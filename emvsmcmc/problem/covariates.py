"""Holes in covariates: refused where something given depends on them, and without a meaning everywhere else.

A covariate has no distribution that could fill it. Where all that it enters is a hole as well, the likelihood does not read it:
the marginal of a cell that is not given integrates to one whatever its mean is. Such a cell holds a value of its own column
instead (any would do), and whatever is said about a variable that depends on it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import CovariateHole, MissingData
from ..spec.arguments import parents
from ..spec.named import Named
from ..spec.roles import indexing_names
from ..spec.variable import Variable
from .labels import hint
from .problem import Problem
from .read import place

REFUSED = "Leave out those rows, or declare it as a variable with a distribution."


def without_holes(problem: Problem, columns: list[str]) -> Problem:
    """The problem with every covariate whole, and `unknown` saying which cells of which were not.

    Raises MissingData for a covariate that is not given, and CovariateHole for a hole on which something given depends.
    """
    given, unknown = dict(problem.given), {}
    for name in problem.spec.data:
        if name not in problem.given:
            raise MissingData(
                name,
                "values for this covariate: it has no distribution that could fill it",
                "nothing",
                hint(name, columns) if columns else "Pass it.",
            )
        value = problem.given[name]
        hole = np.isnan(value.array)
        if not hole.any():
            continue
        bad = hole & _needed(problem, name)
        if bad.any():
            where = place(hole.shape, int(np.flatnonzero(bad)[0]))
            raise CovariateHole(name, "a value in every cell of a covariate", f"a hole in {where}", REFUSED)
        unknown[name] = Named(hole, value.dims)
        given[name] = Named(_filled(problem, name, value, hole), value.dims)
    return replace(problem, given=given, unknown=unknown) if unknown else problem


def undetermined(problem: Problem, variable: Variable) -> np.ndarray:
    """Cells of a row variable, in its dims, whose distribution reads a covariate that is not known there, itself or through
    another variable that is hidden there.
    """
    out = np.zeros(problem.shape(variable), dtype=bool)
    if not problem.unknown:
        return out
    for name in sorted(parents(variable)):
        parent = problem.spec.variables.get(name)
        if name in problem.unknown:
            mask = problem.unknown[name]
        elif parent is not None and problem.spec.plates_of(parent):
            mask = Named(undetermined(problem, parent), parent.dims)
        else:
            continue
        out |= _onto(mask, variable.dims, out.shape)
    return out & ~_known(problem, variable)


def determined(problem: Problem, variable: Variable, dims: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Values (..., *dims) of a row variable, dims in any order, NaN where it is `undetermined`."""
    mask = undetermined(problem, variable)
    return np.where(Named(mask, variable.dims).to(dims), np.nan, values) if mask.any() else values


def as_given(problem: Problem) -> dict[str, Named]:
    """The covariates with the holes that they came with."""
    masks = problem.unknown
    return {
        k: Named(np.where(masks[k].array, np.nan, x.array), x.dims) if k in masks else x for k, x in problem.covariates.items()
    }


def holes(problem: Problem) -> dict[str, int]:
    """{covariate: how many of its values are missing where nothing reads them}."""
    return {name: int(mask.array.sum()) for name, mask in problem.unknown.items()}


def notes(counts: Mapping[str, int]) -> list[str]:
    """Which holes of covariates were let pass, and why."""
    return [
        f"{name}: {count} of its values {'is' if count == 1 else 'are'} missing where nothing that depends on it is given; "
        "nothing is said there about the parameters, nor predicted."
        for name, count in counts.items()
    ]


def whole(problem: Problem) -> None:
    """Every covariate is known everywhere, as a simulation needs it. Raises CovariateHole."""
    for name, mask in problem.unknown.items():
        where = place(mask.array.shape, int(np.flatnonzero(mask.array)[0]))
        raise CovariateHole(name, "a value in every cell of a covariate", f"a hole in {where}", REFUSED)


def _known(problem: Problem, variable: Variable) -> np.ndarray:
    """Cells of a variable that the data give or say something about."""
    out = np.zeros(problem.shape(variable), dtype=bool)
    if variable.label in problem.given:
        out |= np.isfinite(problem.given[variable.label].array)
    if variable.label in problem.evidence:
        evidence = problem.evidence[variable.label]
        log = evidence.to((*variable.dims, evidence.dims[-1]))
        out |= (log != log[..., :1]).any(axis=-1)
    return out


def _needed(problem: Problem, name: str) -> np.ndarray:
    """Cells of a covariate that something given depends on, itself or through what is hidden."""
    dims = problem.given[name].dims
    out = np.zeros(problem.given[name].array.shape, dtype=bool)
    for variable in problem.spec.variables.values():
        if name in parents(variable):
            heard = (
                heard_cells(problem, variable)
                if problem.spec.plates_of(variable)
                else np.ones(problem.shape(variable), dtype=bool)
            )
            out |= _onto(Named(heard, variable.dims), dims, out.shape)
    return out


def heard_cells(problem: Problem, variable: Variable) -> np.ndarray:
    """Cells of a row variable that are given, or on which something given depends."""
    out = _known(problem, variable)
    for other in problem.row_variables:
        if variable.label in parents(other):
            out |= _onto(Named(heard_cells(problem, other), other.dims), variable.dims, out.shape)
    return out


def _onto(mask: Named, dims: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    """A mask in other dims: any of those that are summed away, all of those that are new."""
    gone = tuple(i for i, d in enumerate(mask.dims) if d not in dims)
    kept = Named(mask.array.any(axis=gone), tuple(d for d in mask.dims if d in dims))
    return np.broadcast_to(kept.to(dims), shape)


def _filled(problem: Problem, name: str, value: Named, hole: np.ndarray) -> np.ndarray:
    """Holes hold the value of their own column nearest to its mean, so that columns that are alike stay alike; 1 in a piece of
    the rows without any, and 0 for a position.
    """
    rows = [i for i, d in enumerate(value.dims) if problem.spec.is_plate(d)]
    first = np.moveaxis(value.array, rows[0], 0) if rows else value.array
    columns = first.reshape(len(first), -1).copy()
    for column in columns.T:
        there = column[np.isfinite(column)]
        nearest = there[np.abs(there - there.mean()).argmin()] if len(there) else float(name not in indexing_names(problem.spec))
        column[np.isnan(column)] = nearest
    back = columns.reshape(first.shape)
    return np.moveaxis(back, 0, rows[0]) if rows else back

"""Do several problems describe the same data? Only then can their likelihoods, and what is made of them, be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256

import numpy as np

from ...errors import DifferentData
from ...problem.problem import Problem
from ...spec.variable import Variable

REMEDY = "Criteria of different data cannot be compared: give every model the same rows and the same observed cells."


def check_alike(problems: Mapping[str, Problem]) -> None:
    """Every problem has the rows, the row weights and the observed cells of the first one, under whatever names.

    A cell is observed where its value enters the likelihood as an outcome: a covariate is none, a label of a class is one.
    Raises DifferentData, naming model and column.
    """
    (first, reference), *others = problems.items()
    wanted = _columns(reference)
    for name, problem in others:
        if problem.n != reference.n:
            raise DifferentData(f"model {name!r}", f"the {reference.n} rows of model {first!r}", f"{problem.n} rows", REMEDY)
        if not np.array_equal(problem.weights, reference.weights):
            raise DifferentData(f"model {name!r}", f"the row weights of model {first!r}", "other weights", REMEDY)
        columns = _columns(problem)
        missing, extra = _names(wanted, columns), _names(columns, wanted)
        if missing:
            got = f"other values of {missing[0]}" if missing[0] in extra else f"none of the values of {missing[0]}"
            raise DifferentData(f"model {name!r}", f"the observed cells of model {first!r}", got, REMEDY)
        if extra:
            raise DifferentData(f"model {name!r}", f"the observed cells of model {first!r}", f"also {extra[0]}", REMEDY)


def _names(ours: list[tuple[bytes, str]], theirs: list[tuple[bytes, str]]) -> list[str]:
    """Names of our columns that they do not have, a column that occurs twice being two."""
    left = Counter(key for key, _ in theirs)
    out = []
    for key, name in ours:
        if left[key] <= 0:
            out.append(name)
        left[key] -= 1
    return out


def _columns(problem: Problem) -> list[tuple[bytes, str]]:
    """(fingerprint of the values, name) of every column with an observed cell."""
    plate = problem.plate
    out = []
    for v in problem.row_variables:
        if v.label in problem.given:
            dims = [d for d in v.dims if d != plate]
            values = problem.given[v.label].to((plate, *dims))
            for at in np.ndindex(*values.shape[1:]):
                column = values[(slice(None), *at)]
                if not np.isnan(column).all():
                    out.append((_fingerprint(_labelled(problem, v, column)), problem.entry(v.label, dims, at)))
        if v.label in problem.evidence:
            log = problem.evidence[v.label].array
            out += [(_fingerprint(x), f"soft labels of {v.label}") for x in np.moveaxis(log, -1, 0)]
    return out


def _labelled(problem: Problem, variable: Variable, column: np.ndarray) -> np.ndarray | list[str]:
    """Codes as the labels they stand for: two models may count the same labels in another order."""
    if not variable.discrete:
        return column
    labels = problem.level_labels(variable)
    if labels == list(range(len(labels))):
        return column
    return [str(labels[int(x)]) if x == x else "" for x in column]


def _fingerprint(values: np.ndarray | list[str]) -> bytes:
    if isinstance(values, list):
        return sha256("\x1f".join(values).encode()).digest()
    plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    return sha256(np.ascontiguousarray(plain).tobytes()).digest()

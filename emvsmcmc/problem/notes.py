"""What conditioning tells about data: classes without a labelled row, rows without a value, weights that sum to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..families.kinds import COVARIANCE
from ..spec.model import Spec
from ..spec.roles import indexing_names
from ..spec.variable import Variable
from ..spec.walk import names_in
from ..words import labelled
from . import covariates
from .branches import atom_notes, atom_rows
from .labels import plain
from .problem import Problem

PAIRS_ROWS = 65_536
MAX_LISTED = 10  # rows that a note names
ONE = 1e-6  # from 1, of a sum of weights that were normalised, perhaps in single precision or read from text


def notes(problem: Problem) -> list[str]:
    """What is allowed, and worth knowing before a fit: classes without a labelled row, rows without a value."""
    if not problem.parameters or len(problem.plates) != 1:
        return []
    silent = problem.silent
    counted = int((problem.weights > 0).sum())
    return [
        *atom_notes(problem.spec, atom_rows(problem), problem.n),
        *class_notes(problem),
        *together_notes(problem.spec, together(problem), problem.labels),
        *covariates.notes(covariates.holes(problem)),
        *silent_note(silent[:MAX_LISTED].tolist(), len(silent)),
        *weights_note(float(problem.weights.sum()), counted),
    ]


def class_notes(problem: Problem, open_rows: Mapping[str, int] | None = None) -> list[str]:
    """Classes without a labelled row. open_rows : {variable: rows without a label}, where these rows are only some of them."""
    indices = indexing_names(problem.spec)
    labelled = [v for v in problem.row_variables if v.discrete and v.label in indices]
    return [
        note for v in labelled for note in _classes_without_label(problem, v, None if open_rows is None else open_rows[v.label])
    ]


def labelled_rows(problem: Problem, name: str) -> np.ndarray:
    """(n,) whether anything is known about a row's value of a discrete variable."""
    if name in problem.given:
        return np.isfinite(problem.given[name].array).reshape(problem.n, -1)[:, 0]
    if name in problem.evidence:
        log = problem.evidence[name].array.reshape(problem.n, -1)
        return (log != log[:, :1]).any(axis=1)
    return np.zeros(problem.n, dtype=bool)


def _classes_without_label(problem: Problem, variable: Variable, open_rows: int | None = None) -> list[str]:
    """Classes that no labelled row belongs to, nor, with set-valued labels, may belong to."""
    name, levels = variable.label, np.arange(problem.levels(variable))
    known = np.zeros((problem.n, 1), dtype=bool)
    if name in problem.given:
        code = problem.given[name].array.reshape(problem.n, -1)
        known, may = np.isfinite(code), code == levels
    elif name in problem.evidence:
        log = problem.evidence[name].array.reshape(problem.n, -1)
        known, may = (log != log[:, :1]).any(axis=1, keepdims=True), np.isfinite(log)
    counted = problem.weights > 0
    if known.shape[1] != 1 or not (known[:, 0] & counted).any():
        return []
    if open_rows is None:
        open_rows = int((counted & ~known[:, 0]).sum())
    labels = problem.level_labels(variable)
    without = [repr(plain(labels[k])) for k in np.flatnonzero(~(may & known)[counted].any(axis=0))]
    if not without:
        return []
    subject = " or ".join(without)
    if open_rows:
        return [f"{name}: no row is labelled {subject}; {open_rows} without a label may belong to it."]
    return [f"{name}: every row is labelled, and none {subject}: only a prior can say what that class is like."]


def together(problem: Problem) -> dict[str, np.ndarray]:
    """{covariance parameter: (d, d) whether some row that counts says something of both columns}."""
    plate = problem.plate
    estimated = {p.label for p in problem.parameters if p.family.matrix}
    out: dict[str, np.ndarray] = {}
    for v in problem.row_variables:
        for cov in [d.argument_of(COVARIANCE) for d in v.branches if d.has(COVARIANCE)]:
            heard = np.moveaxis(covariates.heard_cells(problem, v), v.dims.index(plate), 0)[problem.weights > 0]
            both = _both(heard.reshape(-1, heard.shape[-1]))
            for name in sorted(names_in(cov) & estimated):
                out[name] = out.get(name, np.zeros(1, dtype=bool)) | both
    return out


def _both(heard: np.ndarray) -> np.ndarray:
    """(d, d) whether some row of (rows, d) has two columns; a block of rows at a time, until there is nothing left to find."""
    out = np.zeros((heard.shape[1], heard.shape[1]), dtype=bool)
    for at in range(0, len(heard), PAIRS_ROWS):
        some = heard[at : at + PAIRS_ROWS].astype(np.float32)
        out |= some.T @ some > 0
        if out.all():
            break
    return out


def together_notes(spec: Spec, seen: Mapping[str, np.ndarray], labels: Callable[[str], np.ndarray]) -> list[str]:
    """Covariances of columns that no row gives together: only a prior can say what they are."""
    out = []
    for name, mask in seen.items():
        dim = spec.variables[name].dims[-2]
        pairs = [(i, j) for i, j in np.argwhere(~mask) if i < j and mask[i, i] and mask[j, j]]
        for i, j in pairs[:MAX_LISTED]:
            a, b = (str(plain(labels(dim)[k])) for k in (i, j))
            subject = labelled(name, (a, b))
            out.append(f"{subject}: no row gives both {dim}={a} and {dim}={b}; the data say nothing of their covariance.")
        if len(pairs) > MAX_LISTED:
            out.append(f"{name}: {len(pairs) - MAX_LISTED} more pairs of columns are never given together.")
    return out


def silent_note(first: list[int], count: int) -> list[str]:
    """The first rows without a value, and how many there are."""
    if not count:
        return []
    listed = ", ".join(map(str, first[:MAX_LISTED])) + (f" and {count - MAX_LISTED} more" if count > MAX_LISTED else "")
    if count == 1:
        return [f"row {listed} has no value: it says nothing about the parameters."]
    return [f"rows {listed} have no value: they say nothing about the parameters."]


def weights_note(total: float, counted: int) -> list[str]:
    """Weights of several rows that sum to 1 were normalised; here they are repetitions. counted : rows of positive weight."""
    if counted < 2 or abs(total - 1) > ONE:
        return []
    return [
        f"weights: they sum to 1, and weights are repetitions: the {counted} rows count as one observation altogether (standard "
        f"errors, BIC and the posterior are those of one). Multiply them by the number of rows, {counted}, if each is one."
    ]

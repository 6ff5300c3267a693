"""A look at all blocks before the first of them is laid out: what has to be known of all rows together, and a sample of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..errors import BadWeights, UnknownLabel, UnsupportedModel
from ..spec.expression import Data
from ..spec.model import Spec
from ..spec.private_dims import WEIGHTS
from ..spec.roles import indexing_names, look_ups
from . import check as datacheck
from . import notes as datanotes
from .align import declared, plate_dims
from .blocks import Block, Refused, blocks_of, collected, raise_refusal, tried
from .branches import atom_notes, atom_rows
from .chunked import ChunkedProblem, Reader, from_codes
from .covariates import holes
from .covariates import notes as covariate_notes
from .known import condition_raws, numeric_index, parameter_values
from .labels import codes, plain
from .problem import Problem
from .read import Raw, default_labels

SAMPLE_ROWS = 50_000  # rows, from all chunks and all patterns of holes and labels, that are kept in memory to start from
MOST_LABELS = 100_000  # different labels of one variable


def condition_chunks(spec: Spec, data: Any, weights: Any, fixed: Any, ignore_extra: bool) -> ChunkedProblem:
    """`condition` for data that Dask holds: one pass over the blocks, in which each is read, checked and sampled from.

    Raises what `condition` raises, the rows of an error counted within its block, and UnsupportedModel for a spec with more than
    one kind of row or with labels for its rows.
    """
    plates = plate_dims(spec)
    if len(plates) != 1 or plates[0] in spec.coords:
        got = f"{plates}" if len(plates) != 1 else f"labels for every row of {plates[0]!r}"
        raise UnsupportedModel(
            "rows", "one kind of row, without coords in the spec, for data in chunks", got, "Read them into memory (.compute())."
        )
    column = weights if isinstance(weights, str) or weights is None else WEIGHTS
    blocks = blocks_of(spec, plates[0], data, {} if weights is None or isinstance(weights, str) else {WEIGHTS: weights})
    n = sum(b.rows for b in blocks)
    reader = Reader(spec, column, parameter_values(spec, fixed), ignore_extra)
    whole = n <= SAMPLE_ROWS
    facts = collected([(_survey, reader, b, None if whole else SAMPLE_ROWS / n) for b in blocks], "look at")
    for fact in facts:
        raise_refusal(fact)
    if not any(f.counted for f in facts):
        raise BadWeights("weights", "a positive weight in at least one row", "zero in every row")
    notes = list(dict.fromkeys(note for f in facts for note in f.notes))
    reader = replace(reader, relabel=_meanings(spec, facts, notes))
    sample = _sample(reader, facts, notes)
    _checked(sample, facts, n)
    notes += datanotes.class_notes(sample, {name: sum(f.unlabelled.get(name, 0) for f in facts) for name in spec.variables})
    silent = [row for f in facts for row in f.silent]
    notes += atom_notes(spec, _atoms(facts), n)
    notes += datanotes.together_notes(spec, _seen(facts), sample.labels)
    notes += covariate_notes({k: c for k in spec.data if (c := sum(f.unknown.get(k, 0) for f in facts))})
    notes += datanotes.silent_note(silent, sum(f.n_silent for f in facts))
    total, heard = float(sum(f.weight for f in facts)), float(sum(f.heard for f in facts))
    notes += datanotes.weights_note(total, sum(f.counted for f in facts))
    return ChunkedProblem(spec, n, total, heard, blocks, reader, sample, tuple(dict.fromkeys(notes)))


def _atoms(facts: Sequence[_Facts]) -> dict[str, tuple[int, tuple[float, ...]]]:
    """`branches.atom_rows` of all blocks together."""
    return {
        name: (
            sum(f.atoms[name][0] for f in facts if name in f.atoms),
            tuple(sorted({x for f in facts if name in f.atoms for x in f.atoms[name][1]})[:2]),
        )
        for name in dict.fromkeys(name for f in facts for name in f.atoms)
    }


def _seen(facts: Sequence[_Facts]) -> dict[str, np.ndarray]:
    """`datanotes.together` of all blocks together."""
    return {name: np.any([f.together[name] for f in facts], axis=0) for name in facts[0].together}


@dataclass(frozen=True)
class _Facts:
    """What one block says about all rows."""

    weight: float
    heard: float
    counted: int
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    distinct: dict[str, list[Any]]
    unlabelled: dict[str, int]
    atoms: dict[str, tuple[int, tuple[float, ...]]]
    unknown: dict[str, int]
    together: dict[str, np.ndarray]
    silent: list[int]
    n_silent: int
    notes: list[str]
    rows: dict[str, Raw]
    weights: np.ndarray


@tried
def _survey(reader: Reader, block: Block, share: float | None) -> _Facts | Refused:
    problem, raws, notes = reader.problem(block)
    counted = problem.weights > 0
    indices = indexing_names(problem.spec)
    low, high = {}, {}
    for v in problem.row_variables:
        if problem.roles[v.label] == "observed" and v.label not in indices:
            columns = problem.columns(v)[counted]
            if len(columns):
                low[v.label], high[v.label] = np.fmin.reduce(columns, axis=0), np.fmax.reduce(columns, axis=0)
    distinct, unlabelled = {}, {}
    for name, variable in declared(problem.spec).items():
        if name not in raws or (isinstance(variable, Data) and name not in indices):
            continue
        if isinstance(variable, Data) or (variable.discrete and raws[name].values.ndim == len(variable.dims)):
            distinct[name] = _distinct(name, raws[name].values)
        if name in indices:
            known = datanotes.labelled_rows(problem, name)
            unlabelled[name] = int((counted & ~known).sum())
    silent = problem.silent
    at, weights = _chosen(problem, share, block.first)
    plate = problem.plate
    return _Facts(
        float(problem.weights.sum()), float(problem.heard.sum()), int(counted.sum()), low, high, distinct, unlabelled,
        atom_rows(problem), holes(problem), datanotes.together(problem),
        [block.first + int(i) for i in silent[: datanotes.MAX_LISTED]], len(silent), notes,
        {name: _rows_of(problem, plate, name, raw, at) for name, raw in raws.items() if name != WEIGHTS}, weights,
    )  # fmt: skip


def _rows_of(problem: Problem, plate: str, name: str, raw: Raw, at: np.ndarray | None) -> Raw:
    """Some rows of a value, without their labels (rows in chunks are counted from 0)."""
    variable = declared(problem.spec)[name]
    if plate not in variable.dims:
        return raw
    axis = raw.dims.index(plate) if raw.dims is not None else variable.dims.index(plate)
    values = raw.values if at is None else np.take(raw.values, at, axis)
    return Raw(values, raw.dims, {a: x for a, x in raw.labels.items() if a != axis})


def _chosen(problem: Problem, share: float | None, seed: int) -> tuple[np.ndarray | None, np.ndarray]:
    """(rows of the sample, None for all; their weights): a share of each pattern of holes and labels, at least one row of it."""
    w = problem.weights
    if share is None:
        return None, w
    rng, picks, weights = np.random.default_rng(seed), [], []
    stratum = _strata(problem)
    order = np.argsort(stratum, kind="stable") if stratum.any() else np.arange(len(w))
    for rows in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        rows = rows[w[rows] > 0]
        if len(rows):
            size = min(len(rows), max(1, round(share * len(rows))))
            few = np.sort(rng.choice(rows, size, replace=False))
            picks.append(few)
            weights.append(w[few] * (w[rows].sum() / w[few].sum()))
    if not picks:
        return np.zeros(0, dtype=int), np.zeros(0)
    at, weight = np.concatenate(picks), np.concatenate(weights)
    position = np.argsort(at)
    return at[position], weight[position]


def _strata(problem: Problem) -> np.ndarray:
    """(n,) a number for each pattern of holes, labels and sets of labels."""
    indices, plate = indexing_names(problem.spec), problem.plate
    parts: list[np.ndarray] = []
    for name, value in problem.given.items():
        if plate in value.dims and name in problem.spec.variables:
            array = value.to((plate, *[d for d in value.dims if d != plate])).reshape(problem.n, -1)
            parts.append(array if name in indices else np.isnan(array))
    for value in problem.evidence.values():
        log = value.to((plate, *[d for d in value.dims if d != plate])).reshape(problem.n, -1)
        parts += [np.isfinite(log), (np.isfinite(log) & (log != 0)).any(axis=1, keepdims=True)]
    parts = [np.where(np.isnan(p), -1.0, p) if p.dtype.kind == "f" else p for p in parts]
    parts = [p[:, (p != p[:1]).any(axis=0)] for p in parts]  # most columns have no hole at all
    parts = [p for p in parts if p.shape[1]]
    if not parts:
        return np.zeros(problem.n, dtype=int)
    return np.unique(np.hstack(parts), axis=0, return_inverse=True)[1].ravel()


def _distinct(name: str, values: np.ndarray) -> list[Any]:
    labels = pd.unique(values.ravel())
    if len(labels) > MOST_LABELS:
        raise UnknownLabel(name, "labels", f"more than {MOST_LABELS} different values", "Is this a label?")
    return [plain(x) for x in labels]


def _meanings(spec: Spec, facts: Iterable[_Facts], notes: list[str]) -> dict[str, np.ndarray]:
    """{name: labels} of the discrete variables whose values, over all blocks, are codes and not coordinates."""
    bare = Problem(spec, {}, {}, {}, np.ones(0), {})
    labels_of: dict[str, dict[Any, None]] = {}
    for f in facts:
        for name, own in f.distinct.items():
            labels_of.setdefault(name, {}).update(dict.fromkeys(own))
    out = {}
    for name, values in labels_of.items():
        variable = declared(spec)[name]
        if isinstance(variable, Data):
            labels: list[Any] = next((bare.labels(d).tolist() for _, d, i in look_ups(spec) if i == name and d in bare.sizes), [])
            if not labels or default_labels(labels) or numeric_index(spec, name):
                continue
        else:
            labels = bare.level_labels(variable)
        array, read_as = np.empty(len(values), dtype=object), list[str]()
        array[:] = list(values)
        try:
            codes(name, array, labels, read_as, holes=not isinstance(variable, Data))
        except UnknownLabel as bad:
            raise UnknownLabel(bad.variable, bad.expected, bad.got.split(" in row")[0], bad.remedy) from None
        if read_as:
            out[name] = np.asarray([plain(x) for x in labels], dtype=object)
            notes += read_as
    return out


def _sample(reader: Reader, facts: list[_Facts], notes: list[str]) -> Problem:
    """The sampled rows of all blocks as one Problem."""
    known = declared(reader.spec)
    plate = plate_dims(reader.spec)[0]
    raws: dict[str, Raw] = {}
    for name in facts[0].rows:
        first = facts[0].rows[name]
        if plate not in known[name].dims:
            raws[name] = first
            continue
        axis = first.dims.index(plate) if first.dims is not None else known[name].dims.index(plate)
        values = np.concatenate([f.rows[name].values for f in facts], axis)
        if name in reader.relabel:
            values = from_codes(values, reader.relabel[name])
        raws[name] = Raw(values, first.dims, first.labels)
    raws |= reader.fixed
    return condition_raws(reader.spec, raws, np.concatenate([f.weights for f in facts]), [], checked=False)


def _checked(sample: Problem, facts: list[_Facts], n: int) -> None:
    """What `condition` asks of all rows together."""
    if not sample.parameters:
        return
    counted = sum(f.counted for f in facts)
    datacheck.enough_rows(sample, counted)
    for v in sample.row_variables:
        ends = [x[v.label] for f in facts for x in (f.low, f.high) if v.label in x]
        if ends:
            datacheck.check_columns(sample, v, np.stack(ends))

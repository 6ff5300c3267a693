"""Rows in chunks: data that Dask holds, read block by block, of which no process ever has more than one block in memory.

`condition` makes a `ChunkedProblem` of them. Everything that has to be known of all rows before the first one can be laid out
(what labels mean, how many rows there are, which columns vary, a sample to start from) is gathered in one pass over the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import BadWeights, NotInMemory, UnknownLabel, UnknownName, UnsupportedModel
from ..spec.expression import Data
from ..spec.model import Spec
from ..spec.private_dims import WEIGHTS
from ..spec.roles import indexing_names, look_ups
from ..spec.variable import Variable
from . import check as datacheck
from . import notes as datanotes
from .align import declared, named, plate_dims
from .blocks import Block, Refused, blocks_of, collected, raise_refusal, tried
from .branches import atom_notes, atom_rows
from .covariates import holes
from .covariates import notes as covariate_notes
from .known import condition_raws, known_values, numeric_index, parameter_values
from .labels import codes, hint, plain
from .problem import Problem
from .read import Raw, default_labels, is_hole, read

SAMPLE_ROWS = 50_000  # rows, from all chunks and all patterns of holes and labels, that are kept in memory to start from
DISTINCT = 100_000  # different labels of one variable


@dataclass(frozen=True)
class Reader:
    """What every block is read with, so that a value means the same in each of them.

    weights : name of the column of weights, or None. fixed : values of parameters. relabel : {name: labels} of discrete variables
    whose values are codes although they have coordinates, which a block that happens to hold few of them could not tell.
    """

    spec: Spec
    weights: str | None
    fixed: Mapping[str, Raw]
    ignore_extra: bool
    relabel: Mapping[str, np.ndarray] = field(default_factory=dict)

    def raws(self, block: Block) -> tuple[dict[str, Raw], dict[str, np.ndarray], list[str], list[str]]:
        """(values by name in the spec, labels of the plate, all columns, notes) of a block, read now."""
        raws = read(block.load())
        columns, notes = list(raws), list[str]()
        weights = raws.pop(self.weights, None) if self.weights is not None else None
        if self.weights is not None and weights is None:
            known = hint(self.weights, raws)
            raise UnknownName(f"weights {self.weights!r}", "the name of a column of the data", "no such column", known)
        raws, own = named(self.spec, raws, self.ignore_extra, notes)
        for name, labels in self.relabel.items():
            if name in raws:
                raws[name] = replace(raws[name], values=_from_codes(raws[name].values, labels))
        if weights is not None:
            raws[WEIGHTS] = weights
        return {**raws, **self.fixed}, own, columns, notes

    def problem(self, block: Block) -> tuple[Problem, dict[str, Raw], list[str]]:
        """(the rows of a block as a Problem, their raw values, notes). Nothing that concerns all rows is checked."""
        raws, own, columns, notes = self.raws(block)
        weights = raws.pop(WEIGHTS, None)
        datacheck.something_measured(self.spec, set(raws))
        problem = known_values(self.spec, raws, own, [], columns)
        plate = problem.plate
        w = np.ones(problem.plates[plate].size)
        if weights is not None:
            w = datacheck.row_weights(weights, len(w), lambda: weights.values, some=False)
            raws[WEIGHTS] = weights
        return replace(problem, weights=w), raws, notes


@dataclass(frozen=True)
class ChunkedProblem:
    """A spec conditioned on rows that stay where Dask has them. `fit_em` takes it like a `Problem`.

    Attributes
    ----------
    spec, roles, notes, parameters : as those of `Problem`.
    n : number of rows; total_weight : the sum of their weights; observations : that of the rows that say something.
    blocks : the rows, in pieces.
    sample : a Problem of at most about `SAMPLE_ROWS` rows, from which EM starts: in every block, some rows of every pattern of
        holes and labels, weighted up to the weight of all that have it. With fewer rows than that, all of them.
    """

    spec: Spec
    n: int
    total_weight: float
    observations: float
    blocks: tuple[Block, ...] = field(repr=False)
    reader: Reader = field(repr=False)
    sample: Problem = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the sample is all there is."""
        return self.sample.n == self.n

    @property
    def roles(self) -> dict[str, str]:
        return self.sample.roles

    @property
    def parameters(self) -> list[Variable]:
        return self.sample.parameters

    @property
    def plate(self) -> str:
        """The dim of the rows."""
        return self.sample.plate

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every named dim."""
        return {**self.sample.sizes, self.plate: self.n}

    def labels(self, dim: str) -> np.ndarray:
        """Coordinate labels of a dim that has any: rows in chunks are counted from 0."""
        if dim == self.plate:
            raise NotInMemory.rows(f"labels of {dim!r}")
        return self.sample.labels(dim)

    def __getattr__(self, name: str) -> Any:
        if name in Problem.__dataclass_fields__ or hasattr(Problem, name):
            raise NotInMemory.rows(name)
        raise AttributeError(f"ChunkedProblem has no attribute {name!r}")


def in_chunks(data: Any) -> bool:
    """Whether any of the data are Dask's."""
    if isinstance(data, xr.Dataset):
        return any(v.chunks is not None for v in data.data_vars.values())
    if isinstance(data, Mapping):
        return any(_is_dask(v) or (isinstance(v, xr.DataArray) and v.chunks is not None) for v in data.values())
    return _is_dask(data)


def _is_dask(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("dask", "dask_expr") and hasattr(value, "__dask_graph__")


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
    for found in facts:
        raise_refusal(found)
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
    rng, found, weights = np.random.default_rng(seed), [], []
    stratum = _strata(problem)
    order = np.argsort(stratum, kind="stable") if stratum.any() else np.arange(len(w))
    for rows in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        rows = rows[w[rows] > 0]
        if len(rows):
            size = min(len(rows), max(1, round(share * len(rows))))
            few = np.sort(rng.choice(rows, size, replace=False))
            found.append(few)
            weights.append(w[few] * (w[rows].sum() / w[few].sum()))
    if not found:
        return np.zeros(0, dtype=int), np.zeros(0)
    at, weight = np.concatenate(found), np.concatenate(weights)
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
    found = pd.unique(values.ravel())
    if len(found) > DISTINCT:
        raise UnknownLabel(name, "labels", f"more than {DISTINCT} different values", "Is this a label?")
    return [plain(x) for x in found]


def _meanings(spec: Spec, facts: Iterable[_Facts], notes: list[str]) -> dict[str, np.ndarray]:
    """{name: labels} of the discrete variables whose values, over all blocks, are codes and not coordinates."""
    bare = Problem(spec, {}, {}, {}, np.ones(0), {})
    found: dict[str, dict[Any, None]] = {}
    for f in facts:
        for name, own in f.distinct.items():
            found.setdefault(name, {}).update(dict.fromkeys(own))
    out = {}
    for name, values in found.items():
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


def _from_codes(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coordinates for codes; None for holes."""
    out = np.full(values.shape, None, dtype=object)
    known = ~is_hole(values)
    code = values[known].astype(float).astype(int)
    out[known] = np.where(code < 0, None, labels[np.maximum(code, 0)])
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
            values = _from_codes(values, reader.relabel[name])
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

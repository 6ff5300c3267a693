"""Rows in chunks: data that Dask holds, read block by block, of which no process ever has more than one block in memory.

`condition` makes a `ChunkedProblem` of them. Everything that has to be known of all rows before the first one can be laid out
(what labels mean, how many rows there are, which columns vary, a sample to start from) is gathered in one pass over the blocks
(`survey`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import xarray as xr

from ..errors import NotInMemory, UnknownName
from ..spec.expression import Expression
from ..spec.model import Spec
from ..spec.named import Named
from ..spec.private_dims import WEIGHTS
from ..spec.variable import Variable
from ..words import labelled
from . import check as datacheck
from .align import named
from .blocks import Block
from .known import known_values
from .labels import hint
from .problem import Problem
from .read import Raw, is_hole, read


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
                raws[name] = replace(raws[name], values=from_codes(raws[name].values, labels))
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
    spec, roles, notes, parameters, ... : as those of `Problem` (`Conditioned` lists them).
    n : number of rows; total_weight : the sum of their weights; observations : that of the rows that say something.
    blocks : the rows, in pieces.
    sample : a Problem of at most about `survey.SAMPLE_ROWS` rows, from which EM starts: in every block, some rows of every
        pattern of holes and labels, weighted up to the weight of all that have it. With fewer rows than that, all of them.
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
    def row_variables(self) -> list[Variable]:
        return self.sample.row_variables

    @property
    def fixed(self) -> dict[str, Named]:
        return self.sample.fixed

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
            in_memory(self, f"labels of {dim!r}")
        return self.sample.labels(dim)

    def entry(self, name: str, dims: Sequence[str], at: Iterable[Any]) -> str:
        return labelled(name, (self.labels(d)[i] for d, i in zip(dims, at, strict=True)))

    def levels(self, variable: Expression) -> int:
        return self.sample.levels(variable)

    def level_labels(self, variable: Expression) -> list[Any]:
        return self.sample.level_labels(variable)

    def shape(self, variable: Variable) -> tuple[int, ...]:
        return tuple(self.sizes[d] for d in variable.dims)


AnyProblem = Problem | ChunkedProblem  # what `condition` gives, and every verb takes


def in_memory(problem: AnyProblem, what: str) -> Problem:
    """The problem itself, for what needs its rows in memory. Raises NotInMemory, which names `what`, where they are in chunks."""
    if isinstance(problem, ChunkedProblem):
        raise NotInMemory.rows(what)
    return problem


def _absent(name: str) -> property:
    def needs_rows(self: ChunkedProblem) -> Any:
        return getattr(in_memory(self, name), name)

    return property(needs_rows, doc="Raises NotInMemory.")


# A type checker knows that these are not there; whoever asks for them all the same is told what to do.
for _name in (*(f.name for f in fields(Problem)), *vars(Problem)):
    if not _name.startswith("_") and _name not in {*(f.name for f in fields(ChunkedProblem)), *vars(ChunkedProblem)}:
        setattr(ChunkedProblem, _name, _absent(_name))


def in_chunks(data: Any) -> bool:
    """Whether any of the data are Dask's."""
    if isinstance(data, xr.Dataset):
        return any(v.chunks is not None for v in data.data_vars.values())
    if isinstance(data, Mapping):
        return any(_is_dask(v) or (isinstance(v, xr.DataArray) and v.chunks is not None) for v in data.values())
    return _is_dask(data)


def _is_dask(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("dask", "dask_expr") and hasattr(value, "__dask_graph__")


def from_codes(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coordinates for codes; None for holes."""
    out = np.full(values.shape, None, dtype=object)
    known = ~is_hole(values)
    code = values[known].astype(float).astype(int)
    out[known] = np.where(code < 0, None, labels[np.maximum(code, 0)])
    return out

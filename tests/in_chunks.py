"""The examples' data as Dask would hold them: the same problem in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import dask
import dask.array as da
import numpy as np

import emvsmcmc as ev
from emvsmcmc.expect.store import memory
from emvsmcmc.problem import blocks as block
from emvsmcmc.problem import survey

CELLS, SAMPLE_ROWS, COMPILED_FROM = block.CELLS, survey.SAMPLE_ROWS, memory.COMPILED_FROM


@contextmanager
def engine(sample: int | None = None, compiled: bool = False, merge: bool = False) -> Iterator[None]:
    """Chunks as they come, in this thread. sample : rows that are kept to start from. compiled : even a few rows are packed."""
    with (
        dask.config.set(scheduler="synchronous"),
        mock.patch.object(block, "CELLS", CELLS if merge else 1),
        mock.patch.object(survey, "SAMPLE_ROWS", SAMPLE_ROWS if sample is None else sample),
        mock.patch.object(memory, "COMPILED_FROM", 1 if compiled else COMPILED_FROM),
    ):
        yield


def values(problem: ev.Problem) -> dict[str, Any]:
    """What was given, as arrays."""
    given = {name: value.array for name, value in problem.given.items()}
    return given | {name: np.exp(value.array) for name, value in problem.evidence.items()}


def chunked(problem: ev.Problem, size: int | tuple[int, ...]) -> Any:
    """The same rows, in chunks of a size."""
    plate = next(iter(problem.plates))
    dims = {name: value.dims for name, value in {**problem.given, **problem.evidence}.items()}
    data = {
        name: da.from_array(x, chunks=tuple(size if d == plate else -1 for d in dims[name])) if plate in dims[name] else x
        for name, x in values(problem).items()
    }
    return ev.condition(problem.spec, data, weights=da.from_array(problem.weights, chunks=size))

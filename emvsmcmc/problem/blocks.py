"""Blocks of consecutive rows that Dask holds, and running a function over them with whatever scheduler Dask has.

Only what reads a block touches its data: a task carries the recipe, not the rows. What a user has to mend comes back as a value
(`Refused`), so that nobody tries it again; anything else that goes wrong is tried again here, then by Dask on another worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import xarray as xr

from ..errors import BadInput, ChunkFailed, DaskMissing, Degenerate, EmvsmcmcError, WrongDims
from ..spec.model import Spec
from ..spec.private_dims import latent_of
from .align import declared

CELLS = 2**21  # values up to which neighbouring chunks are read as one block
TRIES = 3  # of a block on one worker
PAUSE = 0.05  # seconds before the next try, then four times as many
RETRIES = 2  # of a task by Dask itself, on another worker if there is one


@dataclass(frozen=True)
class Block:
    """`rows` consecutive rows from row `first` on, not yet read.

    values : {name: array or Dask array}. frame : one partition of a Dask frame, whose columns come beside them.
    """

    first: int
    rows: int
    values: dict[str, Any]
    frame: Any = None

    def load(self) -> dict[str, Any]:
        """The values as numpy arrays, xarray objects or columns of a frame, read in this thread."""
        import dask

        values, frame = dask.compute(self.values, self.frame, scheduler="synchronous")
        return values if frame is None else {**{str(name): column for name, column in frame.items()}, **values}


@dataclass(frozen=True)
class Refused:
    """A named error as a value: its class and what it was made from."""

    kind: type[Exception]
    arguments: tuple[Any, ...]

    @property
    def error(self) -> Exception:
        return self.kind(*self.arguments)


def raise_refusal(answer: Any) -> None:
    """Raise the named error that came back as a value."""
    if isinstance(answer, Refused):
        raise answer.error


def tried(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(..., block, ...)`, which returns named errors instead of raising them, and tries again what else goes wrong."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        held = (a if isinstance(a, Block) else getattr(a, "block", None) for a in arguments)
        block = next((b for b in held if isinstance(b, Block)), None)
        where = f"rows {block.first} to {block.first + block.rows - 1}" if block is not None else "rows"
        for attempt in range(TRIES):
            try:
                return function(*arguments)
            except (EmvsmcmcError, np.linalg.LinAlgError) as error:
                return refused(error, where)
            except Exception as error:
                last = error
                if attempt + 1 < TRIES:
                    time.sleep(PAUSE * 4**attempt)
        raise ChunkFailed(f"{where}: {type(last).__name__}: {last} (tried {TRIES} times)") from last

    return run


def refused(error: Exception, where: str = "") -> Refused:
    """A named error as a value."""
    if isinstance(error, BadInput):
        got = f"{error.got} ({where})" if where and " in row " in error.got else error.got
        return Refused(type(error), (error.variable, error.expected, got, error.remedy))
    if isinstance(error, Degenerate):
        return Refused(Degenerate, (error.variable, error.reason))
    return Refused(type(error), (str(error),))


def need_dask() -> None:
    """Raises DaskMissing where Dask is not installed."""
    try:
        import dask.array  # noqa: F401
    except ImportError:
        raise DaskMissing("data in chunks", "the package dask", "none installed", "pip install 'emvsmcmc[scale]'") from None


def collected(tasks: Sequence[tuple[Any, ...]], verb: str) -> list[Any]:
    """What each task (function, *arguments) returns, in order, by Dask's scheduler: a cluster's if there is a client.

    Raises ChunkFailed where a block cannot be read.
    """
    return list(computed([task(function, *arguments, name=f"{verb}-block") for function, *arguments in tasks]))


def computed(delayed: list[Any]) -> tuple[Any, ...]:
    """Results of delayed tasks; workers that die, and die again, are a ChunkFailed."""
    import dask

    try:
        return dask.compute(*delayed)
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise ChunkFailed(f"workers died over a block of rows: {error}") from error
        raise


def task(function: Callable[..., Any], *arguments: Any, name: str = "block") -> Any:
    """A delayed call whose arguments are pickled here: Dask would otherwise look into them and compute what it finds."""
    import cloudpickle
    import dask

    with dask.annotate(retries=RETRIES):
        return dask.delayed(_call, name=name, pure=False, traverse=False)(cloudpickle.dumps((function, arguments)))


def _call(pickled: bytes) -> Any:
    import cloudpickle

    function, arguments = cloudpickle.loads(pickled)
    return function(*arguments)


def blocks_of(spec: Spec, plate: str, data: Any, further: Mapping[str, Any]) -> tuple[Block, ...]:
    """Data cut along their rows, where Dask has cut them. further : columns beside them (weights).

    Raises WrongDims where lengths disagree.
    """
    need_dask()
    if hasattr(data, "partitions") and hasattr(data, "columns"):
        return _partitions(data, further)
    values = {**({str(k): v for k, v in data.data_vars.items()} if isinstance(data, xr.Dataset) else dict(data)), **further}
    axes = {name: _row_axis(spec, plate, name, value) for name, value in values.items()}
    values = {name: _known_chunks(value) for name, value in values.items()}
    lengths = {name: int(np.shape(value)[axis]) for name, value in values.items() if (axis := axes[name]) is not None}
    first = next(iter(lengths))
    for name, length in lengths.items():
        if length != lengths[first]:
            wanted = f"length {lengths[first]} along {plate!r}, that of {first!r}"
            raise WrongDims(name, wanted, str(length), "Give every variable of a plate the same rows.")
    chunked = {name: chunks for name in lengths if (chunks := _chunks(values[name], axes[name])) is not None}
    cuts = max(chunked.values(), key=len)
    width = sum(_size(values[name]) // max(1, lengths[first]) for name in lengths)
    blocks, at = [], 0
    for rows in _merged(cuts, max(1, CELLS // max(1, width))):
        part = {name: _cut(value, axes[name], at, at + rows) for name, value in values.items()}
        blocks.append(Block(at, rows, part))
        at += rows
    return tuple(blocks)


def _merged(cuts: Sequence[int], most: int) -> list[int]:
    """Neighbouring chunks joined up to so many rows."""
    out: list[int] = []
    for rows in cuts:
        if out and out[-1] + rows <= most:
            out[-1] += rows
        elif rows:
            out.append(rows)
    return out


def _row_axis(spec: Spec, plate: str, name: str, value: Any) -> int | None:
    """Which axis of a value is the rows'; None for values of parameters."""
    if isinstance(value, xr.DataArray):
        return value.dims.index(plate) if plate in value.dims else None
    known = declared(spec)
    if name in known:
        return known[name].dims.index(plate) if plate in known[name].dims and np.ndim(value) else None
    return 0 if np.ndim(value) else None  # a column of a frame, labels of rows, weights


def _known_chunks(value: Any) -> Any:
    """A Dask frame's column as an array, and lengths that Dask does not know yet looked up."""
    if hasattr(value, "to_dask_array"):
        return value.to_dask_array(lengths=True)
    if hasattr(value, "compute_chunk_sizes") and any(np.isnan(n) for c in value.chunks for n in c):
        return value.compute_chunk_sizes()
    return value


def _chunks(value: Any, axis: int | None) -> tuple[int, ...] | None:
    chunks = getattr(value, "chunks", None)
    return None if chunks is None or axis is None else tuple(int(n) for n in chunks[axis])


def _size(value: Any) -> int:
    return int(np.prod(np.shape(value)))


def _cut(value: Any, axis: int | None, start: int, stop: int) -> Any:
    """Rows of a value, with no more of Dask's graph than they need."""
    if axis is None:
        return value
    part: Any
    if isinstance(value, xr.DataArray):
        part = value.isel({value.dims[axis]: slice(start, stop)})
    else:
        part = (value if hasattr(value, "dask") else np.asarray(value))[(slice(None),) * axis + (slice(start, stop),)]
    if hasattr(part, "__dask_graph__") and part.__dask_graph__() is not None:
        import dask

        (part,) = dask.optimize(part)
    return part


def _partitions(frame: Any, further: Mapping[str, Any]) -> tuple[Block, ...]:
    """A Dask frame by its partitions."""
    import dask

    parts = [frame.partitions[i] for i in range(frame.npartitions)]
    counts = dask.compute(*[part.map_partitions(len) for part in parts])
    lengths = [int(np.sum(rows)) for rows in counts]
    total, blocks, at = sum(lengths), list[Block](), 0
    for name, value in further.items():
        if np.shape(value) != (total,):
            raise WrongDims(latent_of(name), f"{total} weights, one for each row", f"shape {np.shape(value)}")
    for part, rows in zip(parts, lengths, strict=True):
        if rows:
            blocks.append(Block(at, rows, {name: _cut(value, 0, at, at + rows) for name, value in further.items()}, part))
        at += rows
    return tuple(blocks)

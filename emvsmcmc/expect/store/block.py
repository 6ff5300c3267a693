"""What is done with one block of rows, on whichever worker it falls: laid out once, kept on that machine's disk in the form that
the row pass reads, and passed over by mapping that file into memory. So each pass costs what it costs in memory; the operating
system keeps in memory what fits.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Degenerate, UnsupportedModel
from ...problem.blocks import Block, Refused, tried
from ...problem.chunked import Reader
from ..distinct import Slot, scale_names
from ..kernel.plain import row_pass
from ..layout import Coefficients, Conventions, Statistics, Sums
from ..plan import Plan
from ..planner import make_plan
from .compiled import kernel
from .patterns import Patterns

GENERAL, COMPILED = "rows", "packed"  # how the rows of a block are kept: for numpy, for the compiled pass


def merged(parts: Sequence[Patterns | Refused]) -> Patterns | Refused:
    """Patterns of several blocks as one record; a named error in their place where any has one."""
    for part in parts:
        if isinstance(part, Refused):
            return part
    patterns = [p for p in parts if isinstance(p, Patterns)]
    return patterns[0].total(patterns)


@dataclass(frozen=True)
class Disk:
    """Where a machine keeps its blocks: a folder of its own under Dask's `temporary-directory`, else the system's."""

    name: str

    @property
    def folder(self) -> Path:
        import dask

        return Path(dask.config.get("temporary-directory", None) or tempfile.gettempdir()) / self.name

    def path(self, block: int, kind: str) -> Path:
        """The file of one block."""
        return self.folder / f"{block}.{kind}"

    def keep(self, block: int, kind: str, content: Any) -> None:
        """Written under another name first, so that a file is whole or not there. A full disk keeps nothing: the block is then
        read anew in each pass.
        """
        draft = ""
        try:
            _folder(self.folder)
            handle, draft = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                if kind == COMPILED:
                    for array in content:
                        np.save(file, array)
                else:
                    pickle.dump(content, file, protocol=5)
            os.replace(draft, self.path(block, kind))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft)

    def kept(self, block: int, kind: str) -> Any:
        """What was kept, mapped into memory; None where there is nothing."""
        path = self.path(block, kind)
        try:
            if kind == GENERAL:
                with path.open("rb") as file:
                    return pickle.load(file)
            return _mapped(path)
        except OSError:
            return None

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


_made: set[Path] = set()


def _folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder not in _made:
        _made.add(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _mapped(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays saved one after the other, read only, not read yet."""
    with path.open("rb") as file:
        floats = _header(file)
        ints = _header(file)
    views = [np.memmap(path, dtype, "r", offset, shape) for dtype, offset, shape in (floats, ints)]
    return views[0], views[1]


def _header(file: Any) -> tuple[np.dtype, int, tuple[int, ...]]:
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    offset = file.tell()
    file.seek(int(np.prod(shape)) * dtype.itemsize, os.SEEK_CUR)
    return dtype, offset, shape


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to lay out a block like every other block. axes : the configurations it must have."""

    reader: Reader
    block: Block
    conventions: Conventions
    axes: dict[str, int]

    def plan(self) -> Plan:
        """The plan of this block alone."""
        plan = make_plan(self.reader.problem(self.block)[0], self.conventions)
        if plan.axes != self.axes:
            wanted = f"configurations {self.axes} in every chunk"
            raise UnsupportedModel("rows in chunks", wanted, f"{plan.axes}", "Read them into memory.")
        return plan


def open_rows(plan: Plan, kind: str) -> Any:
    """The rows of a block that stay in the loop, as they are kept."""
    layout = replace(plan.layout, collapsed=plan.layout.collapsed.zero())
    return layout if kind == GENERAL else kernel().pack(layout, layout.K)


@tried
def prepared(recipe: Recipe, number: int, disk: Disk, kind: str) -> Patterns | Refused:
    """Lay out a block, keep its rows for the passes to come, and return what is known of its patterns."""
    plan = recipe.plan()
    if len(plan.layout.V):
        disk.keep(number, kind, open_rows(plan, kind))
    return plan.store.moments_by_pattern


@tried
def levels_of(recipe: Recipe, slots: Sequence[Slot]) -> dict[Slot, np.ndarray] | Refused:
    """{slot: its distinct values in this block}."""
    problem, _, _ = recipe.reader.problem(recipe.block)
    return {slot: slot.levels(problem, problem.plate) for slot in slots}


def slots_of(plan: Plan) -> list[Slot]:
    """What tables and known scales depend on row by row."""
    levels = [x for p in plan.tables for x in (p.levels, p.values) if x is not None]
    scales = tuple(scale_names(plan.problem))
    slots = [x.slot for x in levels if x.slot is not None] + ([Slot(scales)] if scales else [])
    return list(dict.fromkeys(slots))


@dataclass(frozen=True)
class Missing:
    """Blocks of which a machine has nothing on its disk."""

    blocks: tuple[int, ...]


@tried
def one_pass(number: int, disk: Disk, kind: str, C: Coefficients, hard: bool, careful: bool, recipe: Recipe | None) -> Any:
    """(log-likelihood, statistics) of a block; Missing where its rows are not on this machine and no recipe is there to lay them
    out.
    """
    rows = disk.kept(number, kind)
    if rows is None:
        if recipe is None:
            return Missing((number,))
        plan = recipe.plan()
        rows = open_rows(plan, kind)
        disk.keep(number, kind, rows)
    return kernel().expect_compiled(rows, C, hard) if kind == COMPILED else row_pass(rows, C, hard, careful)


def several_passes(blocks: Sequence[tuple[int, Recipe | None]], *arguments: Any) -> Any:
    """`one_pass` over a few blocks, one after another, and the sum of what they give."""
    return summed([one_pass(number, *arguments, recipe) for number, recipe in blocks])


def summed(parts: Sequence[Any]) -> Any:
    """The sum of several blocks' statistics; a named error or missing blocks in their place where any has them."""
    for part in parts:
        if isinstance(part, Refused):
            return part
    missing = [b for part in parts if isinstance(part, Missing) for b in part.blocks]
    if missing:
        return Missing(tuple(missing))
    first: Statistics = parts[0][1]
    return float(sum(p[0] for p in parts)), first.total([p[1] for p in parts])


@tried
def applied(recipe: Recipe, function: Callable[..., Any], *arguments: Any) -> Any:
    """A function of the plan of one block."""
    return function(recipe.plan(), *arguments)


def finite(sums: Sums) -> Sums:
    """Raises Degenerate where a row has probability zero in every configuration."""
    if not np.isfinite(sums[0]):
        raise Degenerate("rows", "a row has probability zero in every configuration")
    return sums

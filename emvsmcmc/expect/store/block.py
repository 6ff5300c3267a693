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
from ...numerics import root_of_moments
from ...problem.blocks import Block, Refused, tried
from ...problem.chunked import Reader
from ..distinct import Slot, scale_names
from ..layout import Coefficients, Collapsed, Conventions, Layout, Statistics
from ..plan import Plan
from ..planner import make_plan
from ..rowdata import moments

GENERAL, COMPILED = "rows", "packed"  # how the rows of a block are kept: for numpy, for the compiled pass


@dataclass(frozen=True)
class Patterns:
    """Moments of the rows of every pattern (hidden coordinates, allowed configurations), whether they stay in the loop or not.

    Attributes
    ----------
    hidden (q, d), allowed (q, K) : what tells patterns apart.
    weight (q,), R (q, d, d), S (q, L), constant (q,) : as in `Collapsed`.
    counted (q,) : rows with a weight. there {variable: (q, elements)} : those among them that have a value.
    holes (t,) : whether the value of a radial row is missing anywhere.
    """

    hidden: np.ndarray
    allowed: np.ndarray
    weight: np.ndarray
    R: np.ndarray
    S: np.ndarray
    constant: np.ndarray
    counted: np.ndarray
    there: dict[str, np.ndarray]
    holes: np.ndarray

    @property
    def single(self) -> np.ndarray:
        """(q,) whether a pattern is collapsed."""
        return (self.allowed.sum(axis=1) == 1) & (len(self.holes) == 0)

    @property
    def collapsed(self) -> Collapsed:
        """The patterns that stay out of the loop."""
        at = np.flatnonzero(self.single)
        configuration = self.allowed[at].argmax(axis=1)
        return Collapsed(configuration, self.hidden[at], self.weight[at], self.R[at], self.S[at], self.constant[at])


def patterns_of(plan: Plan) -> Patterns:
    """Those of the rows of an ordinary plan."""
    layout = plan.full
    q, problem = len(layout.start) - 1, plan.problem
    found = moments(layout, np.arange(q))
    pattern = np.repeat(np.arange(q), np.diff(layout.start))[plan.inverse]
    counted = problem.weights > 0
    plate = problem.plate
    there = {}
    for part in plan.parts:
        name = part.variable.label
        if name in problem.given:
            values = np.isfinite(problem.given[name].to((plate, *[d for d, _ in part.elements]))).reshape(problem.n, part.size)
            if values.all():
                there[name] = np.repeat(np.bincount(pattern, counted, q)[:, None], part.size, axis=1)
            else:
                there[name] = np.stack([np.bincount(pattern, column & counted, q) for column in values.T], axis=1)
    return Patterns(
        layout.hidden, layout.allowed, found.weight, found.R, found.S, found.constant, np.bincount(pattern, counted, q), there,
        layout.radial.holes,
    )  # fmt: skip


def merged(parts: Sequence[Patterns | Refused]) -> Patterns | Refused:
    """Patterns of several blocks as one record, like by like."""
    for part in parts:
        if isinstance(part, Refused):
            return part
    found = [p for p in parts if isinstance(p, Patterns)]
    keys = np.concatenate([np.hstack([p.hidden, p.allowed]) for p in found])
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()

    def added(name: str) -> np.ndarray:
        x = np.concatenate([getattr(p, name) for p in found])
        out = np.zeros((len(first), *x.shape[1:]))
        np.add.at(out, group, x)
        return out

    R = np.concatenate([p.R for p in found])
    roots = np.stack([_root(R[group == g]) for g in range(len(first))])
    there = {}
    for name in found[0].there:
        x = np.concatenate([p.there[name] for p in found])
        there[name] = np.zeros((len(first), x.shape[1]))
        np.add.at(there[name], group, x)
    return Patterns(
        np.concatenate([p.hidden for p in found])[first], np.concatenate([p.allowed for p in found])[first], added("weight"),
        roots, added("S"), added("constant"), added("counted"), there, np.any([p.holes for p in found], axis=0),
    )  # fmt: skip


def _root(R: np.ndarray) -> np.ndarray:
    """One triangular root for several, with a diagonal of at least 0."""
    if len(R) == 1:
        root = R[0]
    else:
        rows = R.reshape(-1, R.shape[-1])
        root = root_of_moments(rows, np.ones(len(rows)))
    return root * np.where(np.diagonal(root) < 0, -1.0, 1.0)[:, None]


@dataclass(frozen=True)
class Store:
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
    c = plan.layout.collapsed
    none = np.zeros(0, dtype=int)
    layout = replace(plan.layout, collapsed=replace(c, **{name: getattr(c, name)[none] for name in c.__dataclass_fields__}))
    if kind == GENERAL:
        return layout
    from ..kernel.pack import pack

    return pack(layout, plan.K)


@tried
def prepared(recipe: Recipe, number: int, store: Store, kind: str) -> Patterns | Refused:
    """Lay out a block, keep its rows for the passes to come, and return what is known of its patterns."""
    plan = recipe.plan()
    if len(plan.layout.V):
        store.keep(number, kind, open_rows(plan, kind))
    return patterns_of(plan)


@tried
def levels_of(recipe: Recipe, slots: Sequence[Slot]) -> dict[Slot, np.ndarray] | Refused:
    """{slot: its distinct values in this block}."""
    problem, _, _ = recipe.reader.problem(recipe.block)
    return {slot: slot.found(problem, problem.plate) for slot in slots}


def slots_of(plan: Plan) -> list[Slot]:
    """What tables and known scales depend on row by row."""
    levels = [x for p in plan.tables for x in (p.levels, p.values) if x is not None]
    scales = tuple(scale_names(plan.problem))
    found = [x.slot for x in levels if x.slot is not None] + ([Slot(scales)] if scales else [])
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Missing:
    """Blocks of which a machine has nothing on its disk."""

    blocks: tuple[int, ...]


Sums = tuple[float, Statistics]


@tried
def one_pass(
    number: int, store: Store, kind: str, K: int, C: Coefficients, hard: bool, careful: bool, recipe: Recipe | None
) -> Any:
    """(log-likelihood, statistics) of a block; Missing where its rows are not on this machine and no recipe is there to lay them
    out.
    """
    rows = store.kept(number, kind)
    if rows is None:
        if recipe is None:
            return Missing((number,))
        plan = recipe.plan()
        rows = open_rows(plan, kind)
        store.keep(number, kind, rows)
    if kind == COMPILED:
        from ..kernel.pack import expect_compiled

        return expect_compiled(rows, C, hard)
    return general_pass(rows, C, K, hard, careful)


def several_passes(blocks: Sequence[tuple[int, Recipe | None]], *arguments: Any) -> Any:
    """`one_pass` over a few blocks, one after another, and the sum of what they give."""
    return summed([one_pass(number, *arguments, recipe) for number, recipe in blocks])


def general_pass(layout: Layout, C: Coefficients, K: int, hard: bool, careful: bool) -> Sums:
    """The numpy pass over a layout."""
    from ..rows import _pass

    return _pass(layout, C, K, hard, None, careful)


def summed(parts: Sequence[Any]) -> Any:
    """The sum of several blocks' statistics; a named error or missing blocks in their place where any has them."""
    for part in parts:
        if isinstance(part, Refused):
            return part
    missing = [b for part in parts if isinstance(part, Missing) for b in part.blocks]
    if missing:
        return Missing(tuple(missing))
    first = parts[0][1]
    arrays = {name: sum(s for s in (getattr(p[1], name) for p in parts)) for name in ("N", "M", "S", "U", "L")}
    root = None
    if first.root is not None:
        roots = np.concatenate([p[1].root for p in parts], axis=1)
        root = np.linalg.qr(roots, mode="r")
    return float(sum(p[0] for p in parts)), Statistics(rho=first.rho, root=root, **arrays)


@tried
def applied(recipe: Recipe, function: Callable[..., Any], *arguments: Any) -> Any:
    """A function of the plan of one block."""
    return function(recipe.plan(), *arguments)


def finite(found: Sums) -> Sums:
    """Raises Degenerate where a row has probability zero in every configuration."""
    if not np.isfinite(found[0]):
        raise Degenerate("rows", "a row has probability zero in every configuration")
    return found

"""The expectation over rows in chunks: every block by itself, wherever Dask runs it, and the statistics added in a tree.

Only sums travel: statistics, the moments of what is collapsed, and a sample of rows to start from. All blocks are laid out about
the same centre, with the same levels, so that their statistics add (`Conventions`).
"""

from __future__ import annotations

import hashlib
import uuid
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ...errors import UnsupportedModel
from ...problem.blocks import RETRIES, Refused, computed, raise_refusal, task
from ...problem.chunked import ChunkedProblem
from ...problem.problem import Problem
from ...spec.evaluate import Environment
from ..layout import Coefficients, Conventions
from ..plan import Plan
from ..planner import make_plan
from ..radial import without_holes
from ..roots import covariate_columns, delicate, settle
from .block import (
    COMPILED,
    GENERAL,
    Missing,
    Patterns,
    Recipe,
    Store,
    Sums,
    applied,
    finite,
    general_pass,
    levels_of,
    merged,
    prepared,
    several_passes,
    slots_of,
    summed,
)

BRANCHES = 8  # sums that one task of the tree adds
# Of a pass, from which a task takes several blocks: handing one out costs Dask some 7 ms, which no second worker makes shorter.
# By the number of blocks alone, so that sums are added in one order whoever adds them.
TASKS = 32
LEVELS = 200_000  # distinct values of the row data of one slot: each is a row of a table that travels with every pass


class Journal(Protocol):
    """Remembers expectations, so that a fit that was stopped need not do them again (see `em.checkpoint`)."""

    def recall(self, C: Coefficients, hard: bool) -> Sums | None: ...
    def record(self, C: Coefficients, hard: bool, outcome: Callable[[], Sums]) -> Sums: ...
    def note(self, env: Environment, objective: float) -> None: ...


class Chunks:
    """The rows of a plan that are not in memory.

    Attributes
    ----------
    problem : the ChunkedProblem. start : a plan of its sample, an ordinary one. patterns : moments of all rows, by pattern.
    journal : remembers expectations, if there is one.
    """

    def __init__(self, problem: ChunkedProblem, start: Plan, recipes: list[Recipe], store: Store, kind: str) -> None:
        self.problem, self.start, self.kind = problem, start, kind
        self.recipes, self.store = recipes, store
        self.journal: Journal | None = None
        self.careful = False
        self.patterns = self._patterns()
        self._finalizer = weakref.finalize(self, store.remove)

    def _patterns(self) -> Patterns:
        delayed = [task(prepared, r, i, self.store, self.kind, name="lay-out") for i, r in enumerate(self.recipes)]
        found = tree(delayed, merged)
        raise_refusal(found)
        return found

    @property
    def in_loop(self) -> bool:
        """Whether any row stays in the loop: where none does, moments say everything and no pass touches the chunks."""
        return not self.patterns.single.all()

    @property
    def compiled(self) -> bool:
        """Whether blocks are passed over by the compiled pass."""
        return self.kind == COMPILED and self.in_loop and not self.careful

    def expect(self, plan: Plan, C: Coefficients, hard: bool) -> Sums:
        """What `rows.expect` returns, over all blocks."""
        if self.journal is None or not self.in_loop:
            return self._expect(plan, C, hard)
        found = self.journal.recall(C, hard)
        return found if found is not None else self.journal.record(C, hard, lambda: self._expect(plan, C, hard))

    def _expect(self, plan: Plan, C: Coefficients, hard: bool) -> Sums:
        here = general_pass(plan.layout, C, plan.K, hard, self.careful)
        if not self.in_loop:
            return here
        kind = GENERAL if self.careful else self.kind
        arguments = (self.store, kind, plan.K, C, hard, self.careful)
        missing: set[int] = set()
        while True:
            blocks = [(i, recipe if i in missing else None) for i, recipe in enumerate(self.recipes)]
            some = min(BRANCHES, max(1, len(blocks) // TASKS))
            delayed = [
                task(several_passes, blocks[i : i + some], *arguments, name="row-pass") for i in range(0, len(blocks), some)
            ]
            there = tree(delayed, summed)
            if not isinstance(there, Missing):
                break
            # a machine that has not seen a block yet: it lays it out. All are added again, in the same order as ever.
            missing |= set(there.blocks)
        raise_refusal(there)
        value, S = finite(summed([here, there]))
        without_holes(plan.layout, S.M, S.U)
        return value, S

    def mapped(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[int, Any]]:
        """(rows of a block, delayed `function(plan of the block, *arguments)`), block by block."""
        for recipe in self.recipes:
            yield recipe.block.rows, task(_unwrapped, recipe, function, *arguments, name="block-of-rows")

    @property
    def fingerprint(self) -> str:
        """What tells these rows, cut into these blocks and met by this model, from others."""
        p = self.patterns
        digest = hashlib.sha256(repr([(r.block.first, r.block.rows) for r in self.recipes]).encode())
        for x in (p.hidden, p.allowed, p.weight, p.R, p.S, p.constant, self.start.centre):
            digest.update(np.ascontiguousarray(x).tobytes())
        return digest.hexdigest()


def _unwrapped(recipe: Recipe, function: Callable[..., Any], *arguments: Any) -> Any:
    found = applied(recipe, function, *arguments)
    raise_refusal(found)
    return found


def tree(delayed: list[Any], add: Callable[[Any], Any]) -> Any:
    """All results added, some at a time, in an order that depends on their number alone."""
    import dask

    joined = dask.delayed(add, name="add", pure=False, traverse=False)
    with dask.annotate(retries=RETRIES):
        while True:
            delayed = [joined(delayed[i : i + BRANCHES]) for i in range(0, len(delayed), BRANCHES)]
            if len(delayed) == 1:
                break
    return computed(delayed)[0]


def plan_rows(problem: Problem | ChunkedProblem) -> Plan:
    """A plan of rows in memory, or in chunks."""
    return chunked_plan(problem) if isinstance(problem, ChunkedProblem) else make_plan(problem)


def chunked_plan(problem: ChunkedProblem) -> Plan:
    """A plan of rows in chunks: two passes over the blocks (one without row data in slots), in which each is laid out.

    Raises what `make_plan` raises, and UnsupportedModel where a slot has more than LEVELS different values of row data.
    """
    start = make_plan(problem.sample)
    conventions = Conventions(start.centre, start.scale)
    slots = slots_of(start)
    if slots:
        recipes = [Recipe(problem.reader, b, conventions, start.axes) for b in problem.blocks]
        found = tree([task(levels_of, r, slots, name="levels") for r in recipes], _all_levels)
        raise_refusal(found)
        conventions = replace(conventions, levels=found)
        start = make_plan(problem.sample, conventions)
    recipes = [Recipe(problem.reader, b, conventions, start.axes) for b in problem.blocks]
    store = Store(f"emvsmcmc-{uuid.uuid4().hex}")
    from ..rows import COMPILED_FROM

    kind = COMPILED if problem.n * start.K >= COMPILED_FROM else GENERAL
    chunks = Chunks(problem, start, recipes, store, kind)
    plan = _joined(start, chunks)
    settle(plan, chunks.patterns.R.reshape(-1, plan.d)[:, covariate_columns(plan)])
    chunks.careful = delicate(plan)
    return plan


def _joined(start: Plan, chunks: Chunks) -> Plan:
    """The sample's plan, whose layout is what is collapsed of all rows."""
    p, full = chunks.patterns, start.full
    radial = replace(full.radial, holes=p.holes) if len(p.holes) else full.radial
    none = slice(0, 0)
    rows = {name: getattr(full, name)[none] for name in ("V", "w", "X", "phi", "level", "E", "hidden", "allowed")}
    layout = replace(full, **rows, start=np.zeros(1, dtype=np.int64), collapsed=p.collapsed, radial=radial)
    return replace(start, full=replace(full, radial=radial), layout=layout, chunks=chunks)


def _all_levels(parts: list[Any]) -> Any:
    for part in parts:
        if isinstance(part, Refused):
            return part
    out = {slot: np.unique(np.vstack([p[slot] for p in parts]), axis=0) for slot in parts[0]}
    for slot, found in out.items():
        if len(found) > LEVELS:
            who = ", ".join([*slot.names, *([] if slot.variable is None else [slot.variable])])
            wanted = f"at most {LEVELS} different values where a density depends on them, for rows in chunks"
            return Refused(UnsupportedModel, (who, wanted, f"more than {LEVELS}", "Round them, or read the rows into memory."))
    return out

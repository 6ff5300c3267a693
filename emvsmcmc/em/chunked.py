"""EM over rows in chunks: starts on a sample of the rows, refined on all of them; what is of the size of the data stays lazy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import xarray as xr

from ..errors import BadInput
from ..expect.layout import RowOutput
from ..expect.plan import Plan
from ..problem.chunked import AnyProblem, ChunkedProblem
from ..spec.evaluate import Environment
from .loop import Loop
from .run import Run

PerRow = Callable[[Plan, RowOutput], xr.Dataset]


def sampled(plan: Plan) -> bool:
    """Whether EM starts on a sample: not where it is all there is, nor where moments say everything."""
    return not plan.store.in_core and plan.store.sample.rows < plan.store.rows


def start_plan(plan: Plan) -> Plan:
    """The plan whose rows random completions are made of."""
    return plan if plan.store.in_core else plan.sample


def refined(loop: Loop, runs: list[Run], optima: list[Environment]) -> list[Run]:
    """Runs on the sample, carried on over all rows: one from each optimum, which the other starts that reached it share.

    A start that reached no optimum of the sample stays as it ended, its objective that of the weighted sample.
    """
    out = list(runs)
    for optimum in range(len(optima)):
        first, *others = [i for i, run in enumerate(runs) if run.optimum == optimum]
        out[first] = loop.run(runs[first].environment)
        for i in others:
            out[i] = replace(out[first], reason=f"on the sample of the rows it reached the optimum of start {first}")
    for run in out:
        run.optimum = -1
    return out


def in_memory_only(problem: AnyProblem, option: str) -> None:
    """Raises BadInput for an option that draws something for every row."""
    if isinstance(problem, ChunkedProblem):
        raise BadInput(option, "rows in memory", "rows in chunks, held by Dask", "Use standard_errors='observed'.")

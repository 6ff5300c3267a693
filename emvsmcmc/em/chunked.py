"""EM over rows in chunks: starts on a sample of the rows, refined on all of them; what is of the size of the data stays lazy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ..errors import BadInput
from ..expect.coefficients import coefficients
from ..expect.layout import RowOutput
from ..expect.plan import Plan
from ..expect.rows import expect
from ..expect.store.chunks import Chunks
from ..problem.problem import Problem
from ..spec.evaluate import Environment
from ..spec.walk import names_in
from .loop import Loop
from .run import Run

PerRow = Callable[[Plan, RowOutput], xr.Dataset]


def sampled(plan: Plan) -> bool:
    """Whether EM starts on a sample: not where it is all there is, nor where moments say everything."""
    return plan.chunks is not None and plan.chunks.in_loop and not plan.chunks.problem.whole


def start_plan(plan: Plan) -> Plan:
    """The plan whose rows random completions are made of."""
    return plan.chunks.start if plan.chunks is not None and plan.chunks.in_loop else plan


def refined(loop: Loop, runs: list[Run], optima: list[Environment], max_iter: int) -> list[Run]:
    """Runs on the sample, carried on over all rows: one from each optimum, which the other starts that reached it share.

    A start that reached no optimum of the sample stays as it ended, its objective that of the weighted sample.
    """
    out = list(runs)
    for optimum in range(len(optima)):
        first, *others = [i for i, run in enumerate(runs) if run.optimum == optimum]
        out[first] = loop.run(runs[first].environment, max_iter)
        for i in others:
            out[i] = replace(out[first], reason=f"on the sample of the rows it reached the optimum of start {first}")
    for run in out:
        run.optimum = -1
    return out


def told(chunks: Chunks, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(N, M, S, seen) of `informed.CompleteData`, from the moments of all patterns."""
    p, K, d = chunks.patterns, plan.K, plan.d
    N, M, S = np.zeros(K), np.zeros((K, d, d)), np.zeros((plan.layout.n_tables, K))
    for q in np.flatnonzero(p.weight > 0):
        ks = np.flatnonzero(p.allowed[q])
        N[ks] += p.weight[q] / len(ks)
        M[ks] += (p.R[q].T @ p.R[q] + np.diag(p.weight[q] * plan.scale**2 * p.hidden[q])) / len(ks)
        S[:, ks] += p.S[q][:, None] / len(ks)
    seen = {}
    for part in plan.parts:
        name = part.variable.label
        read = any(name in names_in(e) for other in plan.parts for e in other.distribution.arguments.values())
        everywhere = np.repeat(p.counted[:, None], part.size, axis=1)
        found = everywhere if read or name not in p.there else p.there[name]
        seen[name] = p.allowed.T.astype(float) @ found > 0
    return N, M, S, seen


def lazily(plan: Plan, env: Environment, per_row: PerRow, *further: Any) -> xr.Dataset:
    """What `per_row(plan, rows, *further)` gives for the rows of a plan in memory, as a Dataset of Dask arrays over all rows.

    Each chunk is read and passed over when Dask computes it. Rows have no labels: they are counted from 0.
    """
    import dask
    import dask.array as da

    chunks = plan.chunks
    assert chunks is not None
    values = {v.label: env.values[v.label].array for v in plan.parameters}
    like = _of_block(chunks.start, values, per_row, further)
    plate = chunks.problem.plate
    parts: dict[str, list[Any]] = {str(name): [] for name in like.data_vars}
    take = dask.delayed(_variable, pure=True, traverse=False)
    for rows, block in chunks.mapped(_of_block, values, per_row, further):
        for name, found in parts.items():
            shape = (rows, *like[name].shape[1:])
            found.append(da.from_delayed(take(block, name), shape, like[name].dtype))
    return xr.Dataset(
        {name: (like[name].dims, da.concatenate(found, axis=0)) for name, found in parts.items()},
        coords={str(k): v for k, v in like.coords.items() if k != plate},
    )


def _of_block(plan: Plan, values: Mapping[str, np.ndarray], per_row: PerRow, further: tuple[Any, ...]) -> xr.Dataset:
    _, _, rows = expect(plan, coefficients(plan, plan.environment(dict(values))), rows=True)
    return per_row(plan, rows, *further)


def _variable(found: xr.Dataset, name: str) -> np.ndarray:
    return found[name].values


def in_memory_only(problem: Any, option: str) -> None:
    """Raises BadInput for an option that draws something for every row."""
    if not isinstance(problem, Problem):
        raise BadInput(option, "rows in memory", "rows in chunks, held by Dask", "Use standard_errors='observed'.")

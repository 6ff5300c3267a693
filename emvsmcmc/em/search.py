"""Many starts, one answer: starts side by side, the best of them run to their end, and which of them share an optimum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..errors import Degenerate, Status
from ..expect.coefficients import coefficients
from ..expect.objective import Objective
from ..expect.plan import Plan
from ..expect.rows import expect_rows
from ..invariance.labels import named_alike
from ..numerics import cores
from ..spec.evaluate import Environment
from .loop import Loop
from .run import Run
from .starts import random_start

SAME_OPTIMUM = 1e-4  # largest difference of a row's log-likelihood between two starts at the same optimum
SHORT = 300  # iterations that every start gets
LONG = 3  # unfinished starts, the best ones, that are then run to their end
ROOM = 2**28  # bytes that the completed rows of all starts under way may take
PREFERRED = (Status.CONVERGED, Status.HEYWOOD, Status.STALLED, Status.MAX_ITER)  # among starts whose objectives are the same


def from_starts(loop: Loop, start: Plan, seeds: list[np.random.SeedSequence], tick: Callable[[], None]) -> list[Run]:
    """A run from a random start for each seed, the best unfinished ones to their end.

    start : the plan whose rows random completions are made of.
    """
    runs = []
    for run in _side_by_side(start, lambda seed: _one(loop, start, np.random.default_rng(seed)), seeds):
        runs.append(run)
        tick()
    _finish(loop, runs)
    return runs


def best_of(usable: list[Run]) -> Run:
    """The highest objective; of those within its rounding, one that ended at a maximum, whether inside or at a boundary."""
    top = max(r.objective for r in usable)
    same = [r for r in usable if r.objective >= top - 1e-8 * max(1.0, abs(top))]
    return min(same, key=lambda r: (r.status not in PREFERRED[:2], -r.objective, PREFERRED.index(r.status)))


def candidates(runs: list[Run]) -> list[Run]:
    """A start that was left on its way is no optimum, unless nothing better ended."""
    usable = [r for r in runs if r.status.usable]
    top = max((r.objective for r in usable if r.status.finished), default=-np.inf)
    return [r for r in usable if r.status.finished or r.objective > top]


def _side_by_side(plan: Plan, one: Callable[[np.random.SeedSequence], Run], seeds: list[np.random.SeedSequence]) -> Iterator[Run]:
    """The starts in order; where the rows are many, as many at a time as there are cores.

    A compiled pass leaves the interpreter to others. On few rows the interpreter is most of the work, and threads would wait.
    """
    workers = min(len(seeds), cores())
    if workers == 1 or not plan.store.compiled or workers * plan.full.V.nbytes > ROOM:
        yield from map(one, seeds)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(one, seeds)
    finally:
        pool.shutdown(cancel_futures=True)


def _one(loop: Loop, start: Plan, rng: np.random.Generator) -> Run:
    try:
        env = random_start(start, loop.mstep, rng)
    except (Degenerate, np.linalg.LinAlgError) as end:
        return Run(None, Status.DEGENERATE, str(end), -np.inf, [], 0, 0, np.inf, np.nan)  # type: ignore[arg-type]
    return loop.run(env, min(SHORT, loop.max_iter))


def _finish(loop: Loop, runs: list[Run]) -> None:
    """Run the best of the unfinished starts to their end. A start that creeps along a ridge far below the best is left there.

    Sooner or later every start would end; hundreds of nats below another one it cannot matter where.
    """
    waiting = [i for i, r in enumerate(runs) if r.status is Status.MAX_ITER and r.iterations < loop.max_iter]
    waiting.sort(key=lambda i: -runs[i].objective)
    top = max((r.objective for r in runs if r.status.usable), default=-np.inf)
    for rank, i in enumerate(waiting):
        if rank >= LONG:
            below = top - runs[i].objective
            left = f"left after {runs[i].iterations} iterations, {below:.3g} below the best and behind {LONG} other starts"
            runs[i].reason = left
            continue
        runs[i] = loop.resume(runs[i], loop.max_iter)
        top = max(top, runs[i].objective)


def group(plan: Plan, runs: list[Run], objective: Objective) -> list[Environment]:
    """Number the distinct optima from the best. Two starts share one when every row has the same log-likelihood under both,
    which no relabelling, reflection or rotation can change. With a prior that tells names apart, they must agree in these too."""
    if len(runs) == 1:  # nothing to tell apart: spare a pass over the rows
        runs[0].optimum = 0
        return [runs[0].environment]
    optima: list[Run] = []
    for run in sorted(runs, key=lambda r: -r.objective):
        _, _, rows = expect_rows(plan, coefficients(plan, run.environment))
        run.fingerprint = rows.log_likelihood[plan.problem.weights > 0]
        for i, other in enumerate(optima):
            if np.abs(run.fingerprint - other.fingerprint).max() < SAME_OPTIMUM * max(1.0, np.abs(other.fingerprint).max()) and (
                not objective.prior or named_alike(plan, run.environment, other.environment)
            ):
                run.optimum = i
                break
        else:
            run.optimum = len(optima)
            optima.append(run)
    return [r.environment for r in optima]

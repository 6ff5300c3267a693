"""fit_em: many starts, one answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import NO_COMPONENTS, BadInput, Degenerate, FitFailed, Status, Unidentified
from ..expect.coefficients import coefficients
from ..expect.plan import Plan
from ..expect.rows import compiled, expect
from ..expect.store.chunks import plan_rows
from ..expect.store.journal import Journal
from ..invariance.axes import oriented
from ..invariance.labels import canonical, named_alike, namings, preferred
from ..numerics import checked_seed, cores
from ..problem.chunked import ChunkedProblem
from ..problem.known import starting_values
from ..problem.problem import Problem
from ..spec.arguments import parents
from ..spec.evaluate import Environment
from .chunked import in_memory_only, refined, sampled, start_plan
from .derived import at_estimate
from .identify.check import identified
from .loop import Loop
from .mstep import MStep
from .recession import Recession, recede
from .result import EMFit, Start, parameter_dataset, parameter_history
from .run import Run
from .saddle import leave
from .starts import random_start
from .uncertainty import REPLICATES, Uncertainty, bootstrap, observed, unknown

SAME_OPTIMUM = 1e-4  # largest difference of a row's log-likelihood between two starts at the same optimum
SHORT = 300  # iterations that every start gets
LONG = 3  # unfinished starts, the best ones, that are then run to their end
ROOM = 2**28  # bytes that the completed rows of all starts under way may take
PREFERRED = (Status.CONVERGED, Status.HEYWOOD, Status.STALLED, Status.MAX_ITER)  # among starts whose objectives are the same


def fit_em(
    problem: Problem | ChunkedProblem,
    objective: Literal["ml", "map"] = "ml",
    assignment: Literal["soft", "hard"] = "soft",
    starts: int = 20,
    tol: float = 1e-11,
    max_iter: int = 10_000,
    accelerate: bool = True,
    standard_errors: Literal["observed", "bootstrap"] | None = "observed",
    random_seed: int | None = None,
    progress: bool = True,
    init: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
) -> EMFit:
    """Fit by EM (Dempster, Laird and Rubin 1977; Meng and Rubin 1993 for the conditional steps).

    Parameters
    ----------
    objective : "ml" maximises the log-likelihood; "map" adds the log prior of the parameters as declared, with no Jacobian.
    assignment : "soft", or "hard" for classification EM: every hidden variable sits at its most probable value.
    starts : random completions to start from; all are kept and grouped by the optimum they reached. Each gets 300 iterations;
        of those that need more, the best three are run to their end.
    tol : nats still to gain, of all parameters together, at which an iteration has converged; 1e-11 is 5e-6 standard errors.
    max_iter : iterations a start.
    accelerate : SQUAREM on unconstrained coordinates, monotone; off for hard assignment.
    standard_errors : "observed" information, weighted-likelihood "bootstrap", or None.
    init : parameter values to start from instead (one start), all of them, in declared shape; see `starting_values`.
    checkpoint : a folder, for rows in chunks: every pass over them is written down there, and a fit that was stopped goes on
        from the last one with the same result.

    Rows in chunks (`ChunkedProblem`): the row pass runs over the blocks by Dask's scheduler. Where they are too many to be all
    sampled, starts run on the sample and one from each optimum is then run over all rows.

    Raises
    ------
    Unidentified : under "ml", a parameter that occurs only in priors, or more parameters than the data have moments. EmptyClass,
        EmptyColumn, Collinear : under "ml", data that say nothing about some parameter. UnsupportedModel, NotAffine : see `plan`.
    FitFailed : no start reached an optimum; `status` and `starts` say how they ended. NotMonotone : the objective fell.
    """
    _check(objective, assignment, starts, tol, max_iter)
    checked_seed(random_seed)
    began = time.perf_counter()
    if standard_errors == "bootstrap":
        in_memory_only(problem, "standard_errors='bootstrap'")
    plan = plan_rows(problem)
    keep_journal(plan, checkpoint)
    prior = objective == "map"
    if not prior:
        _identified(plan)
    mstep = MStep(plan, prior)
    if not prior:
        identified(plan, mstep.regressions)
    start = start_plan(plan)
    options = (mstep, assignment == "hard", tol, max_iter, accelerate)
    all_rows = partial(Loop, plan, *options)
    a_loop = partial(Loop, start, *options) if sampled(plan) else all_rows
    notes: list[str] = []
    seeds = np.random.SeedSequence(random_seed).spawn(starts + 1)
    runs: list[Run] = []
    with _progress(progress, "EM", 1 if init is not None else starts) as tick:
        if init is not None:
            runs.append(all_rows().traced(plan.environment(starting_values(plan.problem, init, notes)), max_iter))
            tick()
        else:
            for run in _side_by_side(
                start,
                lambda seed: _one(a_loop(), start, mstep, np.random.default_rng(seed), min(SHORT, max_iter)),
                seeds[:starts],
            ):
                runs.append(run)
                tick()
            _finish(a_loop(), runs, max_iter)
            if prior and (ended := [r for r in runs if r.status.usable]):
                # a start keeps the names it happened to have: where only the prior tells them apart, the best are looked for
                top = max(ended, key=lambda r: r.objective).environment
                runs += [a_loop().run(env, max_iter) for env in namings(start, top)]
            if sampled(plan):
                there = _group(start, _candidates(runs), prior)
                runs = refined(all_rows(), runs, there, max_iter)
    usable = [r for r in runs if r.status.usable]
    unbounded = [r for r in runs if r.status is Status.UNBOUNDED]
    if not usable and not unbounded:
        raise FitFailed(_all_failed(plan, runs), Status.DEGENERATE, _starts(runs))
    optima = _group(plan, _candidates(runs), prior)
    best = _best(usable) if usable else max(unbounded, key=lambda r: len(r.path))
    rng = np.random.default_rng(seeds[-1])
    if init is None:
        # a run keeps the labels its start happened to have; what is reported does not depend on them
        def name(env: Environment) -> Environment:
            return oriented(plan, canonical(plan, env if prior else preferred(plan, env)), prior)

        optima, best.environment = [name(env) for env in optima], name(best.environment)

    def settled(run: Run) -> tuple[Recession | None, Uncertainty]:
        """Whether the run is on its way to infinity, and its uncertainty; proper priors let nothing go there."""
        endless = None if prior else recede(plan, all_rows, run, max_iter)
        return endless, _uncertainty(plan, run, prior, standard_errors, tol, rng, progress, endless)

    endless, found = settled(best)
    # random starts do not begin at what a saddle has in common; a given one may, and is looked at in any case
    if endless is None and assignment == "soft" and (init is not None or found.information is not None):
        last = leave(plan, all_rows, best, found, prior, max_iter)
        if last is not best:
            runs, best = [last if r is best else r for r in runs], last
            optima = _group(plan, _candidates(runs), prior)
            if init is None:
                optima, best.environment = [name(env) for env in optima], name(best.environment)
            endless, found = settled(best)
    if endless is not None:
        optima[best.optimum] = best.environment
        for run in runs:  # the same way, left at other places
            if run.optimum == best.optimum and run.status.usable:
                run.status, run.reason = best.status, best.reason
    about = {"objective": objective, "assignment": assignment, "random_seed": random_seed, "notes": tuple(notes)}
    return _result(plan, best, runs, optima, found, time.perf_counter() - began, {**about, "recession": endless})


def _best(usable: list[Run]) -> Run:
    """The highest objective; of those within its rounding, one that ended at a maximum, whether inside or at a boundary."""
    top = max(r.objective for r in usable)
    same = [r for r in usable if r.objective >= top - 1e-8 * max(1.0, abs(top))]
    return min(same, key=lambda r: (r.status not in PREFERRED[:2], -r.objective, PREFERRED.index(r.status)))


def _candidates(runs: list[Run]) -> list[Run]:
    """A start that was left on its way is no optimum, unless nothing better ended."""
    usable = [r for r in runs if r.status.usable]
    top = max((r.objective for r in usable if r.status.finished), default=-np.inf)
    return [r for r in usable if r.status.finished or r.objective > top]


def keep_journal(plan: Plan, checkpoint: str | Path | None) -> None:
    """Passes over rows in chunks are remembered in a folder. Raises BadInput for rows in memory."""
    if checkpoint is None:
        return
    if plan.chunks is None:
        raise BadInput("checkpoint", "rows in chunks, whose passes take long", "rows in memory", "Leave it out.")
    plan.chunks.journal = Journal(checkpoint, plan.chunks.fingerprint, [v.label for v in plan.parameters])


def _uncertainty(
    plan: Plan,
    best: Run,
    prior: bool,
    kind: str | None,
    tol: float,
    rng: np.random.Generator,
    progress: bool,
    endless: Recession | None,
) -> Uncertainty:
    usable = best.status.usable or endless is not None
    if kind == "observed" and usable:
        return observed(plan, best.environment, None, prior, endless)
    if kind == "bootstrap" and usable:
        with _progress(progress, "bootstrap", REPLICATES) as tick:
            return bootstrap(plan, best.environment, prior, tol, rng, tick=tick, endless=endless)
    return unknown(plan, best.environment, "standard_errors=None" if usable else best.status.sentence, prior, endless)


def _result(
    plan: Plan, best: Run, runs: list[Run], optima: list[Environment], found: Uncertainty, seconds: float, about: dict[str, Any]
) -> EMFit:
    env = best.environment
    try:
        log_likelihood, _ = expect(plan, coefficients(plan, env))
    except (Degenerate, np.linalg.LinAlgError):  # an unbounded path ends outside the model
        log_likelihood = float("nan")
    values = {v.label: env.values[v.label].array for v in plan.parameters}
    nothing = {name: np.full(np.shape(x), np.nan) for name, x in values.items()}
    functions = at_estimate(plan, env, found)
    return EMFit(
        problem=plan.problem if plan.chunks is None else plan.chunks.problem,
        estimate=parameter_dataset(plan.problem, values | functions.estimate),
        standard_error=parameter_dataset(plan.problem, {**nothing, **found.standard_error, **functions.standard_error}),
        reasons=found.reasons | functions.reasons,
        log_likelihood=log_likelihood,
        objective_value=best.objective,
        path=np.array(best.path),
        history=parameter_history(plan.problem, best.trace, best.path) if best.trace else None,
        starts=_starts(runs),
        optima=optima,
        status=best.status,
        reason=best.reason,
        iterations=best.iterations,
        gain=best.gain,
        rate=best.rate,
        missing_information=parameter_dataset(plan.problem, {**nothing, **found.missing, **functions.missing}),
        n_parameters=found.n_parameters,
        uncertainty=found,
        environment=env,
        plan=plan,
        seconds=seconds,
        **about,
    )


def _side_by_side(plan: Plan, one: Callable[[np.random.SeedSequence], Run], seeds: list[np.random.SeedSequence]) -> Iterator[Run]:
    """The starts in order; where the rows are many, as many at a time as there are cores.

    A compiled pass leaves the interpreter to others. On few rows the interpreter is most of the work, and threads would wait.
    """
    workers = min(len(seeds), cores())
    if workers == 1 or not compiled(plan) or workers * plan.full.V.nbytes > ROOM:
        yield from map(one, seeds)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(one, seeds)
    finally:
        pool.shutdown(cancel_futures=True)


def _one(loop: Loop, plan: Plan, mstep: MStep, rng: np.random.Generator, iterations: int) -> Run:
    try:
        env = random_start(plan, mstep, rng)
    except (Degenerate, np.linalg.LinAlgError) as end:
        return Run(None, Status.DEGENERATE, str(end), -np.inf, [], 0, 0, np.inf, np.nan)  # type: ignore[arg-type]
    return loop.run(env, iterations)


def _finish(loop: Loop, runs: list[Run], max_iter: int) -> None:
    """Run the best of the unfinished starts to their end. A start that creeps along a ridge far below the best is left there.

    Sooner or later every start would end; hundreds of nats below another one it cannot matter where.
    """
    waiting = [i for i, r in enumerate(runs) if r.status is Status.MAX_ITER and r.iterations < max_iter]
    waiting.sort(key=lambda i: -runs[i].objective)
    top = max((r.objective for r in runs if r.status.usable), default=-np.inf)
    for rank, i in enumerate(waiting):
        if rank >= LONG:
            below = top - runs[i].objective
            runs[
                i
            ].reason = f"left after {runs[i].iterations} iterations, {below:.3g} below the best and behind {LONG} other starts"
            continue
        runs[i] = loop.resume(runs[i], max_iter)
        top = max(top, runs[i].objective)


def _starts(runs: list[Run]) -> list[Start]:
    return [Start(r.objective, r.iterations, r.passes, r.status, r.reason, r.optimum, np.array(r.path)) for r in runs]


def _group(plan: Plan, runs: list[Run], prior: bool = False) -> list[Environment]:
    """Number the distinct optima from the best. Two starts share one when every row has the same log-likelihood under both,
    which no relabelling, reflection or rotation can change. With a prior that tells names apart, they must agree in these too."""
    if len(runs) == 1:  # nothing to tell apart: spare a pass over the rows
        runs[0].optimum = 0
        return [runs[0].environment]
    optima: list[Run] = []
    for run in sorted(runs, key=lambda r: -r.objective):
        _, _, rows = expect(plan, coefficients(plan, run.environment), rows=True)
        run.fingerprint = rows.log_likelihood[plan.problem.weights > 0]
        for i, other in enumerate(optima):
            if np.abs(run.fingerprint - other.fingerprint).max() < SAME_OPTIMUM * max(1.0, np.abs(other.fingerprint).max()) and (
                not prior or named_alike(plan, run.environment, other.environment)
            ):
                run.optimum = i
                break
        else:
            run.optimum = len(optima)
            optima.append(run)
    return [r.environment for r in optima]


def _all_failed(plan: Plan, runs: list[Run]) -> str:
    reasons = sorted({r.reason for r in runs})
    advice = Status.DEGENERATE.sentence if plan.latents else NO_COMPONENTS
    return f"all {len(runs)} starts ended as degenerate ({'; '.join(reasons[:3])}). {advice}"


def _identified(plan: Plan) -> None:
    """ML leaves a parameter that occurs only in priors without an objective."""
    used = set().union(*[parents(v) for v in plan.problem.row_variables], set())
    for v in plan.parameters:
        if v.label not in used:
            raise Unidentified(
                v.label,
                "a parameter of some row variable, for objective='ml'",
                "one that occurs only in priors",
                "Use objective='map', or fix it in the data.",
            )


def _check(objective: str, assignment: str, starts: int, tol: float, max_iter: int) -> None:
    if objective not in ("ml", "map"):
        raise BadInput("objective", "'ml' or 'map'", repr(objective))
    if assignment not in ("soft", "hard"):
        raise BadInput("assignment", "'soft' or 'hard'", repr(assignment))
    if starts < 1 or max_iter < 1 or not tol > 0:
        raise BadInput("starts, max_iter, tol", "positive values", f"{starts}, {max_iter}, {tol}")


@contextmanager
def _progress(show: bool, label: str, total: int):  # type: ignore[no-untyped-def]
    """A progress bar on standard error where it is a terminal; nothing elsewhere."""
    if not show or total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)

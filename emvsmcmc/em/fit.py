"""fit_em: many starts, one answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import NO_COMPONENTS, Degenerate, FitFailed, Status, Unidentified
from ..expect.coefficients import coefficients
from ..expect.objective import OBJECTIVES, Objective
from ..expect.plan import Plan
from ..expect.rows import expect
from ..expect.store.chunks import plan_rows
from ..invariance.axes import oriented
from ..invariance.labels import canonical, namings, preferred
from ..problem.chunked import AnyProblem
from ..problem.known import starting_values
from ..spec.arguments import parents
from ..spec.evaluate import Environment
from .chunked import in_memory_only, refined, sampled, start_plan
from .derived import at_estimate
from .identify.check import identified
from .loop import Loop
from .mstep import MStep
from .options import Assignment, EMOptions, Errors, Goal
from .recession import Recession, recede
from .result import EMFit, Start, parameter_dataset, parameter_history
from .run import Run
from .saddle import leave
from .search import best_of, candidates, from_starts, group
from .uncertainty import REPLICATES, Uncertainty, bootstrap, observed, unknown


def fit_em(
    problem: AnyProblem,
    objective: Goal = EMOptions.objective,
    *,
    assignment: Assignment = EMOptions.assignment,
    starts: int = EMOptions.starts,
    tol: float = EMOptions.tol,
    max_iter: int = EMOptions.max_iter,
    accelerate: bool = EMOptions.accelerate,
    standard_errors: Errors | None = EMOptions.standard_errors,
    random_seed: int | None = EMOptions.random_seed,
    progress: bool = EMOptions.progress,
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

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec() as spec:
    ...     rate = ev.Gamma("rate", 2, 0.1)
    ...     _ = ev.Poisson("count", rate, dims="day")
    >>> em = ev.fit_em(ev.condition(spec, {"count": [3, 5, 4]}), random_seed=1, progress=False)
    >>> em.status.value, round(float(em.estimate["rate"]), 6), round(float(em.standard_error["rate"]), 6)  # mean, sqrt(mean / n)
    ('converged', 4.0, 1.154701)
    >>> mode = ev.fit_em(ev.condition(spec, {"count": [3, 5, 4]}), "map", random_seed=1, progress=False)
    >>> round(float(mode.estimate["rate"]), 6)  # (12 + 2 - 1) / (3 + 0.1)
    4.193548
    """
    options = EMOptions(
        objective=objective, assignment=assignment, starts=starts, tol=tol, max_iter=max_iter, accelerate=accelerate,
        standard_errors=standard_errors, random_seed=random_seed, progress=progress,
    )  # fmt: skip
    return run_em(problem, options, init, checkpoint)


def run_em(
    problem: AnyProblem,
    options: EMOptions,
    init: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
) -> EMFit:
    """`fit_em`, with its options as a record."""
    began = time.perf_counter()
    if options.standard_errors == "bootstrap":
        in_memory_only(problem, "standard_errors='bootstrap'")
    plan = plan_rows(problem)
    if checkpoint is not None:
        plan.store.remember(checkpoint, [v.label for v in plan.parameters])
    maximised = OBJECTIVES[options.objective]
    if not maximised.prior:
        _identified(plan)
    mstep = MStep(plan, maximised)
    if not maximised.prior:
        identified(plan, mstep.regressions)
    *seeds, last = np.random.SeedSequence(options.random_seed).spawn(options.starts + 1)
    fitting = _Fitting(problem, plan, Loop(plan, mstep, options), options, np.random.default_rng(last), given=init is not None)
    runs = _searched(fitting, seeds) if init is None else _from_values(fitting, init)
    usable = [r for r in runs if r.status.usable]
    unbounded = [r for r in runs if r.status is Status.UNBOUNDED]
    if not usable and not unbounded:
        raise FitFailed(_all_failed(plan, runs), Status.DEGENERATE, _starts(runs))
    best = best_of(usable) if usable else max(unbounded, key=lambda r: len(r.path))
    optima = _named_optima(fitting, runs, best)
    settled = _settle(fitting, best)
    # random starts do not begin at what a saddle has in common; a given one may, and is looked at in any case
    if settled.endless is None and not options.hard and (fitting.given or settled.uncertainty.information is not None):
        after = leave(plan, fitting.loop, best, settled.uncertainty)
        if after is not best:
            runs, best = [after if r is best else r for r in runs], after
            optima = _named_optima(fitting, runs, best)
            settled = _settle(fitting, best)
    if settled.endless is not None:
        optima[best.optimum] = best.environment
        for run in runs:  # the same way, left at other places
            if run.optimum == best.optimum and run.status.usable:
                run.status, run.reason = best.status, best.reason
    return _result(fitting, runs, best, optima, settled, time.perf_counter() - began)


@dataclass
class _Fitting:
    """What all parts of one fit share. given : whether it starts from given values, whose names and axes then stay."""

    problem: AnyProblem
    plan: Plan
    loop: Loop
    options: EMOptions
    rng: np.random.Generator
    given: bool
    notes: list[str] = field(default_factory=list)

    @property
    def objective(self) -> Objective:
        """What is maximised."""
        return self.loop.mstep.objective


@dataclass(frozen=True)
class _Settled:
    """What is known at the end of the best run: its uncertainty, and the way to infinity that it is on."""

    uncertainty: Uncertainty
    endless: Recession | None


def _from_values(fitting: _Fitting, init: Mapping[str, Any]) -> list[Run]:
    """One run from given values, with the parameters of every iteration."""
    values = starting_values(fitting.plan.problem, init, fitting.notes)
    return [fitting.loop.traced(fitting.plan.environment(values))]


def _searched(fitting: _Fitting, seeds: list[np.random.SeedSequence]) -> list[Run]:
    """Runs from random starts, and what they were carried on to."""
    plan, options, start = fitting.plan, fitting.options, start_plan(fitting.plan)
    loop = Loop(start, fitting.loop.mstep, options) if sampled(plan) else fitting.loop
    with _progress(options.progress, "EM", options.starts) as tick:
        runs = from_starts(loop, start, seeds, tick)
        if fitting.objective.prior and (ended := [r for r in runs if r.status.usable]):
            # a start keeps the names it happened to have: where only the prior tells them apart, the best are looked for
            top = max(ended, key=lambda r: r.objective).environment
            runs += [loop.run(env) for env in namings(start, top)]
        if sampled(plan):
            runs = refined(fitting.loop, runs, group(start, candidates(runs), fitting.objective))
    return runs


def _named_optima(fitting: _Fitting, runs: list[Run], best: Run) -> list[Environment]:
    """The optima that runs reached, best first. A run keeps the labels its start happened to have; what is reported, of the best
    run too, does not depend on them.
    """
    plan, objective = fitting.plan, fitting.objective
    optima = group(plan, candidates(runs), objective)
    if fitting.given:
        return optima

    def name(env: Environment) -> Environment:
        return oriented(plan, canonical(plan, env if objective.prior else preferred(plan, env)), objective)

    best.environment, optima = name(best.environment), [name(env) for env in optima]
    return optima


def _settle(fitting: _Fitting, run: Run) -> _Settled:
    """Whether a run is on its way to infinity, and its uncertainty; proper priors let nothing go there."""
    plan, loop, options = fitting.plan, fitting.loop, fitting.options
    endless = None
    if not fitting.objective.prior:
        endless = recede(plan, loop.mstep.unbounded, run, options.hard, options.max_iter, loop.run)
    return _Settled(_uncertainty(fitting, run, endless), endless)


def _uncertainty(fitting: _Fitting, run: Run, endless: Recession | None) -> Uncertainty:
    plan, options, env = fitting.plan, fitting.options, run.environment
    usable = run.status.usable or endless is not None
    if options.standard_errors == "observed" and usable:
        return observed(plan, env, None, fitting.objective, endless)
    if options.standard_errors == "bootstrap" and usable:
        with _progress(options.progress, "bootstrap", REPLICATES) as tick:
            return bootstrap(plan, env, fitting.objective, options.tol, fitting.rng, tick=tick, endless=endless)
    return unknown(plan, env, "standard_errors=None" if usable else run.status.sentence, fitting.objective, endless)


def _result(fitting: _Fitting, runs: list[Run], best: Run, optima: list[Environment], settled: _Settled, seconds: float) -> EMFit:
    plan, options, env, uncertainty = fitting.plan, fitting.options, best.environment, settled.uncertainty
    try:
        log_likelihood, _ = expect(plan, coefficients(plan, env))
    except (Degenerate, np.linalg.LinAlgError):  # an unbounded path ends outside the model
        log_likelihood = float("nan")
    values = {v.label: env.values[v.label].array for v in plan.parameters}
    nothing = {name: np.full(np.shape(x), np.nan) for name, x in values.items()}
    functions = at_estimate(plan, env, uncertainty)
    return EMFit(
        problem=fitting.problem,
        estimate=parameter_dataset(plan.problem, values | functions.estimate),
        standard_error=parameter_dataset(plan.problem, {**nothing, **uncertainty.standard_error, **functions.standard_error}),
        reasons=uncertainty.reasons | functions.reasons,
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
        missing_information=parameter_dataset(plan.problem, {**nothing, **uncertainty.missing, **functions.missing}),
        n_parameters=uncertainty.n_parameters,
        uncertainty=uncertainty,
        environment=env,
        plan=plan,
        seconds=seconds,
        objective=options.objective,
        assignment=options.assignment,
        random_seed=options.random_seed,
        notes=tuple(fitting.notes),
        recession=settled.endless,
    )


def _starts(runs: list[Run]) -> list[Start]:
    return [Start(r.objective, r.iterations, r.passes, r.status, r.reason, r.optimum, np.array(r.path)) for r in runs]


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

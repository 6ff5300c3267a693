"""Whether following the suggestions beats labelling at random: the same start, the same number of labels, other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...em.fit import run_em
from ...em.options import EMOptions
from ...em.result import EMFit
from ...errors import BadInput
from ...expect.planner import make_plan
from ...problem.chunked import in_memory
from ...problem.condition import condition
from ...problem.problem import Problem
from ...seed import checked_seed
from ...spec.model import Spec
from ...spec.named import Named
from ..options import By, Method, RaceOptions, Strategy
from ..sweep.sweep import Task, run_sweep, seed_of
from .draws import label_log_probabilities
from .suggest import suggest

MEASURES = ("log_score", "accuracy", "parameter_error")


def race(
    spec: Spec,
    data: Any,
    labels: str,
    held_out: Any,
    *,
    first: int = RaceOptions.first,
    batch: int = RaceOptions.batch,
    rounds: int = RaceOptions.rounds,
    repeats: int = RaceOptions.repeats,
    strategies: Sequence[Strategy] = RaceOptions.strategies,
    by: By = RaceOptions.by,
    method: Method = RaceOptions.method,
    starts: int = RaceOptions.em.starts,
    truth: Mapping[str, Any] | None = None,
    random_seed: int | None = None,
    store: str | Path | None = None,
    client: Any = None,
    workers: int | None = None,
    progress: bool = True,
    **options: Any,
) -> xr.Dataset:
    """Label rows batch by batch as `suggest` says, at random, and in the reverse order of what it says.

    In each repeat `first` rows of each class, drawn at random, have a label. Then, `rounds` times, each strategy labels another
    `batch` rows. All strategies start from the same rows, and every fit is EM's posterior mode of all rows, labelled and not.

    Parameters
    ----------
    data : rows with every label, or a function of a seed that draws them anew for each repeat.
    held_out : other rows with every label, on which all strategies are measured: what is left unlabelled of `data` differs
        between them.
    starts : of EM. by, method, options : of `suggest`. "reversed" takes the rows of least gain: the negative control.
    truth : parameters to measure the error against; without it those of the fit to all labels.
    random_seed, store, client, workers, progress : of `run_sweep`; a repeat is a task.

    Returns
    -------
    Dataset over (repeat, strategy, round), round 0 before the first batch: log_score, the mean log probability of the true labels
    of `held_out`, nats a row; accuracy on it; parameter_error, the root mean square over the unconstrained coordinates of the
    distance to the truth, each in standard errors of the fit to all labels. Coordinate `labelled` (round): rows with a label.
    A repeat that failed is NaN and its status is in `status` (repeat).

    Raises BadInput for rows without a label and for options out of range, and what `condition` and `run_sweep` raise.
    """
    checked_seed(random_seed)
    RaceOptions(first=first, batch=batch, rounds=rounds, repeats=repeats, strategies=strategies, by=by, method=method)
    seeds = [seed_of(random_seed, r) for r in range(repeats)]

    def conditioned(rows: Any) -> Problem:
        return in_memory(condition(spec, rows), "the race")

    drawn = [conditioned(data(seed)) for seed in seeds] if callable(data) else [conditioned(data)] * repeats
    test = conditioned(held_out)
    K = max(len(np.unique(_codes(problem, labels))) for problem in (*drawn, test))
    most = min(problem.n for problem in drawn)
    if first * K + batch * rounds > most:
        wanted = f"at most {most} labels in all, the rows of the data"
        raise BadInput("first, batch, rounds", wanted, f"{first * K + batch * rounds}")
    known = None if truth is None else {k: np.asarray(v, dtype=float) for k, v in truth.items()}
    em = replace(RaceOptions.em, starts=starts)
    course = Course(test, labels, first, batch, rounds, tuple(strategies), by, method, em, options, known)
    tasks = [
        Task(f"repeat-{r:03d}", seed, run_repeat, {"full": problem, "course": course})
        for r, (seed, problem) in enumerate(zip(seeds, drawn, strict=True))
    ]
    outcomes = list(run_sweep(tasks, store, client, workers, progress).values())
    nothing = np.full((len(strategies), rounds + 1), np.nan)
    dims = ("repeat", "strategy", "round")
    out = {k: (dims, np.stack([o.values[k] if o.done else nothing for o in outcomes])) for k in MEASURES}
    return xr.Dataset(
        {**out, "status": ("repeat", np.array([o.status for o in outcomes]))},
        coords={
            "strategy": list(strategies),
            "round": np.arange(rounds + 1),
            "labelled": ("round", first * K + batch * np.arange(rounds + 1)),
        },
        attrs={
            "by": by,
            "method": method,
            "first": first,
            "batch": batch,
            "labels": labels,
            "reference": "truth" if truth is not None else "all labels",
        },
    )


def paired(strategies: xr.Dataset, one: str, other: str, measure: str = "log_score") -> tuple[float, float]:
    """(mean, its standard error) over repeats of measure(one) - measure(other), each averaged over the rounds after the start.

    Paired by repeat: both began with the same labels.
    """
    after = strategies[measure].isel(round=slice(1, None)).mean("round")
    difference = (after.sel(strategy=one) - after.sel(strategy=other)).values
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        raise BadInput("repeats", "at least 2 that ended", str(len(difference)))
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


@dataclass(frozen=True)
class Course:
    """What all repeats share. options : further ones of `suggest`. em : of every fit. truth : parameters to measure the error
    against.
    """

    test: Problem
    labels: str
    first: int
    batch: int
    rounds: int
    strategies: tuple[Strategy, ...]
    by: By
    method: Method
    em: EMOptions
    options: Mapping[str, Any]
    truth: Mapping[str, np.ndarray] | None


def run_repeat(seed: int, full: Problem, course: Course) -> dict[str, np.ndarray]:
    """One repeat: {measure: (strategies, rounds + 1)}."""
    labels, strategies, rounds = course.labels, course.strategies, course.rounds
    rng = np.random.default_rng(seed)
    code = full.given[labels].array
    known = np.zeros(full.n, dtype=bool)
    for k in np.unique(code):
        known[rng.choice(np.flatnonzero(code == k), min(course.first, int((code == k).sum())), replace=False)] = True
    em = replace(course.em, random_seed=seed, progress=False)
    everything = run_em(full, replace(em, starts=1))
    target = {str(k): v.values for k, v in everything.estimate.items()} if course.truth is None else course.truth
    out = {k: np.empty((len(strategies), rounds + 1)) for k in MEASURES}

    def fitted(now: np.ndarray, informed: bool) -> EMFit:
        problem = hide(full, labels, ~now)
        return run_em(problem, replace(em, standard_errors="observed" if informed else None))

    begin = fitted(known, True)
    for s, strategy in enumerate(strategies):
        now, chance, fit = known.copy(), np.random.default_rng([seed, 1]), begin
        for r in range(rounds + 1):
            if r:
                now[_next(course, strategy, fit, chance, seed + r)] = True
                fit = fitted(now, r < rounds and strategy != "random" and course.method == "em")
            out["log_score"][s, r], out["accuracy"][s, r] = score(fit, course.test, labels)
            out["parameter_error"][s, r] = _distance(everything, fit, target)
    return out


def hide(problem: Problem, label: str, rows: np.ndarray) -> Problem:
    """The same rows without the labels of some."""
    code = problem.given[label]
    given = {**problem.given, label: Named(np.where(rows, np.nan, code.array), code.dims)}
    role = "assignment" if rows.any() else problem.roles[label]
    return replace(problem, given=given, roles={**problem.roles, label: role}, notes=())


def score(fit: EMFit, test: Problem, label: str) -> tuple[float, float]:
    """(mean log probability of the true labels, nats; accuracy) of rows whose labels the fit did not see."""
    blind = make_plan(hide(test, label, np.ones(test.n, dtype=bool)))
    values = {str(k): v.values[None] for k, v in fit.estimate.data_vars.items()}
    lp = label_log_probabilities(blind, label, values)[0]
    code = test.given[label].array.astype(int)
    weights = test.weights / test.weights.sum()
    return float(weights @ lp[np.arange(test.n), code]), float(weights @ (lp.argmax(axis=1) == code))


def _next(course: Course, strategy: Strategy, fit: EMFit, chance: np.random.Generator, seed: int) -> np.ndarray:
    """Positions of the rows to label next."""
    batch, by, method = course.batch, course.by, course.method
    problem = in_memory(fit.problem, "the race")
    hidden = np.flatnonzero(np.isnan(problem.given[course.labels].array))
    if strategy == "random":
        return chance.choice(hidden, batch, replace=False)
    suggestions = suggest(
        problem, batch if strategy == "suggested" else 1, labels=course.labels, by=by, methods=(method,),
        fit=fit if method == "em" else None, all_measures=False, random_seed=seed, progress=False, **course.options,
    )  # fmt: skip
    if strategy == "suggested":
        return suggestions.chosen(method)
    return hidden[np.argsort(suggestions.gains[by].values[0], kind="stable")[:batch]]


def _distance(everything: EMFit, fit: EMFit, target: Mapping[str, Any]) -> float:
    """Root mean square distance of an estimate to the target in standard errors of the fit to all labels."""
    chart, covariance = everything.uncertainty.coordinates, everything.uncertainty.covariance
    if covariance is None or not chart.size:
        return float("nan")
    away = chart.pack(fit.environment) - chart.pack(everything.plan.environment({k: np.asarray(v) for k, v in target.items()}))
    with np.errstate(invalid="ignore"):
        return float(np.sqrt(np.mean(away**2 / np.diag(covariance))))


def _codes(problem: Problem, labels: str) -> np.ndarray:
    given = problem.given.get(labels)
    if given is None or np.isnan(given.array).any():
        got = "none" if given is None else f"{int(np.isnan(given.array).sum())} without"
        raise BadInput(labels, "a label in every row: they are hidden here and told one by one", got)
    return given.array.astype(int)

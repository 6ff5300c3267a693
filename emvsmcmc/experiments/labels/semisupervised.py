"""Partial labels: the learning curve of EM, NUTS and the supervised fit on the same masks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from ...em.fit import run_em
from ...em.options import EMOptions
from ...em.result import EMFit
from ...errors import BadInput, EmptyClass, EmvsmcmcError
from ...expect.planner import make_plan
from ...invariance.labels import exchangeable
from ...mcmc.options import NUTSOptions
from ...problem.chunked import in_memory
from ...problem.condition import condition
from ...problem.problem import Problem
from ...seed import checked_seed
from ...spec.model import Spec
from .. import accessor  # noqa: F401 - gives the Dataset its .ev
from ..options import Fitted, LabelsOptions, changed
from ..suggest.draws import label_log_probabilities
from ..sweep.sweep import Outcome, Task, run_sweep, seed_of
from .masks import (
    checked_held_out,
    checked_noise,
    checked_sets,
    evidence_of,
    label_variable,
    masked,
    sampled_rows,
    subset,
    with_labels,
)
from .scores import SCORES, matching, parameter_error, scores

METHODS: tuple[str, ...] = get_args(Fitted)
EVALUATIONS = ("hidden", "held_out")
OF_EM = ("objective", "assignment", "starts", "tol", "max_iter", "accelerate")  # options that are the user's
OF_NUTS = ("draws", "tune", "chains", "likelihood", "marginalize")
NUMBERS = (*SCORES, "rows")  # one for each evaluation
MASK_KEY = len(METHODS)  # a repeat's mask has a seed of its own beside those of its methods
ROUNDED = 1_000_000  # a fraction as part of a seed


def semisupervised(
    spec: Spec,
    data: Any,
    *,
    labels: str | None = None,
    fractions: Sequence[float] = LabelsOptions.fractions,
    repeats: int = LabelsOptions.repeats,
    methods: Sequence[Fitted] = LabelsOptions.methods,
    held_out: float | np.ndarray | None = LabelsOptions.held_out,
    noise: Any = None,
    sets: Any = None,
    truth: Mapping[str, Any] | None = None,
    em_options: Mapping[str, Any] | None = None,
    mcmc_options: Mapping[str, Any] | None = None,
    random_seed: int | None = None,
    store: str | Path | None = None,
    client: Any = None,
    workers: int | None = None,
    progress: bool = True,
    retry_failed: bool = False,
    name: str = "model",
    ignore_extra: bool = False,
) -> xr.Dataset:
    """How well each method labels rows, and finds the parameters, when it sees only a fraction of the labels.

    Each repeat holds rows out and draws a mask, stratified by class and nested over the fractions; every method sees the same.

    em          `fit_em` on all training rows, labelled or not
    mcmc        `fit_mcmc` on the same; probabilities of labels are averaged over its draws
    supervised  `fit_em` on the labelled rows alone: the closed-form fit, where labels are hard and nothing else is missing

    Parameters
    ----------
    data : with the labels in full, or with holes where they are not known; rows without a known label are always fitted and never
        judged.
    labels : the discrete variable to be masked; may be left out where the data give one alone.
    fractions : of the labels of the training rows that the fit sees, 0 to 1.
    held_out : share of each class left out of every fit, drawn anew for each repeat; or positions of rows; or None.
    noise : confusion matrix C[true, observed]. The labels seen are drawn from it, and enter as the soft labels that it implies.
    sets : labels seen are sets that hold the true one: (n, K) booleans, or how many candidates a set has, the others at random.
    truth : true parameters, for simulated data. Otherwise the reference is EM's fit of the same training rows with all labels.
    em_options, mcmc_options : of `fit_em` (default 10 starts, tol 1e-8) and `fit_mcmc` (default 250 draws after 250, 2 chains).
    ignore_extra : leave out columns that the spec does not name, as in `condition`.
    store, client, workers, progress, retry_failed : see `run_sweep`. A store needs a `random_seed`. More repeats
        or fractions may be added later.

    Returns
    -------
    Dataset over (fraction, repeat, method, evaluation), evaluation "hidden" (training rows whose label was not seen) or
    "held_out": accuracy, adjusted_rand, log_score (nats a row), brier (0 to 2), calibration_error (of the most probable label, 10
    bins of equal width), rows (how many were judged). Over (fraction, repeat, method): parameter_error, the root mean square over
    all entries of (estimate - reference) / standard error of the fit with all labels; status ("converged", "sampled" or a named
    failure, whose scores are NaN) and message; r_hat and ess, the worst of any parameter, for mcmc. `labelled` (fraction, repeat)
    counts the labels seen. `dataset.ev.report(folder)` writes the page, `dataset.ev.table` summarises;
    `dataset.sel({"method": "em"})` takes a method, since `sel(method=...)` means something else to xarray.

    Without any label, where the classes may be permuted, clusters have no names: they are matched to the classes by the
    assignment that agrees best on the hidden rows (scipy's `linear_sum_assignment`), before accuracy, log score, Brier score,
    calibration and parameter error are taken. That uses labels which the fit has not seen: read them as the best case, and the
    adjusted Rand index as the fair score.

    Raises
    ------
    BadInput : options that cannot be met, with a remedy. DifferentSweep, StoreBusy : see `run_sweep`.

    Source: Nigam, McCallum, Thrun and Mitchell (2000), Text classification from labeled and unlabeled documents using EM, Machine
    Learning 39, 103-134, for the design of the experiment; Chapelle, Schölkopf and Zien (2006), Semi-Supervised Learning, ch. 4,
    for when unlabelled rows hurt.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as spec:
    ...     share = ev.Dirichlet("share", 1, dims="kind")
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")
    ...     _ = ev.Poisson("count", rate[z], dims="day")
    >>> data = {"count": [0, 1, 2, 1, 18, 20, 22, 19], "z": ["quiet"] * 4 + ["busy"] * 4}
    >>> methods = ["em", "supervised"]
    >>> curves = ev.semisupervised(
    ...     spec, data, fractions=[0.5], repeats=2, methods=methods, held_out=None, random_seed=1, workers=0, progress=False
    ... )
    >>> curves["labelled"].values.tolist(), curves["accuracy"].sel(evaluation="hidden").min().item()  # half of 8 labels, twice
    ([[4.0, 4.0]], 1.0)
    """
    options = LabelsOptions(fractions=fractions, repeats=repeats, methods=methods, held_out=held_out)
    _check_seed(random_seed, store)
    shares, names = sorted(float(f) for f in fractions), list(methods)
    em, em_told = changed("em_options", options.em, em_options, OF_EM)
    nuts, nuts_told = changed("mcmc_options", options.nuts, mcmc_options, OF_NUTS)
    problem = in_memory(condition(spec, data, ignore_extra=ignore_extra), "semisupervised")
    variable = label_variable(problem, labels)
    codes, K = problem.given[variable.label].array, problem.levels(variable)
    if noise is not None and sets is not None:
        raise BadInput("noise, sets", "one of the two", "both")
    design = Design(
        problem,
        variable.label,
        checked_held_out(held_out, problem.n),
        checked_noise(noise, K),
        checked_sets(sets, codes, K),
        _truth(problem, truth),
        em,
        nuts,
    )
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if random_seed is None else random_seed
    tasks = [
        Task(
            _task_name(f, r, m),
            seed_of(seed, r, METHODS.index(m), round(f * ROUNDED)),
            learned,
            {"design": design, "fraction": f, "method": m, "mask_seed": seed_of(seed, r, MASK_KEY)},
        )
        for r in range(repeats)
        for f in shares
        for m in names
    ]
    outcomes = run_sweep(tasks, store, client, workers, progress, retry_failed)
    evaluations = EVALUATIONS if design.held_out is not None else EVALUATIONS[:1]
    curves = _dataset(outcomes, shares, repeats, names, evaluations)
    about = {
        "model": name,
        "label": variable.label,
        "classes": [str(x) for x in problem.level_labels(variable)],
        "rows": problem.n,
        "reference": "truth" if truth is not None else "all labels",
        "held_out": _held_out_words(design.held_out),
        "seen": "noisy labels" if noise is not None else "sets of labels" if sets is not None else "labels",
        "em_options": em_told,
        "mcmc_options": nuts_told if "mcmc" in methods else {},
    }
    curves.attrs = {"experiment": "labels", "random_seed": seed, "about": json.dumps(about)}
    return curves


@dataclass(frozen=True)
class Design:
    """What all points of all curves share.

    noise : (K, K) confusion matrix. sets : (n, K) candidates of each row, or how many there are. truth : true parameters.
    """

    problem: Problem
    label: str
    held_out: float | np.ndarray | None = None
    noise: np.ndarray | None = None
    sets: np.ndarray | int | None = None
    truth: Mapping[str, np.ndarray] | None = None
    em: EMOptions = LabelsOptions.em
    nuts: NUTSOptions = LabelsOptions.nuts


def learned(seed: int, design: Design, fraction: float, method: str, mask_seed: int) -> dict[str, Any]:
    """One point of one curve: a task of the sweep."""
    problem, label = design.problem, design.label
    codes = problem.given[label].array
    variable = problem.spec.variables[label]
    K = problem.levels(variable)
    rows = sampled_rows(codes, fraction, mask_seed, design.held_out)
    seen = evidence_of(codes, K, design.noise, design.sets, mask_seed)
    bare = with_labels(problem, label)
    extra: dict[str, Any] = {}
    if method == "mcmc":
        fitted = masked(problem, label, rows, seen)
        draws, extra = _sampled(fitted, replace(design.nuts, random_seed=seed, progress=False))
        status = "sampled"
    else:
        fitted = _fitted_rows(problem, label, rows, seen, method)
        fit = run_em(fitted, replace(design.em, random_seed=seed, standard_errors=None, progress=False))
        draws, status = {k: v[None] for k, v in _values(fit).items()}, fit.status.value
    p = label_log_probabilities(make_plan(bare), label, draws)
    log_p = logsumexp(p, axis=0) - np.log(len(p))
    if variable.counts is not None and exchangeable(make_plan(fitted)).get(variable.counts, "") is None and len(rows.hidden):
        order = matching(log_p[rows.hidden], codes[rows.hidden].astype(int))
        log_p = log_p[:, order]
        draws = _permuted(problem, draws, variable.counts, order)
    parts = {"hidden": rows.hidden, "held_out": rows.held_out}
    judged = [scores(log_p[at], codes[at].astype(int)) | {"rows": len(at)} for at in parts.values()]
    mean = {k: v.mean(axis=0) for k, v in draws.items()}
    return {
        **{k: np.array([float(s[k]) for s in judged]) for k in NUMBERS},
        "parameter_error": _error(design, rows.training, mean),
        "labelled": len(rows.kept),
        "status": status,
        **extra,
    }


def _fitted_rows(problem: Problem, label: str, rows: Any, seen: np.ndarray | None, method: str) -> Problem:
    if method == "em":
        return masked(problem, label, rows, seen)
    if not len(rows.kept):
        raise EmptyClass(label, "a labelled row of each class", "none", "The supervised fit needs some labels.")
    return masked(problem, label, rows, seen, rows.kept)


def _sampled(problem: Problem, options: NUTSOptions) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Aligned draws (draws, *shape) of each parameter, and the worst R-hat and bulk ESS of any."""
    from ...comparison.posterior import summary
    from ...comparison.run import run_nuts
    from ...mcmc.sample import flat_draws

    tree = run_nuts(problem, options)
    posterior = tree["posterior"].to_dataset()
    numbers = summary(problem, posterior)
    worst = {"r_hat": float(numbers["r_hat"].max()), "ess": float(numbers["ess_bulk"].min())}
    return flat_draws(posterior), worst


def _values(fit: EMFit) -> dict[str, np.ndarray]:
    return {v.label: fit.environment.values[v.label].array for v in fit.problem.parameters}


def _permuted(problem: Problem, draws: dict[str, np.ndarray], dim: str, order: np.ndarray) -> dict[str, np.ndarray]:
    """Positions of a dim in another order: position i of the result held order[i]."""
    dims = {v.label: v.dims for v in problem.parameters}
    return {k: np.take(x, order, axis=dims[k].index(dim) + 1) if dim in dims[k] else x for k, x in draws.items()}


def _error(design: Design, training: np.ndarray, mean: dict[str, np.ndarray]) -> float:
    """Distance from the fit with all labels, or from the truth, in standard errors of that fit; NaN where it does not exist."""
    try:
        full = subset(design.problem, training)
        reference = run_em(full, replace(design.em, random_seed=0, standard_errors="observed", progress=False))
    except EmvsmcmcError:
        return float("nan")
    units = {k: v.values for k, v in reference.standard_error.data_vars.items()}
    return parameter_error(mean, _values(reference) if design.truth is None else design.truth, units)  # type: ignore[arg-type]


def _dataset(
    outcomes: Mapping[str, Outcome], fractions: Sequence[float], repeats: int, methods: Sequence[str], evaluations: Sequence[str]
) -> xr.Dataset:
    shape = len(fractions), repeats, len(methods)
    judged = {k: np.full((*shape, len(evaluations)), np.nan) for k in NUMBERS}
    single = {k: np.full(shape, np.nan) for k in ("parameter_error", "r_hat", "ess")}
    labelled = np.full(shape, np.nan)
    status, message = np.full(shape, "", dtype=object), np.full(shape, "", dtype=object)
    for i, j, k in np.ndindex(*shape):
        outcome = outcomes[_task_name(fractions[i], j, methods[k])]
        status[i, j, k], message[i, j, k] = outcome.status, outcome.message
        if not outcome.done:
            continue
        status[i, j, k] = outcome.values["status"]
        labelled[i, j, k] = outcome.values["labelled"]
        for name in NUMBERS:
            judged[name][i, j, k] = outcome.values[name][: len(evaluations)]
        for name in single:
            single[name][i, j, k] = outcome.values.get(name, np.nan)
    dims = ("fraction", "repeat", "method")
    with np.errstate(invalid="ignore"):
        seen = np.fmax.reduce(labelled, axis=2)
    return xr.Dataset(
        {k: ((*dims, "evaluation"), v) for k, v in judged.items()}
        | {k: (dims, v) for k, v in single.items()}
        | {"labelled": (dims[:2], seen), "status": (dims, status.astype(str)), "message": (dims, message.astype(str))},
        coords={
            "fraction": list(fractions),
            "repeat": np.arange(repeats),
            "method": list(methods),
            "evaluation": list(evaluations),
        },
    )


def _task_name(fraction: float, repeat: int, method: str) -> str:
    return f"fraction={fraction:g}/repeat={repeat}/method={method}"


def _check_seed(seed: int | None, store: Any) -> None:
    checked_seed(seed)
    if store is not None and seed is None:
        raise BadInput("random_seed", "a seed, without which a store could never be resumed", "none")


def _truth(problem: Problem, truth: Mapping[str, Any] | None) -> dict[str, np.ndarray] | None:
    if truth is None:
        return None
    names = [v.label for v in problem.parameters]
    if set(truth) != set(names):
        raise BadInput("truth", f"a value for each of {names}", str(sorted(truth)))
    return {k: np.asarray(truth[k], dtype=float) for k in names}


def _held_out_words(held_out: float | np.ndarray | None) -> str:
    if held_out is None:
        return ""
    return f"{len(held_out)} rows" if isinstance(held_out, np.ndarray) else f"{held_out:.0%} of each class"

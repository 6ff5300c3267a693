"""Which row to label next: what one more label would buy, for each hidden row, by both engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd
import xarray as xr

from ...comparison.run import run_nuts
from ...em.fit import run_em
from ...em.options import EMOptions, Goal
from ...em.result import EMFit
from ...errors import BadInput, MissingData, UnknownName
from ...expect.plan import Plan
from ...expect.planner import make_plan
from ...invariance.labels import exchangeable
from ...mcmc.options import NUTSOptions
from ...problem.chunked import AnyProblem, in_memory
from ...problem.labels import hint
from ...problem.problem import Problem
from ...spec.private_dims import is_unnamed
from ..options import By, Method, SuggestOptions
from . import information as gain_information
from .draws import Criterion, choose, entropy, label_log_probabilities

NUMBERS = 40_000_000  # of probabilities kept, draws x rows x labels; of more, draws are left out evenly


@dataclass(frozen=True)
class Suggestions:
    """The rows to label next.

    Attributes
    ----------
    label : the variable whose labels are asked for. by : what the rows are ranked by.
    gains : over (method, row): `information` and `log_score`, nats, `entropy` of the predicted label, `log_determinant`, nats (EM
        alone has it), all for a row on its own, and `probability` of each label; for every row whose label is hidden.
    rows : one line a suggestion: method, rank, row (its label in the data), position (from 0), gain (beyond that of the rows
        above it), the row's own gains, its most probable label and the probability of that.
    em, posterior : the fits behind the two methods; None where one was not asked for.
    notes : what a reader ought to know.
    """

    label: str
    by: str
    gains: xr.Dataset
    rows: pd.DataFrame
    em: EMFit | None = field(default=None, repr=False)
    posterior: xr.DataTree | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def chosen(self, method: Method) -> np.ndarray:
        """Positions of the rows that a method suggests, best first."""
        return self.rows.loc[self.rows["method"] == method, "position"].to_numpy()

    def to_dict(self) -> dict[str, Any]:
        """For programs: label, by, suggestions (a list a method) and notes."""
        parts = {str(m): part.drop(columns="method").to_dict(orient="records") for m, part in self.rows.groupby("method")}
        return {"label": self.label, "by": self.by, "suggestions": parts, "notes": list(self.notes)}


def suggest(
    problem: AnyProblem,
    n: int = SuggestOptions.n,
    *,
    labels: str | None = None,
    by: By = SuggestOptions.by,
    methods: Sequence[Method] = SuggestOptions.methods,
    objective: Goal = SuggestOptions.em.objective,
    starts: int = SuggestOptions.em.starts,
    draws: int = SuggestOptions.nuts.draws,
    tune: int = SuggestOptions.nuts.tune,
    chains: int = SuggestOptions.nuts.chains,
    fit: EMFit | None = None,
    posterior: xr.DataTree | xr.Dataset | None = None,
    all_measures: bool = SuggestOptions.all_measures,
    random_seed: int | None = SuggestOptions.em.random_seed,
    progress: bool = SuggestOptions.em.progress,
) -> Suggestions:
    """Rank the rows without a label by what theirs is expected to be worth, and suggest the n to label next.

    Three measures, all in nats, all expectations over the label as it is predicted now:

    information      I(z_i; theta), by how much the label is expected to lower the entropy of the parameters
    log_score        sum_j I(z_i; z_j), by how much it is expected to raise the total log score of the other hidden labels
    log_determinant  1/2 log( det(I + F_i) / det I ), the first for a normal posterior with EM's observed information I

    The first two are averages over draws of the parameters: NUTS' ("mcmc"), or from EM's normal approximation ("em"). Formulas
    and sources are in `gain_draws` and `gain_information`. The n rows are chosen one by one, each for what it adds to those
    before it, whose labels are not known yet: the n best rows on their own would often say the same n times.

    Parameters
    ----------
    labels : the discrete variable to be labelled; needed where several are hidden.
    by : the measure to rank by; "log_determinant" belongs to EM alone.
    objective, starts : of EM. "map", since few labels leave maxima of the likelihood that a prior keeps finite, and since it is
        the posterior that both methods then speak of.
    draws, tune, chains : of NUTS; EM's approximation gives draws x chains draws.
    fit, posterior : of this very problem, where they are known already.
    all_measures : False leaves out (NaN) what the rows are not ranked by.

    Raises
    ------
    BadInput : nothing is hidden, or options that do not fit. UnknownName : `labels`. FitFailed : EM found no optimum.
    Degenerate : the information at EM's estimate is not positive definite, so that there is no normal approximation.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as spec:
    ...     share = ev.Dirichlet("share", 1, dims="kind")
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")
    ...     _ = ev.Poisson("count", rate[z], dims="day")
    >>> problem = ev.condition(spec, {"count": [0, 1, 10, 18, 20, 22], "z": ["quiet", None, None, None, None, "busy"]})
    >>> suggestions = ev.suggest(problem, 1, methods=["em"], random_seed=1, progress=False)
    >>> suggestions.chosen("em").tolist()  # the day with 10, between the two kinds
    [2]
    """
    em = EMOptions(objective=objective, starts=starts, random_seed=random_seed, progress=progress)
    nuts = NUTSOptions(draws=draws, tune=tune, chains=chains, random_seed=random_seed, progress=progress)
    options = SuggestOptions(n=n, by=by, methods=methods, em=em, nuts=nuts, all_measures=all_measures)
    return suggested(problem, options, labels, fit, posterior)


def suggested(
    problem: AnyProblem,
    options: SuggestOptions,
    labels: str | None = None,
    fit: EMFit | None = None,
    posterior: xr.DataTree | xr.Dataset | None = None,
) -> Suggestions:
    """`suggest`, with its options as a record."""
    problem = in_memory(problem, "suggest")
    plan = make_plan(problem)
    name = _label(plan, labels)
    hidden = _hidden(problem, name)
    rng = np.random.default_rng(options.em.random_seed)
    notes = _notes(plan, name)
    parts: list[xr.Dataset] = []
    rows: list[pd.DataFrame] = []
    for method in options.methods:
        if method == "em":
            if fit is None:
                fit = run_em(problem, options.em)
            values = gain_information.approximate_draws(fit, options.nuts.draws * options.nuts.chains, rng)
        else:
            if posterior is None:
                posterior = run_nuts(problem, options.nuts)
            values = _flat(problem, posterior)
        gains, picks = _by_determinant(options, fit, name, hidden) if method == "em" else ({}, [])
        probability = np.exp(label_log_probabilities(plan, name, _thinned(values, problem.n, plan, name)))
        for measure in ("information", "log_score"):
            if measure in options.measures:
                criterion = Criterion.of(probability, hidden, measure == "log_score", rng)
                gains[measure] = criterion.gain(hidden)
                if options.by == measure:
                    picks = choose(criterion, options.n, rng, gains[measure])
        mean = probability.mean(axis=0)[hidden]
        measured = {k: gains.get(k, np.full(len(hidden), np.nan)) for k in get_args(By)}
        parts.append(_gains(plan, name, hidden, {**measured, "entropy": entropy(mean)}, mean))
        rows.append(_table(method, parts[-1], hidden, picks))
    together = xr.concat(parts, pd.Index(list(options.methods), name="method"))
    tree = posterior if isinstance(posterior, xr.DataTree) else None
    return Suggestions(name, options.by, together, pd.concat(rows, ignore_index=True), fit, tree, notes)


def _by_determinant(
    options: SuggestOptions, fit: EMFit | None, name: str, hidden: np.ndarray
) -> tuple[dict[str, np.ndarray], list[tuple[int, float]]]:
    """({"log_determinant": gain of each row}, the rows chosen where they are ranked by it), both empty where nobody asks."""
    if fit is None or "log_determinant" not in options.measures:
        return {}, []
    W, covariance = gain_information.label_scores(fit, name, hidden), gain_information.covariance_of(fit)
    gains = {"log_determinant": gain_information.log_determinant(W, covariance)}
    if options.by != "log_determinant":
        return gains, []
    return gains, [(int(hidden[i]), g) for i, g in gain_information.choose(W, covariance, options.n)]


def _label(plan: Plan, labels: str | None) -> str:
    """The discrete latent to be labelled."""
    names = [z.label for z in plan.latents if plan.problem.roles[z.label] == "assignment"]
    if labels is None:
        if len(names) != 1:
            got = f"{len(names)}: {', '.join(names)}" if names else "none: every label is given"
            raise BadInput("labels", "one discrete variable with hidden values", got, "Name it." if names else "Hide some.")
        return names[0]
    if labels not in names:
        known = {v.label for v in plan.problem.row_variables if v.discrete}
        if labels in known:
            raise BadInput("labels", "a variable with hidden values", f"{labels!r}, whose values are all given")
        raise UnknownName(f"labels {labels!r}", "a discrete variable of the rows", "another name", hint(labels, names))
    return labels


def _hidden(problem: Problem, name: str) -> np.ndarray:
    """Positions of the rows whose label is not certain."""
    given = problem.given.get(name)
    open_ = np.ones(problem.n, dtype=bool) if given is None else np.isnan(given.array)
    if name in problem.evidence:
        open_ &= np.isfinite(problem.evidence[name].array).sum(axis=-1) > 1
    open_ &= problem.weights > 0
    if not open_.any():
        raise BadInput("labels", "rows without a label", f"none: {name!r} is given in every row")
    return np.flatnonzero(open_)


def _notes(plan: Plan, name: str) -> tuple[str, ...]:
    counted = next(z.counts for z in plan.latents if z.label == name)
    if counted is not None and exchangeable(plan).get(counted, "") is None:
        return (f"No label tells the values of {name} apart: a first one of each is worth more than any row suggested here.",)
    return ()


def _flat(problem: Problem, posterior: xr.DataTree | xr.Dataset) -> dict[str, np.ndarray]:
    """{parameter: (draws, *shape)} of aligned draws."""
    draws = posterior["posterior"].to_dataset() if isinstance(posterior, xr.DataTree) else posterior
    out = {}
    for v in problem.parameters:
        if v.label not in draws:
            raise MissingData(v.label, "draws of every parameter of the problem", "none", "Pass the posterior of this problem.")
        lead = [d for d in draws[v.label].dims if d not in v.dims]
        out[v.label] = draws[v.label].transpose(*lead, *v.dims).to_numpy().reshape(-1, *problem.shape(v))
    return out


def _thinned(values: dict[str, np.ndarray], n: int, plan: Plan, name: str) -> dict[str, np.ndarray]:
    size = len(next(iter(values.values())))
    K = int(plan.configurations(name).max()) + 1
    step = max(1, int(np.ceil(size * n * K / NUMBERS)))
    return {k: x[::step] for k, x in values.items()}


def _gains(plan: Plan, name: str, hidden: np.ndarray, gains: dict[str, np.ndarray], mean: np.ndarray) -> xr.Dataset:
    problem = plan.problem
    plate = problem.plate
    latent = next(z for z in plan.latents if z.label == name)
    dim = latent.counts if latent.counts is not None and not is_unnamed(latent.counts) else f"{name}_value"
    coords = {plate: problem.labels(plate)[hidden], dim: problem.level_labels(latent)}
    return xr.Dataset({k: (plate, x) for k, x in gains.items()} | {"probability": ((plate, dim), mean)}, coords=coords)


def _table(method: str, gains: xr.Dataset, hidden: np.ndarray, picks: list[tuple[int, float]]) -> pd.DataFrame:
    plate, dim = (str(d) for d in gains["probability"].dims)
    place = {int(row): i for i, row in enumerate(hidden)}
    lines = []
    for rank, (row, gain) in enumerate(picks, 1):
        own = gains.isel({plate: place[row]})
        best = int(own["probability"].values.argmax())
        measures = {k: float(own[k]) for k in ("information", "log_score", "log_determinant", "entropy")}
        guess = {"likely": own[dim].values[best].item(), "probability": float(own["probability"][best])}
        lines.append(
            {"method": method, "rank": rank, "row": own[plate].values.item(), "position": row, "gain": gain, **measures, **guess}
        )
    return pd.DataFrame(lines)

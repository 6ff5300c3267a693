"""Model choice: information criteria of EM's fit beside leave-one-out of the posterior, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from ...em.fit import run_em
from ...em.options import EMOptions
from ...em.result import EMFit
from ...errors import BadInput, Degenerate, FitFailed, MissingData, SamplingFailed, Status, UnknownName
from ...expect.coefficients import coefficients
from ...expect.planner import make_plan
from ...expect.rows import expect_rows
from ...mcmc.options import NUTSOptions
from ...problem.align import declared, plate_dims
from ...problem.chunked import AnyProblem, in_memory
from ...problem.condition import condition
from ...problem.labels import hint
from ...problem.problem import Problem
from ...problem.read import read
from ...spec.model import Spec
from ..loo import STILL, LeaveOneOut, leave_one_out, rowwise
from ..run import run_nuts
from ..verdict import not_converged
from .reasons import Judged, sentences, trusted
from .same_data import check_alike

R_HAT_ROWS = 1.05  # the largest of hundreds of rows exceeds the 1.01 of a single quantity by chance
CRITERIA = {"aic": "aic", "bic": "bic", "icl": "icl", "loo": "elpd_loo"}  # criterion -> column of the table


@dataclass(frozen=True)
class Choice:
    """Several models of the same data, judged by AIC, BIC, ICL and LOO.

    Attributes
    ----------
    table : DataFrame, one row a model. log_likelihood (maximum), n_parameters, aic, bic, icl (smaller is better, twice nats);
        d_aic, d_bic, d_icl, what each lies above the best of its column; status of EM. NaN where EM failed. With MCMC: elpd_loo
        and its standard error se_loo (larger is better, nats), p_loo, the effective number of parameters; d_elpd, elpd less that
        of the best, with the standard error se_diff of this difference, paired by rows; pareto_k, the number of rows whose
        Pareto k is above 0.7; r_hat, the largest of the aligned parameters, and r_hat_rows, the largest of the rows'
        log-likelihoods, which are all that LOO reads and do not depend on labels. d_elpd is NaN where LOO is not trusted.
    best : {"aic", "bic", "icl", "loo"}: name of the model that each takes; None where it can judge none, LOO where it can trust
        fewer than two. Without MCMC no "loo".
    sentences : who takes what, the figures that decide where they disagree, and every reservation, in words.
    fits : {name: EMFit, or None where no start reached an optimum}. posteriors, loo : {name: what `fit_mcmc` returned, and
        `LeaveOneOut`}, for the models that were sampled.
    """

    table: pd.DataFrame
    best: dict[str, str | None]
    sentences: tuple[str, ...]
    fits: dict[str, EMFit | None] = field(repr=False)
    posteriors: dict[str, xr.DataTree] = field(repr=False)
    loo: dict[str, LeaveOneOut] = field(repr=False)
    random_seed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result for programs: JSON-ready, NaN as None."""
        rows = [
            {"model": str(name), **{str(k): _plain(x) for k, x in row.items()}}
            for name, row in self.table.astype(object).iterrows()
        ]
        return {"best": dict(self.best), "sentences": list(self.sentences), "table": rows, "random_seed": self.random_seed}

    def __str__(self) -> str:
        return "\n".join([self.table.round(3).to_string(na_rep="–"), "", *self.sentences])


def choose(
    specs: Mapping[str, Spec] | Mapping[str, AnyProblem] | Sequence[Spec] | Sequence[AnyProblem],
    data: Any = None,
    *,
    weights: Any = None,
    mcmc: bool = True,
    starts: int = EMOptions.starts,
    draws: int = NUTSOptions.draws,
    tune: int = NUTSOptions.tune,
    chains: int = NUTSOptions.chains,
    random_seed: int | None = EMOptions.random_seed,
    progress: bool = EMOptions.progress,
) -> Choice:
    """Fit every model to the same data by EM and by NUTS, and say which one each criterion takes, and why they differ.

    AIC = -2 l + 2 p; BIC = -2 l + p log n; ICL = BIC + 2 sum_n w_n H(r_n), with l the maximum of the log-likelihood, p the free
    parameters, n the sum of the row weights w of the rows that say something, and H the entropy in nats of such a row's
    assignment probabilities: BIC where nothing discrete is hidden. LOO = sum_n w_n log p(row n | all the others), by
    Pareto-smoothed importance sampling.

    Parameters
    ----------
    specs : {name: Spec}, or a sequence of Specs, which are then called by the sizes of the dims in which they differ, else "1",
        "2", ...; or Problems in the place of Specs, which bring their data with them and must describe the same rows and the
        same observed cells. Two at least.
    data, weights : what `condition` takes, for every Spec; a column is used by the specs that name it.
    mcmc : False leaves out LOO, and PyMC with it.
    starts : of EM. draws, tune, chains : of `fit_mcmc`. random_seed : the same for every model.

    A model that EM cannot fit (no optimum, or iterations that ran out) or NUTS cannot sample stays in the table, with NaN and
    its status, and a sentence names it. LOO is trusted where the total log-likelihood has the R-hat, the effective sample sizes
    and the share of divergent draws that a verdict asks for, and no row's log-likelihood an R-hat above 1.05; other models are
    named and take no part in it.

    Raises
    ------
    DifferentData : Problems of other rows or cells. BadInput, MissingData, UnknownName : no two models, no data, a column that
    no spec names; what `condition`, `fit_em` and `fit_mcmc` raise for bad input, with the name of the model in front.

    Sources: Akaike (1973); Schwarz (1978); Biernacki, Celeux and Govaert (2000), Assessing a mixture model for clustering with
    the integrated completed likelihood, IEEE PAMI 22, 719-725, with the entropy itself as in McLachlan and Peel (2000), section
    6.10.3; Vehtari, Gelman and Gabry (2017) for LOO.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec() as one:
    ...     rate = ev.Gamma("rate", 2, 0.1)
    ...     _ = ev.Poisson("count", rate, dims="day")
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as two:
    ...     share = ev.Dirichlet("share", 1, dims="kind")
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")
    ...     _ = ev.Poisson("count", rate[z], dims="day")
    >>> data = {"count": [0, 1, 2, 18, 20, 22]}
    >>> chosen = ev.choose({"one": one, "two": two}, data, mcmc=False, random_seed=1, progress=False)
    >>> chosen.table[["n_parameters", "bic"]].round(2).to_dict("index")
    {'one': {'n_parameters': 1, 'bic': 87.31}, 'two': {'n_parameters': 3, 'bic': 36.0}}
    >>> chosen.best
    {'aic': 'two', 'bic': 'two', 'icl': 'two'}
    """
    em_options = EMOptions(starts=starts, random_seed=random_seed, progress=progress)
    nuts_options = NUTSOptions(draws=draws, tune=tune, chains=chains, random_seed=random_seed, progress=progress)
    problems = _problems(specs, data, weights)
    check_alike(problems)
    fits: dict[str, EMFit | None] = {}
    status: dict[str, tuple[str, str]] = {}
    for name, problem in problems.items():
        with _naming(name):
            fits[name], status[name] = _fit(problem, em_options)
    posteriors: dict[str, xr.DataTree] = {}
    trouble: dict[str, tuple[str, ...]] = dict.fromkeys(problems, ())
    for name, problem in problems.items() if mcmc else ():
        with _naming(name):
            try:
                posteriors[name] = run_nuts(problem, nuts_options)
            except (SamplingFailed, Degenerate, FitFailed) as error:
                trouble[name] = (str(error).rstrip("."),)
    loo = _leave_one_out(problems, posteriors)
    models = [
        _judged(name, fits[name], status[name], posteriors.get(name), loo.get(name), trouble[name], problem.weights, chains)
        for name, problem in problems.items()
    ]
    table = _table(models, mcmc)
    best = {c: _best(table, c, models) for c in CRITERIA if mcmc or c != "loo"}
    return Choice(table, best, tuple(sentences(models, table, best)), fits, posteriors, loo, random_seed)


# ------------------------------------------------------------------------------------------------------------------ the models


def _problems(specs: Any, data: Any, weights: Any) -> dict[str, Problem]:
    if isinstance(specs, Mapping):
        models = {str(name): model for name, model in specs.items()}
    elif isinstance(specs, Sequence) and not isinstance(specs, str):
        models = dict(zip(_numbered(list(specs)), specs, strict=True))
    else:
        raise BadInput("specs", "a mapping of names to Specs, or a sequence of Specs", type(specs).__name__)
    if len(models) < 2:
        raise BadInput("specs", "two models at least", f"{len(models)}", "A single one is fitted by fit_em or compare.")
    kinds = {type(m).__name__ for m in models.values()}
    if all(isinstance(m, AnyProblem) for m in models.values()):
        if data is not None or weights is not None:
            raise BadInput("data, weights", "neither, since Problems bring their own", "one", "Pass Specs, or leave them out.")
        return {name: in_memory(m, "choose") for name, m in models.items()}
    if not all(isinstance(m, Spec) for m in models.values()):
        raise BadInput("specs", "Specs, or Problems, all of one kind", f"{sorted(kinds)}", "See `condition`.")
    if data is None:
        raise MissingData("data", "data for the Specs", "none", "Pass them as to `condition`.")
    columns = [c for c in read(data) if c != weights] if isinstance(weights, str) else list(read(data))
    known = set().union(*[_names(spec) for spec in models.values()])
    for column in columns:
        if column not in known:
            raise UnknownName(f"{column!r}", "a name that some spec declares", "one that none does", hint(column, sorted(known)))
    out = {}
    for name, spec in models.items():
        with _naming(name):
            out[name] = in_memory(condition(spec, data, weights, ignore_extra=True), "choose")
    return out


def _names(spec: Spec) -> set[str]:
    """Names that a column of the data may have: variables, covariates, plates, and the features that one of them is made of."""
    return {*declared(spec), *plate_dims(spec), *(str(c) for labels in spec.coords.values() for c in labels)}


def _numbered(models: list[Any]) -> list[str]:
    """The sizes in which the specs differ, where these tell them apart; else "1", "2", ..."""
    specs = [m.spec if isinstance(m, Problem) else m for m in models]
    if specs and all(isinstance(s, Spec) for s in specs):
        shared = [d for d in specs[0].coords if all(d in s.coords for s in specs)]
        sizes = {d: tuple(s.size(d) for s in specs) for d in shared}
        axes = {
            size: d for d, size in reversed(sizes.items()) if len(set(size)) > 1
        }  # the second axis of a matrix says nothing new
        if len(set(zip(*axes, strict=True))) == len(specs):
            if len(axes) == 1:
                return [str(n) for n in next(iter(axes))]
            return [", ".join(f"{d} {size[i]}" for size, d in reversed(axes.items())) for i in range(len(specs))]
    return [str(i + 1) for i in range(len(models))]


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Bad input of one model says which."""
    try:
        yield
    except BadInput as error:
        where = f"model {name!r}, {error.variable}"
        raise type(error)(where, error.expected, error.got, error.remedy) from error


# ----------------------------------------------------------------------------------------------------------------- the figures


def _fit(problem: Problem, options: EMOptions) -> tuple[EMFit | None, tuple[str, str]]:
    """The fit, its status, and why it gives no criteria ("" where it does)."""
    try:
        fit = run_em(problem, options)
    except FitFailed as error:
        return None, (error.status.value, str(error).rstrip("."))
    # iterations that ran out have not shown the maximum
    usable = fit.status.finished and np.isfinite(fit.log_likelihood)
    return fit, (fit.status.value, "" if usable else fit.sentence.rstrip("."))


def assignment_entropy(fit: EMFit) -> float:
    """sum_n w_n H(r_n) in nats at the estimate, r_n the probabilities of row n's joint assignment of all discrete latents."""
    _, _, rows = expect_rows(fit.plan, coefficients(fit.plan, fit.environment))
    r = rows.responsibility
    own = -(r * np.log(np.where(r > 0, r, 1.0))).sum(axis=1)
    return float(in_memory(fit.problem, "ICL").heard @ own)  # of a row without a value nothing is known, and nothing lost


def _leave_one_out(problems: dict[str, Problem], posteriors: dict[str, xr.DataTree]) -> dict[str, LeaveOneOut]:
    """On units of rows that no model tells apart, so that differences are paired."""
    if not posteriors:
        return {}
    codes = np.column_stack([make_plan(problems[name]).inverse for name in posteriors])
    _, groups = np.unique(codes, axis=0, return_inverse=True)
    return {name: leave_one_out(tree, problems[name].heard, groups.ravel()) for name, tree in posteriors.items()}


def _judged(
    name: str,
    fit: EMFit | None,
    status: tuple[str, str],
    posterior: xr.DataTree | None,
    loo: LeaveOneOut | None,
    trouble: tuple[str, ...],
    weights: np.ndarray,
    chains: int,
) -> Judged:
    known: dict[str, Any] = {"name": name, "status": status[0], "reason": status[1], "loo": loo, "trouble": trouble}
    if fit is not None and not status[1]:
        entropy = assignment_entropy(fit)
        known |= {"log_likelihood": fit.log_likelihood, "n_parameters": fit.n_parameters, "entropy": entropy}
        known |= {"aic": fit.aic, "bic": fit.bic, "icl": fit.bic + 2 * entropy}
        known["note"] = "" if fit.status is Status.CONVERGED else fit.sentence.rstrip(".")
    if posterior is not None and loo is not None:
        rows = rowwise(posterior).values
        total = (rows @ weights)[:, :, None]
        scalars = [v.values.reshape(*v.shape[:2], -1) for v in posterior["posterior"].to_dataset().data_vars.values()]
        own = _r_hat(rows[:, :, loo.row])
        known |= {"r_hat": float(_r_hat(np.concatenate(scalars, axis=2)).max()), "r_hat_rows": float(own.max())}
        stats = posterior["sample_stats"].to_dataset()
        divergent = float(stats["diverging"].values.mean()) if "diverging" in stats else 0.0
        wrong = not_converged(_mixing(total, ["the total log-likelihood"]), chains, divergent)
        if own.max() > R_HAT_ROWS:
            worst = loo.row[int(own.argmax())]
            wrong.append(f"R-hat {own.max():.3f} for the log-likelihood of row {worst} (at most {R_HAT_ROWS} is wanted)")
        known["trouble"] = tuple(wrong)
    return Judged(**known)


def _mixing(draws: np.ndarray, names: list[str]) -> pd.DataFrame:
    """r_hat, ess_bulk, ess_tail of each of (chain, draw, quantity) that varies at all."""
    moves = np.ptp(draws, axis=(0, 1)) > STILL * np.maximum(1.0, np.abs(draws).max(axis=(0, 1)))
    x, axes = draws[:, :, moves], {"chain_axis": 0, "draw_axis": 1}
    if not moves.any():
        return pd.DataFrame(columns=["r_hat", "ess_bulk", "ess_tail"], dtype=float)
    return pd.DataFrame(
        {
            "r_hat": _r_hat(x),
            "ess_bulk": array_stats.ess(x, method="bulk", **axes),
            "ess_tail": array_stats.ess(x, method="tail", prob=(0.05, 0.95), **axes),
        },
        index=[name for name, m in zip(names, moves, strict=True) if m],
    )


def _r_hat(draws: np.ndarray) -> np.ndarray:
    """(quantities,) R-hat of (chain, draw, quantity); NaN for a single chain, 1 for what does not vary."""
    if len(draws) == 1:
        return np.full(draws.shape[2], np.nan)
    moves = np.ptp(draws, axis=(0, 1)) > 0
    out = np.ones(draws.shape[2])
    if moves.any():
        out[moves] = array_stats.rhat(draws[:, :, moves], chain_axis=0, draw_axis=1)
    return out


def _table(models: list[Judged], mcmc: bool) -> pd.DataFrame:
    table = pd.DataFrame({"model": [m.name for m in models]}).set_index("model")
    for column in ("log_likelihood", "n_parameters", "aic", "bic", "icl"):
        table[column] = [getattr(m, column) for m in models]
        if column in CRITERIA:
            table[f"d_{column}"] = table[column] - table[column].min()
    if mcmc:
        judged = [(m.name, m.loo) for m in trusted(models) if m.loo is not None]
        differences = {name: loo.less(judged[0][1]) for name, loo in judged}
        less = [differences.get(m.name, (np.nan, np.nan)) for m in models]
        table["elpd_loo"] = [m.loo.total if m.loo else np.nan for m in models]
        table["se_loo"] = [m.loo.se if m.loo else np.nan for m in models]
        table["p_loo"] = [m.loo.p if m.loo else np.nan for m in models]
        table["d_elpd"], table["se_diff"] = [d for d, _ in less], [se for _, se in less]
        table["pareto_k"] = [m.loo.unreliable if m.loo else np.nan for m in models]
        table["r_hat"], table["r_hat_rows"] = [m.r_hat for m in models], [m.r_hat_rows for m in models]
    table["status"] = [m.status for m in models]
    return table


def _best(table: pd.DataFrame, criterion: str, models: list[Judged]) -> str | None:
    if criterion == "loo":
        return next((m.name for m in trusted(models)), None)
    values = table[CRITERIA[criterion]]
    return None if values.isna().all() else str(values.idxmin())


def _plain(x: Any) -> Any:
    if isinstance(x, str):
        return x
    return int(x) if isinstance(x, (int, np.integer)) else float(x) if np.isfinite(x) else None

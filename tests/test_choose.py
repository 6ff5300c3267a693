"""Model choice: every criterion by hand, leave-one-out as ArviZ has it, disagreements in words, and only one set of data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import arviz_stats
import fabricated
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from examples import full_covariance_spec, normal_data, normal_mixture_spec, one_factor, two_columns
from scipy import stats
from scipy.special import logsumexp, xlogy
from typer.testing import CliRunner, Result

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.cli import app
from emvsmcmc.comparison import choose as module
from emvsmcmc.comparison import loo as loo_module
from emvsmcmc.comparison.alike import check_alike
from emvsmcmc.comparison.loo import LeaveOneOut, leave_one_out
from emvsmcmc.comparison.reasons import Judged, sentences
from emvsmcmc.errors import FitFailed, SamplingFailed, Status
from emvsmcmc.gallery import load

QUAKES = load("poisson_mixture")
SIZES = (1, 2, 3)


@pytest.fixture(scope="module")
def quakes() -> ev.Choice:
    """One, two and three kinds of year."""
    specs = [QUAKES.spec(components=k) for k in SIZES]
    return ev.choose(specs, QUAKES.data(), mcmc=False, starts=5, random_seed=1, progress=False)


def by_hand(fit: ev.EMFit, y: np.ndarray, w: np.ndarray | float = 1.0) -> tuple[float, float]:
    """(log-likelihood, entropy of the assignments) of a Poisson mixture, weighted."""
    lp = np.log(fit.estimate["weight"].values) + stats.poisson.logpmf(y[:, None], fit.estimate["rate"].values)
    r = np.exp(lp - logsumexp(lp, axis=1, keepdims=True))
    return float((w * logsumexp(lp, axis=1)).sum()), float(-(w * xlogy(r, r).sum(axis=1)).sum())


# ---------------------------------------------------------------------------------------------------------------- the criteria


def test_criteria_by_hand(quakes: ev.Choice) -> None:
    y = QUAKES.data()["count"].to_numpy()
    published = {"1": -391.9189, "2": -360.3690, "3": -356.8489}  # Zucchini and MacDonald (2009), table 1.2
    assert list(quakes.table.index) == list(published)
    for k, (name, row) in zip(SIZES, quakes.table.iterrows(), strict=True):
        fit = quakes.fits[str(name)]
        assert fit is not None
        l, H = by_hand(fit, y)
        p = 2 * k - 1
        assert row["log_likelihood"] == pytest.approx(l, abs=1e-8)
        assert l == pytest.approx(published[str(name)], abs=1e-4)
        assert row["n_parameters"] == p
        assert row["aic"] == pytest.approx(-2 * l + 2 * p, abs=1e-8)
        assert row["bic"] == pytest.approx(-2 * l + p * np.log(107), abs=1e-8)
        assert row["icl"] == pytest.approx(-2 * l + p * np.log(107) + 2 * H, abs=1e-6)
        assert row["status"] == "converged"
    assert (quakes.table["icl"] - quakes.table["bic"])["1"] == 0  # one class: nothing to be unsure of
    assert (quakes.table["icl"] - quakes.table["bic"])["2"] > 10
    for c in ("aic", "bic", "icl"):
        assert (quakes.table[f"d_{c}"] == quakes.table[c] - quakes.table[c].min()).all()
        assert quakes.best[c] == quakes.table[c].idxmin()
    assert quakes.best == {"aic": "3", "bic": "2", "icl": "1"}
    assert "elpd_loo" not in quakes.table


def test_weights_are_rows() -> None:
    y = QUAKES.data()["count"].to_numpy()
    w = np.random.default_rng(0).integers(1, 4, len(y))
    specs = {k: QUAKES.spec(components=k) for k in (1, 2)}
    options: dict[str, Any] = {"mcmc": False, "starts": 3, "random_seed": 0}
    weighted = ev.choose(specs, {"count": y, "w": w}, weights="w", **options)
    repeated = ev.choose(specs, {"count": np.repeat(y, w)}, **options)
    figures = ["log_likelihood", "n_parameters", "aic", "bic", "icl"]
    assert np.allclose(weighted.table[figures], repeated.table[figures], atol=1e-6)
    assert weighted.fits["2"] is not None
    l, H = by_hand(weighted.fits["2"], y, w)
    assert weighted.table.loc["2", "icl"] == pytest.approx(-2 * l + 3 * np.log(w.sum()) + 2 * H, abs=1e-6)


def test_without_hidden_assignments_icl_is_bic() -> None:
    x, z = normal_data()
    with ev.Spec(coords={"component": 2}) as tied:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        sd = ev.HalfNormal("sd", 3)
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd, dims="row")
    specs = {"own": normal_mixture_spec(), "tied": tied}
    options: dict[str, Any] = {"mcmc": False, "starts": 2, "random_seed": 0}
    labelled = ev.choose(specs, {"x": x, "group": z}, **options).table
    assert (labelled["icl"] == labelled["bic"]).all()
    for hidden in (np.where(np.arange(len(z)) % 2, z, -1), None):  # negative controls
        data = {"x": x} if hidden is None else {"x": x, "group": hidden}
        found = ev.choose(specs, data, **options).table
        assert (found["icl"] > found["bic"] + 1e-4).all()
    factor = one_factor()
    table = ev.choose([factor, factor], **options).table
    assert (table["icl"] == table["bic"]).all()  # a Gaussian latent is not an assignment
    assert list(table.index) == ["1", "2"]


# ------------------------------------------------------------------------------------------------------------------- sentences


def loo_of(elpd: np.ndarray) -> LeaveOneOut:
    n = len(elpd)
    one = np.ones(n)
    return LeaveOneOut(np.arange(n), one.astype(int), one, elpd, 0 * one, 0 * one, float(elpd.sum()), n, 100)


def judged(name: str, l: float, p: int, entropy: float, elpd: np.ndarray | None = None, **others: Any) -> Judged:
    bic = -2 * l + p * np.log(100)
    known: dict[str, Any] = {"status": "converged", "reason": "", "trouble": (), "r_hat": 1.0, "r_hat_rows": 1.0} | others
    return Judged(
        name=name, log_likelihood=l, n_parameters=p, entropy=entropy, aic=-2 * l + 2 * p, bic=bic, icl=bic + 2 * entropy,
        loo=None if elpd is None else loo_of(elpd), **known,
    )  # fmt: skip


def told(*models: Judged) -> tuple[dict[str, str | None], str]:
    table = module._table(list(models), mcmc=any(m.loo for m in models))
    best = {c: module._best(table, c, list(models)) for c in module.CRITERIA if c != "loo" or any(m.loo for m in models)}
    return best, " ".join(sentences(models, table, best))


NOISE = np.random.default_rng(0).normal(size=100)
LEVEL = np.full(100, -1.0)


def test_agreement_is_said_with_the_distance_to_the_next() -> None:
    best, text = told(judged("A", -100, 3, 5, LEVEL), judged("B", -120, 5, 5, LEVEL - 0.2), judged("C", -118, 2, 5, LEVEL - 0.3))
    assert set(best.values()) == {"A"}
    assert text.startswith("AIC, BIC, ICL and LOO all take A.")
    assert "Next comes C, by 34.00 in AIC, 31.39 in BIC and 31.39 in ICL." in text
    assert "LOO puts A before B by 20.00 nats, more than the standard error" in text
    assert "before C" not in text  # neither next by LOO nor anyone's choice


def test_aic_and_bic_disagree_over_a_gain_between_their_charges() -> None:
    best, text = told(judged("2", -104, 3, 1), judged("3", -100.5, 5, 1))
    assert best == {"aic": "3", "bic": "2", "icl": "2"}
    assert text.startswith("AIC takes 3, BIC and ICL take 2.")
    assert (
        "3 has 2 more parameters than 2 and gains 7.00 in twice the log-likelihood: more than the 4.00 that AIC charges for "
        "them, less than the 9.21 of BIC." in text
    )
    assert "entropy" not in text
    assert "LOO" not in text


def test_bic_and_icl_disagree_over_the_entropy() -> None:
    best, text = told(judged("2", -110, 3, 2), judged("3", -100, 5, 30))
    assert best == {"aic": "3", "bic": "3", "icl": "2"}
    assert "BIC prefers 3 to 2 by 10.79, but ICL adds twice the entropy of the assignments, 60.00 for 3 and 4.00 for 2," in text
    assert "and so prefers 2." in text
    assert "charges" not in text


@pytest.mark.parametrize(("noise", "sure"), [(0.02, True), (1.0, False)])
def test_whether_loo_can_tell(noise: float, sure: bool) -> None:
    other = LEVEL - 0.05 + noise * (NOISE - NOISE.mean())
    best, text = told(judged("2", -104, 3, 1, other), judged("3", -103, 5, 1, LEVEL))
    assert best == {"aic": "2", "bic": "2", "icl": "2", "loo": "3"}
    assert "AIC, BIC and ICL put 2 before 3 by 2.00, 7.21 and 7.21." in text
    se = f"{np.sqrt(100) * noise * NOISE.std():.2f}"
    assert (
        f"LOO puts 3 before 2 by 5.00 nats, {'' if sure else 'not '}more than the standard error of the difference, {se}" in text
    )
    assert ("cannot tell" in text) is not sure


def test_reservations_are_named() -> None:
    doubtful = loo_of(LEVEL)
    doubtful.pareto_k[:3] = 0.9
    models = [
        judged("A", -100, 3, 5, LEVEL),
        judged("B", -90, 3, 5, LEVEL + 1, trouble=("R-hat 1.300 for row 3",), r_hat=1.4, r_hat_rows=1.3),
        judged("C", -101, 3, 5, LEVEL - 1, r_hat=1.2, r_hat_rows=1.002),
        Judged("D", "degenerate", "all 5 starts ended as degenerate", doubtful, ()),
        judged("E", -130, 3, 5, trouble=("NUTS could not run",)),
    ]
    best, text = told(*models)
    assert best == {"aic": "B", "bic": "B", "icl": "B", "loo": "A"}  # B has the higher elpd, but nobody may trust it
    assert "EM of D ended as degenerate, so that AIC, BIC and ICL cannot judge it: all 5 starts" in text
    assert "The chains of B have not converged, so that its LOO is not trusted and takes no part: R-hat 1.300 for row 3." in text
    assert "LOO (which judges A, C and D alone) takes A" in text
    assert "R-hat of a parameter of C is 1.200, but the log-likelihoods of its rows" in text
    assert "LOO of D: 3 of 100 rows have a Pareto k above 0.7" in text
    assert "NUTS could not sample E, so that LOO cannot judge it: NUTS could not run." in text
    assert "of A" not in text  # nothing against A
    table = module._table(models, mcmc=True)
    assert np.isnan(table.loc["B", "d_elpd"])
    assert table.loc["B", "elpd_loo"] == pytest.approx(0)
    assert table.loc["D", ["aic", "bic", "icl", "log_likelihood"]].isna().all()
    assert table.loc["C", "d_elpd"] == pytest.approx(-100)
    assert table["pareto_k"].tolist()[:4] == [0, 0, 0, 3]


def test_no_model_can_be_judged() -> None:
    best, text = told(Judged("A", "degenerate", "why", None, ()), Judged("B", "unbounded", "why", None, ()))
    assert best == {"aic": None, "bic": None, "icl": None}
    assert text.startswith("No criterion can judge any of the models.")


# -------------------------------------------------------------------------------------------------------- what EM or NUTS cannot


def spikes() -> dict[str, np.ndarray]:
    """Ten rows on two points: any second component collapses on one of them."""
    return {"waiting": np.repeat([50.0, 80.0], 5)}


def waiting_spec(components: int) -> ev.Spec:
    with ev.Spec(coords={"component": components}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 65, 30, dims="component")
        sd = ev.HalfNormal("sd", 20, dims="component")
        group = ev.Categorical("group", weight, dims="eruption")
        ev.Normal("waiting", mean[group], sd[group], dims="eruption")
    return spec


def test_a_model_that_em_cannot_fit_stays_with_its_status() -> None:
    choice = ev.choose([waiting_spec(1), waiting_spec(2)], spikes(), mcmc=False, starts=3, random_seed=0)
    assert choice.fits["2"] is None
    assert choice.table.loc["2", "status"] == "degenerate"
    assert choice.table.loc["2"].drop("status").isna().all()
    assert choice.table.loc["1"].notna().all()
    assert set(choice.best.values()) == {"1"}
    assert any(s.startswith("EM of 2 ended as degenerate") for s in choice.sentences)
    assert choice.to_dict()["table"][1]["aic"] is None
    none = ev.choose([waiting_spec(2), waiting_spec(3)], spikes(), mcmc=False, starts=3, random_seed=0)
    assert set(none.best.values()) == {None}


def test_iterations_that_ran_out_show_no_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = module.fit_em
    short = {3: 1}
    monkeypatch.setattr(module, "fit_em", lambda p, *a, **k: whole(p, *a, **k, max_iter=short.get(p.sizes["component"], 10_000)))
    choice = ev.choose([QUAKES.spec(components=k) for k in SIZES], QUAKES.data(), mcmc=False, starts=3, random_seed=0)
    assert choice.best == {"aic": "2", "bic": "2", "icl": "1"}
    assert choice.table.loc["3", "status"] == "max_iter"
    assert np.isnan(choice.table.loc["3", "aic"])
    assert any("EM of 3 ended as max_iter" in s for s in choice.sentences)


@pytest.fixture
def _long_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fabricated, "DRAWS", 800)
    monkeypatch.setattr(fabricated, "table", lambda *_: pd.DataFrame())


def normal_posterior(problem: ev.Problem, *_: Any, **__: Any) -> xr.DataTree:
    """What `fit_mcmc` would return, were the posterior EM's normal approximation: aligned draws and everything made of them."""
    return fabricated.fabricate(problem).posterior


@pytest.mark.usefixtures("_long_chains")
def test_chains_that_disagree_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def posterior(problem: ev.Problem, *_: Any, **__: Any) -> xr.DataTree:
        tree = normal_posterior(problem)
        if problem.sizes["component"] == 2:
            rows = tree["log_likelihood"]["rows"]
            rows[1] = rows[1] + 0.3
        return tree

    monkeypatch.setattr(module, "fit_mcmc", posterior)
    specs = [QUAKES.spec(components=k) for k in (1, 2)]
    choice = ev.choose(specs, QUAKES.data(), starts=3, random_seed=0, chains=2)
    assert choice.best["loo"] is None  # one model alone is no comparison
    assert choice.table.loc["2", "r_hat_rows"] > 1.1
    assert choice.table.loc["1", "r_hat_rows"] < 1.01
    assert choice.table["elpd_loo"].notna().all()
    assert choice.table["d_elpd"].isna().all()
    (told,) = [s for s in choice.sentences if "The chains of 2 have not converged" in s]
    assert "for the total log-likelihood" in told
    assert "for the log-likelihood of row" in told
    assert "LOO compares nothing, for want of two models" in " ".join(choice.sentences)
    assert "LOO" not in choice.sentences[0]
    sign = np.where(np.arange(QUAKES.data()["count"].size) % 2, -1.0, 1.0)
    sign[-1] = 0.0

    def another_mode(problem: ev.Problem, *_: Any, **__: Any) -> xr.DataTree:
        """A chain at a mode of the same height, where other rows are likely."""
        tree = normal_posterior(problem)
        rows = tree["log_likelihood"]["rows"]
        rows[1] = rows[1] + 0.3 * sign
        return tree

    monkeypatch.setattr(module, "fit_mcmc", another_mode)
    told, other = (s for s in ev.choose(specs, QUAKES.data(), starts=3, chains=2).sentences if "have not converged" in s)
    assert "total" not in told + other
    assert "(at most 1.05 is wanted)" in told
    monkeypatch.setattr(module, "fit_mcmc", normal_posterior)  # negative control: the same draws undisturbed
    assert ev.choose(specs, QUAKES.data(), starts=3, random_seed=0, chains=2).best["loo"] == "2"


@pytest.mark.usefixtures("_long_chains")
def test_a_model_that_cannot_be_sampled_keeps_its_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    def posterior(problem: ev.Problem, *_: Any, **__: Any) -> xr.DataTree:
        if problem.sizes["component"] == 2:
            raise SamplingFailed("NUTS could not run: no chain started")
        return normal_posterior(problem)

    monkeypatch.setattr(module, "fit_mcmc", posterior)
    choice = ev.choose([QUAKES.spec(components=k) for k in (1, 2)], QUAKES.data(), starts=3, random_seed=0, chains=2)
    assert choice.best == {"aic": "2", "bic": "2", "icl": "1", "loo": None}
    assert np.isnan(choice.table.loc["2", "elpd_loo"])
    assert list(choice.posteriors) == list(choice.loo) == ["1"]
    assert any("NUTS could not sample 2" in s for s in choice.sentences)

    def bug(*_: Any, **__: Any) -> xr.DataTree:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "fit_mcmc", bug)
    with pytest.raises(ZeroDivisionError):  # negative control: only what has a name is caught
        ev.choose([QUAKES.spec(components=k) for k in (1, 2)], QUAKES.data(), starts=1)


# ----------------------------------------------------------------------------------------------------------------- one data set


def problem(data: dict[str, Any], weights: Any = None, spec: Callable[[], ev.Spec] = full_covariance_spec) -> ev.Problem:
    return ev.condition(spec(), data, weights)


def separate_columns() -> ev.Spec:
    """The same two columns under names of their own."""
    with ev.Spec() as spec:
        mean_a, mean_b = ev.Normal("mean_a", 0, 5), ev.Normal("mean_b", 0, 5)
        sd = ev.HalfNormal("sd", 5)
        ev.Normal("first", mean_a, sd, dims="row")
        ev.Normal("second", mean_b, sd, dims="row")
    return spec


def named_answers(labels: list[str]) -> ev.Spec:
    with ev.Spec(coords={"answer": labels}) as spec:
        p = ev.Dirichlet("p", 1.0, dims="answer")
        ev.Categorical("opinion", p, dims="row")
    return spec


def regression_on(covariate: bool) -> ev.Spec:
    with ev.Spec(coords={"component": 2}) as spec:
        mean = ev.Normal("mean", 0, 5, dims="component")
        sd = ev.HalfNormal("sd", 3)
        if covariate:
            group: Any = ev.Data("group", dims="row")
        else:
            group = ev.Categorical("group", ev.Dirichlet("weight", 1.0, dims="component"), dims="row")
        ev.Normal("x", mean[group], sd, dims="row")
    return spec


def test_the_same_data_in_other_words_are_the_same() -> None:
    y = two_columns()
    y[3, 1] = np.nan
    check_alike(
        {
            "joint": problem({"y": y}),
            "apart": problem({"first": y[:, 0], "second": y[:, 1]}, spec=separate_columns),
            "turned": problem({"first": y[:, 1], "second": y[:, 0]}, spec=separate_columns),
        }
    )
    words = {"opinion": ["no", "yes", "yes", "no", None]}
    orders = (["no", "yes"], ["yes", "no"], ["no", "maybe", "yes"])
    check_alike({str(i): ev.condition(named_answers(labels), words) for i, labels in enumerate(orders)})
    x, z = normal_data()
    check_alike(
        {"a": ev.condition(normal_mixture_spec(), {"x": x}), "b": ev.condition(waiting_like(), {"x": x, "t": z + 0.5 * x})}
    )


def waiting_like() -> ev.Spec:
    """Another covariate is no other data."""
    with ev.Spec() as spec:
        a, b = ev.Normal("a", 0, 5), ev.Normal("b", 0, 5)
        t = ev.Data("t", dims="row")
        ev.Normal("x", a + b * t, ev.HalfNormal("sd", 3), dims="row")
    return spec


def others() -> dict[str, tuple[ev.Problem, ev.Problem, str]]:
    y = two_columns()
    hole, changed, twice = y.copy(), y.copy(), y.copy()
    hole[5, 0] = np.nan
    changed[5, 0] += 1e-9
    twice[:, 1] = twice[:, 0] + 0.0
    x, z = normal_data()
    half = np.where(np.arange(len(z)) % 2, z, -1)
    q = np.where(np.arange(2) == z[:, None], 0.8, 0.3)
    mixture = normal_mixture_spec()
    return {
        "rows": (problem({"y": y}), problem({"y": y[:-1]}), "expected the 60 rows of model 'a'; got 59 rows"),
        "order": (problem({"y": y}), problem({"y": y[::-1]}), "got other values of y[a]"),
        "weights": (problem({"y": y}), problem({"y": y}, np.r_[2.0, np.ones(59)]), "expected the row weights of model 'a'"),
        "a hole": (problem({"y": y}), problem({"y": hole}), "got other values of y[a]"),
        "a value": (problem({"y": y}), problem({"y": changed}), "got other values of y[a]"),
        "fewer columns": (problem({"y": y}), ev.condition(mixture, {"x": y[:, 0]}), "got none of the values of y[b]"),
        "more columns": (ev.condition(mixture, {"x": y[:, 0]}), problem({"y": y}), "got also y[b]"),
        "a column twice": (problem({"y": y}), problem({"y": twice}), "got other values of y[b]"),
        "labels": (ev.condition(mixture, {"x": x}), ev.condition(mixture, {"x": x, "group": half}), "got also group"),
        "soft labels": (
            ev.condition(mixture, {"x": x}),
            ev.condition(mixture, {"x": x, "group": q}),
            "also soft labels of group",
        ),
        "a label as a covariate": (
            ev.condition(regression_on(False), {"x": x, "group": z}),
            ev.condition(regression_on(True), {"x": x, "group": z}),
            "got none of the values of group",
        ),
        "other words": (
            ev.condition(named_answers(["no", "yes"]), {"opinion": ["no", "yes", "no"]}),
            ev.condition(named_answers(["off", "on"]), {"opinion": ["off", "on", "off"]}),
            "got other values of opinion",
        ),
    }


def test_other_data_are_refused_by_name() -> None:
    for what, (a, b, text) in others().items():
        with pytest.raises(errors.DifferentData) as caught:
            ev.choose({"a": a, "b": b}, mcmc=False)
        assert f"model 'b': {text}" in str(caught.value) or text in str(caught.value), what
        assert "cannot be compared" in str(caught.value)


def bad() -> dict[str, tuple[Callable[[], object], type[Exception], str]]:
    two = [QUAKES.spec(components=k) for k in (1, 2)]
    data = {"count": QUAKES.data()["count"]}
    problems = [ev.condition(s, data) for s in two]
    return {
        "one": (lambda: ev.choose(two[:1], data), errors.BadInput, "two models at least; got 1"),
        "none": (lambda: ev.choose({}, data), errors.BadInput, "two models at least; got 0"),
        "a spec": (lambda: ev.choose(two[0], data), errors.BadInput, "a mapping of names to Specs"),  # type: ignore[arg-type]
        "both kinds": (lambda: ev.choose([two[0], problems[1]], data), errors.BadInput, "Specs, or Problems, all of one kind"),
        "text": (lambda: ev.choose("ab", data), errors.BadInput, "a mapping of names"),  # type: ignore[arg-type]
        "no data": (lambda: ev.choose(two), errors.MissingData, "data for the Specs"),
        "data twice": (lambda: ev.choose(problems, data), errors.BadInput, "neither, since Problems bring their own"),
        "a column": (lambda: ev.choose(two, {**data, "cuont": data["count"]}), errors.UnknownName, "Did you mean 'count'?"),
        "too few rows": (
            lambda: ev.choose({"x": two[0], "y": QUAKES.spec(components=9)}, {"count": [1, 2, 3]}),
            errors.TooFewRows,
            "model 'y', kind: expected at least 9 rows",
        ),
        "starts": (lambda: ev.choose(two, data, starts=0), errors.BadInput, "model '1', starts"),
    }


def test_bad_input_is_refused_by_name() -> None:
    for what, (call, kind, text) in bad().items():
        with pytest.raises(kind) as caught:
            call()
        assert text in str(caught.value), what


def test_a_column_is_for_the_specs_that_name_it() -> None:
    x, z = normal_data()
    choice = ev.choose(
        {"mixture": normal_mixture_spec(), "line": waiting_like()}, {"x": x, "t": z + 0.3 * x}, mcmc=False, starts=2
    )
    assert np.isfinite(choice.table["aic"]).all()


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ([{"k": 2}, {"k": 3}], ["2", "3"]),
        ([{"k": 2}, {"k": 2}], ["1", "2"]),
        ([{"k": 2, "f": 1}, {"k": 2, "f": 2}], ["1", "2"]),
        ([{"k": 2, "f": 5}, {"k": 3, "f": 4}, {"k": 2, "f": 4}], ["k 2, f 5", "k 3, f 4", "k 2, f 4"]),
        ([{"k": 2, "k_bis": 2}, {"k": 3, "k_bis": 3}], ["2", "3"]),
        ([{"k": 2}, {"f": 3}], ["1", "2"]),
        ([{"k": 2}, {"k": 3}, {"k": 3}], ["1", "2", "3"]),
    ],
)
def test_models_of_a_sequence_are_called_by_what_differs(sizes: list[dict[str, int]], names: list[str]) -> None:
    assert module._numbered([ev.Spec(coords=s) for s in sizes]) == names


# --------------------------------------------------------------------------------------------------------------- leave-one-out


def normal_tree(y: np.ndarray, draws: int = 1000, shift: float = 0.0) -> xr.DataTree:
    """The posterior of the mean of normal rows with sd 1 under a flat prior, exactly; `shift` moves it."""
    mean = y.mean() + shift + np.random.default_rng(7).normal(size=(4, draws)) / np.sqrt(len(y))
    rows = stats.norm.logpdf(y, mean[:, :, None])
    coords = {"chain": range(4), "draw": range(draws)}
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mean": (("chain", "draw"), mean)}, coords),
            "log_likelihood": xr.Dataset({"rows": (("chain", "draw", "row"), rows)}, coords),
        }
    )


def exactly(y: np.ndarray) -> float:
    """sum_n log p(y_n | all others): the mean of the others has variance 1 / (n - 1)."""
    others_mean = (y.sum() - y) / (len(y) - 1)
    return float(stats.norm.logpdf(y, others_mean, np.sqrt(1 + 1 / (len(y) - 1))).sum())


def test_leave_one_out_of_a_normal_mean_is_exact() -> None:
    y = np.random.default_rng(1).normal(size=80)
    found = leave_one_out(normal_tree(y), np.ones(80), np.arange(80))
    assert found.total == pytest.approx(exactly(y), abs=0.02)
    whole = stats.norm.logpdf(y, y.mean(), np.sqrt(1 + 1 / 80)).sum()
    assert found.p == pytest.approx(whole - exactly(y), abs=0.05)
    assert abs(whole - exactly(y)) > 0.5  # negative control: without leaving anything out it would be another number


def test_weights_and_identical_rows_are_left_out_one_at_a_time() -> None:
    y = np.random.default_rng(2).normal(size=30)
    w = np.random.default_rng(3).integers(0, 4, 30).astype(float)
    long = np.repeat(y, w.astype(int))
    wide = leave_one_out(normal_tree(long), np.ones(len(long)), np.arange(len(long)))
    tree = normal_tree(long)
    first = np.flatnonzero(w > 0)
    tree["log_likelihood"] = xr.DataTree(
        xr.Dataset(
            {"rows": (("chain", "draw", "row"), stats.norm.logpdf(y, tree["posterior"]["mean"].values[:, :, None]))},
            tree["posterior"].coords,
        )
    )
    narrow = leave_one_out(tree, w, np.arange(30))
    assert narrow.row.tolist() == first.tolist()
    for figure in ("total", "p", "se"):
        assert getattr(narrow, figure) == pytest.approx(getattr(wide, figure), abs=1e-9)
    grouped = leave_one_out(normal_tree(long), np.ones(len(long)), np.repeat(np.arange(30), w.astype(int)))
    assert grouped.total == pytest.approx(wide.total, abs=1e-9)
    assert grouped.rows.tolist() == w[first].astype(int).tolist()
    assert leave_one_out(tree, np.ones(30), np.arange(30)).total != pytest.approx(wide.total, abs=1)


def test_a_sample_of_rows_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.random.default_rng(4).normal(size=600)
    groups = np.arange(600)
    near, far = normal_tree(y, 250), normal_tree(y, 250, 0.15)
    whole = [leave_one_out(t, np.ones(600), groups) for t in (near, far)]
    monkeypatch.setattr(loo_module, "LOO_ROWS", 200)
    sample = [leave_one_out(t, np.ones(600), groups) for t in (near, far)]
    assert (sample[0].row == sample[1].row).all()
    assert len(sample[0].row) == 200
    for a, b in zip(sample, whole, strict=True):
        assert a.total == pytest.approx(b.total, abs=0.3)
        assert a.dataset().attrs["sampled"] == 1
        assert a.se == pytest.approx(b.se, rel=0.2)
        assert a.share * a.weight @ a.elpd != pytest.approx(b.total, abs=1)  # negative control: the sample's own sum, scaled up
    d, se = sample[0].less(sample[1])
    wanted, exact = whole[0].less(whole[1])
    assert d == pytest.approx(wanted, abs=0.3)
    assert se == pytest.approx(exact, rel=0.2)


def test_the_error_of_drawing_rows_is_part_of_the_difference() -> None:
    """Models whose rows differ by their losses alone, so that nothing but the sample of rows moves the difference."""
    rng = np.random.default_rng(6)
    N, m = 400, 100
    elpd, loss, w = rng.normal(size=N), rng.gamma(0.3, size=N), rng.integers(1, 4, N).astype(float)

    def sampled(own: np.ndarray, used: np.ndarray) -> LeaveOneOut:
        return LeaveOneOut(used, np.ones(m, dtype=int), w[used], elpd[used], own[used], np.zeros(m), w @ (elpd + own), N, 100)

    found = []
    for _ in range(1000):
        used = rng.choice(N, m, replace=False)
        found.append(sampled(loss, used).less(sampled(0 * loss, used)))
    d, se = np.array(found).T
    assert abs(d.mean()) < 5 * d.std() / np.sqrt(1000)  # the sums of elpd are the same
    assert np.sqrt((se**2).mean()) == pytest.approx(d.std(), rel=0.15)
    everything = LeaveOneOut(np.arange(N), np.ones(N, dtype=int), w, elpd, loss, np.zeros(N), w @ (elpd + loss), N, 100)
    assert everything.less(everything) == (0, 0)


def test_rows_that_no_draw_tells_apart_cost_nothing() -> None:
    y = np.random.default_rng(5).normal(size=40)
    tree = normal_tree(y)
    without = leave_one_out(tree, np.ones(40), np.arange(40))
    rows = tree["log_likelihood"]["rows"].values
    rows[:, :, 7] = -1e-17 * np.random.default_rng(0).integers(0, 3, rows.shape[:2])  # all its cells missing, but for rounding
    found = leave_one_out(tree, np.ones(40), np.arange(40))
    assert found.elpd[7] == pytest.approx(0, abs=1e-12)
    assert found.pareto_k[7] == 0
    assert np.delete(found.elpd, 7) == pytest.approx(np.delete(without.elpd, 7), abs=1e-12)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto", "ignore:.*'?poor'? .*")
def test_choice_with_nuts_is_arviz_s_compare() -> None:
    """One real run: LOO, its differences and their errors to the digits of ArviZ on the same posteriors."""
    specs = [QUAKES.spec(components=k) for k in (1, 2)]
    choice = ev.choose(specs, QUAKES.data(), draws=1500, tune=300, chains=2, starts=3, random_seed=1, progress=False)
    theirs = {}
    for name, tree in choice.posteriors.items():
        groups = {k: tree[k].to_dataset() for k in ("posterior", "log_likelihood")}
        theirs[name] = arviz_stats.loo(xr.DataTree.from_dict(groups), var_name="rows", pointwise=True)
        row = choice.table.loc[name]
        assert row["elpd_loo"] == pytest.approx(theirs[name].elpd, abs=1e-6)
        assert row["se_loo"] == pytest.approx(theirs[name].se, abs=1e-6)
        assert row["p_loo"] == pytest.approx(theirs[name].p, abs=1e-6)
        assert row["pareto_k"] == (theirs[name].pareto_k.values > 0.7).sum()
        assert row["r_hat"] > 0.99
    compared = arviz_stats.compare(theirs, round_to="none")
    d, se = choice.loo["2"].less(choice.loo["1"])
    assert (d, se) == pytest.approx((-compared.loc["1", "elpd_diff"], compared.loc["1", "dse"]), abs=1e-6)
    assert d > 10
    assert np.hypot(choice.loo["1"].se, choice.loo["2"].se) != pytest.approx(se, rel=0.2)  # negative control: not paired
    assert choice.best["loo"] == "2"
    assert choice.table.loc["1", ["d_elpd", "se_diff"]].tolist() == pytest.approx([-d, se])
    assert choice.table.loc["2", ["d_elpd", "se_diff"]].tolist() == [0, 0]
    json.dumps(choice.to_dict(), allow_nan=False)
    for text in ("elpd_loo", "LOO", "-360.369"):
        assert text in str(choice)


# --------------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["choose", *map(str, words)])


BARE = ["--no-mcmc", "--starts", "3", "--seed", "1"]


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    "words",
    [
        ["poisson_mixture", "--components", "1,2,3"],
        ["--components=1,2,3", "poisson_mixture"],
        ["poisson_mixture", "--option", "components=1,2,3"],
    ],
    ids=" ".join,
)
def test_one_model_under_several_values_of_an_option(words: list[str], quakes: ev.Choice) -> None:
    result = run(*words, *BARE, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["best"] == quakes.best
    assert [row["model"] for row in answer["table"]] == ["1", "2", "3"]
    assert [row["bic"] for row in answer["table"]] == pytest.approx(quakes.table["bic"].tolist(), abs=1e-6)
    assert answer["sentences"] == list(quakes.sentences)


OTHER = '''"""One kind of year."""
import emvsmcmc as ev

def spec():
    with ev.Spec() as spec:
        rate = ev.Gamma("rate", 2, 0.1)
        ev.Poisson("count", rate, dims="row")
    return spec
'''


@pytest.mark.usefixtures("_own_folder")
def test_several_models_and_data_of_ones_own() -> None:
    Path("plain.py").write_text(OTHER, encoding="utf-8")
    counts = "count,remark\n" + "\n".join(f"{c},x" for c in QUAKES.data()["count"][:60])
    Path("mine.csv").write_text(counts, encoding="utf-8")
    words = ["plain.py", "poisson_mixture", "--components", "2,3", "--data", "mine.csv", *BARE]
    result = run(*words)
    assert result.exit_code == 0, result.output
    for text in ("Model choice", "plain", "poisson_mixture components 2", "poisson_mixture components 3", "AIC", "converged"):
        assert text in result.stdout
    assert "elpd" not in result.stdout
    assert result.stderr.count("left out: remark") == 1
    answer = json.loads(run(*words, "--json").stdout)
    assert answer["table"][0]["n_parameters"] == 1
    y = QUAKES.data()["count"].to_numpy()[:60]
    assert answer["table"][0]["log_likelihood"] == pytest.approx(stats.poisson.logpmf(y, y.mean()).sum(), abs=1e-6)


@pytest.mark.usefixtures("_own_folder")
def test_what_the_command_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def stub(problems: dict[str, ev.Problem], **options: Any) -> SimpleNamespace:
        asked.update(options, models=list(problems), rows=[p.n for p in problems.values()])
        print("chatter")  # noqa: T201
        table = pd.DataFrame({"aic": [1.0], "elpd_loo": [np.nan], "status": ["converged"]}, index=["2"])
        return SimpleNamespace(table=table, sentences=("First.", "Second [x]."), best=asked.get("best", {"aic": "2"}))

    monkeypatch.setattr(module, "choose", stub)
    words = ["poisson_mixture", "--components", "2,3", "--draws", 50, "--tune", 9, "--chains", 3, "--starts", 4, "--seed", 5]
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert (asked["draws"], asked["tune"], asked["chains"], asked["starts"], asked["random_seed"]) == (50, 9, 3, 4, 5)
    assert (asked["mcmc"], asked["progress"], asked["models"], asked["rows"]) == (True, False, ["2", "3"], [107, 107])
    assert "chatter" in result.stderr
    for text in ("First.", "Second [x].", "elpd LOO", "–"):
        assert text in result.stdout
    asked["best"] = {"aic": None, "loo": None}
    assert run(*words).exit_code == 1


@pytest.mark.usefixtures("_own_folder")
def test_a_choice_without_a_model_fails() -> None:
    Path("mine.csv").write_text("waiting\n" + "\n".join(["50"] * 5 + ["80"] * 5), encoding="utf-8")
    text = Path("two.py")
    text.write_text(WAITING, encoding="utf-8")
    result = run("two.py", "--components", "2,3", "--data", "mine.csv", *BARE)
    assert result.exit_code == 1, result.output
    assert "No criterion can judge any of the models." in result.stdout
    assert "degenerate" in result.stdout
    assert "–" in result.stdout


WAITING = '''"""Waiting times."""
import emvsmcmc as ev

def spec(components: int = 2, other: bool = False):
    with ev.Spec(coords={"component": components}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 65, 30, dims="component")
        sd = ev.HalfNormal("sd", 20, dims="component")
        group = ev.Categorical("group", weight, dims="eruption")
        ev.Normal("waiting", mean[group], sd[group], dims="eruption")
    return spec
'''


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "Missing argument"),
        ("poisson_mixture", "choose: expected two models at least; got one. Name several models, or list"),
        ("poisson_mixture --components 2", "two models at least"),
        ("poisson_mixture poisson_mixture", "poisson_mixture: expected each model once; got the same one again"),
        ("poisson_mixture --components 2,2", "2: expected each model once"),
        ("poisson_mixture --components 2,many", "--components: expected a whole number; got 'many'"),
        ("poisson_mixture --components", "--components: expected a whole number; got nothing"),
        ("poisson_mixture --component 1,2", "Did you mean --components?"),
        ("poisson_mixture --both=true,false", "--both=true,false: expected an option, or one of this model: --components"),
        ("poisson_mixture -c 1,2", "-c: expected an option"),
        ("poisson_mixture --option components", "--option components: expected NAME=VALUES"),
        ("poisson_mixture --option kinds=1,2", "--kinds=1,2: expected an option, or one of this model: --components"),
        ("poison_mixture --components 1,2", "Did you mean 'poisson_mixture'?"),
        ("poisson_mixture zero --components 1,2", "zero: expected a model of the gallery"),
        ("poisson_mixture zero_inflated_poisson", "expected the 107 rows of model 'poisson_mixture'; got 6 rows"),
        ("old_faithful --both=false,true", "'both true': expected the observed cells of model 'both false'; got also geyser"),
        ("poisson_mixture --components 1,200", "kind: expected at least 200 rows"),
        ("poisson_mixture --components 1,2 --data nowhere.csv", "nowhere.csv: expected a .csv"),
        ("poisson_mixture --components 1,2 --draws 0", "--draws"),
    ],
)  # fmt: skip
def test_bad_commands(words: str, text: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2, result.output
    assert text in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not list(Path().iterdir())


def test_a_maximum_with_a_name_counts_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [QUAKES.spec(components=k) for k in (1, 2)]
    whole, status = module.fit_em, Status.HEYWOOD
    monkeypatch.setattr(module, "fit_em", lambda *a, **k: replace(whole(*a, **k), status=status))
    choice = ev.choose(specs, QUAKES.data(), mcmc=False, starts=2, random_seed=0)
    assert np.isfinite(choice.table["bic"]).all()
    assert any("EM of 2 ended as heywood: A residual variance is zero" in s for s in choice.sentences)
    status = Status.CONVERGED
    assert not any("ended as" in s for s in ev.choose(specs, QUAKES.data(), mcmc=False, starts=2, random_seed=0).sentences)


def test_statuses_that_fail_have_no_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends a fit without a maximum is told by its name."""
    for status in (Status.DEGENERATE, Status.UNBOUNDED):

        def fails(*_: Any, status: Status = status, **__: Any) -> ev.EMFit:
            raise FitFailed(f"ended as {status.value}", status)

        monkeypatch.setattr(module, "fit_em", fails)
        choice = ev.choose([QUAKES.spec(components=k) for k in (1, 2)], QUAKES.data(), mcmc=False)
        assert choice.table["status"].tolist() == [status.value] * 2
        assert choice.sentences[1].startswith(f"EM of 1 ended as {status.value}")

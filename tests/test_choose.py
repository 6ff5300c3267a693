"""Model choice: criteria by hand, disagreements in words, and models that EM or NUTS cannot fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fabricated
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from examples import normal_data, normal_mixture_spec, one_factor
from scipy import stats
from scipy.special import logsumexp, xlogy

import emvsmcmc as ev
from emvsmcmc.comparison.choice import choose as module
from emvsmcmc.comparison.choice.reasons import Judged, sentences
from emvsmcmc.comparison.loo import LeaveOneOut, rowwise
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
    whole = module.run_em
    short = {3: 1}
    monkeypatch.setattr(module, "run_em", lambda p, o: whole(p, replace(o, max_iter=short.get(p.sizes["component"], 10_000))))
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
            rows = rowwise(tree)
            rows[1] = rows[1] + 0.3
        return tree

    monkeypatch.setattr(module, "run_nuts", posterior)
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
        rows = rowwise(tree)
        rows[1] = rows[1] + 0.3 * sign
        return tree

    monkeypatch.setattr(module, "run_nuts", another_mode)
    told, other = (s for s in ev.choose(specs, QUAKES.data(), starts=3, chains=2).sentences if "have not converged" in s)
    assert "total" not in told + other
    assert "(at most 1.05 is wanted)" in told
    monkeypatch.setattr(module, "run_nuts", normal_posterior)  # negative control: the same draws undisturbed
    assert ev.choose(specs, QUAKES.data(), starts=3, random_seed=0, chains=2).best["loo"] == "2"


@pytest.mark.usefixtures("_long_chains")
def test_a_model_that_cannot_be_sampled_keeps_its_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    def posterior(problem: ev.Problem, *_: Any, **__: Any) -> xr.DataTree:
        if problem.sizes["component"] == 2:
            raise SamplingFailed("NUTS could not run: no chain started")
        return normal_posterior(problem)

    monkeypatch.setattr(module, "run_nuts", posterior)
    choice = ev.choose([QUAKES.spec(components=k) for k in (1, 2)], QUAKES.data(), starts=3, random_seed=0, chains=2)
    assert choice.best == {"aic": "2", "bic": "2", "icl": "1", "loo": None}
    assert np.isnan(choice.table.loc["2", "elpd_loo"])
    assert list(choice.posteriors) == list(choice.loo) == ["1"]
    assert any("NUTS could not sample 2" in s for s in choice.sentences)

    def bug(*_: Any, **__: Any) -> xr.DataTree:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "run_nuts", bug)
    with pytest.raises(ZeroDivisionError):  # negative control: only what has a name is caught
        ev.choose([QUAKES.spec(components=k) for k in (1, 2)], QUAKES.data(), starts=1)


def test_a_maximum_with_a_name_counts_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [QUAKES.spec(components=k) for k in (1, 2)]
    whole, status = module.run_em, Status.HEYWOOD
    monkeypatch.setattr(module, "run_em", lambda *a, **k: replace(whole(*a, **k), status=status))
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

        monkeypatch.setattr(module, "run_em", fails)
        choice = ev.choose([QUAKES.spec(components=k) for k in (1, 2)], QUAKES.data(), mcmc=False)
        assert choice.table["status"].tolist() == [status.value] * 2
        assert choice.sentences[1].startswith(f"EM of 1 ended as {status.value}")

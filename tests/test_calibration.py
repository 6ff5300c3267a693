"""Calibration: exact posteriors pass, spoilt ones do not, and every figure is what its name says."""

from pathlib import Path
from typing import Any

import calibration_posteriors as posteriors
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import emvsmcmc as ev
from emvsmcmc.experiments.calibration.data import check_prior, design_of, simulated
from emvsmcmc.experiments.calibration.judge import (
    chi_squared,
    coverage,
    ecdf,
    ecdf_p,
    envelope,
    holm,
    honest_from,
    uniformity,
    wilson,
)
from emvsmcmc.experiments.calibration.task import LEVELS, percentiles, ranks
from emvsmcmc.experiments.calibration.words import failures, findings
from emvsmcmc.gallery import load

CHEAP: dict[str, Any] = {"bootstrap": 0, "em_options": {"starts": 1}, "random_seed": 8, "workers": 0, "progress": False}

# --------------------------------------------------------------------------------------------------------- ranks, on their own


def conjugate(kind: str, rng: np.random.Generator, simulations: int = 300, most: int = 99) -> np.ndarray:
    """Randomised ranks of a Normal mean: prior N(0, 1), one observation with noise 1, two chains of 200 draws."""
    truth = rng.normal(size=simulations)
    y = truth + rng.normal(size=simulations)
    mean, sd = y / 2, np.sqrt(0.5)
    z = rng.normal(size=(2, 200, simulations))
    if kind == "sluggish":  # an autoregression whose stationary distribution is the posterior
        for t in range(1, 200):
            z[:, t] = 0.9 * z[:, t - 1] + np.sqrt(1 - 0.9**2) * z[:, t]
    if kind == "another prior":
        mean, sd = y * 0.25 / 1.25, np.sqrt(0.25 / 1.25)
    draws = mean + (0.7 if kind == "shrunk" else 1.0) * sd * z
    if kind == "biased":
        draws = draws + 0.6 * sd
    return ranks(truth, draws, most, rng)["pit"]


@pytest.mark.parametrize(
    ("kind", "most", "passes"),
    [
        ("exact", 99, True),
        ("exact", 7, True),
        ("sluggish", 99, True),
        ("shrunk", 99, False),
        ("another prior", 99, False),
        ("biased", 99, False),
    ],
)
def test_ranks_tell_right_draws_from_wrong_ones(kind: str, most: int, passes: bool) -> None:
    u = conjugate(kind, np.random.default_rng(12), most=most)
    assert ecdf_p(u) > 0.05 if passes else ecdf_p(u) < 0.001
    assert chi_squared(u)[1] > 0.05 if passes else chi_squared(u)[1] < 0.01


def test_without_thinning_a_sluggish_chain_would_look_wrong() -> None:
    """Negative control of the effective sample size in `ranks`: the rank among all draws of a sluggish chain is not uniform."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(2, 200, 300))
    for t in range(1, 200):
        z[:, t] = 0.98 * z[:, t - 1] + np.sqrt(1 - 0.98**2) * z[:, t]
    truth = rng.normal(size=300)
    among_all = ((z < truth).sum(axis=(0, 1)) + rng.random(300)) / 401
    assert ecdf_p(ranks(truth, z, 99, rng)["pit"]) > 0.05
    assert ecdf_p(among_all) < 0.001


def test_ties_and_draws_that_do_not_move() -> None:
    rng = np.random.default_rng(0)
    found = ranks(np.array([0.0, 1.0]), np.zeros((2, 50, 2)), 99, rng)
    assert np.isnan(found["ess"]).all()
    assert np.isnan(found["pit"][0])  # nothing to rank
    assert (found["ranked"][1], found["rank"][1]) == (1, 1)
    counts = rng.integers(0, 3, size=(2, 100, 200)).astype(float)  # truth and draws alike, with many ties
    u = ranks(rng.integers(0, 3, size=200).astype(float), counts, 99, rng)["pit"]
    assert ecdf_p(u) > 0.05


# --------------------------------------------------------------------------------------------------------------------- figures


def test_p_values_of_uniform_samples_are_uniform() -> None:
    rng = np.random.default_rng(4)
    samples = rng.random((400, 60))
    assert stats.kstest([ecdf_p(u) for u in samples], "uniform").pvalue > 0.01
    assert stats.kstest([chi_squared(u)[1] for u in samples], "uniform").pvalue > 1e-4  # discrete


@pytest.mark.parametrize("count", [30, 200])
def test_a_curve_leaves_its_envelope_where_the_test_rejects(count: int) -> None:
    rng = np.random.default_rng(count)
    z, lower, upper = envelope(count)
    agree = []
    for shape in rng.uniform(0.75, 1.3, 60):
        u = rng.beta(shape, shape, count)
        y = ecdf(u, z)
        p = ecdf_p(u)
        inside = bool(((y >= lower - 1e-12) & (y <= upper + 1e-12)).all())
        if abs(p - 0.05) > 0.01:
            agree.append(inside == (p > 0.05))
    assert all(agree)
    assert len(agree) > 40


def test_wilson_and_holm() -> None:
    for hits, of in [(0, 10), (7, 10), (190, 200), (200, 200)]:
        known = stats.binomtest(hits, of).proportion_ci(0.95, "wilson")
        found = wilson(np.array([hits]), np.array([of]))
        assert np.allclose([found[0][0], found[1][0]], [known.low, known.high], atol=1e-12)
    assert np.isnan(wilson(np.array([0.0]), np.array([0.0]))[0]).all()
    assert np.allclose(holm(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.06, np.nan, 0.06], equal_nan=True)


def result_of(lower: np.ndarray, upper: np.ndarray, truth: float = 0.0) -> xr.Dataset:
    """A result with one quantity and one interval, from the ends of its intervals (size, simulation)."""
    ends = {k: (("size", "simulation", "interval", "quantity", "level"), x[:, :, None, None, None]) for k, x in
            (("lower", lower), ("upper", upper))}  # fmt: skip
    shape = (*lower.shape, 1)
    return xr.Dataset(
        {**ends, "truth": (("size", "simulation", "quantity"), np.full(shape, truth))},
        coords={
            "size": [10, 20, 40][: len(lower)], "interval": ["wald"], "quantity": ["a"], "level": [0.95],
            "kind": ("quantity", ["parameter"]),
        },
    )  # fmt: skip


def test_coverage_counts_both_ways() -> None:
    lower, upper = np.full((1, 100), -1.0), np.full((1, 100), 1.0)
    lower[0, :10], upper[0, 10:15] = 0.5, np.nan
    (row,) = coverage(result_of(lower, upper)).to_dict("records")
    assert row["intervals"] == 95
    assert row["where_there_is_one"] == pytest.approx(85 / 95)
    assert row["none_is_a_miss"] == pytest.approx(0.85)
    assert row["without"] == pytest.approx(0.05)
    assert row["none_is_a_miss_upper"] == pytest.approx(stats.binomtest(85, 100).proportion_ci(0.95, "wilson").high)


@pytest.mark.parametrize(
    ("misses", "expected"), [((30, 30, 5), 40), ((5, 30, 5), 40), ((30, 5, 5), 20), ((5, 5, 5), 10), ((5, 5, 30), None)]
)
def test_honest_from_the_first_size_after_which_nothing_fails(misses: tuple[int, ...], expected: int | None) -> None:
    lower = np.full((3, 100), -1.0)
    for i, m in enumerate(misses):
        lower[i, :m] = 0.5
    assert honest_from(coverage(result_of(lower, np.ones((3, 100)))), "wald") == {"a": expected}


# ------------------------------------------------------------------------------------------------------------ the whole of it


def calibrated(posterior: Any, spec: ev.Spec, sizes: list[int], simulations: int, **options: Any) -> xr.Dataset:
    return ev.calibrate(spec, sizes, simulations=simulations, posterior=posterior, **{**CHEAP, **options})


@pytest.mark.parametrize(
    ("posterior", "simulations", "kind"),
    [(posteriors.exact, 120, "uniform"), (posteriors.shrunk, 120, "not uniform"), (posteriors.another_prior, 40, "not uniform")],
)
def test_a_broken_posterior_is_caught(posterior: Any, simulations: int, kind: str) -> None:
    found = findings(calibrated(posterior, posteriors.spec(), [5], simulations))
    assert found.kind == kind, found.sentences
    # EM's interval does not depend on the sampler, and is exact here but for the prior, which averages to nothing
    assert found.coverage.loc[("mean", "wald", 0.95, 5), "honest"]
    if kind == "uniform":
        assert found.coverage.loc[("mean", "eti", 0.95, 5), "honest"]


def test_only_the_likelihood_sees_draws_that_have_not_seen_the_data() -> None:
    """Draws of the prior pass for every parameter (Modrák et al. 2023); quantities that read the data do not."""
    table = uniformity(calibrated(posteriors.of_the_prior, posteriors.spec(), [20], 60))
    assert table.loc[("mean", 20), "uniform"]
    assert table.loc[("log prior", 20), "uniform"]
    assert not table.loc[("log likelihood", 20), "uniform"]


@pytest.mark.parametrize("posterior", [posteriors.every_labelling, posteriors.one_labelling])
def test_aligned_ranks_are_exact_however_labels_move(posterior: Any) -> None:
    result = calibrated(posterior, posteriors.mixture(), [15], 60)
    assert findings(result).kind == "uniform", findings(result).sentences
    raw = []  # negative control: without alignment a chain of one labelling misses a truth of the other
    design = design_of(posteriors.mixture())
    for i in range(60):
        truth, problem = simulated(design, 15, i)
        raw.append(
            ranks(truth["mean"][:1], posteriors.one_labelling(problem, i)["mean"][:, :, :1], 99, np.random.default_rng(i))["pit"][
                0
            ]
        )
    assert ecdf_p(np.array(raw)) < 0.01


def test_failures_are_named_counted_and_shown(tmp_path: Path) -> None:
    result = calibrated(posteriors.fails_often, posteriors.spec(), [5], 24)
    failed = result["mcmc_status"].values == "SamplingFailed"
    assert 0 < failed.sum() < 24
    assert np.isnan(result["pit"].values[failed]).all()
    assert np.isfinite(result["pit"].values[~failed]).all()
    assert np.isfinite(result["se"].sel(quantity="mean").values).all()
    (row,) = failures(result)
    assert (row["engine"], row["status"], row["count"]) == ("MCMC", "SamplingFailed", failed.sum())
    assert any("SamplingFailed" in s for s in findings(result).sentences)
    assert coverage(result).loc[("mean", "eti", 0.95, 5), "without"] == pytest.approx(failed.mean())
    page = result.ev.report(tmp_path).read_text(encoding="utf-8")
    assert "would not start" in page


def test_a_stopped_run_resumes_and_grows(tmp_path: Path) -> None:
    one = calibrated(posteriors.exact, posteriors.spec(), [5, 8], 3)
    calibrated(posteriors.exact, posteriors.spec(), [5], 2, store=tmp_path)
    two = calibrated(posteriors.exact, posteriors.spec(), [8, 5], 3, store=tmp_path)
    xr.testing.assert_identical(one, two)
    other = calibrated(posteriors.exact, posteriors.spec(), [5, 8], 3, random_seed=9)
    assert not one["truth"].equals(other["truth"])
    with pytest.raises(ev.errors.DifferentSweep):
        calibrated(posteriors.exact, posteriors.spec(), [5], 2, store=tmp_path, random_seed=9)


# ------------------------------------------------------------------------------------------------------------------- the prior


def one_scale(prior: Any, mean: tuple[float, float] = (0.0, 1.0)) -> ev.Spec:
    with ev.Spec() as spec:
        m = ev.Normal("mean", *mean)
        sd = prior("sd")
        ev.Normal("x", m, sd, dims="row")
    return spec


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (one_scale(lambda n: ev.InverseGamma(n, 0.001, 0.001)), "sd"),
        (one_scale(lambda n: ev.Gamma(n, 0.01, 0.01)), "sd"),
        (one_scale(lambda n: ev.HalfNormal(n, 1), (0.0, 1e8)), "mean"),
    ],
)
def test_a_prior_too_wide_to_simulate_from_is_refused(spec: ev.Spec, name: str) -> None:
    with pytest.raises(ev.errors.WidePrior, match="from the prior") as caught:
        ev.calibrate(spec, [20], simulations=2, **CHEAP)
    assert caught.value.variable == name


@pytest.mark.parametrize("name", ["old_faithful", "missing_bivariate", "genetic_linkage", "one_factor", "poisson_mixture", None])
def test_reasonable_priors_pass(name: str | None) -> None:
    spec = one_scale(lambda n: ev.HalfCauchy(n, 2), (0.0, 1000.0)) if name is None else load(name).spec()
    check_prior(design_of(spec), 20, 0)


# -------------------------------------------------------------------------------------------------------------------- the data


def test_holes_covariates_and_labels_are_taken_over() -> None:
    with ev.Spec(coords={"component": 2}) as spec:
        a = ev.Data("a", dims="row")
        mean = ev.Normal("mean", 0, 3, dims="component")
        slope = ev.Normal("slope", 0, 1)
        group = ev.Categorical("group", ev.constant([0.5, 0.5], dims="component"), dims="row")
        ev.Normal("x", mean[group] + slope * a, 1.0, dims="row")
    data = {"a": [1.0, 2.0, 3.0, 4.0], "group": [0, -1, 1, -1], "x": [0.0, np.nan, 1.0, 2.0]}
    design = design_of(spec, data)
    truth, problem = simulated(design, 10, 3)
    a_given = problem.given["a"].array
    assert set(truth) == {"mean", "slope"}
    assert sorted(np.unique(a_given)) == [1, 2, 3, 4]
    assert np.array_equal(np.isnan(problem.given["x"].array), a_given == 2)
    assert np.array_equal(np.isnan(problem.given["group"].array), a_given % 2 == 0)
    other = simulated(design, 10, 4)[1]
    assert np.array_equal(other.given["a"].array, a_given)
    assert not np.allclose(other.given["x"].array, problem.given["x"].array, equal_nan=True)
    with pytest.raises(ev.errors.MissingData):
        simulated(design_of(spec), 10, 3)
    with pytest.raises(ev.errors.BadEvidence):
        design_of(spec, {**data, "group": [[0.5, 0.5]] * 4})


@pytest.mark.parametrize(
    "options",
    [
        {"sizes": []},
        {"sizes": [5, 5]},
        {"sizes": [1]},
        {"sizes": [5.5]},
        {"simulations": 0},
        {"bootstrap": 38},
        {"em_options": {"stars": 3}},
        {"mcmc_options": {"init": "prior"}},
        {"random_seed": None, "store": "somewhere"},
    ],
)
def test_bad_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ev.errors.BadInput):
        ev.calibrate(posteriors.spec(), **{"sizes": [5], "simulations": 2, **CHEAP, **options})


def test_a_spec_without_rows_of_free_number_is_refused() -> None:
    with ev.Spec(coords={"row": 5}, plates=("row",)) as spec:
        ev.Normal("x", ev.Normal("mean", 0, 1), 1.0, dims="row")
    with pytest.raises(ev.errors.UnsupportedModel, match="coords"):
        ev.calibrate(spec, [5], simulations=2, **CHEAP)


def test_tables_are_frames() -> None:
    result = calibrated(posteriors.exact, posteriors.spec(), [5], 2)
    assert uniformity(result)["ecdf_p"].isna().all()  # two ranks say nothing
    pd.testing.assert_frame_equal(result.ev.table, coverage(result))


def test_percentiles_of_few_replicates_hold_one_more_as_often_as_they_say() -> None:
    """Among exchangeable replicates; numpy's usual quantiles do not, by far."""
    z = np.random.default_rng(0).normal(size=(40, 40_000))
    low, high = percentiles(z[:39])
    held = ((low <= z[39]) & (z[39] <= high)).mean(axis=1)
    error = np.sqrt(np.array(LEVELS) * (1 - np.array(LEVELS)) / z.shape[1])
    assert (np.abs(held - LEVELS) < 4 * error).all()
    low, high = np.quantile(z[:39], [0.025, 0.975], axis=0)
    assert ((low <= z[39]) & (z[39] <= high)).mean() < 0.92

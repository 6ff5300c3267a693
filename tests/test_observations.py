"""One rule for n: rows that say something, weights as repetitions."""

from __future__ import annotations

import arviz_stats
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from fabricated import fabricate, pairs
from scipy import stats

import emvsmcmc as ev
from emvsmcmc.comparison.choice.choose import assignment_entropy
from emvsmcmc.comparison.loo import elpd_data, leave_one_out, likelihood_name

NOTE = "weights are repetitions"


def normal_spec() -> ev.Spec:
    with ev.Spec() as spec:
        mean = ev.Normal("mean", 0, 10)
        sd = ev.HalfNormal("sd", 5)
        ev.Normal("x", mean, sd, dims="row")
    return spec


def mixture_spec(components: int = 2) -> ev.Spec:
    with ev.Spec(coords={"component": list(range(components))}) as spec:
        weight = ev.Dirichlet("weight", np.ones(components), dims="component")
        mean = ev.Normal("mean", 0, 10, dims="component")
        sd = ev.HalfNormal("sd", 5)
        z = ev.Categorical("z", weight, dims="row")
        ev.Normal("x", mean[z], sd, dims="row")
    return spec


def numbers() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(-1.8, 1, 50), rng.normal(1.8, 1, 50)])


def with_silence(x: np.ndarray, rows: int = 900) -> np.ndarray:
    return np.concatenate([x, np.full(rows, np.nan)])


def test_bic_of_one_normal_is_its_formula_with_rows_that_say_nothing() -> None:
    x = numbers()
    w = np.random.default_rng(0).integers(0, 4, len(x)).astype(float)
    for weights in (np.ones(len(x)), w):
        long = np.repeat(x, weights.astype(int))
        wanted = -2 * stats.norm.logpdf(long, long.mean(), long.std()).sum() + 2 * np.log(len(long))
        padded = np.concatenate([weights, np.full(900, 2.0)])
        problem = ev.condition(normal_spec(), {"x": with_silence(x)}, padded)
        assert problem.observations == len(long)
        found = ev.fit_em(problem, "ml", starts=2, random_seed=0, progress=False).bic
        assert found == pytest.approx(wanted, abs=1e-6)
        assert abs(found - (wanted + 2 * np.log(padded.sum() / len(long)))) > 1  # negative control: all weights as n


def test_criteria_and_the_choice_do_not_see_silent_rows() -> None:
    specs = {"1": mixture_spec(1), "2": mixture_spec(2)}
    x = numbers()
    alone, padded = (
        ev.choose(specs, {"x": y}, mcmc=False, starts=5, random_seed=0, progress=False) for y in (x, with_silence(x))
    )
    assert padded.best == alone.best
    for column in ("aic", "bic", "icl"):
        assert padded.table[column].values == pytest.approx(alone.table[column].values, abs=1e-4)
    fit = padded.fits["2"]
    assert fit is not None
    entropy = -(fit.probability["z"] * np.log(fit.probability["z"])).sum().item()
    assert entropy > assignment_entropy(fit) + 500  # negative control: 900 rows of which nothing is known


def test_rows_in_chunks_are_counted_alike() -> None:
    x = with_silence(numbers(), 300)
    w = np.random.default_rng(1).uniform(0, 2, len(x))
    memory = ev.condition(mixture_spec(), {"x": x}, w)
    chunked = ev.condition(mixture_spec(), {"x": da.from_array(x, chunks=90)}, da.from_array(w, chunks=90))
    assert memory.observations == pytest.approx(w[:100].sum())
    assert chunked.observations == pytest.approx(memory.observations)
    assert chunked.total_weight == pytest.approx(w.sum())
    options = {"starts": 2, "random_seed": 0, "progress": False, "standard_errors": None}
    assert ev.fit_em(chunked, "ml", **options).bic == pytest.approx(ev.fit_em(memory, "ml", **options).bic, abs=1e-3)


def test_a_label_alone_says_something() -> None:
    x, z = with_silence(numbers(), 10), np.full(110, -1)
    z[100:104] = 0
    assert ev.condition(mixture_spec(), {"x": x, "z": z}).observations == 104


def normal_tree(y: np.ndarray, w: np.ndarray) -> xr.DataTree:
    """Exact posterior of the mean of normal rows with sd 1, flat prior, weights as repetitions."""
    draws = np.average(np.nan_to_num(y), weights=w * np.isfinite(y))
    mean = draws + np.random.default_rng(7).normal(size=(4, 1000)) / np.sqrt((w * np.isfinite(y)).sum())
    rows = np.nan_to_num(stats.norm.logpdf(y, mean[:, :, None]))
    coords = {"chain": range(4), "draw": range(1000)}
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mean": (("chain", "draw"), mean)}, coords),
            "log_likelihood": xr.Dataset({"rows": (("chain", "draw", "row"), rows)}, coords),
        }
    )


def test_elpd_counts_weights_as_repetitions_and_leaves_silent_rows_out() -> None:
    y = np.append(np.random.default_rng(2).normal(size=20), [np.nan, np.nan])
    w = np.append(np.random.default_rng(3).integers(1, 4, 20), [1, 5]).astype(float)
    problem = ev.condition(normal_spec(), {"x": y}, w)
    tree, groups = normal_tree(y, w), np.arange(22)
    found = leave_one_out(tree, problem.heard, groups)
    theirs = elpd_data(found, problem, groups)
    long = np.repeat(y[:20], w[:20].astype(int))
    n, others = len(long), (long.sum() - long) / (len(long) - 1)
    exact = stats.norm.logpdf(long, others, np.sqrt(1 + 1 / (n - 1)))
    assert theirs.elpd == pytest.approx(exact.sum(), abs=0.05)
    assert theirs.se == pytest.approx(np.sqrt(n) * exact.std(ddof=1), rel=0.02)
    assert theirs.n_data_points == n
    assert theirs.elpd_i.sum().item() == pytest.approx(theirs.elpd)
    assert "elpd_loo" in str(theirs)
    spoken = {
        "posterior": tree["posterior"].to_dataset(),
        "log_likelihood": tree["log_likelihood"].to_dataset().isel(row=slice(20)),
    }
    unweighted = arviz_stats.loo(xr.DataTree.from_dict(spoken), var_name="rows").elpd
    assert abs(unweighted - theirs.elpd) > 10  # negative control


def test_weights_that_sum_to_one_are_noted() -> None:
    x = numbers()
    ones = np.full(100, 0.01)
    (note,) = [n for n in ev.condition(normal_spec(), {"x": x}, ones).notes if NOTE in n]
    assert "100" in note
    chunked = ev.condition(normal_spec(), {"x": da.from_array(x, chunks=30)}, da.from_array(ones, chunks=30))
    assert any(NOTE in n for n in chunked.notes)
    for w in (None, np.ones(100), np.eye(100)[0] * 2, ones * 1.1):
        assert not any(NOTE in n for n in ev.condition(normal_spec(), {"x": x}, w).notes)


def test_the_log_likelihood_carries_the_name_of_what_alone_is_observed() -> None:
    alone = fabricate(ev.condition(mixture_spec(), {"x": numbers()}))
    assert list(alone.posterior["log_likelihood"].data_vars) == ["x"]
    assert np.isfinite(arviz_stats.loo_pit(alone.posterior)["x"].values).all()  # finds x in the other groups
    labelled = ev.condition(mixture_spec(), {"x": numbers(), "z": np.repeat([0, -1], 50)})
    assert likelihood_name(labelled) == "rows"  # of both jointly
    assert likelihood_name(pairs()) == "rows"  # of two values, one of them missing in some rows


def test_comparison_and_page_say_one_elpd() -> None:
    x = with_silence(numbers()[30:70], 10)
    found = fabricate(ev.condition(mixture_spec(), {"x": x}, np.random.default_rng(0).integers(1, 4, 50).astype(float)))
    page, ours = found.to_datatree()["loo"].attrs, found.loo
    assert (ours.elpd, ours.se, ours.p) == (page["elpd"], page["se"], page["p"])
    assert ours.n_data_points == found.problem.observations < found.problem.weights.sum()
    one_each = leave_one_out(found.posterior, (found.problem.heard > 0).astype(float), found.em.plan.inverse)
    w = found.problem.heard[one_each.row]
    assert ours.elpd == pytest.approx(w @ one_each.elpd, abs=0.05)  # a row of weight w is w rows
    assert abs(one_each.total - ours.elpd) > 10  # negative control

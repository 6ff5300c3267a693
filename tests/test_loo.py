"""Leave-one-out: exact where a formula exists, weighted rows, sampled rows, and ArviZ's own figures."""

from __future__ import annotations

import json

import arviz_stats
import numpy as np
import pytest
import xarray as xr
from scipy import stats

import emvsmcmc as ev
from emvsmcmc.comparison import loo as loo_module
from emvsmcmc.comparison.loo import LeaveOneOut, leave_one_out, rowwise
from emvsmcmc.gallery import load

QUAKES = load("poisson_mixture")

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
    rows = rowwise(tree).values
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
        theirs[name] = arviz_stats.loo(xr.DataTree.from_dict(groups), pointwise=True)
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

"""Hidden variables drawn after the sampling: a row follows EM's E-step, its parts belong together, rows are independent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from examples import (
    latent_class,
    missing_cells,
    nested_latents,
    normal_data,
    normal_mixture_spec,
    one_factor,
    partial_labels,
    soft_labels_and_weights,
    two_columns,
)
from fabricated import fabricate
from scipy import stats

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.mcmc import recover as module
from emvsmcmc.mcmc.compile.compile import compile_model, sample
from emvsmcmc.mcmc.model import build_model

DRAWS = 4000
FAR = 5.0  # standard errors: one in two million by chance for each figure


def factors_and_classes() -> ev.Problem:
    """Two factors in each of two classes, with holes and labels of both kinds: everything hidden at once."""
    with ev.Spec(coords={"class": 2, "axis": 2, "item": 4}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="class")
        mean = ev.Normal("mean", 0, 5, dims=("class", "item"))
        loading = ev.Normal("loading", 0, 2, dims=("class", "item", "axis"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        kind = ev.Categorical("kind", weight, dims="row")
        factor = ev.Normal("factor", 0, 1, dims=("row", "axis"))
        ev.Normal("x", mean[kind] + ev.dot(loading[kind], factor), sd, dims=("row", "item"))
    r = np.random.default_rng(3)
    z, f = r.integers(0, 2, 60), r.normal(size=(60, 2))
    x = 3.0 * z[:, None] + f @ r.normal(size=(2, 4)) + 0.5 * r.normal(size=(60, 4))
    x[r.random(x.shape) < 0.15] = np.nan
    return ev.condition(spec, {"x": x, "kind": np.where(np.arange(60) % 6, -1, z)})


def holes_in_counts() -> ev.Problem:
    """A row may lack its count, its answer, or both, which says nothing about its class but must be drawn from it."""
    with ev.Spec(coords={"class": 2, "answer": ["no", "maybe", "yes"]}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="class")
        rate = ev.Gamma("rate", 2.0, 0.5, dims="class")
        table = ev.Dirichlet("table", 1.5, dims=("class", "answer"))
        mean = ev.Normal("mean", 0, 5, dims="class")
        kind = ev.Categorical("kind", weight, dims="row")
        ev.Poisson("count", rate[kind], dims="row")
        ev.Categorical("answer_of", table[kind], dims="row")
        ev.Normal("x", mean[kind], 1.0, dims="row")
    r = np.random.default_rng(4)
    z = r.integers(0, 2, 60)
    count, answer = r.poisson(np.array([2.0, 9.0])[z]).astype(float), np.where(r.random(60) < 0.7, 2 * z, 1)
    count[::7], answer[::5] = np.nan, -1
    return ev.condition(spec, {"count": count, "answer_of": answer, "x": r.normal(2.0 * z)})


PROBLEMS = {
    build.__name__: build
    for build in (
        missing_cells, one_factor, nested_latents, partial_labels, soft_labels_and_weights, latent_class, factors_and_classes,
        holes_in_counts,
    )
}  # fmt: skip
FITS: dict[str, ev.EMFit] = {}


def fitted(build: Callable[[], ev.Problem]) -> ev.EMFit:
    """Somewhere near the posterior mode, made once: parameters to stand still at."""
    name = build.__name__
    if name not in FITS:
        FITS[name] = ev.fit_em(build(), "map", starts=2, max_iter=30, standard_errors=None, random_seed=0)
    return FITS[name]


def standing(fit: ev.EMFit, draws: int = DRAWS, chains: int = 1) -> xr.Dataset:
    """A posterior whose every draw is the estimate."""
    return fit.estimate.expand_dims({"chain": chains, "draw": draws})


def off(found: np.ndarray, wanted: np.ndarray, error: np.ndarray) -> float:
    """The largest difference in standard errors; where there is no error there must be no difference."""
    difference = np.abs(found - wanted)
    assert (difference[error == 0] < 1e-9).all()
    return float((difference / np.where(error == 0, np.inf, error)).max())


def distance(fit: ev.EMFit, latent: xr.Dataset) -> float:
    """How far the draws lie from the E-step, in Monte Carlo standard errors: probabilities, means and variances."""
    worst = 0.0
    for name, p in fit.probability.data_vars.items():
        if name in latent:
            codes = latent[name].values.reshape(-1, len(p))
            share = (codes[:, :, None] == np.arange(p.shape[1])).mean(axis=0)
            error = np.sqrt(p.values * (1 - p.values) / len(codes)) + 1 / len(codes)
            worst = max(worst, off(share, p.values, np.where(p.values * (1 - p.values) > 1e-12, error, 0.0)))
    for name, mean in fit.latent.data_vars.items():
        if name in latent:
            x, sd = latent[name].values.reshape(-1, *mean.shape), fit.latent[f"{name}_sd"].values
            squares = (x - mean.values) ** 2
            worst = max(worst, off(x.mean(axis=0), mean.values, sd / np.sqrt(len(x))))
            worst = max(worst, off(squares.mean(axis=0), sd**2, squares.std(axis=0) / np.sqrt(len(x))))
    return worst


# ------------------------------------------------------------------------------------------------------------- one row's law


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_at_fixed_parameters_the_draws_follow_the_expectation(name: str) -> None:
    fit = fitted(PROBLEMS[name])
    latent = ev.recover(fit.problem, standing(fit), 1)
    assert set(fit.probability) <= set(latent)
    assert {n for n in fit.latent.data_vars if not str(n).endswith("_sd")} <= set(latent)
    for v in latent.data_vars.values():
        assert v.dims[:3] == ("chain", "draw", "row")
    assert distance(fit, latent) < FAR


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_other_parameters_are_noticed(name: str) -> None:
    """Negative control: a tenth of a standard deviation, or of a probability, lies far outside the Monte Carlo error."""
    fit = fitted(PROBLEMS[name])
    changed = standing(fit)
    for v in fit.plan.parameters:
        if v.label in ("mean", "mean_a"):
            changed[v.label] = changed[v.label] + 0.3
    if "mean" not in changed and "mean_a" not in changed:
        changed["p"] = 0.5 * changed["p"] + 0.25
    assert distance(fit, ev.recover(fit.problem, changed, 1)) > 2 * FAR


def test_given_cells_hold_their_values() -> None:
    for build in (missing_cells, partial_labels, factors_and_classes, holes_in_counts, latent_class):
        fit = fitted(build)
        latent = ev.recover(fit.problem, standing(fit, 20, 2), 0)
        for name, variable in latent.data_vars.items():
            assert not np.isnan(variable.values).any()
            if name in fit.problem.given:
                given = fit.problem.given[name].array
                there = np.isfinite(given)
                assert (variable.values[:, :, there] == given[there]).all()
                hidden = variable.values[:, :, ~there].astype(float)
                assert name in fit.probability or (hidden.std(axis=(0, 1)) > 0).any(), name
        assert {k for k, v in fit.problem.given.items() if np.isnan(v.array).any()} <= set(latent)


def test_holes_of_other_families_follow_the_class_that_was_drawn() -> None:
    fit = fitted(holes_in_counts)
    latent = ev.recover(fit.problem, standing(fit), 1)
    assert latent["count"].dtype.kind == latent["answer_of"].dtype.kind == "i"
    hole = np.isnan(fit.problem.given["count"].array)
    z, count = latent["kind"].values[0][:, hole], latent["count"].values[0][:, hole]
    rate = fit.estimate["rate"].values
    for k in range(2):
        x = count[z == k]
        assert abs(x.mean() - rate[k]) < FAR * np.sqrt(rate[k] / len(x))
        assert abs(x.mean() - rate[1 - k]) > FAR * np.sqrt(rate[1 - k] / len(x))
    hole = np.isnan(fit.problem.given["answer_of"].array)
    z, answer = latent["kind"].values[0][:, hole], latent["answer_of"].values[0][:, hole]
    for k in range(2):
        p = fit.estimate["table"].values[k]
        share = np.bincount(answer[z == k], minlength=3) / (z == k).sum()
        assert (np.abs(share - p) < FAR * np.sqrt(p * (1 - p) / (z == k).sum()) + 1e-12).all()


def test_student_values_beside_gaussian_ones() -> None:
    """A factor, a missing Normal and a missing StudentT in one row: the last follows its own law, given the class alone."""
    with ev.Spec(coords={"class": 2}) as spec:
        weight = ev.Dirichlet("weight", 5.0, dims="class")
        mean, low = ev.Normal("mean", 0, 5, dims="class"), ev.Normal("low", 0, 5, dims="class")
        kind = ev.Categorical("kind", weight, dims="row")
        ev.Normal("x", mean[kind], 1.0, dims="row")
        ev.StudentT("y", 5, low[kind], 0.5, dims="row")
    r = np.random.default_rng(8)
    z = r.integers(0, 2, 60)
    x, y = r.normal(2.0 * z), -3.0 * z + 0.5 * r.standard_t(5, 60)
    x[::4], y[::3] = np.nan, np.nan
    fit = ev.fit_em(ev.condition(spec, {"x": x, "y": y}), "map", starts=2, max_iter=30, standard_errors=None, random_seed=0)
    latent = ev.recover(fit.problem, standing(fit, 1000), 1)
    assert distance(fit, latent) < FAR
    hole = np.isnan(y)
    k, drawn = latent["kind"].values[0][:, hole], latent["y"].values[0][:, hole]
    u = stats.t.cdf((drawn - fit.estimate["low"].values[k]) / 0.5, 5).ravel()
    assert stats.kstest(u, "uniform").pvalue > 1e-5
    assert stats.kstest(stats.norm.cdf(stats.t.ppf(u, 5)), "uniform").pvalue < 1e-10  # negative control: not Normal


# --------------------------------------------------------------------------------------------------------------- the joint law


def conditional(mean: np.ndarray, cov: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the missing cells of y given the others, by the textbook formula."""
    m = np.isnan(y)
    gain = cov[np.ix_(m, ~m)] @ np.linalg.inv(cov[np.ix_(~m, ~m)]) if (~m).any() else np.zeros((m.sum(), 0))
    return mean[m] + gain @ (y[~m] - mean[~m]), cov[np.ix_(m, m)] - gain @ cov[np.ix_(~m, m)]


def test_a_missing_cell_follows_the_class_it_was_drawn_with() -> None:
    fit = fitted(missing_cells)
    y = fit.problem.given["y"].array
    latent = ev.recover(fit.problem, standing(fit), 1)
    z, x = latent["group"].values[0], latent["y"].values[0]
    checked, apart = 0, 0.0
    for n in np.flatnonzero(np.isnan(y).any(axis=1)):
        for k in range(2):
            own = z[:, n] == k
            if own.sum() < 100:
                continue
            mean, cov = conditional(fit.estimate["mean"].values[k], fit.estimate["cov"].values[k], y[n])
            error = np.sqrt(np.diag(cov) / own.sum())
            drawn = x[:, n][:, np.isnan(y[n])]
            assert off(drawn[own].mean(axis=0), mean, error) < FAR
            wrong = drawn[np.random.default_rng(0).permutation(own)].mean(axis=0)  # negative control: any class' cells
            apart = max(apart, off(wrong, mean, error))
            checked += 1
    assert checked > 10
    assert apart > 5 * FAR


def test_cells_of_a_row_are_drawn_together() -> None:
    """Four columns, three of them lost: their covariance is that of the conditional normal, not only their variances."""
    r = np.random.default_rng(5)
    root = np.array([[1.0, 0, 0, 0], [2.0, 0.5, 0, 0], [-1.0, 1.0, 0.7, 0], [0.5, -0.4, 0.2, 0.3]])
    y = r.normal(size=(80, 4)) @ root.T
    y[3, [0, 2, 3]] = np.nan
    y[4] = np.nan
    with ev.Spec(coords={"feature": 4}) as spec:
        mean = ev.Normal("mean", 0, 5, dims="feature")
        cov = ev.InverseWishart("cov", 6, np.eye(4), dims=("feature", "feature_bis"))
        ev.MvNormal("y", mean, cov, dims=("row", "feature"))
    y[4, 1] = 0.3
    fit = ev.fit_em(ev.condition(spec, {"y": y}), "map", starts=1, standard_errors=None, random_seed=0)
    drawn = ev.recover(fit.problem, standing(fit), 2)["y"].values[0]
    for n in (3, 4):
        hidden = np.isnan(y[n])
        wanted, spread = conditional(fit.estimate["mean"].values, fit.estimate["cov"].values, y[n])
        x = drawn[:, n][:, hidden]
        assert off(x.mean(axis=0), wanted, np.sqrt(np.diag(spread) / DRAWS)) < FAR
        products = (x - wanted)[:, :, None] * (x - wanted)[:, None, :]
        error = products.std(axis=0) / np.sqrt(DRAWS)
        assert off(products.mean(axis=0), spread, error) < FAR
        assert off(np.diag(np.diag(spread)), spread, error) > 2 * FAR  # negative control: the right variances alone


def test_identical_rows_have_draws_of_their_own() -> None:
    """They share one row of the plan, one responsibility and one conditional mean."""
    x, _ = normal_data()
    fit = ev.fit_em(ev.condition(normal_mixture_spec(), {"x": x}), "map", starts=2, random_seed=0, standard_errors=None)
    middle = float(fit.estimate["mean"].mean()) + np.r_[np.zeros(50), 1.0]
    twins = ev.condition(normal_mixture_spec(), {"x": middle})
    assert len(make_plan(twins).full.V) == 2
    z = ev.recover(twins, standing(fit, 2000), 0)["group"].values[0, :, :50]
    share = z.mean(axis=0)
    p = share.mean()
    assert 0.02 < p < 0.98
    correlation = np.corrcoef(z.T) - np.eye(50)
    assert np.abs(correlation).max() < FAR / np.sqrt(2000)
    y = np.tile([1.0, np.nan], (20, 1))
    y[:2] = two_columns()[:2]
    fit = fitted(missing_cells)
    holes = ev.recover(ev.condition(fit.problem.spec, {"y": y}), standing(fit, 2000), 0)["y"].values[0, :, 2:, 1]
    assert np.abs(np.corrcoef(holes.T) - np.eye(18)).max() < FAR / np.sqrt(2000)


def test_configurations_without_probability_are_never_drawn() -> None:
    fit = fitted(soft_labels_and_weights)
    hidden = module._Hidden(fit.plan)
    with np.errstate(divide="ignore"):
        lp = np.log(np.array([0.0, 0.3, 0.0, 0.7, 0.0]))
    lp = np.broadcast_to(lp[:, None], (len(fit.plan.full.V), 5, 3000))
    drawn = hidden._configurations(lp, np.random.default_rng(0))
    assert set(np.unique(drawn)) == {1, 3}
    assert abs((drawn == 3).mean() - 0.7) < FAR * np.sqrt(0.21 / drawn.size)
    with pytest.raises(errors.Degenerate, match="probability zero"):
        hidden._configurations(np.full((len(fit.plan.full.V), 2, 1), -np.inf), np.random.default_rng(0))


# ----------------------------------------------------------------------------------------------------- forms, seeds, bad input


@pytest.mark.filterwarnings("error")
def test_draws_of_any_dims(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fitted(one_factor)
    one = ev.recover(fit.problem, fit.estimate, 3)
    assert one["factor"].dims == ("row",)
    many = ev.recover(fit.problem, fit.estimate.expand_dims({"sample": [4, 7, 9]}), 3)
    assert many["sample"].values.tolist() == [4, 7, 9]
    tree = xr.DataTree.from_dict({"posterior": standing(fit, 10, 2)})
    again = ev.recover(fit.problem, tree, 3)
    assert again.identical(ev.recover(fit.problem, tree["posterior"].to_dataset(), np.random.default_rng(3)))
    assert not again.equals(ev.recover(fit.problem, tree, 4))
    assert again["factor"].sizes == {"chain": 2, "draw": 10, "row": fit.problem.n}
    shuffled = ev.recover(fit.problem, tree["posterior"].to_dataset().transpose("item", "draw", "chain"), 3)
    assert shuffled["factor"].dims == ("draw", "chain", "row")
    monkeypatch.setattr(module, "MAX_RECOVERED", 2 * fit.problem.n * 3)
    long = standing(fit, 10, 2).assign_coords(draw=np.arange(10))
    assert ev.recover(fit.problem, long, 3)["draw"].values.tolist() == [0, 4, 8]
    monkeypatch.setattr(module, "MAX_RECOVERED", 1)
    assert ev.recover(fit.problem, long, 3).sizes["draw"] == 1  # one always stays


def test_nothing_hidden_gives_nothing() -> None:
    x, z = normal_data()
    problem = ev.condition(normal_mixture_spec(), {"x": x, "group": z})
    fit = ev.fit_em(problem, "map", starts=1, random_seed=0, standard_errors=None)
    assert not ev.recover(problem, standing(fit, 5)).data_vars


def bad(fit: ev.EMFit) -> dict[str, tuple[object, type[errors.BadInput], str]]:
    good = standing(fit, 3)
    swapped = good.rename({"item": "thing"})
    return {
        "array": (np.zeros(3), errors.BadInput, "posterior: expected an xarray Dataset"),
        "missing": (good.drop_vars("sd"), errors.MissingData, "sd: expected draws of every parameter"),
        "dims": (good.assign(sd=good["mean"].isel(item=0, drop=True)), errors.WrongDims, "sd: expected dims"),
        "other dim": (swapped, errors.WrongDims, "mean: expected dims"),
        "length": (good.isel(item=slice(3)), errors.WrongDims, "mean: expected labels"),
        "labels": (good.assign_coords(item=[3, 2, 1, 0]), errors.WrongDims, "along 'item'"),
        "rows": (good.rename({"draw": "row"}), errors.WrongDims, "mean: expected dims"),
        "nan": (good.assign(sd=good["sd"] * np.nan), errors.NotFinite, "sd: expected draws that are numbers"),
        "none": (good.isel(draw=slice(0)), errors.NotFinite, "mean: expected draws"),
    }


def test_bad_draws_are_refused_by_name() -> None:
    fit = fitted(one_factor)
    for what, (posterior, kind, told) in bad(fit).items():
        with pytest.raises(kind) as caught:
            ev.recover(fit.problem, posterior)  # type: ignore[arg-type]
        assert told in str(caught.value), what
    fixed = ev.condition(
        fit.problem.spec, {"x": fit.problem.given["x"].array}, fixed={k: v.values for k, v in fit.estimate.items()}
    )
    with pytest.raises(errors.MissingData, match="all fixed"):
        ev.recover(fixed, fit.estimate)


# -------------------------------------------------------------------------------------------------------- beside a sampler


def test_the_tree_of_draws_has_them(tmp_path) -> None:  # type: ignore[no-untyped-def]
    problem = missing_cells()
    comparison = fabricate(problem, "cells")
    latent = comparison.posterior["latent"].to_dataset()
    assert set(latent.data_vars) == {"group", "y"}
    assert latent.sizes["draw"] * latent.sizes["chain"] <= 400
    assert set(latent["draw"].values) <= set(comparison.posterior["posterior"]["draw"].values)
    comparison.posterior.to_netcdf(tmp_path / "cells.nc", engine="h5netcdf")
    saved = xr.open_datatree(tmp_path / "cells.nc", engine="h5netcdf")
    assert saved["latent"]["y"].equals(latent["y"])


def mcse(draws: np.ndarray) -> float:
    return float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean"))


def test_recovered_factors_agree_with_sampled_ones() -> None:
    """NUTS over the factors as well: both are draws of the same posterior, parameters integrated out."""
    with ev.Spec(coords={"item": 3}) as spec:
        mean = ev.Normal("mean", 0, 3, dims="item")
        loading = ev.Normal("loading", 1, 0.3, dims="item")  # no reflection: the prior knows the sign
        sd = ev.HalfNormal("sd", 1, dims="item")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("x", mean + loading * factor, sd, dims=("row", "item"))
    r = np.random.default_rng(6)
    z = r.normal(size=25)
    x = z[:, None] * [1.0, 0.8, 1.2] + r.normal(size=(25, 3)) * [0.6, 0.7, 0.8]
    x[2, 0] = x[5, 2] = np.nan
    problem = ev.condition(spec, {"x": x})
    plan = make_plan(problem)
    names = [*[v.label for v in plan.parameters], "factor", "x_hidden"]
    compiled = compile_model(build_model(plan, "native", "discrete"), var_names=names)
    raw = sample(compiled, draws=500, tune=400, chains=2, seed=1, progress=False)["posterior"].to_dataset()
    parameters = xr.Dataset({v.label: (("chain", "draw", *v.dims), raw[v.label].values) for v in plan.parameters})
    latent = ev.recover(problem, parameters, 1)
    hidden = np.argwhere(np.isnan(x))
    pairs = [(raw["factor"].values[..., n], latent["factor"].values[..., n]) for n in range(25)]
    pairs += [(raw["x_hidden"].values[..., i], latent["x"].values[..., n, j]) for i, (n, j) in enumerate(hidden)]
    for sampled, drawn in pairs:
        assert abs(sampled.mean() - drawn.mean()) < FAR * np.hypot(mcse(sampled), mcse(drawn))
        assert 0.8 < sampled.std() / drawn.std() < 1.25
    means = [(a.mean(), b.mean(), np.hypot(mcse(a), mcse(b))) for a, b in pairs]
    shifted = [abs(a - means[i - 1][1]) / error for i, (a, _, error) in enumerate(means)]
    assert max(shifted) > 3 * FAR  # negative control: another row's factor

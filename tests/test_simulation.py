"""Ancestral draws: moments, determinism, labels, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.simulation import replicate, simulate

TWO = {"weight": [0.3, 0.7], "mean": [0.0, 8.0], "sd": [1.0, 2.0]}


def two_normals(labels: Any = ("low", "high")) -> ev.Spec:
    with ev.Spec(coords={"component": labels}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        sd = ev.HalfNormal("sd", 3, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    return spec


def everything() -> ev.Spec:
    """Every kind of variable at once; plates last, first and alone."""
    with ev.Spec(coords={"component": 2, "feature": ["a", "b"], "item": 3}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "feature"))
        cov = ev.InverseWishart("cov", 6, np.eye(2), dims=("component", "feature", "feature_bis"))
        tied = ev.LKJCov("tied", 2.0, ev.HalfNormal.dist(2.0), dims=("component", "feature", "feature_bis"))
        rate = ev.Gamma("rate", 2, 1, dims="component")
        loading = ev.Normal("loading", 0, 1, dims="item")
        hours = ev.Data("hours", dims="row")
        group = ev.Categorical("group", weight, dims="row")
        idle = ev.Bernoulli("idle", 0.4, dims="row")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.MvNormal("y", mean[group], cov[group], dims=("row", "feature"))
        ev.MvNormal("z", mean[group], tied[group], dims=("row", "feature"))
        ev.Normal("x", loading * factor, variance=0.25, dims=("item", "row"))
        ev.Switch("count", idle, [ev.Poisson.dist(rate[group] * hours), ev.Dirac.dist(0)], dims="row")
        ev.Binomial("hits", 4, 0.5, dims="row")
        ev.Exponential("wait", rate[group], dims="row")
    return spec


def close(values: np.ndarray, expected: float, what: str = "") -> None:
    """Within 5 standard errors of its own."""
    values = np.asarray(values, float)
    assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(values.size), what


def test_moments_at_given_parameters() -> None:
    drawn = simulate(two_normals(), {"row": 20_000}, TWO, random_seed=0)
    low = drawn.x.values[drawn.group.values == 0]
    high = drawn.x.values[drawn.group.values == 1]
    close(drawn.group.values, 0.7)
    close(low, 0.0)
    close((low - 0.0) ** 2, 1.0)
    close(high, 8.0)
    close((high - 8.0) ** 2, 4.0)
    with pytest.raises(AssertionError):  # negative control
        close(high, 8.2)
    np.testing.assert_array_equal(drawn.weight, TWO["weight"])


def test_everything_at_once() -> None:
    hours = np.tile([1.0, 3.0], 5000)
    parameters = {
        "weight": [0.5, 0.5], "mean": [[0.0, 1.0], [5.0, 2.0]], "cov": [[[1.0, 0.5], [0.5, 2.0]], np.eye(2)], "rate": [1.0, 4.0],
        "loading": [1.0, -2.0, 0.5],
    }  # fmt: skip
    drawn = simulate(everything(), parameters=parameters, data={"hours": hours}, random_seed=1)
    assert drawn.sizes["row"] == 10_000
    assert drawn.x.dims == ("item", "row")
    assert drawn.tied.dims == ("component", "feature", "feature_bis")
    assert list(drawn.feature.values) == list(drawn.feature_bis.values) == ["a", "b"]
    first = drawn.y.values[drawn.group.values == 0]
    close(first[:, 0] * (first[:, 1] - 1), 0.5)
    close((first[:, 1] - 1) ** 2, 2.0)
    close(drawn.x.values[0] * drawn.x.values[1], -2.0)
    close(drawn.x.values[2] ** 2, 0.25 + 0.25)
    group, idle, count = drawn.group.values, drawn.idle.values, drawn["count"].values
    assert (count[idle == 1] == 0).all()
    for g, h in ((0, 1.0), (1, 3.0)):
        close(count[(idle == 0) & (group == g) & (hours == h)], parameters["rate"][g] * h)
    close(drawn.wait.values[group == 1], 0.25)
    np.testing.assert_array_equal(drawn.hours, hours)


def test_parameters_come_from_their_priors() -> None:
    drawn = [simulate(two_normals(), {"row": 1}, random_seed=s) for s in range(300)]
    close(np.array([d["mean"].values for d in drawn]), 2.0)
    close(np.array([d.sd.values for d in drawn]) ** 2, 9.0)
    assert all(np.isclose(d.weight.sum(), 1) for d in drawn)
    fixed = simulate(two_normals(), {"row": 1}, {"mean": 0.5}, random_seed=0)  # a scalar stands for every entry
    np.testing.assert_array_equal(fixed["mean"], [0.5, 0.5])


def test_seeds_reproduce() -> None:
    a, b, c = (simulate(two_normals(), {"row": 50}, random_seed=s) for s in (1, 1, np.random.default_rng(2)))
    xr.testing.assert_identical(a, b)
    assert not a.equals(c)


def test_labels_and_the_way_back() -> None:
    """What is simulated can be conditioned on as it is; hidden truth comes as codes."""
    spec = everything()
    drawn = simulate(spec, random_seed=3, data={"hours": np.ones(40)})
    assert set(drawn.data_vars) == set(spec.variables) | {"hours"}
    assert set(np.unique(drawn.group)) <= {0, 1}
    problem = ev.condition(spec, drawn[["hours", "group", "y", "x", "count"]])
    np.testing.assert_array_equal(problem.given["x"].array, drawn.x)
    assert problem.roles["group"] == "observed"
    with ev.Spec(coords={"site": ["n", "s"]}, plates=("site",)) as named:
        ev.Normal("h", 0, 1, dims="site")
    assert list(simulate(named, random_seed=0).site.values) == ["n", "s"]
    assert list(simulate(two_normals(), {"row": 3}, random_seed=0).component.values) == ["low", "high"]


def test_covariate_columns_of_a_frame() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"hours": [1.0, 2.0], "other": ["a", "b"], "wait": [np.nan, 1.0]}, index=["p", "q"])
    drawn = simulate(everything(), random_seed=0, data=frame)
    assert list(drawn.row.values) == ["p", "q"]
    assert drawn.wait.notnull().all()  # data give covariates only


BAD = [
    ({"sizes": {"rows": 5}}, errors.UnknownName, ["'rows'", "'row'"]),
    ({"sizes": {"component": 5}}, errors.UnknownName, ["'component'"]),
    ({"sizes": {"row": 0}}, errors.WrongDims, ["'row'", "0"]),
    ({"sizes": {"row": 2.5}}, errors.WrongDims, ["'row'", "2.5"]),
    ({}, errors.MissingData, ["'row'"]),
    ({"sizes": {"row": 5}, "parameters": {"means": [0, 1]}}, errors.UnknownName, ["'means'", "'mean'"]),
    ({"sizes": {"row": 5}, "parameters": {"x": np.zeros(5)}}, errors.UnknownName, ["'x'"]),
    ({"sizes": {"row": 5}, "parameters": {"mean": [0.0, 1.0, 2.0]}}, errors.WrongDims, ["mean", "'component'"]),
    ({"sizes": {"row": 5}, "parameters": {"mean": [0.0, np.nan]}}, errors.MissingData, ["mean"]),
    ({"sizes": {"row": 5}, "parameters": {"weight": [0.5, 0.6]}}, errors.OutOfSupport, ["weight"]),
    ({"sizes": {"row": 5}, "parameters": {"sd": [1.0, 0.0]}}, errors.OutOfSupport, ["sd", "positive"]),
]


@pytest.mark.parametrize(("arguments", "error", "words"), BAD)
def test_bad_input_is_named(arguments: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        simulate(two_normals(), **arguments)
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


def test_covariates_are_checked() -> None:
    with pytest.raises(errors.MissingData, match="hours"):
        simulate(everything(), {"row": 5})
    with pytest.raises(errors.CovariateHole, match="hours"):
        simulate(everything(), data={"hours": [1.0, np.nan]})
    with pytest.raises(errors.WrongDims, match="hours"):
        simulate(everything(), {"row": 5}, data={"hours": [1.0, 2.0]})
    with ev.Spec(coords={"site": 3}, plates=("site",)) as spec:
        ev.Normal("h", 0, 1, dims="site")
    with pytest.raises(errors.WrongDims, match="site"):
        simulate(spec, {"site": 4})


# Posterior predictive draws


def posterior(lead: dict[str, int], values: dict[str, Any]) -> xr.Dataset:
    arrays = {k: xr.DataArray(np.asarray(v, float), dims=["component"]) for k, v in values.items()}
    return xr.Dataset({k: v.expand_dims(lead) for k, v in arrays.items()})


def test_replicates_follow_their_draw() -> None:
    """Each draw uses its own parameters: with tiny scales, draw s lies at the means of draw s."""
    problem = ev.condition(two_normals(), {"x": np.linspace(0, 9, 30)})
    means = np.arange(8.0).reshape(4, 2) * 100
    draws = posterior({"sample": 4}, {"weight": [0.5, 0.5], "sd": [1e-6, 1e-6]})
    draws["mean"] = (("component", "sample"), means.T)  # any order of dims
    new = replicate(problem, draws, np.random.default_rng(0))
    assert new.x.dims == ("sample", "row")
    for s in range(4):
        assert np.abs(new.x.values[s][:, None] - means[s]).min(1).max() < 1e-4
        assert len(np.unique(np.round(new.x.values[s]))) == 2
    assert "group" not in new


def test_replicates_have_the_moments() -> None:
    problem = ev.condition(two_normals(), {"x": np.linspace(0, 9, 272)})
    new = replicate(problem, posterior({"chain": 2, "draw": 250}, TWO), np.random.default_rng(1))
    assert new.x.dims == ("chain", "draw", "row")
    close(new.x.values.ravel(), 5.6)
    close((new.x.values.ravel() - 5.6) ** 2, 0.3 * (1 + 5.6**2) + 0.7 * (4 + 2.4**2))


def test_replicates_of_everything() -> None:
    """Fixed parameters, covariates, holes, a Switch, vectors: what is observed is drawn whole, what is hidden not returned."""
    spec = everything()
    truth = simulate(spec, random_seed=5, data={"hours": np.full(20, 2.0)})
    data = truth[["hours", "y", "x", "count", "cov"]].copy(deep=True)
    data["y"][0, 0] = np.nan
    problem = ev.condition(spec, data)
    draws = xr.concat([truth[[v.label for v in problem.parameters]]] * 7, "sample")
    new = replicate(problem, draws, np.random.default_rng(0))
    assert {k: v.dims for k, v in new.data_vars.items()} == {
        "y": ("sample", "row", "feature"), "x": ("sample", "item", "row"), "count": ("sample", "row"),
    }  # fmt: skip
    assert all(np.isfinite(v).all() for v in new.data_vars.values())
    assert np.std(new.y.values, axis=0).min() > 0


def test_chunks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ev.condition(two_normals(), {"x": np.linspace(0, 9, 10)})
    monkeypatch.setattr("emvsmcmc.simulation.CHUNK", 30)
    new = replicate(problem, posterior({"sample": 11}, TWO), np.random.default_rng(1))
    assert new.x.shape == (11, 10)
    assert np.isfinite(new.x).all()
    assert len(np.unique(new.x)) == 110

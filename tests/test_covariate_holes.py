"""Holes in covariates say nothing where everything that depends on them is a hole too, and are refused anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import emvsmcmc as ev
from emvsmcmc import density, errors
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.mcmc.recover import recover
from emvsmcmc.simulation import replicate

N, ITEMS = 40, 3


def priors(items: bool = False) -> tuple[Any, Any]:
    dims = "item" if items else None
    return ev.Normal("a", 0, 10, dims=dims), ev.Normal("b", 0, 10, dims=dims)


def linear() -> ev.Spec:
    with ev.Spec() as spec:
        a, b = priors()
        ev.Normal("y", a + b * ev.Data("x", dims="row"), ev.HalfNormal("sd", 5), dims="row")
    return spec


def poisson() -> ev.Spec:
    with ev.Spec() as spec:
        a, b = priors()
        ev.Poisson("y", ev.exp(a + b * ev.Data("x", dims="row")), dims="row")
    return spec


def items() -> ev.Spec:
    with ev.Spec(coords={"item": ITEMS}) as spec:
        a, b = priors(True)
        ev.Normal("y", a + b * ev.Data("x", dims=("row", "item")), ev.HalfNormal("sd", 5, dims="item"), dims=("row", "item"))
    return spec


def vectors() -> ev.Spec:
    with ev.Spec(coords={"item": ITEMS}) as spec:
        a, b = priors(True)
        cov = ev.InverseWishart("cov", 8, np.eye(ITEMS), dims=("item", "item_bis"))
        ev.MvNormal("y", a + b * ev.Data("x", dims=("row", "item")), cov, dims=("row", "item"))
    return spec


def contracted() -> ev.Spec:
    with ev.Spec(coords={"term": 2, "k": 2}) as spec:
        b = ev.Normal("b", 0, 10, dims=("k", "term"))
        z = ev.Categorical("z", ev.Dirichlet("w", 2.0, dims="k"), dims="row")
        ev.Normal("y", ev.dot(ev.Data("x", dims=("row", "term")), b[z]), ev.HalfNormal("sd", 5), dims="row")
    return spec


def through_a_latent() -> ev.Spec:
    with ev.Spec(coords={"item": ITEMS}) as spec:
        a, b = priors()
        f = ev.Normal("f", b * ev.Data("x", dims="row"), 1.0, dims="row")
        ev.Normal("y", a + f, ev.HalfNormal("sd", 5, dims="item"), dims=("row", "item"))
    return spec


def looked_up() -> ev.Spec:
    with ev.Spec(coords={"site": ["north", "south", "west"]}) as spec:
        level = ev.Normal("level", 0, 10, dims="site")
        ev.Normal("y", level[ev.Data("x", dims="row")], ev.HalfNormal("sd", 5), dims="row")
    return spec


def known_scale() -> ev.Spec:
    with ev.Spec() as spec:
        a = ev.Normal("a", 0, 10)
        ev.Normal("y", a, ev.Data("x", dims="row"), dims="row")
        ev.Normal("u", a, ev.HalfNormal("b_sd", 3), dims="row")
    return spec


def trials() -> ev.Spec:
    with ev.Spec() as spec:
        ev.Binomial("y", ev.Data("x", dims="row"), ev.Beta("p", 1, 1), dims="row")
    return spec


def whole_data(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    x, noise = rng.normal(size=N), rng.normal(size=N)
    wide = rng.normal(size=(N, ITEMS))
    return {
        "linear": {"x": x, "y": 1 + 2 * x + noise},
        "poisson": {"x": x, "y": rng.poisson(np.exp(0.5 + 0.7 * x)).astype(float)},
        "items": {"x": wide, "y": 1 - wide + rng.normal(size=(N, ITEMS))},
        "vectors": {"x": wide, "y": 1 - wide + rng.normal(size=(N, ITEMS))},
        "contracted": {"x": wide[:, :2], "y": wide[:, :2] @ [3.0, -1.0] * np.sign(noise) + 0.3 * x},
        "through_a_latent": {"x": x, "y": (2 * x + noise)[:, None] + wide},
        "looked_up": {"x": rng.integers(3, size=N).astype(float), "y": noise},
        "known_scale": {"x": np.exp(x), "y": 1 + np.exp(x) * noise, "u": 1 + rng.normal(size=N)},
        "trials": {"x": rng.integers(4, 20, N).astype(float), "y": rng.integers(4, size=N).astype(float)},
    }[name]


SPECS: dict[str, Callable[[], ev.Spec]] = {
    f.__name__: f for f in (linear, poisson, items, vectors, contracted, through_a_latent, looked_up, known_scale, trials)
}


def with_holes(name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(data with holes in y and the same holes in x, the cells of x that are holes)."""
    data = {k: v.copy() for k, v in whole_data(name).items()}
    hole = np.zeros(data["x"].shape, dtype=bool)
    if data["y"].ndim == data["x"].ndim == 2:
        hole[3:7, 1] = hole[30] = hole[31, 2] = True
    else:
        hole[3:7] = True
    data["y"][hole if data["y"].ndim == data["x"].ndim else hole.reshape(N, -1)[:, 0]] = np.nan
    return {**data, "x": np.where(hole, np.nan, data["x"])}, hole


def fit(problem: ev.Problem) -> Any:
    return ev.fit_em(problem, starts=3, random_seed=1, progress=False)


@pytest.mark.parametrize("name", SPECS)
def test_the_likelihood_does_not_read_them(name: str) -> None:
    """As with the values that were there, as with quite other ones, and by the oracle, which shares nothing with the fit."""
    holed, hole = with_holes(name)
    other = whole_data(name)["x"][::-1] if name in ("looked_up", "trials") else 7 * np.abs(whole_data(name)["x"][::-1]) + 1
    problem = ev.condition(SPECS[name](), holed)
    assert problem.unknown["x"].array.sum() == hole.sum()
    assert any(n.startswith(f"x: {hole.sum()} of its values are missing") for n in problem.notes)
    found = fit(problem)
    values = {k: v.values for k, v in found.estimate.data_vars.items()}
    for x in (whole_data(name)["x"], np.where(hole, other, whole_data(name)["x"])):
        given = ev.condition(SPECS[name](), {**holed, "x": x})
        assert not given.unknown
        assert density.log_likelihood(given, values).sum() == pytest.approx(found.log_likelihood, rel=1e-12)
        again = fit(given)
        assert again.log_likelihood == pytest.approx(found.log_likelihood, rel=1e-11)
        assert again.bic == pytest.approx(found.bic, rel=1e-11)


@pytest.mark.parametrize("name", SPECS)
def test_a_hole_that_something_given_depends_on_is_refused(name: str) -> None:
    holed, _ = with_holes(name)
    row = 20  # y is given there
    x = holed["x"].copy()
    x[(row, 1) if x.ndim == 2 else row] = np.nan
    with pytest.raises(errors.CovariateHole, match=rf"x: .*row {row}"):
        ev.condition(SPECS[name](), {**holed, "x": x})
    if name == "through_a_latent":  # a single item that is given is enough
        y = holed["y"].copy()
        y[4, 2] = 0.5
        with pytest.raises(errors.CovariateHole, match=r"x: .*row 4"):
            ev.condition(SPECS[name](), {**holed, "y": y})


@pytest.mark.parametrize("name", SPECS)
def test_what_depends_on_them_is_not_predicted(name: str) -> None:
    """EM's hidden values, those drawn back, and replicated rows: NaN there, and numbers in every other cell."""
    holed, hole = with_holes(name)
    problem = ev.condition(SPECS[name](), holed)
    found = fit(problem)
    cells = hole if holed["y"].ndim == hole.ndim else hole.reshape(N, -1)[:, 0]
    want = np.broadcast_to(cells if cells.ndim == holed["y"].ndim else cells[:, None], holed["y"].shape)
    draws = found.estimate.expand_dims(draw=2)
    for values in (recover(problem, draws, 1), replicate(problem, draws, np.random.default_rng(1))):
        np.testing.assert_array_equal(np.isnan(values["y"].values), np.broadcast_to(want, (2, *want.shape)))
    for label in {"y", "f"} & set(found.latent):
        mask = want if label == "y" else cells
        for suffix in ("", "_sd"):
            np.testing.assert_array_equal(np.isnan(found.latent[label + suffix].values), mask)


def test_rows_in_chunks_say_the_same() -> None:
    da = pytest.importorskip("dask.array")
    holed, hole = with_holes("linear")
    problem = ev.condition(linear(), holed)
    chunks = ev.condition(linear(), {k: da.from_array(v, 10) for k, v in holed.items()})
    assert [n for n in chunks.notes if n.startswith("x:")] == [n for n in problem.notes if n.startswith("x:")]
    one, many = fit(problem), fit(chunks)
    assert many.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-11)
    np.testing.assert_array_equal(np.isnan(np.asarray(many.latent["y"])), hole)


def test_a_simulation_needs_them() -> None:
    with pytest.raises(errors.CovariateHole, match=r"x: .*row 1"):
        ev.simulate(linear(), data={"x": [1.0, np.nan, 2.0]}, random_seed=1)


def test_the_tree_shows_them_as_they_came() -> None:
    holed, hole = with_holes("linear")
    tree = ev.fit_mcmc(ev.condition(linear(), holed), draws=20, tune=20, chains=1, random_seed=1, progress=False)
    np.testing.assert_array_equal(np.isnan(tree["constant_data"]["x"].values), hole)
    np.testing.assert_array_equal(np.isnan(tree["posterior_predictive"]["y"].values).any(axis=(0, 1)), hole)
    assert make_plan(ev.condition(linear(), holed)).problem.unknown

"""Data with which maximum likelihood has no unique answer: refused by name before the first start, and fitted with proper priors.

A case is (spec, data, weights), the error, and words that the message must have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_bad_input import items
from test_problem import NAN, SPECIES, X

import emvsmcmc as ev
from emvsmcmc import errors


def factors(p: int, k: int) -> ev.Spec:
    with ev.Spec(coords={"item": p, "axis": k}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 1, dims=("item", "axis"))
        variance = ev.InverseGamma("variance", 3, 2, dims="item")
        factor = ev.Normal("factor", 0, 1, dims=("row", "axis"))
        ev.Normal("x", mean + ev.dot(loading, factor), variance=variance, dims=("row", "item"))
    return spec


def scores(p: int, k: int, n: int = 60) -> dict[str, np.ndarray]:
    r = np.random.default_rng(p + 10 * k)
    return {"x": r.normal(size=(n, k)) @ r.normal(size=(k, p)) + 0.5 * r.normal(size=(n, p))}


def line(intercept: bool = True) -> ev.Spec:
    with ev.Spec() as spec:
        x = ev.Data("x", dims="row")
        slope = ev.Normal("slope", 0, 10)
        mean = (ev.Normal("intercept", 0, 10) if intercept else 0.0) + slope * x
        ev.Normal("y", mean, variance=ev.InverseGamma("variance", 3, 2), dims="row")
    return spec


def heavy_tails() -> ev.Spec:
    """Two classes of Student-t lines."""
    with ev.Spec(coords={"type": ["left", "right"]}) as spec:
        x = ev.Data("x", dims="row")
        level, slope = ev.Normal("level", 0, 10, dims="type"), ev.Normal("slope", 0, 10)
        variance = ev.InverseGamma("variance", 3, 2)
        kind = ev.Categorical("kind", ev.Dirichlet("weight", 2.0, dims="type"), dims="row")
        ev.StudentT("y", 4, level[kind] + slope * x, ev.sqrt(variance), dims="row")
    return spec


def curve() -> ev.Spec:
    with ev.Spec() as spec:
        x = ev.Data("x", dims="row")
        a, b, c = (ev.Normal(name, 0, 10) for name in "abc")
        ev.Normal("y", a + b * x + c * (x * x), variance=ev.InverseGamma("variance", 3, 2), dims="row")
    return spec


def lines(intercept: bool = False) -> ev.Spec:
    """A mixture of two regressions with the terms a, b and c."""
    with ev.Spec(coords={"line": ["steep", "flat"], "term": ["a", "b", "c"]}) as spec:
        design = ev.Data("design", dims=("row", "term"))
        beta = ev.Normal("beta", 0, 10, dims=("line", "term"))
        z = ev.Categorical("z", ev.Dirichlet("weight", 2.0, dims="line"), dims="row")
        mean = ev.dot(design, beta[z]) + (ev.Normal("level", 0, 10) if intercept else 0.0)
        ev.Normal("y", mean, variance=ev.InverseGamma("variance", 3, 2), dims="row")
    return spec


def schools(covariate: bool = False) -> ev.Spec:
    with ev.Spec(coords={"school": ["north", "south", "west"]}) as spec:
        effect = ev.Normal("effect", 0, 10, dims="school")
        school = ev.Data("school_of", dims="row")
        mean = effect[school]
        if covariate:
            mean = mean + ev.Normal("slope", 0, 10) * ev.Data("x", dims="row")
        ev.Normal("y", mean, variance=ev.InverseGamma("variance", 3, 2), dims="row")
    return spec


def rates(terms: bool = False) -> ev.Spec:
    """A Poisson regression with the logarithm as its link."""
    with ev.Spec(coords={"term": ["a", "b", "c"]}) as spec:
        if terms:
            ev.Poisson("y", ev.exp(ev.dot(ev.Data("design", ("row", "term")), ev.Normal("beta", 0, 1, dims="term"))), dims="row")
        else:
            log_rate = ev.Normal("level", 0, 1) + ev.Normal("slope", 0, 1) * ev.Data("x", dims="row")
            ev.Poisson("y", ev.exp(log_rate), dims="row")
    return spec


def together() -> ev.Spec:
    with ev.Spec() as spec:
        ev.Normal("y", ev.Normal("a", 0, 1) + ev.Normal("b", 0, 1), variance=ev.InverseGamma("variance", 3, 2), dims="row")
    return spec


def shared() -> ev.Spec:
    """Two children with one slope: a constant covariate is an intercept of one of them."""
    with ev.Spec() as spec:
        x, slope = ev.Data("x", dims="row"), ev.Normal("slope", 0, 10)
        variance = ev.InverseGamma("variance", 3, 2)
        ev.Normal("y", ev.Normal("intercept", 0, 10) + slope * x, variance=variance, dims="row")
        ev.Normal("u", slope * x, variance=variance, dims="row")
    return spec


def own_variances() -> ev.Spec:
    """Classes with a mean and a variance of their own in each of two columns."""
    with ev.Spec(coords={"type": ["left", "right"], "feature": ["length", "width"]}) as spec:
        mean = ev.Normal("mean", 0, 10, dims=("type", "feature"))
        variance = ev.InverseGamma("variance", 3, 2, dims=("type", "feature"))
        kind = ev.Categorical("kind", ev.Dirichlet("weight", 2.0, dims="type"), dims="row")
        ev.Normal("y", mean[kind], variance=variance[kind], dims=("row", "feature"))
    return spec


def crossed() -> ev.Spec:
    with ev.Spec(coords={"a": ["a0", "a1"], "b": ["b0", "b1"]}) as spec:
        za = ev.Categorical("za", ev.Dirichlet("first", 2.0, dims="a"), dims="row")
        zb = ev.Categorical("zb", ev.Dirichlet("second", 2.0, dims="b"), dims="row")
        mean = ev.Normal("mean", 0, 10, dims=("a", "b"))
        ev.Normal("y", mean[za, zb], variance=ev.InverseGamma("variance", 3, 2), dims="row")
    return spec


N = 30
_r = np.random.default_rng(0)
V = _r.normal(size=N)
HALF = np.arange(N) % 2
THIRD = np.arange(N) % 3
LAST, ONE_SIDED = np.arange(3) == 2, (HALF == 1)[:, None] & (np.arange(2) == 1)
D = np.c_[np.ones(N), _r.normal(size=(N, 2))]
YV = 1 + D[:, 1] + 0.3 * _r.normal(size=N)
DEPENDENT = np.c_[D[:, :2], 2 * D[:, 1] - 3]
PAIRS = np.c_[V + 3 * HALF, _r.normal(size=N)]
COUNTS = _r.poisson(2.0, N)


def unfit(spec: Any, data: Any, error: type[Exception], *words: str, weights: Any = None) -> Any:
    return pytest.param(spec, data, weights, error, words, id=f"{error.__name__}: {words[0]} {words[1]}"[:70])


UNFIT = [
    unfit(lambda: factors(7, 4), scores(7, 4), errors.Unidentified, "28 (loading)", "6 (rotations)",
          "36 parameters but 35 moments"),
    unfit(lambda: factors(2, 1), scores(2, 1), errors.Unidentified, "2 (loading)", "6 parameters but 5 moments"),
    unfit(together, {"y": YV}, errors.Unidentified, "a, b: ", "changes no row"),
    unfit(line, {"x": [3.2] * N, "y": YV}, errors.Collinear, "x: expected a covariate that varies beside an intercept; "
          "got 3.2 in every row. Leave it out, or leave out the intercept.", ""),
    unfit(line, {"x": np.r_[[3.2] * (N - 1), 5.0], "y": YV}, errors.Collinear, "x: ", "3.2 in every row",
          weights=np.r_[np.ones(N - 1), 0.0]),
    unfit(line, {"x": [0.0] * N, "y": YV}, errors.Collinear, "x: ", "not zero", "got 0 in every row"),
    unfit(line, {"x": 1.7e9 + np.arange(N), "y": YV}, errors.Collinear, "x: ", "from 1700000000 to 1700000029",
          "Subtract 1700000000"),
    unfit(curve, {"x": HALF, "y": YV}, errors.Collinear, "x, x · x: ", "x · x = x in every row"),
    unfit(lines, {"design": DEPENDENT, "y": YV}, errors.Collinear, "design[a], design[b], design[c]: ",
          "design[c] = -3 design[a] + 2 design[b] in every row"),
    unfit(lines, {"design": np.c_[D[:, :2], 2 * D[:, 1]], "y": YV, "z": HALF}, errors.Collinear, "design[b], design[c]: ",
          "design[c] = 2 design[b] in every row"),
    unfit(lines, {"design": np.where((HALF == 1)[:, None] & LAST, 7.0, D), "y": YV, "z": HALF}, errors.Collinear,
          "design[a], design[c]: ", "design[c] = 7 design[a] in every row of z='flat'"),
    unfit(lambda: lines(True), {"design": D, "y": YV}, errors.Collinear, "design[a]: ", "got 1 in every row"),
    unfit(lambda: schools(True), {"school_of": THIRD, "x": 2.0 * THIRD**2, "y": YV}, errors.Collinear, "x: ",
          "no combination of the intercepts"),
    unfit(schools, {"school_of": np.array(["north", "west"])[HALF], "y": YV}, errors.EmptyClass, "school_of: ", "3 levels",
          "got none of 'south'", "leave the level out of the coords of 'school'"),
    unfit(rates, {"x": [2.0] * N, "y": COUNTS}, errors.Collinear, "x: ", "got 2 in every row"),
    unfit(lambda: rates(True), {"design": DEPENDENT, "y": COUNTS}, errors.Collinear, "design[a], design[b], design[c]: ",
          "combination"),
    unfit(heavy_tails, {"x": [2.0] * N, "y": YV}, errors.Collinear, "x: ", "got 2 in every row"),
    unfit(heavy_tails, {"x": V, "y": np.where(HALF == 1, NAN, YV), "kind": HALF}, errors.EmptyColumn, "y: ", "of kind='right'"),
    unfit(own_variances, {"y": PAIRS, "kind": ["left"] * N}, errors.EmptyClass, "kind: ", "at least one row of each of 2 classes",
          "none of 'right'", "objective='map'", "leave the class out of the coords"),
    unfit(own_variances, {"y": PAIRS, "kind": np.r_[1, np.zeros(N - 1)]}, errors.EmptyClass, "kind: ", "none of 'right'",
          weights=np.r_[0.0, np.ones(N - 1)]),
    unfit(own_variances, {"y": PAIRS, "kind": np.tile([1.0, 0.0], (N, 1))}, errors.EmptyClass, "kind: ", "none of 'right'"),
    unfit(own_variances, {"y": np.where(ONE_SIDED, NAN, PAIRS), "kind": HALF}, errors.EmptyColumn,
          "y[feature=width]: ", "of kind='right'", "holes only"),
    unfit(items, {"right": np.where(ONE_SIDED, NAN, PAIRS > 1), "kind": HALF}, errors.EmptyColumn,
          "right[item=second]: ", "of kind=1", "holes only"),
    unfit(crossed, {"y": YV, "za": HALF, "zb": HALF * (V > 0)}, errors.EmptyClass, "za, zb: ", "none of za='a0', zb='b1'"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "data", "weights", "error", "words"), UNFIT)
def test_what_no_start_could_mend_is_named(
    spec: Any, data: Any, weights: Any, error: type[Exception], words: tuple[str, ...]
) -> None:
    """Refused before the first start under maximum likelihood; with proper priors there is an answer."""
    problem = ev.condition(spec(), data, weights)
    with pytest.raises(error) as caught:
        ev.fit_em(problem, starts=1)
    assert type(caught.value) is error
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert message.endswith(".")
    mode = ev.fit_em(problem, "map", starts=2, random_seed=0, standard_errors=None)
    assert mode.converged
    for name, value in mode.estimate.items():
        assert np.isfinite(value).all(), name


FIT = {
    "as many parameters as moments": (lambda: factors(6, 3), scores(6, 3)),
    "fixed loadings": (lambda: factors(2, 1), scores(2, 1) | {"loading": [[1.0], [1.0]]}),
    "a column of ones without an intercept": (lambda: lines(), {"design": D, "y": YV, "z": HALF}),
    "a constant covariate without an intercept": (lambda: line(False), {"x": [3.2] * N, "y": YV}),
    "a constant covariate in one of two children": (shared, {"x": [3.2] * N, "y": YV, "u": V}),
    "years": (line, {"x": 1990.0 + np.arange(N), "y": YV}),
    "every school": (schools, {"school_of": THIRD, "y": YV}),
    "a covariate that varies within schools": (lambda: schools(True), {"school_of": THIRD, "x": V, "y": YV}),
    "a column with values in one row of each class": (
        own_variances,
        {"y": np.where((np.arange(N) > 3)[:, None] & (np.arange(2) == 1), NAN, PAIRS), "kind": HALF},
    ),
    "heavy tails": (heavy_tails, {"x": V, "y": np.where(np.arange(N) == 3, NAN, YV), "kind": HALF}),
    "a rate": (rates, {"x": V, "y": COUNTS}),
}


@pytest.mark.parametrize("case", FIT)
def test_good_data_beside_what_is_refused(case: str) -> None:
    """Negative control: next door to each refusal maximum likelihood goes through."""
    spec, data = FIT[case]
    fit = ev.fit_em(ev.condition(spec(), data), starts=2, random_seed=0, standard_errors=None, max_iter=200)
    assert np.isfinite(fit.log_likelihood)


def test_an_empty_class_is_bad_input_and_a_degenerate_fit() -> None:
    """Callers that ask either question get their answer."""
    error = errors.EmptyClass("kind", "rows", "none")
    assert isinstance(error, errors.BadInput)
    assert isinstance(error, errors.FitFailed)
    assert (error.status, error.starts) == (ev.Status.DEGENERATE, [])


def test_a_class_that_nothing_is_estimated_for_may_be_empty() -> None:
    known = {"weight": [0.5, 0.5], "mean": [0.0, 9.0], "kind": ["setosa"] * 4}
    with ev.Spec(coords={"species": SPECIES}) as spec:
        weight, mean = ev.Dirichlet("weight", 1.0, dims="species"), ev.Normal("mean", 0, 10, dims="species")
        kind = ev.Categorical("kind", weight, dims="flower")
        ev.Normal("x", mean[kind], ev.HalfNormal("sd", 1), dims="flower")
    assert float(ev.fit_em(ev.condition(spec, {"x": X, **known})).estimate["sd"]) == pytest.approx(np.sqrt((X**2).mean()))

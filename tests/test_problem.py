"""`condition`: every input form gives the same problem (bad input is in test_bad_input.py)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.problem.problem import Problem

NAN = np.nan
X = np.array([1.0, 2.5, 4.0, 7.5])
Y = np.array([[1.0, 5.0], [2.0, NAN], [3.0, 7.0], [NAN, 9.0]])
SPECIES = ["setosa", "virginica"]


def mixture(labels: Any = 2) -> ev.Spec:
    with ev.Spec(coords={"species": labels}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="species")
        mean = ev.Normal("mean", 0, 10, dims="species")
        sd = ev.HalfNormal("sd", 5, dims="species")
        kind = ev.Categorical("kind", weight, dims="flower")
        ev.Normal("x", mean[kind], sd[kind], dims="flower")
    return spec


def features(plate_first: bool = True) -> ev.Spec:
    with ev.Spec(coords={"feature": ["length", "width"]}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="feature")
        sd = ev.HalfNormal("sd", 5, dims="feature")
        ev.Normal("y", mean, sd, dims=("flower", "feature") if plate_first else ("feature", "flower"))
    return spec


def counts() -> ev.Spec:
    with ev.Spec(coords={"site": ["a", "b", "c"]}) as spec:
        rate = ev.Gamma("rate", 1, 1, dims="site")
        p = ev.Beta("p", 1, 1)
        site = ev.Data("site_of", dims="row")
        hours = ev.Data("hours", dims="row")
        trials = ev.Data("trials", dims="row")
        idle = ev.Bernoulli("idle", p, dims="row")
        ev.Poisson("n", rate[site] * hours, dims="row")
        ev.Binomial("hits", trials, p, dims="row")
        ev.Exponential("wait", rate[site], dims="row")
        ev.Switch("bursts", idle, [ev.Poisson.dist(p), ev.Dirac.dist(0)], dims="row")
        ev.Bernoulli("yes", p, dims="row")
    return spec


COVARIATES = {"site_of": ["a", "b", "c", "a"], "hours": [1, 2, 1, 0.5], "trials": [3, 3, 4, 5]}


def same(one: Problem, two: Problem) -> None:
    assert one.roles == two.roles
    assert one.given.keys() == two.given.keys()
    for name in one.given:
        assert one.given[name].dims == two.given[name].dims
        assert one.given[name].array.dtype == np.float64
        np.testing.assert_array_equal(one.given[name].array, two.given[name].array)
    assert one.evidence.keys() == two.evidence.keys()
    for name in one.evidence:
        np.testing.assert_array_equal(one.evidence[name].array, two.evidence[name].array)
    np.testing.assert_array_equal(one.weights, two.weights)


# Forms

ONE_COLUMN: dict[str, Callable[[], Any]] = {
    "array": lambda: {"x": X},
    "list": lambda: {"x": list(X)},
    "float32": lambda: {"x": X.astype(np.float32)},
    "Decimals": lambda: {"x": [Decimal(str(v)) for v in X]},
    "objects": lambda: {"x": X.astype(object)},
    "Series": lambda: {"x": pd.Series(X)},
    "nullable Series": lambda: {"x": pd.Series(X, dtype="Float64")},
    "arrow Series": lambda: {"x": pd.Series(X, dtype="float64[pyarrow]")},
    "DataFrame": lambda: pd.DataFrame({"x": X}),
    "polars": lambda: pl.DataFrame({"x": X}),
    "polars Series": lambda: {"x": pl.Series(X)},
    "DataArray": lambda: {"x": xr.DataArray(X, dims="flower")},
    "Dataset": lambda: xr.Dataset({"x": ("flower", X)}),
    "masked without a mask": lambda: {"x": np.ma.masked_array(X)},
}


@pytest.mark.parametrize("form", ONE_COLUMN)
def test_every_form_is_the_same_problem(form: str) -> None:
    problem = ev.condition(mixture(), ONE_COLUMN[form]())
    same(problem, ev.condition(mixture(), {"x": X}))
    assert problem.roles == {"weight": "parameter", "mean": "parameter", "sd": "parameter", "kind": "assignment", "x": "observed"}
    assert problem.n == 4
    assert [v.label for v in problem.parameters] == ["weight", "mean", "sd"]
    assert problem.notes == ()


HOLED = [1.0, None, 4.0, 7.0, 2.0]
HOLES: dict[str, Callable[[], Any]] = {
    "None in a list": lambda: HOLED,
    "NaN": lambda: np.array([1.0, NAN, 4.0, 7.0, 2.0]),
    "NA": lambda: [1.0, pd.NA, 4.0, 7.0, 2.0],
    "NaT": lambda: [1.0, pd.NaT, 4.0, 7.0, 2.0],
    "masked": lambda: np.ma.masked_array([1.0, 9.0, 4.0, 7.0, 2.0], [0, 1, 0, 0, 0]),
    "masked integers": lambda: np.ma.masked_array([1, 9, 4, 7, 2], [0, 1, 0, 0, 0]),
    "object Series": lambda: pd.Series(HOLED, dtype=object),
    "nullable integers": lambda: pd.Series([1, None, 4, 7, 2], dtype="Int64"),
    "polars integers": lambda: pl.Series([1, None, 4, 7, 2]),
    "DataArray": lambda: xr.DataArray([1.0, NAN, 4.0, 7.0, 2.0], dims="flower"),
}


@pytest.mark.parametrize("form", HOLES)
def test_every_hole_is_a_missing_cell(form: str) -> None:
    given = ev.condition(mixture(), {"x": HOLES[form]()}).given["x"].array
    np.testing.assert_array_equal(given, [1.0, NAN, 4.0, 7.0, 2.0])


LABELS: dict[str, Callable[[], Any]] = {
    "names": lambda: ["virginica", None, "setosa", "setosa"],
    "name array": lambda: np.array(["virginica", None, "setosa", "setosa"], dtype=object),
    "codes": lambda: np.array([1, -1, 0, 0]),
    "float codes": lambda: [1.0, NAN, 0.0, 0.0],
    "minus one among floats": lambda: [1.0, -1.0, 0.0, 0.0],
    "nullable codes": lambda: pd.Series([1, None, 0, 0], dtype="Int64"),
    "masked names": lambda: np.ma.masked_array(["virginica", "?", "setosa", "setosa"], [0, 1, 0, 0]),
    "Categorical": lambda: pd.Series(pd.Categorical(["virginica", None, "setosa", "setosa"])),
    "polars": lambda: pl.Series(["virginica", None, "setosa", "setosa"]),
    "polars Enum": lambda: pl.Series(["virginica", None, "setosa", "setosa"], dtype=pl.Enum(["virginica", "setosa"])),
    "pandas strings": lambda: pd.Series(["virginica", pd.NA, "setosa", "setosa"], dtype="string"),
    "DataArray": lambda: xr.DataArray(np.array(["virginica", None, "setosa", "setosa"], dtype=object), dims="flower"),
    "booleans": lambda: [True, None, False, False],
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_are_coordinates_or_codes(form: str) -> None:
    problem = ev.condition(mixture(SPECIES), {"x": X, "kind": LABELS[form]()})
    np.testing.assert_array_equal(problem.given["kind"].array, [1, NAN, 0, 0])
    assert problem.roles["kind"] == "assignment"
    by_code = "codes" in form or "floats" in form or form == "booleans"
    assert any("taken as codes" in note for note in problem.notes) == by_code


def test_supervision_is_a_matter_of_data() -> None:
    spec = mixture(SPECIES)
    roles = [
        ev.condition(spec, {"x": X, "kind": kind}).roles["kind"] for kind in ([0, 1, 1, 0], [0, 1, 1, -1], [-1] * 4, [None] * 4)
    ]
    assert roles == ["observed", "assignment", "assignment", "assignment"]
    same(ev.condition(spec, {"x": X, "kind": [-1] * 4}), ev.condition(spec, {"x": X}))


def test_coordinate_values_come_before_codes() -> None:
    """1 and 2 are labels of coords [1, 2]; with a 0 among them they can only be codes."""
    assert list(ev.condition(mixture([1, 2]), {"x": X, "kind": [1, 2, 2, 1]}).given["kind"].array) == [0, 1, 1, 0]
    assert list(ev.condition(mixture([1, 2]), {"x": X, "kind": [0, 1, 1, 0]}).given["kind"].array) == [0, 1, 1, 0]
    assert list(ev.condition(mixture([-1, 1]), {"x": X, "kind": [-1, 1, 1, -1]}).given["kind"].array) == [0, 1, 1, 0]


Q = np.array([[0.2, 0.8], [1.0, 0.0], [NAN, NAN], [1.0, 1.0]])
SOFT: dict[str, Callable[[], Any]] = {
    "array": lambda: Q,
    "list": lambda: Q.tolist(),
    "frame": lambda: pd.DataFrame(Q),
    "named columns in another order": lambda: pd.DataFrame(Q[:, ::-1], columns=SPECIES[::-1]),
    "DataArray": lambda: xr.DataArray(Q.T[::-1], dims=("species", "flower"), coords={"species": SPECIES[::-1]}),
    "DataArray with a dim of its own": lambda: xr.DataArray(Q, dims=("flower", "q")),
    "masked": lambda: np.ma.masked_array(np.where(np.isnan(Q), 5.0, Q), np.isnan(Q)),
    "polars": lambda: pl.DataFrame({"setosa": Q[:, 0], "virginica": Q[:, 1]}),
}


@pytest.mark.parametrize("form", SOFT)
def test_soft_labels(form: str) -> None:
    problem = ev.condition(mixture(SPECIES), {"x": X, "kind": SOFT[form]()})
    assert "kind" not in problem.given
    assert problem.roles["kind"] == "assignment"
    assert problem.evidence["kind"].dims == ("flower", "@kind")
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(problem.evidence["kind"].array, np.log([[0.2, 0.8], [1, 0], [1, 1], [1, 1]]))


def test_set_valued_labels_and_soft_labels_of_a_bernoulli() -> None:
    problem = ev.condition(mixture(3), {"x": X, "kind": np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool)})
    assert set(np.unique(problem.evidence["kind"].array)) == {0.0, -np.inf}
    problem = ev.condition(counts(), {**COVARIATES, "n": [0, 1, 2, 3], "idle": [[1, 0], [0.5, 0.5], [0, 1], [1, 1]]})
    assert problem.levels(problem.spec.variables["idle"]) == 2
    assert problem.evidence["idle"].array.shape == (4, 2)
    # evidence that says nothing is no evidence
    assert not ev.condition(mixture(), {"x": X, "kind": np.full((4, 2), NAN)}).evidence


FEATURES: dict[str, Callable[[], Any]] = {
    "columns of a frame": lambda: pd.DataFrame(Y, columns=["length", "width"]),
    "columns in another order": lambda: pd.DataFrame(Y[:, ::-1], columns=["width", "length"]),
    "polars columns": lambda: pl.DataFrame({"width": Y[:, 1], "length": Y[:, 0]}),
    "dict of columns": lambda: {"length": Y[:, 0], "width": [None if np.isnan(v) else v for v in Y[:, 1]]},
    "Dataset of columns": lambda: xr.Dataset({"length": ("flower", Y[:, 0]), "width": ("flower", Y[:, 1])}),
    "one array": lambda: {"y": Y},
    "a frame as a value": lambda: {"y": pd.DataFrame(Y[:, ::-1], columns=["width", "length"])},
    "unlabelled DataArray": lambda: {"y": xr.DataArray(Y.T, dims=("feature", "flower"))},
    "labelled DataArray": lambda: {
        "y": xr.DataArray(Y.T[::-1], dims=("feature", "flower"), coords={"feature": ["width", "length"]})
    },
}


@pytest.mark.parametrize("form", FEATURES)
def test_features_are_gathered_by_name(form: str) -> None:
    np.testing.assert_array_equal(ev.condition(features(), FEATURES[form]()).given["y"].array, Y)


@pytest.mark.parametrize("form", [f for f in FEATURES if f not in ("one array", "a frame as a value")])
def test_the_plate_may_come_last(form: str) -> None:
    problem = ev.condition(features(plate_first=False), FEATURES[form]())
    assert problem.given["y"].dims == ("feature", "flower")
    np.testing.assert_array_equal(problem.given["y"].array, Y.T)


# Plates, labels, weights, parameters, covariates


def test_plate_labels_come_from_the_data_and_line_them_up() -> None:
    x = pd.Series(X, index=["d", "a", "b", "c"])
    kind = pd.Series([0, 1, 2, 3], index=["a", "b", "c", "d"]) % 2
    problem = ev.condition(mixture(), {"x": x, "kind": kind, "mean": [0, 1]}, weights=pd.Series([1, 2, 3, 4], index=list("abcd")))
    assert list(problem.plates["flower"].labels) == ["d", "a", "b", "c"]
    assert list(problem.given["kind"].array) == [1, 0, 1, 0]
    assert list(problem.weights) == [4, 1, 2, 3]
    # a shuffled frame beside one in order: rows meet by label; a plain array goes by position
    shuffled = pd.Series(X, index=[3, 0, 2, 1])
    assert list(ev.condition(mixture(), {"x": shuffled, "kind": pd.Series([0, 0, 1, 1])}).given["kind"].array) == [1, 0, 1, 0]
    assert list(ev.condition(mixture(), {"x": shuffled, "kind": [0, 0, 1, 1]}).given["kind"].array) == [0, 0, 1, 1]
    assert list(ev.condition(mixture(), {"x": x, "kind": pd.Series([0, 0, 1, 1])}).given["kind"].array) == [0, 0, 1, 1]
    labelled = ev.condition(mixture(), xr.Dataset({"x": ("flower", X)}, coords={"flower": [10, 20, 30, 40]}))
    assert list(labelled.labels("flower")) == [10, 20, 30, 40]
    assert list(ev.condition(mixture(), {"x": X, "flower": ["p", "q", "r", "s"]}).labels("flower")) == ["p", "q", "r", "s"]
    # labels that repeat name nothing: rows count from 0
    assert list(ev.condition(mixture(), {"x": pd.Series(X, index=list("aabb"))}).labels("flower")) == [0, 1, 2, 3]


def test_plates_with_coords_in_the_spec() -> None:
    with ev.Spec(coords={"society": ["Malekula", "Tikopia", "Tonga"]}, plates=("society",)) as spec:
        mean, sd = ev.Normal("mean", 0, 1), ev.HalfNormal("sd", 1)
        ev.Normal("tools", mean, sd, dims="society")
    assert list(ev.condition(spec, {"tools": [1, 2, 4]}).labels("society")) == ["Malekula", "Tikopia", "Tonga"]
    by_label = pd.Series([4.0, 1.0, 2.0], index=["Tonga", "Malekula", "Tikopia"])
    assert list(ev.condition(spec, {"tools": by_label}).given["tools"].array) == [1, 2, 4]
    with pytest.raises(errors.WrongDims, match="society"):
        ev.condition(spec, {"tools": [1, 2]})
    with pytest.raises(errors.WrongDims, match="Fiji"):
        ev.condition(spec, {"tools": pd.Series([1.0, 2.0, 3.0], index=["Tonga", "Malekula", "Fiji"])})


def test_weights() -> None:
    np.testing.assert_array_equal(ev.condition(mixture(), {"x": X}).weights, np.ones(4))
    problem = ev.condition(mixture(), {"x": X}, weights=[1, 2, 0, 4])
    assert problem.weights.dtype == np.float64
    same(problem, ev.condition(mixture(), pd.DataFrame({"x": X, "frequency": [1, 2, 0, 4]}), weights="frequency"))
    np.testing.assert_array_equal(problem.with_weights(np.arange(4)).weights, [0, 1, 2, 3])
    with ev.Spec(coords={"k": 2}) as spec:  # row weights are not the variable of that name
        ev.Categorical("z", ev.Dirichlet("weights", 1.0, dims="k"), dims="row")
    assert list(ev.condition(spec, {"z": [0, 1, 1]}, weights=pd.Series([1, 2, 3])).weights) == [1, 2, 3]
    # a frequency table may have fewer rows than there are components
    assert ev.condition(mixture(3), {"x": [1.0, 2.0]}, weights=[100, 50]).n == 2


def test_parameters_may_be_fixed() -> None:
    problem = ev.condition(mixture(), {"x": X, "sd": 2.0, "mean": xr.DataArray([0.0, 1.0], dims="species"), "weight": [0.5, 0.5]})
    assert problem.parameters == []
    np.testing.assert_array_equal(problem.fixed["sd"].array, [2.0, 2.0])
    # with nothing to estimate, a single row will do: this is prediction
    fixed = {"sd": 2.0, "mean": [0.0, 1.0], "weight": [0.5, 0.5]}
    assert ev.condition(mixture(), {"x": [3.0], **fixed}).n == 1
    assert ev.condition(mixture(), {"x": [NAN], **fixed}).n == 1
    same(ev.condition(mixture(), pd.DataFrame({"x": X}), fixed=fixed), ev.condition(mixture(), {"x": X, **fixed}))
    with pytest.raises(errors.UnknownName, match="'means'"):
        ev.condition(mixture(), {"x": X}, fixed={"means": [0.0, 1.0]})
    with pytest.raises(errors.UnknownName, match="'kind'"):
        ev.condition(mixture(), {"x": X}, fixed={"kind": [0, 1, 1, 0]})


def test_covariates_that_look_up() -> None:
    spec, rows = counts(), {"hours": [1, 1, 1, 1], "trials": [1, 1, 1, 1], "n": [0, 1, 2, 3]}
    for site in (["a", "b", "c", "a"], [0, 1, 2, 0], pd.Series(["a", "b", "c", "a"], dtype="category")):
        problem = ev.condition(spec, {**rows, "site_of": site})
        np.testing.assert_array_equal(problem.given["site_of"].array, [0, 1, 2, 0])
        assert problem.roles["site_of"] == "covariate"
    assert problem.covariates.keys() == {"site_of", "hours", "trials"}


def test_a_plate_that_only_a_covariate_knows() -> None:
    with ev.Spec() as spec:
        effect = ev.Normal("effect", 0, 1, dims="school")
        school = ev.Data("school_of", dims="row")
        ev.Normal("y", effect[school], 1.0, dims="row")
    problem = ev.condition(spec, {"school_of": ["N", "S", "N"], "y": [1.0, 2.0, 3.0]})
    assert list(problem.labels("school")) == ["N", "S"]
    assert list(problem.given["school_of"].array) == [0, 1, 0]
    assert ev.condition(spec, {"school_of": [0, 4, 1], "y": [1.0, 2.0, 3.0]}).sizes["school"] == 5
    assert problem.n == 3


def test_levels() -> None:
    with ev.Spec(coords={"answer": ["no", "yes"]}) as spec:
        a = ev.Bernoulli("a", 0.5, dims="row")
        b = ev.Categorical("b", ev.constant(np.full((2, 4), 0.25))[a], dims="row")
        c = ev.Categorical("c", [0.2, 0.3, 0.5], dims="row")
        d = ev.Categorical("d", ev.Dirichlet("p", 1.0, dims="answer"), dims="row")
    problem = ev.condition(spec, {"b": [0, 3], "d": ["yes", "no"]})
    assert [problem.levels(v) for v in (a, b, c, d)] == [2, 4, 3, 2]
    assert problem.level_labels(d) == ["no", "yes"]
    assert problem.roles == {"a": "assignment", "b": "observed", "c": "assignment", "p": "parameter", "d": "observed"}


def test_extra_columns_are_left_out_with_a_note() -> None:
    frame = pd.DataFrame({"x": X, "colour": list("abcd"), "age": 1})
    problem = ev.condition(mixture(), frame, ignore_extra=True)
    same(problem, ev.condition(mixture(), {"x": X}))
    assert "colour, age" in problem.notes[0]
    with pytest.raises(errors.UnknownName, match="colour"):
        ev.condition(mixture(), frame)


def test_data_are_not_changed_and_not_shared() -> None:
    x = X.copy()
    problem = ev.condition(mixture(), {"x": x})
    x[0] = 99
    assert problem.given["x"].array[0] == 1.0


def test_an_empty_row_is_kept() -> None:
    y = Y.copy()
    y[2] = NAN
    assert ev.condition(features(), {"y": y}).n == 4


def test_a_hole_in_a_measured_category_is_a_missing_cell() -> None:
    problem = ev.condition(counts(), {**COVARIATES, "n": [0, 1, 2, 3], "yes": [True, None, False, True]})
    assert problem.roles["yes"] == "observed"
    np.testing.assert_array_equal(problem.given["yes"].array, [1, NAN, 0, 1])

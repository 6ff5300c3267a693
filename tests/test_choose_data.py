"""Criteria of other data are not compared: the same rows and cells, whatever they are called, or a named refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from examples import full_covariance_spec, normal_data, normal_mixture_spec, two_columns

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.comparison.choice import choose as module
from emvsmcmc.comparison.choice.same_data import check_alike
from emvsmcmc.gallery import load

QUAKES = load("poisson_mixture")

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
        "starts": (lambda: ev.choose(two, data, starts=0), errors.BadInput, "starts, max_iter, tol"),
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

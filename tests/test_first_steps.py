"""What a newcomer to the families declares wrongly: each is answered by name before the first step, none by a wrong number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import emvsmcmc as ev
from emvsmcmc import errors

X = np.array([1.0, -1.0, 2.0, 3.0])
Y = np.array([1.0, 2.0, 3.0, 4.0])


def known() -> Any:
    return ev.Data("x", dims="row")


def fitted(declare: Callable[[], Any], data: Any, objective: Any = "ml", coords: Any = None) -> ev.EMFit:
    with ev.Spec(coords=coords) as spec:
        declare()
    return ev.fit_em(ev.condition(spec, data), objective, starts=2, random_seed=0, standard_errors=None, progress=False)


OUTSIDE = {  # a prior that lies outside of what its argument can be
    "p of a Geometric": (lambda: ev.Geometric("y", ev.Gamma("m", 2, 1), dims="row"), "m: .*numbers from 0 to 1.*Gamma prior"),
    "p of a Bernoulli": (lambda: ev.Bernoulli("y", ev.Normal("m", 0, 10), dims="row"), "m: .*numbers from 0 to 1.*Normal prior"),
    "sigma of a Normal": (lambda: ev.Normal("y", 0, ev.Normal("m", 0, 10), dims="row"), "m: .*positive numbers.*Normal prior"),
    "rate of a Poisson": (lambda: ev.Poisson("y", ev.Normal("m", 0, 10), dims="row"), "m: .*positive numbers.*Normal prior"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_prior_lies_where_its_argument_does(name: str) -> None:
    declare, words = OUTSIDE[name]
    with pytest.raises(errors.UnsupportedModel, match=words):
        fitted(declare, {"y": np.ones(5)}, "map")


def test_probabilities_need_a_prior_on_probabilities() -> None:
    def declare() -> None:
        ev.Multinomial("y", 3, ev.Normal("p", 0, 1, dims="c"), dims=("row", "c"))

    with pytest.raises(errors.UnsupportedModel, match=r"p: .*probabilities.*Dirichlet"):
        fitted(declare, {"y": [[1, 2], [3, 0], [0, 3]]}, coords={"c": 2})


@pytest.mark.parametrize("family", ["Poisson", "Weibull", "Gamma"])
def test_a_hidden_variable_feeds_means_only(family: str) -> None:
    def declare() -> None:
        u = ev.exp(ev.Normal("u", 0, ev.HalfNormal("s", 1), dims="row"))
        getattr(ev, family)("y", *([u] if family == "Poisson" else [2.0, u]), dims="row")

    with pytest.raises(errors.UnsupportedModel, match=r"a dependence on \['u'\].*mean of a Normal"):
        fitted(declare, {"y": Y})


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: ev.Poisson("y", ev.Gamma("m", 1, 1) * known(), dims="row"), "x: .*at least 0, the mu of 'y'; got -1"),
        (lambda: ev.NegativeBinomial("y", ev.Gamma("m", 1, 1) * known(), 2, dims="row"), "x: .*the mu of 'y'; got -1"),
        (
            lambda: ev.Weibull("y", 2.0, ev.Gamma("m", 1, 1) * known(), dims="row"),
            "x: .*positive values, the beta of 'y'",
        ),
    ],
)
def test_known_factors_of_positive_arguments_are_positive(declare: Callable[[], Any], words: str) -> None:
    with pytest.raises(errors.OutOfSupport, match=words):
        fitted(declare, {"y": Y, "x": X})


def test_a_factor_of_zero_is_no_crash() -> None:
    def declare() -> None:
        ev.NegativeBinomial("y", ev.Gamma("m", 1, 1) * known(), 2, dims="row")

    with pytest.raises((errors.BadInput, errors.FitFailed)):
        fitted(declare, {"y": Y, "x": [1, 0, 2, 3]})


@pytest.mark.parametrize(
    ("declare", "link"),
    [
        (lambda m: ev.Weibull("y", 2.0, m, dims="row"), "ev.exp"),
        (lambda m: ev.Poisson("y", m, dims="row"), "ev.exp"),
        (lambda m: ev.Binomial("y", 9, m, dims="row"), "ev.math.sigmoid"),
    ],
)
def test_a_linear_predictor_needs_its_link(declare: Callable[[Any], Any], link: str) -> None:
    with pytest.raises(errors.UnsupportedModel, match=f"may be any number.*{link}"):
        fitted(lambda: declare(ev.Normal("a", 0, 10) + ev.Normal("b", 0, 1) * known()), {"y": Y, "x": X})


def test_of_a_column_of_text_the_cell_that_is_no_number_is_named() -> None:
    with ev.Spec() as spec:
        ev.Normal("y", ev.Normal("m", 0, 1), 1.0, dims="row")
    with pytest.raises(errors.NotNumeric, match="'abc' in row 1"):
        ev.condition(spec, pd.DataFrame({"y": ["2", "abc", "3"]}))


def test_a_label_is_no_branch() -> None:
    with ev.Spec():
        z = ev.Bernoulli("z", 0.5, dims="row")
        branches = [ev.Dirac.dist(0), ev.Categorical.dist([0.2, 0.3, 0.5])]
        with pytest.raises(errors.InvalidSpec, match="a Categorical, whose values are labels"):
            ev.Switch("y", z, branches, dims="row")

"""Every bad input gets its own named error: which variable, what was expected, what came, the way out.

A case is (spec, data, weights), the error, and words that the message must have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_problem import COVARIATES, NAN, SPECIES, X, Y, counts, features, mixture

import emvsmcmc as ev
from emvsmcmc import errors


def bad(spec: Any, data: Any, error: type[Exception], *words: str, weights: Any = None) -> Any:
    return pytest.param(spec, data, weights, error, words, id=f"{error.__name__}: {words[0]} {words[1]}"[:70])


def pars(**changes: Any) -> dict[str, Any]:
    return {**COVARIATES, "n": [0, 1, 2, 3], **changes}


def vector() -> ev.Spec:
    with ev.Spec(coords={"feature": ["length", "width"]}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="feature")
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("feature", "feature_bis"))
        ev.MvNormal("y", mean, cov, dims=("flower", "feature"))
    return spec


def items() -> ev.Spec:
    """Two types of person, two questions."""
    with ev.Spec(coords={"type": 2, "item": ["first", "second"]}) as spec:
        p = ev.Beta("p", 2, 2, dims=("type", "item"))
        kind = ev.Categorical("kind", ev.Dirichlet("weight", 2.0, dims="type"), dims="person")
        ev.Bernoulli("right", p[kind], dims=("person", "item"))
    return spec


BAD = [
    bad(mixture, {"w": X, "x": X}, errors.UnknownName, "'w'", "Known names"),
    bad(mixture, {"means": [0, 1], "x": X}, errors.UnknownName, "'means'", "Did you mean 'mean'?"),
    bad(mixture, {"x": X}, errors.UnknownName, "'freq'", "column", weights="freq"),
    bad(mixture, 3.0, errors.BadInput, "data", "float", "dict"),
    bad(mixture, pd.DataFrame([[1, 2]], columns=["x", "x"]), errors.DuplicateName, "'x'", "drop one"),
    bad(mixture, {"x": X, "kind": [0, 1, 0]}, errors.WrongDims, "kind", "length 4", "got 3"),
    bad(mixture, {"x": X[:, None]}, errors.WrongDims, "x", "(4, 1)", "'flower'"),
    bad(mixture, {"x": 3.0}, errors.WrongDims, "x", "()", "'flower'"),
    bad(mixture, {"x": xr.DataArray(X, dims="row")}, errors.WrongDims, "x", "('row',)", "('flower',)"),
    bad(mixture, {"x": X, "mean": [1.0, 2.0, 3.0]}, errors.WrongDims, "mean", "'species'"),
    bad(mixture, {"x": X, "kind": np.ones((4, 3))}, errors.WrongDims, "kind", "2 columns of soft labels"),
    bad(mixture, {"x": X, "kind": np.ones((4, 1))}, errors.WrongDims, "kind", "2 columns of soft labels"),
    bad(features, {"y": np.ones((4, 3))}, errors.WrongDims, "y", "'feature'"),
    bad(features, {"length": Y[:, 0]}, errors.MissingData, "y", "'width'"),
    bad(features, {"length": Y[:, 0], "widht": Y[:, 1]}, errors.MissingData, "y", "Did you mean 'widht'?"),
    bad(features, {"y": pd.DataFrame(Y, columns=["length", "depth"])}, errors.WrongDims, "y", "'depth'"),
    bad(mixture, {"x": [1.0, np.inf, 2.0]}, errors.NotFinite, "x", "row 1", "None or NaN"),
    bad(mixture, {"x": X, "mean": [0, -np.inf]}, errors.NotFinite, "mean", "-inf"),
    bad(mixture, {"x": [1.0, "2.5", 3.0]}, errors.NotNumeric, "x", "'2.5'", "row 1"),
    bad(mixture, {"x": ["a", "b"]}, errors.NotNumeric, "x", "'a'"),
    bad(mixture, {"x": pd.Series(["1", "2"])}, errors.NotNumeric, "x", "'1'"),
    bad(mixture, {"x": pd.date_range("2020", periods=3)}, errors.NotNumeric, "x", "row 0"),
    bad(mixture, {"x": X * 1j}, errors.NotNumeric, "x", "row 0"),
    bad(mixture, {"x": [[1.0], [2.0, 3.0]]}, errors.NotNumeric, "x", "[1.0]"),
    bad(mixture, {"x": X, "kind": [0, 1, 2, 0]}, errors.UnknownLabel, "kind", "0 to 1", "row 2"),
    bad(mixture, {"x": X, "kind": [0, 1, -2, 0]}, errors.UnknownLabel, "kind", "-2", "not known"),
    bad(mixture, {"x": X, "kind": [0, 0.5, 1, 0]}, errors.UnknownLabel, "kind", "0.5", "soft labels"),
    bad(mixture, {"x": X, "kind": [0, np.inf, 1, 0]}, errors.UnknownLabel, "kind", "inf"),
    bad(mixture, {"x": X, "kind": ["a", "b", "a", "b"]}, errors.UnknownLabel, "kind", "'a'"),
    bad(lambda: mixture(SPECIES), {"x": X, "kind": ["setosa", "virginca", None, None]}, errors.UnknownLabel,
        "kind", "'setosa'", "Did you mean 'virginica'?", "code from 0 to 1"),
    bad(lambda: mixture(SPECIES), {"x": X, "kind": ["setosa", 1, None, None]}, errors.UnknownLabel, "kind", "one kind"),
    bad(lambda: mixture(SPECIES), {"x": X, "kind": ["setosa", [1], None, None]}, errors.UnknownLabel, "kind", "(n, K)"),
    bad(mixture, {"x": X, "kind": [[1, 0], [0, 0], [1, 1], [1, 1]]}, errors.BadEvidence, "kind", "zero", "row 1", "NaN"),
    bad(mixture, {"x": X, "kind": [[1, 0], [-1, 2], [1, 1], [1, 1]]}, errors.BadEvidence, "kind", "negative", "row 1"),
    bad(mixture, {"x": X, "kind": [[1, NAN], [1, 2], [1, 1], [1, 1]]}, errors.BadEvidence, "kind", "partly missing", "row 0"),
    bad(mixture, {"x": X, "kind": [[1, np.inf], [1, 2], [1, 1], [1, 1]]}, errors.BadEvidence, "kind", "inf", "row 0"),
    bad(mixture, {"x": X, "kind": [[1, "b"], [1, 2], [1, 1], [1, 1]]}, errors.NotNumeric, "kind", "'b'", "row 0"),
    bad(counts, pars(n=[0, 1, -2, 3]), errors.OutOfSupport, "n:", "-2", "whole number", "Poisson", "row 2"),
    bad(counts, pars(n=[0, 1.5, 2, 3]), errors.OutOfSupport, "n:", "1.5", "whole number"),
    bad(counts, pars(hits=[0, 4, 1, 1]), errors.OutOfSupport, "hits:", "4", "from 0 to n", "row 1"),
    bad(counts, pars(hits=[0, -1, 1, 1]), errors.OutOfSupport, "hits:", "-1"),
    bad(counts, pars(hits=[0, 1, 1, 1], trials=[3, 3, 2.5, 3]), errors.OutOfSupport, "hits.n", "whole number", "2.5 in row 2"),
    bad(counts, pars(wait=[0.0, -0.1, 1, 1]), errors.OutOfSupport, "wait:", "-0.1", "Exponential"),
    bad(counts, pars(bursts=[0, 1, 2.5, 0]), errors.OutOfSupport, "bursts:", "2.5", "Poisson", "Dirac"),
    bad(counts, pars(yes=[0, 1, 2, 0]), errors.UnknownLabel, "yes", "2", "0 to 1"),
    bad(counts, pars(hours=[1, NAN, 1, 1]), errors.CovariateHole, "hours", "row 1", "Leave out"),
    bad(counts, pars(site_of=["a", None, "b", "c"]), errors.CovariateHole, "site_of", "row 1"),
    bad(counts, pars(site_of=[0, 1, 3, 0]), errors.UnknownLabel, "site_of", "3", "0 to 2"),
    bad(counts, pars(site_of=[0, 1, 0.5, 0]), errors.UnknownLabel, "site_of", "0.5"),
    bad(counts, pars(site_of=[0, 1, -1, 0]), errors.UnknownLabel, "site_of", "-1"),
    bad(counts, pars(site_of=["a", "b", "d", "a"]), errors.UnknownLabel, "site_of", "'d'"),
    bad(counts, {k: v for k, v in pars(hour=[1, 2, 3, 4]).items() if k != "hours"}, errors.UnknownName, "'hour'", "'hours'"),
    bad(counts, {k: v for k, v in pars().items() if k != "hours"}, errors.MissingData, "hours", "no distribution"),
    bad(counts, COVARIATES, errors.MissingData, "data", "'hits'"),
    bad(mixture, {}, errors.MissingData, "data", "'x'"),
    bad(mixture, {"mean": [0, 1]}, errors.MissingData, "data", "'x'"),
    bad(mixture, {"kind": [-1, -1, -1]}, errors.MissingData, "data", "'x'"),
    bad(mixture, {"x": X, "mean": [0, NAN]}, errors.MissingData, "mean", "1 of 2 missing", "leave it out"),
    bad(mixture, {"x": X, "weight": [0.5, 0.6]}, errors.OutOfSupport, "weight", "sum to 1"),
    bad(mixture, {"x": X, "sd": [1, -1]}, errors.OutOfSupport, "sd", "-1"),
    bad(mixture, {"x": X, "sd": [1, 0]}, errors.OutOfSupport, "sd", "positive"),
    bad(mixture, {"x": [NAN] * 4}, errors.EmptyColumn, "x", "Leave it out"),
    bad(mixture, {"x": [None] * 4, "kind": [0, 1, 0, 1]}, errors.EmptyColumn, "x", "Leave it out"),
    bad(features, {"y": np.c_[Y[:, 0], [NAN] * 4]}, errors.EmptyColumn, "y[feature=width]", "Leave it out"),
    bad(vector, {"y": np.c_[Y[:, 0], [NAN] * 4]}, errors.EmptyColumn, "y[feature=width]", "Leave it out"),
    bad(lambda: features(False), {"y": np.r_["0,2", Y[:, 0], [NAN] * 4]}, errors.EmptyColumn, "y[feature=width]", "Leave it out"),
    bad(features, {"y": np.c_[Y[:, 0], [NAN, NAN, NAN, 9.0]]}, errors.EmptyColumn, "y[feature=width]", "holes",
        weights=[1, 1, 1, 0]),
    bad(items, {"right": np.c_[[0, 1, 1, 0], [NAN] * 4]}, errors.EmptyColumn, "right[item=second]", "Leave it out"),
    bad(counts, pars(n=[NAN] * 4), errors.EmptyColumn, "n", "Leave it out"),
    bad(mixture, {"x": [2.0] * 4}, errors.ConstantColumn, "x", "2 in every row", "known scale"),
    bad(features, {"y": np.c_[Y[:, 0], [1.0] * 4]}, errors.ConstantColumn, "y[feature=width]", "known scale"),
    bad(features, {"y": np.c_[Y[:, 0], [NAN, NAN, 1.0, NAN]]}, errors.ConstantColumn, "y[feature=width]", "known scale"),
    bad(lambda: mixture(5), {"x": X}, errors.TooFewRows, "kind", "at least 5 rows", "got 4", "fewer components"),
    bad(mixture, {"x": X}, errors.WrongDims, "weights", "4 weights", weights=[1, 2]),
    bad(mixture, {"x": X}, errors.BadWeights, "weights", "-2", weights=[1, -2, 1, 1]),
    bad(mixture, {"x": X}, errors.BadWeights, "weights", "nan", "row 1", weights=[1, NAN, 1, 1]),
    bad(mixture, {"x": X}, errors.BadWeights, "weights", "inf", weights=[1, np.inf, 1, 1]),
    bad(mixture, {"x": X}, errors.BadWeights, "weights", "zero in every row", weights=[0, 0, 0, 0]),
    bad(mixture, {"x": X}, errors.NotNumeric, "weights", "'a'", weights=["a", 1, 1, 1]),
    bad(mixture, {"x": X, "flower": ["a", "a", "b", "c"]}, errors.DuplicateName, "labels of 'flower'", "distinct"),
    bad(mixture, {"x": pd.Series(X, index=list("abcd")), "kind": pd.Series([0, 1, 0, 1], index=list("abce"))}, errors.WrongDims,
        "kind", "'e'", "plain array"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "data", "weights", "error", "words"), BAD)
def test_bad_input_is_named(spec: Any, data: Any, weights: Any, error: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught:
        ev.condition(spec(), data, weights)
    assert type(caught.value) is error
    message = str(caught.value)
    for word in words:
        assert word in message
    assert message.endswith((".", "?"))
    assert "expected" in message
    assert "got" in message


def test_every_error_of_the_data_has_a_case() -> None:
    """A named error without bad input that raises it here is a promise nobody checks."""
    seen = {p.values[3] for p in BAD}
    wanted = {
        errors.UnknownName, errors.DuplicateName, errors.WrongDims, errors.NotNumeric, errors.NotFinite, errors.OutOfSupport,
        errors.UnknownLabel, errors.CovariateHole, errors.EmptyColumn, errors.ConstantColumn, errors.TooFewRows,
        errors.BadWeights, errors.BadEvidence, errors.MissingData,
    }  # fmt: skip
    assert wanted <= seen


GOOD = {
    "constant but the scale is known": (features, {"y": np.c_[Y[:, 0], [1.0] * 4], "sd": [1.0, 1.0]}),
    "binomial at its bound": (counts, pars(hits=[3, 3, 4, 0])),
    "booleans of a Bernoulli": (counts, pars(yes=[True, False, True, True])),
    "integers of a Normal": (mixture, {"x": [1, 2, 3, 4]}),
    "rows as many as components": (lambda: mixture(4), {"x": X}),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_input_beside_the_bad(case: str) -> None:
    """Negative control of the rules: next door to each refusal something is let in."""
    spec, data = GOOD[case]
    assert ev.condition(spec(), data).n == 4


def test_a_shared_scale_needs_one_column_that_varies() -> None:
    with ev.Spec(coords={"feature": 2}) as spec:
        mean, sd = ev.Normal("mean", 0, 1, dims="feature"), ev.HalfNormal("sd", 1)
        ev.Normal("y", mean, sd, dims=("row", "feature"))
    assert ev.condition(spec, {"y": [[1.0, 2.0], [1.0, 3.0]]}).n == 2
    with pytest.raises(errors.ConstantColumn):
        ev.condition(spec, {"y": [[1.0, 2.0], [1.0, 2.0]]})


# ----------------------------------------------------------------------------------------------------- allowed, and worth knowing

NOTES = [
    ({"kind": ["setosa", "setosa", None, None]}, "kind: no row is labelled 'virginica'; 2 without a label may belong to it."),
    ({"kind": [[1, 0], [1, 0], [NAN, NAN], [1, 1]]}, "kind: no row is labelled 'virginica'; 2 without a label may belong to it."),
    (
        {"kind": ["setosa"] * 4},
        "kind: every row is labelled, and none 'virginica': only a prior can say what that class is like.",
    ),
    ({"x": [1.0, NAN, 2.5, NAN]}, "rows 1, 3 have no value: they say nothing about the parameters."),
    ({"x": [1.0, NAN, 2.5, 3.0]}, "row 1 has no value: it says nothing about the parameters."),
]


@pytest.mark.parametrize(("data", "note"), NOTES)
def test_what_is_allowed_is_noted(data: dict[str, Any], note: str) -> None:
    assert ev.condition(mixture(SPECIES), {"x": X} | data).notes == (note,)


@pytest.mark.parametrize(
    "data",
    [
        {"kind": [None] * 4},
        {"kind": ["setosa", "virginica", None, None]},
        {"kind": [[1, 0], [0.9, 0.1], [NAN, NAN], [1, 1]]},
        {"x": [1.0, NAN, 2.0, 3.0], "kind": ["setosa", "virginica", None, None]},
        {"x": [1.0, NAN, 2.0, 3.0], "kind": [[NAN, NAN], [1, 3], [NAN, NAN], [NAN, NAN]]},
    ],
)
def test_no_note_where_there_is_nothing_to_say(data: dict[str, Any]) -> None:
    assert ev.condition(mixture(SPECIES), {"x": X} | data).notes == ()


def test_rows_that_do_not_count_are_not_noted() -> None:
    assert ev.condition(mixture(), {"x": [1.0, 2.0, NAN, 3.0]}, weights=[1, 1, 0, 1]).notes == ()


def test_a_class_may_live_in_the_rows_without_a_label() -> None:
    x = np.r_[np.random.default_rng(0).normal(0, 1, 30), np.random.default_rng(1).normal(8, 1, 30)]
    problem = ev.condition(mixture(SPECIES), {"x": x, "kind": ["setosa"] * 10 + [None] * 50})
    fit = ev.fit_em(problem, starts=3, random_seed=0)
    assert float(fit.estimate["mean"].sel(species="virginica")) == pytest.approx(x[30:].mean(), abs=1e-3)

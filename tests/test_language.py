"""The language, `ev.math` and operators: every law of the two engines on specs that use them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from language_specs import LANGUAGE
from test_laws_em import somewhere, stationarity
from test_laws_mcmc import functions, point

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.expect.coefficients import coefficients, log_prior
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.objective import MAP, ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.invariance.labels import exchangeable
from emvsmcmc.mcmc.model import build_model
from emvsmcmc.spec.evaluate import Environment, value_of
from emvsmcmc.spec.named import Named
from emvsmcmc.spec.walk import covariate_expressions, degree

EVERY = pytest.mark.parametrize("name", LANGUAGE)


@cache
def plan_of(name: str) -> Plan:
    return make_plan(LANGUAGE[name]())


@EVERY
def test_em_the_oracle_and_both_likelihoods_are_one_number(name: str) -> None:
    plan = plan_of(name)
    _, _, env = somewhere(plan, 1, 0.3)
    value, _ = expect(plan, coefficients(plan, env))
    given = {v.label: env.values[v.label] for v in plan.parameters}
    assert value == pytest.approx(float(plan.problem.weights @ density.log_likelihood(plan.problem, given)), rel=1e-10, abs=1e-9)
    assert float(log_prior(plan, env)) == pytest.approx(density.log_prior(plan.problem, given), rel=1e-10, abs=1e-10)
    gradients = []
    for likelihood in ("native", "fused"):
        model = build_model(plan, likelihood, "all")
        log_likelihood, posterior, *gradient = functions(model)(point(model, plan, env))
        assert float(log_likelihood) == pytest.approx(value, rel=1e-9, abs=1e-9), likelihood
        assert float(posterior) == pytest.approx(value + float(log_prior(plan, env)), rel=1e-9, abs=1e-9), likelihood
        gradients.append(np.concatenate([np.ravel(g) for g in gradient]))
    assert np.allclose(*gradients, rtol=1e-8, atol=1e-8 * np.abs(gradients[0]).max())


@EVERY
def test_the_score_is_exact(name: str) -> None:
    plan = plan_of(name)
    chart, u, _ = somewhere(plan, 2, 0.3)

    def objective(at: np.ndarray) -> float:
        env = chart.unpack(at)
        return expect(plan, coefficients(plan, env))[0] + float(log_prior(plan, env))

    _, S = expect(plan, coefficients(plan, chart.unpack(u)))
    h = 1e-5
    differences = np.array([(objective(u + h * e) - objective(u - h * e)) / (2 * h) for e in np.eye(len(u))])
    assert np.allclose(chart.score(u, S, MAP), differences, rtol=1e-6, atol=1e-6 * np.abs(differences).max())


# some parameters of parametrised_priors stand in priors only, which maximum likelihood refuses
FITTED = [
    (name, objective) for name in LANGUAGE for objective in ("ml", "map") if (name, objective) != ("parametrised_priors", "ml")
]


@pytest.mark.parametrize(("name", "objective"), FITTED)
def test_em_is_stationary_with_standard_errors(name: str, objective: str) -> None:
    problem = plan_of(name).problem
    fit = ev.fit_em(problem, objective, starts=3, random_seed=3)  # type: ignore[arg-type]
    assert fit.converged, fit.status
    plan, env = fit.plan, fit.environment
    _, S = expect(plan, coefficients(plan, env))
    chart = Coordinates(plan, env)
    score, covariance = chart.score(chart.pack(env), S, MAP if objective == "map" else ML), fit.uncertainty.covariance
    assert covariance is not None
    told = np.diag(covariance) > 0  # softmax_weights leaves eta[0] open under maximum likelihood: every class shares it
    assert told.all() or (name, objective) == ("softmax_weights", "ml")
    assert stationarity(score[told], covariance[np.ix_(told, told)]) < 1e-5
    if objective == "map":
        assert all(np.isfinite(x.values).all() for x in fit.standard_error.values())


def test_a_sigmoid_keeps_its_digits_on_both_sides() -> None:
    """log p and log(1 - p) of log odds of 40 and -40, by the expectation and along the score: 1 - p itself rounds to 0."""
    with ev.Spec() as spec:
        ev.Binomial("y", 10, ev.math.sigmoid(ev.Normal("a", 0, 100)), dims="row")
    plan = make_plan(ev.condition(spec, {"y": [1, 2, 10]}))
    for a in (40.0, -40.0, 600.0, -600.0):
        env = plan.environment({"a": np.array(a)})
        value, S = expect(plan, coefficients(plan, env))
        trials = np.array([1, 2, 10])
        combinations = np.log([10, 45, 1]).sum()
        exact = combinations - (trials.sum() * np.logaddexp(0, -a) + (30 - trials.sum()) * np.logaddexp(0, a))
        assert value == pytest.approx(exact, rel=1e-14)
        chart = Coordinates(plan, env)
        slope = float(chart.score(chart.pack(env), S, ML)[0]) / chart.blocks[0].unit[0]
        assert slope == pytest.approx(13 - 30 / (1 + np.exp(-a)), rel=1e-12)


def test_arrays_on_the_left_and_numpy_s_functions() -> None:
    with ev.Spec(coords={"k": 2}):
        a = ev.Normal("a", 0, 1)
        env = Environment({"a": Named(np.float64(-0.5))})
        for left in (np.array(3.0), np.float64(3.0), 3.0, 3):
            for made, value in ((left + a, 2.5), (left - a, 3.5), (left * a, -1.5), (left / a, -6.0), (left**a, 3**-0.5)):
                assert float(value_of(made, env).array) == pytest.approx(value, rel=1e-15)
        assert float(value_of(abs(a), env).array) == float(value_of(np.abs(a), env).array) == 0.5
        table = ev.constant([1.0, 2.0], dims="k") @ ev.math.stack([a, a], dim="k")
        assert float(value_of(table, env).array) == -1.5
        with pytest.raises(TypeError, match=r"np\.exp knows no expressions: .* ev\.math"):
            np.exp(a)
        with pytest.raises(TypeError, match=r"np\.add knows no expressions"):
            np.add.outer(np.ones(2), a)


def test_a_softmax_does_not_overflow() -> None:
    with ev.Spec(coords={"k": 3}):
        p = ev.math.softmax(ev.math.stack([0.0, 1000.0, 999.0], dim="k"))
    found = value_of(p, Environment({})).array
    assert np.allclose(found, [0.0, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], rtol=1e-14)


@pytest.mark.parametrize("name", sorted(set(ev.math.__all__) - {"dot", "softmax", "stack"}))
def test_every_function_differentiates_by_a_complex_step(name: str) -> None:
    x = np.array([0.3, 0.7])
    with ev.Spec():
        e = getattr(ev.math, name)(ev.Data("x", dims="row"))

    def at(values: np.ndarray) -> np.ndarray:
        return value_of(e, Environment({"x": Named(values, ("row",))})).array

    h = 1e-6
    assert np.allclose(at(x + 1e-30j).imag / 1e-30, (at(x + h) - at(x - h)) / (2 * h), rtol=1e-8)
    for library in ("numpy", "scipy.special"):
        known = getattr(import_module(library), {"sigmoid": "expit"}.get(name, name), None)
        if known is not None:
            assert np.allclose(at(x), known(x), rtol=1e-15)


DESIGNS: list[tuple[Callable[[Any, Any, Any], Any], int]] = [  # mean of (x, w, b), and how many columns of the row it has
    (lambda x, w, b: b * x * x, 1),
    (lambda x, w, b: x * b * x, 1),
    (lambda x, w, b: -x * (b * x) * w / x, 1),
    (lambda x, w, b: b * x + x * b * w, 2),
    (lambda x, w, b: (b + b * x) * w, 2),
    (lambda x, w, b: x**2 * b + b * ev.math.log(w), 2),
    (lambda x, w, b: (b * ev.math.exp(-x)) ** 1 * w, 1),
]


@pytest.mark.parametrize(("mean", "columns"), DESIGNS)
def test_products_of_covariates_are_columns_whatever_their_order(mean: Callable[[Any, Any, Any], Any], columns: int) -> None:
    data = {"x": np.array([0.5, 1.0, 2.0]), "w": np.array([1.0, 3.0, 2.0])}
    with ev.Spec() as spec:
        x, w, b = ev.Data("x", dims="row"), ev.Data("w", dims="row"), ev.Normal("b", 0, 1)
        ev.Normal("y", mean(x, w, b), 1.0, dims="row")
    argument = spec.variables["y"].arguments["mu"]
    assert len(covariate_expressions(argument)) == columns
    assert degree(argument, {"b"}) == 1
    plan = make_plan(ev.condition(spec, data | {"y": [1.0, 2.0, 0.0]}))
    value = expect(plan, coefficients(plan, plan.environment({"b": np.array(0.7)})))[0]
    numbers = {k: Named(v, ("row",)) for k, v in data.items()} | {"b": Named(np.float64(0.7))}
    with ev.Spec():
        names = ev.Data("x", dims="row"), ev.Data("w", dims="row"), ev.Data("b")
        written = value_of(mean(*names), Environment(numbers)).array
    residual = np.array([1.0, 2.0, 0.0]) - written
    assert value == pytest.approx(-0.5 * (residual @ residual) - 1.5 * np.log(2 * np.pi), rel=1e-12)


def test_a_precision_has_a_closed_form_and_its_gamma_prior_is_conjugate() -> None:
    spec = LANGUAGE["precisions"]().spec
    text = str(spec.explain())
    assert "tau: events over exposure" in text
    assert "tau: mode of a Gamma" in text
    assert "numerical" not in text
    assert "safeguarded" not in text


def test_a_scale_worked_out_from_parameters_collapses_by_name() -> None:
    """Every row alike but for rounding would drive exp(a) to 0: the fit ends by name, not after thousands of steps."""
    with ev.Spec() as spec:
        x = ev.Data("x", dims="row")
        ev.Normal("y", ev.Normal("m", 0, 5) * x, ev.math.exp(ev.Normal("a", 0, 5)), dims="row")
    problem = ev.condition(spec, {"x": np.arange(1.0, 9.0), "y": 2 * np.arange(1.0, 9.0)})
    with pytest.raises(ev.errors.FitFailed, match="a: a component collapsed"):
        ev.fit_em(problem, random_seed=0)


def test_positions_are_shown_by_their_labels() -> None:
    text = str(LANGUAGE["positions"]().spec.explain())
    assert "y[row] ~ Normal(c[z, v], s[u, z])" in text
    assert "x[row] ~ Normal(c[z, u] + c[0, v], s[v, z])" in text


def within(body: Callable[[Any, Any, Any], Any]) -> Callable[[], Any]:
    def run() -> None:
        with ev.Spec(coords={"k": 2, "f": ["u", "v"]}):
            x = ev.Data("x", dims=("row", "f"))
            body(ev.Normal("m", 0, 1, dims=("k", "f")), ev.Categorical("z", [0.5, 0.5], dims="row"), x)

    return run


BAD: list[tuple[Callable[[Any, Any, Any], Any], type[Exception], tuple[str, ...]]] = [
    (lambda m, z, x: m[0:1], ev.errors.InvalidSpec, ("slice 0:1", "dim of its own")),
    (lambda m, z, x: m[..., 0], ev.errors.InvalidSpec, ("index", "'...'")),
    (lambda m, z, x: m[2], ev.errors.WrongDims, ("index 2", "'k' from 0 to 1")),
    (lambda m, z, x: m[0, "w"], ev.errors.WrongDims, ("'w'", "['u', 'v']")),
    (lambda m, z, x: m[:, z], ev.errors.WrongDims, ("before ':'", "Declare the indexed dim first")),
    (lambda m, z, x: x[0], ev.errors.WrongDims, ("'row'", "from the data", "x[:, position]")),
    (lambda m, z, x: m[0.5], ev.errors.InvalidSpec, ("index", "0.5")),
    (lambda m, z, x: m[0, 0, 0], ev.errors.WrongDims, ("at most 2",)),
    (lambda m, z, x: ev.math.log(m), ev.errors.InvalidSpec, ("log(m)", "positive", "Normal")),
    (lambda m, z, x: ev.math.sqrt(m[0, 1]), ev.errors.InvalidSpec, ("sqrt(m)", "exp(m)")),
    (lambda m, z, x: (-2.0) ** m, ev.errors.InvalidSpec, ("**", "positive base")),
    (lambda m, z, x: ev.math.softmax(m), ev.errors.WrongDims, ("softmax", "dim=")),
    (lambda m, z, x: ev.math.softmax(m, dim="z"), ev.errors.WrongDims, ("softmax", "'z'")),
    (lambda m, z, x: ev.math.stack([1, 2, 3], dim="k"), ev.errors.WrongDims, ("2 parts", "3")),
    (lambda m, z, x: ev.math.stack([m, m], dim="k"), ev.errors.WrongDims, ("without dim 'k'",)),
    (lambda m, z, x: ev.math.stack([1, 2], dim="row"), ev.errors.WrongDims, ("coords",)),
    (lambda m, z, x: ev.math.stack(1, dim="k"), ev.errors.InvalidSpec, ("a list",)),
    (lambda m, z, x: np.ones((3, 2)) @ m[0], ev.errors.WrongDims, ("dot", "exactly one dim")),
]


@pytest.mark.parametrize(("body", "error", "words"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_is_refused_with_a_sentence(body: Any, error: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught:
        within(body)()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


def test_a_column_worked_out_of_covariates_is_a_number_in_every_row() -> None:
    with ev.Spec() as spec:
        x = ev.Data("x", dims="row")
        ev.Normal("y", ev.Normal("b", 0, 1) * ev.math.log(x), 1.0, dims="row")
    with pytest.raises(ev.errors.OutOfSupport, match=r"log\(x\): .*finite.*-inf in row 1"):
        ev.condition(spec, {"x": [1.0, 0.0, 2.0], "y": [1.0, 2.0, 3.0]})


def test_positions_and_stacks_tell_the_labels_of_a_dim_apart() -> None:
    """A renaming would move what is written apart: such a dim is not exchangeable, and no answer is renamed."""
    for name in ("ordered_means", "softmax_weights", "positions"):
        reasons = exchangeable(plan_of(name))
        assert reasons["k"] is not None
        assert "apart" in reasons["k"]
    assert exchangeable(plan_of("precisions"))["k"] is None

"""fit_em as its users meet it: labels, degenerate data, standard errors, hard assignment, prediction, named errors."""

from __future__ import annotations

import numpy as np
import pytest
from examples import EXAMPLES, boundary_problem, full_covariance_spec, normal_data, normal_mixture_spec, two_columns

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.invariance.labels import exchangeable

X, Z = normal_data(200)


def fit(data, objective="ml", **options):  # type: ignore[no-untyped-def]
    options = {"starts": 4, "random_seed": 0} | options
    return ev.fit_em(ev.condition(normal_mixture_spec(), data), objective, **options)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_labels_are_used_and_held(fraction: float) -> None:
    """A label keeps its row's probability at one, from the first start on, and more labels never make the classification
    worse.
    """
    given = np.random.default_rng(0).random(len(Z)) < fraction
    result = fit({"x": X, "group": np.where(given, Z, -1)})
    p = result.probability["group"].values
    assert (p[given, Z[given]] == 1).all()
    assert (p.argmax(axis=1) == Z).mean() > 0.95
    start = random_start(result.plan, MStep(result.plan, ML), np.random.default_rng(1))
    if fraction:
        assert np.diff(start.values["mean"].array)[0] > 0  # the labelled classes start where their rows are


def test_all_labels_are_the_supervised_estimate_in_one_step() -> None:
    result = fit({"x": X, "group": Z})
    assert result.iterations <= 1
    assert np.allclose(result.estimate["weight"], np.bincount(Z) / len(Z))
    for k in range(2):
        assert result.estimate["mean"].values[k] == pytest.approx(X[k == Z].mean(), rel=1e-12)
        assert result.estimate["sd"].values[k] == pytest.approx(X[k == Z].std(), rel=1e-12)


def test_a_class_without_rows() -> None:
    """Degenerate by name under ML; at the prior's mode under MAP where that is interior."""
    with pytest.raises(ev.errors.EmptyClass, match="at least one row of each of 2 classes; got none of 1") as caught:
        fit({"x": X, "group": np.zeros(len(X))})
    assert isinstance(caught.value, ev.errors.FitFailed)
    assert caught.value.status is ev.Status.DEGENERATE
    assert "InverseGamma" in str(caught.value)
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        variance = ev.InverseGamma("variance", 3.0, 8.0, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], variance=variance[group], dims="row")
    result = ev.fit_em(ev.condition(spec, {"x": X, "group": np.zeros(len(X))}), "map", starts=2, random_seed=0)
    assert result.estimate["mean"].values[1] == pytest.approx(2.0)
    assert result.estimate["variance"].values[1] == pytest.approx(8.0 / 4.0)
    assert result.estimate["weight"].values[1] == pytest.approx(1 / (len(X) + 2))


def test_a_component_that_collapses_is_degenerate_and_map_with_a_vanishing_prior_is_not() -> None:
    rows = np.r_[np.zeros(30), np.random.default_rng(0).normal(5, 1, 10)]
    with pytest.raises(ev.errors.FitFailed, match="collapsed"):
        fit({"x": rows}, starts=3)
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        variance = ev.InverseGamma("variance", 2.0, 0.5, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], variance=variance[group], dims="row")
    result = ev.fit_em(ev.condition(spec, {"x": rows}), "map", starts=3, random_seed=0)
    assert result.converged
    assert (result.estimate["variance"] > 0.01).all()


def test_one_start_that_collapses_does_not_spoil_the_others() -> None:
    """Full covariances on few rows: some starts collapse, each with its reason; the best of the rest is returned."""
    y = two_columns()[:9]
    result = ev.fit_em(ev.condition(full_covariance_spec(), {"y": y}), starts=30, random_seed=1)
    statuses = {s.status for s in result.starts}
    assert ev.Status.CONVERGED in statuses
    assert ev.Status.DEGENERATE in statuses
    assert all(s.reason for s in result.starts)
    assert all(s.optimum == -1 for s in result.starts if s.status is ev.Status.DEGENERATE)


@pytest.mark.parametrize(
    "name", ["normal_mixture", "full_covariance", "zero_inflated", "binomial_mixture", "one_factor", "regression_mixture"]
)
def test_standard_errors_are_those_of_the_textbook_density(name: str) -> None:
    """Delta method on a numerical Hessian of `density`, which shares no formula with the engine."""
    problem = EXAMPLES[name].build()
    result = ev.fit_em(problem, starts=3, random_seed=2)
    chart = Coordinates(result.plan, result.environment)
    u = chart.pack(result.environment)

    def f(at: np.ndarray) -> float:
        env = chart.unpack(at)
        rows = density.log_likelihood(problem, {v.label: env.values[v.label] for v in result.plan.parameters})
        return float(problem.weights @ rows)

    h = 1e-3
    unit = h * np.eye(len(u))
    H = np.array([[f(u + a + b) - f(u + a - b) - f(u - a + b) + f(u - a - b) for b in unit] for a in unit]) / (4 * h * h)
    covariance = np.linalg.inv(-0.5 * (H + H.T))
    for label, J in chart.jacobian(u).items():
        se = np.sqrt(np.einsum("...i,ij,...j->...", J, covariance, J))
        assert np.allclose(result.standard_error[label], se, rtol=2e-3), label


def test_bootstrap_agrees_with_the_information_where_the_model_is_right() -> None:
    a = fit({"x": X}, standard_errors="observed")
    b = fit({"x": X}, standard_errors="bootstrap")
    ratio = np.concatenate([np.ravel(b.standard_error[k] / a.standard_error[k]) for k in a.standard_error])
    # 200 replicates estimate a standard deviation to 5%; the sandwich and the information differ by sampling as well
    assert ((ratio > 0.7) & (ratio < 1.4)).all()


def test_hard_assignment_is_its_own_objective() -> None:
    """Classification EM ends with one-hot consistent assignments and a biased spread: smaller than the soft one's."""
    x = np.random.default_rng(3).normal(np.repeat([0.0, 2.5], 150), 1.0)
    soft, hard = fit({"x": x}), fit({"x": x}, assignment="hard")
    assert hard.converged
    assert hard.objective_value < hard.log_likelihood
    assert float(hard.estimate["sd"].sum()) < float(soft.estimate["sd"].sum())
    assert hard.log_likelihood < soft.log_likelihood


def test_parameters_that_occur_only_in_priors() -> None:
    with ev.Spec() as spec:
        centre = ev.Normal("centre", 0, 1)
        mean = ev.Normal("mean", centre, 2)
        ev.Normal("x", mean, 1, dims="row")
    problem = ev.condition(spec, {"x": [1.0, 2.0, 4.0]})
    with pytest.raises(ev.errors.Unidentified, match="centre"):
        ev.fit_em(problem)
    result = ev.fit_em(problem, "map", starts=1, random_seed=0)
    # joint mode of a normal hierarchy, by its normal equations
    A = np.array([[3 + 0.25, -0.25], [-0.25, 1 + 0.25]])
    assert np.allclose([float(result.estimate["mean"]), float(result.estimate["centre"])], np.linalg.solve(A, [7.0, 0.0]))


def test_counts_information_criteria_and_prediction() -> None:
    result = fit({"x": X})
    assert result.n_parameters == 5
    assert result.aic == pytest.approx(-2 * result.log_likelihood + 10)
    assert result.bic == pytest.approx(-2 * result.log_likelihood + 5 * np.log(len(X)))
    new = result.predict({"x": X[:7]})
    assert np.allclose(new["group"], result.probability["group"][:7])
    one = result.predict({"x": [100.0]})
    assert one["group"].sizes == {"row": 1, "component": 2}
    assert set(result.to_datatree().children) == {"estimate", "standard_error", "missing_information", "probability", "latent"}


def test_seeds_reproduce_and_labels_are_canonical() -> None:
    a, b, c = fit({"x": X}, random_seed=5), fit({"x": X}, random_seed=5), fit({"x": X}, random_seed=6)
    assert a.estimate.equals(b.estimate)
    assert np.allclose(a.estimate["mean"], c.estimate["mean"], atol=1e-5)
    assert (np.diff(a.estimate["mean"]) > 0).all()


def test_far_clusters_keep_their_digits() -> None:
    """A million standard deviations apart: exact to 1e-9 of a standard deviation."""
    x = np.r_[np.random.default_rng(0).normal(0, 1, 50), np.random.default_rng(1).normal(1e6, 1, 50)]
    result = fit({"x": x})
    for k, part in enumerate((x[:50], x[50:])):
        assert abs(result.estimate["mean"].values[k] - part.mean()) < 1e-9
        assert result.estimate["sd"].values[k] == pytest.approx(part.std(), rel=1e-8)


def test_symmetry_of_a_dim_ends_where_something_tells_its_positions_apart() -> None:
    free = ev.condition(normal_mixture_spec(), {"x": X})
    labelled = ev.condition(normal_mixture_spec(), {"x": X, "group": np.r_[0, np.full(len(X) - 1, -1)]})
    fixed = ev.condition(normal_mixture_spec(), {"x": X, "mean": [0.0, 4.0]})
    assert exchangeable(make_plan(free)) == {"component": None}
    assert "labels" in exchangeable(make_plan(labelled))["component"]
    assert "mean" in exchangeable(make_plan(fixed))["component"]


def test_max_iter_is_not_convergence() -> None:
    result = fit({"x": np.random.default_rng(3).normal(np.repeat([0.0, 2.0], 100), 1.0)}, max_iter=2, accelerate=False)
    assert result.status is ev.Status.MAX_ITER
    assert not result.converged


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"objective": "mle"}, "'ml' or 'map'"),
        ({"assignment": "firm"}, "'soft' or 'hard'"),
        ({"starts": 0}, "positive"),
        ({"tol": 0.0}, "positive"),
    ],
)
def test_options_are_checked(option: dict, message: str) -> None:
    with pytest.raises(ev.errors.BadInput, match=message):
        ev.fit_em(ev.condition(normal_mixture_spec(), {"x": X}), **option)


def test_models_that_are_refused_say_why() -> None:
    x = np.arange(6.0)

    def product() -> ev.Spec:
        with ev.Spec(coords={"k": 2}) as spec:
            a, b = ev.Normal("a", 0, 1, dims="k"), ev.Normal("b", 0, 1)
            z = ev.Categorical("z", ev.Dirichlet("w", 1.0, dims="k"), dims="row")
            ev.Normal("x", a[z] * b, 1, dims="row")
        return spec

    def latent_product() -> ev.Spec:
        with ev.Spec() as spec:
            u, v = ev.Normal("u", 0, 1, dims="row"), ev.Normal("v", 0, 1, dims="row")
            ev.Normal("x", u * v, 1, dims="row")
        return spec

    def two_plates() -> ev.Spec:
        with ev.Spec() as spec:
            m = ev.Normal("m", 0, 1)
            ev.Normal("y", m, 1, dims="other")
            ev.Normal("x", m, 1, dims="row")
        return spec

    def too_many() -> ev.Spec:
        with ev.Spec(coords={"k": 20}) as spec:
            w = ev.Dirichlet("w", 1.0, dims="k")
            zs = [ev.Categorical(f"z{i}", w, dims="row") for i in range(4)]
            m = ev.Normal("m", 0, 1, dims="k")
            ev.Normal("x", m[zs[0]] + m[zs[1]] + m[zs[2]] + m[zs[3]], 1, dims="row")
        return spec

    cases = [
        (product(), {"x": x}, ev.errors.NotAffine, "one parameter"),
        (latent_product(), {"x": x}, ev.errors.NotAffine, "product"),
        (two_plates(), {"x": x, "y": x[:3]}, ev.errors.UnsupportedModel, "coords"),
        (too_many(), {"x": np.arange(40.0)}, ev.errors.TooManyConfigurations, "160,000"),
    ]
    for spec, data, error, words in cases:
        with pytest.raises(error, match=words):
            ev.fit_em(ev.condition(spec, data), starts=1)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_a_parameter_on_its_boundary(alpha: float) -> None:
    """It has no standard error, with the reason, does not count as a parameter, and MAP can start from it under any prior."""
    problem = boundary_problem(alpha)
    ml = ev.fit_em(problem, starts=5, random_seed=1)
    p = ml.estimate["p"].values
    on = (p < 1e-9) | (p > 1 - 1e-9)
    assert on.any()
    assert ml.converged
    assert np.isnan(ml.standard_error["p"].values[on]).all()
    assert (ml.standard_error["p"].values[~on] > 0).all()
    assert "boundary" in ml.reasons["p"]
    assert ml.n_parameters == 11 - on.sum()
    mode = ev.fit_em(problem, "map", init={k: v.values for k, v in ml.estimate.data_vars.items()})
    assert mode.converged
    assert np.isfinite(mode.objective_value)
    q = mode.estimate["p"].values
    assert np.allclose(q, p, atol=1e-6) if alpha == 1 else ((q > 0.005) & (q < 0.995)).all()

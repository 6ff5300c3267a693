"""What is computed a quicker way gives what the plain way gives."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from examples import EXAMPLES

import emvsmcmc as ev
from emvsmcmc.comparison import align
from emvsmcmc.em import newton as numeric
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect import coordinates
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.objective import MAP
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.mcmc import parameters
from emvsmcmc.simulation import draw_variable
from emvsmcmc.spec.arguments import argument_values
from emvsmcmc.spec.evaluate import Environment
from emvsmcmc.spec.named import Named
from emvsmcmc.spec.private_dims import SAMPLE

MODE = pytensor.compile.mode.Mode(linker="py", optimizer=None)


def clusters(n: int = 12) -> ev.Problem:
    with ev.Spec(coords={"component": 3, "feature": 2, "feature_bis": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "feature"))
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("component", "feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("x", mean[group], cov[group], dims=("row", "feature"))
    return ev.condition(spec, {"x": np.random.default_rng(0).normal(size=(n, 2))})


@pytest.mark.parametrize(("count", "p"), [(1, 1), (3, 2), (2, 4)])
def test_placed_coordinates_are_those_set_by_index(count: int, p: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """W and its gradient, bit by bit; also where an entry below the diagonal is beyond any logarithm."""
    rng = np.random.default_rng(p)
    u = rng.normal(size=(count, p * (p + 1) // 2))
    i, j = np.tril_indices(p)
    u[:, i > j] *= 1e4
    weights = rng.normal(size=(count, p, p))
    found = []
    for limit in (parameters.PLACED, 0):
        monkeypatch.setattr(parameters, "PLACED", limit)
        raw = pt.dmatrix("raw")
        W = parameters._unpacked(raw, count, p)
        gradient = pytensor.grad((W * weights).sum(), raw)
        found.append(pytensor.function([raw], [W, gradient], mode=MODE)(u))
    expected = np.zeros((count, p, p))
    expected[:, i, j] = np.where(i == j, np.exp(np.where(i == j, u, 0.0)), u)
    for W, gradient in found:
        np.testing.assert_array_equal(W, expected)
        np.testing.assert_array_equal(gradient, np.where(i == j, weights[:, i, j] * expected[:, i, j], weights[:, i, j]))


def test_factors_of_components_draw_what_covariances_of_rows_draw() -> None:
    problem = clusters()
    x, rng = problem.spec.variables["x"], np.random.default_rng(1)
    A = rng.normal(size=(5, 3, 2, 4))
    values = {
        "mean": Named(rng.normal(size=(5, 3, 2)), (SAMPLE, "component", "feature")),
        "cov": Named(A @ A.swapaxes(-1, -2), (SAMPLE, "component", "feature", "feature_bis")),
        "group": Named(rng.integers(0, 3, (5, problem.n)), (SAMPLE, "row")),
    }
    env, dims, shape = Environment(values), (SAMPLE, "row", "feature"), (5, problem.n, 2)
    plain = x.family.sample(np.random.default_rng(2), shape, **argument_values(x, env, dims))
    np.testing.assert_array_equal(draw_variable(problem, x, env, np.random.default_rng(2), 5), plain)


def test_agreement_of_all_draws_is_that_of_each() -> None:
    plan = make_plan(clusters())
    n, rng = len(plan.full.V), np.random.default_rng(3)
    target, w = rng.dirichlet(np.ones(3), n), rng.uniform(0.5, 2.0, n)
    r = rng.dirichlet(np.ones(3), (n, 7)).transpose(0, 2, 1)
    found = align._agreement(plan, "component", target, r, w)
    for s in range(7):
        np.testing.assert_allclose(found[s], (target * w[:, None]).T @ r[:, :, s], rtol=1e-13)


@pytest.mark.parametrize("name", EXAMPLES)
def test_scores_at_many_points_are_those_at_each(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together, and a few points at a time; with their sum as a check that points are not mixed up."""
    plan = make_plan(EXAMPLES[name].build())
    env = random_start(plan, MStep(plan, MAP), np.random.default_rng(3))
    S = expect(plan, coefficients(plan, env))[1]
    chart = coordinates.Coordinates(plan, env)
    points = chart.pack(env)[:, None] + 0.1 * np.random.default_rng(4).normal(size=(chart.size, 5))
    each = np.stack([chart.score(p, S, MAP) for p in points.T], axis=1)
    for together in (coordinates.TOGETHER, 2 * chart.size):
        monkeypatch.setattr(coordinates, "TOGETHER", together)
        np.testing.assert_allclose(chart.scores(points, S, MAP), each, rtol=1e-9, atol=1e-9 * np.abs(each).max())
    assert np.ptp(each, axis=1).min() > 1e-6 * np.abs(each).max()


def test_a_step_that_keeps_its_hessian_ends_at_the_same_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes it less often than it steps, where Newton would take it every time."""
    plan = make_plan(EXAMPLES["tied_covariance_lkj"].build())
    env = random_start(plan, MStep(plan, MAP), np.random.default_rng(3))
    S = expect(plan, coefficients(plan, env))[1]
    chart = coordinates.Coordinates(plan, env, {"cov"})
    taken = []
    plain = numeric.hessian
    monkeypatch.setattr(numeric, "hessian", lambda *a: taken.append(0) or plain(*a))
    ends, counts = [], []
    for shrinks in (numeric.SHRINKS, -1.0):
        monkeypatch.setattr(numeric, "SHRINKS", shrinks)
        taken.clear()
        ends.append(numeric.maximise(chart, S, MAP).values["cov"].array)
        counts.append(len(taken))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-7)
    assert counts[0] < counts[1]


def test_a_covariance_with_an_lkj_prior_that_collapses_is_named() -> None:
    """A prior that is no help on three rows in a plane: the step goes to the boundary at once, where Newton alone would creep."""
    with ev.Spec(coords={"component": 3, "feature": 3, "feature_bis": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "feature"))
        cov = ev.LKJCov("cov", 2.0, ev.HalfNormal.dist(2), dims=("component", "feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("y", mean[group], cov=cov[group], dims=("row", "feature"))
    rng = np.random.default_rng(0)
    y = rng.normal(size=(3, 3))[rng.integers(0, 3, 500)] * 3 + rng.normal(size=(500, 3))
    fit = ev.fit_em(ev.condition(spec, {"y": y}), "map", starts=2, tol=1e-8, standard_errors=None, random_seed=1)
    assert [s.status for s in fit.starts].count(ev.Status.DEGENERATE) == 1
    assert fit.status is ev.Status.CONVERGED
    (collapsed,) = (s for s in fit.starts if s.status is ev.Status.DEGENERATE)
    assert collapsed.passes < 150
    assert "cov" in collapsed.reason
    assert (np.diff(collapsed.path) >= -1e-9).all()


def bounded(kind: str) -> ev.Problem:
    with ev.Spec(coords={"component": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims="component")
        spread = ev.Uniform("spread", 0.5, 5.0, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], **{kind: spread[group]}, dims="row")
    rng = np.random.default_rng(0)
    return ev.condition(spec, {"x": np.concatenate([rng.normal(0, 1, 60), np.full(6, 4.0), rng.normal(8, 2, 60)])})


def test_a_scale_that_visits_its_bound_comes_back_without_a_warning() -> None:
    """At a bound the chart is at infinity, which is not subtracted aloud. The maximum, inside both bounds, is one."""
    by_variance, by_sd = (
        ev.fit_em(bounded(k), "map", starts=6, random_seed=1, standard_errors=None) for k in ("variance", "sigma")
    )
    assert by_variance.converged
    assert by_variance.log_likelihood == pytest.approx(by_sd.log_likelihood, abs=1e-7)
    np.testing.assert_allclose(np.sort(by_variance.estimate["spread"]), np.sort(by_sd.estimate["spread"]) ** 2, rtol=1e-5)

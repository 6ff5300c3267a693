"""Covariates that are nearly collinear: a condition of 1e-6 between them is data, not a mistake."""

from __future__ import annotations

import numpy as np
import pytest
from test_hard_data import CLASSES, regressions_spec, rng

import emvsmcmc as ev
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect


def nearly_collinear(apart: float, n: int = 80) -> np.ndarray:
    r = rng(11)
    x = r.normal(size=(n, 2))
    return np.c_[x[:, 0], x[:, 0] + apart * x[:, 1]]


@pytest.mark.parametrize("apart", [1e-3, 1e-5, 1e-6])
def test_nearly_collinear_covariates_are_least_squares(apart: float) -> None:
    """Against numpy's least squares, which takes no squares of the design, in its own standard errors."""
    with ev.Spec(coords={"term": 2}) as spec:
        x = ev.Data("x", dims=("row", "term"))
        mean = ev.Normal("intercept", 0, 10) + ev.dot(x, ev.Normal("slope", 0, 10, dims="term"))
        ev.Normal("y", mean, ev.HalfNormal("sd", 1), dims="row")
    design = nearly_collinear(apart)
    y = 1.0 + design @ [2.0, -1.0] + 0.5 * rng(12).normal(size=len(design))
    X = np.c_[np.ones(len(y)), design]
    beta, rss = np.linalg.lstsq(X, y, rcond=None)[:2]
    sd = np.sqrt(rss[0] / len(y))
    se = sd * np.linalg.norm(np.linalg.inv(np.linalg.qr(X)[1]), axis=1)
    fit = ev.fit_em(ev.condition(spec, {"x": design, "y": y}), starts=2, random_seed=0)
    assert fit.converged
    found = np.r_[float(fit.estimate["intercept"]), fit.estimate["slope"].values]
    assert (np.abs(found - beta) < 1e-6 * se).all()
    assert float(fit.estimate["sd"]) == pytest.approx(sd, rel=1e-9)
    if apart == 1e-3:
        np.testing.assert_allclose(fit.standard_error["slope"].values, se[1:], rtol=1e-4)


def test_nearly_collinear_covariates_in_a_mixture() -> None:
    """The same model in well-conditioned coordinates, x2' = (x2 - x1) / apart, has the same likelihood and the same lines."""
    apart = 1e-5
    design, r = nearly_collinear(apart, 200), rng(13)
    z = r.integers(0, 2, 200)
    regular = np.c_[design[:, 0], (design[:, 1] - design[:, 0]) / apart]
    slope = np.array([[1.0, 0.5], [-1.0, 1.0]])
    y = np.array([0.0, 6.0])[z] + (regular * slope[z]).sum(axis=1) + 0.5 * r.normal(size=200)
    init = {"weight": [0.5, 0.5], "intercept": [0.0, 6.0], "slope": slope, "sd": [0.5, 0.5]}
    one = ev.fit_em(ev.condition(regressions_spec(2), {"x": regular, "y": y}), init=init, standard_errors=None)
    moved = init | {"slope": np.c_[slope[:, 0] - slope[:, 1] / apart, slope[:, 1] / apart]}
    other = ev.fit_em(ev.condition(regressions_spec(2), {"x": design, "y": y}), init=moved, standard_errors=None)
    assert one.converged
    assert other.converged
    assert other.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-7)
    np.testing.assert_allclose(other.estimate["slope"].values[:, 1] * apart, one.estimate["slope"].values[:, 1], atol=1e-6)


@pytest.mark.parametrize("hard", [False, True])
def test_roots_are_roots_of_the_second_moments(hard: bool) -> None:
    """In loop and collapsed patterns, with hidden cells: root'root = M."""
    design = nearly_collinear(1e-5, 60)
    with ev.Spec(coords={"class": CLASSES, "term": 2, "column": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        slope = ev.Normal("slope", 0, 10, dims=("class", "column", "term"))
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("column", "column_bis"))
        x = ev.Data("x", dims=("row", "term"))
        z = ev.Categorical("z", weight, dims="row")
        ev.MvNormal("y", ev.dot(x, slope[z]), cov, dims=("row", "column"))
    y = rng(14).normal(size=(60, 2))
    y[::7, 0] = np.nan
    plan = make_plan(ev.condition(spec, {"x": design, "y": y, "z": np.where(np.arange(60) < 20, 0, -1)}))
    matrix = np.array([[1, 0.3], [0.3, 2]])
    env = plan.environment({"weight": np.array([0.4, 0.6]), "slope": rng(15).normal(size=(2, 2, 2)), "cov": matrix})
    _, S = expect(plan, coefficients(plan, env), hard)
    assert S.root is not None
    np.testing.assert_allclose(S.root.swapaxes(1, 2) @ S.root, S.M, rtol=1e-12, atol=1e-12)
    far_apart = make_plan(ev.condition(spec, {"x": rng(16).normal(size=(60, 2)), "y": y}))
    assert expect(far_apart, coefficients(far_apart, env))[1].root is None

"""Starts follow the declared structure of factors, and a factor's standard deviation of zero is a boundary with a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factors import mixture_of_factors_spec

import emvsmcmc as ev
from emvsmcmc.em import factor_starts as structure
from emvsmcmc.em import starts
from emvsmcmc.em.mstep import MStep
from emvsmcmc.errors import Status
from emvsmcmc.expect.heywood import zero_uniquenesses
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.planner import make_plan

DATA = Path(__file__).parents[1] / "models" / "data" / "PoliticalDemocracy.csv"
DEMOCRACY = -1564.95914  # the maximum, from a start near it


def indicators(factor: ev.spec.variable.Variable, names: list[str], fixed: bool = True) -> None:
    for j, name in enumerate(names):
        mean, sd = ev.Normal(f"mean_{name}", 0, 10), ev.HalfNormal(f"sd_{name}", 5)
        slope = factor if fixed and j == 0 else ev.Normal(f"loading_{name}", 0, 5) * factor
        ev.Normal(name, mean + slope, sd, dims="row")


def democracy() -> ev.Problem:
    with ev.Spec() as spec:
        g, b1, b2 = (ev.Normal(name, 0, 5) for name in ("g", "b1", "b2"))
        s1, s2, s3 = (ev.HalfNormal(name, 5) for name in ("s1", "s2", "s3"))
        ind60 = ev.Normal("ind60", 0, s1, dims="row")
        dem60 = ev.Normal("dem60", g * ind60, s2, dims="row")
        dem65 = ev.Normal("dem65", b1 * ind60 + b2 * dem60, s3, dims="row")
        indicators(ind60, ["x1", "x2", "x3"])
        indicators(dem60, ["y1", "y2", "y3", "y4"])
        indicators(dem65, ["y5", "y6", "y7", "y8"])
    return ev.condition(spec, pd.read_csv(DATA))


def fit(problem: ev.Problem, **options: object) -> ev.EMFit:
    return ev.fit_em(problem, **{"starts": 3, "random_seed": 1, "progress": False, "standard_errors": None, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_structural_equation_model_finds_its_maximum(seed: int) -> None:
    found = fit(democracy(), starts=3, random_seed=seed)
    assert found.status is Status.CONVERGED
    assert found.log_likelihood == pytest.approx(DEMOCRACY, abs=1e-3)
    assert all(s.objective == pytest.approx(DEMOCRACY, abs=1e-3) for s in found.starts)


def test_its_estimates_and_standard_errors_are_lavaans() -> None:
    """lavaan 0.6: sem(..., information = "observed", observed.information = "hessian") on the same data."""
    found = fit(democracy(), starts=1, random_seed=2, standard_errors="observed")
    theirs = {
        "g": (1.474, 0.391), "b1": (0.453, 0.227), "b2": (0.864, 0.111), "loading_x2": (2.182, 0.139),
        "loading_y2": (1.354, 0.178), "loading_y8": (1.310, 0.158), "mean_x1": (5.054, 0.084), "mean_y8": (4.043, 0.372),
    }  # fmt: skip
    for name, figures in theirs.items():
        ours = float(found.estimate[name]), float(found.standard_error[name])
        assert ours == pytest.approx(figures, abs=6e-4), name


def test_loose_coefficients_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: coefficients of any size turn factors against the column with the fixed one."""
    monkeypatch.setattr(structure, "ANCHORED", 3.0)
    plan = make_plan(democracy())
    wrong = 0
    for seed in range(10):
        env = starts.random_start(plan, MStep(plan, ML), np.random.default_rng(seed))
        wrong += any(float(env.values[f"loading_{name}"].array) < 0 for name in ("x2", "x3", "y2", "y3", "y4", "y6", "y7", "y8"))
    assert wrong >= 3


def test_no_start_turns_a_factor_against_its_fixed_loading() -> None:
    plan = make_plan(democracy())
    for seed in range(10):
        env = starts.random_start(plan, MStep(plan, ML), np.random.default_rng(seed))
        assert all(float(env.values[f"loading_{n}"].array) > 0 for n in ("x2", "x3", "y2", "y3", "y4", "y6", "y7", "y8"))


def chain() -> tuple[ev.Problem, dict[str, float]]:
    """A causes B causes C, three indicators each; B's scale is that of a column in units of 1e3."""
    with ev.Spec() as spec:
        b, c = ev.Normal("b", 0, 5), ev.Normal("c", 0, 5)
        one, two, three = (ev.HalfNormal(name, 5) for name in ("s1", "s2", "s3"))
        first = ev.Normal("A", 0, one, dims="row")
        second = ev.Normal("B", b * first, two, dims="row")
        third = ev.Normal("C", c * second, three, dims="row")
        for factor, letter in ((first, "u"), (second, "v"), (third, "w")):
            indicators(factor, [f"{letter}{j}" for j in range(3)])
    r = np.random.default_rng(5)
    f = r.normal(size=300)
    g = 1e3 * (-0.7 * f + 0.6 * r.normal(size=300))
    h = 1e-3 * 0.8 * g + 0.5 * r.normal(size=300)
    truth: dict[str, float] = {"b": -700.0, "c": 8e-4, "s1": 1.0, "s2": 600.0, "s3": 0.5}
    data = {}
    for factor, letter, unit in ((f, "u", 1.0), (g, "v", 1e3), (h, "w", 1.0)):
        for j, loading in enumerate((1.0, 0.8, -1.2)):
            data[f"{letter}{j}"] = 2.0 + loading * factor + 0.6 * unit * r.normal(size=300)
            truth |= {f"mean_{letter}{j}": 2.0, f"sd_{letter}{j}": 0.6 * unit}
            if j:
                truth[f"loading_{letter}{j}"] = loading
    return ev.condition(spec, data), truth


def correlated() -> tuple[ev.Problem, dict[str, object]]:
    """Two factors of free covariance, first loadings fixed."""
    with ev.Spec(coords={"f": 2}) as spec:
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("f", "f_bis"))
        F = ev.MvNormal("F", ev.constant(np.zeros(2), dims="f"), cov, dims=("row", "f"))
        for i, letter in enumerate("uv"):
            pick = ev.dot(ev.constant(np.eye(2)[i], dims="f"), F)
            indicators(pick, [f"{letter}{j}" for j in range(3)])  # type: ignore[arg-type]
    r = np.random.default_rng(6)
    C = np.array([[1.0, 0.7], [0.7, 1.5]])
    factors = r.multivariate_normal(np.zeros(2), C, 300)
    truth: dict[str, object] = {"cov": C}
    data = {}
    for i, letter in enumerate("uv"):
        for j, loading in enumerate((1.0, 0.9, -0.8)):
            data[f"{letter}{j}"] = 1.0 + loading * factors[:, i] + 0.7 * r.normal(size=300)
            truth |= {f"mean_{letter}{j}": 1.0, f"sd_{letter}{j}": 0.7}
            if j:
                truth[f"loading_{letter}{j}"] = loading
    return ev.condition(spec, data), truth


def mixture() -> tuple[ev.Problem, dict[str, object]]:
    """Two components with a factor whose loadings differ."""
    r = np.random.default_rng(7)
    z = r.integers(0, 2, 300)
    truth: dict[str, object] = {
        "weight": np.full(2, 0.5),
        "mean": np.array([[0.0] * 4, [3.0] * 4]),
        "loading": np.array([[1.0, 0.8, -0.7, 0.5], [0.4, -1.0, 0.6, 0.9]]),
        "sd": np.full(4, 0.5),
    }
    x = truth["mean"][z] + truth["loading"][z] * r.normal(size=(300, 1)) + 0.5 * r.normal(size=(300, 4))  # type: ignore[index]
    return ev.condition(mixture_of_factors_spec(), {"x": x}), truth


@pytest.mark.parametrize("build", [chain, correlated, mixture])
def test_the_best_start_is_no_worse_than_the_truth(build: Callable[[], tuple[ev.Problem, dict[str, object]]]) -> None:
    problem, truth = build()
    near = fit(problem, init=truth)
    found = fit(problem, starts=4)
    assert found.status is Status.CONVERGED
    assert found.log_likelihood >= near.log_likelihood - 1e-6


SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


@pytest.mark.parametrize("rows", [1, 5])
def test_eight_schools_in_one_row_or_in_many_end_at_their_boundary(rows: int) -> None:
    with ev.Spec(coords={"school": 8}) as spec:
        mu, tau = ev.Normal("mu", 0, 20), ev.HalfNormal("tau", 10)
        theta = ev.Normal("theta", mu, tau, dims=("row", "school"))
        ev.Normal("y", theta, ev.constant(ERRORS, dims="school"), dims=("row", "school"))
    found = fit(ev.condition(spec, {"y": np.tile(SCHOOLS, (rows, 1))}), starts=2, standard_errors="observed")
    precision = 1 / ERRORS**2
    assert found.status is Status.HEYWOOD
    assert found.estimate["mu"] == pytest.approx(precision @ SCHOOLS / precision.sum(), abs=1e-5)
    assert found.log_likelihood == pytest.approx(-29.67424 * rows, abs=1e-4)
    assert np.isnan(found.standard_error["tau"])
    assert "boundary" in found.reasons["tau"]


def test_a_random_intercept_that_does_not_vary() -> None:
    r = np.random.default_rng(1)
    y = r.normal(size=(30, 5))
    y = 1500 + 10 * (y - 0.98 * y.mean(axis=1, keepdims=True))
    with ev.Spec(coords={"item": 5}) as spec:
        mu, tau, sd = ev.Normal("mu", 1500, 100), ev.HalfNormal("tau", 100), ev.HalfNormal("sd", 100)
        ev.Normal("y", mu + ev.Normal("b", 0, tau, dims="row"), sd, dims=("row", "item"))
    found = fit(ev.condition(spec, {"y": y}), standard_errors="observed")
    assert found.status is Status.HEYWOOD
    assert found.estimate["sd"] == pytest.approx(y.std(), rel=1e-5)
    assert np.isnan(found.standard_error["tau"])


def test_a_disturbance_of_zero_is_at_the_boundary_where_a_loading_is_fixed() -> None:
    plan = make_plan(democracy())
    env = starts.random_start(plan, MStep(plan, ML), np.random.default_rng(0))
    for size, zero in [(1e-6, True), (0.1, False)]:
        values = {v.label: env.values[v.label].array for v in plan.parameters} | {"s3": np.array(size)}
        assert ("s3" in zero_uniquenesses(plan, plan.environment(values))) is zero

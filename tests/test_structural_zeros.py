"""Structural zeros: a concentration of 0 fixes its entry at 0, in both engines, in counts, errors and densities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats
from scipy.optimize import minimize
from test_laws_mcmc import functions, point, somewhere

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.em.mstep import MStep
from emvsmcmc.errors import BadInput, InvalidSpec
from emvsmcmc.expect.coefficients import coefficients, log_prior
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.objective import MAP, ML
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.families import BY_NAME
from emvsmcmc.families.support import Simplex
from emvsmcmc.invariance.labels import exchangeable
from emvsmcmc.mcmc.model import build_model

OPEN = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1.0]])
RATERS = ("first", "second", "third")


def confusion(scale=1.0):
    with ev.Spec(coords={"k": 3, "level": 4}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("w", 2.0, dims="k"), dims="row")
        for name in RATERS:
            table = ev.Dirichlet(f"theta_{name}", scale * OPEN, dims=("k", "level"))
            ev.Categorical(name, table[z], dims="row")
    return spec


@pytest.fixture(scope="module")
def problem():
    table = OPEN / OPEN.sum(-1, keepdims=True)
    truth = {"w": [0.3, 0.3, 0.4], **{f"theta_{name}": table for name in RATERS}}
    drawn = ev.simulate(confusion(), {"row": 250}, truth, random_seed=1)
    return ev.condition(confusion(), {name: drawn[name].values for name in RATERS})


def brute_force(problem):
    """-log-likelihood of softmax coordinates of the open entries alone, written apart from the library."""
    y = np.stack([problem.given[name].array.astype(int) for name in RATERS])
    shapes = [np.ones((1, 3)), OPEN, OPEN, OPEN]

    def tables(u):
        out, at = [], 0
        for mask in shapes:
            logs = np.full(mask.shape, -np.inf)
            for row in range(len(mask)):
                where = np.flatnonzero(mask[row])
                logs[row, where] = [0.0, *u[at : at + len(where) - 1]]
                at += len(where) - 1
            p = np.exp(logs)
            out.append(p / p.sum(-1, keepdims=True))
        return out

    def objective(u):
        w, *theta = tables(u)
        return -np.log((w * np.prod([t[:, v].T for t, v in zip(theta, y, strict=True)], axis=0)).sum(1)).sum()

    return objective


def test_em_is_brute_force_maximum_likelihood(problem):
    fit = ev.fit_em(problem, starts=4, random_seed=0, progress=False)
    objective = brute_force(problem)
    best = min(minimize(objective, np.random.default_rng(i).normal(size=14), method="BFGS").fun for i in range(4))
    assert fit.log_likelihood == pytest.approx(-best, abs=1e-5)
    assert fit.n_parameters == 2 + 3 * 4
    for name in RATERS:
        table, error = fit.estimate[f"theta_{name}"].values, fit.standard_error[f"theta_{name}"].values
        assert (table[OPEN == 0] == 0).all()
        np.testing.assert_array_equal(np.isnan(error), OPEN == 0)
        assert "fixed at 0 by its prior" in fit.reasons[f"theta_{name}"]


def test_routes_and_gradients_agree(problem):
    plan = make_plan(problem)
    env = somewhere(plan)
    value, prior = expect(plan, coefficients(plan, env))[0], float(log_prior(plan, env))
    values = {v.label: env.values[v.label] for v in plan.parameters}
    assert density.log_likelihood(problem, values).sum() == pytest.approx(value, rel=1e-12)
    assert density.log_prior(problem, values) == pytest.approx(prior, rel=1e-12)
    gradients = []
    for likelihood in ("native", "fused"):
        model = build_model(plan, likelihood, "all")
        found, posterior, *gradient = functions(model)(point(model, plan, env))
        assert float(found) == pytest.approx(value, rel=1e-9)
        assert float(posterior) == pytest.approx(value + prior, rel=1e-9)
        gradients.append(np.concatenate([np.ravel(g) for g in gradient]))
    np.testing.assert_allclose(*gradients, rtol=1e-9, atol=1e-9)


def test_the_density_is_that_of_the_open_entries():
    family, a = BY_NAME["Dirichlet"], np.array([0.7, 0.0, 2.0, 0.0, 1.5])
    x = np.zeros(5)
    x[a > 0] = [0.2, 0.5, 0.3]
    right = stats.dirichlet(a[a > 0]).logpdf([0.2, 0.5, 0.3])
    assert family.logpdf(x, a=a) == pytest.approx(right, rel=1e-12)
    assert family.log_prior(np, x, a=a) == pytest.approx(right, rel=1e-12)
    assert family.log_prior(np, np.full(5, 0.2), a=a) == -np.inf
    draws = family.sample(np.random.default_rng(0), (2000, 5), a=a)
    assert (draws[:, a == 0] == 0).all()
    np.testing.assert_allclose(draws.mean(0), a / a.sum(), atol=0.03)


def test_coordinates_go_and_come_back(problem):
    support = Simplex(OPEN[[0, 1, 2]] > 0)
    x = OPEN * np.arange(1, 5)
    x = x / x.sum(-1, keepdims=True)
    for chart in (support, support.at(x)):
        u = chart.to_real(x)
        assert len(u) == 4
        np.testing.assert_allclose(chart.from_real(u, x.shape), x, rtol=1e-14)
    plan = make_plan(problem)
    chart = Coordinates(plan, somewhere(plan))
    assert chart.size == 14
    assert exchangeable(plan)["k"] is not None
    assert exchangeable(plan, ML)["k"] is not None


def test_simulation_never_gives_what_cannot_be():
    drawn = ev.simulate(confusion(), {"row": 3000}, random_seed=2)
    for name in RATERS:
        assert (OPEN[drawn["z"].values, drawn[name].values] == 1).all()


@pytest.mark.parametrize("a", [[0.0, 0.0], [1.0, -1.0], [1.0, np.inf], 0.0])
def test_bad_concentrations_are_named(a):
    with ev.Spec(coords={"k": 2}), pytest.raises(InvalidSpec, match=r"p\.a"):
        ev.Dirichlet("p", a, dims="k")


def test_starting_values_keep_to_the_zeros(problem):
    fit = ev.fit_em(problem, starts=1, random_seed=0, progress=False, standard_errors=None)
    start = {k: v.values.copy() for k, v in fit.estimate.data_vars.items()}
    again = ev.fit_em(problem, init=start, progress=False, standard_errors=None)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-6)
    start["theta_first"][0] = 0.25
    with pytest.raises(BadInput, match="concentration is 0"):
        ev.fit_em(problem, init=start, progress=False)


def test_a_single_open_entry_is_a_unit_vector():
    with ev.Spec(coords={"k": 2, "level": 2}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("w", 1.0, dims="k"), dims="row")
        ev.Categorical("y", ev.Dirichlet("theta", [[1, 0], [1, 1]], dims=("k", "level"))[z], dims="row")
    z = np.repeat([0, 1, 1], [30, 20, 50])
    fit = ev.fit_em(ev.condition(spec, {"z": z, "y": np.repeat([0, 0, 1], [30, 20, 50])}), starts=1, progress=False)
    np.testing.assert_allclose(fit.estimate["theta"], [[1, 0], [2 / 7, 5 / 7]], rtol=1e-12)
    assert fit.n_parameters == 2
    assert np.isnan(fit.standard_error["theta"].values[0]).all()


@pytest.mark.parametrize("objective", [ML, MAP])
def test_the_m_step_counts_nothing_where_nothing_can_be(problem, objective):
    """Statistics of a random completion have mass everywhere."""
    plan = make_plan(problem)
    env = somewhere(plan)
    _, S = expect(plan, coefficients(plan, env))
    S = replace(S, N=S.N + 1, S=S.S + 1.0)
    found = MStep(plan, objective)(env, S)
    for name in RATERS:
        table = found.values[f"theta_{name}"].array
        assert (table[OPEN == 0] == 0).all()
        np.testing.assert_allclose(table.sum(-1), 1, rtol=1e-14)


def test_nuts_of_labelled_rows_is_the_conjugate_posterior():
    a = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    with ev.Spec(coords={"k": 2, "level": 3}) as spec:
        g = ev.Data("g", dims="row")
        ev.Categorical("y", ev.Dirichlet("theta", a, dims=("k", "level"))[g], dims="row")
    g, y = np.repeat([0, 0, 1, 1], [6, 4, 3, 9]), np.repeat([0, 1, 1, 2], [6, 4, 3, 9])
    problem = ev.condition(spec, {"g": g, "y": y})
    draws = ev.fit_mcmc(problem, draws=500, tune=300, chains=2, random_seed=0, progress=False)["posterior"]["theta"].values
    counts = a + np.array([[6, 4, 0], [0, 3, 9]])
    assert (draws[..., a == 0] == 0).all()
    right = counts / counts.sum(-1, keepdims=True)
    for at in np.argwhere(a > 0):
        x = draws[:, :, *at]
        assert abs(x.mean() - right[tuple(at)]) < 5 * float(array_stats.mcse(x, chain_axis=0, draw_axis=1, method="mean"))


def test_standard_errors_are_those_of_the_open_entries() -> None:
    """Against second differences of the oracle's likelihood in all but the last open entry of each row, and the rest."""
    with ev.Spec(coords={"k": 3, "level": 4, "item": 3}) as spec:
        w = ev.Dirichlet("w", 2.0, dims="k")
        theta = ev.Dirichlet("theta", np.stack([OPEN] * 3, axis=1), dims=("k", "item", "level"))
        z = ev.Categorical("z", w, dims="row")
        ev.Categorical("y", theta[z], dims=("row", "item"))
        ev.Normal("x", ev.Normal("mu", 0, 5, dims="k")[z], 0.7, dims="row")
    tables = np.stack([OPEN / OPEN.sum(-1, keepdims=True)] * 3, axis=1)
    drawn = ev.simulate(spec, {"row": 200}, {"w": [0.3, 0.3, 0.4], "theta": tables, "mu": [-2.0, 0.0, 2.5]}, random_seed=1)
    given = ev.condition(spec, {"x": drawn["x"].values, "y": drawn["y"].values})
    fit = ev.fit_em(given, starts=3, random_seed=1, progress=False)
    free = [(k, i, int(j)) for k in range(3) for i in range(3) for j in np.flatnonzero(OPEN[k])[:-1]]

    def packed(values):
        return np.array([*values["w"][:2], *values["mu"], *[values["theta"][at] for at in free]])

    def likelihood(u):
        theta = np.zeros((3, 3, 4))
        for at, value in zip(free, u[5:], strict=True):
            theta[at] = value
        for k in range(3):
            theta[k, :, np.flatnonzero(OPEN[k])[-1]] = 1 - theta[k].sum(-1)
        return density.log_likelihood(given, {"w": [*u[:2], 1 - u[:2].sum()], "mu": u[2:5], "theta": theta}).sum()

    u, h = packed({k: v.values for k, v in fit.estimate.data_vars.items()}), 1e-4
    assert len(u) == fit.n_parameters
    steps = h * np.eye(len(u))
    H = np.array(
        [
            [likelihood(u + a + b) - likelihood(u + a - b) - likelihood(u - a + b) + likelihood(u - a - b) for b in steps]
            for a in steps
        ]
    )
    error = np.sqrt(np.diag(np.linalg.inv(-H / (4 * h * h))))
    np.testing.assert_allclose(packed({k: v.values for k, v in fit.standard_error.data_vars.items()}), error, rtol=1e-5)
    assert np.isnan(fit.standard_error["theta"].values[np.stack([OPEN] * 3, axis=1) == 0]).all()


def test_sampled_assignments_begin_where_they_can_be(problem) -> None:
    """The classroom version: no row begins in a class in which what it holds is impossible, where NUTS would not start."""
    tree = ev.fit_mcmc(problem, marginalize="none", draws=30, tune=30, chains=1, random_seed=1, progress=False)
    for name in RATERS:
        draws = tree["posterior"][f"theta_{name}"].values
        assert (draws[..., OPEN == 0] == 0).all()
        assert (draws[..., OPEN > 0] > 0).all()

"""Rotations and reflections of latents: found, counted, left out of standard errors, undone in draws; and what they leave
alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from examples import EXAMPLES
from factors import FACTORS, LOADING, scores

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.comparison.align import align
from emvsmcmc.comparison.invariant import invariant, turned_parameters
from emvsmcmc.comparison.metrics import k_hat, log_importance_weights
from emvsmcmc.em.mstep import MStep
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.objective import MAP, ML, OBJECTIVES, Objective
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.invariance.axes import Turn, generators, rotations, turn, varimax
from emvsmcmc.invariance.implied import implied
from emvsmcmc.numerics import logsumexp
from emvsmcmc.spec.evaluate import Environment

EACH = pytest.mark.parametrize("name", FACTORS)
_fits: dict[tuple[str, str], ev.EMFit] = {}


def fitted(name: str, objective: str = "ml") -> ev.EMFit:
    if (name, objective) not in _fits:
        _fits[name, objective] = ev.fit_em(EXAMPLES[name].build(), objective, starts=2, random_seed=3)
    return _fits[name, objective]


def somewhere(plan: Plan, seed: int = 0) -> Environment:
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    return chart.unpack(chart.pack(chart.env) + 0.5 * np.random.default_rng(seed).normal(size=chart.size))


def values_of(plan: Plan, env: Environment) -> dict[str, np.ndarray]:
    return {v.label: env.values[v.label].array for v in plan.parameters}


def random_turn(plan: Plan, env: Environment, seed: int, objective: Objective = ML) -> Environment:
    """Every latent turned at random, as far as the likelihood (or the posterior) does not mind."""
    rng = np.random.default_rng(seed)
    for r in rotations(plan):
        count = 1 if r.by is None else plan.problem.sizes[r.by]
        full = r.turn(objective) is Turn.ROTATION
        R = np.linalg.qr(rng.normal(size=(count, r.size, r.size)))[0]
        env = turn(plan, env, r, R if full else np.eye(r.size) * rng.choice([-1.0, 1.0], (count, 1, r.size)))
    return env


def test_what_may_be_turned() -> None:
    found = {}
    for name in FACTORS:
        turns = rotations(make_plan(EXAMPLES[name].build()))
        found[name] = [(r.latent, r.size, r.carriers, r.by, r.density, r.posterior) for r in turns]
    assert found == {
        "factor_analysis": [("ability", 2, ("loading",), None, Turn.ROTATION, Turn.ROTATION)],
        "factors_with_holes": [("score", 2, ("loading",), None, Turn.ROTATION, Turn.ROTATION)],
        "mixture_of_factors": [("factor", 1, ("loading",), "component", Turn.SIGNS, Turn.SIGNS)],
        "ordered_factors": [("ability", 2, ("loading",), None, Turn.ROTATION, Turn.SIGNS)],
        "factor_regression": [("factor", 1, ("effect", "loading"), None, Turn.SIGNS, Turn.SIGNS)],
    }
    for name, example in EXAMPLES.items():
        if name not in FACTORS and name != "one_factor":
            assert rotations(make_plan(example.build())) == (), name


def test_what_tells_axes_apart() -> None:
    """Given scores, a mean that is not zero, loadings that are positive, or fixed ones end a symmetry."""

    def spec(positive: bool = False, centre: float = 0.0) -> ev.Spec:
        with ev.Spec(coords={"item": 6, "factor": 2}) as spec:
            dims = ("item", "factor")
            loading = ev.HalfNormal("loading", 1, dims=dims) if positive else ev.Normal("loading", 0, 1, dims=dims)
            sd = ev.HalfNormal("sd", 2, dims="item")
            factor = ev.Normal("ability", centre, 1, dims=("row", "factor"))
            ev.Normal("x", ev.dot(loading, factor), sd, dims=("row", "item"))
        return spec

    x = scores(1, 30)
    assert rotations(make_plan(ev.condition(spec(), {"x": x})))
    assert not rotations(make_plan(ev.condition(spec(positive=True), {"x": x})))
    assert not rotations(make_plan(ev.condition(spec(centre=1.0), {"x": x})))
    assert not rotations(make_plan(ev.condition(spec(), {"x": x, "ability": np.zeros((30, 2))})))
    partly = np.full((30, 2), np.nan)
    partly[0] = 1.0
    assert not rotations(make_plan(ev.condition(spec(), {"x": x, "ability": partly})))
    assert not rotations(make_plan(ev.condition(spec(), {"x": x, "loading": LOADING})))


@EACH
def test_turning_changes_no_density(name: str) -> None:
    """By the textbook's formulas; turning the wrong way round does change it (negative control)."""
    problem = EXAMPLES[name].build()
    plan = make_plan(problem)
    env = somewhere(plan)
    before = density.log_likelihood(problem, {v.label: env.values[v.label] for v in plan.parameters})
    other = random_turn(plan, env, 1)
    after = density.log_likelihood(problem, {v.label: other.values[v.label] for v in plan.parameters})
    np.testing.assert_allclose(after, before, rtol=1e-10)
    one, two = implied(plan, env), implied(plan, other)
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(two.covariance, one.covariance, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(two.communality, one.communality, rtol=1e-9, atol=1e-9)
    r = rotations(plan)[0]
    count = 1 if r.by is None else plan.problem.sizes[r.by]
    stretched = turn(plan, env, r, np.tile(1.5 * np.eye(r.size), (count, 1, 1)))
    assert not np.allclose(density.log_likelihood(problem, {v.label: stretched.values[v.label] for v in plan.parameters}), before)


@EACH
def test_generators_are_the_flat_directions(name: str) -> None:
    """As many as told, and all that the observed information does not see."""
    for objective, count in zip(("ml", "map"), FACTORS[name][1:], strict=True):
        fit = fitted(name, objective)
        chart = fit.uncertainty.coordinates
        G = generators(fit.plan, chart, OBJECTIVES[objective])
        assert G.shape[1] == count
        assert fit.n_parameters == chart.size - count
        information = fit.information
        assert information is not None
        d = np.sqrt(np.diag(information))
        values = np.linalg.eigvalsh(information / np.outer(d, d))
        assert (np.abs(values[:count]) < 1e-6).all()
        assert (values[count:] > 1e-4).all()
        assert np.abs(information @ G).max(initial=0.0) < 1e-6 * np.abs(information).max()


@EACH
def test_standard_errors_are_those_of_what_does_not_turn(name: str) -> None:
    fit = fitted(name)
    carriers = turned_parameters(fit.plan)
    for label, error in fit.standard_error.data_vars.items():
        if label in carriers:
            assert np.isnan(error).all()
            assert "turned" in fit.reasons[str(label)]
        else:
            assert (error > 0).all()
            assert label not in fit.reasons
            assert ((fit.missing_information[label] > -1e-6) & (fit.missing_information[label] < 1)).all()


def test_standard_errors_do_not_depend_on_the_orientation() -> None:
    """Those of what the model implies, at EM's estimate and at another turn of it; and the variances of columns, which a factor
    model with free uniquenesses fits exactly, have the standard error sigma^2 sqrt(2 / n) of a normal sample, nearly.
    """
    fit = fitted("factor_analysis")
    again = ev.fit_em(fit.problem, init=values_of(fit.plan, random_turn(fit.plan, fit.environment, 5)))
    draws = xr.Dataset({k: v.expand_dims({"chain": 2, "draw": 5}) for k, v in fit.estimate.data_vars.items()})
    draws = draws + xr.DataArray(1e-3 * np.random.default_rng(0).normal(size=(2, 5)), dims=("chain", "draw"))
    tables = [invariant(f, f, draws, draws) for f in (fit, again)]
    for column in ("em", "se", "fmi"):
        np.testing.assert_allclose(tables[0][column], tables[1][column], rtol=1e-5, atol=1e-7)
    variance = np.var(fit.problem.given["x"].array, axis=0)
    rows = [f"implied_cov[{i}, {i}]" for i in "abcdef"]
    np.testing.assert_allclose(tables[0].loc[rows, "em"], variance, rtol=1e-6)
    np.testing.assert_allclose(tables[0].loc[rows, "se"], variance * np.sqrt(2 / 80), rtol=0.05)
    assert not np.allclose(fit.estimate["loading"], again.estimate["loading"], atol=0.05)


@pytest.mark.parametrize(("items", "factors", "covariance"), [(6, 1, 12), (6, 2, 17), (6, 3, 21), (5, 1, 10), (5, 2, 14)])
def test_parameters_of_factor_analysis_are_counted(items: int, factors: int, covariance: int) -> None:
    """p means, and p k + p - k (k - 1) / 2 of the covariance."""
    with ev.Spec(coords={"item": items, "factor": factors}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims=("item", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        factor = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(loading, factor), sd, dims=("row", "item"))
    plan = make_plan(ev.condition(spec, {"x": scores(2, 50, items)}))
    chart = Coordinates(plan, somewhere(plan))
    assert chart.size - generators(plan, chart, ML).shape[1] == items + covariance


def test_what_is_reported_does_not_depend_on_the_start() -> None:
    for name in FACTORS:
        one = fitted(name)
        other = ev.fit_em(one.problem, starts=3, random_seed=11, standard_errors=None)  # a mixture has other optima
        assert other.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-7)
        for k, v in one.estimate.data_vars.items():
            np.testing.assert_allclose(other.estimate[k], v, atol=2e-4, err_msg=f"{name} {k}")


def test_varimax_is_a_maximum() -> None:
    """No small turn raises the criterion, on rows of unit length; and a simple structure is found again."""
    rng = np.random.default_rng(0)
    simple = np.kron(np.eye(3), np.ones((3, 1))) * rng.uniform(0.5, 1.0, (9, 1))
    R = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = simple @ R @ varimax(simple @ R)
    assert np.allclose(np.sort(np.abs(turned), axis=1)[:, :2], 0, atol=1e-6)
    L = rng.normal(size=(8, 3))
    X = L / np.linalg.norm(L, axis=1, keepdims=True)
    best = varimax(L)

    def criterion(T: np.ndarray) -> float:
        return float((((X @ T) ** 2).var(axis=0)).sum())

    for i, j in ((0, 1), (0, 2), (1, 2)):
        for angle in (1e-3, -1e-3):
            T = np.eye(3)
            T[i, i] = T[j, j] = np.cos(angle)
            T[i, j], T[j, i] = np.sin(angle), -np.sin(angle)
            assert criterion(best @ T) < criterion(best)


@EACH
def test_alignment_undoes_turns_reflections_and_permutations(name: str) -> None:
    """Draws near the estimate, each turned at random (as far as the posterior does not mind): alignment brings them back."""
    fit = fitted(name, "map")
    plan, rng = fit.plan, np.random.default_rng(4)
    chart = Coordinates(plan, fit.environment)
    u = chart.pack(fit.environment)
    there = [chart.unpack(u + 1e-3 * rng.normal(size=chart.size)) for _ in range(12)]
    moved = [random_turn(plan, env, s, MAP) for s, env in enumerate(there)]

    def draws(envs: list[Environment]) -> dict[str, np.ndarray]:
        return {v.label: np.stack([e.values[v.label].array for e in envs]) for v in plan.parameters}

    straight, found = align(plan, draws(there), fit.environment), align(plan, draws(moved), fit.environment)
    for label, x in found.draws.items():
        np.testing.assert_allclose(x, straight.draws[label], atol=1e-9, err_msg=label)
        np.testing.assert_allclose(x, draws(there)[label], atol=1e-2, err_msg=label)
    assert any(np.abs(draws(moved)[n] - draws(there)[n]).max() > 0.1 for r in rotations(plan) for n in r.carriers)
    assert all(0 < share <= 1 for share in found.turned.values())
    assert all(share == 0 for share in found.undetermined.values())


def test_axes_that_draws_do_not_determine_are_said_to_be_so() -> None:
    fit = fitted("factor_analysis", "map")
    rng = np.random.default_rng(0)
    draws = {v.label: np.tile(fit.environment.values[v.label].array, (50, *[1] * len(v.dims))) for v in fit.plan.parameters}
    draws["loading"] = draws["loading"] + 3 * rng.normal(size=draws["loading"].shape)
    assert align(fit.plan, draws, fit.environment).undetermined["ability"] > 0.5


# conditional maximisations whose blocks meet in the complete-data information: a slope shared by components of unequal noise, and
# a noise that two assignments index
COUPLED = {"regression_mixture", "nested_latents"}


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n not in COUPLED])
def test_missing_information_is_the_rate_of_em(name: str) -> None:
    """Eigenvalues of EM's own map at the optimum, by differences, are those of I - complete^-1 observed, one for one; a
    rotation's is 1.

    (Dempster, Laird and Rubin 1977.) With conditional maximisations the two differ where their blocks meet in the complete-data
    information (Meng and Rubin 1993).
    """
    problem = EXAMPLES[name].build()
    fit = ev.fit_em(problem, starts=2, random_seed=3)
    plan, chart = fit.plan, fit.uncertainty.coordinates
    mstep = MStep(plan, ML)
    u = chart.pack(fit.environment)
    complete, information = fit.uncertainty.complete, fit.information
    assert complete is not None
    assert information is not None
    _, S = expect(plan, coefficients(plan, fit.environment))
    rho = S.rho

    def em(at: np.ndarray) -> np.ndarray:
        env = chart.unpack(at)
        _, S = expect(plan, coefficients(plan, env, rho))
        return chart.pack(mstep(env, S))

    h = 1e-3 / np.sqrt(np.diag(complete))
    J = np.array([(em(u + h[i] * e) - em(u - h[i] * e)) / (2 * h[i]) for i, e in enumerate(np.eye(len(u)))]).T
    rates = np.sort(np.linalg.eigvals(J).real)[::-1]
    predicted = np.sort(np.linalg.eigvals(np.eye(len(u)) - np.linalg.solve(complete, information)).real)[::-1]
    np.testing.assert_allclose(rates, predicted, atol=2e-4)
    flat = fit.uncertainty.flat.shape[1]
    if len(u) > flat:
        assert fit.predicted_rate == pytest.approx(rates[flat], abs=2e-4)


def test_the_fraction_of_missing_information_is_what_labels_would_bring() -> None:
    """Given all labels the variance of a mean is that of its rows; the fraction says how much more it is without."""
    fit = fitted("normal_mixture")
    N = fit.probability["group"].values.sum(axis=0)
    given = fit.estimate["sd"].values ** 2 / N
    np.testing.assert_allclose(fit.missing_information["mean"], 1 - given / fit.standard_error["mean"] ** 2, atol=1e-5)
    supervised = ev.fit_em(EXAMPLES["all_labels"].build())
    np.testing.assert_allclose(supervised.missing_information.to_array(), 0, atol=1e-6)


def test_k_hat_of_a_rotated_posterior() -> None:
    """Points of a slice across the rotations stand for their orbits: the same tail index wherever the slice lies, small for many
    rows.
    """
    problem = ev.condition(EXAMPLES["factor_analysis"].build().spec, {"x": scores(36, 2000)})
    fit = ev.fit_em(problem, starts=1, random_seed=0)
    again = ev.fit_em(problem, init=values_of(fit.plan, random_turn(fit.plan, fit.environment, 3)))
    values = [k_hat(f, np.random.default_rng(0)) for f in (fit, again)]
    assert max(values) < 0.7
    assert abs(values[0] - values[1]) < 0.25
    assert np.isnan(k_hat(fitted("ordered_factors"), np.random.default_rng(0)))


def test_the_slice_stands_for_the_whole_posterior() -> None:
    """Its weights give the evidence, checked against draws from the prior: 2 pi for the rotations, twice for the reflections."""
    with ev.Spec(coords={"item": 3, "factor": 2}) as spec:
        loading = ev.Normal("loading", 0, 1, dims=("item", "factor"))
        factor = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", ev.dot(loading, factor), 0.7, dims=("row", "item"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(25, 2)) @ LOADING[:3].T + 0.7 * rng.normal(size=(25, 3))
    fit = ev.fit_em(ev.condition(spec, {"x": x}), "map", starts=2, random_seed=0)
    weights = log_importance_weights(fit, rng, 20_000)
    assert weights is not None
    ours = logsumexp(weights) - np.log(len(weights)) + np.log(2 * 2 * np.pi)
    L = rng.normal(size=(1_000_000, 3, 2))
    covariance = L @ L.swapaxes(1, 2) + 0.49 * np.eye(3)
    value = -12.5 * (np.log(np.linalg.det(covariance)) + 3 * np.log(2 * np.pi))
    value -= 0.5 * np.einsum("sij,ij->s", np.linalg.inv(covariance), x.T @ x)
    theirs = logsumexp(value) - np.log(len(value))
    share = np.exp(value - value.max())
    error = 1 / np.sqrt(share.sum() ** 2 / (share**2).sum())  # relative, by the effective number of draws from the prior
    assert error < 0.05
    assert abs(ours - theirs) < 4 * error + 0.05


def test_a_table_of_nothing() -> None:
    fit = ev.fit_em(EXAMPLES["normal_mixture"].build(), starts=1, random_seed=0)
    empty = invariant(fit, fit, xr.Dataset(), xr.Dataset())
    assert isinstance(empty, pd.DataFrame)
    assert len(empty) == 0
    assert "se_ratio" in empty

"""Student-t noise: constants, estimates, outliers, missing values, refusals. The laws over all examples run on it too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from examples import robust_rows
from scipy import stats
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.em.loop import Loop
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.options import EMOptions
from emvsmcmc.em.starts import DEGREES, random_start
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.kernel.pack import pack
from emvsmcmc.expect.layout import Collapsed
from emvsmcmc.expect.objective import MAP, ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.radial import log_less_excess
from emvsmcmc.expect.rows import expect, expect_rows
from emvsmcmc.families.radial import digamma_less_log, log_constant, scale_constant
from emvsmcmc.numerics import COMPLEX_STEP
from emvsmcmc.spec.evaluate import Environment

NU = np.array([0.01, 0.5, 1.0, 3.7, 12.0, 31.999999, 32.0, 40.0, 300.0])


def single(y: Any, nu: float | None = None, **options: Any) -> ev.Problem:
    """Independent Student-t values; nu estimated where none is given."""
    with ev.Spec() as spec:
        m = ev.Normal("m", 0, 100)
        s = ev.HalfNormal("s", 10)
        degrees = ev.Gamma("nu", 2, 0.1) if nu is None else nu
        ev.StudentT("y", degrees, m, s, dims="row")
    return ev.condition(spec, {"y": y}, **options)


def somewhere(plan: Plan, seed: int = 0) -> tuple[Coordinates, np.ndarray, Environment]:
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    u = chart.pack(chart.env) + 0.4 * np.random.default_rng(seed).normal(size=chart.size)
    return chart, u, chart.unpack(u)


# ------------------------------------------------------------------------------------------------------------- the constants


def test_constants_are_the_textbook_ones() -> None:
    np.testing.assert_allclose(log_constant(np, NU), stats.t.logpdf(0.0, NU), rtol=1e-12)
    a = NU / 2
    np.testing.assert_allclose(scale_constant(NU), a * np.log(a) - a - gammaln(a), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(digamma_less_log(a), digamma(a) - np.log(a), rtol=1e-12)


def test_constants_are_holomorphic() -> None:
    a = NU / 2
    slope = np.imag(log_constant(np, NU + 1j * COMPLEX_STEP)) / COMPLEX_STEP
    np.testing.assert_allclose(slope, 0.5 * (digamma(a + 0.5) - digamma(a) - 0.5 / a), rtol=1e-10, atol=1e-15)
    slope = np.imag(scale_constant(NU + 1j * COMPLEX_STEP)) / COMPLEX_STEP
    np.testing.assert_allclose(slope, 0.5 * (np.log(a) - digamma(a)), rtol=1e-12)


def test_a_large_nu_is_normal_to_the_last_digit() -> None:
    """Differences of log Gammas are not: at 1e9 they err by more than the objective may fall."""
    for nu in (1e4, 1e9, 1e14):
        exact = -0.5 * np.log(2 * np.pi) - 1 / (4 * nu)
        assert float(log_constant(np, np.array(nu))) == pytest.approx(exact, abs=2e-15 + 1 / nu**3)
    nu = 1e9
    naive = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    assert abs(naive - float(log_constant(np, np.array(nu)))) > 1e-8


def test_the_excess_keeps_its_digits() -> None:
    """log u - u + 1 at u = (nu + 1)/(nu + e^2), against its series where u is near 1 and against itself where it is not."""
    nu, square = 1e8, np.array([0.0, 0.5, 9.0])
    d = (1 - square) / (nu + square)
    np.testing.assert_allclose(log_less_excess(nu, square), -(d**2) / 2 + d**3 / 3, rtol=1e-6)
    for e2 in (0.1, 5.0, 1e6, 1e40):
        u = 4.0 / (3.0 + e2)
        assert float(log_less_excess(3.0, np.array(e2))) == pytest.approx(np.log(u) - u + 1, rel=1e-12)


# ------------------------------------------------------------------------------------------------------------------ estimates


def test_fits_are_those_of_scipy() -> None:
    y = 3 + 2 * np.random.default_rng(1).standard_t(4, 300)
    nu, m, s = stats.t.fit(y)
    fit = ev.fit_em(single(y), starts=3, random_seed=0)
    assert fit.log_likelihood >= stats.t.logpdf(y, nu, m, s).sum() - 1e-9
    assert [float(fit.estimate[k]) for k in ("nu", "m", "s")] == pytest.approx([nu, m, s], rel=2e-3)
    nu, m, s = stats.t.fit(y, f0=7)
    fixed = ev.fit_em(single(y, 7.0), starts=2, random_seed=0)
    assert [float(fixed.estimate[k]) for k in ("m", "s")] == pytest.approx([m, s], rel=1e-3)
    assert fixed.log_likelihood >= stats.t.logpdf(y, nu, m, s).sum() - 1e-9
    assert fixed.log_likelihood < fit.log_likelihood


def test_one_outlier_moves_little() -> None:
    """A thousand standard deviations away: a tenth of a standard error, where the Normal's mean moves by tens of them."""
    r = robust_rows()
    x, y = r["x"], r["y"]

    def line(student: bool, y: np.ndarray) -> ev.EMFit:
        with ev.Spec() as spec:
            a, b, s = ev.Normal("a", 0, 100), ev.Normal("b", 0, 100), ev.HalfNormal("s", 10)
            X = ev.Data("x", dims="row")
            if student:
                ev.StudentT("y", 4, a + b * X, s, dims="row")
            else:
                ev.Normal("y", a + b * X, s, dims="row")
        return ev.fit_em(ev.condition(spec, {"x": x, "y": y}), starts=2, random_seed=0)

    spoilt = y.copy()
    spoilt[7] += 1e3 * 0.5
    for student, most, least in ((True, 0.5, 0.0), (False, np.inf, 5.0)):
        before, after = line(student, y), line(student, spoilt)
        for k in ("a", "b"):
            moved = abs(float(after.estimate[k] - before.estimate[k])) / float(before.standard_error[k])
            assert least <= moved <= most


def test_degrees_of_freedom_without_a_maximum_are_named() -> None:
    """Rows with lighter tails than a Normal's: nu runs off, and the fit is the Normal's, with one parameter less."""
    y = np.random.default_rng(0).uniform(-1, 1, 60)
    fit = ev.fit_em(single(y), starts=1, random_seed=0)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(stats.norm.logpdf(y, y.mean(), y.std()).sum(), abs=1e-7)
    assert float(fit.estimate["nu"]) > 1e8
    assert np.isnan(fit.standard_error["nu"])
    assert "no heavier tails than a Normal" in fit.reasons["nu"]
    assert float(fit.standard_error["m"]) == pytest.approx(y.std() / np.sqrt(60), rel=1e-5)
    assert fit.n_parameters == 2
    assert ev.fit_em(single(y), "map", starts=1, random_seed=0).n_parameters == 3  # the prior keeps it


def test_standard_errors_are_those_of_the_textbook_density() -> None:
    problem = single(2 + np.random.default_rng(3).standard_t(3, 200))
    fit = ev.fit_em(problem, starts=2, random_seed=0)
    point = np.array([float(fit.estimate[k]) for k in ("m", "s", "nu")])
    y = problem.given["y"].array

    def f(p: np.ndarray) -> float:
        return float(stats.t.logpdf(y, p[2], p[0], p[1]).sum())

    unit = np.diag(1e-3 * point)
    H = np.array([[f(point + a + b) - f(point + a - b) - f(point - a + b) + f(point - a - b) for b in unit] for a in unit])
    se = np.sqrt(np.diag(np.linalg.inv(-H / (4 * np.outer(np.diag(unit), np.diag(unit))))))
    np.testing.assert_allclose([float(fit.standard_error[k]) for k in ("m", "s", "nu")], se, rtol=1e-3)


def test_a_student_prior_is_no_regression() -> None:
    """Under MAP a mean with a Student-t prior maximises what scipy maximises; under ML it is the usual mean."""
    y = np.array([3.0, 4.0, 8.0])
    with ev.Spec() as spec:
        m = ev.StudentT("m", 3, 0, 0.5)
        ev.Normal("y", m, 2.0, dims="row")
    problem = ev.condition(spec, {"y": y})
    plan = make_plan(problem)
    assert MStep(plan, MAP).numeric == [{"m"}]
    assert not MStep(plan, MAP).regressions
    assert not MStep(plan, ML).numeric
    assert float(ev.fit_em(problem, starts=1, random_seed=0).estimate["m"]) == pytest.approx(y.mean())
    found = minimize(lambda p: -stats.norm.logpdf(y, p[0], 2).sum() - stats.t.logpdf(p[0], 3, scale=0.5), [1.0], tol=1e-12)
    fit = ev.fit_em(problem, "map", starts=1, random_seed=0)
    assert float(fit.estimate["m"]) == pytest.approx(found.x[0], abs=1e-6)
    assert abs(float(fit.estimate["m"]) - y.mean()) > 1


class Unweighted(MStep):
    """Takes every scale for 1: a Normal's M-step."""

    def __call__(self, env: Environment, S: Any) -> Environment:
        return super().__call__(env, dataclasses.replace(S, U=np.broadcast_to(S.M[:, None], S.U.shape)))


class WithoutLogs(MStep):
    """Forgets that the logs of the scales lie below the log of their mean."""

    def __call__(self, env: Environment, S: Any) -> Environment:
        return super().__call__(env, dataclasses.replace(S, L=0.5 * S.L))


@pytest.mark.parametrize("wrong", [Unweighted, WithoutLogs])
def test_the_optimum_catches_wrong_weights(wrong: type[MStep]) -> None:
    """Negative control: the right M-step stays at the optimum, where the exact score is zero; a wrong one leaves it."""
    fit = ev.fit_em(single(np.random.default_rng(5).standard_t(3, 100)), starts=1, random_seed=0)
    _, S = expect(fit.plan, coefficients(fit.plan, fit.environment))

    def moved(mstep: MStep) -> float:
        env = mstep(fit.environment, S)
        return max(
            abs(float(env.values[k].array - fit.environment.values[k].array)) / float(e) for k, e in fit.standard_error.items()
        )

    assert moved(MStep(fit.plan, ML)) < 1e-5
    assert moved(wrong(fit.plan, ML)) > 0.1


def test_starts_are_spread_and_outliers_do_not_take_them() -> None:
    r = np.random.default_rng(6)
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims="component")
        sigma = ev.HalfNormal("sigma", 3, dims="component")
        nu = ev.Gamma("nu", 2, 0.1, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.StudentT("y", nu[group], mean[group], sigma[group], dims="row")
    y = np.r_[r.normal(0, 1, 60), r.normal(8, 1, 60), 5000.0, -9000.0]
    plan = make_plan(ev.condition(spec, {"y": y}))
    starts = [random_start(plan, MStep(plan, ML), np.random.default_rng(s)) for s in range(8)]
    nus = np.array([s.values["nu"].array for s in starts])
    assert (nus > 0.99 * DEGREES[0]).all()
    assert (nus < 1.01 * DEGREES[1]).all()
    assert nus.std() > 1
    assert all(np.abs(s.values["mean"].array).max() < 20 for s in starts)
    fit = ev.fit_em(plan.problem, "map", starts=2, random_seed=0, standard_errors=None)
    np.testing.assert_allclose(np.sort(fit.estimate["mean"]), [0, 8], atol=0.5)


def test_hard_assignment_leaves_the_scales_integrated_out() -> None:
    plan = make_plan(mixture(np.nan))
    _, _, env = somewhere(plan, 1)
    table = density.log_table(plan.problem, {v.label: env.values[v.label] for v in plan.parameters}).array
    assert expect(plan, coefficients(plan, env), hard=True)[0] == pytest.approx(table.max(axis=1).sum(), rel=1e-12)
    run = Loop(plan, MStep(plan, MAP), EMOptions(assignment="hard", tol=1e-9, max_iter=500)).run(env)
    assert run.status is ev.Status.CONVERGED
    assert (np.diff(run.path) > -1e-9).all()


# -------------------------------------------------------------------------------------------------------------- missing values


def mixture(cell: float) -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        mean = ev.Normal("mean", 2, 10, dims="component")
        sigma = ev.InverseGamma("sigma", 3, 3, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.StudentT("y", 4, mean[group], sigma[group], dims="row")
        ev.Normal("x", mean[group], 1.0, dims="row")
    r = np.random.default_rng(9)
    z = r.integers(0, 2, 50)
    y, x = 5 * z + r.standard_t(4, 50), 5 * z + r.normal(size=50)
    y[[3, 20]] = cell
    return ev.condition(spec, {"y": y, "x": x})


def test_a_missing_value_integrates_to_one() -> None:
    """Quadrature over the hole gives the likelihood without it; and it is drawn again from its own distribution."""
    plan = make_plan(mixture(np.nan))
    _, _, env = somewhere(plan, 2)
    parameters = {v.label: env.values[v.label] for v in plan.parameters}
    _, _, rows = expect_rows(plan, coefficients(plan, env))
    theta = np.linspace(-1, 1, 40_001)[1:-1] * np.pi / 2
    grid = np.tan(theta)
    weights = (np.pi / 2) * (2 / 40_000) / np.cos(theta) ** 2
    values = {k: v.array for k, v in parameters.items()}
    x = plan.problem.given["x"].array[3]
    joint = sum(
        values["weight"][k]
        * stats.norm.pdf(x, values["mean"][k], 1)
        * stats.t.pdf(grid, 4, values["mean"][k], values["sigma"][k])
        for k in range(2)
    )
    assert np.exp(rows.log_likelihood[3]) == pytest.approx(float(weights @ joint), rel=1e-8)
    assert np.exp(rows.log_likelihood[4]) != pytest.approx(float(weights @ joint), rel=1e-2)


def test_nothing_collapses_beside_a_radial_row() -> None:
    problem = mixture(1.0)
    labelled = ev.condition(problem.spec, {"y": problem.given["y"].array, "x": problem.given["x"].array, "group": [0, 1] * 25})
    plan = make_plan(labelled)
    assert not len(plan.layout.collapsed.weight)
    assert len(plan.layout.V) == 50
    one = Collapsed(
        np.zeros(1, int), np.zeros((1, plan.d), bool), np.ones(1), np.zeros((1, plan.d, plan.d)), np.zeros((1, 2)), np.zeros(1)
    )
    with pytest.raises(ValueError, match="cannot be collapsed"):
        pack(dataclasses.replace(plan.layout, collapsed=one), plan.K)


# ------------------------------------------------------------------------------------------------------------------- refusals

Y = np.random.default_rng(0).standard_t(4, 30)
X = np.random.default_rng(1).normal(size=30)
HOLE = np.where(np.arange(30) == 3, np.nan, Y)


def on_factor() -> None:
    factor = ev.Normal("factor", 0, 1, dims="row")
    ev.StudentT("y", 4, ev.Normal("m", 0, 1) + factor, 1, dims="row")


def on_normal() -> None:
    x = ev.Normal("x", 0, 1, dims="row")
    ev.StudentT("y", 4, ev.Normal("b", 0, 1) * x, ev.HalfNormal("s", 1), dims="row")


def under_normal() -> None:
    y = ev.StudentT("y", 4, 0, ev.HalfNormal("s", 1), dims="row")
    ev.Normal("x", ev.Normal("b", 0, 1) * y, 1, dims="row")


def under_student() -> None:
    y = ev.StudentT("y", 4, 0, ev.HalfNormal("s", 1), dims="row")
    ev.StudentT("x", 4, ev.Normal("b", 0, 1) * y, 1, dims="row")


def switched() -> None:
    z = ev.Bernoulli("z", ev.Beta("p", 2, 2), dims="row")
    ev.Switch("y", z, [ev.Normal.dist(0, 1), ev.StudentT.dist(2, ev.Normal("m", 0, 1), 3)], dims="row")


def with_nu(nu: Callable[[], Any]) -> Callable[[], None]:
    def build() -> None:
        ev.StudentT("y", nu(), 0, ev.HalfNormal("s", 1), dims="row")

    return build


E = ev.errors
REFUSED: list[tuple[Callable[[], None], dict[str, Any], type[Exception], list[str]]] = [
    (on_factor, {"y": Y}, E.UnsupportedModel, ["y: mean", "'factor'", "hidden", "no closed form", "Declare 'y' Normal"]),
    (on_normal, {"y": Y, "x": HOLE}, E.UnsupportedModel, ["y: mean", "'x'", "missing cells", "no closed form", "fill them"]),
    (under_normal, {"y": HOLE, "x": X}, E.UnsupportedModel, ["y: expected no holes", "'x' depends on", "1 missing"]),
    (under_student, {"y": HOLE, "x": X}, E.UnsupportedModel, ["y: expected no holes", "'x' depends on", "1 missing"]),
    (under_normal, {"x": X}, E.UnsupportedModel, ["y: expected values in the data", "a hidden StudentT"]),
    (switched, {"y": HOLE}, E.UnsupportedModel, ["y", "Switch", "a hole"]),
    (with_nu(lambda: 0.0), {"y": Y}, E.InvalidSpec, ["y.nu", "positive"]),
    (with_nu(lambda: np.inf), {"y": Y}, E.InvalidSpec, ["y.nu", "inf"]),
    (
        with_nu(lambda: ev.exp(ev.Data("x", dims="row"))),
        {"y": Y, "x": X},
        E.UnsupportedModel,
        ["y: nu", "degrees of freedom", "'x'"],
    ),
    (with_nu(lambda: ev.Normal("nu", 5, 1)), {"y": Y}, E.UnsupportedModel, ["nu", "positive", "Gamma"]),
    (with_nu(lambda: ev.Uniform("nu", -1, 5)), {"y": Y}, E.UnsupportedModel, ["nu", "positive", "Gamma"]),
    (with_nu(lambda: ev.Gamma("nu", 2, 1)), {"y": Y, "nu": 0.0}, E.OutOfSupport, ["nu", "positive"]),
]


@pytest.mark.parametrize(("build", "data", "error", "words"), REFUSED)
def test_refusals_are_named(build: Callable[[], None], data: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    def planned() -> None:
        with ev.Spec() as spec:
            build()
        make_plan(ev.condition(spec, data))

    with pytest.raises(error) as caught:
        planned()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("build", "data"),
    [
        (on_normal, {"y": HOLE, "x": X}),
        (under_normal, {"y": Y, "x": HOLE}),
        (under_student, {"y": Y, "x": HOLE}),
        (switched, {"y": Y}),
        (with_nu(lambda: ev.exp(ev.Normal("log_nu", 1, 1))), {"y": HOLE}),
        (with_nu(lambda: ev.Uniform("nu", 1, 50)), {"y": Y}),
    ],
)
def test_what_is_beside_a_refusal_is_fitted(build: Callable[[], None], data: dict[str, Any]) -> None:
    with ev.Spec() as spec:
        build()
    problem = ev.condition(spec, data)
    fit = ev.fit_em(problem, "map", starts=1, random_seed=0)
    assert fit.converged
    oracle = density.log_likelihood(problem, {v.label: fit.environment.values[v.label] for v in problem.parameters})
    assert fit.log_likelihood == pytest.approx(oracle.sum(), rel=1e-10)


def test_explain_names_the_weights_and_the_search() -> None:
    text = str(single(Y).spec.explain())
    for line in (
        "y[row] ~ StudentT(nu, m, s)",
        "u[row] = (nu + 1) / (nu + (y[row] − m)² / s²)",
        "m = Σ_row u[row] y[row] / Σ_row u[row]",
        "s² = Σ_row u[row] (y[row] − m)² / n",
        "nu: no closed form; safeguarded Newton on Q",
        "the degrees of freedom of y have no closed form",
        "y: one latent scale a value, integrated out",
    ):
        assert line in text, text

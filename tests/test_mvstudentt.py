"""Multivariate Student-t vectors: constants, estimates, outliers, missing vectors, priors, refusals. The laws over all examples
run on them too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import gammaln
from t_vectors import T_VECTORS

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.families import BY_NAME, RadialFamily
from emvsmcmc.families.radial import log_constant
from emvsmcmc.numerics import COMPLEX_STEP
from emvsmcmc.spec.named import Named

E = ev.errors


def vectors(n: int = 200, p: int = 2, nu: float = 4.0, seed: int = 1) -> np.ndarray:
    """Draws about (1, 2, ...), correlated."""
    r = np.random.default_rng(seed)
    factor = np.tril(np.full((p, p), 0.5)) + 0.5 * np.eye(p)
    return np.arange(1, p + 1) + (r.normal(size=(n, p)) @ factor.T) / np.sqrt(r.chisquare(nu, n) / nu)[:, None]


def single(y: np.ndarray, nu: float | None = None, **options: Any) -> ev.Problem:
    """Independent vectors; nu estimated where none is given."""
    p = y.shape[1]
    with ev.Spec(coords={"column": p}) as spec:
        m = ev.Normal("m", 0, 100, dims="column")
        s = ev.InverseWishart("s", p + 3, np.eye(p), dims=("column", "column_bis"))
        degrees = ev.Gamma("nu", 2, 0.1) if nu is None else nu
        ev.MvStudentT("y", degrees, m, s, dims=("row", "column"))
    return ev.condition(spec, {"y": y}, **options)


def two_components() -> ev.Problem:
    with ev.Spec(coords={"component": 2, "column": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "column"))
        scale = ev.InverseWishart("scale", 5, np.eye(2), dims=("component", "column", "column_bis"))
        nu = ev.Gamma("nu", 2, 0.1, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.MvStudentT("y", nu[group], mean[group], scale[group], dims=("row", "column"))
    return ev.condition(spec, {"y": np.r_[vectors(120, nu=3.0), [7.0, -5.0] + vectors(80, nu=6.0, seed=2)]})


# -------------------------------------------------------------------------------------------------------------- the constants


@pytest.mark.parametrize("p", [1, 2, 3, 4, 7])
def test_constants_are_the_textbook_ones(p: int) -> None:
    nu = np.array([0.01, 0.5, 3.7, 31.999999, 32.0, 40.0, 300.0])
    exact = gammaln((nu + p) / 2) - gammaln(nu / 2) - p / 2 * np.log(nu * np.pi)
    np.testing.assert_allclose(log_constant(np, nu, p), exact, rtol=1e-11)
    slope = np.imag(log_constant(np, nu + 1j * COMPLEX_STEP, p)) / COMPLEX_STEP
    h = 1e-4 * nu
    np.testing.assert_allclose(slope, (log_constant(np, nu + h, p) - log_constant(np, nu - h, p)) / (2 * h), rtol=1e-6)
    for large in (1e9, 1e14):  # the Normal's, to the last digit
        expected = -p / 2 * np.log(2 * np.pi) + p * (p - 2) / (4 * large)
        assert float(log_constant(np, np.array(large), p)) == pytest.approx(expected, abs=1e-14)


# ------------------------------------------------------------------------------------------------------------------ estimates


def unpacked(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(mean, scale, nu) of a pair of columns from six free numbers."""
    factor = np.array([[np.exp(x[2]), 0.0], [x[3], np.exp(x[4])]])
    return x[:2], factor @ factor.T, float(np.exp(x[5]))


def log_density(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    mean, scale, nu = unpacked(x)
    return stats.multivariate_t.logpdf(y, mean, scale, nu)


def best(loss: Callable[[np.ndarray], float], start: np.ndarray) -> Any:
    for _ in range(3):
        found = minimize(loss, start, method="BFGS", jac="3-point", options={"gtol": 1e-6})
        start = found.x
    return found


def test_one_vector_is_what_an_optimiser_finds() -> None:
    y = vectors()
    fit = ev.fit_em(single(y), starts=3, random_seed=0)
    found = best(lambda x: -float(log_density(y, x).sum()), np.array([1.0, 2.0, 0.0, 0.5, 0.0, 1.0]))
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-8)
    mean, scale, nu = unpacked(found.x)
    np.testing.assert_allclose(fit.estimate["m"], mean, rtol=1e-5)
    np.testing.assert_allclose(fit.estimate["s"], scale, rtol=1e-4)
    assert float(fit.estimate["nu"]) == pytest.approx(nu, rel=1e-4)
    # standard errors are those of the curvature of scipy's density
    point = np.array([*fit.estimate["m"].values, *fit.estimate["s"].values[[0, 1, 1], [0, 0, 1]], float(fit.estimate["nu"])])

    def textbook(v: np.ndarray) -> float:
        return float(stats.multivariate_t.logpdf(y, v[:2], [[v[2], v[3]], [v[3], v[4]]], v[5]).sum())

    e = 1e-3 * np.diag(np.abs(point))
    H = np.array(
        [
            [textbook(point + a + b) - textbook(point + a - b) - textbook(point - a + b) + textbook(point - a - b) for b in e]
            for a in e
        ]
    )
    se = np.sqrt(np.diag(np.linalg.inv(-H / (4 * np.outer(np.diag(e), np.diag(e))))))
    error = fit.standard_error
    own = [*error["m"].values, *error["s"].values[[0, 1, 1], [0, 0, 1]], float(error["nu"])]
    np.testing.assert_allclose(own, se, rtol=1e-3)


def test_a_mixture_is_what_an_optimiser_finds() -> None:
    problem = two_components()
    y = problem.given["y"].array
    fit = ev.fit_em(problem, starts=5, random_seed=0)

    def loss(x: np.ndarray) -> float:
        parts = [log_density(y, x[:6]) - np.log1p(np.exp(-x[12])), log_density(y, x[6:12]) - np.log1p(np.exp(x[12]))]
        return -float(np.logaddexp(*parts).sum())

    one = [0.0, 0.5, 0.0, 1.0]
    found = best(loss, np.array([1.0, 2.0, *one, 8.0, -3.0, *one, 0.4]))
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-8)
    first = int(fit.estimate["mean"].values[:, 0].argmin())
    for k, x in ((first, found.x[:6]), (1 - first, found.x[6:12])):
        for name, value in zip(("mean", "scale", "nu"), unpacked(x), strict=True):
            np.testing.assert_allclose(fit.estimate[name].values[k], value, rtol=1e-3, atol=1e-4)


def test_a_vector_of_one_is_a_number() -> None:
    y = vectors(60, p=1)
    with ev.Spec() as spec:
        m, v, nu = ev.Normal("m", 0, 100), ev.InverseGamma("v", 2, 0.5), ev.Gamma("nu", 2, 0.1)
        ev.StudentT("y", nu, m, ev.sqrt(v), dims="row")
    one, other = (ev.fit_em(p, starts=2, random_seed=0) for p in (single(y), ev.condition(spec, {"y": y[:, 0]})))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-9)
    for a, b in (("m", "m"), ("s", "v"), ("nu", "nu")):
        np.testing.assert_allclose(np.ravel(one.estimate[a]), float(other.estimate[b]), rtol=1e-5)
        np.testing.assert_allclose(np.ravel(one.standard_error[a]), float(other.standard_error[b]), rtol=1e-5)


def test_vectors_are_not_independent_numbers() -> None:
    """One scale for all entries of a vector: with a diagonal scale matrix the density is not the product of its entries'."""
    y = vectors(30)
    with ev.Spec(coords={"column": 2}) as spec:
        ev.StudentT("y", 4, ev.Normal("m", 0, 100, dims="column"), 1.0, dims=("row", "column"))
    apart = ev.condition(spec, {"y": y}, fixed={"m": np.zeros(2)})
    together = ev.condition(single(y, 4.0).spec, {"y": y}, fixed={"m": np.zeros(2), "s": np.eye(2)})
    found = []
    for problem in (apart, together):
        plan = make_plan(problem)
        found.append(expect(plan, coefficients(plan, plan.environment({})))[0])
    assert found[0] == pytest.approx(stats.t.logpdf(y, 4).sum(), rel=1e-12)
    assert found[1] == pytest.approx(stats.multivariate_t.logpdf(y, [0, 0], np.eye(2), 4).sum(), rel=1e-12)
    assert abs(found[0] - found[1]) > 1


def test_one_outlier_moves_little() -> None:
    """A thousand standard deviations away in one column, it hardly moves the others either, as it does a Normal's."""
    y = vectors(150, nu=30.0)
    spoilt = y.copy()
    spoilt[7, 0] += 1e3

    def normal(y: np.ndarray) -> ev.Problem:
        with ev.Spec(coords={"column": 2}) as spec:
            m = ev.Normal("m", 0, 100, dims="column")
            s = ev.InverseWishart("s", 5, np.eye(2), dims=("column", "column_bis"))
            ev.MvNormal("y", m, s, dims=("row", "column"))
        return ev.condition(spec, {"y": y})

    for build, least, most in ((lambda y: single(y, 4.0), 0.0, 0.5), (normal, 5.0, np.inf)):
        before, after = (ev.fit_em(build(x), starts=2, random_seed=0) for x in (y, spoilt))
        moved = np.abs(after.estimate["m"] - before.estimate["m"]) / before.standard_error["m"]
        assert least <= float(moved[0]) <= most


def test_light_tails_are_the_normal() -> None:
    """Rows with lighter tails than a Normal's: nu runs off, and the fit is the MvNormal's."""
    y = np.random.default_rng(0).uniform(-1, 1, (80, 3))
    fit = ev.fit_em(single(y), starts=1, random_seed=0)
    assert fit.converged
    cov = np.cov(y.T, bias=True)
    assert fit.log_likelihood == pytest.approx(stats.multivariate_normal(y.mean(0), cov).logpdf(y).sum(), abs=1e-5)
    assert float(fit.estimate["nu"]) > 1e6
    np.testing.assert_allclose(fit.estimate["s"], cov, rtol=1e-6)
    boundary = Coordinates(fit.plan, fit.environment.with_values({"nu": Named(np.array(1e12), ())}))
    assert boundary.size == 9  # infinite degrees of freedom are no parameter


class Unweighted(MStep):
    """Takes every scale for 1."""

    def __call__(self, env: Any, S: Any) -> Any:
        return super().__call__(env, dataclasses.replace(S, U=np.broadcast_to(S.M[:, None], S.U.shape)))


class AsNumbers(MStep):
    """Weights of a number, (nu + 1)/(nu + e^2), where those of a pair are (nu + 2)/(nu + e^2)."""

    def __call__(self, env: Any, S: Any) -> Any:
        nu = float(env.values["nu"].array)
        return super().__call__(env, dataclasses.replace(S, U=S.U * (nu + 1) / (nu + 2)))


@pytest.mark.parametrize("wrong", [Unweighted, AsNumbers])
def test_the_optimum_catches_wrong_weights(wrong: type[MStep]) -> None:
    """Negative control: the right M-step stays at the optimum; a wrong one leaves it."""
    fit = ev.fit_em(single(vectors()), starts=1, random_seed=0)
    _, S = expect(fit.plan, coefficients(fit.plan, fit.environment))

    def moved(mstep: MStep) -> float:
        env = mstep(fit.environment, S)
        away = [np.abs(env.values[k].array - fit.environment.values[k].array) / e.values for k, e in fit.standard_error.items()]
        return max(float(x.max()) for x in away)

    assert moved(MStep(fit.plan, ML)) < 1e-5
    assert moved(wrong(fit.plan, ML)) > 0.1


def test_outliers_do_not_take_the_starts() -> None:
    problem = two_components()
    y = problem.given["y"].array.copy()
    y[[0, 150]] = [[5000.0, 0.0], [0.0, -9000.0]]
    plan = make_plan(ev.condition(problem.spec, {"y": y}))
    starts = [random_start(plan, MStep(plan, ML), np.random.default_rng(s)) for s in range(6)]
    assert sum(np.abs(s.values["mean"].array).max() < 20 for s in starts) >= 5  # one begins with an outlier of its own
    assert np.std([s.values["nu"].array for s in starts]) > 1


def test_weights_are_rows_repeated() -> None:
    y, w = vectors(40), np.random.default_rng(3).integers(1, 4, 40)
    weighted = ev.fit_em(single(y, weights=w), starts=2, random_seed=0)
    repeated = ev.fit_em(single(np.repeat(y, w, axis=0)), starts=2, random_seed=0)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-9)
    np.testing.assert_allclose(weighted.estimate["s"], repeated.estimate["s"], rtol=1e-5)


# --------------------------------------------------------------------------------------------------- missing vectors, other uses


def test_a_missing_vector_is_left_out_and_drawn_again() -> None:
    y = vectors(60)
    holed = np.insert(y, [10, 30], np.nan, axis=0)
    one, other = ev.fit_em(single(y, 5.0), starts=1, random_seed=0), ev.fit_em(single(holed, 5.0), starts=1, random_seed=0)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-10)
    np.testing.assert_allclose(one.estimate["s"], other.estimate["s"], rtol=1e-6)
    drawn = ev.recover(other.problem, other.estimate.expand_dims(draw=3000), random_seed=0)["y"].values
    np.testing.assert_array_equal(drawn[0, 11], y[10])
    at = drawn[:, 10]
    assert np.abs(at.mean(0) - other.estimate["m"].values).max() < 5 * at.std() / np.sqrt(3000)
    away = at - other.estimate["m"].values  # |e|^2 / p of a drawn vector follows F(p, nu)
    ratio = (away * np.linalg.solve(other.estimate["s"].values, away.T).T).sum(1) / 2
    assert stats.kstest(ratio, stats.f(2, 5).cdf).pvalue > 1e-3


def test_a_prior_over_a_vector() -> None:
    """Under MAP its mode is what an optimiser of the textbook densities finds."""
    r = np.random.default_rng(0)
    X = np.c_[np.ones(30), r.normal(size=30)]
    y, scale = X @ [3.0, -2.0] + r.normal(size=30), np.array([[1.0, 0.4], [0.4, 0.5]])
    with ev.Spec(coords={"term": 2}) as spec:
        beta = ev.MvStudentT("beta", 3.0, np.zeros(2), scale, dims="term")
        design = ev.Data("design", dims=("row", "term"))
        ev.Normal("y", ev.dot(design, beta), 2.0, dims="row")
    problem = ev.condition(spec, {"y": y, "design": X})
    fit = ev.fit_em(problem, "map", starts=1, random_seed=0)

    def loss(b: np.ndarray) -> float:
        return -float(stats.norm.logpdf(y, X @ b, 2.0).sum() + stats.multivariate_t.logpdf(b, [0, 0], scale, 3.0))

    found = best(loss, np.array([2.0, -1.0]))
    np.testing.assert_allclose(fit.estimate["beta"], found.x, atol=1e-6)
    assert np.abs(found.x - np.linalg.lstsq(X, y)[0]).max() > 0.05
    prior = density.log_prior(problem, {"beta": found.x})
    assert prior == pytest.approx(stats.multivariate_t.logpdf(found.x, [0, 0], scale, 3.0), rel=1e-12)
    import pymc as pm

    model: pm.Model = ev.to_pymc(problem)
    value = model.compile_logp(vars=model.free_RVs, jacobian=False, mode="FAST_COMPILE")({"beta": found.x})
    assert float(value) == pytest.approx(prior, rel=1e-12)


def test_draws_follow_the_model() -> None:
    problem = T_VECTORS["t_vector_mixture"][0]()
    values: dict[str, Any] = {"weight": [0.5, 0.5], "mean": np.zeros((2, 3)), "scale": [np.eye(3)] * 2, "nu": [5.0, 9.0]}
    values |= {"level": [0.0, 0.0], "sigma": 1.0}
    drawn = ev.simulate(problem.spec, {"row": 20_000}, values, random_seed=0)
    for k, nu in enumerate((5.0, 9.0)):
        y = drawn["y"].values[drawn["group"].values == k]
        assert stats.kstest((y**2).sum(1) / 3, stats.f(3, nu).cdf).pvalue > 1e-3


# ------------------------------------------------------------------------------------------------------------------- refusals

Y = vectors(30)
HOLE = Y.copy()
HOLE[3] = np.nan
PARTLY = Y.copy()
PARTLY[[3, 9], 1] = np.nan
S2 = ("column", "column_bis")


def plain() -> None:
    m = ev.Normal("m", 0, 10, dims="column")
    ev.MvStudentT("y", 4, m, ev.InverseWishart("s", 5, np.eye(2), dims=S2), dims=("row", "column"))


def on_factor() -> None:
    factor = ev.Normal("factor", 0, 1, dims="row")
    ev.MvStudentT("y", 4, ev.Normal("b", 0, 1, dims="column") * factor, np.eye(2), dims=("row", "column"))


def under_normal() -> None:
    y = ev.MvStudentT("y", 4, np.zeros(2), ev.InverseWishart("s", 5, np.eye(2), dims=S2), dims=("row", "column"))
    ev.Normal("x", ev.dot(ev.Normal("b", 0, 1, dims="column"), y), 1, dims="row")


def with_nu(nu: Callable[[], Any]) -> Callable[[], None]:
    def build() -> None:
        ev.MvStudentT("y", nu(), np.zeros(2), ev.InverseWishart("s", 5, np.eye(2), dims=S2), dims=("row", "column"))

    return build


X = np.random.default_rng(1).normal(size=30)
REFUSED: list[tuple[Callable[[], None], dict[str, Any], type[Exception], list[str]]] = [
    (plain, {"y": PARTLY}, E.UnsupportedModel, ["y: expected MvStudentT vectors", "2 with some", "row 3", "MvNormal"]),
    (plain, {}, E.BadInput, ["y"]),
    (on_factor, {"y": Y}, E.UnsupportedModel, ["y: mean", "a MvStudentT mean", "'factor'", "no closed form"]),
    (under_normal, {"y": HOLE, "x": X}, E.UnsupportedModel, ["y: expected no holes in a MvStudentT", "'x' depends on"]),
    (with_nu(lambda: -1.0), {"y": Y}, E.InvalidSpec, ["y.nu"]),
    (with_nu(lambda: ev.exp(ev.Data("x", dims="row"))), {"y": Y, "x": X}, E.UnsupportedModel, ["y: nu", "'x'"]),
    (with_nu(lambda: ev.Normal("nu", 5, 1)), {"y": Y}, E.UnsupportedModel, ["nu", "positive", "Gamma"]),
    (with_nu(lambda: ev.Gamma("nu", 2, 1, dims="column")), {"y": Y}, E.WrongDims, ["y.nu", "column"]),
]


@pytest.mark.parametrize(("build", "data", "error", "words"), REFUSED)
def test_refusals_are_named(build: Callable[[], None], data: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    def planned() -> None:
        with ev.Spec(coords={"column": 2}) as spec:
            build()
        make_plan(ev.condition(spec, data))

    with pytest.raises(error) as caught:
        planned()
    for word in words:
        assert word in str(caught.value)


def test_explain_names_the_weights_and_the_search() -> None:
    text = str(single(Y).spec.explain())
    for line in (
        "y[row] ~ MvStudentT(nu, m, s)",
        "u[row] = (nu + 2) / (nu + (y[row] − m)ᵀ s⁻¹ (y[row] − m))",
        "m = Σ_row u[row] y[row] / Σ_row u[row]",
        "s = Σ_row u[row] (y[row] − m) (y[row] − m)ᵀ / n",
        "the degrees of freedom of y have no closed form",
        "y: one latent scale a vector, integrated out",
    ):
        assert line in text, text


def test_the_families_with_radial_rows() -> None:
    """Whoever has them has a mean, a scale and degrees of freedom; nothing outside asks for a name."""
    assert {f.name for f in BY_NAME.values() if isinstance(f, RadialFamily)} == {"StudentT", "MvStudentT"}

"""Mixtures of continuous families against an independent optimiser of the textbook log-likelihood, written here with scipy's
densities; and what happens at the edges: weights, holes, priors, values without a density, components that narrow to one value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from continuous import mixture, noisy_clusters
from examples import EXAMPLES
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

import emvsmcmc as ev
from emvsmcmc.comparison.curves import fitted
from emvsmcmc.errors import ConstantColumn, FitFailed, InvalidSpec, OutOfSupport, Status, UnsupportedModel
from emvsmcmc.families.log_gamma import log_beta

AGREE = 1e-8  # nats
Density = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def wide(name: str) -> Any:
    return ev.Gamma(name, 2.0, 0.1, dims="component")


def anywhere(name: str) -> Any:
    return ev.Normal(name, 0.0, 5.0, dims="component")


def draws(name: str) -> np.ndarray:
    r = np.random.default_rng(41)
    return {
        "Gamma": lambda: np.r_[r.gamma(2.0, 1.0, 120), r.gamma(20.0, 0.6, 80)],
        "InverseGamma": lambda: 1 / np.r_[r.gamma(3.0, 1.0, 120), r.gamma(25.0, 0.6, 80)],
        "Beta": lambda: np.r_[r.beta(2.0, 8.0, 120), r.beta(12.0, 3.0, 80)],
        "LogNormal": lambda: np.exp(np.r_[r.normal(0.0, 0.7, 120), r.normal(3.0, 0.4, 80)]),
        "Weibull": lambda: np.r_[r.weibull(1.5, 120), 6.0 * r.weibull(5.0, 80)],
        "VonMises": lambda: np.r_[r.vonmises(-1.5, 4.0, 120), r.vonmises(1.2, 6.0, 80)],
    }[name]()


# family: (constructor, its parameters and whether each is positive, scipy's log density, a start)
MIXTURES: dict[str, tuple[Any, dict[str, Callable], tuple[bool, bool], Density, list[float]]] = {
    "Gamma": (
        ev.Gamma, {"alpha": wide, "beta": wide}, (True, True),
        lambda x, a, b: stats.gamma.logpdf(x, a, scale=1 / b), [1.0, 3.0, 0.0, 0.5],
    ),
    "InverseGamma": (
        ev.InverseGamma, {"alpha": wide, "beta": wide}, (True, True),
        lambda x, a, b: stats.invgamma.logpdf(x, a, scale=b), [1.0, 3.0, 0.0, 0.5],
    ),
    "Beta": (
        ev.Beta, {"alpha": wide, "beta": wide}, (True, True), stats.beta.logpdf, [0.7, 2.5, 2.0, 1.0],
    ),
    "LogNormal": (
        ev.LogNormal, {"mu": anywhere, "sigma": wide}, (False, True),
        lambda x, m, s: stats.lognorm.logpdf(x, s, scale=np.exp(m)), [0.0, 3.0, -0.3, -1.0],
    ),
    "Weibull": (
        ev.Weibull, {"alpha": wide, "beta": wide}, (True, True),
        lambda x, a, b: stats.weibull_min.logpdf(x, a, scale=b), [0.4, 1.6, 0.0, 1.7],
    ),
    "VonMises": (
        ev.VonMises, {"mu": anywhere, "kappa": wide}, (False, True),
        lambda x, m, k: stats.vonmises.logpdf(x, k, loc=m), [-1.5, 1.2, 1.4, 1.8],
    ),
}  # fmt: skip


def textbook(x: np.ndarray, density: Density, positive: tuple[bool, bool], start: list[float], weights: Any = 1.0) -> Any:
    """(log-likelihood, share of the second component, parameters (2, 2)) where scipy finds the maximum."""

    def unpack(u: np.ndarray) -> tuple[float, np.ndarray]:
        values = u[1:].reshape(2, 2)
        return float(u[0]), np.stack([np.exp(v) if p else v for v, p in zip(values, positive, strict=True)])

    def loss(u: np.ndarray) -> float:
        logit, (one, two) = unpack(u)
        logs = np.array([-np.logaddexp(0, logit), -np.logaddexp(0, -logit)])
        rows = logsumexp(density(x[:, None], one, two) + logs, axis=1)
        return -float((weights * rows).sum())

    u = np.r_[0.0, start]
    for method in ("BFGS", "Nelder-Mead", "Nelder-Mead"):
        options = {"xatol": 1e-11, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000} if method != "BFGS" else {}
        u = minimize(loss, u, method=method, options=options).x
    return -loss(u), float(expit(u[0])), unpack(u)[1]


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_reach_the_textbook_maximum(name: str) -> None:
    constructor, parameters, positive, density, start = MIXTURES[name]
    x = draws(name)
    fit = ev.fit_em(mixture(x, constructor, **parameters), starts=6, random_seed=0, standard_errors=None)
    found, share, values = textbook(x, density, positive, start)
    assert fit.status is Status.CONVERGED
    assert abs(fit.log_likelihood - found) < AGREE
    own = np.stack([fit.estimate[p].values for p in parameters])
    order = np.argsort(fit.estimate["weight"].values)  # the smaller component was drawn second
    if name == "VonMises":  # 2 pi further is the same direction
        own[0] = np.angle(np.exp(1j * own[0]))
    assert fit.estimate["weight"].values[order[0]] == pytest.approx(share, abs=1e-5)
    np.testing.assert_allclose(own[:, order[::-1]], values, rtol=1e-4)
    # negative control: nothing near the estimate is higher
    moved = density(x[:, None], own[0] * 1.01, own[1]) + np.log(fit.estimate["weight"].values)
    assert logsumexp(moved, axis=1).sum() < fit.log_likelihood - 1e-4


@pytest.mark.parametrize("name", MIXTURES)
def test_a_weight_of_two_is_the_row_twice_and_a_hole_says_nothing(name: str) -> None:
    constructor, parameters, *_ = MIXTURES[name]
    x = draws(name)[40:170]
    weights = np.where(np.arange(len(x)) % 3, 1.0, 2.0)
    options: dict[str, Any] = {"starts": 3, "random_seed": 1, "standard_errors": None}
    weighted = ev.fit_em(mixture(x, constructor, weights, **parameters), **options)
    twice = ev.fit_em(mixture(np.repeat(x, weights.astype(int)), constructor, **parameters), **options)
    holed = ev.fit_em(mixture(np.r_[x, np.nan, np.nan], constructor, np.r_[weights, 1.0, 3.0], **parameters), **options)
    for other in (twice, holed):
        assert other.log_likelihood == pytest.approx(weighted.log_likelihood, abs=1e-8)
        for p in parameters:
            ours, theirs = (np.sort(f.estimate[p].values) for f in (weighted, other))
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", MIXTURES)
def test_the_mode_under_priors(name: str) -> None:
    """MAP against scipy on log-likelihood + the priors' textbook densities, with one component."""
    constructor, parameters, positive, density, start = MIXTURES[name]
    x = draws(name)[:60]
    priors = [stats.norm(0, 5) if not p else stats.gamma(2.0, scale=10.0) for p in positive]
    with ev.Spec() as spec:
        declared = [ev.Gamma(k, 2.0, 0.1) if p else ev.Normal(k, 0, 5) for k, p in zip(parameters, positive, strict=True)]
        constructor("x", *declared, dims="row")
    fit = ev.fit_em(ev.condition(spec, {"x": x}), "map", starts=2, random_seed=0, standard_errors=None)

    def loss(u: np.ndarray) -> float:
        values = [np.exp(v) if p else v for v, p in zip(u, positive, strict=True)]
        return -float(density(x, *values).sum() + sum(q.logpdf(v) for q, v in zip(priors, values, strict=True)))

    options = {"xatol": 1e-10, "fatol": 1e-13, "maxiter": 10_000}
    found = minimize(loss, np.array(start)[[0, 2]], method="Nelder-Mead", options=options)
    own = [float(fit.estimate[k]) for k in parameters]
    assert abs(fit.log_likelihood + sum(q.logpdf(v) for q, v in zip(priors, own, strict=True)) + found.fun) < AGREE
    # negative control: under maximum likelihood it is elsewhere
    ml = ev.fit_em(ev.condition(spec, {"x": x}), starts=2, random_seed=0, standard_errors=None)
    assert ml.log_likelihood > fit.log_likelihood + 1e-4


def test_gamma_regression_with_a_log_link() -> None:
    r = np.random.default_rng(42)
    x = r.normal(size=150)
    y = r.gamma(3.0, np.exp(1.0 + 0.6 * x) / 3.0)
    with ev.Spec() as spec:
        a, b = ev.Normal("a", 0, 10), ev.Normal("b", 0, 10)
        alpha = ev.Gamma("alpha", 2.0, 0.1)
        covariate = ev.Data("t", dims="row")
        ev.Gamma("y", alpha, alpha * ev.exp(-(a + b * covariate)), dims="row")
    fit = ev.fit_em(ev.condition(spec, {"y": y, "t": x}), starts=2, random_seed=0)

    def loss(u: np.ndarray) -> float:
        return -float(stats.gamma.logpdf(y, np.exp(u[2]), scale=np.exp(u[0] + u[1] * x - u[2])).sum())

    found = minimize(loss, [0.5, 0.5, 0.5], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 10_000})
    assert fit.status is Status.CONVERGED
    assert abs(fit.log_likelihood + found.fun) < AGREE
    np.testing.assert_allclose([float(fit.estimate[k]) for k in ("a", "b")], found.x[:2], atol=1e-5)
    assert float(fit.estimate["alpha"]) == pytest.approx(np.exp(found.x[2]), rel=1e-5)
    assert np.isfinite([float(fit.standard_error[k]) for k in ("a", "b", "alpha")]).all()


def test_noise_between_bounds_is_the_component_of_mclust() -> None:
    """Two clusters of independent Normal columns and noise over the data's box: one assignment of three values."""
    y = noisy_clusters()
    low, high = y.min(0), y.max(0)
    with ev.Spec(coords={"component": 3, "column": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        means = [ev.Normal(f"mean{k}", 2, 10, dims="column") for k in range(2)]
        sds = [ev.HalfNormal(f"sd{k}", 3, dims="column") for k in range(2)]
        group = ev.Categorical("group", weight, dims="row")
        box = ev.Uniform.dist(ev.constant(low, dims="column"), ev.constant(high, dims="column"))
        branches = [*[ev.Normal.dist(m, s) for m, s in zip(means, sds, strict=True)], box]
        ev.Switch("y", group, branches, dims=("row", "column"))
    fit = ev.fit_em(ev.condition(spec, {"y": y}), starts=12, random_seed=0, standard_errors=None)

    def loss(u: np.ndarray) -> float:
        logs = np.r_[u[:2], 0.0] - logsumexp(np.r_[u[:2], 0.0])
        clusters = [stats.norm.logpdf(y, u[2 + 4 * k : 4 + 4 * k], np.exp(u[4 + 4 * k : 6 + 4 * k])).sum(1) for k in range(2)]
        noise = stats.uniform.logpdf(y, low, high - low).sum(1)
        return -float(logsumexp(np.stack([*clusters, noise], axis=1) + logs, axis=1).sum())

    u = np.r_[0.5, 0.3, 0, 0, -0.5, -0.2, 5, 4, -0.1, -0.7]
    for _ in range(3):
        u = minimize(loss, u, method="BFGS", options={"gtol": 1e-9}).x
    assert fit.status is Status.CONVERGED
    assert abs(fit.log_likelihood + loss(u)) < AGREE
    noise = fit.probability["group"].values[:, 2]
    assert noise[70:].mean() > 0.6
    assert noise[:70].mean() < 0.2


# --------------------------------------------------------------------------------------------------------------- at the edges


@pytest.mark.parametrize("name", MIXTURES)
def test_a_component_that_narrows_to_one_value_is_degenerate_by_name(name: str) -> None:
    """Two starts on a column of which a tenth is the same value, one component on it: never a fall, never convergence."""
    constructor, parameters, positive, *_ = MIXTURES[name]
    x = draws(name)[:100]
    spike = float(np.median(x))
    problem = mixture(np.r_[x, np.full(12, spike)], constructor, **parameters)
    at_spike = {
        "Gamma": [1e4, 1e4 / spike], "InverseGamma": [1e4, 1e4 * spike], "Beta": [1e4 * spike, 1e4 * (1 - spike)],
        "LogNormal": [np.log(abs(spike)), 0.01], "Weibull": [200.0, spike], "VonMises": [spike, 1e4],
    }[name]  # fmt: skip
    elsewhere = [1.5 if p else 0.0 for p in positive]
    init = {"weight": [0.9, 0.1]} | {p: [e, s] for p, e, s in zip(parameters, elsewhere, at_spike, strict=True)}
    with pytest.raises(FitFailed, match="a component collapsed on a point") as failed:
        ev.fit_em(problem, init=init)
    assert failed.value.status is Status.DEGENERATE


@pytest.mark.parametrize("name", MIXTURES)
def test_a_column_that_does_not_vary_is_refused(name: str) -> None:
    constructor, parameters, *_ = MIXTURES[name]
    both = " and ".join(parameters)
    with pytest.raises(ConstantColumn, match=rf"x: expected values that vary, since {both} are estimated; got 0.7 in every row"):
        ev.fit_em(mixture(np.full(30, 0.7), constructor, **parameters))
    # with one of them known it cannot narrow
    with ev.Spec() as spec:
        constructor("x", *[wide_one(p) if i else 2.0 for i, p in enumerate(parameters)], dims="row")
    if name != "VonMises":
        assert ev.fit_em(ev.condition(spec, {"x": np.full(30, 0.7)}), starts=1).status is Status.CONVERGED


def wide_one(name: str) -> Any:
    return ev.Gamma(name, 2.0, 0.1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Gamma", 0.0, "a positive number"),
        ("Gamma", -1.0, "a positive number"),
        ("InverseGamma", 0.0, "a positive number"),
        ("LogNormal", 0.0, "a positive number"),
        ("Weibull", 0.0, "a positive number"),
        ("Beta", 0.0, "a positive number below 1"),
        ("Beta", 1.0, "a positive number below 1"),
        ("VonMises", 3.5, "an angle in radians from -pi to pi"),
    ],
)
def test_values_without_a_density_are_named(name: str, value: float, expected: str) -> None:
    constructor, parameters, *_ = MIXTURES[name]
    x = draws(name)
    x[17] = value
    way_out = "numpy.angle" if name == "VonMises" else f"ev.Dirac.dist({value:g})" if value >= 0 else "Mend the value"
    with pytest.raises(OutOfSupport) as refused:
        mixture(x, constructor, **parameters)
    assert str(refused.value).startswith(f"x: expected {expected} ({name}); got {value:g} in row 17.")
    assert way_out in str(refused.value)
    x[17] = np.nan
    mixture(x, constructor, **parameters)


def test_zeros_have_a_branch_of_their_own() -> None:
    """The way out that the error names: the amounts are fitted as without the zeros."""
    r = np.random.default_rng(43)
    amounts = r.gamma(2.0, 3.0, 80)
    with ev.Spec() as spec:
        p, alpha, beta = ev.Beta("p", 2, 2), ev.Gamma("alpha", 2, 0.1), ev.Gamma("beta", 2, 0.1)
        wet = ev.Bernoulli("wet", p, dims="day")
        ev.Switch("rain", wet, [ev.Dirac.dist(0), ev.Gamma.dist(alpha, beta)], dims="day")
    fit = ev.fit_em(ev.condition(spec, {"rain": np.r_[amounts, np.zeros(40)]}), starts=2, random_seed=0)
    shape, _, scale = stats.gamma.fit(amounts, floc=0)
    assert float(fit.estimate["p"]) == pytest.approx(80 / 120, abs=1e-9)
    assert float(fit.estimate["alpha"]) == pytest.approx(shape, rel=1e-5)
    assert float(fit.estimate["beta"]) == pytest.approx(1 / scale, rel=1e-5)


def test_bounds_of_noise_are_known_and_in_order() -> None:
    with ev.Spec() as spec:
        top = ev.Gamma("top", 2, 0.1)
        which = ev.Bernoulli("which", 0.5, dims="row")
        ev.Switch("x", which, [ev.Normal.dist(0, 1), ev.Uniform.dist(0, top)], dims="row")
    with pytest.raises(UnsupportedModel, match=r"x.upper: expected constants, covariates or fixed values; got .*top"):
        ev.fit_em(ev.condition(spec, {"x": np.arange(5.0)}))
    with pytest.raises(InvalidSpec, match="a lower bound below the upper one"):
        ev.Uniform.dist(1, 0)
    # given, they serve: a value beyond them belongs to the other branch
    fixed = ev.condition(spec, {"x": np.array([-1.0, 0.5, 3.0]), "top": 2.0})
    fit = ev.fit_em(fixed)
    noise = fit.probability["which"].values[:, 1]
    assert noise[[0, 2]].tolist() == [0.0, 0.0]
    assert noise[1] == pytest.approx(0.5 / (0.5 + stats.norm.pdf(0.5)), rel=1e-12)


# ------------------------------------------------------------------------------------------------------------ words and curves


@pytest.mark.parametrize("name", MIXTURES)
def test_curves_are_drawn_over_the_data(name: str) -> None:
    """The density of the fitted model, inside its set of values: it holds nearly all of the mass, and is finite."""
    constructor, parameters, *_ = MIXTURES[name]
    fit = ev.fit_em(mixture(draws(name), constructor, **parameters), starts=3, random_seed=0, standard_errors=None)
    curves = fitted(fit, fit.estimate.expand_dims(chain=1, draw=2))["x"]
    for key in ("em_total", "lower_total", "upper_total"):
        assert np.isfinite(curves[key]).all()
        assert float(np.trapezoid(curves[key], curves["x"])) == pytest.approx(1, abs=0.05)
    assert curves.sizes == {"configuration": 2, "x": len(curves["x"])}


def test_curves_of_noise_beside_a_density() -> None:
    r = np.random.default_rng(44)
    with ev.Spec() as spec:
        mean, sd = ev.Normal("mean", 0, 5), ev.HalfNormal("sd", 2)
        noise = ev.Bernoulli("noise", 0.2, dims="row")
        ev.Switch("x", noise, [ev.Normal.dist(mean, sd), ev.Uniform.dist(-10, 10)], dims="row")
    problem = ev.condition(spec, {"x": np.r_[r.normal(2, 0.5, 80), r.uniform(-10, 10, 20)]})
    fit = ev.fit_em(problem, starts=3, random_seed=0, standard_errors=None)
    curves = fitted(fit, fit.estimate.expand_dims(chain=1, draw=2))["x"]
    inside = np.abs(curves["x"].values) <= 10
    np.testing.assert_allclose(curves["em"].values[1], np.where(inside, 0.2 / 20, 0.0), rtol=1e-12)


def test_explain_says_what_has_no_closed_form() -> None:
    both = str(EXAMPLES["gamma_mixture"].build().spec.explain())
    assert "alpha, beta: no closed form; safeguarded Newton on Q, together" in both
    assert "alpha: the alpha of x, which is Gamma, has no closed form" in both
    assert "beta: the beta of x, which is Gamma, has a closed form only where its alpha is known" in both
    known = str(EXAMPLES["erlang_rates"].build().spec.explain())
    assert "rate[k] = Σ_row r[row, k] 3 / Σ_row r[row, k] x[row] time[row]" in known
    assert "level = Σ_{row, k} r[row, k] 4 / Σ_{row, k} r[row, k] (1 / y[row])" in known
    link = str(EXAMPLES["gamma_regression"].build().spec.explain())
    assert "a: it stands inside an expression, not alone in a slot" in link


@pytest.mark.parametrize("size", [1e-7, 3e-9])
def test_shares_near_zero_are_a_gamma(size: float) -> None:
    """Beta(alpha, beta) of a large beta is Gamma(alpha, beta) but for terms of the order of 1 / beta: to its last digits, and
    not taken for a point.
    """
    y = np.random.default_rng(0).gamma(2.0, size, 200)
    with ev.Spec() as spec:
        ev.Beta("y", ev.Gamma("a", 1, 0.1), ev.Gamma("b", 1, 0.1), dims="row")
    fit = ev.fit_em(ev.condition(spec, {"y": y}), starts=2, random_seed=0, progress=False)
    a, b = float(fit.estimate["a"]), float(fit.estimate["b"])
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(stats.gamma.logpdf(y, a, scale=1 / b).sum(), abs=200 * 50 * size + 1e-9)


def test_log_beta_to_the_last_digits() -> None:
    b = 10.0 ** np.arange(-3, 16)
    exact = np.log(2) - np.log(b) - np.log(b + 1) - np.log(b + 2)  # of B(3, b)
    assert np.allclose(log_beta(np, np.asarray(3.0), b), exact, rtol=0, atol=1e-13)
    assert np.allclose(log_beta(np, b, np.asarray(3.0)), exact, rtol=0, atol=1e-13)

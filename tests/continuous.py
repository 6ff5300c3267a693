"""Small problems of continuous families without a Gaussian: the laws run on them as on the others (see `examples`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import emvsmcmc as ev
from emvsmcmc.spec.variable import Variable


def mixture(x: np.ndarray, child: Callable, weights: np.ndarray | None = None, **parameters: Callable) -> ev.Problem:
    """Two components of one family; parameters: {name: what declares it}, in the order of the child's arguments."""
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        declared = [declare(name) for name, declare in parameters.items()]
        group = ev.Categorical("group", weight, dims="row")
        child("x", *[p[group] for p in declared], dims="row")
    return ev.condition(spec, {"x": x}, weights=weights)


def shape(name: str) -> Variable:
    return ev.Gamma(name, 2.0, 0.4, dims="component")


def place(name: str) -> Variable:
    return ev.Normal(name, 0.5, 2.0, dims="component")


def gamma_mixture() -> ev.Problem:
    """With a hole, and rows that count more than once."""
    r = np.random.default_rng(20)
    x = np.r_[r.gamma(2.0, 0.5, 40), r.gamma(12.0, 0.5, 30)]
    x[11] = np.nan
    return mixture(x, ev.Gamma, r.integers(1, 4, 70), alpha=shape, beta=shape)


def beta_mixture() -> ev.Problem:
    r = np.random.default_rng(21)
    return mixture(np.r_[r.beta(2.0, 7.0, 40), r.beta(9.0, 2.0, 40)], ev.Beta, alpha=shape, beta=shape)


def inverse_gamma_mixture() -> ev.Problem:
    r = np.random.default_rng(22)
    x = 1 / np.r_[r.gamma(3.0, 0.5, 40), r.gamma(14.0, 0.4, 30)]
    return mixture(x, ev.InverseGamma, alpha=shape, beta=shape)


def log_normal_mixture() -> ev.Problem:
    r = np.random.default_rng(23)
    sigma = lambda name: ev.LogNormal(name, -0.5, 0.8, dims="component")  # noqa: E731
    return mixture(np.exp(np.r_[r.normal(-1, 0.6, 40), r.normal(1.5, 0.4, 30)]), ev.LogNormal, mu=place, sigma=sigma)


def weibull_mixture() -> ev.Problem:
    """Two columns, one shape for both, a missing cell and a missing row."""
    with ev.Spec(coords={"component": 2, "item": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        alpha = ev.Weibull("alpha", 1.5, 3.0, dims="component")
        beta = ev.Gamma("beta", 2.0, 0.5, dims=("component", "item"))
        group = ev.Categorical("group", weight, dims="row")
        ev.Weibull("x", alpha[group], beta[group], dims=("row", "item"))
    r = np.random.default_rng(24)
    z = np.repeat([0, 1], 25)
    x = r.weibull(np.array([1.5, 3.0])[z][:, None], (50, 2)) * np.array([[1.0, 2.0], [4.0, 6.0]])[z]
    x[3, 1], x[30] = np.nan, np.nan
    return ev.condition(spec, {"x": x})


def von_mises_mixture() -> ev.Problem:
    r = np.random.default_rng(25)
    x = np.r_[r.vonmises(-1.0, 3.0, 40), r.vonmises(2.0, 8.0, 30)]
    x[5] = np.nan
    return mixture(x, ev.VonMises, mu=place, kappa=shape)


def erlang_rates() -> ev.Problem:
    """A known shape and a known exposure: the rates have a closed form."""
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        rate = ev.Gamma("rate", 2.0, 0.5, dims="component")
        level = ev.InverseGamma("level", 2.0, 1.0)
        time = ev.Data("time", dims="row")
        group = ev.Categorical("group", weight, dims="row")
        ev.Gamma("x", 3.0, rate[group] * time, dims="row")
        ev.InverseGamma("y", 4.0, level, dims="row")
    r = np.random.default_rng(26)
    t = r.choice([0.5, 1.0, 2.0], 60)
    x = r.gamma(3.0, 1 / (t * np.repeat([0.5, 4.0], 30)))
    return ev.condition(spec, {"x": x, "y": 1 / r.gamma(4.0, 0.5, 60), "time": t})


def gamma_regression() -> ev.Problem:
    with ev.Spec() as spec:
        a = ev.Normal("a", 0, 10)
        b = ev.Normal("b", 0, 5)
        alpha = ev.Gamma("alpha", 2.0, 0.2)
        x = ev.Data("x", dims="row")
        ev.Gamma("y", alpha, alpha * ev.exp(-(a + b * x)), dims="row")
    r = np.random.default_rng(27)
    x = np.round(r.normal(size=40), 1)
    return ev.condition(spec, {"y": r.gamma(4.0, np.exp(0.5 + 0.7 * x) / 4), "x": x})


def zeros_and_sizes() -> ev.Problem:
    """Nothing, or a Gamma amount: rain."""
    with ev.Spec() as spec:
        p = ev.Beta("p", 2, 2)
        alpha = ev.Gamma("alpha", 2, 0.5)
        beta = ev.Gamma("beta", 2, 0.5)
        wet = ev.Bernoulli("wet", p, dims="day")
        ev.Switch("rain", wet, [ev.Dirac.dist(0), ev.Gamma.dist(alpha, beta)], dims="day")
    r = np.random.default_rng(28)
    return ev.condition(spec, {"rain": np.where(r.random(60) < 0.4, 0.0, r.gamma(2.0, 3.0, 60))})


def background_noise() -> ev.Problem:
    """Two clusters of independent Normal columns among noise over the data's box."""
    y = noisy_clusters()
    with ev.Spec(coords={"component": 2, "column": 2}) as spec:
        share = ev.Beta("share", 1.5, 1.5)
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 10, dims=("component", "column"))
        sd = ev.HalfNormal("sd", 3, dims=("component", "column"))
        noise = ev.Bernoulli("noise", share, dims="row")
        group = ev.Categorical("group", weight, dims="row")
        box = ev.Uniform.dist(ev.constant(y.min(0), dims="column"), ev.constant(y.max(0), dims="column"))
        ev.Switch("y", noise, [ev.Normal.dist(mean[group], sd[group]), box], dims=("row", "column"))
    return ev.condition(spec, {"y": y})


def noisy_clusters() -> np.ndarray:
    r = np.random.default_rng(29)
    clusters = np.r_[r.normal([0, 0], [0.6, 0.8], (40, 2)), r.normal([5, 4], [0.9, 0.5], (30, 2))]
    return np.r_[clusters, r.uniform([-4, -4], [9, 8], (20, 2))]


CONTINUOUS: dict[str, tuple[Callable[[], ev.Problem], bool]] = {  # with whether every step is closed form
    "gamma_mixture": (gamma_mixture, False),
    "beta_mixture": (beta_mixture, False),
    "inverse_gamma_mixture": (inverse_gamma_mixture, False),
    "log_normal_mixture": (log_normal_mixture, False),
    "weibull_mixture": (weibull_mixture, False),
    "von_mises_mixture": (von_mises_mixture, False),
    "erlang_rates": (erlang_rates, True),
    "gamma_regression": (gamma_regression, False),
    "zeros_and_sizes": (zeros_and_sizes, False),
    "background_noise": (background_noise, True),
}

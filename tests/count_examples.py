"""Small problems with the families of counts, for the laws that run over every example: holes, weights, labels and covariates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import emvsmcmc as ev


def negative_binomial_mixture() -> ev.Problem:
    """Two components, each with its own spread; holes, weights and some labels."""
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mu = ev.Gamma("mu", 2.0, 0.2, dims="component")
        alpha = ev.Gamma("alpha", 2.0, 0.4, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.NegativeBinomial("y", mu[group], alpha[group], dims="row")
    r = np.random.default_rng(21)
    z = np.repeat([0, 1], 45)
    y = r.poisson(np.array([2.0, 20.0])[z] * r.gamma(np.array([1.5, 6.0])[z]) / np.array([1.5, 6.0])[z]).astype(float)
    y[[3, 50]] = np.nan
    return ev.condition(spec, {"y": y, "group": np.where(np.arange(90) % 9, -1, z)}, weights=r.integers(1, 3, 90))


def negative_binomial_regression() -> ev.Problem:
    with ev.Spec() as spec:
        a = ev.Normal("a", 0, 5)
        b = ev.Normal("b", 0, 2)
        alpha = ev.Gamma("alpha", 2.0, 0.5)
        x = ev.Data("x", dims="row")
        ev.NegativeBinomial("y", ev.exp(a + b * x), alpha, dims="row")
    r = np.random.default_rng(22)
    x = np.round(r.normal(size=60), 1)
    return ev.condition(spec, {"y": r.poisson(np.exp(1.0 + 0.6 * x) * r.gamma(2.0, 0.5, 60)), "x": x})


def geometric_mixture() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        p = ev.Beta("p", 1.5, 1.5, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Geometric("y", p[group], dims="row")
    r = np.random.default_rng(23)
    y = np.r_[r.geometric(0.7, 50), r.geometric(0.08, 50)].astype(float)
    y[7] = np.nan
    return ev.condition(spec, {"y": y})


def beta_binomial_mixture() -> ev.Problem:
    """Trials that differ from row to row."""
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        alpha = ev.Gamma("alpha", 2.0, 0.5, dims="component")
        beta = ev.Gamma("beta", 2.0, 0.5, dims="component")
        trials = ev.Data("trials", dims="row")
        group = ev.Categorical("group", weight, dims="row")
        ev.BetaBinomial("y", alpha[group], beta[group], trials, dims="row")
    r = np.random.default_rng(33)
    n, z = r.integers(18, 21, 120), np.repeat([0, 1], 60)
    y = r.binomial(n, r.beta(np.array([2.0, 7.0])[z], np.array([14.0, 2.0])[z])).astype(float)
    y[20] = np.nan
    return ev.condition(spec, {"y": y, "trials": n})


def multinomial_mixture() -> ev.Problem:
    """Vectors of counts with trials of their own; one that is missing."""
    with ev.Spec(coords={"component": 2, "category": ["a", "b", "c"]}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        p = ev.Dirichlet("p", 1.5, dims=("component", "category"))
        trials = ev.Data("trials", dims="row")
        group = ev.Categorical("group", weight, dims="row")
        ev.Multinomial("y", trials, p[group], dims=("row", "category"))
    r = np.random.default_rng(25)
    n, z = r.integers(3, 8, 60), np.repeat([0, 1], 30)
    y = r.multinomial(n, np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])[z]).astype(float)
    y[11] = np.nan
    return ev.condition(spec, {"y": y, "trials": n})


COUNTS: dict[str, tuple[Callable[[], ev.Problem], bool]] = {  # and whether every M-step under ML is closed form
    "negative_binomial_mixture": (negative_binomial_mixture, False),
    "negative_binomial_regression": (negative_binomial_regression, False),
    "geometric_mixture": (geometric_mixture, True),
    "beta_binomial_mixture": (beta_binomial_mixture, False),
    "multinomial_mixture": (multinomial_mixture, True),
}

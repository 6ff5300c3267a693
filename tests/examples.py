"""Small problems that between them use every family, every input form and every kind of hidden variable; the laws run on all
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from continuous import CONTINUOUS
from count_examples import COUNTS
from factors import FACTORS
from t_vectors import T_VECTORS

import emvsmcmc as ev


@dataclass(frozen=True)
class Example:
    """`gaussian_hidden` marks factors or missing Gaussian cells; `conjugate` that every M-step under ML is closed form."""

    build: Callable[[], ev.Problem]
    gaussian_hidden: bool = False
    conjugate: bool = True


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal_mixture_spec() -> ev.Spec:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        sd = ev.HalfNormal("sd", 3, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    return spec


def normal_data(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    r = rng(1)
    z = r.integers(0, 2, n)
    return r.normal(np.array([0.0, 4.0])[z], np.array([1.0, 0.7])[z]), z


def normal_mixture() -> ev.Problem:
    return ev.condition(normal_mixture_spec(), {"x": normal_data()[0]})


def partial_labels() -> ev.Problem:
    x, z = normal_data()
    return ev.condition(normal_mixture_spec(), {"x": x, "group": np.where(np.arange(40) % 3, -1, z)})


def soft_labels_and_weights() -> ev.Problem:
    x, z = normal_data()
    q = np.where(np.arange(2) == z[:, None], 0.8, 0.3)
    q[::5] = 1.0
    q[1] = [0.0, 1.0]
    return ev.condition(normal_mixture_spec(), {"x": x, "group": q}, weights=rng(2).integers(1, 4, 40))


def full_covariance() -> ev.Problem:
    y = two_columns()
    return ev.condition(full_covariance_spec(), {"y": y})


def missing_cells() -> ev.Problem:
    y = two_columns()
    y[rng(3).random(y.shape) < 0.2] = np.nan
    y[7] = np.nan
    return ev.condition(full_covariance_spec(), {"y": y})


def two_columns() -> np.ndarray:
    r = rng(4)
    z = r.integers(0, 2, 60)
    a = r.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 60)
    b = r.multivariate_normal([4, 3], [[0.6, -0.3], [-0.3, 0.9]], 60)
    return np.where(z[:, None] == 0, a, b)


def full_covariance_spec() -> ev.Spec:
    with ev.Spec(coords={"component": 2, "feature": ["a", "b"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 1, 5, dims=("component", "feature"))
        cov = ev.InverseWishart("cov", 5, 2 * np.eye(2), dims=("component", "feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("y", mean[group], cov[group], dims=("row", "feature"))
    return spec


def diagonal_covariance() -> ev.Problem:
    """A standard deviation for each component and column."""
    with ev.Spec(coords={"component": 2, "feature": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 1, 5, dims=("component", "feature"))
        sd = ev.HalfNormal("sd", 2, dims=("component", "feature"))
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("y", mean[group], sd[group], dims=("row", "feature"))
    return ev.condition(spec, {"y": two_columns()})


def spherical_covariance() -> ev.Problem:
    """One variance for all columns of a component, and some holes."""
    with ev.Spec(coords={"component": 2, "feature": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 1, 5, dims=("component", "feature"))
        variance = ev.InverseGamma("variance", 2, 1, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("y", mean[group], variance=variance[group], dims=("row", "feature"))
    y = two_columns()
    y[::7, 1] = np.nan
    return ev.condition(spec, {"y": y})


def tied_covariance_lkj() -> ev.Problem:
    with ev.Spec(coords={"component": 2, "feature": 2}) as spec:
        weight = ev.Dirichlet("weight", [2.0, 2.0], dims="component")
        mean = ev.Normal("mean", 1, variance=25, dims=("component", "feature"))
        cov = ev.LKJCov("cov", 2.0, ev.HalfNormal.dist(2.5), dims=("feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("y", mean[group], cov, dims=("row", "feature"))
    return ev.condition(spec, {"y": two_columns()})


def poisson_mixture() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        rate = ev.Gamma("rate", 2.0, 0.5, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Poisson("y", rate[group], dims="row")
    r = rng(5)
    y = np.r_[r.poisson(2, 30), r.poisson(9, 30)].astype(float)
    y[3] = np.nan
    return ev.condition(spec, {"y": y})


def exposure() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        rate = ev.Gamma("rate", 2.0, 0.5, dims="component")
        time = ev.Data("time", dims="row")
        group = ev.Categorical("group", weight, dims="row")
        ev.Poisson("y", rate[group] * time, dims="row")
    r = rng(6)
    t = r.choice([0.5, 1.0, 2.0], 60)
    return ev.condition(spec, {"y": r.poisson(t * np.repeat([2.0, 9.0], 30)), "time": t})


def poisson_regression() -> ev.Problem:
    with ev.Spec() as spec:
        a = ev.Normal("a", 0, 10)
        b = ev.Normal("b", 0, 1)
        x = ev.Data("x", dims="row")
        ev.Poisson("y", ev.exp(a + b * x), dims="row")
    r = rng(7)
    x = np.round(r.normal(size=30), 1)
    return ev.condition(spec, {"y": r.poisson(np.exp(0.5 + 0.7 * x)), "x": x})


def zero_inflated() -> ev.Problem:
    with ev.Spec() as spec:
        p = ev.Beta("p", 2, 2)
        rate = ev.Gamma("rate", 2, 1)
        moving = ev.Bernoulli("moving", p, dims="interval")
        ev.Switch("count", moving, [ev.Dirac.dist(0), ev.Poisson.dist(rate)], dims="interval")
    return ev.condition(spec, {"count": [0, 1, 2, 3, 4, 7]}, weights=[182, 41, 12, 2, 2, 1])


def binomial_mixture() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        p = ev.Beta("p", 1.5, 1.5, dims="component")
        trials = ev.Data("trials", dims="row")
        group = ev.Categorical("group", weight, dims="row")
        ev.Binomial("y", trials, p[group], dims="row")
    r = rng(8)
    n = r.integers(5, 12, 50)
    return ev.condition(spec, {"y": r.binomial(n, np.repeat([0.2, 0.8], 25)), "trials": n})


def waiting_times() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        rate = ev.Exponential("rate", 1.0, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Exponential("t", rate[group], dims="row")
    r = rng(9)
    return ev.condition(spec, {"t": np.r_[r.exponential(0.3, 40), r.exponential(6.0, 40)]})


def latent_class() -> ev.Problem:
    with ev.Spec(coords={"type": 2, "item": 4, "answer": ["no", "maybe", "yes"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="type")
        p = ev.Beta("p", 1.2, 1.2, dims=("type", "item"))
        table = ev.Dirichlet("table", 1.3, dims=("type", "answer"))
        kind = ev.Categorical("kind", weight, dims="row")
        ev.Bernoulli("item_answer", p[kind], dims=("row", "item"))
        ev.Categorical("opinion", table[kind], dims="row")
    r = rng(10)
    z = r.integers(0, 2, 80)
    x = (r.random((80, 4)) < np.array([0.85, 0.2])[z][:, None]).astype(float)
    x[r.random(x.shape) < 0.1] = np.nan
    opinion = np.array(["no", "maybe", "yes"])[np.where(r.random(80) < 0.7, 2 * z, 1)]
    return ev.condition(spec, {"item_answer": x, "opinion": opinion})


def regression_mixture() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        intercept = ev.Normal("intercept", 0, 10, dims="component")
        slope = ev.Normal("slope", 0, 10)
        variance = ev.InverseGamma("variance", 2.0, 1.0, dims="component")
        x = ev.Data("x", dims="row")
        line = ev.Categorical("line", weight, dims="row")
        ev.Normal("y", intercept[line] + slope * x, variance=variance[line], dims="row")
    r = rng(11)
    x, z = r.uniform(-2, 2, 60), r.integers(0, 2, 60)
    y = np.array([0.0, 3.0])[z] + 1.5 * x + r.normal(size=60) * np.array([0.3, 0.6])[z]
    return ev.condition(spec, {"y": y, "x": x})


def design_matrix() -> ev.Problem:
    with ev.Spec(coords={"component": 2, "term": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        beta = ev.MvNormal("beta", np.zeros(3), 25 * np.eye(3), dims=("component", "term"))
        sd = ev.HalfCauchy("sd", 1.0)
        design = ev.Data("design", dims=("row", "term"))
        line = ev.Categorical("line", weight, dims="row")
        ev.Normal("y", ev.dot(design, beta[line]), sd, dims="row")
    r = rng(12)
    X, z = np.c_[np.ones(70), r.normal(size=(70, 2))], r.integers(0, 2, 70)
    y = (X * np.array([[1, 2, -1], [-2, 0, 3.0]])[z]).sum(1) + 0.4 * r.normal(size=70)
    return ev.condition(spec, {"y": y, "design": X})


def nested_latents() -> ev.Problem:
    with ev.Spec(coords={"a": 2, "b": 2}) as spec:
        first = ev.Dirichlet("first", 1.0, dims="a")
        second = ev.Dirichlet("second", 1.0, dims=("a", "b"))
        mean_a = ev.Normal("mean_a", 0, 10, dims="a")
        mean_b = ev.Normal("mean_b", 0, 10, dims="b")
        sd_a = ev.Gamma("sd_a", 3.0, 2.0)
        sd_b = ev.HalfNormal("sd_b", 1, dims=("a", "b"))
        za = ev.Categorical("za", first, dims="row")
        zb = ev.Categorical("zb", second[za], dims="row")
        ev.Normal("y", mean_a[za], sd_a, dims="row")
        ev.Normal("x", mean_b[zb], sd_b[za, zb], dims="row")
    r = rng(13)
    a = r.integers(0, 2, 90)
    b = (r.random(90) < np.array([0.2, 0.8])[a]).astype(int)
    return ev.condition(spec, {"y": 6 * a + r.normal(size=90), "x": 5 * b + r.normal(size=90)})


def linkage() -> ev.Problem:
    table = np.zeros((2, 2, 2, 4))
    table[0, :, :, 0] = 1
    table[1, 1, 0, 0] = table[1, 1, 1, 3] = table[1, 0, 0, 1] = table[1, 0, 1, 2] = 1
    with ev.Spec() as spec:
        t = ev.Uniform("t", 0, 1)
        a = ev.Bernoulli("a", 0.5, dims="animal")
        b = ev.Bernoulli("b", t, dims="animal")
        c = ev.Bernoulli("c", 0.5, dims="animal")
        ev.Categorical("cell", ev.constant(table)[a, b, c], dims="animal")
    return ev.condition(spec, {"cell": np.arange(4)}, weights=[125, 18, 20, 34])


def one_factor() -> ev.Problem:
    with ev.Spec(coords={"item": 4}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims="item")
        sd = ev.HalfNormal("sd", 2, dims="item")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("x", mean + loading * factor, sd, dims=("row", "item"))
    r = rng(14)
    z = r.normal(size=80)
    x = (
        np.array([0, 1, 2, 3.0])
        + z[:, None] * np.array([1.0, 0.8, -0.6, 0.5])
        + r.normal(size=(80, 4)) * np.array([0.5, 0.6, 0.7, 0.8])
    )
    return ev.condition(spec, {"x": x})


def robust_rows(n: int = 60) -> dict[str, np.ndarray]:
    """A straight line with heavy-tailed noise and two gross outliers."""
    r = rng(16)
    x = r.uniform(-2, 2, n)
    y = 1.0 + 2.0 * x + 0.5 * r.standard_t(3, n)
    y[[4, 30]] += [15.0, -9.0]
    return {"x": x, "y": y}


def robust_regression() -> ev.Problem:
    """Degrees of freedom fixed: every step is closed form."""
    with ev.Spec() as spec:
        a = ev.Normal("a", 0, 10)
        b = ev.Normal("b", 0, 10)
        sigma = ev.HalfNormal("sigma", 2)
        x = ev.Data("x", dims="row")
        ev.StudentT("y", 4, a + b * x, sigma, dims="row")
    return ev.condition(spec, robust_rows(), weights=rng(17).integers(1, 4, 60))


def robust_degrees_of_freedom() -> ev.Problem:
    with ev.Spec() as spec:
        a = ev.Normal("a", 0, 10)
        b = ev.Normal("b", 0, 10)
        variance = ev.InverseGamma("variance", 2, 1)
        nu = ev.Gamma("nu", 2, 0.1)
        x = ev.Data("x", dims="row")
        ev.StudentT("y", nu, a + b * x, ev.sqrt(variance), dims="row")
    return ev.condition(spec, robust_rows())


def t_mixture() -> ev.Problem:
    """Two components, each with its own degrees of freedom; a missing cell, and one item more with a shared scale."""
    with ev.Spec(coords={"component": 2, "item": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 10, dims=("component", "item"))
        scale = ev.HalfCauchy("scale", 2, dims="item")
        nu = ev.Gamma("nu", 4, 0.4, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.StudentT("y", nu[group], mean[group], scale, dims=("row", "item"))
    r = rng(18)
    z = r.integers(0, 2, 70)
    y = np.array([[0.0, 1.0], [6.0, -3.0]])[z] + r.standard_t(np.array([3.0, 5.0])[z][:, None], (70, 2)) * [1.0, 0.7]
    y[8, 1], y[20, 0], y[33] = np.nan, 40.0, np.nan
    return ev.condition(spec, {"y": y})


def group_effects() -> ev.Problem:
    with ev.Spec(coords={"school": 5}) as spec:
        effect = ev.Normal("effect", 0, 10, dims="school")
        sd = ev.HalfNormal("sd", 1)
        school = ev.Data("school_of", dims="row")
        ev.Normal("y", effect[school], sd, dims="row")
    r = rng(15)
    g = r.integers(0, 5, 60)
    return ev.condition(spec, {"y": g * 0.5 + r.normal(size=60), "school_of": g})


def all_labels() -> ev.Problem:
    x, z = normal_data()
    return ev.condition(normal_mixture_spec(), {"x": x, "group": z})


def boundary_problem(alpha: float) -> ev.Problem:
    """Latent classes whose likelihood is highest where some probabilities are exactly 0 or 1."""
    with ev.Spec(coords={"k": 2, "item": 5}) as spec:
        w = ev.Dirichlet("w", 1.0, dims="k")
        p = ev.Beta("p", alpha, alpha, dims=("k", "item"))
        z = ev.Categorical("z", w, dims="row")
        ev.Bernoulli("x", p[z], dims=("row", "item"))
    rng = np.random.default_rng(0)
    truth = np.array([[1, 0.9, 0.8, 0.9, 1], [0.1, 0.2, 0.1, 0, 0.2]])
    return ev.condition(spec, {"x": (rng.random((60, 5)) < truth[rng.integers(0, 2, 60)]).astype(float)})


EXAMPLES: dict[str, Example] = {
    "normal_mixture": Example(normal_mixture),
    "partial_labels": Example(partial_labels),
    "soft_labels_and_weights": Example(soft_labels_and_weights),
    "all_labels": Example(all_labels),
    "full_covariance": Example(full_covariance),
    "missing_cells": Example(missing_cells, gaussian_hidden=True),
    "diagonal_covariance": Example(diagonal_covariance),
    "spherical_covariance": Example(spherical_covariance, gaussian_hidden=True),
    "tied_covariance_lkj": Example(tied_covariance_lkj),
    "poisson_mixture": Example(poisson_mixture),
    "exposure": Example(exposure),
    "poisson_regression": Example(poisson_regression, conjugate=False),
    "zero_inflated": Example(zero_inflated),
    "binomial_mixture": Example(binomial_mixture),
    "waiting_times": Example(waiting_times),
    "latent_class": Example(latent_class),
    "regression_mixture": Example(regression_mixture),
    "design_matrix": Example(design_matrix),
    "nested_latents": Example(nested_latents),
    "linkage": Example(linkage),
    "one_factor": Example(one_factor, gaussian_hidden=True),
    "robust_regression": Example(robust_regression),
    "robust_degrees_of_freedom": Example(robust_degrees_of_freedom, conjugate=False),
    "t_mixture": Example(t_mixture, conjugate=False),
    "group_effects": Example(group_effects),
}
EXAMPLES |= {name: Example(build, conjugate=conjugate) for name, (build, conjugate) in T_VECTORS.items()}
EXAMPLES |= {name: Example(build, gaussian_hidden=True) for name, (build, _, _) in FACTORS.items()}
for members in (COUNTS, CONTINUOUS):
    EXAMPLES |= {name: Example(build, conjugate=conjugate) for name, (build, conjugate) in members.items()}

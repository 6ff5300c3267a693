"""Small problems with latents whose axes may be turned or reflected, each in another way; the laws run on them too."""

from __future__ import annotations

import numpy as np

import emvsmcmc as ev

LOADING = np.array([[1.0, 0.7], [0.9, -0.7], [1.1, 0.6], [0.8, -0.8], [1.0, 0.6], [0.9, -0.6]])


def scores(seed: int, n: int, items: int = 6, noise: float = 0.7) -> np.ndarray:
    r = np.random.default_rng(seed)
    return np.arange(items) + r.normal(size=(n, 2)) @ LOADING[:items].T + noise * r.normal(size=(n, items))


def factor_analysis() -> ev.Problem:
    """Two factors, six items: one rotation, of which the prior knows nothing."""
    with ev.Spec(coords={"item": list("abcdef"), "factor": 2}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims=("item", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        factor = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(loading, factor), sd, dims=("row", "item"))
    return ev.condition(spec, {"x": scores(30, 80)})


def factors_with_holes() -> ev.Problem:
    """One noise for all columns, missing cells, and a weight for each row."""
    with ev.Spec(coords={"item": 5, "factor": 2}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims=("item", "factor"))
        variance = ev.InverseGamma("variance", 2, 1)
        factor = ev.Normal("score", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(loading, factor), variance=variance, dims=("row", "item"))
    x = scores(31, 120, 5)
    r = np.random.default_rng(32)
    x[r.random(x.shape) < 0.1] = np.nan
    return ev.condition(spec, {"x": x}, weights=r.integers(1, 3, 120))


def mixture_of_factors_spec() -> ev.Spec:
    """Two components, each with loadings of its own on one factor."""
    with ev.Spec(coords={"component": 2, "item": 4}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "item"))
        loading = ev.Normal("loading", 0, 2, dims=("component", "item"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        group = ev.Categorical("group", weight, dims="row")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("x", mean[group] + loading[group] * factor, sd, dims=("row", "item"))
    return spec


def mixture_of_factors() -> ev.Problem:
    """A factor whose loadings differ by component: the sign of each component's is free."""
    r = np.random.default_rng(33)
    z = r.integers(0, 2, 160)
    loadings = np.array([[1.0, 0.8, -0.7, 0.5], [0.4, -1.0, 0.6, 0.9]])
    x = np.where(z[:, None], 6.0, 0.0) + loadings[z] * r.normal(size=(160, 1)) + 0.5 * r.normal(size=(160, 4))
    return ev.condition(mixture_of_factors_spec(), {"x": x})


def ordered_factors() -> ev.Problem:
    """Two factors whose loadings have unequal priors: the likelihood may be rotated, the posterior only reflected."""
    with ev.Spec(coords={"item": 6, "factor": 2}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, [2.0, 0.2], dims=("item", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        factor = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(loading, factor), sd, dims=("row", "item"))
    return ev.condition(spec, {"x": scores(34, 60)})


def factor_regression() -> ev.Problem:
    """A factor with a cause and indicators: its sign turns the loadings and the effect of the cause."""
    with ev.Spec(coords={"item": 4}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims="item")
        effect = ev.Normal("effect", 0, 2)
        sd = ev.HalfNormal("sd", 2, dims="item")
        cause = ev.Data("cause", dims="row")
        factor = ev.Normal("factor", effect * cause, 1, dims="row")
        ev.Normal("x", mean + loading * factor, sd, dims=("row", "item"))
    r = np.random.default_rng(35)
    cause = r.normal(size=120)
    f = 0.8 * cause + r.normal(size=120)
    return ev.condition(spec, {"x": f[:, None] * [1.0, -0.8, 0.6, 0.9] + 0.6 * r.normal(size=(120, 4)), "cause": cause})


# {name: (build, generators of the likelihood, generators of the posterior)}
FACTORS = {
    "factor_analysis": (factor_analysis, 1, 1),
    "factors_with_holes": (factors_with_holes, 1, 1),
    "mixture_of_factors": (mixture_of_factors, 0, 0),
    "ordered_factors": (ordered_factors, 1, 0),
    "factor_regression": (factor_regression, 0, 0),
}

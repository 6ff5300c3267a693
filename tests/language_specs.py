"""Small problems that between them use every function and operator of the language; `test_language.py` holds the laws to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import emvsmcmc as ev
from emvsmcmc.spec.expression import Expression

N = 60
m = ev.math


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows() -> dict[str, np.ndarray]:
    r = rng(1)
    x, w = r.uniform(0.2, 2.0, N), r.uniform(0.5, 1.5, N)
    y = 1.0 + 0.7 * x + 0.4 * x**2 + r.normal(0, 0.5, N)
    return {"x": x, "w": w, "y": y}


def two_clusters() -> dict[str, np.ndarray]:
    r = rng(2)
    z = r.integers(0, 2, N)
    return {"y": r.normal(np.array([0.0, 4.0])[z], np.array([1.0, 0.6])[z]), "x": rng(3).normal(size=N)}


def polynomial() -> ev.Problem:
    """Terms in any order, b * x * x, a quotient of covariates, a power: all of it one regression."""
    data = rows()
    with ev.Spec() as spec:
        x, w = ev.Data("x", dims="row"), ev.Data("w", dims="row")
        a, b, c, d = (ev.Normal(name, 0, 5) for name in "abcd")
        mean = x * b + (a + c * x * x) + d * x / w * x**2 + m.log(w) * x * b
        ev.Normal("y", mean, ev.HalfNormal("s", 2), dims="row")
    return ev.condition(spec, data)


def multiplied_out() -> ev.Problem:
    data = rows()
    with ev.Spec(coords={"f": 2}) as spec:
        x, design = ev.Data("x", dims="row"), ev.Data("design", dims=("row", "f"))
        a, b = ev.Normal("a", 0, 5), ev.Normal("b", 0, 5)
        beta = ev.Normal("beta", 0, 5, dims="f")
        mean = -((a - b * x) * x) + (design @ beta) * x + design[:, 1] * b
        ev.Normal("y", mean, ev.HalfNormal("s", 2), dims="row")
    return ev.condition(spec, {"x": data["x"], "y": data["y"], "design": rng(4).normal(size=(N, 2))})


def curved_mean() -> ev.Problem:
    data = rows()
    with ev.Spec() as spec:
        x = ev.Data("x", dims="row")
        a, b = ev.Normal("a", 0, 2), ev.HalfNormal("b", 2)
        ev.Normal("y", m.exp(a) * x + m.log1p(b) * x**2 + m.sqrt(b), m.exp(ev.Normal("log_sd", 0, 1)), dims="row")
    return ev.condition(spec, {"x": data["x"], "y": data["y"]})


def ordered_means() -> ev.Problem:
    """A PyMC user's way to name components: the first mean, and a positive step."""
    with ev.Spec(coords={"k": 2}) as spec:
        low, step = ev.Normal("low", 0, 5), ev.HalfNormal("step", 5)
        mean = m.stack([low, low + step], dim="k")
        z = ev.Categorical("z", ev.Dirichlet("weight", [2.0, 2.0], dims="k"), dims="row")
        ev.Normal("y", mean[z], ev.HalfNormal("s", 2, dims="k")[z], dims="row")
    return ev.condition(spec, {"y": two_clusters()["y"]})


def softmax_weights() -> ev.Problem:
    with ev.Spec(coords={"k": ["a", "b", "c"]}) as spec:
        eta = ev.Normal("eta", 0, 1, dims="k")
        z = ev.Categorical("z", m.softmax(m.stack([0.0, eta[1], eta["c"]], dim="k") + 0.1 * eta[0] ** 2), dims="row")
        mean = ev.Normal("mean", 0, 5, dims="k")
        ev.Normal("y", mean[z], variance=ev.InverseGamma("v", 2, 1), dims="row")
    y = np.concatenate([rng(5).normal(c, 0.5, 20) for c in (-3, 0, 3)])
    return ev.condition(spec, {"y": y})


def logistic() -> ev.Problem:
    data = rows()
    with ev.Spec() as spec:
        x = ev.Data("x", dims="row")
        a, b = ev.Normal("a", 0, 2), ev.Normal("b", 0, 2)
        ev.Binomial("y", 6, m.sigmoid(a + b * x), dims="row")
    return ev.condition(spec, {"x": data["x"], "y": rng(6).binomial(6, 1 / (1 + np.exp(1 - data["x"])))})


def mixed_odds() -> ev.Problem:
    with ev.Spec(coords={"item": 4}) as spec:
        z = ev.Bernoulli("z", m.sigmoid(ev.Normal("ability", 0, 1)), dims="row")
        low, up = ev.Normal("low", 0, 1, dims="item"), ev.HalfNormal("up", 2, dims="item")
        ev.Bernoulli("y", m.sigmoid(low + up * (2 * z_value(z) - 1)), dims=("row", "item"))
    y = (rng(7).random((N, 4)) < np.where(rng(8).random((N, 1)) < 0.5, 0.8, 0.3)).astype(int)
    return ev.condition(spec, {"y": y})


def z_value(z: Expression) -> Expression:
    """0 or 1 where z is 0 or 1: a constant table looked up."""
    return ev.constant([0.0, 1.0])[z]


def rates() -> ev.Problem:
    data = rows()
    with ev.Spec(coords={"k": 2}) as spec:
        x = ev.Data("x", dims="row")
        z = ev.Categorical("z", [0.4, 0.6], dims="row")
        a, b = ev.Normal("a", 0, 2, dims="k"), ev.Normal("b", 0, 2)
        ev.Poisson("y", m.exp(a[z] + x * b * x) * x**1.5 + m.expm1(m.abs(b)), dims="row")
    return ev.condition(spec, {"x": data["x"], "y": rng(9).poisson(2 * data["x"])})


def precisions() -> ev.Problem:
    data = two_clusters()
    with ev.Spec(coords={"k": 2}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("weight", 2.0, dims="k"), dims="row")
        mean, tau = ev.Normal("mean", 0, 5, dims="k"), ev.Gamma("tau", 2, 1, dims="k")
        w = ev.Data("w", dims="row")
        ev.Normal("y", mean[z], 1 / m.sqrt(tau[z] * w), dims="row")
    return ev.condition(spec, {"y": data["y"], "w": rows()["w"].round(1)})


def positions() -> ev.Problem:
    """C[t, 1] and mean[0]: positions beside a variable, in slots with a closed form."""
    data = two_clusters()
    with ev.Spec(coords={"k": 2, "f": ["u", "v"]}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("weight", 2.0, dims="k"), dims="row")
        c, s = ev.Normal("c", 0, 5, dims=("k", "f")), ev.HalfNormal("s", 2, dims=("f", "k"))
        ev.Normal("y", c[z, 1], s[0, z], dims="row")
        ev.Normal("x", c[z, "u"] + c[0, 1], s["v"][z], dims="row")
    return ev.condition(spec, data)


def covariance_position() -> ev.Problem:
    with ev.Spec(coords={"k": 2, "f": 2}) as spec:
        mean = ev.Normal("mean", 0, 5, dims=("k", "f"))
        cov = ev.InverseWishart("cov", 5, np.eye(2), dims=("k", "f", "f_bis"))
        z = ev.Bernoulli("z", ev.Beta("p", 2, 2), dims="row")
        which = ev.constant([1.0, 0.0])[z]
        ev.MvNormal("y", mean[0] * which + mean[1] * (1 - which), cov[0], dims=("row", "f"))
        ev.MvNormal("x", mean[1], cov[1], dims=("row", "f"))
    y = rng(10).normal(size=(N, 2)) + 4 * rng(11).integers(0, 2, (N, 1))
    return ev.condition(spec, {"y": y, "x": rng(12).normal(size=(N, 2)) @ np.array([[1, 0.5], [0, 1]])})


def factor() -> ev.Problem:
    """A latent under functions of parameters: a positive loading, a residual scale on the log scale."""
    with ev.Spec(coords={"item": 3}) as spec:
        f = ev.Normal("f", 0, 1, dims="row")
        load, mean = ev.Normal("load", 0, 0.5, dims="item"), ev.Normal("mean", 0, 3, dims="item")
        ev.Normal("y", mean + m.exp(load) * f, m.exp(ev.Normal("noise", 0, 1, dims="item")), dims=("row", "item"))
    y = rng(13).normal(size=(N, 1)) * [1.0, 0.7, 1.5] + rng(14).normal(size=(N, 3)) * 0.6
    y[3, 1] = np.nan
    return ev.condition(spec, {"y": y})


def parametrised_priors() -> ev.Problem:
    """Every prior by its other arguments, some of them parameters themselves."""
    data = two_clusters()
    with ev.Spec(coords={"k": 2}) as spec:
        z = ev.Bernoulli("z", ev.Beta("p", mu=0.4, nu=5), dims="row")
        hyper = ev.Gamma("hyper", mu=1.0, sigma=0.5)
        mean = ev.Normal("mean", 1, tau=[0.1, 0.2], dims="k")
        sd = ev.HalfNormal("sd", tau=hyper, dims="k")
        slope = ev.StudentT("slope", 4, 0, lam=2.0)
        ev.Normal("y", stacked(mean, z), variance=sd[0] ** 2, dims="row")
        ev.Normal("w", 1, sd[1], dims="row")
        v = ev.InverseGamma("v", mu=ev.Exponential("scale", scale=2.0), sigma=1.5)
        ev.Normal("x", slope * 0.5, m.sqrt(v), dims="row")
        ev.Binomial("hits", 5, ev.Beta("q", mu=0.3, sigma=0.2), dims="row")
    return ev.condition(spec, data | {"hits": rng(16).binomial(5, 0.3, N), "w": rows()["w"]})


def stacked(mean: Expression, z: Expression) -> Expression:
    """mean[z], by hand: z counts 0 and 1."""
    return m.stack([mean[0], mean[1]], dim="k")[z]


def parametrised_children() -> ev.Problem:
    r, data = rng(15), two_clusters()
    with ev.Spec(coords={"k": ["a", "b"], "level": 3, "other": [1, 2]}) as spec:
        z = ev.Categorical("z", logit_p=m.stack([0.0, ev.Normal("odds", 0, 1)], dim="k"), dims="row")
        ev.Normal("y", ev.Normal("mean", 0, 5, dims="k")[z], tau=ev.Gamma("tau", 2, 1, dims="k")[z], dims="row")
        ev.Exponential("wait", scale=ev.HalfNormal("scale", 3, dims="k")[z], dims="row")
        ev.Bernoulli("hit", logit_p=ev.Normal("eta", 0, 1, dims="k")[z], dims="row")
        ev.Binomial("hits", 4, logit_p=0.3 * ev.Normal("slope", 0, 1) - 0.2, dims="row")
        table = ev.Normal("table", 0, 1, dims=("k", "other"))  # against the first level, which the data need
        ev.Categorical("answer", logit_p=m.stack([0.0, table[z, 0], table[z, 1]], dim="level"), dims="row")
        ev.StudentT("far", 4, 0.5, lam=ev.Gamma("lam", mu=1, sigma=1), dims="row")
    return ev.condition(spec, {
        "y": data["y"], "wait": r.exponential(2, N), "hit": r.integers(0, 2, N), "hits": r.integers(0, 5, N),
        "answer": r.integers(0, 3, N), "far": r.standard_t(4, N),
    })  # fmt: skip


LANGUAGE: dict[str, Callable[[], ev.Problem]] = {
    f.__name__: f
    for f in (
        polynomial, multiplied_out, curved_mean, ordered_means, softmax_weights, logistic, mixed_odds, rates, precisions,
        positions, covariance_position, factor, parametrised_priors, parametrised_children,
    )
}  # fmt: skip

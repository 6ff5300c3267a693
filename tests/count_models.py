"""Mixtures and regressions of counts, each with its textbook likelihood in unconstrained values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logsumexp

import emvsmcmc as ev

Objective = Callable[[np.ndarray], float]  # of unconstrained values


def two(weight: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Log density of a mixture of two, the log-odds of the second given."""
    return logsumexp([np.log(expit(-weight)) + first, np.log(expit(weight)) + second], axis=0)


@dataclass(frozen=True)
class Model:
    """A model, its data, the textbook log-likelihood and log prior of unconstrained values, and EM's answer in them."""

    spec: ev.Spec
    data: dict[str, Any]
    rows: Callable[[np.ndarray], np.ndarray]  # (n,) log-likelihood of each row
    prior: Objective
    pack: Callable[[Any], np.ndarray]
    starts: list[Any]


def mixture(child: Callable[[Any], None], **parameters: Callable[[str], Any]) -> ev.Spec:
    with ev.Spec(coords={"component": 2, "category": 3}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        found = {name: declare(name) for name, declare in parameters.items()}
        group = ev.Categorical("group", weight, dims="row")
        child({name: v[group] for name, v in found.items()})
    return spec


def log_odds(weight: Any) -> float:
    return float(np.log(weight[1] / weight[0]))


def weight_prior(u: float) -> float:
    """Of Dirichlet(2, 2), in the probabilities as declared."""
    return float(stats.beta.logpdf(expit(u), 2, 2))


def negative_binomials() -> Model:
    spec = mixture(
        lambda q: ev.NegativeBinomial("y", q["mu"], q["alpha"], dims="row"),
        mu=lambda n: ev.Gamma(n, 2.0, 0.2, dims="component"),
        alpha=lambda n: ev.Gamma(n, 2.0, 0.5, dims="component"),
    )
    r = np.random.default_rng(1)
    z = r.random(400) < 0.4
    y = r.poisson(np.where(z, 25.0, 3.0) * r.gamma(np.where(z, 5.0, 2.0)) / np.where(z, 5.0, 2.0))

    def rows(u: np.ndarray) -> np.ndarray:
        mu, alpha = np.exp(u[1:3]), np.exp(u[3:5])
        return two(u[0], *(stats.nbinom.logpmf(y, a, a / (a + m)) for m, a in zip(mu, alpha, strict=True)))

    def prior(u: np.ndarray) -> float:
        mu, alpha = np.exp(u[1:3]), np.exp(u[3:5])
        return weight_prior(u[0]) + float(stats.gamma.logpdf(mu, 2, scale=5).sum() + stats.gamma.logpdf(alpha, 2, scale=2).sum())

    return Model(
        spec, {"y": y.astype(float)}, rows, prior,
        lambda x: np.r_[log_odds(x.weight.values), np.log(x.mu.values), np.log(x.alpha.values)],
        [[0, 1, 3, 0, 0], [-1, 0, 2, 1, 1], [1, 0.5, 4, 0.5, 2]],
    )  # fmt: skip


def beta_binomials() -> Model:
    spec = mixture(
        lambda q: ev.BetaBinomial("y", q["alpha"], q["beta"], ev.Data("trials", dims="row"), dims="row"),
        alpha=lambda n: ev.Gamma(n, 2.0, 0.5, dims="component"),
        beta=lambda n: ev.Gamma(n, 2.0, 0.5, dims="component"),
    )
    r = np.random.default_rng(2)
    n, z = r.integers(18, 23, 400), r.random(400) < 0.5
    y = r.binomial(n, r.beta(np.where(z, 7.0, 2.0), np.where(z, 2.0, 14.0)))

    def rows(u: np.ndarray) -> np.ndarray:
        alpha, beta = np.exp(u[1:3]), np.exp(u[3:5])
        return two(u[0], *(stats.betabinom.logpmf(y, n, a, b) for a, b in zip(alpha, beta, strict=True)))

    def prior(u: np.ndarray) -> float:
        return weight_prior(u[0]) + float(stats.gamma.logpdf(np.exp(u[1:]), 2, scale=2).sum())

    return Model(
        spec, {"y": y.astype(float), "trials": n}, rows, prior,
        lambda x: np.r_[log_odds(x.weight.values), np.log(x.alpha.values), np.log(x.beta.values)],
        [[0, 0, 1, 1, 0], [0, 0.5, 2, 2, 0.5], [-1, 0, 2, 3, 1]],
    )  # fmt: skip


def geometrics() -> Model:
    spec = mixture(lambda q: ev.Geometric("y", q["p"], dims="row"), p=lambda n: ev.Beta(n, 2.0, 3.0, dims="component"))
    r = np.random.default_rng(3)
    y = np.where(r.random(300) < 0.5, r.geometric(0.7, 300), r.geometric(0.06, 300))

    def rows(u: np.ndarray) -> np.ndarray:
        return two(u[0], *(stats.geom.logpmf(y, p) for p in expit(u[1:])))

    def prior(u: np.ndarray) -> float:
        return weight_prior(u[0]) + float(stats.beta.logpdf(expit(u[1:]), 2, 3).sum())

    def pack(x: Any) -> np.ndarray:
        return np.r_[log_odds(x.weight.values), np.log(x.p.values / (1 - x.p.values))]

    return Model(spec, {"y": y.astype(float)}, rows, prior, pack, [[0, 1, -2], [0, 0, -3], [-1, 2, -1]])


def multinomials() -> Model:
    spec = mixture(
        lambda q: ev.Multinomial("y", ev.Data("trials", dims="row"), q["p"], dims=("row", "category")),
        p=lambda n: ev.Dirichlet(n, 1.5, dims=("component", "category")),
    )
    r = np.random.default_rng(4)
    n, z = r.integers(4, 9, 250), r.integers(0, 2, 250)
    y = r.multinomial(n, np.array([[0.6, 0.3, 0.1], [0.15, 0.25, 0.6]])[z])

    def probabilities(u: np.ndarray) -> np.ndarray:
        logits = np.c_[u[1:].reshape(2, 2), np.zeros(2)]
        return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))

    def rows(u: np.ndarray) -> np.ndarray:
        return two(u[0], *(stats.multinomial.logpmf(y, n, p / p.sum()) for p in probabilities(u)))

    def prior(u: np.ndarray) -> float:
        return weight_prior(u[0]) + float(sum(stats.dirichlet.logpdf(p / p.sum(), [1.5] * 3) for p in probabilities(u)))

    def pack(x: Any) -> np.ndarray:
        p = x.p.values
        return np.r_[log_odds(x.weight.values), np.log(p[:, :2] / p[:, 2:]).ravel()]

    return Model(
        spec, {"y": y.astype(float), "trials": n}, rows, prior, pack, [[0, 2, 1, -1, -1], [0, 1, 0, -2, 0], [0.5, 1, 1, 0, 0]]
    )


def negative_binomial_regression() -> Model:
    with ev.Spec() as spec:
        a, b = ev.Normal("a", 0, 5), ev.Normal("b", 0, 2)
        alpha = ev.Gamma("alpha", 2.0, 0.5)
        ev.NegativeBinomial("y", ev.exp(a + b * ev.Data("x", dims="row")), alpha, dims="row")
    r = np.random.default_rng(5)
    x = r.normal(size=300)
    y = r.poisson(np.exp(1.0 + 0.7 * x) * r.gamma(2.0, 0.5, 300))

    def rows(u: np.ndarray) -> np.ndarray:
        mu, alpha = np.exp(u[0] + u[1] * x), np.exp(u[2])
        return stats.nbinom.logpmf(y, alpha, alpha / (alpha + mu))

    def prior(u: np.ndarray) -> float:
        return float(stats.norm.logpdf(u[0], 0, 5) + stats.norm.logpdf(u[1], 0, 2) + stats.gamma.logpdf(np.exp(u[2]), 2, scale=2))

    def pack(e: Any) -> np.ndarray:
        return np.r_[float(e.a), float(e.b), np.log(float(e.alpha))]

    return Model(spec, {"x": x, "y": y.astype(float)}, rows, prior, pack, [[0, 0, 0], [1, 1, 1]])


MODELS = {f.__name__: f for f in (negative_binomials, beta_binomials, geometrics, multinomials, negative_binomial_regression)}

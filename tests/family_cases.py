"""Cases of every family: arguments, values, their density as somebody else computes it, moments of draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from count_families import count_cases
from scipy import stats
from scipy.special import gammaln, i0e, i1e

from emvsmcmc.families import BY_NAME

COV = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.7]])
MATRICES = np.stack([COV, np.eye(3), 0.3 * COV + 0.1 * np.eye(3)])
VECTORS = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0], [4.0, -1.0, 30.0]])
P3 = np.array([0.2, 0.5, 0.3])
Moment = tuple[Callable[[np.ndarray], np.ndarray], Any]  # (statistic of draws (size, *shape), its expectation)


@dataclass(frozen=True)
class Case:
    """Arguments, some values, their log density as somebody else computes it, and what draws should average to."""

    arguments: dict[str, Any]
    values: np.ndarray
    reference: np.ndarray
    moments: list[Moment] = field(default_factory=list)
    shape: tuple[int, ...] = ()  # of one value


def scipy_case(distribution: Any, values: list[float], **arguments: float) -> Case:
    x = np.array(values)
    density = (
        distribution.logpmf(x)
        if hasattr(distribution.dist, "_pmf") and hasattr(distribution, "logpmf")
        else distribution.logpdf(x)
    )
    mean, variance = (float(m) for m in distribution.stats("mv"))
    moments: list[Moment] = [(lambda x: x, mean), (lambda x: (x - mean) ** 2, variance)]
    return Case(arguments, x, density, moments if np.isfinite([mean, variance]).all() else [])


def lkj_log_density(x: np.ndarray, eta: float, scale: float) -> np.ndarray:
    """LKJ(eta) correlations and HalfNormal(scale) deviations, carried to the matrix by the Jacobian 2^p prod s^p.

    Z = prod_k pi^(k/2) Gamma(eta + (p - 1 - k)/2) / Gamma(eta + (p - 1)/2), another form than the package's.
    """
    p = x.shape[-1]
    s = np.sqrt(np.diagonal(x, axis1=-2, axis2=-1))
    correlation = x / (s[..., :, None] * s[..., None, :])
    k = np.arange(1, p)
    log_z = (k / 2 * np.log(np.pi) + gammaln(eta + (p - 1 - k) / 2) - gammaln(eta + (p - 1) / 2)).sum()
    deviations = (stats.halfnorm(scale=scale).logpdf(s) - p * np.log(s) - np.log(2)).sum(-1)
    return (eta - 1) * np.log(np.linalg.det(correlation)) - log_z + deviations


def indicator(k: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: (x == k).astype(float)


CASES: dict[str, list[Case]] = {
    "Normal": [
        scipy_case(stats.norm(1.5, 2.0), [-3.0, 0.0, 1.5, 80.0], mu=1.5, sigma=2.0),
        scipy_case(stats.norm(1.5, 2.0), [-3.0, 0.0, 1.5, 80.0], mu=1.5, variance=4.0),
    ],
    "MvNormal": [
        Case(
            {"mu": np.array([1.0, 0.0, -2.0]), "cov": COV},
            np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0], [4.0, -1.0, 3.0]]),
            stats.multivariate_normal([1.0, 0.0, -2.0], COV).logpdf([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0], [4.0, -1.0, 3.0]]),
            [
                (lambda x: x, [1.0, 0.0, -2.0]),
                (lambda x: (x - [1, 0, -2])[:, :, None] * (x - [1, 0, -2])[:, None, :], COV),
            ],
            (3,),
        )
    ],
    "StudentT": [
        scipy_case(stats.t(9.0, 1.5, 2.0), [-3.0, 0.0, 1.5, 80.0], nu=9.0, mu=1.5, sigma=2.0),
        # without a variance: quantiles instead
        Case(
            {"nu": 1.5, "mu": 0.0, "sigma": 2.0},
            np.array([-300.0, 0.0, 1e6]),
            stats.t.logpdf([-300.0, 0.0, 1e6], 1.5, scale=2.0),
            [(lambda x, q=q: (x < stats.t.ppf(q, 1.5, scale=2.0)).astype(float), q) for q in (0.1, 0.25, 0.9)],
        ),
        scipy_case(stats.t(50.0, 1.5, 2.0), [-3.0, 0.0, 1.5, 80.0], nu=50.0, mu=1.5, sigma=2.0),
    ],
    "MvStudentT": [
        Case(
            {"nu": 9.0, "mu": np.array([1.0, 0.0, -2.0]), "scale": COV},
            VECTORS,
            stats.multivariate_t([1.0, 0.0, -2.0], COV, 9.0).logpdf(VECTORS),
            [
                (lambda x: x, [1.0, 0.0, -2.0]),
                (lambda x: (x - [1, 0, -2])[:, :, None] * (x - [1, 0, -2])[:, None, :], 9 / 7 * COV),
                # the squares of two independent entries are not independent: they share a scale
                (lambda x: (x[:, 1] * (x[:, 2] + 2 - 0.2 * x[:, 1])) ** 2, (9 / 7) ** 2 * (7 / 5) * (0.7 - 0.04)),
            ],
            (3,),
        ),
        # without a variance, and two entries: quantiles instead
        Case(
            {"nu": 1.5, "mu": np.zeros(2), "scale": COV[:2, :2]},
            100 * VECTORS[:, :2],
            stats.multivariate_t([0.0, 0.0], COV[:2, :2], 1.5).logpdf(100 * VECTORS[:, :2]),
            [(lambda x, q=q: (x[:, 1] < stats.t.ppf(q, 1.5)).astype(float), q) for q in (0.1, 0.25, 0.9)],
            (2,),
        ),
    ],
    "Categorical": [Case({"p": P3}, np.array([0, 1, 2]), np.log(P3), [(indicator(k), P3[k]) for k in range(3)])],
    "Bernoulli": [scipy_case(stats.bernoulli(0.3), [0, 1], p=0.3)],
    "Binomial": [scipy_case(stats.binom(7, 0.3), [0, 1, 5, 7], n=7, p=0.3), scipy_case(stats.binom(7, 1.0), [7], n=7, p=1.0)],
    "Poisson": [scipy_case(stats.poisson(3.5), [0, 1, 4, 50], mu=3.5)],
    "Exponential": [scipy_case(stats.expon(scale=1 / 0.7), [0.0, 0.2, 9.0], lam=0.7)],
    "Dirac": [Case({"c": 2.0}, np.array([2.0, 1.0]), np.array([0.0, -np.inf]), [(lambda x: x, 2.0)])],
    "Dirichlet": [
        Case(
            {"a": np.array([0.8, 2.0, 4.0])},
            np.array([[0.2, 0.5, 0.3], [0.01, 0.01, 0.98]]),
            stats.dirichlet([0.8, 2.0, 4.0]).logpdf(np.array([[0.2, 0.5, 0.3], [0.01, 0.01, 0.98]]).T),
            [
                (lambda x: x, np.array([0.8, 2, 4]) / 6.8),
                (lambda x: (x - np.array([0.8, 2, 4]) / 6.8) ** 2, stats.dirichlet([0.8, 2, 4]).var()),
            ],
            (3,),
        )
    ],
    "Beta": [scipy_case(stats.beta(2.5, 1.2), [0.01, 0.5, 0.99], alpha=2.5, beta=1.2)],
    "Uniform": [scipy_case(stats.uniform(-1, 4), [-1.0, 0.0, 2.9], lower=-1.0, upper=3.0)],
    "Gamma": [scipy_case(stats.gamma(2.5, scale=1 / 0.4), [0.1, 3.0, 30.0], alpha=2.5, beta=0.4)],
    "InverseGamma": [scipy_case(stats.invgamma(9.0, scale=4.0), [0.1, 0.5, 3.0], alpha=9.0, beta=4.0)],
    "LogNormal": [scipy_case(stats.lognorm(0.6, scale=np.exp(1.2)), [0.05, 3.0, 40.0], mu=1.2, sigma=0.6)],
    "Weibull": [scipy_case(stats.weibull_min(1.7, scale=2.5), [0.05, 1.0, 9.0], alpha=1.7, beta=2.5)],
    "VonMises": [
        Case(
            {"mu": 0.8, "kappa": kappa},
            np.array([-3.1, 0.0, 0.8, 2.5]),
            stats.vonmises(kappa, 0.8).logpdf([-3.1, 0.0, 0.8, 2.5]),
            [(np.cos, i1e(kappa) / i0e(kappa) * np.cos(0.8)), (np.sin, i1e(kappa) / i0e(kappa) * np.sin(0.8))],
        )
        for kappa in (0.3, 2.5, 150.0)
    ],
    "HalfNormal": [scipy_case(stats.halfnorm(scale=2.5), [0.01, 2.0, 9.0], sigma=2.5)],
    "HalfCauchy": [
        # without moments: quartiles instead
        Case(
            {"beta": 1.5},
            np.array([0.01, 1.5, 99.0]),
            stats.halfcauchy(scale=1.5).logpdf([0.01, 1.5, 99.0]),
            [(lambda x, q=q: (x < stats.halfcauchy(scale=1.5).ppf(q)).astype(float), q) for q in (0.25, 0.5, 0.75)],
        )
    ],
    "InverseWishart": [
        Case(
            {"nu": 14.0, "scale": 5 * COV},
            MATRICES,
            np.array([stats.invwishart(14, 5 * COV).logpdf(m) for m in MATRICES]),
            [
                (lambda x: x, 5 * COV / (14 - 3 - 1)),
                (lambda x: x[:, [0], [0]] ** 2, stats.invwishart(14, 5 * COV).var()[0, 0] + 1.0),
            ],
            (3, 3),
        )
    ],
    "LKJCov": [
        Case(
            {"eta": 2.5, "sd": (BY_NAME["HalfNormal"], {"sigma": 2.0})},
            MATRICES,
            lkj_log_density(MATRICES, 2.5, 2.0),
            # a correlation is Beta(b, b) on (-1, 1) with b = eta + p/2 - 1 = 3
            [
                (lambda x: x[:, 0, 1] / np.sqrt(x[:, 0, 0] * x[:, 1, 1]), 0.0),
                (lambda x: x[:, 1, 2] ** 2 / (x[:, 1, 1] * x[:, 2, 2]), 1 / 7),
                (lambda x: x[:, 0, 0], 4.0),
            ],
            (3, 3),
        )
    ],
}
CASES |= count_cases(Case, scipy_case)

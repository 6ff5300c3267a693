"""What the programs on Gaussian mixtures share: rows, starts, our loop without acceleration, and scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from protocol import Absent

import emvsmcmc as ev
from emvsmcmc.em.mstep import MStep
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.rows import expect, reference_points
from emvsmcmc.problem.chunked import in_memory
from emvsmcmc.spec.evaluate import Environment


def sklearn_version() -> dict[str, str]:
    """{"scikit-learn": its version}, empty where it is not installed."""
    try:
        import sklearn
    except ImportError:
        return {}
    return {"scikit-learn": sklearn.__version__}


def clusters(n: int, d: int, K: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows, true means) of a mixture whose covariances differ."""
    rng = np.random.default_rng(seed)
    mean = apart * rng.normal(size=(K, d))
    root = rng.normal(size=(K, d, d)) / np.sqrt(d) + np.eye(d)
    z = rng.integers(0, K, n)
    x = np.empty((n, d))
    for k in range(K):
        x[z == k] = mean[k] + rng.normal(size=(int((z == k).sum()), d)) @ root[k]
    return x, mean


def mixture(x: np.ndarray, K: int) -> ev.Problem:
    """Full covariances, one a component."""
    d = x.shape[1]
    with ev.Spec(coords={"component": K, "feature": d}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "feature"))
        cov = ev.InverseWishart("cov", d + 2, np.eye(d), dims=("component", "feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("x", mean[group], cov[group], dims=("row", "feature"))
    return in_memory(ev.condition(spec, {"x": x}), "a benchmark")


def start(plan: Plan, mean: np.ndarray, covariance: np.ndarray) -> Environment:
    """Equal weights, the given means, one covariance for all."""
    K = len(mean)
    return plan.environment({"weight": np.full(K, 1 / K), "mean": mean, "cov": np.tile(covariance, (K, 1, 1))})


def iterated(plan: Plan, env: Environment, iterations: int) -> tuple[Environment, float]:
    """Parameters after so many iterations without acceleration, and the log-likelihood of the last E-step, which is one step
    older, as scikit-learn has it."""
    mstep, rho, value = MStep(plan, ML), None, -np.inf
    for _ in range(iterations):
        value, S = expect(plan, coefficients(plan, env, rho))
        rho = reference_points(S)
        env = mstep(env, S)
    return env, value


def sklearn_fitted(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray, iterations: int) -> Any:
    """scikit-learn's GaussianMixture after so many iterations from the same start, nothing added to its covariances. Its own
    start, which ours replaces, is the cheapest it has. Raises Absent."""
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError:
        raise Absent("scikit-learn", "it is not installed") from None
    K = len(mean)
    model = GaussianMixture(
        K, max_iter=iterations, tol=0.0, reg_covar=0.0, init_params="random_from_data", weights_init=np.full(K, 1 / K),
        means_init=mean, precisions_init=np.tile(np.linalg.inv(covariance), (K, 1, 1)), random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has not converged, which is what was asked
        return model.fit(x)

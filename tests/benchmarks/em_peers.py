"""EM against scikit-learn and against the matrix products alone, in one run: same data, same start, same log-likelihood.

    iteration  20 iterations of a mixture with full covariances from the same start; both sides' log-likelihoods must be equal.
    The
               limit is what BLAS takes for the two products (rows x monomials) and (responsibilities' x monomials).
    optimum    one poor start of an overlapping mixture, each run until it is within 1e-6 of the optimum.
    factors    factor analysis from its own start, to the same log-likelihood.
    rows       time of an iteration per row, from 10^4 rows upwards.

Two sides alternate; figures are medians over repeats, ratios with their range. Without scikit-learn its rows are named as absent.

    python tests/benchmarks/em_peers.py [--only iteration ...] [--repeats 5] [--largest 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import emvsmcmc as ev
from emvsmcmc.em.iterate import Loop
from emvsmcmc.em.mstep import MStep
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.plan import Plan, make_plan
from emvsmcmc.expect.rows import expect, reference_points
from emvsmcmc.spec.graph import Environment

try:
    from sklearn.decomposition import FactorAnalysis
    from sklearn.mixture import GaussianMixture
except ImportError:
    GaussianMixture = FactorAnalysis = None

ITERATIONS = 20


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
    d = x.shape[1]
    with ev.Spec(coords={"component": K, "feature": d}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "feature"))
        cov = ev.InverseWishart("cov", d + 2, np.eye(d), dims=("component", "feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("x", mean[group], cov[group], dims=("row", "feature"))
    return ev.condition(spec, {"x": x})


def start(plan: Plan, mean: np.ndarray, covariance: np.ndarray) -> Environment:
    K = len(mean)
    return plan.environment({"weight": np.full(K, 1 / K), "mean": mean, "cov": np.tile(covariance, (K, 1, 1))})


def ours_iterated(plan: Plan, env: Environment, iterations: int) -> tuple[Environment, float]:
    """Parameters and log-likelihood after so many iterations, the log-likelihood that of the last E-step, as scikit-learn has
    it.
    """
    mstep, rho, value = MStep(plan, False), None, -np.inf
    for _ in range(iterations):
        value, S = expect(plan, coefficients(plan, env, rho))
        rho = reference_points(S)
        env = mstep(env, S)
    return env, value


def theirs_fitted(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray, iterations: int) -> Any:
    K = len(mean)
    model = GaussianMixture(
        K, max_iter=iterations, tol=0.0, reg_covar=0.0, init_params="random_from_data", weights_init=np.full(K, 1 / K),
        means_init=mean, precisions_init=np.tile(np.linalg.inv(covariance), (K, 1, 1)), random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x)


def taken(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def ratios(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> dict[str, float]:
    ours(), theirs()
    pairs = [(taken(ours), taken(theirs)) for _ in range(repeats)]
    found = [b / a for a, b in pairs]
    return {
        "ours": statistics.median(a for a, _ in pairs),
        "theirs": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(found),
        "least": min(found),
        "most": max(found),
    }


def iteration(repeats: int, largest: int) -> dict[str, Any]:
    n, d, K = 200_000, 10, 8
    x, mean = clusters(n, d, K, 1.5)
    covariance = np.cov(x.T)
    plan = make_plan(mixture(x, K))
    first = start(plan, mean + 0.3, covariance)
    out: dict[str, Any] = {}
    rows, cols = np.triu_indices(d + 1)
    one = np.column_stack([np.ones(n), x])
    monomials = one[:, rows] * one[:, cols]
    table, responsibility = np.random.default_rng(0).normal(size=(monomials.shape[1], K)), np.full((n, K), 1 / K)

    def products() -> None:
        for _ in range(ITERATIONS):
            monomials @ table
            responsibility.T @ monomials

    out["the two products alone (theirs / ours)"] = ratios(lambda: ours_iterated(plan, first, ITERATIONS), products, repeats)
    if GaussianMixture is not None:
        theirs = theirs_fitted(x, mean + 0.3, covariance, ITERATIONS)
        _, value = ours_iterated(plan, first, ITERATIONS)
        same(value, float(theirs.lower_bound_) * n)
        out["scikit-learn"] = ratios(
            lambda: ours_iterated(plan, first, ITERATIONS), lambda: theirs_fitted(x, mean + 0.3, covariance, ITERATIONS), repeats
        )
    return out


def optimum(repeats: int, largest: int) -> dict[str, Any]:
    n, d, K = 20_000, 2, 3
    x, _ = clusters(n, d, K, 1.0, seed=3)
    covariance = np.cov(x.T)
    plan = make_plan(mixture(x, K))
    poor = x[:K] * 0.1 + x.mean(axis=0)
    run = Loop(plan, MStep(plan, False), False, 1e-9, 100_000, True).run(start(plan, poor, covariance))
    top = run.objective

    def ours() -> None:
        Loop(plan, MStep(plan, False), False, 1e-6, 100_000, True).run(start(plan, poor, covariance))

    out: dict[str, Any] = {"passes of ours": run.passes, "log-likelihood": top}
    if GaussianMixture is not None:
        few = 100
        model = theirs_fitted(x, poor, covariance, few)
        model.set_params(warm_start=True)
        iterations = few
        while top - model.score(x) * n > 1e-6 and iterations < 200_000:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(x)
            iterations += few
        out["iterations of scikit-learn"] = iterations
        out["reached"] = bool(top - model.score(x) * n <= 1e-6)
        out["scikit-learn"] = ratios(ours, lambda: theirs_fitted(x, poor, covariance, iterations), max(1, repeats // 3))
    return out


def factors(repeats: int, largest: int) -> dict[str, Any]:
    n, d, k = 50_000, 50, 5
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) + rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d)
    with ev.Spec(coords={"item": d, "factor": k}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims=("item", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        ability = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(loading, ability), sd, dims=("row", "item"))

    def ours() -> ev.EMFit:
        return ev.fit_em(ev.condition(spec, {"x": x}), starts=1, standard_errors=None, tol=1e-6, random_seed=0, progress=False)

    out: dict[str, Any] = {"log-likelihood": ours().log_likelihood}
    if FactorAnalysis is not None:

        def theirs() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return FactorAnalysis(k, tol=1e-8, max_iter=100_000, svd_method="lapack").fit(x)

        out["scikit-learn's log-likelihood"] = float(theirs().score(x) * n)
        out["scikit-learn"] = ratios(ours, theirs, max(1, repeats // 3))
    return out


def rows(repeats: int, largest: int) -> dict[str, Any]:
    out = {}
    for n in [10**e for e in range(4, 9) if 10**e <= largest]:
        x, mean = clusters(n, 4, 3, 1.5)
        plan = make_plan(mixture(x, 3))
        first = start(plan, mean + 0.3, np.cov(x.T))
        run = lambda plan=plan, first=first: ours_iterated(plan, first, 5)  # noqa: E731
        run()
        out[f"{n:,} rows, nanoseconds a row"] = 1e9 * statistics.median(taken(run) for _ in range(repeats)) / 5 / n
    return out


def same(ours: float, theirs: float) -> None:
    if abs(ours - theirs) > 1e-9 * abs(ours):
        sys.exit(f"log-likelihoods differ, {ours!r} and {theirs!r}: their speeds cannot be compared")


PARTS = {"iteration": iteration, "optimum": optimum, "factors": factors, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if GaussianMixture is None:
        print("scikit-learn is absent")
    found = {}
    for name in options.only:
        found[name] = PARTS[name](options.repeats, options.largest)
        for label, value in found[name].items():
            told = value
            if isinstance(value, dict):
                told = "{ours:.4g} s against {theirs:.4g} s, ratio {ratio:.3g} ({least:.3g} to {most:.3g})".format(**value)
            print(f"{name:<10} {label}: {told}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

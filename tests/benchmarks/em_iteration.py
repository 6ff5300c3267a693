"""EM iterations of a Gaussian mixture with full covariances, 200,000 x 10, K = 8, from the same parameters: 20 on each side.

Against scikit-learn, pomegranate (float32, its default, and float64), R's mclust, and what BLAS takes for the two products that
a pass cannot do without: (rows x monomials) and (responsibilities' x monomials). Plain EM on both sides, so that after the same
iterations both must have the same log-likelihood.

    python tests/benchmarks/em_iteration.py [--json FILE] [--repeats N] [--small]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import protocol
import workers
from mixtures import clusters, iterated, mixture, sklearn_fitted, sklearn_version, start
from protocol import Findings, alternate, equal

from emvsmcmc.em.mstep import MStep
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect

ITERATIONS = 20
# relative: what sums of 200,000 float32 numbers leave of a log-likelihood of -3 million after 20 iterations (9e-5 was found)
FLOAT32 = 2e-4
FLOAT64 = 1e-8  # pomegranate keeps some of its own numbers in float32 all the same


def main() -> int:
    options = protocol.arguments(__doc__)
    n, d, K = (4_000, 4, 4) if options.small else (200_000, 10, 8)
    found = Findings(options.json, sklearn_version())
    x, true = clusters(n, d, K, 1.5)
    mean, covariance = true + 0.3, np.cov(x.T)
    plan = make_plan(mixture(x, K))
    first = start(plan, mean, covariance)
    ended, value = iterated(plan, first, ITERATIONS)
    after, _ = expect(plan, coefficients(plan, ended))  # of the parameters that the last M-step left
    quantity = f"log-likelihood after {ITERATIONS} iterations"

    def ours() -> None:
        iterated(plan, first, ITERATIONS)

    with found.row("iteration-sklearn") as row:
        theirs = lambda: sklearn_fitted(x, mean, covariance, ITERATIONS)  # noqa: E731
        proof = equal(quantity, value, float(theirs().lower_bound_) * n, 1e-9)
        row.measured("scikit-learn", alternate(ours, theirs, options.repeats or 5, warm=False), [proof])

    with found.row("iteration-products") as row:
        note = "The limit: what any pass must multiply, and nothing else. It computes no mixture, so there is nothing to prove."
        row.measured("NumPy", alternate(ours, products(x, K), options.repeats or 9), [], note, version=np.__version__)

    given = {"rows": x, "weight": np.full(K, 1 / K), "mean": mean, "covariance": np.tile(covariance, (K, 1, 1))}
    for key, dtype, tolerance in (
        ("iteration-pomegranate", "float32", FLOAT32),
        ("iteration-pomegranate-float64", "float64", FLOAT64),
    ):
        with found.row(key) as row, workers.pomegranate(**given) as worker:
            proof = equal(quantity, value, worker.fit(ITERATIONS, dtype)["log_likelihood"], tolerance)
            apart = (
                f" Its log-likelihood is {abs(proof.ours - proof.theirs):.3g} nats from that of float64."
                if tolerance == FLOAT32
                else ""
            )
            note = f"Ours in float64.{apart} torch {worker.about['torch']}."
            timed = alternate(ours, lambda w=worker, t=dtype: w.seconds(ITERATIONS, t), options.repeats or 5, warm=False)
            row.measured("pomegranate", timed, [proof], note, dtype, worker.about["threads"], worker.about["version"])

    with found.row("iteration-mclust") as row, workers.r("mclust", **given) as worker:
        proof = equal(quantity, after, worker.fit(ITERATIONS)["log_likelihood"], 1e-9)
        note = f"em() in R {worker.about['R']}, whose E- and M-steps are compiled and use one thread."
        timed = alternate(ours, lambda: worker.seconds(ITERATIONS), options.repeats or 3, warm=False)
        row.measured("mclust", timed, [proof], note, threads=1, version=worker.about["version"])

    found.notes.append(f"em_iteration: {profile(plan, ended)}")
    return found.finish()


def products(x: np.ndarray, K: int) -> Callable[[], Any]:
    """The two matrix products of every pass, on monomials that are there already."""
    n, d = x.shape
    one = np.column_stack([np.ones(n), x])
    rows, cols = np.triu_indices(d + 1)
    monomials = one[:, rows] * one[:, cols]
    table, responsibility = np.random.default_rng(0).normal(size=(monomials.shape[1], K)), np.full((n, K), 1 / K)

    def run() -> None:
        for _ in range(ITERATIONS):
            monomials @ table
            responsibility.T @ monomials

    return run


def profile(plan: Any, env: Any) -> str:
    """Where one of our iterations spends its time."""
    C = coefficients(plan, env)
    _, S = expect(plan, C)
    mstep = MStep(plan, ML)
    parts = {
        "coefficients": lambda: coefficients(plan, env),
        "pass over the rows": lambda: expect(plan, C),
        "M-step": lambda: mstep(env, S),
    }
    took = {name: min(protocol.taken(run) for _ in range(5)) for name, run in parts.items()}
    return ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in took.items()) + " an iteration."


if __name__ == "__main__":
    sys.exit(main())

"""EM to within 1e-6 nats of the optimum from one poor start: three components in the plane, about one sd apart, 20,000 rows.

The optimum is found first, to 1e-11. Plain EM, whose iterations are scikit-learn's own, then says after how many of them
scikit-learn is within 1e-6, and it is given exactly so many: no tolerance of its own is held against it. Ours is the whole of
what a user calls, `condition` and `fit_em`, with the loosest of some tolerances that ends within 1e-6.

    python tests/benchmarks/em_optimum.py [--json FILE] [--repeats N] [--small]
"""

from __future__ import annotations

import sys

import numpy as np
import protocol
from mixtures import mixture, sklearn_fitted, sklearn_version
from protocol import Findings, Unequal, alternate, equal, loosest

import emvsmcmc as ev

WITHIN = 1e-6  # nats
TOLERANCES = (1e-6, 3e-7, 1e-7, 1e-8)  # ours: its rule estimates what is still to gain, and may be out by a little
LIMIT = 50_000


def overlapping(n: int, apart: float, seed: int = 0) -> np.ndarray:
    """(n, 2) rows of three components whose means are a triangle with sides `apart`, sds 0.6 to 1."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(3) / 3
    mean = apart / np.sqrt(3) * np.column_stack([np.cos(angle), np.sin(angle)])
    sd = np.array([[1.0, 0.6], [0.6, 1.0], [0.9, 0.9]])
    z = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return mean[z] + rng.normal(size=(n, 2)) * sd[z]


def main() -> int:
    options = protocol.arguments(__doc__)
    x = overlapping(1_000, 3.0) if options.small else overlapping(20_000, 1.0)
    n, covariance = len(x), np.cov(x.T)
    poor = x.mean(axis=0) + 0.1 * x[:3]
    init = {"weight": np.full(3, 1 / 3), "mean": poor, "cov": np.tile(covariance, (3, 1, 1))}
    found = Findings(options.json, sklearn_version())

    def fitted(tol: float, accelerate: bool = True) -> ev.EMFit:
        return ev.fit_em(
            mixture(x, 3), init=init, tol=tol, max_iter=LIMIT, accelerate=accelerate, standard_errors=None, progress=False
        )

    with found.row("optimum-sklearn") as row:
        top = fitted(1e-11).log_likelihood
        plain = fitted(1e-7, accelerate=False)
        near = plain.path >= top - 0.99 * WITHIN
        if not near.any():
            raise Unequal(f"plain EM ended {top - plain.log_likelihood:.3g} nats below the optimum, at another one")
        iterations = int(near.argmax())
        print(f"plain EM is within {WITHIN:g} of the optimum after {iterations:,} iterations", flush=True)
        tol = loosest(TOLERANCES, lambda tol: fitted(tol).log_likelihood, top, WITHIN)
        mine, theirs = fitted(tol), sklearn_fitted(x, poor, covariance, iterations)
        proofs = [
            equal("log-likelihood of ours, beside the optimum", mine.log_likelihood, top, WITHIN, absolute=True),
            equal("log-likelihood of scikit-learn, beside the optimum", float(theirs.score(x)) * n, top, WITHIN, absolute=True),
        ]
        note = (
            f"scikit-learn in {iterations:,} iterations, ours in {mine.iterations} (tol={tol:g}); ours with condition(), from "
            "the array on."
        )
        run = lambda: sklearn_fitted(x, poor, covariance, iterations)  # noqa: E731
        row.measured("scikit-learn", alternate(lambda: fitted(tol), run, options.repeats or 3, warm=False), proofs, note)
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

"""Factor analysis of 50,000 x 50 with 5 factors: the whole fit, each from its own start, to the same log-likelihood.

Ours is what a user calls, `condition` and `fit_em`. scikit-learn's is `FactorAnalysis.fit`, with its tolerance loosened until it
is the loosest power of ten at which it still ends within 1e-3 nats of ours, of a log-likelihood of millions; a tighter one would
only make it slower.

    python tests/benchmarks/em_factors.py [--json FILE] [--repeats N] [--small]
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import protocol
from mixtures import sklearn_version
from protocol import Absent, Findings, alternate, equal, loosest

import emvsmcmc as ev

WITHIN = 1e-3  # nats
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


def simulated(n: int, d: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) + rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d)


def spec_of(d: int, k: int) -> ev.Spec:
    with ev.Spec(coords={"item": d, "factor": k}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims=("item", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        ability = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(loading, ability), sd, dims=("row", "item"))
    return spec


def sklearn_fitted(x: np.ndarray, k: int, method: str, tol: float) -> Any:
    """Raises Absent."""
    try:
        from sklearn.decomposition import FactorAnalysis
    except ImportError:
        raise Absent("scikit-learn", "it is not installed") from None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fit that ran out of iterations is no fit
        return FactorAnalysis(k, tol=tol, max_iter=10_000, svd_method=method, random_state=0).fit(x)


def main() -> int:
    options = protocol.arguments(__doc__)
    n, d, k = (2_000, 10, 2) if options.small else (50_000, 50, 5)
    x, spec = simulated(n, d, k), spec_of(d, k)
    found = Findings(options.json, sklearn_version())

    def ours() -> ev.EMFit:
        problem = ev.condition(spec, {"x": x})
        return ev.fit_em(problem, starts=1, standard_errors=None, tol=1e-6, random_seed=0, progress=False)

    value = ours().log_likelihood
    for key, method in (("factors-sklearn", "lapack"), ("factors-sklearn-randomized", "randomized")):
        with found.row(key) as row:
            reached = cache(lambda tol, m=method: float(sklearn_fitted(x, k, m, tol).score(x)) * n)
            tol = loosest(TOLERANCES, reached, value, WITHIN)
            proof = equal("log-likelihood", value, reached(tol), WITHIN, absolute=True)
            run = partial(sklearn_fitted, x, k, method, tol)
            note = f"Ours with condition(), from the array on. There svd_method={method!r}, tol={tol:g}."
            row.measured("scikit-learn", alternate(ours, run, options.repeats or 3, warm=False), [proof], note)
    found.notes.append(f"em_factors: {profile(ours)}")
    return found.finish()


def profile(run: Callable[[], Any]) -> str:
    """Where our time goes: the five functions of the package with the most time in what they call."""
    watch = cProfile.Profile()
    watch.runcall(run)
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(watch).stats  # type: ignore[attr-defined]
    total = max(cumulative for _, _, _, cumulative, _ in stats.values())
    own = {
        name: cumulative for (file, _, name), (_, _, _, cumulative, _) in stats.items() if "emvsmcmc" in file and name[0] != "<"
    }
    top = sorted(own.items(), key=lambda kv: -kv[1])[:8]
    return f"{total:.2f} s under the profiler; with what they call: " + ", ".join(f"{k} {v:.2f} s" for k, v in top) + "."


if __name__ == "__main__":
    sys.exit(main())

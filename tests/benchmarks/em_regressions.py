"""A mixture of two regressions, 5,000 rows, against flexmix and mixtools: from the same start until within 1e-6 of the optimum.

All begin with the same responsibilities: flexmix with them, the others with the parameters that one M-step makes of them. Each
side has the loosest power of ten as tolerance that ends within 1e-6 nats of its own optimum; ours is the whole of what a user
calls, `condition` and `fit_em`.

flexmix divides residual sums of squares by the weight less the number of coefficients, so that it ends beside the maximum of the
likelihood. What proves that both compute the same there is our log-likelihood of its estimates beside the one that it prints.

    python tests/benchmarks/em_regressions.py [--json FILE] [--repeats N] [--small]
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import protocol
import workers
from protocol import Findings, alternate, equal, loosest

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect

WITHIN = 1e-6  # nats
SAME = 1e-9  # relative, of one log-likelihood at the same parameters
TOLERANCES = [10.0**-e for e in range(4, 14)]
TIGHT = 1e-15
MODEL = "mixture_of_regressions"


def m_step(x: np.ndarray, y: np.ndarray, responsibility: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted least squares of each component, sums of squares divided by the weight."""
    design = np.column_stack([np.ones_like(x), x])
    roots = np.sqrt(responsibility.T)[..., None]
    found = np.array([np.linalg.lstsq(design * r, y * r[:, 0], rcond=None)[0] for r in roots])
    squares = (y[:, None] - design @ found.T) ** 2
    weight = responsibility.sum(axis=0)
    sd = np.sqrt((responsibility * squares).sum(axis=0) / weight)
    return {"weight": weight / len(x), "intercept": found[:, 0], "slope": found[:, 1], "sd": sd}


def near_optimum(worker: workers.Worker) -> tuple[float, float]:
    """(the loosest tolerance that ends within `WITHIN` of the package's own optimum, that optimum)"""
    top = float(worker.fit(TIGHT)["log_likelihood"])
    return loosest(TOLERANCES, lambda tol: worker.fit(tol)["log_likelihood"], top, WITHIN), top


def main() -> int:
    options = protocol.arguments(__doc__)
    model = gallery.load(MODEL)
    spec, data = model.spec(), model.data(rows=400 if options.small else 5_000)
    x, y = (np.asarray(data[k], dtype=float) for k in ("x", "y"))
    share = np.where(y > np.median(y), 0.6, 0.4)  # a poor start: above and below the median, hardly told apart
    responsibility = np.column_stack([share, 1 - share])
    init = m_step(x, y, responsibility)
    found = Findings(options.json)
    plan = make_plan(ev.condition(spec, data))

    def log_likelihood(fit: dict[str, Any]) -> float:
        values = {name: np.asarray(fit[name], dtype=float) for name in init}
        return expect(plan, coefficients(plan, plan.environment(values)))[0]

    def fitted(tol: float) -> ev.EMFit:
        return ev.fit_em(ev.condition(spec, data), init=init, tol=tol, standard_errors=None, progress=False)

    top = fitted(1e-11).log_likelihood
    own = loosest([WITHIN, WITHIN / 10, WITHIN / 100], lambda tol: fitted(tol).log_likelihood, top, WITHIN)
    ours = partial(fitted, own)
    mine = ours()
    proof = equal("our log-likelihood, beside the optimum", mine.log_likelihood, top, WITHIN, absolute=True)

    with found.row("regressions-flexmix") as row, workers.r("flexmix", x=x, y=y, responsibility=responsibility) as worker:
        tol, _ = near_optimum(worker)
        fit = worker.fit(tol)
        same = equal("log-likelihood at flexmix's estimates", log_likelihood(fit), fit["log_likelihood"], SAME)
        note = (
            f"flexmix ends {top - fit['log_likelihood']:.2g} nats below the maximum, since it divides by the weight less two. "
            f"{fit['iterations']:.0f} iterations there, {mine.iterations} here. R {worker.about['R']}."
        )
        timed = alternate(ours, lambda: worker.seconds(tol), options.repeats or 9)
        row.measured("flexmix", timed, [proof, same], note, threads=1, version=worker.about["version"])

    with found.row("regressions-mixtools") as row, workers.r("mixtools", x=x, y=y, **init) as worker:
        tol, best = near_optimum(worker)
        fit = worker.fit(tol)
        proofs = [
            proof,
            equal("optimum", top, best, 10 * WITHIN, absolute=True),
            equal("log-likelihood at mixtools' estimates", log_likelihood(fit), fit["log_likelihood"], WITHIN, absolute=True),
        ]
        note = f"{fit['iterations']:.0f} iterations there, {mine.iterations} here. R {worker.about['R']}."
        timed = alternate(ours, lambda: worker.seconds(tol), options.repeats or 9)
        row.measured("mixtools", timed, proofs, note, threads=1, version=worker.about["version"])
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

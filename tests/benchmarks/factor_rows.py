"""Factor analysis with 1,000 and with 1,000,000 rows: an EM iteration and a NUTS gradient must cost the same, within a fifth.

Complete rows that leave one configuration collapse to their second moments, once, when the plan is made; neither engine sees them
again. Three factors, ten columns. The two sizes alternate in one process and every figure is the median over repeats; the times
of making the problem and the plan, which read the rows, are printed beside them.

    python tests/benchmarks/factor_rows.py [--json FILE] [--repeats 15] [--small] [--rows 1000000]
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import protocol
from protocol import Findings, Timed

import emvsmcmc as ev
from emvsmcmc.em.mstep import MStep
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.mcmc.compile.compile import compile_model, log_density, unconstrained
from emvsmcmc.mcmc.model import build_model
from emvsmcmc.mcmc.parameters import starting_point
from emvsmcmc.problem.chunked import in_memory

ITEMS, FACTORS = 10, 3


def problem(rows: int) -> ev.Problem:
    rng = np.random.default_rng(0)
    loading = rng.normal(size=(ITEMS, FACTORS))
    with ev.Spec(coords={"item": ITEMS, "factor": FACTORS}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        weights = ev.Normal("loading", 0, 1, dims=("item", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="item")
        ability = ev.Normal("ability", 0, 1, dims=("row", "factor"))
        ev.Normal("x", mean + ev.dot(weights, ability), sd, dims=("row", "item"))
    x = rng.normal(size=(rows, FACTORS)) @ loading.T + 0.7 * rng.normal(size=(rows, ITEMS))
    return in_memory(ev.condition(spec, {"x": x}), "a benchmark")


def iteration(plan: Plan) -> Callable[[], Any]:
    """One EM iteration from the same parameters each time."""
    mstep = MStep(plan, ML)
    start = ev.fit_em(plan.problem, starts=1, max_iter=3, standard_errors=None, random_seed=0, progress=False).environment

    def run() -> Any:
        _, S = expect(plan, coefficients(plan, start))
        return mstep(start, S)

    return run


def gradient(plan: Plan) -> Callable[[], Any]:
    """The log posterior and its gradient, by the machine code that NUTS runs."""
    model = build_model(plan, "fused", "all")
    density = log_density(compile_model(model))
    env = ev.fit_em(plan.problem, starts=1, max_iter=3, standard_errors=None, random_seed=0, progress=False).environment
    at = unconstrained(model, starting_point(plan, env))
    return lambda: density(at)


def seconds(run: Callable[[], Any], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - began) / calls


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = protocol.arguments(__doc__, parser)
    found = Findings(options.json)
    sizes = (1_000, 20_000 if options.small else options.rows)
    plans, told = {}, []
    for rows in sizes:
        began = time.perf_counter()
        given = problem(rows)
        made = time.perf_counter()
        plans[rows] = make_plan(given)
        planned = time.perf_counter()
        told.append(f"{rows:,} rows are simulated and conditioned in {made - began:.2f} s, planned in {planned - made:.2f} s")
    print("; ".join(told), flush=True)
    for key, make, calls in (("factor-rows-em", iteration, 100), ("factor-rows-nuts", gradient, 1000)):
        with found.row(key) as row:
            runs = {rows: make(plan) for rows, plan in plans.items()}
            for run in runs.values():
                seconds(run, calls)  # warm
            taken: dict[int, list[float]] = {rows: [] for rows in sizes}
            for _ in range(options.repeats or 15):
                for rows, run in runs.items():
                    taken[rows].append(seconds(run, calls))
            row.measured("ours at 1,000 rows", Timed.of(taken[sizes[1]], taken[sizes[0]]), [], "; ".join(told) + ".", threads=1)
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

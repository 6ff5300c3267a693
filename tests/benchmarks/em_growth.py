"""How the cost of an EM iteration grows: with rows (n from 10^4 to 10^7, 4 columns, K = 3), with columns (d) and components (K).

Beside scikit-learn, which leaves off where a size would take it minutes. Both sides run the same iterations from the same start
and must have the same log-likelihood at every size. The row of the report is ours alone: nanoseconds a row, the dearest size of n
beside the cheapest. Sizes take turns, so that a slow spell of the machine hits all of them.

    python tests/benchmarks/em_growth.py [--json FILE] [--repeats N] [--small] [--largest ROWS]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import protocol
from mixtures import clusters, iterated, mixture, sklearn_fitted, sklearn_version, start
from protocol import Curve, Findings, Timed, equal, taken

from emvsmcmc.expect.planner import make_plan

ITERATIONS = 5
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
THEIR_ROWS = 1_000_000  # the largest size that scikit-learn is given
DIMENSIONS, COMPONENTS = (2, 4, 8, 16, 32), (2, 4, 8, 16, 32)
SIDE_ROWS = 50_000  # where columns or components grow
LEAST = 2_000_000  # rows that a timed call goes over, so that small sizes are timed over many calls


@dataclass(frozen=True)
class Sides:
    """A mixture of one size. ours, theirs : seconds an iteration. prove : raises Unequal where their log-likelihoods differ."""

    ours: Callable[[], float]
    theirs: Callable[[], float]
    prove: Callable[[], Any]


def sides_of(n: int, d: int, K: int) -> Sides:
    x, true = clusters(n, d, K, 1.5)
    mean, covariance = true + 0.3, np.cov(x.T)
    plan = make_plan(mixture(x, K))
    first = start(plan, mean, covariance)
    calls = max(1, LEAST // (n * ITERATIONS))
    _, value = iterated(plan, first, ITERATIONS)

    def ours() -> float:
        return taken(lambda: [iterated(plan, first, ITERATIONS) for _ in range(calls)]) / (calls * ITERATIONS)

    def theirs() -> float:
        return taken(lambda: sklearn_fitted(x, mean, covariance, ITERATIONS)) / ITERATIONS

    def prove() -> None:
        reached = float(sklearn_fitted(x, mean, covariance, ITERATIONS).lower_bound_) * n
        equal(f"log-likelihood after {ITERATIONS} iterations, {n:,} x {d}, K = {K}", value, reached, 1e-9)

    return Sides(ours, theirs, prove)


def rows(found: Findings, repeats: int, largest: int, theirs_up_to: int) -> None:
    sizes = [n for n in ROWS if n <= largest]
    sides = {n: sides_of(n, 4, 3) for n in sizes}
    mine: dict[int, list[float]] = {n: [] for n in sizes}
    peer: dict[int, list[float]] = {n: [] for n in sizes if n <= theirs_up_to}
    with found.row("rows-constant") as row:
        for n in sizes:
            sides[n].ours()
        for _ in range(repeats):
            for n in sizes:
                mine[n].append(sides[n].ours())
        each = {n: [1e9 * s / n for s in mine[n]] for n in sizes}
        middle = {n: statistics.median(v) for n, v in each.items()}
        dear, cheap = max(sizes, key=lambda n: middle[n]), min(sizes, key=lambda n: middle[n])
        note = "Nanoseconds a row: " + ", ".join(f"{middle[n]:.0f} at {n:,}" for n in sizes) + "."
        row.measured(f"ours at {cheap:,} rows", Timed.of(each[dear], each[cheap]), [], note, version="")
    with found.guarded("growth-n"):
        for n in peer:
            sides[n].prove()
            peer[n] = [sides[n].theirs() for _ in range(max(1, repeats // 2))]
    curve(found, "growth-n", "Rows, 4 columns, K = 3", "rows", mine, peer)


def curve(found: Findings, key: str, title: str, along: str, mine: dict[int, list[float]], peer: dict[int, list[float]]) -> None:
    points = {"emvsmcmc": mine, "scikit-learn": peer}
    medians = {name: [(float(x), statistics.median(s)) for x, s in side.items() if s] for name, side in points.items() if side}
    found.curve(Curve(key, title, along, medians, unit="time of an iteration"))
    for name, side in medians.items():
        print(f"{key}, {name}: " + ", ".join(f"{protocol.figure(1e3 * s)} ms at {x:,.0f}" for x, s in side), flush=True)


def grown(found: Findings, repeats: int, key: str, title: str, along: str, sizes: dict[int, tuple[int, int, int]]) -> None:
    """One curve against columns or components; at every size the two alternate."""
    mine: dict[int, list[float]] = {}
    peer: dict[int, list[float]] = {}
    for at, shape in sizes.items():
        sides = sides_of(*shape)
        mine[at], peer[at] = [sides.ours()], []
        with found.guarded(key):
            sides.prove()
            pairs = [(sides.ours(), sides.theirs()) for _ in range(repeats)]
            mine[at], peer[at] = [a for a, _ in pairs], [b for _, b in pairs]
    curve(found, key, title, along, mine, peer)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=ROWS[-1], help="rows of the largest size")
    options = protocol.arguments(__doc__, parser)
    found = Findings(options.json, sklearn_version())
    repeats, n = options.repeats or 5, 2_000 if options.small else SIDE_ROWS
    largest = min(options.largest, 100_000) if options.small else options.largest
    rows(found, repeats, largest, min(THEIR_ROWS, largest))
    few = max(1, repeats // 2)
    upto = 8 if options.small else max(DIMENSIONS)
    title = f"Columns, {n:,} rows, K = 3"
    grown(found, few, "growth-d", title, "columns", {d: (n, d, 3) for d in DIMENSIONS if d <= upto})
    title = f"Components, {n:,} rows, 4 columns"
    grown(found, few, "growth-K", title, "components", {K: (n, 4, K) for K in COMPONENTS if upto >= K})
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

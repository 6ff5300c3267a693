"""Accelerated against plain EM on the slow cases of the gallery: passes over the data from the same random start.

Every model of the gallery, under the options of every case with a known answer, is fitted by plain EM from a few starts, one at
a time. A start is slow where plain EM takes more than 200 iterations; those are run accelerated, to the same tolerance, and both
must end at the same log-likelihood. A pass is a call of `expect` over all rows, whoever asks for it: EM, its line searches, the
climb at the end of a run that creeps, and the differences that give the climb its Hessian. Plain EM that has not converged after
20,000 iterations counts with the passes it made, so that its ratio is an upper bound.

    python tests/benchmarks/em_passes.py [--json FILE] [--repeats STARTS] [--small]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import protocol
from protocol import Findings, Proof, Timed, Unequal, equal

import emvsmcmc as ev
import emvsmcmc.em.fit  # all of em/ is loaded before its calls are counted
from emvsmcmc import gallery
from emvsmcmc.errors import EmvsmcmcError
from emvsmcmc.expect.rows import expect
from emvsmcmc.problem.chunked import in_memory

SLOW = 200  # plain iterations
LIMIT = 20_000
SAME = 1e-6  # nats
TOL = 1e-9  # nats still to gain, on both sides
SMALL = ("old_faithful", "genetic_linkage", "zero_inflated_poisson")


class Passes:
    """How often `expect` is called, however deep."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Every module of the package that holds `expect` by name holds one that counts, until the end."""

        def counting(*args: Any, **options: Any) -> Any:
            self.count += 1
            return expect(*args, **options)

        holders = [
            m for name, m in list(sys.modules.items()) if name.startswith("emvsmcmc.em") and vars(m).get("expect") is expect
        ]
        self.count = 0
        for module in holders:
            vars(module)["expect"] = counting
        try:
            yield
        finally:
            for module in holders:
                vars(module)["expect"] = expect


def fitted(problem: ev.Problem, seed: int, accelerate: bool) -> tuple[ev.EMFit, int]:
    """A fit from one random start, and its passes."""
    passes = Passes()
    with passes.counted():
        fit = ev.fit_em(
            problem,
            starts=1,
            tol=TOL,
            max_iter=LIMIT,
            accelerate=accelerate,
            standard_errors=None,
            random_seed=seed,
            progress=False,
        )
    if passes.count < fit.starts[0].passes:
        raise RuntimeError("passes went uncounted: em/ no longer calls expect by that name")
    return fit, passes.count


def cases(small: bool) -> Iterator[tuple[str, ev.Problem]]:
    for name in gallery.names():
        if small and name not in SMALL:
            continue
        model = gallery.load(name)
        for options in model.cases[: 1 if small else None]:
            label = " ".join([name, *(f"{k}={v}" for k, v in options.items())])
            yield label, in_memory(model.problem(**options), "a benchmark")


def main() -> int:
    options = protocol.arguments(__doc__)
    starts = options.repeats or 3
    slow_from = 20 if options.small else SLOW
    found = Findings(options.json)
    with found.row("accelerated-passes") as row:
        ours, theirs, proofs, told, elsewhere, quick = [], [], list[Proof](), dict[str, list[str]](), 0, 0
        for label, problem in cases(options.small):
            print(label, flush=True)
            for seed in range(starts):
                try:
                    plain, many = fitted(problem, seed, False)
                except EmvsmcmcError as end:
                    print(f"  start {seed}: {type(end).__name__}", flush=True)
                    continue
                if plain.iterations <= slow_from:
                    quick += 1
                    continue
                quicker, few = fitted(problem, seed, True)
                ended = plain.iterations < LIMIT
                try:
                    quantity = f"log-likelihood, {label}, start {seed}"
                    if ended:
                        proofs.append(equal(quantity, quicker.log_likelihood, plain.log_likelihood, SAME, absolute=True))
                    elif quicker.log_likelihood < plain.log_likelihood - SAME:
                        raise Unequal(f"{quantity}: accelerated EM ended below plain EM")
                except Unequal as why:
                    elsewhere += 1
                    print(f"  start {seed}: another optimum. {why}", flush=True)
                    continue
                ours.append(few)
                theirs.append(many)
                told.setdefault(label, []).append(f"{few} of {'' if ended else 'more than '}{many:,}")
                print(f"  start {seed}: {told[label][-1]} passes", flush=True)
        if not ours:
            raise Unequal("no slow case was found")
        note = (
            f"{len(ours)} slow starts in {len(told)} cases; {quick} starts were not slow, {elsewhere} ended at another optimum. "
        )
        note += "; ".join(f"{label}: {', '.join(passes)}" for label, passes in told.items()) + "."
        row.measured("plain EM", Timed.of(ours, theirs), proofs, note)
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

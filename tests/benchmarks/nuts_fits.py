"""One fit in a process of its own: what the programs `nuts_*.py` time. The last line of its output is JSON.

    python tests/benchmarks/nuts_fits.py FIT [--rows 10000] [--draws 1000] [--tune 1000] [--chains 4] [--init em] [--seed 1]

A FIT times itself after the imports, which both sides need. "seconds" is the whole of it: model, compiling, sampling, and on our
side EM and what `fit_mcmc` adds to the draws. Caches of compiled code are the user's, so the first run of a fit fills them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import nuts_models
import protocol


def _ours(problem: Any, names: tuple[str, ...], options: argparse.Namespace) -> dict[str, Any]:
    import emvsmcmc as ev

    began = time.perf_counter()
    tree = ev.fit_mcmc(
        problem(),
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        init=options.init,
        random_seed=options.seed,
        progress=False,
    )
    seconds = time.perf_counter() - began
    draws = nuts_models.values(tree["posterior_unaligned"], names)
    timed = {k: float(tree.attrs[k]) for k in ("compile_seconds", "sampling_seconds", "recovery_seconds")}
    return _result(draws, seconds=seconds, **timed)


def _result(draws: dict[str, Any], **seconds: float) -> dict[str, Any]:
    return {"ess": nuts_models.effective(draws), "means": nuts_models.means(draws).ravel().tolist(), **seconds}


def ours_old_faithful(options: argparse.Namespace) -> dict[str, Any]:
    return _ours(nuts_models.old_faithful, ("weight", "mean", "sd"), options)


def ours_mixture(options: argparse.Namespace) -> dict[str, Any]:
    return _ours(lambda: nuts_models.mixture(options.rows, conjugate=True), ("weight", "mean", "cov"), options)


def naive_old_faithful(options: argparse.Namespace) -> dict[str, Any]:
    import by_hand_sampled

    return by_hand_sampled.run(nuts_models.waiting(), options.draws, options.tune, options.chains, options.seed, _result)


def compile_ours_old_faithful(options: argparse.Namespace) -> dict[str, Any]:
    return _compile_ours(nuts_models.old_faithful())


def compile_ours_mixture(options: argparse.Namespace) -> dict[str, Any]:
    return _compile_ours(nuts_models.mixture(options.rows))


def compile_by_hand_old_faithful(options: argparse.Namespace) -> dict[str, Any]:
    import by_hand_old_faithful

    return _compile_by_hand(by_hand_old_faithful.build, nuts_models.waiting())


def compile_by_hand_mixture(options: argparse.Namespace) -> dict[str, Any]:
    import by_hand_mixture

    return _compile_by_hand(by_hand_mixture.build, nuts_models.rows(options.rows))


def _compile_ours(problem: Any) -> dict[str, Any]:
    """From the problem to machine code whose density has been evaluated once."""
    import emvsmcmc as ev
    from emvsmcmc.mcmc.compile.compile import compile_model, log_density

    began = time.perf_counter()
    model = ev.to_pymc(problem, likelihood="fused")
    compiled = compile_model(model)
    built = time.perf_counter()
    value, _ = log_density(compiled)(compiled.start(1))
    if not (np.isfinite(value) and compiled.native and compiled.cached):
        sys.exit("the compiled model does not evaluate, or is not ours")
    return {"seconds": built - began}


def _compile_by_hand(build: Callable[[Any], Any], x: Any) -> dict[str, Any]:
    import nutpie
    import pymc  # noqa: F401  (its import is no part of the time)

    began = time.perf_counter()
    nutpie.compile_pymc_model(build(x))
    return {"seconds": time.perf_counter() - began}


FITS = {
    f.__name__.replace("_", "-"): f
    for f in (
        ours_old_faithful,
        ours_mixture,
        naive_old_faithful,
        compile_ours_old_faithful,
        compile_ours_mixture,
        compile_by_hand_old_faithful,
        compile_by_hand_mixture,
    )
}


def apart(fit: str, quiet: bool = False, **options: Any) -> dict[str, Any]:
    """The result of a fit in a process of its own. Ends the program where the fit fails."""
    command = [sys.executable, str(nuts_models.HERE / "nuts_fits.py"), fit]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{fit} ended with status {done.returncode}:\n{done.stdout[-500:]}{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not quiet:
        print(f"{fit}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items() if isinstance(v, float)), flush=True)
    return found


def compile_row(row: protocol.Row, model: str, repeats: int, proofs: list[protocol.Proof], **options: Any) -> None:
    """Measure the compile of a model on both sides, in new processes in turn, after one of each that fills the caches."""
    import nutpie

    for side in ("ours", "by-hand"):
        apart(f"compile-{side}-{model}", **options)
    pairs = [[apart(f"compile-{side}-{model}", **options)["seconds"] for side in ("ours", "by-hand")] for _ in range(repeats)]
    note = "New processes with filled caches, from the problem or the data to machine code, imports apart."
    row.measured("nutpie", protocol.Timed.of(*zip(*pairs, strict=True)), proofs, note, version=nutpie.__version__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fit", choices=FITS)
    for name, default in {"rows": 10_000, "draws": 1000, "tune": 1000, "chains": 4, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--init", choices=("em", "prior"), default="em")
    options = parser.parse_args()
    if options.fit.startswith(("ours", "compile-ours")):  # imported apart from what is timed, as the other side's packages are
        import emvsmcmc.comparison.run
        import emvsmcmc.expect.store.compiled
        import emvsmcmc.mcmc.compile.wrappers
        import emvsmcmc.mcmc.sample  # noqa: F401
    print(json.dumps(FITS[options.fit](options)))


if __name__ == "__main__":
    main()

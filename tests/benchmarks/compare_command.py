"""Whole commands against each other: `emvsmcmc compare old_faithful` and the script `by_hand_old_faithful.py`.

Cold is the first run with empty caches of compiled code (numba's and PyTensor's), each command with caches of its own, as on a
new machine. Warm is every later run. Runs alternate and the order turns round after each, so that a slow spell of the machine
hits both; medians are compared. Everything is timed from the start of the interpreter to its end.

The proof is the log-likelihood at each side's maximum likelihood estimate, as each prints it.

    python tests/benchmarks/compare_command.py [--json FILE] [--repeats N]
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import protocol

NOTE = "From the start of the interpreter to its end, in turn; imports and the finished page included."
PEERS = ("scikit-learn", "pymc", "nutpie", "arviz")
HERE = Path(__file__).resolve().parent
COMMANDS = {
    "emvsmcmc": [str(Path(sys.executable).with_name("emvsmcmc")), "compare", "old_faithful"],
    "by hand": [sys.executable, str(HERE / "by_hand_old_faithful.py")],
}


def environment(caches: Path) -> dict[str, str]:
    """This process's variables, with both caches of compiled code in `caches`."""
    flags = [flag for flag in os.environ.get("PYTENSOR_FLAGS", "").split(",") if flag and "base_compiledir" not in flag]
    own = {
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "PYTENSOR_FLAGS": ",".join([*flags, f"base_compiledir={caches / 'pytensor'}"]),
    }
    return os.environ | own


def run(name: str, caches: Path) -> tuple[float, str]:
    """Wall time of one run in an empty folder, so that nothing of an earlier run is found or kept; and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(COMMANDS[name], cwd=folder, env=environment(caches), capture_output=True, text=True)
        elapsed = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(COMMANDS[name])} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    return elapsed, done.stdout


def in_turn(kind: str, repeats: int, caches: dict[str, list[Path]]) -> protocol.Timed:
    """Seconds of both, alternating; the order turns round after each repeat."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for repeat in range(repeats):
        for name in list(COMMANDS)[:: 1 if repeat % 2 == 0 else -1]:
            times[name].append(run(name, caches[name][repeat])[0])
            print(f"{kind:>4} {repeat + 1}/{repeats}  {name:<9} {times[name][-1]:7.2f} s", flush=True)
    return protocol.Timed.of(*times.values())


def log_likelihoods(caches: dict[str, Path]) -> list[float]:
    """At the estimate of each side: ours by `emvsmcmc fit --json`, the other's from the line it prints."""
    ours = subprocess.run([COMMANDS["emvsmcmc"][0], "fit", "old_faithful", "--json"], capture_output=True, text=True)
    if ours.returncode != 0:
        sys.exit(f"emvsmcmc fit ended with status {ours.returncode}:\n{ours.stderr[-3000:]}")
    said = re.search(r"log-likelihood at EM (-?[0-9.]+)", run("by hand", caches["by hand"])[1])
    if said is None:
        sys.exit("the script by hand does not say its log-likelihood")
    return [json.loads(ours.stdout)["log_likelihood"], float(said[1])]


def main() -> int:
    options = protocol.arguments(__doc__)
    found = protocol.Findings(options.json, {"by hand": ", ".join(f"{name} {version(name)}" for name in PEERS)})
    cold, warm = (1, 1) if options.small else (1, options.repeats or 3)
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: [Path(folder, name.replace(" ", "_"), str(i)) for i in range(cold)] for name in COMMANDS}
        first = in_turn("cold", cold, caches)
        # the caches of the first cold run are full now
        full = {name: made[0] for name, made in caches.items()}
        with found.row("compare-cold") as row:
            ours, theirs = log_likelihoods(full)
            proof = protocol.equal("log-likelihood at the maximum likelihood estimate", ours, theirs, 1e-8)
            row.measured("by hand", first, [proof], f"{NOTE} Caches of compiled code empty, as on a new machine.")
        with found.row("compare-warm") as row:
            proof = protocol.equal("log-likelihood at the maximum likelihood estimate", ours, theirs, 1e-8)
            later = in_turn("warm", warm, {name: [made] * warm for name, made in full.items()})
            row.measured("by hand", later, [proof], f"{NOTE} Caches full.")
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

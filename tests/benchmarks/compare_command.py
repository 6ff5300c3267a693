"""Whole commands against each other: `emvsmcmc compare old_faithful` and the script `by_hand_old_faithful.py`.

Cold is the first run with empty caches of compiled code (numba's and PyTensor's), each command with caches of its own, as on a
new machine. Warm is every later run. Runs alternate and the order turns round after each, so that a slow spell of the machine
hits both; medians are compared. Everything is timed from the start of the interpreter to its end.

    python tests/benchmarks/compare_command.py [--cold 1] [--warm 5] [--json FILE]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

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


def seconds(command: list[str], caches: Path) -> float:
    """Wall time of one run in an empty folder, so that nothing of an earlier run is found or kept."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment(caches), capture_output=True, text=True)
        elapsed = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    return elapsed


def alternate(times: dict[str, list[float]], kind: str, repeats: int, caches: dict[str, list[Path]]) -> None:
    for repeat in range(repeats):
        for name in list(COMMANDS)[:: 1 if repeat % 2 == 0 else -1]:
            times[name].append(seconds(COMMANDS[name], caches[name][repeat]))
            print(f"{kind:>4} {repeat + 1}/{repeats}  {name:<9} {times[name][-1]:7.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cold", type=int, default=1, help="runs with empty caches")
    parser.add_argument("--warm", type=int, default=5, help="runs with full caches")
    parser.add_argument("--json", type=Path, default=Path("benchmark_compare_command.json"))
    options = parser.parse_args()
    if options.cold < 1 or options.warm < 1:
        parser.error("--cold and --warm count runs: at least 1 of each")

    times: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in COMMANDS} for kind in ("cold", "warm")}
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: [Path(folder, name.replace(" ", "_"), str(i)) for i in range(options.cold)] for name in COMMANDS}
        alternate(times["cold"], "cold", options.cold, caches)
        # The caches of the first cold run are full now.
        alternate(times["warm"], "warm", options.warm, {name: [made[0]] * options.warm for name, made in caches.items()})

    result: dict[str, object] = {
        "seconds": times,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {
            name: version(name) for name in ("emvsmcmc", "pymc", "pytensor", "nutpie", "numba", "arviz", "scikit-learn")
        },
    }
    for kind, by_command in times.items():
        ours, theirs = (statistics.median(by_command[name]) for name in COMMANDS)
        result[f"{kind}_ratio"] = ours / theirs
        print(f"{kind}: emvsmcmc {ours:.2f} s, by hand {theirs:.2f} s, ratio {ours / theirs:.2f} (below 1: emvsmcmc is quicker)")
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.json}")


if __name__ == "__main__":
    main()

"""NUTS on a mixture of three full-covariance Gaussians, 10,000 x 4: `ev.fit_mcmc` against `pm.Mixture` by hand, in one run.

Both sample with nutpie from over-dispersed starts (`init="prior"`: no help from EM), with the same rows, chains, draws and tuning
steps. ESS is the smallest bulk ESS over the component means, after chain-wise ordering; a second is a second of sampling,
compilation apart. Every fit runs in a process of its own, and the two alternate. With empty caches (`--cold`) the first
compile of each is timed too.

The priors on the covariances differ: inverse-Wishart on the matrix here, LKJ with half-normal scales there. At 10,000 rows the
posterior means must agree all the same, and the run stops if they do not.

    python tests/benchmarks/nuts_mixture.py [--rows 10000] [--draws 500] [--tune 500] [--chains 2] [--repeats 3] [--cold]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def ours(x: np.ndarray, draws: int, tune: int, chains: int, seed: int) -> dict[str, Any]:
    """The same question to emvsmcmc: see `by_hand_mixture.run` for what comes back."""
    import arviz as az

    import emvsmcmc as ev

    features = x.shape[1]
    with ev.Spec(coords={"component": 3, "feature": features, "feature_bis": features}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "feature"))
        cov = ev.InverseWishart("cov", 6, np.eye(features), dims=("component", "feature", "feature_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("x", mean[group], cov[group], dims=("row", "feature"))
    problem = ev.condition(spec, {"x": x})
    post = ev.fit_mcmc(problem, draws=draws, tune=tune, chains=chains, init="prior", random_seed=seed, progress=False)
    drawn = post["posterior_unaligned"]["mean"].transpose("chain", "draw", "component", "feature").values
    order = drawn.mean(axis=1)[:, :, 0].argsort(axis=1)
    aligned = np.take_along_axis(drawn, order[:, None, :, None], axis=2)
    return {
        "compile_seconds": float(post.attrs["compile_seconds"]),
        "sampling_seconds": float(post.attrs["sampling_seconds"]),
        "ess": float(az.ess({"mean": aligned})["mean"].min()),
        "means": aligned.mean(axis=(0, 1)),
    }


def child(name: str, options: argparse.Namespace, seed: int) -> None:
    """One fit, its result as JSON on the last line of standard output."""
    import by_hand_mixture

    x, _ = by_hand_mixture.simulate(options.rows)
    fit = ours if name == "emvsmcmc" else by_hand_mixture.run
    found = fit(x, options.draws, options.tune, options.chains, seed)
    print(json.dumps(found | {"means": found["means"].tolist()}))


def fit_apart(name: str, seed: int, caches: Path | None) -> dict[str, Any]:
    environment = dict(os.environ)
    if caches is not None:
        environment |= {"NUMBA_CACHE_DIR": str(caches / "numba"), "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}"}
    command = [sys.executable, __file__, *sys.argv[1:], "--child", name, "--seed", str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{name} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{name:<9} compile {found['compile_seconds']:7.2f} s, sampling {found['sampling_seconds']:7.2f} s, "
        f"ESS {found['ess']:6.0f}, {found['ess'] / found['sampling_seconds']:7.2f} a second",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"rows": 10_000, "draws": 500, "tune": 500, "chains": 2, "repeats": 3, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--cold", action="store_true", help="start both from empty caches; the first repeat's compile is then the cold one"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmark_nuts_mixture.json"))
    parser.add_argument("--child", choices=("emvsmcmc", "by hand"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options, options.seed)
        return

    found: dict[str, list[dict[str, Any]]] = {"emvsmcmc": [], "by hand": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            for name in list(found)[:: 1 if repeat % 2 == 0 else -1]:
                caches = Path(folder, name.replace(" ", "_")) if options.cold else None
                found[name].append(fit_apart(name, options.seed + repeat, caches))

    def median(name: str, of: Any) -> float:
        return statistics.median(map(of, found[name]))

    def rate(fit: dict[str, Any]) -> float:
        return fit["ess"] / fit["sampling_seconds"]

    ratio = median("emvsmcmc", rate) / median("by hand", rate)
    later = [fit["compile_seconds"] for fit in found["emvsmcmc"][1:] or found["emvsmcmc"]]
    later_by_hand = [fit["compile_seconds"] for fit in found["by hand"][1:] or found["by hand"]]
    apart = max(np.abs(np.subtract(a["means"], b["means"])).max() for a, b in zip(*found.values(), strict=True))
    summary = {
        "ess_per_second": {name: median(name, rate) for name in found},
        "ess_per_second_ratio": ratio,
        "first_compile_ratio": found["emvsmcmc"][0]["compile_seconds"] / found["by hand"][0]["compile_seconds"],
        "later_compile_ratio": statistics.median(later) / statistics.median(later_by_hand),
        "largest_difference_of_posterior_means": float(apart),
    }
    options.json.write_text(json.dumps({"summary": summary, "fits": found}, indent=1) + "\n", encoding="utf-8")
    print(f"effective draws a second of sampling: {ratio:.1f} times those by hand")
    kind = "cold" if options.cold else "first"
    print(
        f"compile time: {summary['first_compile_ratio']:.2f} of by hand's ({kind}), {summary['later_compile_ratio']:.2f} (later)"
    )
    print(f"posterior means differ by at most {apart:.4f}; wrote {options.json}")
    if apart > 0.01:  # half a posterior sd of a mean at 10,000 rows, several Monte Carlo errors
        sys.exit("the two did not sample the same posterior: their speeds cannot be compared")


if __name__ == "__main__":
    main()

"""Old Faithful's waiting times by hand with the groups sampled: the first PyMC model that a textbook mixture suggests.

PyMC gives the continuous parameters to NUTS and each of the 272 groups to a Gibbs step of its own. It imports nothing from the
package. The start is sensible (each eruption in the group that its waiting time suggests), so that labels do not switch.

    python tests/benchmarks/by_hand_sampled.py [DRAWS] [TUNE] [CHAINS]
"""

import sys
import time
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

DATA = Path(__file__).resolve().parents[2] / "models" / "data" / "faithful.csv"
PARAMETERS = ("weight", "mean", "sd")


def build(x):
    with pm.Model(coords={"component": range(2), "eruption": range(len(x))}) as model:
        weight = pm.Dirichlet("weight", np.ones(2), dims="component")
        mean = pm.Normal("mean", 65, 30, dims="component")
        sd = pm.HalfNormal("sd", 20, dims="component")
        group = pm.Categorical("group", weight, dims="eruption")
        pm.Normal("waiting", mean[group], sd[group], observed=x, dims="eruption")
    return model


def sensible(x):
    """Groups by the gap near 67 minutes, parameters by the moments of the groups."""
    group = (x > 67).astype(int)
    return {
        "group": group,
        "weight": np.bincount(group) / len(x),
        "mean": np.array([x[group == k].mean() for k in range(2)]),
        "sd": np.array([x[group == k].std() for k in range(2)]),
    }


def run(x, draws, tune, chains, seed, result):
    """`result(draws by parameter, seconds=...)` of one run of `pm.sample`, compiling included, one chain on each core."""
    began = time.perf_counter()
    with build(x):
        tree = pm.sample(
            draws=draws,
            tune=tune,
            chains=chains,
            cores=chains,
            initvals=sensible(x),
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
        )
    seconds = time.perf_counter() - began
    posterior = tree["posterior"]
    return result(
        {name: posterior[name].transpose("chain", "draw", ...).to_numpy() for name in PARAMETERS},
        seconds=seconds,
        sampling_seconds=float(posterior.attrs["sampling_time"]),
    )


if __name__ == "__main__":
    draws, tune, chains = (int(a) for a in sys.argv[1:] or ("300", "200", "2"))
    waiting = pd.read_csv(DATA)["waiting"].to_numpy(float)
    summary = run(waiting, draws, tune, chains, 1, lambda d, **timed: {"ess": az.ess(d), **timed})
    print(summary)

"""A Gaussian mixture with full covariances by hand: `pm.Mixture` over `pm.MvNormal`, sampled by nutpie.

What a careful PyMC user writes without emvsmcmc, and what `nuts_mixture.py` compares it with. It imports nothing from
the package.

    python tests/benchmarks/by_hand_mixture.py [ROWS] [DRAWS] [TUNE] [CHAINS]
"""

import sys
import time

import arviz as az
import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt


def simulate(rows=10_000, components=3, features=4, seed=0):
    """Rows from a mixture whose components are apart: (rows, features), and the true means (components, features)."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0, 4, (components, features))
    factors = rng.normal(size=(components, features, features))
    covariances = factors @ factors.swapaxes(1, 2) / features + 0.5 * np.eye(features)
    group = rng.integers(0, components, rows)
    noise = rng.normal(size=(rows, features))
    return means[group] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[group], noise), means


def build(x, components=3):
    """Groups summed out by `pm.Mixture`; one packed Cholesky factor a component, stacked, so that one batched `MvNormal` serves.

    The batched density and gradient took 17 ms at 10,000 rows of 4, a list of three `MvNormal` 48 ms: hence the stack.
    """
    features = x.shape[1]
    with pm.Model(coords={"component": range(components), "feature": range(features)}) as model:
        weight = pm.Dirichlet("weight", np.ones(components), dims="component")
        mean = pm.Normal("mean", 0.0, 10.0, dims=("component", "feature"))
        packed = [
            pm.LKJCholeskyCov(
                f"packed_{k}", n=features, eta=2.0, sd_dist=pm.HalfNormal.dist(5.0, size=features), compute_corr=False
            )
            for k in range(components)
        ]
        chol = pt.stack([pm.math.expand_packed_triangular(features, p) for p in packed])
        pm.Mixture("x", weight, pm.MvNormal.dist(mean, chol=chol), observed=x)
    return model


def run(x, draws=500, tune=500, chains=2, seed=1):
    """Compile and sample. ESS is the smallest bulk ESS over the means, each chain's components put in the order of its means.

    One permutation a chain, by the mean of the first feature: right where components are well apart and never switch in a chain.
    """
    began = time.perf_counter()
    compiled = nutpie.compile_pymc_model(build(x))
    compiled_at = time.perf_counter()
    tree = nutpie.sample(compiled, draws=draws, tune=tune, chains=chains, seed=seed, progress_bar=False)
    sampled_at = time.perf_counter()
    mean = tree["posterior"]["mean"].transpose("chain", "draw", "component", "feature").values
    order = mean.mean(axis=1)[:, :, 0].argsort(axis=1)
    aligned = np.take_along_axis(mean, order[:, None, :, None], axis=2)
    return {
        "compile_seconds": compiled_at - began,
        "sampling_seconds": sampled_at - compiled_at,
        "ess": float(az.ess({"mean": aligned})["mean"].min()),
        "means": aligned.mean(axis=(0, 1)),
    }


if __name__ == "__main__":
    rows, *settings = (int(a) for a in sys.argv[1:] or ["10000"])
    x, truth = simulate(rows)
    found = run(x, *settings)
    print(f"compile {found['compile_seconds']:.1f} s, sampling {found['sampling_seconds']:.1f} s", end=", ")
    print(f"ESS {found['ess']:.0f}, {found['ess'] / found['sampling_seconds']:.1f} a second")
    print("means", found["means"].round(3), "truth", truth[truth[:, 0].argsort()].round(3), sep="\n")

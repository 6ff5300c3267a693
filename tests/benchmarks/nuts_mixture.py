"""A mixture of three full-covariance Gaussians, 10,000 x 4: effective draws a second of NUTS against `pm.Mixture` by hand.

Both sides sample the same density with nutpie from over-dispersed starts (`init="prior"`: no help from EM), with the same rows,
2 chains of 500 draws after 500 tuning steps. Effective draws: the smallest bulk ESS over weights, means and covariances,
components in the order of their means; a second is a second of sampling, compilation apart.

The second row is the compile of the same models in new processes with filled caches: from the problem (or the data) to machine
code, imports apart.
"""

import sys
import time

import numpy as np
import nuts_fits
import nuts_models
import protocol


def main() -> int:
    options = protocol.arguments(__doc__)
    import by_hand_mixture
    import nutpie
    import pymc

    import emvsmcmc as ev

    n, size = (2000, 200) if options.small else (10_000, 500)
    problem = nuts_models.mixture(n)
    found = protocol.Findings(options.json, {"PyMC with nutpie": f"{pymc.__version__} with nutpie {nutpie.__version__}"})
    proof = nuts_models.mixture_proof(n)
    kept: dict[str, list[np.ndarray]] = {"ours": [], "by hand": []}

    def ours(seed: int) -> float:
        tree = ev.fit_mcmc(problem, draws=size, tune=size, chains=2, init="prior", random_seed=seed, progress=False)
        return rate(
            "ours", nuts_models.values(tree["posterior_unaligned"], ("weight", "mean", "cov")), tree.attrs["sampling_seconds"]
        )

    def by_hand(seed: int) -> float:
        began = time.perf_counter()
        posterior = nutpie.sample(compiled, draws=size, tune=size, chains=2, seed=seed, progress_bar=False)["posterior"]
        seconds = time.perf_counter() - began
        return rate(
            "by hand", nuts_models.values(posterior, ("weight", "mean")) | {"cov": nuts_models.covariances(posterior)}, seconds
        )

    def rate(side: str, draws: dict[str, np.ndarray], seconds: float) -> float:
        kept[side].append(nuts_models.means(draws))
        ess = nuts_models.effective(draws)
        print(f"{side}: {ess:.0f} effective draws in {seconds:.1f} s of sampling", flush=True)
        return ess / seconds

    with found.row("nuts-mixture") as row:
        compiled = nutpie.compile_pymc_model(by_hand_mixture.build(nuts_models.rows(n)))
        ours(0)
        pairs = [(ours(seed), by_hand(seed)) for seed in range(1, 1 + (options.repeats or 3))]
        a, b = (np.mean(kept[side][-len(pairs) :], axis=0) for side in ("ours", "by hand"))
        worst = np.unravel_index(np.abs(a - b).argmax(), a.shape)
        # at 10,000 rows a mean has a posterior standard deviation of about 0.02
        same = protocol.equal(
            "posterior mean that differs most", a[worst], b[worst], 0.2 if options.small else 0.01, absolute=True
        )
        row.measured(
            "PyMC with nutpie",
            protocol.Timed.of(*zip(*pairs, strict=True)),
            [proof, same],
            f"2 chains of {size} draws after {size} tuning steps, neither side helped by EM.",
        )
    with found.row("compile-mixture") as row:
        nuts_fits.compile_row(row, "mixture", options.repeats or 3, [proof], rows=n)
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

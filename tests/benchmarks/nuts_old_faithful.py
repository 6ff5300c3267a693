"""Old Faithful: effective draws a second of NUTS against `pm.NormalMixture` by hand, the same density sampled by nutpie.

Effective draws: the smallest bulk ESS over weights, means and standard deviations, components in the order of their means. By
hand a second is one of `nutpie.sample`, compilation apart. Ours is `ev.fit_mcmc` with its default start, and EM's share of the
time, the search for the mode and the Hessian are counted with the sampling: that is where the better coordinates come from. Both
sides have 4 chains of 1000 draws after 1000 tuning steps, in one process, in turn.

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
    import by_hand_old_faithful
    import nutpie
    import pymc

    import emvsmcmc as ev
    from emvsmcmc.comparison import run

    size = 200 if options.small else 1000
    x, problem, names = nuts_models.waiting(), nuts_models.old_faithful(), ("weight", "mean", "sd")
    found = protocol.Findings(options.json, {"PyMC with nutpie": f"{pymc.__version__} with nutpie {nutpie.__version__}"})

    proof = nuts_models.old_faithful_proof()
    compiled = nutpie.compile_pymc_model(by_hand_old_faithful.build(x))
    kept: dict[str, list[np.ndarray]] = {"ours": [], "by hand": []}

    def ours(seed: int) -> tuple[float, float]:
        began = time.perf_counter()
        optima = run.map_optima(problem, seed)
        em = time.perf_counter() - began
        tree = ev.fit_mcmc(problem, draws=size, tune=size, random_seed=seed, progress=False, optima=optima)
        draws = nuts_models.values(tree["posterior_unaligned"], names)
        kept["ours"].append(nuts_models.means(draws))
        return nuts_models.effective(draws), em + tree.attrs["sampling_seconds"]

    def by_hand(seed: int) -> tuple[float, float]:
        began = time.perf_counter()
        tree = nutpie.sample(compiled, draws=size, tune=size, chains=4, seed=seed, progress_bar=False)
        seconds = time.perf_counter() - began
        draws = nuts_models.values(tree["posterior"], names)
        kept["by hand"].append(nuts_models.means(draws))
        return nuts_models.effective(draws), seconds

    with found.row("nuts-old-faithful") as row:
        ours(0), by_hand(0)
        pairs = [(ours(seed), by_hand(seed)) for seed in range(1, 1 + (options.repeats or 7))]
        same = protocol.equal(
            "posterior mean of the first group's waiting time",
            np.mean([m[0] for m in kept["ours"]]),
            np.mean([m[0] for m in kept["by hand"]]),
            0.1,
            absolute=True,
        )
        rates = protocol.Timed.of(*([ess / seconds for ess, seconds in side] for side in zip(*pairs, strict=True)))
        mine, hand = (np.median([ess for ess, _ in side]) for side in zip(*pairs, strict=True))
        row.measured(
            "PyMC with nutpie",
            rates,
            [proof, same],
            f"4 chains of {size} draws after {size} tuning steps; medians of {mine:.0f} and {hand:.0f} effective draws. EM, the "
            "search for the mode and the Hessian count as sampling on our side.",
        )
    with found.row("compile-old-faithful") as row:
        nuts_fits.compile_row(row, "old-faithful", options.repeats or 5, [proof])
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

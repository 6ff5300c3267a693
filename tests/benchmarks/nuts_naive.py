"""Old Faithful with the groups sampled (`by_hand_sampled.py`) against ours with the groups summed out, whole time.

Plain PyMC gives 272 groups to Gibbs steps and the rest to NUTS; it starts at sensible values, so that labels do not switch, with
a chain on each core. Ours is `ev.fit_mcmc` as it comes. Each fit has a process of its own with filled caches; the time is that of
the whole fit, compiling included, imports apart. Effective draws: the smallest bulk ESS over weights, means and standard
deviations.

The proof sums the groups out of the naive joint density by enumerating them row by row, at random points.
"""

import sys

import numpy as np
import nuts_fits
import nuts_models
import protocol
from nuts_models import Array, Point


def summed_out(x: Array) -> "nuts_models.Callable[[Point], float]":
    """Parameters -> log posterior of the naive model, its groups summed out row by row."""
    import by_hand_sampled
    import pytensor.tensor as pt

    model = by_hand_sampled.build(x)
    row_terms = model.logp(vars=[model["waiting"], model["group"]], sum=False, jacobian=False)
    prior = model.logp(vars=[model[name] for name in by_hand_sampled.PARAMETERS], jacobian=False)
    joint = nuts_models.density_of(model, pt.concatenate([prior[None], sum(row_terms)]))

    def density(point: Point) -> float:
        by_group = [joint({**point, "group": np.full(len(x), k)}) for k in range(2)]
        return float(by_group[0][0] + np.logaddexp(by_group[0][1:], by_group[1][1:]).sum())

    return density


def main() -> int:
    options = protocol.arguments(__doc__)
    import pymc

    found = protocol.Findings(options.json, {"PyMC": pymc.__version__})
    draws, tune = (20, 20) if options.small else (300, 200)
    with found.row("naive") as row:
        proof = nuts_models.same_density(
            "log posterior of Old Faithful, groups summed out",
            nuts_models.our_density(nuts_models.old_faithful()),
            summed_out(nuts_models.waiting()),
            nuts_models.old_faithful_points(),
        )
        nuts_fits.apart("ours-old-faithful", seed=0, draws=50, tune=50)  # both fill their caches
        nuts_fits.apart("naive-old-faithful", seed=0, draws=5, tune=5, chains=2)
        pairs = []
        for seed in range(1, 1 + (options.repeats or 2)):
            ours = nuts_fits.apart("ours-old-faithful", seed=seed)
            naive = nuts_fits.apart("naive-old-faithful", seed=seed, draws=draws, tune=tune, chains=2)
            pairs.append((ours, naive))
        a, b = (np.mean([f["means"] for f in side], axis=0) for side in zip(*pairs, strict=True))
        worst = int(np.abs(a - b).argmax())
        same = protocol.equal("posterior mean that differs most", a[worst], b[worst], 5 if options.small else 0.5, absolute=True)
        rates = [[f["ess"] / f["seconds"] for f in side] for side in zip(*pairs, strict=True)]
        share = np.median([f["sampling_seconds"] / f["seconds"] for _, f in pairs])
        row.measured(
            "PyMC",
            protocol.Timed.of(*rates),
            [proof, same],
            f"2 chains of {draws} draws after {tune} tuning steps, from a sensible start, sampling {share:.0%} of its time; ours "
            "4 chains of 1000 after 1000. Compiling included on both sides.",
        )
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

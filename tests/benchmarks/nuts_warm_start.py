"""What EM's estimate saves NUTS: effective draws a second of the whole of `ev.fit_mcmc`, both sides ours.

The rows of `nuts_mixture.py`, 10,000 x 4, K = 3, with an inverse-Wishart prior on the covariances. One side starts
over-dispersed around EM's optima in coordinates whitened by the posterior's Hessian there and tunes for 150 steps, the other
starts from the prior and tunes for 1000; 4 chains of 1000 draws each. Every fit is timed in a process of its own with filled
caches, from the problem to the finished tree: EM, loading machine code, tuning, drawing, alignment and replicated data.
"""

import sys

import numpy as np
import nuts_fits
import protocol

SHORT = 150


def main() -> int:
    options = protocol.arguments(__doc__)
    n, draws = (2000, 200) if options.small else (10_000, 1000)
    found = protocol.Findings(options.json)
    with found.row("warm-start") as row:
        settings: dict[str, dict[str, object]] = {"short": {"init": "em", "tune": SHORT}, "long": {"init": "prior", "tune": 1000}}
        for warm in settings.values():  # fills the caches
            nuts_fits.apart("ours-mixture", rows=n, seed=0, chains=2, draws=50, **{**warm, "tune": 50})
        fits: dict[str, list[dict[str, object]]] = {side: [] for side in settings}
        for seed in range(1, 1 + (options.repeats or 3)):
            for side, setting in settings.items():
                fits[side].append(nuts_fits.apart("ours-mixture", rows=n, seed=seed, draws=draws, **setting))
        a, b = (np.mean([f["means"] for f in fits[side]], axis=0) for side in settings)
        worst = int(np.abs(a - b).argmax())
        same = protocol.equal(
            "posterior mean that differs most", a[worst], b[worst], 0.2 if options.small else 0.01, absolute=True
        )
        whole, sampling = (
            [[f["ess"] / f[key] for f in fits[side]] for side in settings]  # type: ignore[operator]
            for key in ("seconds", "sampling_seconds")
        )
        ratio = np.median(np.divide(sampling[0], sampling[1]))
        row.measured(
            'ours with init="prior"',
            protocol.Timed.of(*whole),
            [same],
            f"{SHORT} tuning steps against 1000, 4 chains of {draws} draws. Of sampling alone the ratio is {ratio:.1f}.",
        )
    return found.finish()


if __name__ == "__main__":
    sys.exit(main())

"""NUTS on rows in chunks. Where all of them collapse to their moments its cost does not depend on their number; else every
leapfrog step is a pass over all chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from ..errors import BadInput
from ..expect.derived import with_derived
from ..expect.store.chunks import chunked_plan
from ..mcmc.options import NUTSOptions
from ..problem.chunked import ChunkedProblem
from .align import Alignment, align, best_draw
from .starting import map_optima, names_by_chain

if TYPE_CHECKING:
    from ..mcmc.sample import Sampled


def sample_chunks(
    problem: ChunkedProblem,
    options: NUTSOptions,
) -> xr.DataTree:
    """`fit_mcmc` on rows in chunks: groups posterior (aligned), posterior_unaligned, sample_stats.

    Rows in chunks do not fit into memory, draws of what is hidden in each of them even less: what is of the size of the data is
    not there. Labels and axes of latents are aligned to EM's by the responsibilities of the sample that EM started from. The
    log-likelihood of every draw stands in sample_stats where rows collapsed; elsewhere it would cost a pass a draw.
    Raises BadInput for another likelihood than the fused one, with everything summed out.
    """
    from ..mcmc.sample import flat_draws, sample, unflattened

    if options.likelihood != "fused" or options.marginalize != "all":
        got = f"{options.likelihood!r} and {options.marginalize!r}"
        raise BadInput("likelihood, marginalize", "'fused' and 'all', for rows in chunks", got)
    plan = chunked_plan(problem)
    optima = map_optima(problem, options.random_seed) if options.init == "em" else None
    done = sample(plan, options, optima)
    flat = flat_draws(done.posterior)
    reference = optima[0] if optima else best_draw(plan, flat, done.sample_stats)
    alignment = align(plan.sample, flat, reference, by_row=False)
    groups: dict[str, Any] = {
        "posterior": with_derived(plan.problem, unflattened(done.posterior, alignment.draws)),
        "posterior_unaligned": with_derived(plan.problem, done.posterior),
        "sample_stats": statistics(done),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = attributes(done, alignment, options)
    modes, alike = names_by_chain(plan.sample, flat, reference, done.posterior.sizes["chain"])
    tree.attrs |= {"modes": modes, "chains_of_mode": alike}
    return tree


def statistics(done: Sampled) -> xr.Dataset:
    """The sampler's statistics, with its own log-likelihood of each draw where it has one."""
    if done.log_likelihood is None:
        return done.sample_stats
    return done.sample_stats.assign(log_likelihood=(("chain", "draw"), done.log_likelihood))


def attributes(done: Sampled, alignment: Alignment, options: NUTSOptions) -> dict[str, Any]:
    """What is said of every run: seconds, how it was sampled, and what alignment did."""
    return {
        "compile_seconds": done.compile_seconds,
        "sampling_seconds": done.sampling_seconds,
        "random_seed": -1 if options.random_seed is None else options.random_seed,
        "whitened": int(done.whitened),
        "label_uncertainty": str(alignment.uncertain),
        "turned": str(alignment.turned),
        "undetermined": str(alignment.undetermined),
        "likelihood": options.likelihood,
        "marginalize": options.marginalize,
        "init": options.init,
        "tune": options.tune,
    }

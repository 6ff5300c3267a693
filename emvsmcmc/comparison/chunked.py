"""NUTS on rows in chunks. Where all of them collapse to their moments its cost does not depend on their number; else every
leapfrog step is a pass over all chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from ..errors import BadInput
from ..expect.derived import with_derived
from ..expect.store.chunks import chunked_plan
from ..problem.chunked import ChunkedProblem
from .align import Alignment, align, best_draw
from .starting import map_optima, names_by_chain

if TYPE_CHECKING:
    from ..mcmc.sample import Sampled


def sample_chunks(
    problem: ChunkedProblem,
    draws: int,
    tune: int,
    chains: int,
    likelihood: str,
    marginalize: str,
    init: Literal["em", "prior"],
    random_seed: int | None,
    progress: bool,
) -> xr.DataTree:
    """`fit_mcmc` on rows in chunks: groups posterior (aligned), posterior_unaligned, sample_stats.

    Rows in chunks do not fit into memory, draws of what is hidden in each of them even less: what is of the size of the data is
    not there. Labels and axes of latents are aligned to EM's by the responsibilities of the sample that EM started from. The
    log-likelihood of every draw stands in sample_stats where rows collapsed; elsewhere it would cost a pass a draw.
    Raises BadInput for another likelihood than the fused one, with everything summed out.
    """
    from ..mcmc.sample import flat_draws, sample, unflattened

    if likelihood != "fused" or marginalize != "all":
        raise BadInput("likelihood, marginalize", "'fused' and 'all', for rows in chunks", f"{likelihood!r} and {marginalize!r}")
    plan = chunked_plan(problem)
    assert plan.chunks is not None
    optima = map_optima(problem, random_seed) if init == "em" else None
    done = sample(plan, draws, tune, chains, "fused", "all", optima, random_seed, progress)
    flat = flat_draws(done.posterior)
    reference = optima[0] if optima else best_draw(plan, flat, done.sample_stats)
    found = align(plan.chunks.start, flat, reference, by_row=False)
    groups: dict[str, Any] = {
        "posterior": with_derived(plan.problem, unflattened(done.posterior, found.draws)),
        "posterior_unaligned": with_derived(plan.problem, done.posterior),
        "sample_stats": statistics(done),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = attributes(done, found, random_seed)
    tree.attrs |= {"likelihood": likelihood, "marginalize": marginalize, "init": init, "tune": tune}
    modes, alike = names_by_chain(plan.chunks.start, flat, reference, done.posterior.sizes["chain"])
    tree.attrs |= {"modes": modes, "chains_of_mode": alike}
    return tree


def statistics(done: Sampled) -> xr.Dataset:
    """The sampler's statistics, with its own log-likelihood of each draw where it has one."""
    if done.log_likelihood is None:
        return done.sample_stats
    return done.sample_stats.assign(log_likelihood=(("chain", "draw"), done.log_likelihood))


def attributes(done: Sampled, found: Alignment, random_seed: int | None) -> dict[str, Any]:
    """What is said of every run: seconds, the seed, and what alignment did."""
    return {
        "compile_seconds": done.compile_seconds,
        "sampling_seconds": done.sampling_seconds,
        "random_seed": -1 if random_seed is None else random_seed,
        "whitened": int(done.whitened),
        "label_uncertainty": str(found.uncertain),
        "turned": str(found.turned),
        "undetermined": str(found.undetermined),
    }

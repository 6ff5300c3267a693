"""NUTS on rows in chunks of which nothing but moments matters: its cost does not depend on their number."""

from __future__ import annotations

from typing import Any, Literal

import xarray as xr

from ..chunks import ChunkedProblem
from ..em.fit import fit_em
from ..errors import BadInput, FitFailed, NotInMemory
from ..expect.chunks import chunked_plan
from ..expect.plan import Plan
from ..expect.symmetry import exchangeable
from ..spec.graph import Environment
from .align import to_axes


def sample_moments(
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
    """`fit_mcmc` where every row collapsed: groups posterior (axes of latents turned to EM's), posterior_unaligned, sample_stats.

    What is of the size of the data times draws is not there. Raises NotInMemory where some hidden variable keeps rows in the
    loop, since every leapfrog step would pass over all chunks, and BadInput for another likelihood than the fused one.
    """
    from ..mcmc.sample import flat_draws, sample, unflattened

    if likelihood != "fused" or marginalize != "all":
        raise BadInput("likelihood, marginalize", "'fused' and 'all', for rows in chunks", f"{likelihood!r} and {marginalize!r}")
    plan = chunked_plan(problem)
    refuse_loops(plan)
    optima: list[Environment] = []
    if init == "em":
        try:
            optima = fit_em(
                problem, "map", starts=8, tol=1e-8, standard_errors=None, random_seed=random_seed, progress=False
            ).optima[:1]
        except FitFailed:
            optima = []  # no mode to start from: the prior's support points serve
    done = sample(plan, draws, tune, chains, "fused", "all", optima, random_seed, progress)
    aligned = {name: x.astype(float) for name, x in flat_draws(done.posterior).items()}
    turned: dict[str, float] = {}
    undetermined: dict[str, float] = {}
    if optima:
        turned, undetermined = to_axes(plan, aligned, optima[0])
    stats = done.sample_stats
    if done.log_likelihood is not None:
        stats = stats.assign(log_likelihood=(("chain", "draw"), done.log_likelihood))
    groups: dict[str, Any] = {
        "posterior": unflattened(done.posterior, aligned),
        "posterior_unaligned": done.posterior,
        "sample_stats": stats,
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "compile_seconds": done.compile_seconds,
        "sampling_seconds": done.sampling_seconds,
        "random_seed": -1 if random_seed is None else random_seed,
        "likelihood": likelihood,
        "marginalize": marginalize,
        "init": init,
        "tune": tune,
        "whitened": int(done.whitened),
        "turned": str(turned),
        "undetermined": str(undetermined),
    }
    return tree


def refuse_loops(plan: Plan) -> None:
    """Raises NotInMemory where rows stay in the loop, or where labels could be exchanged from draw to draw."""
    chunks = plan.chunks
    assert chunks is not None
    if chunks.in_loop or any(reason is None for reason in exchangeable(plan).values()):
        hidden = ", ".join(v.label for v in plan.latents) or ", ".join(p.variable.label for p in plan.radials)
        raise NotInMemory(
            f"NUTS with {hidden} hidden",
            "rows in memory, or rows that collapse to their moments (every assignment given, no Student-t)",
            f"{chunks.problem.n} rows in chunks that would be passed over at every leapfrog step",
            "Read the rows, or a sample of them, into memory (.compute()); fit_em takes them in chunks.",
        )

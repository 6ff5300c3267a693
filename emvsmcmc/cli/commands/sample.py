"""`emvsmcmc sample`: NUTS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ...mcmc.options import NUTSOptions
from ..files import NETCDF, check_file, write_file
from ..model import chosen, problem_of
from ..options import Chains, Data, Draws, Json, Likelihood, ModelName, Seed, Tune, stdout_kept, watched
from ..show import print_json, say, show_posterior


def sample(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    draws: Draws = NUTSOptions.draws,
    tune: Tune = NUTSOptions.tune,
    chains: Chains = NUTSOptions.chains,
    likelihood: Likelihood = NUTSOptions.likelihood,
    marginalize: Annotated[
        Literal["all", "discrete", "none"], typer.Option("--marginalize", help="What is summed out.")
    ] = NUTSOptions.marginalize,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save the draws as NetCDF.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Sample the posterior by NUTS, with discrete latents summed out."""
    if out is not None:
        check_file(out, NETCDF, "a .nc file")
    chosen_model, options = chosen(model, context.args)
    problem = problem_of(chosen_model, options, data)
    from ...comparison.posterior import summary
    from ...comparison.run import fit_mcmc  # PyMC loads here, after bad input has been refused

    with stdout_kept():
        tree = fit_mcmc(
            problem, draws=draws, tune=tune, chains=chains, likelihood=likelihood, marginalize=marginalize, random_seed=seed,
            progress=watched(),
        )  # fmt: skip
    if out is not None:
        write_file(out, lambda path: tree.to_netcdf(path, engine="h5netcdf"))
    numbers = summary(problem, tree["posterior"].to_dataset())
    if as_json:
        rows = numbers.reset_index().to_dict(orient="records")
        print_json(
            {"model": chosen_model.name, "parameters": rows, "run": dict(tree.attrs), "file": None if out is None else str(out)}
        )
        return
    show_posterior(chosen_model.name, numbers, {str(k): v for k, v in tree.attrs.items()})
    if out is not None:
        say(f"Draws: {out}")

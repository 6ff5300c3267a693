"""`emvsmcmc compare`: EM beside NUTS, and a page with the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ...em.options import EMOptions
from ...mcmc.options import NUTSOptions
from ..files import check_folder, write_folder
from ..model import chosen, problem_of
from ..options import Chains, Data, Draws, Json, Likelihood, ModelName, Seed, Starts, Tune, as_typed, stdout_kept, watched
from ..show import print_json, say, show_comparison


def compare(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    starts: Starts = EMOptions.starts,
    standard_errors: Annotated[Literal["observed", "bootstrap"], typer.Option("--standard-errors")] = EMOptions.standard_errors,  # type: ignore[assignment]
    draws: Draws = NUTSOptions.draws,
    tune: Tune = NUTSOptions.tune,
    chains: Chains = NUTSOptions.chains,
    likelihood: Likelihood = NUTSOptions.likelihood,
    marginalize: Annotated[
        Literal["all", "discrete"], typer.Option("--marginalize", help="What is summed out.")
    ] = NUTSOptions.marginalize,  # type: ignore[assignment]
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; else reports/MODEL.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Fit by EM and by NUTS on the same data, compare, and write a page with the verdict."""
    chosen_model, options = chosen(model, context.args)
    folder = out if out is not None else Path("reports") / chosen_model.name
    check_folder(folder)
    problem = problem_of(chosen_model, options, data)
    truth = chosen_model.truth(**options) if data is None else None
    from ...comparison.run import compare as both  # PyMC loads here, after bad input has been refused

    with stdout_kept():
        result = both(
            problem, starts=starts, standard_errors=standard_errors, draws=draws, tune=tune, chains=chains, likelihood=likelihood,
            marginalize=marginalize, truth=truth, random_seed=seed, progress=watched(), name=chosen_model.name,
        )  # fmt: skip

        result.posterior.attrs["command"] = as_typed()

        def write(temporary: Path) -> None:
            result.save(temporary / f"{chosen_model.name}.nc")
            result.report(temporary)

        write_folder(folder, write)
    page, saved = folder / "index.html", folder / f"{chosen_model.name}.nc"
    if as_json:
        print_json({**result.to_dict(), "report": str(page), "file": str(saved)})
        return
    show_comparison(result)
    say(f"Page: {page}")

"""`emvsmcmc compare`: EM beside NUTS, and a page with the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..files import check_folder, write_folder
from ..model import chosen, problem_of
from ..options import Chains, Data, Draws, Json, Likelihood, ModelName, Seed, Starts, Tune, as_typed, stdout_kept, watched
from ..show import print_json, say, show_comparison


def compare(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    starts: Starts = 20,
    standard_errors: Annotated[Literal["observed", "bootstrap"], typer.Option("--standard-errors")] = "observed",
    draws: Draws = 1000,
    tune: Tune = 1000,
    chains: Chains = 4,
    likelihood: Likelihood = "fused",
    marginalize: Annotated[Literal["all", "discrete"], typer.Option("--marginalize", help="What is summed out.")] = "all",
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; else reports/MODEL.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Fit by EM and by NUTS on the same data, compare, and write a page with the verdict."""
    found, options = chosen(model, context.args)
    folder = out if out is not None else Path("reports") / found.name
    check_folder(folder)
    problem = problem_of(found, options, data)
    truth = found.truth(**options) if data is None else None
    from ...comparison.run import compare as both  # PyMC loads here, after bad input has been refused

    with stdout_kept():
        result = both(
            problem, starts=starts, standard_errors=standard_errors, draws=draws, tune=tune, chains=chains, likelihood=likelihood,
            marginalize=marginalize, truth=truth, random_seed=seed, progress=watched(), name=found.name,
        )  # fmt: skip

        result.posterior.attrs["command"] = as_typed()

        def write(temporary: Path) -> None:
            result.save(temporary / f"{found.name}.nc")
            result.report(temporary)

        write_folder(folder, write)
    page, saved = folder / "index.html", folder / f"{found.name}.nc"
    if as_json:
        print_json({**result.to_dict(), "report": str(page), "file": str(saved)})
        return
    show_comparison(result)
    say(f"Page: {page}")

"""`emvsmcmc calibrate`: ranks of the truth and coverage of intervals over simulated data, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ...errors import BadInput
from ...experiments.options import CalibrationOptions
from ..files import check_folder, read_data, write_folder
from ..model import chosen
from ..options import (
    Chains,
    Draws,
    EachStarts,
    EachTune,
    Json,
    ModelName,
    RetryFailed,
    Scheduler,
    Seed,
    Store,
    Workers,
    as_typed,
    stdout_kept,
    watched,
)
from ..show import console, number, print_json, say, table

if TYPE_CHECKING:
    import xarray as xr

SIMULATIONS = "calibration.nc"
SHORT = {"wald": "EM Wald", "bootstrap": "EM bootstrap", "eti": "MCMC ETI", "hdi": "MCMC HDI"}


def sizes_of(text: str) -> list[int]:
    """Whole numbers with commas between them. Raises BadInput."""
    try:
        return [int(part) for part in text.replace(" ", "").split(",")]
    except ValueError:
        raise BadInput("--sizes", "whole numbers with commas between them, as in 50,200,800", repr(text)) from None


def calibrate(
    context: typer.Context,
    model: ModelName,
    sizes: Annotated[str, typer.Option("--sizes", metavar="A,B", help="Rows of the simulated data.")] = "50,200,800",
    simulations: Annotated[
        int, typer.Option("--simulations", min=1, help="Data sets of each size.")
    ] = CalibrationOptions.simulations,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Rows whose holes, labels and covariates are taken; else the model's own."),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Replicates of EM's bootstrap, 39 or more; 0 for none.")
    ] = CalibrationOptions.bootstrap,
    ranked: Annotated[
        int, typer.Option("--ranked", min=1, help="Draws among which the truth is ranked.")
    ] = CalibrationOptions.ranked,
    starts: EachStarts = CalibrationOptions.em.starts,
    draws: Draws = CalibrationOptions.nuts.draws,
    tune: EachTune = CalibrationOptions.nuts.tune,
    chains: Chains = CalibrationOptions.nuts.chains,
    store: Store = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    retry_failed: RetryFailed = False,
    report: Annotated[Path | None, typer.Option("--report", metavar="DIR", help="Write a page of ranks and coverage.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Simulate parameters and data, fit both engines, and see whether what they say holds the truth."""
    chosen_model, options = chosen(model, context.args)
    if report is not None:
        check_folder(report)
    rows = sizes_of(sizes)
    template = read_data(data) if data is not None else None
    if template is None and hasattr(chosen_model.module, "data"):
        template = chosen_model.data(**options)
    from ...experiments.calibration.calibrate import (
        calibrate as run,  # heavy libraries load here, after most bad input has been refused
    )
    from ...experiments.calibration.words import findings

    with stdout_kept():
        result = run(
            chosen_model.spec(**options),
            rows,
            simulations=simulations,
            data=template,
            bootstrap=bootstrap,
            ranked=ranked,
            em_options={"starts": starts},
            mcmc_options={"draws": draws, "tune": tune, "chains": chains},
            random_seed=seed,
            store=store,
            client=scheduler,
            workers=workers,
            progress=watched(),
            retry_failed=retry_failed,
            name=chosen_model.name,
        )
        result.attrs["command"], result.attrs["title"] = as_typed(), chosen_model.title
        if report is not None:
            write_folder(report, lambda folder: _written(result, folder))
    page = None if report is None else report / "index.html"
    verdict = findings(result)
    if as_json:
        print_json(result_dict(result, verdict, page))
        return
    show(verdict)
    if page is not None:
        say(f"Page: {page}")


def _written(result: xr.Dataset, folder: Path) -> None:
    """The page, and every number that it shows."""
    result.to_netcdf(folder / SIMULATIONS, engine="h5netcdf")
    result.ev.report(folder)


def result_dict(result: xr.Dataset, verdict: Any, page: Path | None) -> dict[str, Any]:
    """The result for programs: what it says, and both tables."""
    from ...experiments.calibration.words import failures

    return {
        **result.ev.about,
        "random_seed": int(result.attrs["random_seed"]),
        "sizes": result["size"].values,
        "simulations": result.sizes["simulation"],
        "verdict": verdict.headline,
        "uniform": {"uniform": True, "not uniform": False}.get(verdict.kind),
        "reasons": verdict.sentences,
        "uniformity": verdict.uniformity.reset_index().to_dict(orient="records"),
        "coverage": verdict.coverage.reset_index().to_dict(orient="records"),
        "failures": failures(result),
        "report": None if page is None else str(page),
    }


def show(verdict: Any) -> None:
    """Ranks, coverage at 95%, and what both say."""
    rows = [
        [q, str(n), str(int(r["count"])), number(r["chi2_p"], 3), number(r["ecdf_p"], 4), number(r["holm"], 3)]
        for (q, n), r in verdict.uniformity.iterrows()
    ]
    table("Ranks of the truth: are they uniform?", ["quantity", "n", "ranks", "chi2 p", "ECDF p", "Holm"], rows)
    part = verdict.coverage.xs(0.95, level="level")
    rows = [[f"{q}, {SHORT[m]}", str(n), *(number(100 * r[c], 1) for c in _COVERAGE)] for (q, m, n), r in part.iterrows()]
    table("Coverage of 95% intervals, per cent", ["quantity, interval", "n", *_COVERAGE.values()], rows)
    console().print(f"[bold]{escape(verdict.headline)}[/bold]", soft_wrap=True)
    for sentence in verdict.sentences:
        say(sentence)


_COVERAGE = {
    "where_there_is_one": "where there is one",
    "none_is_a_miss": "none is a miss",
    "none_is_a_miss_lower": "from",
    "none_is_a_miss_upper": "to",
    "without": "without",
}

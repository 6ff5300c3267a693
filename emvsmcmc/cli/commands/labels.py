"""`emvsmcmc labels`: learning curves of EM, NUTS and the supervised fit, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ...em.options import EMOptions
from ...errors import BadInput, MissingData
from ...experiments.options import LabelsOptions, SuggestOptions
from ...mcmc.options import NUTSOptions
from ..files import check_folder, read_data, write_folder
from ..model import chosen
from ..options import (
    FAILED,
    Chains,
    Data,
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
from .suggest import suggest_rows

if TYPE_CHECKING:
    import xarray as xr

    from ...gallery import Model

ALL_LABELS = 100  # value of the gallery's option `labels`, per cent of the rows that keep theirs, under which nothing is hidden
GALLERY_OPTION = "labels"
CURVES = "labels.nc"
SHOWN = ("accuracy", "adjusted_rand", "log_score", "brier", "calibration_error")
HEADINGS = {
    "accuracy": "accuracy",
    "adjusted_rand": "adj. Rand",
    "log_score": "log score",
    "brier": "Brier",
    "calibration_error": "cal. err.",
}
SHORT = {"em": "EM", "mcmc": "MCMC", "supervised": "supervised"}


def numbers_of(option: str, text: str) -> list[float]:
    """Numbers with commas between them; 20% is 0.2. Raises BadInput."""
    try:
        return [float(part[:-1]) / 100 if part.endswith("%") else float(part) for part in text.replace(" ", "").split(",")]
    except ValueError:
        raise BadInput(option, "numbers with commas between them, as in 0,0.1,0.5,1", repr(text)) from None


def words_of(text: str) -> list[str]:
    """The words between commas: none in a text of commas and spaces alone."""
    return [word for word in text.replace(" ", "").split(",") if word]


def labelled_data(model: Model, options: dict[str, Any], data: Path | None) -> Any:
    """Data with every label: those of the file, or the model's own with its option `labels` at 100. Raises MissingData where a
    model has no data, BadInput where the option is given."""
    if data is not None:
        return read_data(data)
    if GALLERY_OPTION in model.options:
        if GALLERY_OPTION in options:
            raise BadInput("--labels", "nothing: the experiment itself hides labels", "a number", "Use --fractions.")
        return model.data(**options, **{GALLERY_OPTION: ALL_LABELS})
    return model.data(**options)


def labels(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="NAME", help="The discrete variable whose labels are hidden.")
    ] = None,
    fractions: Annotated[
        str, typer.Option("--fractions", metavar="A,B", help="Shares of the labels that fits see: 0,0.1,50%.")
    ] = "",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Masks of each fraction.")] = LabelsOptions.repeats,
    methods: Annotated[str, typer.Option("--methods", metavar="A,B", help="Some of em, mcmc, supervised.")] = ",".join(
        LabelsOptions.methods
    ),
    held_out: Annotated[
        float, typer.Option("--held-out", min=0, max=0.99, help="Share of the rows that no fit sees.")
    ] = LabelsOptions.held_out,
    truth: Annotated[bool, typer.Option("--truth", help="Parameter error against the truth of simulated data.")] = False,
    objective: Annotated[
        str, typer.Option("--objective", help="ml or map, of EM and of the supervised fit (--suggest: map unless told).")
    ] = LabelsOptions.em.objective,
    starts: EachStarts = LabelsOptions.em.starts,
    draws: Draws = LabelsOptions.nuts.draws,
    tune: EachTune = LabelsOptions.nuts.tune,
    chains: Chains = LabelsOptions.nuts.chains,
    store: Store = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    retry_failed: RetryFailed = False,
    report: Annotated[Path | None, typer.Option("--report", metavar="DIR", help="Write a page of learning curves.")] = None,
    suggest: Annotated[
        int | None,
        typer.Option("--suggest", min=1, metavar="N", help="Instead: the N rows to label next, of those without a label."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="What --suggest ranks by: information, log_score, or log_determinant (EM alone).")
    ] = SuggestOptions.by,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """How well EM, NUTS and the labelled rows alone label rows, by how many labels they see."""
    chosen_model, options = chosen(model, context.args)
    if suggest is not None:
        source = context.get_parameter_source("objective")
        goal = SuggestOptions.em.objective if source is None or source.name == "DEFAULT" else objective
        engines = [m for m in words_of(methods) if m != "supervised"]  # which has nothing to say of the other rows
        em = EMOptions(objective=goal, starts=starts, random_seed=seed, progress=watched())  # type: ignore[arg-type]
        nuts = NUTSOptions(draws=draws, tune=tune, chains=chains, random_seed=seed, progress=watched())
        asked = SuggestOptions(n=suggest, by=by, methods=engines, em=em, nuts=nuts)  # type: ignore[arg-type]
        suggest_rows(chosen_model, options, data, label, asked, as_json)
        return
    if report is not None:
        check_folder(report)
    known = chosen_model.truth(**options) if truth and data is None else None
    if truth and known is None:
        raise MissingData("--truth", "a model whose own data were simulated", "one that does not say its truth", "Leave it out.")
    spec, rows = chosen_model.spec(**options), labelled_data(chosen_model, options, data)
    from ...experiments.labels.semisupervised import semisupervised  # heavy libraries load here, after bad input is refused

    if data is not None and not as_json:
        from ...problem.align import named
        from ...problem.read import read

        notes: list[str] = []
        named(spec, read(rows), True, notes)
        for note in notes:
            say(note)
    with stdout_kept():
        curves = semisupervised(
            spec,
            rows,
            labels=label,
            fractions=numbers_of("--fractions", fractions) if fractions else LabelsOptions.fractions,
            repeats=repeats,
            methods=words_of(methods),  # type: ignore[arg-type]
            held_out=held_out,
            truth=known,
            em_options={"starts": starts, "objective": objective},
            mcmc_options={"draws": draws, "tune": tune, "chains": chains},
            random_seed=seed,
            store=store,
            client=scheduler,
            workers=workers,
            progress=watched(),
            retry_failed=retry_failed,
            name=chosen_model.name,
            ignore_extra=True,
        )
        curves.attrs["command"], curves.attrs["title"] = as_typed(), chosen_model.title
        if report is not None:
            write_folder(report, lambda folder: _written(curves, folder))
    page = None if report is None else report / "index.html"
    if as_json:
        print_json(result_dict(curves, page))
    else:
        show(curves)
        if page is not None:
            say(f"Page: {page}")
    if not bool(curves["accuracy"].notnull().any()):
        raise typer.Exit(FAILED)


def _written(curves: xr.Dataset, folder: Path) -> None:
    """The page, and the figures that it shows."""
    curves.to_netcdf(folder / CURVES, engine="h5netcdf")
    curves.ev.report(folder)


def result_dict(curves: xr.Dataset, page: Path | None) -> dict[str, Any]:
    """The result for programs: what the curves say, and a row a score."""
    from ...experiments.labels.findings import findings

    verdict = findings(curves)
    status = curves["status"].to_series()
    return {
        **curves.ev.about,
        "random_seed": int(curves.attrs["random_seed"]),
        "repeats": curves.sizes["repeat"],
        "verdict": verdict.headline,
        "reasons": list(verdict.sentences),
        "scores": curves.ev.table.reset_index().to_dict(orient="records"),
        "statuses": [
            {"fraction": f, "method": m, "status": s, "count": int(n)}
            for (f, m, s), n in status.groupby([status.index.get_level_values(0), status.index.get_level_values(2), status])
            .size()
            .items()
        ],
        "report": None if page is None else str(page),
    }


def show(curves: xr.Dataset) -> None:
    """What the curves say, then a table a set of rows."""
    from ...experiments.labels.findings import WHERE, findings, percent

    repeats = curves.sizes["repeat"]
    for evaluation in curves["evaluation"].values:
        rows = []
        for f in curves["fraction"].values:
            if evaluation == "hidden" and f == 1:
                continue  # no label is hidden there
            for m in curves["method"].values:
                part = curves[list(SHOWN)].sel({"fraction": f, "method": m, "evaluation": evaluation})
                count = int(part["accuracy"].notnull().sum())
                means = [number(float(part[k].mean()) if count else float("nan"), 3) for k in SHOWN]
                rows.append([percent(float(f)), SHORT[str(m)], *means, f"{count} of {repeats}"])
        table(f"Means on {WHERE[str(evaluation)]}", ["labels", "method", *HEADINGS.values(), "fits"], rows)
    verdict = findings(curves)
    console().print(f"[bold]{escape(verdict.headline)}[/bold]", soft_wrap=True)
    for sentence in verdict.sentences:
        say(sentence)

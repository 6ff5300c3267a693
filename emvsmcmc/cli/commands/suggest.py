"""`emvsmcmc labels --suggest N`: which rows to label next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model import problem_of
from ..options import stdout_kept, watched
from ..show import number, print_json, say, table, warn

if TYPE_CHECKING:
    from ...experiments.suggest.suggest import Suggestions
    from ...gallery import Model

ENGINES = {"em": "EM", "mcmc": "MCMC"}
BY = {
    "information": "what the label is expected to tell about the parameters, nats",
    "log_score": "what the label is expected to add to the log score of the other hidden labels, nats",
    "log_determinant": "half the expected rise of the log determinant of EM's information, nats",
}


def suggest_rows(
    model: Model,
    options: dict[str, Any],
    data: Path | None,
    n: int,
    label: str | None,
    by: str,
    methods: Sequence[str],
    objective: str,
    starts: int,
    draws: int,
    tune: int,
    chains: int,
    seed: int | None,
    as_json: bool,
) -> None:
    """Rank the rows without a label of the model's data, or of a file, and print the n to label next by each engine."""
    problem = problem_of(model, options, data)
    from ...experiments.suggest.suggest import suggest  # PyMC loads here, after bad input has been refused

    engines = [m for m in methods if m != "supervised"]  # a fit to the labelled rows alone has nothing to say of the others
    with stdout_kept():
        found = suggest(
            problem, n, label, by, engines, objective, starts, draws, tune, chains, random_seed=seed, progress=watched(),  # type: ignore[arg-type]
        )  # fmt: skip
    if as_json:
        print_json({"model": model.name, **found.to_dict()})
    else:
        show(found)


def show(found: Suggestions) -> None:
    """A table an engine, best row first."""
    say(f"Rows to label next, by {BY[found.by]}. The gain of a row is what it adds to those above it.")
    for engine, part in found.rows.groupby("method", sort=False):
        measures = [m for m in BY if part[m].notna().any()]
        rows = [
            [
                str(line["rank"]),
                str(line["row"]),
                *[number(line[k], 3) for k in ("gain", *measures, "entropy")],
                f"{line['likely']} ({line['probability']:.2f})",
            ]
            for _, line in part.iterrows()
        ]
        headings = ["", "row", "gain", *[m.replace("_", " ") for m in measures], "entropy", f"{found.label}, likely"]
        table(ENGINES[str(engine)], headings, rows)
    for note in found.notes:
        warn(note)

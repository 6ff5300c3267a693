"""`emvsmcmc labels --suggest N`: which rows to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...experiments.options import SuggestOptions
from ..model import problem_of
from ..options import stdout_kept
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
    label: str | None,
    asked: SuggestOptions,
    as_json: bool,
) -> None:
    """Rank the rows without a label of the model's data, or of a file, and print the n to label next by each engine."""
    problem = problem_of(model, options, data)
    from ...experiments.suggest.suggest import suggested  # PyMC loads here, after bad input has been refused

    with stdout_kept():
        suggestions = suggested(problem, asked, label)
    if as_json:
        print_json({"model": model.name, **suggestions.to_dict()})
    else:
        show(suggestions)


def show(suggestions: Suggestions) -> None:
    """A table an engine, best row first."""
    say(f"Rows to label next, by {BY[suggestions.by]}. The gain of a row is what it adds to those above it.")
    for engine, part in suggestions.rows.groupby("method", sort=False):
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
        headings = ["", "row", "gain", *[m.replace("_", " ") for m in measures], "entropy", f"{suggestions.label}, likely"]
        table(ENGINES[str(engine)], headings, rows)
    for note in suggestions.notes:
        warn(note)

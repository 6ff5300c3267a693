"""`emvsmcmc choose`: several models of the same data, or one under several values of its options."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ...em.options import EMOptions
from ...errors import BadInput, DuplicateName
from ...mcmc.options import NUTSOptions
from ..files import read_data
from ..model import converted, unknown_option
from ..options import FAILED, Chains, Data, Draws, Json, Seed, Starts, Tune, stdout_kept, watched
from ..show import console, number, print_json, say, table, warn

if TYPE_CHECKING:
    import pandas as pd

    from ...comparison.choice.choose import Choice
    from ...gallery import Model
    from ...problem.chunked import AnyProblem

COLUMNS = {  # column of Choice.table -> heading, digits
    "log_likelihood": ("log-lik.", 2),
    "n_parameters": ("par.", 0),
    "aic": ("AIC", 2),
    "bic": ("BIC", 2),
    "icl": ("ICL", 2),
    "elpd_loo": ("elpd LOO", 2),
    "se_loo": ("s.e.", 2),
    "d_elpd": ("to best", 2),
    "se_diff": ("s.e.", 2),
    "pareto_k": ("k > 0.7", 0),
    "r_hat_rows": ("R-hat", 3),
}
FEW = 2


def choose(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL...", help="Names of the gallery or paths to Python files.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=A,B", help="Values of a model's option; or as --NAME A,B.")
    ] = None,
    data: Data = None,
    mcmc: Annotated[bool, typer.Option("--mcmc/--no-mcmc", help="LOO from the posterior, beside AIC, BIC and ICL.")] = True,
    starts: Starts = EMOptions.starts,
    draws: Draws = NUTSOptions.draws,
    tune: Tune = NUTSOptions.tune,
    chains: Chains = NUTSOptions.chains,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Choose among several models of the same data, or one under several values of an option: --option components=1,2,3."""
    problems = candidates([model, *context.args], option or [], data)
    from ...comparison.choice.choose import choose as judge

    with stdout_kept():
        choice = judge(
            problems, mcmc=mcmc, starts=starts, draws=draws, tune=tune, chains=chains, random_seed=seed, progress=watched()
        )
    if as_json:
        print_json(choice.to_dict())
    else:
        show_choice(choice)
    if not any(choice.best.values()):
        raise typer.Exit(FAILED)


def candidates(words: Sequence[str], options: Sequence[str], data: Path | None) -> dict[str, AnyProblem]:
    """{name: Problem} of every model named in `words`, under every combination of the values listed for its options.

    `poisson_mixture --components 1,2,3` is three models, called by what differs; options may also stand as NAME=VALUES in
    `options`. Raises BadInput for a word that is neither a
    model nor an option of one, for fewer than two models, and DuplicateName for one that is there twice.
    """
    from ... import gallery

    for text in options:
        if "=" not in text:
            raise BadInput(f"--option {text}", "NAME=VALUES, as in components=1,2,3", "no '='")
    models, rest = _models([*words, *(f"--{text}" for text in options)], gallery.names())
    if not models:
        word = next((w for w in words if not w.startswith("-")), "")
        gallery.load(word)  # raises, with a hint
    loaded = [gallery.load(m) for m in models]
    listed = _options(loaded, rest)
    variants = [
        (m, dict(zip(own, values, strict=True)))
        for m, own in zip(loaded, listed, strict=True)
        for values in product(*own.values())
    ]
    if len(variants) < FEW:
        remedy = "Name several models, or list the values of an option with commas: --option components=1,2,3."
        raise BadInput("choose", "two models at least", "one", remedy)
    varied = {option for own in listed for option, values in own.items() if len(values) > 1}
    rows = None if data is None else read_data(data)
    out: dict[str, AnyProblem] = {}
    for model, own in variants:
        name = _called(model, own, len(loaded) > 1, varied)
        if name in out:
            raise DuplicateName(name, "each model once", "the same one again", "Leave one of the two out.")
        out[name] = model.problem(rows, **own)
    for note in dict.fromkeys(note for problem in out.values() for note in problem.notes):
        warn(f"note: {note}")
    return out


def _models(words: list[str], known: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words that are models, as they stand or as paths, and the others in their order."""
    models = [w for w in words if w in known or (w.endswith(".py") and not w.startswith("-"))]
    return models, [w for w in words if w not in models]


def _options(models: list[Model], words: list[str]) -> list[dict[str, list[Any]]]:
    """For each model, the values listed for each of its options; an option counts for every model that has it."""
    out: list[dict[str, list[Any]]] = [{} for _ in models]
    while words:
        word = words.pop(0)
        key, equals, text = word[2:].partition("=")
        key = key.replace("-", "_")
        having = [i for i, m in enumerate(models) if key in m.options]
        if not word.startswith("-"):
            from ... import gallery

            gallery.load(word)  # a model that nobody knows
        if not word.startswith("--") or not having:
            raise unknown_option(word, dict.fromkeys(o for m in models for o in m.options))
        if not equals:
            switch = all(isinstance(models[i].default(key), bool) for i in having)
            text = "true" if switch else words.pop(0) if words else ""
        for i in having:
            out[i][key] = [converted(word, part, models[i].default(key)) for part in text.split(",")]
    return out


def _called(model: Model, options: dict[str, Any], several: bool, varied: set[str]) -> str:
    """The model's name where there are several, and its options where they vary: "3", "poisson_mixture components 3"."""
    differing = {k: str(v).lower() if isinstance(v, bool) else v for k, v in options.items() if k in varied}
    if not several and len(differing) == 1 and not isinstance(options[next(iter(differing))], bool):
        return str(next(iter(differing.values())))
    return " ".join([*([model.name] if several else []), *[f"{k} {v}" for k, v in differing.items()]])


def show_choice(choice: Choice) -> None:
    """The table, then the sentences."""
    columns = {c: shape for c, shape in COLUMNS.items() if c in choice.table}
    rows = [[str(name), *_cells(row, columns)] for name, row in choice.table.iterrows()]
    table("Model choice", ["model", *[heading for heading, _ in columns.values()], "EM"], rows)
    first, *others = choice.sentences
    console().print(f"[bold]{escape(first)}[/bold]", soft_wrap=True)
    for sentence in others:
        say(sentence)


def _cells(row: pd.Series, columns: dict[str, tuple[str, int]]) -> list[str]:
    return [*[number(float(row[c]), digits) for c, (_, digits) in columns.items()], str(row["status"])]

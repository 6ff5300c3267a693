"""One set of defaults: verbs and commands take theirs from the records, which alone check what is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
import typer

import emvsmcmc as ev
from emvsmcmc.cli.app import app
from emvsmcmc.em.options import EMOptions
from emvsmcmc.errors import BadInput
from emvsmcmc.experiments.options import CalibrationOptions, LabelsOptions, RaceOptions, SuggestOptions, changed
from emvsmcmc.experiments.suggest.race import race
from emvsmcmc.mcmc.options import NUTSOptions

# what a verb's options are the fields of, the first one that has it; arguments that are data or a request of their own
VERBS: list[tuple[Callable[..., Any], tuple[Any, ...], set[str], int]] = [
    (ev.fit_em, (EMOptions(),), {"init", "checkpoint"}, 2),
    (ev.fit_mcmc, (NUTSOptions(),), {"optima"}, 1),
    (ev.compare, (EMOptions(), NUTSOptions()), {"hard", "truth", "name"}, 1),
    (ev.choose, (EMOptions(), NUTSOptions()), {"data", "weights", "mcmc"}, 2),
    (ev.suggest, (SuggestOptions(), SuggestOptions.em, SuggestOptions.nuts), {"labels", "fit", "posterior"}, 2),
    (
        ev.semisupervised,
        (LabelsOptions(),),
        {"labels", "noise", "sets", "truth", "em_options", "mcmc_options", "name", "ignore_extra"},
        2,
    ),
    (ev.calibrate, (CalibrationOptions(),), {"data", "em_options", "mcmc_options", "posterior", "name"}, 2),
    (race, (RaceOptions(), RaceOptions.em), {"truth"}, 4),
]
SWEEP = {"store", "client", "workers", "retry_failed"}  # of `run_sweep`
OF_SWEEP = {"random_seed", "progress"}
COMMANDS: dict[str, tuple[Any, ...]] = {
    "fit": (EMOptions(),),
    "sample": (NUTSOptions(),),
    "compare": (EMOptions(), NUTSOptions()),
    "choose": (EMOptions(), NUTSOptions()),
    "labels": (LabelsOptions(), LabelsOptions.em, LabelsOptions.nuts),
    "calibrate": (CalibrationOptions(), CalibrationOptions.em, CalibrationOptions.nuts),
}
WRITTEN = {
    "methods": ",".join,
    "standard_errors": lambda x: x or "none",
    "fractions": lambda x: "",
}  # as text on the command line


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items() if p.default is not p.empty}


def field_of(records: tuple[Any, ...], name: str) -> Any:
    return next(getattr(r, name) for r in records if name in {f.name for f in fields(r)})


def has(records: tuple[Any, ...], name: str) -> bool:
    return any(name in {f.name for f in fields(r)} for r in records)


def disagreements(given: Mapping[str, Any], records: tuple[Any, ...], written: Mapping[str, Callable[[Any], Any]]) -> set[str]:
    """Options whose default is not that of their record."""
    as_is: Callable[[Any], Any] = lambda x: x  # noqa: E731
    return {n for n, x in given.items() if has(records, n) and written.get(n, as_is)(field_of(records, n)) != x}


@pytest.mark.parametrize(("verb", "records", "others", "front"), VERBS, ids=lambda x: getattr(x, "__name__", ""))
def test_the_defaults_of_a_verb_are_those_of_the_records(
    verb: Callable[..., Any], records: tuple[Any, ...], others: set[str], front: int
) -> None:
    given = defaults(verb)
    assert disagreements(given, records, {}) == set()
    assert {n for n in given if not has(records, n)} - OF_SWEEP <= others | SWEEP
    kinds = [p.kind for p in inspect.signature(verb).parameters.values()]
    assert all(k is inspect.Parameter.POSITIONAL_OR_KEYWORD for k in kinds[:front])
    assert all(k in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD) for k in kinds[front:])


def test_every_option_of_em_and_nuts_is_one_of_its_verb() -> None:
    assert {f.name for f in fields(EMOptions)} <= set(defaults(ev.fit_em))
    assert {f.name for f in fields(NUTSOptions)} <= set(defaults(ev.fit_mcmc))


def command(name: str) -> dict[str, Any]:
    """{option: default} of a command as it is parsed."""
    parsed = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return {str(p.name): p.default for p in parsed.params if not p.required}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_defaults_of_a_command_are_those_of_the_records(name: str) -> None:
    given, records = command(name), COMMANDS[name]
    assert sum(has(records, n) for n in given) >= 3
    assert disagreements(given, records, WRITTEN) == set()


def test_suggestions_are_ranked_by_what_the_record_says() -> None:
    assert command("labels")["by"] == SuggestOptions.by


def test_a_default_of_its_own_would_be_seen() -> None:
    """Negative control."""

    def verb(problem: Any, starts: int = 21, tol: float = EMOptions.tol) -> None: ...

    assert disagreements(defaults(verb), (EMOptions(),), {}) == {"starts"}
    assert disagreements({"methods": "em"}, (LabelsOptions(),), WRITTEN) == {"methods"}
    assert disagreements({"methods": "em,mcmc,supervised"}, (LabelsOptions(),), WRITTEN) == set()


@pytest.mark.parametrize(
    ("record", "wrong", "named"),
    [
        (EMOptions, {"objective": "reml"}, "objective"),
        (EMOptions, {"assignment": "firm"}, "assignment"),
        (EMOptions, {"standard_errors": "sandwich"}, "standard_errors"),
        (EMOptions, {"starts": 0}, "starts"),
        (EMOptions, {"max_iter": 0}, "max_iter"),
        (EMOptions, {"tol": 0.0}, "tol"),
        (EMOptions, {"tol": float("nan")}, "tol"),
        (EMOptions, {"random_seed": -1}, "random_seed"),
        (NUTSOptions, {"draws": 3}, "draws"),
        (NUTSOptions, {"tune": 0}, "tune"),
        (NUTSOptions, {"chains": 0}, "chains"),
        (NUTSOptions, {"likelihood": "fast"}, "likelihood"),
        (NUTSOptions, {"marginalize": "some"}, "marginalize"),
        (NUTSOptions, {"init": "zero"}, "init"),
        (NUTSOptions, {"random_seed": 0.5}, "random_seed"),
        (LabelsOptions, {"repeats": 0}, "repeats"),
        (LabelsOptions, {"methods": ("em", "em")}, "methods"),
        (CalibrationOptions, {"bootstrap": 20}, "bootstrap"),
        (SuggestOptions, {"by": "entropy"}, "by"),
        (SuggestOptions, {"by": "log_determinant"}, "by"),
        (RaceOptions, {"rounds": 0}, "rounds"),
        (RaceOptions, {"strategies": ("best",)}, "strategies"),
    ],
)
def test_a_record_names_what_means_nothing(record: Any, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        record(**wrong)
    with pytest.raises(BadInput, match=named):
        replace(record(), **wrong)


def test_records_do_not_change_and_take_names_only() -> None:
    for record in (EMOptions, NUTSOptions, LabelsOptions, CalibrationOptions, SuggestOptions, RaceOptions):
        with pytest.raises(FrozenInstanceError):
            setattr(record(), fields(record)[0].name, 1)
        with pytest.raises(TypeError):
            record("ml")


def test_what_a_user_changes_and_what_is_told_of_it() -> None:
    own = EMOptions(starts=10, tol=1e-8)
    assert changed("em_options", own, None, ("starts",)) == (own, {"starts": 10, "tol": 1e-8})
    assert changed("em_options", own, {"starts": 3}, ("starts",)) == (replace(own, starts=3), {"starts": 3, "tol": 1e-8})
    with pytest.raises(BadInput, match="random_seed"):
        changed("em_options", own, {"random_seed": 3}, ("starts", "tol"))
    with pytest.raises(BadInput, match="starts"):
        changed("em_options", own, {"starts": 0}, ("starts",))

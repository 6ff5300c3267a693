"""Which model the command line means, with the options of its own, and the problem that its data make."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from .files import read_data
from .show import warn

if TYPE_CHECKING:
    from ..gallery import Model
    from ..problem.chunked import AnyProblem


def chosen(name: str, extra: list[str]) -> tuple[Model, dict[str, Any]]:
    """The model and its own options among what was left of the command line. Raises BadInput for an option nobody knows."""
    from .. import gallery

    words = [name, *extra]
    at = _place_of_model(words, gallery.names())
    model = gallery.load(words.pop(at))
    options: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        key, equals, value = word[2:].partition("=")
        key = key.replace("-", "_")
        if not word.startswith("--") or key not in model.options:
            raise unknown_option(word, model.options)
        default = model.default(key)
        if isinstance(default, bool) and not equals:
            options[key] = True
            continue
        if not equals:
            value = words.pop(0) if words else ""
        options[key] = converted(word, value, default)
    return model, options


def _place_of_model(words: list[str], known: list[str]) -> int:
    """Options of a model may stand before it, so its name is the first word that can be one."""
    for i, word in enumerate(words):
        if word in known or word.endswith(".py"):
            return i
    return next((i for i, word in enumerate(words) if not word.startswith("-")), 0)


def unknown_option(word: str, known: Iterable[str]) -> BadInput:
    """What is said of a word that is no option of the command and none of the model's."""
    key, options = word[2:].partition("=")[0].replace("-", "_"), list(known)
    close = difflib.get_close_matches(key, options, n=1)
    remedy = f"Did you mean --{close[0]}?" if close else "See --help."
    allowed = ", ".join(f"--{o}" for o in options) or "it has none"
    return BadInput(word, f"an option, or one of this model: {allowed}", "an unknown word", remedy)


def converted(word: str, text: str, default: Any) -> Any:
    """The text of an option as the type of its default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(default)(text) if isinstance(default, (int, float)) else text
    except (KeyError, ValueError):
        kind = "true or false" if isinstance(default, bool) else "a whole number" if isinstance(default, int) else "a number"
        raise BadInput(word, kind, repr(text) if text else "nothing") from None


def problem_of(model: Model, options: dict[str, Any], data: Path | None) -> AnyProblem:
    """The model with its own data or the user's; what conditioning noted goes to standard error."""
    problem = model.problem(None if data is None else read_data(data), **options)
    for note in problem.notes:
        warn(f"note: {note}")
    return problem

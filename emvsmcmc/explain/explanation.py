"""What `Spec.explain` shows: the mathematics of a spec, the roles of its variables, and what inference does with it."""

from __future__ import annotations

from typing import Any

from ..spec.model import Spec
from .declaration import model_lines, role_lines
from .sections import derive


class Explanation(str):
    """Text whose repr is itself, so that a REPL line shows it as print does."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(spec: Spec, problem: Any = None) -> Explanation:
    """The model in mathematics, roles, and the steps of both engines."""
    sections = [("Model", model_lines(spec)), ("Roles", role_lines(spec, problem)), *derive(spec, problem)]
    return Explanation(
        "\n\n".join("\n".join([heading, *(f"  {line}" if line else "" for line in lines)]) for heading, lines in sections)
    )

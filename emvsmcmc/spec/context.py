"""The spec whose `with` block is open, and what a declaration asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..errors import InvalidSpec


class OpenSpec(Protocol):
    """What declarations, and the rules that they must keep, read of a spec (see `model.Spec`)."""

    coords: dict[str, list[Any]]
    plates: tuple[str, ...]

    ordered: dict[str, str]

    @property
    def variables(self) -> Mapping[str, Any]: ...

    @property
    def data(self) -> Mapping[str, Any]: ...

    @property
    def deterministics(self) -> Mapping[str, Any]: ...

    def is_plate(self, dim: str) -> bool: ...

    def add_variable(self, variable: Any) -> None: ...

    def add_data(self, data: Any) -> None: ...

    def add_deterministic(self, derived: Any) -> None: ...


_open: list[OpenSpec] = []


def enter(spec: OpenSpec) -> None:
    """Open a spec: declarations go to it until it is left."""
    _open.append(spec)


def leave() -> None:
    """Close the spec that was opened last."""
    _open.pop()


def current_spec() -> OpenSpec:
    """The spec whose `with` block is open. Raises InvalidSpec outside one."""
    if not _open:
        raise InvalidSpec("declaration", "an open spec", "none", "Declare variables inside 'with ev.Spec(...) as spec:'.")
    return _open[-1]

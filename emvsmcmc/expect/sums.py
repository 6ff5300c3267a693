"""Records whose fields add: each field says in its declaration how, and whoever adds, empties or writes down a record asks the
fields. A field that is declared is therefore in every sum and in every file; no list of names has to be kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from ..numerics import root_of_moments

Array = np.ndarray


class Rule(ABC):
    """How the values of one field become one."""

    @abstractmethod
    def total(self, parts: Sequence[Any]) -> Any:
        """The value of all parts together, which are added in their order."""

    @abstractmethod
    def zero(self, value: Any) -> Any:
        """What adds nothing to a value."""

    def grouped(self, rows: Array, group: Array, first: Array) -> Array:
        """(groups, ...) the same along the first axis: group (n,) of every entry, first (groups,) an entry of each group."""
        raise TypeError(f"{type(self).__name__}: a field that does not add entry by entry")


class Sum(Rule):
    """The sum. Of a mapping, the sum of each of its values."""

    def total(self, parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], Mapping):
            return {name: self.total([p[name] for p in parts]) for name in parts[0]}
        return sum(parts[1:], start=parts[0] + 0)

    def zero(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self.zero(x) for name, x in value.items()}
        return np.zeros_like(value) if isinstance(value, np.ndarray) else type(value)()

    def grouped(self, rows: Array, group: Array, first: Array) -> Array:
        out = np.zeros((len(first), *rows.shape[1:]))
        np.add.at(out, group, rows)
        return out


class Same(Rule):
    """What all parts have in common, such as the points that moments are about."""

    def total(self, parts: Sequence[Any]) -> Any:
        return parts[0]

    def zero(self, value: Any) -> Any:
        return value

    def grouped(self, rows: Array, group: Array, first: Array) -> Array:
        return rows[first]


class Root(Rule):
    """Triangular R (..., d, d) whose R'R add; None where there is none."""

    def total(self, parts: Sequence[Array | None]) -> Array | None:
        there = [p for p in parts if p is not None]
        return np.linalg.qr(np.concatenate(there, axis=-2), mode="r") if there else None

    def zero(self, value: Array | None) -> Array | None:
        return None if value is None else np.zeros_like(value)

    def grouped(self, rows: Array, group: Array, first: Array) -> Array:
        return np.stack([_root(rows[group == g]) for g in range(len(first))])


def _root(R: Array) -> Array:
    """One triangular root for several, with a diagonal of at least 0."""
    if len(R) == 1:
        root = R[0]
    else:
        rows = R.reshape(-1, R.shape[-1])
        root = root_of_moments(rows, np.ones(len(rows)))
    return root * np.where(np.diagonal(root) < 0, -1.0, 1.0)[:, None]


class Anywhere(Rule):
    """Whether it is so in any part."""

    def total(self, parts: Sequence[Array]) -> Array:
        return np.any(parts, axis=0)

    def zero(self, value: Array) -> Array:
        return np.zeros_like(value)


class Joined(Rule):
    """One part after another."""

    def total(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts)

    def zero(self, value: Array) -> Array:
        return value[:0]


ADDS = "adds"  # where a field's metadata say how, if not as its record's other fields do
SAME, ROOT, ANYWHERE = ({ADDS: rule()} for rule in (Same, Root, Anywhere))


@dataclass(frozen=True)
class Additive:
    """A record that adds, empties and writes itself down field by field."""

    RULE: ClassVar[Rule] = Sum()  # of the fields that say nothing else
    SEPARATOR: ClassVar[str] = "."  # between a field and a name in it, in what is written down

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        """{field: how it adds}."""
        return {f.name: f.metadata.get(ADDS, cls.RULE) for f in fields(cls)}

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """All parts together, added in their order."""
        return cls(**{name: rule.total([getattr(p, name) for p in parts]) for name, rule in cls.rules().items()})

    def zero(self) -> Self:
        """A record of the same shape that adds nothing."""
        return type(self)(**{name: rule.zero(getattr(self, name)) for name, rule in self.rules().items()})

    def arrays(self) -> dict[str, Array]:
        """{name: array} of everything that is there, as `from_arrays` reads it."""
        out: dict[str, Array] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Mapping):
                out |= {f"{f.name}{self.SEPARATOR}{name}": np.asarray(x) for name, x in value.items()}
            elif value is not None:
                out[f.name] = np.asarray(value)
        return out

    @classmethod
    def from_arrays(cls, stored: Mapping[str, Array]) -> Self:
        """The record that `arrays` wrote down; names that are none of its fields are left out."""
        arrays: dict[str, Any] = {}
        for f in fields(cls):
            inside = {k.removeprefix(f.name + cls.SEPARATOR): stored[k] for k in stored if k.startswith(f.name + cls.SEPARATOR)}
            if f.name in stored:
                arrays[f.name] = stored[f.name]
            elif inside:
                arrays[f.name] = inside
        return cls(**arrays)

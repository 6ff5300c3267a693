"""What all rows say together, pattern by pattern: moments of rows that are known in the same coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ..layout import Collapsed
from ..sums import ANYWHERE, ROOT, SAME, Additive, Anywhere


@dataclass(frozen=True)
class Patterns(Additive):
    """Moments of the rows of every pattern (hidden coordinates, allowed configurations), whether they stay in the loop or not.

    Attributes
    ----------
    hidden (q, d), allowed (q, K) : what tells patterns apart.
    weight (q,), R (q, d, d), S (q, L), constant (q,) : as in `Collapsed`.
    counted (q,) : rows with a weight. there {variable: (q, elements)} : those among them that have a value.
    holes (t,) : whether the value of a radial row is missing anywhere.
    """

    hidden: np.ndarray = field(metadata=SAME)
    allowed: np.ndarray = field(metadata=SAME)
    weight: np.ndarray
    R: np.ndarray = field(metadata=ROOT)
    S: np.ndarray
    constant: np.ndarray
    counted: np.ndarray
    there: Mapping[str, np.ndarray]
    holes: np.ndarray = field(metadata=ANYWHERE)

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """Patterns of several blocks as one record: those that are alike add."""
        keys = np.concatenate([np.hstack([p.hidden, p.allowed]) for p in parts])
        _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        group = group.ravel()
        out: dict[str, Any] = {}
        for name, rule in cls.rules().items():
            values = [getattr(p, name) for p in parts]
            if isinstance(rule, Anywhere):  # of all patterns together
                out[name] = rule.total(values)
            elif isinstance(values[0], Mapping):
                out[name] = {k: rule.grouped(np.concatenate([v[k] for v in values]), group, first) for k in values[0]}
            else:
                out[name] = rule.grouped(np.concatenate(values), group, first)
        return cls(**out)

    @property
    def single(self) -> np.ndarray:
        """(q,) whether a pattern is collapsed."""
        return (self.allowed.sum(axis=1) == 1) & (len(self.holes) == 0)

    @property
    def collapsed(self) -> Collapsed:
        """The patterns that stay out of the loop."""
        at = np.flatnonzero(self.single)
        configuration = self.allowed[at].argmax(axis=1)
        return Collapsed(configuration, self.hidden[at], self.weight[at], self.R[at], self.S[at], self.constant[at])

"""An argument of a distribution: the set its values lie in, and what it is to EM where it is the argument of a child."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .kinds import Kind
from .support import Real, Support

REQUIRED = object()


@dataclass(frozen=True)
class Argument:
    """What may stand in an argument, and what becomes of it.

    support : the set that one value of it lies in. boundary : whether the boundary of that set belongs to it (a probability may
    be 0, a standard deviation may not). kind : the message that its look-up sends where all other arguments are known; None where
    there is no closed form, so that its step is Newton's. fixed : known before anything is estimated (a number of trials): a
    constant, a covariate, or a parameter that is given. event_dims : trailing dims of one value of it: 1 for a mean vector or for
    probabilities, 2 for a matrix. default : what it is where it is not given; `REQUIRED`, or None where another one stands for
    it. decides : whether the set that the distribution lives on depends on it. distribution : an unnamed
    distribution, not a value.
    """

    support: Support = field(default_factory=Real)
    kind: Kind | None = None
    default: Any = REQUIRED
    boundary: bool = False
    fixed: bool = False
    event_dims: int = 0
    decides: bool = False
    distribution: bool = False

    @property
    def matrix(self) -> bool:
        return self.event_dims == 2

    def admits(self, value: np.ndarray) -> np.ndarray:
        """Which values may stand here, one answer for each number (for a matrix or probabilities, each event)."""
        value = np.asarray(value, dtype=float)
        inside = self.support.contains(value)
        if self.boundary or self.event_dims:
            return inside
        return inside & self.support.interior(value)

    @property
    def description(self) -> str:
        """What is expected, in words."""
        return self.support.description if self.boundary or self.event_dims else self.support.open_description

"""The options of EM: one record with one set of defaults, checked in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import BadInput
from ..seed import checked_seed

Goal = Literal["ml", "map"]
Assignment = Literal["soft", "hard"]
Errors = Literal["observed", "bootstrap"]


@dataclass(frozen=True, kw_only=True)
class EMOptions:
    """How to fit; `fit_em` says what each option means. Raises BadInput for values that mean nothing."""

    objective: Goal = "ml"
    assignment: Assignment = "soft"
    starts: int = 20
    tol: float = 1e-11
    max_iter: int = 10_000
    accelerate: bool = True
    standard_errors: Errors | None = "observed"
    random_seed: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.objective not in get_args(Goal):
            raise BadInput("objective", "'ml' or 'map'", repr(self.objective))
        if self.assignment not in get_args(Assignment):
            raise BadInput("assignment", "'soft' or 'hard'", repr(self.assignment))
        if self.standard_errors is not None and self.standard_errors not in get_args(Errors):
            raise BadInput("standard_errors", "'observed', 'bootstrap' or None", repr(self.standard_errors))
        if self.starts < 1 or self.max_iter < 1 or not self.tol > 0:
            raise BadInput("starts, max_iter, tol", "positive values", f"{self.starts}, {self.max_iter}, {self.tol}")
        checked_seed(self.random_seed)

    @property
    def hard(self) -> bool:
        """Whether everything hidden sits at its most probable value."""
        return self.assignment == "hard"

    @property
    def accelerated(self) -> bool:
        """Whether steps are extrapolated: hard assignment jumps, and cannot be."""
        return self.accelerate and not self.hard

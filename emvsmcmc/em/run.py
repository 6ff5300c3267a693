"""What a run of EM leaves behind, and what makes one: the records that the loop and those who judge its runs share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..errors import Status
from ..spec.evaluate import Environment
from .mstep import MStep


@dataclass
class Run:
    """One start: where it ended, how, and its path. `gain` is the rise still to come, in nats, when it ended."""

    environment: Environment
    status: Status
    reason: str
    objective: float
    path: list[float]
    iterations: int
    passes: int
    gain: float
    rate: float
    optimum: int = -1
    trace: list[Environment] = field(default_factory=list)
    fingerprint: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Runner(Protocol):
    """What runs EM from given parameters to a named end."""

    mstep: MStep
    hard: bool

    def run(self, env: Environment, iterations: int | None = None) -> Run: ...

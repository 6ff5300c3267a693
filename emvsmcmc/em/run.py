"""Records of one run of EM: the points it goes through, what it leaves behind as it goes, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import Status
from ..expect.layout import Statistics
from ..spec.evaluate import Environment
from .stopping import End


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


@dataclass(frozen=True)
class Point:
    """Parameters, their objective in nats, and the statistics of the expectation there.

    reference : (K, d) the centres about which the next expectation is taken (see `reference_points`).
    """

    env: Environment
    objective: float
    S: Statistics
    reference: np.ndarray


class Trail:
    """What a run leaves behind: the objective of every iteration, passes over the rows, and the parameters where they are kept.

    It outlives the step in which a run breaks off, and so is no part of its state. note : told the end of every iteration. keep :
    whether to keep parameters.
    """

    def __init__(self, note: Callable[[Environment, float], None] | None = None, keep: bool = False) -> None:
        self.note, self.keep = note, keep
        self.path: list[float] = []
        self.trace: list[Environment] = []
        self.passes = 0
        self.last: Point | None = None

    @property
    def iterations(self) -> int:
        return max(len(self.path) - 1, 0)

    @property
    def rise(self) -> float:
        """Of the objective in the last iteration."""
        return self.path[-1] - self.path[-2]

    def record(self, point: Point) -> None:
        """The end of an iteration."""
        self.path.append(point.objective)
        self.last = point
        if self.note is not None:
            self.note(point.env, point.objective)
        if self.keep:
            self.trace.append(point.env)

    def end(self, env: Environment, objective: float, end: End) -> Run:
        """The run as it ended. The path may hold one more value, that of a point tried after the one returned."""
        return Run(
            env, end.status, end.reason, objective, self.path, self.iterations, self.passes, end.gain, end.rate, trace=self.trace
        )

"""The stopping rule of EM: what two plain steps say about the rise still to come, what a fall means, and how a run has ended.

Near a maximum the error of EM shrinks by the same rate in every step, the largest fraction of missing information. With the score
s at theta1 and the step d = theta2 - theta1, what is still to gain is s'd / 2 / (1 - rate), in nats: a scale that does not depend
on the parameters' units or on the number of rows. Nothing in this file takes a pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..errors import Degenerate, EmvsmcmcError, NotMonotone, Status
from ..expect.heywood import HELD

ROUNDING = 1e-12  # relative fall of the objective that rounding explains
# Residuals carry the rounding of their column and are weighed by its inverse uniqueness u: it grows by 1 / sqrt(u) as u vanishes
ROUNDING_AT_ZERO = float(16 * np.finfo(float).eps / np.sqrt(HELD))
FASTER = 0.5  # of the rate at the last look, below which the next one is not waited for
PATIENCE = 30  # looks at the gain without a new best before an iteration that no longer rises counts as stalled
LONGEST_WAIT = 50  # cycles between two looks
HALTED = "a residual variance went to zero, where EM stands still, and no climb from there reached a maximum"
FIXED_POINT = "the step no longer changes the parameters"
FOLLOWED = "it went to zero: the filled-in latent follows that column exactly"
AT_ROUNDING = "it went to zero: what is left of the residuals is rounding"


@dataclass(frozen=True)
class Cycle:
    """Two plain EM steps theta0 -> theta1 -> theta2, in the coordinates of one chart (infinite where a parameter arrived at its
    bound).

    slope : the derivative of the objective at theta1 along theta2 - theta1, in nats, worked out when it is asked for. risen : by
    how much the objective rose in the last iteration. plain : whether EM alone led to theta0; after an extrapolation quick
    directions, which soon die away, make the rate.
    """

    u0: np.ndarray
    u1: np.ndarray
    u2: np.ndarray
    slope: Callable[[np.ndarray], float]
    risen: float
    plain: bool = True


@dataclass(frozen=True)
class Watch:
    """What the rule remembers from one cycle to the next.

    gain : the least that it saw still to come, nats. unimproved : looks since then. rate : of the last cycle. wait : cycles
    until the next look at the gain, which costs a derivative. foreseen : rate at the last look.
    """

    gain: float = np.inf
    unimproved: int = 0
    rate: float = np.nan
    wait: int = 1
    foreseen: float = np.inf


class Verdict(Enum):
    """What to do after a cycle."""

    GO_ON = "go on"
    CONFIRM = "take two plain steps and ask again"
    CONVERGED = "less than the tolerance is left to gain"
    FIXED = "the step no longer changes the parameters"
    STALLED = "rounding hides what is left to gain"


@dataclass(frozen=True)
class Judgement:
    """A verdict, the gain still to come in nats and the rate of convergence that it rests on, and what to remember."""

    verdict: Verdict
    gain: float
    rate: float
    watch: Watch


@dataclass(frozen=True)
class StoppingRule:
    """tol : nats still to gain at which a run has converged. rounding : nats that the objective of all rows may err by.
    accelerated : whether steps are extrapolated, so that no rate says how long the gain takes to shrink.
    """

    tol: float
    rounding: float
    accelerated: bool = False

    @classmethod
    def of(cls, tol: float, weight: float, accelerated: bool) -> StoppingRule:
        """The rule for rows of this total weight."""
        return cls(tol, ROUNDING * max(1.0, weight), accelerated)

    def judge(self, watch: Watch, cycle: Cycle) -> Judgement:
        """Whether a cycle may be the last."""
        with np.errstate(invalid="ignore"):
            step = cycle.u2 - cycle.u1  # NaN where a bounded parameter arrived at its bound, infinity in this chart
        if not np.isfinite(step).all():
            return Judgement(Verdict.GO_ON, np.inf, watch.rate, watch)
        if np.all(np.abs(step) <= 4 * np.finfo(float).eps * np.maximum(np.abs(cycle.u1), 1e-3)):
            return Judgement(Verdict.FIXED, 0.0, watch.rate, watch)
        length = float(np.linalg.norm(cycle.u1 - cycle.u0))
        rate = float(np.linalg.norm(step)) / length if length > 0 else 0.0
        watch = replace(watch, wait=watch.wait - 1)
        faster = rate < FASTER * watch.foreseen
        if watch.wait > 0 and not faster:
            return Judgement(Verdict.GO_ON, np.inf, rate, replace(watch, rate=rate))
        gain = abs(0.5 * cycle.slope(step) / (1 - rate)) if rate < 1 else np.inf
        if gain < self.tol:
            return Judgement(Verdict.CONVERGED if cycle.plain else Verdict.CONFIRM, gain, rate, watch)
        unimproved = 0 if gain < watch.gain else watch.unimproved + 1
        watch = replace(watch, gain=min(watch.gain, gain), unimproved=unimproved, wait=self.next_look(gain, rate), foreseen=rate)
        if unimproved > PATIENCE and cycle.risen <= self.rounding:
            return Judgement(Verdict.STALLED, gain, rate, replace(watch, unimproved=0))
        return Judgement(Verdict.GO_ON, gain, rate, replace(watch, rate=rate))

    def next_look(self, gain: float, rate: float) -> int:
        """Cycles until the gain could be small enough: it shrinks by rate^2 an iteration, faster when accelerated."""
        if self.accelerated or not 0 < rate < 1 or not np.isfinite(gain) or gain <= 0:
            return 1
        needed = np.log(self.tol / gain) / (2 * np.log(rate)) / 2
        return int(np.clip(0.8 * needed, 1, LONGEST_WAIT))

    def falls(self, before: float, after: float) -> bool:
        """Whether the objective fell by more than rounding usually explains."""
        return before - after > max(self.rounding, ROUNDING * abs(before))

    def explained(self, before: float, after: float, at_zero: bool, sums: float) -> bool:
        """Whether a fall is what rounding may do here.

        at_zero : whether a residual variance is about to vanish. sums : nats that the sums over rows may err by.
        """
        at_zero_too = max(self.rounding / ROUNDING, abs(before)) * ROUNDING_AT_ZERO if at_zero else 0.0
        return before - after <= max(at_zero_too, sums)

    @staticmethod
    def fault(before: float, after: float, iteration: int, at_rounding: bool) -> EmvsmcmcError:
        """The error of a fall that rounding does not explain. at_rounding : whether what is left of some residuals is rounding,
        as where a scale went to zero.
        """
        if at_rounding:
            return Degenerate("scale", AT_ROUNDING)
        return NotMonotone(
            f"the objective fell from {before!r} to {after!r} in iteration {iteration}: an M-step is wrong, or the data are "
            "beyond float64 (rescale the columns)",
            Status.STALLED,
        )


# ---------------------------------------------------------------------------------------------------------------------- the end


@dataclass(frozen=True)
class End:
    """How a run ended. climbed : whether the score led to the maximum there, so that it is known to be one."""

    status: Status
    reason: str
    gain: float
    rate: float
    climbed: bool = False

    @classmethod
    def of(cls, status: Status, gain: float, rate: float, climbed: bool = False) -> End:
        return cls(status, status.sentence, gain, rate, climbed)


def out_of_iterations(watch: Watch) -> End:
    """A run whose iterations ran out: what it saw last."""
    return End.of(Status.MAX_ITER, watch.gain, watch.rate)


def at_a_zero(end: End) -> End:
    """The end of a run that converged where a residual variance is zero. EM stands still there wherever it is: only the score
    can tell that it is a maximum, a Heywood case.
    """
    if end.climbed:
        return End.of(Status.HEYWOOD, end.gain, end.rate, climbed=True)
    return End(Status.STALLED, HALTED, np.inf, end.rate)


def broken_off(error: Exception, hard: bool, factors: bool) -> End:
    """The end of a run in which a component collapsed. With everything hidden filled in at its most probable value and factors
    among it, the objective has no maximum and the path to infinity ends so.
    """
    return End(Status.UNBOUNDED if hard and factors else Status.DEGENERATE, str(error), np.inf, np.nan)

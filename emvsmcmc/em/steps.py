"""The steps of EM: from the state of a run to the next one, by two plain steps, by extrapolation, or by a climb to the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import Degenerate, Status
from ..expect.coefficients import coefficients
from ..expect.coordinates import Coordinates
from ..expect.heywood import zero_uniquenesses
from ..expect.plan import Plan
from ..expect.rounding import at_rounding, rounding_of_sums
from ..expect.rows import expect, reference_points
from ..spec.evaluate import Environment
from .accelerate import Anderson, extrapolate
from .climb import NEAR, climb
from .mstep import MStep
from .options import EMOptions
from .recession import ahead
from .run import Point, Trail
from .stopping import FIXED_POINT, FOLLOWED, ROUNDING, Cycle, End, Judgement, StoppingRule, Verdict, Watch

CLIMB_FROM = 300  # iterations
RECEDE_FROM = 8  # iterations, and four times as many again, after which a run may be on its way to infinity


@dataclass(frozen=True)
class State:
    """Where a run is: everything that its next step depends on.

    point : the parameters it has reached. memory : points and steps that are extrapolated from; None where none are. watch : what
    the stopping rule remembers. forecast : nats that the last look ahead hoped to gain. plain : whether EM alone led here.
    confirming : whether the stopping rule asks a second time. climbed : whether a run that no longer rises has climbed once.
    climb_from, recede_from : iterations after which a climb, and the end of a rise without end, are tried. end : how the run has
    ended, when it has.
    """

    point: Point
    memory: Anderson | None
    watch: Watch = field(default_factory=Watch)
    forecast: float = 0.0
    plain: bool = True
    confirming: bool = False
    climbed: bool = False
    climb_from: int = CLIMB_FROM
    recede_from: int = RECEDE_FROM
    end: End | None = None


@dataclass(frozen=True)
class Pair:
    """Two plain steps: the parameters of the second, the point after the first, and the chart at the point before it."""

    chart: Coordinates
    first: Point
    second: Environment


class Steps:
    """The steps of one run: E, (M, E), (M, E), ... so that every objective belongs to its parameters."""

    def __init__(self, plan: Plan, mstep: MStep, options: EMOptions, trail: Trail) -> None:
        self.plan, self.mstep, self.trail = plan, mstep, trail
        self.objective, self.hard, self.accelerated, self.tol = mstep.objective, options.hard, options.accelerated, options.tol
        self.rule = StoppingRule.of(self.tol, float(plan.problem.weights.sum()), self.accelerated)
        self.common_centre = plan.store.compiled  # only there does one save anything

    # ------------------------------------------------------------------------------------------------------------ the points

    def init(self, env: Environment, climb_from: int = CLIMB_FROM) -> State:
        """The state at the start."""
        # once to find the reference points, once about them: about one common centre far clusters lose half their digits
        C = coefficients(self.plan, env)
        _, S = expect(self.plan, C, self.hard)
        self.trail.passes += 1
        reference = reference_points(S, C if self.common_centre else None)
        if not np.isfinite(self.objective.log_prior(self.plan, env)):
            env = self.mstep(env, S)  # a given start on a boundary that the prior excludes: the first step leaves it
        point = self.evaluate(env, reference)
        self.trail.record(point)
        return State(point, Anderson(Coordinates(self.plan, env)) if self.accelerated else None, climb_from=climb_from)

    def evaluate(self, env: Environment, reference: np.ndarray) -> Point:
        """The E-step, about reference points. Raises Degenerate outside the model."""
        C = coefficients(self.plan, env, reference)
        value, S = expect(self.plan, C, self.hard)
        self.trail.passes += 1
        objective = value + float(self.objective.log_prior(self.plan, env))
        if not np.isfinite(objective):
            raise Degenerate("objective", "it is not finite")
        return Point(env, objective, S, reference_points(S, C if self.common_centre else None))

    def tried(self, env: Environment | None, reference: np.ndarray) -> Point | None:
        """The point; None where there is none, or it lies outside the model."""
        if env is None:
            return None
        try:
            with np.errstate(all="ignore"):
                return self.evaluate(env, reference)
        except (Degenerate, np.linalg.LinAlgError):
            return None

    def risen(self, before: Point, env: Environment) -> Point:
        """The point after a plain step. Raises NotMonotone where the objective fell by more than rounding."""
        point = self.evaluate(env, before.reference)
        was, now = before.objective, point.objective
        if self.rule.falls(was, now):
            if self.hard and zero_uniquenesses(self.plan, env):
                raise Degenerate("residual variance", FOLLOWED)
            at_zero, sums = bool(zero_uniquenesses(self.plan, env, NEAR)), rounding_of_sums(self.plan, point.env, point.S)
            if not self.rule.explained(was, now, at_zero, sums):
                lost = at_rounding(self.plan, before.env, before.S) or at_rounding(self.plan, point.env, point.S)
                raise self.rule.fault(was, now, len(self.trail.path), lost)
        self.trail.record(point)
        return point

    # -------------------------------------------------------------------------------------------------------------- the step

    def step(self, state: State) -> State:
        """The next state. Raises Degenerate where a component collapsed; NotMonotone."""
        point = state.point
        first_env = self.mstep(point.env, point.S)
        chart = Coordinates(self.plan, point.env)
        if state.memory is not None:
            state = replace(state, memory=state.memory.noted(chart, first_env))
            if not state.confirming:
                state, leap = self._ahead(state)
                if leap is not None:
                    self.trail.record(leap)
                    return replace(state, point=leap, plain=False)
        first = self.risen(point, first_env)
        pair = Pair(chart, first, self.mstep(first.env, first.S))
        if state.memory is not None:
            state = replace(state, memory=state.memory.noted(Coordinates(self.plan, first.env), pair.second))
        return self._after(state, pair, self.rule.judge(state.watch, self._cycle(state, pair)))

    def _cycle(self, state: State, pair: Pair) -> Cycle:
        chart, first = pair.chart, pair.first
        u0, u1, u2 = chart.pack(state.point.env), chart.pack(first.env), chart.pack(pair.second)

        def slope(step: np.ndarray) -> float:
            return chart.slope(u1, first.S, self.objective, step)

        return Cycle(u0, u1, u2, slope, self.trail.rise, state.plain)

    def _after(self, state: State, pair: Pair, judged: Judgement) -> State:
        """The state that a verdict leads to."""
        first, last = pair.first, state.watch.rate
        state = replace(state, watch=judged.watch)
        if judged.verdict is Verdict.CONFIRM:
            return replace(state, point=first, plain=True, confirming=True)
        if judged.verdict is Verdict.CONVERGED:
            return replace(state, point=first, end=End.of(Status.CONVERGED, judged.gain, judged.rate))
        if judged.verdict is Verdict.FIXED:
            # towards a boundary at infinity EM's steps end before the rise does
            hoped, state = state.forecast >= self.tol, replace(state, forecast=0.0)
            ended = replace(state, point=first, end=End(Status.CONVERGED, FIXED_POINT, 0.0, last))
            return (self.climb(state, first, last) if hoped else None) or ended
        if judged.verdict is Verdict.STALLED:
            again, state = state.climbed or not self.accelerated, replace(state, climbed=True)
            ended = replace(state, point=first, end=End.of(Status.STALLED, judged.gain, judged.rate))
            return (None if again else self.climb(state, first, judged.rate)) or ended
        return self._onward(replace(state, plain=True, confirming=False), pair)

    def _onward(self, state: State, pair: Pair) -> State:
        """The next state of a run that has not ended: out to infinity, up by a climb, extrapolated, or the second plain step."""
        first, iterations = pair.first, len(self.trail.path)
        if not self.objective.prior and iterations > state.recede_from:
            state = replace(state, recede_from=4 * state.recede_from)
            if (far := self._far(first)) is not None:
                self.trail.record(far)
                return replace(state, point=far)
        if self.accelerated and iterations > state.climb_from:
            state = replace(state, climb_from=4 * max(iterations, CLIMB_FROM // 4))
            if (climbed := self.climb(state, first, state.watch.rate)) is not None:
                return climbed
        if self.accelerated and (quick := self._extrapolated(pair)) is not None:
            self.trail.record(quick)
            return replace(state, point=quick, plain=False)
        return replace(state, point=self.risen(first, pair.second))

    # ------------------------------------------------------------------------------------------------------------- quicker ways

    def _ahead(self, state: State) -> tuple[State, Point | None]:
        """The point that Anderson's acceleration finds, if it is near and no worse. None where two plain steps are due: far from
        the optimum, after a fall, and where so little is left to gain that the stopping rule should look.
        """
        point, memory = state.point, state.memory
        assert memory is not None
        way = memory.ahead()
        if way is None:
            return state, None
        gain = 0.5 * memory.chart.slope(memory.u[-1], point.S, self.objective, way)
        state = replace(state, forecast=abs(gain))
        if state.forecast < self.tol:
            return state, None
        env = memory.at(way) if 0 < gain < max(1.0, 0.25 * len(way)) else None
        leap = self.tried(env, point.reference)
        # a rise too small to be seen in the objective is taken on trust: the slope says that it is one
        if leap is None or leap.objective < point.objective - (self.rule.rounding if gain < self.rule.rounding else 0.0):
            return replace(state, memory=memory.forgotten()), None
        return state, leap

    def _far(self, point: Point) -> Point | None:
        """The end of a rise that would go on for ever (see `recession`), if there is one."""
        names = self.mstep.unbounded
        env = ahead(self.plan, names, point.env, self.hard) if names else None
        leap = self.tried(env, point.reference)
        return None if leap is None or leap.objective < point.objective else leap

    def _extrapolated(self, pair: Pair) -> Point | None:
        """The point that SQUAREM finds, if it is no worse."""
        leap = self.tried(extrapolate(pair.chart, pair.first.env, pair.second), pair.first.reference)
        return None if leap is None or leap.objective < pair.first.objective else leap

    def climb(self, state: State, point: Point, rate: float) -> State | None:
        """The state after a climb from a point: ended where it reached the maximum, else nearer; None where it did not rise."""
        climbed = climb(self.plan, point.env, point.reference, self.objective, self.tol)
        if climbed is None:
            return None
        try:
            reached = self.evaluate(climbed.env, point.reference)
            self.mstep(climbed.env, reached.S)  # a component that collapsed on the way raises here
            risen = self.evaluate(climbed.env, reached.reference)
        except (Degenerate, np.linalg.LinAlgError):
            return None
        if risen.objective < point.objective - ROUNDING * abs(point.objective):
            return None
        self.trail.record(risen)
        end = End.of(Status.CONVERGED, climbed.gain, rate, climbed=True) if climbed.gain < self.tol else None
        return replace(state, point=risen, end=end)

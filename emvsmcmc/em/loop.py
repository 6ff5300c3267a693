"""One run of EM from one start: the loop, its stopping rule, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import Degenerate, NotMonotone, Status
from ..expect.coefficients import coefficients, log_prior
from ..expect.coordinates import Coordinates
from ..expect.heywood import HELD, zero_uniquenesses
from ..expect.layout import Statistics
from ..expect.plan import Plan
from ..expect.rounding import at_rounding, rounding_of_sums
from ..expect.rows import compiled, expect, reference_points
from ..spec.evaluate import Environment
from .accelerate import Anderson, extrapolate
from .climb import NEAR, climb
from .mstep import MStep
from .recession import ahead
from .run import Run

ROUNDING = 1e-12  # relative fall of the objective that rounding explains
# Residuals carry the rounding of their column and are weighed by its inverse uniqueness u: it grows by 1 / sqrt(u) as u vanishes
ROUNDING_AT_ZERO = float(16 * np.finfo(float).eps / np.sqrt(HELD))
CLIMB_FROM = 300  # iterations
RECEDE_FROM = 8  # iterations, and four times as many again, after which a run may be on its way to infinity
HALTED = "a residual variance went to zero, where EM stands still, and no climb from there reached a maximum"
FASTER = 0.5  # of the rate at the last look, below which the next one is not waited for
FOLLOWED = "it went to zero: the filled-in latent follows that column exactly"
PATIENCE = 30  # looks at the gain without a new best before an iteration that no longer rises counts as stalled


@dataclass
class _Point:
    env: Environment
    objective: float
    S: Statistics


class Loop:
    """E, (M, E), (M, E), ... so that the objective reported belongs to the parameters returned."""

    def __init__(self, plan: Plan, mstep: MStep, hard: bool, tol: float, max_iter: int, accelerate: bool) -> None:
        self.plan, self.mstep, self.prior, self.hard = plan, mstep, mstep.prior, hard
        self.tol, self.max_iter, self.accelerate = tol, max_iter, accelerate and not hard
        self.passes = 0
        self.keep, self.trace = False, list[Environment]()
        self.rho: np.ndarray | None = None
        self.many = compiled(plan)  # only there does a common centre save anything

    def evaluate(self, env: Environment) -> _Point:
        C = coefficients(self.plan, env, self.rho)
        value, S = expect(self.plan, C, self.hard)
        self.passes += 1
        self.rho = reference_points(S, C if self.many else None)
        objective = value + (float(log_prior(self.plan, env)) if self.prior else 0.0)
        if not np.isfinite(objective):
            raise Degenerate("objective", "it is not finite")
        return _Point(env, objective, S)

    def traced(self, env: Environment, iterations: int | None = None) -> Run:
        """`run`, with the parameters of every iteration kept."""
        self.keep, self.trace = True, []
        run = self.run(env, iterations)
        run.trace, self.keep = self.trace, False
        return run

    def resume(self, run: Run, iterations: int) -> Run:
        """Go on from where a run ran out of iterations; the path is one. It has crept long enough to climb at once."""
        more = self.run(run.environment, iterations - run.iterations, climb_from=0)
        more.path = run.path + more.path[1:]
        more.iterations, more.passes = len(more.path) - 1, more.passes + run.passes
        return more

    def run(self, env: Environment, iterations: int | None = None, climb_from: int = CLIMB_FROM) -> Run:
        """Iterate to a named end. Raises NotMonotone where the objective falls by more than rounding.

        climb_from : iterations after which an accelerated run that has not converged climbs (see `climb`).
        """
        self.limit = self.max_iter if iterations is None else iterations
        self.climb_from = climb_from
        self.rho, self.passes = None, 0
        path: list[float] = []
        point: _Point | None = None
        try:
            # once to find the reference points, once about them: about one common centre far clusters lose half their digits
            C = coefficients(self.plan, env)
            _, S = expect(self.plan, C, self.hard)
            self.passes += 1
            self.rho = reference_points(S, C if self.many else None)
            if self.prior and not np.isfinite(log_prior(self.plan, env)):
                env = self.mstep(env, S)  # a given start on a boundary that the prior excludes: the first step leaves it
            point = self.evaluate(env)
            self._record(point, path)
            return self._iterate(point, path)
        except (Degenerate, np.linalg.LinAlgError) as end:
            last = self._last if point is not None else None
            reason = str(end)
            status = Status.UNBOUNDED if self.hard and self._has_factors() else Status.DEGENERATE
            return Run(
                last.env if last else env,
                status,
                reason,
                path[-1] if path else -np.inf,
                path,
                max(len(path) - 1, 0),
                self.passes,
                np.inf,
                np.nan,
            )

    def _record(self, point: _Point, path: list[float]) -> None:
        path.append(point.objective)
        if self.plan.chunks is not None and self.plan.chunks.journal is not None:
            self.plan.chunks.journal.note(point.env, point.objective)
        if self.keep:
            self.trace.append(point.env)

    def _has_factors(self) -> bool:
        hidden = self.plan.full.hidden
        return bool(len(hidden)) and bool(hidden.all(axis=0).any())

    def _iterate(self, point: _Point, path: list[float]) -> Run:
        self._last = point
        rounding = ROUNDING * max(1.0, float(self.plan.problem.weights.sum()))
        best, unimproved, previous = np.inf, 0, np.nan
        look, foreseen = 1, np.inf
        memory = Anderson(self.plan, point.env) if self.accelerate else None
        self.forecast = 0.0  # what the last look ahead hoped to gain
        recede_from = RECEDE_FROM
        climbed = False  # whether a run that no longer rises has climbed once
        plain, sure = True, False  # whether EM alone led to this point; whether the stopping rule is asking a second time
        while len(path) <= self.limit:
            first_env = self.mstep(point.env, point.S)
            if memory is not None:
                chart = memory.note(point.env, first_env)
                if not sure and (ahead := self._ahead(memory, point, rounding)) is not None:
                    point, plain = ahead, False
                    self._last = point
                    self._record(point, path)
                    continue
            else:
                chart = Coordinates(self.plan, point.env)
            first = self._risen(point, first_env, path, rounding)
            second_env = self.mstep(first.env, first.S)
            if memory is not None:
                memory.note(first.env, second_env)
            u0, u1, u2 = chart.pack(point.env), chart.pack(first.env), chart.pack(second_env)
            with np.errstate(invalid="ignore"):
                step = u2 - u1  # NaN where a bounded parameter arrived at its bound, infinity in this chart
            if np.isfinite(step).all():
                if np.all(np.abs(step) <= 4 * np.finfo(float).eps * np.maximum(np.abs(u1), 1e-3)):
                    # towards a boundary at infinity EM's steps end before the rise does
                    hoped, self.forecast = self.forecast >= self.tol, 0.0
                    if hoped and (done := self._climbed(first, path, previous)) is not None:
                        if isinstance(done, Run):
                            return done
                        point = done
                        continue
                    return self._end(first, Status.CONVERGED, "the step no longer changes the parameters", path, 0.0, previous)
                length = float(np.linalg.norm(u1 - u0))
                rate = float(np.linalg.norm(step)) / length if length > 0 else 0.0
                look -= 1
                if look <= 0 or rate < FASTER * foreseen:
                    gain = 0.5 * chart.slope(u1, first.S, self.prior, step) / (1 - rate) if rate < 1 else np.inf
                    if rate < 1 and abs(gain) < self.tol:
                        if not plain:
                            # after an extrapolation the quick directions make the rate: ask again when they have died away
                            point, plain, sure = first, True, True
                            continue
                        return self._end(first, Status.CONVERGED, Status.CONVERGED.sentence, path, abs(gain), rate)
                    look, foreseen = self._next_look(abs(gain), rate), rate
                    unimproved = 0 if abs(gain) < best else unimproved + 1
                    best = min(best, abs(gain))
                    if unimproved > PATIENCE and path[-1] - path[-2] <= rounding:
                        again, climbed, unimproved = climbed or not self.accelerate, True, 0
                        if not again and (done := self._climbed(first, path, rate)) is not None:
                            if isinstance(done, Run):
                                return done
                            point = done
                            continue
                        return self._end(first, Status.STALLED, Status.STALLED.sentence, path, abs(gain), rate)
                previous = rate
            plain, sure = True, False
            if not self.prior and len(path) > recede_from:
                recede_from *= 4
                if (far := self._far(first)) is not None:
                    point = self._last = far
                    self._record(far, path)
                    continue
            if self.accelerate and len(path) > self.climb_from:
                self.climb_from = 4 * max(len(path), CLIMB_FROM // 4)
                if (done := self._climbed(first, path, previous)) is not None:
                    if isinstance(done, Run):
                        return done
                    point = done
                    continue
            candidate = self._accelerated(chart, first, second_env)
            if candidate is not None:
                point, plain = candidate, False
                self._record(point, path)
            else:
                point = self._risen(first, second_env, path, rounding)
            self._last = point
        return self._end(point, Status.MAX_ITER, Status.MAX_ITER.sentence, path, best, previous)

    def _next_look(self, gain: float, rate: float) -> int:
        """Cycles until the gain could be small enough: it shrinks by rate^2 an iteration, faster when accelerated."""
        if self.accelerate or not 0 < rate < 1 or not np.isfinite(gain) or gain <= 0:
            return 1
        needed = np.log(self.tol / gain) / (2 * np.log(rate)) / 2
        return int(np.clip(0.8 * needed, 1, 50))

    def _risen(self, before: _Point, env: Environment, path: list[float], rounding: float) -> _Point:
        point = self.evaluate(env)
        fall, size = before.objective - point.objective, abs(before.objective)
        if fall > max(rounding, ROUNDING * size):
            if self.hard and zero_uniquenesses(self.plan, env):
                raise Degenerate("residual variance", FOLLOWED)
            explained = max(rounding / ROUNDING, size) * ROUNDING_AT_ZERO if zero_uniquenesses(self.plan, env, NEAR) else 0.0
            if fall > max(explained, rounding_of_sums(self.plan, point.env, point.S)):
                if at_rounding(self.plan, before.env, before.S) or at_rounding(self.plan, point.env, point.S):
                    raise Degenerate("scale", "it went to zero: what is left of the residuals is rounding")
                raise NotMonotone(
                    f"the objective fell from {before.objective!r} to {point.objective!r} in iteration {len(path)}: an M-step is "
                    "wrong, or the data are beyond float64 (rescale the columns)",
                    Status.STALLED,
                )
        self._record(point, path)
        self._last = point
        return point

    def _ahead(self, memory: Anderson, point: _Point, rounding: float) -> _Point | None:
        """The point that Anderson's acceleration finds, if it is near and no worse. None where two plain steps are due: far from
        the optimum, after a fall, and where so little is left to gain that the stopping rule should look.
        """
        way = memory.ahead()
        if way is None:
            return None
        gain = 0.5 * memory.chart.slope(memory.u[-1], point.S, self.prior, way)
        self.forecast = abs(gain)
        if self.forecast < self.tol:
            return None
        env = memory.at(way) if 0 < gain < max(1.0, 0.25 * len(way)) else None
        rho = self.rho
        found = None if env is None else self._tried(env)
        # a rise too small to be seen in the objective is taken on trust: the slope says that it is one
        if found is None or found.objective < point.objective - (rounding if gain < rounding else 0.0):
            memory.forget()
            self.rho = rho
            return None
        return found

    def _tried(self, env: Environment) -> _Point | None:
        """The point, with its reference points in use; None where it lies outside the model."""
        try:
            with np.errstate(all="ignore"):
                return self.evaluate(env)
        except (Degenerate, np.linalg.LinAlgError):
            return None

    def _far(self, point: _Point) -> _Point | None:
        """The end of a rise that would go on for ever (see `recession`), if there is one."""
        env = ahead(self.plan, self.mstep.unbounded, point.env, self.hard) if self.mstep.unbounded else None
        rho, found = self.rho, None if env is None else self._tried(env)
        if found is None or found.objective < point.objective:
            self.rho = rho
            return None
        return found

    def _accelerated(self, chart: Coordinates, first: _Point, second_env: Environment) -> _Point | None:
        if not self.accelerate:
            return None
        env = extrapolate(chart, first.env, second_env)
        if env is None:
            return None
        rho, point = self.rho, self._tried(env)
        if point is None or point.objective < first.objective:
            self.rho = rho
            return None
        return point

    def _climbed(self, point: _Point, path: list[float], rate: float) -> Run | _Point | None:
        """The end of the run where climbing reached the maximum; a better point where it only came nearer; else None."""
        assert self.rho is not None
        rho = self.rho
        found = climb(self.plan, point.env, rho, self.prior, self.tol)
        if found is not None:
            try:
                self.mstep(found.env, self.evaluate(found.env).S)  # a component that collapsed on the way raises here
                risen = self.evaluate(found.env)
            except (Degenerate, np.linalg.LinAlgError):
                risen = None
            if risen is not None and risen.objective >= point.objective - ROUNDING * abs(point.objective):
                self._record(risen, path)
                self._last = risen
                if found.gain < self.tol:
                    return self._end(risen, Status.CONVERGED, Status.CONVERGED.sentence, path, found.gain, rate, climbed=True)
                return risen
        self.rho = rho
        return None

    def _end(
        self, point: _Point, status: Status, reason: str, path: list[float], gain: float, rate: float, climbed: bool = False
    ) -> Run:
        if status is Status.CONVERGED and not self.hard and Coordinates(self.plan, point.env).zero:
            # with a residual variance of zero EM stands still wherever it is: only the score can tell that it is a maximum
            if not climbed:
                done = self._climbed(point, path, rate)
                if isinstance(done, Run):
                    return done
                point = done or point
                return Run(point.env, Status.STALLED, HALTED, point.objective, path, len(path) - 1, self.passes, np.inf, rate)
            status, reason = Status.HEYWOOD, Status.HEYWOOD.sentence
        if status is Status.CONVERGED and self.hard and zero_uniquenesses(self.plan, point.env):
            raise Degenerate("residual variance", FOLLOWED)  # what is left of the parameters has converged, the rise has not
        # the path may hold one more (accelerated) value; what is returned is the point the rule was applied to
        return Run(point.env, status, reason, point.objective, path, len(path) - 1, self.passes, gain, rate)

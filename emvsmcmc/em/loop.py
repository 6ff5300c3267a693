"""One run of EM from one start: steps until the stopping rule or the iterations end it, and the name of that end."""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate, Status
from ..expect.coordinates import Coordinates
from ..expect.heywood import zero_uniquenesses
from ..expect.plan import Plan
from ..spec.evaluate import Environment
from .mstep import MStep
from .options import EMOptions
from .run import Point, Run, Trail
from .steps import CLIMB_FROM, State, Steps
from .stopping import FOLLOWED, End, at_a_zero, broken_off, out_of_iterations


class Loop:
    """Runs of EM on a plan. It keeps nothing of one run for the next, so that any number may be under way."""

    def __init__(self, plan: Plan, mstep: MStep, options: EMOptions) -> None:
        self.plan, self.mstep, self.options = plan, mstep, options
        self.hard, self.max_iter = options.hard, options.max_iter

    def run(self, env: Environment, iterations: int | None = None, climb_from: int = CLIMB_FROM) -> Run:
        """Iterate to a named end. Raises NotMonotone where the objective falls by more than rounding.

        climb_from : iterations after which an accelerated run that has not converged climbs (see `climb`).
        """
        return self._run(env, iterations, climb_from, keep=False)

    def traced(self, env: Environment, iterations: int | None = None) -> Run:
        """`run`, with the parameters of every iteration kept."""
        return self._run(env, iterations, CLIMB_FROM, keep=True)

    def resume(self, run: Run, iterations: int) -> Run:
        """Go on from where a run ran out of iterations; the path is one. It has crept long enough to climb at once."""
        more = self.run(run.environment, iterations - run.iterations, climb_from=0)
        more.path = run.path + more.path[1:]
        more.iterations, more.passes = len(more.path) - 1, more.passes + run.passes
        return more

    def _run(self, env: Environment, iterations: int | None, climb_from: int, keep: bool) -> Run:
        trail = Trail(self.plan.store.note, keep)
        steps = Steps(self.plan, self.mstep, self.options, trail)
        limit = self.max_iter if iterations is None else iterations
        try:
            state = steps.init(env, climb_from)
            while state.end is None and trail.iterations < limit:
                state = steps.step(state)
            point, end = self._ended(steps, state)
        except (Degenerate, np.linalg.LinAlgError) as error:
            end, last = broken_off(error, self.hard, self._has_factors()), trail.last
            if last is None:
                return trail.end(env, -np.inf, end)
            return trail.end(last.env, last.objective, end)
        return trail.end(point.env, point.objective, end)

    def _ended(self, steps: Steps, state: State) -> tuple[Point, End]:
        """The point that a run returns, and how it has ended there. Raises Degenerate where only the rise has not."""
        end = state.end or out_of_iterations(state.watch)
        if end.status is not Status.CONVERGED:
            return state.point, end
        if self.hard:
            if zero_uniquenesses(self.plan, state.point.env):
                raise Degenerate("residual variance", FOLLOWED)  # what is left of the parameters has converged, the rise has not
            return state.point, end
        if self._at_zero(state.point) and not end.climbed:
            higher = steps.climb(state, state.point, end.rate)
            if higher is None or higher.end is None:
                return (higher or state).point, at_a_zero(end)
            state, end = higher, higher.end
        return state.point, at_a_zero(end) if self._at_zero(state.point) else end

    def _at_zero(self, point: Point) -> bool:
        """Whether a residual variance is zero."""
        return bool(Coordinates(self.plan, point.env).zero)

    def _has_factors(self) -> bool:
        hidden = self.plan.full.hidden
        return bool(len(hidden)) and bool(hidden.all(axis=0).any())

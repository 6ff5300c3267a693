"""Leaving a saddle: a run that ends where the information has a negative direction goes on along it.

EM keeps what a start has in common: components that start equal stay equal, and the score is zero there although the objective
rises to both sides. Only the second derivative can tell (McLachlan and Krishnan 2008, section 3.6).
"""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate, Status
from ..expect.coefficients import coefficients
from ..expect.coordinates import Coordinates
from ..expect.objective import Objective
from ..expect.plan import Plan
from ..expect.rows import expect
from ..spec.evaluate import Environment
from .climb import LARGEST
from .information import observed_information
from .loop import Loop
from .run import Run
from .uncertainty import Uncertainty

NEGATIVE = -1e-4  # of the complete-data information: beyond what differences of scores may err by
STEPS = (1.0, 0.3, 0.1)  # complete-data standard errors along the direction
TRIES = 5
AT_SADDLE = "the objective still rises along a direction in which the score is zero: a saddle, not a maximum; start elsewhere"


def rising_direction(information: np.ndarray, complete: np.ndarray) -> np.ndarray | None:
    """(size,) direction of the most negative information, one complete-data standard error long; None at a maximum."""
    d = np.sqrt(np.abs(np.diag(complete)))
    d = np.where(d > 0, d, 1.0)
    scaled = information / np.outer(d, d)
    if not len(d) or not np.isfinite(scaled).all():
        return None
    values, vectors = np.linalg.eigh(scaled)
    return vectors[:, 0] / d if values[0] < NEGATIVE else None


def leave(plan: Plan, loop: Loop, run: Run, uncertainty: Uncertainty) -> Run:
    """The run that goes on from a saddle to a maximum; the run itself where it ended at one.

    found : the uncertainty at its end; where it holds no information, that is worked out, in two passes a parameter.
    A run that finds no way up ends as STALLED.
    """
    if run.status is not Status.CONVERGED:
        return run
    objective, limit = loop.mstep.objective, loop.max_iter
    for tries in range(TRIES + 1):
        if tries == 0 and uncertainty.information is not None:
            chart, information, complete = uncertainty.coordinates, uncertainty.information, uncertainty.complete
        elif plan.store.every_row and 0 < Coordinates(plan, run.environment).size <= LARGEST:
            chart, information, complete = observed_information(plan, run.environment, None, objective)
        else:
            return run
        assert information is not None
        assert complete is not None
        along = rising_direction(information, complete)
        if along is None:
            return run
        start = _higher(plan, chart, run, along, objective) if tries < TRIES and run.iterations < limit else None
        more = None if start is None else loop.traced(start, limit - run.iterations)
        if more is None or not more.status.usable or more.objective < run.objective:
            run.status, run.reason = Status.STALLED, AT_SADDLE
            return run
        more.path, more.trace = run.path + more.path, run.trace + more.trace if run.trace else []
        more.iterations, more.passes = len(more.path) - 1, more.passes + run.passes
        run = more
        if run.status is not Status.CONVERGED:
            return run
    return run


def _higher(plan: Plan, chart: Coordinates, run: Run, along: np.ndarray, objective: Objective) -> Environment | None:
    """The best point on either side of a saddle; None where none is higher."""
    u = chart.pack(run.environment)
    best, top = None, run.objective
    for length in STEPS:
        for sign in (1.0, -1.0):
            try:
                with np.errstate(all="ignore"):
                    env = chart.unpack(u + sign * length * along)
                    value = expect(plan, coefficients(plan, env))[0] + float(objective.log_prior(plan, env))
            except (Degenerate, np.linalg.LinAlgError):
                continue
            if np.isfinite(value) and value > top:
                best, top = env, value
    return best

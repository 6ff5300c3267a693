"""The step for slots without a closed form: safeguarded Newton on Q, at a cost that does not depend on the number of rows."""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate
from ..expect.coordinates import Coordinates
from ..expect.layout import Statistics
from ..expect.objective import Objective
from ..spec.evaluate import Environment

MAX_NEWTON = 10  # steps: it is enough that Q rises, and EM comes back
GAIN = 1e-13  # nats still to gain at which Newton stops: far below every tolerance of the loop
SHRINKS = 0.05  # the gain still to come shrinks at least so with each step, or the Hessian is taken anew
STEP = 1e-5  # of the differences of the exact score; their error of 1e-10 relative only slows Newton


def maximise(coordinates: Coordinates, S: Statistics, objective: Objective) -> Environment:
    """Environment with the parameters of `coordinates` at the maximum of Q( . ; S) (+ log prior), the others as they were.

    Q is climbed by Newton with the exact score and a Hessian of its differences, made negative definite where it is not, kept
    as long as it serves (a chord method), and halved steps until Q rises. Where all of them lie on a boundary, they stay.
    Raises Degenerate where Q cannot be evaluated.
    """
    if not coordinates.size:
        return coordinates.env
    u = coordinates.pack(coordinates.env)
    value = coordinates.value(u, S, objective)
    if not np.isfinite(value):
        raise Degenerate(
            ", ".join(b.variable.label for b in coordinates.blocks), "the objective is not finite at the current values"
        )
    newton: _Newton | None = None
    last = np.inf
    for _ in range(MAX_NEWTON):
        g = coordinates.score(u, S, objective)
        if not np.isfinite(g).all():
            raise Degenerate(
                ", ".join(b.variable.label for b in coordinates.blocks), "the score is not finite at the current values"
            )
        step = None if newton is None else newton(g)
        if step is None or 0.5 * float(g @ step) > SHRINKS * last:
            newton = _Newton(hessian(coordinates, u, S, objective))
            step = newton(g)
        gain = last = 0.5 * float(g @ step)
        if gain < GAIN:
            break
        length = min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))  # coordinates are logs: e^5 at most in one step
        while length > 1e-10:
            tried = u + length * step
            new = coordinates.value(tried, S, objective)
            if np.isfinite(new) and new >= value:
                break
            length /= 2
        else:
            break
        u, value = tried, new
    return coordinates.unpack(u)


class _Newton:
    """score -> Newton's step. A direction of no or of negative curvature is walked by the size of its curvature, never
    backwards.
    """

    def __init__(self, H: np.ndarray) -> None:
        values, self.vectors = np.linalg.eigh(-H)
        self.curvature = np.maximum(np.abs(values), 1e-8 * max(1.0, np.abs(values).max()))

    def __call__(self, g: np.ndarray) -> np.ndarray:
        return self.vectors @ ((self.vectors.T @ g) / self.curvature)


def hessian(coordinates: Coordinates, u: np.ndarray, S: Statistics, objective: Objective) -> np.ndarray:
    """(size, size) Hessian of Q at u by central differences of the exact score, symmetrised."""
    steps = STEP * np.eye(len(u))
    ends = coordinates.scores(u[:, None] + np.hstack([steps, -steps]), S, objective)
    H = (ends[:, : len(u)] - ends[:, len(u) :]) / (2 * STEP)
    return 0.5 * (H + H.T)

"""The step for slots without a closed form: safeguarded Newton on Q, at a cost that does not depend on the number of rows."""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate
from ..expect.coordinates import Coordinates
from ..expect.layout import Statistics
from ..spec.graph import Environment

MAX_NEWTON = 50
GAIN = 1e-13  # nats still to gain at which Newton stops: far below every tolerance of the loop
STEP = 1e-5  # of the differences of the exact score; their error of 1e-10 relative only slows Newton


def maximise(coordinates: Coordinates, S: Statistics, prior: bool) -> Environment:
    """Environment with the parameters of `coordinates` at the maximum of Q( . ; S) (+ log prior), the others as they were.

    Q is climbed by Newton with the exact score and a Hessian of its differences, made negative definite where it is not, and
    halved steps until Q rises. Where all of them lie on a boundary, they stay. Raises Degenerate where Q cannot be evaluated.
    """
    if not coordinates.size:
        return coordinates.env
    u = coordinates.pack(coordinates.env)
    value = coordinates.value(u, S, prior)
    if not np.isfinite(value):
        raise Degenerate(
            ", ".join(b.variable.label for b in coordinates.blocks), "the objective is not finite at the current values"
        )
    for _ in range(MAX_NEWTON):
        g = coordinates.score(u, S, prior)
        if not np.isfinite(g).all():
            raise Degenerate(
                ", ".join(b.variable.label for b in coordinates.blocks), "the score is not finite at the current values"
            )
        values, vectors = np.linalg.eigh(-hessian(coordinates, u, S, prior))
        # a direction of no or of negative curvature is walked by the size of its curvature, never backwards
        curvature = np.maximum(np.abs(values), 1e-8 * max(1.0, np.abs(values).max()))
        step = vectors @ ((vectors.T @ g) / curvature)
        gain = 0.5 * float(g @ step)
        if gain < GAIN:
            break
        length = min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))  # coordinates are logs: e^5 at most in one step
        while length > 1e-10:
            tried = u + length * step
            new = coordinates.value(tried, S, prior)
            if np.isfinite(new) and new >= value:
                break
            length /= 2
        else:
            break
        u, value = tried, new
    return coordinates.unpack(u)


def hessian(coordinates: Coordinates, u: np.ndarray, S: Statistics, prior: bool) -> np.ndarray:
    """(size, size) Hessian of Q at u by central differences of the exact score, symmetrised."""
    H = np.empty((len(u), len(u)))
    for i in range(len(u)):
        e = np.zeros(len(u))
        e[i] = STEP
        H[i] = (coordinates.score(u + e, S, prior) - coordinates.score(u - e, S, prior)) / (2 * STEP)
    return 0.5 * (H + H.T)

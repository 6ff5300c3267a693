"""SQUAREM: extrapolation of two EM steps in unconstrained coordinates (Varadhan and Roland 2008, scheme S3), kept monotone."""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate
from ..expect.coordinates import Coordinates
from ..spec.graph import Environment

LONGEST = 1e4  # of the extrapolation's length; beyond it rounding in the second difference decides


def extrapolate(coordinates: Coordinates, first: Environment, second: Environment) -> Environment | None:
    """theta' = theta0 - 2 a r + a^2 v with r = theta1 - theta0, v = theta2 - 2 theta1 + theta0, a = -|r| / |v|.

    coordinates : the chart at theta0. None where the points do not share a chart, or a plain step is as long.
    """
    u0, u1, u2 = coordinates.pack(coordinates.env), coordinates.pack(first), coordinates.pack(second)
    if not (np.isfinite(u1).all() and np.isfinite(u2).all()):
        return None
    r = u1 - u0
    v = (u2 - u1) - r
    length = np.linalg.norm(r) / max(float(np.linalg.norm(v)), 1e-300)
    if not 1.0 < length < LONGEST:
        return None
    u = u0 + 2 * length * r + length**2 * v
    if np.abs(u - u0).max() > 20:
        return None
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            env = coordinates.unpack(u)
    except (FloatingPointError, np.linalg.LinAlgError, Degenerate):
        return None
    return env

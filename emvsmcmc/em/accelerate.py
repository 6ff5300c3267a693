"""Extrapolation of EM steps in unconstrained coordinates: SQUAREM (Varadhan and Roland 2008, scheme S3) far from the optimum,
Anderson's acceleration (1965; Walker and Ni 2011) near it. Whoever uses them keeps the objective from falling.
"""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate
from ..expect.coordinates import Coordinates
from ..expect.plan import Plan
from ..spec.evaluate import Environment

MEMORY = 10  # steps that Anderson's acceleration looks back
FEWEST = 3  # from which it is tried
DEPENDENT = 1e-10  # of the largest: differences of steps in directions smaller than this are left out
FARTHEST = 20.0  # along any coordinate: logarithms that change by more are no extrapolation
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
    if np.abs(u - u0).max() > FARTHEST:
        return None
    return _unpacked(coordinates, u)


class Anderson:
    """The last points u and their EM steps g = M(u) - u, in one chart. Near the optimum g is nearly linear in u, and the
    combination of points with the least g is nearly the optimum: with k slow directions found after k + 1 steps, each one pass.
    """

    def __init__(self, plan: Plan, env: Environment) -> None:
        self.plan = plan
        self._begin(Coordinates(plan, env))

    def _begin(self, chart: Coordinates) -> None:
        self.chart = chart
        self.u: list[np.ndarray] = []
        self.g: list[np.ndarray] = []

    def forget(self) -> None:
        """Keep the last point only."""
        del self.u[:-1], self.g[:-1]

    def note(self, env: Environment, step: Environment) -> Coordinates:
        """Keep a point and where EM goes from it. Returns the chart at the point; it becomes that of the memory, which is
        emptied, where a parameter arrived at its boundary or left it.
        """
        now = Coordinates(self.plan, env)
        if not now.shares(self.chart):
            self._begin(now)
        u = self.chart.pack(env)
        with np.errstate(invalid="ignore"):
            g = self.chart.pack(step) - u
        if not (np.isfinite(u).all() and np.isfinite(g).all()):
            self._begin(now)
            return now
        self.u.append(u)
        self.g.append(g)
        del self.u[: -MEMORY - 1], self.g[: -MEMORY - 1]
        return now

    def ahead(self) -> np.ndarray | None:
        """The way (size,) from the last point to the combination with the least step; None where too little is known."""
        if len(self.u) < FEWEST:
            return None
        U, G = np.diff(self.u, axis=0).T, np.diff(self.g, axis=0).T
        length = np.linalg.norm(G, axis=0)
        if not (length > 0).all():
            return None
        share = np.linalg.lstsq(G / length, self.g[-1], rcond=DEPENDENT)[0] / length
        way = self.g[-1] - (U + G) @ share
        return way if np.isfinite(way).all() and np.abs(way).max(initial=0.0) <= FARTHEST else None

    def at(self, way: np.ndarray) -> Environment | None:
        """The parameters so far ahead; None where the chart ends."""
        return _unpacked(self.chart, self.u[-1] + way)


def _unpacked(chart: Coordinates, u: np.ndarray) -> Environment | None:
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return chart.unpack(u)
    except (FloatingPointError, np.linalg.LinAlgError, Degenerate):
        return None

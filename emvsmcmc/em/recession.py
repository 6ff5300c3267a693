"""Directions of recession: the likelihood has no maximum, it rises for ever as some parameters go to infinity together.

Where a predictor tells the values of a child apart without error, the steeper its slope the better. EM and Newton walk out until
float64 no longer sees the rise, and what they return looks like a maximum: a slope of 25 with a standard error of thousands.

An expected complete-data log-likelihood is a sum of weighted table entries (log p, log(1 - p), -mu, ...). It rises for ever along
a direction d where no entry that has weight falls and some rise. For tables that are concave in d (log link, logistic) that is
when it does; the entries' derivatives at any point then decide it by a linear program (`cone`). Where entries with weight rise
and none falls, neither does the log-likelihood of the rows, whatever the responsibilities (EM's own inequality). What has been
found is walked along, outwards and back, before it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import Degenerate, Status
from ..expect.coefficients import assignment_rows, coefficients
from ..expect.coordinates import Coordinates
from ..expect.layout import Statistics
from ..expect.objective import ML
from ..expect.plan import Plan
from ..expect.rounding import rounding_of_sums
from ..expect.rows import expect, reference_points
from ..families.support import Positive
from ..numerics import COMPLEX_STEP
from ..spec.evaluate import Environment
from ..spec.variable import Variable
from ..spec.walk import names_in
from .cone import Cone, cone
from .newton import hessian
from .run import Run

WEAK = 1e-5  # information of an observation, in natural units, below which a direction is looked at
WEIGHT = 1e-8  # of an observation: an entry of less counts for nothing; what a component gives up vanishes as fast as the rise
CLEAR = 1e-6  # derivative of an entry, in natural units, that has its digits; smaller ones are taken nearer to zero
NEARER = (1.0, 1 / 4, 1 / 16, 1 / 64, 1 / 256)  # shares of the estimate at which derivatives are taken
FAR = 64.0  # natural units that are walked at least: e^-64 of what is to gain is left there, unless margins are narrow
FARTHEST = 1e9
DRIFT = 1e-8  # nats: where so little is gained the gain shrinks with every doubling, but what rounding feigns grows with the way
STILL = 3  # doublings without a rise after which it is over
ROUNDS = 8  # of the linear program, each with the slopes where the last direction fell
LEFT = 1e-10  # nats: a smaller rise for twice the way is none
ENTRIES = 100_000  # of tables that the linear program takes
SHOWN = 6


@dataclass(frozen=True)
class Recession:
    """directions: {parameter: declared shape} the change of each value along the direction, 0 for the others. span : (size, g)
    of all directions of recession, in the full chart's coordinates. predicted : what is predicted without error, and by what.
    """

    direction: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    span: np.ndarray
    predicted: str

    @property
    def moving(self) -> list[tuple[str, float]]:
        """(label, change) of the values that move, the largest change 1."""
        moved = [
            (str(self.labels[name][at]), float(x[at]))
            for name, x in self.direction.items()
            for at in np.ndindex(*x.shape)
            if x[at]
        ]
        largest = max(abs(x) for _, x in moved)
        return [(label, x / largest) for label, x in moved]

    @property
    def along(self) -> str:
        """'along b0 -0.3 and b1 +1 together (y is predicted without error from x)'; of one value, 'as b rises'."""
        moved = self.moving
        if len(moved) == 1 and self.span.shape[1] == 1:
            return f"as {moved[0][0]} {'rises' if moved[0][1] > 0 else 'falls'} ({self.predicted})"
        shown = [f"{label} {x:+.4g}" for label, x in moved[:SHOWN]]
        if len(moved) > SHOWN:
            shown.append(f"{len(moved) - SHOWN} more")
        together = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]} together"
        others = f", and along others, {self.span.shape[1]} independent ones in all" if self.span.shape[1] > 1 else ""
        return f"along {together}{others} ({self.predicted})"

    @property
    def reason(self) -> str:
        names = ", ".join(dict.fromkeys(name for name, x in self.direction.items() if x.any()))
        return f"{names}: the log-likelihood rises for ever {self.along}"

    @property
    def sentence(self) -> str:
        """What there is to know, and the way out."""
        return (
            f"The likelihood has no maximum: it rises for ever {self.along}. The estimate is a point on that way, as good as its "
            "end, and the sizes of these parameters say nothing; use objective='map' with proper priors on them, or fewer "
            "predictors."
        )

    @property
    def no_error(self) -> str:
        """Why a parameter with a share in it has no standard error."""
        return f"it has no finite maximum: the log-likelihood rises for ever {self.along}"


def recede(
    plan: Plan, names: set[str], run: Run, hard: bool, limit: int, go_on: Callable[[Environment, int], Run]
) -> Recession | None:
    """The direction along which a run under maximum likelihood was on its way to infinity; None where it ended at a maximum.

    The run is then UNBOUNDED, with its reason, and has gone on to where the rise ends in float64.

    names : of the parameters that could go there. limit : iterations of a run. go_on : runs EM over all rows from parameters, for
    so many iterations.
    """
    if not run.status.usable:
        return None
    walk = _Walk.at(plan, names, run.environment, hard)
    verified = None if walk is None or walk.informed() else _verified(walk)
    if walk is None or verified is None:
        return None
    way, t = verified
    if t > 0 and run.iterations < limit:
        more = go_on(walk.place(t, way.direction), limit - run.iterations)  # what has a finite maximum may move a little
        if more.status.usable and more.objective >= run.objective:
            run.environment, run.objective, run.gain = more.environment, more.objective, more.gain
            run.path, run.passes = run.path + more.path, run.passes + more.passes
            run.iterations = len(run.path) - 1
            run.trace = [*run.trace, *[more.environment] * len(more.path)] if run.trace else []
    recession = _recession(plan, walk, way, run.environment)
    run.status, run.reason = Status.UNBOUNDED, recession.reason
    return recession


def ahead(plan: Plan, names: set[str], env: Environment, hard: bool) -> Environment | None:
    """Where the rise ends in float64 along a direction in which the log-likelihood rises for ever; None where there is none.

    Where margins are narrow EM would creep there.
    """
    walk = _Walk.at(plan, names, env, hard)
    verified = None if walk is None else _verified(walk)
    return None if walk is None or verified is None or not verified[1] else walk.place(verified[1], verified[0].direction)


# ------------------------------------------------------------------------------------------------------------------- the search


@dataclass(frozen=True)
class _Walk:
    """Parameters that only tables read, in coordinates that are linear in their declared values, and the way along them.

    Natural units for real parameters; a positive one, which may only grow, is measured in its value.
    """

    plan: Plan
    chart: Coordinates
    u: np.ndarray
    upward: np.ndarray
    S: Statistics
    rho: np.ndarray
    hard: bool
    start: float
    rounding: float

    @classmethod
    def at(cls, plan: Plan, names: set[str], env: Environment, hard: bool) -> _Walk | None:
        """None where nothing can go to infinity."""
        chart = Coordinates(plan, env, names) if names else None
        if chart is None or not chart.size:
            return None
        C = coefficients(plan, env)
        S = expect(plan, C, hard)[1]
        rho = reference_points(S, C if plan.store.compiled else None)
        value, S = expect(plan, coefficients(plan, env, rho), hard)
        upward = np.concatenate([np.full(b.where.stop - b.where.start, isinstance(b.support, Positive)) for b in chart.blocks])
        u, eps = chart.pack(env), float(np.finfo(float).eps) * float(plan.problem.weights.sum())
        # a predictor that is the difference of large terms is known to their rounding
        rounding = rounding_of_sums(plan, env, S) + 1e-12 * abs(value) + 4 * eps * float(np.abs(u).max())
        return cls(plan, chart, u, upward, S, rho, hard, value, rounding)

    def informed(self) -> bool:
        """Whether all that could go to infinity is held where it is, by the complete-data information."""
        with np.errstate(all="ignore"):
            information = -hessian(self.chart, self.u, self.S, ML)
        least = WEAK * float(self.plan.problem.weights.sum())
        return bool(np.isfinite(information).all() and np.linalg.eigvalsh(information)[0] > least)

    def place(self, t: float, d: np.ndarray) -> Environment:
        """Parameters t along d."""
        with np.errstate(all="ignore"):
            return self.chart.unpack(np.where(self.upward, self.u + np.log1p(t * d), self.u + t * d))

    def height(self, t: float, d: np.ndarray) -> float:
        """Log-likelihood t along d; minus infinity outside the model."""
        try:
            with np.errstate(all="ignore"):
                value = expect(self.plan, coefficients(self.plan, self.place(t, d), self.rho), self.hard)[0]
        except (Degenerate, np.linalg.LinAlgError):
            return -np.inf
        return value if np.isfinite(value) else -np.inf

    def nearer(self, share: float) -> np.ndarray:
        """Coordinates of a share of all values."""
        return np.where(self.upward, self.u + np.log(share), share * self.u)

    def slopes(self, u: np.ndarray) -> np.ndarray:
        """(entries of the assignments and of T, size) derivatives of the entries with weight, in the walk's units, at u."""
        least = WEIGHT * float(self.plan.problem.weights[self.plan.problem.weights > 0].mean())
        env = self.chart.unpack(self.chart.steps(u))
        with np.errstate(all="ignore"):
            blocks = [assignment_rows(self.plan, v, env) for v in self.plan.latents]
            T = coefficients(self.plan, env, self.rho).T
        seen = least < self.S.N
        out = [_imaginary(np.broadcast_to(b, (self.plan.K, self.chart.size)))[seen] for b in blocks]
        read = np.abs(self.S.S) > least
        out.append(np.sign(self.S.S[read])[:, None] * _imaginary(np.broadcast_to(T, (*read.shape, self.chart.size)))[read])
        rates = np.vstack(out) * np.exp(np.where(self.upward, self.u - u, 0.0))
        return np.where(np.isfinite(rates), rates, 0.0)

    def owners(self) -> np.ndarray:
        """(entries,) which child or assignment each of the entries of `slopes` belongs to: a position in `read_by`."""
        least = WEIGHT * float(self.plan.problem.weights[self.plan.problem.weights > 0].mean())
        rows = np.full(len(self.S.S), -1)
        for i, part in enumerate(self.plan.tables):
            rows[part.offset : part.offset + part.height] = len(self.plan.latents) + i
        own = [np.full(int((least < self.S.N).sum()), i) for i in range(len(self.plan.latents))]
        return np.concatenate([*own, np.broadcast_to(rows[:, None], self.S.S.shape)[np.abs(self.S.S) > least]])


def _verified(walk: _Walk) -> tuple[Cone, float] | None:
    """A cone and how far the rise goes along its direction, 0 where float64 sees none any more: walked, nowhere lower than
    before, and the way back leads down.
    """
    here, *nearer = (walk.slopes(walk.nearer(share)) for share in NEARER)
    if len(here) > ENTRIES:
        return None
    # far out derivatives have lost their digits; those of a concave entry, which say more, serve as well from anywhere nearer
    weak = np.linalg.norm(here, axis=1) < CLEAR
    longest = nearer[0]
    for rows in nearer[1:]:
        longest = np.where((np.linalg.norm(rows, axis=1) > np.linalg.norm(longest, axis=1))[:, None], rows, longest)
    own = np.where(weak[:, None] & (np.linalg.norm(longest, axis=1) > np.linalg.norm(here, axis=1))[:, None], longest, here)
    return _tried(walk, np.stack([own, *nearer])) or _tried(walk, own[None])


def _tried(walk: _Walk, points: np.ndarray) -> tuple[Cone, float] | None:
    """The same from the derivatives (points, entries, size) of all entries at some points."""
    n = points.shape[1]
    constraints = points.reshape(-1, points.shape[2])
    constraints = np.where((np.linalg.norm(constraints, axis=1) > CLEAR)[:, None], constraints, 0.0)
    for _ in range(ROUNDS):
        trial = cone(constraints, walk.upward)
        if trial is None:
            return None
        rises = trial.rises[: len(points) * n].reshape(-1, n).any(axis=0)
        if not rises.any():
            return None
        t, fell = _outward(walk, trial.direction)
        if not fell:
            return (Cone(trial.direction, trial.span, rises), t) if _lower_behind(walk, trial.direction) else None
        place = walk.chart.pack(walk.place(t, trial.direction))
        if not np.isfinite(place).all():
            return None
        there = walk.slopes(place)
        against = there[(there @ trial.direction < 0) & (np.linalg.norm(there, axis=1) > CLEAR)]
        if not len(against):
            return None
        constraints = np.vstack([constraints, against])
    return None


def _outward(walk: _Walk, d: np.ndarray) -> tuple[float, bool]:
    """(how far the log-likelihood rises along d, False), or (where it is lower than before by more than rounding, True)."""
    far = max(FAR, 2 * float(np.abs(walk.u).max()))
    last, before, top, still, t = walk.start, np.inf, 0.0, 0, 1.0
    eps = float(np.finfo(float).eps) * float(walk.plan.problem.weights.sum())
    while t <= FARTHEST and (t <= far or still < STILL):
        height = walk.height(t, d)
        if height < last - walk.rounding - 4 * eps * t:  # entries that should not move do so by the rounding of d
            return t, True
        rise, still = height - last, still + 1
        if rise > LEFT and not (rise < DRIFT and rise > before):
            top, still = t, 0
        last, before = max(last, height), rise
        t *= 2
    return top, False


def _lower_behind(walk: _Walk, d: np.ndarray) -> bool:
    """Whether the log-likelihood is lower on the way back, by more than rounding: flat directions rise nowhere."""
    far = max(FAR, 2 * float(np.abs(walk.u).max()))
    for t in np.exp2(np.arange(np.ceil(np.log2(far)) + 1)):
        if (t * d[walk.upward] >= 1).any():  # a positive value comes to its end here
            t = 0.99 / float(d[walk.upward].max())
        if walk.height(-t, d) < walk.start - 10 * walk.rounding:
            return True
    return False


def _imaginary(x: np.ndarray) -> np.ndarray:
    return np.imag(x) / COMPLEX_STEP


# -------------------------------------------------------------------------------------------------------------------- the words


def _recession(plan: Plan, walk: _Walk, receding: Cone, env: Environment) -> Recession:
    whole = Coordinates(plan, env)
    span = np.zeros((whole.size, receding.span.shape[1]))
    direction, labels = {}, {}
    for b in walk.chart.blocks:
        v = b.variable
        there = next(w for w in whole.blocks if w.variable is v)
        span[there.where] = receding.span[b.where]
        change = np.zeros(len(b.free))
        change[b.free] = (
            receding.direction[b.where] * (env.values[v.label].array.ravel() if walk.upward[b.where].any() else b.unit)[b.free]
        )
        direction[v.label] = change.reshape(b.shape)
        labels[v.label] = _labels(plan, v)
    return Recession(direction, labels, np.linalg.qr(span)[0], _predicted(plan, walk, receding))


def _labels(plan: Plan, v: Variable) -> np.ndarray:
    """What each value of a parameter is called: "b[setosa]"."""
    shape = plan.problem.shape(v)
    out = np.full(shape, v.label, dtype=object)
    for at in np.ndindex(*shape):
        out[at] = plan.problem.entry(v.label, v.dims, at)
    return out


def _predicted(plan: Plan, walk: _Walk, receding: Cone) -> str:
    """'y is predicted without error from x', or some of its values are."""
    moved = np.linalg.norm(walk.slopes(walk.nearer(NEARER[-1])), axis=1) > CLEAR
    out = []
    owners = walk.owners()
    for i, (name, read) in enumerate(_read_by(plan)):
        mine = owners == i
        if not receding.rises[mine].any():
            continue
        parameters = name if receding.rises[mine & moved].all() else f"some of {name}"
        out.append(f"{parameters} is predicted without error" + (f" from {', '.join(read)}" if read else ""))
    return "; ".join(dict.fromkeys(out))


def _read_by(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """(name, row data that it reads) of assignments, counts and categories, in the order of `_Walk.owners`."""
    named = [(v.label, v) for v in plan.latents] + [(p.variable.label, p.distribution) for p in plan.tables]
    for name, distribution in named:
        read = {n for e in distribution.arguments.values() for n in names_in(e)}
        yield name, sorted(read & set(plan.problem.spec.data))

"""Scales at zero: residual variances that the latents explain away (Heywood cases), and variances of latents that add nothing."""

from __future__ import annotations

import numpy as np

from ..families import GaussianFamily
from ..families.support import Positive
from ..spec.evaluate import Environment, value_of
from ..spec.named import Named
from ..spec.variable import Switch, Variable
from ..spec.walk import degree, looked_up, value_names
from .coefficients import coefficients, inverse_scale
from .plan import GaussianPart, Plan

# Share of a column's variance below which its residual variance is on the boundary, zero, and at which it is then held: the
# likelihood is within n times that of its supremum, and the score still has the digits that Newton needs.
HEYWOOD, HELD = 1e-7, 1e-8


def hidden_latents(plan: Plan) -> list[Variable]:
    """Gaussian variables of the rows that are hidden in every row."""
    gaussians = {p.variable.label: p.variable for p in plan.gaussians}
    return [v for v in gaussians.values() if v.label not in plan.problem.given]


def regular(plan: Plan) -> bool:
    """Whether every Gaussian variable has one distribution, in which all its randomness is normal."""
    single = all(p.on.all() and not isinstance(p.variable, Switch) for p in plan.gaussians)
    return single and all(isinstance(p.family, GaussianFamily) for p in plan.gaussians)


def zero_uniquenesses(plan: Plan, env: Environment, share: float = HEYWOOD) -> dict[str, np.ndarray]:
    """{scale parameter: (size,) bool} entries at zero: residual variances that are less than a share of their column's (a Heywood
    case), only where a latent could explain the column; and variances of latents themselves that add less than this share to
    every column (groups that do not differ).
    """
    scales = [v for v in plan.parameters if isinstance(v.family.support(), Positive) and not v.family.event_dims]
    small = [v for v in scales if env.values[v.label].array.size and _below(plan, env, v, share)]
    if not small or not hidden_latents(plan) or not regular(plan):
        return {}
    total = _references(plan, env)
    out = {}
    for v in small:
        zero = np.zeros(env.values[v.label].array.size, dtype=bool)
        other = np.zeros_like(zero)
        for part in plan.gaussians:
            index = scale_entries(plan, part, v)
            if index is None:
                continue
            own = 1.0 / np.square(np.broadcast_to(inverse_scale(plan, part, env), (plan.K, part.size)))
            is_zero = own <= share * total[:, part.rows]
            np.logical_or.at(zero, index[is_zero], True)
            np.logical_or.at(other, index[~is_zero], True)
        if (zero & ~other).any():
            out[v.label] = zero & ~other
    return out


def scale_at(plan: Plan, env: Environment, v: Variable, share: float) -> np.ndarray:
    """Values of a scale parameter at which each residual sd is a share of its column's implied sd, and a latent's adds that share
    to the columns (the smallest of those it serves).
    """
    total = np.sqrt(_references(plan, env))
    out = np.full(env.values[v.label].array.size, np.inf)
    power = 1
    for part in plan.gaussians:
        index = scale_entries(plan, part, v)
        if index is not None:
            np.minimum.at(out, index.ravel(), (share * total[:, part.rows]).ravel())
            power = part.scale_kind.power
    return out.reshape(env.values[v.label].array.shape) ** power


def _below(plan: Plan, env: Environment, v: Variable, share: float) -> bool:
    """A quick look first: EM makes a chart every iteration."""
    used = [p for p in plan.gaussians if not p.scale_kind.matrix and v.label in value_names(p.scale)]
    if not used:
        return False
    given = plan.problem.given  # the size of what is hidden is that of the columns it shows in
    largest = max(float((plan.scale[p.columns] if p.variable.label in given else plan.scale).max()) for p in used)
    x = float(env.values[v.label].array.min())
    bound = 10 * np.sqrt(share) * largest
    return bool(x < bound ** used[0].scale_kind.power)


def _references(plan: Plan, env: Environment) -> np.ndarray:
    """(K, R) what the variance of each residual row is a share of: the implied variance of its column; for a latent, the variance
    of its own at which it alone would give some column its whole implied variance. 0, of which nothing is a share, for a latent
    that a parameter multiplies wherever it stands: the two sizes are one. A fixed coefficient somewhere gives it a size.
    """
    columns = np.concatenate([np.arange(p.columns.start, p.columns.stop) for p in plan.gaussians])
    inverse = np.linalg.inv(coefficients(plan, env).B[..., columns])
    parts = np.square(inverse)
    total = parts.sum(axis=2)
    out = total.copy()
    names = {v.label for v in plan.parameters}
    seen = np.concatenate([np.full(p.size, p.variable.label in plan.problem.given) for p in plan.gaussians])
    for part in plan.gaussians:
        name = part.variable.label
        if name in plan.problem.given:
            continue
        means = [p.mean for p in plan.gaussians if name in value_names(p.mean)]
        if all(degree(mean, {*names, name}) > 1 for mean in means) or part.scale_kind.matrix:
            out[:, part.rows] = 0.0
            continue
        own = 1.0 / np.square(np.broadcast_to(inverse_scale(plan, part, env), (plan.K, part.size)))
        with np.errstate(divide="ignore"):
            alone = total[:, seen, None] * own[:, None] / parts[:, seen, part.rows]
        out[:, part.rows] = np.where(np.isfinite(alone).any(axis=1), alone.min(axis=1), 0.0)
    return out


def scale_entries(plan: Plan, part: GaussianPart, v: Variable) -> np.ndarray | None:
    """(K, m) which (flat) entry of a parameter is the scale of each element; None where it is not looked up there as it
    stands."""
    if part.scale_kind.matrix:
        return None
    expression = part.scale
    if looked_up(expression) is not v:
        return None
    shape = plan.problem.shape(v)
    places = Environment({v.label: Named(np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape), v.dims)})
    return plan.spread(value_of(expression, places), part.elements).astype(np.int64)

"""What no rotation of latents changes: the covariance that the model implies for what can be observed, and how much of it latents
explain.

The whitened residual rows B of all Gaussian variables g of a row are square in g, so that g has covariance B_g^-1 B_g^-T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..families.support import Positive
from ..spec.expression import Index
from ..spec.graph import Environment, degree, value_names, value_of
from ..spec.named import Named
from ..spec.variable import Switch, Variable
from .coefficients import coefficients, inverse_scale
from .plan import GaussianPart, Plan

# Share of a column's variance below which its residual variance is on the boundary, zero, and at which it is then held: the
# likelihood is within n times that of its supremum, and the score still has the digits that Newton needs.
HEYWOOD, HELD = 1e-7, 1e-8
LISTED = 12  # observed columns up to which every covariance is listed


def hidden_latents(plan: Plan) -> list[Variable]:
    """Gaussian variables of the rows that are hidden in every row."""
    found = {p.variable.label: p.variable for p in plan.gaussians}
    return [v for v in found.values() if v.label not in plan.problem.given]


@dataclass(frozen=True)
class Implied:
    """covariance (K, o, o[, batch]) of the columns that are observed in some row, given the configuration and the covariates;
    communality (K, o[, batch]), the share of each column's variance that the latents explain.
    """

    covariance: np.ndarray
    communality: np.ndarray


def implied(plan: Plan, env: Environment) -> Implied | None:
    """Covariance and communalities at parameter values, which may carry a batch axis and be complex. None where no latent is
    hidden in every row, where some variable has other distributions than one Normal or MvNormal, or where rows have known scales
    of their own: a covariance is then no property of the model but of a row.
    """
    latents = hidden_latents(plan)
    if not latents or plan.known or not regular(plan):
        return None
    C = coefficients(plan, env)
    B = C.B if env.batch is None else np.moveaxis(np.broadcast_to(C.B, (*C.B.shape[:-1], env.batch)), -1, 1)
    columns = np.concatenate([np.arange(p.columns.start, p.columns.stop) for p in plan.gaussians])
    hidden = np.concatenate([np.arange(s.start, s.stop) for s in (plan.slices[v.label] for v in latents)])
    seen = ~np.isin(columns, hidden)
    inverse = np.linalg.inv(B[..., columns])
    covariance = (inverse @ inverse.swapaxes(-1, -2))[..., seen, :][..., :, seen]
    # given the latents: rows of the latents' own distributions drop out, as do their columns
    rows = np.concatenate([np.full(p.size, p.variable not in latents) for p in plan.gaussians])
    own = np.linalg.inv(B[..., columns][..., rows, :][..., :, seen])
    residual = np.einsum("...ij,...ij->...i", own, own)
    total = np.einsum("...ii->...i", covariance)
    if env.batch is None:
        return Implied(covariance, 1 - residual / total)
    return Implied(np.moveaxis(covariance, 1, -1), np.moveaxis(1 - residual / total, 1, -1))


def regular(plan: Plan) -> bool:
    """Whether every Gaussian variable has one distribution, in which all its randomness is normal."""
    single = all(p.on.all() and not isinstance(p.variable, Switch) for p in plan.gaussians)
    return single and all(p.distribution.family.name in ("Normal", "MvNormal") for p in plan.gaussians)


def zero_uniquenesses(plan: Plan, env: Environment, share: float = HEYWOOD) -> dict[str, np.ndarray]:
    """{scale parameter: (size,) bool} entries at zero: residual variances that are less than a share of their column's (a Heywood
    case), only where a latent could explain the column; and variances of latents themselves that add less than this share to
    every column (groups that do not differ).
    """
    scales = [v for v in plan.parameters if isinstance(v.family.support(), Positive) and v.family.event_dims == 0]
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
            power = 2 if part.scale_slot == "variance" else 1
    return out.reshape(env.values[v.label].array.shape) ** power


def _below(plan: Plan, env: Environment, v: Variable, share: float) -> bool:
    """A quick look first: EM makes a chart every iteration."""
    used = [p for p in plan.gaussians if p.scale_slot != "cov" and v.label in value_names(p.argument(p.scale_slot))]
    if not used:
        return False
    given = plan.problem.given  # the size of what is hidden is that of the columns it shows in
    largest = max(float((plan.scale[p.columns] if p.variable.label in given else plan.scale).max()) for p in used)
    x = float(env.values[v.label].array.min())
    bound = 10 * np.sqrt(share) * largest
    return bool(x < (bound**2 if used[0].scale_slot == "variance" else bound))


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
        means = [p.argument("mu") for p in plan.gaussians if name in value_names(p.argument("mu"))]
        if all(degree(mean, {*names, name}) > 1 for mean in means) or part.scale_slot == "cov":
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
    if part.scale_slot == "cov":
        return None
    expression = part.argument(part.scale_slot)
    base = expression.base if isinstance(expression, Index) else expression
    if base is not v:
        return None
    shape = plan.problem.shape(v)
    places = Environment({v.label: Named(np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape), v.dims)})
    return plan.spread(value_of(expression, places), part.elements).astype(np.int64)


def named(plan: Plan, found: Implied) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """{"implied_cov", "communality": (dims, array[, batch])} with a configuration dim only where there are several. Beyond LISTED
    columns the covariances are left out.
    """
    lead, column = _configuration_dim(plan), _column_dim(plan)
    batch = found.communality.shape[2:]
    p = found.communality.shape[1]
    sizes = (plan.K,) if lead else ()
    out = {}
    if p <= LISTED:
        dims = (*lead, column, f"{column}_bis")
        out["implied_cov"] = (dims, found.covariance.reshape(*sizes, p, p, *batch))
    out["communality"] = ((*lead, column), found.communality.reshape(*sizes, p, *batch))
    return out


def coords(plan: Plan) -> dict[str, Any]:
    """Labels of the dims of `named`."""
    problem, column = plan.problem, _column_dim(plan)
    labels: list[Any] = []
    parts = [p for p in plan.gaussians if p.variable not in hidden_latents(plan)]
    for p in parts:
        cells = [
            ", ".join(str(problem.labels(d)[i]) for (d, _), i in zip(p.elements, at, strict=True))
            for at in np.ndindex(*[n for _, n in p.elements])
        ]
        labels += (
            cells if len(parts) == 1 and p.elements else [f"{p.variable.label}[{c}]" if c else p.variable.label for c in cells]
        )
    out: dict[str, Any] = {column: labels, f"{column}_bis": labels}
    for lead in _configuration_dim(plan):
        if lead in problem.sizes:
            out[lead] = problem.labels(lead)
        else:
            out[lead] = [", ".join(map(str, at)) for at in np.ndindex(*plan.shape)]
    return out


def _configuration_dim(plan: Plan) -> tuple[str, ...]:
    if plan.K == 1:
        return ()
    counted = [z.counts for z in plan.latents]
    return (counted[0],) if len(plan.axes) == 1 and counted and counted[0] in plan.problem.sizes else ("configuration",)


def _column_dim(plan: Plan) -> str:
    parts = [p for p in plan.gaussians if p.variable not in hidden_latents(plan)]
    return parts[0].elements[0][0] if len(parts) == 1 and len(parts[0].elements) == 1 else "column"

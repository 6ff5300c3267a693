"""Rotations and reflections of latents: which there are, their directions in parameter space, and one orientation to report.

A latent f enters every mean as coefficient x f. Where f ~ Normal(0, 1) independently along a dim of k positions, turning its axes
(f -> R'f, coefficient -> coefficient R, R orthogonal) changes no density. With one axis that is a change of sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..expect.coefficients import coefficients, log_prior, mean_blocks
from ..expect.coordinates import Coordinates
from ..expect.gaussian import eliminate
from ..expect.heywood import hidden_latents
from ..expect.inside import typical
from ..expect.objective import Objective
from ..expect.plan import Plan, kept
from ..families.support import Real
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.variable import Variable
from ..spec.walk import names_in

SAME = 1e-8  # relative difference between densities that are the same
DETERMINED = 0.85  # congruence of two axes from which they count as fairly alike (Lorenzo-Seva and ten Berge 2006)


class Turn(Enum):
    """Which orthogonal matrices."""

    NONE = 0
    SIGNS = 1
    ROTATION = 2


@dataclass(frozen=True)
class Rotation:
    """A latent whose axes may be turned.

    latent : its name. dim : the dim whose positions are the axes; None where there is one axis, which may be reflected.
    size : number of axes. carriers : parameters that turn with it. by : dim of the carriers along which every position may be
    turned on its own (the loadings of each component); None where all turn together. density, posterior : what leaves the density
    of the data, and the posterior density, as they are.
    """

    latent: str
    dim: str | None
    size: int
    carriers: tuple[str, ...]
    by: str | None
    density: Turn
    posterior: Turn

    def turn(self, objective: Objective) -> Turn:
        """What leaves the objective as it is, with the prior or without."""
        return self.posterior if objective.prior else self.density


@kept
def rotations(plan: Plan) -> tuple[Rotation, ...]:
    """The rotations that leave the distribution of everything observed as it is, found by trying.

    Dims say what could be turned; whether it can is decided by comparing the marginal density before and after a random turn at a
    random parameter value, whatever the expressions are. Latents that are partly given are told apart by their values.
    """
    return tuple(r for v in hidden_latents(plan) if (r := _rotation(plan, v)) is not None)


def _rotation(plan: Plan, latent: Variable) -> Rotation | None:
    rng = np.random.default_rng(0)
    env = _anywhere(plan, rng)
    in_coefficient = _carriers(plan, latent, env, rng)
    if not in_coefficient:
        return None
    own = next(p for p in plan.gaussians if p.variable.label == latent.label)
    in_mean = names_in(own.mean) & {v.label for v in plan.parameters}
    sizes = {d: n for d, n in own.elements if n > 1}
    by_label = {v.label: v for v in plan.parameters}
    for dim, size in [*sizes.items()] if sizes else [(None, 1)]:
        for names in dict.fromkeys([tuple(sorted(in_coefficient)), tuple(sorted(in_coefficient | in_mean))]):
            carriers = [by_label[n] for n in names]
            if any(not isinstance(v.family.support(), Real) or (dim is not None and dim not in v.dims) for v in carriers):
                continue
            shared = [z.counts for z in plan.latents if z.counts is not None and all(z.counts in v.dims for v in carriers)]
            for by in [*dict.fromkeys(shared), None]:
                for kind in (Turn.ROTATION, Turn.SIGNS) if size > 1 else (Turn.SIGNS,):
                    r = Rotation(latent.label, dim, size, names, by, kind, Turn.NONE)
                    if _same_density(plan, env, turn(plan, env, r, _some_turn(plan, r, kind, rng))):
                        return replace(r, posterior=_of_prior(plan, env, r, rng))
    return None


def _anywhere(plan: Plan, rng: np.random.Generator) -> Environment:
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    return chart.unpack(chart.pack(chart.env) + rng.normal(size=chart.size))


def _carriers(plan: Plan, latent: Variable, env: Environment, rng: np.random.Generator) -> set[str]:
    """Parameters in the coefficient of a latent, in any mean."""
    out = set()
    for part in plan.gaussians:
        mean = names_in(part.mean)
        if latent.label not in mean:
            continue
        before = mean_blocks(plan, part, env)[latent.label]
        for name in mean & {v.label for v in plan.parameters}:
            old = env.values[name]
            other = env.with_values({name: Named(old.array + rng.normal(size=old.array.shape), old.dims)})
            if not np.array_equal(before, mean_blocks(plan, part, other)[latent.label]):
                out.add(name)
    return out


def _of_prior(plan: Plan, env: Environment, r: Rotation, rng: np.random.Generator) -> Turn:
    """What of the turns of the density leaves the prior as it is too."""
    for kind in (Turn.ROTATION, Turn.SIGNS):
        if kind.value <= r.density.value:
            other = turn(plan, env, r, _some_turn(plan, r, kind, rng))
            before, after = (float(log_prior(plan, e, set(r.carriers))) for e in (env, other))
            if np.isclose(before, after, rtol=SAME, atol=SAME):
                return kind
    return Turn.NONE


def _some_turn(plan: Plan, r: Rotation, kind: Turn, rng: np.random.Generator) -> np.ndarray:
    """(positions of `by` or 1, k, k): a random turn of the first position, none of the others."""
    R = np.tile(np.eye(r.size), (positions(plan, r), 1, 1))
    R[0] = np.linalg.qr(rng.normal(size=(r.size, r.size)))[0] if kind is Turn.ROTATION else np.diag([-1.0] + [1.0] * (r.size - 1))
    return R


def positions(plan: Plan, r: Rotation) -> int:
    """How many turns there are: one for each position of `by`."""
    return 1 if r.by is None else plan.problem.sizes[r.by]


def _same_density(plan: Plan, one: Environment, other: Environment) -> bool:
    """Whether two parameter values give every row the same density, whatever its values: equal tables and equal quadratics."""
    hidden = np.zeros(plan.d, dtype=bool)
    for v in hidden_latents(plan):
        hidden[plan.slices[v.label]] = True
    pairs = list(zip(_marginal(plan, one, hidden), _marginal(plan, other, hidden), strict=True))
    return all(np.allclose(a, b, rtol=SAME, atol=SAME) for a, b in pairs)


def _marginal(plan: Plan, env: Environment, hidden: np.ndarray) -> tuple[np.ndarray, ...]:
    """(log constants (K,), moments of the marginal residual rows (K, o, o) in units of the columns, tables, radial rows, nu)."""
    C = coefficients(plan, env)
    e = eliminate(C.B, np.flatnonzero(~hidden), np.flatnonzero(hidden))
    scaled = e.rows * plan.scale[~hidden]
    scaled[:, :, 0] /= 1.0 + np.abs(plan.centre / plan.scale).max()
    return C.c + e.constant, scaled.swapaxes(1, 2) @ scaled, C.T, C.A * plan.scale if plan.radials else C.A, C.nu


def turn(plan: Plan, env: Environment, r: Rotation, R: np.ndarray) -> Environment:
    """Parameters after the axes were turned by R (positions of `by` or 1, k, k): coefficient -> coefficient R."""
    variables = {v.label: v for v in plan.parameters}
    return env.with_values(
        {n: Named(turned(variables[n], env.values[n].array[None], r, R[None])[0], variables[n].dims) for n in r.carriers}
    )


def turned(carrier: Variable, draws: np.ndarray, r: Rotation, R: np.ndarray) -> np.ndarray:
    """(draws, *shape) values of a carrier turned by R (draws, positions, k, k)."""
    rows = as_rows(carrier, draws, r)
    return from_rows(carrier, np.einsum("sbnk,sbkl->sbnl", rows, np.broadcast_to(R, (len(rows), *R.shape[1:]))), r, draws.shape)


def as_rows(carrier: Variable, draws: np.ndarray, r: Rotation) -> np.ndarray:
    """(draws, positions of `by` or 1, other entries, k) from (draws, *shape)."""
    x = draws
    if r.dim is None:
        x = x[..., None]
    else:
        x = np.moveaxis(x, carrier.dims.index(r.dim) + 1, -1)
    if r.by is not None:
        others = [d for d in carrier.dims if d != r.dim]
        x = np.moveaxis(x, others.index(r.by) + 1, 1)
        return x.reshape(len(x), x.shape[1], -1, r.size)
    return x.reshape(len(x), 1, -1, r.size)


def from_rows(carrier: Variable, rows: np.ndarray, r: Rotation, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `as_rows`."""
    sizes = dict(zip(carrier.dims, shape[1:], strict=True))
    order = [d for d in carrier.dims if d not in (r.dim, r.by)]
    lead = [r.by] if r.by is not None else []
    x = rows.reshape(len(rows), *[sizes[d] for d in lead], *[sizes[d] for d in order], r.size)
    if r.dim is None:
        x = x[..., 0]
    else:
        x = np.moveaxis(x, -1, 1)
        order = [r.dim, *lead, *order]
        return np.moveaxis(x, [order.index(d) + 1 for d in carrier.dims], range(1, x.ndim))
    order = [*lead, *order]
    return np.moveaxis(x, [order.index(d) + 1 for d in carrier.dims], range(1, x.ndim)) if order else x


def generators(plan: Plan, chart: Coordinates, objective: Objective) -> np.ndarray:
    """(size, g) directions of the packed vector along which nothing observed changes: L (e_i e_j' - e_j e_i') for every pair of
    axes.

    objective : under MAP only those along which the log prior does not change either. Orthonormal; dependent directions count
    once.
    """
    here = {v.label: chart.env.values[v.label].array[None] for v in plan.parameters}
    directions = directions_at(plan, chart, here, objective)[0]
    if not directions.shape[1]:
        return directions
    lengths = np.linalg.norm(directions, axis=0)
    U, s, _ = np.linalg.svd(directions / np.where(lengths > 0, lengths, 1.0), full_matrices=False)
    return U[:, s > 1e-9]


def directions_at(plan: Plan, chart: Coordinates, draws: Mapping[str, np.ndarray], objective: Objective) -> np.ndarray:
    """(draws, size, g) velocity of the packed vector as each pair of axes turns, at {parameter: (draws, *shape)}."""
    blocks = {b.variable.label: b for b in chart.blocks}
    count = len(next(iter(draws.values()))) if draws else 1
    out = []
    for r in rotations(plan):
        if r.turn(objective) is not Turn.ROTATION:
            continue
        for b in range(positions(plan, r)):
            for i in range(r.size):
                for j in range(i + 1, r.size):
                    A = np.zeros((1, positions(plan, r), r.size, r.size))
                    A[0, b, i, j], A[0, b, j, i] = 1.0, -1.0
                    direction = np.zeros((count, chart.size))
                    for n in r.carriers:
                        if n in blocks:
                            moved = turned(blocks[n].variable, draws[n], r, A).reshape(count, -1)
                            direction[:, blocks[n].where] = moved / blocks[n].unit
                    out.append(direction)
    return np.stack(out, axis=2) if out else np.zeros((count, chart.size, 0))


def oriented(plan: Plan, env: Environment, objective: Objective) -> Environment:
    """The orientation that is reported: varimax with Kaiser's normalisation, axes in descending order of their squares, signs by
    which each axis' coefficients add up to something positive. With `prior`, only as far as the prior does not mind.
    """
    variables = {v.label: v for v in plan.parameters}
    for r in rotations(plan):
        kind = r.turn(objective)
        if kind is Turn.NONE:
            continue
        rows = np.concatenate([as_rows(variables[n], env.values[n].array[None], r)[0] for n in r.carriers], axis=1)
        env = turn(plan, env, r, np.stack([_orientation(L, kind) for L in rows]))
    return env


def _orientation(L: np.ndarray, kind: Turn) -> np.ndarray:
    """(k, k) turn of loadings L (entries, k)."""
    R = np.eye(L.shape[1])
    if kind is Turn.ROTATION:
        R = varimax(L)
        R = R[:, np.argsort(-((L @ R) ** 2).sum(axis=0), kind="stable")]
    return R * np.where((L @ R).sum(axis=0) < 0, -1.0, 1.0)


def varimax(L: np.ndarray, iterations: int = 1000) -> np.ndarray:
    """(k, k) orthogonal R that maximises the variance of the squared entries of L R within each column, rows of L at unit length.

    Kaiser (1958), The varimax criterion for analytic rotation in factor analysis, Psychometrika 23; each step takes the
    orthogonal factor of the criterion's gradient.
    """
    lengths = np.sqrt((L**2).sum(axis=1, keepdims=True))
    X = L / np.where(lengths > 0, lengths, 1.0)
    R, before = np.eye(L.shape[1]), 0.0
    for _ in range(iterations):
        Y = X @ R
        U, s, V = np.linalg.svd(X.T @ (Y**3 - Y * (Y**2).mean(axis=0)))
        R = U @ V
        if s.sum() < before * (1 + 1e-14):
            break
        before = s.sum()
    return R


def nearest(rows: np.ndarray, target: np.ndarray, kind: Turn) -> tuple[np.ndarray, np.ndarray]:
    """The turn that brings coefficients nearest to a target, by the singular value decomposition (Schoenemann 1966).

    rows : (draws, positions, entries, k). target : (positions, entries, k). Returns R (draws, positions, k, k), orthogonal (or of
    signs only), which minimises |rows R - target|, and (draws,) the smallest congruence (cosine) of an axis with its target after
    it.
    """
    across = np.einsum("sbnk,bnl->sbkl", rows, target)
    if kind is Turn.ROTATION:
        U, _, V = np.linalg.svd(across)
        R = U @ V
    else:
        R = np.where(np.einsum("sbkk->sbk", across) < 0, -1.0, 1.0)[..., None] * np.eye(rows.shape[-1])
    aligned = np.einsum("sbnk,sbkl->sbnl", rows, R)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (aligned * target).sum(axis=2) / np.sqrt((aligned**2).sum(axis=2) * (target**2).sum(axis=1))
    return R, np.nan_to_num(cosine).min(axis=(1, 2))

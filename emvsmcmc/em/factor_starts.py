"""Starts of models with factors: the values of factors that are expected under random coefficients of the declared structure.

A factor drawn as a random direction of all columns would not know which columns it stands in, that a loading is fixed, or what
causes it. So the coefficients of factors are drawn instead, in units in which they move their column by its standard deviation.
The expectation of everything hidden under them, which knows all of that, makes the statistics of the first M-steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..expect.coefficients import residual_rows, whitened_rows
from ..expect.gaussian import eliminate
from ..expect.inside import typical
from ..expect.kernel.plain import add_lifted
from ..expect.layout import Statistics
from ..expect.plan import GaussianPart, Plan, kept
from ..families.support import Real
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import BATCH
from ..spec.variable import Variable
from ..spec.walk import names_in
from .mstep import MStep

SHARES = (0.2, 0.8)  # of a column's variance that is left to its own noise, uniform
# Spread of the coefficients of a factor that has a fixed one, uniform up to this. There the column with the fixed one says what
# the factor is; others of its size may turn it against that column, and from there EM walks to a fixed loading of zero, where
# the factor's scale vanishes and its other loadings grow without limit
ANCHORED = 0.2
CONSTANT = 1e-6  # of the square of its size: a smaller variance is none


@dataclass(frozen=True)
class Places:
    """Where one entry of a parameter multiplies a factor: (configuration, row of B, coordinate of v), and by what."""

    k: np.ndarray
    row: np.ndarray
    factor: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Structure:
    """What is declared about factors.

    factors : (h,) coordinates of v that are hidden in every row. own : (R,) the coordinate whose residual each row of B is.
    fixed : (K, R, d) coefficients of means where every estimated one is zero. free : places of the entries of each parameter that
    multiplies factors.
    """

    factors: np.ndarray
    own: np.ndarray
    fixed: np.ndarray
    free: dict[str, list[Places]]


@kept
def structure(plan: Plan) -> Structure | None:
    """What is declared about factors, None where there are none."""
    factors = np.flatnonzero(plan.full.hidden.all(axis=0)) if len(plan.full.hidden) else np.zeros(0, dtype=int)
    return _structure(plan, factors) if len(factors) else None


def _structure(plan: Plan, factors: np.ndarray) -> Structure:
    in_means = set().union(*[names_in(p.mean) for p in plan.gaussians])
    variables = [v for v in plan.parameters if v.label in in_means]
    values = {v.label: Named(typical(v, plan), v.dims) for v in plan.parameters}
    values |= {v.label: Named(np.zeros(plan.problem.shape(v)), v.dims) for v in variables}
    zero = Environment({**plan.problem.fixed, **values})
    own = np.concatenate([np.arange(p.columns.start, p.columns.stop) for p in plan.gaussians])
    origin = np.zeros((plan.K, plan.d))
    rows = [residual_rows(plan, p, zero, origin) * p.on[:, None, None] for p in plan.gaussians]
    fixed = -np.concatenate(rows, axis=1)
    fixed[:, np.arange(plan.R), own] = 0.0
    places = {v.label: _places(plan, v, zero, factors, rows) for v in variables}
    return Structure(factors, own, fixed, {name: entries for name, entries in places.items() if any(len(p.k) for p in entries)})


def _places(plan: Plan, v: Variable, zero: Environment, factors: np.ndarray, rows: list[np.ndarray]) -> list[Places]:
    shape = plan.problem.shape(v)
    size = prod(shape)
    unit = zero.with_values({v.label: Named(np.eye(size).reshape((*shape, size)), (*v.dims, BATCH))}).having(batch=size)
    loadings: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(size)]
    for part, before in zip(plan.gaussians, rows, strict=True):
        if v.label not in names_in(part.mean):
            continue
        moved = residual_rows(plan, part, unit, np.zeros((plan.K, plan.d)))[:, :, factors] * part.on[:, None, None, None]
        change = np.abs(moved - before[:, :, factors, None])
        for i in range(size):
            k, row, factor = np.nonzero(change[..., i])
            loadings[i].append((k, row + part.rows.start, factors[factor], change[k, row, factor, i]))
    return [Places(*[np.concatenate(x) for x in zip(*entry, strict=True)]) for entry in loadings]


def follow(
    plan: Plan, mstep: MStep, env: Environment, S: Statistics, r: np.ndarray | None, rng: np.random.Generator
) -> tuple[Environment, Statistics]:
    """Parameters and statistics of a completion whose factors follow the declared structure.

    S : of one with anything in the place of the factors. r : (n, K) its responsibilities, None where only moments are kept.
    """
    about = structure(plan)
    assert about is not None
    M = S.M.copy()
    M[:, about.factors], M[:, :, about.factors] = 0.0, 0.0
    M[:, about.factors, about.factors] = S.N[:, None]  # noise that has to do with nothing: what remains are the other means
    S = replace(S, M=M, root=None)
    env, B = _drawn(plan, about, mstep(env, S), S, rng)
    return env, _expected(plan, r, B, S)


def _drawn(
    plan: Plan, about: Structure, env: Environment, S: Statistics, rng: np.random.Generator
) -> tuple[Environment, np.ndarray]:
    """Random coefficients of factors, and B (K, R, d) with them and a random share of noise in each column."""
    origin = plan.centre + S.rho
    spread = _spreads(plan, about, env, S, origin)
    scale, anchored = _scales(plan, about, env, spread)
    seen = ~np.isin(about.own, about.factors)
    size = np.where(seen, spread, scale[:, about.own])
    looseness = rng.uniform(0, ANCHORED)
    values = {}
    for v in plan.parameters:
        if v.label in about.free:
            x = env.values[v.label].array.ravel().copy()
            for i, p in enumerate(about.free[v.label]):
                if len(p.k):
                    moved = (p.size * scale[p.k, p.factor] / size[p.k, p.row]).max()
                    x[i] = rng.standard_normal() * (looseness if anchored[p.k, p.factor].all() else 1.0) / moved
            if not isinstance(v.family.support(), Real):
                x = np.abs(x)
            values[v.label] = Named(x.reshape(plan.problem.shape(v)), v.dims)
    env = env.with_values(values)
    noise = size * np.sqrt(rng.uniform(*SHARES, size=plan.R))
    blocks = []
    for part in plan.gaussians:
        if _known_scale(plan, part):
            block = whitened_rows(plan, part, env, origin)[0]
        else:
            block = residual_rows(plan, part, env, origin) / noise[:, part.rows, None]
        blocks.append(block * part.on[:, None, None])
    return env, np.concatenate(blocks, axis=1)


def _known_scale(plan: Plan, part: GaussianPart) -> bool:
    return not names_in(part.scale) & {v.label for v in plan.parameters}


def _spreads(plan: Plan, about: Structure, env: Environment, S: Statistics, origin: np.ndarray) -> np.ndarray:
    """(K, R) standard deviation of what factors and noise have to explain of each column, of all configurations together where
    one has no rows, and the size of the column where it does not vary.
    """
    out = np.empty((plan.K, plan.R))
    for part in plan.gaussians:
        A = residual_rows(plan, part, env, origin)
        A[:, :, about.factors] = 0.0
        count = np.where(part.on, S.N, 0.0)[:, None]
        squares = np.einsum("kmd,kde,kme->km", A, S.M, A) * (count > 0)
        sums = np.einsum("kmd,kd->km", A, S.M[:, 0]) * (count > 0)
        total = max(float(count.sum()), 1e-300)
        pooled = _size(squares.sum(axis=0) / total, sums.sum(axis=0) / total, plan.scale[part.columns])
        some = np.maximum(count, 1e-300)
        own = _size(squares / some, sums / some, plan.scale[part.columns])
        out[:, part.rows] = np.where(count > 1, own, pooled)
    return out


def _size(square: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    variance = square - mean**2
    varies = variance > CONSTANT * np.maximum(square, scale**2)
    return np.sqrt(np.where(varies, variance, np.maximum(square, CONSTANT * scale**2)))


def _scales(plan: Plan, about: Structure, env: Environment, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, d) standard deviations of coordinates, and whether a fixed coefficient leads from a factor to something observed.

    A factor whose own scale is known has that, one that has a fixed coefficient the scale of what it moves by it, others one.
    """
    scale = np.ones((plan.K, plan.d))
    given, anchored = (np.zeros((plan.K, plan.d), dtype=bool) for _ in range(2))
    hidden = np.isin(np.arange(plan.d), about.factors)
    for part in plan.gaussians:
        factor = hidden[part.columns]
        scale[:, part.columns] = np.where(factor, 1.0, spread[:, part.rows])
        if factor.any() and _known_scale(plan, part):
            whole = np.linalg.inv(whitened_rows(plan, part, env, np.zeros((plan.K, plan.d)))[0][:, :, part.columns])
            scale[:, part.columns] = np.where(factor, np.sqrt(np.square(whole).sum(axis=2)), scale[:, part.columns])
            given[:, part.columns] = factor
    anchored[:, about.own] = ~hidden[about.own]
    size = np.abs(about.fixed)
    for _ in about.factors:  # from what is observed to its causes, to theirs
        usable = (size > 0) & anchored[:, about.own, None]
        with np.errstate(divide="ignore"):
            through = np.where(usable, scale[:, about.own, None] / size, np.inf).min(axis=1)
        new = np.isfinite(through) & ~anchored & hidden
        scale = np.where(new & ~given, through, scale)
        anchored |= new
    return scale, anchored


def _expected(plan: Plan, r: np.ndarray | None, B: np.ndarray, S: Statistics) -> Statistics:
    """The statistics with everything Gaussian that is hidden at its expectation under B, and the assignments as they are."""
    M = np.zeros_like(S.M)
    if r is None:
        rows = plan.layout.collapsed
        for q in np.flatnonzero(rows.weight > 0):
            k, o, l = int(rows.configuration[q]), np.flatnonzero(~rows.hidden[q]), np.flatnonzero(rows.hidden[q])
            e = eliminate(B[[k]], o, l)
            R = rows.R[q][:, o]
            Z = R - R[:, [0]] * S.rho[k, o]
            add_lifted(M[k], Z.T @ Z, float(rows.weight[q]), o, l, e.map[0], e.covariance[0])
    else:
        inside = plan.full
        for p in range(len(inside.start) - 1):
            at = slice(inside.start[p], inside.start[p + 1])
            ks, o, l = np.flatnonzero(inside.allowed[p]), np.flatnonzero(~inside.hidden[p]), np.flatnonzero(inside.hidden[p])
            e = eliminate(B[ks], o, l)
            for i, c in enumerate(ks):
                wr, Z = r[at, c] * inside.w[at], inside.V[at][:, o] - S.rho[c, o]
                add_lifted(M[c], (Z * wr[:, None]).T @ Z, float(wr.sum()), o, l, e.map[i], e.covariance[i])
    return replace(S, M=M, root=None)

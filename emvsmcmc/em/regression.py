"""The M-step of means: one weighted regression on blocks of M_k for all mean parameters that share a variable."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..errors import Degenerate
from ..expect.coefficients import inverse_scale, residual_rows, whiteners
from ..expect.layout import Statistics
from ..expect.objective import Objective
from ..expect.plan import GaussianPart, Plan, ResidualPart
from ..families import GaussianFamily
from ..families.kinds import MEAN
from ..numerics import scaled_inverse
from ..spec.arguments import argument_values
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import BATCH
from ..spec.variable import Variable
from .block_systems import Weighted, systems
from .look_ups import moments

SINGULAR = 1e-13  # reciprocal condition, after scaling the diagonal to one, below which a direction carries no information


class Regression:
    """All mean parameters of `parts`, solved jointly at the current precisions; Normal priors add theirs.

    With residual rows A(theta) = A - D step, the step solves (sum_k D'W'W M_k D) step = sum_k D'W'W M_k A (+ prior). Solving
    for the step and not for the value keeps digits when the mean is far from the origin. The M_k of a Student-t row are weighted
    by its expected scales. Parameters that meet in no residual row are systems of their own (see `systems`).
    """

    def __init__(self, plan: Plan, parts: Sequence[ResidualPart], parameters: Sequence[Variable]) -> None:
        self.plan, self.parts, self.parameters = plan, parts, parameters
        self.shapes = [plan.problem.shape(p) for p in parameters]
        self.sizes = [prod(s) for s in self.shapes]
        self.P = sum(self.sizes)
        self.designs = [self._design(part) for part in parts]
        self.systems = systems(plan, parts, self.designs, parameters, self.sizes)

    def _design(self, part: ResidualPart) -> np.ndarray:
        """D (K, m, d, P) about the origin zero: minus the derivative of the residual rows, one evaluation for all parameters."""
        plan = self.plan
        values = {v.label: Named(np.ones(plan.problem.shape(v)), v.dims) for v in plan.parameters} | plan.problem.fixed
        zero = np.zeros((plan.K, plan.d))
        values |= {p.label: Named(np.zeros(s), p.dims) for p, s in zip(self.parameters, self.shapes, strict=True)}
        base = residual_rows(plan, part, Environment(values), zero)
        at, unit = 0, np.eye(self.P)
        for p, s, n in zip(self.parameters, self.shapes, self.sizes, strict=True):
            values[p.label] = Named(unit[at : at + n].reshape((*s, self.P)), (*p.dims, BATCH))
            at += n
        return base[..., None] - residual_rows(plan, part, Environment(values, batch=self.P), zero)

    def solve(self, env: Environment, S: Statistics, objective: Objective) -> dict[str, np.ndarray]:
        """New values of the parameters. Raises Degenerate where a direction of theirs has no information."""
        parts = [_weighted(self.plan, part, env, S) for part in self.parts]
        precision = [_normal_prior(p, env) for p in self.parameters] if objective.prior else []
        pull = np.concatenate([x for _, x in precision]) if objective.prior else np.zeros(self.P)
        step = np.empty(self.P)
        for system in self.systems:
            H, g = system.equations(parts, S)
            g = g + pull[system.unknowns]
            if objective.prior:
                H = H + _among(precision, self.sizes, system.unknowns)
            inverse, condition = scaled_inverse(H)
            if condition.min() < SINGULAR:
                raise Degenerate(
                    ", ".join(p.label for p in self.parameters), "a component has no rows left, or its covariates are collinear"
                )
            x = (inverse @ g[..., None])[..., 0]
            # one refinement: the inverse alone loses digits with the condition number
            x += (inverse @ (g - (H @ x[..., None])[..., 0])[..., None])[..., 0]
            step[system.unknowns] = x
        out, at = {}, 0
        for p, s, n in zip(self.parameters, self.shapes, self.sizes, strict=True):
            out[p.label] = env.values[p.label].array + step[at : at + n].reshape(s)
            at += n
        return out


def _weighted(plan: Plan, part: ResidualPart, env: Environment, S: Statistics) -> Weighted:
    """What the equations take of a part at the current values."""
    origin = plan.centre + S.rho
    A = residual_rows(plan, part, env, origin)
    if part.scale_kind.matrix:
        return Weighted(A, origin, None, whiteners(plan, part, env), moments(part, S), isinstance(part, GaussianPart))
    inverse = np.broadcast_to(inverse_scale(plan, part, env), (plan.K, part.size))
    return Weighted(A, origin, inverse, None, moments(part, S), isinstance(part, GaussianPart))


def _among(precision: list[tuple[np.ndarray, np.ndarray]], sizes: Sequence[int], unknowns: np.ndarray) -> np.ndarray:
    """(systems, p, p) prior precision among the unknowns of each system."""
    ends = np.cumsum(sizes)
    owner = np.searchsorted(ends, unknowns, side="right")
    out = np.zeros((*unknowns.shape, unknowns.shape[1]))
    for b, (matrix, _) in enumerate(precision):
        at = np.where(owner == b, unknowns - (ends[b] - sizes[b]), 0)
        both = (owner == b)[:, :, None] & (owner == b)[:, None, :]
        if matrix.ndim == 1:
            same = np.eye(unknowns.shape[1], dtype=bool)
            out += np.where(both & same, matrix[at][:, :, None], 0.0)
        else:
            out += np.where(both, matrix[at[:, :, None], at[:, None, :]], 0.0)
    return out


def _normal_prior(parameter: Variable, env: Environment) -> tuple[np.ndarray, np.ndarray]:
    """(precision, precision x (prior mean - value)) of a Normal prior, (n,) and (n,), or of an MvNormal one, (n, n) and (n,)."""
    x, family = env.values[parameter.label].array, parameter.family
    assert isinstance(family, GaussianFamily)
    arguments = argument_values(parameter, env)
    (mean,) = parameter.keys_of(MEAN)
    away = np.broadcast_to(arguments[mean], x.shape) - x
    own = family.precision(x.shape, **arguments)
    if own.ndim == 1:
        return own, own * away.ravel()
    n, p = own.shape[:2]
    precision = np.zeros((n * p, n * p))
    for i, block in enumerate(own):
        precision[i * p : (i + 1) * p, i * p : (i + 1) * p] = block
    return precision, precision @ away.ravel()

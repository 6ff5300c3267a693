"""The M-step of means: one weighted regression on blocks of M_k for all mean parameters that share a variable."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..errors import Degenerate
from ..expect.coefficients import inverse_scale, residual_rows, whiteners
from ..expect.layout import Statistics
from ..expect.plan import GaussianPart, Plan, ResidualPart
from ..numerics import scaled_inverse
from ..spec.graph import Environment, argument_values
from ..spec.named import Named
from ..spec.variable import Variable
from .slots import moments

SINGULAR = 1e-13  # reciprocal condition, after scaling the diagonal to one, below which a direction carries no information


class Regression:
    """All mean parameters of `parts`, solved jointly at the current precisions; Normal priors add theirs.

    With residual rows A(theta) = A - D step, the step solves (sum_k D'W'W M_k D) step = sum_k D'W'W M_k A (+ prior). Solving
    for the step and not for the value keeps digits when the mean is far from the origin. The M_k of a Student-t row are weighted
    by its expected scales.
    """

    def __init__(self, plan: Plan, parts: Sequence[ResidualPart], parameters: Sequence[Variable]) -> None:
        self.plan, self.parts, self.parameters = plan, parts, parameters
        self.shapes = [plan.problem.shape(p) for p in parameters]
        self.sizes = [prod(s) for s in self.shapes]
        self.P = sum(self.sizes)
        self.designs = [self._design(part) for part in parts]

    def _design(self, part: ResidualPart) -> np.ndarray:
        """D (K, m, d, P) about the origin zero: minus the derivative of the residual rows, one evaluation for all parameters."""
        plan = self.plan
        values = {v.label: Named(np.ones(plan.problem.shape(v)), v.dims) for v in plan.parameters} | plan.problem.fixed
        zero = np.zeros((plan.K, plan.d))
        values |= {p.label: Named(np.zeros(s), p.dims) for p, s in zip(self.parameters, self.shapes, strict=True)}
        base = residual_rows(plan, part, Environment(values), zero)
        at, unit = 0, np.eye(self.P)
        for p, s, n in zip(self.parameters, self.shapes, self.sizes, strict=True):
            values[p.label] = Named(unit[at : at + n].reshape((*s, self.P)), (*p.dims, "#"))
            at += n
        return base[..., None] - residual_rows(plan, part, Environment(values, batch=self.P), zero)

    def solve(self, env: Environment, S: Statistics, prior: bool) -> dict[str, np.ndarray]:
        """New values of the parameters. Raises Degenerate where a direction of theirs has no information."""
        plan = self.plan
        H, g = np.zeros((self.P, self.P)), np.zeros(self.P)
        origin = plan.centre + S.rho
        for part, D in zip(self.parts, self.designs, strict=True):
            # about the reference points only the constant column changes
            D = D.copy()
            D[:, :, 0] += np.einsum("kmdp,kd->kmp", D[:, :, 1:], origin[:, 1:])
            A = residual_rows(plan, part, env, origin)
            D, A = D * part.on[:, None, None, None], A * part.on[:, None, None]
            if part.scale_slot == "cov":
                W = whiteners(plan, part, env)
                K, lead, p = W.shape[:3]
                D = (W @ D.reshape(K, lead, p, -1)).reshape(K, part.size, plan.d, self.P)
                A = (W @ A.reshape(K, lead, p, plan.d)).reshape(K, part.size, plan.d)
            else:
                inverse = inverse_scale(plan, part, env)
                D, A = D * inverse[:, :, None, None], A * inverse[:, :, None]
            if S.root is not None and isinstance(part, GaussianPart):
                RD = (S.root[:, None] @ D).reshape(-1, self.P)
                H += RD.T @ RD
                g += RD.T @ (A @ S.root.swapaxes(1, 2)).reshape(-1)
                continue
            MD = (moments(part, S) @ D).reshape(-1, self.P)
            H += D.reshape(-1, self.P).T @ MD
            g += MD.T @ A.reshape(-1)
        if prior:
            at = 0
            for p, n in zip(self.parameters, self.sizes, strict=True):
                precision, pull = _normal_prior(p, env)
                H[at : at + n, at : at + n] += precision
                g[at : at + n] += pull
                at += n
        inverse_H, condition = scaled_inverse(H)
        if condition < SINGULAR:
            raise Degenerate(
                ", ".join(p.label for p in self.parameters), "a component has no rows left, or its covariates are collinear"
            )
        step = inverse_H @ g
        step += inverse_H @ (g - H @ step)  # one refinement: the inverse alone loses digits with the condition number
        out, at = {}, 0
        for p, s, n in zip(self.parameters, self.shapes, self.sizes, strict=True):
            out[p.label] = env.values[p.label].array + step[at : at + n].reshape(s)
            at += n
        return out


def _normal_prior(parameter: Variable, env: Environment) -> tuple[np.ndarray, np.ndarray]:
    """(precision (n, n), precision (prior mean - value) (n,)) of a Normal or MvNormal prior."""
    x = env.values[parameter.label].array
    arguments = argument_values(parameter, env)
    away = np.broadcast_to(arguments["mu"], x.shape) - x
    if parameter.family.name == "Normal":
        variance = arguments["variance"] if "variance" in arguments else arguments["sigma"] ** 2
        tau = 1 / np.broadcast_to(variance, x.shape).ravel()
        return np.diag(tau), tau * away.ravel()
    p = x.shape[-1]
    blocks = np.linalg.inv(np.broadcast_to(arguments["cov"], (*x.shape, p)).reshape(-1, p, p))
    n = len(blocks)
    precision = np.zeros((n * p, n * p))
    for i, block in enumerate(blocks):
        precision[i * p : (i + 1) * p, i * p : (i + 1) * p] = block
    return precision, precision @ away.ravel()

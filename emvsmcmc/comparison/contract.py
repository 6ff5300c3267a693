"""The contract of a run: every way of computing the log-likelihood gives the same number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..density import log_likelihood as textbook
from ..expect.coefficients import coefficients
from ..expect.plan import Plan
from ..expect.rows import expect, expect_rows
from ..spec.evaluate import Environment

ORACLE_ROWS = 400  # distinct rows up to which the slow textbook density is summed as well
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Contract:
    """Log-likelihood at EM's estimate by each route, and the largest relative difference found, over the draws of the sampler
    too.
    """

    values: dict[str, float]
    difference: float
    draws_checked: int

    @property
    def holds(self) -> bool:
        return bool(self.difference < TOLERANCE)

    @property
    def sentence(self) -> str:
        routes = ", ".join(self.values)
        verb = "agree" if self.holds else "DISAGREE"
        checked = f"{routes}; {self.draws_checked} posterior draws"
        return f"The routes to the log-likelihood ({checked}) {verb} to {self.difference:.1e} relative."


def contract(plan: Plan, env: Environment, sampled: np.ndarray | None, ours: np.ndarray | None) -> Contract:
    """Compare the engine at `env` with the textbook density, and the sampler's own log-likelihood of each draw with ours.

    sampled, ours : (draws,) log-likelihoods from the model's own graph and compiled row pass, and from the numpy engine.
    """
    value, _ = expect(plan, coefficients(plan, env))
    values = {"EM": value}
    if len(plan.full.V) <= ORACLE_ROWS:
        oracle = textbook(plan.problem, {v.label: env.values[v.label] for v in plan.parameters})
        values["textbook density"] = float(plan.problem.weights @ oracle)
    _, _, rows = expect_rows(plan, coefficients(plan, env))
    values["row by row"] = float(plan.problem.weights @ rows.log_likelihood)
    scale = max(1.0, abs(value))
    difference = max(abs(v - value) / scale for v in values.values())
    checked = 0
    if sampled is not None and ours is not None and sampled.size:
        checked = int(sampled.size)
        difference = max(difference, float((np.abs(sampled - ours) / np.maximum(1.0, np.abs(ours))).max()))
    return Contract(values, difference, checked)

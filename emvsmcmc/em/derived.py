"""Named functions of parameters at EM's estimate, with standard errors by the delta method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..expect.derived import derived, jacobians, value, values
from ..expect.plan import Plan
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import REPLICATE
from ..spec.walk import names_in
from .uncertainty import Uncertainty


@dataclass(frozen=True)
class Functions:
    """By name, in declared dims: values, standard errors, fractions of missing information, and why an error is NaN."""

    estimate: dict[str, np.ndarray]
    standard_error: dict[str, np.ndarray]
    missing: dict[str, np.ndarray]
    reasons: dict[str, str]


def at_estimate(plan: Plan, env: Environment, uncertainty: Uncertainty) -> Functions:
    """sqrt(J C J') with J the exact derivative along the unconstrained coordinates and C their covariance; under the bootstrap,
    the standard deviation over its replicates.
    """
    problem = plan.problem
    out = Functions(values(problem, env), {}, {}, {})
    if not out.estimate:
        return out
    chart = uncertainty.coordinates
    slopes = jacobians(problem, chart, env) if chart.size else {k: np.zeros((*x.shape, 0)) for k, x in out.estimate.items()}
    for d in derived(problem):
        J = slopes[d.name]
        moving = np.abs(J).max(axis=-1, initial=0.0) > 0
        if uncertainty.replicates is not None:
            drawn = {v.label: Named(uncertainty.replicates[v.label], (REPLICATE, *v.dims)) for v in problem.parameters}
            count = len(next(iter(uncertainty.replicates.values())))
            each = value(problem, d, Environment({**problem.fixed, **drawn}), (REPLICATE,), (count,))
            error, missing = np.std(each, axis=0, ddof=1), np.full(J.shape[:-1], np.nan)
        else:
            error, missing = uncertainty.of(J)
        out.standard_error[d.name] = np.where(moving, error, np.nan)
        out.missing[d.name] = np.where(moving, missing, np.nan)
        if np.isnan(out.standard_error[d.name]).any():
            reasoned = [name for name in sorted(names_in(d.expression)) if uncertainty.reasons.get(name)]
            out.reasons[d.name] = (
                f"a function of {', '.join(reasoned)}: {uncertainty.reasons[reasoned[0]]}"
                if reasoned
                else "it does not change with the parameters"
            )
    return out

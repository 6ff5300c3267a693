"""What maximum likelihood needs of the data, looked at before the first start: rows for every class, covariates that differ, no
more parameters than the data have moments.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import Unidentified
from ...expect.objective import ML
from ...expect.plan import Plan
from ...invariance.axes import generators
from ..regression import SINGULAR, Regression
from . import collinear
from . import empty as informed


def identified(plan: Plan, regressions: Sequence[Regression]) -> None:
    """Refuse, by name, what no start could mend.

    regressions : those of the M-step. Raises EmptyClass, EmptyColumn, Collinear and Unidentified.
    """
    rows = informed.complete_data(plan)
    informed.every_element(plan, rows)
    collinear.means(plan, rows, regressions)
    collinear.links(plan, rows)
    degrees_of_freedom(plan, free_parameters(plan))


def free_parameters(plan: Plan) -> int:
    """Coordinates of all parameters, less the angles of rotations that change nothing observed."""
    chart = informed.anywhere(plan)
    return chart.size - generators(plan, chart, objective=ML).shape[1]


def moments(plan: Plan) -> int | None:
    """How many numbers say everything that rows can say about the parameters, where that is known.

    With one configuration and Normal or MvNormal children only, these are the coefficients of p columns on q independent
    covariates (the constant among them) and their covariance: p q + p (p + 1) / 2. None elsewhere: a mixture has more than two
    moments.
    """
    if plan.K != 1 or len(plan.gaussians) != len(plan.parts):
        return None
    hidden, rows = _all_rows(plan)
    columns = {c for part in plan.gaussians for c in range(part.columns.start, part.columns.stop)}
    p = sum(1 for c in columns if not hidden[c])
    known = [c for c in range(plan.d) if c not in columns]
    X = rows[:, known]
    size = np.sqrt((X**2).sum(axis=0))
    X = X[:, size > 0] / size[size > 0]
    values = np.linalg.eigvalsh(X.T @ X)
    return p * int((values > SINGULAR * values[-1]).sum()) + p * (p + 1) // 2


def _all_rows(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """(columns that are hidden in every row that counts, (m, d) rows with the moments of all, in original units)."""
    p = plan.store.moments_by_pattern
    R = p.R.reshape(-1, plan.d)
    return p.hidden[p.weight > 0].all(axis=0), R + R[:, :1] * plan.centre


def degrees_of_freedom(plan: Plan, free: int) -> int | None:
    """Moments of the data less free parameters; None where the data say more than their second moments.

    Raises Unidentified where it is negative: infinitely many parameter values then have the same likelihood.
    """
    known = moments(plan)
    if known is None or known >= free:
        return None if known is None else known - free
    chart = informed.anywhere(plan)
    terms = " + ".join(f"{b.where.stop - b.where.start} ({b.variable.label})" for b in chart.blocks)
    turned = f" - {chart.size - free} (rotations)" if chart.size > free else ""
    raise Unidentified(
        "parameters",
        f"at most {known} free parameters, as many as the data have means (or coefficients of covariates), variances and "
        "covariances",
        f"{free} parameters but {known} moments: {terms}{turned}",
        "Use fewer latents, fix some parameters in the data, or give objective='map' with proper priors.",
    )

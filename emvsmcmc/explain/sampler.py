"""What PyMC is given: free random variables, their unconstrained coordinates, the likelihood."""

from __future__ import annotations

from ..families.support import Covariance, Interval, Positive, Simplex
from ..spec.arguments import parameter_support
from .plan_view import View

TRANSFORMS = (
    (Simplex, "simplex transform"),
    (Positive, "log transform"),
    (Interval, "interval transform"),
    (Covariance, "W lower triangular with W'W the inverse, log diagonal"),
)


def free_variables(view: View) -> list[str]:
    """One line a parameter: PyMC's distribution, its transform, and the number of unconstrained coordinates."""
    rows, count = [], 0
    for v in view.plan.parameters:
        x = view.environment.values[v.label].array
        support = parameter_support(v, view.environment)
        size = len(support.to_real(x))
        count += size
        how = next((text for kind, text in TRANSFORMS if isinstance(support, kind)), "as it is")
        if isinstance(support, Simplex) and support.open is not None:
            how += " of what is not 0 by declaration"
        twin = f"pm.{v.family.twin.name}" if v.family.twin is not None else f"{v.family.name}, a density on the matrix itself"
        shape = " × ".join(str(n) for n in x.shape) or "a number"
        rows.append((v.label, shape, twin, f"{how}, {size} coordinate{'s' if size > 1 else ''}"))
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(3)]
    lines = ["  ".join([*(r[i].ljust(widths[i]) for i in range(3)), r[3]]) for r in rows]
    return [
        *lines,
        f"{count} unconstrained coordinates in all; the log-likelihood of all rows is one Potential, with Fisher's gradient",
    ]

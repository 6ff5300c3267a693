"""The posterior alone in a table: what `sample` prints."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from ..expect.inside import fixed_entries
from ..problem.conditioned import Conditioned
from .metrics import posterior_figures, scalar_names


def summary(problem: Conditioned, posterior: xr.Dataset) -> pd.DataFrame:
    """One row a scalar parameter: mean, sd, hdi_lower, hdi_upper (94%), ess_bulk, ess_tail, r_hat, mcse.

    posterior : draws over (chain, draw, *dims). Of symmetric matrices one triangle is listed.
    """
    rows = []
    fixed = fixed_entries(problem)
    matrices = {v.label for v in problem.parameters if v.family.matrix}
    for label, name, at in scalar_names(posterior.isel(chain=0, draw=0, drop=True), matrices, fixed):
        variable = posterior[name].transpose("chain", "draw", ...)
        rows.append({"parameter": label, **posterior_figures(variable[(..., *at)].values)})
    return pd.DataFrame(rows).set_index("parameter")

"""The posterior alone in a table: what `sample` prints."""

from __future__ import annotations

from collections.abc import Container

import pandas as pd
import xarray as xr

from .metrics import posterior_figures, scalar_names


def summary(posterior: xr.Dataset, matrices: Container[str] = ()) -> pd.DataFrame:
    """One row a scalar parameter: mean, sd, hdi_lower, hdi_upper (94%), ess_bulk, ess_tail, r_hat, mcse.

    posterior : draws over (chain, draw, *dims). matrices : names of symmetric matrices, of which one triangle is listed.
    """
    rows = []
    for label, name, at in scalar_names(posterior.isel(chain=0, draw=0, drop=True), matrices):
        variable = posterior[name].transpose("chain", "draw", ...)
        rows.append({"parameter": label, **posterior_figures(variable[(..., *at)].values)})
    return pd.DataFrame(rows).set_index("parameter")

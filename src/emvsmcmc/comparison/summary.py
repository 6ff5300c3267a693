"""The posterior alone in a table: what `sample` prints."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from .metrics import HDI_PROBABILITY, scalar_names


def summary(posterior: xr.Dataset) -> pd.DataFrame:
    """One row a scalar parameter: mean, sd, hdi_lower, hdi_upper (94%), ess_bulk, ess_tail, r_hat, mcse.

    posterior : draws over (chain, draw, *dims).
    """
    rows = []
    for label, name, at in scalar_names(posterior.isel(chain=0, draw=0, drop=True)):
        variable = posterior[name].transpose("chain", "draw", ...)
        draws = variable.values.reshape(*variable.shape[:2], -1)[:, :, np.ravel_multi_index(at, variable.shape[2:]) if at else 0]
        lower, upper = np.ravel(array_stats.hdi(draws.ravel(), HDI_PROBABILITY))
        rows.append(
            {
                "parameter": label,
                "mean": float(draws.mean()),
                "sd": float(draws.std(ddof=1)),
                "hdi_lower": float(lower),
                "hdi_upper": float(upper),
                "ess_bulk": float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")),
                "ess_tail": float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))),
                "r_hat": float(array_stats.rhat(draws, chain_axis=0, draw_axis=1)),
                "mcse": float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean")),
            }
        )
    return pd.DataFrame(rows).set_index("parameter")

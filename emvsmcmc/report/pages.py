"""Which page a result has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from ..errors import BadInput
from . import calibration, labels
from .comparison import page

OF_EXPERIMENT: dict[str, Callable[[xr.Dataset, Path], Path]] = {"labels": labels.write, "calibration": calibration.write}


def write(result: xr.DataTree | xr.Dataset, folder: Path) -> Path:
    """Write `folder`/index.html and return its path.

    result : the tree of a comparison, or the Dataset of an experiment, which says in its attribute "experiment" which one it is.
    Raises BadInput for a Dataset that is none.
    """
    if isinstance(result, xr.DataTree):
        return page.write(result, folder)
    kind = str(result.attrs.get("experiment", ""))
    if kind not in OF_EXPERIMENT:
        raise BadInput("dataset", f"the result of an experiment ({', '.join(OF_EXPERIMENT)})", kind or "another")
    return OF_EXPERIMENT[kind](result, folder)

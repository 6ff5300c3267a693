"""Pages of results. `report`, downstream, writes them and loads the drawing library: it is opened here and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr


def write_report(result: xr.DataTree | xr.Dataset, folder: str | os.PathLike[str]) -> Path:
    """Write the page of a comparison's tree or of an experiment's Dataset: `folder`/index.html, one self-contained file.

    Returns its path. Raises BadInput for a Dataset that is not the result of an experiment.
    """
    from ..report.pages import write

    return write(result, Path(folder))

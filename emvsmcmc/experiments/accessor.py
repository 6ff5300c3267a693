"""`dataset.ev`: what the Dataset of an experiment can do beside what every Dataset can."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from ..comparison.pages import write_report


@xr.register_dataset_accessor("ev")
class Experiment:
    """The result of `semisupervised` or `calibrate`; it says which one in its attribute "experiment", also after a file."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self.dataset = dataset

    @property
    def about(self) -> dict[str, Any]:
        """What the experiment was told: model, rows, options. Empty for a Dataset that is none."""
        return json.loads(self.dataset.attrs.get("about", "{}"))

    @property
    def table(self) -> pd.DataFrame:
        """Mean over the repeats, its standard error, and in how many repeats there is one; a row a score, by what the score
        varies over beside "repeat". Of a calibration, its `coverage`."""
        if self.dataset.attrs.get("experiment") == "calibration":
            from .calibration.judge import coverage

            return coverage(self.dataset)
        frames = {}
        for name, x in self.dataset.data_vars.items():
            if x.dtype.kind == "f" and {"repeat", "method"} <= {*x.dims}:
                count = x.count("repeat")
                numbers = {"mean": x.mean("repeat"), "se": x.std("repeat", ddof=1) / count**0.5, "repeats": count}
                frames[str(name)] = xr.Dataset(numbers).to_dataframe().reset_index()
        table = pd.concat(frames, names=["score"]).reset_index(level="score").fillna({"evaluation": ""})
        index = [c for c in table.columns if c not in ("mean", "se", "repeats")]
        return table[table["repeats"] > 0].set_index(index)

    def report(self, folder: str | os.PathLike[str]) -> Path:
        """Write the page: `folder`/index.html, one self-contained file. Returns its path. Raises BadInput for a Dataset that is
        not the result of an experiment."""
        return write_report(self.dataset, folder)

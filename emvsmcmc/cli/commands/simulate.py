"""`emvsmcmc simulate`: data drawn from a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import files
from ..model import chosen
from ..options import Data, Json, ModelName, Seed
from ..show import print_json, say, warn


def simulate(
    context: typer.Context,
    model: ModelName,
    size: Annotated[int, typer.Option("--size", min=1, help="Rows.")] = 100,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="CSV, Parquet or NetCDF; else printed.")] = None,
    seed: Seed = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Draw data from the model: at its known parameters where it has them, else at parameters drawn from the priors.

    Columns that begin with true_ hold what is hidden; a fit leaves them out. Covariates are taken from the model's data or
    --data, and then give the rows.
    """
    from ...problem.align import plate_dims
    from ...simulation import simulate as draw

    if out is not None:
        files.check_file(out, (*files.CSV, *files.PARQUET, *files.NETCDF), files.FORMATS)
    chosen_model, options = chosen(model, context.args)
    spec, truth = chosen_model.spec(**options), chosen_model.truth(**options)
    covariates = None
    if spec.data:
        covariates = files.read_data(data) if data is not None else chosen_model.data(**options)
    sizes = {} if spec.data else {d: size for d in plate_dims(spec) if d not in spec.coords}
    drawn = draw(spec, sizes, truth, seed, covariates)
    columns = files.simulated_columns(spec, drawn)
    parameters = {v.label: drawn[v.label].values for v in spec.variables.values() if not spec.plates_of(v)}
    if out is not None:
        files.write_data(out, spec, columns)
    if as_json:
        rows = {} if out is not None else {"data": files.as_frame(spec, columns).to_dict(orient="list")}
        print_json({"model": chosen_model.name, "parameters": parameters, "file": None if out is None else str(out), **rows})
        return
    at = "at the model's known parameters" if truth is not None else "at parameters drawn from the priors"
    if out is None:
        sys.stdout.write(files.as_frame(spec, columns).to_csv(index=False))
        warn(f"Simulated {at}.")
    else:
        say(f"Wrote {out}, simulated {at}.")

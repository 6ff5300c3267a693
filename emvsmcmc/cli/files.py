"""Files of the command line: data in, results out. Nothing half-written stays."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadFile
from ..files import write_whole
from ..words import labelled

if TYPE_CHECKING:
    import xarray as xr

    from ..spec.model import Spec

CSV, PARQUET, NETCDF = (".csv", ".txt"), (".parquet", ".pq"), (".nc", ".nc4", ".netcdf", ".h5")
FORMATS = "a .csv, .parquet or .nc file"
TRUE = "true_"  # begins the columns of a simulated file that hold what is hidden, which `condition` then leaves out


def read_data(path: Path) -> Any:
    """A CSV or Parquet file as a frame, a NetCDF file as a Dataset. Raises BadFile."""
    import pandas as pd
    import xarray as xr

    if not path.is_file():
        raise BadFile(str(path), FORMATS, "a folder" if path.is_dir() else "no such file", "Give the path of the data.")
    kind = path.suffix.lower()
    if kind not in (*CSV, *PARQUET, *NETCDF):
        raise BadFile(str(path), FORMATS, f"a file ending in {path.suffix!r}" if path.suffix else "a file without an ending")
    try:
        if kind in CSV:
            return _numbers_kept(pd.read_csv(path))
        if kind in PARQUET:
            return pd.read_parquet(path)
        return xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:  # pandas' parser errors and pyarrow's are ValueErrors too
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadFile(str(path), f"a readable {kind[1:]} file", reason.rstrip(".")) from error


def _numbers_kept(frame: Any) -> Any:
    """One word makes text of a whole column of a CSV file; where most cells are numbers they become numbers again, and what is
    complained of is the word."""
    import pandas as pd

    for name in frame.columns[[not pd.api.types.is_numeric_dtype(t) for t in frame.dtypes]]:
        values = pd.to_numeric(frame[name], errors="coerce")
        if values.notna().sum() > frame[name].notna().sum() / 2:
            frame[name] = values.astype(object).where(values.notna(), frame[name].astype(object))
    return frame


def write_file(path: Path, write: Callable[[Path], Any]) -> Path:
    """Let `write` fill a file under a temporary name, then give it its own. Raises BadFile where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(path, write)
    except OSError as error:
        raise BadFile(str(path), "a file that can be written", error.strerror or str(error)) from error


def write_folder(folder: Path, write: Callable[[Path], Any]) -> Path:
    """Let `write` fill a temporary folder, then move its files into `folder`, each in one step. Raises BadFile."""
    check_folder(folder)
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        write(temporary)
        for source in sorted(p for p in temporary.rglob("*") if p.is_file()):
            target = folder / source.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.chmod(0o644)
            source.replace(target)
    except OSError as error:
        raise BadFile(str(folder), "a folder that can be written", error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written before the long work and not after it."""
    if folder.exists() and not folder.is_dir():
        raise BadFile(str(folder), "a folder for the report", "a file", "Choose another with --out.")
    there = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    if not os.access(there, os.W_OK):
        raise BadFile(str(folder), "a folder that can be written", "no permission", "Choose another with --out.")


def check_file(path: Path, kinds: tuple[str, ...], expected: str) -> None:
    """Refuse an output file of unknown kind, or one in a folder that cannot be written, before the work."""
    if path.suffix.lower() not in kinds:
        raise BadFile(str(path), expected, f"a name ending in {path.suffix!r}" if path.suffix else "a name without an ending")
    if path.is_dir():
        raise BadFile(str(path), expected, "a folder")
    check_folder(path.parent)


def simulated_columns(spec: Spec, drawn: xr.Dataset) -> xr.Dataset:
    """What was drawn, with hidden variables and parameters renamed so that the file can be fitted as it is."""
    from ..spec.roles import usually_hidden

    hidden = usually_hidden(spec) | {v.label for v in spec.variables.values() if not spec.plates_of(v)}
    return drawn.rename({name: f"{TRUE}{name}" for name in drawn.data_vars if name in hidden})


def as_frame(spec: Spec, drawn: xr.Dataset) -> Any:
    """One row for each of the first plate; a further dim takes a column for each of its labels, as `condition` reads them."""
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    main = next(d for v in spec.variables.values() for d in spec.plates_of(v))
    for name, variable in drawn.data_vars.items():
        plates = [d for d in variable.dims if spec.is_plate(str(d))]
        if plates != [main]:
            continue
        others = [d for d in variable.dims if d not in plates]
        values = variable.transpose(*plates, *others).values.reshape(variable.sizes[plates[0]], -1)
        for j, at in enumerate(np.ndindex(*(variable.sizes[d] for d in others))):
            labels = [drawn[d].values[i] for d, i in zip(others, at, strict=True)]
            plain = len(labels) == 1 and isinstance(labels[0], str) and not str(name).startswith(TRUE)
            columns[labels[0] if plain else labelled(name, labels)] = values[:, j]
    return pd.DataFrame(columns)


def write_data(path: Path, spec: Spec, drawn: xr.Dataset) -> None:
    """Write simulated data in the format that the file's name says. Raises BadFile."""
    kind = path.suffix.lower()

    def write(draft: Path) -> None:
        if kind in NETCDF:
            drawn.to_netcdf(draft, engine="h5netcdf")
        elif kind in PARQUET:
            as_frame(spec, drawn).to_parquet(draft)
        else:
            as_frame(spec, drawn).to_csv(draft, index=False)

    write_file(path, write)

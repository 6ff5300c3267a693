"""Input forms: dicts, pandas, polars, xarray, masked arrays and lists, all read into one record of plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import BadInput, DuplicateName, NotFinite, NotNumeric

NUMERIC_KINDS = {"floating", "integer", "boolean", "mixed-integer-float", "decimal", "empty"}  # answers of pandas' infer_dtype


@dataclass(frozen=True)
class Raw:
    """Values as they came. `values` is numeric, boolean or object (None, NaN or NA a hole), never masked.

    `dims` are the names of the axes where the input has them (xarray), else None: axes then count by position. `labels` holds,
    for an axis by its position, the labels that the input carries.
    """

    values: np.ndarray
    dims: tuple[str, ...] | None = None
    labels: Mapping[int, np.ndarray] = field(default_factory=dict)


def read(data: Any) -> dict[str, Raw]:
    """{name: Raw} of a dict, a pandas or polars frame, or an xarray Dataset. Raises BadInput for anything else."""
    if isinstance(data, xr.Dataset):
        return {str(name): read_value(array) for name, array in data.data_vars.items()}
    if isinstance(data, pd.DataFrame):
        if data.columns.has_duplicates:
            twice = str(data.columns[data.columns.duplicated()][0])
            raise DuplicateName(f"column {twice!r}", "one column of each name", "a second one", "Rename or drop one of the two.")
        return {str(name): read_value(column) for name, column in data.items()}
    if _is_polars(data) and hasattr(data, "get_columns"):
        return {column.name: read_value(column) for column in data.get_columns()}
    if isinstance(data, Mapping):
        return {str(name): read_value(value) for name, value in data.items()}
    raise BadInput(
        "data", "a dict of arrays, a pandas or polars frame, or an xarray Dataset", type(data).__name__, 'Write {"name": values}.'
    )


def read_value(value: Any) -> Raw:
    """One value of a dict, one column of a frame, one variable of a Dataset."""
    if isinstance(value, xr.DataArray):
        labels = {i: _labels(value.indexes[d]) for i, d in enumerate(value.dims) if d in value.indexes}
        return Raw(_array(value.values), tuple(str(d) for d in value.dims), _drop_none(labels))
    if isinstance(value, pd.Series):
        return Raw(_series(value), None, _drop_none({0: _labels(value.index)}))
    if isinstance(value, pd.DataFrame):
        columns = [_series(value.iloc[:, i]) for i in range(value.shape[1])]
        return Raw(_stack(columns, len(value)), None, _drop_none({0: _labels(value.index), 1: _labels(value.columns)}))
    if _is_polars(value):
        if hasattr(value, "get_columns"):
            columns = [_array(column.to_numpy()) for column in value.get_columns()]
            return Raw(_stack(columns, len(value)), None, {1: np.asarray(value.columns, dtype=object)})
        return Raw(_array(value.to_numpy()))
    return Raw(_array(value))


def gathered(columns: list[Raw], feature: str, dims: tuple[str, ...]) -> Raw:
    """Columns of a frame side by side as one value with dims (plate, feature), or (feature, plate) where `dims` say so."""
    first = columns[0]
    stacked = _stack([c.values for c in columns], len(first.values))
    if first.dims is not None:
        return Raw(stacked, (*first.dims, feature), first.labels)
    if dims[0] == feature:
        return Raw(stacked.T, None, {axis + 1: labels for axis, labels in first.labels.items()})
    return Raw(stacked, None, first.labels)


def take(raw: Raw, axis: int, order: np.ndarray) -> Raw:
    """The same values with one axis in another order, without its labels."""
    return replace(raw, values=np.take(raw.values, order, axis), labels={a: x for a, x in raw.labels.items() if a != axis})


def _reads_as_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def numbers(name: str, values: np.ndarray) -> np.ndarray:
    """float64 with NaN for holes. Raises NotNumeric for text, dates and objects, NotFinite for infinities."""
    if values.dtype.kind in "biuf":
        out = values.astype(np.float64)
    else:
        flat = values.ravel()
        hole = np.asarray(pd.isna(flat), dtype=bool) if values.dtype == object else np.zeros(len(flat), dtype=bool)
        if values.dtype != object or pd.api.types.infer_dtype(flat, skipna=True) not in NUMERIC_KINDS:
            # numpy would turn the text "3.2" into a number without a word; of a column read as text the culprit is what is none
            wrong = [
                i
                for i in np.flatnonzero(~hole).tolist()
                if not isinstance(flat[i], (Real, Decimal, np.bool_)) or values.dtype.kind in "Mm"
            ]
            if wrong:
                i = next((j for j in wrong if not _reads_as_number(flat[j])), wrong[0])
                raise NotNumeric(
                    name,
                    "numbers",
                    f"{flat[i]!r} in {place(values.shape, i)}",
                    "Mend it, or leave the cell empty (None or NaN).",
                )
        out = np.full(len(flat), np.nan)
        out[~hole] = flat[~hole].astype(np.float64)
        out = out.reshape(values.shape)
    infinite = np.isinf(out)
    if infinite.any():
        i = int(np.flatnonzero(infinite)[0])
        raise NotFinite(
            name,
            "finite numbers",
            f"{out.ravel()[i]} in {place(out.shape, i)}",
            "Leave a missing cell empty (None or NaN) instead.",
        )
    return out


def place(shape: tuple[int, ...], flat: int) -> str:
    """Where a flat position is, in words: 'row 3', counting from 0, and the further positions."""
    if not shape:
        return "its only value"
    at = np.unravel_index(flat, shape)
    return f"row {int(at[0])}" + (f", position {tuple(int(i) for i in at[1:])}" if len(at) > 1 else "")


def is_hole(values: np.ndarray) -> np.ndarray:
    """Which entries are None, NaN, NA or NaT."""
    return np.asarray(pd.isna(values.ravel()), dtype=bool).reshape(values.shape)


def default_labels(labels: Any) -> bool:
    """True for 0, 1, 2, ...: labels that nobody chose."""
    array = np.asarray(labels)
    return array.dtype.kind in "iu" and np.array_equal(array, np.arange(len(array)))


def _array(value: Any) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        if value.dtype.kind in "biuf":
            return np.where(mask, np.nan, value.data.astype(np.float64)) if mask.any() else np.asarray(value.data)
        filled = value.data.astype(object)
        filled[mask] = None
        return filled
    if isinstance(value, (list, tuple)):
        # asarray([1.0, "a"]) would turn the number into text and blame it; an object array keeps each entry as it came
        try:
            array = np.array(value, dtype=object)
        except ValueError:  # ragged
            array = np.empty(len(value), dtype=object)
            array[:] = value
        return _tidy(array)
    if type(value).__name__ in ("NAType", "NaTType"):
        return np.array(np.nan)
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "US" else array


def _tidy(array: np.ndarray) -> np.ndarray:
    """An object array of plain numbers as a numeric one, so that whole numbers keep an integer dtype."""
    kind = pd.api.types.infer_dtype(array.ravel(), skipna=False)
    if kind in ("integer", "boolean", "floating", "mixed-integer-float"):
        try:
            return array.astype({"integer": np.int64, "boolean": bool}.get(kind, np.float64))
        except (OverflowError, TypeError, ValueError):
            return array
    return array


def _series(series: pd.Series) -> np.ndarray:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return _array(series.to_numpy())
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        if isinstance(dtype, pd.CategoricalDtype) or not series.isna().any():
            return _tidy(series.to_numpy(dtype=object))
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy(dtype=object)


def _stack(columns: list[np.ndarray], rows: int) -> np.ndarray:
    if not columns:
        return np.empty((rows, 0))
    if any(c.dtype.kind not in "biuf" for c in columns):
        columns = [c.astype(object) for c in columns]
    return np.stack(columns, axis=1)


def _labels(index: pd.Index) -> np.ndarray | None:
    """Labels of an axis; None for labels that repeat and so name nothing."""
    if index.has_duplicates:
        return None
    if isinstance(index, pd.MultiIndex):
        return np.asarray([", ".join(str(x) for x in key) for key in index], dtype=object)
    array = index.to_numpy()
    return array.astype(object) if array.dtype.kind not in "biufM" else array


def _drop_none(labels: dict[int, np.ndarray | None]) -> dict[int, np.ndarray]:
    return {axis: x for axis, x in labels.items() if x is not None}


def _is_polars(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "polars"

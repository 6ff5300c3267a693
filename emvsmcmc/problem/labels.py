"""Labels of discrete variables: coordinate values or codes, soft labels, and names of things with a hint at what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from ..errors import BadEvidence, NotFinite, UnknownLabel
from .read import default_labels, is_hole, numbers, place


def hint(name: str, known: Iterable[str]) -> str:
    """'Did you mean 'x'?' where something known is close, else the known names."""
    names = [str(k) for k in known]
    close = get_close_matches(name, names, n=1) or [k for k in names if k.lower() == name.lower()]
    return f"Did you mean {close[0]!r}?" if close else f"Known names: {', '.join(names) or 'none'}."


def codes(name: str, values: np.ndarray, labels: Sequence[Any], notes: list[str], holes: bool = True) -> np.ndarray:
    """float64 codes 0..K-1, NaN for holes, from coordinate values or codes.

    Values are coordinate values where all of them are, codes where all of them are that; -1 is a hole unless it is a coordinate.
    Raises UnknownLabel otherwise.
    """
    out = np.full(values.size, np.nan)
    known = np.flatnonzero(~is_hole(values).ravel())
    try:
        position, distinct = pd.factorize(values.ravel()[known])
    except TypeError:
        raise UnknownLabel(
            name, "one label for each row", "lists or other objects", "Pass a vector or an (n, K) array."
        ) from None
    marks = [plain(u) for u in distinct]
    table = {plain(label): i for i, label in enumerate(labels)}
    hole = [holes and u == -1 and not isinstance(u, str) and -1 not in table for u in marks]
    wanted = [u for u, h in zip(marks, hole, strict=True) if not h]
    if all(u in table for u in wanted):
        lookup = [np.nan if h else float(table[u]) for u, h in zip(marks, hole, strict=True)]
    elif all(_is_code(u, len(labels)) for u in wanted):
        lookup = [np.nan if h else float(u) for u, h in zip(marks, hole, strict=True)]
        first, last = plain(labels[0]), plain(labels[-1])
        notes.append(f"{name}: labels taken as codes, 0 for {first!r} to {len(labels) - 1} for {last!r}.")
    else:
        bad = next(u for u in wanted if u not in table and not (_is_code(u, len(labels)) and not any(w in table for w in wanted)))
        where = place(values.shape, int(known[np.flatnonzero(position == marks.index(bad))[0]]))
        raise UnknownLabel(name, _expected(labels), f"{bad!r} in {where}", _remedy(bad, labels))
    out[known] = np.asarray(lookup, dtype=float)[position] if len(marks) else np.nan
    return out.reshape(values.shape)


def _expected(labels: Sequence[Any]) -> str:
    by_code = f"a code from 0 to {len(labels) - 1}"
    if default_labels(labels):
        return by_code
    return f"one of the labels {[plain(x) for x in labels]} or {by_code}, one kind throughout"


def _remedy(bad: Any, labels: Sequence[Any]) -> str:
    if isinstance(bad, str):
        return hint(bad, [str(x) for x in labels])
    if isinstance(bad, float) and 0 < bad < 1:
        return f"Probabilities of labels go into an (n, {len(labels)}) array of soft labels."
    return "Codes count from 0; -1, None or NaN means not known."


def plain(value: Any) -> Any:
    """A label as Python would write it: 1, not numpy.int64(1)."""
    return value.item() if isinstance(value, np.generic) and not isinstance(value, (np.datetime64, np.timedelta64)) else value


def _is_code(value: Any, size: int) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < size and value == int(value)


def log_evidence(name: str, values: np.ndarray) -> np.ndarray:
    """(..., K) log of soft labels: 0 in rows of NaN, -inf for a label ruled out.

    Raises BadEvidence for negative, infinite or partly missing rows and for rows of zeros.
    """
    try:
        q = numbers(name, values)
    except NotFinite as infinite:
        raise BadEvidence(
            name, "finite non-negative soft labels", infinite.got, "Give 1 to a certain label and 0 to the others."
        ) from None
    hole = np.isnan(q)
    for bad, got, remedy in (
        (hole.any(-1) & ~hole.all(-1), "a row partly missing", "Leave the whole row empty (NaN) where nothing is known."),
        ((q < 0).any(-1), "a negative weight", "Soft labels are weights q that multiply p(row, label)."),
        ((q == 0).all(-1), "zero for every label", "Leave the row empty (NaN) where nothing is known."),
    ):
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise BadEvidence(name, "soft labels of at least 0, not all 0", f"{got} in {place(bad.shape, i)}", remedy)
    with np.errstate(divide="ignore"):
        return np.log(np.where(hole, 1.0, q))


def whole_codes(name: str, values: np.ndarray, size: int, dim: str) -> np.ndarray:
    """Codes of a covariate that looks something up: whole numbers from 0 to size - 1. Raises UnknownLabel."""
    x = numbers(name, values)
    bad = ~((x == np.floor(x)) & (x >= 0) & (x < size))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise UnknownLabel(
            name,
            f"whole numbers from 0 to {size - 1}, positions of {dim!r}",
            f"{x.ravel()[i]:g} in {place(x.shape, i)}",
            "Codes count from 0.",
        )
    return x

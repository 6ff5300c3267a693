"""Names of entries, written and read in one place: `name[label, label]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any


def labelled(name: Any, labels: Iterable[Any]) -> str:
    """`name[a, b]`; the name alone where there are no labels."""
    inside = tuple(map(str, labels))
    return f"{name}[{', '.join(inside)}]" if inside else str(name)


def name_of(label: Any) -> str:
    """The name of what `labelled` wrote. A name holds no bracket; a label may."""
    return str(label).partition("[")[0]


def labels_in(label: Any) -> str:
    """What stands between the brackets of what `labelled` wrote; nothing where it has none."""
    return str(label).partition("[")[2].removesuffix("]")


def entry(variable: Any, at: tuple[int, ...]) -> str:
    """The entry of an xarray DataArray at a position along its last dims, by their labels: of a posterior those behind chain and
    draw.
    """
    dims = variable.dims[variable.ndim - len(at) :]
    return labelled(variable.name, (variable[d].values[i] for d, i in zip(dims, at, strict=True)))


def entries(dataset: Any) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(label as ArviZ writes it, variable, position) of every scalar of an xarray Dataset: mean[0], cov[0, x, y]."""
    for name, variable in dataset.data_vars.items():
        for at in product(*map(range, variable.shape)):
            yield entry(variable, at), str(name), at

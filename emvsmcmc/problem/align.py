"""Lining data up with a spec: which value is which variable, which axis is which dim, how long the plates are, in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import DuplicateName, MissingData, UnknownName, WrongDims
from ..spec.expression import Constant, Data, Expression
from ..spec.model import Spec
from ..spec.private_dims import configuration_dim, is_configuration
from ..spec.roles import look_ups
from ..spec.variable import Variable
from ..spec.walk import walk
from .labels import hint
from .read import Raw, default_labels, gathered, is_hole, numbers, take


@dataclass(frozen=True)
class Plate:
    """A dim whose size comes from the data, and its labels."""

    size: int
    labels: np.ndarray


def declared(spec: Spec) -> dict[str, Variable | Data]:
    """Everything that data may give."""
    return {**spec.variables, **spec.data}


def plate_dims(spec: Spec) -> list[str]:
    """Every plate that occurs, in order of first use."""
    return list(dict.fromkeys(d for v in declared(spec).values() for d in spec.plates_of(v)))


def constant_size(expression: Expression, dim: str) -> int:
    """Length of a dim that only a constant inside the expression has."""
    return next(int(e.value.shape[e.dims.index(dim)]) for e in walk(expression) if isinstance(e, Constant) and dim in e.dims)


def named(spec: Spec, raws: dict[str, Raw], ignore_extra: bool, notes: list[str]) -> tuple[dict[str, Raw], dict[str, np.ndarray]]:
    """({name in the spec: value}, {plate: labels given under its name}).

    A variable with dims (plate, feature) that is not given itself is gathered from columns named as the feature's coords. Raises
    UnknownName for what is left over (a note with `ignore_extra`), MissingData where some of the feature's columns are not there.
    """
    known = declared(spec)
    out = {name: raw for name, raw in raws.items() if name in known}
    extra = {name: raw for name, raw in raws.items() if name not in known and name not in spec.deterministics}
    labels = {d: extra.pop(d).values for d in plate_dims(spec) if d in extra}
    for name, variable in known.items():
        features = [d for d in variable.dims if not spec.is_plate(d)]
        if name in out or len(variable.dims) != 2 or len(features) != 1:
            continue
        columns = spec.coords[features[0]]
        if not all(isinstance(c, str) for c in columns) or not set(columns) & set(raws):
            continue
        if missing := [c for c in columns if c not in raws]:
            wanted = f"columns {columns}, one for each {features[0]!r}"
            raise MissingData(name, wanted, f"no column {missing[0]!r}", hint(missing[0], extra))
        out[name] = gathered([raws[c] for c in columns], features[0], variable.dims)
        for c in columns:
            extra.pop(c, None)
    if extra and not ignore_extra:
        name = next(iter(extra))
        raise UnknownName(f"{name!r}", "names that the spec declares", "a name that it does not", hint(name, known))
    if extra:
        notes.append(f"Columns that the spec does not name were left out: {', '.join(extra)}.")
    return out, labels


def axes_of(spec: Spec, name: str, raw: Raw) -> tuple[str, ...]:
    """Dim of each axis of a value as it came; the axis of soft labels is '@name'. Raises WrongDims."""
    variable, shape = declared(spec)[name], raw.values.shape
    dims, soft = variable.dims, configuration_dim(name)
    discrete = isinstance(variable, Variable) and variable.discrete
    if raw.dims is not None:
        extra = [d for d in raw.dims if d not in dims]
        axes = tuple(soft if discrete and extra == [d] else d for d in raw.dims)
        if set(axes) - {soft} == set(dims):
            return axes
    elif len(shape) == len(dims):
        return dims
    elif discrete and len(shape) == len(dims) + 1:
        return (*dims, soft)
    elif not shape and isinstance(variable, Variable) and not spec.plates_of(variable) and not variable.family.event_dims:
        return ()  # a single number stands for every entry of a parameter
    raise WrongDims(
        name,
        f"dims {dims}" if dims else "a single number",
        f"dims {raw.dims}" if raw.dims is not None else f"shape {shape}",
        "Soft labels have one more axis, with one column for each label."
        if discrete
        else "Axes follow the dims of its declaration.",
    )


def plates(spec: Spec, raws: dict[str, Raw], axes: dict[str, tuple[str, ...]], own: dict[str, np.ndarray]) -> dict[str, Plate]:
    """Size and labels of every plate: the spec's, those given under the plate's name, else those of the first value that has any.

    Raises WrongDims where lengths disagree, MissingData where nothing has the plate, DuplicateName for labels that repeat.
    """
    out = {}
    for dim in plate_dims(spec):
        seen = [(name, raw, axes[name].index(dim)) for name, raw in raws.items() if dim in axes[name]]
        labels = np.asarray(spec.coords[dim]) if dim in spec.coords else own.get(dim)
        sizes = [(f"the coords of {dim!r}", len(labels))] if labels is not None else []
        sizes += [(repr(name), raw.values.shape[axis]) for name, raw, axis in seen]
        if not sizes:
            labels = _looked_up_labels(spec, dim, raws)
            sizes = [("an index", len(labels))]
        for name, size in sizes[1:]:
            if size != sizes[0][1]:
                wanted = f"length {sizes[0][1]} along {dim!r}, that of {sizes[0][0]}"
                raise WrongDims(name.strip("'"), wanted, str(size), "Give every variable of a plate the same rows.")
        if labels is None:
            chosen = (raw.labels[axis] for _, raw, axis in seen if axis in raw.labels and not default_labels(raw.labels[axis]))
            labels = next(chosen, np.arange(sizes[0][1]))
        elif labels.ndim != 1 or len(set(labels.tolist())) != len(labels):
            remedy = "Leave the labels out to count rows from 0."
            raise DuplicateName(f"labels of {dim!r}", "distinct labels, one for each row", "labels that repeat", remedy)
        out[dim] = Plate(int(sizes[0][1]), labels)
    return out


def _looked_up_labels(spec: Spec, dim: str, raws: dict[str, Raw]) -> np.ndarray:
    """Labels of a plate that no value has, from the covariate that looks it up."""
    for _, axis, name in look_ups(spec):
        if axis == dim and name in raws:
            values = raws[name].values
            if values.dtype == object:
                return np.asarray(sorted(set(values[~is_hole(values)].tolist())), dtype=object)
            return np.arange(int(np.nanmax(numbers(name, values))) + 1)
    remedy = "Pass a variable with this dim; if it is no row dim, give it coords in the Spec."
    raise MissingData(f"dim {dim!r}", "data that have this dim", "none", remedy)


def aligned(
    name: str, raw: Raw, axes: tuple[str, ...], dims: tuple[str, ...], wanted: Callable[[str], np.ndarray], plates: set[str]
) -> np.ndarray:
    """Values with axes in the order of `dims` and labelled axes in the order of the labels `wanted(dim)`.

    Raises WrongDims for another length or other labels. Labels 0, 1, 2, ... that the spec has from a size alone, or that stand
    beside other labels in the data, name nothing: those axes go by position.
    """
    if raw.values.ndim != len(axes):
        raise WrongDims(name, f"dims {axes}", f"shape {raw.values.shape}", "Pass one value for each row.")
    for axis, dim in enumerate(axes):
        labels = wanted(dim)
        if len(labels) != raw.values.shape[axis]:
            one_each = f"{len(labels)} columns of soft labels, one for each of {labels.tolist()}"
            wanted_shape = one_each if is_configuration(dim) else f"length {len(labels)} along {dim!r}"
            remedy = "Lengths follow the coords of the Spec and the rows of the data."
            raise WrongDims(name, wanted_shape, f"shape {raw.values.shape}", remedy)
        got = raw.labels.get(axis, labels)
        if np.array_equal(got, labels) or (dim not in plates and default_labels(labels)):
            continue
        position = {label: i for i, label in enumerate(got.tolist())}
        if position.keys() == set(labels.tolist()):
            raw = take(raw, axis, np.asarray([position[label] for label in labels.tolist()]))
        elif not default_labels(got):
            odd = next(label for label in position if label not in set(labels.tolist()))
            remedy = "Labels must agree; pass a plain array to go by position."
            raise WrongDims(name, f"labels {str(labels.tolist())[:60]} along {dim!r}", f"{odd!r}", remedy)
    return raw.values.transpose([axes.index(d) for d in dims if d in axes])

"""The rules a declaration must keep: one rule a function, one message a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import DuplicateName, InvalidSpec, WrongDims
from ..families import Family, Restricted
from ..families.support import Simplex
from .context import OpenSpec
from .evaluate import Environment, value_of
from .expression import Constant, Data, Expression
from .habits import SPEC
from .private_dims import is_unnamed, second_dim
from .walk import names_in


class Distributed(Protocol):
    """What the rules read of a variable (see `variable.Variable`, which asks them while it is being made)."""

    name: str | None
    label: str
    family: Family
    dims: tuple[str, ...]
    arguments: dict[str, Expression]
    counts: str | None


class Switching(Distributed, Protocol):
    """What the rules read of a Switch."""

    @property
    def index(self) -> Any: ...

    @property
    def branches(self) -> Sequence[Any]: ...


def name(spec: OpenSpec, declared: str) -> None:
    """A name is text, stands for one thing, and is not a dim."""
    if not isinstance(declared, str) or not declared or not declared.replace("_", "a").isalnum() or declared.startswith("_"):
        raise InvalidSpec(f"name {declared!r}", "letters, digits and underscores", repr(declared), "Rename the variable.")
    if declared in spec.variables or declared in spec.data or declared in spec.deterministics:
        raise DuplicateName(f"{declared!r}", "one declaration for each name", "a second one", "Rename one of the two.")
    if declared in spec.coords or declared in spec.plates:
        raise DuplicateName(
            f"{declared!r}", "a name that is not a dim", "the name of a dim", "xarray cannot hold both; rename one."
        )


def name_is_no_dim(spec: OpenSpec, declared: Distributed | Data) -> None:
    """Names and dims are two sets: a plate may not be called like a variable, before or after it."""
    known: list[Distributed | Data] = [*spec.variables.values(), *spec.data.values(), declared]
    both = {v.name for v in known} & {d for v in known for d in v.dims}
    if both:
        raise DuplicateName(
            f"{both.pop()!r}", "a name that is not a dim", "the name of a dim", "xarray cannot hold both; rename one."
        )


def ordering(spec: OpenSpec) -> None:
    """Components are named in the order of a parameter, or of a function of parameters, that has their dim."""
    for dim, name in spec.ordered.items():
        if dim not in spec.coords or spec.is_plate(dim):
            remedy = "Only a dim with coords has positions to name."
            raise InvalidSpec(f"Spec: ordered[{dim!r}]", f"coords for {dim!r}", "none", remedy)
        having = [v for v in (*spec.variables, *spec.deterministics) if _has(spec, v, dim)]
        if name not in having:
            wanted = f"a parameter with dim {dim!r}: {', '.join(having) or 'none has it'}"
            raise InvalidSpec(f"Spec: ordered[{dim!r}]", wanted, repr(name), "Name one of them.")


def _has(spec: OpenSpec, name: str, dim: str) -> bool:
    """Whether a parameter, or a function of parameters, has a dim."""
    dims = {**spec.variables, **spec.deterministics}[name].dims
    return dim in dims and not any(map(spec.is_plate, dims))


def spec_arguments(coords: Any, plates: Any, ordered: Any, unknown: Mapping[str, Any]) -> None:
    """A spec has coords and plates, and nothing that pm.Model has beside."""
    if unknown:
        name = next(iter(unknown))
        raise InvalidSpec(f"Spec: {name}", "coords and plates", f"{name}={unknown[name]!r}"[:60], SPEC.get(name, ""))
    if isinstance(coords, str):
        raise InvalidSpec("Spec: coords", "{dim: size or labels}", repr(coords), SPEC["name"])
    if coords is not None and not isinstance(coords, Mapping):
        raise InvalidSpec("Spec: coords", "{dim: size or labels}", repr(coords)[:60], 'Write coords={"component": 2}.')
    if ordered is not None and not isinstance(ordered, Mapping):
        raise InvalidSpec("Spec: ordered", "{dim: parameter}", repr(ordered)[:60], 'Write ordered={"component": "mean"}.')
    if isinstance(plates, str):
        raise InvalidSpec("Spec: plates", "a list of names of dims", repr(plates), f"Write plates=[{plates!r}].")


def coords(given: dict[str, object]) -> None:
    """Coordinates are a size of at least 1 or a list of distinct labels."""
    for dim, value in given.items():
        if isinstance(value, bool) or (isinstance(value, (int, np.integer)) and value < 1):
            raise InvalidSpec(f"coords[{dim!r}]", "a size of at least 1 or a list of labels", repr(value))
        if not isinstance(value, (int, np.integer)):
            labels = list(value)  # type: ignore[call-overload]
            if not labels or len(set(labels)) != len(labels):
                raise InvalidSpec(f"coords[{dim!r}]", "distinct labels, at least one", repr(labels)[:60])


def counts(variable: Distributed) -> None:
    """A Categorical counts the last dim of its p."""
    p = variable.arguments[str(variable.family.counted)]
    if not p.dims or p.dims[-1] in variable.dims:
        raise WrongDims(
            variable.label,
            "probabilities p whose last dim is the one counted",
            f"dims {p.dims}",
            "Give p a dim of its own, such as 'component'.",
        )
    if isinstance(p, Constant) and (np.any(p.value < 0) or not np.allclose(p.value.sum(-1), 1)):
        raise InvalidSpec(variable.label, "constant probabilities that sum to 1", str(p.value.tolist())[:60])


def argument_ranges(variable: Distributed) -> None:
    """Constants lie in the set of their argument: a standard deviation is positive, trials are whole numbers."""
    family = variable.family
    for key, given in variable.arguments.items():
        argument = family.arguments[key]
        if (
            not isinstance(given, Constant)
            or argument.distribution
            or (argument.decides and isinstance(family.support(), Simplex))
        ):
            continue
        x = given.value
        if argument.event_dims and (x.ndim < argument.event_dims or (argument.matrix and x.shape[-1] != x.shape[-2])):
            continue  # its dims say what is wrong
        if not argument.admits(x).all():
            got = str(x[~argument.admits(x)].tolist() if not argument.event_dims else x.tolist())[:60]
            raise InvalidSpec(f"{variable.label}.{key}", argument.description, got)
    if isinstance(family.support(), Simplex):
        _concentration(variable)
    if isinstance(family, Restricted):
        known = {key: x.value for key, x in variable.arguments.items() if isinstance(x, Constant)}
        if (complaint := family.complaint(**known)) is not None:
            key, expected, got = complaint
            raise InvalidSpec(f"{variable.label}.{key}", expected, got[:60])


def _concentration(variable: Distributed) -> None:
    """A constant concentration is finite and at least 0 (which says that the entry is 0), with something above 0 in every row."""
    for key in deciding(variable):
        given = variable.arguments[key]
        if names_in(given):
            continue
        value = value_of(given, Environment({}))
        x = value.array
        if not (np.isfinite(x) & (x >= 0)).all():
            got, wanted = f"{x[~(np.isfinite(x) & (x >= 0))][0]:g}", "finite values of at least 0 (0 says that the entry is 0)"
            raise InvalidSpec(
                f"{variable.label}.{key}", wanted, got, "Give 0 to what cannot happen, a positive value to the rest."
            )
        along = value.dims.index(variable.dims[-1]) if variable.dims and variable.dims[-1] in value.dims else None
        largest = x.max(axis=along) if along is not None else x if variable.dims else x.max(axis=-1) if x.ndim else x
        if not (largest > 0).all():
            row = np.argwhere(np.atleast_1d(largest) == 0)[0].tolist()
            raise InvalidSpec(
                f"{variable.label}.{key}",
                "a positive value in every row: probabilities that sum to 1 are not all 0",
                "only zeros" + (f" in row {row[0] if len(row) == 1 else tuple(row)}" if np.ndim(largest) else ""),
                "Give what can happen a positive value, or leave the row out.",
            )


def deciding(variable: Distributed) -> list[str]:
    """Arguments on whose values the set of a variable's values depends."""
    return [key for key in variable.arguments if variable.family.arguments[key].decides]


def argument_dims(variable: Distributed) -> None:
    """A dim that the variable does not have, and no latent indexes, would be an outer product: an error."""
    for key, value in variable.arguments.items():
        _dims(variable, variable, key, value)


def _dims(variable: Distributed, distribution: Distributed, key: str, value: Expression) -> None:
    """An argument broadcasts into the variable's dims, but for the dims of one value that are the argument's own."""
    if value.name is None and hasattr(value, "family"):
        return
    family = distribution.family
    argument = family.arguments[key]
    fewer = max(0, family.event_dims - argument.event_dims)
    dims = variable.dims[: len(variable.dims) - fewer]
    own = variable.counts if key == family.counted else None
    extra = [d for d in value.dims if d not in dims and d != own]
    if argument.matrix and not family.matrix:
        if len(extra) != 1 or not dims or dims[-1] not in value.dims:
            raise WrongDims(
                f"{variable.label}.{key}",
                f"a matrix over {dims[-1] if dims else 'the last dim'!r} and one more dim",
                f"dims {value.dims}",
                f'Declare it with dims=(..., "{dims[-1]}", "{second_dim(dims[-1])}").'
                if dims
                else "Give the variable a last dim.",
            )
        return
    if extra:
        named = [d for d in extra if not is_unnamed(d)]
        raise WrongDims(
            f"{variable.label}.{key}",
            f"dims among {dims}",
            f"{named or 'an array with more axes than the variable'}",
            "Index the dim by a discrete variable, or add it to the variable's dims.",
        )


def switch(variable: Switching) -> None:
    """A Switch needs a discrete variable and one unnamed distribution for each of its values."""
    if not getattr(variable.index, "discrete", False):
        raise InvalidSpec(f"{variable.label}: index", "a Bernoulli or Categorical", f"{variable.index!r}"[:60])
    if len(variable.branches) < 2 or any(getattr(b, "family", None) is None or b.name is not None for b in variable.branches):
        raise InvalidSpec(
            f"{variable.label}: branches",
            "at least two unnamed distributions",
            f"{list(variable.branches)}"[:80],
            "Write ev.Poisson.dist(rate).",
        )


def branch(variable: Switching, distribution: Distributed) -> None:
    """Branches broadcast into the dims of the Switch, and none counts a dim of its own."""
    if distribution.family.counted is not None and distribution.family.event_dims == 0:
        raise InvalidSpec(
            f"{variable.label}: branches",
            "distributions of numbers",
            f"a {distribution.family.name}, whose values are labels",
            "Declare the label as a variable of its own, with probabilities looked up by the index.",
        )
    for key, value in distribution.arguments.items():
        _dims(variable, distribution, key, value)


def matrix_dims(spec: OpenSpec, variable: Distributed) -> None:
    """A matrix takes two dims of equal size with different names; the second takes the first's coords."""
    if not variable.family.matrix:
        return
    if len(variable.dims) < 2:
        raise WrongDims(
            variable.label, f"two trailing dims, such as ('feature', {second_dim('feature')!r})", f"dims {variable.dims}"
        )
    first, second = variable.dims[-2:]
    if first == second:
        raise WrongDims(
            variable.label, "two dims with different names", f"{first!r} twice", f"Call the second {second_dim(first)}."
        )
    if spec.is_plate(first):
        raise WrongDims(variable.label, f"coords for {first!r} in the Spec", "none", "A matrix parameter needs a known size.")
    if second in spec.coords and len(spec.coords[second]) != len(spec.coords[first]):
        raise WrongDims(
            variable.label, f"{first!r} and {second!r} of equal size", f"{len(spec.coords[first])} and {len(spec.coords[second])}"
        )


def matrix_arguments(spec: OpenSpec, variable: Distributed) -> None:
    """A constant matrix in the prior of a matrix has the size of that matrix."""
    if not variable.family.matrix:
        return
    p = len(spec.coords[variable.dims[-2]])
    for key, x in variable.arguments.items():
        if variable.family.arguments[key].matrix and isinstance(x, Constant) and x.value.shape[-2:] != (p, p):
            raise InvalidSpec(f"{variable.label}.{key}", f"a positive definite {p} x {p} matrix", f"shape {x.value.shape}")


def dim_sizes(spec: OpenSpec, variable: Distributed) -> None:
    """Constant arrays have the length that the coords of their dims say."""
    for key, value in variable.arguments.items():
        if isinstance(value, Constant):
            for dim, size in zip(value.dims, value.value.shape, strict=True):
                if dim in spec.coords and len(spec.coords[dim]) != size:
                    raise WrongDims(f"{variable.label}.{key}", f"{len(spec.coords[dim])} values along {dim!r}", str(size))

"""Which variables of a spec look something up, and which of its row variables data usually leave out."""

from __future__ import annotations

from collections.abc import Iterator

from .expression import Expression, Index
from .model import Spec
from .variable import Switch
from .walk import value_names, walk


def look_ups(spec: Spec) -> Iterator[tuple[Expression, str, str]]:
    """(what is looked up, its dim that is counted, the variable or covariate that counts it) of every index in the spec."""
    for variable in spec.variables.values():
        for e in (e for child in variable.children for e in walk(child)):
            if isinstance(e, Index):
                yield from ((e.base, dim, str(i.name)) for dim, i in zip(e.base.dims, e.index, strict=False))


def indexing_names(spec: Spec) -> set[str]:
    """Names of the discrete variables and covariates that look something up, or switch."""
    return {name for _, _, name in look_ups(spec)} | {v.index.label for v in spec.variables.values() if isinstance(v, Switch)}


def usually_hidden(spec: Spec) -> set[str]:
    """Row variables that data usually leave out: those that choose or feed other row variables."""
    rows = [v for v in spec.variables.values() if spec.plates_of(v)]
    fed = set().union(*[value_names(a) for v in rows for b in v.branches for a in b.arguments.values()], set())
    chosen = indexing_names(spec)
    return {v.label for v in rows if v.label in (chosen if v.discrete else fed)}

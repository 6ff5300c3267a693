"""What values that were read say of a spec: lined up, checked one by one, and then together, as a Problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import BadInput, UnknownName, WrongDims
from ..spec.expression import Data
from ..spec.model import Spec
from ..spec.named import Named
from ..spec.private_dims import configuration_dim
from ..spec.roles import indexing_names, look_ups
from ..spec.walk import value_names
from . import check as datacheck
from . import covariates
from . import notes as datanotes
from .align import aligned, axes_of, constant_size, declared, plates
from .branches import consistent
from .labels import codes, hint, log_evidence, whole_codes
from .problem import Problem
from .read import Raw, default_labels, is_hole, numbers, read, read_value


def condition_raws(
    spec: Spec,
    raws: dict[str, Raw],
    weights: Any,
    notes: list[str],
    own_labels: dict[str, np.ndarray] | None = None,
    columns: Sequence[str] = (),
    checked: bool = True,
) -> Problem:
    """`condition` for values that were read and named.

    checked : whether rows are looked at together (enough of them, columns that vary), and noted.
    """
    datacheck.something_measured(spec, set(raws))
    known = known_values(spec, raws, own_labels or {}, notes, columns)
    datacheck.something_measured(spec, {*known.given, *known.evidence})
    main = next(d for name, v in spec.variables.items() if name in {*known.given, *known.evidence} for d in spec.plates_of(v))
    w = np.ones(known.plates[main].size)
    if weights is not None:
        raw = weights if isinstance(weights, Raw) else read_value(weights)
        w = datacheck.row_weights(raw, len(w), lambda: aligned("weights", raw, (main,), (main,), known.labels, {main}))
    problem = replace(known, weights=w)
    if not checked:
        return replace(problem, notes=tuple(notes))
    datacheck.enough_data(problem)
    consistent(problem)
    return replace(problem, notes=(*notes, *datanotes.notes(problem)))


def parameter_values(spec: Spec, values: Any) -> dict[str, Raw]:
    """Values of parameters, in any form of data; named functions of parameters follow from them and are left out.

    Raises UnknownName for anything else.
    """
    raws = {name: raw for name, raw in read(values if values is not None else {}).items() if name not in spec.deterministics}
    names = [v.label for v in spec.variables.values() if not spec.plates_of(v)]
    for name in raws:
        if name not in names:
            raise UnknownName(f"{name!r}", "parameters of the spec", "a name that is none", hint(name, names))
    return raws


def starting_values(problem: Problem, values: Any, notes: list[str]) -> dict[str, np.ndarray]:
    """Values of all parameters to be estimated, in declared dims and held to the rules for parameters that are fixed: names,
    dims, no hole, support, positive scales. Probabilities off by rounding are normalised, with a note. Raises a named BadInput.
    """
    raws = parameter_values(problem.spec, values)
    names = [v.label for v in problem.parameters]
    for name in names:
        if name not in raws:
            raise BadInput(name, "a starting value in `init`", "none", f"Give all of {names}.")
    for name in raws:
        if name not in names:
            raise BadInput(name, f"starting values of {names}", "one for a parameter that is fixed", "Leave it out of `init`.")
    arrays = {name: _aligned(problem, name, raw, axes_of(problem.spec, name, raw)) for name, raw in raws.items()}
    given, _ = _values(problem, arrays, notes)
    started = replace(problem, given=problem.given | given, roles=problem.roles | dict.fromkeys(names, "fixed"))
    datacheck.fixed_parameters(started)
    started = datacheck.normalised(started, notes)
    for name in names:
        datacheck.support(started, problem.spec.variables[name])
    datacheck.fixed_arguments(started)
    return {name: started.given[name].array.copy() for name in names}


def known_values(
    spec: Spec, raws: dict[str, Raw], labels: dict[str, np.ndarray], notes: list[str], columns: Sequence[str] = ()
) -> Problem:
    """What `raws` say, aligned and checked one by one, as a Problem without weights. `labels` are those of plates, if known."""
    axes = {name: axes_of(spec, name, raw) for name, raw in raws.items()}
    bare = Problem(spec, plates(spec, raws, axes, labels), {}, {}, np.ones(0), {})
    given, evidence = _values(bare, {name: _aligned(bare, name, raw, axes[name]) for name, raw in raws.items()}, notes)
    problem = replace(bare, given=given, evidence=evidence, roles=_roles(spec, given, evidence))
    datacheck.fixed_parameters(problem)
    problem = datacheck.normalised(problem, notes)
    problem = covariates.without_holes(problem, list(columns))
    for variable in spec.variables.values():
        datacheck.support(problem, variable)
    datacheck.fixed_arguments(problem)
    datacheck.known_factors(problem)
    datacheck.covariate_columns(problem)
    datacheck.known_arguments(problem)
    return problem


def _aligned(problem: Problem, name: str, raw: Raw, axes: tuple[str, ...]) -> np.ndarray:
    known = declared(problem.spec)
    soft = configuration_dim(name)
    dims = (*known[name].dims, soft)

    def wanted(dim: str) -> np.ndarray:
        return np.asarray(problem.level_labels(known[name])) if dim == soft else problem.labels(dim)

    return aligned(name, raw, axes, dims, wanted, set(problem.plates))


def _values(problem: Problem, arrays: dict[str, np.ndarray], notes: list[str]) -> tuple[dict[str, Named], dict[str, Named]]:
    """Numbers and codes, and log-evidence, in order of declaration."""
    given: dict[str, Named] = {}
    evidence: dict[str, Named] = {}
    indices = indexing_names(problem.spec)
    for name, variable in declared(problem.spec).items():
        if name not in arrays:
            continue
        values, dims = arrays[name], variable.dims
        if isinstance(variable, Data):
            given[name] = Named(_index(problem, variable, values, notes) if name in indices else numbers(name, values), dims)
        elif not variable.discrete:
            array, shape = numbers(name, values), problem.shape(variable)
            given[name] = Named(array if array.shape == shape else np.full(shape, array), dims)  # one number for every entry
        elif values.ndim > len(dims):
            log = log_evidence(name, values)
            if log.any():
                evidence[name] = Named(log, (*dims, configuration_dim(name)))
        else:
            code = codes(name, values, problem.level_labels(variable), notes)
            if name not in indices or not np.isnan(code).all():  # without a single label it is hidden like any other
                given[name] = Named(code, dims)
    return given, evidence


def _index(problem: Problem, data: Data, values: np.ndarray, notes: list[str]) -> np.ndarray:
    """Codes of a covariate that looks something up, from coordinate values or codes."""
    name, hole = str(data.name), is_hole(values)
    if hole.all():
        return np.full(values.shape, np.nan)
    if hole.any():  # `without_holes` says whether they may be
        values = np.where(hole, values[~hole][0], values)
    numeric = numeric_index(problem.spec, name)
    meanings: dict[str, np.ndarray] = {}
    for base, dim, index in look_ups(problem.spec):
        if index == name:
            labels = problem.labels(dim).tolist() if dim in problem.sizes else list(range(constant_size(base, dim)))
            if numeric or default_labels(labels):
                meanings[dim] = whole_codes(name, values, len(labels), dim)
            else:
                meanings[dim] = codes(name, values, labels, notes, holes=False)
    first, *others = meanings
    for dim in others:
        if not np.array_equal(meanings[dim], meanings[first]):
            wanted = f"labels that mean the same along {first!r} and {dim!r}"
            raise WrongDims(name, wanted, "different positions", "Pass codes that count from 0.")
    return np.where(hole, np.nan, meanings[first])


def numeric_index(spec: Spec, name: str) -> bool:
    """Whether a covariate that looks something up also enters a mean as a number: it must keep its numbers."""
    return any(name in value_names(c) for v in spec.variables.values() for c in v.children)


def _roles(spec: Spec, given: dict[str, Named], evidence: dict[str, Named]) -> dict[str, str]:
    indices = indexing_names(spec)
    roles = dict.fromkeys(spec.data, "covariate")
    for name, v in spec.variables.items():
        if not spec.plates_of(v):
            roles[name] = "fixed" if name in given else "parameter"
        elif not v.discrete:
            roles[name] = "observed" if name in given else "latent"
        elif name in evidence or name not in given:
            roles[name] = "assignment"
        else:
            # a hole in a measured category is a missing cell; a hole in the labels of an assignment leaves that assignment hidden
            roles[name] = "assignment" if name in indices and np.isnan(given[name].array).any() else "observed"
    return roles

"""What data must be like to be conditioned on: one rule a function, one message a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..errors import BadWeights, ConstantColumn, EmptyColumn, MissingData, NotFinite, OutOfSupport, TooFewRows, WrongDims
from ..families import CollapsingFamily, GaussianFamily, RadialFamily
from ..families.kinds import MEAN, ScaleKind
from ..families.support import Positive, Simplex
from ..spec.arguments import argument_dims
from ..spec.evaluate import Environment, NotAffineHere, value_of
from ..spec.expression import Expression, Operation
from ..spec.model import Spec
from ..spec.named import Named
from ..spec.notation import Notation
from ..spec.roles import indexing_names
from ..spec.variable import Variable
from ..spec.walk import covariate_expressions, index_names, looked_up, names_in, value_names
from ..words import labelled
from .problem import Problem
from .read import Raw, numbers, place

ROUNDING = 1e-12  # of a column's size: what varies by less has not three digits of its variation left in float64
ROUNDED = 1e-2 + 1e-9  # how far from 1 a sum of probabilities may be by rounding to two digits


def row_weights(raw: Raw, rows: int, align: Callable[[], np.ndarray], some: bool = True) -> np.ndarray:
    """Finite, at least 0, one a row; not all 0, where `some` are asked for."""
    if raw.values.shape != (rows,):
        raise WrongDims(
            "weights", f"{rows} weights, one for each row", f"shape {raw.values.shape}", "Weight 2 counts a row twice."
        )
    try:
        weights = numbers("weights", align())
    except NotFinite as infinite:
        raise BadWeights("weights", infinite.expected, infinite.got, "Give 0 to rows that are not to count.") from None
    bad = ~(weights >= 0)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise BadWeights(
            "weights", "weights of at least 0", f"{weights[i]:g} in row {i}", "Give 0 to rows that are not to count."
        )
    if some and not (weights > 0).any():
        raise BadWeights(
            "weights", "a positive weight in at least one row", "zero in every row", "Without weights every row counts once."
        )
    return weights


def something_measured(spec: Spec, known: set[str]) -> None:
    """At least one variable of the rows is given."""
    names = [v.label for v in spec.variables.values() if spec.plates_of(v)]
    if not known & set(names):
        raise MissingData(
            "data", f"values for at least one of {names}", "none of them", "Pass the measurements under these names."
        )


def fixed_parameters(problem: Problem) -> None:
    """A parameter is given wholly or not at all."""
    for name, value in problem.fixed.items():
        holes = int(np.isnan(value.array).sum())
        if holes:
            got = f"{holes} of {value.array.size} missing"
            raise MissingData(
                name, "every value of a parameter that is fixed", got, "Give it wholly, or leave it out to estimate it."
            )


def normalised(problem: Problem, notes: list[str]) -> Problem:
    """The problem with fixed probabilities divided by their sum where that is 1 up to rounding (1e-2), with a note.

    Anything further off is left as it is, for `support` to refuse.
    """
    given = dict(problem.given)
    for name, value in problem.fixed.items():
        variable = problem.spec.variables[name]
        if not isinstance(variable.family.support(), Simplex):
            continue
        total = value.array.sum(-1, keepdims=True)
        off = float(np.abs(total - 1).max())
        if variable.family.support().contains(value.array).all() or off > ROUNDED or (value.array < 0).any():
            continue
        given[name] = Named(value.array / total, value.dims)
        notes.append(f"{name}: probabilities summed to 1 only within {off:.1g}, and were divided by their sum.")
    return replace(problem, given=given)


def fixed_arguments(problem: Problem) -> None:
    """Arguments that are known by fixed parameters alone lie in their set: a fixed scale is positive."""
    for v, distribution, key, names in _arguments(problem, set(problem.fixed)):
        argument = distribution.family.arguments[key]
        # a matrix, or probabilities, that are fixed were held to their own support
        value = None if argument.event_dims else _value(problem, distribution, key, v.dims)
        if value is not None and not argument.admits(value).all():
            got = f"{value[~argument.admits(value)][0]:g}"
            raise OutOfSupport(
                " and ".join(sorted(names)),
                f"{argument.description}, the {key} of {v.label!r}",
                got,
                "Fix it at a value that it can have.",
            )


def known_factors(problem: Problem) -> None:
    """A known scale, or the known factor of a positive argument, is positive in every row."""
    env = Environment({**problem.covariates, **problem.fixed})
    for v in problem.row_variables:
        for distribution in v.branches:
            for key, expression in distribution.arguments.items():
                argument, factors = distribution.family.arguments[key], _factors(expression)
                scale = isinstance(argument.kind, ScaleKind)
                if not scale and (not isinstance(argument.support, Positive) or not _positive_besides(factors, env)):
                    continue
                for factor in factors:
                    names = value_names(factor)
                    if not names & set(problem.covariates) or not names <= set(env.values) or index_names(factor):
                        continue
                    values = value_of(factor, env).array
                    inside = values >= 0 if argument.boundary else values > 0
                    if not inside.all():
                        raise OutOfSupport(
                            " and ".join(sorted(names)),
                            f"{'values of at least 0' if argument.boundary else 'positive values'}, the {key} of {v.label!r}",
                            f"{values[~inside][0]:g}",
                            f"Leave those rows out, or give their true {'scale' if scale else 'value'}.",
                        )


def _positive_besides(factors: list[Expression], env: Environment) -> bool:
    """Whether all factors that are not known are positive by their priors, so that the known ones have the sign."""
    unknown = [looked_up(f) for f in factors if not value_names(f) <= set(env.values)]
    return all(isinstance(f, Variable) and isinstance(f.family.support(), Positive) for f in unknown)


def covariate_columns(problem: Problem) -> None:
    """What is worked out of covariates alone is a finite number in every row: log(x) needs positive x."""
    env = Environment({**problem.covariates})
    for v in problem.row_variables:
        for argument in (e for d in v.branches for e in d.arguments.values()):
            for column in covariate_expressions(argument):
                if column.name is not None:
                    continue
                with np.errstate(all="ignore"):
                    values = value_of(column, env).array
                if not np.isfinite(values).all():
                    i = int(np.flatnonzero(~np.isfinite(values))[0])
                    raise OutOfSupport(
                        Notation().expression(column, column.dims),
                        f"a finite number in every row, as {v.label!r} needs it",
                        f"{values.ravel()[i]:g} in {place(values.shape, i)}",
                        "Leave those rows out, or change the expression.",
                    )


def known_arguments(problem: Problem) -> None:
    """Arguments that the data give row by row lie in their set: trials are whole numbers, a known rate is positive."""
    known = {*problem.covariates, *problem.fixed}
    for v, distribution, key, names in _arguments(problem, known):
        argument = distribution.family.arguments[key]
        if not names & set(problem.covariates) or argument.event_dims:
            continue
        value = _value(problem, distribution, key, v.dims)
        if value is None or (inside := argument.admits(value)).all():
            continue
        at = int(np.flatnonzero(~inside)[0])
        where = f" in {place(value.shape, at)}" if value.shape and value.shape[0] > 1 else ""
        raise OutOfSupport(
            f"{v.label}.{key}",
            argument.description,
            f"{value.ravel()[at]:g}{where}",
            f"Mend {' and '.join(sorted(names & set(problem.covariates)))}, or leave those rows out.",
        )


def _arguments(problem: Problem, known: set[str]) -> Iterator[tuple[Variable, Variable, str, set[str]]]:
    """(variable, distribution, argument, names it reads) of every argument of row variables that reads `known` names only."""
    for v in problem.row_variables:
        for distribution in v.branches:
            for key, expression in distribution.arguments.items():
                if distribution.family.arguments[key].distribution:
                    continue
                names = value_names(expression)
                if names and names <= known:
                    yield v, distribution, key, names


def _value(problem: Problem, distribution: Variable, key: str, dims: tuple[str, ...]) -> np.ndarray | None:
    """An argument whose names are all known, over the variable's dims; None where it has no value for other reasons."""
    try:
        value = value_of(distribution.arguments[key], Environment({**problem.covariates, **problem.fixed}))
        return np.asarray(value.to(argument_dims(distribution, key, value, dims)))
    except (KeyError, NotAffineHere, ValueError):
        return None


def _factors(expression: Expression) -> list[Expression]:
    """What a product is made of."""
    if isinstance(expression, Operation) and expression.function in ("mul", "inv", "sqrt"):
        return [f for child in expression.children for f in _factors(child)]
    return [expression]


def support(problem: Problem, variable: Variable) -> None:
    """Given values lie in the support of their distribution; for a Switch, of at least one branch."""
    if variable.label not in problem.given or variable.discrete:
        return  # labels were checked against their dim
    value = problem.given[variable.label]
    inside, expected, remedy = np.zeros((), dtype=bool), [], ""
    for distribution in variable.branches:
        admitted, description = lives(problem, variable, distribution, value.array)
        inside = inside | admitted
        expected.append(f"{description} ({distribution.family.name})")
        remedy = remedy or distribution.family.support().remedy
    if inside.all():
        return
    bad = ~np.broadcast_to(inside, value.array.shape) if inside.ndim == value.array.ndim else ~inside
    i = int(np.flatnonzero(bad)[0])
    at = np.unravel_index(i, bad.shape)
    got = np.asarray(value.array[at])
    text = f"{got:g}" if got.ndim == 0 else str(got.tolist())[:60]
    if problem.spec.plates_of(variable):
        text += f" in {place(bad.shape, i)}"
    at_end = [b.family.name for b in variable.branches if b.family.open_support and b.family.support().contains(got).all()]
    if at_end:  # values at an end of the set are a lump of their own
        remedy = (
            f"The density of {at_end[0]} is 0 or infinite there: mend the value, or give it a branch of its own: "
            f"ev.Switch(name, which, [ev.Dirac.dist({text.split()[0]}), ev.{at_end[0]}.dist(...)], dims=...)."
        )
    raise OutOfSupport(variable.label, " or ".join(dict.fromkeys(expected)), text, remedy)


def lives(problem: Problem, variable: Variable, distribution: Variable, x: np.ndarray) -> tuple[np.ndarray, str]:
    """(where each value, or vector, has mass or density under a distribution, whose unknown arguments do not matter; True for
    holes; and what that is in words).
    """
    domain = distribution.family.support(**_deciding(problem, distribution, variable.dims))
    if distribution.family.open_support:
        return domain.contains(x) & domain.interior(x), domain.open_description
    return domain.contains(x), domain.description


def _deciding(problem: Problem, distribution: Variable, dims: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those arguments of a distribution that decide where it lives and are known; `p` of a category, whose length does."""
    keys = [k for k in distribution.arguments if distribution.family.arguments[k].decides or k == distribution.family.counted]
    values = {k: _value(problem, distribution, k, dims) for k in keys}
    return {k: x for k, x in values.items() if x is not None}


def enough_data(problem: Problem) -> None:
    """Rows for every component, a value in every column, variation where a scale is estimated.

    For estimation only: with every parameter fixed (prediction) a single row will do.
    """
    if not problem.n:
        raise TooFewRows("data", "at least one row", "none", "Pass rows; an empty frame says nothing.")
    if not problem.parameters:
        return
    counted, indices = problem.weights > 0, indexing_names(problem.spec)
    enough_rows(problem, int(counted.sum()))
    if len(problem.plates) != 1:
        return
    for variable in problem.row_variables:
        if problem.roles[variable.label] == "observed" and variable.label not in indices:
            columns = problem.columns(variable)
            check_columns(problem, variable, columns if counted.all() else columns[counted])


def check_columns(problem: Problem, variable: Variable, columns: np.ndarray) -> None:
    """A value in every column (rows, cells), and variation where a scale is estimated."""
    _no_empty_column(problem, variable, columns)
    _no_constant_column(problem, variable, columns)


def enough_rows(problem: Problem, counted: int) -> None:
    """As many rows with a weight as an assignment has values."""
    indices = indexing_names(problem.spec)
    for variable in problem.row_variables:
        if problem.roles[variable.label] == "assignment" and variable.label in indices:
            _enough_rows(problem, variable, counted)


def _enough_rows(problem: Problem, variable: Variable, rows: int) -> None:
    levels = problem.levels(variable)
    # rows of a frequency table stand for more than one observation, normalised weights for less than one
    if rows < levels and problem.weights.sum() < levels:
        raise TooFewRows(
            variable.label,
            f"at least {levels} rows, one for each value it may take",
            f"{rows}",
            "Use fewer components, or more data.",
        )


def column_name(problem: Problem, variable: Variable, column: int) -> str:
    """`x[feature=width]`: which column of (n, columns) values of a variable that is."""
    dims = [d for d in variable.dims if not problem.spec.is_plate(d)]
    at = np.unravel_index(column, [problem.sizes[d] for d in dims]) if dims else ()
    return labelled(variable.label, (f"{d}={problem.labels(d)[i]!s}" for d, i in zip(dims, at, strict=True)))


def _no_empty_column(problem: Problem, variable: Variable, columns: np.ndarray) -> None:
    empty = np.isnan(columns).all(0)
    if empty.any():
        raise EmptyColumn(
            column_name(problem, variable, int(np.flatnonzero(empty)[0])),
            "at least one value in a measured column",
            "holes only",
            "Leave it out of the data if it is hidden, or out of the spec.",
        )


def _no_constant_column(problem: Problem, variable: Variable, columns: np.ndarray) -> None:
    if len(columns) < 2:
        return
    low, high = np.fmin.reduce(columns, axis=0), np.fmax.reduce(columns, axis=0)  # skip NaN, faster than nanmin
    constant = high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high))
    if not constant.any():
        return
    estimated = {v.label for v in problem.parameters}
    hidden = {v.label for v in problem.row_variables if problem.roles[v.label] == "latent"}
    for distribution in variable.branches:
        if isinstance(distribution.family, GaussianFamily | RadialFamily):
            scale = distribution.argument_of(ScaleKind)
            if not names_in(scale) & estimated or not names_in(distribution.argument_of(MEAN)) & (estimated | hidden):
                continue  # a known scale, or a mean that cannot follow the data onto the constant
            dims, what = set(scale.dims), "its scale is"
            remedy = "Leave the column out, give it a known scale, or subtract its common part before it is rounded."
        elif isinstance(distribution.family, CollapsingFamily):
            arguments = distribution.arguments
            if not all(names_in(e) & estimated for e in arguments.values()):
                continue  # with one of them known the distribution cannot narrow to any value
            dims, what = set.intersection(*[set(e.dims) for e in arguments.values()]), f"{' and '.join(arguments)} are"
            remedy = f"Leave the column out, or give {' or '.join(arguments)} a known value."
        else:
            continue
        for column in np.flatnonzero(constant):
            if constant[_sharing(problem, variable, dims, int(column))].all():
                raise ConstantColumn(
                    column_name(problem, variable, int(column)),
                    f"values that vary, since {what} estimated",
                    f"{low[column]:g} in every row" + ("" if low[column] == high[column] else ", up to rounding"),
                    remedy,
                )


def _sharing(problem: Problem, variable: Variable, dims: set[str], column: int) -> np.ndarray:
    """Which columns share this one's scale, which has `dims`: without a dim it is the same along it, and one column that varies
    is enough.
    """
    rest = [d for d in variable.dims if not problem.spec.is_plate(d)]
    shape = [problem.sizes[d] for d in rest]
    own = [d for d in rest if d in dims]
    group = np.zeros(shape, dtype=int)
    for d in own:
        axis = rest.index(d)
        group = group * shape[axis] + np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return group.ravel() == group.ravel()[column]

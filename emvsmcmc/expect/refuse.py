"""Why a model is refused: one reason a function. Called by `plan` only."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..errors import BadInput, NotAffine, TooManyConfigurations, UnsupportedModel, WrongDims
from ..families import GaussianFamily
from ..families.kinds import MEAN, TAIL, ScaleKind
from ..families.support import Simplex
from ..problem.problem import Problem
from ..spec.arguments import parents
from ..spec.evaluate import Environment, NotAffineHere, evaluate, value_of
from ..spec.expression import Constant, Data, Expression
from ..spec.named import Named
from ..spec.roles import look_ups
from ..spec.variable import Switch, Variable
from ..spec.walk import degree, looked_up, value_names
from .plan import Part, ResidualPart
from .refuse_arguments import prior_inside, with_a_link

MAX_CONFIGURATIONS = 10_000


def no_problem(problem: Any) -> None:
    """A Spec says nothing about rows."""
    if not isinstance(problem, Problem):
        kind = type(problem).__name__
        raise BadInput("problem", "a Problem, a spec with its data", f"a {kind}", "Write ev.condition(spec, data).")


def one_plate(problem: Problem) -> str:
    """Rows are independent copies over one plate."""
    for base, dim, index in look_ups(problem.spec):
        if dim in problem.plates and len(problem.plates) > 1:
            raise UnsupportedModel(
                f"{base.name or base!r}",
                "one row dim, along which everything is independent",
                f"an effect of each {dim!r}, looked up by {index!r} (a random effect): {dim!r} is a second row dim",
                f"Effects of groups are not supported yet; give {dim!r} coords in the Spec to estimate one parameter each.",
            )
    if len(problem.plates) != 1:
        raise UnsupportedModel(
            "plates",
            "exactly one dim without coords, along which rows are independent",
            f"{sorted(problem.plates) or 'none'}",
            "Give coords in the Spec to every dim that is not the row dim (a misspelt dim counts as a plate).",
        )
    return problem.plate


def priors(problem: Problem) -> None:
    """Priors read constants and other parameters, and what may be zero by declaration is known before anything is estimated."""
    known = {v.label: Named(np.ones(problem.shape(v)), v.dims) for v in problem.parameters} | problem.fixed
    for v in problem.parameters:
        if read := sorted(parents(v) & set(problem.spec.data)):
            raise UnsupportedModel(
                v.label,
                "a prior whose arguments are constants or parameters",
                f"data {read}",
                "Write their values as constants.",
            )
        if not isinstance(v.family.support(), Simplex):
            continue
        for key in (k for k in v.arguments if v.family.arguments[k].decides):
            if value_names(v.arguments[key]) and not (value_of(v.arguments[key], Environment(known)).array > 0).all():
                raise UnsupportedModel(
                    f"{v.label}.{key}",
                    "zeros in a constant concentration only, where they say which entries are 0",
                    f"a zero in one that depends on {sorted(value_names(v.arguments[key]))}",
                    "Write the concentration as numbers, or give it positive values everywhere.",
                )


def assignment_dims(variable: Variable, plate: str) -> None:
    """A hidden discrete variable has one value a row."""
    if variable.dims != (plate,):
        raise UnsupportedModel(
            variable.label,
            f"dims ({plate!r},) for a discrete variable that is hidden or indexes something",
            f"{variable.dims}",
            "Declare one discrete variable for each position, or give its values in full.",
        )


def index_dims(data: Data, plate: str) -> None:
    """A covariate that indexes has the plate and no other dim. Raises UnsupportedModel."""
    if data.dims != (plate,):
        raise UnsupportedModel(
            f"{data.name}",
            f"dims ({plate!r},) for a covariate that indexes",
            f"{data.dims}",
            "Declare one index for each position.",
        )


def index_length(variable: Variable, index: Expression, counts: int, size: int, dim: str) -> int:
    """A latent counts exactly the axis it indexes; an integer covariate at most."""
    if isinstance(index, Data):
        if counts > size:
            raise WrongDims(
                f"{index.name}",
                f"whole numbers from 0 to {size - 1}, positions of {dim!r}",
                str(counts - 1),
                f"Used by {variable.label!r}.",
            )
        return size
    if counts != size:
        raise WrongDims(
            f"{variable.label}",
            f"an axis of length {counts} for index {index.name!r}",
            f"{dim!r} of length {size}",
            "Index the dim that it counts.",
        )
    return counts


def too_many(axes: dict[str, int]) -> None:
    """The joint configurations of all hidden discrete variables can be enumerated. axes : {latent: number of values}. Raises
    TooManyConfigurations.
    """
    total = float(np.prod([float(n) for n in axes.values()]))
    if total > MAX_CONFIGURATIONS:
        raise TooManyConfigurations(
            "discrete latents",
            f"at most {MAX_CONFIGURATIONS:,} joint configurations",
            f"{total:,.0f} = {' x '.join(f'{n} ({a})' for a, n in axes.items())}",
            "Use fewer components, or give some of these variables in the data.",
        )


def known_scale(axes: dict[str, int], axis: str, scale: str, rows: int) -> None:
    """A row's known scale takes a configuration for each distinct value."""
    total = prod(axes.values())
    if total > MAX_CONFIGURATIONS:
        others = total // axes[axis]
        raise TooManyConfigurations(
            scale,
            f"at most {MAX_CONFIGURATIONS // others:,} distinct values of the known scale, each with its own configurations",
            f"{axes[axis]:,} in {rows:,} rows",
            "Round the scale to fewer digits (three are more than it is known to), or bin it.",
        )


def branch_count(variable: Switch, values: int) -> None:
    """A Switch has one branch for each of the `values` of its index. Raises UnsupportedModel."""
    if len(variable.branches) != values:
        raise UnsupportedModel(
            variable.label, f"{values} branches, one for each value of {variable.index.label!r}", str(len(variable.branches))
        )


def hidden(variable: Variable) -> None:
    """Hidden continuous variables must be Gaussian, hidden counts cannot be enumerated."""
    raise UnsupportedModel(
        variable.label,
        "values in the data: a hidden variable must be Normal, MvNormal, Categorical or Bernoulli",
        f"a hidden {variable.family.name}",
        "Give it in the data, or leave it out of the spec.",
    )


def tabled(variable: Variable, distribution: Variable, problem: Problem) -> None:
    """Numbers of trials are known, the probabilities of a given category do not change from row to row, and what Newton's steps
    look for lies where the density is.
    """
    estimated = {v.label for v in problem.parameters}
    family = distribution.family
    rowwise = {v.label for v in problem.row_variables}
    for key, expression in distribution.arguments.items():
        names = value_names(expression)
        if not family.arguments[key].fixed:
            prior_inside(variable, key, expression, family.arguments[key])
            with_a_link(variable, key, expression, family.arguments[key])
        if names & rowwise:
            forbidden, wanted = names & rowwise, "parameters, covariates and constants, looked up or not"
            remedy = "Only the mean of a Normal may read variables of the rows: give it with ev.Data, or index by a label."
        elif family.arguments[key].fixed and names & estimated:
            forbidden, wanted, remedy = names & estimated, "constants, covariates or fixed values", "Give it in the data."
        elif key == family.counted and names & set(problem.covariates):
            forbidden, wanted = names & set(problem.covariates), "probabilities that do not depend on covariates"
            remedy = "Index a table of probabilities by a discrete variable instead."
        else:
            continue
        raise UnsupportedModel(f"{variable.label}.{key}", wanted, f"a dependence on {sorted(forbidden)}", remedy)


def not_a_child(variable: Variable, distribution: Variable) -> None:
    """Refuses a distribution that rows cannot have. Raises UnsupportedModel."""
    raise UnsupportedModel(
        variable.label,
        "a distribution for row variables",
        f"{distribution.family.name}, which serves as a prior",
        "Give it another distribution." if isinstance(variable, Switch) else "Declare it without the row dim.",
    )


def probabilities(variable: Variable, problem: Problem, coordinates: dict[Any, Any]) -> None:
    """Assignment probabilities may be looked up, not regressed on row quantities."""
    for key, expression in variable.arguments.items():
        prior_inside(variable, key, expression, variable.family.arguments[key])
    read = set().union(*[value_names(e) for e in variable.arguments.values()])
    row_data = sorted(str(n) for n in read if n in coordinates or n in problem.covariates)
    if row_data:
        raise UnsupportedModel(
            variable.label,
            "probabilities that do not depend on row quantities",
            f"a dependence on {row_data}",
            "Index a table of probabilities instead.",
        )


def residual(problem: Problem, variable: Variable, distribution: Variable, coordinates: dict[Any, Any]) -> None:
    """The mean is affine in row quantities; the scale and the degrees of freedom depend on none of them."""
    known = {
        v.label: Named(np.ones(problem.shape(v)), v.dims)
        for v in problem.spec.variables.values()
        if not problem.spec.plates_of(v)
    }
    try:
        evaluate(distribution.argument_of(MEAN), Environment(known), coordinates)
    except NotAffineHere as reason:
        raise NotAffine(
            f"{variable.label}: mean",
            "an affine function of covariates and Gaussian variables",
            str(reason),
            "Work out products of covariates beforehand and pass them with ev.Data; a product of latents has no closed form.",
        ) from None
    except KeyError as missing:
        raise UnsupportedModel(
            f"{variable.label}: mean",
            "covariates, Gaussian variables and parameters",
            str(missing).strip("'\""),
            "Index by a discrete variable instead.",
        ) from None
    for key, expression in distribution.arguments.items():
        kind = distribution.family.arguments[key].kind
        if kind is MEAN:
            continue
        rowwise = {v.label for v in problem.row_variables}
        if not isinstance(kind, ScaleKind) or kind.matrix:  # a known scale of each row has a place of its own, see `distinct`
            rowwise |= set(problem.covariates)
        rows = sorted(value_names(expression) & rowwise)
        if rows:
            tail = kind is TAIL
            raise UnsupportedModel(
                f"{variable.label}: {key}",
                f"{'degrees of freedom that are' if tail else 'a scale that is'} the same in all rows of a configuration",
                f"a dependence on {rows}",
                f"Index {'them' if tail else 'the scale'} by a discrete variable{'' if tail else ', or give row weights'}.",
            )
        if isinstance(kind, ScaleKind) and kind.matrix:
            _look_up_only(variable, key, expression)
        prior_inside(variable, key, expression, distribution.family.arguments[key])


def _look_up_only(variable: Variable, key: str, cov: Expression) -> None:
    if not isinstance(looked_up(cov), (Variable, Constant)):
        raise UnsupportedModel(
            f"{variable.label}: {key}",
            "a covariance parameter or constant, indexed or not",
            "an expression",
            "Declare it as a parameter with its own prior.",
        )


def joint_affinity(problem: Problem, parts: Sequence[ResidualPart]) -> None:
    """A mean is no product of parameters: `a[z] * b` looks affine wherever one of them is zero, and its factors have no sizes of
    their own. A function of parameters, exp(a) * x, is maximised numerically.
    """
    names = {v.label for v in problem.parameters}
    for part in parts:
        mean = part.mean
        if 1 < degree(mean, names) < np.inf:
            involved = sorted(value_names(mean) & names)
            raise NotAffine(
                f"{part.variable.label}: mean",
                f"a mean that is jointly affine in {involved}",
                "a product of parameters",
                "Declare the product as one parameter, or fix one factor by giving it in the data.",
            )


def switch_holes(problem: Problem, gaussians: Sequence[Part]) -> None:
    """A hole in a Switch can be filled only where every branch is Gaussian, or none is."""
    for part in gaussians:
        if isinstance(part.variable, Switch) and not all(isinstance(b.family, GaussianFamily) for b in part.variable.branches):
            given = problem.given.get(part.variable.label)
            if given is None or np.isnan(given.array).any():
                raise UnsupportedModel(
                    part.variable.label,
                    "no holes in a Switch between Gaussian and other branches",
                    "a hole",
                    "Leave those rows out, or fill them.",
                )


def radial_holes(problem: Problem, gaussians: Sequence[ResidualPart], radials: Sequence[ResidualPart]) -> None:
    """A missing value of a radial family drops out only where nothing depends on it, and its density has a closed form only where
    all that its mean reads is given: the integral of a Normal times a t density has none. A vector is missing as a whole or not
    at all.
    """
    if not radials:
        return
    holes = {p.variable.label: p for p in (*gaussians, *radials) if _has_holes(problem, p.variable)}
    student = {p.variable.label: p.family.name for p in radials}
    for part in radials:
        _whole_vectors(problem, part)
    for part in (*gaussians, *radials):
        for name in sorted(value_names(part.mean) & set(holes)):
            if name in student:
                raise UnsupportedModel(
                    f"{name}",
                    f"no holes in a {student[name]} variable that the mean of {part.variable.label!r} depends on",
                    f"{int(np.isnan(problem.given[name].array).sum())} missing cells, whose integral has no closed form",
                    "Leave those rows out, fill them, or declare the variable Normal.",
                )
            if part.variable.label in student:
                hidden = name not in problem.given
                raise UnsupportedModel(
                    f"{part.variable.label}: mean",
                    f"a {part.family.name} mean that depends on given values only",
                    f"a dependence on {name!r}, {'a hidden Gaussian variable' if hidden else 'which has missing cells'}: "
                    "the integral of a Normal times a t density has no closed form",
                    f"Declare {part.variable.label!r} Normal, or give {name!r} in the data"
                    f"{'' if hidden else ' (leave the rows with holes out, or fill them)'}.",
                )


def _whole_vectors(problem: Problem, part: ResidualPart) -> None:
    """No vector of a radial part is partly missing."""
    event = part.family.event_dims
    if not event:
        return
    dims = (problem.plate, *[d for d, _ in part.elements])
    hole = np.isnan(problem.given[part.variable.label].to(dims))
    axes = tuple(range(hole.ndim - event, hole.ndim))
    partly = hole.any(axis=axes) & ~hole.all(axis=axes)
    if partly.any():
        row = np.argwhere(partly)[0][0]
        label = problem.labels(problem.plate)[row]
        raise UnsupportedModel(
            part.variable.label,
            f"{part.family.name} vectors that are there or missing as a whole",
            f"{int(partly.sum())} with some of their cells missing, the first in row {label}",
            "Leave those rows out, fill the cells, or declare the variable MvNormal, which integrates them out.",
        )


def _has_holes(problem: Problem, variable: Variable) -> bool:
    given = problem.given.get(variable.label)
    return given is None or bool(np.isnan(given.array).any())

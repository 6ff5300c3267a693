"""What the arguments of a variable say: whom it depends on, their values as bare arrays, and the support that they leave it."""

from __future__ import annotations

from typing import Any

from ..families.support import Support
from .evaluate import Environment, value_of
from .expression import Expression
from .named import Named
from .private_dims import BATCH, is_configuration
from .variable import Variable
from .walk import names_in


def parents(variable: Variable) -> set[str]:
    """Names of the variables and covariates that a variable's distribution depends on."""
    return set().union(*[names_in(c) for c in variable.children], *[_dist_names(a) for a in variable.arguments.values()], set())


def _dist_names(argument: Expression) -> set[str]:
    return parents(argument) if isinstance(argument, Variable) and argument.name is None else set()


def argument_values(variable: Variable, env: Environment, dims: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Every argument as a bare array that broadcasts against `dims` (the variable's own); an unnamed prior as (family,
    arguments).
    """
    dims = variable.dims if dims is None else dims
    out: dict[str, Any] = {}
    for key, expression in variable.arguments.items():
        if isinstance(expression, Variable) and expression.name is None:
            out[key] = (expression.family, argument_values(expression, env, dims[:-1]))
            continue
        value = value_of(expression, env)
        out[key] = value.to(argument_dims(variable, key, value, dims))
    return out


def parameter_support(variable: Variable, env: Environment) -> Support:
    """The support of a parameter at the values of those of its own arguments that decide about it (a Uniform's bounds, the zeros
    of a Dirichlet's concentration); its kind alone where `env` does not know them.
    """
    arguments = {}
    for key in variable.arguments:
        if not variable.family.arguments[key].decides:
            continue
        try:
            value = value_of(variable.arguments[key], env)
        except KeyError:
            return variable.family.support()
        arguments[key] = value.to(argument_dims(variable, key, value, variable.dims))
    return variable.family.support(**arguments)


def argument_dims(variable: Variable, key: str, value: Named, dims: tuple[str, ...]) -> tuple[str, ...]:
    """Dims in which an argument's bare array is wanted: the variable's, less or plus the event dims the family adds.

    Axes of labels that have no value yet come first where an argument has event dims, which stay last.
    """
    fewer = max(0, variable.family.event_dims - variable.family.arguments[key].event_dims)
    lead = dims[: len(dims) - fewer]
    extra = tuple(d for d in value.dims if d not in lead and d != BATCH)
    batch = (BATCH,) if BATCH in value.dims and BATCH not in lead else ()
    axes = [d for d in extra if is_configuration(d)] if variable.family.event_dims and not fewer else []
    return (*axes, *lead, *[d for d in extra if d not in axes], *batch)

"""Walking expressions: what they are made of, whose values they read, and of which degree they are in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .expression import Constant, Data, Dot, Expression, Index, Operation

Key = Any  # name of a variable or covariate, an expression of covariates, or None for the part without row coordinates


def walk(expression: Expression) -> Iterator[Expression]:
    """The nodes of an expression. It stops at named variables: their own arguments belong to their own expression."""
    yield expression
    if expression.name is None:
        for child in expression.children:
            yield from walk(child)


def names_in(expression: Expression) -> set[str]:
    """Names of the variables and covariates that an expression reads directly."""
    return {e.name for e in walk(expression) if e.name is not None}


def index_names(expression: Expression) -> set[str]:
    """Names that occur as an index."""
    return {i.name for e in walk(expression) if isinstance(e, Index) for i in e.index if i.name is not None}


def value_names(expression: Expression) -> set[str]:
    """Names that occur as a value, not only as an index."""
    if isinstance(expression, Index):
        return value_names(expression.base)
    if expression.name is not None:
        return {expression.name}
    return set().union(*[value_names(c) for c in expression.children]) if expression.children else set()


def degree(expression: Expression, names: set[str]) -> float:
    """Polynomial degree of an expression in the named variables, jointly; infinite where it is not a polynomial.

    Symbolic on purpose: `a[z] * b` looks affine at every point where one of them is zero.
    """
    if isinstance(expression, Index):
        return degree(expression.base, names)
    if expression.name is not None:
        return float(expression.name in names)
    below = [degree(c, names) for c in expression.children]
    if isinstance(expression, Operation):
        if expression.function in ("exp", "sqrt", "inv"):
            return 0.0 if below[0] == 0 else np.inf
        return max(below) if expression.function in ("add", "neg") else sum(below)
    return sum(below) if isinstance(expression, Dot) else 0.0


def is_covariate_expression(expression: Expression) -> bool:
    """True where every leaf is a covariate or a constant, with at least one covariate."""
    leaves = [e for e in walk(expression) if e.name is not None or not e.children]
    return all(isinstance(e, (Data, Constant)) for e in leaves) and any(isinstance(e, Data) for e in leaves)


def covariate_expressions(expression: Expression) -> list[Expression]:
    """The largest sub-expressions made of covariates alone: each is a column of the row, worked out once (x * x, exp(x))."""
    if isinstance(expression, Index):
        return covariate_expressions(expression.base)
    if is_covariate_expression(expression):
        return [expression]
    if hasattr(expression, "family"):  # a variable is no function of covariates, whatever its arguments are
        return []
    return [largest for child in expression.children for largest in covariate_expressions(child)]


def coordinate_key(expression: Expression) -> Key:
    """What a block of the row is called: a variable or covariate by its name, an expression of covariates by itself."""
    return expression.name if expression.name is not None else expression

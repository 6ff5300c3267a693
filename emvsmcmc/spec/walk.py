"""Walking expressions: what they are made of, whose values they read, and of which degree they are in them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

from .expression import Constant, Data, Dot, Expression, Index, Operation, Softmax, Stack, Take
from .functions import ELEMENTWISE

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
    if isinstance(expression, Operation) and expression.function == "pow":
        n = whole_power(expression)
        return below[0] * n if n is not None and n >= 0 else 0.0 if max(below) == 0 else np.inf
    if isinstance(expression, Softmax) or (isinstance(expression, Operation) and expression.function in ELEMENTWISE):
        return 0.0 if below[0] == 0 else np.inf
    if isinstance(expression, Stack | Take) or (isinstance(expression, Operation) and expression.function in ("add", "neg")):
        return max(below)
    return sum(below) if isinstance(expression, Operation | Dot) else 0.0


def whole_power(expression: Operation) -> int | None:
    """The exponent of a power where it is one known whole number."""
    exponent = expression.children[1]
    known = isinstance(exponent, Constant) and exponent.value.ndim == 0 and float(exponent.value).is_integer()
    return int(exponent.value) if known else None  # type: ignore[attr-defined]


def looked_up(expression: Expression) -> Expression:
    """What is looked up by variables and positions: mean of mean[z], C of C[t, 1]; the expression itself where nothing is."""
    while isinstance(expression, Index | Take):
        expression = expression.base
    return expression


def with_children(expression: Expression, children: tuple[Expression, ...]) -> Expression:
    """The same function, look-up or sum of other expressions with the same dims."""
    out = copy(expression)
    out.children = children
    if isinstance(out, Index | Take):
        out.base = children[0]
    return out


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

"""Products of covariates, brought together wherever they stand: b * x * x is b * (x * x), and x * x is a column of the row."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import reduce

from .expression import Constant, Dot, Expression, Operation
from .walk import covariate_expressions, is_covariate_expression, with_children


def grouped(expression: Expression) -> Expression:
    """The same expression with the covariates of each product as one factor, so that it is affine in columns of the row.

    A sum of products that is multiplied by a covariate is multiplied out. What needs no change is returned as it is.
    """
    if expression.name is not None or isinstance(expression, Constant) or is_covariate_expression(expression):
        return expression
    children = tuple(grouped(c) for c in expression.children)
    out = expression
    if any(new is not old for new, old in zip(children, expression.children, strict=True)):
        out = with_children(expression, children)
    if isinstance(out, Operation) and out.function == "mul" and all(covariate_expressions(c) for c in out.children):
        return _product(out)
    return out


def _product(whole: Operation) -> Expression:
    sign, factors = _factors(whole)
    known = [f for f in factors if is_covariate_expression(f)]
    mixed = [f for f in factors if not is_covariate_expression(f) and covariate_expressions(f)]
    if not known or len(mixed) > 1:
        return whole
    column = _times(known)
    rest = [f for f in factors if not covariate_expressions(f)]
    if mixed:
        pushed = _pushed(mixed[0], column)
        if pushed is None:
            return whole
        column = pushed
    out = Operation("mul", _times(rest), column) if rest else column
    return Operation("neg", out) if sign < 0 else out


def _pushed(mixed: Expression, column: Expression) -> Expression | None:
    """mixed * column with the column inside, beside the covariates there; None where it cannot go inside."""
    if isinstance(mixed, Operation) and mixed.function == "add":
        return Operation("add", *(grouped(Operation("mul", c, column)) for c in mixed.children))
    if isinstance(mixed, Operation) and mixed.function == "neg":
        return Operation("neg", grouped(Operation("mul", mixed.children[0], column)))
    if isinstance(mixed, Dot) and mixed.over not in column.dims:
        left, right = mixed.children
        if is_covariate_expression(right):
            return _with_dims(mixed, (left, Operation("mul", right, column)))
        return _with_dims(mixed, (grouped(Operation("mul", left, column)), right))
    return None


def _factors(e: Expression) -> tuple[int, list[Expression]]:
    """(sign, factors) of a product of products; covariates that stand together stay so."""
    if is_covariate_expression(e) or not isinstance(e, Operation) or e.function not in ("mul", "neg"):
        return 1, [e]
    sign = -1 if e.function == "neg" else 1
    out: list[Expression] = []
    for child in e.children:
        own, factors = _factors(child)
        sign, out = sign * own, out + factors
    return sign, out


def _times(factors: Sequence[Expression]) -> Expression:
    return reduce(lambda a, b: Operation("mul", a, b), factors)


def _with_dims(e: Dot, children: tuple[Expression, Expression]) -> Dot:
    out = copy(e)
    out.children = children
    out.dims = tuple(d for d in dict.fromkeys(children[0].dims + children[1].dims) if d != e.over)
    return out

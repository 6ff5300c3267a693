"""Why what stands in an argument is refused: a prior that lies outside of what the argument can be, a sum without a link."""

from __future__ import annotations

import numpy as np

from ..errors import UnsupportedModel
from ..families import Argument
from ..families.support import Interval, Positive, Real, Simplex, Support
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment
from ..spec.expression import Expression, Operation
from ..spec.variable import Variable
from ..spec.walk import looked_up


def prior_inside(variable: Variable, key: str, expression: Expression, argument: Argument) -> None:
    """The prior of a parameter that stands in an argument, looked up or not, lies in its set. Raises UnsupportedModel."""
    base = looked_up(expression)
    if not isinstance(base, Variable) or argument.matrix:
        return
    own, wanted = parameter_support(base, Environment({})), argument.support
    if isinstance(wanted, Simplex):
        inside, words = isinstance(own, Simplex), "probabilities"
        remedy = "Give it a Dirichlet prior, or write ev.math.softmax(...) around it."
    elif isinstance(wanted, Interval) and np.all(np.asarray(wanted.upper) <= 1):
        inside, words = isinstance(own, Simplex) or _between(own, 0.0, 1.0), "numbers from 0 to 1"
        remedy = "Give it a Beta prior, or write ev.math.sigmoid(...) around it."
    elif isinstance(wanted, Positive | Interval):
        inside, words = isinstance(own, Positive | Simplex) or _between(own, 0.0, np.inf), "positive numbers"
        remedy = "Give it a Gamma prior, or write ev.exp(...) around it."
    else:
        return
    if not inside:
        raise UnsupportedModel(
            f"{base.label}",
            f"a prior on {words}, since it is the {key} of {variable.label!r}",
            f"a {base.family.name} prior, which lies on {'negative ones' if words.startswith('positive') else 'others'} too",
            remedy,
        )


def _between(own: Support, lower: float, upper: float) -> bool:
    return isinstance(own, Interval) and bool(np.all(np.asarray(own.lower) >= lower) and np.all(np.asarray(own.upper) <= upper))


def with_a_link(variable: Variable, key: str, expression: Expression, argument: Argument) -> None:
    """A sum with a term that may be any real number is no rate and no probability: it needs a link. Raises UnsupportedModel."""
    if argument.event_dims or not isinstance(argument.support, Positive | Interval):
        return
    names = sorted(str(looked_up(f).name) for term in _terms(expression) for f in _factors(term) if _any_number(f))
    if isinstance(expression, Operation) and expression.function == "add" and names:
        positive = isinstance(argument.support, Positive)
        raise UnsupportedModel(
            f"{variable.label}.{key}",
            argument.description,
            f"a sum with {', '.join(names)}, which may be any number",
            f"Write {'ev.exp' if positive else 'ev.math.sigmoid'}(...) around it.",
        )


def _any_number(factor: Expression) -> bool:
    base = looked_up(factor)
    return isinstance(base, Variable) and isinstance(parameter_support(base, Environment({})), Real)


def _terms(expression: Expression) -> list[Expression]:
    if isinstance(expression, Operation) and expression.function in ("add", "neg"):
        return [t for child in expression.children for t in _terms(child)]
    return [expression]


def _factors(expression: Expression) -> list[Expression]:
    if isinstance(expression, Operation) and expression.function == "mul":
        return [f for child in expression.children for f in _factors(child)]
    return [expression]

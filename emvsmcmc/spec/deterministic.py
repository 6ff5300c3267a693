"""Named functions of parameters: no parameters themselves, reported beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidSpec, WrongDims
from . import check
from .context import current_spec
from .expression import Expression, as_dims, wrap
from .private_dims import is_unnamed
from .walk import names_in


@dataclass(frozen=True)
class Derived:
    """A declared function of parameters: its name, its expression and the order of its dims."""

    name: str
    expression: Expression
    dims: tuple[str, ...]


def Deterministic(name: str, expression: Any, dims: str | Sequence[str] | None = None) -> Expression:
    """Name a function of parameters, and give the expression back, to be used as it is.

    It is reported wherever parameters are: by EM with a standard error by the delta method, sqrt(J C J') with C the covariance of
    the parameters in unconstrained coordinates and J its exact derivative along them; by MCMC as draws, after labels were
    aligned. It is not estimated, has no prior, and does not count in BIC.

    Parameters
    ----------
    name : as of a variable.
    expression : of parameters and constants.
    dims : its dims in order, all with coords; by default those of the expression in order of appearance.

    Raises InvalidSpec where the expression reads rows, WrongDims for other dims than the expression has, DuplicateName.
    """
    spec = current_spec()
    check.name(spec, name)
    made = wrap(expression)
    rows = sorted(n for n in names_in(made) if n in spec.data or any(map(spec.is_plate, spec.variables[n].dims)))
    if rows:
        raise InvalidSpec(
            f"Deterministic {name!r}",
            "a function of parameters",
            f"one that reads {', '.join(rows)}, which every row has its own of",
            "Work it out from the data, or from the probabilities and latents that a fit gives.",
        )
    own = made.dims if dims is None else as_dims(dims)
    unnamed = any(is_unnamed(d) for d in made.dims)
    if unnamed or set(own) != set(made.dims) or any(spec.is_plate(d) for d in own):
        raise WrongDims(
            f"Deterministic {name!r}",
            "the dims of its expression, all with coords",
            f"dims {own} for an expression with {'unnamed axes' if unnamed else f'dims {made.dims}'}",
            "Name the axes of constants: ev.constant(array, dims=...).",
        )
    spec.add_deterministic(Derived(name, made, own))
    return made

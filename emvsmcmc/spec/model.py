"""The Spec: a joint distribution that holds no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import check, context
from .deterministic import Derived
from .expression import Data
from .private_dims import is_unnamed
from .variable import Variable


class Spec:
    """A generative model, declared inside its `with` block.

    Parameters
    ----------
    coords : mapping from dim to a size (an integer) or a list of labels.
    plates : names of dims that repeat the model, one copy a label, although they have coords. A dim without coords is a plate
        anyway: its size comes from the data.
    ordered : {dim: parameter}, a stated naming of components, as PyMC's `transforms.ordered` gives: positions of the dim are
        named by increasing values of a parameter (or of an `ev.Deterministic`) that has it, the first entry where it has other
        dims too; in EM's answer, and in every draw of MCMC. It is a naming only: neither likelihood nor posterior change, and a
        dim whose positions data, labels or priors tell apart keeps the names that those give. Without it, EM names by the first
        parameter that has the dim, and draws follow EM's answer.

    Roles follow from the dims: without a plate a variable is a parameter; with one it is a latent or a measurement
    (continuous) or an assignment (discrete). Raises InvalidSpec, DuplicateName or WrongDims where a declaration makes no model.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as spec:
    ...     share = ev.Dirichlet("share", 1, dims="kind")  # no plate: a parameter
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")  # day has no coords, so it is a plate
    ...     count = ev.Poisson("count", rate[z], dims="day")
    >>> spec
    Spec(share, rate, z, count)
    """

    def __init__(
        self,
        coords: Mapping[str, int | Sequence[Any]] | None = None,
        plates: Sequence[str] = (),
        ordered: Mapping[str, str] | None = None,
        **unknown: Any,
    ) -> None:
        check.spec_arguments(coords, plates, ordered, unknown)
        given = dict(coords or {})
        check.coords(given)  # type: ignore[arg-type]
        self.coords: dict[str, list[Any]] = {
            d: list(range(int(v))) if isinstance(v, (int, np.integer)) else list(v) for d, v in given.items()
        }
        self.plates = tuple(plates)
        self.ordered = dict(ordered or {})
        self.variables: dict[str, Variable] = {}
        self.data: dict[str, Data] = {}
        self.deterministics: dict[str, Derived] = {}

    def __enter__(self) -> Spec:
        context.enter(self)
        return self

    def __exit__(self, *exception: object) -> None:
        context.leave()
        if exception[:1] == (None,):
            check.ordering(self)

    def __repr__(self) -> str:
        return f"Spec({', '.join(self.variables)})"

    def is_plate(self, dim: str) -> bool:
        """True for a dim that repeats the model: one named in `plates`, or one without coords."""
        return dim in self.plates or (dim not in self.coords and not is_unnamed(dim))

    def size(self, dim: str) -> int:
        """Number of labels of a dim with coords."""
        return len(self.coords[dim])

    def plates_of(self, variable: Variable | Data) -> tuple[str, ...]:
        return tuple(d for d in variable.dims if self.is_plate(d))

    def add_variable(self, variable: Variable) -> None:
        check.name(self, variable.label)
        check.name_is_no_dim(self, variable)
        if variable.family.matrix and variable.dims[-1] not in self.coords:
            self.coords[variable.dims[-1]] = list(self.coords[variable.dims[-2]])
        check.matrix_arguments(self, variable)
        check.dim_sizes(self, variable)
        self.variables[variable.label] = variable

    def add_data(self, data: Data) -> None:
        check.name(self, data.name)  # type: ignore[arg-type]
        check.name_is_no_dim(self, data)
        self.data[data.name] = data  # type: ignore[index]

    def add_deterministic(self, derived: Derived) -> None:
        self.deterministics[derived.name] = derived

    def explain(self, problem: Any = None) -> str:
        """The model in mathematics, its roles, the EM steps derived for it, what PyMC will see and what was summed out.

        Pass a `problem` to see it for data that are given: what is hidden, how many patterns and configurations there are.
        """
        from ..explain.explanation import explain  # downstream: the steps are read off the compiled M-step

        return explain(self, problem)

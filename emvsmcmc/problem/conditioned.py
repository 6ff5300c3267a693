"""What a spec with data says of itself, wherever its rows are: what `Problem` and `ChunkedProblem` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from ..spec.expression import Expression
from ..spec.model import Spec
from ..spec.named import Named
from ..spec.variable import Variable


class Conditioned(Protocol):
    """A spec conditioned on data. What is of the size of the data is not here: who needs it asks for a `Problem`
    (`chunked.in_memory`).
    """

    @property
    def spec(self) -> Spec:
        """The declaration."""

    @property
    def roles(self) -> dict[str, str]:
        """{name: "parameter" | "assignment" | "latent" | "observed" | "covariate" | "fixed"}."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What conditioning did and found that a user may want to know."""

    @property
    def plate(self) -> str:
        """The dim of the rows."""

    @property
    def n(self) -> int:
        """Number of rows."""

    @property
    def observations(self) -> float:
        """n of BIC, ICL and LOO: the rows that say something, weights as repetitions."""

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every named dim."""

    @property
    def parameters(self) -> list[Variable]:
        """Variables to be estimated, in order of declaration."""

    @property
    def row_variables(self) -> list[Variable]:
        """Variables that live on a plate, in order of declaration."""

    @property
    def fixed(self) -> dict[str, Named]:
        """Values of the parameters that are given."""

    def labels(self, dim: str) -> np.ndarray:
        """Coordinate labels of a dim. Raises NotInMemory for those of rows that are not there."""

    def entry(self, name: str, dims: Sequence[str], at: Iterable[Any]) -> str:
        """What the entry at a position along `dims` is called: name[label, label]."""

    def levels(self, variable: Expression) -> int:
        """Number of values of a discrete variable."""

    def level_labels(self, variable: Expression) -> list[Any]:
        """What a discrete variable counts."""

    def shape(self, variable: Variable) -> tuple[int, ...]:
        """Sizes of a variable's dims."""

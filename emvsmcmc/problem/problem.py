"""The record of a spec with data: what the data give is known, what they leave out is hidden (`condition` makes one)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..spec.expression import Expression
from ..spec.model import Spec
from ..spec.named import Named
from ..spec.variable import Variable
from ..words import labelled
from .align import Plate, constant_size


@dataclass(frozen=True)
class Problem:
    """A spec conditioned on data.

    Attributes
    ----------
    spec : the declaration.
    plates : {dim: Plate}.
    given : {name: Named} values of variables and covariates in the dims of their declaration, float64; NaN is a hole; labels are
        codes counting from 0. A parameter that is given is fixed.
    evidence : {latent: Named (plate, "@latent")} log virtual evidence of soft or set-valued labels.
    weights : (n,) weights of the rows of the only plate.
    roles : {name: "parameter" | "assignment" | "latent" | "observed" | "covariate" | "fixed"}. A labelled assignment stays an
        "assignment" while any of its labels is missing or soft, and is "observed" when all are given.
    notes : what conditioning did and found that a user may want to know (columns ignored, labels taken as codes, classes without
        a label, rows without a value, ...).
    unknown : {covariate: Named bool} cells that are missing where nothing that depends on them is given (see `covariates`); in
        `given` they hold some value of their column.
    """

    spec: Spec
    plates: dict[str, Plate]
    given: dict[str, Named]
    evidence: dict[str, Named]
    weights: np.ndarray
    roles: dict[str, str]
    notes: tuple[str, ...] = field(default=())
    unknown: dict[str, Named] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every named dim."""
        return {d: len(v) for d, v in self.spec.coords.items()} | {d: p.size for d, p in self.plates.items()}

    def labels(self, dim: str) -> np.ndarray:
        """Coordinate labels of a dim."""
        return self.plates[dim].labels if dim in self.plates else np.asarray(self.spec.coords[dim])

    def entry(self, name: str, dims: Sequence[str], at: Iterable[Any]) -> str:
        """What the entry at a position along `dims` is called: name[label, label]."""
        return labelled(name, (self.labels(d)[i] for d, i in zip(dims, at, strict=True)))

    @property
    def plate(self) -> str:
        """The dim of the rows: the only plate (the first of them in a spec of several, which can be simulated but not fitted)."""
        return next(iter(self.plates))

    @property
    def n(self) -> int:
        """Number of rows (the size of the only plate)."""
        return len(self.weights)

    @property
    def parameters(self) -> list[Variable]:
        """Variables to be estimated, in order of declaration."""
        return [v for v in self.spec.variables.values() if self.roles[v.label] == "parameter"]

    @property
    def row_variables(self) -> list[Variable]:
        """Variables that live on a plate, in order of declaration."""
        return [v for v in self.spec.variables.values() if self.spec.plates_of(v)]

    @property
    def fixed(self) -> dict[str, Named]:
        """Values of the parameters that are given."""
        return {v: self.given[v] for v, role in self.roles.items() if role == "fixed"}

    @property
    def covariates(self) -> dict[str, Named]:
        """Values of the covariates."""
        return {v: self.given[v] for v, role in self.roles.items() if role == "covariate"}

    def levels(self, variable: Expression) -> int:
        """Number of values of a discrete variable: 2 for a Bernoulli, the length of the counted dim for a Categorical."""
        return len(self.level_labels(variable))

    def level_labels(self, variable: Expression) -> list[Any]:
        """What a discrete variable counts: the coordinates of its dim, or 0, 1, ... where that has none."""
        counts = getattr(variable, "counts", None)
        if counts is None:
            return [0, 1]
        if counts in self.sizes:
            return list(self.labels(counts))
        return list(range(constant_size(variable.arguments[variable.family.counted], counts)))  # type: ignore[attr-defined]

    def shape(self, variable: Variable) -> tuple[int, ...]:
        return tuple(self.sizes[d] for d in variable.dims)

    def columns(self, variable: Variable) -> np.ndarray:
        """(n, cells) values of a row variable that is given."""
        plate = self.spec.plates_of(variable)[0]
        others = [d for d in variable.dims if d != plate]
        return self.given[variable.label].to((plate, *others)).reshape(self.plates[plate].size, -1)

    @cached_property
    def silent(self) -> np.ndarray:
        """Rows in which nothing that has a distribution is given; those without weight are not asked."""
        speaks = self.weights == 0
        for variable in self.row_variables:
            if variable.label in self.given:
                speaks = speaks | np.isfinite(self.columns(variable)).any(axis=1)
            if variable.label in self.evidence:
                value = self.evidence[variable.label]
                log = value.to((self.plate, *[d for d in value.dims if d != self.plate]))
                speaks = speaks | (log != log[..., :1]).reshape(self.n, -1).any(axis=1)
        return np.flatnonzero(~speaks)

    @cached_property
    def heard(self) -> np.ndarray:
        """(n,) weights of the rows that say something; 0 for those in which nothing that has a distribution is given."""
        if len(self.plates) != 1:
            return self.weights
        out = self.weights.copy()
        out[self.silent] = 0.0
        return out

    @property
    def observations(self) -> float:
        """n of BIC, ICL and LOO: the rows that say something, weights as repetitions."""
        return float(self.heard.sum())

    def with_weights(self, weights: np.ndarray) -> Problem:
        """The same rows under other weights (the weighted-likelihood bootstrap)."""
        return replace(self, weights=np.asarray(weights, dtype=float))

"""How a planned problem is written: symbols of configurations, responsibilities, sums over rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..expect.coefficients import residual_rows
from ..expect.plan import Part, Plan, RadialPart, ResidualPart, TablePart
from ..families.support import Covariance, Interval, Positive, Simplex
from ..problem.problem import Problem
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment
from ..spec.notation import Notation, subscripted
from ..spec.private_dims import is_unnamed
from ..spec.variable import Switch, Variable
from ..spec.walk import value_names
from ..words import labelled


def total(indices: Iterable[str]) -> str:
    """'Σ_row ', 'Σ_{row, k} ', or nothing."""
    distinct = list(dict.fromkeys(indices))
    return f"Σ_{distinct[0] if len(distinct) == 1 else '{' + ', '.join(distinct) + '}'} " if distinct else ""


@dataclass(frozen=True, eq=False)
class View:
    """A plan and its notation. One hidden or given axis of configurations is k; several are k1, k2, ..."""

    plan: Plan

    @property
    def problem(self) -> Problem:
        return self.plan.problem

    @cached_property
    def plate(self) -> str:
        return self.problem.plate

    def letter(self, wanted: str) -> str:
        """A letter for something that the text defines, with a mark where the spec uses it itself."""
        return f"{wanted}*" if wanted in self.taken else wanted

    @cached_property
    def taken(self) -> set[str]:
        return {*self.problem.spec.variables, *self.problem.spec.data, *self.problem.sizes}

    @cached_property
    def symbols(self) -> dict[str, str]:
        """{assignment or index: symbol}. A covariate that indexes keeps its name."""
        letter = next((c for c in "kjhgc" if not any(t in self.taken for t in (c, f"{c}1", f"{c}2"))), "k*")
        latents = [v.label for v in self.plan.latents]
        many = len(latents) > 1
        return {a: (f"{letter}{latents.index(a) + 1}" if many else letter) if a in latents else a for a in self.plan.axes}

    @cached_property
    def write(self) -> Notation:
        return Notation(self.symbols)

    @cached_property
    def weighted(self) -> bool:
        return bool((self.problem.weights != 1).any())

    @cached_property
    def environment(self) -> Environment:
        """Parameter values with nothing special about them: what is zero or equal here is so everywhere."""
        rng = np.random.default_rng(1)
        values = {}
        for v in self.plan.parameters:
            shape = self.problem.shape(v)
            support = parameter_support(v, Environment(self.problem.fixed))
            x = rng.uniform(0.5, 1.5, shape)
            if isinstance(support, Simplex):
                x = x * support.middle(shape)
                x = x / x.sum(-1, keepdims=True)
            elif isinstance(support, Covariance):
                x = np.eye(shape[-1]) + 0.1 * (x @ x.swapaxes(-1, -2))
            elif not isinstance(support, Positive) and isinstance(support, Interval):
                x = support.lower + (support.upper - support.lower) * (0.1 + 0.5 * x)
            values[v.label] = x
        return self.plan.environment(values)

    def of(self, part: Part) -> Notation:
        """The notation inside a branch of a Switch: its index is the branch's number."""
        if not isinstance(part.variable, Switch):
            return self.write
        branch = part.variable.branches.index(part.distribution)
        return self.write.having(**{part.variable.index.label: str(branch)})

    def responsibility(self, write: Notation | None = None) -> str:
        """'r[row, k] ' with a space, or nothing where there is one configuration."""
        if not self.plan.axes:
            return f"{self.letter('w')}[{self.plate}] " if self.weighted else ""
        return labelled(self.letter("r"), [self.plate, *self.configuration(write)]) + " "

    def scale(self, part: Part, write: Notation | None = None) -> str:
        """'u[row, k] ' with a space, the expected scale that weights a Student-t value; nothing for any other part."""
        if not isinstance(part, RadialPart):
            return ""
        several = len({p.variable.label for p in self.plan.radials}) > 1
        name = f"{self.letter('u')}_{part.variable.label}" if several else self.letter("u")
        return labelled(name, [self.plate, *self.elements(part), *self.configuration(write)]) + " "

    def configuration(self, write: Notation | None = None) -> list[str]:
        return [(write or self.write).symbols[a] for a in self.plan.axes]

    def free(self, write: Notation | None = None) -> list[str]:
        """Symbols of the configuration that run (not the number of a branch)."""
        return [s for s in self.configuration(write) if not s.isdigit()]

    def elements(self, part: Part) -> list[str]:
        """Dims of the part's elements, without those of a vector taken as one."""
        dims = [d for d, _ in part.elements]
        return dims[: len(dims) - part.distribution.family.event_dims] if part.distribution.family.event_dims else dims

    def value(self, part: Part) -> str:
        """The row variable as written: waiting[eruption]."""
        return subscripted(part.variable) if not part.distribution.family.event_dims else self._vector(part.variable, part)

    def _vector(self, v: Variable, part: Part) -> str:
        dims = v.dims[: len(v.dims) - part.distribution.family.event_dims]
        return labelled(v.label, dims)

    def count(self, write: Notation | None = None) -> str:
        """The sum of responsibilities of one configuration."""
        if not self.plan.axes:
            return f"{total([self.plate])}{self.responsibility()}".strip() if self.weighted else self.letter("n")
        return labelled(self.letter("N"), self.configuration(write))

    def weight(self, indices: Iterable[str], write: Notation | None = None, scale: str = "") -> str:
        """Sum of responsibilities (times a scale) over these indices, by its name where it has one."""
        over = list(indices)
        if scale:
            return f"{total(over)}{self.responsibility(write)}{scale}".strip()
        if over == [self.plate]:
            return self.count(write)
        return f"{total(over)}{self.responsibility(write) or '1'}".strip()

    @cached_property
    def hidden(self) -> dict[str, np.ndarray]:
        """{Gaussian variable: which of its cells are hidden in some row}."""
        somewhere = self.plan.full.hidden.any(axis=0)
        return {p.variable.label: somewhere[p.columns] for p in self.plan.gaussians if somewhere[p.columns].any()}

    def reads_hidden(self, part: ResidualPart) -> list[str]:
        """Gaussian variables with hidden cells that the part's residual depends on, itself included."""
        rows = residual_rows(self.plan, part, self.environment, np.zeros((self.plan.K, self.plan.d)))
        return [n for n, cells in self.hidden.items() if np.any(rows[:, :, self.plan.slices[n]][..., cells])]

    def levels_note(self) -> list[str]:
        """Slots that depend on row data, with the number of distinct values."""
        known, lines = set(self.problem.covariates), []
        for p in self.plan.tables:
            read = [k for k in p.estimated if p.levels.slot is not None and value_names(p.argument(k)) & known]
            lines += [
                f"{k} of {p.variable.label} = {self.of(p).argument(p.distribution, k, p.variable.dims)} depends on "
                f"row data: {p.levels.size} distinct values, one row of its table each"
                for k in read
            ]
            if p.values is not None and p.values.slot is not None:
                lines.append(f"{p.variable.label} has {p.values.size} distinct values, one row of a table of densities each")
        return lines

    def counted(self, part: TablePart) -> str:
        """Symbol of the level that a category takes, or of the categories that a vector of counts has."""
        if part.counted is None:
            return part.elements[-1][0]
        return str(part.counted) if not is_unnamed(part.counted) else "level"

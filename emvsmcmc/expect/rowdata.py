"""Data -> Layout: the augmented row v, table terms, allowed configurations, patterns, and what collapses."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..families import GaussianFamily, RadialFamily, TableFamily, ValueFamily
from ..families.kinds import MEAN
from ..numerics import root_of_moments
from ..problem.branches import allowed_values
from ..problem.problem import Problem
from ..spec.evaluate import Environment, value_of
from ..spec.expression import Expression
from ..spec.private_dims import LEVELS
from ..spec.variable import Variable
from ..spec.walk import coordinate_key, covariate_expressions, value_names
from .distinct import Slot, distinct, given_inside
from .layout import NO_RADIAL, Collapsed, Conventions, Layout, Radial
from .plan import Levels, TablePart

SUM_ROWS = 1024
QUARTILES = 1.349  # distance of the quartiles of a Normal, in standard deviations
PROBE_ROWS = 4096  # a first look at so many rows tells whether identical rows are worth collecting


class RowBuilder:
    """Collects columns while `plan` walks the children; `layouts` then makes the final arrays."""

    def __init__(
        self,
        problem: Problem,
        plate: str,
        axes: dict[str, int],
        coordinates: dict,
        slices: dict,
        d: int,
        conventions: Conventions | None = None,
        known: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.conventions, self.known = conventions, known or {}
        self.problem, self.plate, self.axes = problem, plate, axes
        self.n, self.K = problem.n, prod(axes.values())
        self.slices = slices
        self.V = self._rows(coordinates, slices, d)
        self.hole = np.isnan(self.V)
        own = conventions or Conventions(*_centre_and_scale(self.V, problem.weights, self._heavy()))
        self.centre, self.scale = own.centre, own.scale
        self.V -= self.centre
        self.L = 0
        self.X: list[np.ndarray] = []
        self.x_row: list[int] = []
        self.phi: list[np.ndarray] = []
        self.level_columns: list[np.ndarray] = []
        self.radial_column: list[int] = []
        self.radial_own: list[np.ndarray] = []
        self.radial_reads: list[np.ndarray] = []

    def _rows(self, coordinates: dict, slices: dict, d: int) -> np.ndarray:
        """(n, d) 1, covariates, Gaussian variables in original units; NaN where hidden."""
        V = np.full((self.n, d), np.nan)
        V[:, 0] = 1.0
        env = Environment({**self.problem.covariates})
        for key, own in coordinates.items():
            if isinstance(key, str):
                value = self.problem.given.get(key)
            else:
                value = value_of(key, env)
            if value is not None:
                full = np.broadcast_to(value.to((self.plate, *[c for c, _ in own])), (self.n, *[s for _, s in own]))
                V[:, slices[key]] = full.reshape(self.n, -1)
        return V

    def _heavy(self) -> list[int]:
        """Columns that may hold outliers far beyond their other values: those of radial families."""
        radial = [v for v in self.problem.row_variables if any(isinstance(b.family, RadialFamily) for b in v.branches)]
        return [c for v in radial if v.label in self.slices for c in range(self.V.shape[1])[self.slices[v.label]]]

    def _values(self, variable: Variable, elements: tuple[tuple[str, int], ...]) -> np.ndarray:
        """(n, elements) given values of a child."""
        return self.problem.given[variable.label].to((self.plate, *[d for d, _ in elements])).reshape(self.n, -1)

    def table(
        self, variable: Variable, distribution: Variable, on: np.ndarray, elements: tuple[tuple[str, int], ...]
    ) -> TablePart:
        """Multipliers of a child with tables. Arguments that depend on row data get one level for each distinct value of those
        data, and a term that is a function of the value itself one for each distinct value. A hole has multiplier 0.
        """
        family, branch = distribution.family, variable.branches.index(distribution)
        x = given_inside(self.problem, self.plate, variable.label, branch)
        multipliers = []
        if isinstance(family, TableFamily):
            fixed = {k: self._known(e, elements) for k, e in distribution.arguments.items() if family.arguments[k].fixed}
            multipliers = family.multipliers(x, **fixed)
        estimated = [e for k, e in distribution.arguments.items() if not family.arguments[k].fixed]
        codes, levels = self._levels(Slot(self._row_data(estimated)) if multipliers else None)
        for phi in multipliers:
            for j in range(x.shape[1]):
                self._term(phi[:, j], levels.size, codes)
        values = self._at_values(variable, distribution, branch, x) if isinstance(family, ValueFamily) else None
        return TablePart(variable, distribution, on, elements, len(multipliers), levels, values)

    def _term(self, phi: np.ndarray, levels: int, codes: np.ndarray) -> None:
        """One column of multipliers, and its rows of T."""
        if levels == 1:
            self.X.append(phi)
            self.x_row.append(self.L)
        else:
            self.phi.append(phi)
            self.level_columns.append(self.L + codes)
        self.L += levels

    def _at_values(self, variable: Variable, distribution: Variable, branch: int, x: np.ndarray) -> Levels:
        """The rows of T of a term that is a function of the value: all values of a variable that counts, else the distinct ones.
        What the term reads of row data makes further values of it.
        """
        family = distribution.family
        assert isinstance(family, ValueFamily)
        there = np.isfinite(x)
        names = self._row_data([distribution.arguments[k] for k in family.value_reads])
        if family.indexes and not names:
            value = np.arange(self.problem.levels(variable), dtype=float)
            codes, levels = np.where(there, x, 0).astype(np.int64), Levels(len(value), self.L, {}, value)
        else:
            codes, levels = self._levels(Slot(names, variable.label, branch))
        for j in range(x.shape[1]):
            self._term(there[:, j].astype(float), levels.size, codes[:, j])
        return levels

    def _levels(self, slot: Slot | None) -> tuple[np.ndarray, Levels]:
        """The level of every row (or cell), and the levels themselves from the next row of T on; one, where nothing is read."""
        if slot is None or (not slot.names and slot.variable is None):
            return np.zeros(self.n, dtype=np.int64), Levels(1, self.L, {})
        levels = distinct(slot, self.problem, self.plate, self.conventions, LEVELS)
        return levels.codes, Levels(levels.size, self.L, levels.data, levels.value, slot)

    def _row_data(self, expressions: list[Expression]) -> tuple[str, ...]:
        return tuple(sorted(set().union(*[value_names(e) for e in expressions]) & set(self.problem.covariates)))

    def _known(self, expression: Expression, elements: tuple[tuple[str, int], ...]) -> np.ndarray:
        """(n, elements) values of an expression that reads nothing estimated."""
        env = Environment({**self.problem.covariates, **self.problem.fixed})
        value = value_of(expression, env).to((self.plate, *[d for d, _ in elements]))
        return np.broadcast_to(value, (self.n, *[s for _, s in elements])).reshape(self.n, -1)

    def radial(self, variable: Variable, distribution: Variable, elements: tuple[tuple[str, int], ...]) -> tuple[slice, int]:
        """A radial family: where its values are there, and what their residuals read. Returns its groups, and the row of T of
        their first constant.
        """
        event = distribution.family.event_dims
        p = prod(n for _, n in elements[len(elements) - event :])
        there = np.isfinite(self._values(variable, elements))[:, ::p]  # a vector is there as a whole, see `refuse.radial_holes`
        offset, columns, first = self.L, self.slices[variable.label], len(self.radial_column)
        mean = distribution.argument_of(MEAN)
        keys = [*map(coordinate_key, covariate_expressions(mean)), *value_names(mean)]
        read = np.zeros(self.V.shape[1], dtype=bool)
        read[0] = True
        for key in keys:
            if key in self.slices:
                read[self.slices[key]] = True
        for j in range(there.shape[1]):
            self.radial_column.append(len(self.X))
            self.radial_own.append(columns.start + p * j + np.arange(p))
            self.X.append(there[:, j].astype(float))
            self.x_row.append(offset + j)
            own = read.copy()
            own[self.radial_own[-1]] = True
            self.radial_reads.append(own)
        self.L += there.shape[1]
        if not any(isinstance(b.family, GaussianFamily) for b in variable.branches):
            self.hole[:, columns] = False  # a missing value is dropped, not integrated out
        return slice(first, len(self.radial_column)), offset

    def _evidence(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pattern code of the allowed configurations (n,), the distinct allowed sets (sets, K), and log-evidence (n, K) or (0,
        K).
        """
        shape = tuple(self.axes.values())
        codes = np.zeros((self.n, 0), dtype=np.int64)
        evidence = np.zeros((0, self.K))
        masks = []  # one (n, size) boolean for each latent that anything is known about, as (axis, codes, sets)
        for axis, (name, size) in enumerate(self.axes.items()):
            allowed = np.ones((self.n, size), dtype=bool)
            if name in self.problem.given:
                x = self.problem.given[name].array
                known = np.isfinite(x)
                allowed[known] = np.arange(size) == x[known].astype(int)[:, None]
            if name in self.known:
                allowed = np.arange(size) == self.known[name][:, None]
            if name in self.problem.evidence:
                log = self.problem.evidence[name].array
                allowed &= np.isfinite(log)
                if (
                    np.ptp(np.where(np.isfinite(log), log, 0.0), axis=1).any()
                    or (np.where(np.isfinite(log), log, 0.0) != 0).any()
                ):
                    wide = np.where(np.isfinite(log), log, 0.0).reshape(
                        (self.n, *[size if a == axis else 1 for a in range(len(shape))])
                    )
                    total = np.broadcast_to(wide, (self.n, *shape)).reshape(self.n, self.K)
                    evidence = total + evidence if len(evidence) else total.copy()
            allowed = allowed_values(self.problem, name, allowed)
            if not allowed.all():
                sets, code = np.unique(allowed, axis=0, return_inverse=True)
                masks.append((axis, sets))
                codes = np.column_stack([codes, code.ravel()])
        if not masks:
            return np.zeros(self.n, dtype=np.int64), np.ones((1, self.K), dtype=bool), evidence
        distinct, code = np.unique(codes, axis=0, return_inverse=True)
        joint = np.ones((len(distinct), *shape), dtype=bool)
        for column, (axis, sets) in enumerate(masks):
            wide = sets[distinct[:, column]].reshape((len(distinct), *[shape[a] if a == axis else 1 for a in range(len(shape))]))
            joint &= wide
        return code.ravel(), joint.reshape(len(distinct), self.K), evidence

    def layouts(self) -> tuple[Layout, Layout, np.ndarray]:
        """(every distinct row; what the loop reads, with single-configuration patterns collapsed; original row -> distinct
        row).
        """
        hole = self.hole
        code, sets, E = self._evidence()
        holed = hole.any(axis=0)
        if holed.any() and not hole[:, holed].all():
            holes, hole_code = _unique_rows(hole)
            pattern_key = hole_code * len(sets) + code
        else:  # the same coordinates are hidden in every row
            holes, pattern_key = hole[:1], code
        if len(holes) == len(sets) == 1:
            distinct = np.zeros(1, dtype=np.int64)
            pattern = np.zeros(self.n, dtype=np.int64)
        else:
            distinct, pattern = np.unique(pattern_key, return_inverse=True)
            pattern = pattern.ravel()
        hidden, allowed = holes[distinct // len(sets)], sets[distinct % len(sets)]
        V = np.where(np.isnan(self.V), 0.0, self.V) if np.isnan(self.V.sum()) else self.V
        X = np.column_stack(self.X) if self.X else np.zeros((self.n, 0))
        phi = np.column_stack(self.phi) if self.phi else np.zeros((self.n, 0))
        level = np.column_stack(self.level_columns) if self.level_columns else np.zeros((self.n, 0), dtype=np.int64)
        w = self.problem.weights.astype(float)

        first, inverse = _identical_rows([pattern[:, None], V[:, 1:], X, phi, level, E])
        if first is not None:
            w = np.bincount(inverse, weights=w, minlength=len(first))
            V, X, phi, level, pattern = V[first], X[first], phi[first], level[first], pattern[first]
            E = E[first] if len(E) else E
        position = np.arange(len(pattern))
        if len(distinct) > 1:
            order = np.argsort(pattern, kind="stable")
            position[order] = np.arange(len(order))
            V, w, X, phi, level, E = (x[order] if len(x) else x for x in (V, w, X, phi, level, E))
        inverse = position[inverse] if first is not None else position
        start = np.concatenate([[0], np.cumsum(np.bincount(pattern, minlength=len(distinct)))]).astype(np.int64)

        rows = (np.ascontiguousarray(x) for x in (V, w, X, phi, level, E))
        V, w, X, phi, level, E = rows
        everything = Layout(
            V, w, X, np.asarray(self.x_row, dtype=np.int64), phi, level, E,
            start, hidden, allowed, _collapsed_none(V.shape[1], self.L), self.L, self._radial(),
        )  # fmt: skip
        return everything, collapse(everything), inverse

    def _radial(self) -> Radial:
        if not self.radial_column:
            return NO_RADIAL
        start = np.cumsum([0, *map(len, self.radial_own)]).astype(np.int64)
        holes = np.array([not self.X[f].all() for f in self.radial_column])
        column = np.array(self.radial_column, dtype=np.int64)
        return Radial(start, np.concatenate(self.radial_own), column, holes, np.array(self.radial_reads))


def collapse(layout: Layout) -> Layout:
    """The layout without the rows of its single-configuration patterns, which are reduced to their moments, and without rows of
    weight 0, which may have probability zero.

    Radial rows weight every row anew at other parameters: with one, nothing collapses.
    """
    single = (layout.allowed.sum(axis=1) == 1) & (len(layout.radial.column) == 0)
    counted = layout.w > 0
    if not single.any() and counted.all():
        return layout
    pattern = layout.pattern
    loop = ~single[pattern] & counted
    sizes = np.bincount(pattern[loop], minlength=len(single))
    return layout.taken(loop, sizes[~single], ~single, moments(layout, np.flatnonzero(single)))


def _collapsed_none(d: int, L: int) -> Collapsed:
    return Collapsed(
        np.zeros(0, dtype=np.int64), np.zeros((0, d), dtype=bool), np.zeros(0), np.zeros((0, d, d)), np.zeros((0, L)), np.zeros(0)
    )


def moments(layout: Layout, patterns: np.ndarray) -> Collapsed:
    """What is left of the rows of some patterns when only their moments are kept."""
    q, d, L = len(patterns), layout.V.shape[1], layout.n_tables
    R, S = np.zeros((q, d, d)), np.zeros((q, L))
    weight, constant = np.zeros(q), np.zeros(q)
    configuration = layout.allowed[patterns].argmax(axis=1)
    for i, p in enumerate(patterns):
        at = slice(layout.start[p], layout.start[p + 1])
        w, phi, level = layout.w[at], layout.phi[at], layout.level[at]
        weight[i] = w.sum()
        R[i] = root_of_moments(layout.V[at], w)
        S[i, layout.x_row] = w @ layout.X[at]
        for t in range(phi.shape[1]):
            S[i] += np.bincount(level[:, t], weights=w * phi[:, t], minlength=L)
        if len(layout.E):
            constant[i] = w @ layout.E[at, configuration[i]]
    return Collapsed(configuration, layout.hidden[patterns], weight, R, S, constant)


def _centre_and_scale(V: np.ndarray, weights: np.ndarray, heavy: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column over its given cells, the mean's size where it does not vary; (0, 1)
    where a column is wholly hidden.

    Of `heavy` columns the median, and the quartiles' distance as the standard deviation of a Normal, where they differ: about a
    mean that one value of 1e12 has moved, the others would lose their digits, and beside such a standard deviation vanish.
    """
    total, first = _column_sums(V, weights, 0.0, 1)
    seen = total > 0
    safe = np.where(seen, total, 1.0)
    centre = np.where(seen, first / safe, 0.0)
    centre[0] = 0.0
    _, second = _column_sums(V, weights, centre, 2)
    alone = np.where(centre != 0, np.abs(centre), 1.0)  # of a single row, or a constant: its size tells the unit
    scale = np.where(seen & (second > 0), np.sqrt(second / safe), alone)
    for column in heavy:
        values = V[(weights > 0) & ~np.isnan(V[:, column]), column]
        if len(values):
            low, centre[column], high = np.quantile(values, [0.25, 0.5, 0.75])
            scale[column] = (high - low) / QUARTILES if high > low else scale[column]
    return centre, scale


def _column_sums(V: np.ndarray, weights: np.ndarray, centre: Any, power: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the given cells of each column, and the sum of w (v - centre)^power over them; by blocks that stay in the
    cache.
    """
    total, sums = np.zeros(V.shape[1]), np.zeros(V.shape[1])
    for s in range(0, len(V), SUM_ROWS):
        x, w = V[s : s + SUM_ROWS] - centre, weights[s : s + SUM_ROWS]
        there = ~np.isnan(x)
        if there.all():
            total += w.sum()
        else:
            total += w @ there
            x[~there] = 0.0
        sums += w @ (x * x if power == 2 else x)
    return total, sums


def _unique_rows(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    packed = np.ascontiguousarray(np.packbits(mask, axis=1))
    _, first, code = np.unique(
        packed.view([("", packed.dtype)] * packed.shape[1]).ravel(), return_index=True, return_inverse=True
    )
    return mask[first], code.ravel()


def _identical_rows(columns: list[np.ndarray]) -> tuple[Any, np.ndarray]:
    """(index of the first of each group of identical rows, group of each row), or (None, ...) where collecting would not pay."""
    columns = [c for c in columns if c.size]
    n = len(columns[0])
    few = slice(None, None, max(1, n // PROBE_ROWS))
    probe = _keys([c[few][:PROBE_ROWS] for c in columns])
    if len(np.unique(probe)) > 0.8 * len(probe):
        return None, np.zeros(0, dtype=int)
    _, first, group = np.unique(_keys(columns), return_index=True, return_inverse=True)
    return first, group.ravel()


def _keys(columns: list[np.ndarray]) -> np.ndarray:
    table = np.hstack(columns, dtype=float)
    return table.view([("", table.dtype)] * table.shape[1]).ravel()

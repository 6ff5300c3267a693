"""Whether rows say anything at all about every element of every parameter: classes without rows, columns without values."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...errors import BadInput, EmptyClass, EmptyColumn, Unidentified
from ...expect.coordinates import Coordinates
from ...expect.inside import possible_configurations, typical
from ...expect.plan import Part, Plan, ResidualPart, TablePart
from ...expect.store.patterns import Patterns
from ...families.support import Simplex
from ...problem.check import column_name
from ...problem.labels import plain
from ...spec.arguments import parameter_support
from ...spec.evaluate import Environment
from ...spec.roles import look_ups
from ...spec.variable import Variable
from ...spec.walk import names_in, value_names
from ..look_ups import Use, uses_of

PRIOR = "Give objective='map' with priors that have a mode inside (InverseGamma on a variance, Gamma or Beta with alpha > 1)"


@dataclass(frozen=True)
class CompleteData:
    """Rows shared equally among the configurations they are allowed, hidden Gaussian coordinates independent of everything.

    No E-step says more: a direction of which these statistics say nothing is flat whatever the responsibilities are.

    N (K,) weight; M (K, d, d) second moments about `Plan.centre`; S (L, K) statistics of the tables; pattern (n,) of the rows in
    their original order; seen {variable: (K, elements) whether any row of the configuration has a value there}.
    """

    N: np.ndarray
    M: np.ndarray
    S: np.ndarray
    pattern: np.ndarray
    seen: dict[str, np.ndarray]

    def live(self, part: Part) -> np.ndarray:
        """(K, elements) where the part counts and some row has a value for it to explain."""
        return self.seen[part.variable.label] & part.on[:, None]


def complete_data(plan: Plan) -> CompleteData:
    """The most that rows could say, from the moments of their patterns alone."""
    p, K, d = plan.store.moments_by_pattern, plan.K, plan.d
    N, M, S = np.zeros(K), np.zeros((K, d, d)), np.zeros((plan.layout.n_tables, K))
    open_ = possible_configurations(plan)
    for q in np.flatnonzero(p.weight > 0):
        ks = np.flatnonzero(p.allowed[q])
        ks = ks[open_[ks]] if open_[ks].any() else ks
        N[ks] += p.weight[q] / len(ks)
        M[ks] += (p.R[q].T @ p.R[q] + np.diag(p.weight[q] * plan.scale**2 * p.hidden[q])) / len(ks)
        S[:, ks] += p.S[q][:, None] / len(ks)
    return CompleteData(N, M, S, plan.pattern, _seen(plan, p))


def _seen(plan: Plan, p: Patterns) -> dict[str, np.ndarray]:
    out = {}
    for part in plan.parts:
        name = part.variable.label
        read = any(name in names_in(e) for other in plan.parts for e in other.distribution.arguments.values())
        # what others depend on is informed through them
        there = np.repeat(p.counted[:, None], part.size, axis=1) if read or name not in p.there else p.there[name]
        out[name] = p.allowed.T.astype(float) @ there > 0
    return out


def anywhere(plan: Plan, names: set[str] | None = None) -> Coordinates:
    """A chart at values without special relations between them, so that what is flat there is flat nearly everywhere."""
    env = plan.environment({v.label: typical(v, plan) for v in plan.parameters})
    chart = Coordinates(plan, env, names)
    u = chart.pack(env) + 0.3 * np.random.default_rng(0).normal(size=chart.size)
    return Coordinates(plan, chart.unpack(u), names)


def every_element(plan: Plan, rows: CompleteData) -> None:
    """Raise EmptyClass or EmptyColumn where an element of a looked-up parameter meets no row."""
    estimated = {v.label for v in plan.parameters}
    open_ = possible_configurations(plan)
    for latent in plan.latents:
        if set().union(*[value_names(e) for e in latent.arguments.values()]) & estimated:
            value = plan.configurations(latent.label)
            empty = [k for k in range(plan.axes[latent.label]) if not rows.N[value == k].any()]
            labelled = latent.label in plan.problem.given or latent.label in plan.problem.evidence
            # where the values alone rule a class out (no zero for an atom at zero) its probability is estimated at zero
            empty = [k for k in empty if open_[value == k].any()]
            if empty and labelled:
                raise empty_class(plan, rows, np.isin(value, empty))
    means = set().union(*[names_in(part.mean) for part in plan.parts if isinstance(part, ResidualPart)])
    for v in plan.parameters:
        uses = uses_of(plan, v)
        if uses and v.label not in means:
            _looked_up(plan, rows, v, uses)


def _looked_up(plan: Plan, rows: CompleteData, v: Variable, uses: list[Use]) -> None:
    shape = plan.problem.shape(v)
    elements = prod(shape[: len(shape) - 2] if v.family.matrix else shape)
    used, informed = np.zeros(elements, dtype=bool), np.zeros(elements, dtype=bool)
    for use in uses:
        used[use.index] = True
        informed[use.index[_informed(plan, rows, use)]] = True
    support = parameter_support(v, Environment(plan.problem.fixed))
    if isinstance(support, Simplex):  # a probability of zero is an estimate, as long as the others have rows
        informed = np.repeat(informed.reshape(-1, shape[-1]).any(axis=1), shape[-1]) | support.fixed(shape).ravel()
    if (used & ~informed).any():
        element = int(np.flatnonzero(used & ~informed)[0])
        raise nothing_said(plan, rows, [(use.part, _cells(use.index == element, use.part)) for use in uses])


def _cells(mask: np.ndarray, part: Part | None) -> np.ndarray:
    """(K, elements of the part) from the shape that the look-ups of a use have."""
    if part is None:
        return mask.reshape(len(mask), -1)
    if mask.ndim == 2 and mask.shape[1] != part.size:  # a covariance serves all columns of its variable
        return np.repeat(mask, part.size // mask.shape[1], axis=1)
    return mask.reshape(len(mask), part.size, -1).any(axis=2)


def _informed(plan: Plan, rows: CompleteData, use: Use) -> np.ndarray:
    """Where a use is informed, in the shape of its look-ups."""
    part = use.part
    if part is None:
        return np.broadcast_to((rows.N > 0).reshape(-1, *[1] * (use.index.ndim - 1)), use.index.shape)
    if isinstance(part, TablePart):
        blocks = part.blocks(rows.S[part.offset : part.offset + part.height])
        at_levels = [(b != 0).any(axis=0).transpose(2, 0, 1) & part.on[:, None, None] for b in blocks]
        if part.n_tables and at_levels[0].shape == use.index.shape:
            return at_levels[0]
        informed = np.any([x.any(axis=2) for x in at_levels], axis=0)  # a value says something of the probabilities of all
        return np.broadcast_to(informed[..., None], use.index.shape)
    live = rows.live(part)
    return live.reshape(plan.K, use.index.shape[1], -1).all(axis=2)


def nothing_said(plan: Plan, rows: CompleteData, where: list[tuple[Part | None, np.ndarray]]) -> BadInput:
    """The error for something that is used only where no row speaks: (K, elements) masks of the parts that use it."""
    used = np.any([mask.any(axis=1) for _, mask in where], axis=0)
    if not rows.N[used].any():
        return empty_class(plan, rows, used)
    for part, mask in where:
        if part is not None and (dead := mask & ~rows.live(part) & (rows.N > 0)[:, None]).any():
            k, j = np.argwhere(dead)[0]
            return EmptyColumn(
                column_name(plan.problem, part.variable, int(j)),
                f"at least one value in the rows {levels_text(plan, np.arange(plan.K) == k)}",
                "holes only",
                f"{PRIOR}, or leave the class or the column out.",
            )
    return Unidentified(
        ", ".join(dict.fromkeys(part.variable.label for part, _ in where if part is not None)),
        "rows that say something about every parameter that it reads",
        "none, for some of them",
        "Look for rows whose known factor is 0, or give the parameter's value in the data.",
    )


def empty_class(plan: Plan, rows: CompleteData, used: np.ndarray) -> EmptyClass:
    """The error for configurations (K,) without a row, in terms of the one variable that explains them, or of several."""
    involved = []
    for axis, size in plan.axes.items():
        value = plan.configurations(axis)
        weight = np.bincount(value, weights=rows.N, minlength=size)
        mine = np.unique(value[used])
        if len(mine) == size:
            continue
        involved.append(axis)
        if not weight[mine].any():
            labels = axis_labels(plan, axis)
            kind, kinds = ("level", "levels") if axis in plan.problem.spec.data else ("class", "classes")
            missing = " or ".join(repr(plain(labels[k])) for k in np.flatnonzero(weight == 0))
            return EmptyClass(
                axis, f"at least one row of each of {size} {kinds}", f"none of {missing}", _remedy(plan, axis, kind)
            )
    first = np.flatnonzero(used)[0]
    return EmptyClass(
        ", ".join(involved),
        "at least one row of every combination that has parameters of its own",
        f"none {levels_text(plan, np.arange(plan.K) == first)}",
        f"{PRIOR}, or let combinations share parameters.",
    )


def _remedy(plan: Plan, axis: str, kind: str) -> str:
    dim = next((d for _, d, name in look_ups(plan.problem.spec) if name == axis and d in plan.problem.spec.coords), None)
    return PRIOR + (f", or leave the {kind} out of the coords of {dim!r}." if dim is not None else ".")


def axis_labels(plan: Plan, axis: str) -> list[Any]:
    """What the values of a configuration axis are called."""
    problem = plan.problem
    if axis in problem.spec.variables:
        return problem.level_labels(problem.spec.variables[axis])
    dim = next((d for _, d, name in look_ups(problem.spec) if name == axis and d in problem.sizes), None)
    return list(range(plan.axes[axis])) if dim is None else list(problem.labels(dim))


def levels_text(plan: Plan, used: np.ndarray) -> str:
    """'of species='virginica'': what the configurations (K,) have in common; empty where they are all there are."""
    parts = []
    for axis, size in plan.axes.items():
        mine = np.unique(plan.configurations(axis)[used])
        if len(mine) < size:
            parts.append(f"{axis}={' or '.join(repr(plain(axis_labels(plan, axis)[k])) for k in mine)}")
    return f"of {', '.join(parts)}" if parts else ""

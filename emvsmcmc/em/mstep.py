"""The M-step, compiled once for a plan: means by regression, look-ups by messages, scales after means, the rest by Newton."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from ..errors import Degenerate
from ..expect.coefficients import at_levels, inverse_scale
from ..expect.coordinates import Coordinates
from ..expect.inside import typical
from ..expect.layout import Statistics
from ..expect.objective import Objective
from ..expect.plan import Plan, ResidualPart, TablePart, whitened
from ..families import CollapsingFamily, GaussianFamily, Limiting, Prior
from ..families.kinds import COVARIANCE, ConjugateKind, ScaleKind
from ..families.support import Interval, Positive, Real, Simplex
from ..spec.arguments import argument_values, parameter_support
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.variable import Variable
from ..spec.walk import degree, value_names
from .limits import Endless, at_best, endless_entries
from .look_ups import Use, mean_parameters, messages, uses_of
from .modes import mode
from .newton import maximise
from .regression import SINGULAR, Regression

NARROW = 1e-4  # relative deviation below which the terms of a density cancel: their rounding is eps / NARROW^2, 1e-8, nats a row
COLLAPSED = 1e-9  # of the column's standard deviation: a scale below it is a component sitting on one point
EMPTY = 1e-12  # of the total weight


@dataclass(frozen=True, eq=False)
class LookUp:
    """A parameter whose update is the mode of its messages."""

    parameter: Variable
    kind: ConjugateKind
    uses: list[Use]


class MStep:
    """theta -> argmax of Q( . ; S), block by block (ECM), each block with the same S and the newest values.

    Attributes tell how each parameter is updated: `regressions`, `look_ups`, `numeric` (groups of names that share a child).
    """

    def __init__(self, plan: Plan, objective: Objective) -> None:
        self.plan, self.objective = plan, objective
        by_name = {v.label: v for v in plan.parameters}
        self.regressions: list[Regression] = []
        self.look_ups: list[LookUp] = []
        rest: set[str] = set()
        means: set[str] = set()
        for parts, names in mean_parameters(plan):
            means |= names
            affine = all(degree(p.mean, names) <= 1 for p in parts)
            solvable = {n for n in names if affine and self._is_linear(by_name[n])}
            rest |= names - solvable
            if solvable:
                self.regressions.append(Regression(plan, parts, [v for v in plan.parameters if v.label in solvable]))
        scales: list[LookUp] = []
        self.watched: list[LookUp] = []  # scales whose step is numerical: they may collapse like the others
        for v in plan.parameters:
            if v.label in means:
                continue
            uses = uses_of(plan, v)
            kinds = {u.kind for u in uses or []}
            if not uses or len(kinds) != 1:
                rest.add(v.label)
                continue
            step = LookUp(v, next(iter(kinds)), uses)
            if not self._has_mode(v, step.kind):
                rest.add(v.label)
                self.watched += [step] if isinstance(step.kind, ScaleKind) else []
                continue
            (scales if isinstance(step.kind, ScaleKind) else self.look_ups).append(step)
        self.look_ups += scales
        self.floors = {step.parameter.label: _floor(plan, step) for step in [*scales, *self.watched]}
        self.collapsing = [p for p in plan.tables if isinstance(p.family, CollapsingFamily) and p.reads & set(by_name)]
        self.derived = [(p, names) for p in plan.residual_parts if (names := self._unwatched(p))]
        self.numeric = self._groups(rest)

    def _unwatched(self, part: ResidualPart) -> set[str]:
        """Parameters in a scale that is worked out from them, none of which has a floor of its own."""
        names = value_names(part.scale) & {v.label for v in self.plan.parameters}
        return names if not part.scale_kind.matrix and not names & set(self.floors) else set()

    def _is_linear(self, v: Variable) -> bool:
        """True where the regression's answer is always inside the support and the prior, if it counts, is Normal."""
        if uses_of(self.plan, v) != []:
            return False
        return isinstance(v.family.support(), Real) and (not self.objective.prior or isinstance(v.family, GaussianFamily))

    def _has_mode(self, v: Variable, kind: ConjugateKind) -> bool:
        family = v.family
        assert isinstance(family, Prior)
        if not self.objective.prior:
            return True
        ones = self.plan.environment({p.label: typical(p, self.plan) for p in self.plan.parameters})
        arguments = argument_values(v, ones)
        if family.natural(kind, **arguments) is not None:
            return True
        probe = (np.ones(self.plan.problem.shape(v)), np.ones(self.plan.problem.shape(v)))
        return kind in family.equations and family.mode(kind, probe, **arguments) is not None

    def _groups(self, names: set[str]) -> list[set[str]]:
        """Parameters without a closed form that meet in a child or in a prior are maximised together."""
        groups: list[set[str]] = []
        reads = [value_names(e) & names for p in self.plan.parts for e in p.distribution.arguments.values()]
        joined = [set().union(*[value_names(e) for e in p.distribution.arguments.values()]) & names for p in self.plan.parts]
        priors = [
            ({v.label} | set().union(*[value_names(e) for e in v.arguments.values()], set())) & names
            for v in self.plan.parameters
        ]
        for held in [*reads, *joined, *priors, *[{n} for n in names]]:
            if not held:
                continue
            for group in [g for g in groups if g & held]:
                groups.remove(group)
                held = held | group
            groups.append(held)
        return groups

    @cached_property
    def endless(self) -> list[Endless]:
        """Entries of parameters whose step is numerical that may go to the limit of a distribution."""
        numeric = set().union(*self.numeric)
        return [e for e in endless_entries(self.plan) if set(e.together) <= numeric]

    @cached_property
    def unbounded(self) -> set[str]:
        """Parameters that could go to infinity while the likelihood rises (see `recession`): real or positive ones without a
        closed form that only tables and assignment probabilities read. What a mean, a scale or another argument of continuous
        values reads cannot, for the density would vanish, unless it collapses; and where a family has a limit, that is its end
        (`expect.limits`).
        """
        arguments = [e for p in (*self.plan.residual_parts, *self.collapsing) for e in p.distribution.arguments.values()]
        arguments += [p.argument(k) for p in self.plan.parts if isinstance(p.family, Limiting) for k in p.family.endless]
        names = set().union(*self.numeric) - set().union(*[value_names(e) for e in arguments])
        by_name = {v.label: v for v in self.plan.parameters}
        return {n for n in names if isinstance(by_name[n].family.support(), Real | Positive) and not by_name[n].family.event_dims}

    def __call__(self, env: Environment, S: Statistics) -> Environment:
        """New parameter values. Raises Degenerate where a component collapsed or lost its rows."""
        for regression in self.regressions:
            env = _with(env, regression.solve(env, S, self.objective))
        for step in self.look_ups:
            env = _with(env, {step.parameter.label: self._mode(step, env, S)})
            if step.kind is COVARIANCE:
                env = whitened(self.plan, env)
        env = self._ahead(env, S)
        if self.endless:
            env = at_best(self.plan, self.endless, env, S, self.objective)
        for names in self.numeric:
            env = maximise(Coordinates(self.plan, env, names), S, self.objective)
            env = env.having(batch=None)
        for step in self.watched:
            self._not_collapsed(step, env.values[step.parameter.label].array)
        for part in self.collapsing:
            self._not_narrow(part, env)
        for residual, names in self.derived:
            self._not_derived_zero(residual, names, env)
        return env

    def _ahead(self, env: Environment, S: Statistics) -> Environment:
        """Scales whose step is numerical, set to what they would be without a prior where that is inside their support and raises
        Q: a better start, and the short way to the boundary where a component collapses. Newton alone would creep there along a
        bent ridge.
        """
        if not self.watched:
            return env
        values = {}
        for step in self.watched:
            shape = self.plan.problem.shape(step.parameter)
            sums = messages(self.plan, env, S, step.uses, prod(shape), shape)
            if (sums[0] <= EMPTY * float(S.N.sum())).any():
                return env
            values[step.parameter.label] = mode(step.parameter.label, step.kind, sums)
        for step in self.watched:
            support, x = parameter_support(step.parameter, env), values[step.parameter.label]
            if not (support.contains(x).all() and support.free(x).all()):  # a scale of zero, or one beyond its bounds
                return env
        try:
            tried = whitened(self.plan, _with(env, values))
            here, there = (Coordinates(self.plan, e, set(values)) for e in (env, tried))
            better = there.value(there.pack(tried), S, self.objective) > here.value(here.pack(env), S, self.objective)
        except (Degenerate, np.linalg.LinAlgError):
            return env
        return tried if better else env

    def _mode(self, step: LookUp, env: Environment, S: Statistics) -> np.ndarray:
        v = step.parameter
        shape = self.plan.problem.shape(v)
        size = prod(shape)
        sums = messages(self.plan, env, S, step.uses, size, shape)
        self._not_empty(step, sums, float(S.N.sum()))
        family, support = v.family, parameter_support(v, env)
        assert isinstance(family, Prior)
        value = None
        if self.objective.prior:
            arguments = argument_values(v, env)
            natural = family.natural(step.kind, **arguments)
            if natural is None:
                value = family.mode(step.kind, sums, **arguments)
                assert value is not None
            else:
                sums = tuple(m + n for m, n in zip(sums, natural, strict=True))
        if value is None:
            if isinstance(support, Simplex):  # a random completion may have counted what is zero by declaration
                sums = tuple(support.counted(m) for m in sums)
            value = mode(v.label, step.kind, sums)
        if isinstance(support, Interval):
            # every look-up objective has one mode: inside bounds it lies at the nearer one
            value = np.clip(value, support.lower, support.upper)
        self._not_collapsed(step, value)
        return value

    def _not_empty(self, step: LookUp, sums: tuple[np.ndarray, ...], total: float) -> None:
        if not self.objective.prior and isinstance(step.kind, ScaleKind) and (sums[0] <= EMPTY * total).any():
            raise Degenerate(step.parameter.label, "a component has no rows left")

    def _not_collapsed(self, step: LookUp, value: np.ndarray) -> None:
        if not isinstance(step.kind, ScaleKind):
            return
        d = step.kind.sd(value)
        if (d <= self.floors[step.parameter.label]).any():
            raise Degenerate(step.parameter.label, "a component collapsed on a point")
        if step.kind.matrix:
            condition = np.linalg.eigvalsh(value / (d[..., :, None] * d[..., None, :]))[..., 0]
            if (condition <= SINGULAR).any():
                raise Degenerate(
                    step.parameter.label,
                    "a component collapsed on a line or plane (fewer rows than columns, or collinear columns)",
                )

    def _not_narrow(self, part: TablePart, env: Environment) -> None:
        family = part.family
        assert isinstance(family, CollapsingFamily)
        deviation = family.relative_deviation(**at_levels(self.plan, part, part.estimated, part.levels, env))
        if (deviation[part.on] < NARROW).any():
            names = [v.label for v in self.plan.parameters if v.label in part.reads]
            raise Degenerate(", ".join(names), f"a component collapsed on a point, {part.variable.label} hardly varies in it")

    def _not_derived_zero(self, part: ResidualPart, names: set[str], env: Environment) -> None:
        """A scale that is worked out from parameters has not collapsed where its configurations count."""
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.broadcast_to(inverse_scale(self.plan, part, env), (self.plan.K, part.size))[part.on]
        if (inverse * self.plan.scale[part.columns] >= 1 / COLLAPSED).any():
            raise Degenerate(", ".join(sorted(names)), "a component collapsed on a point")


def _floor(plan: Plan, step: LookUp) -> np.ndarray:
    """The standard deviation at which each element has collapsed: a share of that of the columns it scales, each in its units."""
    shape = plan.problem.shape(step.parameter)
    lead = shape[:-1] if step.kind is COVARIANCE else shape
    event = lead[-1:] if step.kind is COVARIANCE else ()
    floor = np.full((prod(lead[: len(lead) - len(event)]), *event), np.inf)
    for use in step.uses:
        assert isinstance(use.part, ResidualPart)
        scale = plan.scale[use.part.columns].reshape(-1, *event)
        np.minimum.at(floor, use.index, np.broadcast_to(scale, (*use.index.shape, *event)))
    return COLLAPSED * np.where(np.isfinite(floor), floor, 0.0).reshape(lead)


def _with(env: Environment, values: dict[str, np.ndarray]) -> Environment:
    return env.with_values({k: Named(v, env.values[k].dims) for k, v in values.items()})

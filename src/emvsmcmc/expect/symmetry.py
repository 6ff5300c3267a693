"""Symmetries of a problem: which dims may be permuted, and a canonical order for reporting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..families.support import Positive, Real, Simplex
from ..spec.expression import Constant, Expression, Index
from ..spec.graph import Environment, walk
from ..spec.named import Named
from ..spec.variable import Switch, Variable
from .plan import Plan


def exchangeable(plan: Plan) -> dict[str, str | None]:
    """{dim counted by a discrete latent: None where its positions may be permuted, else what tells them apart}.

    A dim is exchangeable iff no leaf tells its positions apart, since everything else broadcasts by name: a constant that
    varies along it, given data that carry it, labels of a latent that counts it, the branches of a Switch.
    """
    return {
        d: _what_distinguishes(plan, d)
        for d in dict.fromkeys(z.counts for z in plan.latents)
        if d is not None and not d.startswith("_")
    }


def _what_distinguishes(plan: Plan, dim: str) -> str | None:
    problem = plan.problem
    counting = {z.label for z in plan.latents if z.counts == dim}
    for name in sorted(counting):
        if name in problem.evidence:
            return f"soft labels of {name} are given"
        if name in problem.given and np.isfinite(problem.given[name].array).any():
            return f"labels of {name} are given"
    for name, value in problem.given.items():
        if dim in value.dims:
            return f"{name} is given and carries it"
    for v in problem.spec.variables.values():
        if isinstance(v, Switch) and v.index.label in counting:
            return f"the branches of {v.label} are ordered"
        if dim in v.dims and problem.spec.plates_of(v):
            return f"{v.label} carries it"
        for leaf in _leaves(v):
            if _varies(leaf, dim, counting):
                return f"a constant of {v.label} varies along it"
    return None


def _leaves(variable: Variable) -> list[Expression]:
    found: list[Expression] = []
    for child in variable.children:
        found += list(walk(child))
    for argument in variable.arguments.values():
        if isinstance(argument, Variable) and argument.name is None:
            found += _leaves(argument)
    return found


def _varies(leaf: Expression, dim: str, counting: set[str]) -> bool:
    if isinstance(leaf, Constant) and dim in leaf.dims:
        return bool(np.ptp(leaf.value, axis=leaf.dims.index(dim)).max() > 0)
    if isinstance(leaf, Index) and isinstance(leaf.base, Constant):
        axes = [a for a, i in enumerate(leaf.index) if i.name in counting]
        return any(bool(np.ptp(leaf.base.value, axis=a).max() > 0) for a in axes)
    return False


def permute(plan: Plan, env: Environment, dim: str, order: Sequence[int] | np.ndarray) -> Environment:
    """Parameters with the positions of an exchangeable dim in another order: new position i holds the old order[i]."""

    def move(value: Named) -> Named:
        return Named(np.take(value.array, order, axis=value.dims.index(dim)), value.dims) if dim in value.dims else value

    names = {v.label for v in plan.parameters}
    return env.having(
        values={k: move(v) if k in names else v for k, v in env.values.items()},
        whiteners={k: move(v) if k in names else v for k, v in env.whiteners.items()},
    )


def canonical(plan: Plan, env: Environment) -> Environment:
    """The relabelling that is reported: components in ascending order of the first real parameter that has the dim (else of
    the first positive one, else in descending order of the probabilities), so that runs with other seeds read alike."""
    for dim, reason in exchangeable(plan).items():
        if reason is None and (order := _order(plan, env, dim)) is not None:
            env = permute(plan, env, dim, order)
    return env


def _order(plan: Plan, env: Environment, dim: str) -> np.ndarray | None:
    for kind, sign in ((Real, 1.0), (Positive, 1.0), (Simplex, -1.0)):
        for v in plan.parameters:
            if dim in v.dims and isinstance(v.family.support(), kind):
                value = np.moveaxis(env.values[v.label].array, v.dims.index(dim), 0)
                return np.argsort(sign * value.reshape(len(value), -1)[:, 0], kind="stable")
    return None

"""Symmetries of a problem: which dims may be permuted, and a canonical order for reporting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..expect.coefficients import coefficients, log_prior
from ..expect.inside import fixed_entries, typical
from ..expect.objective import MAP, ML, Objective
from ..expect.plan import Plan
from ..expect.rows import expect_rows
from ..families.support import Positive, Real, Simplex
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment, value_of
from ..spec.expression import Constant, Expression, Index, Stack, Take
from ..spec.named import Named
from ..spec.private_dims import is_unnamed
from ..spec.variable import Switch, Variable
from ..spec.walk import names_in, walk

EVERY = 6  # positions up to which every naming is looked at; beyond it, swaps of two as long as one helps
SAME = 1e-9  # nats by which another naming must be better to be preferred


def exchangeable(plan: Plan, objective: Objective = MAP) -> dict[str, str | None]:
    """{dim counted by a discrete latent: None where its positions may be permuted, else what tells them apart}.

    A dim is exchangeable iff no leaf tells its positions apart, since everything else broadcasts by name: a constant that
    varies along it, given data that carry it, labels of a latent that counts it, the branches of a Switch.

    objective : MAP speaks of the posterior, ML of the likelihood alone, which constants in the priors of parameters do not
    concern.
    """
    return {
        d: _what_distinguishes(plan, d, objective)
        for d in dict.fromkeys(z.counts for z in plan.latents)
        if d is not None and not is_unnamed(d)
    }


def by_prior_alone(plan: Plan) -> list[str]:
    """Dims whose positions the likelihood cannot tell apart but the prior can: each naming is a mode of its own."""
    posterior = exchangeable(plan)
    return [d for d, reason in exchangeable(plan, objective=ML).items() if reason is None and posterior[d] is not None]


def _what_distinguishes(plan: Plan, dim: str, objective: Objective) -> str | None:
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
        if dim in v.dims and _apart(plan, v, dim):
            return f"what is zero by declaration in {v.label} differs along it"
        if not objective.prior and v in plan.parameters:
            continue
        for leaf in _leaves(v):
            if isinstance(leaf, Stack | Take) and leaf.dim == dim:
                return f"{v.label} tells its positions apart, one by one"
            if _varies(leaf, dim, counting):
                return f"a constant of {v.label} varies along it"
    return None


def _apart(plan: Plan, v: Variable, dim: str) -> bool:
    """Whether what a parameter's prior fixes tells every position of a dim from every other: no renaming keeps to it."""
    fixed = fixed_entries(plan.problem).get(v.label)
    if fixed is None:
        return False
    held = np.where(fixed, typical(v, plan), -1.0)
    by_position = np.moveaxis(held, v.dims.index(dim), 0).reshape(held.shape[v.dims.index(dim)], -1)
    return len(np.unique(by_position, axis=0)) == len(by_position)


def _inside(plan: Plan, env: Environment) -> bool:
    """Whether the parameters lie in their supports, where those are more than a kind: a renaming may leave them."""
    reading = [v for v in plan.parameters if any(a.decides for a in v.family.arguments.values())]
    return all(parameter_support(v, env).contains(env.values[v.label].array).all() for v in reading)


def _leaves(variable: Variable) -> list[Expression]:
    leaves: list[Expression] = []
    for child in variable.children:
        leaves += list(walk(child))
    for argument in variable.arguments.values():
        if isinstance(argument, Variable) and argument.name is None:
            leaves += _leaves(argument)
    return leaves


def _varies(leaf: Expression, dim: str, counting: set[str]) -> bool:
    if isinstance(leaf, Constant) and dim in leaf.dims:
        return bool(np.ptp(leaf.value, axis=leaf.dims.index(dim)).max() > 0)
    if isinstance(leaf, Index) and not names_in(leaf.base):
        table = value_of(leaf.base, Environment({})).to(leaf.base.dims)
        axes = [a for a, i in enumerate(leaf.index) if i.name in counting]
        return any(bool(np.ptp(table, axis=a).max() > 0) for a in axes)
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
    the first positive one, else in descending order of the probabilities), or of what the spec states, so that runs with other
    seeds read alike."""
    for dim, reason in exchangeable(plan).items():
        if reason is None and (order := _order(plan, env, dim)) is not None:
            env = permute(plan, env, dim, order)
    return env


def preferred(plan: Plan, env: Environment) -> Environment:
    """The naming that the prior prefers, of those that keep to what it allows: argmax over permutations of log p(permuted
    parameters), of the dims that only the prior tells apart; the canonical order where it does not care. Several dims in turn,
    until none changes.
    """
    dims = by_prior_alone(plan)
    for dim in dims:
        if (order := _order(plan, env, dim)) is not None and _inside(plan, named := permute(plan, env, dim, order)):
            env = named
    best, changed = _height(plan, env), bool(dims)
    while changed:
        changed = False
        for dim in dims:
            for other in _renamed(plan, env, dim, EVERY):
                if (height := _height(plan, other)) > best + SAME:
                    env, best, changed = other, height, True
    return env


def namings(plan: Plan, env: Environment, every: int = 4) -> list[Environment]:
    """The same parameters under other names in the dims that only the prior tells apart, of those that the prior allows: every
    other naming of a dim with up to `every` positions; else the preferred one and all swaps of two.
    """
    dims = by_prior_alone(plan)
    several = any(plan.problem.sizes[d] > every for d in dims) or len(dims) > 1
    candidates = [preferred(plan, env)] if several else []
    candidates += [other for dim in dims for other in _renamed(plan, env, dim, every)]
    return [other for other in candidates if np.isfinite(_height(plan, other))]


def _renamed(plan: Plan, env: Environment, dim: str, every: int) -> Iterator[Environment]:
    size = plan.problem.sizes[dim]
    if size <= every:
        orders = list(permutations(range(size)))[1:]
    else:
        orders = [tuple(j if k == i else i if k == j else k for k in range(size)) for i, j in combinations(range(size), 2)]
    return (permute(plan, env, dim, order) for order in orders)


def _height(plan: Plan, env: Environment) -> float:
    if not _inside(plan, env):
        return -np.inf
    with np.errstate(all="ignore"):
        height = float(log_prior(plan, env))
    return height if height == height else -np.inf


def named_alike(plan: Plan, a: Environment, b: Environment) -> bool:
    """Whether no renaming of a dim that only the prior tells apart makes a's assignments of the rows agree better with b's."""
    dims = by_prior_alone(plan)
    if not dims:
        return True
    r, s = (expect_rows(plan, coefficients(plan, env))[2].responsibility for env in (a, b))
    for dim in dims:
        agreement = np.zeros((plan.problem.sizes[dim],) * 2)
        for z in plan.latents:
            if z.counts == dim:
                to = np.eye(len(agreement))[plan.configurations(z.label)]
                agreement += (r @ to).T @ (s @ to)
        if agreement[linear_sum_assignment(-agreement)].sum() > agreement.trace() * (1 + SAME):
            return False
    return True


def stated_order(plan: Plan, env: Environment, dim: str, lead: Sequence[str] = ()) -> np.ndarray | None:
    """(*lead, size) positions of a dim in increasing order of what the spec states (`Spec.ordered`); None where it states
    nothing. `env` may have the dims `lead`.
    """
    name = plan.problem.spec.ordered.get(dim)
    if name is None:
        return None
    function = plan.problem.spec.deterministics.get(name)
    value = env.values[name] if function is None else value_of(function.expression, env)
    rest = [d for d in value.dims if d != dim and d not in lead]
    by = value.to((*lead, dim, *rest))
    return np.argsort(by.reshape((*by.shape[: len(lead) + 1], -1))[..., 0], axis=-1, kind="stable")


def _order(plan: Plan, env: Environment, dim: str) -> np.ndarray | None:
    if (stated := stated_order(plan, env, dim)) is not None:
        return stated
    for kind, sign in ((Real, 1.0), (Positive, 1.0), (Simplex, -1.0)):
        for v in plan.parameters:
            if dim in v.dims and isinstance(v.family.support(), kind):
                value = np.moveaxis(env.values[v.label].array, v.dims.index(dim), 0)
                return np.argsort(sign * value.reshape(len(value), -1)[:, 0], kind="stable")
    return None

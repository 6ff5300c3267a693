"""Which parameter stands in which slot, found once: look-ups as integer gathers, and the messages they carry."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..expect.coefficients import at_levels, residual_rows
from ..expect.layout import Statistics
from ..expect.plan import Levels, Part, Plan, RadialPart, ResidualPart, TablePart
from ..families import ConjugateFamily
from ..families.kinds import COVARIANCE, RATE, SIGMA, VARIANCE, ConjugateKind, Kind
from ..spec.evaluate import Environment, value_of
from ..spec.expression import Expression, Operation
from ..spec.named import Named
from ..spec.private_dims import LEVELS, configuration_dim
from ..spec.variable import Variable
from ..spec.walk import looked_up, names_in, value_names


@dataclass(frozen=True, eq=False)
class Use:
    """One slot in which a parameter is looked up: `index` says which of its (flat) elements stands where."""

    kind: ConjugateKind
    part: Part | None  # None for the probabilities of a latent
    latent: Variable | None
    index: np.ndarray
    key: str = ""
    factor: np.ndarray | None = None


def uses_of(plan: Plan, parameter: Variable) -> list[Use] | None:
    """Every use of a parameter outside means, or None where one of them is not a plain look-up (then the step is numerical)."""
    out: list[Use] = []
    name = parameter.label
    for latent in plan.latents:
        for key, expression in latent.arguments.items():
            if name not in value_names(expression):
                continue
            kind = latent.family.arguments[key].kind
            if not isinstance(kind, ConjugateKind) or not _is_look_up(expression, name):
                return None
            value = value_of(expression, _positions(plan, parameter))
            if key == latent.family.counted:
                value = value.rename({expression.dims[-1]: configuration_dim(latent.label)})
            out.append(Use(kind, None, latent, plan.spread(value)[:, 0].astype(np.int64), key))
    for part in plan.parts:
        for key, expression in part.distribution.arguments.items():
            if name not in value_names(expression) or (isinstance(part, ResidualPart) and expression is part.mean):
                continue
            use = _use(plan, parameter, part, key, expression)
            if use is None:
                return None
            out.append(use)
    return out


def _use(plan: Plan, parameter: Variable, part: Part, key: str, expression: Expression) -> Use | None:
    kind = part.family.arguments[key].kind
    factor: Expression | None = None
    kind, expression = _unwrapped_scale(kind, expression)
    if not isinstance(kind, ConjugateKind):
        return None
    if kind.takes_factor and isinstance(expression, Operation) and expression.function == "mul":
        left, right = expression.children
        if parameter.label in value_names(right):
            left, right = right, left
        if set(value_names(right)) <= set(plan.problem.covariates) | set(plan.problem.fixed):
            expression, factor = left, right
    if not _is_look_up(expression, parameter.label):
        return None
    if isinstance(part, ResidualPart):
        if kind is COVARIANCE:
            lead = part.elements[:-1]
            value = value_of(expression, _positions(plan, parameter, drop=2))
            return Use(kind, part, None, plan.spread(value, lead).astype(np.int64), key)
        index = plan.spread(value_of(expression, _positions(plan, parameter)), part.elements).astype(np.int64)
        if factor is None:
            return Use(kind, part, None, index, key)
        known = value_of(factor, Environment({**plan.problem.fixed, **part.data}))
        return Use(kind, part, None, index, key, plan.spread(known, part.elements))
    assert isinstance(part, TablePart)
    others = [e for k, e in part.distribution.arguments.items() if k != key]
    if set().union(*[value_names(e) for e in others]) & {v.label for v in plan.parameters}:
        return None  # its messages are the sums at given values of the others, and those move with it
    levels = _levels(part)
    extra = [(LEVELS, levels.size if part.n_tables else 1)] if key != part.family.counted else [(str(part.counted), levels.size)]
    index = plan.spread(value_of(expression, _positions(plan, parameter)), part.elements, extra).astype(np.int64)
    if factor is None:
        return Use(kind, part, None, index, key)
    known = value_of(factor, Environment({**plan.problem.fixed, **levels.data}))
    return Use(kind, part, None, index, key, plan.spread(known, part.elements, extra))


def _levels(part: TablePart) -> Levels:
    """The levels that its messages are read from."""
    if part.n_tables or part.values is None:
        return part.levels
    return part.values


def _unwrapped_scale(kind: Kind | None, expression: Expression) -> tuple[Kind | None, Expression]:
    """A scale that is written in a variance or a precision, as the slot of that: sqrt(v) in sigma is v in variance, 1 / tau in
    variance is a rate, whose log-likelihood is N/2 log tau - tau SS/2.
    """
    function = expression.function if isinstance(expression, Operation) else ""
    inner = expression.children[0] if function else expression
    if kind is SIGMA and function == "sqrt":
        return _unwrapped_scale(VARIANCE, inner)
    if kind is SIGMA and function == "inv" and isinstance(inner, Operation) and inner.function == "sqrt":
        return RATE, inner.children[0]
    return (RATE, inner) if kind is VARIANCE and function == "inv" else (kind, expression)


def unwrapped(expression: Expression) -> Expression:
    """What stands inside the square roots and inverses of a scale."""
    while isinstance(expression, Operation) and expression.function in ("sqrt", "inv"):
        expression = expression.children[0]
    return expression


def _is_look_up(expression: Expression, name: str) -> bool:
    base = looked_up(expression)
    return base.name == name and isinstance(base, Variable)


def _positions(plan: Plan, parameter: Variable, drop: int = 0) -> Environment:
    """The parameter replaced by the positions of its elements, so that evaluating a look-up gives the gather itself."""
    dims = parameter.dims[: len(parameter.dims) - drop] if drop else parameter.dims
    shape = tuple(plan.problem.sizes[d] for d in dims)
    return Environment({parameter.label: Named(np.arange(prod(shape), dtype=float).reshape(shape), dims)})


def messages(
    plan: Plan, env: Environment, S: Statistics, uses: list[Use], size: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Sum of the messages of all uses, in the parameter's declared shape (a covariance: counts without the matrix dims)."""
    totals: list[np.ndarray] | None = None
    for use in uses:
        parts = _message(plan, env, S, use, size, shape)
        totals = parts if totals is None else [a + b for a, b in zip(totals, parts, strict=True)]
    assert totals is not None
    if uses[0].kind in (SIGMA, VARIANCE):
        totals[1] = np.maximum(totals[1], 0.0)  # a sum of squares that is nothing may round to less
    return tuple(totals)


def _message(plan: Plan, env: Environment, S: Statistics, use: Use, size: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    def gather(values: np.ndarray) -> np.ndarray:
        return np.bincount(use.index.ravel(), weights=np.broadcast_to(values, use.index.shape).ravel(), minlength=size).reshape(
            shape
        )

    if use.latent is not None:
        # responsibilities are counts of the values that an assignment has in each configuration
        family, value = use.latent.family, plan.configurations(use.latent.label)
        assert isinstance(family, ConjugateFamily)
        if family.counted is not None:
            return [gather(m) for m in family.message(use.key, [S.N])]
        by_value = np.where(value[:, None] == np.arange(plan.axes[use.latent.label]), S.N[:, None], 0.0)
        return [gather(m[:, 0]) for m in family.message(use.key, [by_value])]
    part = use.part
    assert part is not None
    if isinstance(part, ResidualPart):
        return _scale_message(plan, env, S, use, part, shape, gather)
    assert isinstance(part, TablePart)
    family = part.family
    assert isinstance(family, ConjugateFamily)
    rows = part.blocks(S.S[part.offset : part.offset + part.height])[0]
    statistics = [np.where(part.on[:, None, None], r.transpose(2, 0, 1), 0.0) for r in rows]
    others = at_levels(plan, part, [k for k in part.estimated if k != use.key], _levels(part), env)
    message = list(family.message(use.key, statistics, **others))
    if use.factor is not None:
        message[1] = message[1] * use.factor
    return [gather(m) for m in message]


def _scale_message(plan, env, S, use, part, shape, gather) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    A = residual_rows(plan, part, env, plan.centre + S.rho)
    if use.factor is not None:  # divided by what is known of the scale, the residuals have the scale that is not
        known = (use.factor if use.kind is SIGMA else np.sqrt(use.factor))[:, :, None]
        A = A * known if use.kind is RATE else A / known
    N, M, root = np.where(part.on, S.N, 0.0)[:, None], S.M[:, None], S.root
    if isinstance(part, RadialPart):
        # a missing value is not counted; the squares are weighted by the expected scales
        N = S.S[part.offset : part.offset + part.size // part.length].T * part.on[:, None]
        M, root = S.U[:, part.groups], None
    if use.kind is not COVARIANCE:
        if root is None:
            SS = np.einsum("kmd,kmd->km", (A[:, :, None] @ M)[:, :, 0], A)
        else:
            SS = ((A @ root.swapaxes(1, 2)) ** 2).sum(axis=2)
        return _halved(use, [gather(N), gather(SS * part.on[:, None])])
    p = part.elements[-1][1]
    A = A.reshape(plan.K, -1, p, plan.d)
    left = A @ M if root is None else A @ root.swapaxes(1, 2)[:, None]
    right = A if root is None else left
    SS = (left @ right.swapaxes(-1, -2)) * part.on[:, None, None, None]
    lead = shape[:-2]
    count = np.bincount(use.index.ravel(), weights=np.broadcast_to(N, use.index.shape).ravel(), minlength=prod(lead))
    total = np.zeros((prod(lead), p, p))
    np.add.at(total, use.index.ravel(), SS.reshape(-1, p, p))
    return [count.reshape(lead), (0.5 * (total + total.swapaxes(-1, -2))).reshape(shape)]


def _halved(use: Use, sums: list[np.ndarray]) -> list[np.ndarray]:
    """(n, ss) as they are for a scale, halved for a precision, which they reach as events over exposure."""
    return [0.5 * np.maximum(x, 0.0) for x in sums] if use.kind is RATE else sums


def moments(part: ResidualPart, S: Statistics) -> np.ndarray:
    """(K, m, d, d) the second moments that the squared residuals are read from; one for all of a Gaussian's, (K, 1, d, d)."""
    return np.repeat(S.U[:, part.groups], part.length, axis=1) if isinstance(part, RadialPart) else S.M[:, None]


def mean_parameters(plan: Plan) -> list[tuple[list[ResidualPart], set[str]]]:
    """Connected groups of parts that share mean parameters."""
    names = {v.label for v in plan.parameters}
    groups: list[tuple[list[ResidualPart], set[str]]] = []
    for part in plan.residual_parts:
        mine = names_in(part.mean) & names
        if not mine:
            continue
        parts, held = [part], set(mine)
        for group in [g for g in groups if g[1] & mine]:
            groups.remove(group)
            parts, held = group[0] + parts, held | group[1]
        groups.append((parts, held))
    return groups

"""Which parameter stands in which slot, found once: look-ups as integer gathers, and the messages they carry."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..expect.coefficients import residual_rows
from ..expect.layout import Statistics
from ..expect.plan import LEVELS, LevelPart, Part, Plan, RadialPart, ResidualPart, TablePart
from ..families import TableFamily
from ..spec.evaluate import Environment, value_of
from ..spec.expression import Expression, Operation
from ..spec.named import Named
from ..spec.variable import Variable
from ..spec.walk import looked_up, names_in, value_names

FACTOR_KINDS = ("rate", "sigma", "variance")  # slots where a known factor (an exposure, the scale of a row) keeps the closed form


@dataclass(frozen=True, eq=False)
class Use:
    """One slot in which a parameter is looked up: `index` says which of its (flat) elements stands where."""

    kind: str
    part: Part | None  # None for the probabilities of a latent
    latent: Variable | None
    index: np.ndarray
    factor: np.ndarray | None = None


def uses_of(plan: Plan, parameter: Variable) -> list[Use] | None:
    """Every use of a parameter outside means, or None where one of them is not a plain look-up (then the step is numerical)."""
    out: list[Use] = []
    name = parameter.label
    for latent in plan.latents:
        p = latent.arguments["p"]
        if name in value_names(p):
            if not _is_look_up(p, name):
                return None
            value = value_of(p, _positions(plan, parameter))
            if latent.family.name == "Categorical":
                index = plan.spread(value.rename({p.dims[-1]: f"@{latent.label}"}))[:, 0]
                out.append(Use("probabilities", None, latent, index.astype(np.int64)))
            else:
                out.append(Use("probability", None, latent, plan.spread(value)[:, 0].astype(np.int64)))
    for part in plan.parts:
        for key, expression in part.distribution.arguments.items():
            if name not in value_names(expression) or (isinstance(part, ResidualPart) and key == "mu"):
                continue
            use = _use(plan, parameter, part, key, expression)
            if use is None:
                return None
            out.append(use)
    return out


def _use(plan: Plan, parameter: Variable, part: Part, key: str, expression: Expression) -> Use | None:
    kind = part.distribution.family.slots[key].kind  # type: ignore[attr-defined]
    factor: Expression | None = None
    kind, expression = unwrapped_scale(kind, expression)
    if kind in FACTOR_KINDS and isinstance(expression, Operation) and expression.function == "mul":
        left, right = expression.children
        if parameter.label in value_names(right):
            left, right = right, left
        if set(value_names(right)) <= set(plan.problem.covariates) | set(plan.problem.fixed):
            expression, factor = left, right
    if kind is None or not _is_look_up(expression, parameter.label):
        return None
    if isinstance(part, ResidualPart):
        if kind == "cov":
            lead = part.elements[:-1]
            value = value_of(expression, _positions(plan, parameter, drop=2))
            return Use(kind, part, None, plan.spread(value, lead).astype(np.int64))
        index = plan.spread(value_of(expression, _positions(plan, parameter)), part.elements).astype(np.int64)
        if factor is None:
            return Use(kind, part, None, index)
        known = value_of(factor, Environment({**plan.problem.fixed, **part.data}))
        return Use(kind, part, None, index, plan.spread(known, part.elements))
    if isinstance(part, TablePart):
        extra = [(LEVELS, part.levels)]
        index = plan.spread(value_of(expression, _positions(plan, parameter)), part.elements, extra).astype(np.int64)
        if factor is None:
            return Use(kind, part, None, index)
        known = value_of(factor, Environment({**plan.problem.fixed, **part.data}))
        return Use(kind, part, None, index, plan.spread(known, part.elements, extra))
    assert isinstance(part, LevelPart)
    extra = [(part.counted, part.levels)] if part.counted is not None else []
    return Use(
        kind, part, None, plan.spread(value_of(expression, _positions(plan, parameter)), part.elements, extra).astype(np.int64)
    )


def unwrapped_scale(kind: str | None, expression: Expression) -> tuple[str | None, Expression]:
    """A scale that is written in a variance or a precision, as the slot of that: sqrt(v) in sigma is v in variance, 1 / tau in
    variance is a rate, whose log-likelihood is N/2 log tau - tau SS/2.
    """
    function = expression.function if isinstance(expression, Operation) else ""
    inner = expression.children[0] if function else expression
    if kind == "sigma" and function == "sqrt":
        return unwrapped_scale("variance", inner)
    if kind == "sigma" and function == "inv" and isinstance(inner, Operation) and inner.function == "sqrt":
        return "rate", inner.children[0]
    return ("rate", inner) if kind == "variance" and function == "inv" else (kind, expression)


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
    if uses[0].kind in ("sigma", "variance"):
        totals[1] = np.maximum(totals[1], 0.0)  # a sum of squares that is nothing may round to less
    return tuple(totals)


def _message(plan: Plan, env: Environment, S: Statistics, use: Use, size: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    def gather(values: np.ndarray) -> np.ndarray:
        return np.bincount(use.index.ravel(), weights=np.broadcast_to(values, use.index.shape).ravel(), minlength=size).reshape(
            shape
        )

    if use.latent is not None:
        if use.kind == "probabilities":
            return [gather(S.N)]
        one = plan.configurations(use.latent.label) == 1
        return [gather(S.N * one), gather(S.N * ~one)]
    part = use.part
    assert part is not None
    if isinstance(part, ResidualPart):
        return _scale_message(plan, env, S, use, part, shape, gather)
    on = part.on[:, None, None]
    if isinstance(part, TablePart):
        rows = S.S[part.offset : part.offset + part.height].reshape(part.n_tables, part.size, part.levels, plan.K)
        family = part.distribution.family
        assert isinstance(family, TableFamily)
        found = list(family.message(part.slot, [np.where(on, r.transpose(2, 0, 1), 0.0) for r in rows]))
        if use.factor is not None:
            found[1] = found[1] * use.factor
        return [gather(m) for m in found]
    assert isinstance(part, LevelPart)
    counts = np.where(
        on, S.S[part.offset : part.offset + part.height].reshape(part.size, part.levels, plan.K).transpose(2, 0, 1), 0.0
    )
    return [gather(counts)] if use.kind == "probabilities" else [gather(counts[..., 1]), gather(counts[..., 0])]


def _scale_message(plan, env, S, use, part, shape, gather) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    A = residual_rows(plan, part, env, plan.centre + S.rho)
    if use.factor is not None:  # divided by what is known of the scale, the residuals have the scale that is not
        root = (use.factor if use.kind == "sigma" else np.sqrt(use.factor))[:, :, None]
        A = A * root if use.kind == "rate" else A / root
    N = np.where(part.on, S.N, 0.0)
    if isinstance(part, RadialPart):
        # a missing value is not counted; the squares are weighted by the expected scales
        there = S.S[part.offset : part.offset + part.size].T * part.on[:, None]
        SS = np.einsum("kmd,kmd->km", (A[:, :, None] @ moments(part, S))[:, :, 0], A) * part.on[:, None]
        return _halved(use, [gather(there), gather(SS)])
    if use.kind != "cov":
        squares = np.einsum("kmd,kmd->km", A @ S.M, A) if S.root is None else ((A @ S.root.swapaxes(1, 2)) ** 2).sum(axis=2)
        SS = squares * part.on[:, None]
        return _halved(use, [gather(N[:, None]), gather(SS)])
    p = part.elements[-1][1]
    A = A.reshape(plan.K, -1, p, plan.d)
    left = A @ S.M[:, None] if S.root is None else A @ S.root.swapaxes(1, 2)[:, None]
    right = A if S.root is None else left
    SS = (left @ right.swapaxes(-1, -2)) * part.on[:, None, None, None]
    lead = shape[:-2]
    count = np.bincount(use.index.ravel(), weights=np.broadcast_to(N[:, None], use.index.shape).ravel(), minlength=prod(lead))
    total = np.zeros((prod(lead), p, p))
    np.add.at(total, use.index.ravel(), SS.reshape(-1, p, p))
    return [count.reshape(lead), (0.5 * (total + total.swapaxes(-1, -2))).reshape(shape)]


def _halved(use: Use, found: list[np.ndarray]) -> list[np.ndarray]:
    """(n, ss) as they are for a scale, halved for a precision, which they reach as events over exposure."""
    return [0.5 * np.maximum(x, 0.0) for x in found] if use.kind == "rate" else found


def moments(part: ResidualPart, S: Statistics) -> np.ndarray:
    """(K, m, d, d) the second moments that the squared residuals are read from; one for all of a Gaussian's, (K, 1, d, d)."""
    return S.U[:, part.rows] if isinstance(part, RadialPart) else S.M[:, None]


def mean_parameters(plan: Plan) -> list[tuple[list[ResidualPart], set[str]]]:
    """Connected groups of parts that share mean parameters."""
    names = {v.label for v in plan.parameters}
    groups: list[tuple[list[ResidualPart], set[str]]] = []
    for part in plan.residual_parts:
        mine = names_in(part.argument("mu")) & names
        if not mine:
            continue
        parts, held = [part], set(mine)
        for group in [g for g in groups if g[1] & mine]:
            groups.remove(group)
            parts, held = group[0] + parts, held | group[1]
        groups.append((parts, held))
    return groups

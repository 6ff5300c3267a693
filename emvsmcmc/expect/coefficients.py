"""Parameters -> Coefficients: what rows contract with. The same code runs on numpy (real or complex) and on PyTensor."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from ..families import Family, TableFamily, ValueFamily
from ..families.base import COMPLEMENT
from ..families.kinds import PROBABILITY
from ..families.radial import log_constant
from ..families.support import whitener
from ..numerics import LOG_2PI
from ..spec.arguments import argument_values
from ..spec.evaluate import Environment, complement, evaluate, value_of
from ..spec.expression import Constant, Expression, Index, Take
from ..spec.named import Named, lift
from ..spec.private_dims import BATCH, LEVELS, configuration_dim, coordinate_dim, is_configuration
from ..spec.variable import Variable
from ..spec.walk import with_children
from .layout import Coefficients
from .plan import Levels, Plan, RadialPart, ResidualPart, TablePart


def coefficients(plan: Plan, env: Environment, rho: Any | None = None, centre: Any | None = None) -> Coefficients:
    """c, B, T (and A, nu) of `Layout`'s formula at the parameter values of `env`, about the reference points rho (K, d), zero if
    None, counted from `centre` (d,), the plan's own if None (a graph takes it as an input).

    Every array carries a trailing batch axis where the parameters do. Holomorphic: a complex step differentiates it.
    """
    xp = env.xp
    rho = np.zeros((plan.K, plan.d)) if rho is None else rho
    origin = (plan.centre if centre is None else centre) + rho
    c = xp.zeros(_tail(env, plan.K))
    # far along a link a rate may be infinite in float64: what is looked up there is not finite, and is seen
    with np.errstate(divide="ignore", over="ignore"):
        for latent in plan.latents:
            c = c + assignment_rows(plan, latent, env)
        blocks = []
        for part in plan.gaussians:
            block, half_logdet = whitened_rows(plan, part, env, origin)
            constant = half_logdet - 0.5 * part.size * LOG_2PI
            c = c + _masked(part, constant, env)
            blocks.append(_masked(part, block, env))
        B = _concatenate(xp, blocks, 1) if blocks else xp.zeros(_tail(env, plan.K, 0, plan.d))
        tables = [_masked_table(p, table_rows(plan, p, env), env) for p in plan.tables]
        tables += [_masked_table(p, constant_rows(plan, p, env), env) for p in plan.radials]
        tables.sort(key=lambda pair: pair[0])
        T = _concatenate(xp, [t for _, t in tables], 0) if tables else xp.zeros(_tail(env, 0, plan.K))
        if not plan.radials:
            return Coefficients(c, B, T, rho)
        A = [_masked(p, whitened_rows(plan, p, env, origin)[0], env) for p in plan.radials]
        nu = [_wide(degrees_of_freedom(plan, p, env), env) for p in plan.radials]
    return Coefficients(c, B, T, rho, _concatenate(xp, A, 1), _concatenate(xp, nu, 1))


def assignment_rows(plan: Plan, latent: Variable, env: Environment) -> Any:
    """(K[, batch]) log probability of the value that an assignment has in each configuration."""
    return _spread(plan, log_probabilities(latent, env), env)[:, 0]


def _spread(plan: Plan, x: Named, env: Environment, elements: Any = (), extra: Any = ()) -> Any:
    """`Plan.spread`, with a batch axis of length 1 where the environment has a batch and this value does not depend on it."""
    array = plan.spread(x, elements, extra, env.xp)
    return array if env.batch is None or BATCH in x.dims else array[..., None]


def _tail(env: Environment, *shape: int) -> tuple[int, ...]:
    return shape if env.batch is None else (*shape, env.batch)


def _concatenate(xp: Any, blocks: list[Any], axis: int) -> Any:
    return blocks[0] if len(blocks) == 1 else xp.concatenate(blocks, axis=axis)


def _masked(part: Any, array: Any, env: Environment) -> Any:
    """Zero outside the part's configurations."""
    if part.on.all():
        return _wide(array, env)
    mask = part.on.reshape((-1,) + (1,) * (array.ndim - 1))
    return env.xp.where(mask, array, 0.0)


def _wide(array: Any, env: Environment) -> Any:
    """The whole batch axis, where the environment has one."""
    return array if env.batch is None or array.shape[-1] == env.batch else np.broadcast_to(array, (*array.shape[:-1], env.batch))


def _masked_table(part: Any, table: Any, env: Environment) -> tuple[int, Any]:
    if part.on.all():
        return part.offset, table
    mask = part.on.reshape((1, -1) + (1,) * (table.ndim - 2))
    return part.offset, env.xp.where(mask, table, 0.0)


def log_probabilities(latent: Variable, env: Environment) -> Named:
    """log p of an assignment over its own axis "@latent" and those of its parents."""
    family, axis = latent.family, configuration_dim(latent.label)
    assert isinstance(family, ValueFamily)
    arguments: dict[str, Named] = {}
    for key, expression in latent.arguments.items():
        for name, e in with_complement(family, key, expression).items():
            value = value_of(e, env)
            arguments[name] = value.rename({str(latent.counts): axis}) if key == family.counted else value
    own = None if family.counted is not None else Named(np.arange(2.0), (axis,))

    def at_values(*arrays: Any) -> Any:
        given = dict(zip(arguments, arrays[len(arrays) - len(arguments) :], strict=True))
        return family.at_value(env.xp, arrays[0] if own is not None else None, **given)

    with np.errstate(divide="ignore"):
        return lift(at_values, *([] if own is None else [own]), *arguments.values())


def with_complement(family: Family, key: str, expression: Expression) -> dict[str, Expression]:
    """The argument, and 1 - p beside a probability p that is a logistic function: it has its digits where p rounds to 1."""
    other = complement(expression) if family.arguments[key].kind is PROBABILITY else None
    return {key: expression} if other is None else {key: expression, COMPLEMENT: other}


# ------------------------------------------------------------------------------------------------------ variables with a mean


def mean_blocks(plan: Plan, part: ResidualPart, env: Environment) -> dict[Any, Any]:
    """{coordinate: (K, m, width[, batch])} coefficients of the mean on the row; key None is the intercept, of width 1."""
    out = {}
    for key, value in evaluate(part.mean, env, plan.coordinates).items():
        own = [(coordinate_dim(d), n) for d, n in plan.coordinates[key]] if key is not None else []
        block = _spread(plan, value, env, part.elements, own)
        width = prod(n for _, n in own)
        batch = () if env.batch is None else (block.shape[-1],)
        out[key] = block.reshape((plan.K, part.size, width, *batch))
    return out


def residual_rows(plan: Plan, part: ResidualPart, env: Environment, origin: Any) -> Any:
    """A (K, m, d[, batch]) with A v = value - mean, v about `origin` (K, d)."""
    xp, K, m = env.xp, plan.K, part.size
    blocks = mean_blocks(plan, part, env)
    tail = () if env.batch is None else (1,)
    own = np.broadcast_to(np.eye(m), (K, m, m)).reshape((K, m, m, *tail))
    first = origin[:, part.columns].reshape(
        (K, m, 1, *tail)
    )  # the value's own origin, minus those of its parents, minus the intercept
    columns: list[Any] = [None] * (len(plan.slices) + 1)
    order = {key: i + 1 for i, key in enumerate(plan.slices)}
    if None in blocks:
        first = first - blocks[None]
    for key, where in plan.slices.items():
        width = where.stop - where.start
        column: Any = own if where == part.columns else np.zeros((K, m, width, *tail))
        if key in blocks:
            column = column - blocks[key]
            offset = origin[:, where].reshape((K, 1, width, *tail))
            if not isinstance(offset, np.ndarray) or offset.any():
                first = first - (blocks[key] * offset).sum(axis=2)[:, :, None]
        columns[order[key]] = column
    columns[0] = first
    if env.batch is not None:
        columns = [xp.broadcast_to(c, (*c.shape[:-1], env.batch)) for c in columns]
    return _concatenate(xp, columns, 2)


def inverse_scale(plan: Plan, part: ResidualPart, env: Environment) -> Any:
    """(K, m[, batch]) 1 / scale of values that are numbers."""
    if part.data:  # the distinct values of row data, one a configuration
        env = env.with_values(part.data)
    return part.scale_kind.inverse_sd(_spread(plan, value_of(part.scale, env), env, part.elements))


def whitened_rows(plan: Plan, part: ResidualPart, env: Environment, origin: Any) -> tuple[Any, Any]:
    """(K, m, d[, batch]) whitened residual rows, and (K[, batch]) half the log determinant of the precision."""
    rows = residual_rows(plan, part, env, origin)
    if not part.scale_kind.matrix:
        inverse = inverse_scale(plan, part, env)
        tail = inverse.shape[2:]
        return rows * inverse.reshape((plan.K, part.size, 1, *tail)), env.xp.log(inverse).sum(axis=1)
    W = whiteners(plan, part, env)
    p = part.elements[-1][1]
    lead = part.size // p
    batch = (env.batch,) if env.batch is not None else ()
    xp = env.xp
    rows = rows.reshape((plan.K, lead, p, plan.d, *batch))
    if batch:
        out = np.einsum("klij...,kljd...->klid...", np.broadcast_to(W, (*W.shape[:-1], *batch)), rows)
        logs = np.log(np.einsum("klii...->kli...", W)).sum(axis=(1, 2))
    else:
        # written out for PyTensor: a batched matmul there costs a compile of its own and a loop at run time
        out = W @ rows if xp is np else (W[:, :, :, :, None] * rows[:, :, None, :, :]).sum(axis=3)
        logs = env.xp.log(env.xp.diagonal(W, axis1=2, axis2=3)).sum(axis=(1, 2))
    return out.reshape((plan.K, part.size, plan.d, *batch)), logs


def whiteners(plan: Plan, part: ResidualPart, env: Environment) -> Any:
    """(K, lead, p, p[, batch]) W with W'W = cov^-1.

    Looking up commutes with whitening, so W is looked up as the covariance would be.
    """
    d, p = part.elements[-1]
    expression = part.scale
    lead = part.elements[:-1]
    value = value_of(_constant_whitener(expression), env.having(values={**env.values, **env.whiteners}))
    other = next(x for x in expression.dims if x != d and x in value.dims and x not in dict(lead) and not is_configuration(x))
    return _spread(plan, value, env, lead, [(d, p), (other, p)])


def _constant_whitener(expression: Any) -> Any:
    """The same look-up with a constant covariance replaced by its whitener."""
    if isinstance(expression, Constant):
        return Constant(whitener(expression.value), expression.dims)
    if isinstance(expression, Index | Take):
        return with_children(expression, (_constant_whitener(expression.base), *expression.children[1:]))
    return expression


# ------------------------------------------------------------------------------------------------------------------- tables


def table_rows(plan: Plan, part: TablePart, env: Environment) -> Any:
    """(height, K[, batch]) rows of T of a child with tables."""
    family, rows = part.family, []
    if isinstance(family, TableFamily):
        arguments = at_levels(plan, part, part.estimated, part.levels, env)
        shape = (plan.K, part.size, part.levels.size)
        rows += [_to_rows(_whole(t, shape, env), prod(shape[1:]), plan.K, env) for t in family.tables(env.xp, **arguments)]
    if isinstance(family, ValueFamily):
        assert part.values is not None
        arguments = at_levels(plan, part, family.value_reads, part.values, env)
        value = None if part.counted is not None else part.values.value
        value = value if env.batch is None or value is None else value[:, None]
        table = family.at_value(env.xp, value, **arguments)
        rows.append(_to_rows(table, part.size * part.values.size, plan.K, env))
    return _concatenate(env.xp, rows, 0)


def at_levels(plan: Plan, part: TablePart, keys: Iterable[str], levels: Levels, env: Environment) -> dict[str, Any]:
    """{argument: (K, m, levels[, batch])}, with COMPLEMENT beside a probability; what is counted lies along the levels."""
    env, out = env.with_values(levels.data) if levels.data else env, {}
    for key in keys:
        extra = [(LEVELS if key != part.family.counted else str(part.counted), levels.size)]
        for name, e in with_complement(part.family, key, part.argument(key)).items():
            out[name] = _spread(plan, value_of(e, env), env, part.elements, extra)
    return out


def _whole(table: Any, shape: tuple[int, ...], env: Environment) -> Any:
    """(K, m, levels[, batch]), of a table that is a number because its family has nothing to estimate."""
    return table if table.ndim else np.broadcast_to(table, shape if env.batch is None else (*shape, 1))


def _to_rows(table: Any, height: int, K: int, env: Environment) -> Any:
    """(K, m, levels[, batch]) -> (m * levels, K[, batch]), with a batch axis wherever the environment has one."""
    if env.batch is None:
        return table.transpose(1, 2, 0).reshape((height, K))
    table = np.broadcast_to(table, (*table.shape[:-1], env.batch))
    return table.transpose(1, 2, 0, 3).reshape((height, K, env.batch))


def degrees_of_freedom(plan: Plan, part: RadialPart, env: Environment) -> Any:
    """(K, groups[, batch]) nu of a radial part."""
    return _spread(plan, value_of(part.tail, env), env, part.lead)


def constant_rows(plan: Plan, part: RadialPart, env: Environment) -> Any:
    """(groups, K[, batch]) rows of T of a radial part: the log density where the residuals are zero."""
    constant = log_constant(env.xp, degrees_of_freedom(plan, part, env), part.length) + log_whitener(plan, part, env)
    return _to_rows(constant[:, :, None], part.size // part.length, plan.K, env)


def log_whitener(plan: Plan, part: RadialPart, env: Environment) -> Any:
    """(K, groups[, batch]) half the log determinant of the precision of each value."""
    if not part.scale_kind.matrix:
        return env.xp.log(inverse_scale(plan, part, env))
    W = whiteners(plan, part, env)
    if env.batch is not None:
        return np.log(np.einsum("klii...->kli...", W)).sum(axis=2)
    return env.xp.log(env.xp.diagonal(W, axis1=2, axis2=3)).sum(axis=2)


# ------------------------------------------------------------------------------------------------------------------- priors


def log_prior(plan: Plan, env: Environment, names: set[str] | None = None) -> Any:
    """Sum of the log prior densities of the parameters in declared space (no Jacobian); of `names` only, where given."""
    total: Any = 0.0
    for v in plan.parameters:
        if names is None or v.label in names:
            with np.errstate(divide="ignore"):  # -inf on a boundary that the prior excludes
                total = total + _sum_to_batch(prior_terms(v, env), env)
    return total


def prior_terms(variable: Variable, env: Environment) -> Any:
    """Log prior density of one parameter, one number per value."""
    # the density of a covariance is written in its whitener, which keeps it holomorphic
    named = env.whiteners[variable.label] if variable.family.matrix else env.values[variable.label]
    batch = (BATCH,) if env.batch is not None else ()
    arguments = argument_values(variable, env)
    if batch:
        return _batched_prior(variable, named, env)
    x = named.to(variable.dims)
    return variable.family.log_prior(env.xp, x, **arguments)  # type: ignore[attr-defined]


def _batched_prior(variable: Variable, named: Named, env: Environment) -> np.ndarray:
    """Batch axis first: the families' formulas address event dims from the end."""

    def front(value: Named) -> Named:
        return (
            value
            if BATCH not in value.dims
            else Named(np.moveaxis(value.array, value.dims.index(BATCH), 0), (BATCH, *[d for d in value.dims if d != BATCH]))
        )

    values = {k: front(v) for k, v in env.values.items()}
    inner = env.having(values=values, batch=None)
    dims = (BATCH, *variable.dims)
    arguments = argument_values(variable, inner, dims)
    x = front(named).to(dims)
    terms = variable.family.log_prior(np, x, **arguments)  # type: ignore[attr-defined]
    wide = np.broadcast_to(terms, (env.batch or 1, *terms.shape[1:])) if terms.shape[0] == 1 else terms
    return np.moveaxis(wide, 0, -1)


def _sum_to_batch(terms: Any, env: Environment) -> Any:
    return terms.sum() if env.batch is None else terms.reshape(-1, env.batch).sum(0)

"""The oracle: densities straight from the graph by textbook formulas, slow and clear. Both engines answer to it.

Nothing here shares code with `expect`: assignments are enumerated one by one, Gaussian variables integrated by the direct
multivariate normal of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from .errors import UnsupportedModel
from .families import GaussianFamily
from .families.kinds import COVARIANCE, MEAN, SIGMA, ScaleKind
from .problem.align import declared
from .problem.problem import Problem
from .spec.arguments import argument_dims, argument_values
from .spec.evaluate import Environment, value_of
from .spec.named import Named
from .spec.private_dims import configuration_dim
from .spec.roles import indexing_names
from .spec.variable import Switch, Variable

Values = Mapping[str, Any]  # Named, xarray DataArrays, or bare arrays in the declared dims


def log_joint(problem: Problem, values: Values, missing: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """(n,) log p(row variables | parameters) of a complete assignment, with the log-evidence of its labels.

    `values` holds the parameters and whatever the data do not give; where it repeats what is given, it replaces it. `missing`
    marks cells, in declared dims, of variables on which nothing depends, that are to be left out (integrated); of an MvNormal
    only whole vectors can be. Raises ValueError where a value is NaN otherwise.
    """
    env = environment(problem, values)
    plate = _plate(problem)
    total = np.zeros(problem.n)
    for variable in problem.row_variables:
        out = np.asarray((missing or {}).get(variable.label, False))
        x = np.where(out, 0.0, env.values[variable.label].array)
        if np.isnan(x).any():
            raise ValueError(f"{variable.label}: the assignment is not complete, or a missing cell is not marked")
        total = total + _rows(_log_density(variable, env, x, out), plate)
        if variable.label in problem.evidence:
            log = problem.evidence[variable.label].array
            total = total + log[np.arange(problem.n), env.values[variable.label].array.astype(int)]
    return total


def log_prior(problem: Problem, values: Values) -> float:
    """log p(parameters), in the parameters as declared, summed over all that are not fixed."""
    env = environment(problem, values)
    with np.errstate(divide="ignore"):
        return float(sum(np.sum(_log_density(v, env, env.values[v.label].array).array) for v in problem.parameters))


def log_likelihood(problem: Problem, parameters: Values) -> np.ndarray:
    """(n,) log p(observed of the row | parameters): everything hidden summed or integrated out. Weights are not applied."""
    table = log_table(problem, parameters)
    return logsumexp(table.array.reshape(problem.n, -1), axis=1)


def log_table(problem: Problem, parameters: Values) -> Named:
    """log p(observed of the row, configuration | parameters), dims (plate, "@latent", ...).

    The latents are the discrete variables that are hidden or look something up; -inf where a label rules a configuration out.
    """
    env, plate = environment(problem, parameters), _plate(problem)
    latents = _latents(problem)
    sizes = [problem.levels(v) for v in latents]
    table = np.full((problem.n, *sizes), -np.inf)
    for k in np.ndindex(*sizes):
        codes = {v.label: Named(np.full(problem.n, code), (plate,)) for v, code in zip(latents, k, strict=True)}
        allowed = np.zeros(problem.n)
        for v, code in zip(latents, k, strict=True):
            allowed += _label_evidence(problem, v, code)
        with np.errstate(invalid="ignore"):  # impossible values under a configuration that is ruled out
            row = _given_configuration(problem, env.with_values(codes))
        table[:, *k] = np.where(np.isneginf(allowed), -np.inf, row + allowed)
    return Named(table, (plate, *[configuration_dim(v.label) for v in latents]))


def environment(problem: Problem, values: Values) -> Environment:
    """What the data give, under `values`."""
    known = declared(problem.spec)
    return Environment({**problem.given, **{name: _named(value, known[name].dims) for name, value in values.items()}})


def _named(value: Any, dims: tuple[str, ...]) -> Named:
    return value if isinstance(value, Named) else Named(np.asarray(value, dtype=float), getattr(value, "dims", dims))


def _plate(problem: Problem) -> str:
    if len(problem.plates) != 1:
        raise UnsupportedModel("plates", "exactly one dim without coords", f"{sorted(problem.plates) or 'none'}")
    return problem.plate


def _rows(x: Named, plate: str) -> np.ndarray:
    """(n,) sum over everything but the plate."""
    return (
        x.to((plate, *[d for d in x.dims if d != plate]))
        .reshape(len(x.array) if x.dims[0] == plate else x.sizes[plate], -1)
        .sum(1)
    )


def _latents(problem: Problem) -> list[Variable]:
    indices = indexing_names(problem.spec)
    hidden = {v.label for v in problem.row_variables if problem.roles[v.label] == "assignment"}
    return [v for v in problem.row_variables if v.discrete and v.label in hidden | indices]


def _label_evidence(problem: Problem, variable: Variable, code: int) -> np.ndarray:
    """(n,) log of what is known about a label besides the model: 0, -inf, or the log of a soft label."""
    out = np.zeros(problem.n)
    if variable.label in problem.given:
        label = problem.given[variable.label].array
        out = np.where(np.isnan(label) | (label == code), 0.0, -np.inf)
    if variable.label in problem.evidence:
        out = out + problem.evidence[variable.label].array[:, code]
    return out


def _log_density(variable: Variable, env: Environment, x: np.ndarray, missing: np.ndarray | bool = False) -> Named:
    """Log density of each value of a variable, summed over nothing; dims of the variable less its event dims. 0 where missing."""
    if isinstance(variable, Switch):
        index = np.broadcast_to(env.values[variable.index.label].to(variable.dims), x.shape)
        term = np.full(x.shape, np.nan)
        for b, branch in enumerate(variable.branches):
            if branch.family.event_dims:
                raise ValueError(f"{variable.label}: the oracle has no Switch between vectors")
            term = np.where(index == b, branch.family.logpdf(x, **argument_values(branch, env, variable.dims)), term)
        heavy = np.isin(index, [b for b, branch in enumerate(variable.branches) if branch.family.mass])
        term = np.where(_atoms(variable, env, x) & ~heavy, -np.inf, term)
    else:
        term = variable.family.logpdf(x, **argument_values(variable, env))
    event = variable.family.event_dims
    dims = variable.dims[: len(variable.dims) - event]
    term = np.broadcast_to(term, x.shape[: x.ndim - event])
    missing = np.broadcast_to(missing, x.shape)
    if event:
        axes = tuple(range(x.ndim - event, x.ndim))
        if (missing.any(axes) != missing.all(axes)).any():
            raise ValueError(f"{variable.label}: only a whole vector can be left out")
        missing = missing.all(axes)
    return Named(np.where(missing, 0.0, term), dims)


def _atoms(variable: Switch, env: Environment, x: np.ndarray) -> np.ndarray:
    """Where a branch has mass at x. There a density, being with respect to length, is 0 with respect to the counting measure."""
    atoms = np.zeros(np.shape(x), dtype=bool)
    for branch in variable.branches:
        if branch.family.mass:
            atoms |= np.isfinite(branch.family.logpdf(x, **argument_values(branch, env, variable.dims)))
    return atoms


def _given_configuration(problem: Problem, env: Environment) -> np.ndarray:
    """(n,) log p(observed of the row, configuration): every discrete latent has a value in env."""
    plate = _plate(problem)
    total = np.zeros(problem.n)
    joint, directly, complete = _Gaussians(problem.n), np.zeros(problem.n), np.ones(problem.n, dtype=bool)
    latents = {v.label for v in _latents(problem)}
    for variable in problem.row_variables:
        distribution = _branch(variable, env)
        if isinstance(variable, Switch) and not distribution.family.mass and variable.label in problem.given:
            x = problem.given[variable.label].array
            atoms = _atoms(variable, env, np.where(np.isnan(x), 0.0, x)) & ~np.isnan(x)
            total = total + _rows(Named(np.where(atoms, -np.inf, 0.0), variable.dims), plate)
        if isinstance(distribution.family, GaussianFamily):
            joint.add(problem, variable, distribution, env)
            hole = np.isnan(joint.last_value)
            complete &= ~hole.any(1)
            if complete.any():
                directly = directly + _rows(_log_density(variable, env, env.values[variable.label].array), plate)
        elif variable.label in latents:
            total = total + _rows(_log_density(variable, env, env.values[variable.label].array), plate)
        elif variable.label not in problem.given:
            raise ValueError(f"{variable.label}: a hidden {distribution.family.name} cannot be summed out")
        else:
            x = problem.given[variable.label].array
            total = total + _rows(_log_density(variable, env, np.where(np.isnan(x), 0.0, x), np.isnan(x)), plate)
    # rows without a hidden cell are a product of univariate formulas, which no correlation between their cells can spoil
    return total + np.where(complete, directly, joint.log_marginal(~complete))


def _branch(variable: Variable, env: Environment) -> Variable:
    """The distribution in force: a configuration is the same in all rows, so a Switch has one branch."""
    if not isinstance(variable, Switch):
        return variable
    return variable.branches[int(env.values[variable.index.label].array.ravel()[0])]


class _Gaussians:
    """Joint mean (n, d) and covariance (n, d, d) of the Gaussian variables of every row, one variable after the other.

    A variable with mean a + A g, g those before it, and noise D has mean a + A E[g], covariance A C A' + D, and A C with g.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.mean, self.cov = np.zeros((n, 0)), np.zeros((n, 0, 0))
        self.value = np.zeros((n, 0))  # NaN where hidden
        self.blocks: list[tuple[Variable, tuple[int, ...]]] = []  # the variables so far, and the shapes of their cells

    def add(self, problem: Problem, variable: Variable, distribution: Variable, env: Environment) -> None:
        plate = _plate(problem)
        others = [d for d in variable.dims if d != plate]
        shape = tuple(problem.sizes[d] for d in others)
        mu = distribution.argument_of(MEAN)

        def mean_at(g: np.ndarray) -> np.ndarray:
            """(n, m) mean of this variable where those before it have the values g (d,) in every row."""
            parents, at = {}, 0
            for v, cells in self.blocks:
                size = int(np.prod(cells, dtype=int))
                own = Named(
                    np.broadcast_to(g[at : at + size].reshape(cells), (self.n, *cells)),
                    (plate, *[d for d in v.dims if d != plate]),
                )
                parents[v.label] = own
                at += size
            value = value_of(mu, env.with_values(parents)).to((plate, *others))
            return np.broadcast_to(value, (self.n, *shape)).reshape(self.n, -1)

        d = self.mean.shape[1]
        a = mean_at(np.zeros(d))
        A = np.stack([mean_at(unit) - a for unit in np.eye(d)], axis=2) if d else np.zeros((*a.shape, 0))
        noise = _noise(distribution, env, (plate, *others), (self.n, *shape))
        across = A @ self.cov
        own = across @ A.swapaxes(1, 2) + noise
        self.mean = np.hstack([self.mean, a + np.einsum("nmd,nd->nm", A, self.mean)])
        self.cov = np.concatenate([np.concatenate([self.cov, across.swapaxes(1, 2)], 2), np.concatenate([across, own], 2)], 1)
        given = problem.given.get(variable.label)
        value = np.full(a.shape, np.nan) if given is None else given.to((plate, *others)).reshape(self.n, -1)
        self.value = np.hstack([self.value, value])
        self.blocks.append((variable, shape))

    @property
    def last_value(self) -> np.ndarray:
        """(n, m) values of the variable added last."""
        return self.value[:, self.value.shape[1] - int(np.prod(self.blocks[-1][1], dtype=int)) :]

    def log_marginal(self, rows: np.ndarray) -> np.ndarray:
        """(n,) log density of the observed cells of some rows, given as a mask; 0 in the others."""
        out = np.zeros(self.n)
        for i in np.flatnonzero(rows):
            there = np.flatnonzero(~np.isnan(self.value[i]))
            if len(there):
                cov = self.cov[i][np.ix_(there, there)]
                # in units of the standard deviations, since scipy takes columns whose units differ by 1e5 for singular
                sd = np.sqrt(np.diagonal(cov))
                z = (self.value[i, there] - self.mean[i, there]) / sd
                out[i] = multivariate_normal.logpdf(z, cov=cov / np.outer(sd, sd)) - np.log(sd).sum()
        return out


def _noise(distribution: Variable, env: Environment, dims: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    """(n, m, m) covariance of a variable given those before it."""
    n, m = shape[0], int(np.prod(shape[1:], dtype=int))
    (key,) = distribution.keys_of(ScaleKind)
    value = value_of(distribution.arguments[key], env)
    array = value.to(argument_dims(distribution, key, value, dims))
    if not distribution.has(COVARIANCE):
        variance = array**2 if distribution.has(SIGMA) else array
        return np.broadcast_to(variance, shape).reshape(n, m, 1) * np.eye(m)
    p = shape[-1]
    cov = np.broadcast_to(array, (*shape, p)).reshape(n, m // p, p, p)
    out = np.zeros((n, m, m))
    for j in range(m // p):
        out[:, j * p : (j + 1) * p, j * p : (j + 1) * p] = cov[:, j]
    return out

"""The likelihood in plain PyTensor: each family's PyMC twin over every configuration, discrete latents summed out.

Written to be read: one log density a child, added up over configurations, then a log-sum-exp. `marginalize` decides what is
summed out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from ..errors import UnsupportedModel
from ..expect.coefficients import log_probabilities, residual_rows
from ..expect.plan import GaussianPart, Part, Plan
from ..problem.branches import inside_cells, possible
from ..spec.arguments import argument_values
from ..spec.evaluate import Environment, value_of
from ..spec.named import Named
from ..spec.private_dims import configuration_dim, is_configuration
from ..spec.variable import Switch, Variable
from .parameters import as_float


class NativeLikelihood:
    """log p(data | parameters), row by row.

    hidden : values of hidden Gaussian variables and cells, and of discrete latents, that are sampled instead of summed out.
    """

    def __init__(self, plan: Plan, env: Environment, hidden: Mapping[str, Named]) -> None:
        self.plan, self.problem = plan, plan.problem
        self.plate = plan.problem.plate
        self.sampled = {name for name in hidden if name in plan.axes}
        self.axes = tuple(configuration_dim(a) for a in plan.axes if a not in self.sampled)
        self.shape = tuple(n for a, n in plan.axes.items() if a not in self.sampled)
        known = {k: v for k, v in self.problem.given.items() if k not in plan.axes}
        self.parameters = env  # rows are coordinates of these
        self.env = env.with_values({**known, **hidden})
        self.filled = {k: v for k, v in hidden.items() if k not in plan.axes}

    def rows(self) -> Any:
        """(n,) log-likelihood of each row, unweighted."""
        total = self._prior_of_configurations()
        for part in (*self.plan.radials, *self.plan.tables):
            total = total + self._branch(part, self._child(part))
        total = total + self._gaussians()
        return pt.logsumexp(total.reshape((self.problem.n, -1)), axis=1)

    def _prior_of_configurations(self) -> Any:
        """(n, *axes) log probability of each configuration plus the evidence of labels; -inf where a label forbids it."""
        total: Any = pt.as_tensor(self._evidence())
        for latent in self.plan.latents:
            if latent.label not in self.sampled:
                logs = log_probabilities(latent, self.env)
                total = total + pt.as_tensor(logs.to((self.plate, *self.axes)))
        return total

    def _evidence(self) -> np.ndarray:
        n = self.problem.n
        out = np.zeros((n, *self.shape))
        for axis, name in enumerate(a[1:] for a in self.axes):
            size = self.shape[axis]
            log = np.zeros((n, size))
            if name in self.problem.given:
                x = self.problem.given[name].array
                there = np.isfinite(x)
                log[there] = np.where(np.arange(size) == x[there].astype(int)[:, None], 0.0, -np.inf)
            if name in self.plan.known:
                log = np.where(np.arange(size) == self.plan.known[name][:, None], 0.0, -np.inf)
            if name in self.problem.evidence:
                log = log + self.problem.evidence[name].array
            out = out + log.reshape((n, *[size if a == axis else 1 for a in range(len(self.shape))]))
        return out

    def _value(self, variable: Variable) -> tuple[Any, np.ndarray]:
        """(values over (plate, *axes of length 1, *elements), mask of the given cells)."""
        dims = (self.plate, *self.axes, *[d for d in variable.dims if d != self.plate])
        if variable.label in self.filled:
            value = self.filled[variable.label]
            shape = tuple(self.problem.sizes[d] for d in variable.dims)
            return value.to(dims), Named(np.ones(shape, dtype=bool), variable.dims).to(dims)
        given = self.problem.given[variable.label]
        mask = np.isfinite(given.array)
        x = np.where(mask, given.array, 0.0)
        return Named(x, given.dims).to(dims), Named(mask, given.dims).to(dims)

    def _dims(self, part: Part) -> tuple[str, ...]:
        return (self.plate, *self.axes, *[d for d, _ in part.elements])

    def _child(self, part: Part) -> Any:
        """(n, *axes) log density of a child under every configuration, missing cells left out."""
        x, mask = self._value(part.variable)
        if (
            isinstance(part.variable, Switch)
            and part.variable.label not in self.filled
            and not part.distribution.family.event_dims
        ):
            cells = inside_cells(self.problem, part.variable, part.distribution)
            mask = mask & cells.reshape(mask.shape)  # what lies outside is ruled out by `_branch`
        if part.distribution.family.open_support and not mask.all():
            # a value that is not used must have a finite density all the same: the gradient of an unused infinity is no number
            x = np.where(mask, x, x[mask][0] if mask.any() else part.distribution.family.support().middle(()))
        whole = (self.problem.n, *self.shape, *[n for _, n in part.elements])
        density = pm.logp(_twin(part.distribution, self.env, self._dims(part), whole), self._broadcast(x, part))
        event = part.distribution.family.event_dims
        shape = whole[: len(whole) - event]
        density = pt.broadcast_to(density, shape)
        if not mask.all():
            keep = mask if event == 0 else mask.all(axis=-1)
            density = pt.where(pt.as_tensor(np.broadcast_to(keep, shape)), density, 0.0)
        return (
            density.sum(axis=tuple(range(1 + len(self.shape), density.ndim))) if density.ndim > 1 + len(self.shape) else density
        )

    def _broadcast(self, x: Any, part: Part) -> Any:
        x = pt.as_tensor(x)
        return x.astype("int64") if part.family.discrete else x

    def _branch(self, part: Part, density: Any) -> Any:
        """A branch of a Switch counts only where its index has its value."""
        if not isinstance(part.variable, Switch):
            return density
        index = part.variable.index.label
        b = part.variable.branches.index(part.distribution)
        if not (may := possible(self.problem, part.variable)[:, b]).all():
            density = density + np.where(may, 0.0, -np.inf).reshape(-1, *[1] * len(self.shape))
        if index in self.sampled:
            chosen = pt.eq(self.env.values[index].to((self.plate, *self.axes)), b)
        else:
            size = self.plan.axes[index]
            axis = self.axes.index(configuration_dim(index))
            chosen = (np.arange(size) == b).reshape([1, *[size if a == axis else 1 for a in range(len(self.axes))]])
        return pt.where(chosen, density, 0.0)

    def _gaussians(self) -> Any:
        total: Any = pt.zeros((self.problem.n, *[1] * len(self.shape)))
        incomplete = [p for p in self.plan.gaussians if p.variable.label not in self.filled and not self._complete(p.variable)]
        if not incomplete:
            for part in self.plan.gaussians:
                total = total + self._branch(part, self._child(part))
            return total
        return total + self._joint()

    def _complete(self, variable: Variable) -> bool:
        given = self.problem.given.get(variable.label)
        return given is not None and bool(np.isfinite(given.array).all())

    def _joint(self) -> Any:
        """(n, *axes) marginal density of the given cells, hidden ones integrated out by the joint normal of all Gaussian
        variables.

        The residual rows F g + F_x x = e with e ~ N(0, D) make g ~ N(-F^-1 F_x x, F^-1 D F^-T); its given part is normal again.
        """
        plan = self.plan
        if self.sampled or any(isinstance(p.variable, Switch) for p in plan.gaussians):
            raise UnsupportedModel(
                plan.gaussians[0].variable.label,
                "complete values, or marginalize='discrete'",
                "holes with sampled assignments or a Switch",
            )
        origin = np.tile(plan.centre, (plan.K, 1))
        F = pt.concatenate([residual_rows(plan, p, self.parameters, origin) for p in plan.gaussians], axis=1)
        columns = np.concatenate([np.arange(p.columns.start, p.columns.stop) for p in plan.gaussians])
        others = np.setdiff1d(np.arange(plan.d), columns)
        D = _block_diagonal([self._noise(p) for p in plan.gaussians], plan.K)
        inverse = pt.linalg.inv(F[:, :, columns])
        covariance = inverse @ D @ inverse.mT
        mean = -(inverse @ F[:, :, others])  # (K, G, others)
        pieces, position = [], []
        rows, original = plan.full, plan.inverse
        pattern = plan.pattern
        for q in np.unique(pattern):
            at = np.flatnonzero(pattern == q)
            seen = np.flatnonzero(~rows.hidden[q][columns])
            V = rows.V[original[at]]
            position.append(at)
            if not len(seen):
                pieces.append(pt.zeros((len(at), plan.K)))
                continue
            mu = (mean[:, seen][None] * V[:, None, None, others]).sum(axis=-1)  # (rows, K, seen)
            cov = covariance[:, seen][:, :, seen]
            pieces.append(
                pm.logp(pm.MvNormal.dist(mu, cov), np.broadcast_to(V[:, None, columns[seen]], (len(at), plan.K, len(seen))))
            )
        stacked = pt.concatenate(pieces, axis=0)[np.argsort(np.concatenate(position))]
        return stacked.reshape((self.problem.n, *self.shape))

    def _noise(self, part: GaussianPart) -> Any:
        """(K, m, m) covariance of a variable around its mean."""
        plan = self.plan
        value = value_of(part.scale, self.env.with_values(part.data))
        if not part.scale_kind.matrix:
            variance = plan.spread(value, part.elements, xp=pt) ** (2 // part.scale_kind.power)
            return variance[:, :, None] * np.eye(part.size)
        d, p = part.elements[-1]
        other = next(x for x in value.dims if x != d and not is_configuration(x) and x not in dict(part.elements[:-1]))
        blocks = plan.spread(value, part.elements[:-1], [(d, p), (other, p)], pt)
        return _block_diagonal([blocks[:, i] for i in range(part.size // p)], plan.K)


def _twin(distribution: Variable, env: Environment, dims: tuple[str, ...], shape: tuple[int, ...]) -> Any:
    """The PyMC distribution of the same name, its arguments over `dims`, whose sizes are `shape`."""
    twin = distribution.family.twin
    assert twin is not None
    known = {k: as_float(a) for k, a in argument_values(distribution, env, dims).items()}
    given = {k: pt.broadcast_to(a, shape) if twin.sized else a for k, a in twin.arguments(pt, known).items()}
    # of vectors some have a log density of the distribution's own shape, not of the value's
    sized = {"shape": shape} if distribution.family.event_dims else {}
    return getattr(pm, twin.name).dist(**given, **sized)


def _block_diagonal(blocks: list[Any], K: int) -> Any:
    if len(blocks) == 1:
        return blocks[0]
    rows = []
    for i, b in enumerate(blocks):
        row = [b if j == i else pt.zeros((K, b.shape[1], blocks[j].shape[2])) for j in range(len(blocks))]
        rows.append(pt.concatenate(row, axis=2))
    return pt.concatenate(rows, axis=1)

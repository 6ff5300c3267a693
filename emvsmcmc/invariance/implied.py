"""What no rotation of latents changes: the covariance that the model implies for what can be observed, and how much of it latents
explain.

The whitened residual rows B of all Gaussian variables g of a row are square in g, so that g has covariance B_g^-1 B_g^-T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..expect.coefficients import coefficients
from ..expect.heywood import hidden_latents, regular
from ..expect.plan import Plan
from ..spec.evaluate import Environment
from ..spec.private_dims import second_dim
from ..words import labels_in

LISTED = 12  # observed columns up to which every covariance is listed


@dataclass(frozen=True)
class Implied:
    """covariance (K, o, o[, batch]) of the columns that are observed in some row, given the configuration and the covariates;
    communality (K, o[, batch]), the share of each column's variance that the latents explain.
    """

    covariance: np.ndarray
    communality: np.ndarray


def implied(plan: Plan, env: Environment) -> Implied | None:
    """Covariance and communalities at parameter values, which may carry a batch axis and be complex. None where no latent is
    hidden in every row, where some variable has other distributions than one Normal or MvNormal, or where rows have known scales
    of their own: a covariance is then no property of the model but of a row.
    """
    latents = hidden_latents(plan)
    if not latents or plan.known or not regular(plan):
        return None
    C = coefficients(plan, env)
    B = C.B if env.batch is None else np.moveaxis(np.broadcast_to(C.B, (*C.B.shape[:-1], env.batch)), -1, 1)
    columns = np.concatenate([np.arange(p.columns.start, p.columns.stop) for p in plan.gaussians])
    hidden = np.concatenate([np.arange(s.start, s.stop) for s in (plan.slices[v.label] for v in latents)])
    seen = ~np.isin(columns, hidden)
    inverse = np.linalg.inv(B[..., columns])
    covariance = (inverse @ inverse.swapaxes(-1, -2))[..., seen, :][..., :, seen]
    # given the latents: rows of the latents' own distributions drop out, as do their columns
    rows = np.concatenate([np.full(p.size, p.variable not in latents) for p in plan.gaussians])
    own = np.linalg.inv(B[..., columns][..., rows, :][..., :, seen])
    residual = np.einsum("...ij,...ij->...i", own, own)
    total = np.einsum("...ii->...i", covariance)
    if env.batch is None:
        return Implied(covariance, 1 - residual / total)
    return Implied(np.moveaxis(covariance, 1, -1), np.moveaxis(1 - residual / total, 1, -1))


def named(plan: Plan, moments: Implied) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """{"implied_cov", "communality": (dims, array[, batch])} with a configuration dim only where there are several. Beyond LISTED
    columns the covariances are left out.
    """
    lead, column = _configuration_dim(plan), _column_dim(plan)
    batch = moments.communality.shape[2:]
    p = moments.communality.shape[1]
    sizes = (plan.K,) if lead else ()
    out = {}
    if p <= LISTED:
        dims = (*lead, column, second_dim(column))
        out["implied_cov"] = (dims, moments.covariance.reshape(*sizes, p, p, *batch))
    out["communality"] = ((*lead, column), moments.communality.reshape(*sizes, p, *batch))
    return out


def coords(plan: Plan) -> dict[str, Any]:
    """Labels of the dims of `named`."""
    problem, column = plan.problem, _column_dim(plan)
    labels: list[Any] = []
    parts = [p for p in plan.gaussians if p.variable not in hidden_latents(plan)]
    for p in parts:
        dims = [d for d, _ in p.elements]
        cells = [problem.entry(p.variable.label, dims, at) for at in np.ndindex(*[n for _, n in p.elements])]
        labels += [labels_in(c) for c in cells] if len(parts) == 1 and p.elements else cells
    out: dict[str, Any] = {column: labels, second_dim(column): labels}
    for lead in _configuration_dim(plan):
        if lead in problem.sizes:
            out[lead] = problem.labels(lead)
        else:
            out[lead] = [", ".join(map(str, at)) for at in np.ndindex(*plan.shape)]
    return out


def _configuration_dim(plan: Plan) -> tuple[str, ...]:
    if plan.K == 1:
        return ()
    counted = [z.counts for z in plan.latents]
    return (counted[0],) if len(plan.axes) == 1 and counted and counted[0] in plan.problem.sizes else ("configuration",)


def _column_dim(plan: Plan) -> str:
    parts = [p for p in plan.gaussians if p.variable not in hidden_latents(plan)]
    return parts[0].elements[0][0] if len(parts) == 1 and len(parts[0].elements) == 1 else "column"

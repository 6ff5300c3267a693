"""What no rotation changes, under EM and under the posterior: implied covariances and communalities of a model with latents."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..em.result import EMFit
from ..expect.coordinates import Coordinates
from ..expect.draws import CHUNK, draws_environment
from ..expect.heywood import HEYWOOD
from ..expect.plan import Plan
from ..invariance.axes import Turn, rotations
from ..invariance.implied import coords, implied, named
from ..numerics import COMPLEX_STEP
from ..spec.evaluate import Environment
from .metrics import COLUMNS, Points, beside


def invariant(
    em: EMFit, mode: EMFit, posterior: xr.Dataset, unaligned: xr.Dataset, truth: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """The columns of `table` for the covariance that the model implies for its observed columns, Lambda Lambda' + Psi, and for
    the communalities, the share of each column's variance that its latents explain; empty where no latent is hidden in every row.
    """
    plan = em.plan
    if implied(plan, em.environment) is None:
        return pd.DataFrame(columns=["parameter", *COLUMNS]).set_index("parameter")
    errors = errors_at(em)
    counted = {z.counts for z in plan.latents}
    relabelled = any(counted & set(x.dims) and not x.equals(unaligned[k]) for k, x in posterior.data_vars.items())
    draws = values_of_draws(plan, posterior)
    before = values_of_draws(plan, unaligned) if relabelled else draws
    known = None
    if truth is not None and {v.label for v in plan.parameters} <= set(truth):
        implied_values = values_at(
            plan, plan.environment({v.label: np.asarray(truth[v.label], dtype=float) for v in plan.parameters})
        )
        known = {str(k): x.values for k, x in implied_values.data_vars.items()}
    points = Points(values_at(plan, em.environment), errors[0], errors[1], values_at(plan, mode.environment))
    return beside(points, draws, before, {"implied_cov"}, known)


def turned_parameters(plan: Plan) -> set[str]:
    """Parameters that the data determine up to a rotation only: they are aligned and listed, and decide nothing."""
    return {n for r in rotations(plan) if r.density is Turn.ROTATION for n in r.carriers}


def values_at(plan: Plan, env: Environment) -> xr.Dataset:
    """At one parameter value. The model must have them (`implied` is not None)."""
    moments = implied(plan, env)
    assert moments is not None
    return _dataset(plan, named(plan, moments))


def _dataset(plan: Plan, values: Mapping[str, tuple[tuple[str, ...], np.ndarray]]) -> xr.Dataset:
    used = {d for dims, _ in values.values() for d in dims}
    return xr.Dataset(dict(values), coords={d: x for d, x in coords(plan).items() if d in used})


def errors_at(em: EMFit) -> tuple[xr.Dataset, xr.Dataset]:
    """Standard errors and fractions of missing information, by the delta method; NaN for the communality of a column whose
    residual variance is zero, which has none there.
    """
    chart: Coordinates = em.uncertainty.coordinates
    moments = implied(em.plan, chart.unpack(chart.steps(chart.pack(em.environment))))
    assert moments is not None
    at = values_at(em.plan, em.environment)
    pairs = {}
    for name, (dims, x) in named(em.plan, moments).items():
        beyond = (at[name].values >= 1 - HEYWOOD) if name == "communality" else np.zeros(at[name].shape, dtype=bool)
        pairs[name] = (dims, [np.where(beyond, np.nan, y) for y in em.uncertainty.of(np.imag(x) / COMPLEX_STEP)])
    both = [_dataset(em.plan, {name: (dims, pair[i]) for name, (dims, pair) in pairs.items()}) for i in (0, 1)]
    return both[0], both[1]


def values_of_draws(plan: Plan, posterior: xr.Dataset) -> xr.Dataset:
    """Over (chain, draw, ...)."""
    chains, size = posterior.sizes["chain"], posterior.sizes["draw"]
    flat = {v.label: posterior[v.label].transpose("chain", "draw", *v.dims).values for v in plan.parameters}
    flat = {k: x.reshape(-1, *x.shape[2:]) for k, x in flat.items()}
    block = max(1, CHUNK // max(1, plan.K * plan.d * plan.d))
    parts: dict[str, list[np.ndarray]] = {}
    dims: dict[str, tuple[str, ...]] = {}
    for start in range(0, chains * size, block):
        moments = implied(plan, draws_environment(plan, {k: x[start : start + block] for k, x in flat.items()}))
        assert moments is not None
        for name, (own, x) in named(plan, moments).items():
            dims[name] = own
            parts.setdefault(name, []).append(np.moveaxis(x, -1, 0))
    joined = {k: np.concatenate(x) for k, x in parts.items()}
    return _dataset(plan, {k: (("chain", "draw", *dims[k]), x.reshape(chains, size, *x.shape[1:])) for k, x in joined.items()})

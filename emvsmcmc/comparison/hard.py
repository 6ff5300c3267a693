"""What is hidden, and soft beside hard assignment: what filling in the likeliest hidden values does to every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..em.result import EMFit
from ..expect.plan import Plan
from ..families.support import Interval, Positive
from ..numerics import COMPLEX_STEP
from ..problem.chunked import in_memory
from ..problem.conditioned import Conditioned
from ..spec.arguments import parameter_support
from ..spec.evaluate import Environment
from ..spec.variable import Variable
from ..spec.walk import value_names

KINDS = ("assignment", "latent", "cells")


def hidden(em: EMFit) -> dict[str, Any]:
    """Names of what EM fills in, by kind (assignment, latent: Gaussian, cells: of Gaussian measurements), and how much of it
    there is: the weight of the rows with something hidden and the weighted number of hidden values.
    """
    problem = in_memory(em.problem, "what is filled in")
    names: dict[str, list[str]] = {kind: [] for kind in KINDS}
    rows, values = np.zeros(problem.n, dtype=bool), np.zeros(problem.n)
    for v in problem.row_variables:
        role = problem.roles[v.label]
        kind = role if role in KINDS else "cells" if v.label in em.latent else None
        if kind is None:
            continue
        names[kind].append(v.label)
        given = problem.given.get(v.label)
        holes = np.isnan(given.array) if given is not None else np.ones(problem.shape(v), dtype=bool)
        holes = holes.reshape(problem.n, -1)
        rows |= holes.any(axis=1)
        values += holes.sum(axis=1)
    return {**names, "rows": float(problem.weights @ rows), "values": float(problem.weights @ values)}


def side_by_side(em: EMFit, hard: EMFit) -> xr.Dataset:
    """Two fits of one problem, the second with hard assignment and a history.

    Over `parameter`: soft and hard, the two estimates; se, the standard error of the first; start, where the hard run began;
    scale, 1 for a standard deviation, variance or scale of a row variable. Over (parameter, iteration): path. A covariance matrix
    is given by its standard deviations and its correlations, "sd of cov[x]" and "correlation of cov[x, y]"; their standard errors
    come by the delta method.
    """
    problem = em.problem
    scales = _scales(em.plan, em.environment)
    out: dict[str, Any] = {
        "soft": ("parameter", _flat(problem, _columns(em.estimate))[:, 0]),
        "se": ("parameter", _errors(em)),
        "hard": ("parameter", _flat(problem, _columns(hard.estimate))[:, 0]),
        "scale": ("parameter", np.array([int(name in scales and kind != "correlation") for name, kind, _ in _rows(problem)])),
    }
    if hard.history is not None:
        of = {v.label: hard.history[v.label].transpose(*v.dims, "iteration").values for v in problem.parameters}
        path = _flat(problem, of)
        out |= {"start": ("parameter", path[:, 0]), "path": (("parameter", "iteration"), path)}
    return xr.Dataset(out, coords={"parameter": [label for _, _, label in _rows(problem)]})


def _columns(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """{name: (*shape, 1)}"""
    return {str(k): v.values[..., None] for k, v in dataset.data_vars.items()}


def _rows(problem: Conditioned) -> list[tuple[str, str, str]]:
    """(parameter, "value" | "sd" | "correlation", label) of every number in `_flat`, in its order."""
    out = []
    for v in problem.parameters:
        for kind, places in _places(problem, v).items():
            for at in places:
                name = v.label if kind == "value" else f"{kind} of {v.label}"
                out.append((v.label, kind, problem.entry(name, v.dims[: len(at)], at)))
    return out


def _places(problem: Conditioned, v: Variable) -> dict[str, list[tuple[int, ...]]]:
    """Positions of the numbers that a parameter is given by; a standard deviation has no second position in its matrix."""
    shape = problem.shape(v)
    if not v.family.matrix:
        return {"value": list(np.ndindex(*shape))}
    sds = list(np.ndindex(*shape[:-1]))
    return {"sd": sds, "correlation": [(*at, j) for at in sds for j in range(at[-1] + 1, shape[-1])]}


def _flat(problem: Conditioned, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """(numbers, batch) of parameter values (*shape, batch), real or complex: holomorphic."""
    out = [
        _number(values[v.label], kind, at) for v in problem.parameters for kind, of in _places(problem, v).items() for at in of
    ]
    return np.stack(out)


def _number(x: np.ndarray, kind: str, at: tuple[int, ...]) -> np.ndarray:
    """(batch,) one number of values (*shape, batch)."""
    if kind == "value":
        return x[at]
    if kind == "sd":
        return np.sqrt(x[(*at, at[-1])])
    return x[at] / (_number(x, "sd", at[:-1]) * _number(x, "sd", (*at[:-2], at[-1])))


def _errors(em: EMFit) -> np.ndarray:
    """(numbers,) standard errors; NaN where there is none."""
    chart, problem = em.uncertainty.coordinates, em.problem
    env = chart.unpack(chart.steps(chart.pack(em.environment)))
    moved = _flat(problem, {v.label: env.values[v.label].array for v in problem.parameters})
    by_delta, _ = em.uncertainty.of(moved.imag / COMPLEX_STEP)
    own = {v.label: em.standard_error[v.label].values for v in problem.parameters}
    at, out = 0, []
    for v in problem.parameters:
        size = sum(map(len, _places(problem, v).values()))
        out.append(by_delta[at : at + size] if v.family.matrix else own[v.label].ravel())
        at += size
    return np.concatenate(out)


def _scales(plan: Plan, env: Environment) -> set[str]:
    """Parameters that are the scale of some row variable with a mean: positive ones, and covariance matrices."""
    used = set().union(*[value_names(p.scale) for p in plan.residual_parts], set())
    return {v.label for v in plan.parameters if v.label in used and (v.family.matrix or _positive(v, env))}


def _positive(v: Variable, env: Environment) -> bool:
    support = parameter_support(v, env)
    return isinstance(support, Positive) or (isinstance(support, Interval) and bool(np.all(np.asarray(support.lower) >= 0)))

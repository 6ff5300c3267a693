"""The unconstrained space: its order, the way in and out of it, and the shape of the posterior at a mode.

The order of the unconstrained vector is nutpie's: `model.free_RVs`, each one's value variable in C order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from ..errors import BadInput, MissingData, UnknownName, WrongDims

if TYPE_CHECKING:
    import pymc as pm

log = logging.getLogger(__name__)
ALONG = 3.0
LogDensity = Callable[[np.ndarray], tuple[float, np.ndarray]]

_FORWARD: WeakKeyDictionary[Any, Callable] = WeakKeyDictionary()
_EXPAND: WeakKeyDictionary[Any, dict[tuple[str, ...], Callable]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Whitening:
    """The affine map x = mode + L y, whose gradient is grad_y = L' grad_x.

    mode: (n,), a point of the unconstrained space. L: (n, n) lower triangular with a positive diagonal, L L' an approximate
    posterior covariance. The Jacobian |L| is a constant, so the posterior is unchanged. Raises WrongDims, BadInput.
    """

    mode: np.ndarray
    L: np.ndarray

    def __post_init__(self) -> None:
        mode, L = np.array(self.mode, dtype=np.float64), np.array(self.L, dtype=np.float64)
        if mode.ndim != 1 or L.shape != (mode.size, mode.size):
            raise WrongDims("whitening", "mode (n,) and L (n, n)", f"{mode.shape} and {L.shape}")
        good = np.isfinite(mode).all() and np.isfinite(L).all() and (np.diag(L) > 0).all() and not np.triu(L, 1).any()
        if not good:
            raise BadInput("whitening", "finite values and a lower triangular L with a positive diagonal", "something else")
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "L", L)

    def to_x(self, y: np.ndarray) -> np.ndarray:
        """(..., n) whitened -> (..., n) unconstrained."""
        return self.mode + np.asarray(y) @ self.L.T

    def to_y(self, x: np.ndarray) -> np.ndarray:
        """(..., n) unconstrained -> (..., n) whitened."""
        flat = np.atleast_2d(np.asarray(x, dtype=np.float64) - self.mode).reshape(-1, self.mode.size)
        return solve_triangular(self.L, flat.T, lower=True).T.reshape(np.shape(x))


@dataclass(frozen=True)
class Layout:
    """Where each value variable sits in the unconstrained vector: names of the RVs and of their value variables, shapes, n."""

    rvs: tuple[str, ...]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def n(self) -> int:
        return sum(prod(shape) for shape in self.shapes)

    def join(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """{value variable: array} -> (n,)."""
        return np.concatenate([np.asarray(values[name], dtype=np.float64).ravel() for name in self.names])

    def split(self, x: np.ndarray) -> list[np.ndarray]:
        """(..., n) -> one array (..., *shape) for each value variable."""
        ends = np.cumsum([prod(shape) for shape in self.shapes])[:-1]
        parts = np.split(x, ends, axis=-1)
        return [p.reshape((*x.shape[:-1], *shape)) for p, shape in zip(parts, self.shapes, strict=True)]


def no_c_compiler() -> AbstractContextManager:
    """For functions that run once or a few times: PyTensor would call the C compiler for inner graphs, a second for each node."""
    import pytensor

    return pytensor.config.change_flags(cxx="")


def layout_of(model: pm.Model) -> Layout:
    """The layout of the unconstrained vector. Raises BadInput for a model without free variables."""
    if not model.free_RVs:
        raise BadInput("model", "at least one free random variable", "none")
    values = [model.rvs_to_values[rv] for rv in model.free_RVs]
    shapes = [_static_shape(model, rv, value) for rv, value in zip(model.free_RVs, values, strict=True)]
    if any(None in shape for shape in shapes):
        with no_c_compiler():
            known = model.eval_rv_shapes()
        shapes = [known[v.name] for v in values]
    return Layout(
        tuple(rv.name for rv in model.free_RVs),
        tuple(v.name for v in values),
        tuple(tuple(int(s or 0) for s in shape) for shape in shapes),
    )


def _static_shape(model: pm.Model, rv: Any, value: Any) -> tuple[int | None, ...]:
    """The shape of a value variable as far as types and dims tell. Evaluating it would compile a function."""
    import pytensor.tensor as pt

    dims, transform = model.named_vars_to_dims.get(rv.name, ()), model.rvs_to_transforms[rv]
    lengths = [model.dim_lengths.get(d) for d in dims]
    if None not in value.type.shape or not dims or not all(hasattr(length, "get_value") for length in lengths):
        return value.type.shape
    shape = tuple(int(length.get_value()) for length in lengths)
    return shape if transform is None else transform.forward(pt.TensorType(rv.dtype, shape=shape)(), *rv.owner.inputs).type.shape


def unconstrained(model: pm.Model, point: Mapping[str, Any]) -> np.ndarray:
    """{free RV: constrained value} -> (n,), by PyMC's transforms, in the order that `log_density` and `sample` use.

    Names of the model that are not free are ignored. Raises MissingData, UnknownName, WrongDims, and BadInput for a value on the
    boundary of its support, which has no finite coordinates.
    """
    layout = layout_of(model)
    for name in set(point) - set(layout.rvs):
        if name not in model.named_vars:
            raise UnknownName(name, "a variable of the model", "another name")
    for name in set(layout.rvs) - set(point):
        raise MissingData(name, "a value for every free variable", "none")
    if model not in _FORWARD:
        _FORWARD[model] = _forward(model)
    values = [np.asarray(point[name], dtype=rv.dtype) for name, rv in zip(layout.rvs, model.free_RVs, strict=True)]
    for name, rv, value in zip(layout.rvs, model.free_RVs, values, strict=True):
        if value.ndim != rv.ndim:
            raise WrongDims(name, f"{rv.ndim} dims", f"shape {value.shape}")
    with np.errstate(all="ignore"):
        parts = _FORWARD[model](*values)
    for name, shape, value, part in zip(layout.rvs, layout.shapes, values, parts, strict=True):
        if part.shape != shape:
            raise WrongDims(name, f"{prod(shape)} unconstrained coordinates", f"{part.size} from shape {value.shape}")
        if not np.isfinite(part).all():
            raise BadInput(name, "a value inside its support", str(value), "Move it off the boundary.")
    return layout.join(dict(zip(layout.names, parts, strict=True)))


def _forward(model: pm.Model) -> Callable:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import clone_replace

    inputs = {rv: pt.TensorType(rv.dtype, shape=(None,) * rv.ndim)(name=rv.name) for rv in model.free_RVs}
    transforms = [model.rvs_to_transforms[rv] for rv in model.free_RVs]
    outputs = [i if t is None else t.forward(i, *rv.owner.inputs) for (rv, i), t in zip(inputs.items(), transforms, strict=True)]
    outputs = [pt.as_tensor(o).astype("float64") for o in clone_replace(outputs, inputs)]
    with no_c_compiler():
        return pytensor.function(list(inputs.values()), outputs, mode="FAST_COMPILE", on_unused_input="ignore")


def requested(model: pm.Model, var_names: Sequence[str] | None) -> list[str]:
    """The free variables and Deterministics asked for, once each and in that order; all where `var_names` is None. Raises
    UnknownName.
    """
    known = [v.name for v in model.free_RVs + model.deterministics]
    for name in var_names or ():
        if name not in known:
            raise UnknownName(name, f"one of {', '.join(known)}", "another name")
    return known if var_names is None else list(dict.fromkeys(var_names))


def constrained(model: pm.Model, x: np.ndarray, var_names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """(..., n) unconstrained points -> {name: array (..., *shape)} of free RVs and Deterministics.

    All points at once, in numpy: a numba function of the same graph takes seconds to compile (a matrix inverse, ten and more).
    Raises UnknownName, WrongDims.
    """
    layout, x = layout_of(model), np.asarray(x, dtype=np.float64)
    if x.ndim == 0 or x.shape[-1] != layout.n:
        raise WrongDims("x", f"last dim of {layout.n}", str(x.shape))
    names, function = prepare(model, var_names)
    rows = x.reshape(-1, layout.n)
    # Blocks bound the memory of what the graph holds in between.
    blocks = [function(*layout.split(b)) for b in np.split(rows, range(1000, len(rows), 1000))]
    columns = zip(*blocks, strict=True)
    return {k: np.concatenate(c).reshape(x.shape[:-1] + c[0].shape[1:]) for k, c in zip(names, columns, strict=True)}


def prepare(model: pm.Model, var_names: Sequence[str] | None = None) -> tuple[list[str], Callable]:
    """The names, and the function of `constrained` for them, built once for each model. Raises UnknownName."""
    names = requested(model, var_names)
    functions = _EXPAND.setdefault(model, {})
    if tuple(names) not in functions:
        functions[tuple(names)] = _expand(model, names)
    return names, functions[tuple(names)]


def _expand(model: pm.Model, names: Sequence[str]) -> Callable:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import vectorize_graph

    values = [model.rvs_to_values[rv] for rv in model.free_RVs]
    graph = {v.name: v for v in model.unobserved_value_vars}
    outputs = [pt.as_tensor(graph[name], allow_xtensor_conversion=True) for name in names]
    options = {"mode": "FAST_COMPILE", "on_unused_input": "ignore"}
    try:
        inputs = [pt.TensorType(v.dtype, shape=(None, *v.type.shape))(name=v.name) for v in values]
        batched = vectorize_graph(outputs, dict(zip(values, inputs, strict=True)))
        with no_c_compiler():
            function = pytensor.function(inputs, batched, **options)
    except Exception as error:  # a node without a batched form: one draw at a time
        log.debug("no batched form of %s: %s", ", ".join(names), error)
        with no_c_compiler():
            single = pytensor.function(values, outputs, **options)
        return lambda *v: [np.stack(column) for column in zip(*(single(*row) for row in zip(*v, strict=True)), strict=True)]

    def every_row(*v: np.ndarray) -> list[np.ndarray]:
        # What does not depend on the point comes back without the rows.
        return [
            r if b.ndim > o.ndim else np.broadcast_to(r, (len(v[0]), *r.shape))
            for r, b, o in zip(function(*v), batched, outputs, strict=True)
        ]

    return every_row


def hessian(log_density: LogDensity, x: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """(n, n) second derivatives at x, symmetric, by central differences of the gradient.

        H_ij ~ (g_i(x + h_j e_j) - g_i(x - h_j e_j)) / (2 h_j),    h_j = 3e-4 scale_j

    scale (n,): the size of each coordinate, best its posterior standard deviation: the error is then about 1e-7, relative.
    Without it a first pass estimates it from the curvature, 4 n evaluations instead of 2 n. NaN where the gradient is.
    """
    if scale is None:
        rough = -np.diag(hessian(log_density, x, np.maximum(1.0, np.abs(x)) * 0.1))
        scale = np.where(rough > 0, 1 / np.sqrt(np.where(rough > 0, rough, 1.0)), np.maximum(1.0, np.abs(x)) * 0.1)
    H = np.empty((x.size, x.size))
    for j, step in enumerate(3e-4 * scale):
        above, below = x.copy(), x.copy()
        above[j] += step
        below[j] -= step
        H[:, j] = (log_density(above)[1] - log_density(below)[1]) / (above[j] - below[j])
    return (H + H.T) / 2


def whitening_at(log_density: LogDensity, x: np.ndarray, rounds: int = 6, turns: np.ndarray | None = None) -> Whitening | None:
    """The Gaussian approximation at the mode next to x: mode, and L with L L' = (-Hessian)^-1.

    x (n,): a point in the mode's basin (EM's answer). The mode is that of the log posterior with Jacobian, by BFGS in coordinates
    whitened at x where the Hessian allows it, so that its first step is about one standard deviation, and in x otherwise.
    Converged when Newton's step would be below 1e-3 standard deviations in all. None where the Hessian is not negative definite
    there, or the search does not converge: sample without whitening then. (Laplace; Gelman et al., BDA3, section 13.3.)

    turns (n, g): velocities of x as the axes of latents turn, along which the density is constant and the Hessian zero. Orbits
    are curved, so a standard deviation along them counts as ALONG of those across: with the whole circle's the map bends them.
    """
    x, scale = np.array(x, dtype=np.float64), None
    U, s, _ = np.linalg.svd(np.zeros((x.size, 0)) if turns is None else turns, full_matrices=False)
    U = U[:, s > 1e-9 * s.max(initial=0.0)]
    moving = np.abs(U).max(axis=1, initial=0.0) > 1e-12
    with np.errstate(all="ignore"):  # a line search may leave the region where the density is finite; it turns back
        for _ in range(rounds):
            H = hessian(log_density, x, scale)
            if moving.any():
                H = H - np.median(np.abs(np.diag(H)[moving])) / ALONG**2 * (U @ U.T)
            L = _factor(H)
            if L is not None:
                scale = np.sqrt((L**2).sum(1))
                if np.linalg.norm(log_density(x)[1] @ L) < 1e-3:
                    return _rounded(x, L)
            step = np.eye(x.size) if L is None else L

            def objective(z: np.ndarray, x: np.ndarray = x, step: np.ndarray = step) -> tuple[float, np.ndarray]:
                value, gradient = log_density(x + step @ z)
                good = np.isfinite(value) and np.isfinite(gradient).all()
                return (-value, -gradient @ step) if good else (1e300, np.zeros(z.size))

            method = "BFGS" if x.size <= 500 else "L-BFGS-B"
            result = minimize(objective, np.zeros(x.size), jac=True, method=method, options={"gtol": 1e-4, "maxiter": 500})
            x = x + step @ result.x
    return None


def _rounded(mode: np.ndarray, L: np.ndarray) -> Whitening:
    """The whitening to a hundredth of a standard deviation.

    Any map near the right one whitens. Rounding makes it the same to the last bit for two graphs of one posterior, whose
    Hessians differ in the ninth digit; through a thousand tuning steps that digit would grow into other draws.
    """
    sd = np.sqrt((L**2).sum(axis=1))
    unit = 10.0 ** np.round(np.log10(sd) - 2)
    return Whitening(
        np.round(mode / unit) * unit,
        np.tril(np.round(L / unit[:, None]) * unit[:, None])
        + np.diag(np.where(np.round(np.diag(L) / unit) == 0, np.diag(L), 0.0)),
    )


def _factor(H: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor of (-H)^-1, or None where -H is not safely positive definite."""
    if not np.isfinite(H).all():
        return None
    try:
        # Unit diagonal first: the scales of coordinates may differ by any factor, their correlations may not.
        d = np.sqrt(-np.diag(H))
        values, vectors = np.linalg.eigh(-H / np.outer(d, d))
        if not values[0] > 1e-8:
            return None
        return np.linalg.cholesky((vectors / values) @ vectors.T / np.outer(d, d))
    except np.linalg.LinAlgError:
        return None

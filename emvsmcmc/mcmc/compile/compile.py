"""From a PyMC model to draws: compile once per install, whiten, differentiate, sample.

Whatever private names of PyTensor and nutpie this takes live in `wrappers.py`; when one is missing, `compile_model` uses
`nutpie.compile_pymc_model`. Coordinates are in `unconstrained.py`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from ...errors import BadInput, SamplingFailed, WrongDims
from ..unconstrained import (
    Layout,
    LogDensity,
    Whitening,
    constrained,
    hessian,
    layout_of,
    no_c_compiler,
    requested,
    unconstrained,
    whitening_at,
)
from .nutpie import import_nutpie

if TYPE_CHECKING:
    import pymc as pm
log = logging.getLogger(__name__)
_FALLBACK_REASONS: set[str] = set()
_MACHINES: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()  # model -> what was compiled of it, machine code


class _PriorStart:
    """seed -> PyMC's jittered initial point, in the coordinates of the sampler. Built at its first use: it is rarely needed."""

    def __init__(self, model: pm.Model, layout: Layout, overrides: Mapping | None, whitening: Whitening | None) -> None:
        self.model, self.layout, self.overrides, self.whitening = model, layout, overrides, whitening
        self.function: Callable | None = None
        self.lock = threading.Lock()

    def __call__(self, seed: Any) -> np.ndarray:
        from pymc.initial_point import make_initial_point_fn

        with self.lock:  # chains call this from their own threads, and the function has state
            if self.function is None:
                jitter = set(self.model.free_RVs)
                with no_c_compiler():
                    self.function = make_initial_point_fn(
                        model=self.model, overrides=dict(self.overrides or {}), jitter_rvs=jitter, return_transformed=True
                    )
            x = self.layout.join(self.function(seed))
        return x if self.whitening is None else self.whitening.to_y(x)


@dataclass(frozen=True)
class Compiled:
    """A compiled model.

    sampler: the nutpie model; `nutpie.sample(compiled.sampler)` works too and traces the unconstrained point.
    native: whether the C functions are ours, and can whiten. cached: whether another process will load them from disk.
    """

    model: pm.Model
    layout: Layout
    sampler: Any
    start: _PriorStart
    native: bool
    cached: bool
    whitening: Whitening | None = None
    var_names: tuple[str, ...] | None = None

    def whiten(self, whitening: Whitening | None) -> Compiled:
        """The same machine code in other coordinates (None: unconstrained). Nothing is compiled. Raises WrongDims, BadInput."""
        if not self.native:
            raise BadInput("whitening", "a model compiled with emvsmcmc's wrappers", "one compiled by nutpie itself")
        if whitening is not None and whitening.mode.size != self.layout.n:
            raise WrongDims("whitening", f"{self.layout.n} coordinates", str(whitening.mode.size))
        from . import wrappers

        start = _PriorStart(self.model, self.layout, self.start.overrides, whitening)
        pair = None if whitening is None else (whitening.mode, whitening.L)
        return replace(self, sampler=wrappers.whitened(self.sampler, pair, start), start=start, whitening=whitening)


def compile_model(
    model: pm.Model,
    *,
    transform: Whitening | None = None,
    initial_points: Mapping[str, Any] | None = None,
    var_names: Sequence[str] | None = None,
) -> Compiled:
    """Compile the log posterior (with Jacobian) and its gradient for NUTS.

    transform: sample in whitened coordinates; the machine code is the same. initial_points: {RV: constrained value} that replace
    PyMC's defaults where `sample` gets no points. var_names: what `sample` returns (default: free RVs and Deterministics).

    Data are inputs: the values of `pm.Data` at the time of this call are used, and neither they nor their sizes are part of what
    is compiled and cached. A second call for the same model only reads them again. Where a private name of PyTensor or nutpie is
    missing, the reason is logged once and nutpie compiles the model itself, without whitening. Raises BadInput, UnknownName.
    """
    layout = layout_of(model)
    names = None if var_names is None else tuple(requested(model, var_names))
    start = _PriorStart(model, layout, initial_points, None)
    nutpie = import_nutpie()
    try:
        from . import wrappers

        stamp = (layout, tuple(map(id, model.basic_RVs + model.potentials)), model.check_bounds)
        if model not in _MACHINES or _MACHINES[model][0] != stamp:
            _MACHINES[model] = (stamp, wrappers.build(model, layout.shapes))
        machine = _MACHINES[model][1]
        sampler = wrappers.sampler(machine, start)
    except (ImportError, AttributeError, TypeError, *_numba_errors()) as error:  # type: ignore[misc]
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if reason not in _FALLBACK_REASONS:
            _FALLBACK_REASONS.add(reason)
            log.warning("nutpie compiles the model itself, slowly and without whitening (%s)", reason)
        # No names: only the value variables are traced; the rest is computed after sampling, as in our own path.
        sampler = nutpie.compile_pymc_model(model, initial_points=dict(initial_points or {}), var_names=[])
        return Compiled(model, layout, sampler, start, native=False, cached=False, var_names=names)
    compiled = Compiled(model, layout, sampler, start, native=True, cached=machine.cached, var_names=names)
    return compiled if transform is None else compiled.whiten(transform)


def _numba_errors() -> tuple[type[Exception], ...]:
    try:
        from numba.core.errors import NumbaError
    except ImportError:
        return ()
    return (NumbaError,)


def is_cached(fn: Any) -> bool:
    """Whether a compiled model, or a PyTensor function in NUMBA mode, has a cache key for its whole graph.

    One node that PyTensor cannot cache (an object-mode fall-back, a constant above 1 MB) silently uncaches all of it.
    """
    if isinstance(fn, Compiled):
        return fn.cached
    from . import wrappers

    return wrappers.graph_key(fn) is not None


def log_density(compiled: Compiled | pm.Model, *, whitened: bool = False) -> LogDensity:
    """x (n,) -> (log posterior with Jacobian, gradient (n,)) by the machine code that NUTS runs.

    x is unconstrained whether or not the model is whitened; with whitened=True it is y of `compiled.whitening`. Where the graph
    fails the value is -inf and the gradient NaN; where it is not finite both are as they come. Raises WrongDims.
    """
    if not isinstance(compiled, Compiled):
        compiled = compile_model(compiled)
    if not whitened and compiled.whitening is not None:
        compiled = compiled.whiten(None)
    n, sampler = compiled.layout.n, compiled.sampler
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)(sampler.compiled_logp_func.address)

    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        point = np.ascontiguousarray(x, dtype=np.float64)
        if point.shape != (n,):
            raise WrongDims("x", f"a vector of {n}", str(point.shape))
        gradient, value = np.full(n, np.nan), np.full(1, -np.inf)
        code = call(n, point.ctypes.data, gradient.ctypes.data, value.ctypes.data, sampler.user_data.ctypes.data)
        if code == 1:  # the graph raised; `gradient` may hold the point
            return -np.inf, np.full(n, np.nan)
        return float(value[0]), gradient

    return density


# ---- sampling -------------------------------------------------------------------------------------------------------------


def sample(
    compiled: Compiled,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    initial_points: Sequence[np.ndarray] | None = None,
    progress: bool = False,
    cores: int | None = None,
    target_accept: float | None = None,
    var_names: Sequence[str] | None = None,
) -> xr.DataTree:
    """NUTS by nutpie: groups `posterior` (the requested variables), `unconstrained_posterior` (`x`, in nutpie's order) and
    `sample_stats`, all with dims (chain, draw, ...).

    initial_points: one unconstrained vector (n,) per chain, in x whether or not the model is whitened. The same seed and points
    give the same draws. Ctrl-C stops the chains and is raised again. Raises BadInput, WrongDims, UnknownName, and SamplingFailed
    where a chain cannot start or fails.
    """
    for name, value, least in (("draws", draws, 1), ("tune", tune, 1), ("chains", chains, 1)):
        if value < least:
            raise BadInput(name, f"at least {least}", str(value))
    names = requested(compiled.model, compiled.var_names if var_names is None else var_names)
    nutpie = import_nutpie()
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
    options: dict[str, Any] = {"seed": seed, "cores": cores or min(chains, _cores())}
    if target_accept is not None:
        options["target_accept"] = target_accept
    seeds = _chain_seeds(nutpie, compiled.sampler, chains, options)
    # Built here and not at the first call, which nutpie would make from the chains' threads.
    points = [compiled.start(s) for s in seeds] if initial_points is None else _checked(compiled, initial_points, chains)
    start = _ChainStart(seeds, points)
    model = replace(compiled.sampler, initial_point_func=start)
    began = time.perf_counter()
    results = _run(nutpie, model, draws=draws, tune=tune, chains=chains, progress_bar=progress, **options)
    attrs = {
        "inference_library": "nutpie",
        "inference_library_version": nutpie.__version__,
        "sampling_time": time.perf_counter() - began,
        "tuning_steps": tune,
        "seed": seed,
        "whitened": int(compiled.whitening is not None),
    }
    x, stats = _unpack(results, compiled.layout.n)
    x_dims = xr.Dataset({"x": (("chain", "draw", "coordinate"), x)})
    tree = {
        "posterior": _labelled(compiled.model, constrained(compiled.model, x, names), x.shape[:2]),
        "unconstrained_posterior": x_dims,
        "sample_stats": xr.Dataset({k: (("chain", "draw"), v) for k, v in stats.items()}),
    }
    index = {"chain": np.arange(x.shape[0]), "draw": np.arange(x.shape[1])}
    return xr.DataTree.from_dict({k: d.assign_coords(index).assign_attrs(attrs) for k, d in tree.items()})


class _ChainStart:
    """seed -> that chain's point.

    nutpie asks for a start in the chain's own thread, with a seed that depends on the run's seed and the chain's number only. A
    seed not seen before is the next try of the same thread's chain (the first start was refused: a component of its gradient was
    exactly zero, say): the same point, moved a little.
    """

    def __init__(self, seeds: Sequence[int], points: Sequence[np.ndarray]) -> None:
        self.points = dict(zip(seeds, points, strict=True))
        self.latest: dict[int, np.ndarray] = {}  # by thread; `threading.local` forgets between calls that come from Rust

    def __call__(self, seed: int) -> np.ndarray:
        thread = threading.get_ident()
        if seed in self.points:
            self.latest[thread] = self.points[seed]
            return self.points[seed]
        point = self.latest[thread]
        return point + 1e-3 * np.random.default_rng(seed).uniform(-1, 1, point.size)


def _chain_seeds(nutpie: ModuleType, sampler: Any, chains: int, options: dict[str, Any]) -> list[int]:
    """The seed with which nutpie asks each chain for its start, by asking for 1, 2, ... chains and refusing to start them."""
    known: list[int] = []
    quiet = {"draws": 10, "tune": 10, "progress_bar": False}
    for k in range(1, chains + 1):
        seen: list[int] = []
        # The first refusal ends the run, so none refuses before all have asked; hence one thread for each.
        everybody = threading.Barrier(k, timeout=30)

        def refuse(seed: int, seen: list[int] = seen, everybody: threading.Barrier = everybody) -> np.ndarray:
            seen.append(seed)
            everybody.wait()
            raise ValueError("only asking")

        with suppress(SamplingFailed):
            _run(nutpie, replace(sampler, initial_point_func=refuse), chains=k, **quiet, **(options | {"cores": k}))
        new = [s for s in seen if s not in known]
        if len(seen) != k or len(new) != 1:
            raise SamplingFailed(f"nutpie asked {len(seen)} times for the starts of {k} chains; expected one new seed a chain")
        known += new
    return known


def _checked(compiled: Compiled, points: Sequence[np.ndarray], chains: int) -> list[np.ndarray]:
    """The starts in the sampler's coordinates, after a look at the density there."""
    if len(points) != chains:
        raise BadInput("initial_points", f"one for each of {chains} chains", str(len(points)))
    density = log_density(compiled)
    for i, point in enumerate(points):
        value, gradient = density(point)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            raise SamplingFailed(f"chain {i} cannot start: the log posterior at its initial point is {value}")
    to_y = compiled.whitening.to_y if compiled.whitening is not None else np.array
    return [np.ascontiguousarray(to_y(p), dtype=np.float64) for p in points]


def _run(nutpie: ModuleType, model: Any, **options: Any) -> Any:
    """Sample and wait. nutpie's own waiting turns Ctrl-C into a short trace; here it stops the chains and goes on up."""
    running = None
    try:
        running = nutpie.sample(model, blocking=False, return_raw_trace=True, **options)
        return running.wait()
    except BaseException as error:
        if running is not None:
            with suppress(BaseException):
                running.cancel()
        # A panic in Rust is a BaseException of its own; the text after the first paragraphs is a stack of machine addresses.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise SamplingFailed(f"NUTS failed: {str(error).split('Stack backtrace')[0].strip()}") from error
        raise


def _unpack(results: Any, n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """nutpie's arrow tables without the tuning draws: x (chain, draw, n), and the statistics that are one number a draw."""
    import pyarrow

    tables, statistics = results.get_arrow_trace()
    x, stats = [], []
    for table, stat in zip(tables, statistics, strict=True):
        after = ~pyarrow.array(stat.column("tuning")).to_numpy(zero_copy_only=False)
        # Our one column, or nutpie's own: one for each value variable, in the same order.
        parts = [pyarrow.array(table.column(c)) for c in table.column_names]
        columns = [(p.flatten() if hasattr(p, "flatten") else p).to_numpy(zero_copy_only=False) for p in parts]
        x.append(np.concatenate([c.reshape(table.num_rows, -1) for c in columns], axis=1)[after])
        arrays = {name: pyarrow.array(stat.column(name)) for name in stat.column_names}
        plain = {k: a.to_numpy(zero_copy_only=False) for k, a in arrays.items() if a.null_count == 0 and _is_number(a.type)}
        stats.append({k: a[after] for k, a in plain.items() if k != "tuning"})
    if x[0].shape[1] != n:
        raise SamplingFailed(f"nutpie returned {x[0].shape[1]} coordinates; expected {n}")
    common = [k for k in stats[0] if all(k in s for s in stats)]
    return np.stack(x), {k: np.stack([s[k] for s in stats]) for k in common}


def _cores() -> int:
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1  # the first from Python 3.13


def _is_number(kind: Any) -> bool:
    import pyarrow.types as pt

    return pt.is_floating(kind) or pt.is_integer(kind) or pt.is_boolean(kind)


def _labelled(model: pm.Model, values: Mapping[str, np.ndarray], sample_shape: tuple[int, ...]) -> xr.Dataset:
    """The variables with the model's dims and coords; a dim without a name is called <variable>_dim_<i>."""
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, value in values.items():
        unnamed = [f"{name}_dim_{i}" for i in range(value.ndim - len(sample_shape))]
        dims = [d or u for d, u in zip(model.named_vars_to_dims.get(name) or unnamed, unnamed, strict=True)]
        data[name] = (("chain", "draw", *dims), value)
        coords |= {d: list(model.coords[d]) for d in dims if model.coords.get(d) is not None}
    return xr.Dataset(data, coords=coords)


__all__ = [
    "Compiled",
    "LogDensity",
    "Whitening",
    "compile_model",
    "constrained",
    "hessian",
    "import_nutpie",
    "is_cached",
    "log_density",
    "sample",
    "unconstrained",
    "whitening_at",
]

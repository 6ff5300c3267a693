"""The C functions that nutpie calls, cached on disk. Every private name of PyTensor and nutpie is used here and in
`nodes.py`, and nowhere else.

`nutpie.compile_pymc_model` compiles its two C wrappers anew in every process, because they close over record fields with random
names. Here the wrappers are source text with a cache key, and what differs from run to run (data, whitening) reaches them through
a table of pointers, so that a second process loads machine code. `compile.py` falls back to nutpie's own when a name is missing.

Where the rest of a cold start goes, and what is done about it:

* every PyTensor node is compiled on its own, so the graph gets one input and one output per value variable instead of a vector
  that is cut into pieces, reshaped and joined again;
* the graph function is compiled once, inside the wrapper, not first as a function that Python could call;
* nodes that are dear to compile are replaced (`nodes.py`), and numba's own message for arrays of unequal shape by its short form;
* nothing but the unconstrained draw is computed while sampling; `compile.constrained` computes the rest afterwards, in numpy.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytensor
import pytensor.link.numba.cache as numba_cache
import pytensor.tensor as pt
from llvmlite import ir
from numba import types as nt
from numba.core import cgutils
from numba.core.typing.templates import builtin_registry
from numba.extending import intrinsic
from numba.np import arrayobj
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.basic import dfs_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph

from .nodes import lean
from .nutpie import import_nutpie

if TYPE_CHECKING:
    import pymc as pm

nutpie_pymc = import_nutpie().compile_pymc

# Part of every cache key: a change of meaning that the source text does not show must change it.
VERSION = "1"

_P = nt.CPointer(nt.float64)
_TABLE = nt.CPointer(nt.int64)
_LOGP_SIGNATURE = nt.int64(nt.uint64, _P, _P, _P, _TABLE)
_EXPAND_SIGNATURE = nt.int64(nt.uint64, nt.uint64, _P, _P, _TABLE)
_HEAD = 2  # entries of the table before the shared data: addresses of mode and L, both 0 without whitening


# ---- the graph ------------------------------------------------------------------------------------------------------------


@contextmanager
def _short_errors() -> Iterator[None]:
    """Within it, numba's error for arrays of unequal shape has a constant message: the usual one costs seconds to compile."""
    try:
        short, usual = arrayobj.ol_raise_with_shape_context_generic, arrayobj.ol_raise_with_shape_context_cpu
        functions = [t for f, t in builtin_registry.globals if f is arrayobj.raise_with_shape_context]
        templates = [t for function in functions for t in function.templates if t._overload_func is usual]
    except AttributeError:  # another numba: only slower
        templates, short, usual = [], None, None
    for template in templates:
        template._overload_func = staticmethod(short)
    try:
        yield
    finally:
        for template in templates:
            template._overload_func = staticmethod(usual)


def graph_function(model: pm.Model, shapes: Sequence[tuple[int, ...]]) -> Any:
    """The PyTensor function (value variables) -> (log posterior with Jacobian, its gradient for each value variable).

    The steps and their order are nutpie's (canonicalize and stabilize before the gradient): both compute the same numbers.
    """
    values = [model.rvs_to_values[rv] for rv in model.free_RVs]
    bounds = "local_check_parameter_to_ninf_switch" if model.check_bounds else "local_remove_check_parameter"
    rewrites = ["canonicalize", "stabilize"] + ([] if model.check_bounds else [bounds])
    # Tracebacks of where each variable was made are a tenth of the time and are of no use in a generated graph.
    with pytensor.config.change_flags(traceback__limit=0, traceback__compile_limit=0):
        logp = rewrite_graph(model.logp(), include=rewrites)
        inputs = [pt.TensorType("float64", shape=shape)(name=v.name) for v, shape in zip(values, shapes, strict=True)]
        moved = {v: i if v.dtype == "float64" else i.astype(v.dtype) for v, i in zip(values, inputs, strict=True)}
        outputs = clone_replace([logp, *pt.grad(logp, values)], moved)
        numba_mode = get_mode("NUMBA")
        query = numba_mode.provided_optimizer.including("random_make_inplace", bounds).register((dfs_rewriter(lean), 1000))
        mode = Mode(linker=numba_mode.linker, optimizer=query)
        return pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore")


def graph_key(function: Any) -> str | None:
    """PyTensor's cache key of the whole compiled graph; None when one node could not be cached, which uncaches all of it."""
    return numba_cache.CACHED_SRC_FUNCTIONS.get(function.vm.jit_fn.py_func)


# ---- the C functions ------------------------------------------------------------------------------------------------------


@intrinsic
def _address(typingctx: Any, pointer: Any) -> Any:
    """The address in a pointer, as an integer."""
    return nt.int64(pointer), lambda context, builder, sig, args: builder.ptrtoint(args[0], ir.IntType(64))


@intrinsic
def _pointer(typingctx: Any, address: Any) -> Any:
    """The void pointer to an address."""
    return nt.voidptr(address), lambda context, builder, sig, args: builder.inttoptr(args[0], cgutils.voidptr_t)


# x = mode + L y, row by row, into `out`; `x` is the address of the point that the model sees.
_MAP = """
    x = address(y)
    if table[0] != 0:
        mode = carray(pointer(table[0]), (n,), float64)
        L = carray(pointer(table[1]), (n, n), float64)
        for i in range(n):
            s = mode[i]
            for j in range(i + 1):
                s += L[i, j] * y[j]
            out[i] = s
        x = address(out)
"""

_EXPAND = f"""
def emvsmcmc_expand(dim, expanded, y, out, table):
    n = int64(dim)
    if dim != expanded:
        return -1
{_MAP}
    if table[0] == 0:
        for i in range(n):
            out[i] = y[i]
    return 0
"""

# `out` holds the point x first and the gradient afterwards: the graph's outputs are never views of its inputs. No array statement
# (`out[...] = g`): numba would compile the message of its shape error. In the last loop out[j] is read by rows <= j only.
_LOGP = """
def emvsmcmc_logp(dim, y, out, value, table):
    n = {n}
    if dim != n:
        return -1
{map}
    try:
        density, {gradients} = graph({inputs})
    except Exception:
        return 1
    value[0] = density[()]
    k = 0
{copies}
    if table[0] != 0:
        L = carray(pointer(table[1]), (n, n), float64)
        for j in range(n):
            s = 0.0
            for i in range(j, n):
                s += L[i, j] * out[i]
            out[j] = s
    for i in range(n):
        if not isfinite(out[i]):
            return 3
    if not isfinite(value[0]):
        return 4
    return 0
"""


def _copy(name: str, ndim: int) -> str:
    """Source lines that append an array, in C order, to `out`."""
    lines = ["    " * (d + 1) + f"for i{d} in range({name}.shape[{d}]):" for d in range(ndim)]
    index = ", ".join(f"i{d}" for d in range(ndim)) or "()"
    pad = "    " * (ndim + 1)
    return "\n".join([*lines, f"{pad}out[k] = {name}[{index}]", f"{pad}k += 1"])


def _c_function(source: str, name: str, signature: Any, scope: dict[str, Any], key: str | None) -> Any:
    """Compile the source of a C callback, or load its machine code; `key` None compiles without caching."""
    if key is not None:
        text = "|".join([VERSION, numba.__version__, pytensor.__version__, key, source])
        key = f"{name}-{hashlib.sha256(text.encode()).hexdigest()}"
    # `__name__`: a cached function is rebuilt inside the module that its globals name.
    scope = scope | {"__name__": __name__, "carray": numba.carray, "address": _address, "pointer": _pointer}
    scope |= {"float64": np.float64, "int64": np.int64, "isfinite": np.isfinite}
    function = numba_cache.compile_numba_function_src(source, name, scope, cache_key=key)
    with warnings.catch_warnings(), _short_errors():
        # Both are about speed only: a graph that cannot be cached (`is_cached` says so), and a product of strided arrays.
        warnings.filterwarnings("ignore", message=".*Cannot cache compiled function", category=numba.NumbaWarning)
        warnings.filterwarnings("ignore", message=".*is faster on contiguous arrays", category=numba.NumbaPerformanceWarning)
        return numba.cfunc(signature, cache=key is not None)(function)


@dataclass(frozen=True)
class Machine:
    """The C functions of a model, and the shared variables whose addresses their table holds. No reference to the model."""

    n: int
    logp_c: Any
    expand_c: Any
    shared: tuple[Any, ...]
    cached: bool


def build(model: pm.Model, shapes: Sequence[tuple[int, ...]]) -> Machine:
    """Compile a model, or load what an earlier process compiled. shapes: of the value variables, in the order of `free_RVs`.

    TypeError where a shared variable is not an array of numbers.
    """
    function = graph_function(model, shapes)
    key = graph_key(function)
    inputs, n = [], 0
    for shape in shapes:
        inputs.append(f"carray(pointer(x + {8 * n}), {tuple(shape)!r}, float64)")
        n += prod(shape)
    shared, at = tuple(function.get_shared()), _HEAD
    for array in map(_array, shared):
        sizes = "".join(f"table[{at + 1 + d}], " for d in range(array.ndim))
        inputs.append(f"carray(pointer(table[{at}]), ({sizes}), dtype_{array.dtype.name})")
        at += 1 + array.ndim
    gradients = [f"g{i}" for i in range(len(shapes))]
    source = _LOGP.format(
        n=n,
        map=_MAP,
        gradients=", ".join(gradients),
        inputs=", ".join(inputs),
        copies="\n".join(_copy(g, len(shape)) for g, shape in zip(gradients, shapes, strict=True)),
    )
    jitted = function.vm.jit_fn
    # PyTensor wraps a cacheable graph once more so that Python may call it; we compile what is inside.
    graph = getattr(jitted.py_func, "__globals__", {}).get("jitable_func", jitted)
    scope = {"graph": graph} | {f"dtype_{a.dtype.name}": a.dtype for a in map(_array, shared)}
    logp_c = _c_function(source, "emvsmcmc_logp", _LOGP_SIGNATURE, scope, key)
    expand_c = _c_function(_EXPAND, "emvsmcmc_expand", _EXPAND_SIGNATURE, {}, "expand")
    return Machine(n, logp_c, expand_c, shared, key is not None)


def _array(variable: Any) -> np.ndarray:
    """The value of a shared variable, not copied where it is in C order: PyTensor replaces values, never writes into them."""
    value = variable.get_value(borrow=True)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise TypeError(f"the shared variable {variable} holds a {type(value).__name__}, not an array of numbers")
    return np.ascontiguousarray(value).reshape(value.shape)  # a 0-d array stays one


def sampler(machine: Machine, initial_point: Callable) -> Any:
    """A nutpie model with the present values of the data, whose one variable is the unconstrained point.

    `initial_point(seed)` -> (n,).
    """
    n, table, arrays = machine.n, [0] * _HEAD, {}
    for i, array in enumerate(map(_array, machine.shared)):
        arrays[str(i)] = array  # keeps it alive as long as its address is used
        table += [array.ctypes.data, *array.shape]
    return nutpie_pymc.CompiledPyMCModel(
        _n_dim=n,
        dims={},
        _coords={},
        _shapes={"unconstrained": (n,)},
        compiled_logp_func=machine.logp_c,
        compiled_expand_func=machine.expand_c,
        initial_point_func=initial_point,
        shared_data=arrays,
        shared_var_keys={},
        user_data=np.array(table, dtype=np.int64),
        n_expanded=n,
        shape_info=(["unconstrained"], [slice(0, n)], [(n,)]),
        logp_func=None,
        expand_func=None,
        reparameterized_names=[],
    )


def whitened(plain: Any, pair: tuple[np.ndarray, np.ndarray] | None, initial_point: Callable) -> Any:
    """The same machine code and data with another affine map (mode, L) in the table; None for no map."""
    table = plain.user_data.copy()
    data = {k: v for k, v in plain.shared_data.items() if k not in ("mode", "L")}
    table[:_HEAD] = 0
    if pair is not None:
        data["mode"], data["L"] = (np.array(a, dtype=np.float64, order="C") for a in pair)
        table[:_HEAD] = data["mode"].ctypes.data, data["L"].ctypes.data
    return replace(plain, user_data=table, shared_data=data, initial_point_func=initial_point)

"""A digest of any value by what it holds: the same in every process, so that a store knows its own sweep again."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from ...spec.private_dims import UNNAMED, unnamed_dim

LENGTH = 16  # hexadecimal digits kept of SHA-256: 64 bits


def digest(value: Any) -> str:
    """16 hexadecimal digits of SHA-256 over what `value` is made of.

    Pickled bytes would not do: they depend on which equal objects are one and the same, and sets have no order. Arrays count
    with dtype and shape, mappings and sets without order, functions and classes by their qualified names, other objects (a Spec
    and the expressions in it, however they point at each other) by class and attributes.
    """
    return _Walk().of(value).hex()[:LENGTH]


class _Walk:
    """One walk: digests of finished objects, and the objects that the walk is inside of."""

    def __init__(self) -> None:
        self.finished: dict[int, tuple[bytes, Any]] = {}  # with the object, so that no other one gets its id meanwhile
        self.inside: dict[int, int] = {}
        self.unnamed: dict[str, int] = {}  # address -> in which order constants without names came

    def of(self, value: Any) -> bytes:
        if isinstance(value, str) and (private := re.fullmatch(UNNAMED, value)):
            value = unnamed_dim(self.unnamed.setdefault(private[1], len(self.unnamed)), int(private[2]))
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            return _hash(type(value).__name__.encode(), repr(value).encode())
        if isinstance(value, (FunctionType, BuiltinFunctionType, type)):
            return _hash(b"name", value.__module__.encode(), value.__qualname__.encode())
        if isinstance(value, Enum):
            return _hash(b"enum", type(value).__qualname__.encode(), value.name.encode())
        if id(value) in self.inside:  # a cycle: how far round it goes says which one
            return _hash(b"cycle", str(len(self.inside) - self.inside[id(value)]).encode())
        if id(value) not in self.finished:
            self.inside[id(value)] = len(self.inside)
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            self.finished[id(value)] = _hash(kind.encode(), *self.parts(value)), value
            del self.inside[id(value)]
        return self.finished[id(value)][0]

    def parts(self, value: Any) -> Iterator[bytes]:
        if isinstance(value, (np.ndarray, np.generic)):
            yield from self.array(np.asanyarray(value))
        elif isinstance(value, Mapping):
            yield from sorted(_hash(self.of(key), self.of(item)) for key, item in value.items())
        elif isinstance(value, Set):
            yield from sorted(self.of(item) for item in value)
        elif isinstance(value, (list, tuple)):
            yield from (self.of(item) for item in value)
        else:
            yield self.of(_state(value))

    def array(self, value: np.ndarray) -> Iterator[bytes]:
        yield f"{value.dtype.str}{value.shape}".encode()
        if value.dtype.hasobject:
            yield from (self.of(item) for item in value.ravel().tolist())
        else:
            yield np.ascontiguousarray(value).tobytes()
        if isinstance(value, np.ma.MaskedArray):
            yield np.ma.getmaskarray(value).tobytes()


def _state(value: Any) -> Any:
    """What an object holds, in containers and arrays."""
    # an object of a library that nobody has loaded does not exist, and loading them takes a worker longer than many a task
    if xr := sys.modules.get("xarray"):
        if isinstance(value, xr.DataArray):
            return [value.name, value.dims, value.values, {str(k): c.values for k, c in value.coords.items()}]
        if isinstance(value, xr.Dataset):
            return {str(k): [v.dims, v.values] for k, v in value.variables.items()}
    if pd := sys.modules.get("pandas"):
        if isinstance(value, pd.DataFrame):
            return [value.columns.tolist(), value.index.to_numpy(), [column.to_numpy() for _, column in value.items()]]
        if isinstance(value, pd.Series | pd.Index):
            return [value.name, value.to_numpy()]
    if is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if attributes := getattr(value, "__dict__", None):
        return dict(attributes)
    if slots := [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]:
        return {name: getattr(value, name, None) for name in slots}
    reduced = value.__reduce_ex__(4)
    return reduced if isinstance(reduced, str) else list(reduced[1:3])


def _hash(*parts: bytes) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()

"""How the distributions and expressions of a spec are written in mathematics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..words import labelled
from .expression import Constant, Data, Dot, Expression, Index, Operation, Softmax, Stack, Take
from .functions import ELEMENTWISE
from .private_dims import is_unnamed
from .variable import Variable
from .walk import looked_up

MAX_SHOWN = 6  # entries of a constant array that are written out
SUM, PRODUCT, ATOM = range(3)  # how tightly a piece of text binds


class Notation:
    """Writes expressions of a spec. `symbols` are written in place of discrete variables: mean[group] as mean[k]."""

    def __init__(self, symbols: Mapping[str, str] | None = None) -> None:
        self.symbols = dict(symbols or {})

    def having(self, **symbols: str) -> Notation:
        return Notation({**self.symbols, **symbols})

    def expression(self, e: Expression, drop: Sequence[str] = ()) -> str:
        """An expression; dims in `drop` (those of a vector or matrix taken as one) get no index."""
        return self._write(e, drop)[0]

    def indices(self, e: Expression, drop: Sequence[str] = ()) -> list[str]:
        """What an expression is indexed by, as written."""
        if isinstance(e, Index | Take):
            return list(dict.fromkeys(text for d, text in self._axes(e) if text != d or _shown(d, drop)))
        if isinstance(e, Softmax | Stack):
            return [self.symbols.get(d, d) for d in e.dims if _shown(d, drop)]
        if e.name is not None or isinstance(e, Constant):
            return [self.symbols.get(d, d) for d in e.dims if _shown(d, drop)]
        return list(dict.fromkeys(i for c in e.children for i in self.indices(c, drop)))

    def _axes(self, e: Expression) -> list[tuple[str, str]]:
        """(dim, what it is indexed by) of every axis of what a chain of look-ups looks up."""
        if not isinstance(e, Index | Take):
            return [(d, self.symbols.get(d, d)) for d in e.dims]
        axes = self._axes(e.base)
        if isinstance(e, Take):
            return [(d, e.label if d == e.dim else text) for d, text in axes]
        symbols = {d: self.symbols.get(str(i.name), str(i.name)) for d, i in zip(e.base.dims, e.index, strict=False)}
        return [(d, symbols.get(d, text)) for d, text in axes]

    def distribution(self, d: Variable, dims: Sequence[str]) -> str:
        """Normal(mean[group], sd[group]); `dims` are those of the variable that has this distribution."""
        return f"{d.family.name}({', '.join(self.arguments(d, dims))})"

    def density(self, d: Variable, value: str, dims: Sequence[str]) -> str:
        """Normal(waiting | mean[k], sd[k])."""
        return f"{d.family.name}({value} | {', '.join(self.arguments(d, dims))})"

    def arguments(self, d: Variable, dims: Sequence[str]) -> list[str]:
        out = []
        for key in (*d.family.arguments, *[k for k in d.declared or () if k not in d.family.arguments]):
            if key not in (d.arguments if d.declared is None else d.declared):
                continue
            text = self.argument(d, key, dims)
            out.append(f"{key}={text}" if key in d.family.one_of[1:] or key not in d.family.arguments else text)
        return out

    def argument(self, d: Variable, key: str, dims: Sequence[str]) -> str:
        if d.declared is not None and key in d.declared and key not in d.arguments:
            e = d.declared[key]
            return self.expression(e, [x for x in e.dims if x not in dims and x == d.counts])
        e = d.arguments[key]
        if isinstance(e, Variable) and e.name is None:
            return self.distribution(e, dims)
        return self.expression(e, event_dims(d, key, dims))

    def _write(self, e: Expression, drop: Sequence[str]) -> tuple[str, int]:
        if isinstance(e, Index | Take):
            return self._base(looked_up(e), drop) + _subscript(self.indices(e, drop)), ATOM
        if isinstance(e, Constant):
            return _number(e) + _subscript(self.indices(e, drop)), ATOM
        if e.name is not None:
            return e.name + _subscript(self.indices(e, drop)), ATOM
        if isinstance(e, Dot):
            left, right = (self._bound(c, drop, PRODUCT) for c in e.children)
            return f"Σ_{e.over} {left} · {right}", PRODUCT
        first, *others = e.children
        if isinstance(e, Stack):
            return f"[{', '.join(self.expression(c, drop) for c in e.children)}]{_subscript(self._own(e.dim, drop))}", ATOM
        if isinstance(e, Softmax):
            return f"softmax_{e.dim}({self.expression(first, (*drop, e.dim))}){_subscript(self._own(e.dim, drop))}", ATOM
        assert isinstance(e, Operation)
        if e.function == "neg":
            return f"−{self._bound(first, drop, PRODUCT)}", PRODUCT
        if e.function == "inv":
            return f"1 / {self._bound(first, drop, ATOM)}", PRODUCT
        if e.function in ELEMENTWISE:
            return f"{e.function}({self.expression(first, drop)})", ATOM
        (second,) = others
        if e.function == "pow":
            return f"{self._bound(first, drop, ATOM)}^{self._bound(second, drop, ATOM)}", PRODUCT
        if e.function == "add":
            if isinstance(second, Operation) and second.function == "neg":
                return f"{self.expression(first, drop)} − {self._bound(second.children[0], drop, PRODUCT)}", SUM
            return f"{self.expression(first, drop)} + {self.expression(second, drop)}", SUM
        if isinstance(second, Operation) and second.function == "inv":
            return f"{self._bound(first, drop, PRODUCT)} / {self._bound(second.children[0], drop, ATOM)}", PRODUCT
        return f"{self._bound(first, drop, PRODUCT)} · {self._bound(second, drop, PRODUCT)}", PRODUCT

    def _own(self, dim: str, drop: Sequence[str]) -> list[str]:
        return [self.symbols.get(dim, dim)] if _shown(dim, drop) else []

    def _bound(self, e: Expression, drop: Sequence[str], level: int) -> str:
        text, binds = self._write(e, drop)
        return text if binds >= level else f"({text})"

    def _base(self, e: Expression, drop: Sequence[str]) -> str:
        if e.name is not None:
            return e.name
        if isinstance(e, Stack | Softmax):  # what is looked up along its own dim stands in its place
            return self.expression(e, (*drop, e.dim))
        return _number(e) if isinstance(e, Constant) else f"({self.expression(e, drop)})"


def event_dims(d: Variable, key: str, dims: Sequence[str]) -> list[str]:
    """Dims of an argument that belong to one value: a mean vector, a covariance matrix, the probabilities of a category."""
    family, own = d.family, d.arguments[key].dims
    if key == family.counted:
        return [own[-1]]
    event = list(dims[len(dims) - family.event_dims :]) if family.event_dims else []
    if family.arguments[key].matrix:
        event += [x for x in own if x not in dims]
    return event


def subscripted(v: Variable | Data, notation: Notation | None = None) -> str:
    """The variable with its dims; those of a vector or matrix taken as one are left out."""
    event = getattr(getattr(v, "family", None), "event_dims", 0)
    drop = v.dims[len(v.dims) - event :] if event else ()
    return f"{v.name}" + _subscript((notation or Notation()).indices(v, drop))


def _subscript(indices: Sequence[str]) -> str:
    return labelled("", indices)


def _shown(dim: str, drop: Sequence[str]) -> bool:
    return dim not in drop and not is_unnamed(dim)


def _number(constant: Constant) -> str:
    value = constant.value
    if value.ndim == 0:
        return f"{float(value):g}"
    if value.size > MAX_SHOWN:
        return "constant"
    return (
        str([[f"{x:g}" for x in row] if value.ndim == 2 else f"{row:g}" for row in value]).replace("'", "")
        if value.ndim < 3
        else "constant"
    )

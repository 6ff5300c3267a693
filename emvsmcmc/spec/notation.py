"""A spec in mathematics: how its distributions and expressions are written, and what role each variable has.

`Spec.explain` also shows the EM steps. They are read off what `em` compiled, so they come from `emvsmcmc.explain`, downstream of
here. A registry keeps the import law: the front door, which may open any room, says where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .expression import Constant, Data, Dot, Expression, Index, Operation, Softmax, Stack, Take
from .functions import ELEMENTWISE
from .graph import looked_up, value_names, walk
from .variable import Switch, Variable

if TYPE_CHECKING:
    from .model import Spec

Section = tuple[str, list[str]]  # heading, lines
MAX_SHOWN = 6  # entries of a constant array that are written out
SUM, PRODUCT, ATOM = range(3)  # how tightly a piece of text binds

_derivation: Callable[[], Callable[[Any, Any], list[Section]]] | None = None


class Explanation(str):
    """Text whose repr is itself, so that a REPL line shows it as print does."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def derived_by(load: Callable[[], Callable[[Any, Any], list[Section]]]) -> None:
    """Register what gives (spec, problem) -> sections about inference, as a function that imports it when it is first needed."""
    global _derivation
    _derivation = load


def explain(spec: Spec, problem: Any = None) -> Explanation:
    """The model in mathematics, roles, and the steps of both engines."""
    sections = [("Model", model_lines(spec)), ("Roles", role_lines(spec, problem))]
    if _derivation is None:
        sections.append(("Inference", ["Import emvsmcmc.explain to see the EM steps and what PyMC samples."]))
    else:
        sections += _derivation()(spec, problem)
    return Explanation(
        "\n\n".join("\n".join([heading, *(f"  {line}" if line else "" for line in lines)]) for heading, lines in sections)
    )


# ------------------------------------------------------------------------------------------------------------------- notation


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
        found = {d: self.symbols.get(str(i.name), str(i.name)) for d, i in zip(e.base.dims, e.index, strict=False)}
        return [(d, found.get(d, text)) for d, text in axes]

    def distribution(self, d: Variable, dims: Sequence[str]) -> str:
        """Normal(mean[group], sd[group]); `dims` are those of the variable that has this distribution."""
        return f"{d.family.name}({', '.join(self.arguments(d, dims))})"

    def density(self, d: Variable, value: str, dims: Sequence[str]) -> str:
        """Normal(waiting | mean[k], sd[k])."""
        return f"{d.family.name}({value} | {', '.join(self.arguments(d, dims))})"

    def arguments(self, d: Variable, dims: Sequence[str]) -> list[str]:
        out = []
        for key in d.family.arguments:
            if key not in d.arguments:
                continue
            text = self.argument(d, key, dims)
            out.append(f"variance={text}" if key == "variance" else text)
        return out

    def argument(self, d: Variable, key: str, dims: Sequence[str]) -> str:
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
        return _number(e) if isinstance(e, Constant) else f"({self.expression(e, drop)})"


def event_dims(d: Variable, key: str, dims: Sequence[str]) -> list[str]:
    """Dims of an argument that belong to one value: a mean vector, a covariance matrix, the probabilities of a category."""
    family, own = d.family, d.arguments[key].dims
    if key == "p" and family.name == "Categorical":
        return [own[-1]]
    event = list(dims[len(dims) - family.event_dims :]) if family.event_dims else []
    if key == "cov":
        event += [x for x in own if x not in dims]
    return event


def subscripted(v: Variable | Data, notation: Notation | None = None) -> str:
    """The variable with its dims; those of a vector or matrix taken as one are left out."""
    event = getattr(getattr(v, "family", None), "event_dims", 0)
    drop = v.dims[len(v.dims) - event :] if event else ()
    return f"{v.name}" + _subscript((notation or Notation()).indices(v, drop))


def branches(v: Variable) -> tuple[Variable, ...]:
    return v.branches if isinstance(v, Switch) else (v,)


def _subscript(indices: Sequence[str]) -> str:
    return f"[{', '.join(indices)}]" if indices else ""


def _shown(dim: str, drop: Sequence[str]) -> bool:
    return dim not in drop and not dim.startswith("_")


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


# --------------------------------------------------------------------------------------------------------------- model and roles


def model_lines(spec: Spec) -> list[str]:
    """One line a variable, parameters first as declared, then what the dims count."""
    write = Notation()
    rows: list[tuple[str, str]] = []
    for v in spec.variables.values():
        if isinstance(v, Switch):
            texts = [write.distribution(b, v.dims) for b in v.branches]
            width = max(len(t) for t in texts)
            for value, text in enumerate(texts):
                rows.append((subscripted(v) if value == 0 else "", f"{text.ljust(width)}  where {v.index.label} = {value}"))
        else:
            rows.append((subscripted(v), write.distribution(v, v.dims)))
    width = max((len(left) for left, _ in rows), default=0)
    lines = [f"{left.rjust(width)} {'~' if left else ' '} {right}" for left, right in rows]
    if spec.data:
        lines.append(f"{'known'.rjust(width)}   {', '.join(subscripted(d) for d in spec.data.values())}")
    return [*lines, "", *_dim_lines(spec)]


def _dim_lines(spec: Spec) -> list[str]:
    dims = list(
        dict.fromkeys(d for v in [*spec.variables.values(), *spec.data.values()] for d in v.dims if not d.startswith("_"))
    )
    out = []
    for d in dims:
        if spec.is_plate(d):
            out.append(
                f"{d}: a plate, one copy of the row's variables each"
                + ("" if d in spec.coords else "; its size comes from the data")
            )
        else:
            labels = [str(x) for x in spec.coords[d]]
            out.append(f"{d} = {', '.join(labels) if len(labels) <= MAX_SHOWN else f'{labels[0]}, {labels[1]}, …, {labels[-1]}'}")
    return out


def index_variables(spec: Spec) -> set[str]:
    """Discrete variables and covariates that look something up or switch."""
    expressions = [c for v in spec.variables.values() for c in v.children]
    found = {str(i.name) for c in expressions for e in walk(c) if isinstance(e, Index) for i in e.index}
    return found | {v.index.label for v in spec.variables.values() if isinstance(v, Switch)}


def usually_hidden(spec: Spec) -> set[str]:
    """Row variables that data usually leave out: those that choose or feed other row variables."""
    rows = [v for v in spec.variables.values() if spec.plates_of(v)]
    fed = set().union(*[value_names(a) for v in rows for b in branches(v) for a in b.arguments.values()], set())
    chosen = index_variables(spec)
    return {v.label for v in rows if v.label in (chosen if v.discrete else fed)}


def role_lines(spec: Spec, problem: Any = None) -> list[str]:
    """Name, role and reason of every variable: from the problem where there is one, else as data usually are."""
    hidden = usually_hidden(spec)
    rows = []
    for v in spec.variables.values():
        plates = ", ".join(spec.plates_of(v))
        role = problem.roles[v.label] if problem is not None else _usual_role(spec, v, v.label in hidden)
        rows.append((v.label, role, _reason(v, role, plates, problem)))
    rows += [(str(d.name), "covariate", "ev.Data: known, and without a distribution") for d in spec.data.values()]
    first, second = (max(len(r[i]) for r in rows) for i in (0, 1))
    return [f"{name.ljust(first)}  {role.ljust(second)}  {why}" for name, role, why in rows]


def _usual_role(spec: Spec, v: Variable, hidden: bool) -> str:
    if not spec.plates_of(v):
        return "parameter"
    return ("assignment" if v.discrete else "latent") if hidden else "measurement"


def _reason(v: Variable, role: str, plates: str, problem: Any) -> str:
    kind = "discrete" if v.discrete or v.family.discrete else "continuous"
    if role == "parameter":
        return f"no plate: one for all rows; prior {v.family.name}"
    if role == "fixed":
        return "no plate, and its value is given"
    if problem is None:
        if role == "measurement":
            return f"{kind}, with plate {plates}; measured (a hole in it is a missing cell)"
        why = "it chooses among parameters" if role == "assignment" else "it feeds another variable"
        return f"{kind}, with plate {plates}; {why}, hidden unless the data give it"
    given = problem.given.get(v.label)
    if role in ("assignment", "latent"):
        if v.label in problem.evidence:
            return f"{kind}, with plate {plates}; soft or set-valued labels are given"
        if given is not None:
            there = int(np.isfinite(given.array).sum())
            return f"{kind}, with plate {plates}; {there} of {given.array.size} labels are given, the others hidden"
        return f"{kind}, with plate {plates}; not in the data, so hidden"
    holes = int(np.isnan(given.array).sum())
    return f"{kind}, with plate {plates}; given" + (f", but for {holes} missing cell{'s' if holes > 1 else ''}" if holes else "")

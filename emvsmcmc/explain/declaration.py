"""The declaration of a spec in mathematics, and what role each of its variables has."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec.model import Spec
from ..spec.notation import MAX_SHOWN, Notation, subscripted
from ..spec.private_dims import is_unnamed
from ..spec.roles import usually_hidden
from ..spec.variable import Switch, Variable
from ..words import labelled


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
    functions = [(labelled(d.name, d.dims), write.expression(d.expression)) for d in spec.deterministics.values()]
    width = max((len(left) for left, _ in (*rows, *functions)), default=0)
    lines = [f"{left.rjust(width)} {'~' if left else ' '} {right}" for left, right in rows]
    lines += [f"{left.rjust(width)} = {right}" for left, right in functions]
    if spec.data:
        lines.append(f"{'known'.rjust(width)}   {', '.join(subscripted(d) for d in spec.data.values())}")
    return [*lines, "", *_dim_lines(spec)]


def _dim_lines(spec: Spec) -> list[str]:
    dims = list(dict.fromkeys(d for v in [*spec.variables.values(), *spec.data.values()] for d in v.dims if not is_unnamed(d)))
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


def role_lines(spec: Spec, problem: Any = None) -> list[str]:
    """Name, role and reason of every variable: from the problem where there is one, else as data usually are."""
    hidden = usually_hidden(spec)
    rows = []
    for v in spec.variables.values():
        plates = ", ".join(spec.plates_of(v))
        role = problem.roles[v.label] if problem is not None else _usual_role(spec, v, v.label in hidden)
        rows.append((v.label, role, _reason(v, role, plates, problem)))
    rows += [
        (d.name, "function", "ev.Deterministic: follows from parameters; reported beside them, and no parameter itself")
        for d in spec.deterministics.values()
    ]
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

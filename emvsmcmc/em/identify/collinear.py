"""Directions of coefficients that change no row: collinear covariates, a constant one beside an intercept, parameters that occur
only together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import BadInput, Collinear, Unidentified
from ...expect.coefficients import table_rows
from ...expect.coordinates import Coordinates
from ...expect.plan import Plan, TablePart
from ...numerics import COMPLEX_STEP, scaled_inverse
from ...problem.check import column_name
from ...spec.named import Named
from ...spec.notation import Notation
from ...spec.variable import Variable
from ...spec.walk import degree, value_names
from ..look_ups import mean_parameters, uses_of
from ..regression import SINGULAR, Regression
from .empty import CompleteData, anywhere, levels_text, nothing_said

SHARE = 1e-6  # of the largest term of a combination: a smaller one does not belong to it
SPREAD = 1e-5  # of its size: a covariate that varies less is a constant to the squares of float64
SHOWN = 4  # terms of a combination that is written out


@dataclass(frozen=True)
class Column:
    """A covariate that takes part in a flat direction: its name, and its values in the rows concerned."""

    name: str
    values: np.ndarray


def means(plan: Plan, rows: CompleteData, regressions: Sequence[Regression]) -> None:
    """Raise where the regression of some means has no unique answer, whatever the responsibilities."""
    known = {tuple(p.label for p in r.parameters): r for r in regressions}
    for parts, names in mean_parameters(plan):
        # a parameter that has another use (a mean that is its own variance) is informed there as well
        if any(degree(part.mean, names) > 1 for part in parts):
            continue  # no regression: what it leaves open is looked for at the estimate
        own = [v for v in plan.parameters if v.label in names and uses_of(plan, v) == []]
        if own:
            labels = tuple(v.label for v in own)
            _regression(plan, rows, known[labels] if labels in known else Regression(plan, parts, own))


def _regression(plan: Plan, rows: CompleteData, regression: Regression) -> None:
    H = np.zeros((regression.P, regression.P))
    masks = [rows.live(part) & (rows.N > 0)[:, None] for part in regression.parts]
    for part, D, mask in zip(regression.parts, regression.designs, masks, strict=True):
        D = D * mask[:, :, None, None] / plan.scale[part.columns][:, None, None]
        D[:, :, 0] += np.einsum("kmdp,d->kmp", D[:, :, 1:], plan.centre[1:])
        H += D.reshape(-1, regression.P).T @ (rows.M[:, None] @ D).reshape(-1, regression.P)
    u = flat_direction(H)
    if u is None:
        return
    terms = [np.abs(D) @ np.abs(u) for D in regression.designs]
    terms = [t * part.on[:, None, None] for t, part in zip(terms, regression.parts, strict=True)]
    where = [(part, (t > 0).any(axis=2)) for part, t in zip(regression.parts, terms, strict=True)]
    if not any(mask.any() for _, mask in where):
        raise unidentified(regression.parameters, regression.sizes, u, "a coefficient that is zero in every row")
    if not any((mask & m).any() for (_, mask), m in zip(where, masks, strict=True)):
        raise nothing_said(plan, rows, list(where))
    size = np.maximum(np.abs(plan.full.V + plan.centre)[plan.full.w > 0].max(axis=0), np.finfo(float).tiny)
    largest = max(float((t * m[..., None] * size).max()) for t, m in zip(terms, masks, strict=True))
    combined = np.concatenate(
        [(D @ u)[m & p.on[:, None]] for D, m, p in zip(regression.designs, masks, regression.parts, strict=True)]
    )
    combined = np.where(np.abs(combined) * size > SHARE * largest, combined, 0.0)
    used = np.any([(mask & m).any(axis=1) for (_, mask), m in zip(where, masks, strict=True)], axis=0)
    columns = np.flatnonzero(combined[:, 1:].any(axis=0)) + 1
    if not len(columns):
        raise unidentified(regression.parameters, regression.sizes, u, "a combination of them that changes no row")
    counted = plan.problem.weights > 0
    inside = plan.full.allowed[:, used].any(axis=1)[rows.pattern] & counted
    V = plan.full.V[plan.inverse][inside] + plan.centre
    involved = [Column(_name(plan, int(c)), V[:, c]) for c in columns]
    where_text = "" if inside.sum() == counted.sum() else levels_text(plan, used)
    raise collinear(involved, bool(combined[:, 0].any()), _written(combined, columns, involved), where_text)


def flat_direction(H: np.ndarray) -> np.ndarray | None:
    """A null vector of a symmetric matrix, singular after its diagonal was scaled to one: the first parameter that those before
    it determine, in terms of them. None where the matrix is regular.
    """
    d = np.sqrt(np.diagonal(H))
    if not len(d) or ((d > 0).all() and scaled_inverse(H)[1] >= SINGULAR):
        return None
    if not (d > 0).all():
        return (np.arange(len(d)) == np.flatnonzero(~(d > 0))[0]).astype(float)
    scaled = H / np.outer(d, d)
    left, pivots = scaled.copy(), np.ones(len(d))
    for j in range(len(d)):
        pivots[j] = left[j, j]
        if pivots[j] < 10 * SINGULAR:
            break
        left[j + 1 :, j + 1 :] -= np.outer(left[j + 1 :, j], left[j, j + 1 :]) / left[j, j]
    j = int(np.argmin(pivots))
    u = np.zeros(len(d))
    u[:j], u[j] = -np.linalg.solve(scaled[:j, :j], scaled[:j, j]), 1.0
    return np.where(np.abs(u) > SHARE * np.abs(u).max(), u, 0.0) / d


def _name(plan: Plan, column: int) -> str:
    """A column of v as its covariate or variable is written, with the labels of its dims."""
    key = next(k for k, where in plan.slices.items() if where.start <= column < where.stop)
    if isinstance(key, str) and key in plan.problem.spec.variables:
        return column_name(plan.problem, plan.problem.spec.variables[key], column - plan.slices[key].start)
    own = plan.coordinates[key]
    return labelled(
        plan, key if isinstance(key, str) else Notation().expression(key, key.dims), own, column - plan.slices[key].start
    )


def labelled(plan: Plan, name: str, own: Sequence[tuple[str, int]], position: int) -> str:
    """design[b]: one position of a covariate that has dims of its own."""
    at = np.unravel_index(position, [n for _, n in own]) if own else ()
    return plan.problem.entry(name, [d for d, _ in own], at)


def collinear(columns: list[Column], intercept: bool, written: str, where: str) -> BadInput:
    """The error for covariates (and the intercept) of which some combination is zero."""
    rows = f"in every row{f' {where}' if where else ''}"
    if intercept and len(columns) == 1:
        name, x = columns[0].name, columns[0].values
        low, high = float(x.min()), float(x.max())
        expected, remedy = "a covariate that varies beside an intercept", "Leave it out, or leave out the intercept."
        if low == high:
            return Collinear(name, expected, f"{low:g} {rows}", remedy)
        if high - low <= SPREAD * max(abs(low), abs(high)):
            got = f"values from {low:.12g} to {high:.12g} {rows}, whose spread is lost beside their size"
            return Collinear(name, expected, got, f"Subtract {low:.12g} from it.")
    if len(columns) == 1 and not columns[0].values.any():
        return Collinear(columns[0].name, "a covariate that is not zero throughout", f"0 {rows}", "Leave it out.")
    if intercept and len(columns) == 1:
        return Collinear(
            name, "a covariate that is no combination of the intercepts", f"a combination of them {rows}", "Leave it out."
        )
    names = ", ".join(c.name for c in columns)
    beside = " and the intercept" if intercept else ""
    return Collinear(
        names,
        f"covariates of which none is a combination of the others{beside}",
        f"{written} {rows}",
        "Leave one of them out, or give objective='map' with Normal priors on their coefficients.",
    )


def _written(combined: np.ndarray, columns: np.ndarray, named: list[Column]) -> str:
    """'c = 2 b - 3', where all rows and configurations have the same combination and it is short."""
    last = columns[-1]
    lines = combined[combined[:, last] != 0]
    first = -lines[0] / lines[0][last]
    same = len(lines) == np.count_nonzero(combined.any(axis=1))
    if not same or not np.allclose(-lines / lines[:, [last]], first, rtol=1e-4, atol=0) or len(named) > SHOWN:
        return "a combination that is zero"
    terms = [(float(first[c]), column.name) for c, column in zip(columns[:-1], named[:-1], strict=True)]
    terms += [(float(first[0]), "")] if first[0] else []
    signed = [("- " if a < 0 else "+ ", abs(a), name) for a, name in terms] or [("+ ", 0.0, "")]
    text = " ".join(sign + (name if name and abs(a - 1) < SHARE else f"{a:.6g} {name}".rstrip()) for sign, a, name in signed)
    return f"{named[-1].name} = {text.removeprefix('+ ') if text[0] == '+' else text.replace('- ', '-', 1)}"


def unidentified(parameters: Sequence[Variable], sizes: Sequence[int], u: np.ndarray, got: str) -> Unidentified:
    """The error for parameters that take part in a flat direction without a covariate."""
    ends = np.cumsum(sizes)
    involved = [p.label for p, end, n in zip(parameters, ends, sizes, strict=True) if u[end - n : end].any()]
    return Unidentified(
        ", ".join(involved),
        "parameters whose values the data can tell apart",
        got,
        "Leave one of them out, fix it in the data, or give objective='map' with proper priors.",
    )


# ------------------------------------------------------------------------------------------------------------ rates with a link


def links(plan: Plan, rows: CompleteData) -> None:
    """The same for coefficients inside a link (exp), from the derivative of the tables at a parameter value like any other."""
    elsewhere = [e for part in plan.parts if not isinstance(part, TablePart) for e in part.distribution.arguments.values()]
    elsewhere += [e for latent in plan.latents for e in latent.arguments.values()]
    others = set().union(*[value_names(e) for e in elsewhere])
    names = {v.label for v in plan.parameters if uses_of(plan, v) is None} - others
    parts = [part for part in plan.tables if part.reads & names]
    if not parts:
        return
    chart = anywhere(plan, names)
    steps = COMPLEX_STEP * np.eye(chart.size)
    H = np.zeros((chart.size, chart.size))
    changes = [_change(plan, part, chart, steps) for part in parts]
    for part, change in zip(parts, changes, strict=True):
        weight = np.abs(rows.S[part.offset : part.offset + part.height]) * part.on
        flat = (change * np.sqrt(weight)[..., None]).reshape(-1, chart.size)
        H += flat.T @ flat
    u = flat_direction(H)
    if u is None:
        return
    columns = [c for part, change in zip(parts, changes, strict=True) for c in _involved(plan, part, change, chart, u)]
    if columns:
        raise collinear(columns, len(columns) == 1 and bool(columns[0].values.any()), "a combination that is zero", "")
    moved = [p.blocks(c @ np.abs(u)) for p, c in zip(parts, changes, strict=True)]
    cells = [np.any([(b != 0).any(axis=(0, 2)) for b in blocks], axis=0) for blocks in moved]
    where = [(p, c.T & p.on[:, None]) for p, c in zip(parts, cells, strict=True)]
    variables, sizes = [b.variable for b in chart.blocks], [b.where.stop - b.where.start for b in chart.blocks]
    if np.count_nonzero(u) == 1 and any(mask.any() for _, mask in where):
        raise nothing_said(plan, rows, list(where))
    raise unidentified(variables, sizes, u, "a combination of them that changes no row")


def _change(plan: Plan, part: TablePart, chart: Coordinates, steps: np.ndarray) -> np.ndarray:
    """(height, K, directions) derivative of a part's tables along `steps` (size, directions), which are imaginary parts."""
    env = chart.unpack(chart.pack(chart.env)[:, None] + 1j * steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.imag(table_rows(plan, part, env)) / COMPLEX_STEP


def _involved(plan: Plan, part: TablePart, change: np.ndarray, chart: Coordinates, u: np.ndarray) -> list[Column]:
    """The covariates that keep a direction flat: with noise in their place it would change some row."""
    involved, rng = [], np.random.default_rng(0)
    groups = [x for x in (part.levels, part.values) if x is not None]
    for own_levels, (name, value) in [(x, item) for x in groups for item in x.data.items()]:
        levels = value.array.reshape(len(value.array), -1)
        own = [(d, n) for d, n in value.sizes.items() if d != value.dims[0]]
        for j in range(levels.shape[1]):
            noise = levels.copy()
            noise[:, j] = rng.normal(size=len(levels)) * (np.abs(levels[:, j]).max() or 1.0)
            data = {**own_levels.data, name: Named(noise.reshape(value.array.shape), value.dims)}
            changed = replace(own_levels, data=data)
            other = replace(part, levels=changed) if own_levels is part.levels else replace(part, values=changed)
            moved = np.abs(_change(plan, other, chart, COMPLEX_STEP * u[:, None])[..., 0] * part.on).max()
            if moved > SHARE * max(float((np.abs(change) @ np.abs(u)).max()), moved * SHARE):
                involved.append(Column(labelled(plan, name, own, j), levels[:, j]))
    return involved

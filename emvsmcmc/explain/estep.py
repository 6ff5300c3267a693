"""The E-step in terms of the model's own densities."""

from __future__ import annotations

import re

import numpy as np

from ..expect.plan import GaussianPart, RadialPart
from ..families.kinds import MEAN, TAIL, ScaleKind
from ..families.writing import bracketed
from ..spec.private_dims import is_unnamed
from ..spec.variable import Switch, Variable
from ..words import labelled
from .means import residual
from .plan_view import View, total

WIDTH = 110


def e_step(view: View) -> list[str]:
    """Lines: the density of a row, responsibilities, moments of hidden Gaussian variables."""
    plan = view.plan
    lines = []
    if plan.axes:
        lines += _responsibilities(view)
    elif not view.hidden and not plan.radials:
        lines += ["nothing is hidden: the statistics are plain sums over rows, worked out once"]
    if view.weighted and plan.axes:
        lines += [f"rows have weights {view.letter('w')}: every {view.letter('r')} is multiplied by its row's"]
    if view.hidden:
        lines += _gaussians(view)
    for part in plan.radials:
        lines += _scales(view, part)
    return lines


def _responsibilities(view: View) -> list[str]:
    plan, k = view.plan, ", ".join(view.configuration())
    f, r = f"{view.letter('f')}[{view.plate}, {k}]", view.responsibility().strip()
    lines = _wrapped(f"{f} = ", _density(view))
    for v in view.problem.row_variables:
        if isinstance(v, Switch):
            lines += [
                f"    {_switched(view, v, b)} = {view.write.density(d, _plain(v), v.dims)}" for b, d in enumerate(v.branches)
            ]
    evidence = [name for name in plan.axes if name in view.problem.evidence]
    extra = "".join(f" q_{name}[{view.plate}, {view.symbols[name]}]" for name in evidence)
    known = [name for name in plan.axes if name in plan.known or view.problem.roles[name] in ("covariate", "observed")]
    summed = [symbol for name, symbol in view.symbols.items() if name not in known]
    if summed:
        lines += [f"{r} = {f}{extra} / {total(summed)}{f}{extra}"]
        lines += [f"    and 0 where the row's own {name} is another" for name in known]
    else:
        lines += [f"{r} = 1 at the row's own {', '.join(known)}, else 0"]
    if evidence:
        lines += [f"q_{name}: soft labels, weights on the values of {name} in each row" for name in evidence]
    given = [name for name in plan.axes if name in view.problem.given and view.problem.roles[name] == "assignment"]
    lines += [f"where {name} is given, {view.letter('r')} is 0 at its other values" for name in given]
    return [*lines, f"{view.count()} = {total([view.plate])}{r}"]


def _wrapped(start: str, product: str) -> list[str]:
    """One line, or a factor a line where that is too long."""
    if len(start) + len(product) <= WIDTH:
        return [start + product]
    first, *others = _factors(product)
    return [start + first, *[f"{'· '.rjust(len(start))}{x}" for x in others]]


def _factors(product: str) -> list[str]:
    """Split at the dots outside brackets."""
    depth, out = 0, [""]
    for piece in re.split(r"( · |[()\[\]])", product):
        depth += (piece in ("(", "[")) - (piece in (")", "]"))
        if piece == " · " and depth == 0:
            out.append("")
        else:
            out[-1] += piece
    return out


def _density(view: View) -> str:
    """Product over the variables of a row, wholly hidden Gaussian variables integrated out."""
    plan, factors, integrated = view.plan, [], []
    for v in view.problem.row_variables:
        if v in plan.latents:
            factors.append(_probability(view, v))
        elif isinstance(v, Switch):
            over = "".join(f"Π_{d} " for d in v.dims if d != view.plate)
            factors.append(over + _switched(view, v, None))
        else:
            if view.problem.roles[v.label] == "latent":
                integrated.append(v.label)
            event = v.family.event_dims
            lead = v.dims[: len(v.dims) - event] if event else v.dims
            text = view.write.density(v, _value(v), v.dims)
            factors.append("".join(f"Π_{d} " for d in lead if d != view.plate) + text)
    product = " · ".join(factors)
    return f"∫ {product} d({', '.join(integrated)})" if integrated else product


def _probability(view: View, v: Variable) -> str:
    symbol = view.symbols[v.label]
    if v.family.counted is None:
        return view.write.density(v, symbol, v.dims)
    p = v.arguments[v.family.counted]
    text = view.write.having(**{p.dims[-1]: symbol}).expression(p)
    return f"{text}[{symbol}]" if is_unnamed(p.dims[-1]) else text  # a constant without names


def _switched(view: View, v: Switch, branch: int | None) -> str:
    symbol = view.symbols[v.index.label]
    return f"p({_plain(v)} | {symbol if branch is None else f'{symbol} = {branch}'})"


def _plain(v: Variable) -> str:
    return labelled(v.label, v.dims)


def _value(v: Variable) -> str:
    event = v.family.event_dims
    return labelled(v.label, v.dims[: len(v.dims) - event])


def _gaussians(view: View) -> list[str]:
    """Conditional mean and covariance of what is hidden among the Gaussian variables."""
    P, m = view.letter("P"), view.letter("m")
    lines = []
    wholly = [n for n in view.hidden if view.problem.roles[n] == "latent"]
    partly = [n for n in view.hidden if n not in wholly]
    given = f"the row{' and ' + ', '.join(view.configuration()) if view.plan.axes else ''}"
    hidden = " and ".join([*wholly, *[f"the missing cells of {n}" for n in partly]])
    normal = f"given {given}, {hidden} {'is' if len(view.hidden) == 1 and wholly else 'are'} Normal"
    alone = [p for p in view.plan.gaussians if p.variable.label in partly and view.reads_hidden(p) == [p.variable.label]]
    if not wholly and len(alone) == len(view.hidden) == len([p for p in view.plan.gaussians if view.reads_hidden(p)]):
        lines.append(f"{normal} with covariance {P} and mean {m}:")
        for part in alone:
            lines += _missing_cells(view, part)
        return lines
    J, h = view.letter("J"), view.letter("h")
    lines.append(f"{normal} with information parameters {J} (precision) and {h}: mean {J}⁻¹ {h}, covariance {J}⁻¹")
    parts = [p for p in view.plan.gaussians if view.reads_hidden(p)]
    factors = [_weighted_derivative(view, p) for p in parts]
    names = [p.variable.label for p in parts]
    lines.append(f"    {J} = {' + '.join(f'{w} D_{n}' for w, n in zip(factors, names, strict=True))}")
    lines.append(f"    {h} = −({' + '.join(f'{w} e_{n}' for w, n in zip(factors, names, strict=True))})")
    v = view.letter("v")
    lines.append(
        f"    e_{v} = {v} − its mean, with what is hidden set to 0; D_{v} = its derivative with respect to what is hidden;"
    )
    lines.append("    worked out by one QR for each pattern of hidden cells, never by squaring")
    return lines


def _scales(view: View, part: RadialPart) -> list[str]:
    """The expected latent scale of a Student-t value: one for a vector too."""
    write, name = view.of(part), part.variable.label
    nu, scale = (
        write.argument(part.distribution, key, part.variable.dims)
        for kind in (TAIL, ScaleKind)
        for key in part.distribution.keys_of(kind)
    )
    away, matrix = residual(view, part), part.scale_kind.matrix
    square = f"{away}ᵀ {scale}⁻¹ {away}" if matrix else f"{bracketed(away)}² / {bracketed(scale)}²"
    divided = "covariance" if matrix else "variance"
    lines = [
        f"{name} is Normal with its {divided} divided by a scale of its own ~ Gamma({nu} / 2, {nu} / 2); expected:",
        f"    {view.scale(part, write).strip()} = ({nu} + {part.length}) / ({nu} + {square})",
    ]
    if np.isnan(view.problem.given[name].array).any():
        lines.append(f"    missing {'vectors' if matrix else 'cells'} of {name} are in no sum")
    return lines


def _missing_cells(view: View, part: GaussianPart) -> list[str]:
    name, write = part.variable.label, view.of(part)
    P, m = view.letter("P"), view.letter("m")
    (key,) = part.distribution.keys_of(MEAN)
    mu = write.argument(part.distribution, key, part.variable.dims)
    cov = write.argument(part.distribution, part.scale_key, part.variable.dims)
    if not part.scale_kind.matrix:
        return [f"    {name}: {m} = {mu}, {P} = {part.scale_kind.variance_text(cov)}"]
    return [
        f"    {name}: {m} = μ_h + Σ_ho Σ_oo⁻¹ (x_o − μ_o), {P} = Σ_hh − Σ_ho Σ_oo⁻¹ Σ_oh, μ = {mu}, Σ = {cov},",
        "    h the missing and o the given cells of the row",
    ]


def _weighted_derivative(view: View, part: GaussianPart) -> str:
    """D' times the precision of a Gaussian variable."""
    scale = view.of(part).argument(part.distribution, part.scale_key, part.variable.dims)
    return f"D_{part.variable.label}ᵀ {part.scale_kind.precision_text(scale)}"


def summed_out(view: View) -> list[str]:
    """What neither engine samples: assignments with their configurations, Gaussian variables and cells."""
    plan, lines = view.plan, []
    latents = [v for v in plan.latents if view.problem.roles[v.label] != "observed"]
    lines += [f"{v.label}: {plan.axes[v.label]} values, summed out" for v in latents]
    if len(latents) > 1:
        joint = int(np.prod([plan.axes[v.label] for v in latents]))
        lines.append(f"together {joint} configurations a row, enumerated jointly")
    for name, cells in view.hidden.items():
        whole = view.problem.roles[name] == "latent"
        lines.append(
            f"{name}: {f'{len(cells)} hidden Gaussian values a row' if whole else 'missing Gaussian cells'}, integrated out"
        )
    vectors = {p.variable.label: p.scale_kind.matrix for p in plan.radials}
    for name in vectors:
        lines.append(f"{name}: one latent scale a {'vector' if vectors[name] else 'value'}, integrated out")
    return lines or ["nothing is hidden"]

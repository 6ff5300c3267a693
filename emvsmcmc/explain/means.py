"""The M-step of means: a weighted mean where the compiled regression is one, else the weighted regression it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..em.regression import Regression
from ..expect.coefficients import inverse_scale, residual_rows, whiteners
from ..expect.objective import Objective
from ..expect.plan import ResidualPart
from ..families.kinds import MEAN, ScaleKind
from ..families.writing import bracketed, grouped
from ..spec.named import Named
from ..spec.variable import Variable
from ..spec.walk import value_names
from ..words import labelled
from .plan_view import View, total

SAME = 1e-12  # relative difference below which two precisions are one


def mean_step(view: View, regression: Regression, objective: Objective) -> list[str]:
    """Lines for one block of mean parameters; the first is its title."""
    names = ", ".join(p.label for p in regression.parameters)
    if len(regression.parameters) == 1 and len(regression.parts) == 1 and _selects(view, regression):
        part, parameter = regression.parts[0], regression.parameters[0]
        simple = _one_precision(view, regression)
        if not objective.prior and simple:
            return [f"{names}: weighted mean", _weighted_mean(view, part)]
        if objective.prior and simple and not parameter.family.event_dims:
            return [f"{names}: weighted mean, its Normal prior counting as further data", _posterior_mean(view, part, parameter)]
    kind = "weighted regression" if view.plan.axes or view.weighted else "regression"
    unknowns = f"{regression.P} unknown{'s' if regression.P > 1 else ''}, one linear system"
    lines = [f"{names}: {kind} ({unknowns}), the minimum of"]
    terms = [_squares(view, part) for part in regression.parts]
    if objective.prior:
        terms += [_prior_squares(view, p) for p in regression.parameters]
    return lines + [("  " if i == 0 else "+ ") + term for i, term in enumerate(terms)]


def _selects(view: View, regression: Regression) -> bool:
    """True where every residual row is its value minus exactly one of the parameters, and nothing else."""
    part, design = regression.parts[0], regression.designs[0][regression.parts[0].on]
    if not len(design) or np.any(design[:, :, 1:]):
        return False
    first = design[:, :, 0]
    if not (np.isin(first, (0.0, 1.0)).all() and (first.sum(-1) == 1).all()):
        return False
    env = view.environment
    zeros = {p.label: Named(np.zeros(s), p.dims) for p, s in zip(regression.parameters, regression.shapes, strict=True)}
    remainder = residual_rows(view.plan, part, env.with_values(zeros), np.zeros((view.plan.K, view.plan.d)))[part.on]
    own = np.zeros_like(remainder)
    own[:, :, part.columns] = np.eye(part.size)
    return np.array_equal(remainder, own)


def _one_precision(view: View, regression: Regression) -> bool:
    """True where all rows that inform a parameter have the same precision, which then cancels."""
    part = regression.parts[0]
    chosen = regression.designs[0][:, :, 0].argmax(-1)  # (K, m) parameter of each residual row
    if not part.scale_kind.matrix:
        precision = inverse_scale(view.plan, part, view.environment)
        precisions: dict[int, float] = {}
        for k in np.flatnonzero(part.on):
            for m in range(part.size):
                if abs(precisions.setdefault(chosen[k, m], precision[k, m]) / precision[k, m] - 1) > SAME:
                    return False
        return True
    W = whiteners(view.plan, part, view.environment)
    p = W.shape[-1]
    vectors: dict[tuple[int, ...], np.ndarray] = {}
    owner: dict[int, tuple[int, ...]] = {}
    for k in np.flatnonzero(part.on):
        for lead, vector in enumerate(chosen[k].reshape(-1, p)):
            key = tuple(int(i) for i in vector)
            if len(set(key)) < p or any(owner.setdefault(i, key) != key for i in key):
                return False
            if not np.allclose(vectors.setdefault(key, W[k, lead]), W[k, lead], rtol=SAME):
                return False
    return True


def _left(view: View, part: ResidualPart) -> tuple[str, list[str]]:
    """What the mean is looked up as, and its indices."""
    write, e = view.of(part), part.mean
    drop = (
        part.variable.dims[len(part.variable.dims) - part.distribution.family.event_dims :]
        if part.distribution.family.event_dims
        else ()
    )
    return write.expression(e, drop), write.indices(e, drop)


def _over(view: View, part: ResidualPart, kept: list[str]) -> list[str]:
    return [i for i in [view.plate, *view.free(view.of(part)), *view.elements(part)] if i not in kept]


def _weighted_mean(view: View, part: ResidualPart) -> str:
    left, kept = _left(view, part)
    over, write = _over(view, part, kept), view.of(part)
    scale = view.scale(part, write)
    x = f"{total(over)}{view.responsibility(write)}{scale}{expected(view, part, view.value(part))}"
    return f"{left} = {x} / {grouped(view.weight(over, write, scale))}"


def _posterior_mean(view: View, part: ResidualPart, parameter: Variable) -> str:
    left, kept = _left(view, part)
    over, write = _over(view, part, kept), view.of(part)
    u = view.scale(part, write)
    x, n = (
        f"{total(over)}{view.responsibility(write)}{u}{expected(view, part, view.value(part))}",
        bracketed(view.weight(over, write, u)),
    )
    scale = write.argument(part.distribution, part.scale_key, part.variable.dims)
    event = part.variable.dims[-1:] if part.scale_kind.matrix else ()
    mu, spread = _prior_arguments(view, parameter, event)
    if part.scale_kind.matrix:
        pull = f" + diag({spread})⁻¹ {mu}" if mu != "0" else ""
        return f"{left} = ({n} {scale}⁻¹ + diag({spread})⁻¹)⁻¹ ({scale}⁻¹ {x}{pull})"
    square = part.scale_kind.variance_text(scale)
    pull = f" + {bracketed(mu)} / {spread}" if mu != "0" else ""
    return f"{left} = ({x} / {square}{pull}) / ({n} / {square} + 1 / {spread})"


def _prior_arguments(view: View, parameter: Variable, event: Sequence[str] = ()) -> tuple[str, str]:
    """Mean and variance of a Normal prior, as written; `event` dims are taken as one."""
    write = view.write
    (key,) = parameter.keys_of(ScaleKind)
    kind = parameter.family.arguments[key].kind
    assert isinstance(kind, ScaleKind)
    mu = write.expression(parameter.argument_of(MEAN), event)
    return mu, kind.variance_text(write.expression(parameter.arguments[key], event))


def _squares(view: View, part: ResidualPart) -> str:
    write, over = view.of(part), total(_over(view, part, []))
    scale = write.argument(part.distribution, part.scale_key, part.variable.dims)
    away, r = residual(view, part), view.responsibility(write) + view.scale(part, write)
    if part.scale_kind.matrix:
        return f"{over}{r}{expected(view, part, f'{away}ᵀ {scale}⁻¹ {away}')}"
    square = part.scale_kind.variance_text(scale)
    return f"{over}{r}{expected(view, part, f'{away}²')} / {square}"


def residual(view: View, part: ResidualPart) -> str:
    """(waiting[eruption] − mean[k])"""
    (key,) = part.distribution.keys_of(MEAN)
    mu = view.of(part).argument(part.distribution, key, part.variable.dims)
    return f"({view.value(part)} − {bracketed(mu)})" if mu != "0" else view.value(part)


def _prior_squares(view: View, parameter: Variable) -> str:
    name = labelled(parameter.label, parameter.dims)
    if parameter.family.event_dims:
        lead = parameter.dims[:-1]
        name = labelled(parameter.label, lead)
        keys = [*parameter.keys_of(MEAN), *parameter.keys_of(ScaleKind)]
        mu, cov = (view.write.argument(parameter, key, parameter.dims) for key in keys)
        return f"{total(lead)}({name} − {mu})ᵀ {cov}⁻¹ ({name} − {mu})  (prior)"
    mu, variance = _prior_arguments(view, parameter)
    away = f"({name} − {bracketed(mu)})" if mu != "0" else name
    return f"{total(parameter.dims)}{away}² / {variance}  (prior)"


def expected(view: View, part: ResidualPart, text: str) -> str:
    """E[... | row, k] where the part reads something hidden."""
    if not view.reads_hidden(part):
        return text
    return f"E[{text} | {', '.join(['row', *view.configuration(view.of(part))])}]"


def stands_in_mean(view: View, parameter: Variable) -> bool:
    """True where a mean reads the parameter, so that a regression solves for it."""
    return any(parameter.label in value_names(p.mean) for p in view.plan.residual_parts)

"""The M-step, parameter by parameter, as `em` compiled it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..em.look_ups import Use, unwrapped, uses_of
from ..em.mstep import LookUp, MStep
from ..expect.objective import Objective
from ..expect.plan import ResidualPart, TablePart
from ..families import ConjugateFamily, Prior, TableFamily
from ..families.kinds import COVARIANCE, RATE, ConjugateKind, ScaleKind
from ..families.support import Interval, Real, Simplex
from ..families.writing import Text, bracketed
from ..spec.arguments import argument_values, parameter_support, parents
from ..spec.expression import Expression, Operation
from ..spec.notation import Notation
from ..spec.variable import Variable
from ..spec.walk import degree, looked_up, value_names, walk
from ..words import labelled
from .means import expected, mean_step, residual, stands_in_mean
from .plan_view import View, total


def m_step(view: View, objective: Objective) -> list[str]:
    """Numbered lines in the order in which the steps are taken."""
    step = MStep(view.plan, objective)
    used = set().union(*[parents(v) for v in view.problem.row_variables], set())
    blocks = [mean_step(view, r, objective) for r in step.regressions]
    blocks += [_look_up(view, s, objective) for s in step.look_ups]
    blocks += [_numeric(view, sorted(names), objective) for names in step.numeric if objective.prior or names & used]
    lines = []
    for i, (title, *rest) in enumerate(blocks, 1):
        lines += [f"{i}. {title}", *[f"     {line}" for line in rest]]
    idle = [v.label for v in view.plan.parameters if v.label not in used]
    if idle and not objective.prior:
        them = "them" if len(idle) > 1 else "it"
        lines.append(f"refused: {', '.join(idle)} in priors only, so that the likelihood says nothing of {them}")
    return lines or ["every parameter is given"]


def _numeric(view: View, names: list[str], objective: Objective) -> list[str]:
    where = f"{', '.join(names)}: no closed form; safeguarded Newton on {objective.words}"
    if len(names) > 1:
        where += ", together"
    return [where, *[f"{name}: {_why(view, view.problem.spec.variables[name], objective)}" for name in names]]


def _why(view: View, v: Variable, objective: Objective) -> str:
    uses = uses_of(view.plan, v)
    tails = [p.variable.label for p in view.plan.radials if v.label in value_names(p.tail)]
    if tails:
        return f"the degrees of freedom of {', '.join(dict.fromkeys(tails))} have no closed form"
    if stands_in_mean(view, v):
        curved = [p for p in view.plan.residual_parts if degree(p.mean, {n.label for n in view.plan.parameters}) > 1]
        if any(v.label in value_names(p.mean) for p in curved):
            return f"the mean of {curved[0].variable.label} is not affine in its parameters"
        if uses != []:
            return "it stands in a mean and in another slot"
        if objective.prior and isinstance(v.family.support(), Real):
            return f"its {v.family.name} prior is not Normal, so that the mean is no regression"
        return f"its {v.family.name} prior bounds a mean"
    if (open_ := _without_a_form(view, v)) is not None:
        return open_
    if uses is None:
        return "it stands inside an expression, not alone in a slot"
    if not uses:
        return "it stands only in priors"
    kinds = sorted({u.kind.name for u in uses})
    if len(kinds) > 1:
        return f"it stands in slots of different kinds ({', '.join(kinds)})"
    return f"a {v.family.name} prior is not conjugate to a {kinds[0]} slot" if objective.prior else "its slot has no closed form"


def _without_a_form(view: View, v: Variable) -> str | None:
    """Of a parameter in a slot that has no closed form, or that has one only where the others of its distribution are known."""
    for part in view.plan.tables:
        arguments = part.family.arguments
        for key in part.estimated:
            if v.label not in value_names(part.argument(key)):
                continue
            slot = f"the {key} of {part.variable.label}, which is {part.family.name},"
            if not isinstance(arguments[key].kind, ConjugateKind):
                return f"{slot} has no closed form"
            estimated = {p.label for p in view.plan.parameters}
            moving = [k for k in part.estimated if k != key and value_names(part.argument(k)) & estimated]
            alone = part.argument(key)
            if moving and looked_up(alone) is v:
                return f"{slot} has a closed form only where its {' and '.join(moving)} is known"
    return None


def _look_up(view: View, step: LookUp, objective: Objective) -> list[str]:
    v, kind = step.parameter, step.kind
    left, kept = _left(view, step)
    pairs = [_messages(view, v, use, kept) for use in step.uses]
    first, second = (_plus([p[i] for p in pairs]) for i in (0, 1))
    if not objective.prior:
        lines = [f"{v.label}: {kind.title}", *_formula(view, step, left, first, second, None)]
    else:
        natural = _natural(view, v, kind)
        if natural is None:
            assert isinstance(v.family, Prior)
            title, equation = v.family.equations[kind]
            given = {k: view.write.expression(e) for k, e in v.arguments.items()}
            where = [f"N = {second}", f"SS = {first}"]
            return [
                f"{v.label}: {title}, under its {v.family.name} prior",
                f"s = {left}: the positive root of {equation.format(**given)}",
                *where,
            ]
        assert isinstance(v.family, Prior)
        name, prior_text = v.family.conjugate.get(kind, kind.title), view.write.distribution(v, v.dims)
        known = not any(value_names(e) for e in v.arguments.values())
        lines = [f"{v.label}: {name}", *_formula(view, step, left, first, second, natural if known else None)]
        if not known:
            lines.append(f"to each sum comes what {prior_text} adds at its current values")
        elif all(not np.any(n) for n in natural):
            lines[0] += f" ({prior_text} adds nothing)"
    support = parameter_support(v, view.environment)
    if isinstance(support, Interval) and any(a.decides for a in v.family.arguments.values()):
        lines.append(f"moved to the nearer bound of its {v.family.name} prior where it lies outside")
    if isinstance(support, Simplex) and (fixed := support.fixed(view.problem.shape(v))).any():
        values = " or ".join(f"{x:g}" for x in np.unique(view.environment.values[v.label].array[fixed]))
        lines.append(
            f"{fixed.sum()} of its {fixed.size} entries are {values} by its {v.family.name} prior: nothing is counted there"
        )
    return lines


def _formula(view: View, step: LookUp, left: str, first: str, second: str, natural: tuple[np.ndarray, ...] | None) -> list[str]:
    """The mode in words: `first` over `second` for rates and scales, shares for probabilities."""
    if natural is not None:
        # messages to a scale are (n, ss), so the prior's are too
        above, *below = natural[::-1] if isinstance(step.kind, ScaleKind) else natural
        first = _add(first, above)
        second = _add(second, below[0]) if below else second
    counted = "" if second else _counted(view, step)
    return [step.kind.formula(left, first, second, counted)]


def _counted(view: View, step: LookUp) -> str:
    use = step.uses[0]
    if use.latent is not None:
        return view.symbols[use.latent.label]
    assert isinstance(use.part, TablePart)
    return view.counted(use.part)


def _natural(view: View, v: Variable, kind: ConjugateKind) -> tuple[np.ndarray, ...] | None:
    """What the prior adds to the messages, as `em` adds it."""
    family = v.family
    assert isinstance(family, Prior)
    natural = family.natural(kind, **argument_values(v, view.environment))
    return None if natural is None else tuple(np.asarray(x, dtype=float) for x in natural)


# ---------------------------------------------------------------------------------------------------- messages in words


def _messages(view: View, v: Variable, use: Use, kept: list[str]) -> tuple[str, str]:
    """The two sums that a use sends, in the order in which they are divided: (events, exposure), (ss, n), (hits, misses)."""
    if use.latent is not None:
        return _assignment_messages(view, use, kept)
    part = use.part
    assert part is not None
    write, r = view.of(part), view.responsibility(view.of(part))
    indices = [i for i in [view.plate, *view.free(write), *view.elements(part)] if i not in kept]
    over, weight = total(indices), view.weight(indices, write)
    if isinstance(part, ResidualPart):
        away, r = residual(view, part), r + view.scale(part, write)
        if use.kind is RATE and use.factor is not None:
            r += write.expression(_factor(unwrapped(part.scale), v.label)) + " "
        squares = f"{over}{r}{expected(view, part, f'{away} {away}ᵀ' if use.kind is COVARIANCE else f'{away}²')}"
        return (f"(½ {weight})", f"(½ {squares})") if use.kind is RATE else (squares, weight)
    value = labelled(part.variable.label, part.variable.dims)
    assert isinstance(part, TablePart)
    family = part.family
    assert isinstance(family, ConjugateFamily)
    if not part.n_tables:
        if family.counted is not None:
            return f"{over}{r}[{value} = {view.counted(part)}]", ""
        return f"{over}{r}{value}", f"{over}{r}(1 − {value})"
    # a family's message picks among its statistics, and multiplies them by what is known: so it does with their names as well
    texts: Any = [Text(t) for t in _multipliers(view, part, value)]
    known_others: Any = {
        k: Text(bracketed(write.argument(part.distribution, k, part.variable.dims))) for k in part.estimated if k != use.key
    }
    first, *more = map(str, family.message(use.key, texts, **known_others))
    if not more:
        return f"{over}{r}{first}", ""
    (second,) = more
    if use.factor is not None:
        known = write.expression(_factor(part.argument(use.key), v.label))
        second = known if second == "1" else f"{second} {known}"
    sums = [f"{over}{r}{x}" if x != "1" else weight for x in (first, second)]
    return sums[0], sums[1]


def _assignment_messages(view: View, use: Use, kept: list[str]) -> tuple[str, str]:
    assert use.latent is not None
    if use.latent.family.counted is not None:
        return view.weight([i for i in [view.plate, *view.free()] if i not in kept]), ""
    sums = []
    for value in ("1", "0"):
        write = view.write.having(**{use.latent.label: value})
        sums.append(view.weight([i for i in [view.plate, *view.free(write)] if i not in kept], write))
    return sums[0], sums[1]


def _multipliers(view: View, part: TablePart, value: str) -> list[str]:
    """What each table is multiplied by, recognised from the numbers that the family gives."""
    family = part.family
    assert isinstance(family, TableFamily)
    rng = np.random.default_rng(2)
    x = rng.uniform(0.1, 0.9, 7)
    known: dict[str, np.ndarray] = {}
    texts: dict[str, str] = {}
    for key, argument in part.family.arguments.items():
        if argument.fixed:
            known[key] = rng.integers(5, 9, 7).astype(float)
            texts[key] = view.of(part).argument(part.distribution, key, part.variable.dims)
    candidates: list[tuple[str, np.ndarray]] = [
        ("1", np.ones(7)),
        (value, x),
        (f"({value} − 1)", x - 1),
        (f"{value}²", x**2),
        (f"log {value}", np.log(x)),
        (f"(1 / {value})", 1 / x),
    ]
    candidates += [(f"({text} − {value})", known[key] - x) for key, text in texts.items()]
    return [
        next((text for text, numbers in candidates if np.array_equal(phi, numbers)), "φ")
        for phi in family.multipliers(x, **known)
    ]


def _factor(e: Expression, name: str) -> Expression:
    assert isinstance(e, Operation)
    left, right = e.children
    return left if name in value_names(right) else right


# ------------------------------------------------------------------------------------------------------------- small pieces


def _left(view: View, step: LookUp) -> tuple[str, list[str]]:
    """How the parameter is written where it stands, and the indices that it keeps; its own dims where its uses differ."""
    written = {_written(view, step, use) for use in step.uses}
    text, kept = next(iter(written)) if len(written) == 1 else _own(step)
    return text, list(kept)


def _own(step: LookUp) -> tuple[str, tuple[str, ...]]:
    dims = step.parameter.dims[:-2] if step.kind is COVARIANCE else step.parameter.dims
    return labelled(step.parameter.label, dims), dims


def _written(view: View, step: LookUp, use: Use) -> tuple[str, tuple[str, ...]]:
    write: Notation = view.write
    if use.latent is not None:
        e: Any = use.latent.arguments[use.key]
        if use.key == use.latent.family.counted:
            write = write.having(**{e.dims[-1]: view.symbols[use.latent.label]})
        return write.expression(e), tuple(write.indices(e))
    part = use.part
    assert part is not None
    write = view.of(part)
    e = next(x for x in walk(part.argument(use.key)) if looked_up(x).name == step.parameter.label)
    drop = []
    if step.kind is COVARIANCE:
        drop = [*(d for d in e.dims if d not in part.variable.dims), part.elements[-1][0]]
    return write.expression(e, drop), tuple(write.indices(e, drop))


def _plus(texts: list[str]) -> str:
    return " + ".join(dict.fromkeys(t for t in texts if t))


def _add(text: str, extra: np.ndarray | None) -> str:
    if extra is None or not np.any(extra):
        return text
    numbers = np.unique(extra)
    if extra.size == 1 or len(numbers) == 1:
        number = float(numbers[0])
        return f"{text} {'+' if number > 0 else '−'} {abs(number):g}"
    shown = np.array2string(np.squeeze(extra), separator=", ", formatter={"float_kind": lambda x: f"{x:g}"})
    return f"{text} + {' '.join(shown.split())}"

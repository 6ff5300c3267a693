"""The disagreements of model choice in words, with the figures that decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..loo import PARETO_K, LeaveOneOut
from ..verdict import R_HAT

NAMES = {"aic": "AIC", "bic": "BIC", "icl": "ICL", "loo": "LOO"}


@dataclass(frozen=True)
class Judged:
    """What is known of one model. reason : why EM gives no criteria; note : what else is to be said of its fit; trouble : why its
    LOO is not trusted.
    """

    name: str
    status: str
    reason: str
    loo: LeaveOneOut | None
    trouble: tuple[str, ...]
    log_likelihood: float = float("nan")
    n_parameters: float = float("nan")
    entropy: float = float("nan")
    aic: float = float("nan")
    bic: float = float("nan")
    icl: float = float("nan")
    r_hat: float = float("nan")
    r_hat_rows: float = float("nan")
    note: str = ""


def trusted(models: Sequence[Judged]) -> list[Judged]:
    """The models whose LOO may be compared, the best first; none where there are not two of them."""
    ranked = sorted((m for m in models if m.loo is not None and not m.trouble), key=lambda m: -m.loo.total)  # type: ignore[union-attr]
    return ranked if len(ranked) > 1 else []


def sentences(models: Sequence[Judged], table: pd.DataFrame, best: Mapping[str, str | None]) -> list[str]:
    """Who takes what; where they disagree, the figures that decide; whether LOO can tell; then every reservation."""
    of = {m.name: m for m in models}
    takers: dict[str, list[str]] = {}
    for criterion, name in best.items():
        if name is not None:
            takers.setdefault(name, []).append(criterion)
    names = dict(NAMES)
    judged = {m.name for m in trusted(models)}
    if len(judged) < len(models):
        names["loo"] += f" (which judges {_and([m.name for m in models if m.name in judged])} alone)" if judged else ""
    out = [_headline(takers, names)]
    if len(takers) == 1:
        out += _runners_up(of, best)
    for a, b in combinations(takers, 2):
        few, many = sorted((of[a], of[b]), key=lambda m: m.n_parameters)
        out += _why(few, many, takers, table)
    out += _by_loo(models, takers)
    return [*out, *_reservations(models)]


def _headline(takers: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> str:
    if not takers:
        return "No criterion can judge any of the models."
    if len(takers) == 1:
        ((name, criteria),) = takers.items()
        every = "all " if len(criteria) > 2 else "both " if len(criteria) == 2 else ""
        return f"{_and([names[c] for c in criteria])} {every}take{'s' if len(criteria) == 1 else ''} {name}."
    parts = [
        f"{_and([names[c] for c in criteria])} take{'s' if len(criteria) == 1 else ''} {name}"
        for name, criteria in takers.items()
    ]
    return f"{', '.join(parts)}."


def _runners_up(of: Mapping[str, Judged], best: Mapping[str, str | None]) -> Iterator[str]:
    """Where all agree: how far behind the next one is."""
    next_ones: dict[str, list[str]] = {}
    for criterion in ("aic", "bic", "icl"):
        values = {name: getattr(m, criterion) for name, m in of.items() if np.isfinite(getattr(m, criterion))}
        if best.get(criterion) in values and len(values) > 1:
            top = values.pop(best[criterion])  # type: ignore[arg-type]
            name = min(values, key=values.__getitem__)
            next_ones.setdefault(name, []).append(f"{values[name] - top:.2f} in {NAMES[criterion]}")
    if next_ones:
        yield f"Next comes {', or '.join(f'{name}, by {_and(parts)}' for name, parts in next_ones.items())}."


def _why(few: Judged, many: Judged, takers: Mapping[str, Sequence[str]], table: pd.DataFrame) -> Iterator[str]:
    """The figures that make criteria choose differently between two models, the one with fewer parameters first."""
    side = {c: name for name in (few.name, many.name) for c in takers[name]}
    extra, gain = many.n_parameters - few.n_parameters, 2 * (many.log_likelihood - few.log_likelihood)
    if side.get("aic") != side.get("bic") and {"aic", "bic"} <= side.keys():
        charges = {"aic": 2 * extra, "bic": many.bic + 2 * many.log_likelihood - few.bic - 2 * few.log_likelihood}
        light, heavy = sorted(charges, key=charges.__getitem__)
        yield (
            f"{many.name} has {extra:.0f} more parameters than {few.name} and gains {gain:.2f} in twice the log-likelihood: more "
            f"than the {charges[light]:.2f} that {NAMES[light]} charges for them, less than the {charges[heavy]:.2f} of "
            f"{NAMES[heavy]}."
        )
    if side.get("bic") != side.get("icl") and {"bic", "icl"} <= side.keys():
        bic, icl = (few, many) if side["bic"] == few.name else (many, few), side["icl"]
        yield (
            f"BIC prefers {bic[0].name} to {bic[1].name} by {bic[1].bic - bic[0].bic:.2f}, but ICL adds twice the entropy of the "
            f"assignments, {2 * bic[0].entropy:.2f} for {bic[0].name} and {2 * bic[1].entropy:.2f} for {bic[1].name}, and so "
            f"prefers {icl}."
        )
    against = [c for c in ("aic", "bic", "icl") if c in side]
    if "loo" in side and against and all(side[c] != side["loo"] for c in against):
        other = side[against[0]]
        by = _and([f"{table.loc[side['loo'], f'd_{c}'] - table.loc[other, f'd_{c}']:.2f}" for c in against])
        yield f"{_and([NAMES[c] for c in against])} put{'s' if len(against) == 1 else ''} {other} before {side['loo']} by {by}."


def _by_loo(models: Sequence[Judged], takers: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """LOO's choice against the next one and against the choices of the others, with the paired standard error."""
    judged = trusted(models)
    if not judged:
        if any(m.loo is not None for m in models):
            yield "LOO compares nothing, for want of two models whose chains have converged."
        return
    top, *others = judged
    for m in others:
        if m is not others[0] and m.name not in takers:
            continue
        d, se = top.loo.less(m.loo)  # type: ignore[union-attr, arg-type]
        if d > se:
            margin = f"more than the standard error of the difference, {se:.2f}"
        else:
            margin = f"not more than the standard error of the difference, {se:.2f}: LOO cannot tell them apart"
        yield f"LOO puts {top.name} before {m.name} by {d:.2f} nats, {margin}."


def _reservations(models: Sequence[Judged]) -> Iterator[str]:
    for m in models:
        if m.reason:
            yield f"EM of {m.name} ended as {m.status}, so that AIC, BIC and ICL cannot judge it: {m.reason}."
        elif m.note:
            yield f"EM of {m.name} ended as {m.status}: {m.note}."
    for m in models:
        if m.trouble and m.loo is None:
            yield f"NUTS could not sample {m.name}, so that LOO cannot judge it: {'; '.join(m.trouble)}."
        elif m.trouble:
            yield (
                f"The chains of {m.name} have not converged, so that its LOO is not trusted and takes no part: "
                f"{'; '.join(m.trouble)}."
            )
        elif m.r_hat > R_HAT:
            yield (
                f"R-hat of a parameter of {m.name} is {m.r_hat:.3f}, but the log-likelihoods of its rows, which are all that LOO "
                f"reads, have mixed (R-hat at most {m.r_hat_rows:.3f})."
            )
    for m in models:
        if m.loo is not None and m.loo.unreliable:
            yield (
                f"LOO of {m.name}: {m.loo.unreliable} of {int(m.loo.rows.sum())} rows have a Pareto k above {PARETO_K}, for "
                "which importance sampling is not reliable; its elpd may be too high."
            )


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

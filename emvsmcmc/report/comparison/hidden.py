"""What the page says about hidden values: how much information they take away, and what filling them in would do."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import numpy as np
import xarray as xr

from ...em.uncertainty import by_reason
from ...errors import Status
from ..tree_view import View
from ..words import listed, number, percent, short

ALIKE = 0.2  # standard errors: a difference that nobody would see
GROWN = 1.5  # ratio of sizes from which a parameter of a run that is still on its way is named
CREEPS = 0.9999  # rate of an EM that would need more iterations for a digit than anyone waits for
LITTLE = 0.005  # fraction of missing information that is not worth a sentence

SOFT_AND_HARD = (
    "Soft EM weighs every value that something hidden may have by its probability. Hard assignment puts in the likeliest value "
    "as if it had been seen, and goes on from there."
)
HARD = {
    "assignment": "For {} that is classification EM (Celeux and Govaert 1992): a row between two groups no longer counts for "
    "both, so the groups look more apart than they are, and their scales smaller.",
    "cells": "For the missing cells of {} that is imputation by the conditional mean: what is filled in lies exactly on the "
    "regression line, so correlations come out too strong and standard deviations too small.",
    "latent": "For {}, which nobody saw, it puts in the conditional mean and climbs the likelihood of the data and the latent "
    "together.",
}
NO_MAXIMUM = {
    Status.UNBOUNDED: " That has no maximum: the latent can be scaled until it follows one column exactly and the residual sd of "
    "that column is zero. So even {} is left at once, and the path is the result.",
    Status.MAX_ITER: " That may have no maximum: the latent can shrink for ever while its coefficients grow.",
}
NOUNS = {"correlation": "correlation", "sd": "standard deviation"}
ONE_MORE = {
    "assignment": "one more label",
    "cells": "one more of the missing cells",
    "rows": "what is hidden in one more row",
}


def missing_information(view: View) -> str:
    """Where EM's rate comes from, and what one more hidden value would be worth; empty where that is not known."""
    rate, t = view.result.get("predicted_rate"), view.table
    if rate is None or not isfinite(rate) or not 0 <= rate < 1 or "fmi" not in t or not t["fmi"].notna().any():
        return ""
    if rate < LITTLE:
        return "Nothing that is hidden takes information away here, and plain EM needs a step or two."
    if rate > CREEPS:
        return (
            "The largest fraction of missing information, over all combinations of parameters, is nearly 1. It is the rate of "
            "plain EM as well, which would all but stand still without acceleration."
        )
    steps = log(10) / -log(rate)
    sentence = (
        f"The largest fraction of missing information, over all combinations of parameters, is {number(rate, 3)}. It is the rate "
        f"of plain EM as well: each iteration leaves that share of the error, so that a decimal digit costs about "
        f"{number(steps, 1 if steps < 10 else 0)} iterations without acceleration."
    )
    worst, f = str(t["fmi"].idxmax()), float(t["fmi"].max())
    if f < LITTLE:
        return sentence
    most = f"Of the parameters {worst} misses most: {percent(f)} of what the data could say about it is hidden."
    return f"{sentence} {most}{_worth(view, f)}"


def _worth(view: View, f: float) -> str:
    """In rows: knowing everything hidden multiplies the information of n rows by 1 / (1 - f)."""
    hidden, n = view.about.get("hidden"), float(view.about["total_weight"])
    if hidden is None or not hidden["rows"] or f >= 1:
        return ""
    kinds = [kind for kind in HARD if hidden[kind]]
    unit = kinds[0] if kinds in (["assignment"], ["cells"]) else "rows"
    each = f / (1 - f) * n / hidden["rows" if unit == "rows" else "values"]
    rows = number(each, 1 if each < 10 else 0)
    return f" Knowing {ONE_MORE[unit]} would on average tell as much about it as {rows} further rows of these data."


def filled_in(view: View) -> list[str]:
    """What hard assignment is, what it does to what is hidden here, and how it ended."""
    hidden = view.about["hidden"]
    does = [text.format(listed(hidden[kind])) for kind, text in HARD.items() if hidden[kind]]
    recedes = hidden["latent"] and not view.about.get("hard_recedes")
    fate = NO_MAXIMUM.get(Status(view.about["hard_status"]), "") if recedes else ""
    begun = "the truth" if view.about["hard_start"] == "truth" else "soft EM's estimate"
    return [" ".join([SOFT_AND_HARD, *does]) + fate.format(begun), _ended(view)]


def collapses(view: View) -> bool:
    """Whether hard assignment went to where a scale is zero. Where the likelihood itself rises for ever along coefficients
    (separation), it ends as unbounded too, but as soft EM does.
    """
    return view.about["hard_status"] == Status.UNBOUNDED.value and not view.about.get("hard_recedes")


def _ended(view: View) -> str:
    about, hard = view.about, view.hard
    assert hard is not None
    status, n = about["hard_status"], about["hard_iterations"]
    begun = "the true values" if about["hard_start"] == "truth" else "soft EM's estimate"
    first = f"Begun at {begun}, it ended as {status} after {n} iteration{'s' if n != 1 else ''}"
    label, shift = farthest(hard)
    where = "" if label is None else f" The farthest from soft EM is {_moved(hard, label)}."
    if collapses(view):
        return f"{first}.{'' if about['hidden']['latent'] else ' ' + about['hard_sentence']}{_at_once(hard)}{_vanishes(hard)}"
    if status == Status.MAX_ITER.value:
        return f"{first}, still on its way.{_grown(view)}{where}"
    if label is not None and shift < ALIKE:
        return f"{first} and comes to the same as soft EM: no number below differs by more than {ALIKE} standard errors."
    return f"{first}.{where}{_pulled(hard) if about['hidden']['cells'] else ''}"


def farthest(hard: xr.Dataset) -> tuple[str | None, float]:
    """The number that hard assignment moves most, and by how many standard errors; None where there are no standard errors."""
    return _largest(hard, (hard["hard"] - hard["soft"]).values)


def _largest(hard: xr.Dataset, change: np.ndarray) -> tuple[str | None, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.abs(change / hard["se"].values)
    shift = np.where(np.isfinite(shift), shift, -1.0)
    if shift.max(initial=-1.0) < 0:
        return None, float("nan")
    return str(hard["parameter"].values[shift.argmax()]), float(shift.max())


def _moved(hard: xr.Dataset, label: str) -> str:
    soft, last, se = (float(hard[k].sel(parameter=label)) for k in ("soft", "hard", "se"))
    return f"{label}: {short(last)} instead of {short(soft)}, {number((last - soft) / se, 1, sign=True)} standard errors"


def _at_once(hard: xr.Dataset) -> str:
    """How far the first iteration went."""
    if "path" not in hard or hard.sizes["iteration"] < 2:
        return ""
    label, far = _largest(hard, (hard["path"][:, 1] - hard["path"][:, 0]).values)
    if label is None:
        return ""
    return f" It leaves at once: one iteration takes {label} {number(far, 1)} of soft EM's standard errors away."


def vanishing(hard: xr.Dataset) -> str | None:
    """The scale that shrank most, of those that shrank."""
    if "path" not in hard:
        return None
    scales = hard["parameter"].values[hard["scale"].values > 0]
    path = hard["path"].sel(parameter=scales).values
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = path[:, -1] / path[:, 0]
    ratio = np.where(np.isfinite(ratio), ratio, np.inf)
    return str(scales[ratio.argmin()]) if ratio.min(initial=np.inf) < 1 else None


def _vanishes(hard: xr.Dataset) -> str:
    label = vanishing(hard)
    if label is None:
        return ""
    path = hard["path"].sel(parameter=label).values
    return f" On the way {label} falls from {short(path[0])} to {short(path[-1])}."


def _grown(view: View) -> str:
    """Parameters whose size, taken together, has grown on the way: coefficients of a latent that shrinks."""
    history = view.dataset("hard/history")
    out = []
    for name, values in {} if history is None else {k: v for k, v in history.data_vars.items() if k != "objective"}.items():
        flat = values.transpose("iteration", ...).values.reshape(values.sizes["iteration"], -1)
        size = np.sqrt(np.square(flat).mean(axis=1))
        if size[0] > 0 and size[-1] > GROWN * size[0]:
            out.append(f"{name} is {number(size[-1] / size[0], 1)} times as large as at the start")
    return f" By then {listed(out)}." if out else ""


def _pulled(hard: xr.Dataset) -> str:
    """How many standard deviations and correlations moved the way that imputation moves them."""
    labels = hard["parameter"].values.astype(str)
    soft, last = hard["soft"].values, hard["hard"].values
    out = []
    for noun, phrase, way in (
        ("correlation", "stronger", np.abs(last) > np.abs(soft)),
        ("sd", "smaller", last < soft),
    ):
        of = np.char.startswith(labels, f"{noun} of ") & (np.abs(last - soft) > ALIKE * hard["se"].values)
        if of.sum() == 1 and way[of].all():
            out.append(f"the {NOUNS[noun]} is {phrase}")
        elif of.any():
            out.append(f"{way[of].sum()} of {of.sum()} {NOUNS[noun]}s are {phrase}")
    return f" Of what moves by more than {ALIKE} standard errors, {listed(out)}." if out else ""


def trouble(view: View) -> list[str]:
    """Why standard errors do not exist, by reason; first of all where a residual variance is zero."""
    out: list[Any] = []
    if view.result["status"] == Status.HEYWOOD.value:
        zero = view.about.get("at_zero", [])
        out.append(f"{listed(zero)}: {view.about['status_sentence']}" if zero else view.about["status_sentence"])
    return out + [f"{names}: {reason}." for names, reason in by_reason(view.about["standard_error_reasons"])]

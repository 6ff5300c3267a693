"""What learning curves say, in figures and in words: methods compared on the same masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

CLEAR = 2.0  # standard errors of a paired difference beyond which it is called one
FEW = 3  # repeats that a difference needs before anything is said about it
NAMES = {"em": "EM", "mcmc": "MCMC", "supervised": "the labelled rows alone"}
WHERE = {"hidden": "rows whose label was hidden", "held_out": "rows held out"}


@dataclass(frozen=True)
class Findings:
    """`kind` is one of help, hurt, both, none, few and unknown: what unlabelled rows do to EM's accuracy; `sentences` say it."""

    kind: str
    headline: str
    sentences: tuple[str, ...]


HEADLINES = {
    "help": "Unlabelled rows help",
    "hurt": "Unlabelled rows hurt",
    "both": "Unlabelled rows help with some fractions of labels and hurt with others",
    "none": "Unlabelled rows make no clear difference",
    "few": "Too few masks to compare",
    "unknown": "Not compared with the labelled rows alone",
}


def paired(curves: xr.Dataset, first: str, second: str, score: str, evaluation: str) -> pd.DataFrame:
    """A row a fraction: mean of `score` for both methods and of the difference first - second, with its standard error, over the
    `repeats` in which both have one.

    Masks of one data set share its rows: the standard error speaks of other masks of these data, not of other data.
    """
    at = curves[score]
    if "evaluation" in at.dims:
        at = at.sel(evaluation=evaluation)
    a, b = (at.sel({"method": m}).transpose("fraction", "repeat").values for m in (first, second))
    rows = []
    for x, y in zip(a, b, strict=True):
        both = np.isfinite(x) & np.isfinite(y)
        d, n = (x - y)[both], int(both.sum())
        se = float(d.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
        mean = [float(v[both].mean()) if n else np.nan for v in (x, y)]
        rows.append({"first": mean[0], "second": mean[1], "difference": mean[0] - mean[1], "se": se, "repeats": n})
    return pd.DataFrame(rows, index=pd.Index(curves["fraction"].values, name="fraction"))


def clear(table: pd.DataFrame, sign: int) -> pd.DataFrame:
    """The rows of `paired` in which the difference has this sign, beyond CLEAR standard errors."""
    return table[(table["repeats"] >= FEW) & (sign * table["difference"] > CLEAR * table["se"])]


def judged_on(curves: xr.Dataset) -> str:
    """Held-out rows where there are any: they are there with every fraction, and no fit has seen them."""
    return str(curves["evaluation"].values[-1])


def findings(curves: xr.Dataset) -> Findings:
    """What the curves say about unlabelled rows and about the two engines."""
    methods, evaluation = [str(m) for m in curves["method"].values], judged_on(curves)
    sentences: list[str] = []
    kind = "unknown"
    semi = next((m for m in ("em", "mcmc") if m in methods), None)
    if semi and "supervised" in methods:
        table = paired(curves, semi, "supervised", "accuracy", evaluation)
        better, worse = clear(table, 1), clear(table, -1)
        kind = {(True, True): "both", (True, False): "help", (False, True): "hurt", (False, False): "none"}[
            len(better) > 0, len(worse) > 0
        ]
        if kind == "none" and (table["repeats"] < FEW).all():
            kind = "few"
        sentences += [_sentence(part, semi, verb, evaluation) for part, verb in ((better, "help"), (worse, "hurt")) if len(part)]
        if kind == "none":
            sentences.append(
                f"On {WHERE[evaluation]}, {NAMES[semi]} with the unlabelled rows is nowhere more than {CLEAR:g} standard errors "
                "more or less accurate than the labelled rows alone."
            )
        sentences += _without(curves)
    if {"em", "mcmc"} <= set(methods):
        sentences.append(_engines(curves, evaluation))
    return Findings(kind, HEADLINES[kind], tuple(sentences))


def percent(fraction: float) -> str:
    """0.125 -> 12.5%, to three digits."""
    return f"{100 * fraction:.3g}%"


def listed(fractions: Sequence[float]) -> str:
    """5%, 10% and 20%."""
    shares = [percent(f) for f in fractions]
    return shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"


def _sentence(part: pd.DataFrame, method: str, verb: str, evaluation: str) -> str:
    at = part["difference"].abs().idxmax()
    row = part.loc[at]
    return (
        f"Unlabelled rows {verb} with {listed(list(part.index))} of the labels: with {percent(float(at))}, {NAMES[method]} is "
        f"right for {row['first']:.1%} of the {WHERE[evaluation]} and the labelled rows alone for {row['second']:.1%} "
        f"(difference {100 * row['difference']:+.1f} points, standard error {100 * row['se']:.1f}, {row['repeats']:.0f} masks)."
    ).replace("-", "\N{MINUS SIGN}")


def _without(curves: xr.Dataset) -> list[str]:
    """Where the labelled rows alone gave no fit."""
    failed = curves["accuracy"].sel({"method": "supervised", "evaluation": judged_on(curves)}).isnull() & (curves["labelled"] > 0)
    if judged_on(curves) == "hidden":
        failed &= curves["fraction"] < 1
    counts = failed.sum("repeat")
    where = [(float(f), int(c)) for f, c in zip(curves["fraction"].values, counts.values, strict=True) if c]
    if not where:
        return []
    places = ", ".join(f"{c} with {percent(f)}" for f, c in where)
    total = curves.sizes["repeat"]
    return [f"Of {total} masks the labelled rows alone gave no fit in {places}: those are left out of the comparison."]


def _engines(curves: xr.Dataset, evaluation: str) -> str:
    table = paired(curves, "mcmc", "em", "log_score", evaluation)
    parts = []
    for sign, verb in ((1, "better"), (-1, "worse")):
        part = clear(table, sign)
        if len(part):
            most = part["difference"].abs().max()
            parts.append(f"{verb} with {listed(list(part.index))} of the labels (by up to {most:.2g} nats a row)")
    if not parts:
        return "MCMC's probabilities, averaged over draws, score no clearly better or worse than those at EM's estimate."
    return f"MCMC's probabilities, averaged over draws, have a log score {' and '.join(parts)} than those at EM's estimate."

"""A calibration in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ...errors import Status
from .judge import LEAST, coverage, honest_from, uniformity

WANTED = {  # a Heywood case is an optimum, but one without standard errors: it is told
    "em_status": (Status.CONVERGED.value, Status.STALLED.value),
    "mcmc_status": ("sampled",),
    "bootstrap_status": ("done", "none"),
}
ENGINES = {"em_status": "EM", "bootstrap_status": "The bootstrap", "mcmc_status": "MCMC"}
INTERVALS = {
    "wald": "EM's 95% Wald interval",
    "bootstrap": "EM's 95% bootstrap interval",
    "eti": "the posterior's 95% equal-tailed interval",
    "hdi": "the posterior's 95% highest-density interval",
}
POOR, FEW = 1.05, 5  # R-hat above which a quantity counts as badly mixed; names listed in a sentence


@dataclass(frozen=True)
class Findings:
    """headline; kind "uniform", "not uniform" or "untested"; sentences; tables of uniformity and coverage."""

    headline: str
    kind: str
    sentences: list[str]
    uniformity: pd.DataFrame
    coverage: pd.DataFrame


def findings(result: xr.Dataset) -> Findings:
    """What the result says, with the figures that say it."""
    ranks, table = uniformity(result), coverage(result)
    about = result.ev.about
    kind, sentence = _of_ranks(ranks, about["sampler"])
    sizes = [int(n) for n in result["size"].values]
    methods = [m for m in INTERVALS if m in table.index.get_level_values("interval")]
    enough = result.sizes["simulation"] >= LEAST
    sentences = [sentence]
    if enough:
        sentences += [_of_intervals(table, m, sizes) for m in methods]
        sentences += [_chance(table, methods)] if methods else []
    else:
        sentences.append("Nor is coverage judged: its Monte Carlo error is as wide as the tables show.")
    sentences += _of_failures(result)
    headline = {"uniform": "The posterior is calibrated", "not uniform": "The posterior is not calibrated"}.get(
        kind, "The posterior was not tested" if enough else "Too few simulations to tell"
    )
    honest = honest_from(table, "wald") if "wald" in methods and enough else {}
    if honest:
        every = None if None in honest.values() else max(n for n in honest.values() if n is not None)
        first = f"{headline}; EM's 95% interval"
        headline = f"{first} is honest from n = {every}" if every is not None else f"{first} is not honest for every parameter"
    return Findings(headline, kind, sentences, ranks, table)


def _of_ranks(ranks: pd.DataFrame, sampler: str) -> tuple[str, str]:
    tested = ranks[ranks["ecdf_p"].notna()]
    if not len(tested):
        most = int(ranks["count"].max()) if len(ranks) else 0
        return "untested", f"Ranks were not tested: {most} of a size are too few, {LEAST} are wanted."
    name, n = tested["ecdf_p"].idxmin()
    least = tested.loc[(name, n)]
    figures = (
        f"The smallest of {len(tested)} p-values is {_p(least['ecdf_p'])} ({name}, n = {n}), {_p(least['holm'])} after Holm's "
        f"correction for all of them; on bins (chi-squared) the smallest is {_p(tested['chi2_p'].min())}."
    )
    bad = tested[~tested["uniform"]]
    if not len(bad):
        counts = f"{int(tested['count'].min())} simulations of each size"
        return (
            "uniform",
            f"The truth lies among the draws of {sampler} as one more draw would, as far as {counts} can tell. {figures}",
        )
    shapes = [f"{q} at n = {size} ({_shape(row)})" for (q, size), row in bad.sort_values("holm").head(FEW).iterrows()]
    more = f" and {len(bad) - FEW} more" if len(bad) > FEW else ""
    return "not uniform", f"The draws of {sampler} are not those of the posterior: {'; '.join(shapes)}{more}. {figures}"


def _shape(row: pd.Series) -> str:
    error = 1 / np.sqrt(12 * row["count"])
    if abs(row["mean"] - 0.5) > 3 * error:
        return "draws too low" if row["mean"] > 0.5 else "draws too high"
    return "draws too narrow" if row["spread"] > 1 else "draws too wide"


def _of_intervals(table: pd.DataFrame, method: str, sizes: list[int]) -> str:
    """From which size on the interval covers, and where it does not."""
    since, interval = honest_from(table, method), INTERVALS[method]
    interval = interval[0].upper() + interval[1:]
    never = [q for q in table.index.get_level_values("quantity").unique() if q not in since]
    if not since:
        return f"{interval} exists for no parameter."
    at: dict[int | None, list[str]] = {}
    for quantity, n in since.items():
        at.setdefault(n, []).append(quantity)
    if set(at) == {sizes[0]}:
        sentence = f"{interval} covers within Monte Carlo error at every size, for every parameter"
    else:
        parts = [f"from n = {n} for {_listed(at[n])}" for n in sizes if n in at]
        sentence = f"{interval} covers within Monte Carlo error {', '.join(parts)}" if parts else interval
        if None in at:
            worst = table.xs((method, 0.95, sizes[-1]), level=("interval", "level", "size")).loc[at[None], "none_is_a_miss"]
            verb = "; it does not" if parts else " does not cover within Monte Carlo error,"
            sentence += f"{verb} even at n = {sizes[-1]} for {_listed(at[None])} (at worst {worst.min():.0%})"
    if never:
        sentence += f"; {_listed(never)} never {'have' if len(never) > 1 else 'has'} one"
    rows = table.xs((method, 0.95), level=("interval", "level"))
    most = rows[rows["intervals"] > 0]["without"]
    if len(most) and most.max() > 0:
        q, n = most.idxmax()
        sentence += f". Up to {most.max():.0%} of simulations have none ({q}, n = {n}), which counts as a miss here"
    return f"{sentence}."


def _chance(table: pd.DataFrame, methods: list[str]) -> str:
    rows = table[table["intervals"] > 0].xs(0.95, level="level")
    checks = len(rows.xs(methods[0], level="interval"))
    return (
        f'"Within Monte Carlo error" means that the upper end of Wilson\'s 95% interval reaches 95%. Of the {checks} checks of '
        f"one kind of interval, an exact one would fail about {0.025 * checks:.1f} by chance. Coverage is averaged over the "
        "prior: parameters are drawn from it, as the posterior assumes; an interval of EM promises its level at each of them."
    )


def _of_failures(result: xr.Dataset) -> list[str]:
    out = []
    total = result.sizes["simulation"]
    for name, engine in ENGINES.items():
        parts = []
        for n in result["size"].values:
            counts = Counter(str(s) for s in result[name].sel(size=n).values)
            odd = {s: c for s, c in sorted(counts.items()) if s not in WANTED[name] and s}
            if odd:
                parts.append(f"n = {n}: " + ", ".join(f"{c} {s}" for s, c in odd.items()))
        if parts:
            out.append(f"{engine} ended otherwise than wanted, of {total} simulations each, at {'; '.join(parts)}.")
    r_hat = result["r_hat"].max("quantity")
    mixed = int((r_hat > POOR).sum())
    if mixed:
        ran = int(r_hat.notnull().sum())
        out.append(
            f"R-hat of some quantity exceeded {POOR} in {mixed} of {ran} runs of MCMC. They count like any other: what is "
            "calibrated is the sampler with these settings."
        )
    return out


def failures(result: xr.Dataset) -> list[dict[str, object]]:
    """How often each engine ended otherwise at each size, with the words of one of them."""
    out: list[dict[str, object]] = []
    for name, engine in ENGINES.items():
        for n in result["size"].values:
            part = result[[name, name.replace("status", "message")]].sel(size=n)
            for status, count in sorted(Counter(str(s) for s in part[name].values).items()):
                if status in WANTED[name] or not status:
                    continue
                first = int(np.argmax(part[name].values == status))
                message = str(part[name.replace("status", "message")].values[first])
                out.append({"engine": engine, "size": int(n), "status": status, "count": count, "message": message})
    return out


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= FEW else names[: FEW - 1]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "below 0.0001"

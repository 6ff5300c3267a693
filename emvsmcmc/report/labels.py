"""The page of an experiment with partial labels: learning curves with their spread over the masks."""

from __future__ import annotations

from collections import Counter
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..experiments.labels.findings import NAMES, WHERE, findings, judged_on, paired, percent
from . import svg as canvas
from .svg import EM, MCMC, OTHER, Drawing, drawing
from .write import filled, write_page

BAND = (0.1, 0.9)  # quantiles over the masks
SIZE = (430, 250)
COLOURS = {"em": EM, "mcmc": MCMC, "supervised": OTHER}
CLASSES = {"em": "em", "mcmc": "mcmc", "supervised": "other"}
TONE = {"help": "good", "hurt": "bad", "both": "fair", "none": "undecided", "few": "undecided", "unknown": "undecided"}
SCORES = {  # score -> title, what it means
    "accuracy": ("Accuracy", "share of rows given their true label; higher is better"),
    "adjusted_rand": ("Adjusted Rand index", "agreement of the grouping, whatever its names; 0 by chance, 1 at best"),
    "log_score": ("Log score", "mean log probability of the true label, nats; higher is better"),
    "brier": ("Brier score", "mean squared error of the probabilities, 0 to 2; lower is better"),
    "calibration_error": (
        "Calibration error",
        "how far probabilities lie from frequencies, for the likeliest label, in ten bins; lower is better. A few hundredths are "
        "chance",
    ),
}
ENGINES = ("em", "mcmc")
VERSIONS = ("emvsmcmc", "numpy", "scipy", "xarray", "pymc", "nutpie")


def write(curves: xr.Dataset, folder: Path) -> Path:
    """Write `folder`/index.html and return its path."""
    with canvas.style():
        return write_page(filled("labels.html", context(curves)), folder)


def context(curves: xr.Dataset) -> dict[str, Any]:
    """What the template needs. To be made within `canvas.style`."""
    about = curves.ev.about
    methods = [str(m) for m in curves["method"].values]
    verdict = findings(curves)
    return {
        "title": curves.attrs.get("title") or about["model"],
        "about": about,
        "seed": curves.attrs["random_seed"],
        "command": curves.attrs.get("command", ""),
        "repeats": curves.sizes["repeat"],
        "headline": verdict.headline,
        "tone": TONE[verdict.kind],
        "sentences": verdict.sentences,
        "methods": [{"name": m, "phrase": NAMES[m], "cls": CLASSES[m]} for m in methods],
        "with_unlabelled": " and ".join(NAMES[m] for m in methods if m != "supervised"),
        "alone": "supervised" in methods,
        "groups": [_group(curves, str(e)) for e in reversed(curves["evaluation"].values)],
        "parameter": _curve(curves["parameter_error"], methods, "Parameter error", "standard errors"),
        "unnamed": 0.0 in curves["fraction"].values,
        "tables": [t for e in reversed(curves["evaluation"].values) for t in _tables(curves, str(e), methods)],
        "ruled_out": bool(np.isneginf(curves["log_score"]).any()),
        "failures": _failures(curves),
        "mixing": _mixing(curves) if "mcmc" in methods else "",
        "versions": {name: version(name) for name in VERSIONS},
    }


def _group(curves: xr.Dataset, evaluation: str) -> dict[str, Any]:
    methods = [str(m) for m in curves["method"].values]
    drawings = []
    for score, (title, meaning) in SCORES.items():
        d = _curve(curves[score].sel(evaluation=evaluation), methods, title, meaning)
        drawings.append({"title": title, "meaning": meaning, "drawing": d})
    return {"where": WHERE[evaluation], "id": evaluation, "first": evaluation == judged_on(curves), "drawings": drawings}


def _curve(values: xr.DataArray, methods: list[str], title: str, meaning: str) -> Drawing:
    """Mean over the masks and the band that holds most of them, by fraction; fractions stand at equal distances."""
    fractions = [float(f) for f in values["fraction"].values]
    figures = []

    def draw(ax: Axes) -> None:
        for i, method in enumerate(methods):
            x = values.sel({"method": method}).transpose("fraction", "repeat").values
            count = (~np.isnan(x)).sum(axis=1)
            there = np.flatnonzero((count > 0) & ~np.isinf(x).any(axis=1))
            if not len(there):
                continue
            low, high, mean = np.full((3, len(x)), np.nan)  # the line breaks where there is nothing, or a score of minus infinity
            low[there], high[there] = (np.nanquantile(x[there], q, axis=1) for q in BAND)
            mean[there] = np.nanmean(x[there], axis=1)
            at, colour = np.arange(len(x)) + 0.06 * (i - (len(methods) - 1) / 2), COLOURS[method]
            ax.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
            ax.plot(at, mean, color=colour, linewidth=1.5)
            whole = count == x.shape[1]
            ax.plot(at[whole], mean[whole], "o", color=colour, markersize=4.5)
            ax.plot(at[~whole], mean[~whole], "o", markerfacecolor="none", markeredgecolor=colour, markersize=4.5)
            first, last = there[0], there[-1]
            figures.append(f"{NAMES[method]} from {mean[first]:.3g} at {percent(fractions[first])} to {mean[last]:.3g} at "
                        f"{percent(fractions[last])}")  # fmt: skip
        ax.set_xticks(range(len(fractions)), [f"{100 * f:.3g}" for f in fractions])
        ax.set_xlim(-0.3, len(fractions) - 0.7)
        ax.set_xlabel("labels seen, per cent")
        ax.yaxis.set_major_locator(MaxNLocator(5))

    made = drawing(draw, SIZE, "", title, meaning, margins=(46, 40, 8, 8))
    return Drawing(
        made.body, made.size, f"{title} by the share of labels seen: {'; '.join(figures) or 'nothing to show'}.", title, meaning
    )


def _tables(curves: xr.Dataset, evaluation: str, methods: list[str]) -> list[dict[str, Any]]:
    """Accuracy and log score of each method, and the paired differences, a row a fraction."""
    pairs = [(a, b) for a, b in (("em", "supervised"), ("mcmc", "supervised"), ("mcmc", "em")) if {a, b} <= set(methods)]
    out = []
    for score, digits in (("accuracy", 3), ("log_score", 3)):
        number = partial(_number, digits=digits)
        gaps = [paired(curves, a, b, score, evaluation) for a, b in pairs]
        rows = []
        for fraction in curves["fraction"].values:
            cells = []
            for m in methods:
                x = curves[score].sel({"evaluation": evaluation, "method": m, "fraction": fraction}).values
                x = x[~np.isnan(x)]  # a log score of minus infinity is a score
                cells.append(f"{number(x.mean())}" + _of(len(x), curves.sizes["repeat"]) if len(x) else "–")
            for table in gaps:
                row = table.loc[fraction]
                cells.append(f"{number(row['difference'], sign=True)} ± {number(row['se'])}" if row["repeats"] > 1 else "–")
            if any(c != "–" for c in cells):
                rows.append((percent(float(fraction)), cells))
        heads = [_short(m) for m in methods] + [f"{_short(a)} − {_short(b)}" for a, b in pairs]
        classes = [CLASSES[m] for m in methods] + [""] * len(pairs)
        title = f"{SCORES[score][0]} on {WHERE[evaluation]}"
        out.append({"title": title, "heads": list(zip(heads, classes, strict=True)), "rows": rows})
    return out


def _short(method: str) -> str:
    return {"em": "EM", "mcmc": "MCMC", "supervised": "supervised"}[method]


def _of(count: int, repeats: int) -> str:
    return "" if count == repeats else f" ({count} of {repeats})"


def _number(x: float, digits: int, sign: bool = False) -> str:
    if not np.isfinite(x):
        return "–" if np.isnan(x) else "−∞"
    text = f"{x:+.{digits}f}" if sign else f"{x:.{digits}f}"
    return text.replace("-", "−")


def _failures(curves: xr.Dataset) -> list[dict[str, Any]]:
    """Ends other than the usual ones, by method and fraction, with the words of one of them."""
    out = []
    for method in curves["method"].values:
        for fraction in curves["fraction"].values:
            part = curves[["status", "message"]].sel({"method": method, "fraction": fraction})
            for status, count in sorted(Counter(part["status"].values.tolist()).items()):
                if status in ("converged", "sampled"):
                    continue
                first = int(np.argmax(part["status"].values == status))
                out.append({
                    "method": _short(str(method)), "fraction": percent(float(fraction)), "status": status, "count": count,
                    "message": str(part["message"].values[first]),
                })  # fmt: skip
    return out


def _mixing(curves: xr.Dataset) -> str:
    r_hat = curves["r_hat"].sel({"method": "mcmc"}).values
    ran = r_hat[np.isfinite(r_hat)]
    if not len(ran):
        return "No run of MCMC ended."
    bad = curves["r_hat"].sel({"method": "mcmc"}) > 1.05
    where = [
        f"{int(c)} with {percent(float(f))}"
        for f, c in zip(curves["fraction"].values, bad.sum("repeat").values, strict=True)
        if c
    ]
    share = f"R-hat of the worst parameter exceeded 1.05 in {int(bad.sum())} of {len(ran)} runs"
    return (
        f"{share}: {', '.join(where)} of the labels. Such runs have visited several modes, or too few draws."
        if where
        else f"{share}."
    )

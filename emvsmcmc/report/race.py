"""The page of a race: rows labelled as suggested, at random, and in reverse."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..experiments.suggest.race import paired
from . import svg as canvas
from .svg import EM, MCMC, OTHER, Drawing, drawing
from .write import filled, write_page

SIZE = (430, 250)
BAND = (0.1, 0.9)  # quantiles over the repeats
COLOURS = {"suggested": EM, "random": MCMC, "reversed": OTHER}
CLASSES = {"suggested": "em", "random": "mcmc", "reversed": "other"}
PHRASES = {"suggested": "the rows suggested", "random": "rows at random", "reversed": "the rows of least gain"}
MEASURES = {  # measure -> title, what it means, whether more is better
    "parameter_error": ("Parameter error", "root mean square distance, in standard errors of the fit with every label", False),
    "log_score": ("Log score", "mean log probability of the true label of held-out rows, nats; higher is better", True),
    "accuracy": ("Accuracy", "share of held-out rows given their true label; higher is better", True),
}
CRITERIA = {
    "information": "the information that their label is expected to bring about the parameters",
    "log_score": "what their label is expected to add to the log score of the others",
    "log_determinant": "the expected rise of the log determinant of the information",
}
LEAST = 2.0  # standard errors from which a difference counts
VERSIONS = ("emvsmcmc", "numpy", "scipy", "xarray")


def write(race: xr.Dataset, folder: Path, title: str, command: str) -> Path:
    """Write `folder`/index.html and return its path. command : the Python that made `found`."""
    with canvas.style():
        return write_page(filled("gain.html", context(race, title, command)), folder)


def context(race: xr.Dataset, title: str, command: str) -> dict[str, Any]:
    """What the template needs. To be made within `canvas.style`."""
    strategies = [str(s) for s in race["strategy"].values]
    differences = _differences(race, strategies)
    beats = {k: d for k, d in differences.items() if k[:2] == ("suggested", "random")}
    better = [k[2] for k, (gain, error) in beats.items() if gain > LEAST * error]
    worse = [k[2] for k, (gain, error) in beats.items() if gain < -LEAST * error]
    return {
        "title": title,
        "headline": _headline(better, worse),
        "tone": "bad" if worse else "good" if better else "undecided",
        "criterion": CRITERIA[race.attrs["by"]],
        "engine": {"em": "EM's normal approximation", "mcmc": "the draws of NUTS"}[race.attrs["method"]],
        "label": race.attrs["labels"],
        "first": int(race["labelled"].values[0]),
        "batch": int(race.attrs["batch"]),
        "repeats": race.sizes["repeat"],
        "failed": int((race["status"] != "done").sum()),
        "reference": "the true parameters" if race.attrs["reference"] == "truth" else "the fit of the same rows with every label",
        "strategies": [{"phrase": PHRASES[s], "cls": CLASSES[s]} for s in strategies],
        "drawings": [_curve(race, strategies, m) for m in MEASURES],
        "rows": [
            (
                f"{PHRASES[a]} − {PHRASES[b]}",
                MEASURES[m][0].lower(),
                _signed(mean),
                _plain(error),
                _signed(mean / error, 1) if error else "–",
            )
            for (a, b, m), (gain, error) in differences.items()
            for mean in [gain if MEASURES[m][2] else -gain]
        ],
        "command": command,
        "versions": {name: version(name) for name in VERSIONS},
    }


def _differences(race: xr.Dataset, strategies: list[str]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """{(one, other, measure): (by how much one is better, standard error)}."""
    pairs = [p for p in (("suggested", "random"), ("suggested", "reversed"), ("reversed", "random")) if {*p} <= {*strategies}]
    out = {}
    for one, other in pairs:
        for measure, (_, _, more) in MEASURES.items():
            mean, error = paired(race, one, other, measure)
            out[one, other, measure] = (mean if more else -mean, error)
    return out


def _headline(better: list[str], worse: list[str]) -> str:
    def listed(which: list[str]) -> str:
        return " and ".join(MEASURES[m][0].lower() for m in which)

    if better and worse:
        return f"The rows suggested beat rows at random in {listed(better)}, and lose in {listed(worse)}"
    if better:
        return f"The rows suggested beat rows at random in {listed(better)}"
    if worse:
        return f"Rows at random beat the rows suggested in {listed(worse)}"
    return "No difference beyond chance between the rows suggested and rows at random"


def _curve(race: xr.Dataset, strategies: list[str], measure: str) -> dict[str, Any]:
    """Mean over the repeats and the band that holds most of them, by the number of labels."""
    title, meaning, _ = MEASURES[measure]
    labelled = race["labelled"].values
    figures: list[str] = []

    def draw(ax: Axes) -> None:
        for s in strategies:
            x = race[measure].sel(strategy=s).transpose("round", "repeat").values
            x = x[:, np.isfinite(x).all(axis=0)]
            if not x.size:
                continue
            low, high = np.quantile(x, BAND, axis=1)
            ax.fill_between(labelled, low, high, color=COLOURS[s], alpha=0.14, linewidth=0)
            ax.plot(labelled, x.mean(axis=1), "o-", color=COLOURS[s], linewidth=1.5, markersize=4.5)
            figures.append(f"{PHRASES[s]} from {x[0].mean():.3g} to {x[-1].mean():.3g}")
        ax.set_xticks(labelled)
        ax.set_xlabel("rows with a label")
        ax.yaxis.set_major_locator(MaxNLocator(5))

    made = drawing(draw, SIZE, "", title, meaning, margins=(46, 40, 8, 8))
    alt = f"{title} by the number of labels: {'; '.join(figures) or 'nothing to show'}."
    return {"title": title, "meaning": meaning, "drawing": Drawing(made.body, made.size, alt, title, meaning)}


def _signed(x: float, digits: int = 4) -> str:
    return f"{x:+.{digits}f}".replace("-", "−")


def _plain(x: float) -> str:
    return f"{x:.4f}"

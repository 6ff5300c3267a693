"""The page of a calibration: ranks against their envelope, and coverage by the number of rows."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..experiments.calibration.judge import ecdf, envelope
from ..experiments.calibration.words import failures, findings
from . import svg as canvas
from .svg import EM, INK, MCMC, MUTED, RULE, Drawing, Sheet
from .write import filled, write_page

VERSIONS = ("emvsmcmc", "numpy", "scipy", "xarray", "arviz-stats", "pymc", "nutpie")
TONE = {"uniform": "good", "not uniform": "bad", "untested": "undecided"}
PANEL = (232, 168)
COVERED = (290, 210)
METHODS = {  # interval -> name, class of its colour, colour, line
    "wald": ("EM: Wald", "em", EM, "-"),
    "bootstrap": ("EM: bootstrap", "em", EM, (0, (3, 2))),
    "eti": ("MCMC: equal-tailed", "mcmc", MCMC, "-"),
    "hdi": ("MCMC: highest density", "mcmc", MCMC, (0, (3, 2))),
}
DASHES = ((0, (1.2, 1.6)), (0, (4, 2)), "-", (0, (6, 2, 1, 2)))  # of the sizes, smallest first
MAIN = 0.95


def write(result: xr.Dataset, folder: Path) -> Path:
    """Write `folder`/index.html and return its path."""
    with canvas.style():
        return write_page(filled("calibration.html", context(result)), folder)


def context(result: xr.Dataset) -> dict[str, Any]:
    """What the template needs. To be made within `canvas.style`."""
    verdict, about = findings(result), result.ev.about
    methods = [m for m in METHODS if m in verdict.coverage.index.get_level_values("interval")]
    sizes = [int(n) for n in result["size"].values]
    return {
        "title": result.attrs.get("title") or about["model"],
        "about": about,
        "seed": result.attrs["random_seed"],
        "command": result.attrs.get("command", ""),
        "sizes": sizes,
        "simulations": result.sizes["simulation"],
        "headline": verdict.headline,
        "tone": _tone(verdict),
        "sentences": verdict.sentences,
        "ranks": _ranks(result, verdict.uniformity),
        "dashes": [{"size": n, "dash": _svg_dash(_dash(i, len(sizes)))} for i, n in enumerate(sizes)],
        "methods": [{"name": METHODS[m][0], "cls": METHODS[m][1], "dash": _svg_dash(METHODS[m][3])} for m in methods],
        "coverage": _coverage(verdict.coverage, methods),
        "uniformity": _uniformity_rows(verdict.uniformity),
        "tables": [_table(verdict.coverage, level, methods) for level in sorted({*result["level"].values}, reverse=True)],
        "heads": [(METHODS[m][0], METHODS[m][1]) for m in methods],
        "failures": failures(result),
        "versions": {name: version(name) for name in VERSIONS},
    }


def _tone(verdict: Any) -> str:
    honest = verdict.coverage.query("interval == 'wald' and level == @MAIN and intervals > 0")["honest"]
    tone = TONE[verdict.kind]
    return "fair" if tone == "good" and len(honest) and not honest.all() else tone


# --------------------------------------------------------------------------------------------------------------------- ranks


def _ranks(result: xr.Dataset, table: pd.DataFrame) -> list[dict[str, Any]]:
    sheet = Sheet(PANEL, (38, 26, 6, 6))
    out = []
    for quantity in table.index.get_level_values("quantity").unique():
        pits = {int(n): _finite(result["pit"].sel(size=n, quantity=quantity).values) for n in result["size"].values}
        drawn = _difference(sheet, quantity, pits)
        bad = [str(n) for n in pits if not table.loc[(quantity, n), "uniform"]]
        out.append({"drawing": drawn, "flag": f"not uniform at n = {', '.join(bad)}" if bad else ""})
    return out


def _difference(sheet: Sheet, quantity: str, pits: dict[int, np.ndarray]) -> Drawing:
    """ECDF of the randomised ranks less that of a uniform, in the band for the fewest simulations of any size."""
    counts = [len(u) for u in pits.values() if len(u) > 1]

    def draw(ax: Axes) -> None:
        edge = 0.1
        if counts:
            z, lower, upper = envelope(min(counts))
            ax.fill_between(z, lower - z, upper - z, color=MUTED, alpha=0.2, linewidth=0)
            edge = float(max(np.abs(lower - z).max(), np.abs(upper - z).max()))
        ax.axhline(0, color=RULE, linewidth=0.8)
        grid = np.linspace(0, 1, 201)
        for i, u in enumerate(pits.values()):
            if len(u) > 1:
                y = ecdf(u, grid) - grid
                ax.plot(grid, y, color=MCMC, linewidth=1.3, linestyle=_dash(i, len(pits)))
                edge = max(edge, float(np.abs(y).max()))
        ax.set_xlim(0, 1)
        ax.set_ylim(-1.08 * edge, 1.08 * edge)
        ax.set_xticks([0, 0.5, 1])
        ax.set_xticklabels(["0", ".5", "1"])
        ax.yaxis.set_major_locator(MaxNLocator(4))

    alt = f"Ranks of the true {quantity}: largest distance of their distribution from uniform " + ", ".join(
        f"{np.abs(ecdf(u, np.sort(u)) - np.sort(u)).max():.2f} at n = {n}" for n, u in pits.items() if len(u)
    )
    return sheet.draw(draw, alt, title=quantity)


def _uniformity_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "quantity": q,
            "size": n,
            "cells": [str(int(r["count"])), _p(r["chi2_p"]), _p(r["ecdf_p"]), _p(r["holm"]), _num(r["mean"]), _num(r["spread"])],
            "bad": not r["uniform"],
        }
        for (q, n), r in table.iterrows()
    ]


# ------------------------------------------------------------------------------------------------------------------ coverage


def _coverage(table: pd.DataFrame, methods: list[str]) -> list[Drawing]:
    sheet = Sheet(COVERED, (44, 40, 8, 8))
    main = table.xs(MAIN, level="level")
    least = float(main["none_is_a_miss_lower"].min())
    bottom = max(0.0, np.floor(20 * least) / 20)
    return [_by_size(sheet, str(q), main.loc[q], methods, bottom) for q in main.index.get_level_values("quantity").unique()]


def _by_size(sheet: Sheet, quantity: str, rows: pd.DataFrame, methods: list[str], bottom: float) -> Drawing:
    """Share of all simulations whose interval holds the truth, by size; hollow where some have no interval."""
    sizes = sorted(int(n) for n in rows.index.get_level_values("size").unique())
    figures = []

    def draw(ax: Axes) -> None:
        ax.axhline(MAIN, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        for i, method in enumerate(methods):
            part = rows.xs(method, level="interval").loc[sizes]
            part = part[part["intervals"] > 0]
            if not len(part):
                continue
            _, _, colour, dash = METHODS[method]
            at = np.array([sizes.index(int(n)) for n in part.index]) + 0.09 * (i - (len(methods) - 1) / 2)
            y = part["none_is_a_miss"].to_numpy()
            ax.vlines(at, part["none_is_a_miss_lower"], part["none_is_a_miss_upper"], color=colour, linewidth=1.6, alpha=0.75)
            ax.plot(at, y, color=colour, linewidth=1.0, linestyle=dash)
            whole = (part["without"] == 0).to_numpy()
            ax.plot(at[whole], y[whole], "o", color=colour, markersize=4.5)
            ax.plot(at[~whole], y[~whole], "o", markerfacecolor="none", markeredgecolor=colour, markersize=4.5)
            figures.append(
                f"{METHODS[method][0]} " + ", ".join(f"{v:.0%} at n = {n}" for n, v in zip(part.index, y, strict=True))
            )
        ax.set_xticks(range(len(sizes)), [str(n) for n in sizes])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlim(-0.4, len(sizes) - 0.6)
        ax.set_ylim(bottom, 1.01)
        ax.set_xlabel("rows")
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f}")

    made = sheet.draw(draw, "", title=quantity)
    return Drawing(made.body, made.size, f"Coverage of 95% intervals of {quantity}: {'; '.join(figures)}.", quantity)


def _table(table: pd.DataFrame, level: float, methods: list[str]) -> dict[str, Any]:
    part = table.xs(level, level="level")
    rows = []
    for quantity in part.index.get_level_values("quantity").unique():
        for n in part.index.get_level_values("size").unique():
            cells = []
            for m in methods:
                r = part.loc[(quantity, m, n)]
                cells.append(_cell(r, level))
            rows.append({"quantity": quantity, "size": n, "cells": cells})
    return {"level": f"{level:.0%}", "open": level == MAIN, "rows": rows}


def _cell(r: pd.Series, level: float) -> dict[str, Any]:
    if not r["intervals"]:
        return {"all": "–", "some": "", "bad": False}
    text = f"{100 * r['none_is_a_miss']:.0f} ({100 * r['none_is_a_miss_lower']:.0f} to {100 * r['none_is_a_miss_upper']:.0f})"
    some = f"{100 * r['where_there_is_one']:.0f} of {int(r['intervals'])}" if r["without"] > 0 else ""
    return {"all": text, "some": some, "bad": not r["honest"]}


# --------------------------------------------------------------------------------------------------------------------- small


def _dash(i: int, count: int) -> Any:
    """The largest size is drawn solid, smaller ones more and more broken."""
    return DASHES[max(0, min(i + 3 - count, 2))] if count <= 3 else DASHES[min(i, 3)]


def _svg_dash(dash: Any) -> str:
    return "none" if dash == "-" else " ".join(f"{1.6 * x:g}" for x in dash[1])


def _finite(x: np.ndarray) -> np.ndarray:
    return x[np.isfinite(x)]


def _p(p: float) -> str:
    return "–" if not np.isfinite(p) else "< .001" if p < 0.001 else f"{p:.3f}"


def _num(x: float) -> str:
    return "–" if not np.isfinite(x) else f"{x:.2f}"

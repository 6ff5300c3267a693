"""The figures of hard assignment's path and of coefficients after alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...errors import Status
from ...words import entry, name_of
from ..svg import EM, INK, MCMC, MUTED, OTHER, POWERS, RULE, Drawing, drawing, plain
from ..tree_view import View
from ..words import short
from .figures import spaced
from .hidden import collapses, vanishing

SIZE = (470, 280)
SHOWN = 5  # numbers on their way in one figure
MOVED = 0.5  # standard errors from which a number's way is worth a line
STEPS = 3  # iterations
LEAST = 1e-12
MAX_FORESTS, MAX_ITEMS = 8, 40


def hard_path(view: View) -> list[Drawing]:
    """The path of hard assignment: a scale on its way to zero with the objective, or the numbers that end away from soft EM."""
    hard = view.hard
    if hard is None or "path" not in hard or hard.sizes["iteration"] < STEPS:
        return []
    if collapses(view):
        label = vanishing(hard)
        return [*([] if label is None else [_scales(hard, label)]), *([_objective(hard)] if "objective" in hard else [])]
    moved = _ways(hard, "was stopped" if view.about["hard_status"] == Status.MAX_ITER.value else "came to rest")
    return [] if moved is None else [moved]


def _scales(hard: xr.Dataset, label: str) -> Drawing:
    scales = hard["parameter"].values[hard["scale"].values > 0]
    path = np.maximum(hard["path"].sel(parameter=scales).values, LEAST)
    at = np.arange(path.shape[1])

    def draw(ax: Axes) -> None:
        ax.set_yscale("log")
        for name, values in zip(scales, path, strict=True):
            if name != label:
                ax.plot(at, values, color=MUTED, linewidth=1.0, alpha=0.7)
        own = path[list(scales).index(label)]
        ax.plot(at, own, color=OTHER, linewidth=2.0, marker="o", markersize=4)
        ax.annotate(
            label, (at[-1], own[-1]), (-14, 0), textcoords="offset points", ha="right", va="center", fontsize=12, color=INK
        )
        _iterations(ax, at[-1])
        if np.log10(path.max() / path.min()) > 1:
            ax.yaxis.set_major_formatter(POWERS)
            ax.yaxis.minorticks_off()

    alt = f"Residual scales against the iteration of hard assignment: {label} falls to {short(path.min())}"
    others = " The others are grey." if len(scales) > 1 else ""
    caption = f"{label} on its way to zero, on a log scale.{others}"
    return drawing(draw, SIZE, alt, title="The smallest scale", caption=caption, margins=(58, 42, 14, 10))


def _objective(hard: xr.Dataset) -> Drawing:
    values = hard["objective"].values

    def draw(ax: Axes) -> None:
        ax.plot(np.arange(len(values)), values, color=OTHER, linewidth=2.0, marker="o", markersize=4)
        plain(ax, ylabel="nats")
        _iterations(ax, len(values) - 1)

    alt = f"Objective of hard assignment against the iteration, from {values[0]:.1f} to {values[-1]:.1f}"
    caption = "The log-likelihood of the data and the filled-in values together, which has no maximum."
    return drawing(draw, SIZE, alt, title="What hard assignment climbs", caption=caption, margins=(66, 42, 14, 10))


def _ways(hard: xr.Dataset, end: str) -> Drawing | None:
    """Lines of the numbers that end farthest from soft EM, in its standard errors."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = ((hard["path"] - hard["soft"]) / hard["se"]).transpose("parameter", "iteration").values
    ends = np.where(np.isfinite(shift).all(axis=1), np.abs(shift[:, -1]), -1.0)
    chosen = np.argsort(-ends, kind="stable")[:SHOWN]
    chosen = chosen[ends[chosen] > MOVED]
    if not len(chosen):
        return None
    labels, lines = hard["parameter"].values[chosen].astype(str), shift[chosen]
    at = np.arange(lines.shape[1])

    def draw(ax: Axes) -> None:
        ax.axhline(0, color=EM, linewidth=1.4)
        ends = np.append(lines[:, -1], 0.0)
        for line, alpha in zip(lines, np.linspace(1, 0.45, len(lines)), strict=True):
            ax.plot(at, line, color=OTHER, linewidth=1.6, alpha=alpha)
        plain(ax, ylabel="standard errors from soft EM")
        _iterations(ax, at[-1])
        low, high = ax.get_ylim()
        for name, y in zip([*labels, "soft EM"], spaced(ends, 0.08 * (high - low)), strict=True):
            color = EM if name == "soft EM" else INK
            ax.text(at[-1] * 1.02, y, name, fontsize=11.5, color=color, va="center", clip_on=False)
        ax.set_ylim(low, high)

    alt = f"Distance from soft EM against the iteration of hard assignment, of {', '.join(labels)}"
    right = 16 + 7 * max(len(name) for name in [*labels, "soft EM"])
    size = (SIZE[0] + right, SIZE[1])
    caption = f"From where it began to where hard assignment {end}, in standard errors of soft EM."
    return drawing(draw, size, alt, title="The way from the start", caption=caption, margins=(58, 42, right, 10))


def _iterations(ax: Axes, last: int) -> None:
    ax.set_xlabel("iteration")
    ax.set_xlim(0, last)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def coefficients(view: View) -> list[Drawing]:
    """Coefficients of latents whose axes may be turned, one figure an axis: EM's and the posterior's, after alignment."""
    out = []
    for rotation in view.rotations:
        for name in rotation["carriers"]:
            variable = view.array("posterior", name)
            dims = variable.dims[2:]
            axis = dims.index(rotation["dim"]) if rotation["dim"] in dims else None
            positions = range(variable.shape[2 + axis]) if axis is not None else [None]
            t = view.table[[name_of(k) == name for k in view.table.index]]
            reach = t[[c for c in ("em", "hdi_lower", "hdi_upper", "truth") if c in t]].to_numpy()
            ends = min(0.0, np.nanmin(reach)), max(0.0, np.nanmax(reach))
            for k in positions:
                places = [at for at in np.ndindex(*variable.shape[2:]) if axis is None or at[axis] == k]
                if 2 <= len(places) <= MAX_ITEMS:
                    title = name if k is None else f"{name}, {rotation['dim']} {variable[rotation['dim']].values[k]}"
                    out.append(_forest(view, title, [_item(variable, at, axis) for at in places], ends))
    return out[:MAX_FORESTS]


def _item(variable: xr.DataArray, at: tuple[int, ...], axis: int | None) -> tuple[str, str]:
    """(label in the figure, label in the table)"""
    dims = [(n, d) for n, d in enumerate(variable.dims[2:]) if n != axis and variable.sizes[d] > 1]
    own = [str(variable[d].values[at[n]]) for n, d in dims]
    return ", ".join(own), entry(variable, at)


def _forest(view: View, title: str, items: list[tuple[str, str]], ends: tuple[float, float]) -> Drawing:
    t = view.table.loc[[label for _, label in items]]
    y = -np.arange(len(items), dtype=float)

    def draw(ax: Axes) -> None:
        ax.axvline(0, color=RULE, linewidth=1.2, zorder=0)
        ax.hlines(y - 0.13, t["hdi_lower"], t["hdi_upper"], color=MCMC, linewidth=2.2)
        ax.plot(t["mean"], y - 0.13, "o", color=MCMC, markersize=5)
        ax.plot(t["em"], y + 0.17, "o", color=EM, markersize=6)
        if "truth" in t and t["truth"].notna().any():
            ax.vlines(t["truth"], y - 0.4, y + 0.4, color=INK, linewidth=1.1, linestyle=(0, (3, 2)))
        plain(ax)
        ax.yaxis.set_visible(True)
        ax.set_yticks(y, [text for text, _ in items])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(y[-1] - 0.6, 0.6)
        pad = 0.04 * (ends[1] - ends[0])
        ax.set_xlim(ends[0] - pad, ends[1] + pad)

    alt = f"{title} after alignment: EM's estimates with the posterior's 94% intervals of {len(items)} coefficients"
    left: Any = 14 + 7 * max(len(text) for text, _ in items)
    return drawing(draw, (300, 46 + 22 * len(items)), alt, title=title, margins=(left, 30, 12, 6))

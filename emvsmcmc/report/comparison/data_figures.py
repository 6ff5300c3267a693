"""The fitted model over the data: curves, frequencies, ellipses, and posterior predictive checks for whatever has none."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from ...words import entry, name_of
from ..svg import DATA, EM, INK, MCMC, PAPER, Drawing, compound, dots, drawing, plain
from ..tree_view import View

MAX_POINTS = 2000
MAX_PAIRS = 6
MAX_CHECKS = 6
MAX_COPIES = 400  # replicated data sets that a check is drawn from
BAND = (0.03, 0.97)


def over_data(view: View) -> list[Drawing]:
    """One figure for each observed variable, by what is known about it."""
    out: list[Drawing] = []
    covered: set[str] = set()
    gaussian = view.dataset("fitted/gaussian")
    if gaussian is not None:
        out += _ellipses(gaussian)
        covered = {name_of(c) for c in gaussian["column"].values}
    for name in view.observed:
        curves = view.dataset(f"fitted/{name}")
        if curves is not None and name not in covered:
            values, weights = _column(view, view.array("observed_data", name).values)
            draw = _frequencies if int(curves.attrs.get("discrete", 0)) else _curves
            out.append(draw(name, curves, values, weights))
            covered.add(name)
    for name in view.observed:
        if name not in covered:
            out += _checks(view, name)
    return out


def _column(view: View, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that are there, with their rows' weights."""
    weights = view.weights if len(view.weights) == len(values) else np.ones(len(values))
    there = np.isfinite(values) & (weights > 0)
    return values[there], weights[there]


def edges(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Histogram edges by Freedman and Diaconis; whole numbers get bins of whole width, or every other bin would look empty."""
    low, high = values.min(), values.max()
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    quartiles = np.interp([0.25, 0.75], share, values[order])
    width = (quartiles[1] - quartiles[0]) * max(weights.sum(), 2) ** (-1 / 3)  # half of theirs: it must not blur two humps
    width = max(width, (high - low) / 60) or 1.0
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    if (values == np.round(values)).all():
        width = max(1, round(width))
        return np.arange(low - 0.5, high + width + 0.5, width)
    return np.linspace(low, high, int(np.ceil((high - low) / width)) + 1)


def _curves(name: str, curves: xr.Dataset, values: np.ndarray, weights: np.ndarray) -> Drawing:
    x, bins = curves["x"].values, edges(values, weights)
    labels = [str(c) for c in curves["configuration"].values]

    def draw(ax: Axes) -> None:
        height = np.histogram(values, bins, weights=weights, density=True)[0]
        ax.stairs(height, bins, fill=True, color=DATA, alpha=0.5, linewidth=0)
        ax.fill_between(x, curves["lower_total"], curves["upper_total"], color=MCMC, alpha=0.3, linewidth=0)
        ax.plot(x, curves["mean_total"], color=MCMC, linewidth=1.2)
        for k, label in enumerate(labels if len(labels) > 1 else []):
            ax.fill_between(x, curves["lower"][k], curves["upper"][k], color=MCMC, alpha=0.18, linewidth=0)
            em = curves["em"].values[k]
            ax.plot(x, em, color=EM, linewidth=1.2, linestyle=(0, (4, 2)))
            peak = int(em.argmax())
            top = max(curves["upper_total"].values[peak], height[np.clip(np.searchsorted(bins, x[peak]) - 1, 0, len(height) - 1)])
            ax.annotate(label, (x[peak], top), (0, 7), textcoords="offset points", ha="center", fontsize=12, color=INK)
        ax.plot(x, curves["em_total"], color=EM, linewidth=1.6)
        plain(ax, xlabel=name)
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(0, 1.16 * max(height.max(), float(curves["upper_total"].max())))

    alt = f"Histogram of {name} with the density fitted by EM and the posterior's 94% band, by component"
    caption = (
        "Histogram of the data. EM's density is the solid line, its components are dashed; the bands hold 94% of the posterior "
        "draws, for the whole and for each component."
    )
    return drawing(draw, (620, 350), alt, title=name, caption=caption, margins=(14, 44, 14, 8))


def _frequencies(name: str, curves: xr.Dataset, values: np.ndarray, weights: np.ndarray) -> Drawing:
    x, total = curves["x"].values, weights.sum()
    observed = np.array([weights[values == v].sum() for v in x])
    labels = [str(c) for c in curves["configuration"].values]
    crowded = len(x) > 15

    def draw(ax: Axes) -> None:
        ax.bar(x, observed, width=0.8, color=DATA, alpha=0.75 if crowded else 0.5, linewidth=0, zorder=1.5)
        if crowded:
            steps = np.append(x - 0.5, x[-1] + 0.5)
            ax.stairs(
                curves["frequency_upper"],
                steps,
                baseline=curves["frequency_lower"].values,
                fill=True,
                color=MCMC,
                alpha=0.25,
                linewidth=0,
                zorder=1,
            )
            ax.plot(x, total * curves["mean_total"], color=MCMC, linewidth=1.2)
        else:
            ax.vlines(x + 0.13, curves["frequency_lower"], curves["frequency_upper"], color=MCMC, linewidth=2.2, alpha=0.7)
            ax.plot(x + 0.13, total * curves["mean_total"], "o", color=MCMC, markersize=4)
        for k, label in enumerate(labels if 1 < len(labels) <= 4 and len(x) > 8 else []):
            em = total * curves["em"].values[k]
            ax.plot(x, em, color=EM, linewidth=1.1, linestyle=(0, (4, 2)))
            peak = int(em.argmax())
            height = max(observed[peak], curves["frequency_upper"].values[peak])
            ax.annotate(label, (x[peak], height), (0, 5), textcoords="offset points", ha="center", fontsize=12, color=INK)
        if crowded:
            ax.plot(x, total * curves["em_total"], color=EM, linewidth=1.6)
        else:
            ax.plot(x - 0.13, total * curves["em_total"], "o", color=EM, markersize=5)
        plain(ax, xlabel=name, ylabel="rows", whole=True)
        if len(x) <= 12:
            ax.set_xticks(x, [f"{v:.0f}" for v in x])
        ax.set_xlim(x[0] - 0.7, x[-1] + 0.7)
        ax.set_ylim(0, 1.12 * max(observed.max(), float(curves["frequency_upper"].max())))

    alt = (
        f"Observed frequencies of {name} as bars, with EM's expected frequencies and the interval of 94% of replicated data sets"
    )
    caption = "Bars: observed. " + (
        "Lines: expected under EM's estimate (components dashed) and the posterior. Band: 94% of data sets replicated from it."
        if crowded
        else "Points: expected under EM's estimate and the posterior. Vertical lines: 94% of data sets replicated from it."
    )
    return drawing(draw, (620, 350), alt, title=name, caption=caption, margins=(50, 44, 14, 8))


def _ellipses(gaussian: xr.Dataset) -> list[Drawing]:
    columns = [str(c) for c in gaussian["column"].values]
    mean, cov, data = gaussian["mean"].values, gaussian["cov"].values, gaussian["data"].values
    labels = [str(c) for c in gaussian["configuration"].values]
    pairs = list(combinations(range(len(columns)), 2))[:MAX_PAIRS]
    alone = len(pairs) == 1
    size = (600, 460) if alone else (400, 320)
    most = MAX_POINTS if alone else MAX_POINTS // 3
    turn = np.linspace(0, 2 * np.pi, 41)
    circle = np.stack([np.cos(turn), np.sin(turn)])

    def outlines(pair: tuple[int, int], samples: slice, radius: float) -> list[np.ndarray]:
        m, c = mean[:, samples][..., pair], cov[:, samples][..., pair, :][..., pair]
        return list((m[..., None] + radius * np.linalg.cholesky(c) @ circle).swapaxes(-1, -2).reshape(-1, len(turn), 2))

    def panel(pair: tuple[int, int]) -> Drawing:
        points = data[:, pair][np.isfinite(data[:, pair]).all(axis=1)]
        if len(points) > most:
            points = points[np.random.default_rng(0).choice(len(points), most, replace=False)]

        def draw(ax: Axes) -> None:
            dots(ax, points[:, 0], points[:, 1], 3.6 if alone else 2.6, INK, 0.42)
            compound(ax, outlines(pair, slice(1, None, 1 if alone else 3), 2.0), MCMC, 0.7, 0.4)
            for radius, alpha in ((1, 1.0), (2, 0.85), (3, 0.6)):
                compound(ax, outlines(pair, slice(0, 1), radius), EM, 1.6 if radius < 3 else 1.2, alpha)
            for k, label in enumerate(labels if len(labels) > 1 else []):
                ax.annotate(
                    label,
                    (mean[k, 0, pair[0]], mean[k, 0, pair[1]]),
                    ha="center",
                    va="center",
                    fontsize=12,
                    color=INK,
                    zorder=9,
                    bbox=_CHIP,
                )
            plain(ax, columns[pair[0]], columns[pair[1]])
            ax.autoscale_view()

        alt = (
            f"Scatter of {columns[pair[1]]} against {columns[pair[0]]} with each component's ellipses under EM and the posterior"
        )
        return drawing(draw, size, alt, caption=caption if pair == pairs[0] else "", margins=(56, 44, 12, 8))

    shown = f" {most:,} of the {len(data):,} rows are drawn." if len(data) > most else ""
    caption = (
        f"Ellipses of 1, 2 and 3 standard deviations{' of each component' if len(labels) > 1 else ''} under EM's estimate; the "
        f"thin ones are 2 standard deviations in {mean.shape[1] - 1} posterior draws.{shown}"
    )
    return [panel(pair) for pair in pairs]


_CHIP = {"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.75}


def _checks(view: View, name: str) -> list[Drawing]:
    """Observed against replicated data, for each element of a variable."""
    if "posterior_predictive" not in view.tree or name not in view.tree["posterior_predictive"]:
        return []
    replicas = view.array("posterior_predictive", name)
    observed = view.array("observed_data", name)
    copies = replicas.values.reshape(-1, *observed.shape)
    copies = copies[:: max(1, len(copies) // MAX_COPIES)]
    cells = list(np.ndindex(*observed.shape[1:]))
    if len(cells) > 1 and set(np.unique(observed.values[np.isfinite(observed.values)])) <= {0.0, 1.0}:
        return [_shares(name, observed, copies)]
    out: list[Drawing] = []
    for at in cells[:MAX_CHECKS]:
        drawn = _check(view, entry(observed, at), observed.values[(slice(None), *at)], copies[(..., *at)])
        out.append(replace(drawn, caption="") if out else drawn)  # said once
    return out


def _check(view: View, label: str, values: np.ndarray, copies: np.ndarray) -> Drawing:
    there = np.isfinite(values)
    column, weights = _column(view, values)
    low, high = min(column.min(), np.nanquantile(copies, 0.001)), max(column.max(), np.nanquantile(copies, 0.999))
    bins = edges(np.append(column, [low, high]), np.append(weights, [1e-9, 1e-9]))
    all_weights = view.weights if len(view.weights) == len(values) else np.ones(len(values))
    heights = np.array([np.histogram(c[there], bins, weights=all_weights[there])[0] for c in copies])
    lower, upper = np.quantile(heights, BAND, axis=0)

    def draw(ax: Axes) -> None:
        ax.stairs(np.histogram(column, bins, weights=weights)[0], bins, fill=True, color=DATA, alpha=0.5, linewidth=0)
        ax.stairs(upper, bins, baseline=lower, fill=True, color=MCMC, alpha=0.3, linewidth=0)
        ax.stairs(heights.mean(axis=0), bins, color=MCMC, linewidth=1.3, baseline=None)
        plain(ax, xlabel=label, ylabel="rows", whole=True)
        ax.set_ylim(0, None)

    alt = f"Histogram of {label}, observed and in {len(copies)} data sets replicated from the posterior"
    caption = "Grey: observed. Band: 94% of the data sets replicated from the posterior, around their mean."
    return drawing(draw, (400, 260), alt, title=label, caption=caption, margins=(50, 42, 12, 8))


def _shares(name: str, observed: xr.DataArray, copies: np.ndarray) -> Drawing:
    """Share of ones of each item of a battery of yes/no questions."""
    flat, again = observed.values.reshape(len(observed), -1), copies.reshape(len(copies), len(observed), -1)
    again = np.where(np.isfinite(flat), again, np.nan)
    lower, upper = np.quantile(np.nanmean(again, axis=1), BAND, axis=0)
    at = np.arange(flat.shape[1])
    labels = [", ".join(map(str, c)) for c in np.ndindex(*observed.shape[1:])]
    if observed.ndim == 2:
        labels = [str(v) for v in observed[observed.dims[1]].values]

    def draw(ax: Axes) -> None:
        ax.bar(at, np.nanmean(flat, axis=0), width=0.75, color=DATA, alpha=0.5, linewidth=0)
        ax.vlines(at, lower, upper, color=MCMC, linewidth=3)
        ax.set_ylim(0, 1)
        ax.set_ylabel("share of ones")
        step = max(1, len(at) // 12)
        ax.set_xticks(at[::step], labels[::step])
        ax.set_xlabel(str(observed.dims[-1]))

    alt = f"Share of ones of each element of {name}, observed and replicated"
    caption = "Bars: observed. Vertical lines: 94% of the data sets replicated from the posterior."
    return drawing(draw, (640, 300), alt, title=name, caption=caption, margins=(54, 42, 12, 8))

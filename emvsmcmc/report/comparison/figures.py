"""The figures of parameters, starts and draws. EM has one colour and MCMC another throughout; everything else is neutral."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...words import name_of
from ..svg import EM, INK, MCMC, MUTED, OTHER, PAPER, POWERS, Drawing, Sheet, drawing, joined, plain
from ..tree_view import View

MAX_PANELS = 24  # densities on one page
WALD = 1.8808  # normal quantile: 94%, as the HDI
FLOOR = 1e-9  # nats: what is smaller is rounding
TRACE = 240  # points of one chain
PANEL, WIDE, TRACED = (232, 164), (560, 320), (470, 260)


def densities(view: View) -> list[Drawing]:
    """Posterior density of every parameter under EM's normal curve; those with the largest gaps where there are too many."""
    once = distinct(view)
    largest = sorted(once, key=lambda label: -np.nan_to_num(abs(view.table.loc[label, "gap"]), nan=np.inf))[:MAX_PANELS]
    sheet = Sheet(PANEL, (8, 26, 8, 4))
    return [_density(view, label, view.draws[label].ravel(), sheet) for label in once if label in largest]


def distinct(view: View) -> list[str]:
    """Parameters without those that only repeat another (cov[a, b] is cov[b, a]) and those known up to a rotation only."""
    seen: dict[bytes, str] = {}
    for label in view.table.index:
        if not view.is_turned(str(label)):
            seen.setdefault(view.draws[label].tobytes(), str(label))
    return list(seen.values())


def _density(view: View, label: str, draws: np.ndarray, sheet: Sheet) -> Drawing:
    row = view.table.loc[label]
    em, se, truth = row["em"], row["se"], row.get("truth", np.nan)
    x, y = kernel_density(draws)
    top = y.max()
    wald = em + WALD * se * np.array([-1.0, 1.0])
    low, high = np.quantile(draws, [0.001, 0.999])
    room = 1.5 * (high - low)  # what lies farther off is pointed at, so that the posterior stays more than a spike
    reach = [v for v in (low, high, em, truth, *wald) if np.isfinite(v) and low - room <= v <= high + room]
    pad = 0.03 * (max(reach) - min(reach))
    ends = min(reach) - pad, max(reach) + pad

    def draw(ax: Axes) -> None:
        keep = (x >= ends[0]) & (x <= ends[1])
        ax.fill_between(x[keep], 0, y[keep], color=MCMC, alpha=0.22, linewidth=0)
        ax.plot(x[keep], y[keep], color=MCMC, linewidth=1.4)
        highest = top
        if np.isfinite(se) and se > 0:
            grid = np.linspace(*ends, 120)
            normal = np.exp(-0.5 * ((grid - em) / se) ** 2) / (se * np.sqrt(2 * np.pi))
            highest = max(top, min(normal.max(), 1.6 * top))
            ax.plot(grid, np.minimum(normal, 1.6 * top), color=EM, linewidth=1.4)
            ax.plot(np.clip(wald, *ends), [-0.1 * top] * 2, color=EM, linewidth=2.2, solid_capstyle="butt")
        ax.plot([row["hdi_lower"], row["hdi_upper"]], [-0.2 * top] * 2, color=MCMC, linewidth=2.2, solid_capstyle="butt")
        _point_out(ax, em, ends, "EM", EM, 0.95 * top)
        if ends[0] <= em <= ends[1]:
            ax.plot([em], [-0.1 * top], "o", color=EM, markersize=6, markeredgecolor=PAPER, markeredgewidth=1.2)
        ax.plot([row["mean"]], [-0.2 * top], "o", color=MCMC, markersize=6, markeredgecolor=PAPER, markeredgewidth=1.2)
        _point_out(ax, truth, ends, "truth", INK, 0.75 * top)
        if ends[0] <= truth <= ends[1]:
            ax.axvline(truth, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
        plain(ax)
        ax.set_xlim(*ends)
        ax.set_ylim(-0.3 * top, 1.06 * highest)

    alt = (
        f"Posterior density of {label}: mean {row['mean']:.4g}, 94% interval {row['hdi_lower']:.4g} to {row['hdi_upper']:.4g}. "
        f"EM estimate {em:.4g}"
        + (f", 94% interval {wald[0]:.4g} to {wald[1]:.4g}." if np.isfinite(se) else ", no standard error.")
    )
    return sheet.draw(draw, alt, title=label)


def _point_out(ax: Axes, value: float, ends: tuple[float, float], name: str, color: str, height: float) -> None:
    """An arrow at the edge towards a value that lies beyond it."""
    if value < ends[0]:
        ax.text(ends[0], height, f"← {name} {value:.3g}".replace("-", "−"), ha="left", fontsize=11, color=color)
    elif value > ends[1]:
        ax.text(ends[1], height, f"{name} {value:.3g} →".replace("-", "−"), ha="right", fontsize=11, color=color)


def kernel_density(draws: np.ndarray, points: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian kernel density on a grid, reflected at 0 and 1 where the draws crowd against them. Weights sum to one."""
    spread = min(draws.std(), np.subtract(*np.quantile(draws, [0.75, 0.25])) / 1.349) or draws.std() or 1e-12
    h = 0.9 * spread * len(draws) ** -0.2
    low, high = draws.min(), draws.max()
    both = [draws]
    if 0 <= low < 3 * h:
        both.append(-draws)
    if high <= 1 and 1 - high < 3 * h:
        both.append(2 - draws)
    left = 0.0 if 0 <= low < 3 * h else low - 3 * h
    right = 1.0 if high <= 1 and 1 - high < 3 * h else high + 3 * h
    fine = np.linspace(left - 5 * h, right + 5 * h, 2048)
    step = fine[1] - fine[0]
    counts, _ = np.histogram(np.concatenate(both), bins=np.append(fine - step / 2, fine[-1] + step / 2))
    half = int(np.ceil(4 * h / step))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * step / h) ** 2)
    density = np.convolve(counts, kernel / kernel.sum(), mode="same") / (len(draws) * step)
    x = np.linspace(left, right, points)
    return x, np.interp(x, fine, density)


def starts(view: View) -> Drawing:
    """The path of every start: nats below the best objective, on a log scale."""
    data = view.tree["em/starts"].to_dataset()
    path, optimum, status = data["path"].values, data["optimum"].values, data["status"].values.astype(str)
    reached = data["objective"].values[optimum >= 0]
    best = reached.max() if len(reached) else np.nanmax(path)
    longest = max([1, *(int(np.isfinite(p).sum()) for p in path)])
    elsewhere = {k: i for i, k in enumerate(sorted(set(optimum[optimum > 0])))}

    def draw(ax: Axes) -> None:
        ax.set_yscale("log")
        for p, o, s in zip(path, optimum, status, strict=True):
            at = np.flatnonzero(np.isfinite(p))
            if not len(at):
                continue
            at = at[np.unique(np.round(np.geomspace(1, len(at), min(len(at), 150))).astype(int) - 1)]
            below = np.maximum(best - p[at], FLOOR)
            style: dict[str, Any]
            if o == 0:
                style = {"color": EM, "linestyle": "-", "alpha": 0.6}
            elif o > 0:
                style = {"color": OTHER, "linestyle": ["-", "--", "-.", ":"][elsewhere[o] % 4], "alpha": 0.9}
            else:
                style = {"color": MUTED, "linestyle": (0, (1, 2)), "alpha": 0.9}
            ax.plot(at, below, linewidth=1.3, **style)
            marker = "x" if o < 0 else "o" if s == "converged" else "s"
            ax.plot(at[-1:], below[-1:], marker, color=style["color"], markersize=4, clip_on=False)
        ax.set_xlabel("iteration")
        ax.set_ylabel("nats below the best")
        ax.set_ylim(FLOOR, None)
        ax.set_xlim(0, longest)
        if longest > 400:
            ax.set_xscale("symlog", linthresh=10)
        ax.yaxis.set_major_formatter(POWERS)
        ax.yaxis.minorticks_off()

    best_hits, others, failed = int((optimum == 0).sum()), int((optimum > 0).sum()), int((optimum < 0).sum())
    alt = f"Paths of {len(path)} starts: {best_hits} reached the best optimum, {others} another one, {failed} none."
    return drawing(draw, WIDE, alt, margins=(58, 42, 14, 10))


def traces(view: View) -> list[Drawing]:
    """Draws before and after alignment of the parameter whose positions lie farthest apart; without alignment, plain traces."""
    groups = [g for dim in view.exchangeable[:1] for name in view.about["carriers"].get(dim, []) for g in view.along(name, dim)]
    turned = _turned(view)
    if groups:
        labels, changed = max(groups, key=lambda g: _separation(view, g)), view.relabelled > 0
        alt = f"Draws of {labels[0].split('[')[0]} chain after chain, one line a {view.exchangeable[0]}, %s alignment"
    elif turned:
        labels, changed = turned, True
        alt = f"Draws of {', '.join(labels)} chain after chain, %s the axes were aligned"
    else:
        worst = view.table["r_hat"].sort_values(ascending=False, kind="stable").index[:4]
        return [
            _trace(view, [k], view.draws, k, f"Trace of {k} over {view.chains} chains") for k in view.table.index if k in worst
        ]
    if not changed:
        return [_trace(view, labels, view.draws, "As sampled, and as aligned", alt % "before and after")]
    return [
        _trace(view, labels, view.raw_draws, "As sampled", alt % "before"),
        _trace(view, labels, view.draws, "After alignment", alt % "after"),
    ]


def _turned(view: View) -> list[str]:
    """The coefficients that alignment changed most, for their spread: along the axes where there are several."""
    shares = view.shares("turned")
    groups: list[list[str]] = []
    for r in view.rotations:
        for name in r["carriers"] if shares.get(r["latent"], 0.0) else []:
            labels = [str(k) for k in view.table.index if name_of(k) == name]
            several = r["dim"] is not None and r["dim"] in view.array("posterior", name).dims
            groups += view.along(name, r["dim"]) if several else [[k] for k in labels]
    change = {k: view.raw_draws[k].std() / (view.draws[k].std() or 1.0) for g in groups for k in g}
    return max(groups, key=lambda g: max(change[k] for k in g), default=[])


def _separation(view: View, labels: list[str]) -> float:
    """How far apart the positions lie, in standard deviations, for the two that are closest."""
    means = np.sort(view.table.loc[labels, "mean"].to_numpy())
    sds = view.table.loc[labels, "sd"].to_numpy()
    return float(np.diff(means).min() / np.sqrt((sds**2).mean()))


def _trace(view: View, labels: list[str], draws: dict[str, np.ndarray], title: str, alt: str) -> Drawing:
    length = view.draws_per_chain
    at = np.unique(np.linspace(0, length - 1, min(TRACE, length)).astype(int))
    strengths = np.linspace(1.0, 0.35, len(labels))

    def draw(ax: Axes) -> None:
        for label, strength in zip(labels, strengths, strict=True):
            x = joined(chain * length + at for chain in range(view.chains))
            ax.plot(x, joined(values[at] for values in draws[label]), color=MCMC, linewidth=0.6, alpha=strength)
        if len(labels) > 1:
            low, high = ax.get_ylim()
            last = [draws[label][-1].mean() for label in labels]
            for label, y in zip(labels, spaced(np.array(last), 0.07 * (high - low)), strict=True):
                ax.text(view.chains * length * 1.015, y, label, fontsize=11.5, color=MUTED, va="center", clip_on=False)
        for chain in range(1, view.chains):
            ax.axvline(chain * length, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        ax.set_xlim(0, view.chains * length)
        ax.set_xticks([(c + 0.5) * length for c in range(view.chains)], [f"chain {c + 1}" for c in range(view.chains)])
        ax.tick_params(axis="x", length=0)

    right = 12 + 7 * max(map(len, labels)) if len(labels) > 1 else 10
    return drawing(draw, TRACED, alt, title=title, margins=(44, 28, right, 8))


def spaced(y: np.ndarray, least: float) -> np.ndarray:
    """Positions moved apart to at least a distance, in their order, about where they were."""
    order = np.argsort(y, kind="stable")
    at = y[order].copy()
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + least)
    at -= (at - y[order]).mean()
    out = np.empty_like(at)
    out[order] = at
    return out

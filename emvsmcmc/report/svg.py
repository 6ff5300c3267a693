"""Small figures as inline SVG that takes its colours and its type from the page, so that light, dark and print all work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Colours that stand for the page's own: each is replaced by its CSS variable.
EM, MCMC, INK, MUTED, RULE, DATA, OTHER, PAPER = (f"#0a0b{i:02x}" for i in range(1, 9))
_VARIABLES = {EM: "em", MCMC: "mcmc", INK: "ink", MUTED: "muted", RULE: "rule", DATA: "data", OTHER: "other", PAPER: "paper"}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "emvsmcmc",
    "font.size": 12.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "text.color": INK,
    "path.simplify": True,
    "path.simplify_threshold": 0.15,
}
_NUMBER = re.compile(r"-?\d+\.\d+")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def style() -> AbstractContextManager[None]:
    """The context in which figures are drawn; entered once, since matplotlib copies every setting on entry."""
    return mpl.rc_context(_STYLE)


@dataclass(frozen=True)
class Drawing:
    """One figure of the page. alt : what it shows, for those who cannot see it. title, caption : printed with it."""

    body: str  # what stands inside <svg>
    size: tuple[int, int]
    alt: str
    title: str = ""
    caption: str = ""


class Sheet:
    """Axes of `size` pixels; margins are left, bottom, right, top. To be made within `style`.

    A sheet may take one drawing after another, which saves most of what small figures cost; each must then set both limits.
    """

    def __init__(self, size: tuple[int, int], margins: tuple[int, int, int, int]) -> None:
        (width, height), (left, bottom, right, top) = size, margins
        self.size = size
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(self.figure)
        self.figure.patch.set_visible(False)
        inside = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
        self.ax = self.figure.add_axes(inside)
        self.ax.patch.set_visible(False)

    def draw(self, draw: Callable[[Axes], None], alt: str, title: str = "", caption: str = "") -> Drawing:
        """What `draw` puts on the axes, which are empty again afterwards."""
        draw(self.ax)
        buffer = StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        for artist in [*self.ax.lines, *self.ax.patches, *self.ax.collections, *self.ax.texts]:
            artist.remove()
        return Drawing(_inline(buffer.getvalue()), self.size, alt, title, caption)


def drawing(
    draw: Callable[[Axes], None],
    size: tuple[int, int],
    alt: str,
    title: str = "",
    caption: str = "",
    margins: tuple[int, int, int, int] = (12, 34, 12, 8),
) -> Drawing:
    """What `draw` puts on a sheet of its own."""
    return Sheet(size, margins).draw(draw, alt, title, caption)


def _inline(svg: str) -> str:
    """What the <svg> element holds, slim, in the page's colours and type."""
    svg = svg[svg.index("<svg") :]
    body = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<style type="text/css">.*?</style>', "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda m: _NUMBER.sub(_rounded, m[0]), body)
    body = re.sub(r"font-family:[^;\"]*;?", "", body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    for colour, name in _VARIABLES.items():
        body = body.replace(colour, f"var(--{name})")
    return re.sub(r"\s*\n\s*", " ", body).replace("> <", "><").strip()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def plain(ax: Axes, xlabel: str = "", ylabel: str = "", whole: bool = False) -> None:
    """Axis labels, and a left axis (counting in whole numbers on demand) only where it has a label."""
    ax.set_xlabel(xlabel)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if ylabel:
        ax.set_ylabel(ylabel)
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=whole))
    else:
        ax.yaxis.set_visible(False)
        ax.spines["left"].set_visible(False)


def dots(ax: Axes, x: np.ndarray, y: np.ndarray, size: float, color: str, alpha: float = 1.0) -> None:
    """Many points as one path of round-ended strokes of hardly any length: a tenth of the bytes of markers."""
    vertices = np.repeat(np.column_stack([x, y]), 2, axis=0)
    vertices[1::2, 0] += 1e-4 * np.ptp(x)  # matplotlib drops strokes of no length at all
    codes = np.tile([Path.MOVETO, Path.LINETO], len(x))
    style = {"facecolor": "none", "edgecolor": color, "linewidth": size, "capstyle": "round", "alpha": alpha}
    ax.add_patch(PathPatch(Path(vertices, codes), snap=False, **style))
    ax.update_datalim(vertices)


def compound(ax: Axes, outlines: list[np.ndarray], color: str, width: float, alpha: float = 1.0, dash: str = "-") -> None:
    """Many polylines, each (points, 2), as one path: opacity then applies to all of them together, and the file stays small."""
    vertices = np.concatenate(outlines)
    codes = np.full(len(vertices), Path.LINETO)
    codes[np.cumsum([0, *map(len, outlines[:-1])])] = Path.MOVETO
    ax.add_patch(
        PathPatch(Path(vertices, codes), facecolor="none", edgecolor=color, linewidth=width, alpha=alpha, linestyle=dash)
    )
    ax.update_datalim(vertices[np.isfinite(vertices).all(axis=1)])


def joined(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """Several lines as one array with NaN between them: one artist instead of many."""
    return np.concatenate([np.append(p, np.nan) for p in pieces])


def powers_of_ten(value: float, _position: int = 0) -> str:
    """Tick labels of a log axis as plain text."""
    return f"10{str(round(np.log10(value))).translate(SUPERSCRIPTS)}" if value > 0 else ""


POWERS = FuncFormatter(powers_of_ten)

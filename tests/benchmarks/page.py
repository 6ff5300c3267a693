"""The report of a run as one self-contained page, in the look of the package's other pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from protocol import figure
from rows import PROGRAMS, ROWS, Asked

from emvsmcmc.report import svg as canvas

HERE = Path(__file__).resolve().parent
STYLE = Path(canvas.__file__).with_name("templates")
SIZE = (400, 290)
COLOURS = (canvas.EM, canvas.MCMC, canvas.OTHER, canvas.MUTED)


def render(report: dict[str, Any]) -> str:
    """report : what `bench.collate` returns, live or read from benchmarks.json."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE, STYLE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = [_row(key, asked, report) for key, asked in ROWS.items()]
    wanted = [r for r in rows if r["asked"]]
    with canvas.style():
        curves = [_curve(c) for c in report["curves"]]
    return environment.get_template("page.html.jinja").render(
        rows=rows,
        tallies={kind: sum(r["verdict"] == kind for r in wanted) for kind in ("met", "not met", "refused", "not measured")},
        wanted=len(wanted),
        proofs=[r for r in rows if r["proofs"]],
        remarks=[r for r in rows if r["note"]],
        curves=curves,
        **{k: report[k] for k in ("agreement", "absent", "machine", "versions", "notes", "when", "small")},
        programs=[p | {"seconds": seconds(p["seconds"]), "title": _title(p["name"])} for p in report["programs"]],
    )


def _row(key: str, asked: Asked, report: dict[str, Any]) -> dict[str, Any]:
    """One row of the table, measured or not."""
    found = next((m for m in report["measurements"] if m["key"] == key), None)
    sign, of = ("≥", "×") if asked.sense == "at least" else ("≤", "×")
    row: dict[str, Any] = {
        "work": asked.work,
        "against": asked.against,
        "asked": "" if asked.ratio is None else f"{sign} {asked.ratio:g} {of}",
        "proofs": [],
        "note": "",
    }
    if found is None:
        refused = key in report["refused"]
        why = report["refused"][key] if refused else report["unmeasured"].get(key, "")
        return row | {"verdict": "refused" if refused else "not measured", "why": why}
    verdict = {True: "met", False: "not met", None: "reported"}[found["met"]]
    return row | {
        "verdict": verdict,
        "why": "",
        "peer": found["version"] if asked.against.startswith(found["peer"]) else f"{found['peer']} {found['version']}".strip(),
        "ratio": f"{figure(found['ratio'])} ×",
        "spread": f"{figure(found['least'])} to {figure(found['most'])}",
        "ours": quantity(found["ours"], found["unit"]),
        "theirs": quantity(found["theirs"], found["unit"]),
        "run": counted(found["repeats"], "repeat"),
        "threads": counted(found["threads"], "thread"),
        "dtype": found["dtype"],
        "note": found["note"],
        "proofs": [
            {
                "quantity": p["quantity"],
                "ours": f"{p['ours']:.10g}",
                "theirs": f"{p['theirs']:.10g}",
                "difference": f"{p['difference']:.1e}" + ("" if p["absolute"] else " relative"),
                "tolerance": f"{p['tolerance']:g}",
            }
            for p in found["proofs"]
        ],
    }


def quantity(value: float, unit: str) -> str:
    """A figure with its unit, short."""
    if unit == "s":
        return seconds(value)
    return f"{figure(value)} {'a second' if unit == 'effective draws a second' else unit}"


def seconds(value: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{figure(value / scale)} {unit}"
    return f"{figure(1e9 * value)} ns"


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _title(program: str) -> str:
    return program.replace("_", " ") + ("" if PROGRAMS.get(program) else " of figures")


def _tick(value: float) -> str:
    """Seconds of a power of ten, without digits that say nothing."""
    number, unit = seconds(value).split()
    return f"{float(number.replace(',', '')):g} {unit}"


def _curve(curve: dict[str, Any]) -> canvas.Drawing:
    """Time of every side against a size, on log axes."""
    sides = {name: points for name, points in curve["sides"].items() if points}
    sizes = sorted({x for points in sides.values() for x, _ in points})

    def draw(ax: Axes) -> None:
        ax.set_xscale("log")
        ax.set_yscale("log")
        for colour, (name, points) in zip(COLOURS, sides.items(), strict=False):
            ax.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, marker="o", markersize=4.5)
            x, y = points[-1]
            ax.annotate(name, (x, y), (-4, 9), textcoords="offset points", ha="right", fontsize=12, color=colour)
        powers = sizes[0] >= 1000
        ax.set_xticks([s for s in sizes if not powers or round(s) in {10**e for e in range(12)}])
        ax.xaxis.set_major_formatter(canvas.POWERS if powers else FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        low, high = ax.get_ylim()
        ax.set_ylim(low, 1.6 * high)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _tick(v) if v > 0 else ""))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(curve["along"])
        ax.set_ylabel(curve["unit"])

    told = "; ".join(
        f"{name} {seconds(p[0][1])} at {p[0][0]:,.0f} and {seconds(p[-1][1])} at {p[-1][0]:,.0f}" for name, p in sides.items()
    )
    alt = f"{curve['unit']} against {curve['along']}: {told}"
    return canvas.drawing(draw, SIZE, alt, title=curve["title"], caption=curve["note"], margins=(66, 42, 14, 10))

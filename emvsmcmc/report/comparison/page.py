"""The page: one self-contained file made from a comparison's DataTree, live or loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xarray as xr

from ...words import name_of
from .. import svg as canvas
from .. import words as content
from ..tree_view import View
from ..write import filled, write_page
from . import data_figures, figures, hidden, tables
from . import hard_path as paths
from . import invariance as turns


def write(tree: xr.DataTree, folder: str | os.PathLike[str]) -> Path:
    """Write `folder`/index.html and return its path. It appears whole or not at all.

    tree : `Comparison.to_datatree()`, or what `comparison.result.load` read from a file; both give the same page.
    """
    return write_page(render(tree), Path(folder))


def render(tree: xr.DataTree) -> str:
    """The page as HTML."""
    with canvas.style():
        return filled("page.html", _context(View(tree)))


def _context(view: View) -> dict[str, Any]:
    verdict = view.result["verdict"]
    densities = figures.densities(view)
    return {
        "title": view.title,
        "name": view.name,
        "description": content.description(view),
        "verdict": verdict,
        "tone": content.TONE.get(verdict, "undecided"),
        "meaning": content.MEANING.get(verdict, content.NO_MEANING),
        "reasons": content.reasons(view),
        "verdict_figures": content.verdict_figures(view),
        "groups": tables.groups(view),
        "rows": tables.parameter_rows(view),
        "missing_information": hidden.missing_information(view),
        "trouble": hidden.trouble(view),
        "turned": sorted({name_of(k) for k in view.table.index if view.is_turned(str(k))}),
        "invariant": turns.invariant(view),
        "invariant_blocks": tables.invariant_blocks(view) if len(view.invariant) else [],
        "coefficients": paths.coefficients(view),
        "densities": densities,
        "left_out": len(figures.distinct(view)) - len(densities),
        "truth": "truth" in view.table,
        "fits": data_figures.over_data(view),
        "starts": figures.starts(view),
        "optima": content.optima(view),
        "kinds": {o["kind"] for o in content.optima(view)},
        "status": view.result["status"],
        "status_sentence": view.about["status_sentence"],
        "iterations": view.about["iterations"],
        "log_likelihood": content.number(view.result["log_likelihood"], 5),
        "aligned": bool(view.exchangeable or view.rotations),
        "alignment": turns.alignment(view),
        "traces": figures.traces(view),
        "divergent": view.divergent,
        **_hard(view),
        "approximation": content.approximation(view),
        "timings": content.timings(view),
        "rate": content.number(view.result["timings"]["effective draws a second"], 0),
        "contract": view.about["contract"],
        "contract_holds": view.result["contract"]["holds"],
        "contract_values": {k: content.number(v, 8) for k, v in view.result["contract"]["values"].items()},
        "notes": view.about["notes"],
        "versions": view.result["versions"],
        "settings": content.settings(view),
        "reproduce": content.reproduce(view),
    }


def _hard(view: View) -> dict[str, Any]:
    """The section on hard assignment; empty where there was none."""
    if view.hard is None:
        return {"hard": []}
    return {
        "hard": hidden.filled_in(view),
        "hard_headings": tables.hard_headings(view),
        "hard_blocks": tables.hard_blocks(view),
        "hard_paths": paths.hard_path(view),
    }

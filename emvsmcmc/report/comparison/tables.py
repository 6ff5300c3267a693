"""The page's tables of parameters: columns, cells with their flags, and which rows stand in which table."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from ...comparison.verdict import ESS_PER_CHAIN, GAP_LARGE, GAP_SMALL, R_HAT, SE_RATIO
from ..tree_view import View
from ..words import decimals_for, number, short

OPEN_ROWS = 15  # a longer table can be folded away
HARD_ROWS = 12  # of the table of soft and hard assignment that are always shown
STILL = 0.05  # standard errors below which a number has not moved


@dataclass(frozen=True)
class Cell:
    """A table cell; `flag` marks one outside its limits, with the reason for those who hover or listen."""

    text: str
    flag: str = ""
    cls: str = ""


@dataclass(frozen=True)
class Block:
    """Some rows of a table: (label, cells). summary : what it is folded away under; empty where it is always open."""

    rows: list[tuple[str, list[Cell]]]
    summary: str = ""


Group = tuple[str, str, list[tuple[str, str, str]]]  # heading, css class, [(column, label, explanation)]
GROUPS: list[Group] = [
    (
        "EM",
        "em",
        [
            ("em", "estimate", "the value under which the data are likeliest (maximum likelihood)"),
            ("se", "SE", "its standard error, from how sharply the likelihood falls around it"),
            (
                "fmi",
                "missing",
                "fraction of missing information, how much of what the data could say about it is hidden: knowing the hidden "
                "values would cut its variance by that share",
            ),
        ],
    ),
    (
        "Posterior",
        "mcmc",
        [
            ("map", "MAP", "its highest point, once the prior has its say (found by EM as well)"),
            ("mean", "mean", "average of the draws"),
            ("sd", "sd", "standard deviation of the draws: how uncertain the parameter is"),
            ("hdi", "94% HDI", "shortest interval that holds 94% of the draws"),
        ],
    ),
    (
        "Gap, in posterior sd",
        "",
        [
            ("gap", "EM − mean", f"small up to {GAP_SMALL}, large beyond {GAP_LARGE}; it is minus the sum of the next two"),
            ("gap_prior", "prior", "MAP − EM: what the prior moves"),
            ("gap_shape", "shape", "mean − MAP: what the skewness of the posterior moves"),
            ("gap_monte_carlo", "Monte Carlo", "± error of the posterior mean from sampling"),
        ],
    ),
    (
        "",
        "",
        [("se_ratio", "SE / sd", f"EM's uncertainty against the posterior's; {SE_RATIO[0]} to {SE_RATIO[1]} counts as honest")],
    ),
    (
        "Sampler",
        "",
        [
            ("ess_bulk", "ESS bulk", "how many independent draws the centre of the posterior is worth"),
            ("ess_tail", "ESS tail", "the same for its tails"),
            ("r_hat_unaligned", "R-hat before", "disagreement of the chains as sampled; large where names or axes differ"),
            ("r_hat", "R-hat after", f"the same after alignment; at most {R_HAT} is wanted"),
            ("mcse", "MCSE", "Monte Carlo standard error of the mean"),
        ],
    ),
]
TRUTH: Group = ("", "", [("truth", "truth", "what the data were simulated with")])


def groups(view: View) -> list[Group]:
    """Column groups of both tables; truth and missing information only where there are any."""
    absent = {key for key in ("fmi", "truth") if not _any(view.table, key) and not _any(view.invariant, key)}
    shown = [(heading, cls, [c for c in columns if c[0] not in absent]) for heading, cls, columns in [TRUTH, *GROUPS]]
    return [g for g in shown if g[2]]


def _any(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(table[column].notna().any())


def parameter_rows(view: View) -> list[tuple[str, list[Cell]]]:
    """(parameter, cells) in the order of `groups`."""
    return _rows(view, view.table)


def invariant_blocks(view: View) -> list[Block]:
    """Communalities first; covariances, which are many, folded away where the table is long."""
    t = view.invariant
    first = t.index.str.startswith("communality")
    if len(t) <= OPEN_ROWS:
        return [Block(_rows(view, pd.concat([t[first], t[~first]])))]
    blocks = [
        Block(_rows(view, t[first]), f"{first.sum()} communalities" if first.sum() > OPEN_ROWS else ""),
        Block(_rows(view, t[~first]), f"{(~first).sum()} variances and covariances that the model implies"),
    ]
    return [b for b in blocks if b.rows]


def _rows(view: View, table: pd.DataFrame) -> list[tuple[str, list[Cell]]]:
    columns = [(cls, key) for _, cls, columns in groups(view) for key, _, _ in columns]
    decides = {str(label): not view.is_turned(str(label)) for label in table.index}
    return [
        (str(label), [_cell(view, row, key, cls, decides[str(label)]) for cls, key in columns]) for label, row in table.iterrows()
    ]


def _cell(view: View, row: Any, key: str, cls: str, decides: bool) -> Cell:
    text, flag = _written(view, row, key)
    return Cell(text, flag if decides else "", cls)


def _written(view: View, row: Any, key: str) -> tuple[str, str]:
    """What a cell says, and what is wrong with it."""
    places = decimals_for(row["sd"])
    if key == "hdi":
        text = f"{number(row['hdi_lower'], places)} to {number(row['hdi_upper'], places)}"
        return text, "" if row["in_hdi"] >= 0.5 else "EM's estimate lies outside"
    x = float(row.get(key, np.nan))
    if key in ("gap", "gap_prior", "gap_shape"):
        large = key == "gap" and abs(x) > GAP_SMALL
        return number(x, 2, sign=True), f"more than {GAP_SMALL} posterior sd" if large else ""
    if key == "gap_monte_carlo":
        return f"±{number(x, 2)}", ""
    if key == "fmi":
        return number(x, 2), ""
    if key == "se_ratio":
        return number(x, 2), "" if SE_RATIO[0] <= x <= SE_RATIO[1] else f"outside {SE_RATIO[0]} to {SE_RATIO[1]}"
    if key in ("ess_bulk", "ess_tail"):
        least = ESS_PER_CHAIN * view.chains
        return number(x, 0), "" if x >= least else f"below {least}"
    if key in ("r_hat", "r_hat_unaligned"):
        return number(x, 3 if x < 10 else 1), f"above {R_HAT}" if key == "r_hat" and not x <= R_HAT else ""
    if key == "mcse":
        return number(x, decimals_for(x)), ""
    return number(x, places), "no standard error: see below" if key == "se" and not isfinite(x) else ""


def hard_headings(view: View) -> list[str]:
    """Of the columns of `hard_blocks`; the truth only where the run with hard assignment began there."""
    return [*(["truth"] if view.about["hard_start"] == "truth" else []), "soft EM", "hard EM", "difference in SE"]


def hard_blocks(view: View) -> list[Block]:
    """Soft beside hard assignment; where there are many rows, those that moved most stand open."""
    hard = view.hard
    if hard is None:
        return []
    known = view.about["hard_start"] == "truth" and "start" in hard
    rows = {}
    for at, label in enumerate(hard["parameter"].values.astype(str)):
        soft, se, last = (float(hard[k].values[at]) for k in ("soft", "se", "hard"))
        places = decimals_for(se, 3) if isfinite(se) else 3
        shift = (last - soft) / se if se > 0 else np.nan
        start = [Cell(number(float(hard["start"].values[at]), places))] if known else []
        vanished = last != 0 and abs(last) < 0.5 * 10**-places
        ended = short(last) if vanished else number(last, places)
        cells = [*start, Cell(number(soft, places), cls="em"), Cell(ended), Cell(number(shift, 2, sign=True))]
        rows[label] = (abs(shift), (label, cells))
    if len(rows) <= OPEN_ROWS:
        return [Block([row for _, row in rows.values()])]
    first = sorted(rows, key=lambda label: -np.nan_to_num(rows[label][0], nan=-1.0))[:HARD_ROWS]
    moved = [label for label in first if rows[label][0] >= STILL] or first
    return [
        Block([row for label, (_, row) in rows.items() if label in moved]),
        Block([row for label, (_, row) in rows.items() if label not in moved], f"The other {len(rows) - len(moved)}"),
    ]

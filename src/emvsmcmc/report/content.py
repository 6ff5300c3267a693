"""The page's words and tables: numbers at a sensible precision, and what they mean."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from math import ceil, floor, isfinite, log, log10
from typing import Any

import numpy as np

from ..comparison.verdict import (
    ESS_PER_CHAIN,
    GAP_LARGE,
    GAP_SMALL,
    K_HAT,
    MISLEADS,
    MISSTATES,
    R_HAT,
    SE_RATIO,
    SUFFICES,
)
from .view import View

TONE = {SUFFICES: "good", MISSTATES: "fair", MISLEADS: "bad"}  # anything else is undecided
MEANING = {
    SUFFICES: "EM's estimate and its standard errors agree with the full posterior. For these data the quick answer was enough.",
    MISSTATES: "EM finds the right place, but its standard errors, or the normal curve they stand for, do not describe how "
    "uncertain the parameters are. Take intervals from the posterior.",
    MISLEADS: "EM's answer lies away from where the posterior has its weight. Do not use it alone.",
}
NO_MEANING = (
    "The draws cannot be trusted as a yardstick yet, so nothing is said about EM. Run more tuning steps and draws, or look at "
    "the model."
)
PARETO_K = 0.7


@dataclass(frozen=True)
class Figure:
    """One deciding number: what it is, its value, what is wanted of it, and whether that holds (None: nothing is wanted)."""

    label: str
    value: str
    wanted: str
    holds: bool | None


@dataclass(frozen=True)
class Cell:
    """A table cell; `flag` marks one outside its limits, with the reason for those who hover or listen."""

    text: str
    flag: str = ""
    cls: str = ""


def number(x: float | None, decimals: int, sign: bool = False) -> str:
    """Fixed decimals with a true minus sign; a dash for what does not exist."""
    if x is None or not isfinite(x):
        return "–" if x is None or x != x else ("∞" if x > 0 else "−∞")
    rounded = round(x, decimals) + 0.0
    grouped = "," if abs(rounded) >= 10_000 else ""
    return f"{rounded:{'+' if sign and rounded else ''}{grouped}.{decimals}f}".replace(",", "\u202f").replace("-", "−")


def percent(share: float) -> str:
    """A share in per cent; one that is not quite none or all does not round to it."""
    if 0 < share < 0.005 or 0.995 < share < 1:
        return f"{100 * share:.2g}%" if share < 0.5 else "nearly all"
    return "none" if share == 0 else "all" if share == 1 else f"{100 * share:.0f}%"


def decimals_for(sd: float, digits: int = 2) -> int:
    """Decimals that show `digits` significant digits of an uncertainty: no more of the estimate is worth reading."""
    return int(np.clip(digits - 1 - floor(log10(sd)), 0, 9)) if isfinite(sd) and sd > 0 else 3


def reasons(view: View) -> str:
    """The figures behind the verdict as one sentence."""
    line = "; ".join(view.result["reasons"])
    return (line if line.startswith("k-hat") else line[:1].upper() + line[1:]) + "."


def verdict_figures(view: View) -> list[Figure]:
    """The numbers that decide, each with its limit."""
    t = view.table
    ratios = t["se_ratio"].replace([np.inf, -np.inf], np.nan).dropna()
    k = view.result["k_hat"]
    gap, outside, absent = float(t["gap"].abs().max()), int((t["in_hdi"] < 0.5).sum()), len(t) - len(ratios)
    span = f"{number(ratios.min(), 2)} to {number(ratios.max(), 2)}" if len(ratios) else "none exist"
    honest = bool(len(ratios)) and not absent and bool(ratios.between(*SE_RATIO).all())
    ess = min(float(t["ess_bulk"].min()), float(t["ess_tail"].min()))
    there = f" ({absent} missing)" if absent and len(ratios) else ""
    return [
        Figure("Largest gap between EM and the posterior mean", f"{number(gap, 2)} sd", f"at most {GAP_SMALL}", gap <= GAP_SMALL),
        Figure("EM estimates outside the 94% interval", f"{outside} of {len(t)}", "none", outside == 0),
        Figure("Standard error / posterior sd", span + there, f"{SE_RATIO[0]} to {SE_RATIO[1]}", honest),
        Figure("k-hat of EM's normal approximation", number(k, 2), f"below {K_HAT}", k is not None and k < K_HAT),
        Figure("Largest R-hat", number(float(t["r_hat"].max()), 3), f"at most {R_HAT}", bool((t["r_hat"] <= R_HAT).all())),
        Figure(
            "Smallest effective sample size",
            number(ess, 0),
            f"at least {ESS_PER_CHAIN * view.chains}",
            ess >= ESS_PER_CHAIN * view.chains,
        ),
    ]


# (heading, css class, [(column, label, explanation)])
GROUPS: list[tuple[str, str, list[tuple[str, str, str]]]] = [
    (
        "EM",
        "em",
        [
            ("em", "estimate", "the value under which the data are likeliest (maximum likelihood)"),
            ("se", "SE", "its standard error, from how sharply the likelihood falls around it"),
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
            ("r_hat_unaligned", "R-hat before", "disagreement of the chains as sampled; large where names differ"),
            ("r_hat", "R-hat after", f"the same after the components were aligned; at most {R_HAT} is wanted"),
            ("mcse", "MCSE", "Monte Carlo standard error of the mean"),
        ],
    ),
]  # fmt: skip
TRUTH = ("", "", [("truth", "truth", "what the data were simulated with")])


def groups(view: View) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Column groups of the table; the truth only where there is one."""
    return [TRUTH, *GROUPS] if "truth" in view.table and view.table["truth"].notna().any() else GROUPS


def table_rows(view: View) -> list[tuple[str, list[Cell]]]:
    """(parameter, cells) in the order of `groups`."""
    columns = [(cls, key) for _, cls, columns in groups(view) for key, _, _ in columns]
    return [(str(label), [_cell(view, row, key, cls) for cls, key in columns]) for label, row in view.table.iterrows()]


def _cell(view: View, row: Any, key: str, cls: str) -> Cell:
    places = decimals_for(row["sd"])
    if key == "hdi":
        inside = row["in_hdi"] >= 0.5
        text = f"{number(row['hdi_lower'], places)} to {number(row['hdi_upper'], places)}"
        return Cell(text, "" if inside else "EM's estimate lies outside", cls)
    x = float(row[key])
    if key in ("gap", "gap_prior", "gap_shape"):
        large = key == "gap" and abs(x) > GAP_SMALL
        return Cell(number(x, 2, sign=True), f"more than {GAP_SMALL} posterior sd" if large else "", cls)
    if key == "gap_monte_carlo":
        return Cell(f"±{number(x, 2)}", "", cls)
    if key == "se_ratio":
        return Cell(number(x, 2), "" if SE_RATIO[0] <= x <= SE_RATIO[1] else f"outside {SE_RATIO[0]} to {SE_RATIO[1]}", cls)
    if key in ("ess_bulk", "ess_tail"):
        least = ESS_PER_CHAIN * view.chains
        return Cell(number(x, 0), "" if x >= least else f"below {least}", cls)
    if key in ("r_hat", "r_hat_unaligned"):
        text = number(x, 3 if x < 10 else 1)
        return Cell(text, f"above {R_HAT}" if key == "r_hat" and not x <= R_HAT else "", cls)
    if key == "mcse":
        return Cell(number(x, decimals_for(x)), "", cls)
    return Cell(number(x, places), "no standard error: see below" if key == "se" and not isfinite(x) else "", cls)


def approximation(view: View) -> list[str]:
    """k-hat, and leave-one-out against BIC, in sentences."""
    k, result = view.result["k_hat"], view.result
    if k is None:
        said = "k-hat could not be computed: EM's estimate has no usable normal approximation here."
    else:
        able = "could" if k < K_HAT else "could not"
        said = (
            f"k-hat is {number(k, 2)}: the normal curve around EM's estimate {able} stand in for the posterior (below {K_HAT} it "
            "could). It measures how heavy the tails of posterior / normal curve are."
        )
    loo = view.dataset("loo")
    if loo is None:
        return [said]
    elpd, se, p = (float(loo.attrs[a]) for a in ("elpd", "se", "p"))
    n, total = result["n_parameters"], float(view.about["total_weight"])
    sampled = f", estimated from {loo.sizes['row']} of the distinct rows" if int(loo.attrs["sampled"]) else ""
    score = (
        f"Predicting each {view.about['plate']} from all the others, the posterior scores {number(elpd, 1)} ± {number(se, 1)} "
        f"nats (leave-one-out, elpd{sampled}); on the scale of BIC, −2 elpd = {number(-2 * elpd, 1)} beside "
        f"BIC {number(result['bic'], 1)} and AIC {number(result['aic'], 1)}."
    )
    price = (
        f"The model uses {number(p, 1)} effective parameters where EM counts {n}; each costs 2 in −2 elpd and AIC, and log(n) = "
        f"{number(log(total), 1)} in BIC."
    )
    bad = int((loo["pareto_k"].values > PARETO_K).sum())
    trust = (
        f"The leave-one-out figure is reliable: Pareto k is at most {PARETO_K} for every row."
        if not bad
        else f"Pareto k exceeds {PARETO_K} for {bad} distinct row{'s' if bad > 1 else ''}: there the leave-one-out figure is not "
        "to be trusted."
    )
    return [said, f"{score} {price} {trust}"]


def alignment(view: View) -> list[str]:
    """What alignment did, and how sure it was."""
    out = []
    for dim, reason in view.about["exchangeable"].items():
        if reason is not None:
            out.append(
                f"The positions of {dim} are told apart by the model or the data ({reason}), so their labels needed no alignment."
            )
    for dim in view.exchangeable:
        share = view.label_uncertainty.get(dim, 0.0)
        changed = (
            f"Names changed in {percent(view.relabelled)} of the draws." if view.relabelled else "No draw had to be renamed."
        )
        sure = (
            "In every draw one naming was clearly the best."
            if share == 0
            else f"In {100 * share:.1f}% of the draws the second best naming was nearly as good: there the components overlap "
            "and their labels mean little."
        )
        out.append(
            f"The model does not care which {dim} comes first, so a chain may call them by any name, or swap names on the "
            f"way. Each draw was given the names under which it agrees best with EM about which row belongs where. "
            f"{changed} {sure}"
        )
    return out or [
        "Nothing in this model can change its name without changing the model, so the draws are shown as they were sampled."
    ]


def optima(view: View) -> list[dict[str, Any]]:
    """The map of optima, one row each, with a bar's length."""
    rows = view.result["optima"]
    most = max((r["hits"] for r in rows), default=1) or 1
    out = []
    for r in rows:
        name = "best" if r["optimum"] == 0 else "no optimum" if r["optimum"] < 0 else f"optimum {r['optimum'] + 1}"
        below = "–" if r["below_best"] is None else number(abs(r["below_best"]), 2) if r["optimum"] else "0"
        kind = "best" if r["optimum"] == 0 else "none" if r["optimum"] < 0 else "other"
        out.append(
            {
                "name": name,
                "hits": r["hits"],
                "below": below,
                "chains": r["chains"],
                "bar": ceil(100 * r["hits"] / most),
                "kind": kind,
            }
        )
    return out


def timings(view: View) -> list[dict[str, Any]]:
    """Seconds of each stage with a bar's length."""
    t = {k: v for k, v in view.result["timings"].items() if k != "effective draws a second" and v is not None}
    longest = max([*t.values(), 1e-9])
    labels = {
        "EM": "EM, all starts",
        "compile": "MCMC: compile",
        "sampling": "MCMC: sampling",
        "recovery": "MCMC: align, predict",
    }
    return [
        {
            "label": labels.get(k, k),
            "seconds": f"{number(v, 2 if v < 100 else 0)} s",
            "bar": max(1, round(100 * v / longest)),
            "em": k == "EM",
        }
        for k, v in t.items()
    ]


def missing_errors(view: View) -> list[str]:
    """Why a standard error does not exist, by parameter."""
    return [f"{name}: {reason}." for name, reason in view.about["standard_error_reasons"].items()]


def settings(view: View) -> dict[str, Any]:
    """Arguments of `compare` that reproduce the run."""
    attrs = view.tree.attrs
    out = {
        "starts": view.about["starts"],
        "draws": view.draws_per_chain,
        "tune": attrs.get("tune"),
        "chains": view.chains,
        "likelihood": attrs.get("likelihood"),
        "init": attrs.get("init"),
        "random_seed": view.seed,
    }
    return {k: (int(v) if isinstance(v, np.integer) else v) for k, v in out.items() if v is not None}


def reproduce(view: View) -> dict[str, str]:
    """The run as a command and as Python."""
    arguments = ", ".join(f"{k}={v!r}" for k, v in settings(view).items())
    command = attrs if (attrs := view.tree.attrs.get("command")) else _command(view)
    return {"command": str(command), "python": f"ev.compare(problem, {arguments})"}


def _command(view: View) -> str:
    chosen = settings(view)
    options = [f"--{k} {chosen[k]}" for k in ("starts", "draws", "tune", "chains") if k in chosen]
    seed = [] if view.seed is None else [f"--seed {view.seed}"]
    return " ".join(["emvsmcmc compare", shlex.quote(view.name), *options, *seed])


def description(view: View) -> str:
    """One line on the data and the model."""
    about = view.about
    parts = [f"{number(about['rows'], 0)} rows ({about['plate']})"]
    if abs(about["total_weight"] - about["rows"]) > 1e-9:
        parts[0] += f" of total weight {number(about['total_weight'], 0)}"
    for label, roles in (
        ("observed", ("observed",)),
        ("covariates", ("covariate",)),
        ("hidden", ("assignment", "latent")),
        ("fixed", ("fixed",)),
    ):
        names = view.role(*roles)
        if names:
            parts.append(f"{label} {', '.join(names)}")
    free = view.result["n_parameters"]
    parts.append(f"estimated {', '.join(view.role('parameter'))} ({free} free parameter{'s' if free != 1 else ''})")
    return "; ".join(parts) + "."

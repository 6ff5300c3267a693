"""The page's words and tables: numbers at a sensible precision, and what they mean."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from math import ceil, floor, isfinite, log, log10
from typing import Any

import numpy as np

from ..comparison.verdict import BOTH, ESS_PER_CHAIN, GAP_SMALL, K_HAT, MISLEADS, MISSTATES, OFF, R_HAT, SE_RATIO, SUFFICES
from .svg import SUPERSCRIPTS
from .tree_view import View

TONE = {SUFFICES: "good", MISSTATES: "fair", OFF: "fair", BOTH: "fair", MISLEADS: "bad"}  # anything else is undecided
MEANING = {
    SUFFICES: "EM's estimate and its standard errors agree with the full posterior. For these data the quick answer was enough.",
    MISSTATES: "EM finds the right place, but its standard errors, or the normal curve they stand for, do not describe how "
    "uncertain the parameters are. Take intervals from the posterior.",
    OFF: "EM's estimate lies farther from the posterior mean than the limit, although within the posterior; its standard errors "
    "agree. Take the centre of intervals from the posterior.",
    BOTH: "EM's estimate lies farther from the posterior mean than the limit, and its standard errors, or the normal curve they "
    "stand for, do not describe how uncertain the parameters are. Take estimates and intervals from the posterior.",
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


def number(x: float | None, decimals: int, sign: bool = False) -> str:
    """Fixed decimals with a true minus sign; a dash for what does not exist."""
    if x is None or not isfinite(x):
        return "–" if x is None or x != x else ("∞" if x > 0 else "−∞")
    rounded = round(x, decimals) + 0.0
    grouped = "," if abs(rounded) >= 10_000 else ""
    return f"{rounded:{'+' if sign and rounded else ''}{grouped}.{decimals}f}".replace(",", "\u202f").replace("-", "−")


def short(x: float) -> str:
    """Three digits, as a person would write them."""
    if x and abs(x) < 1e-3 and isfinite(x):
        mantissa, exponent = f"{x:.1e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")
    return f"{x:.3g}".replace("-", "−")


def percent(share: float) -> str:
    """A share in per cent; one that is not quite none or all does not round to it."""
    if 0 < share < 0.005 or 0.995 < share < 1:
        return f"{100 * share:.2g}%" if share < 0.5 else "nearly all"
    return "none" if share == 0 else "all" if share == 1 else f"{100 * share:.0f}%"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def decimals_for(sd: float, digits: int = 2) -> int:
    """Decimals that show `digits` significant digits of an uncertainty: no more of the estimate is worth reading."""
    return int(np.clip(digits - 1 - floor(log10(sd)), 0, 9)) if isfinite(sd) and sd > 0 else 3


def reasons(view: View) -> str:
    """The figures behind the verdict as one sentence."""
    line = "; ".join(view.result["reasons"])
    return (line if line.startswith("k-hat") else line[:1].upper() + line[1:]) + "."


def verdict_figures(view: View) -> list[Figure]:
    """The numbers that decide, each with its limit."""
    t = view.deciding
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


def approximation(view: View) -> list[str]:
    """k-hat, and leave-one-out against BIC, in sentences."""
    k, result = view.result["k_hat"], view.result
    if k is None:
        fit = "k-hat could not be computed: EM's estimate has no usable normal approximation here."
    else:
        able = "could" if k < K_HAT else "could not"
        fit = (
            f"k-hat is {number(k, 2)}: the normal curve around EM's estimate {able} stand in for the posterior (below {K_HAT} it "
            "could). It measures how heavy the tails of posterior / normal curve are."
        )
    loo = view.dataset("loo")
    if loo is None:
        return [fit]
    elpd, se, p = (float(loo.attrs[a]) for a in ("elpd", "se", "p"))
    n, total = result["n_parameters"], float(view.about.get("observations", view.about["total_weight"]))
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
    return [fit, f"{score} {price} {trust}"]


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

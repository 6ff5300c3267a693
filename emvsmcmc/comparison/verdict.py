"""The verdict: one of six sentences, which follows the limits that failed, with the figures that decided it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

R_HAT = 1.01  # Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021
ESS_PER_CHAIN = 100
DIVERGENT = 0.01
GAP_SMALL = 0.5  # posterior standard deviations
GAP_LARGE = 1.0
SE_RATIO = (0.8, 1.25)
K_HAT = 0.7

SUFFICES = "EM suffices"
MISSTATES = "EM locates but misstates the uncertainty"
OFF = "EM is somewhat off: its intervals agree, its location does not"
BOTH = "EM is somewhat off and misstates the uncertainty"
MISLEADS = "EM misleads"
UNDECIDED = "MCMC has not converged: no verdict"


@dataclass(frozen=True)
class Verdict:
    """`name` is one of the six; `reasons` are the figures behind it, the deciding ones first."""

    name: str
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"{self.name}: {'; '.join(self.reasons)}."

    def __str__(self) -> str:
        return self.sentence


MORE = "more draws and tuning steps may mend it"
MORE_OR_FEWER = "more draws and tuning steps, or fewer components, may mend it"


def verdict(
    table: pd.DataFrame,
    k_hat: float,
    chains: int,
    divergent: float,
    chain_optima: list[int],
    modes: str = "",
    endless: str = "",
    components: bool = False,
) -> Verdict:
    """Decide from the table, k-hat, the share of divergent draws, and the optimum that each chain sits in (0 is the best).

    modes : what is to be said of chains that sit in different modes of the posterior; empty where they do not. endless : along
    what the likelihood rises for ever, where it has no maximum: EM's estimate is then not one, however near the posterior's mean
    a point on the way may lie. components : whether the model has any that could be fewer.
    """
    trouble = not_converged(table, chains, divergent)
    without = (f"the likelihood has no maximum, it rises for ever {endless}",) if endless else ()
    if modes:
        return Verdict(
            UNDECIDED, (modes, *trouble, *without, "how much each mode weighs takes a sampler that crosses between them")
        )
    if trouble:
        return Verdict(UNDECIDED, (*trouble, *without, MORE_OR_FEWER if components else MORE))
    gap = table["gap"].abs()
    worst = gap.idxmax()
    outside = list(table.index[~table["in_hdi"]])
    elsewhere = [c for c in chain_optima if c > 0]
    figures = [f"largest gap {gap.max():.2f} posterior sd ({worst})"]
    ratios = table["se_ratio"].replace([np.inf, -np.inf], np.nan).dropna()
    if len(ratios):
        with np.errstate(divide="ignore"):  # a standard error of zero, at a boundary, is as far as can be
            far = (np.log(ratios)).abs().idxmax()
        figures.append(f"standard error / posterior sd from {ratios.min():.2f} to {ratios.max():.2f} (farthest: {far})")
    missing = len(table) - len(ratios)
    if missing:
        figures.append(f"{missing} standard errors do not exist")
    figures.append(f"k-hat {k_hat:.2f}" if np.isfinite(k_hat) else "k-hat cannot be computed")
    misleading = list(without)
    if outside:
        misleading.append(
            f"EM's estimate lies outside the 94% HDI of {', '.join(outside[:3])}{' and more' if len(outside) > 3 else ''}"
        )
    if gap.max() > GAP_LARGE:
        misleading.append(f"it is {gap.max():.1f} posterior sd from the mean of {worst}")
    if elsewhere:
        misleading.append(f"{len(elsewhere)} of {len(chain_optima)} chains sit at another optimum than EM's best")
    if misleading:
        return Verdict(MISLEADS, (*misleading, *figures))
    honest = not missing and len(ratios) > 0 and bool(((ratios >= SE_RATIO[0]) & (ratios <= SE_RATIO[1])).all()) and k_hat < K_HAT
    located = bool(gap.max() <= GAP_SMALL)
    return Verdict(
        {(True, True): SUFFICES, (True, False): MISSTATES, (False, True): OFF}.get((located, honest), BOTH), tuple(figures)
    )


def not_converged(table: pd.DataFrame, chains: int, divergent: float) -> list[str]:
    """What is wrong with the chains, with its figure: R-hat, effective sample sizes, divergent draws; empty where nothing is.

    table : columns r_hat, ess_bulk and ess_tail, a row for each quantity that was looked at, under its name.
    """
    out = []
    r_hat = table["r_hat"]
    if r_hat.isna().all():
        out.append("R-hat of one chain says nothing")
    elif not (r_hat <= R_HAT).all():
        out.append(f"R-hat {r_hat.max():.3f} for {r_hat.idxmax()} (at most {R_HAT} is wanted)")
    for column, label in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        if not (table[column] >= ESS_PER_CHAIN * chains).all():
            least, of = table[column].min(), table[column].idxmin()
            out.append(f"{label} effective sample size {least:.0f} for {of} (at least {ESS_PER_CHAIN * chains} is wanted)")
    if divergent > DIVERGENT:
        out.append(f"{100 * divergent:.1f}% of the draws diverged")
    return out

"""The rows of the report: each a piece of work, the peer it is measured against and the ratio that is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Asked:
    """One row. ratio : what is asked, or None where a figure is only reported. sense : "at least" for how many times better
    ours is, "at most" for ours as a share of theirs. rate : the figures are rates (more is better), not costs. alone : there is
    no peer that computes the same thing, so no proof is due (a limit, or ours against ours at another size).
    """

    work: str
    against: str
    ratio: float | None = None
    sense: Literal["at least", "at most"] = "at least"
    unit: str = "s"
    rate: bool = False
    alone: bool = False


_ITERATION = "EM iterations, 200,000 × 10, K = 8, full covariance"
_FACTORS = "Factor analysis 50,000 × 50, 5 factors, whole fit to the same log-likelihood"
_REGRESSIONS = "Mixture of regressions, 5,000 rows, K = 2, to the same log-likelihood"
_DRAWS = "effective draws a second"

ROWS: dict[str, Asked] = {
    "iteration-sklearn": Asked(_ITERATION, "scikit-learn", 25),
    "iteration-pomegranate": Asked(_ITERATION, "pomegranate (float32, its default)", 8),
    "iteration-pomegranate-float64": Asked(_ITERATION, "pomegranate (float64)"),
    "iteration-mclust": Asked(_ITERATION, "mclust"),
    "iteration-products": Asked(
        f"{_ITERATION}, against the limit", "the two matrix products alone", 3, sense="at most", alone=True
    ),
    "optimum-sklearn": Asked(
        "EM to within 1e-6 of the optimum, overlapping mixture, one poor start, to the same log-likelihood", "scikit-learn", 60
    ),
    "accelerated-passes": Asked(
        "Accelerated against plain EM on the slow cases of the gallery, passes over the data",
        "plain EM",
        0.2,
        sense="at most",
        unit="passes",
    ),
    "factors-sklearn": Asked(_FACTORS, "scikit-learn (lapack)", 300),
    "factors-sklearn-randomized": Asked(_FACTORS, "scikit-learn (randomized)"),
    "regressions-flexmix": Asked(_REGRESSIONS, "flexmix", 5),
    "regressions-mixtools": Asked(_REGRESSIONS, "mixtools", 50),
    "rows-constant": Asked(
        "Cost per row from 10⁴ to 10⁷ rows: the dearest size beside the cheapest",
        "ours, at other sizes",
        1.15,
        sense="at most",
        unit="ns a row",
        alone=True,
    ),
    "factor-rows-em": Asked(
        "EM iteration of factor analysis, 1,000,000 rows beside 1,000", "ours, at 1,000 rows", 1.2, sense="at most", alone=True
    ),
    "factor-rows-nuts": Asked(
        "NUTS gradient of factor analysis, 1,000,000 rows beside 1,000", "ours, at 1,000 rows", 1.2, sense="at most", alone=True
    ),
    "nuts-mixture": Asked(
        "NUTS, 10,000 × 4 mixture, K = 3, effective draws a second of sampling",
        "hand-marginalised PyMC, its best sampler",
        15,
        unit=_DRAWS,
        rate=True,
    ),
    "nuts-old-faithful": Asked(
        "NUTS, Old Faithful, effective draws a second of sampling",
        "hand-marginalised PyMC, its best sampler",
        2,
        unit=_DRAWS,
        rate=True,
    ),
    "compile-old-faithful": Asked(
        "Compile in a warm process, Old Faithful", "stock nutpie on the hand-written model", 0.25, sense="at most"
    ),
    "compile-mixture": Asked(
        "Compile in a warm process, 4-D mixture, K = 3", "stock nutpie on the hand-written model", 0.1, sense="at most"
    ),
    "warm-start": Asked(
        'Effective draws a second, whole run with init="em" and short tuning',
        "default initialisation, 1000 tuning steps",
        3,
        unit=_DRAWS,
        rate=True,
    ),
    "naive": Asked(
        "Old Faithful, effective draws a second of the whole time", "PyMC with sampled assignments", 50, unit=_DRAWS, rate=True
    ),
    "compare-warm": Asked(
        "compare old_faithful, whole command, caches filled", "a hand-written script that does the same", 0.8, sense="at most"
    ),
    "compare-cold": Asked(
        "compare old_faithful, whole command, caches empty", "a hand-written script that does the same", 0.8, sense="at most"
    ),
}

# Each program of this folder, in the order in which the driver runs them, and the rows that it measures.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "agreement": (),
    "em_iteration": (
        "iteration-sklearn",
        "iteration-pomegranate",
        "iteration-pomegranate-float64",
        "iteration-mclust",
        "iteration-products",
    ),
    "em_optimum": ("optimum-sklearn",),
    "em_passes": ("accelerated-passes",),
    "em_factors": ("factors-sklearn", "factors-sklearn-randomized"),
    "em_regressions": ("regressions-flexmix", "regressions-mixtools"),
    "em_growth": ("rows-constant",),
    "factor_rows": ("factor-rows-em", "factor-rows-nuts"),
    "nuts_mixture": ("nuts-mixture", "compile-mixture"),
    "nuts_old_faithful": ("nuts-old-faithful", "compile-old-faithful"),
    "nuts_warm_start": ("warm-start",),
    "nuts_naive": ("naive",),
    "compare_command": ("compare-warm", "compare-cold"),
}

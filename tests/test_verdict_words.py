"""The verdict's words follow the limits that failed, and no others."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from emvsmcmc.comparison.verdict import BOTH, MISLEADS, MISSTATES, OFF, SUFFICES, UNDECIDED, not_converged, verdict
from emvsmcmc.report.words import MEANING, NO_MEANING, TONE

GAPS = {0.1: True, -0.72: False, 0.57: False}
RATIOS = {1.0: True, 1.26: False, 0.6: False, np.nan: False}
TAILS = {0.3: True, 0.9: False, np.inf: False}


def numbers(**columns: float) -> pd.DataFrame:
    base = {"gap": 0.1, "in_hdi": True, "se_ratio": 1.0, "r_hat": 1.0, "ess_bulk": 2000.0, "ess_tail": 2000.0}
    return pd.DataFrame([base, base | columns], index=["a", "b"])


@pytest.mark.parametrize(("gap", "ratio", "k"), list(product(GAPS, RATIOS, TAILS)))
def test_headline_names_location_and_uncertainty_where_they_failed(gap: float, ratio: float, k: float) -> None:
    found = verdict(numbers(gap=gap, se_ratio=ratio), k, 4, 0.0, [0] * 4).name
    located, honest = GAPS[gap], RATIOS[ratio] and TAILS[k]
    assert ("somewhat off" in found) == (not located)
    assert ("misstates the uncertainty" in found) == (not honest)
    assert ("suffices" in found) == (located and honest)
    assert "locates" not in found or located
    meaning = MEANING[found]
    assert ("right place" in meaning) == (located and not honest)
    assert ("farther from the posterior mean" in meaning) == (not located)
    assert ("do not describe how uncertain" in meaning) == (not honest)


def test_a_gap_alone_says_nothing_against_standard_errors() -> None:
    """`wine` (0.72 sd) and `mixture_of_regressions` (0.57): no other limit failed."""
    for gap in (0.72, 0.57):
        assert verdict(numbers(gap=gap), 0.3, 4, 0.0, [0] * 4).name == OFF
    assert verdict(numbers(se_ratio=0.5), 0.3, 4, 0.0, [0] * 4).name == MISSTATES  # negative control
    assert verdict(numbers(gap=0.72, se_ratio=0.5), 0.3, 4, 0.0, [0] * 4).name == BOTH


def test_what_misleads_or_has_not_converged_goes_before() -> None:
    assert verdict(numbers(gap=1.2, se_ratio=0.5), 0.9, 4, 0.0, [0] * 4).name == MISLEADS
    assert verdict(numbers(gap=1.2, r_hat=1.2), 0.3, 4, 0.0, [0] * 4).name == UNDECIDED


def test_every_verdict_has_a_meaning_and_a_tone() -> None:
    assert set(MEANING) == set(TONE) == {SUFFICES, MISSTATES, OFF, BOTH, MISLEADS}
    assert len({*MEANING.values(), NO_MEANING}) == 6


def test_one_chain_cannot_have_converged():
    """Its R-hat is no number, which once ended in an error of pandas."""
    table = pd.DataFrame({"r_hat": [np.nan, np.nan], "ess_bulk": [900.0, 900.0], "ess_tail": [900.0, 900.0]}, index=["a", "b"])
    assert not_converged(table, 1, 0.0) == ["R-hat of one chain says nothing"]

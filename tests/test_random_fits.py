"""The law over random fits: each ends in a finished fit whose numbers are finite and whose standard errors mean something, or in
a named error. `make fuzz` runs thousands more.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_fits import MODELS, TROUBLES, Fit, end, fit_of, random_fit, spec_of
from scipy import optimize

import emvsmcmc as ev
from emvsmcmc.errors import BadInput
from emvsmcmc.families import BY_NAME

# Sixteen of 1,000 random fits, each of which once ended in a warning, a falling objective or a standard error of 1e6.
KNOWN = [
    Fit(
        c["model"], c["K"], c["D"], c["objective"], c["random_seed"],
        {name: np.array(x, dtype=float) for name, x in c["data"].items()},
        None if c["weights"] is None else np.array(c["weights"]), c["starts"],
    )
    for c in json.loads((Path(__file__).parent / "degenerate.json").read_text())
]  # fmt: skip
LAW = settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
shapes = {"k": st.integers(1, 4), "d": st.integers(1, 4), "n": st.integers(1, 200)}
switches = {"troubles": st.sets(st.sampled_from(TROUBLES)), "labelled": st.booleans(), "weighted": st.booleans()}


@pytest.mark.parametrize("case", range(len(KNOWN)))
def test_fits_that_once_ended_wrongly(case):
    end(KNOWN[case])


@pytest.mark.parametrize("seed", [592, 881, 1413, 1483, 1978, 2063, 2829, 2996, 4930, 5104, 8882])
def test_random_fits_that_once_ended_wrongly(seed):
    """Found by `make fuzz`: residuals at rounding, means that float64 does not hold, components without rows."""
    end(random_fit(seed))


def test_every_fit_has_an_end_that_means_something():
    ends = []

    @LAW
    @given(
        model=st.sampled_from(MODELS), objective=st.sampled_from(["ml", "map"]), seed=st.integers(0, 2**20), **shapes, **switches
    )
    def law(model, k, d, n, objective, troubles, labelled, weighted, seed):
        ends.append(end(fit_of(model, k, d, n, objective, troubles, labelled, weighted, seed)))

    law()
    assert len(ends) >= 200
    assert ends.count("converged") > len(ends) / 4  # most are fits, not refusals


def test_an_outlier_of_a_trillion_costs_the_others_no_digit():
    """Student-t rows about their mean of 5e10 lost eleven digits, and beside their standard deviation all others vanished."""
    x = np.append(np.random.default_rng(0).normal(size=40), 1e12)
    fit = ev.fit_em(ev.condition(spec_of("t", 1, 1), {"x": x[:, None]}), starts=2, random_seed=0, progress=False)

    def height(u):
        z = (x - u[0]) / np.exp(u[1])
        return (2.5 * np.log1p(z**2 / 4) + u[1]).sum()

    found = optimize.minimize(height, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert float(fit.estimate["m"].item()) == pytest.approx(found.x[0], abs=1e-6)
    assert float(fit.estimate["sd"].item()) == pytest.approx(np.exp(found.x[1]), rel=1e-6)


def test_a_planted_warning_is_found(monkeypatch):
    """Negative control: one family that warns where it is used."""
    poisson = type(BY_NAME["Poisson"])
    tables = poisson.tables

    def warns(self, xp, **arguments):
        warnings.warn("divide by zero encountered in log", RuntimeWarning, stacklevel=1)
        return tables(self, xp, **arguments)

    monkeypatch.setattr(poisson, "tables", warns)
    fits = [f for f in map(random_fit, range(200)) if f.model == "pois"]
    found = 0
    for fit in fits:
        try:
            end(fit)
        except RuntimeWarning:
            found += 1
    assert found > len(fits) / 2


def test_a_column_that_varies_by_rounding_alone_is_refused():
    """Three digits of variation are the least that an estimated scale can use."""
    rng = np.random.default_rng(0)
    for spread, refused in ((1e-8, True), (1e-3, False)):
        x = (1e6 + spread * rng.standard_normal((30, 1))).round(10)
        if refused:
            with pytest.raises(BadInput, match="up to rounding"):
                ev.condition(spec_of("gmm", 1, 1), {"x": x})
        else:
            ev.condition(spec_of("gmm", 1, 1), {"x": x})


def test_a_row_of_weight_zero_may_have_probability_zero():
    """p = 1 from the rows that count; a zero that does not count ended the fit."""
    x = np.array([1.0, 1.0, 1.0, 0.0])[:, None]
    problem = ev.condition(spec_of("bern", 1, 1), {"x": x}, weights=[1, 2, 1, 0])
    fit = ev.fit_em(problem, starts=2, random_seed=0, progress=False)
    assert float(fit.estimate["r"].item()) == 1.0
    assert fit.log_likelihood == 0.0

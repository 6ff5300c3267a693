"""The law over random fits: each ends in a finished fit whose numbers are finite and whose standard errors mean something, or in
a named error. `make fuzz` runs thousands more.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_fits import MODELS, TROUBLES, end, fit_of, random_fit, spec_of

import emvsmcmc as ev
from emvsmcmc.errors import BadInput
from emvsmcmc.families import BY_NAME

LAW = settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
shapes = {"k": st.integers(1, 4), "d": st.integers(1, 4), "n": st.integers(1, 200)}
switches = {"troubles": st.sets(st.sampled_from(TROUBLES)), "labelled": st.booleans(), "weighted": st.booleans()}


@LAW
@given(model=st.sampled_from(MODELS), objective=st.sampled_from(["ml", "map"]), seed=st.integers(0, 2**20), **shapes, **switches)
def test_every_fit_has_an_end_that_means_something(model, k, d, n, objective, troubles, labelled, weighted, seed):
    end(fit_of(model, k, d, n, objective, troubles, labelled, weighted, seed))


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

"""Statuses that mean it: what is called converged is a maximum."""

from __future__ import annotations

import numpy as np
import pytest

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.em import saddle
from emvsmcmc.errors import Status

EQUAL = {"weight": [0.5, 0.5], "mean": [70.0, 70.0], "sd": [13.0, 13.0]}


def old_faithful():
    model = gallery.load("old_faithful")
    return ev.condition(model.spec(), model.data())


@pytest.mark.parametrize("standard_errors", ["observed", None])
def test_equal_components_do_not_end_at_their_saddle(standard_errors):
    """190 nats below the optimum, where the score of equal components is zero."""
    fit = ev.fit_em(old_faithful(), init=EQUAL, progress=False, standard_errors=standard_errors)
    assert fit.status is Status.CONVERGED
    assert fit.log_likelihood == pytest.approx(-1034.00175, abs=1e-5)
    assert (np.diff(fit.path) > -1e-9).all()
    assert fit.iterations == len(fit.path) - 1
    assert fit.history is not None
    assert fit.history.sizes["iteration"] <= len(fit.path)


def test_without_a_way_up_a_saddle_is_not_called_converged(monkeypatch):
    """Negative control: where no step is higher, the run says that it is a saddle."""
    monkeypatch.setattr(saddle, "STEPS", ())
    fit = ev.fit_em(old_faithful(), init=EQUAL, progress=False)
    assert fit.status is Status.STALLED
    assert "saddle" in fit.reason
    assert fit.log_likelihood < -1034.00175 - 50


def test_a_maximum_is_left_alone():
    fit = ev.fit_em(old_faithful(), starts=2, random_seed=0, progress=False)
    assert saddle.rising_direction(fit.uncertainty.information, fit.uncertainty.complete) is None
    assert fit.status is Status.CONVERGED

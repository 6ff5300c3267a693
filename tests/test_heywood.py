"""A residual variance of zero at the maximum: its name, its figures, and what rounding may do beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.comparison.invariant import invariant
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.options import EMOptions
from emvsmcmc.em.run import Trail
from emvsmcmc.em.steps import Steps
from emvsmcmc.expect.objective import ML
from emvsmcmc.spec.named import Named


def heywood(scale: str) -> ev.Problem:
    """One factor and three columns, of which two correlate so that the third's uniqueness would be negative."""
    with ev.Spec(coords={"item": 3}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="item")
        loading = ev.Normal("loading", 0, 2, dims="item")
        noise = ev.HalfNormal("sd", 2, dims="item") if scale == "sigma" else ev.InverseGamma("sd", 2, 1, dims="item")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("x", mean + loading * factor, **{scale: noise}, dims=("row", "item"))
    correlation = np.array([[1, 0.9, 0.6], [0.9, 1, 0.4], [0.6, 0.4, 1]])  # .9 x .6 / .4 = 1.35: a communality above one
    z = np.random.default_rng(0).normal(size=(100, 3))
    z = np.linalg.solve(np.linalg.cholesky(np.cov(z.T, ddof=0)), (z - z.mean(0)).T).T
    return ev.condition(spec, {"x": z @ np.linalg.cholesky(correlation).T})


def test_near_a_heywood_case_only_rounding_may_fall() -> None:
    """A thousandth of a millionth of a nat may; a millionth is a wrong M-step there as anywhere."""
    fit = ev.fit_em(heywood("sigma"), starts=1, random_seed=1, standard_errors=None)
    steps = Steps(fit.plan, MStep(fit.plan, ML), EMOptions(), Trail())
    away = fit.environment.having(values={**fit.environment.values, "sd": Named(np.array([0.3, 0.4, 0.8]), ("item",))})
    for env, allowed in ((fit.environment, 1e-9), (away, 1e-11)):
        here = steps.init(env).point
        steps.risen(replace(here, objective=here.objective + allowed), env)
        with pytest.raises(errors.NotMonotone):
            steps.risen(replace(here, objective=here.objective + 1e3 * allowed), env)


@pytest.mark.parametrize("scale", ["sigma", "variance"])
def test_a_heywood_case_has_a_name(scale: str) -> None:
    """The first column's uniqueness is zero at the maximum: the factor is that column, and the other two regress on it, which
    says what the likelihood must be.
    """
    fit = ev.fit_em(heywood(scale), starts=3, random_seed=1)
    assert fit.status is ev.Status.HEYWOOD
    assert not fit.converged
    assert fit.status.sentence.startswith("A residual variance is zero")
    sd = fit.estimate["sd"].values if scale == "sigma" else np.sqrt(fit.estimate["sd"].values)
    assert sd[0] < 1e-3
    np.testing.assert_allclose(sd[1:], np.sqrt([1 - 0.9**2, 1 - 0.6**2]), rtol=1e-4)
    np.testing.assert_allclose(np.abs(fit.estimate["loading"]), [1.0, 0.9, 0.6], rtol=1e-4)
    value = -50 * (3 * np.log(2 * np.pi) + 3 + np.log(1 - 0.9**2) + np.log(1 - 0.6**2))
    assert fit.log_likelihood == pytest.approx(value, abs=1e-4)
    assert fit.n_parameters == 8
    assert np.isnan(fit.standard_error["sd"][0])
    assert (fit.standard_error["sd"][1:] > 0).all()
    assert "boundary" in fit.reasons["sd"]
    draws = xr.Dataset({k: v.expand_dims({"chain": 2, "draw": 5}) for k, v in fit.estimate.data_vars.items()})
    table = invariant(fit, fit, draws + xr.DataArray(1e-3 * np.arange(10.0).reshape(2, 5), dims=("chain", "draw")), draws)
    assert np.isnan(table.loc["communality[0]", ["se", "fmi"]].astype(float)).all()
    assert (table.loc[["communality[1]", "communality[2]"], "se"] > 0.01).all()
    # EM alone only creeps there
    plain = ev.fit_em(heywood(scale), starts=1, random_seed=1, accelerate=False, max_iter=400, standard_errors=None)
    assert plain.status is ev.Status.MAX_ITER
    # a prior that vanishes at zero keeps away from it
    if scale == "variance":
        assert ev.fit_em(heywood(scale), "map", starts=2, random_seed=1).status is ev.Status.CONVERGED


def test_hard_assignment_at_a_heywood_case_has_no_maximum() -> None:
    """There it stands beside the singularity: rounding makes its objective fall, which is no wrong M-step."""
    fit = ev.fit_em(heywood("sigma"), starts=3, random_seed=1, standard_errors=None)
    hard = ev.fit_em(fit.problem, assignment="hard", init={k: v.values for k, v in fit.estimate.data_vars.items()}, max_iter=50)
    assert hard.status is ev.Status.UNBOUNDED
    assert hard.history is not None

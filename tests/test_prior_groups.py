"""The groups of the tree that ArviZ reads to say what the prior did: log_prior and prior."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
import xarray as xr
from examples import EXAMPLES
from scipy import stats

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.expect.draws import prior_of_draws
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.simulation import draw_prior

FEW = 20


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_log_prior_of_draws_is_the_oracles(name: str) -> None:
    """Summed over parameters and elements, draw by draw, at draws of the prior."""
    problem = EXAMPLES[name].build()
    drawn = draw_prior(problem, FEW, np.random.default_rng(3))
    found = prior_of_draws(make_plan(problem), {k: v.values for k, v in drawn.data_vars.items()})
    for v in problem.parameters:
        shape = problem.shape(v)
        assert found[v.label].shape == (FEW, *shape[: len(shape) - v.family.event_dims])
    total = sum(x.reshape(FEW, -1).sum(axis=1) for x in found.values())
    want = [density.log_prior(problem, {k: v.values[i] for k, v in drawn.data_vars.items()}) for i in range(FEW)]
    np.testing.assert_allclose(total, want, rtol=1e-10)


def test_priors_are_drawn_from_the_top() -> None:
    """mean | sd ~ Normal(1, sd), sd^2 ~ InverseGamma(3, 2): the mean is Student-t of 6 degrees of freedom."""
    with ev.Spec(coords={"k": 2}) as spec:
        variance = ev.InverseGamma("variance", 3.0, 2.0)
        mean = ev.Normal("mean", 1.0, variance=variance, dims="k")
        z = ev.Categorical("z", [0.5, 0.5], dims="row")
        ev.Normal("y", mean[z], 1.0, dims="row")
    drawn = draw_prior(ev.condition(spec, {"y": [0.0, 1.0, 3.0]}), 4000, np.random.default_rng(1))
    assert dict(drawn.sizes) == {"draw": 4000, "k": 2}
    for k in range(2):
        assert stats.kstest(drawn["mean"].values[:, k], stats.t(6, 1, (2 / 3) ** 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(drawn["variance"].values, stats.invgamma(3, scale=2).cdf).pvalue > 1e-3
    fixed = ev.condition(spec, {"y": [0.0, 1.0, 3.0]}, fixed={"variance": 1e-12})
    one = draw_prior(fixed, 50, np.random.default_rng(1))
    assert set(one.data_vars) == {"mean"}
    np.testing.assert_allclose(one["mean"], 1.0, atol=1e-4)


def sensitivity(prior_mean: float, prior_sd: float) -> tuple[xr.DataTree, str]:
    """The tree and ArviZ's diagnosis of the mean of ten values of unit variance about 0."""
    with ev.Spec() as spec:
        ev.Normal("y", ev.Normal("mean", prior_mean, prior_sd), 1.0, dims="row")
    y = np.random.default_rng(2).normal(size=10)
    tree = ev.fit_mcmc(ev.condition(spec, {"y": y - y.mean()}), draws=400, tune=300, chains=2, random_seed=1, progress=False)
    return tree, str(az.psense_summary(tree).loc["mean", "diagnosis"])


def test_arviz_finds_what_the_prior_did() -> None:
    """A prior as heavy as one value, four of its standard deviations away, is in conflict; a wide one does nothing."""
    tree, told = sensitivity(4.0, 1.0)
    assert "conflict" in told
    assert dict(tree["log_prior"].sizes) == {"chain": 2, "draw": 400}
    np.testing.assert_allclose(tree["log_prior"]["mean"], stats.norm(4, 1).logpdf(tree["posterior"]["mean"]), rtol=1e-12)
    assert tree["prior"]["mean"].dims == ("chain", "draw")
    assert stats.kstest(tree["prior"]["mean"].values.ravel(), stats.norm(4, 1).cdf).pvalue > 1e-3
    assert "conflict" not in sensitivity(0.0, 100.0)[1]


def test_arviz_draws_prior_beside_posterior() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    tree, _ = sensitivity(1.0, 2.0)
    drawn = az.plot_prior_posterior(tree, backend="matplotlib")
    assert drawn.viz["figure"].item() is not None
    az.plot_loo_pit(tree, backend="matplotlib")

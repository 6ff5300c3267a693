"""NUTS on the same declarations: equal draws by both likelihoods, conjugate posteriors where they are known, labels in every
amount.
"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from examples import normal_data, normal_mixture_spec, poisson_mixture, two_columns

import emvsmcmc as ev
from emvsmcmc.comparison.loo import rowwise
from emvsmcmc.gallery import load

DRAWS = {"draws": 250, "tune": 250, "chains": 2, "random_seed": 1, "progress": False}


def mcse(draws: np.ndarray) -> float:
    """Monte Carlo standard error of the mean of (chain, draw)."""
    return float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean"))


def assert_mean(draws: xr.DataArray, expected: np.ndarray, sd: np.ndarray | None = None) -> None:
    """Every mean within 5 MCSE of its exact value: 2 in 10^6 by chance for each."""
    values = draws.values.reshape(*draws.shape[:2], -1)
    for i, want in enumerate(np.ravel(expected)):
        assert abs(values[..., i].mean() - want) < 5 * mcse(values[..., i]), (draws.name, i)
        if sd is not None:
            error = float(array_stats.mcse(values[..., i], chain_axis=0, draw_axis=1, method="sd"))
            assert abs(values[..., i].std() - np.ravel(sd)[i]) < 5 * error, (draws.name, i)


def test_both_likelihoods_give_the_same_draws_on_old_faithful() -> None:
    problem = load("old_faithful").problem()
    options = DRAWS | {"tune": 1000}
    found = [ev.fit_mcmc(problem, likelihood=kind, **options)["posterior_unaligned"] for kind in ("fused", "native")]
    for name in ("weight", "mean", "sd"):
        a, b = (tree[name].values[:, :100] for tree in found)
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6), name
        assert np.isfinite(a).all()


def known_scale_spec() -> ev.Spec:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], 1.0, dims="row")
    return spec


def test_all_labels_give_the_conjugate_posterior() -> None:
    x, z = normal_data()
    n = np.bincount(z)
    tree = ev.fit_mcmc(ev.condition(known_scale_spec(), {"x": x, "group": z}), **DRAWS)
    posterior = tree["posterior"]
    a = 1.5 + n
    assert_mean(posterior["weight"], a / a.sum(), np.sqrt(a * (a.sum() - a) / (a.sum() ** 2 * (a.sum() + 1))))
    precision = n + 1 / 25
    assert_mean(posterior["mean"], (np.bincount(z, x) + 2 / 25) / precision, precision**-0.5)


def test_inverse_wishart_posterior_is_conjugate() -> None:
    """The batched W coordinates and their Jacobian: the posterior mean of the covariance is (scale + SS) / (nu + n - p - 1)."""
    y = two_columns()
    with ev.Spec(coords={"feature": 2}) as spec:
        cov = ev.InverseWishart("cov", 5, 2 * np.eye(2), dims=("feature", "feature_bis"))
        ev.MvNormal("y", [1.0, 1.0], cov, dims=("row", "feature"))
    tree = ev.fit_mcmc(ev.condition(spec, {"y": y}), **DRAWS)
    residual = y - 1.0
    assert_mean(tree["posterior"]["cov"], (2 * np.eye(2) + residual.T @ residual) / (5 + len(y) - 2 - 1))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_labels_in_every_amount_run_on_one_spec(fraction: float) -> None:
    """EM and NUTS on the same masks: the posterior mean near the MAP, given labels certain, the hidden ones averaged over
    draws.
    """
    x, z = normal_data()
    given = np.random.default_rng(0).random(len(z)) < fraction
    problem = ev.condition(normal_mixture_spec(), {"x": x, "group": np.where(given, z, -1)})
    em = ev.fit_em(problem, "map", starts=4, random_seed=0)
    tree = ev.fit_mcmc(problem, **DRAWS)
    p = tree["assignment"]["group"].values
    assert (p[given, z[given]] == 1).all()
    assert np.abs(p - em.probability["group"].values).max() < 0.25
    posterior = tree["posterior"]
    for name in ("weight", "mean"):
        draws = posterior[name].values
        gap = np.abs(draws.mean(axis=(0, 1)) - em.estimate[name].values) / draws.std(axis=(0, 1))
        assert (gap < 0.5).all(), name
    assert (np.diff(posterior["mean"].values, axis=-1) > 0).mean() > 0.99


def test_everything_is_in_the_tree() -> None:
    problem = poisson_mixture()
    tree = ev.fit_mcmc(problem, **DRAWS)
    wanted = {
        "posterior",
        "posterior_unaligned",
        "sample_stats",
        "log_likelihood",
        "assignment",
        "posterior_predictive",
        "observed_data",
    }
    assert wanted <= set(tree.children)
    rows = rowwise(tree)
    assert rows.sizes["row"] == problem.n
    assert np.allclose(rows.values.sum(axis=-1), tree["sample_stats"]["log_likelihood"].values, rtol=1e-9)
    assert np.allclose(tree["assignment"]["group"].sum("component"), 1.0)
    assert tree["posterior_predictive"]["y"].sizes["row"] == problem.n
    assert tree.attrs["compile_seconds"] > 0


def test_sampled_assignments_agree_with_summed_out_ones() -> None:
    """The classroom version mixes slowly, so it gets more draws and its own, larger, Monte Carlo error."""
    problem = poisson_mixture()
    fast = ev.fit_mcmc(problem, **DRAWS)["posterior"]
    naive = ev.fit_mcmc(problem, marginalize="none", draws=600, tune=400, chains=2, random_seed=1, progress=False)["posterior"]
    for name in ("weight", "rate"):
        for i in range(2):
            a, b = fast[name].values[..., i], naive[name].values[..., i]
            assert abs(a.mean() - b.mean()) < 5 * np.hypot(mcse(a), mcse(b)), (name, i)

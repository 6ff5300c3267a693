"""The comparison: alignment undoes random relabelling, the verdict follows its figures, k-hat tells a good approximation from
a bad one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from examples import boundary_problem, full_covariance, normal_data, normal_mixture_spec, poisson_mixture

import emvsmcmc as ev
from emvsmcmc.comparison.align import align
from emvsmcmc.comparison.contract import contract
from emvsmcmc.comparison.metrics import k_hat, log_posterior_density, pareto_k
from emvsmcmc.comparison.starting import REACH, within_reach
from emvsmcmc.comparison.verdict import MISLEADS, MISSTATES, OFF, SUFFICES, UNDECIDED, verdict
from emvsmcmc.expect.coefficients import coefficients, log_prior
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.rows import expect
from emvsmcmc.invariance.labels import permute
from emvsmcmc.mcmc.model import build_model
from emvsmcmc.mcmc.sample import _interior


def draws_around(fit: ev.EMFit, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws from EM's normal approximation."""
    chart = Coordinates(fit.plan, fit.environment)
    factor = np.linalg.cholesky(np.linalg.inv(fit.information))
    u = chart.pack(fit.environment)[:, None] + factor @ np.random.default_rng(seed).standard_normal((chart.size, size))
    env = chart.unpack(u)
    return {v.label: np.moveaxis(env.values[v.label].array, -1, 0) for v in fit.plan.parameters}


@pytest.mark.parametrize("build", [poisson_mixture, full_covariance])
def test_alignment_undoes_random_permutations(build) -> None:  # type: ignore[no-untyped-def]
    fit = ev.fit_em(build(), starts=4, random_seed=0)
    clean = draws_around(fit, 200)
    rng = np.random.default_rng(1)
    mixed = {k: x.copy() for k, x in clean.items()}
    flipped = rng.random(200) < 0.5
    for v in fit.plan.parameters:
        if "component" in v.dims:
            axis = v.dims.index("component") + 1
            mixed[v.label][flipped] = np.flip(mixed[v.label][flipped], axis=axis)
    found = align(fit.plan, mixed, fit.environment)
    for name, x in clean.items():
        assert np.allclose(found.draws[name], x), name
    assert (found.orders["component"][flipped, 0] == 1).all()
    assert (found.orders["component"][~flipped, 0] == 0).all()
    assert np.allclose(found.probability.sum(axis=1), 1)
    still = align(fit.plan, mixed, permute(fit.plan, fit.environment, "component", [1, 0]))
    name = next(v.label for v in fit.plan.parameters if "component" in v.dims)
    assert not np.allclose(still.draws[name], clean[name])  # negative control: the reference decides


def test_uncertain_labels_are_said_so() -> None:
    """Two components on top of each other: relabelling costs nothing."""
    x = np.random.default_rng(0).normal(size=60)
    fit = ev.fit_em(ev.condition(normal_mixture_spec(), {"x": x}), "map", starts=4, random_seed=0)
    size = 50
    draws = {
        "weight": np.full((size, 2), 0.5),
        "mean": np.random.default_rng(1).normal(0, 0.05, (size, 2)),
        "sd": np.ones((size, 2)),
    }
    assert align(fit.plan, draws, fit.environment).uncertain["component"] > 0.9


def numbers(**columns) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    base = {"gap": 0.1, "in_hdi": True, "se_ratio": 1.0, "r_hat": 1.0, "ess_bulk": 2000.0, "ess_tail": 2000.0}
    return pd.DataFrame([base, base | columns], index=["a", "b"])


@pytest.mark.parametrize(
    ("columns", "k", "divergent", "places", "name"),
    [
        ({}, 0.3, 0.0, [0, 0, 0, 0], SUFFICES),
        ({"se_ratio": 0.6}, 0.3, 0.0, [0, 0, 0, 0], MISSTATES),
        ({"se_ratio": np.nan}, 0.3, 0.0, [0, 0, 0, 0], MISSTATES),
        ({}, 0.9, 0.0, [0, 0, 0, 0], MISSTATES),
        ({"gap": 0.7}, 0.3, 0.0, [0, 0, 0, 0], OFF),
        ({"gap": -1.5}, 0.3, 0.0, [0, 0, 0, 0], MISLEADS),
        ({"in_hdi": False}, 0.3, 0.0, [0, 0, 0, 0], MISLEADS),
        ({}, 0.3, 0.0, [0, 1, 0, 0], MISLEADS),
        ({"r_hat": 1.2, "gap": 5.0}, 0.3, 0.0, [0, 0, 0, 0], UNDECIDED),
        ({"r_hat": np.nan}, 0.3, 0.0, [0, 0, 0, 0], UNDECIDED),
        ({"ess_tail": 50.0}, 0.3, 0.0, [0, 0, 0, 0], UNDECIDED),
        ({}, 0.3, 0.2, [0, 0, 0, 0], UNDECIDED),
    ],
)
def test_verdict_follows_its_figures(columns: dict, k: float, divergent: float, places: list[int], name: str) -> None:
    found = verdict(numbers(**columns), k, 4, divergent, places)
    assert found.name == name
    assert str(found).startswith(name)
    assert found.reasons


@pytest.mark.parametrize("k", [0.2, 0.6, 1.2])
def test_pareto_k_is_the_tail_index(k: float) -> None:
    """Weights U^-k have tail index k; with the sign turned round they are bounded, and the index would be negative."""
    log_weights = k * np.random.default_rng(0).standard_exponential(20_000)
    assert pareto_k(log_weights) == pytest.approx(k, abs=0.15)
    assert pareto_k(-log_weights) < 0


def test_k_hat_tells_a_good_approximation_from_a_bad_one() -> None:
    """Many well separated rows against few overlapping ones."""
    x, _ = normal_data(2000)
    good = ev.fit_em(ev.condition(normal_mixture_spec(), {"x": x}), starts=2, random_seed=0)
    few = np.random.default_rng(2).normal(np.repeat([0.0, 1.8], 9), 1.0)
    bad = ev.fit_em(ev.condition(normal_mixture_spec(), {"x": few}), starts=10, random_seed=0)
    rng = np.random.default_rng(0)
    assert k_hat(good, rng) < 0.7 < k_hat(bad, rng)


def test_the_density_of_k_hat_is_likelihood_prior_and_jacobian() -> None:
    """Against one evaluation at a time, and its Jacobian against the numerical determinant of the chart."""
    fit = ev.fit_em(full_covariance(), "map", starts=2, random_seed=0)
    chart = Coordinates(fit.plan, fit.environment)
    u = chart.pack(fit.environment)[:, None] + 0.1 * np.random.default_rng(0).standard_normal((chart.size, 3))
    together = log_posterior_density(chart, u)
    for i in range(3):
        env = chart.unpack(u[:, i])
        J = 0.0
        for block in chart.blocks:
            D = chart.jacobian(u[:, i])[block.variable.label].reshape(-1, chart.size)[:, block.where]
            if block.variable.label == "cov":
                rows = [r for r in range(len(D)) if r % 4 != 1]  # the lower triangle of each 2 x 2 matrix
            elif block.variable.label == "weight":
                rows = list(range(len(D) - 1))
            else:
                rows = list(range(len(D)))
            J += np.linalg.slogdet(D[rows])[1]
        value, _ = expect(fit.plan, coefficients(fit.plan, env))
        assert together[i] == pytest.approx(value + float(log_prior(fit.plan, env)) + J, rel=1e-10)


def test_contract_finds_a_disagreement() -> None:
    """Negative control: a sampler whose log-likelihood is off by a millionth is named."""
    fit = ev.fit_em(poisson_mixture(), starts=2, random_seed=0)
    ours = np.array([[-150.0, -151.0]])
    assert contract(fit.plan, fit.environment, ours, ours).holds
    broken = contract(fit.plan, fit.environment, ours * (1 + 1e-6), ours)
    assert not broken.holds
    assert "DISAGREE" in broken.sentence


def test_chains_start_at_every_optimum_within_reach() -> None:
    fit = ev.fit_em(full_covariance(), starts=20, random_seed=1)
    assert len(fit.optima) > 1
    heights = [max(s.objective for s in fit.starts if s.optimum == i) for i in range(len(fit.optima))]
    near = within_reach(fit)
    assert len(near) == sum(h > heights[0] - REACH for h in heights)
    far = [replace(s, objective=s.objective - 2 * REACH) if s.optimum else s for s in fit.starts]
    assert len(within_reach(replace(fit, starts=far))) == 1


def test_an_optimum_on_a_boundary_has_no_k_hat_and_no_chain() -> None:
    fit = ev.fit_em(boundary_problem(1.0), starts=5, random_seed=1)
    assert np.isnan(k_hat(fit, np.random.default_rng(0)))
    model = build_model(fit.plan, "native", "all")
    assert _interior(fit.plan, model, fit.environment) is None
    inside = ev.fit_em(boundary_problem(2.0), "map", starts=5, random_seed=1)
    assert np.isfinite(_interior(inside.plan, model, inside.environment)).all()

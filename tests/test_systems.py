"""The normal equations of means, cut where parameters do not meet: every unknown once, the same answer as all in one system."""

from __future__ import annotations

import numpy as np
import pytest
from examples import EXAMPLES

from emvsmcmc.em import regression as module
from emvsmcmc.em.block_systems import systems
from emvsmcmc.em.mstep import MStep
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.objective import MAP, ML, Objective
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("objective", [ML, MAP])
def test_cutting_changes_nothing(name: str, objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(EXAMPLES[name].build())
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    env = chart.unpack(chart.pack(chart.env) + 0.3 * np.random.default_rng(0).normal(size=chart.size))
    _, S = expect(plan, coefficients(plan, env))
    cut = MStep(plan, objective).regressions
    # one made-up row in which all parameters meet leaves one system
    monkeypatch.setattr(
        "emvsmcmc.em.block_systems.connected_components", lambda graph, directed: (1, np.zeros(graph.shape[0], int))
    )
    whole = MStep(plan, objective).regressions
    for ours, theirs in zip(cut, whole, strict=True):
        unknowns = np.concatenate([s.unknowns.ravel() for s in ours.systems])
        assert sorted(unknowns) == list(range(ours.P))
        assert [s.unknowns.shape for s in theirs.systems] == [(1, ours.P)]
        one, other = ours.solve(env, S, objective), theirs.solve(env, S, objective)
        for k, x in one.items():
            np.testing.assert_allclose(x, other[k], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("normal_mixture", [(2, 1)]),  # a mean for each component
        ("full_covariance", [(2, 2)]),  # a vector for each
        ("factor_analysis", [(6, 3)]),  # a mean and two loadings for each item
        ("regression_mixture", [(1, 3)]),  # the shared slope ties both intercepts
        ("design_matrix", [(2, 3)]),  # an MvNormal prior and a design for each component
        ("group_effects", [(5, 1)]),
    ],
)
def test_systems_are_as_small_as_they_can_be(name: str, sizes: list[tuple[int, int]]) -> None:
    (found,) = MStep(make_plan(EXAMPLES[name].build()), MAP).regressions
    assert [s.unknowns.shape for s in found.systems] == sizes
    assert module.systems is systems

"""A stated naming of components: EM's answer and every draw are named by it, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import emvsmcmc as ev
from emvsmcmc.comparison.align import align
from emvsmcmc.expect.planner import make_plan


def mixture(**options: Any) -> ev.Spec:
    """Means and standard deviations in opposite order, so that which of them names shows."""
    with ev.Spec(coords={"k": 2}, **options) as spec:
        mean, sd = ev.Normal("mean", 0, 5, dims="k"), ev.HalfNormal("sd", 3, dims="k")
        ev.Deterministic("ratio", -mean / sd)
        z = ev.Categorical("z", ev.Dirichlet("weight", [2.0, 2.0], dims="k"), dims="row")
        ev.Normal("y", mean[z], sd[z], dims="row")
    return spec


def data() -> dict[str, np.ndarray]:
    r = np.random.default_rng(1)
    z = r.random(120) < 0.4
    return {"y": r.normal(np.where(z, 4.0, -1.0), np.where(z, 0.4, 1.2))}


@pytest.mark.parametrize(("by", "first"), [("mean", -1.0), ("sd", 4.0), ("weight", 4.0), ("ratio", 4.0), (None, -1.0)])
@pytest.mark.parametrize("objective", ["ml", "map"])
def test_em_names_by_it(by: str | None, first: float, objective: Any) -> None:
    ordered = {"ordered": {"k": by}} if by else {}
    fit = ev.fit_em(ev.condition(mixture(**ordered), data()), objective, starts=2, random_seed=0)
    assert float(fit.estimate["mean"][0]) == pytest.approx(first, abs=0.6)
    if by:
        assert float(fit.estimate[by][0]) < float(fit.estimate[by][1])
    plain = ev.fit_em(ev.condition(mixture(), data()), objective, starts=2, random_seed=0)
    assert fit.objective_value == pytest.approx(plain.objective_value, abs=1e-9)  # a naming only
    assert fit.n_parameters == plain.n_parameters


@pytest.mark.parametrize("by", ["mean", "sd", "ratio"])
def test_every_draw_is_named_by_its_own_values(by: str) -> None:
    plan = make_plan(ev.condition(mixture(ordered={"k": by}), data()))
    fit = ev.fit_em(plan.problem, starts=2, random_seed=0)
    r = np.random.default_rng(0)
    draws = {"mean": r.normal(size=(50, 2)), "sd": r.gamma(2, size=(50, 2)), "weight": r.dirichlet([1, 1], 50)}
    found = align(plan, draws, fit.environment)
    values = found.draws | {"ratio": -found.draws["mean"] / found.draws["sd"]}
    assert (values[by][:, 0] <= values[by][:, 1]).all()
    for name, x in draws.items():  # whole components move
        assert np.array_equal(np.take_along_axis(x, found.orders["k"], axis=1), found.draws[name])
    assert found.uncertain == {"k": 0.0}


def test_what_labels_tell_apart_keeps_its_names() -> None:
    given = data()
    labels = np.full(120, -1)
    labels[:5] = np.where(given["y"][:5] > 2, 0, 1)
    fit = ev.fit_em(ev.condition(mixture(ordered={"k": "mean"}), given | {"z": labels}), starts=2, random_seed=0)
    assert float(fit.estimate["mean"][0]) == pytest.approx(4, abs=0.5)


def test_sampling_names_every_draw() -> None:
    problem = ev.condition(mixture(ordered={"k": "sd"}), data())
    tree = ev.fit_mcmc(problem, draws=100, tune=150, chains=2, random_seed=0, progress=False)
    sd = tree["posterior"]["sd"].values
    assert (sd[..., 0] <= sd[..., 1]).all()
    assert (tree["posterior"]["mean"].values[..., 0] > 2).all()

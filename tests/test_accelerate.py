"""Accelerated EM: the same optimum in a fraction of the passes, never lower, whatever runs beside it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from examples import normal_mixture_spec

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.em import accelerate, search
from emvsmcmc.em.loop import Loop
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.options import EMOptions
from emvsmcmc.em.run import Run
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.spec.evaluate import Environment

SLOW = 130  # passes of plain EM, on average over starts, from which a gallery model counts as slow


@cache
def planned(name: str) -> tuple[Plan, MStep]:
    model = gallery.load(name)
    plan = make_plan(ev.condition(model.spec(), model.data()))
    return plan, MStep(plan, ML)


def run(name: str, seed: int, accelerated: bool) -> Run:
    plan, mstep = planned(name)
    env = random_start(plan, mstep, np.random.default_rng(seed))
    return Loop(plan, mstep, EMOptions(max_iter=20_000, accelerate=accelerated)).run(env)


@pytest.mark.parametrize("name", ["factor_analysis", "mixture_of_factor_analysers", "poisson_mixture", "probabilistic_pca"])
def test_a_slow_model_takes_a_fifth_of_the_passes(name: str) -> None:
    pairs = [(run(name, seed, accelerated=False), run(name, seed, accelerated=True)) for seed in range(3)]
    plain, quick = (sum(one.passes for one in side) for side in zip(*pairs, strict=True))
    assert plain > SLOW * len(pairs)
    assert 5 * quick <= plain
    for slow, fast in pairs:
        assert slow.status is fast.status is ev.Status.CONVERGED
        assert abs(fast.objective - slow.objective) < 1e-8
        assert (np.diff(fast.path) >= -1e-12 * abs(fast.objective) * 100).all()


def test_a_linear_map_is_solved_after_as_many_steps_as_it_has_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """EM near its optimum is a linear map with rates below one. Anderson's acceleration is GMRES there."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    rates, end = turn @ np.diag([0.99, 0.9, 0.5, 0.1]) @ turn.T, rng.normal(size=4)
    memory = accelerate.Anderson(None)  # type: ignore[arg-type]  # no chart is needed to look ahead
    u, left = np.zeros(4), []
    for _ in range(8):
        g = rates @ (u - end) + end - u
        memory = replace(memory, u=(*memory.u, u), g=(*memory.g, g))
        way = memory.ahead()
        left.append(np.abs(u - end).max())
        u = u + (g if way is None else way)
    assert left[4] > 1e-6 > left[-1]
    assert left[6] < 1e-9
    monkeypatch.setattr(accelerate, "FEWEST", 100)  # without looking ahead the slowest direction has hardly moved
    assert memory.ahead() is None
    assert np.abs(np.linalg.matrix_power(rates, 8) @ end).max() > 0.1


def test_an_extrapolation_that_falls_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every step ahead turned round, the path still rises and ends at the same optimum."""
    right = run("poisson_mixture", 1, accelerated=True)
    ahead = accelerate.Anderson.at
    tried = []

    def astray(self: accelerate.Anderson, way: np.ndarray) -> Environment | None:
        tried.append(way)
        return ahead(self, -3 * way)

    monkeypatch.setattr(accelerate.Anderson, "at", astray)
    wrong = run("poisson_mixture", 1, accelerated=True)
    assert tried
    assert (np.diff(wrong.path) >= -1e-9).all()
    assert abs(wrong.objective - right.objective) < 1e-8
    assert wrong.passes > right.passes


def test_starts_side_by_side_are_those_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-1, 1, 6000), rng.normal(2, 0.7, 6000)])
    problem = ev.condition(normal_mixture_spec(), {"x": x})
    assert make_plan(problem).store.compiled
    found = []
    for workers, room in ((2, search.ROOM), (2, 0), (1, search.ROOM)):
        monkeypatch.setattr(search, "cores", lambda workers=workers: workers)
        monkeypatch.setattr(search, "ROOM", room)
        found.append(ev.fit_em(problem, starts=4, random_seed=3, standard_errors=None, progress=False))
    for other in found[1:]:
        assert [s.objective for s in other.starts] == [s.objective for s in found[0].starts]
        assert [list(s.path) for s in other.starts] == [list(s.path) for s in found[0].starts]
    assert len({s.passes for s in found[0].starts}) > 1  # starts that differ would show

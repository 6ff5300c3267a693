"""Laws of EM over every example: contract with the textbook density, score, monotonicity, stationarity, statistics that add."""

from __future__ import annotations

import numpy as np
import pytest
from examples import EXAMPLES

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.em.loop import Loop
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.newton import maximise
from emvsmcmc.em.options import EMOptions
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect.coefficients import coefficients, log_prior
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.layout import Statistics
from emvsmcmc.expect.objective import MAP, ML, OBJECTIVES
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect, expect_rows
from emvsmcmc.families.kinds import PROBABILITIES, SIGMA
from emvsmcmc.spec.evaluate import Environment

EVERY = pytest.mark.parametrize("name", EXAMPLES)
_plans: dict[str, Plan] = {}


def plan_of(name: str) -> Plan:
    if name not in _plans:
        _plans[name] = make_plan(EXAMPLES[name].build())
    return _plans[name]


def somewhere(plan: Plan, seed: int = 0, spread: float = 0.4) -> tuple[Coordinates, np.ndarray, Environment]:
    """A random point of the parameter space."""
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    u = chart.pack(chart.env) + spread * np.random.default_rng(seed).normal(size=chart.size)
    return chart, u, chart.unpack(u)


def reference(plan: Plan, seed: int = 1) -> np.ndarray:
    rho = np.random.default_rng(seed).normal(size=(plan.K, plan.d))
    rho[:, 0] = 0
    return rho


@EVERY
def test_log_likelihood_is_the_textbook_density(name: str) -> None:
    plan = plan_of(name)
    for seed in range(3):
        _, _, env = somewhere(plan, seed)
        oracle = density.log_likelihood(plan.problem, {v.label: env.values[v.label] for v in plan.parameters})
        for rho in (None, reference(plan)):
            C = coefficients(plan, env, rho)
            value, _, rows = expect_rows(plan, C)
            assert np.allclose(rows.log_likelihood, oracle, rtol=1e-10, atol=1e-10)
            total = plan.problem.weights @ oracle
            assert abs(value - total) < 1e-9 * max(1, abs(total))
            assert abs(expect(plan, C)[0] - value) < 1e-10 * max(1, abs(value))


@EVERY
def test_prior_is_the_textbook_prior(name: str) -> None:
    plan = plan_of(name)
    _, _, env = somewhere(plan)
    oracle = density.log_prior(plan.problem, {v.label: env.values[v.label] for v in plan.parameters})
    assert float(log_prior(plan, env)) == pytest.approx(oracle, rel=1e-10, abs=1e-10)


@EVERY
def test_statistics_are_the_gradient_and_the_score_is_exact(name: str) -> None:
    """Fisher's identity in coefficient space, and through the parameters, against differences."""
    plan = plan_of(name)
    chart, u, _ = somewhere(plan)
    rho = reference(plan)

    def objective(at: np.ndarray) -> float:
        env = chart.unpack(at)
        return expect(plan, coefficients(plan, env, rho))[0] + float(log_prior(plan, env))

    _, S = expect(plan, coefficients(plan, chart.unpack(u), rho))
    h = 1e-5
    differences = np.array([(objective(u + h * e) - objective(u - h * e)) / (2 * h) for e in np.eye(len(u))])
    score = chart.score(u, S, MAP)
    assert np.allclose(score, differences, rtol=1e-6, atol=1e-6 * np.abs(differences).max())


@EVERY
@pytest.mark.parametrize("objective", ["ml", "map"])
@pytest.mark.parametrize("accelerate", [True, False])
def test_monotone_and_stationary(name: str, objective: str, accelerate: bool) -> None:
    """The objective never falls, belongs to the parameters returned, and its exact gradient vanishes there."""
    problem = EXAMPLES[name].build()
    fit = ev.fit_em(problem, objective, starts=2, accelerate=accelerate, random_seed=3)
    assert fit.converged
    assert (np.diff(fit.path) > -1e-12 * max(1.0, problem.weights.sum(), abs(fit.path[-1]))).all()
    plan, env = fit.plan, fit.environment
    value, S = expect(plan, coefficients(plan, env))
    value += float(OBJECTIVES[objective].log_prior(plan, env))
    assert value == pytest.approx(fit.objective_value, rel=1e-12)
    chart = Coordinates(plan, env)
    score = chart.score(chart.pack(env), S, OBJECTIVES[objective])
    assert stationarity(score, fit.uncertainty.covariance) < 1e-5


def stationarity(score: np.ndarray, covariance: np.ndarray | None) -> float:
    """Largest Newton step to the optimum, in standard errors; along a rotation there is none."""
    if covariance is None or not len(score):
        return 0.0
    return float(np.max(np.abs(covariance @ score) / np.sqrt(np.abs(np.diag(covariance)))))


class WrongVariance(MStep):
    """Divides the sum of squares by n + 1: monotone on most data, and wrong."""

    def _mode(self, step, env, S):  # type: ignore[no-untyped-def]
        value = super()._mode(step, env, S)
        n = S.N.mean()
        return value * np.sqrt(n / (n + 1)) if step.kind is SIGMA else value


class WrongWeights(MStep):
    """Adds one row to every component before dividing."""

    def _mode(self, step, env, S):  # type: ignore[no-untyped-def]
        value = super()._mode(step, env, S)
        if step.kind is not PROBABILITIES:
            return value
        n = S.N.sum()
        return (value * n + 1) / (n + value.shape[-1])


class WrongMeans(MStep):
    """Shrinks the means by a thousandth."""

    def __call__(self, env, S):  # type: ignore[no-untyped-def]
        out = super().__call__(env, S)
        scaled = dict(out.values)
        for regression in self.regressions:
            for p in regression.parameters:
                scaled[p.label] = type(scaled[p.label])(0.999 * scaled[p.label].array, scaled[p.label].dims)
        return out.having(values=scaled)


@pytest.mark.parametrize("wrong", [WrongVariance, WrongWeights, WrongMeans])
def test_stationarity_catches_wrong_m_steps(wrong: type[MStep]) -> None:
    """Negative control: each is close enough to pass a loose look at the objective, and far from stationary."""
    plan = plan_of("normal_mixture")
    mstep = wrong(plan, ML)
    env = random_start(plan, MStep(plan, ML), np.random.default_rng(0))
    try:
        env = Loop(plan, mstep, EMOptions(tol=1e-9, max_iter=500, accelerate=False)).run(env).environment
    except ev.errors.NotMonotone:
        for _ in range(200):
            _, S = expect(plan, coefficients(plan, env))
            env = mstep(env, S)
    chart = Coordinates(plan, env)
    right = ev.fit_em(plan.problem, starts=2, random_seed=0)
    _, S = expect(plan, coefficients(plan, env))
    assert stationarity(chart.score(chart.pack(env), S, ML), right.uncertainty.covariance) > 1e-3


@EVERY
@pytest.mark.parametrize("objective", ["ml", "map"])
def test_closed_form_steps_maximise_q(name: str, objective: str) -> None:
    """Each block's update is the generic maximiser of Q over that block, the others at their newest values."""
    plan = plan_of(name)
    maximised = OBJECTIVES[objective]
    mstep = MStep(plan, maximised)
    _, _, env = somewhere(plan, 5, 0.2)
    _, S = expect(plan, coefficients(plan, env))
    blocks = [{p.label for p in r.parameters} for r in mstep.regressions] + [{s.parameter.label} for s in mstep.look_ups]
    for names in blocks:
        only = MStep(plan, maximised)
        only.regressions = [r for r in only.regressions if {p.label for p in r.parameters} == names]
        only.look_ups = [s for s in only.look_ups if {s.parameter.label} == names]
        only.numeric = []
        closed = only(env, S)
        chart = Coordinates(plan, env, names)
        generic = maximise(chart, S, maximised).having(batch=None)
        q_closed, q_generic = (
            Coordinates(plan, e, names).value(Coordinates(plan, e, names).pack(e), S, maximised) for e in (closed, generic)
        )
        assert q_closed >= q_generic - 1e-9 * max(1, abs(q_generic)), names
        for n in names:
            assert np.allclose(closed.values[n].array, generic.values[n].array, rtol=1e-5, atol=1e-6), n


@EVERY
def test_conjugate_slots_are_taken_as_closed_form(name: str) -> None:
    mstep = MStep(plan_of(name), ML)
    assert bool(mstep.numeric) != EXAMPLES[name].conjugate


def add(a: Statistics, b: Statistics) -> Statistics:
    return Statistics(a.N + b.N, a.M + b.M, a.S + b.S, a.rho)


@EVERY
def test_weights_repeat_rows_and_order_does_not_matter(name: str) -> None:
    plan = plan_of(name)
    problem = plan.problem
    _, _, env = somewhere(plan)
    value, S = expect(plan, coefficients(plan, env))
    w = np.random.default_rng(0).integers(0, 3, problem.n).astype(float) + 0.5
    rest = problem.weights - w
    parts = []
    for weights in (w, np.maximum(rest, 0), np.maximum(-rest, 0)):
        other = make_plan(problem.with_weights(weights))
        # the centre moves with the weights: statistics are compared about the same origin
        rho = np.tile(plan.centre - other.centre, (plan.K, 1))
        parts.append(expect(other, coefficients(other, env, rho)))
    total = parts[0][0] + parts[1][0] - parts[2][0]
    assert total == pytest.approx(value, rel=1e-10)
    N = parts[0][1].N + parts[1][1].N - parts[2][1].N
    M = parts[0][1].M + parts[1][1].M - parts[2][1].M
    assert np.allclose(N, S.N, rtol=1e-9, atol=1e-9)
    assert np.allclose(M, S.M, rtol=1e-8, atol=1e-8 * max(1.0, np.abs(S.M).max()))


@EVERY
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_the_compiled_pass_is_the_numpy_reference(name: str, cut: bool, hard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emvsmcmc.expect.store.compiled.RANGED_FROM", 0 if cut else np.inf)
    plan = plan_of(name)
    _, _, env = somewhere(plan, 7)
    C = coefficients(plan, env, reference(plan))
    value, S = expect(plan, C, hard)
    compiled, T = plan.store.packed.expect(C, hard)
    assert compiled == pytest.approx(value, rel=1e-11)
    for ours, theirs in ((S.N, T.N), (S.M, T.M), (S.S, T.S)):
        assert np.allclose(ours, theirs, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(ours).max(initial=0)))

"""NUTS by EM's own pass, over chunks and by threads: the density and gradient of the rows in one piece, draws aligned alike."""

from __future__ import annotations

from collections.abc import Iterator

import arviz_stats as azs
import numpy as np
import pytest
from examples import EXAMPLES
from in_chunks import chunked, engine
from test_chunks import CLOSE, difference, start

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect, reference_points
from emvsmcmc.expect.store import compiled, memory
from emvsmcmc.expect.store.chunks import chunked_plan
from emvsmcmc.mcmc import sample
from emvsmcmc.mcmc.compile.compile import compile_model, log_density
from emvsmcmc.mcmc.model import build_model
from emvsmcmc.mcmc.pooled_op import PooledExpectation
from emvsmcmc.numerics import COMPLEX_STEP


@pytest.fixture(autouse=True)
def _in_this_thread() -> Iterator[None]:
    with engine():
        yield


def performed(op: PooledExpectation, plan: Plan, values: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """The Op's log-likelihood, and its gradient along the chart at these values."""
    chart = Coordinates(plan, plan.environment(values))
    C = coefficients(plan, chart.unpack(chart.steps(chart.pack(chart.env))), op.rho)
    along = [C.c, C.B, C.T, *([C.A, C.nu] if plan.radials else [])]
    wide = [np.broadcast_to(x, (*x.shape[:-1], chart.size)) for x in along]
    here = coefficients(plan, chart.env, op.rho)
    inputs = [here.c, here.B, here.T, *([here.A, here.nu] if plan.radials else [])]
    out: list[list[np.ndarray]] = [[None] for _ in range(len(inputs) + 1)]  # type: ignore[list-item]
    op.perform(None, inputs, out)  # type: ignore[arg-type]
    slope = np.zeros(chart.size)
    for (gradient,), x in zip(out[1:], wide, strict=True):
        read = gradient != 0
        slope += gradient[read] @ (x[read].imag / COMPLEX_STEP)
    return float(out[0][0]), slope


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gradient_is_the_score_of_the_rows_in_memory(name: str) -> None:
    """About the centre and about the means of the configurations."""
    problem = EXAMPLES[name].build()
    whole, values = start(problem)
    env = whole.environment(values)
    C = coefficients(whole, env)
    value, S = expect(whole, C)
    chart = Coordinates(whole, env)
    score = chart.score(chart.pack(env), S, ML)
    parts = chunked_plan(chunked(problem, 7))
    for rho in (S.rho, reference_points(S)):
        found, slope = performed(PooledExpectation(parts, rho), parts, values)
        assert difference(value, found) < CLOSE
        assert difference(score, slope) < 1e-8


def test_compiled_it_is_the_density_in_memory() -> None:
    """Whatever PyTensor makes of the graph around the Op; where a row is impossible it is -inf, and no error."""
    problem = EXAMPLES["normal_mixture"].build()
    whole, parts = make_plan(problem), chunked_plan(chunked(problem, 7))
    near = whole.environment(start(problem)[1])
    ours, theirs = (log_density(compile_model(build_model(p, "fused", "all", near))) for p in (parts, whole))
    rng = np.random.default_rng(1)
    for _ in range(3):
        x = rng.normal(size=5)
        (a, da), (b, db) = ours(x), theirs(x)
        assert difference(a, b) < CLOSE
        assert difference(da, db) < 1e-8
    op = PooledExpectation(parts, np.zeros((parts.K, parts.d)))
    C = coefficients(parts, near)
    out: list[list[np.ndarray]] = [[None] for _ in range(4)]  # type: ignore[list-item]
    op.perform(None, [np.full(parts.K, -np.inf), C.B, C.T], out)  # type: ignore[arg-type]
    assert out[0][0] == -np.inf
    assert not any(g.any() for (g,) in out[1:])


def test_draws_are_those_of_the_rows_in_memory() -> None:
    """Posterior means within their Monte Carlo error, labels in the order of EM's."""
    problem = EXAMPLES["normal_mixture"].build()
    options = {"draws": 150, "tune": 150, "chains": 2, "random_seed": 3, "progress": False}
    tree, direct = ev.fit_mcmc(chunked(problem, 25), **options), ev.fit_mcmc(problem, **options)
    assert set(tree.children) == {"posterior", "posterior_unaligned", "sample_stats"}
    for name in ("weight", "mean", "sd"):
        a, b = tree["posterior"][name], direct["posterior"][name]
        error = np.hypot(azs.mcse(a), azs.mcse(b))
        assert (np.abs(a.mean(("chain", "draw")) - b.mean(("chain", "draw"))) < 4 * error).all(), name
        np.testing.assert_array_equal(a["component"], b["component"])
    assert float(tree["sample_stats"]["diverging"].mean()) < 0.05
    assert tree.attrs["whitened"] == 1
    assert tree.attrs["label_uncertainty"] == str(dict.fromkeys(["component"], 0.0))
    for options in ({"likelihood": "native"}, {"marginalize": "none"}):
        with pytest.raises(errors.BadInput, match="fused"):
            ev.fit_mcmc(chunked(problem, 25), **options)


def test_a_chain_with_cores_to_itself_shares_the_rows_between_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The density of the rows packed in one piece; chosen for one chain, not for as many as there are cores."""
    problem = EXAMPLES["full_covariance"].build()
    plan = make_plan(problem)
    near = plan.environment(start(problem)[1])
    monkeypatch.setattr(memory, "COMPILED_FROM", 1)
    monkeypatch.setattr(compiled, "RANGED_FROM", 1)
    monkeypatch.setattr(sample, "SHARED_FROM", 1)
    monkeypatch.setattr(sample, "cores", lambda: 2)
    assert sample._spare(plan, 1)
    assert not sample._spare(plan, 2)
    one = build_model(plan, "fused", "all")
    assert "_rows" in one.named_vars
    done = ev.fit_mcmc(problem, draws=60, tune=80, chains=1, random_seed=2, progress=False)
    shared = build_model(plan, "fused", "all", near, threads=True)
    assert "rows" not in shared.named_vars
    ours, theirs = (log_density(compile_model(m)) for m in (shared, one))
    x = np.random.default_rng(1).normal(size=11)
    (a, da), (b, db) = ours(x), theirs(x)
    assert difference(a, b) < CLOSE
    assert difference(da, db) < 1e-8
    assert "ranges" in vars(plan.store.packed)
    told = done["sample_stats"]["log_likelihood"].values.ravel()  # the sampler's own, for the contract
    for i in (0, 59):
        env = plan.environment({v.label: done["posterior"][v.label].values[0, i] for v in plan.parameters})
        assert difference(expect(plan, coefficients(plan, env))[0], told[i]) < CLOSE
    assert np.ptp(told) > 0.1

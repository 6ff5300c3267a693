"""Groups of radial rows in every pass: vectors and numbers with latent scales in one model against the oracle, gradients, memory,
the fused Op, the pooled one.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats
from t_vectors import mixture
from test_studentt_passes import differences, packed_coefficients, somewhere

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.em.loop import Loop
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.options import EMOptions
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.draws import joint_log_densities
from emvsmcmc.expect.kernel import loops
from emvsmcmc.expect.kernel.pack import RADIAL, expected_gradient, row_pass
from emvsmcmc.expect.objective import MAP, ML
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.radial import log_less_excess, nu_gradient
from emvsmcmc.expect.rows import expect, expect_rows
from emvsmcmc.mcmc.fused_op import Expectation
from emvsmcmc.mcmc.pooled_op import PooledExpectation


def mixed() -> ev.Problem:
    """A factor behind Normal items with holes, two vectors a row, a number, a longer vector on a covariate, some labels."""
    with ev.Spec(coords={"component": 2, "item": 3, "place": 2, "column": 2}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        loading = ev.Normal("loading", 1, 1, dims="item")
        noise = ev.HalfNormal("noise", 1, dims="item")
        a = ev.Normal("a", 0, 3, dims=("component", "column"))
        pairs = ev.InverseWishart("pairs", 5, np.eye(2), dims=("place", "column", "column_bis"))
        level = ev.Normal("level", 0, 3)
        b = ev.Normal("b", 0, 3, dims="item")
        triples = ev.InverseWishart("triples", 6, np.eye(3), dims=("component", "item", "item_bis"))
        nu = ev.Gamma("nu", 3, 0.5, dims="component")
        each = ev.Gamma("each", 3, 0.5, dims="place")
        w = ev.Data("w", dims="row")
        z = ev.Categorical("z", weight, dims="row")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("x", loading * factor, noise, dims=("row", "item"))
        ev.MvStudentT("y", each, a[z], pairs, dims=("row", "place", "column"))
        s = ev.StudentT("s", 5, level, 0.8, dims="row")
        ev.MvStudentT("t", nu[z], b * w + s, triples[z], dims=("row", "item"))
    r = np.random.default_rng(0)
    n = 90
    x = r.normal(size=(n, 1)) * [1, 0.8, -0.6] + 0.5 * r.normal(size=(n, 3))
    x[r.random(x.shape) < 0.15] = np.nan
    label = r.integers(0, 2, n)
    y = r.standard_t(5, (n, 2, 2)) + 3 * label[:, None, None]
    y[r.random((n, 2)) < 0.15] = np.nan
    t = r.standard_t(4, (n, 3))
    t[r.random(n) < 0.1] = np.nan
    data = {"w": r.normal(size=n), "x": x, "y": y, "s": r.standard_t(5, n), "t": t}
    return ev.condition(spec, data | {"z": np.where(r.random(n) < 0.3, label, -1)}, weights=r.uniform(0.5, 2, n))


def test_groups_are_laid_out() -> None:
    plan = make_plan(mixed())
    radial = plan.layout.radial
    np.testing.assert_array_equal(radial.lengths, [2, 2, 1, 3])
    np.testing.assert_array_equal(radial.group, [0, 0, 1, 1, 2, 3, 3, 3])
    np.testing.assert_array_equal(radial.holes, [True, True, False, True])
    np.testing.assert_array_equal(radial.summed(np.arange(8.0)), [1, 5, 4, 18])
    assert (plan.layout.V[:, radial.own[radial.start[1] : radial.start[2]]] != 0).any()


def test_a_mixed_model_keeps_the_contract() -> None:
    plan = make_plan(mixed())
    assert plan.layout.hidden.any()
    draws: dict[str, list[np.ndarray]] = {v.label: [] for v in plan.parameters}
    rows_of = []
    for seed in range(3):
        chart, u, env = somewhere(plan, seed)
        oracle = density.log_likelihood(plan.problem, {v.label: env.values[v.label] for v in plan.parameters})
        rho = np.random.default_rng(seed).normal(size=(plan.K, plan.d))
        rho[:, 0] = 0
        C = coefficients(plan, env, rho)
        _, S, rows = expect_rows(plan, C)
        np.testing.assert_allclose(rows.log_likelihood, oracle, rtol=1e-10, atol=1e-10)
        for hard in (False, True):
            (value, a), (compiled, b) = expect(plan, C, hard), plan.store.packed.expect(C, hard)
            assert compiled == pytest.approx(value, rel=1e-12)
            for name in ("N", "M", "S", "U", "L"):
                left, right = getattr(a, name), getattr(b, name)
                np.testing.assert_allclose(right, left, rtol=0, atol=1e-10 * max(1.0, np.abs(left).max()), err_msg=name)
        score = chart.score(u, S, ML)

        def objective(at: np.ndarray, chart: Coordinates = chart, rho: np.ndarray = rho) -> float:
            return expect(plan, coefficients(plan, chart.unpack(at), rho))[0]

        np.testing.assert_allclose(score, differences(objective, u), rtol=1e-6, atol=1e-6 * np.abs(score).max())
        rows_of.append(rows.log_likelihood)
        for v in plan.parameters:
            draws[v.label].append(env.values[v.label].array)
    (_, joint), *_ = joint_log_densities(plan, {k: np.array(x) for k, x in draws.items()})
    many = np.logaddexp.reduce(joint, axis=1)[plan.inverse]
    np.testing.assert_allclose(many, np.transpose(rows_of), rtol=1e-10, atol=1e-10)


def test_a_mixed_model_is_fitted() -> None:
    fit = ev.fit_em(mixed(), "map", starts=2, random_seed=0)
    assert fit.converged
    chart = Coordinates(fit.plan, fit.environment)
    _, S = expect(fit.plan, coefficients(fit.plan, fit.environment))
    step = np.linalg.solve(fit.information, chart.score(chart.pack(fit.environment), S, MAP))
    assert np.abs(step / np.sqrt(np.diag(np.linalg.inv(fit.information)))).max() < 1e-5


def test_the_formulas_of_one_group() -> None:
    """Against the density of a vector, by differences; those of a number are another's (negative control)."""
    nu, square, h = 3.7, np.array([0.2, 4.0, 900.0]), 1e-6
    for p in (1, 2, 5):

        def log_kernel(nu: float, p: int = p) -> np.ndarray:
            return -0.5 * (nu + p) * np.log1p(square / nu)

        exact = (log_kernel(nu + h) - log_kernel(nu - h)) / (2 * h)
        np.testing.assert_allclose(nu_gradient(log_less_excess(nu, square, p), 1.0, nu, p), exact, rtol=1e-7)
        if p > 1:
            assert np.abs(nu_gradient(log_less_excess(nu, square), 1.0, nu, 1) - exact).min() > 1e-3


def test_gradients_of_the_pass() -> None:
    """With respect to c, B (radial rows are its last), T and nu, against differences of the value alone."""
    plan = make_plan(mixed())
    arguments = packed_coefficients(plan, somewhere(plan)[2])
    value, *gradient = expected_gradient(plan.store.packed.whole, *arguments[:3], nu=arguments[3])
    assert arguments[3].shape == (2, 4)
    assert value == pytest.approx(expect(plan, coefficients(plan, somewhere(plan)[2]))[0], rel=1e-12)
    for i in range(4):

        def f(x: np.ndarray, i: int = i) -> float:
            changed = [x if j == i else a for j, a in enumerate(arguments)]
            return expected_gradient(plan.store.packed.whole, *changed[:3], nu=changed[3])[0]

        reads = plan.layout.radial.reads[plan.layout.radial.group]  # elsewhere a radial row has no coefficient to vary
        found, wanted = gradient[i], differences(f, arguments[i])
        if i == 1:
            found, wanted = (np.concatenate([x[:, : -len(reads)], x[:, -len(reads) :] * reads], axis=1) for x in (found, wanted))
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=2e-6)


def test_the_pooled_gradient_is_that_of_the_pass() -> None:
    plan = make_plan(mixture())
    rho = np.random.default_rng(0).normal(size=(plan.K, plan.d))
    rho[:, 0] = 0
    C = coefficients(plan, somewhere(plan, 1)[2], rho)
    arguments = [C.c, C.B, C.T, C.A, C.nu]
    op = PooledExpectation(plan, rho)

    def value(changed: list[np.ndarray]) -> list[np.ndarray]:
        storage: list[list[np.ndarray]] = [[None] for _ in range(6)]  # type: ignore[list-item]
        op.perform(None, changed, storage)
        return [x for (x,) in storage]

    _, *gradient = value(arguments)
    for i in (0, 2, 3, 4):

        def f(x: np.ndarray, i: int = i) -> float:
            return float(value([x if j == i else a for j, a in enumerate(arguments)])[0])

        wanted = differences(f, arguments[i])
        if i == 3:
            wanted = wanted * plan.layout.radial.reads[plan.layout.radial.group]
        np.testing.assert_allclose(gradient[i], wanted, rtol=1e-6, atol=2e-6)


def test_many_rows_and_far_clusters() -> None:
    """Several blocks, and clusters so far from the centre that the gradient takes a second pass about their means."""
    r = np.random.default_rng(10)
    z = r.integers(0, 2, 3000)
    with ev.Spec(coords={"component": 2, "column": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 1e6, dims=("component", "column"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvStudentT("y", 4, mean[group], np.eye(2), dims=("row", "column"))
    truth = np.array([[-1e6, 0.0], [1e6, 3.0]])
    plan = make_plan(ev.condition(spec, {"y": truth[z] + r.standard_t(4, (3000, 2))}))
    env = plan.environment({"weight": np.array([0.5, 0.5]), "mean": truth + 0.3})
    c, B, T, nu = packed_coefficients(plan, env)
    value, dc, dB, _, _ = expected_gradient(plan.store.packed.whole, c, B, T, nu=nu)
    assert value == pytest.approx(expect(plan, coefficients(plan, env))[0], rel=1e-9)
    y = plan.problem.given["y"].array
    e = y - (truth + 0.3)[z]
    psi = 6 * e / (4 + (e * e).sum(1))[:, None]  # minus d log t / d value
    for k in range(2):
        assert dc[k] == pytest.approx((z == k).sum())
        np.testing.assert_allclose(dB[k, :, 0], -psi[z == k].sum(0), atol=1e-5)


def test_the_work_memory_is_large_enough() -> None:
    plan = make_plan(mixed())
    c, B, T, nu = packed_coefficients(plan, somewhere(plan)[2])
    B = B.copy()
    B[:, :, 1:] *= 1e3  # far enough for the second pass of the gradient, which uses all of it
    floats, ints = plan.store.packed.whole
    (K, R, d), g, L = B.shape, nu.shape[1], len(T)
    size = loops.work_size(K, d, R, int(ints[loops.BLOCK]))
    behind = np.full(64, 12345.0)
    for mode, moments in ((loops.GRADIENT, 1), (loops.SOFT, 1 + g)):
        work, M, S = (np.concatenate([np.full(n, 12345.0), behind]) for n in (size, K * d * d * moments, (L + g) * K))
        tables, N, dB = np.concatenate([T.ravel(), nu.ravel()]), np.empty(K), np.concatenate([np.empty(B.size), behind])
        memory = [x.ctypes.data for x in (floats, ints, c, B, tables, np.zeros((K, d)), N, M, S, dB, work)]
        row_pass(RADIAL)(*memory[:4], R, *memory[4:6], mode, *memory[6:])
        for x in (work, M, S, dB):
            assert (x[-64:] == 12345.0).all()
        assert (M[:-64] != 12345.0).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    plan = make_plan(mixed())
    c, B, T, nu = packed_coefficients(plan, somewhere(plan)[2])
    for wrong in (None, nu[1:], np.repeat(nu, 2, axis=1)):
        with pytest.raises(ValueError, match="the rows take nu"):
            expected_gradient(plan.store.packed.whole, c, B, T, nu=wrong)


def test_the_op_equals_the_pass_in_every_mode() -> None:
    plan = make_plan(mixed())
    floats, ints = plan.store.packed.whole
    values = [floats, ints, *packed_coefficients(plan, somewhere(plan)[2])]
    inputs = [kind() for kind in (pt.dvector, pt.lvector, pt.dvector, pt.dtensor3, pt.dmatrix, pt.dmatrix)]
    value = Expectation(radial=True)(*inputs)[0]
    outputs = [value, *pt.grad(2 * value, inputs[2:])]
    ll, *gradient = expected_gradient((floats, ints), *values[2:5], nu=values[5])
    for mode in ("FAST_COMPILE", "NUMBA"):
        found = pytensor.function(inputs, outputs, mode=mode)(*values)
        for a, b in zip(found, [ll, *(2 * x for x in gradient)], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-12)


def two_components() -> ev.Problem:
    problem = mixture()
    return ev.condition(problem.spec, {k: problem.given[k].array for k in ("x", "y")})


def test_hard_assignment_leaves_the_scales_integrated_out() -> None:
    plan = make_plan(two_components())
    env = random_start(plan, MStep(plan, ML), np.random.default_rng(0))
    table = density.log_table(plan.problem, {v.label: env.values[v.label] for v in plan.parameters}).array
    assert expect(plan, coefficients(plan, env), hard=True)[0] == pytest.approx(table.max(axis=1).sum(), rel=1e-12)
    run = Loop(
        plan, MStep(plan, MAP), EMOptions(objective="map", assignment="hard", tol=1e-9, max_iter=500, accelerate=False)
    ).run(env)
    assert run.status is ev.Status.CONVERGED
    assert (np.diff(run.path) > -1e-9).all()


def test_a_wrong_length_is_another_density() -> None:
    """Negative control: with one row fewer in a group's exponent the oracle disagrees."""
    plan = make_plan(two_components())
    env = somewhere(plan)[2]
    C, layout = coefficients(plan, env), plan.layout
    oracle = density.log_likelihood(plan.problem, {v.label: env.values[v.label] for v in plan.parameters}).sum()
    assert expect(plan, C)[0] == pytest.approx(oracle, rel=1e-12)
    wrong = dataclasses.replace(layout.radial)
    wrong.__dict__["lengths"] = layout.radial.lengths - [0, 1]
    assert abs(expect(dataclasses.replace(plan, layout=dataclasses.replace(layout, radial=wrong)), C)[0] - oracle) > 1


def test_a_switch_between_vectors() -> None:
    """Background noise of heavy tails beside a tight MvNormal; both likelihoods say the same."""
    with ev.Spec(coords={"column": 2}) as spec:
        z = ev.Bernoulli("z", ev.Beta("p", 2, 2), dims="row")
        m = ev.Normal("m", 0, 10, dims="column")
        s = ev.InverseWishart("s", 5, np.eye(2), dims=("column", "column_bis"))
        centre, wide = ev.constant(np.zeros(2), dims="column"), ev.constant(25 * np.eye(2), dims=("column", "column_bis"))
        ev.Switch("y", z, [ev.MvNormal.dist(m, s), ev.MvStudentT.dist(2.0, centre, wide)], dims=("row", "column"))
    r = np.random.default_rng(4)
    y = np.where(r.random((100, 1)) < 0.7, r.normal([3, 4], 0.5, (100, 2)), 5 * r.standard_t(2, (100, 2)))
    plan = make_plan(ev.condition(spec, {"y": y}))
    fit = ev.fit_em(plan.problem, starts=3, random_seed=0)
    assert fit.converged
    value = {k: fit.estimate[k].values for k in ("p", "m", "s")}
    tight = np.log1p(-value["p"]) + stats.multivariate_normal(value["m"], value["s"]).logpdf(y)
    wide = np.log(value["p"]) + stats.multivariate_t([0, 0], 25 * np.eye(2), 2).logpdf(y)
    assert fit.log_likelihood == pytest.approx(np.logaddexp(tight, wide).sum(), rel=1e-10)
    np.testing.assert_allclose(fit.probability["z"].values[:, 1], 1 / (1 + np.exp(tight - wide)), atol=1e-8)

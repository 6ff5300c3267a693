"""Student-t rows in every pass: one model with everything in it against the oracle, gradients, memory, the fused Op, PyMC."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.draws import joint_log_densities
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.kernel import loops
from emvsmcmc.expect.kernel.pack import RADIAL, expected_gradient, row_pass
from emvsmcmc.expect.objective import MAP, ML
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect, expect_rows
from emvsmcmc.families.radial import log_constant
from emvsmcmc.invariance.axes import rotations
from emvsmcmc.mcmc.fused_op import Expectation
from emvsmcmc.mcmc.model import build_model, log_posterior
from emvsmcmc.numerics import COMPLEX_STEP
from emvsmcmc.spec.evaluate import Environment


def somewhere(plan: Plan, seed: int = 0) -> tuple[Coordinates, np.ndarray, Environment]:
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    u = chart.pack(chart.env) + 0.4 * np.random.default_rng(seed).normal(size=chart.size)
    return chart, u, chart.unpack(u)


def mixture(cell: float) -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        mean = ev.Normal("mean", 2, 10, dims="component")
        sigma = ev.InverseGamma("sigma", 3, 3, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.StudentT("y", 4, mean[group], sigma[group], dims="row")
        ev.Normal("x", mean[group], 1.0, dims="row")
    r = np.random.default_rng(9)
    z = r.integers(0, 2, 50)
    y, x = 5 * z + r.standard_t(4, 50), 5 * z + r.normal(size=50)
    y[[3, 20]] = cell
    return ev.condition(spec, {"y": y, "x": x})


def mixed() -> ev.Problem:
    """A factor behind Normal items with holes, two Student-t variables of other dims, a Switch, covariates, some labels."""
    with ev.Spec(coords={"component": 2, "item": 3}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        loading = ev.Normal("loading", 1, 1, dims="item")
        noise = ev.HalfNormal("noise", 1, dims="item")
        a = ev.Normal("a", 0, 3, dims="component")
        b = ev.Normal("b", 0, 3)
        sigma = ev.HalfNormal("sigma", 2, dims="component")
        nu = ev.Gamma("nu", 3, 0.5, dims="component")
        level = ev.Normal("level", 0, 3, dims="item")
        w = ev.Data("w", dims="row")
        z = ev.Categorical("z", weight, dims="row")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("x", loading * factor, noise, dims=("row", "item"))
        y = ev.StudentT("y", nu[z], a[z] + b * (w * w), sigma[z], dims="row")
        ev.StudentT("s", 5, level, 0.8, dims=("row", "item"))
        ev.Switch("q", z, [ev.Normal.dist(b * y, 2.0), ev.StudentT.dist(3, b, 1.5)], dims="row")
    r = np.random.default_rng(0)
    n = 90
    x = r.normal(size=(n, 1)) * [1, 0.8, -0.6] + 0.5 * r.normal(size=(n, 3))
    x[r.random(x.shape) < 0.15] = np.nan
    s = r.standard_t(5, (n, 3))
    s[r.random(s.shape) < 0.15] = np.nan
    label = r.integers(0, 2, n)
    data = {"w": r.normal(size=n), "x": x, "y": r.standard_t(3, n) + 4 * label, "s": s, "q": r.standard_t(3, n)}
    return ev.condition(spec, data | {"z": np.where(r.random(n) < 0.3, label, -1)}, weights=r.uniform(0.5, 2, n))


def differences(f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    out = np.zeros_like(x)
    for i in zip(*np.nonzero(np.isfinite(x)), strict=True):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        out[i] = (f(up) - f(down)) / (2 * h)
    return out


# ------------------------------------------------------------------------------------------- one model with everything in it


def test_a_mixed_model_keeps_the_contract() -> None:
    plan = make_plan(mixed())
    assert plan.layout.hidden.any()
    assert plan.layout.radial.holes.any()
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
    score = chart.score(chart.pack(fit.environment), S, MAP)
    step = np.linalg.solve(fit.information, score)
    assert np.abs(step / np.sqrt(np.diag(np.linalg.inv(fit.information)))).max() < 1e-5
    assert np.isnan(fit.problem.given["s"].array).any()
    assert set(fit.latent) >= {"factor", "factor_sd"}
    assert "s" not in fit.latent  # a dropped value has no Gaussian posterior


def packed_coefficients(plan: Plan, env: Environment) -> tuple[np.ndarray, ...]:
    C = coefficients(plan, env)
    return C.c, np.concatenate([C.B, C.A], axis=1), C.T, C.nu


def test_gradients_of_the_pass() -> None:
    """With respect to c, B (radial rows are its last), T and nu, against differences of the value alone."""
    plan = make_plan(mixed())
    arguments = packed_coefficients(plan, somewhere(plan)[2])
    packed = plan.store.packed.whole
    value, *gradient = expected_gradient(packed, *arguments[:3], nu=arguments[3])
    assert value == pytest.approx(expect(plan, coefficients(plan, somewhere(plan)[2]))[0], rel=1e-12)
    for i in range(4):

        def f(x: np.ndarray, i: int = i) -> float:
            changed = [x if j == i else a for j, a in enumerate(arguments)]
            return expected_gradient(packed, *changed[:3], nu=changed[3])[0]

        np.testing.assert_allclose(gradient[i], differences(f, arguments[i]), rtol=1e-6, atol=2e-6)
    hidden = np.flatnonzero(plan.layout.hidden.any(axis=0))
    assert not gradient[1][:, -plan.layout.radial.column.size :, hidden].any()


def test_many_rows_and_far_clusters() -> None:
    """Several blocks, and clusters so far from the centre that the gradient takes a second pass about their means."""
    r = np.random.default_rng(10)
    z = r.integers(0, 2, 3000)
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 1e6, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.StudentT("y", 4, mean[group], 1.0, dims="row")
    truth = np.array([-1e6, 1e6])
    plan = make_plan(ev.condition(spec, {"y": truth[z] + r.standard_t(4, 3000)}))
    env = plan.environment({"weight": np.array([0.5, 0.5]), "mean": truth + [0.3, -0.2]})
    _, dc, dB, dT, dnu = expected_gradient(
        plan.store.packed.whole, *packed_coefficients(plan, env)[:3], nu=packed_coefficients(plan, env)[3]
    )
    y = plan.problem.given["y"].array
    e = y - (truth + [0.3, -0.2])[z]
    psi = 5 * e / (4 + e * e)  # d log t / d mean
    centred = y - plan.centre[1]
    for k in range(2):
        assert dc[k] == pytest.approx((z == k).sum())
        assert dB[k, 0, 0] == pytest.approx(-psi[z == k].sum(), abs=1e-6)
        # the slope along the value's own column, brought back from the cluster's mean to the centre
        about = dB[k, 0, 1] - dB[k, 0, 0] * centred[z == k].mean()
        assert about == pytest.approx(-(psi * (centred - centred[z == k].mean()))[z == k].sum(), rel=1e-6)
    np.testing.assert_allclose(dT[plan.radial_tables[0]], dc)
    assert np.isfinite(dnu).all()


def test_the_work_memory_is_large_enough() -> None:
    plan = make_plan(mixed())
    c, B, T, nu = packed_coefficients(plan, somewhere(plan)[2])
    B = B.copy()
    B[:, :, 1:] *= 1e3  # far enough for the second pass of the gradient, which uses all of it
    floats, ints = plan.store.packed.whole
    (K, R, d), t, L = B.shape, nu.shape[1], len(T)
    size = loops.work_size(K, d, R, int(ints[loops.BLOCK]))
    behind = np.full(64, 12345.0)
    work, M, S = (np.concatenate([np.full(n, 12345.0), behind]) for n in (size, K * d * d, (L + t) * K))
    tables, N, dB = np.concatenate([T.ravel(), nu.ravel()]), np.empty(K), np.empty(B.shape)
    memory = [x.ctypes.data for x in (floats, ints, c, B, tables, np.zeros((K, d)), N, M, S, dB, work)]
    row_pass(RADIAL)(*memory[:4], R, *memory[4:6], loops.GRADIENT, *memory[6:])
    for x in (work, M, S):
        assert (x[-64:] == 12345.0).all()
    assert (work[size - K * R * d : size] != 12345.0).any()


def test_shapes_that_do_not_fit_are_refused() -> None:
    plan = make_plan(mixed())
    c, B, T, nu = packed_coefficients(plan, somewhere(plan)[2])
    for wrong in (None, nu[1:], nu[:, 1:]):
        with pytest.raises(ValueError, match="the rows take nu"):
            expected_gradient(plan.store.packed.whole, c, B, T, nu=wrong)


@pytest.mark.parametrize("shared", [False, True])
def test_a_loading_that_a_student_mean_reads_cannot_be_turned(shared: bool) -> None:
    """Factors may be rotated only where nothing else tells their axes apart, and a Student-t mean does."""
    with ev.Spec(coords={"item": 5, "factor": 2}) as spec:
        loading = ev.Normal("loading", 0, 1, dims=("item", "factor"))
        other = ev.Normal("other", 0, 1, dims=("item", "factor"))
        w = ev.Data("w", dims=("row", "factor"))
        factor = ev.Normal("f", 0, 1, dims=("row", "factor"))
        ev.Normal("x", ev.dot(loading, factor), ev.HalfNormal("sd", 1, dims="item"), dims=("row", "item"))
        ev.StudentT("y", 4, ev.dot(loading if shared else other, w), 1.0, dims=("row", "item"))
    r = np.random.default_rng(0)
    data = {"x": r.normal(size=(40, 5)), "y": r.normal(size=(40, 5)), "w": r.normal(size=(40, 2))}
    assert len(rotations(make_plan(ev.condition(spec, data)))) == (0 if shared else 1)


# --------------------------------------------------------------------------------------------------------------- PyTensor, PyMC


def test_the_op_equals_the_pass_in_every_mode() -> None:
    plan = make_plan(mixed())
    floats, ints = plan.store.packed.whole
    values = [floats, ints, *packed_coefficients(plan, somewhere(plan)[2])]
    kinds = (pt.dvector, pt.lvector, pt.dvector, pt.dtensor3, pt.dmatrix, pt.dmatrix)
    inputs = [kind() for kind in kinds]
    value = Expectation(radial=True)(*inputs)[0]
    outputs = [value, *pt.grad(2 * value, inputs[2:])]
    ll, *gradient = expected_gradient((floats, ints), *values[2:5], nu=values[5])
    compiled = pytensor.function(inputs, outputs, mode="NUMBA")
    for function in (pytensor.function(inputs, outputs, mode="FAST_COMPILE"), compiled):
        for a, b in zip(function(*values), [ll, *(2 * x for x in gradient)], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-12)
    # one uncacheable Op would make every model that holds it compile anew in every process, in silence
    assert CACHED_SRC_FUNCTIONS.get(compiled.vm.jit_fn.py_func) is not None
    for at, wrong in ((5, values[5][1:]), (2, values[2][1:])):
        with pytest.raises(ValueError, match=r"do not fit|the rows take"):
            compiled(*[wrong if i == at else x for i, x in enumerate(values)])
    with pytest.raises(TypeError, match="axes"):
        Expectation(radial=True)(*inputs[:5])
    quadratic = pytensor.function(inputs[:5], Expectation()(*inputs[:5])[0], mode="NUMBA")
    with pytest.raises(ValueError, match="do not fit"):
        quadratic(*values[:5])


@pytest.mark.parametrize("nu", [0.7, 31.9, 32.1, 1e3])
def test_the_symbolic_constant_and_its_slope(nu: float) -> None:
    x = pt.dscalar()
    f = pytensor.function([x], [log_constant(pt, x), pt.grad(log_constant(pt, x), x)], mode="FAST_COMPILE")
    value, slope = f(nu)
    assert float(value) == pytest.approx(float(log_constant(np, np.array(nu))), rel=1e-13, abs=1e-13)
    exact = np.imag(log_constant(np, np.array(nu + 1j * COMPLEX_STEP))) / COMPLEX_STEP
    assert float(slope) == pytest.approx(float(exact), rel=1e-8, abs=1e-13)


def test_sampled_assignments_beside_student_noise() -> None:
    """With assignments sampled, the native model is the oracle's complete density, holes left out."""
    problem = mixture(np.nan)
    plan = make_plan(problem)
    _, _, env = somewhere(plan, 4)
    model = build_model(plan, "native", "none")
    f = model.compile_fn(
        log_posterior(model, prior=False), mode="FAST_COMPILE", inputs=model.value_vars, on_unused_input="ignore"
    )
    group = np.random.default_rng(0).integers(0, 2, problem.n)
    parameters = {v.label: env.values[v.label].array for v in plan.parameters}
    point = {}
    for rv in model.free_RVs:
        value, transform = model.rvs_to_values[rv], model.rvs_to_transforms[rv]
        given = group if rv.name == "group" else parameters[rv.name]
        x = pt.as_tensor(np.asarray(given, dtype="int64" if rv.name == "group" else float))
        point[value.name] = x.eval() if transform is None else transform.forward(x, *rv.owner.inputs).eval()
    missing = np.isnan(problem.given["y"].array)
    table = density.log_table(problem, parameters).array[np.arange(problem.n), group]
    table = table - np.log(parameters["weight"])[group]  # the assignment's own density is a variable of the model
    assert missing.sum() == 2
    assert float(f(point)) == pytest.approx(float(table.sum()), rel=1e-10)


def test_coefficients_without_radial_rows_are_what_they_were() -> None:
    """A plan without a StudentT has no radial arrays at all."""
    with ev.Spec() as spec:
        ev.Normal("y", ev.Normal("m", 0, 1), ev.HalfNormal("s", 1), dims="row")
    plan = make_plan(ev.condition(spec, {"y": [1.0, 2.0, 4.0]}))
    C = coefficients(plan, somewhere(plan)[2])
    assert C.A.size == C.nu.size == 0
    _, S = expect(plan, C)
    assert S.U.size == S.L.size == 0
    assert len(plan.layout.collapsed.weight) == 1  # and its rows collapse as before

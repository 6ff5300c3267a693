"""A known scale for each row, alone or times an estimated one, against closed forms and numerical maxima."""

import dask.array as da
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm, t
from test_laws_mcmc import functions, point

import emvsmcmc as ev
from emvsmcmc import density, gallery
from emvsmcmc.em.look_ups import uses_of
from emvsmcmc.errors import OutOfSupport, TooManyConfigurations, UnsupportedModel
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.heywood import zero_uniquenesses
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.refuse import MAX_CONFIGURATIONS
from emvsmcmc.expect.rows import expect
from emvsmcmc.mcmc.model import build_model

N = 60


def rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, known scales of which some agree, and y = 1 + 2 x with errors of three times these."""
    r = np.random.default_rng(seed)
    x, s = r.normal(size=N), r.choice(np.linspace(0.3, 4.0, 12), size=N)
    return x, s, 1 + 2 * x + 3 * s * r.normal(size=N)


def line(slot: str = "sigma", estimated: bool = True, reverse: bool = False) -> ev.Spec:
    with ev.Spec() as spec:
        a, b = ev.Normal("a", 0, 10), ev.Normal("b", 0, 10)
        x, s = ev.Data("x", dims="row"), ev.Data("s", dims="row")
        scale = s
        if estimated:
            k = ev.HalfNormal("k", 5)
            scale = s * k if reverse else k * s
        ev.Normal("y", a + b * x, dims="row", **{slot: scale})
    return spec


def value(plan: Plan, **at: float) -> float:
    env = plan.environment({k: np.array(v) for k, v in at.items()})
    return expect(plan, coefficients(plan, env))[0]


def fit(problem: ev.Problem, **options: object) -> ev.EMFit:
    return ev.fit_em(problem, **{"starts": 3, "random_seed": 1, "progress": False, "standard_errors": None, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(("slot", "reverse"), [("sigma", False), ("sigma", True), ("variance", False)])
def test_weighted_least_squares(slot: str, reverse: bool) -> None:
    x, s, y = rows()
    found = fit(ev.condition(line(slot, reverse=reverse), {"x": x, "y": y, "s": s if slot == "sigma" else s**2}))
    X = np.column_stack([np.ones(N), x]) / s[:, None]
    wanted, *_ = np.linalg.lstsq(X, y / s)
    k = np.sqrt(np.mean((y / s - X @ wanted) ** 2))
    np.testing.assert_allclose([found.estimate["a"], found.estimate["b"]], wanted, rtol=1e-9)
    np.testing.assert_allclose(found.estimate["k"], k if slot == "sigma" else k**2, rtol=1e-9)
    assert found.log_likelihood == pytest.approx(norm.logpdf(y, np.column_stack([np.ones(N), x]) @ wanted, k * s).sum(), abs=1e-9)
    # the scale of a row matters: plain least squares is another line
    plain, *_ = np.linalg.lstsq(np.column_stack([np.ones(N), x]), y)
    assert np.abs(plain - wanted).max() > 0.01


def test_the_step_of_an_estimated_factor_is_closed() -> None:
    x, s, y = rows()
    plan = make_plan(ev.condition(line(), {"x": x, "y": y, "s": s}))
    uses = uses_of(plan, plan.problem.spec.variables["k"])
    assert uses is not None
    assert uses[0].factor is not None


def test_a_known_scale_with_nothing_to_estimate() -> None:
    x, s, y = rows()
    problem = ev.condition(line(estimated=False), {"x": x, "y": y, "s": s})
    wanted = norm.logpdf(y, 0.5 + x, s)
    assert value(make_plan(problem), a=0.5, b=1.0) == pytest.approx(wanted.sum(), rel=1e-13)
    np.testing.assert_allclose(density.log_likelihood(problem, {"a": 0.5, "b": 1.0}), wanted, rtol=1e-12)


def vectors() -> ev.Spec:
    """Two columns with known scales of their own and a common hidden cause; values may be missing."""
    with ev.Spec(coords={"c": 2}) as spec:
        m, u = ev.Normal("m", 0, 5, dims="c"), ev.HalfNormal("u", 3)
        s = ev.Data("s", dims=("row", "c"))
        f = ev.Normal("f", 0, u, dims="row")
        ev.Normal("y", m + f, s, dims=("row", "c"))
    return spec


def test_vectors_with_holes_and_a_hidden_variable() -> None:
    r = np.random.default_rng(3)
    s, y = r.uniform(0.5, 2, (30, 2)), r.normal(size=(30, 2))
    y[::4, 0] = np.nan
    y[5] = np.nan
    problem = ev.condition(vectors(), {"y": y, "s": s})
    at = {"m": np.array([0.2, -0.3]), "u": np.array(1.3)}
    wanted = 0.0
    for yn, sn in zip(y, s, strict=True):
        o = np.isfinite(yn)
        if o.any():
            wanted += multivariate_normal.logpdf(yn[o], at["m"][o], (1.69 + np.diag(sn**2))[np.ix_(o, o)])
    assert value(make_plan(problem), **at) == pytest.approx(wanted, rel=1e-12)
    assert density.log_likelihood(problem, at).sum() == pytest.approx(wanted, rel=1e-12)


def test_a_student_t_with_a_known_scale() -> None:
    with ev.Spec() as spec:
        a, k = ev.Normal("a", 0, 10), ev.HalfNormal("k", 5)
        s = ev.Data("s", dims="row")
        ev.StudentT("y", 4.0, a, k * s, dims="row")
    _, s_, y = rows(2)
    problem = ev.condition(spec, {"y": y, "s": s_})

    def density_of(u: np.ndarray) -> float:
        return t.logpdf(y, 4, u[0], np.exp(u[1]) * s_).sum()

    assert value(make_plan(problem), a=0.3, k=2.0) == pytest.approx(density_of(np.array([0.3, np.log(2.0)])), rel=1e-12)
    best = minimize(lambda u: -density_of(u), [1.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    found = fit(problem)
    np.testing.assert_allclose([found.estimate["a"], np.log(found.estimate["k"])], best.x, atol=1e-6)


def test_an_expression_of_known_and_estimated_values() -> None:
    """No look-up times a known factor: the step is numerical, and right."""
    _, s, y = rows()
    with ev.Spec() as spec:
        k = ev.HalfNormal("k", 5)
        S = ev.Data("s", dims="row")
        ev.Normal("y", 0, dims="row", variance=S * S + k)  # known variance plus one that is estimated
    problem = ev.condition(spec, {"y": y, "s": s})
    found = fit(problem)
    best = minimize(lambda u: -norm.logpdf(y, 0, np.sqrt(s**2 + np.exp(u[0]))).sum(), [1.0], tol=1e-12)
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-7)


def test_both_passes_and_the_rows_in_chunks() -> None:
    x, s, y = rows()
    spec = vectors()
    r = np.random.default_rng(4)
    s2, y2 = r.choice([0.5, 1.0, 2.0], (N, 2)), r.normal(size=(N, 2))
    at = {"m": np.array([0.2, -0.3]), "u": np.array(1.3)}
    for problem, values in [
        (ev.condition(spec, {"y": y2, "s": s2}), at),
        (gallery.load("hogg_line").problem(scaled=True), {"intercept": 30, "slope": 2, "middle": 400, "spread": 2, "bad": 0.2}),
    ]:
        plan = make_plan(problem)
        C = coefficients(plan, plan.environment({k: np.array(v, dtype=float) for k, v in values.items()}))
        one, two = expect(plan, C), plan.store.packed.expect(C)
        assert one[0] == pytest.approx(two[0], rel=1e-12)
        np.testing.assert_allclose(one[1].M, two[1].M, rtol=1e-9, atol=1e-9)
    chunked = ev.condition(line(), {k: da.from_array(v, chunks=17) for k, v in {"x": x, "y": y, "s": s}.items()})
    whole = fit(ev.condition(line(), {"x": x, "y": y, "s": s}))
    apart = fit(chunked)
    for name in ("a", "b", "k"):
        np.testing.assert_allclose(apart.estimate[name], whole.estimate[name], rtol=1e-8)


@pytest.mark.parametrize("wrong", [0.0, -2.0])
def test_a_scale_is_positive(wrong: float) -> None:
    x, s, y = rows()
    s = s.copy()
    s[3] = wrong
    with pytest.raises(OutOfSupport, match=r"(?s)s: .*positive.*sigma.*y"):
        ev.condition(line(), {"x": x, "y": y, "s": s})


def test_too_many_distinct_scales_are_refused_by_name() -> None:
    n = MAX_CONFIGURATIONS + 1
    r = np.random.default_rng(0)
    problem = ev.condition(line(), {"x": r.normal(size=n), "y": r.normal(size=n), "s": r.uniform(1, 2, n)})
    with pytest.raises(TooManyConfigurations, match=r"(?s)s: .*10,000 distinct values.*Round"):
        make_plan(problem)


def test_a_scale_that_is_hidden_is_still_refused() -> None:
    with ev.Spec() as spec:
        f = ev.Normal("f", 0, 1, dims="row")
        ev.Normal("y", 0, ev.exp(f), dims="row")
    with pytest.raises(UnsupportedModel, match="the same in all rows"):
        make_plan(ev.condition(spec, {"y": np.arange(5.0)}))


def test_eight_schools_profile() -> None:
    """The likelihood at every tau is a product of eight normals, highest at tau = 0."""
    problem = gallery.load("eight_schools").problem()
    y, s = problem.given["effect"].array, problem.given["error"].array
    plan = make_plan(problem)
    last = np.inf
    for tau in (1e-3, 1.0, 5.0, 20.0):
        w = 1 / (s**2 + tau**2)
        mu = (w @ y) / w.sum()
        wanted = norm.logpdf(y, mu, np.sqrt(s**2 + tau**2)).sum()
        assert value(plan, mu=mu, tau=tau) == pytest.approx(wanted, rel=1e-11)
        assert wanted < last
        last = wanted


@pytest.mark.parametrize("objective", ["ml", "map"])
def test_groups_that_do_not_differ_end_at_a_boundary_with_a_name(objective: str) -> None:
    problem = gallery.load("eight_schools").problem()
    y, s = problem.given["effect"].array, problem.given["error"].array
    found = fit(problem, objective=objective, standard_errors="observed")
    precision = (1 / s**2).sum() + (1 / 400 if objective == "map" else 0)  # mu ~ Normal(0, 20)
    assert found.status is ev.Status.HEYWOOD
    assert found.estimate["mu"] == pytest.approx((y / s**2).sum() / precision, abs=1e-5)
    assert found.estimate["tau"] < 1e-3
    assert found.standard_error["mu"] == pytest.approx(precision**-0.5, abs=1e-5)
    assert np.isnan(found.standard_error["tau"])


def test_groups_that_differ_do_not() -> None:
    problem = gallery.load("eight_schools").problem()
    y, s = 5 * problem.given["effect"].array, problem.given["error"].array
    found = fit(ev.condition(problem.spec, {"effect": y, "error": s}), standard_errors="observed")
    best = minimize(lambda u: -norm.logpdf(y, u[0], np.sqrt(s**2 + np.exp(2 * u[1]))).sum(), [30.0, 3.0], tol=1e-12)
    assert found.status is ev.Status.CONVERGED
    np.testing.assert_allclose([found.estimate["mu"], np.log(found.estimate["tau"])], best.x, rtol=1e-4)
    assert np.isfinite(found.standard_error["tau"])


def test_a_latent_whose_slope_is_zero_is_not_at_the_boundary() -> None:
    """A latent's variance is at zero where it adds nothing, unless an estimated slope makes its size a matter of taste."""
    with ev.Spec() as spec:
        slope, tau, sd = ev.Normal("slope", 0, 1), ev.HalfNormal("tau", 1), ev.HalfNormal("sd", 1)
        f = ev.Normal("f", 0, tau, dims="row")
        ev.Normal("y", slope * f, sd, dims="row")
    plan = make_plan(ev.condition(spec, {"y": np.random.default_rng(0).normal(size=20)}))
    env = plan.environment({"slope": np.array(1.0), "tau": np.array(1e-6), "sd": np.array(1.0)})
    assert "tau" not in zero_uniquenesses(plan, env)
    schools = make_plan(gallery.load("eight_schools").problem())
    for tau, zero in [(1e-6, True), (0.1, False)]:
        env = schools.environment({"mu": np.array(8.0), "tau": np.array(tau)})
        assert ("tau" in zero_uniquenesses(schools, env)) is zero


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("eight_schools", {"mu": 5.0, "tau": 4.0}),
        ("hogg_line", {"intercept": 30.0, "slope": 2.0, "middle": 400.0, "spread": 80.0, "bad": 0.2}),
    ],
)
@pytest.mark.parametrize("likelihood", ["fused", "native"])
def test_both_likelihoods_of_nuts_are_the_oracles(name: str, at: dict[str, float], likelihood: str) -> None:
    problem = gallery.load(name).problem()
    plan = make_plan(problem)
    env = plan.environment({k: np.array(v) for k, v in at.items()})
    model = build_model(plan, likelihood, "all")  # type: ignore[arg-type]
    f, here = functions(model), point(model, plan, env)
    found = f(here)
    assert found[0] == pytest.approx(density.log_likelihood(problem, at).sum(), rel=1e-10)
    for i, key in enumerate(here):
        h = 1e-5
        up, down = ({**here, key: here[key] + d} for d in (h, -h))
        assert found[2 + i] == pytest.approx((f(up)[1] - f(down)[1]) / (2 * h), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_eight_schools_in_one_row_end_at_the_boundary_in_any_unit(unit: float) -> None:
    """A single row does not vary: its size is its unit. mu is the mean weighted by 1 / sigma^2, tau zero."""
    y, sigma = np.array([[28.0, 8, -3, 7, -1, 1, 18, 12]]), np.array([[15.0, 10, 16, 11, 9, 11, 10, 18]])
    with ev.Spec(coords={"school": 8}) as spec:
        theta = ev.Normal("theta", ev.Normal("mu", 0, 20 * unit), ev.HalfNormal("tau", 10 * unit), dims=("row", "school"))
        ev.Normal("y", theta, ev.Data("sigma", dims=("row", "school")), dims=("row", "school"))
    fit = ev.fit_em(ev.condition(spec, {"y": y * unit, "sigma": sigma * unit}), starts=3, random_seed=1, progress=False)
    assert fit.status is ev.Status.HEYWOOD
    assert float(fit.estimate["mu"]) == pytest.approx(unit * np.average(y, weights=sigma**-2.0), rel=1e-6)
    assert fit.log_likelihood + 8 * np.log(unit) == pytest.approx(-29.67424, abs=1e-5)
    assert np.isnan(float(fit.standard_error["tau"]))

"""Separation: a likelihood that rises for ever is `unbounded`, exactly where a linear program on the covariates says so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

import emvsmcmc as ev
from emvsmcmc.comparison.verdict import verdict
from emvsmcmc.em import recession
from emvsmcmc.errors import Status
from emvsmcmc.spec.evaluate import complement


def regression(X: np.ndarray, y: np.ndarray, kind: str, trials: int = 1) -> ev.Problem:
    with ev.Spec(coords={"k": X.shape[1]}) as spec:
        x = ev.Data("x", dims=("row", "k"))
        eta = ev.Normal("b0", 0, 10) + ev.dot(x, ev.Normal("b", 0, 10, dims="k"))
        if kind == "poisson":
            ev.Poisson("y", ev.exp(eta), dims="row")
        else:
            ev.Binomial("y", trials, 1 / (1 + ev.exp(-eta)), dims="row")
    return ev.condition(spec, {"x": X, "y": y})


def separated(rising: np.ndarray, fixed: np.ndarray) -> bool:
    """Whether some d has rising @ d >= 0, > 0 for one row, and fixed @ d = 0."""
    if not len(rising):
        return False
    A_eq, b_eq = (fixed, np.zeros(len(fixed))) if len(fixed) else (None, None)
    found = linprog(
        -rising.sum(0), A_ub=-rising, b_ub=np.zeros(len(rising)), A_eq=A_eq, b_eq=b_eq, bounds=[(-1, 1)] * rising.shape[1]
    )
    return bool(-found.fun > 1e-7)


def drawn(seed: int, kind: str) -> tuple[ev.Problem, bool]:
    r = np.random.default_rng(seed)
    while True:
        n, k = int(r.integers(6, 21)), int(r.integers(1, 3))
        X = r.normal(size=(n, k)) if r.random() < 0.5 else r.integers(0, 4, size=(n, k)).astype(float)
        A = np.column_stack([np.ones(n), X])
        if np.linalg.matrix_rank(A) == k + 1:
            break
    eta = A @ (r.normal(size=k + 1) * r.choice([0.5, 2, 6]))
    if kind == "poisson":
        y = r.poisson(np.exp(np.clip(eta - 1, -9, 3)))
        return regression(X, y, kind), separated(-A[y == 0], A[y > 0])
    trials = 3 if kind == "binomial" else 1
    y = r.binomial(trials, 1 / (1 + np.exp(-eta)))
    return regression(X, y, kind, trials), separated(np.vstack([A[y == trials], -A[y == 0]]), A[(y > 0) & (y < trials)])


@pytest.mark.parametrize("kind", ["bernoulli", "binomial", "poisson"])
def test_unbounded_exactly_where_the_linear_program_says_separated(kind: str) -> None:
    seen = set()
    for seed in range(20):
        problem, truth = drawn(seed, kind)
        fit = ev.fit_em(problem, starts=1, random_seed=seed, progress=False)
        assert fit.status is (ev.Status.UNBOUNDED if truth else ev.Status.CONVERGED), seed
        assert (fit.recession is not None) is truth
        seen.add(truth)
    assert seen == {True, False}


def test_without_the_search_a_separated_fit_is_called_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(recession, "cone", lambda rows, upward: None)
    x = np.linspace(-2, 2, 20)
    fit = ev.fit_em(regression(x[:, None], (x > 0.3).astype(int), "bernoulli"), starts=1, random_seed=0, progress=False)
    assert fit.status is not ev.Status.UNBOUNDED


def groups() -> ev.Problem:
    with ev.Spec(coords={"g": 3}) as spec:
        of = ev.Data("of", dims="row")
        b = ev.Normal("b", 0, 3, dims="g")
        ev.Bernoulli("y", 1 / (1 + ev.exp(-b[of])), dims="row")
    y = np.r_[np.zeros(10), np.ones(4), np.zeros(6), np.ones(7), np.zeros(3)].astype(int)
    return ev.condition(spec, {"of": np.repeat([0, 1, 2], 10), "y": y})


@pytest.mark.parametrize("seed", range(3))
def test_what_has_a_maximum_keeps_its_standard_error(seed: int) -> None:
    """Groups of 4 and 7 of 10: log-odds with error 1 / sqrt(10 p (1 - p)); the group of zeros has none."""
    fit = ev.fit_em(groups(), starts=2, random_seed=seed, progress=False)
    assert fit.status is ev.Status.UNBOUNDED
    p = np.array([0.4, 0.7])
    assert fit.standard_error["b"].values[1:] == pytest.approx(1 / np.sqrt(10 * p * (1 - p)), rel=1e-6)
    assert np.isnan(fit.standard_error["b"].values[0])
    assert fit.log_likelihood == pytest.approx(10 * (p * np.log(p) + (1 - p) * np.log(1 - p)).sum(), abs=1e-6)
    assert "as b[0] falls" in fit.reason
    assert "from of" in fit.reason
    assert "objective='map'" in fit.sentence
    assert fit.n_parameters == 3
    assert {s.status for s in fit.starts} == {ev.Status.UNBOUNDED}


def test_a_proper_prior_has_a_mode() -> None:
    fit = ev.fit_em(groups(), "map", starts=1, random_seed=0, progress=False)
    assert fit.status is ev.Status.CONVERGED
    assert np.isfinite(fit.standard_error["b"].values).all()


def test_a_large_slope_is_finite() -> None:
    """Negative control: two of a hundred rows on the wrong side."""
    x = np.r_[np.linspace(-1, -0.01, 50), np.linspace(0.01, 1, 50)]
    y = (x > 0).astype(int)
    y[[49, 50]] = 1, 0
    fit = ev.fit_em(regression(x[:, None], y, "bernoulli"), starts=2, random_seed=0, progress=False)
    assert fit.status is ev.Status.CONVERGED
    assert float(fit.estimate["b"].values[0]) > 50


def mixture(wrong: int) -> ev.Problem:
    """Component 0 is labelled and its y is x > .2, but for some rows; component 1 is labelled in part."""
    r = np.random.default_rng(1)
    n = 120
    z, x = r.integers(0, 2, n), r.normal(size=n)
    v = np.where(z == 0, r.normal(-2, 1, n), r.normal(2, 1, n))
    y = np.where(z == 0, x > 0.2, r.random(n) < 1 / (1 + np.exp(-x))).astype(int)
    first = np.flatnonzero(z == 0)[:wrong]
    y[first] = 1 - y[first]
    with ev.Spec(coords={"k": 2}) as spec:
        c = ev.Data("x", dims="row")
        label = ev.Categorical("z", ev.Dirichlet("w", 1.0, dims="k"), dims="row")
        b0, b1 = ev.Normal("b0", 0, 10, dims="k"), ev.Normal("b1", 0, 10, dims="k")
        ev.Normal("v", ev.Normal("m", 0, 10, dims="k")[label], ev.HalfNormal("sd", 5, dims="k")[label], dims="row")
        ev.Binomial("y", 1, 1 / (1 + ev.exp(-(b0[label] + b1[label] * c))), dims="row")
    return ev.condition(spec, {"x": x, "v": v, "y": y, "z": np.where((z == 0) | (r.random(n) < 0.5), z, -1)})


def test_a_separated_component_of_a_mixture() -> None:
    fit = ev.fit_em(mixture(0), starts=3, random_seed=0, progress=False)
    assert fit.status is ev.Status.UNBOUNDED
    assert {s.status for s in fit.starts} == {ev.Status.UNBOUNDED}
    assert np.ptp([s.objective for s in fit.starts]) < 1e-6
    for name in ("b0", "b1"):
        assert np.isnan(fit.standard_error[name].values[0])
        assert np.isfinite(fit.standard_error[name].values[1])
    assert np.isfinite(fit.standard_error["m"].values).all()
    # negative control: with some rows on the other side
    assert ev.fit_em(mixture(6), starts=2, random_seed=0, progress=False).status is ev.Status.CONVERGED


def test_the_complement_of_a_logistic_function_keeps_its_digits() -> None:
    with ev.Spec():
        a = ev.Normal("a", 0, 1)
        assert complement(1 / (1 + ev.exp(-a))) is not None
        assert complement(1 / (2 + ev.exp(-a))) is None  # negative control
        assert complement(ev.exp(a)) is None


def test_the_verdict_says_that_there_is_no_maximum() -> None:
    import pandas as pd

    row = {"r_hat": 1.0, "ess_bulk": 1e4, "ess_tail": 1e4, "gap": 0.1, "in_hdi": True, "se_ratio": 1.0}
    table = pd.DataFrame([row], index=["b"])
    found = verdict(table, 0.1, 4, 0.0, [0] * 4, endless="along b +1")
    assert found.name == "EM misleads"
    assert found.reasons[0] == "the likelihood has no maximum, it rises for ever along b +1"
    assert verdict(table, 0.1, 4, 0.0, [0] * 4).name == "EM suffices"


def test_a_page_a_command_and_a_comparison_say_it(tmp_path) -> None:
    """One predictor that says where all counts are zero: the words are those of the fit, and nobody advises fewer components."""
    with ev.Spec() as spec:
        a, b = ev.Normal("a", 0, 3), ev.Normal("b", 0, 3)
        ev.Poisson("y", ev.exp(a + b * ev.Data("x", dims="row")), dims="row")
    x = np.repeat([0.0, 1.0], 10)
    problem = ev.condition(spec, {"x": x, "y": np.where(x == 0, np.arange(20) % 4 + 1.0, 0.0)})
    found = ev.compare(problem, starts=2, draws=60, tune=100, chains=2, random_seed=1, progress=False)
    said = "rises for ever as b falls (some of y is predicted without error from x)"
    assert found.em.status is Status.UNBOUNDED
    assert found.em.log_likelihood == pytest.approx(poisson_supremum(np.arange(10) % 4 + 1.0), abs=1e-6)
    assert any(said in reason for reason in found.verdict.reasons)
    assert said in found.em.reasons["b"]
    assert np.isfinite(float(found.em.standard_error["a"]))
    assert "components" not in str(found.verdict)
    found.report(tmp_path)
    assert said in (tmp_path / "index.html").read_text()


def poisson_supremum(y: np.ndarray) -> float:
    """Rows without a count contribute nothing in the end, the others their own Poisson likelihood at its mean."""
    return float(stats.poisson(y.mean()).logpmf(y).sum())


def test_a_dose_that_does_not_separate_has_the_textbooks_figures() -> None:
    """Bliss's beetles (1935); Dobson, An Introduction to Generalized Linear Models, chapter 7: -60.72 (5.18) and 34.27 (2.91)."""
    dose = np.array([1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839])
    beetles, dead = np.array([59, 60, 62, 56, 63, 59, 62, 60]), np.array([6, 13, 18, 28, 52, 53, 61, 60])
    with ev.Spec() as spec:
        eta = ev.Normal("intercept", 0, 100) + ev.Normal("slope", 0, 100) * ev.Data("dose", dims="row")
        ev.Binomial("dead", ev.Data("beetles", dims="row"), 1 / (1 + ev.exp(-eta)), dims="row")
    found = ev.fit_em(
        ev.condition(spec, {"dose": dose, "beetles": beetles, "dead": dead}), starts=3, random_seed=1, progress=False
    )
    assert found.status is Status.CONVERGED
    assert [float(found.estimate[k]) for k in ("intercept", "slope")] == pytest.approx([-60.72, 34.27], abs=0.005)
    assert [float(found.standard_error[k]) for k in ("intercept", "slope")] == pytest.approx([5.18, 2.91], abs=0.005)
    apart = ev.condition(spec, {"dose": dose, "beetles": beetles, "dead": np.where(dose > 1.8, beetles, 0)})
    assert ev.fit_em(apart, starts=3, random_seed=1, progress=False).status is Status.UNBOUNDED

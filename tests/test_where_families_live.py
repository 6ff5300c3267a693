"""Where a family has mass or density: outside, and where another branch has mass, a branch of a Switch weighs nothing.

By every route: the engine, the oracle, PyMC and the starts.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.errors import OutOfSupport, UnsupportedModel
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect, expect_rows
from emvsmcmc.problem import branches


def two(one, other, **parameters):
    """p ~ Beta(1, 1), z ~ Bernoulli(p), y from one branch or the other; parameters are functions that declare one."""
    with ev.Spec() as spec:
        p = ev.Beta("p", 1, 1)
        found = {name: declare(name) for name, declare in parameters.items()}
        z = ev.Bernoulli("z", p, dims="row")
        ev.Switch("y", z, [one(found), other(found)], dims="row")
    return spec


POSITIVE = {"r": lambda n: ev.Gamma(n, 1, 1)}
LINE = {"m": lambda n: ev.Normal(n, 0, 10), "sd": lambda n: ev.HalfNormal(n, 5), **POSITIVE}
NORMAL_EXPONENTIAL = two(lambda q: ev.Normal.dist(q["m"], q["sd"]), lambda q: ev.Exponential.dist(q["r"]), **LINE)
BINOMIAL_POISSON = two(
    lambda q: ev.Binomial.dist(10, q["u"]), lambda q: ev.Poisson.dist(q["r"]), u=lambda n: ev.Beta(n, 1, 1), **POSITIVE
)
EXPONENTIAL_DIRAC = two(lambda q: ev.Exponential.dist(q["r"]), lambda q: ev.Dirac.dist(0), **POSITIVE)
NORMAL_POISSON = two(lambda q: ev.Normal.dist(q["m"], q["sd"]), lambda q: ev.Poisson.dist(q["r"]), **LINE)


NORMAL_BERNOULLI = two(
    lambda q: ev.Normal.dist(q["m"], q["sd"]),
    lambda q: ev.Bernoulli.dist(q["u"]),
    m=LINE["m"],
    sd=LINE["sd"],
    u=lambda n: ev.Beta(n, 1, 1),
)


def log_ratio(a, b):
    """P(z = 1) from the log densities of the two branches."""
    return 1 / (1 + np.exp(a - b))


CASES = {
    "normal or exponential": (
        NORMAL_EXPONENTIAL,
        [-1, -0.1, 0.5, 4],
        {"p": 0.5, "m": 0, "sd": 1, "r": 1},
        [0, 0, *(log_ratio(stats.norm.logpdf(y), stats.expon.logpdf(y)) for y in (0.5, 4))],
    ),
    "binomial or poisson": (
        BINOMIAL_POISSON,
        [3, 12],
        {"p": 0.5, "u": 0.5, "r": 5},
        [log_ratio(stats.binom.logpmf(3, 10, 0.5), stats.poisson.logpmf(3, 5)), 1],
    ),
    "exponential or nothing": (EXPONENTIAL_DIRAC, [0, 0, 0.7, 2], {"p": 0.5, "r": 3}, [1, 1, 0, 0]),
    "normal or bernoulli": (NORMAL_BERNOULLI, [1, 0.5, 0, 2], {"p": 0.5, "m": 0, "sd": 1, "u": 0.5}, [1, 0, 1, 0]),
    "normal or poisson": (NORMAL_POISSON, [2.5, 3, -1], {"p": 0.5, "m": 0, "sd": 2, "r": 4}, [0, 1, 0]),
}


@pytest.mark.parametrize("case", CASES)
def test_routes_agree_on_where_a_branch_counts(case):
    spec, y, known, probability = CASES[case]
    problem = ev.condition(spec, {"y": y}, fixed=known)
    plan = make_plan(problem)
    value, _, rows = expect_rows(plan, coefficients(plan, plan.environment({})))
    np.testing.assert_allclose(rows.responsibility[:, 1], probability, rtol=1e-12)
    np.testing.assert_allclose(rows.log_likelihood, density.log_likelihood(problem, known), rtol=1e-12)
    assert value == pytest.approx(density.log_likelihood(problem, known).sum(), rel=1e-12)
    if case == "normal or exponential":
        assert value == pytest.approx(-9.150, abs=5e-4)


@pytest.mark.parametrize("case", ["normal or exponential", "exponential or nothing", "normal or poisson"])
def test_native_pymc_agrees(case):
    from emvsmcmc.mcmc.model import build_model

    spec, y, known, _ = CASES[case]
    free = {"r": known["r"]}
    problem = ev.condition(spec, {"y": y}, fixed={k: v for k, v in known.items() if k != "r"})
    found = {}
    for likelihood in ("native", "fused"):
        model = build_model(make_plan(problem), likelihood, "all")
        with model:
            point = {"r_log__": np.log(known["r"])}
            found[likelihood] = float(model.compile_logp(sum=True, jacobian=False, mode="FAST_COMPILE")(point))
    expected = density.log_likelihood(problem, free).sum() + density.log_prior(problem, free)
    assert found["native"] == pytest.approx(expected, rel=1e-9)
    assert found["fused"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_mass_outweighs_density_whatever_the_unit(unit):
    """600 zeros belong to the atom: p = .6 and the rate is one over the mean of the others."""
    y = np.concatenate([np.zeros(600), np.random.default_rng(0).exponential(0.2, 400)]) * unit
    problem = ev.condition(EXPONENTIAL_DIRAC, {"y": y})
    assert any("600 of 1,000 rows equal the atom 0 and belong to `Dirac`" in note for note in problem.notes)
    fit = ev.fit_em(problem, starts=3, random_seed=0, progress=False)
    assert float(fit.estimate["p"]) == pytest.approx(0.6, rel=1e-12)
    assert float(fit.estimate["r"]) == pytest.approx(1 / y[600:].mean(), rel=1e-12)
    np.testing.assert_array_equal(fit.probability["z"].values[:600, 1], 1.0)


def test_the_contract_sees_mass_added_to_density(monkeypatch):
    """Negative control: without the rule the engine and the oracle differ."""
    spec, y, known, _ = CASES["exponential or nothing"]
    monkeypatch.setattr(branches, "at_atoms", lambda problem, variable: np.zeros((problem.n, 1), dtype=bool))
    problem = ev.condition(spec, {"y": y}, fixed=known)
    plan = make_plan(problem)
    value, _ = expect(plan, coefficients(plan, plan.environment({})))
    assert abs(value - density.log_likelihood(problem, known).sum()) > 1


def test_half_normal_half_exponential_is_found():
    """All starts were degenerate while the exponential was asked about negative values."""
    rng = np.random.default_rng(0)
    z = rng.random(2000) < 0.5
    y = np.where(z, rng.exponential(3, 2000), rng.standard_normal(2000))
    fit = ev.fit_em(ev.condition(NORMAL_EXPONENTIAL, {"y": y}), starts=5, random_seed=0, progress=False)
    assert fit.converged
    for name, truth in {"p": 0.5, "m": 0.0, "sd": 1.0, "r": 1 / 3}.items():
        assert abs(float(fit.estimate[name]) - truth) < 4 * float(fit.standard_error[name])


def test_zero_inflation_with_a_rate_without_closed_form():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(500)
    y = np.where(rng.random(500) < 0.3, 0, rng.poisson(np.exp(0.5 + 0.7 * x)))
    with ev.Spec() as spec:
        x_ = ev.Data("x", dims="row")
        b0, b1 = ev.Normal("b0", 0, 5), ev.Normal("b1", 0, 5)
        never = ev.Bernoulli("never", ev.Beta("p", 1, 1), dims="row")
        ev.Switch("y", never, [ev.Poisson.dist(ev.exp(b0 + b1 * x_)), ev.Dirac.dist(0)], dims="row")
    fit = ev.fit_em(ev.condition(spec, {"x": x, "y": y}), starts=3, random_seed=0, progress=False)
    assert fit.converged
    for name, truth in {"p": 0.3, "b0": 0.5, "b1": 0.7}.items():
        assert abs(float(fit.estimate[name]) - truth) < 4 * float(fit.standard_error[name])


def test_a_label_that_its_value_contradicts_is_named():
    with pytest.raises(OutOfSupport, match=r"row 0.*the label of 'z' allows"):
        ev.condition(EXPONENTIAL_DIRAC, {"y": [0.0, 0.5, 1.0], "z": [0, -1, 0]}, fixed={"p": 0.5, "r": 1})


def test_values_of_one_row_that_no_branch_can_have_together_are_named():
    with ev.Spec(coords={"d": 2}) as spec:
        z = ev.Bernoulli("z", ev.Beta("p", 1, 1), dims="row")
        r = ev.Gamma("r", 1, 1)
        ev.Switch("y", z, [ev.Exponential.dist(r), ev.Dirac.dist(0)], dims=("row", "d"))
    with pytest.raises(OutOfSupport, match=r"row 1.*one value of 'z' stands for"):
        ev.condition(spec, {"y": [[0.0, 0.0], [0.0, 0.5], [1.0, 2.0]]})


def test_rows_in_chunks_follow_the_same_rule():
    array = pytest.importorskip("dask.array")
    y = np.random.default_rng(1).permutation(np.concatenate([np.zeros(600), np.random.default_rng(0).exponential(0.2, 400)]))
    problem = ev.condition(EXPONENTIAL_DIRAC, {"y": array.from_array(y, chunks=250)})
    assert any("600 of 1,000 rows equal the atom 0 and belong to `Dirac`" in note for note in problem.notes)
    fit = ev.fit_em(problem, starts=2, random_seed=0, progress=False)
    assert float(fit.estimate["p"]) == pytest.approx(0.6, rel=1e-12)
    assert float(fit.estimate["r"]) == pytest.approx(400 / y.sum(), rel=1e-12)


def test_no_value_at_the_atom_is_an_estimate_of_zero():
    """Without a zero the share of an atom at zero is zero, not a class without rows."""
    y = np.random.default_rng(0).exponential(0.2, 50)
    fit = ev.fit_em(ev.condition(EXPONENTIAL_DIRAC, {"y": y}), starts=2, random_seed=0, progress=False)
    assert float(fit.estimate["p"]) == 0.0
    assert fit.log_likelihood == pytest.approx(stats.expon(scale=y.mean()).logpdf(y).sum(), rel=1e-12)
    assert fit.n_parameters == 1
    assert np.isnan(fit.standard_error["p"])
    assert "boundary" in fit.reasons["p"]


def test_mass_beside_a_vector_is_refused():
    """Added together they gave -1.226 instead of -5.724, and the oracle, which has no Switch between vectors, could not tell."""
    with ev.Spec(coords={"d": 2}) as spec:
        z = ev.Bernoulli("z", ev.Beta("p", 1, 1), dims="row")
        m = ev.Normal("m", 0, 10, dims="d")
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("d", "d_bis"))
        ev.Switch("y", z, [ev.MvNormal.dist(m, cov), ev.Dirac.dist(0)], dims=("row", "d"))
    with pytest.raises(UnsupportedModel, match="mass beside MvNormal"):
        ev.condition(spec, {"y": [[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]]})

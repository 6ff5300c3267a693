"""Where overdispersed counts become their limits, their last digits, what is refused, and what is said of their steps."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
from count_models import Model, beta_binomials, geometrics, multinomials, negative_binomials
from scipy import stats

import emvsmcmc as ev
from emvsmcmc.errors import OutOfSupport, UnsupportedModel
from emvsmcmc.families import BY_NAME


def single(child: Callable[[Any, Any], None]) -> ev.Spec:
    with ev.Spec() as spec:
        child(ev.Gamma("a", 1.0, 0.1), ev.Gamma("b", 1.0, 0.1))
    return spec


POISSON_LIKE = single(lambda a, b: ev.NegativeBinomial("y", a, b, dims="row"))
BINOMIAL_LIKE = single(lambda a, b: ev.BetaBinomial("y", a, b, 10, dims="row"))
EVEN = np.random.default_rng(0).binomial(10, 0.4, 200).astype(float)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_without_overdispersion_a_negative_binomial_is_a_poisson(scale: float) -> None:
    y = np.round(np.random.default_rng(1).normal(scale * EVEN.mean(), 0.5 * np.sqrt(scale), 200)) if scale > 1 else EVEN
    fit = ev.fit_em(ev.condition(POISSON_LIKE, {"y": y}), starts=2, random_seed=0, progress=False)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(stats.poisson.logpmf(y, y.mean()).sum(), abs=1e-8)
    assert float(fit.estimate["a"]) == pytest.approx(y.mean(), rel=1e-7)
    assert float(fit.standard_error["a"]) == pytest.approx(np.sqrt(y.mean() / 200), rel=1e-6)
    assert np.isnan(fit.standard_error["b"])
    assert "no more spread than a Poisson" in fit.reasons["b"]
    assert fit.n_parameters == 1


def test_without_overdispersion_a_beta_binomial_is_a_binomial() -> None:
    y = np.repeat([3.0, 4.0, 5.0, 4.0], 50)
    fit = ev.fit_em(ev.condition(BINOMIAL_LIKE, {"y": y}), starts=2, random_seed=0, progress=False)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(stats.binom.logpmf(y, 10, 0.4).sum(), abs=1e-8)
    a, b = float(fit.estimate["a"]), float(fit.estimate["b"])
    assert a / (a + b) == pytest.approx(0.4, abs=1e-7)
    assert all("no more spread than a Binomial" in fit.reasons[k] for k in ("a", "b"))
    assert np.isnan([fit.standard_error[k] for k in ("a", "b")]).all()
    assert fit.n_parameters == 1


def test_a_component_at_its_limit_comes_back_where_the_rows_want_it() -> None:
    """From a start at the limit EM finds the same maximum as from elsewhere."""
    model = negative_binomials()
    problem = ev.condition(model.spec, model.data)
    fit = ev.fit_em(problem, starts=2, random_seed=0, progress=False)
    init = {"weight": [0.5, 0.5], "mu": [3.0, 25.0], "alpha": [1e14, 1e14]}
    far = ev.fit_em(problem, init=init, progress=False)
    assert far.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)


def test_with_a_prior_the_spread_is_finite() -> None:
    fit = ev.fit_em(ev.condition(POISSON_LIKE, {"y": EVEN}), "map", starts=2, random_seed=0, progress=False)
    assert fit.converged
    assert float(fit.estimate["b"]) < 1e3
    assert not fit.reasons


def test_large_counts_are_fitted_to_the_last_digits() -> None:
    """Counts of millions: log x! alone is 1e8, and the objective still rises to the maximum that moments of Gammas leave."""
    r = np.random.default_rng(7)
    y = r.poisson(3e6 * r.gamma(4.0, 0.25, 100)).astype(float)
    fit = ev.fit_em(ev.condition(POISSON_LIKE, {"y": y}), starts=2, random_seed=0, progress=False)
    assert fit.converged
    assert float(fit.estimate["a"]) == pytest.approx(y.mean(), rel=1e-7)  # the maximum lies at the mean, whatever alpha is
    # the counts are all but Gamma variables, whose shape is known to the ratio of the arithmetic and the geometric mean
    assert float(fit.estimate["b"]) == pytest.approx(stats.gamma.fit(y, floc=0)[0], rel=1e-4)


def exact_negative_binomial(x: int, mu: int, alpha: int) -> float:
    """By whole numbers and 60 decimals."""
    getcontext().prec = 60
    m, a = Decimal(mu), Decimal(alpha)
    return float(Decimal(comb(x + alpha - 1, x)).ln() + a * (a / (a + m)).ln() + x * (m / (a + m)).ln())


@pytest.mark.parametrize(("x", "mu", "alpha"), [(5, 3, 2), (10**6, 999_000, 5), (10**5, 100_300, 10**5), (100, 99, 10**7)])
def test_negative_binomial_to_the_last_digits(x: int, mu: int, alpha: int) -> None:
    exact = exact_negative_binomial(x, mu, alpha)
    found = BY_NAME["NegativeBinomial"].at_value(
        np, np.array([float(x)]), mu=np.array([float(mu)]), alpha=np.array([float(alpha)])
    )  # type: ignore[attr-defined]
    assert float(found[0]) == pytest.approx(exact, abs=2e-13)
    naive = float(BY_NAME["NegativeBinomial"].logpdf(np.array(float(x)), mu=float(mu), alpha=float(alpha)))
    assert (abs(naive - exact) > 1e-10) == (x > 5)  # negative control: the textbook formula cancels


@pytest.mark.parametrize(("x", "n", "alpha", "beta"), [(3, 10, 1, 1), (0, 5, 2, 3), (5, 5, 2, 3), (1000, 3000, 5000, 10_000)])
def test_beta_binomial_to_the_last_digits(x: int, n: int, alpha: int, beta: int) -> None:
    def beta_function(p: int, q: int) -> Fraction:
        return Fraction(1, (p + q - 1) * comb(p + q - 2, p - 1))

    getcontext().prec = 60
    exact = comb(n, x) * beta_function(x + alpha, n - x + beta) / beta_function(alpha, beta)
    wanted = float(Decimal(exact.numerator).ln() - Decimal(exact.denominator).ln())
    given = {k: np.array([float(v)]) for k, v in (("n", n), ("alpha", alpha), ("beta", beta))}
    found = BY_NAME["BetaBinomial"].at_value(np, np.array([float(x)]), **given)  # type: ignore[attr-defined]
    assert float(found[0]) == pytest.approx(wanted, abs=5e-14)


def test_a_limit_is_the_other_distribution() -> None:
    x = np.array([0.0, 3.0, 10.0])
    nb = BY_NAME["NegativeBinomial"].at_value(np, x, mu=np.array([4.0]), alpha=np.array([1e15]))  # type: ignore[attr-defined]
    np.testing.assert_allclose(nb, stats.poisson.logpmf(x, 4.0), atol=1e-12)
    bb = BY_NAME["BetaBinomial"].at_value(np, x, n=np.array([10.0]), alpha=np.array([2e15]), beta=np.array([3e15]))  # type: ignore[attr-defined]
    np.testing.assert_allclose(bb, stats.binom.logpmf(x, 10, 0.4), atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "data", "said"),
    [
        (multinomials, {"y": [[1, 2, np.nan], [1, 1, 1]], "trials": [3, 3]}, ["all of them there or all missing", "row 0"]),
        (multinomials, {"y": [[1, 2, 0], [1, 1, 1], [2, 1, 1]], "trials": [3, 3, 3]}, ["sum to 3", "row 2"]),
        (geometrics, {"y": [1, 2, 0]}, ["at least 1", "0 in row 2"]),
        (negative_binomials, {"y": [1, 2.5, 0]}, ["whole number", "2.5 in row 1"]),
        (beta_binomials, {"y": [1, 2, 9], "trials": [3, 4, 5]}, ["from 0 to n", "9 in row 2"]),
        (beta_binomials, {"y": [1, 2, 1], "trials": [3, 2.5, 5]}, ["y.n", "2.5 in row 1"]),
    ],
)  # fmt: skip
def test_values_outside_are_named(spec: Callable[[], Model], data: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(OutOfSupport) as refused:
        ev.condition(spec().spec, data)
    assert all(words in str(refused.value) for words in said), str(refused.value)


def test_a_prior_on_negative_numbers_and_a_switch_of_vectors_are_refused() -> None:
    with ev.Spec() as spec:
        ev.NegativeBinomial("y", ev.Gamma("mu", 2, 1), ev.Normal("alpha", 3, 1), dims="row")
    with pytest.raises(UnsupportedModel, match=r"alpha.*positive numbers"):
        ev.fit_em(ev.condition(spec, {"y": [0, 1, 5]}), progress=False)
    with ev.Spec(coords={"category": 3}) as spec:
        z = ev.Bernoulli("z", ev.Beta("w", 1, 1), dims="row")
        p = [ev.Dirichlet(n, 1.0, dims="category") for n in ("p", "q")]
        ev.Switch("y", z, [ev.Multinomial.dist(4, x) for x in p], dims=("row", "category"))
    with pytest.raises(UnsupportedModel, match="counts that go together"):
        ev.condition(spec, {"y": [[4, 0, 0], [1, 2, 1]]})


def test_explain_says_what_has_no_closed_form() -> None:
    text = str(negative_binomials().spec.explain())
    assert "alpha: the alpha of y (NegativeBinomial) has no closed form" in text
    assert "p[k] = N[k] / (N[k] + Σ_row r[row, k] (y[row] − 1))" in str(geometrics().spec.explain())
    assert "p[k, category] = Σ_row r[row, k] y[row, category] / Σ_category" in str(multinomials().spec.explain())

"""A family that the package has never heard of, in this file alone: whatever a child can do, it can do.

Rayleigh, p(x) = 2 lam x exp(-lam x^2) on x >= 0, by the rate of its square. PyMC has none; its twin is a Weibull of shape 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.families import Argument, ConjugateFamily, Family, TableFamily, Twin
from emvsmcmc.families.base import Array, missing_as_zero
from emvsmcmc.families.kinds import RATE
from emvsmcmc.families.support import Positive, Support
from emvsmcmc.spec.constructors import Constructor


def as_weibull(xp: ModuleType, arguments: Mapping[str, Array]) -> dict[str, Array]:
    return {"alpha": np.float64(2.0), "beta": arguments["lam"] ** -0.5}


class Rayleigh(Family, TableFamily, ConjugateFamily):
    """log p(x | lam) = log 2 + log lam + log x - lam x^2."""

    name = "Rayleigh"
    arguments = {"lam": Argument(Positive(), RATE)}
    open_support = True
    twin = Twin("Weibull", as_weibull, sized=True)

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.sqrt(rng.standard_exponential(shape) / arguments["lam"])

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        return stats.rayleigh.logpdf(x, scale=np.sqrt(0.5 / np.asarray(arguments["lam"])))

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = missing_as_zero(x)
        return [there, value**2, np.log(2 * np.where(there > 0, value, 0.5))]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        lam = arguments["lam"]
        return [xp.log(lam), -lam, xp.ones_like(lam)]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return statistics[0], statistics[1]


RAYLEIGH = Constructor(Rayleigh())
PARTS = 2


def mixture() -> ev.Spec:
    with ev.Spec(coords={"component": PARTS}) as spec:
        weight = ev.Dirichlet("weight", 2.0, dims="component")
        lam = ev.Gamma("lam", 2.0, 1.0, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        RAYLEIGH("x", lam[group], dims="row")
    return spec


@pytest.fixture(scope="module")
def problem() -> ev.Problem:
    drawn = ev.simulate(mixture(), {"row": 150}, {"weight": [0.4, 0.6], "lam": [0.02, 2.0]}, random_seed=3)
    x = drawn["x"].values.copy()
    x[::40] = np.nan
    return ev.condition(mixture(), {"x": x}, weights=np.where(np.arange(150) % 7, 1.0, 2.0))


def textbook(problem: ev.Problem, prior: bool) -> Any:
    """-log posterior (or likelihood) of (logit weight, log lam, log lam), and where it is lowest."""
    x, w = problem.given["x"].array, problem.weights
    x, w = x[np.isfinite(x)], w[np.isfinite(x)]

    def loss(u: np.ndarray) -> float:
        p, lam = 1 / (1 + np.exp(-u[0])), np.exp(u[1:])
        parts = [np.log(q) + stats.rayleigh.logpdf(x, scale=np.sqrt(0.5 / rate)) for q, rate in zip((p, 1 - p), lam, strict=True)]
        out = (w * np.logaddexp(*parts)).sum()
        if prior:
            out += stats.beta.logpdf(p, 2, 2) + stats.gamma.logpdf(lam, 2.0, scale=1.0).sum()
        return -out

    best = optimize.minimize(loss, [np.log(0.4 / 0.6), np.log(0.02), np.log(2.0)], method="BFGS", options={"gtol": 1e-9})
    return loss, best


@pytest.mark.parametrize("objective", ["ml", "map"])
def test_em_is_the_maximum_of_the_textbook(problem: ev.Problem, objective: Any) -> None:
    fit = ev.fit_em(problem, objective=objective, random_seed=1, progress=False, starts=4)
    _, best = textbook(problem, objective == "map")
    lam = np.sort(fit.estimate["lam"].values)
    assert fit.converged
    np.testing.assert_allclose(np.sort(np.exp(best.x[1:])), lam, rtol=1e-6)
    if objective == "ml":
        assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-8)
        assert fit.log_likelihood == pytest.approx(
            float(problem.weights @ density.log_likelihood(problem, fit.estimate)), abs=1e-9
        )


def test_standard_errors_are_second_differences(problem: ev.Problem) -> None:
    fit = ev.fit_em(problem, random_seed=1, progress=False, starts=4)
    loss, best = textbook(problem, False)
    h = 1e-4 * np.eye(3)
    H = [[loss(best.x + a + b) - loss(best.x + a - b) - loss(best.x - a + b) + loss(best.x - a - b) for b in h] for a in h]
    of_log = np.sqrt(np.diag(np.linalg.inv(np.array(H) / 4e-8)))[1:]
    lam, se = fit.estimate["lam"].values, fit.standard_error["lam"].values
    np.testing.assert_allclose(np.sort(se / lam), np.sort(of_log), rtol=1e-4)


def test_hard_assignment(problem: ev.Problem) -> None:
    fit = ev.fit_em(problem, assignment="hard", random_seed=1, progress=False, starts=4)
    x, w = problem.given["x"].array, problem.weights
    first = fit.probability["group"].values.argmax(axis=1)
    for k in range(PARTS):
        mine = (first == k) & np.isfinite(x)
        np.testing.assert_allclose(fit.estimate["lam"].values[k], w[mine].sum() / (w[mine] @ x[mine] ** 2), rtol=1e-8)


def test_explained(problem: ev.Problem) -> None:
    text = str(mixture().explain(problem))
    assert "Rayleigh(lam[group])" in text
    assert "lam: events over exposure" in text
    assert "x[row]²" in text
    assert "lam: mode of a Gamma" in text


def test_a_value_outside_is_refused_by_name() -> None:
    with pytest.raises(ev.errors.OutOfSupport, match=r"x: expected .*Rayleigh.* row 1"):
        ev.condition(mixture(), {"x": [1.0, -2.0, 3.0]})
    with pytest.raises(ev.errors.InvalidSpec, match=r"x\.lam: expected a positive number"), ev.Spec():
        RAYLEIGH("x", 0.0, dims="row")


def test_both_likelihoods_and_the_page(problem: ev.Problem, tmp_path: Path) -> None:
    """Compared by each likelihood: the contract holds them, EM and the oracle to one number at the same parameters."""
    for likelihood in ("fused", "native"):
        found = ev.compare(
            problem, draws=150, tune=200, chains=2, likelihood=likelihood, random_seed=5, progress=False, starts=4
        )  # fmt: skip
        assert found.contract.holds
        table = found.table
        away = (table["mean"] - table["map"]).abs() / table["sd"]
        assert (away < 1.0).all()
    page = found.report(tmp_path).read_text(encoding="utf-8")
    assert "lam" in page
    assert found.verdict.name in page

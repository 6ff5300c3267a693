"""Mixtures and regressions of counts against an independent optimiser of the textbook likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from count_models import MODELS, Model, Objective
from scipy import stats
from scipy.optimize import minimize

import emvsmcmc as ev


def maximum(objective: Objective, starts: list[Any]) -> tuple[float, np.ndarray, np.ndarray]:
    """(value, place, standard errors) of the highest point that BFGS finds from some places, polished by Newton."""
    ends = [minimize(lambda u: -objective(u), np.array(start, float), method="BFGS", options={"gtol": 1e-6}) for start in starts]
    u = min(ends, key=lambda e: e.fun).x
    for _ in range(4):
        gradient, H = differences(objective, u)
        u = u - np.linalg.solve(H, gradient)
    return objective(u), u, np.sqrt(np.diag(np.linalg.inv(-H)))


def differences(f: Objective, u: np.ndarray, h: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    """Gradient, to the fourth order so that the place is right to a few 1e-5 standard errors, and Hessian."""
    e, wide = h * np.eye(len(u)), 10 * h * np.eye(len(u))
    gradient = [8 * (f(u + d) - f(u - d)) - f(u + 2 * d) + f(u - 2 * d) for d in e]
    H = [[f(u + a + b) - f(u + a - b) - f(u - a + b) + f(u - a - b) for b in wide] for a in wide]
    return np.array(gradient) / (12 * h), np.array(H) / (400 * h * h)


def canonical(model: Model, fit: ev.EMFit, place: np.ndarray) -> np.ndarray:
    """EM's answer packed, its components in the order of the other optimiser's."""
    estimate = fit.estimate
    if "component" in estimate.dims:
        swapped = estimate.isel(component=[1, 0])
        return min((model.pack(e) for e in (estimate, swapped)), key=lambda u: float(np.abs(u - place).sum()))
    return model.pack(estimate)


@pytest.mark.parametrize("objective", ["ml", "map"])
@pytest.mark.parametrize("name", MODELS)
def test_em_is_the_maximum_that_an_independent_optimiser_finds(name: str, objective: str) -> None:
    model = MODELS[name]()

    def textbook(u: np.ndarray) -> float:
        return float(model.rows(u).sum()) + (model.prior(u) if objective == "map" else 0.0)

    value, place, error = maximum(textbook, model.starts)
    fit = ev.fit_em(ev.condition(model.spec, model.data), objective, starts=4, random_seed=0, progress=False)  # type: ignore[arg-type]
    assert fit.converged
    assert fit.objective_value == pytest.approx(value, abs=1e-8)
    ours = canonical(model, fit, place)
    assert textbook(ours) == pytest.approx(fit.objective_value, abs=1e-8)  # what is reported is the textbook's at that place
    np.testing.assert_array_less(np.abs(ours - place), 1e-4 * error)


@pytest.mark.parametrize("name", MODELS)
def test_weight_two_is_the_row_twice_and_a_hole_is_no_row(name: str) -> None:
    """With every first row counted twice, and every seventh value missing (its row, with nothing else measured, drops out)."""
    model = MODELS[name]()
    n = len(model.data["y"])
    twice, hole = np.arange(n) % 2 == 0, np.arange(n) % 7 == 0
    repeated = np.flatnonzero(~hole).repeat(np.where(twice, 2, 1)[~hole])
    holed = {k: np.array(v, dtype=float) for k, v in model.data.items()}
    holed["y"][hole] = np.nan
    options: dict[str, Any] = {"starts": 2, "random_seed": 0, "progress": False}
    weighted = ev.fit_em(ev.condition(model.spec, holed, weights=np.where(twice, 2.0, 1.0)), "map", **options)
    plain = ev.fit_em(ev.condition(model.spec, {k: np.asarray(v)[repeated] for k, v in model.data.items()}), "map", **options)
    assert weighted.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-7)
    ours = canonical(model, weighted, model.pack(plain.estimate))
    np.testing.assert_allclose(ours, model.pack(plain.estimate), atol=2e-5)
    # negative control: the weights matter
    assert abs(weighted.log_likelihood - model.rows(ours)[~hole].sum()) > 1


def test_cells_with_trials_of_their_own() -> None:
    """A count of one cell may be larger than the trials of another."""
    r = np.random.default_rng(3)
    with ev.Spec(coords={"cell": 2}) as spec:
        a, b = ev.Gamma("a", 2, 0.5, dims="cell"), ev.Gamma("b", 2, 0.5)
        ev.BetaBinomial("y", a, b, ev.Data("n", dims=("row", "cell")), dims=("row", "cell"))
    n = np.column_stack([r.integers(1, 4, 60), r.integers(10, 30, 60)])
    y = r.binomial(n, r.beta([2.0, 5.0], 3.0, (60, 2))).astype(float)
    y[4, 0] = np.nan
    fit = ev.fit_em(ev.condition(spec, {"y": y, "n": n}), starts=1, random_seed=0, progress=False)
    each = stats.betabinom.logpmf(np.nan_to_num(y), n, fit.estimate["a"].values, float(fit.estimate["b"]))
    assert fit.log_likelihood == pytest.approx(each[np.isfinite(y)].sum(), abs=1e-9)


def test_trials_by_cell_are_the_same_in_every_row() -> None:
    r, n = np.random.default_rng(1), np.array([2.0, 9.0, 30.0])
    y = r.binomial(n.astype(int), r.beta(2, 3, (50, 3))).astype(float)
    fits = []
    for dims, trials in (("cell", n), (("row", "cell"), np.tile(n, (50, 1)))):
        with ev.Spec(coords={"cell": 3}) as spec:
            a, b = ev.Gamma("a", 1, 0.1), ev.Gamma("b", 1, 0.1)
            ev.BetaBinomial("y", a, b, ev.Data("n", dims=dims), dims=("row", "cell"))
        fits.append(ev.fit_em(ev.condition(spec, {"y": y, "n": trials}), starts=1, random_seed=0, progress=False))
    each = stats.betabinom.logpmf(y, n, float(fits[0].estimate["a"]), float(fits[0].estimate["b"]))
    assert [fit.log_likelihood for fit in fits] == pytest.approx([each.sum()] * 2, abs=1e-9)

"""What stands for rows instead of the rows: roots of their moments, and completions drawn from moments alone."""

from __future__ import annotations

import numpy as np
import pytest
from examples import EXAMPLES

import emvsmcmc as ev
from emvsmcmc import numerics
from emvsmcmc.em import starts
from emvsmcmc.em.completion import completed_moments
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import NEAR, expect, reference_points
from emvsmcmc.numerics import root_of_moments

APART = 1e-7  # of the collinear columns


def columns(kind: str, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """(rows (n, 4), weights) of one kind."""
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 3)) * [1.0, 1e6, 1e-6]])
    w = rng.integers(0, 3, n).astype(float)
    if kind == "collinear":
        x[:, 2] = 1e6 * (x[:, 1] + APART * rng.normal(size=n))
    if kind == "zero":
        x[:, 2] = 0.0
    if kind == "few":
        x, w = x[:3], np.ones(3)
    return x, w


def lost(R: np.ndarray, x: np.ndarray, w: np.ndarray) -> float:
    """Largest relative error of the residual sum of squares of a column on those before it, from R and from the rows."""
    size = np.sqrt(w @ x**2)
    scaled = x * np.sqrt(w)[:, None] / np.where(size > 0, size, 1.0)
    worst = 0.0
    for j in range(1, x.shape[1]):
        left = scaled[:, j] - scaled[:, :j] @ np.linalg.lstsq(scaled[:, :j], scaled[:, j], rcond=1e-14)[0]
        if size[j] > 0:
            worst = max(worst, abs((R[j, j] / size[j]) ** 2 / float(left @ left) - 1))
    return worst


@pytest.mark.parametrize("kind", ["plain", "collinear", "zero", "few"])
def test_a_root_has_the_moments_of_the_rows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R'R = sum w v v' in the units of each column; what a column has beyond the others is kept, however little it is."""
    x, w = columns(kind)
    R = root_of_moments(x, w)
    assert (np.tril(R, -1) == 0).all()
    G = (x * w[:, None]).T @ x
    units = np.sqrt(np.outer(np.diag(G), np.diag(G)))
    np.testing.assert_allclose(R.T @ R / np.where(units > 0, units, 1), G / np.where(units > 0, units, 1), atol=1e-13)
    if kind != "few":
        assert lost(R, x, w) < 1e-7
    if kind == "collinear":
        monkeypatch.setattr(numerics, "INDEPENDENT", 0.0)  # products whatever the condition
        assert lost(root_of_moments(x, w), x, w) > 1e-4


def of_rows(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """(K, d, d) second moments of a completion of every row."""
    return starts._statistics(plan, plan.full, starts._complete(plan, plan.full, rng), one_hot(plan), rng).M


def one_hot(plan: Plan) -> np.ndarray:
    allowed = np.repeat(plan.full.allowed, np.diff(plan.full.start), axis=0)
    return allowed.astype(float)


def wholly_collapsed() -> list[str]:
    return [name for name, e in EXAMPLES.items() if not len(make_plan(e.build()).layout.V)]


@pytest.mark.parametrize("name", wholly_collapsed())
def test_a_completion_of_moments_is_one_of_rows(name: str) -> None:
    """What is given has its own moments exactly; what is drawn has those of drawn rows on average, four standard errors wide."""
    plan = make_plan(EXAMPLES[name].build())
    S = completed_moments(plan, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    rows = starts._statistics(plan, plan.full, starts._complete(plan, plan.full, rng), one_hot(plan), rng)
    np.testing.assert_allclose(S.N, rows.N, rtol=1e-12)
    np.testing.assert_allclose(S.S, rows.S, rtol=1e-12, atol=1e-12)
    assert np.linalg.eigvalsh(S.M).min() >= -1e-9 * np.abs(S.M).max()
    hidden = plan.full.hidden.any(axis=0)
    given = np.ix_(range(plan.K), np.flatnonzero(~hidden), np.flatnonzero(~hidden))
    np.testing.assert_allclose(S.M[given], rows.M[given], rtol=1e-9, atol=1e-9 * np.abs(rows.M).max())
    if not hidden.any():
        return
    draws = np.array([completed_moments(plan, np.random.default_rng([2, i])).M for i in range(200)])
    others = np.array([of_rows(plan, np.random.default_rng([3, i])) for i in range(200)])
    error = np.sqrt((draws.var(axis=0) + others.var(axis=0)) / 200) + 1e-9 * np.abs(others).max()
    assert (np.abs(draws.mean(axis=0) - others.mean(axis=0)) < 4 * error).all()
    factors = plan.full.hidden.all(axis=0)
    assert not draws[:, :, factors].any()  # factors are left to what the structure says of them
    cells = hidden & ~factors
    if cells.any():
        assert draws.std(axis=0)[:, cells][:, :, cells].max() > 0  # something was drawn


def apart(distance: float) -> tuple[Plan, np.ndarray]:
    """(plan, reference points after one pass) of two clusters so many standard deviations apart."""
    rng = np.random.default_rng(0)
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 100, dims="component")
        sd = ev.HalfNormal("sd", 5, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    x = np.concatenate([rng.normal(-distance / 2, 1, 300), rng.normal(distance / 2, 1, 300)])
    plan = make_plan(ev.condition(spec, {"x": x}))
    values = {"weight": [0.5, 0.5], "mean": [-distance / 2, distance / 2], "sd": [1.0, 1.0]}
    C = coefficients(plan, plan.environment({k: np.array(v) for k, v in values.items()}))
    return plan, reference_points(expect(plan, C)[1], C)


def test_near_clusters_share_a_centre_and_far_ones_do_not() -> None:
    near, far = apart(0.9 * 2 * np.sqrt(NEAR))[1], apart(1.1 * 2 * np.sqrt(NEAR))[1]
    assert not near.any()
    np.testing.assert_allclose(np.abs(far[:, 1]), 1.1 * np.sqrt(NEAR), rtol=0.01)

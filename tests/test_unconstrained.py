"""The unconstrained space: in and out of it, and the Gaussian approximation at a mode."""

from __future__ import annotations

import numpy as np
import pytest
from test_compile import POINT, mixture, zoo

from emvsmcmc.errors import BadInput, MissingData, UnknownName, WrongDims
from emvsmcmc.mcmc import unconstrained as co


def test_unconstrained_and_back() -> None:
    model = mixture()
    x = co.unconstrained(model, POINT | {"gap": 26.0})
    back = co.constrained(model, x)
    for name, value in POINT.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-12)
    assert back["gap"] == pytest.approx(26.0)
    assert back["w"].sum() == pytest.approx(1.0, abs=1e-15)


def test_unconstrained_and_back_with_every_kind_of_shape() -> None:
    model = zoo()
    rng = np.random.default_rng(4)
    point = {"top": 1.5, "low": 0.3, "table": rng.normal(size=(3, 2)), "p": rng.dirichlet(np.ones(4), size=3)}
    xs = np.stack([co.unconstrained(model, point | {"low": low}) for low in (-0.9, 0.0, 1.4)]).reshape(3, 1, -1)
    back = co.constrained(model, xs)
    np.testing.assert_allclose(back["low"].ravel(), [-0.9, 0.0, 1.4], atol=1e-12)
    np.testing.assert_allclose(back["p"], np.broadcast_to(point["p"], (3, 1, 3, 4)), rtol=1e-12)
    np.testing.assert_allclose(back["product"][2, 0], point["table"] @ point["table"].T, rtol=1e-12)
    np.testing.assert_array_equal(back["fixed"], np.broadcast_to(np.arange(3.0), (3, 1, 3)))
    one = co.constrained(model, xs[0, 0], ["table"])
    assert list(one) == ["table"]
    assert one["table"].shape == (3, 2)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"w": [0.0, 1.0]}, BadInput),
        ({"mu": [[54.0, 80.0]]}, WrongDims),
        ({"mu": [54.0, 80.0, 90.0]}, WrongDims),
        ({"nu": 1.0}, UnknownName),
        ({"sd": None}, MissingData),
    ],
)
def test_unconstrained_names_what_is_wrong(change: dict, error: type[Exception]) -> None:
    point = {k: v for k, v in (POINT | change).items() if v is not None}
    with pytest.raises(error, match=next(iter(change))):
        co.unconstrained(mixture(), point)


def quadratic(P: np.ndarray, centre: np.ndarray) -> co.LogDensity:
    return lambda x: (float(-0.5 * (x - centre) @ P @ (x - centre)), -P @ (x - centre))


def test_hessian_and_whitening_of_a_gaussian() -> None:
    rng = np.random.default_rng(5)
    scales = np.array([1e-4, 1.0, 300.0])
    A = rng.normal(size=(3, 3))
    P = (A @ A.T + np.eye(3)) / np.outer(scales, scales)
    density = quadratic(P, np.array([1.0, -2.0, 700.0]))
    start = np.array([1.0003, -1.0, 300.0])
    np.testing.assert_allclose(co.hessian(density, start) / P, -1.0, rtol=1e-5)
    found = co.whitening_at(density, start)
    assert found is not None
    np.testing.assert_allclose((found.mode - [1.0, -2.0, 700.0]) / scales, 0.0, atol=0.02)
    np.testing.assert_allclose(found.L.T @ P @ found.L, np.eye(3), atol=0.05)
    # a saddle and a ridge have no such map
    assert co.whitening_at(quadratic(np.diag([1.0, -1.0]), np.zeros(2)), np.array([0.1, 0.0])) is None
    assert co.whitening_at(quadratic(np.diag([1.0, 0.0]), np.zeros(2)), np.array([0.1, 0.1])) is None


@pytest.mark.parametrize(
    ("mode", "L", "error"),
    [
        (np.zeros(2), np.eye(3), WrongDims),
        (np.zeros(2), np.ones((2, 2)), BadInput),
        (np.zeros(2), -np.eye(2), BadInput),
        (np.array([0.0, np.nan]), np.eye(2), BadInput),
    ],
)
def test_a_map_that_cannot_whiten_is_refused(mode: np.ndarray, L: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        co.Whitening(mode, L)

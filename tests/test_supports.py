"""Laws of the supports: charts that go there and back, stop at the boundary and are holomorphic."""

from __future__ import annotations

import numpy as np
import pytest

from emvsmcmc.families.support import Covariance, Interval, Positive, Real, Simplex, Support, whitener
from emvsmcmc.families.uncharted import Counts

COV = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.7]])
MATRICES = np.stack([COV, np.eye(3), 0.3 * COV + 0.1 * np.eye(3)])
STEP = 1e-30  # of the complex step

INSIDE: dict[str, tuple[Support, np.ndarray]] = {
    "real": (Real(), np.array([[-3.0, 0.0], [1e8, 2.5]])),
    "positive": (Positive(), np.array([1e-8, 1.0, 7e5])),
    "interval": (Interval(-2.0, 5.0), np.array([-1.999, 0.0, 4.9])),
    "simplex": (Simplex(), np.array([[0.2, 0.5, 0.3], [0.98, 0.01, 0.01]])),
    "simplex at": (
        Simplex().at(np.array([[0.2, 0.5, 0.3], [0.98, 0.01, 0.01]])),
        np.array([[0.2, 0.5, 0.3], [0.98, 0.01, 0.01]]),
    ),
    "covariance": (Covariance(), MATRICES),
    "one matrix": (Covariance(), COV),
}
BOUNDARY: dict[str, tuple[Support, np.ndarray]] = {
    "positive": (Positive(), np.array([0.0, 2.0])),
    "interval": (Interval(0.0, 1.0), np.array([0.0, 0.5, 1.0])),
    "last is zero": (Simplex(), np.array([[0.4, 0.6, 0.0], [0.0, 0.5, 0.5]])),
    "first is zero": (Simplex(), np.array([0.0, 0.0, 1.0])),
    "one is everything": (Simplex(), np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])),
}


@pytest.mark.parametrize(("support", "x"), INSIDE.values(), ids=INSIDE)
def test_coordinates_go_there_and_back(support: Support, x: np.ndarray) -> None:
    u = support.to_real(x)
    assert u.ndim == 1
    assert support.free(x).all()
    assert len(u) == len(support.free(x))
    assert support.contains(x).all()
    np.testing.assert_allclose(support.from_real(u, x.shape), x, rtol=1e-12)
    np.testing.assert_allclose(support.to_real(support.from_real(u, x.shape)), u, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("support", "x"), BOUNDARY.values(), ids=BOUNDARY)
def test_the_boundary_has_no_coordinate_and_stays(support: Support, x: np.ndarray) -> None:
    chart = support.at(x)
    u = chart.to_real(x)
    np.testing.assert_array_equal(np.isfinite(u), chart.free(x))
    assert not chart.free(x).all()
    back = chart.from_real(u, x.shape)
    np.testing.assert_allclose(back, x, rtol=1e-12)
    np.testing.assert_array_equal(back == 0, x == 0)


@pytest.mark.parametrize(("support", "x"), INSIDE.values(), ids=INSIDE)
def test_charts_are_holomorphic_and_take_batches(support: Support, x: np.ndarray) -> None:
    u = support.to_real(x)
    batch = u[:, None] + 1j * STEP * np.eye(len(u))
    derivative = np.imag(support.from_real(batch, x.shape)) / STEP
    assert derivative.shape == (*x.shape, len(u))
    for i in range(len(u)):
        e = 1e-6 * np.eye(len(u))[i]
        difference = (support.from_real(u + e, x.shape) - support.from_real(u - e, x.shape)) / 2e-6
        np.testing.assert_allclose(derivative[..., i], difference, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(x).max()))


@pytest.mark.parametrize("name", ["positive", "interval", "simplex", "covariance", "one matrix"])
def test_jacobian_is_the_determinant(name: str) -> None:
    """Of the free entries: all but the last of a simplex, the lower triangle of a matrix."""
    support, x = INSIDE[name]
    u = support.to_real(x)
    derivative = np.imag(support.from_real(u[:, None] + 1j * STEP * np.eye(len(u)), x.shape)) / STEP
    if name == "simplex":
        derivative = derivative[..., :-1, :]
    if isinstance(support, Covariance):
        i, j = np.tril_indices(3)
        derivative = derivative[..., i, j, :]
    expected = np.linalg.slogdet(derivative.reshape(len(u), len(u)))[1]
    np.testing.assert_allclose(support.log_jacobian(u, x.shape), expected, rtol=1e-9)


def test_whitener_inverts_the_covariance() -> None:
    w = whitener(MATRICES)
    np.testing.assert_allclose(w.swapaxes(-1, -2) @ w, np.linalg.inv(MATRICES), rtol=1e-10)
    np.testing.assert_array_equal(np.triu(w, 1), 0)
    np.testing.assert_allclose(Covariance().whitener_from_real(Covariance().to_real(MATRICES), MATRICES.shape), w, rtol=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        whitener(np.array([[1.0, 2.0], [2.0, 1.0]]))


NAN = np.nan
MEMBERS: list[tuple[Support, list[float], list[bool]]] = [
    (Real(), [0.0, -1e300, NAN, np.inf], [True, True, True, False]),
    (Positive(), [0.0, 2.0, NAN, -1e-9, np.inf], [True, True, True, False, False]),
    (Interval(), [0.0, 1.0, NAN, -0.1, 1.1], [True, True, True, False, False]),
    (Counts(), [0, 3, NAN, -1, 2.5, np.inf], [True, True, True, False, False, False]),
    (Counts(3), [0, 3, NAN, 4], [True, True, True, False]),
    (Counts(np.array([1.0, 2.0])), [1, 3], [True, False]),
]


@pytest.mark.parametrize(("support", "x", "inside"), MEMBERS)
def test_members(support: Support, x: list[float], inside: list[bool]) -> None:
    np.testing.assert_array_equal(support.contains(np.array(x, float)), inside)


def test_simplexes_and_matrices_are_judged_whole() -> None:
    np.testing.assert_array_equal(Simplex().contains(np.array([[0.5, 0.5], [0.5, 0.6], [1.5, -0.5]])), [True, False, False])
    bad = np.stack([np.eye(2), [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]])
    np.testing.assert_array_equal(Covariance().contains(bad), [True, False, False])


@pytest.mark.parametrize("name", ["to_real", "from_real"])
def test_counts_have_no_coordinates(name: str) -> None:
    with pytest.raises(TypeError, match="count"):
        getattr(Counts(), name)(*([np.zeros(1)] if name == "to_real" else [np.zeros(1), (1,)]))

"""Small problems with multivariate Student-t vectors; the laws over all examples run on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import emvsmcmc as ev


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def regression() -> ev.Problem:
    """A plane of two heavy-tailed columns on a covariate, degrees of freedom fixed: every step is closed form."""
    with ev.Spec(coords={"column": 2}) as spec:
        a = ev.Normal("a", 0, 10, dims="column")
        b = ev.Normal("b", 0, 10, dims="column")
        scale = ev.InverseWishart("scale", 5, np.eye(2), dims=("column", "column_bis"))
        x = ev.Data("x", dims="row")
        ev.MvStudentT("y", 4, a + b * x, scale, dims=("row", "column"))
    r = rng(30)
    x, u = r.uniform(-2, 2, 60), r.chisquare(4, 60) / 4
    e = r.multivariate_normal([0, 0], [[0.5, 0.3], [0.3, 0.8]], 60) / np.sqrt(u)[:, None]
    y = np.c_[1 + 2 * x, -1 + 0.5 * x] + e
    y[[4, 30]] += [[15.0, 3.0], [0.0, -9.0]]
    return ev.condition(spec, {"x": x, "y": y}, weights=r.integers(1, 4, 60))


def mixture() -> ev.Problem:
    """Two components of three columns with their own degrees of freedom, some labels, a vector missing, and beside them a number
    with degrees of freedom of its own.
    """
    with ev.Spec(coords={"component": 2, "column": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 10, dims=("component", "column"))
        scale = ev.InverseWishart("scale", 6, 2 * np.eye(3), dims=("component", "column", "column_bis"))
        nu = ev.Gamma("nu", 4, 0.4, dims="component")
        level = ev.Normal("level", 2, 10, dims="component")
        sigma = ev.HalfCauchy("sigma", 2)
        group = ev.Categorical("group", weight, dims="row")
        ev.StudentT("x", 5, level[group], sigma, dims="row")
        ev.MvStudentT("y", nu[group], mean[group], scale[group], dims=("row", "column"))
    r = rng(31)
    z = r.integers(0, 2, 80)
    factor = np.linalg.cholesky([[1, 0.5, 0.2], [0.5, 1, 0], [0.2, 0, 0.6]])
    y = np.array([[0.0, 1, 2], [6, -3, 0]])[z] + (r.normal(size=(80, 3)) @ factor.T) / np.sqrt(r.chisquare(4, 80) / 4)[:, None]
    y[8], y[20] = np.nan, [40.0, 30.0, -20.0]
    x = 6.0 * z + r.standard_t(5, 80)
    x[3] = np.nan
    return ev.condition(spec, {"y": y, "x": x, "group": np.where(r.random(80) < 0.2, z, -1)})


def several_vectors() -> ev.Problem:
    """Two vectors a row, each with a latent scale and a scale matrix of its own, and the same degrees of freedom."""
    with ev.Spec(coords={"place": 2, "column": 2}) as spec:
        mean = ev.MvNormal("mean", np.zeros(2), 25 * np.eye(2), dims=("place", "column"))
        scale = ev.LKJCov("scale", 2.0, ev.HalfNormal.dist(2.5), dims=("place", "column", "column_bis"))
        nu = ev.Gamma("nu", 2, 0.1)
        ev.MvStudentT("y", nu, mean, scale, dims=("row", "place", "column"))
    r = rng(32)
    y = r.normal(size=(50, 2, 2)) / np.sqrt(r.chisquare(5, (50, 2)) / 5)[:, :, None] + [[0.0, 1.0], [2.0, 3.0]]
    y[6, 1] = np.nan
    return ev.condition(spec, {"y": y})


T_VECTORS: dict[str, tuple[Callable[[], ev.Problem], bool]] = {  # and whether every step under ML is closed form
    "t_vector_regression": (regression, True),
    "t_vector_mixture": (mixture, False),
    "several_t_vectors": (several_vectors, False),
}

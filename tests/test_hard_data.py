"""Data that break careless arithmetic: columns whose scales differ by 1e8, clusters a million standard deviations apart, rows
without values; and the command line on data that are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from test_bad_input import BAD
from test_laws_mcmc import MODE as PLAIN
from test_laws_mcmc import point
from test_unidentified import UNFIT
from typer.testing import CliRunner

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.cli.app import app
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect, expect_rows
from emvsmcmc.mcmc.model import build_model, log_posterior

TIGHT = 1e-15  # nats still to gain: two fits then differ by less than 1e-7 standard errors
CLASSES = ["low", "high"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------------------------------------- the models


def mixture_spec(kind: str, p: int) -> ev.Spec:
    """Two Gaussian classes with full, tied or diagonal covariances."""
    with ev.Spec(coords={"class": CLASSES, "column": p}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        mean = ev.Normal("mean", 0, 10, dims=("class", "column"))
        z = ev.Categorical("z", weight, dims="row")
        if kind == "diagonal":
            sd = ev.HalfNormal("sd", 3, dims=("class", "column"))
            ev.Normal("y", mean[z], sd[z], dims=("row", "column"))
        elif kind == "tied":
            tied = ev.InverseWishart("cov", p + 2, np.eye(p), dims=("column", "column_bis"))
            ev.MvNormal("y", mean[z], tied, dims=("row", "column"))
        else:
            cov = ev.InverseWishart("cov", p + 2, np.eye(p), dims=("class", "column", "column_bis"))
            ev.MvNormal("y", mean[z], cov[z], dims=("row", "column"))
    return spec


def factor_spec(p: int) -> ev.Spec:
    with ev.Spec(coords={"column": p}) as spec:
        mean, loading = ev.Normal("mean", 0, 10, dims="column"), ev.Normal("loading", 0, 2, dims="column")
        sd = ev.HalfNormal("sd", 2, dims="column")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("y", mean + loading * factor, sd, dims=("row", "column"))
    return spec


def analysers_spec(p: int) -> ev.Spec:
    with ev.Spec(coords={"class": CLASSES, "column": p}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        mean = ev.Normal("mean", 0, 10, dims=("class", "column"))
        loading = ev.Normal("loading", 0, 2, dims=("class", "column"))
        sd = ev.HalfNormal("sd", 2, dims=("class", "column"))
        z = ev.Categorical("z", weight, dims="row")
        factor = ev.Normal("factor", 0, 1, dims="row")
        ev.Normal("y", mean[z] + loading[z] * factor, sd[z], dims=("row", "column"))
    return spec


def regressions_spec(terms: int) -> ev.Spec:
    with ev.Spec(coords={"class": CLASSES, "term": terms}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        intercept = ev.Normal("intercept", 0, 10, dims="class")
        slope = ev.Normal("slope", 0, 10, dims=("class", "term"))
        sd = ev.HalfNormal("sd", 1, dims="class")
        x = ev.Data("x", dims=("row", "term"))
        z = ev.Categorical("z", weight, dims="row")
        ev.Normal("y", intercept[z] + ev.dot(x, slope[z]), sd[z], dims="row")
    return spec


def two_classes(seed: int = 1, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    r = rng(seed)
    z = r.integers(0, 2, n)
    return np.array([[0.0, 1.0], [3.0, 4.0]])[z] + r.normal(size=(n, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]]), z


def one_factor(seed: int, p: int, n: int) -> np.ndarray:
    r = rng(seed)
    return 1.0 + r.normal(size=(n, 1)) * np.linspace(1.2, 0.6, p) + r.normal(size=(n, p)) * np.linspace(0.5, 0.8, p)


# ------------------------------------------------------------------------------------------------------ scales that differ by 1e8


@dataclass(frozen=True)
class Scaled:
    """A model, its data, where to start, and the factor by which each of these changes with the columns' units."""

    spec: Callable[[], ev.Spec]
    data: dict[str, np.ndarray]
    init: dict[str, Any]
    factor: dict[str, np.ndarray]  # of data and parameters; 1 where it has none


def mixture_case(kind: str, a: np.ndarray, holes: bool = False) -> Scaled:
    y, _ = two_classes()
    if holes:
        y[rng(2).random(y.shape) < 0.15] = np.nan
    init: dict[str, Any] = {"weight": [0.5, 0.5], "mean": np.array([[0.0, 1.0], [3.0, 4.0]])}
    init |= (
        {"sd": np.ones((2, 2))} if kind == "diagonal" else {"cov": np.eye(2) if kind == "tied" else np.tile(np.eye(2), (2, 1, 1))}
    )
    return Scaled(lambda: mixture_spec(kind, 2), {"y": y}, init, {"y": a, "mean": a, "sd": a, "cov": np.outer(a, a)})


def factor_case(a: np.ndarray) -> Scaled:
    p = len(a)
    init = {"mean": np.ones(p), "loading": np.ones(p), "sd": np.ones(p)}
    return Scaled(lambda: factor_spec(p), {"y": one_factor(3, p, 150)}, init, {"y": a, "mean": a, "loading": a, "sd": a})


def regressions_case(a: float, b: np.ndarray) -> Scaled:
    r = rng(4)
    x, z = r.normal(2.0, 1.0, size=(200, len(b))), r.integers(0, 2, 200)
    slope = np.array([[1.0, -1.0], [-0.5, 0.5]])
    y = np.array([0.0, 4.0])[z] + (x * slope[z]).sum(axis=1) + r.normal(size=200) * np.array([0.4, 0.6])[z]
    init = {"weight": [0.5, 0.5], "intercept": [0.0, 4.0], "slope": slope, "sd": [0.5, 0.5]}
    unit = np.array(a)
    return Scaled(
        lambda: regressions_spec(2), {"y": y, "x": x}, init, {"y": unit, "x": b, "intercept": unit, "slope": a / b, "sd": unit}
    )


APART = np.array([1e8, 1.0])
SCALED = {
    "full covariance": mixture_case("full", APART),
    "full covariance, small column first": mixture_case("full", 1 / APART),
    "tied covariance": mixture_case("tied", APART),
    "diagonal covariance": mixture_case("diagonal", APART),
    "missing cells": mixture_case("full", np.array([1e-4, 1e4]), holes=True),
    "one factor": factor_case(np.array([1e8, 1.0, 1e-2, 1e5])),
    "mixture of regressions": regressions_case(1e3, np.array([1e8, 1.0])),
    "mixture of regressions, large response": regressions_case(1e8, np.array([1.0, 1e-3])),
}


@pytest.mark.parametrize("name", SCALED)
def test_units_of_the_columns_do_not_matter(name: str) -> None:
    """The fit of rescaled columns is the rescaled fit: estimates, standard errors, labels, and the log-likelihood up to the
    Jacobian."""
    case = SCALED[name]

    def of(key: str) -> Any:
        return case.factor.get(key, np.array(1.0))

    one = ev.fit_em(ev.condition(case.spec(), case.data), init=case.init, tol=TIGHT)
    other = ev.fit_em(
        ev.condition(case.spec(), {k: v * of(k) for k, v in case.data.items()}),
        init={k: np.asarray(v) * of(k) for k, v in case.init.items()},
        tol=TIGHT,
    )
    assert one.status in (ev.Status.CONVERGED, ev.Status.STALLED)
    assert other.status in (ev.Status.CONVERGED, ev.Status.STALLED)
    for k, value in {str(k): v for k, v in one.estimate.items()}.items():
        se = one.standard_error[k].values
        assert np.isfinite(se).all(), k
        assert (np.abs(other.estimate[k].values / of(k) - value.values) <= 1e-6 * se).all(), k
        np.testing.assert_allclose(other.standard_error[k].values / of(k), se, rtol=1e-6, err_msg=k)
    cells = np.isfinite(case.data["y"]).reshape(len(case.data["y"]), -1).sum(axis=0)
    jacobian = float(np.sum(cells * np.log(of("y"))))
    assert other.log_likelihood == pytest.approx(one.log_likelihood - jacobian, abs=1e-9 * abs(jacobian))
    for z, p in one.probability.items():
        np.testing.assert_allclose(other.probability[z], p, atol=1e-7)
        assert list(other.probability[z].idxmax("class").values) == list(p.idxmax("class").values)


@pytest.mark.parametrize("name", ["full covariance", "one factor", "mixture of regressions"])
def test_random_starts_find_the_same_optimum_in_any_units(name: str) -> None:
    case = SCALED[name]
    scaled = {k: v * case.factor.get(k, np.array(1.0)) for k, v in case.data.items()}
    known = {k: np.asarray(v) * case.factor.get(k, np.array(1.0)) for k, v in case.init.items()}
    problem = ev.condition(case.spec(), scaled)
    found = ev.fit_em(problem, starts=6, random_seed=0, standard_errors=None)
    best = ev.fit_em(problem, init=known, standard_errors=None)
    assert found.log_likelihood == pytest.approx(best.log_likelihood, abs=1e-6)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("kind", ["full", "diagonal"])
def test_a_component_that_collapses_is_seen_in_the_units_of_its_column(kind: str, column: int) -> None:
    """Half of the rows are one value to eleven digits, in a column of 1e8 or in the one beside it of 1."""
    y = rng(5).normal(size=(40, 2))
    y[:20, column] = 10 / 3 + 1e-11 * y[:20, column]
    mean, sd = np.zeros((2, 2)), np.ones((2, 2))
    mean[0, column], sd[0, column] = 10 / 3, 1e-3
    sd = sd * APART
    scales = {"sd": sd} if kind == "diagonal" else {"cov": np.stack([np.diag(s**2) for s in sd])}
    with pytest.raises(ev.errors.FitFailed, match="collapsed"):
        ev.fit_em(
            ev.condition(mixture_spec(kind, 2), {"y": y * APART}), init={"weight": [0.5, 0.5], "mean": mean * APART} | scales
        )


# ----------------------------------------------------------------------------------- clusters a million standard deviations apart

FAR = 1e6


def estimates(fit: ev.EMFit, k: int) -> dict[str, np.ndarray]:
    """Estimates and standard errors of one class."""
    both = {f"{n} se": v for n, v in fit.standard_error.items()} | {str(n): v for n, v in fit.estimate.items()}
    return {n: v.isel({"class": k}).values for n, v in both.items() if "class" in v.dims and not n.startswith("weight")}


@dataclass(frozen=True)
class Far:
    """Two clusters at their places (zero and far away), as rows of each class about zero."""

    spec: Callable[[], ev.Spec]
    rows: tuple[np.ndarray, np.ndarray]
    init: dict[str, Any]
    places: str  # the parameter that moves with the cluster


def far_case(spec: Callable[[], ev.Spec], rows: tuple[np.ndarray, np.ndarray], places: str = "mean", **init: Any) -> Far:
    return Far(spec, rows, {"weight": [0.5, 0.5], **init}, places)


_a, _b = rng(6).normal(size=(60, 2)) @ np.array([[1.0, 0.5], [0.0, 0.9]]), rng(7).normal(size=(40, 2)) * [0.7, 1.3]
_two = np.zeros((2, 2))
FAR_CLUSTERS = {
    "one column": far_case(lambda: mixture_spec("diagonal", 1), (_a[:, :1], _b[:, :1]), mean=_two[:, :1], sd=np.ones((2, 1))),
    "full covariance": far_case(lambda: mixture_spec("full", 2), (_a, _b), mean=_two, cov=np.tile(np.eye(2), (2, 1, 1))),
    "factor analysers": far_case(
        lambda: analysers_spec(4),
        (one_factor(8, 4, 80), one_factor(9, 4, 60)[:, ::-1]),
        mean=np.zeros((2, 4)), loading=np.ones((2, 4)), sd=np.ones((2, 4)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("start", ["given", "random"])
@pytest.mark.parametrize("name", FAR_CLUSTERS)
def test_far_clusters_are_as_exact_as_near_ones(name: str, start: str) -> None:
    """Unlabelled and a million standard deviations apart, each cluster has the estimates and standard errors that it has where
    its rows are labelled and lie about zero, to 1e-6 of a standard deviation."""
    case = FAR_CLUSTERS[name]
    labels = np.repeat([0, 1], [len(r) for r in case.rows])
    near = ev.fit_em(ev.condition(case.spec(), {"y": np.vstack(case.rows), "z": labels}), init=case.init, tol=TIGHT)
    away = np.array([0.0, FAR])
    moved = np.vstack([r + shift for r, shift in zip(case.rows, away, strict=True)])
    options: dict[str, Any] = {"starts": 4, "random_seed": 1} if start == "random" else {
        "init": case.init | {case.places: case.init[case.places] + away[:, None]}
    }  # fmt: skip
    far = ev.fit_em(ev.condition(case.spec(), {"y": moved}), tol=TIGHT, **options)
    order = np.argsort(far.estimate[case.places].values.reshape(2, -1)[:, 0])
    for k in range(2):
        there, here = estimates(far, int(order[k])), estimates(near, k)
        sign = np.sign((there["loading"] * here["loading"]).sum()) if "loading" in here else 1.0
        for n, value in here.items():
            moved_back = there[n] - away[k] * (n == case.places)
            np.testing.assert_allclose(sign * moved_back if n == "loading" else moved_back, value, atol=1e-6, err_msg=n)
    assert far.log_likelihood == pytest.approx(near.log_likelihood, abs=1e-6)
    assert (far.probability["z"].values.argmax(axis=1) == order[labels]).all()


def test_far_lines_are_as_exact_as_near_ones() -> None:
    """Two regression lines a million standard deviations apart, unlabelled."""
    r = rng(10)
    x = r.normal(size=(100, 1))
    slope, noise = np.array([1.0, -2.0]), r.normal(size=100)
    labels = np.repeat([0, 1], 50)
    y = slope[labels] * x[:, 0] + noise
    init = {"weight": [0.5, 0.5], "intercept": [0.0, 0.0], "slope": slope[:, None], "sd": [1.0, 1.0]}
    near = ev.fit_em(ev.condition(regressions_spec(1), {"y": y, "x": x, "z": labels}), init=init, tol=TIGHT)
    moved = init | {"intercept": [0.0, FAR]}
    far = ev.fit_em(ev.condition(regressions_spec(1), {"y": y + FAR * labels, "x": x}), init=moved, tol=TIGHT)
    for k in range(2):
        there, here = estimates(far, k), estimates(near, k)
        for n, value in here.items():
            np.testing.assert_allclose(there[n] - FAR * k * (n == "intercept"), value, atol=1e-6, err_msg=n)


# ------------------------------------------------------------------------------------------------------------ rows without values


SILENT = {
    "full covariance": (lambda: mixture_spec("full", 2), {"y": two_classes(17, 40)[0]}),
    "columns of their own": (lambda: mixture_spec("diagonal", 2), {"y": two_classes(17, 40)[0]}),
    "a factor": (lambda: factor_spec(3), {"y": one_factor(18, 3, 40)}),
    "covariates": (lambda: regressions_spec(2), {"y": rng(19).normal(size=40), "x": rng(20).normal(size=(40, 2))}),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_row_without_values_changes_nothing(name: str) -> None:
    """EM, the textbook density and both of PyMC's likelihoods: the same number with the row and without; its probabilities are
    those of the classes."""
    spec, data = SILENT[name]
    more = {k: np.concatenate([v, np.full((1, *v.shape[1:]), np.nan if k == "y" else 0.7)]) for k, v in data.items()}
    one, other = ev.condition(spec(), data), ev.condition(spec(), more)
    assert other.notes == ("row 40 has no value: it says nothing about the parameters.",)
    plan, wider = make_plan(one), make_plan(other)
    values = {v.label: typical(v, plan) + (v.label == "mean") * 0.5 for v in plan.parameters}
    if "weight" in values:
        values["weight"] = np.array([0.3, 0.7])
    env, wide = plan.environment(values), wider.environment(values)
    expected, _ = expect(plan, coefficients(plan, env))
    found, _, rows = expect_rows(wider, coefficients(wider, wide))
    assert found == pytest.approx(expected, rel=1e-12)
    assert rows.log_likelihood[-1] == pytest.approx(0.0, abs=1e-12)
    assert density.log_likelihood(other, {k: env.values[k] for k in values})[-1] == pytest.approx(0.0, abs=1e-12)
    if "weight" in values:
        np.testing.assert_allclose(rows.responsibility[-1], values["weight"], rtol=1e-12)
    for likelihood in ("native", "fused"):
        numbers = []
        for p, e in ((plan, env), (wider, wide)):
            model = build_model(p, likelihood, "all")
            f = model.compile_fn(
                log_posterior(model, prior=False), inputs=model.value_vars, mode=PLAIN, point_fn=True, on_unused_input="ignore"
            )
            numbers.append(float(f(point(model, p, e))))
        assert numbers[1] == pytest.approx(numbers[0], rel=1e-12), likelihood
        assert numbers[0] == pytest.approx(expected, rel=1e-9), likelihood


def test_predictions_of_a_row_without_values_are_the_weights() -> None:
    y, _ = two_classes(21, 60)
    fit = ev.fit_em(ev.condition(mixture_spec("full", 2), {"y": y}), starts=2, random_seed=0)
    with_hole = ev.fit_em(ev.condition(mixture_spec("full", 2), {"y": np.r_[y, [[np.nan] * 2]]}), starts=2, random_seed=0)
    new = fit.predict({"y": [[np.nan, np.nan]]})
    np.testing.assert_allclose(new["z"].values[0], fit.estimate["weight"].values, rtol=1e-12)
    for k, value in fit.estimate.items():
        np.testing.assert_allclose(with_hole.estimate[k].values, value.values, atol=1e-5, err_msg=k)


# --------------------------------------------------------------------------------------------------------------- the command line

COLLAPSED = pytest.param(
    lambda: mixture_spec("diagonal", 1), {"y": np.repeat([50.0, 80.0], 5)[:, None]}, None, ev.errors.FitFailed,
    ("all 2 starts ended as degenerate", "a component collapsed"), id="FitFailed: a component on a point",
)  # fmt: skip
CASES = [*UNFIT, *(case for case in BAD if case.values[3] is ev.errors.EmptyColumn), COLLAPSED]
MODEL = '''"""A model of the tests."""
from test_hard_data import CASES

WEIGHTS = "weights"

def spec():
    return CASES[{}].values[0]()
'''


def written(value: Any) -> np.ndarray:
    """None as a hole."""
    array = np.asarray(value)
    return array.astype(float) if array.dtype == object else array


@pytest.mark.parametrize("position", range(len(CASES)), ids=[case.id for case in CASES])
def test_the_command_line_says_one_sentence(position: int, tmp_path: Path) -> None:
    """Bad data end with 2, a fit that fails with 1: words on standard error, nothing on standard output, no traceback."""
    spec, data, weights, error, words = CASES[position].values
    dims = {k: v.dims for k, v in {**spec().variables, **spec().data}.items()}
    # an axis more than the declaration has holds soft labels
    columns = {k: ((*dims[k], "label")[: written(v).ndim], written(v)) for k, v in data.items()}
    if weights is not None:
        columns["weights"] = (next(d for k in data for d in dims[k] if spec().is_plate(d)), np.asarray(weights, dtype=float))
    xr.Dataset(columns).to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    (tmp_path / "model.py").write_text(MODEL.format(position), encoding="utf-8")
    words_typed = ["fit", str(tmp_path / "model.py"), "--data", str(tmp_path / "data.nc"), "--starts", "2", "--seed", "1"]
    result = CliRunner().invoke(app, words_typed)
    assert result.exit_code == (1 if error is ev.errors.FitFailed else 2), result.output
    said = " ".join(result.stderr.split())
    assert "emvsmcmc: " in said
    for word in words:
        assert " ".join(word.split()) in said
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


def test_the_command_line_says_what_it_noted(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("waiting\n50\n\n80\n54\n83\n,\n".replace(",", "NaN"), encoding="utf-8")
    result = CliRunner().invoke(app, ["explain", "old_faithful", "--data", str(tmp_path / "mine.csv")])
    assert result.exit_code == 0
    assert "row 4 has no value: it says nothing about the parameters" in result.output

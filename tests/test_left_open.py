"""What data leave open: starts of one objective, and directions in which the likelihood does not change."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from examples import EXAMPLES

import emvsmcmc as ev
from emvsmcmc.em.search import best_of


def test_of_starts_with_one_objective_the_least_qualified_end_is_reported() -> None:
    def run(objective, status):
        return SimpleNamespace(objective=objective, status=status)

    S = ev.Status
    heywood = [run(-100.0 - 1e-9 * i, S.HEYWOOD) for i in range(19)]
    assert best_of([run(-100.0 + 1e-9, S.STALLED), *heywood]) is heywood[0]
    assert best_of([run(-100.0 + 1e-9, S.MAX_ITER), *heywood, run(-100.0, S.CONVERGED)]).status is S.CONVERGED
    # negative control: a start that is higher by more than rounding wins whatever its end
    assert best_of([run(-99.999, S.STALLED), *heywood]).status is S.STALLED


def test_every_status_that_is_finished_is_usable() -> None:
    assert {s.value for s in ev.Status if s.finished} == {"converged", "stalled", "heywood"}
    assert all(s.usable for s in ev.Status if s.finished)
    assert not ev.Status.DEGENERATE.usable
    assert not ev.Status.UNBOUNDED.usable


def gap(both: int) -> ev.Problem:
    """Three Normal columns; columns 0 and 1 are seen together in `both` rows only."""
    with ev.Spec(coords={"column": 3}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="column")
        cov = ev.InverseWishart("cov", 5, np.eye(3), dims=("column", "column_bis"))
        ev.MvNormal("y", mean, cov, dims=("row", "column"))
    truth = np.array([[1, 0.3, 0.4], [0.3, 1, 0.2], [0.4, 0.2, 1]])
    y = np.random.default_rng(3).normal(size=(200, 3)) @ np.linalg.cholesky(truth).T
    y[: 100 - both, 0] = np.nan
    y[100:, 1] = np.nan
    return ev.condition(spec, {"y": y})


@pytest.mark.parametrize("seed", range(3))
def test_a_covariance_of_columns_never_seen_together_is_open(seed: int) -> None:
    fit = ev.fit_em(gap(0), starts=2, random_seed=seed)
    assert fit.n_parameters == 8
    assert fit.bic == pytest.approx(-2 * fit.log_likelihood + 8 * np.log(200))
    error = fit.standard_error["cov"].values
    assert np.isnan(error[[0, 1], [1, 0]]).all()
    assert np.isfinite(error).sum() == 7
    assert np.isfinite(fit.standard_error["mean"].values).all()
    assert "cov[0, 1]" in fit.reasons["cov"]
    assert list(fit.reasons) == ["cov"]


def test_notes_and_explain_say_which_and_why() -> None:
    """The fit's reason, conditioning's note, in memory and in chunks, and `explain`; nothing where one row holds both columns."""
    da = pytest.importorskip("dask.array")
    problem, control = gap(0), gap(1)
    note = "cov[0, 1]: no row gives both column=0 and column=1; the data say nothing of their covariance."
    explained = problem.spec.explain(problem)
    assert problem.notes.count(note) == 1
    assert note in explained
    assert "left open: the likelihood does not change with cov[0, 1], at any values" in explained
    chunks = ev.condition(problem.spec, {"y": da.from_array(problem.given["y"].array, (30, 3))})
    assert note in chunks.notes
    assert not any("no row gives both" in n for n in control.notes)
    assert "left open" not in control.spec.explain(control)


def test_explain_names_classes_that_too_few_items_tell_apart() -> None:
    """The data have two degrees of freedom, the model five."""
    problem = classes(1)
    assert "left open: the likelihood does not change along 3 combinations of" in problem.spec.explain(problem)


def test_columns_of_a_hidden_vector_are_told_by_what_depends_on_it() -> None:
    """The note is about what rows say, not about what they hold: both hidden columns have a child that is seen."""
    with ev.Spec(coords={"d": 2}) as spec:
        cov = ev.InverseWishart("cov", 5, np.eye(2), dims=("d", "d_bis"))
        f = ev.MvNormal("f", np.zeros(2), cov, dims=("row", "d"))
        ev.Normal("y", f, 0.5, dims=("row", "d"))
    problem = ev.condition(spec, {"y": np.random.default_rng(1).normal(size=(30, 2))})
    assert not any("no row gives both" in n for n in problem.notes)


def test_the_same_columns_seen_together_in_some_rows_are_not_open() -> None:
    """Negative control."""
    fit = ev.fit_em(gap(40), starts=2, random_seed=0)
    assert fit.n_parameters == 9
    assert not fit.reasons
    assert np.isfinite(fit.standard_error["cov"].values).all()


def classes(items: int, n: int = 300) -> ev.Problem:
    with ev.Spec(coords={"kind": 2, "item": items, "level": 3}) as spec:
        p = ev.Dirichlet("p", 2.0, dims=("kind", "item", "level"))
        z = ev.Categorical("z", ev.Dirichlet("weight", 2.0, dims="kind"), dims="row")
        ev.Categorical("x", p[z], dims=("row", "item"))
    r = np.random.default_rng(4)
    kind = r.integers(0, 2, n)
    x = np.where(r.random((n, items)) < 0.7, 2 * kind[:, None], r.integers(0, 3, (n, items)))
    return ev.condition(spec, {"x": x})


@pytest.mark.parametrize(("items", "free"), [(1, 2), (2, 7), (3, 13)])
def test_the_rank_of_a_latent_class_model(items: int, free: int) -> None:
    """1 + 4 items coordinates. One item of three levels has 2 degrees of freedom; the 3 x 3 table of two items is of rank 2, a
    variety of dimension 2 x (3 + 3 - 2) - 1 = 7, less than its 8 cells; three items identify two classes (Kruskal 1977).
    """
    for seed in range(2):
        fit = ev.fit_em(classes(items), starts=2, random_seed=seed)
        assert fit.n_parameters == free
        if items < 3:
            assert np.isnan(fit.standard_error["weight"]).all()
            assert "the data leave it open" in fit.reasons["weight"]
        else:
            assert np.isfinite(fit.standard_error["weight"]).all()


def test_a_proper_prior_informs_what_data_leave_open() -> None:
    fit = ev.fit_em(gap(0), "map", starts=2, random_seed=0)
    assert np.isfinite(fit.standard_error["cov"].values).all()


@pytest.mark.parametrize("seed", range(2))
def test_equal_components_are_flat_at_the_estimate_only(seed: int) -> None:
    """Two of three components of unit variance are the same: how the weight is shared out is open, the count is not."""
    with ev.Spec(coords={"kind": 3}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("weight", 2.0, dims="kind"), dims="row")
        ev.Normal("y", ev.Normal("mean", 0, 10, dims="kind")[z], 1.0, dims="row")
    r = np.random.default_rng(1)
    y = np.r_[r.normal(-2, 0.9, 150), r.normal(2, 0.9, 150)]
    fit = ev.fit_em(ev.condition(spec, {"y": y}), starts=5, random_seed=seed)
    assert fit.n_parameters == 5
    assert np.isnan(fit.standard_error["weight"].values).sum() == 2
    assert "at the estimate only" in fit.reasons["weight"]
    assert np.isfinite(fit.standard_error["mean"].values[0])


def test_many_rows_that_leave_something_open() -> None:
    """No matrix of rows by rows is made: 60,000 squared would be 27 GiB."""
    small = gap(0)
    many = np.random.default_rng(5).normal(size=(60_000, 3))
    many[:30_000, 0] = np.nan
    many[30_000:, 1] = np.nan
    fit = ev.fit_em(ev.condition(small.spec, {"y": many}), starts=1, random_seed=1, progress=False)
    assert fit.n_parameters == 8
    assert "cov[0, 1]" in fit.reasons["cov"]


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, 1e9])
def test_explain_leaves_nothing_open_that_data_far_from_zero_tell(offset: float) -> None:
    """Two components 3 apart: nine parameters, whatever the origin is; away from the data rows would not differ in float64."""
    with ev.Spec(coords={"k": 2, "d": 2}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("w", 1.0, dims="k"), dims="row")
        mean, sd = ev.Normal("m", 0, 10, dims=("k", "d")), ev.HalfNormal("sd", 5, dims=("k", "d"))
        ev.Normal("y", mean[z], sd[z], dims=("row", "d"))
    y = np.random.default_rng(0).normal(size=(100, 2)) + np.repeat([3.0, 0.0], 50)[:, None] + offset
    problem = ev.condition(spec, {"y": y})
    assert "left open" not in spec.explain(problem)
    assert ev.fit_em(problem, starts=3, random_seed=1, progress=False).n_parameters == 9


@pytest.mark.parametrize("name", EXAMPLES)
def test_explain_says_of_what_is_open_what_the_fit_says(name: str) -> None:
    problem = EXAMPLES[name].build()
    fit = ev.fit_em(problem, starts=2, random_seed=1, progress=False)
    assert ("left open" in problem.spec.explain(problem)) == fit.uncertainty.undecided

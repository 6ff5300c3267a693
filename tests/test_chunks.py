"""Rows in chunks are the same rows: statistics, fits, errors and notes are those of rows in memory, whatever the chunks are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from examples import EXAMPLES, full_covariance_spec, normal_data, normal_mixture_spec, two_columns
from in_chunks import chunked, engine

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.objective import MAP
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect, reference_points
from emvsmcmc.expect.store import block as chunk_rows
from emvsmcmc.expect.store import chunks
from emvsmcmc.expect.store.chunks import chunked_plan

CLOSE = 1e-10
# Newton's step ends where 1e-13 nats are left to gain, at parameters that are off by the root of that; far from the optimum the
# path tells by how much
STEPPED = {"gamma_mixture": 1e-5, "beta_mixture": 1e-5}


def start(problem: ev.Problem) -> tuple[Plan, dict[str, np.ndarray]]:
    """A plan in memory, and parameter values like any other."""
    plan = make_plan(problem)
    env = random_start(plan, MStep(plan, MAP), np.random.default_rng(3))
    return plan, {v.label: env.values[v.label].array for v in plan.parameters}


def difference(a: Any, b: Any) -> float:
    """Largest difference, relative to the largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    return float(np.abs(a - b).max(initial=0.0) / max(1.0, np.abs(a).max(initial=0.0)))


def sums_differ(whole: Plan, parts: Plan, values: dict[str, np.ndarray], hard: bool = False) -> float:
    """How far log-likelihood and statistics are apart, about the same reference points."""
    C = coefficients(whole, whole.environment(values))
    C = coefficients(whole, whole.environment(values), reference_points(expect(whole, C)[1]))
    one, several = expect(whole, C, hard), expect(parts, C, hard)
    names = ("N", "M", "S", "U", "L")
    return max(difference(one[0], several[0]), *[difference(getattr(one[1], n), getattr(several[1], n)) for n in names])


ONE_BY_ONE = ("soft_labels_and_weights", "t_mixture", "spherical_covariance", "zero_inflated", "linkage")


@pytest.mark.parametrize("name", EXAMPLES)
def test_statistics_add_over_chunks(name: str) -> None:
    """By numpy and by the compiled pass, soft and hard, in small chunks, in uneven ones, in one, and row by row."""
    problem = EXAMPLES[name].build()
    whole, values = start(problem)
    n = problem.n
    for size, compiled in ((17, False), ((n // 3, n - n // 3), True), (n, True)):
        with engine(compiled=compiled):
            parts = chunked_plan(chunked(problem, size))
            assert sums_differ(whole, parts, values) < CLOSE
            if size == 17 and not whole.radials:
                assert sums_differ(whole, parts, values, hard=True) < CLOSE
    if name in ONE_BY_ONE:
        with engine():
            assert sums_differ(whole, chunked_plan(chunked(problem, 1)), values) < CLOSE


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_sample_is_only_a_start(name: str) -> None:
    """With few rows in memory the centre is another, and nothing else: the same log-likelihood and the same score."""
    problem = EXAMPLES[name].build()
    whole, values = start(problem)
    with engine(sample=10):
        parts = chunked_plan(chunked(problem, 9))
        found = []
        for plan in (whole, parts):
            env = plan.environment(values)
            value, S = expect(plan, coefficients(plan, env))
            chart = Coordinates(plan, env)
            units = np.concatenate([b.unit[b.free] for b in chart.blocks])
            found.append((value, chart.score(chart.pack(env), S, MAP) / units))
        if problem.n > 20:
            assert parts.sample.problem.n < problem.n
        assert np.isclose(parts.problem.weights.sum(), problem.weights.sum(), rtol=1e-12)
        assert difference(found[0][0], found[1][0]) < CLOSE
        assert difference(found[0][1], found[1][1]) < CLOSE


@pytest.mark.parametrize("name", EXAMPLES)
def test_fits_are_the_same(name: str) -> None:
    """From the same start, step by step, to the same end."""
    problem = EXAMPLES[name].build()
    _, values = start(problem)
    options: dict[str, Any] = {"init": values, "standard_errors": None, "max_iter": 12}
    whole = ev.fit_em(problem, "map", **options)
    with engine():
        parts = ev.fit_em(chunked(problem, 23), "map", **options)
    assert (parts.status, parts.iterations, parts.n_parameters) == (whole.status, whole.iterations, whole.n_parameters)
    close = STEPPED.get(name, CLOSE)
    assert difference(whole.path, parts.path) < close
    assert abs(whole.bic - parts.bic) < close * abs(whole.bic)
    for parameter in whole.estimate:
        # a mean's last digits are lost where EM creeps: the path's rounding, not the statistics', sets the difference
        assert difference(whole.estimate[parameter], parts.estimate[parameter]) < close


@pytest.mark.parametrize("name", ["partial_labels", "missing_cells", "one_factor", "t_mixture", "exposure"])
def test_standard_errors_and_rows_are_the_same(name: str) -> None:
    problem = EXAMPLES[name].build()
    _, values = start(problem)
    whole = ev.fit_em(problem, "map", init=values)
    with engine():
        parts = ev.fit_em(chunked(problem, 16), "map", init=values)
        for parameter in whole.standard_error:
            known = np.isfinite(whole.standard_error[parameter].values)
            assert np.array_equal(known, np.isfinite(parts.standard_error[parameter].values))
            one, other = (f.standard_error[parameter].values[known] for f in (whole, parts))
            assert difference(1.0, (other / one).max(initial=1.0)) < 1e-8
        for one, several in ((whole.probability, parts.probability), (whole.latent, parts.latent)):
            assert set(one) == set(several)
            for latent in one:
                assert several[latent].chunks is not None
                assert several[latent].dims == one[latent].dims
                assert difference(one[latent], several[latent].values) < CLOSE


def test_a_lost_chunk_is_seen() -> None:
    """Negative control: what these comparisons say when one chunk of many is left out, or met about another centre."""
    problem = EXAMPLES["full_covariance"].build()
    whole, values = start(problem)
    with engine():
        parts = chunked_plan(chunked(problem, 7))
        recipes = parts.store.recipes
        parts.store.recipes = recipes[1:]
        assert sums_differ(whole, parts, values) > 1e-3
        parts.store.recipes = recipes
        assert sums_differ(whole, parts, values) < CLOSE
        other = replace(recipes[0].conventions, centre=recipes[0].conventions.centre + 0.01)
        parts.store.disk.remove()
        parts.store.recipes = [replace(recipes[0], conventions=other), *recipes[1:]]
        assert sums_differ(whole, parts, values) > 1e-5


def test_nearly_collinear_covariates_keep_their_roots() -> None:
    """Columns that agree to seven digits: the chunks' roots are folded, and the fit is that in memory."""
    with ev.Spec(coords={"term": 3}) as spec:
        beta = ev.Normal("beta", 0, 100, dims="term")
        sd = ev.HalfNormal("sd", 5)
        group = ev.Categorical("group", [0.4, 0.6], dims="row")
        shift = ev.constant([0.0, 4.0])
        design = ev.Data("design", dims=("row", "term"))
        ev.Normal("y", ev.dot(design, beta) + shift[group], sd, dims="row")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 90))
    X = np.c_[a, b, a + b + 1e-5 * rng.normal(size=90)]
    y = X @ [1.0, -2.0, 0.5] + 4.0 * (rng.random(90) < 0.6) + 0.3 * rng.normal(size=90)
    problem = ev.condition(spec, {"y": y, "design": X})
    _, values = start(problem)
    with engine(sample=40):
        parts = chunked_plan(chunked(problem, 31))
        assert parts.store.delicate
        C = coefficients(parts, parts.environment(values))
        _, S = expect(parts, C)
        assert S.root is not None
        assert difference(S.M, S.root.swapaxes(1, 2) @ S.root) < CLOSE
        fit = ev.fit_em(chunked(problem, 31), init=values)
    direct = ev.fit_em(problem, init=values)
    assert difference(direct.log_likelihood, fit.log_likelihood) < CLOSE
    assert difference(direct.estimate["beta"], fit.estimate["beta"]) < 1e-4


def test_a_chunk_without_any_row_of_a_class() -> None:
    """Labels in order, so that most chunks hold one class only; codes of a class that is called something else."""
    x, z = normal_data(60)
    order = np.argsort(z)
    x, z = x[order], z[order]
    with ev.Spec(coords={"component": [1, 2]}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        sd = ev.HalfNormal("sd", 3, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    labels = np.where(np.arange(60) % 4 == 0, z, -1)  # 0 and 1 are codes here; 1 alone would be the first class' name
    problem = ev.condition(spec, {"x": x, "group": labels})
    whole, values = start(problem)
    with engine():
        data = {"x": da.from_array(x, chunks=10), "group": da.from_array(labels, chunks=10)}
        parts = chunked_plan(ev.condition(spec, data))
        assert sums_differ(whole, parts, values) < CLOSE
        assert set(parts.store.problem.reader.relabel) == {"group"}
        assert parts.store.problem.notes == problem.notes
        blind = replace(parts.store.problem, reader=replace(parts.store.problem.reader, relabel={}))
        assert sums_differ(whole, chunked_plan(blind), values) > 1e-3  # read chunk by chunk they mean something else


def test_starts_on_a_sample_reach_the_optimum_of_all_rows() -> None:
    x, z = normal_data(400)
    x[::50] = np.nan
    data = {"x": x, "group": np.where(np.arange(400) % 40 == 0, z, -1)}
    whole = ev.fit_em(ev.condition(normal_mixture_spec(), data), starts=4, random_seed=0)
    with engine(sample=80):
        problem = ev.condition(normal_mixture_spec(), {k: da.from_array(v, chunks=90) for k, v in data.items()})
        assert problem.sample.n < 150
        parts = ev.fit_em(problem, starts=4, random_seed=0)
        again = ev.fit_em(problem, starts=4, random_seed=0)
    assert parts.converged
    assert abs(whole.log_likelihood - parts.log_likelihood) < 1e-8
    for name in whole.estimate:
        gap = (parts.estimate[name] - whole.estimate[name]) / whole.standard_error[name]
        assert float(np.abs(gap).max()) < 1e-4
        assert np.array_equal(parts.estimate[name], again.estimate[name])
    assert sum("start 0" in s.reason for s in parts.starts) >= 1
    assert all(np.isclose(s.objective, parts.objective_value) for s in parts.starts if s.optimum == 0)


@pytest.mark.parametrize("name", ["full_covariance", "t_mixture", "missing_cells"])
def test_a_task_may_take_several_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many blocks; also where none of them lies where it was laid out, and the last task has fewer."""
    problem = EXAMPLES[name].build()
    whole, values = start(problem)
    handed: list[int] = []
    plain = chunks.task

    def counted(function: Any, *arguments: Any, name: str) -> Any:
        if name == "row-pass":
            handed.append(len(arguments[0]))
        return plain(function, *arguments, name=name)

    monkeypatch.setattr(chunks, "task", counted)
    monkeypatch.setattr(chunks, "TASKS", 2)
    with engine():
        parts = chunked_plan(chunked(problem, -(-problem.n // 7)))
        assert sums_differ(whole, parts, values) < CLOSE
        assert handed[:3] == [3, 3, 1]
        parts.store.disk.remove()
        assert sums_differ(whole, parts, values) < CLOSE


def test_what_is_collapsed_needs_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """All labels given: moments say everything, and no iteration touches a chunk."""
    problem = EXAMPLES["all_labels"].build()
    with engine():
        plan = chunked_plan(chunked(problem, 7))
        assert plan.store.in_core
        monkeypatch.setattr(chunk_rows, "one_pass", None)
        _, values = start(problem)
        assert sums_differ(make_plan(problem), plan, values) < CLOSE


def test_predictions_in_chunks_are_those_in_memory() -> None:
    y = two_columns()
    y[::9, 1] = np.nan
    fit = ev.fit_em(ev.condition(full_covariance_spec(), {"y": y}), starts=2, random_seed=0)
    direct = fit.predict({"y": y})
    with engine(sample=10):
        lazy = fit.predict({"y": da.from_array(y, chunks=(13, -1))})
        assert set(lazy) == set(direct)
        for name in direct:
            assert lazy[name].chunks is not None
            assert difference(direct[name], lazy[name].values) < CLOSE


REFUSED: dict[str, tuple[type[Exception], dict[str, Any], str]] = {
    "a class without rows": (errors.EmptyClass, {"x": np.arange(40.0), "group": np.zeros(40, dtype=int)}, "group"),
    "a constant column": (errors.ConstantColumn, {"x": np.ones(40)}, "x"),
    "an empty column": (errors.EmptyColumn, {"x": np.full(40, np.nan), "group": np.tile([0, 1], 20)}, "x"),
    "an infinity": (errors.NotFinite, {"x": np.r_[np.arange(39.0), np.inf]}, "rows 36 to 39"),
    "a label out of range": (errors.UnknownLabel, {"x": np.arange(40.0), "group": np.r_[np.zeros(39), 7]}, "group"),
    "other lengths": (errors.WrongDims, {"x": np.arange(40.0), "group": np.zeros(41)}, "group"),
    "an unknown name": (errors.UnknownName, {"x": np.arange(40.0), "y": np.arange(40.0)}, "y"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_has_the_same_name(case: str) -> None:
    kind, data, told = REFUSED[case]
    with pytest.raises(kind):
        ev.fit_em(ev.condition(normal_mixture_spec(), data), starts=1)
    with engine():
        lazy = {k: da.from_array(v, chunks=4) for k, v in data.items()}
        with pytest.raises(kind, match=told):
            ev.fit_em(ev.condition(normal_mixture_spec(), lazy), starts=1)


def test_what_is_constant_in_a_chunk_only_is_no_error() -> None:
    """Negative control of the checks above: they are about all rows."""
    x = np.repeat(np.arange(10.0), 4)
    with engine():
        problem = ev.condition(normal_mixture_spec(), {"x": da.from_array(x, chunks=4)})
        assert ev.fit_em(problem, "map", starts=1, random_seed=0).converged


def test_covariates_are_collinear_over_all_rows_or_not_at_all() -> None:
    """One row tells two covariates apart: neither the sample nor a chunk without it can say that they are collinear."""
    with ev.Spec() as spec:
        a, b, c = (ev.Normal(name, 0, 10) for name in "abc")
        sd = ev.HalfNormal("sd", 2)
        u, v = ev.Data("u", dims="row"), ev.Data("v", dims="row")
        ev.Normal("y", a + b * u + c * v, sd, dims="row")
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    odd = np.where(np.arange(60) == 37, 2.0, 0.0)
    y = rng.normal(size=60)

    def cut(v: np.ndarray) -> dict[str, da.Array]:
        return {name: da.from_array(q, chunks=20) for name, q in {"y": y, "u": x, "v": v}.items()}

    with engine(sample=12):
        fit = ev.fit_em(ev.condition(spec, cut(x + odd)), starts=1)
        with pytest.raises(errors.Collinear):
            ev.fit_em(ev.condition(spec, cut(x)), starts=1)
    direct = ev.fit_em(ev.condition(spec, {"y": y, "u": x, "v": x + odd}), starts=1)
    assert difference(direct.estimate["c"], fit.estimate["c"]) < CLOSE


def test_notes_are_about_all_rows() -> None:
    x, z = normal_data(60)
    x[[3, 40]] = np.nan
    labels = np.where(np.arange(60) % 5 == 0, np.where(z == 1, -1, 0), -1)
    data = {"x": x, "group": labels}
    with engine():
        lazy = ev.condition(normal_mixture_spec(), {k: da.from_array(v, chunks=7) for k, v in data.items()})
    assert set(lazy.notes) == set(ev.condition(normal_mixture_spec(), data).notes)
    assert lazy.n == 60
    assert lazy.total_weight == 60

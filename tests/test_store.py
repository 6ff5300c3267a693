"""The store contract: rows in memory and rows in chunks answer alike, and nobody outside the stores can tell which they are."""

from __future__ import annotations

import ast
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from examples import EXAMPLES, full_covariance_spec, two_columns
from in_chunks import chunked, engine
from test_chunks import CLOSE, difference, start

import emvsmcmc as ev
from emvsmcmc.em.identify.empty import complete_data
from emvsmcmc.em.result import hidden_variables, with_holes
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.plan import Plan, kept
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.expect.scaling import natural_units
from emvsmcmc.expect.store.base import Groups
from emvsmcmc.expect.store.chunks import chunked_plan
from emvsmcmc.expect.store.patterns import Patterns

MIXED = "everything_at_once"
PACKAGE = Path(__file__).parents[1] / "emvsmcmc"


def everything_at_once() -> ev.Problem:
    """Holes and labels that cross, so that collapsed patterns stand among others, and rows of weight zero in all of them."""
    y, at = two_columns(), np.arange(60)
    labels = np.where(at % 3 == 0, at % 2, -1)
    y[at % 4 == 0, 1] = np.nan
    return ev.condition(full_covariance_spec(), {"y": y, "group": labels}, weights=np.where(at % 5 == 0, 0.0, 1.0 + at % 2))


def build(name: str) -> ev.Problem:
    return everything_at_once() if name == MIXED else EXAMPLES[name].build()


def in_order(p: Patterns) -> np.ndarray:
    """The order of patterns by what tells them apart."""
    return np.lexsort(np.hstack([p.hidden, p.allowed]).T)


@pytest.mark.parametrize("name", [*EXAMPLES, MIXED])
def test_patterns_are_the_same_in_memory_and_in_chunks(name: str) -> None:
    """Weights, moments, values that are there; and what is said of the data before the first start."""
    problem = build(name)
    whole = make_plan(problem)
    with engine():
        parts = chunked_plan(chunked(problem, 13))
        a, b = whole.store.moments_by_pattern, parts.store.moments_by_pattern
        i, j = in_order(a), in_order(b)
        assert np.array_equal(a.hidden[i], b.hidden[j])
        assert np.array_equal(a.allowed[i], b.allowed[j])
        assert np.array_equal(a.counted[i], b.counted[j])
        assert np.array_equal(a.holes, b.holes)
        for one, other in ((a.weight, b.weight), (a.S, b.S), (a.constant, b.constant)):
            assert difference(one[i], other[j]) < CLOSE
        squares = [np.einsum("qij,qik->qjk", p.R[k], p.R[k]) for p, k in ((a, i), (b, j))]
        assert difference(*squares) < CLOSE
        assert set(a.there) == set(b.there)
        for variable in a.there:
            assert np.array_equal(a.there[variable][i], b.there[variable][j])
        one, other = complete_data(whole), complete_data(parts)
        for x, y in ((one.N, other.N), (one.M, other.M), (one.S, other.S)):
            assert difference(x, y) < CLOSE
        assert all(np.array_equal(one.seen[v], other.seen[v]) for v in one.seen)


@pytest.mark.parametrize("name", [*EXAMPLES, MIXED])
def test_the_moments_of_patterns_are_those_of_the_rows(name: str) -> None:
    """What collapsed patterns bring along and what is worked out of the others: summed, it is every row's."""
    plan = make_plan(build(name))
    p, rows = plan.store.moments_by_pattern, plan.full
    assert difference(p.weight.sum(), rows.w.sum()) < CLOSE
    for q in range(len(p.weight)):
        at = slice(rows.start[q], rows.start[q + 1])
        assert difference(p.R[q].T @ p.R[q], (rows.V[at] * rows.w[at, None]).T @ rows.V[at]) < CLOSE
        assert difference(p.S[q][rows.x_row], rows.w[at] @ rows.X[at]) < CLOSE
        mine = (plan.pattern == q) & (plan.problem.weights > 0)
        assert p.counted[q] == mine.sum()
        for variable, found in p.there.items():
            value = plan.problem.given[variable]
            cells = np.moveaxis(value.array, value.dims.index(next(iter(plan.problem.plates))), 0).reshape(len(mine), -1)
            assert np.array_equal(found[q], np.isfinite(cells[mine]).sum(axis=0))


@pytest.mark.parametrize("name", ["missing_cells", "one_factor", "partial_labels"])
def test_rows_are_mapped_alike(name: str) -> None:
    problem = EXAMPLES[name].build()
    whole, values = start(problem)

    def per_row(plan: Plan) -> Groups:
        return hidden_variables(values, with_holes(whole), plan)

    with engine(sample=10):
        parts = chunked_plan(chunked(problem, 11))
        one, other = whole.map_rows(per_row), parts.map_rows(per_row)
        assert set(one) == set(other)
        for group in one:
            assert set(one[group]) == set(other[group])
            for variable in one[group]:
                assert other[group][variable].chunks is not None
                assert difference(one[group][variable], other[group][variable].values) < CLOSE


def test_a_sample_and_what_there_is_in_all() -> None:
    problem = EXAMPLES["normal_mixture"].build()
    plan = make_plan(problem)
    assert plan.sample is plan
    assert plan.store.rows == problem.n
    assert plan.store.every_row
    assert plan.store.in_core
    with engine(sample=10):
        parts = chunked_plan(chunked(problem, 11))
        assert parts.sample is parts.sample
        assert parts.sample.sample is parts.sample
        assert parts.store.rows == problem.n > parts.sample.store.rows
        assert not parts.store.every_row
        assert not parts.store.in_core
        assert difference(parts.sample.full.w.sum(), problem.n) < CLOSE


def test_a_fingerprint_tells_rows_and_blocks_apart() -> None:
    a, b = (EXAMPLES[name].build() for name in ("normal_mixture", "missing_cells"))
    assert make_plan(a).store.fingerprint == make_plan(a).store.fingerprint
    found = [make_plan(p).store.fingerprint for p in (a, b, a.with_weights(2 * a.weights))]
    with engine():
        found += [chunked_plan(chunked(a, size)).store.fingerprint for size in (11, 12)]
    assert len(set(found)) == len(found)


def test_a_plan_keeps_what_was_worked_out_and_takes_none_of_it_along() -> None:
    """An answer lives as long as its plan, belongs to it alone, and is not sent to other processes with it."""
    calls: list[Plan] = []

    @kept
    def answer(plan: Plan) -> int:
        calls.append(plan)
        return len(calls)

    one, other = (make_plan(EXAMPLES["full_covariance"].build()) for _ in range(2))
    assert [answer(one), answer(one), answer(other), answer(one)] == [1, 1, 2, 1]
    assert natural_units(one) is natural_units(one)
    assert natural_units(one) is not natural_units(other)
    bare = len(pickle.dumps(other))
    assert one.store.packed.whole[0].size
    assert one.store.moments_by_pattern.weight.size
    assert len(pickle.dumps(one)) == bare
    again = pickle.loads(pickle.dumps(one))
    env = {v.label: x for v, x in zip(one.parameters, start(one.problem)[1].values(), strict=True)}
    C = coefficients(one, one.environment(env))
    assert expect(again, C)[0] == expect(one, C)[0]


def attributes(path: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)}


def test_nobody_outside_the_stores_asks_where_rows_are() -> None:
    """Only who reads Dask's own arrays knows of chunks; the negative control is the store of chunks itself."""
    private = {"chunks", "recipes", "disk", "journal"}
    here = PACKAGE / "expect" / "store"
    for path in PACKAGE.rglob("*.py"):
        if here in path.parents or (PACKAGE / "problem") in path.parents:
            continue
        assert not attributes(path) & private, path
    assert attributes(here / "chunks.py") & private


def test_an_empty_group_has_its_place() -> None:
    """Neither latents nor Gaussian variables that are hidden: two Datasets of no variables, in memory and in chunks."""
    problem = EXAMPLES["all_labels"].build()
    whole, values = start(problem)
    assert with_holes(whole) == []
    with engine():
        found = chunked_plan(chunked(problem, 9)).map_rows(partial(hidden_variables, values, []))
    assert isinstance(found["latent"], xr.Dataset)
    assert not found["latent"]

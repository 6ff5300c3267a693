"""Records add, empty and write themselves down by their fields: one that is declared is in every sum and in every file."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pytest
from examples import EXAMPLES
from test_chunks import start

from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.layout import Coefficients, Collapsed, Layout, Statistics
from emvsmcmc.expect.rows import expect
from emvsmcmc.expect.store import block, compiled, journal
from emvsmcmc.expect.store.patterns import Patterns
from emvsmcmc.expect.sums import ANYWHERE, Additive


@dataclass(frozen=True)
class Wider(Statistics):
    """Statistics with fields that nobody knew of when sums and files were written."""

    further: np.ndarray = field(default_factory=lambda: np.full(2, np.nan))
    by_name: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class WiderPatterns(Patterns):
    further: np.ndarray = field(default_factory=lambda: np.full(2, np.nan))
    somewhere: np.ndarray = field(default_factory=lambda: np.zeros(2, dtype=bool), metadata=ANYWHERE)


def some(seed: int, root: bool = False) -> Wider:
    """Statistics of a few rows; those of any seed are about the same reference points."""
    r = np.random.default_rng(seed)
    V = r.normal(size=(2, 9, 3))
    return Wider(
        N=r.random(2), M=V.swapaxes(1, 2) @ V, S=r.random((4, 2)), rho=np.arange(6.0).reshape(2, 3), U=r.random((2, 1, 3, 3)),
        L=r.random((2, 1)), root=np.linalg.qr(V, mode="r") if root else None, further=r.random(2), by_name={"x": r.random(3)},
    )  # fmt: skip


def patterns(seed: int) -> WiderPatterns:
    """One pattern that every block has, and one of its own."""
    r = np.random.default_rng(seed)
    allowed = np.array([[True, False, False], np.arange(3) == 1 + seed % 2])
    R = np.linalg.qr(r.normal(size=(2, 9, 3)), mode="r")
    return WiderPatterns(
        np.zeros((2, 3), dtype=bool), allowed, r.random(2), R, r.random((2, 4)), r.random(2), np.array([3, 4]),
        {"x": r.random((2, 2))}, np.zeros(1, dtype=bool), r.random(2), np.arange(2) == seed % 2,
    )  # fmt: skip


def same(a: Additive, b: Additive) -> None:
    assert type(a) is type(b)
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, dict):
            assert set(x) == set(y)
        for one, other in ((x[k], y[k]) for k in x) if isinstance(x, dict) else ((x, y),):
            np.testing.assert_array_equal(one, other, err_msg=f.name)


def test_a_new_field_is_added() -> None:
    """By whoever adds: the record, blocks of a pass, ranges of rows."""
    a, b = some(0), some(1)
    total = Wider.total([a, b])
    np.testing.assert_array_equal(total.further, a.further + b.further)
    np.testing.assert_array_equal(total.by_name["x"], a.by_name["x"] + b.by_name["x"])
    np.testing.assert_array_equal(total.M, a.M + b.M)
    np.testing.assert_array_equal(total.rho, a.rho)  # what both are about is not added
    value, found = block.summed([(1.0, a), (2.0, b)])
    assert value == 3.0
    same(found, total)
    assert not np.shares_memory(total.N, a.N)


def test_roots_add_by_their_squares() -> None:
    parts = [some(i, root=True) for i in range(3)]
    total = Wider.total(parts)
    assert total.root is not None
    np.testing.assert_allclose(total.root.swapaxes(1, 2) @ total.root, total.M, rtol=1e-12, atol=1e-12)
    assert Wider.total([some(0), some(1)]).root is None


def test_a_new_field_is_emptied() -> None:
    full = some(2, root=True)
    nothing = full.zero()
    assert set(nothing.arrays()) == set(full.arrays())
    for name, x in nothing.arrays().items():
        assert (x == 0).all() or name == "rho", name
    both = Wider.total([nothing, full])
    for name, x in full.arrays().items():
        if name != "root":  # a root of the same moments, its signs are another matter
            np.testing.assert_array_equal(both.arrays()[name], x, err_msg=name)


def test_a_new_field_is_written_down(tmp_path: Path) -> None:
    for S in (some(3), some(4, root=True)):
        same(Wider.from_arrays(S.arrays()), S)
        path = tmp_path / "sums.npz"
        np.savez(path, **S.arrays())
        with np.load(path) as stored:
            same(Wider.from_arrays(stored), S)


def test_a_journal_keeps_all_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "Statistics", Wider)
    S, C = some(5, root=True), Coefficients(np.zeros(2), np.zeros((2, 1, 3)), np.zeros((4, 2)), np.zeros((2, 3)))
    journal.Journal(tmp_path, "these rows", []).record(C, False, lambda: (1.5, S))
    found = journal.Journal(tmp_path, "these rows", []).recall(C, False)
    assert found is not None
    assert found[0] == 1.5
    same(found[1], S)


def test_patterns_of_blocks_add_like_by_like() -> None:
    a, b = patterns(0), patterns(1)
    total = block.merged([a, b])
    assert isinstance(total, WiderPatterns)
    assert len(total.weight) == 3
    shared, of_a = (int(np.flatnonzero((total.allowed == x).all(axis=1))[0]) for x in a.allowed)
    for name in ("weight", "S", "constant", "counted", "further"):
        one, other = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(getattr(total, name)[shared], one[0] + other[0], err_msg=name)
        np.testing.assert_array_equal(getattr(total, name)[of_a], one[1], err_msg=name)
    np.testing.assert_array_equal(total.there["x"][shared], a.there["x"][0] + b.there["x"][0])
    R, squares = total.R[shared], a.R[0].T @ a.R[0] + b.R[0].T @ b.R[0]
    np.testing.assert_allclose(R.T @ R, squares, rtol=1e-12, atol=1e-12)
    assert total.somewhere.all()
    same(WiderPatterns.from_arrays(total.arrays()), total)


def test_what_is_collapsed_comes_one_after_another() -> None:
    layout = start(EXAMPLES["all_labels"].build())[0].layout
    one = layout.collapsed
    assert len(one.weight)
    assert all(len(x) == 0 for x in one.zero().arrays().values())
    same(Collapsed.total([one, one.zero()]), one)
    assert len(Collapsed.total([one, one]).weight) == 2 * len(one.weight)
    same(one.taken(slice(None)), one)


@pytest.mark.parametrize("name", ["missing_cells", "soft_labels_and_weights", "t_mixture"])
def test_rows_that_are_taken_keep_all_their_arrays(name: str) -> None:
    """Ranges put side by side are the layout again, field by field, and their sums are its sums."""
    plan, values = start(EXAMPLES[name].build())
    layout = plan.layout
    parts = compiled.ranges(layout, 4)
    along_rows = [f.name for f in fields(Layout) if np.shape(getattr(layout, f.name))[:1] == (len(layout.V),)]
    assert {"V", "w", "X", "phi", "level"} <= set(along_rows)
    for along in along_rows:
        np.testing.assert_array_equal(np.concatenate([getattr(p, along) for p in parts]), getattr(layout, along), err_msg=along)
    np.testing.assert_array_equal(
        np.concatenate([p.hidden[p.pattern] for p in parts]), layout.hidden[layout.pattern]
    )  # fmt: skip
    C = coefficients(plan, plan.environment(values))
    found = [compiled.PackedRows(p).expect(C)[1] for p in parts]
    whole = expect(plan, C)[1]
    for field_name, x in Statistics.total(found).arrays().items():
        np.testing.assert_allclose(x, whole.arrays()[field_name], rtol=1e-9, atol=1e-9)

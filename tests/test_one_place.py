"""What is written in one place: names of entries, whole files, the plate and the silent rows of a Problem, good ends."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from imports import FILES, SOURCE

import emvsmcmc as ev
from emvsmcmc.files import MARK, unfinished, write_whole
from emvsmcmc.words import entries, entry, labelled, labels_in, name_of


@pytest.mark.parametrize(
    ("name", "labels", "text"),
    [("sd", (), "sd"), ("mean", (0,), "mean[0]"), ("cov", ("a", "x, y"), "cov[a, x, y]"), ("mean", ("b[1]",), "mean[b[1]]")],
)
def test_what_is_written_is_read_back(name: str, labels: tuple[object, ...], text: str) -> None:
    assert labelled(name, labels) == text
    assert name_of(text) == name
    assert labels_in(text) == ", ".join(map(str, labels))


def test_entries_of_a_dataset_go_in_order() -> None:
    data = xr.Dataset(
        {"sd": ((), 1.0), "cov": (("k", "f"), np.arange(4.0).reshape(2, 2))}, coords={"k": ["a", "b"], "f": [10, 20]}
    )
    found = list(entries(data))
    assert [label for label, _, _ in found] == ["sd", "cov[a, 10]", "cov[a, 20]", "cov[b, 10]", "cov[b, 20]"]
    assert [float(data[name].values[at]) for _, name, at in found] == [1, 0, 1, 2, 3]
    draws = data["cov"].expand_dims(chain=2, draw=3)
    assert entry(draws, (1, 0)) == "cov[b, 10]"


def test_a_file_is_there_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"

    def half(draft: Path) -> None:
        draft.write_text("half")
        assert list(unfinished(tmp_path)) == [draft]
        raise OSError("the disk is full")

    for there in ((), ("file.txt",)):
        with pytest.raises(OSError, match="full"):
            write_whole(path, half)
        assert tuple(os.listdir(tmp_path)) == there
        write_whole(path, lambda draft: draft.write_text("whole"), durable=not there)
        assert path.read_text() == "whole"


def test_a_name_with_the_mark_inside_is_no_leftover(tmp_path: Path) -> None:
    """Negative control of `unfinished`."""
    for name in (f"a{MARK}", f".a{MARK}.txt"):
        (tmp_path / name).write_text("")
    assert list(unfinished(tmp_path)) == []


ELSEWHERE = {  # what only one file may hold -> that file
    r"\.(partition|split)\(\"\[\"\)": "words.py",
    r"\}\[\{', '\.join\(": "words.py",
    r"next\(iter\([\w.]*\.plates\)\)": "problem/problem.py",
    r"MARK = |\.part\"": "files.py",
}


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_nobody_else_writes_it(pattern: str) -> None:
    found = {str(p.relative_to(SOURCE)) for p in FILES if re.search(pattern, p.read_text(encoding="utf-8"))}
    assert found == {ELSEWHERE[pattern]}


def test_the_only_plate() -> None:
    with ev.Spec(coords={"feature": 2}) as spec:
        sd = ev.HalfNormal("sd", 1)
        ev.Normal("x", 0, sd, dims=("feature", "row"))
    problem = ev.condition(spec, {"x": np.array([[1.0, np.nan, 3.0], [1.5, np.nan, np.nan]])}, weights=[1, 1, 2])
    assert problem.plate == "row"
    assert np.array_equal(problem.columns(spec.variables["x"]), [[1, 1.5], [np.nan, np.nan], [3, np.nan]], equal_nan=True)
    assert problem.silent.tolist() == [1]
    assert problem.heard.tolist() == [1, 0, 2]
    assert problem.entry("x", ("feature", "row"), (1, 2)) == "x[1, 2]"


def test_every_status_has_its_place() -> None:
    finished, usable = ({s.value for s in ev.Status if good(s)} for good in (lambda s: s.finished, lambda s: s.usable))
    assert finished == {"converged", "stalled", "heywood"}
    assert usable == finished | {"max_iter"}

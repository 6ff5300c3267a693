"""Words: one spelling for private dims, a docstring for all that is public, nouns for values; and that these laws can fail."""

from pathlib import Path

import pytest
from imports import FILES, SOURCE
from naming import VAGUE, bound_names, spelled_dims, undocumented

DIMS = SOURCE / "spec" / "private_dims.py"
IDS = [str(path.relative_to(SOURCE)) for path in FILES]


@pytest.mark.parametrize("path", [p for p in FILES if p != DIMS], ids=lambda path: str(path.relative_to(SOURCE)))
def test_private_dims_are_spelled_in_one_file(path: Path) -> None:
    assert spelled_dims(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    ['f"@{name}"', 'x = "@weights"', 'f"~{dim}"', 'dims = (*p.dims, "#")', 'd != "%"', 'SAMPLE = "%sample"', 'f"{column}_bis"',
     'd.startswith("_")', 'z.counts.startswith("_")', 'f"_{id(self)}_{i}"', 'f"{DISTINCT}" + "distinct "', 'x.strip("@")'],
)  # fmt: skip
def test_a_private_dim_is_noticed(code: str) -> None:
    """Negative control."""
    assert spelled_dims(code) == [1]


@pytest.mark.parametrize("code", ['"""d and "~d", @name."""', 'f"{share}%"', 'part.endswith("%")', '"~"', 'f"u_{x}"', '"a_b"'])
def test_other_strings_are_none(code: str) -> None:
    assert spelled_dims(code) == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    assert undocumented(path.read_text(encoding="utf-8")) == []


def test_a_missing_docstring_is_noticed() -> None:
    """Negative control."""
    source = 'def f(): ...\nclass C: ...\ndef _g(): ...\ndef h():\n    "h"\n@overload\ndef k(): ...'
    assert undocumented(source) == ["f", "C"]


MOST = 0  # it may fall, not rise


def test_values_have_nouns() -> None:
    vague = [
        f"{path.relative_to(SOURCE)}: {n}" for path in FILES for n in bound_names(path.read_text(encoding="utf-8")) if n in VAGUE
    ]
    assert len(vague) <= MOST, vague


def test_a_vague_name_is_noticed() -> None:
    """Negative control."""
    source = "found, x = f()\nfor told in y: pass\ndef g(said): ...\nz = found.told(said=1)"
    assert sorted(n for n in bound_names(source) if n in VAGUE) == ["found", "said", "told"]

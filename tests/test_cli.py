"""The command line: what it prints, what it leaves behind, and its exit status. What needs NUTS is in test_cli_results.py."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.cli.app import app

FAST = ["--starts", "2", "--seed", "1"]
BARE = ["--standard-errors", "none"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def good(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def waiting() -> np.ndarray:
    return gallery.load("old_faithful").data()["waiting"].to_numpy()


# -------------------------------------------------------------------------------------------------------------- what it prints


def test_list() -> None:
    assert set(gallery.names()) <= set(good("list").stdout.split())
    listed = json.loads(good("list", "--json").stdout)
    assert [m["name"] for m in listed] == gallery.names()
    assert listed[gallery.names().index("old_faithful")]["options"].keys() == {"both"}


def test_explain() -> None:
    text = good("explain", "old_faithful").stdout
    assert text.startswith("Old Faithful: two kinds of eruption")
    assert "waiting[eruption] ~ Normal(mean[group], sd[group])" in text
    assert "272 eruption rows" in text
    assert "MvNormal(mean[group], cov[group])" in json.loads(good("explain", "old_faithful", "--both", "--json").stdout)["text"]


def test_fit_prints_a_table() -> None:
    out = good("fit", "old_faithful", *FAST).stdout
    for text in (
        "maximum likelihood",
        "mean[0]",
        "54.6149",
        "5.8677",
        "Log-likelihood -1034.00175",
        "2 of 2 starts",
        "converged",
    ):
        assert text in out


def test_fit_for_programs() -> None:
    result = good("fit", "old_faithful", "--json", *FAST)
    answer = json.loads(result.stdout)
    assert (answer["model"], answer["status"], answer["random_seed"]) == ("old_faithful", "converged", 1)
    assert answer["log_likelihood"] == pytest.approx(-1034.00175, abs=1e-5)
    assert sorted(answer["estimate"]["mean"]) == pytest.approx([54.6149, 80.0911], abs=1e-4)
    assert [p["parameter"] for p in answer["parameters"]][:2] == ["weight[0]", "weight[1]"]
    assert len(answer["starts"]) == 2
    again = json.loads(good("fit", "old_faithful", "--json", *FAST).stdout)
    assert again["estimate"] == answer["estimate"]


def test_what_has_no_number_is_null() -> None:
    answer = json.loads(good("fit", "old_faithful", "--json", *FAST, *BARE).stdout)
    assert answer["standard_error"]["mean"] == [None, None]
    assert "–" in good("fit", "old_faithful", *FAST, *BARE).stdout


@pytest.mark.parametrize(
    "words",
    [
        ["poisson_mixture", "--components", "3"],
        ["poisson_mixture", "--components=3"],
        ["--components", "3", "poisson_mixture"],
    ],
    ids=" ".join,
)
def test_options_of_the_model(words: list[str]) -> None:
    answer = json.loads(good("fit", *words, "--json", *FAST, *BARE).stdout)
    assert sorted(answer["estimate"]["rate"]) == pytest.approx([12.736, 19.785, 31.629], abs=2e-3)


def test_a_switch_of_the_model() -> None:
    for words in (["--both", "old_faithful"], ["old_faithful", "--both"], ["old_faithful", "--both=true"]):
        assert np.shape(json.loads(good("fit", *words, "--json", *FAST, *BARE).stdout)["estimate"]["cov"]) == (2, 2, 2)
    out = good("fit", "old_faithful", "--both", *FAST, *BARE).stdout
    assert "cov[0, eruptions, waiting]" in out
    assert "cov[0, waiting, eruptions]" not in out  # the mirrored half says nothing new


def test_map_and_hard() -> None:
    answer = json.loads(good("fit", "old_faithful", "--objective", "map", "--json", *FAST, *BARE).stdout)
    assert answer["objective"] == "map"
    assert answer["objective_value"] < answer["log_likelihood"]
    assert json.loads(good("fit", "old_faithful", "--assignment", "hard", "--json", *FAST, *BARE).stdout)["assignment"] == "hard"


# ---------------------------------------------------------------------------------------------------------- data of one's own

WRITERS: dict[str, Callable[[pd.DataFrame, str], object]] = {
    "mine.csv": lambda frame, path: frame.to_csv(path, index=False),
    "mine.parquet": lambda frame, path: frame.to_parquet(path),
    "mine.nc": lambda frame, path: xr.Dataset({k: ("eruption", v) for k, v in frame.items()}).to_netcdf(path, engine="h5netcdf"),
}


@pytest.mark.parametrize("file", list(WRITERS))
def test_own_data(file: str) -> None:
    WRITERS[file](pd.DataFrame({"waiting": waiting()[:100] + 10.0, "remark": np.arange(100)}), file)
    result = good("fit", "old_faithful", "--data", file, "--json", *FAST, *BARE)
    answer = json.loads(result.stdout)
    assert answer["n"] == 100
    assert sorted(answer["estimate"]["mean"])[0] > 60
    assert "note: Columns that the spec does not name were left out: remark." in result.stderr


def test_own_data_with_labels_and_holes() -> None:
    rows = waiting()[:60].tolist()
    text = "waiting,group\n" + "\n".join(f"{x if i != 5 else ''},{int(x > 68) if i < 20 else ''}" for i, x in enumerate(rows))
    Path("mine.csv").write_text(text, encoding="utf-8")
    out = good("explain", "old_faithful", "--data", "mine.csv").stdout
    assert "group: 20 of 60 labels given" in out
    assert "waiting: 1 of 60 cells missing" in out


MODEL = '''"""Two counters."""
import emvsmcmc as ev

def spec():
    with ev.Spec() as spec:
        rate = ev.Gamma("rate", 2, 1)
        time = ev.Data("time", dims="row")
        ev.Poisson("count", rate * time, dims="row")
    return spec
'''


def test_own_model() -> None:
    Path("counter.py").write_text(MODEL, encoding="utf-8")
    Path("mine.csv").write_text("time,count\n1,2\n2,5\n4,6\n3,4\n", encoding="utf-8")
    answer = json.loads(good("fit", "counter.py", "--data", "mine.csv", "--json").stdout)
    assert answer["estimate"]["rate"] == pytest.approx(1.7)
    assert "rate = Σ_row count[row] / Σ_row time[row]" in good("explain", "counter.py").stdout


# ------------------------------------------------------------------------------------------------------------------ simulation


@pytest.mark.parametrize("file", list(WRITERS))
def test_simulated_data_can_be_fitted(file: str) -> None:
    good("simulate", "gaussian_mixture", "--two", "--size", 90, "--seed", 4, "--out", file)
    result = good("fit", "gaussian_mixture", "--two", "--data", file, "--json", *FAST, *BARE)
    assert json.loads(result.stdout)["n"] == 90
    assert "true_group" in result.stderr  # the hidden truth is in the file, and is not used
    assert [p.name for p in Path().iterdir()] == [file]


def test_simulate_to_standard_output() -> None:
    first = good("simulate", "old_faithful", "--size", 7, "--seed", 4)
    lines = first.stdout.splitlines()
    assert lines[0] == "true_group,waiting"
    assert len(lines) == 8
    assert "parameters drawn from the priors" in first.stderr
    assert good("simulate", "old_faithful", "--size", 7, "--seed", 4).stdout == first.stdout
    answer = json.loads(good("simulate", "gaussian_mixture", "--size", 7, "--json").stdout)
    assert answer["parameters"]["mean"] == [2, 5, 10]
    assert len(answer["data"]["x"]) == 7


def test_simulate_with_covariates() -> None:
    Path("counter.py").write_text(MODEL, encoding="utf-8")
    Path("mine.csv").write_text("time\n1\n2\n4\n", encoding="utf-8")
    answer = json.loads(good("simulate", "counter.py", "--data", "mine.csv", "--json").stdout)
    assert answer["data"]["time"] == [1, 2, 4]
    assert len(answer["data"]["count"]) == 3


# ------------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("fit", "Missing argument 'MODEL'"),
        ("frobnicate", "No such command"),
        ("fit old_faithful --starts 0", "--starts"),
        ("fit old_faithful --starts many", "--starts"),
        ("fit old_faithful --objective best", "'best' is not one of"),
        ("fit old_faithful --bot", "--bot: expected an option, or one of this model: --both; got an unknown word. Did you mean"),
        ("fit zero_inflated_poisson --both", "one of this model: it has none"),
        ("fit old_faithful more", "more: expected an option"),
        ("fit old_faithful --both=perhaps", "--both=perhaps: expected true or false"),
        ("fit poisson_mixture --components two", "--components: expected a whole number; got 'two'"),
        ("fit poisson_mixture --components", "--components: expected a whole number; got nothing"),
        ("fit poisson_mixture --components 200", "kind: expected at least 200 rows"),
        ("fit old_fathful", "old_fathful: expected a model of the gallery"),
        ("fit old_fathful", "Did you mean 'old_faithful'?"),
        ("fit missing.py", "missing.py: expected a Python file with spec(); got no such file"),
        ("fit raises.py", "raises.py: expected a Python file that runs; got ZeroDivisionError: division by zero in line 2"),
        ("fit empty.py", "empty.py: expected a file that defines spec()"),
        ("fit counter.py", "counter: expected data: none come with this model"),
        ("explain counter.py --data nowhere.csv", "nowhere.csv: expected a .csv, .parquet or .nc file; got no such file"),
        ("fit old_faithful --data .", "got a folder"),
        ("fit old_faithful --data raises.py", "got a file ending in '.py'"),
        ("fit old_faithful --data empty.csv", "empty.csv: expected a readable csv file; got No columns to parse"),
        ("fit old_faithful --data ragged.csv", "ragged.csv: expected a readable csv file; got Error tokenizing data"),
        ("fit old_faithful --data bytes.csv", "bytes.csv: expected a readable csv file"),
        ("fit old_faithful --data not.parquet", "not.parquet: expected a readable parquet file"),
        ("fit old_faithful --data not.nc", "not.nc: expected a readable nc file"),
        ("fit old_faithful --data other.csv", "expected values for at least one of ['group', 'waiting']"),
        ("fit old_faithful --both --data half.csv", "geyser: expected columns ['eruptions', 'waiting']"),
        ("fit old_faithful --data text.csv", "waiting: expected numbers; got 'long' in row 1"),
        ("fit old_faithful --data constant.csv", "waiting: expected values that vary"),
        ("fit old_faithful --data one.csv", "group: expected at least 2 rows"),
        ("fit poisson_mixture --data negative.csv", "count: expected a whole number of at least 0 (Poisson); got -1 in row 2"),
        ("simulate old_faithful --out x.doc", "x.doc: expected a .csv, .parquet or .nc file"),
        ("simulate old_faithful --out empty.csv/x.csv", "empty.csv: expected a folder"),
        ("simulate old_faithful --size 0", "--size"),
        ("sample old_faithful --draws 0", "--draws"),
        ("sample old_faithful --out x.csv", "x.csv: expected a .nc file"),
        ("compare old_faithful --out empty.csv", "empty.csv: expected a folder for the report; got a file"),
        ("compare old_faithful --marginalize none", "'none' is not one of"),
        ("report nowhere.nc", "nowhere.nc: expected a file saved by Comparison.save; got no such file"),
        ("report not.nc", "not.nc: expected a NetCDF file"),
    ],
)  # fmt: skip
def test_bad_input(words: str, told: str) -> None:
    files = {
        "raises.py": "import emvsmcmc as ev\n1 / 0\n", "empty.py": "", "counter.py": MODEL,
        "empty.csv": "", "ragged.csv": "a,b\n1,2\n1,2,3\n",
        "not.parquet": "x", "not.nc": "x", "other.csv": "a\n1\n2\n", "half.csv": "waiting\n1\n2\n3\n",
        "text.csv": "waiting\n3\nlong\n4\n", "constant.csv": "waiting\n3\n3\n3\n", "one.csv": "waiting\n3\n",
        "negative.csv": "count\n1\n2\n-1\n",
    }  # fmt: skip
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("bytes.csv").write_bytes(b"waiting\n\xff\xfe\n")
    before = sorted(Path().rglob("*"))
    result = run(*words.split())
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert sorted(Path().rglob("*")) == before


def test_a_fit_that_fails() -> None:
    Path("mine.csv").write_text("waiting\n" + "\n".join(["50"] * 5 + ["80"] * 5), encoding="utf-8")
    result = run("fit", "old_faithful", "--data", "mine.csv", *FAST)
    assert result.exit_code == 1
    assert "degenerate" in result.stderr
    assert "a prior that vanishes at zero" in result.stderr
    assert result.stdout == ""
    assert json.loads(run("fit", "old_faithful", "--data", "mine.csv", "--json", *FAST).stdout)["status"] == "degenerate"


def test_a_fit_that_does_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    from emvsmcmc.em import fit as module

    whole = module.fit_em
    monkeypatch.setattr(module, "fit_em", lambda *a, **k: whole(*a, **k, max_iter=1))
    result = run("fit", "old_faithful", *FAST, *BARE)
    assert result.exit_code == 1
    assert "max_iter: The iterations ran out" in result.stderr
    assert "54." in result.stdout


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: only named errors become a sentence."""
    monkeypatch.setattr(gallery, "load", lambda name: 1 / 0)
    assert isinstance(run("fit", "old_faithful").exception, ZeroDivisionError)


def test_version_and_help() -> None:
    assert good("--version").stdout.strip() == f"emvsmcmc {ev.__version__}"
    for words in (["--help"], ["fit", "--help"]):
        assert "Usage" in good(*words).stdout

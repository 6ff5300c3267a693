"""The command line around NUTS, which is stubbed: what `sample`, `compare` and `report` ask for, print and leave behind."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

import emvsmcmc as ev
from emvsmcmc.cli import files as cli_files
from emvsmcmc.cli import show as cli_show
from emvsmcmc.cli.app import app
from emvsmcmc.cli.show import show_comparison
from emvsmcmc.comparison import run as comparison_run
from emvsmcmc.comparison.verdict import Verdict
from emvsmcmc.errors import SamplingFailed, Status
from emvsmcmc.report.comparison import page


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def good(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def draws() -> xr.DataTree:
    rng = np.random.default_rng(0)
    mean = xr.Dataset(
        {"mean": (("chain", "draw", "component"), rng.normal([54, 80], 1, (4, 50, 2)))}, coords={"component": [0, 1]}
    )
    tree = xr.DataTree.from_dict({"posterior": mean})
    tree.attrs = {"compile_seconds": 1.25, "sampling_seconds": 2.5}
    return tree


def test_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def stub(problem: Any, **options: Any) -> xr.DataTree:
        asked.update(n=problem.n, **options)
        print("chatter")  # noqa: T201
        return draws()

    monkeypatch.setattr(comparison_run, "fit_mcmc", stub)
    words = ["sample", "old_faithful", "--draws", 50, "--tune", 9, "--chains", 3, "--seed", 5, "--out", "post.nc"]
    words += ["--likelihood", "native", "--marginalize", "discrete"]
    result = good(*words, "--json")
    expected = {
        "n": 272,
        "draws": 50,
        "tune": 9,
        "chains": 3,
        "likelihood": "native",
        "marginalize": "discrete",
        "random_seed": 5,
    }
    assert asked == {**expected, "progress": False}
    answer = json.loads(result.stdout)
    assert [p["parameter"] for p in answer["parameters"]] == ["mean[0]", "mean[1]"]
    assert answer["parameters"][0]["r_hat"] == pytest.approx(1, abs=0.1)
    assert "chatter" in result.stderr
    assert xr.open_datatree("post.nc", engine="h5netcdf")["posterior"].sizes["draw"] == 50
    out = good(*words[:2]).stdout
    assert "mean[1]" in out
    assert "sampling 2.5 s" in out


def test_sampling_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def stub(*_: Any, **__: Any) -> None:
        raise SamplingFailed("NUTS could not run: no chain started")

    monkeypatch.setattr(comparison_run, "fit_mcmc", stub)
    result = run("sample", "old_faithful", "--out", "post.nc")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "emvsmcmc: NUTS could not run: no chain started" in result.stderr
    assert not list(Path().iterdir())


class Stub(SimpleNamespace):
    """What `compare` returns, as far as the command line looks at it."""

    breaks = False
    posterior = SimpleNamespace(attrs={})

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.name, "verdict": self.verdict.name, "k_hat": 0.3}

    def save(self, file: Path) -> None:
        file.write_text("saved", encoding="utf-8")

    def report(self, folder: Path) -> None:
        (folder / "index.html").write_text("page", encoding="utf-8")
        if self.breaks:
            raise OSError(28, "No space left on device")


def comparison(name: str = "model", **options: Any) -> Stub:
    columns = ["em", "se", "fmi", "map", "mean", "sd", "hdi_lower", "hdi_upper", "ess_bulk", "r_hat", "gap", "se_ratio"]
    index = pd.Index(["mean[0]", "mean[1]"], name="parameter")
    table = pd.DataFrame([[1.5] * len(columns), [np.nan] * len(columns)], index=index, columns=columns)
    found = Verdict("EM suffices", ("largest gap 0.10 posterior sd (mean[0])",))
    times = {"EM": 0.2, "compile": 1.0, "sampling": 2.0, "effective draws a second": 140.0}
    contract = SimpleNamespace(holds=True, sentence="The routes agree.")
    whole = {"verdict": found, "contract": contract, "timings": times, "options": options}
    em = SimpleNamespace(status=Status.CONVERGED, reasons={})
    return Stub(name=name, table=table, invariant=table.iloc[:0], em=em, **whole)


def test_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def stub(problem: ev.Problem, **options: Any) -> Stub:
        asked.update(options)
        return comparison(**options)

    monkeypatch.setattr(comparison_run, "compare", stub)
    result = good("compare", "gaussian_mixture", "--starts", 3, "--draws", 20, "--seed", 2)
    assert (asked["starts"], asked["draws"], asked["tune"], asked["random_seed"], asked["name"]) == (
        3,
        20,
        1000,
        2,
        "gaussian_mixture",
    )
    assert asked["truth"]["mean"].tolist() == [2, 5, 10]
    for text in (
        "EM beside the posterior",
        "mean[0]",
        "1.5000",
        "–",
        "EM suffices: largest gap 0.10",
        "140 effective draws",
        "The routes agree.",
        "gaussian_mixture/index.html",
    ):
        assert text in result.stdout
    folder = Path("reports/gaussian_mixture")
    assert {p.name for p in folder.iterdir()} == {"index.html", "gaussian_mixture.nc"}
    assert [p.name for p in Path("reports").iterdir()] == ["gaussian_mixture"]
    (folder / "mine.txt").write_text("kept", encoding="utf-8")
    answer = json.loads(good("compare", "gaussian_mixture", "--json").stdout)
    assert (answer["verdict"], answer["report"]) == ("EM suffices", "reports/gaussian_mixture/index.html")
    assert (folder / "mine.txt").exists()
    Path("mine.csv").write_text("x\n" + "\n".join(map(str, range(20))), encoding="utf-8")
    good("compare", "gaussian_mixture", "--data", "mine.csv", "--out", "elsewhere")
    assert asked["truth"] is None  # the truth is that of the model's own data
    assert Path("elsewhere/index.html").is_file()


def test_what_is_new_in_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = comparison()
    show_comparison(found)
    plain = capsys.readouterr()
    assert "missing" in plain.out
    assert "ommunalit" not in plain.out
    assert [cli_show.number(x, 2) for x in (-1e-9, -0.006, np.nan)] == ["0.00", "-0.01", "–"]
    labels = [f"communality[x{i}]" for i in range(14)] + ["implied_cov[x1, x2]"]
    shares = [0.5, *[0.25] * 13, 9.0]
    found.invariant = pd.DataFrame({"em": shares, "gap": [0.1, *[-0.2] * 13, -0.75]}, index=labels)
    found.em = SimpleNamespace(
        status=Status.HEYWOOD, sentence=Status.HEYWOOD.sentence, reasons={"sd": "on the boundary of its support"}
    )
    show_comparison(found)
    told = capsys.readouterr()
    assert "Communalities: x0 0.50, x1 0.25," in told.out
    assert "x11 0.25 and 2 more; the widest gap of what no rotation changes is 0.75 s.d. (implied_cov[x1, x2])." in told.out
    assert "No standard error for sd: on the boundary" in told.out
    assert f"EM ended as heywood: {Status.HEYWOOD.sentence}" in told.err.replace("\n", " ")
    found.invariant = pd.DataFrame({"em": [0.5], "gap": [0.1]}, index=["communality[0, x1]"])
    assert cli_show.invariant_line(found).startswith("Communalities: [0, x1] 0.50; ")
    monkeypatch.setattr(cli_show, "PLAIN_WIDTH", 100)
    show_comparison(found)
    assert "missing" not in capsys.readouterr().out  # it is the first to go where the terminal is narrow


def test_fit_tells_what_is_missing() -> None:
    out = good("fit", "missing_bivariate", "--starts", 2, "--seed", 0).stdout
    assert re.search(r"estimate +standard error +missing", out)
    assert re.search(r"cov\[x2, x2\] .* 0\.30", out)
    assert "at most 0.526, plain EM's rate" in out
    answer = json.loads(good("fit", "missing_bivariate", "--starts", 2, "--seed", 0, "--json").stdout)
    assert answer["predicted_rate"] == pytest.approx(0.526, abs=1e-3)
    assert answer["missing_information"]["cov"][1][1] == pytest.approx(0.296, abs=1e-3)
    out = good("fit", "missing_bivariate", "--starts", 2, "--standard-errors", "none").stdout
    assert "missing" not in out.replace("missing_bivariate", "")


def test_nothing_half_written_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stub, "breaks", True)
    monkeypatch.setattr(comparison_run, "compare", lambda problem, **options: comparison(**options))
    result = run("compare", "old_faithful", "--out", "here")
    assert result.exit_code == 2
    assert "here: expected a folder that can be written; got No space left on device" in result.stderr
    assert not list(Path().iterdir())

    def breaks(path: Path) -> None:
        path.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(ev.errors.BadFile, match="No space left"):
        cli_files.write_file(Path("data.csv"), breaks)
    assert not list(Path().iterdir())


def test_report(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = xr.DataTree()
    tree.attrs["comparison"] = "{}"
    tree.to_netcdf("saved.nc", engine="h5netcdf")
    asked = []

    def stub(saved: xr.DataTree, folder: Path) -> None:
        asked.append(saved.attrs["comparison"])
        (folder / "index.html").write_text("page", encoding="utf-8")

    monkeypatch.setattr(page, "write", stub)
    assert "Page: site/index.html" in good("report", "saved.nc", "--out", "site").stdout
    assert json.loads(good("report", "saved.nc", "--json").stdout) == {"report": "index.html"}
    assert asked == ["{}", "{}"]
    assert Path("site/index.html").read_text(encoding="utf-8") == "page"

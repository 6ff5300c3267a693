"""What learning curves say, their page, and the command."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import emvsmcmc as ev
from emvsmcmc.cli.show import number
from emvsmcmc.errors import BadInput
from emvsmcmc.experiments.labels.findings import HEADLINES, findings, paired
from emvsmcmc.experiments.labels.scores import SCORES

FRACTIONS, REPEATS = (0.0, 0.1, 1.0), 6
METHODS = ("em", "mcmc", "supervised")
MODEL = """
'''Two kinds of beans.'''
import numpy as np
import emvsmcmc as ev

OPTIONS = {"labels": "how many beans in each hundred keep their label"}

def spec():
    with ev.Spec(coords={"kind": ["red", "white"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="kind")
        mean = ev.Normal("mean", 0, 5, dims="kind")
        sd = ev.HalfNormal("sd", 3)
        bean = ev.Categorical("bean", weight, dims="row")
        ev.Normal("size", mean[bean], sd, dims="row")
    return spec

def data(labels: int = 10):
    rng = np.random.default_rng(3)
    bean = np.repeat([0, 1], 30)
    size = 4.0 * bean + rng.normal(size=60)
    return {"size": size, "bean": np.where(np.arange(60) % 100 < labels, bean, -1)}
"""


def fabricated(gain: float, failed: int = 0, repeats: int = REPEATS) -> xr.Dataset:
    """Curves in which EM is `gain` more accurate than the labelled rows alone with 10% of the labels; MCMC scores as EM does."""
    rng = np.random.default_rng(1)
    shape = len(FRACTIONS), repeats, len(METHODS), 2
    base = 0.8 + 0.01 * rng.normal(size=shape[:2])[..., None, None] * np.ones(shape)
    base[1, :, :2] += gain
    base += 0.001 * rng.normal(size=shape)
    base[0, :, 2] = np.nan
    if failed:
        base[1, :failed, 2] = np.nan
    base[2, :, :, 0] = np.nan
    status = np.full(shape[:3], "converged", dtype=object)
    status[:, :, 1] = "sampled"
    status[0, :, 2] = "EmptyClass"
    if failed:
        status[1, :failed, 2] = "degenerate"
    dims = ("fraction", "repeat", "method")
    scores = dict.fromkeys(SCORES, ((*dims, "evaluation"), base))
    single = dict.fromkeys(("parameter_error", "r_hat", "ess"), (dims, base[..., 1]))
    labelled = np.array(FRACTIONS)[:, None] * np.full((1, repeats), 60.0)
    about = {
        "model": "beans", "label": "bean", "classes": ["red", "<white>"], "rows": 80, "reference": "all labels",
        "held_out": "25% of each class", "seen": "labels", "em_options": {"starts": 3}, "mcmc_options": {"draws": 9},
    }  # fmt: skip
    return xr.Dataset(
        {**scores, **single, "labelled": (dims[:2], labelled), "status": (dims, status.astype(str))}
        | {"message": (dims, np.where(status == "degenerate", "cov: it <collapsed>", "").astype(str))},
        coords={"fraction": list(FRACTIONS), "method": list(METHODS), "evaluation": ["hidden", "held_out"]},
        attrs={"experiment": "labels", "random_seed": 1, "about": json.dumps(about)},
    )


@pytest.mark.parametrize(
    ("gain", "kind", "said"),
    [(0.1, "help", "help with 10%"), (-0.1, "hurt", "hurt with 10%"), (0.0, "none", "nowhere more than 2")],
)
def test_findings_say_what_the_curves_hold(gain: float, kind: str, said: str) -> None:
    found = findings(fabricated(gain))
    assert found.kind == kind
    assert found.headline == HEADLINES[kind]
    assert said in found.sentences[0]
    assert "no clearly better or worse" in found.sentences[-1]


def test_findings_count_masks_without_a_fit_and_need_a_few() -> None:
    assert "6 masks the labelled rows alone gave no fit in 2 with 10%" in findings(fabricated(0.1, failed=2)).sentences[1]
    assert findings(fabricated(0.1, repeats=2)).kind == "few"
    assert findings(fabricated(0.1).sel({"method": ["em", "mcmc"]})).kind == "unknown"


def test_differences_are_paired() -> None:
    """The masks differ by 0.01, the methods on a mask by 0.001: only pairs see it so sharply."""
    curves = fabricated(0.1)
    row = paired(curves, "em", "supervised", "accuracy", "held_out").loc[0.1]
    d = curves["accuracy"].sel({"fraction": 0.1, "evaluation": "held_out"}).transpose("method", "repeat").values
    assert row["difference"] == pytest.approx((d[0] - d[2]).mean())
    assert row["se"] == pytest.approx((d[0] - d[2]).std(ddof=1) / np.sqrt(REPEATS))
    assert row["se"] < 0.3 * d[0].std(ddof=1) / np.sqrt(REPEATS)
    assert paired(fabricated(0.1, failed=2), "em", "supervised", "accuracy", "held_out").loc[0.1, "repeats"] == REPEATS - 2


def test_table_holds_means_over_repeats() -> None:
    curves = fabricated(0.1)
    assert ev.semisupervised is not None  # the package's front door says where the pages are
    table = curves.ev.table
    x = curves["brier"].sel({"fraction": 0.1, "method": "em", "evaluation": "hidden"}).values
    line = table.loc[("brier", 0.1, "em", "hidden")]
    assert line["mean"] == pytest.approx(x.mean())
    assert line["se"] == pytest.approx(x.std(ddof=1) / np.sqrt(REPEATS))
    assert ("brier", 0.0, "supervised", "hidden") not in table.index
    assert table.loc[("parameter_error", 0.1, "em", ""), "repeats"].item() == REPEATS


def test_a_label_that_was_ruled_out_is_not_averaged_away(tmp_path: Path) -> None:
    """One mask with a log score of minus infinity: so is the mean, on the page as on the terminal; without it nothing is said."""
    curves = fabricated(0.1)
    assert "probability zero" not in curves.ev.report(tmp_path / "before").read_text(encoding="utf-8")
    assert "−∞" not in (tmp_path / "before" / "index.html").read_text(encoding="utf-8")
    score = curves["log_score"].copy()
    score.loc[{"fraction": 0.1, "method": "mcmc", "evaluation": "held_out", "repeat": 0}] = -np.inf
    text = curves.assign(log_score=score).ev.report(tmp_path / "after").read_text(encoding="utf-8")
    assert len(re.findall(r"<td[^>]*>−∞</td>", text)) == 1
    assert "probability zero" in text
    assert number(-np.inf, 3) == "−∞"
    assert number(np.nan, 3) == "–"


@pytest.mark.parametrize("gain", [0.1, -0.1, 0.0])
def test_the_page_is_self_contained_and_escapes(gain: float, tmp_path: Path) -> None:
    assert ev.semisupervised is not None
    page = fabricated(gain, failed=2).ev.report(tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert page.name == "index.html"
    assert not re.search(r"(src|href)=[\"'](?!#)", text)
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().replace("finance", "")
    assert "&lt;white&gt;" in text
    assert "<white>" not in text
    assert "it &lt;collapsed&gt;" in text
    assert text.count("<svg") == 2 * len(SCORES) + 1
    assert all(len(label) > 30 for label in re.findall(r'<svg[^>]*aria-label="([^"]*)"', text))
    assert findings(fabricated(gain, failed=2)).headline in text
    assert "(4 of 6)" in text


def test_the_page_names_the_methods_that_ran_and_no_other(tmp_path: Path) -> None:
    curves = fabricated(0.1)
    every = curves.ev.report(tmp_path / "every").read_text(encoding="utf-8")
    two = curves.sel({"method": ["em", "supervised"]}).ev.report(tmp_path / "two").read_text(encoding="utf-8")
    assert ">MCMC</b>" in every
    assert "EM and MCMC also see the rows without a label" in every
    assert "MCMC" not in two.partition('id="run"')[0].partition("</style>")[2]
    assert "EM also sees the rows without a label; the other method drops them" in two


def test_a_dataset_that_is_no_experiment_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="experiment"):
        fabricated(0.1).drop_attrs().ev.report(tmp_path)


def test_curves_come_back_from_a_file(tmp_path: Path) -> None:
    curves = fabricated(0.1, failed=1)
    curves.to_netcdf(tmp_path / "curves.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "curves.nc", engine="h5netcdf") as back:
        assert findings(back.load()) == findings(curves)
        back.ev.report(tmp_path)


# ------------------------------------------------------------------------------------------------------------------ command


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys\nfrom emvsmcmc.cli.app import main\nsys.argv = ['emvsmcmc', *sys.argv[1:]]\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "labels", *words], capture_output=True, text=True, cwd=folder, timeout=300
    )


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "beans.py"
    path.write_text(MODEL)
    return str(path)


QUICK = ("--methods", "em,supervised", "--repeats", "3", "--starts", "2", "--seed", "1", "--workers", "0")


def test_the_command_writes_a_page_resumes_and_prints_json(model: str, tmp_path: Path) -> None:
    words = (model, *QUICK, "--fractions", "0.1,50%", "--store", "kept", "--report", "page")
    done = command(*words, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["repeats"] == 3
    assert {row["fraction"] for row in result["scores"]} == {0.1, 0.5}
    assert result["verdict"] in HEADLINES.values()
    assert all(s["status"] == "converged" for s in result["statuses"] if s["method"] == "em")
    text = (tmp_path / "page" / "index.html").read_text()
    assert "emvsmcmc labels" in text
    assert "Two kinds of beans" in text
    assert (tmp_path / "page" / "labels.nc").is_file()
    executions = (tmp_path / "kept" / "log.jsonl").read_text().count('"start"')
    again = command(*words, folder=tmp_path)
    assert "accuracy" in again.stdout
    assert (tmp_path / "kept" / "log.jsonl").read_text().count('"start"') == executions == 12


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--fractions", "0"), 1, ""),  # the labelled rows alone, without labels: no curve has a point
        (("--fractions", "ten"), 2, "numbers with commas"),
        (("--fractions", "2"), 2, "shares from 0 to 1"),
        (("--methods", "knn"), 2, "methods"),
        (("--labels", "30"), 2, "--fractions"),
        (("--truth",), 2, "truth"),
        (("--label", "beans"), 2, "bean"),
        (("--scheduler", "tcp://127.0.0.1:1"), 2, "scheduler"),
        (("--wrong",), 2, "--wrong"),
    ],
)
def test_exit_statuses(words: tuple[str, ...], status: int, said: str, model: str, tmp_path: Path) -> None:
    methods = ("--methods", "supervised", "--repeats", "1", "--workers", "0", "--seed", "1")
    done = command(model, *methods, *words, folder=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_front_door_names_it() -> None:
    found: Any = ev.semisupervised
    assert found.__module__ == "emvsmcmc.experiments.labels.semisupervised"
    assert "semisupervised" in ev.__all__

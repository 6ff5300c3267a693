"""Calibration of both engines for real, one compiled model for all data, and the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

import emvsmcmc as ev
from emvsmcmc.cli.app import app
from emvsmcmc.experiments.calibration.data import design_of, simulated
from emvsmcmc.experiments.calibration.judge import coverage
from emvsmcmc.gallery import load

FEW = {"bootstrap": 39, "em_options": {"starts": 2}, "mcmc_options": {"draws": 50, "tune": 50}, "workers": 0, "progress": False}


def test_both_engines_on_simulated_data(tmp_path: Path) -> None:
    spec = load("genetic_linkage").spec()
    result = ev.calibrate(spec, [30], simulations=3, random_seed=2, **FEW)
    assert (result["mcmc_status"] == "sampled").all()
    assert result["bootstrap_status"].isin(["done", "incomplete"]).all()
    assert result["quantity"].values.tolist() == ["t", "log likelihood", "log prior"]
    t = result.sel(quantity="t")
    assert ((t["truth"] > 0) & (t["truth"] < 1)).all()
    # both engines saw the same rows: their answers differ by less than the truth may
    assert (np.abs(t["estimate"] - t["mean"]) < 2 * t["sd"]).all()
    assert (t["lower"] < t["upper"]).sum() == 3 * 4 * 3
    wide = (t["upper"] - t["lower"]).transpose("level", ...).values
    assert (wide[0] < wide[1]).all()
    assert (wide[1] < wide[2]).all()
    half = 1.959964 * t["se"]
    assert np.allclose(t["upper"].sel(interval="wald", level=0.95), t["estimate"] + half, atol=1e-5)
    page = result.ev.report(tmp_path).read_text(encoding="utf-8")
    assert "Too few simulations" in page
    assert coverage(result)["simulations"].eq(3).all()


def test_on_a_cluster_and_by_the_command() -> None:
    """The same numbers as here, by a client and by the address of a scheduler."""
    from distributed import Client, LocalCluster

    options = {k: v for k, v in FEW.items() if k != "workers"}
    spec = load("genetic_linkage").spec()
    here = ev.calibrate(spec, [30], simulations=2, random_seed=2, **FEW)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        there = ev.calibrate(spec, [30], simulations=2, random_seed=2, client=client, **options)
        xr.testing.assert_allclose(
            here.drop_vars("seconds", errors="ignore"), there.drop_vars("seconds", errors="ignore"), rtol=1e-6
        )
        sizes = ["--sizes", "30", "--simulations", "1", "--bootstrap", "0", "--draws", "40", "--tune", "40", "--starts", "2"]
        done = CliRunner().invoke(app, ["calibrate", "genetic_linkage", *sizes, "--scheduler", cluster.scheduler_address])
        assert done.exit_code == 0, done.output
        assert "Too few simulations" in done.output


def keys_of(spec: ev.Spec, data: list[tuple[int, int]]) -> set[str]:
    """Cache keys of the compiled log densities for simulated data of (rows, seed)."""
    from emvsmcmc.expect.planner import make_plan
    from emvsmcmc.mcmc.compile.wrappers import graph_function, graph_key
    from emvsmcmc.mcmc.model import build_model
    from emvsmcmc.mcmc.unconstrained import layout_of

    keys = set()
    for n, seed in data:
        model = build_model(make_plan(simulated(design_of(spec), n, seed)[1]), "fused", "all")
        key = graph_key(graph_function(model, layout_of(model).shapes))
        assert key is not None
        keys.add(key)
    return keys


def test_other_data_are_not_compiled_again() -> None:
    """Rows, their number and their centre are inputs. Negative control: another prior is another program."""

    def spec(scale: float) -> ev.Spec:
        with ev.Spec(coords={"c": ["a", "b"]}) as found:
            mean = ev.Normal("mean", 10.0, scale, dims="c")
            sd = ev.HalfNormal("sd", 2.0, dims="c")
            ev.Normal("x", mean, sd, dims=("row", "c"))
        return found

    keys = keys_of(spec(3.0), [(30, 1), (30, 2), (90, 3)])
    assert len(keys) == 1
    assert not keys & keys_of(spec(4.0), [(30, 1)])


# --------------------------------------------------------------------------------------------------------- the command line


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, words)])


def test_the_command_writes_its_page_and_its_numbers(tmp_path: Path) -> None:
    words = ["genetic_linkage", "--sizes", "20,40", "--simulations", 2, "--seed", 3, "--starts", 2, "--draws", 40, "--tune", 40,
             "--bootstrap", 0, "--workers", 0, "--store", tmp_path / "store", "--report", tmp_path / "page"]  # fmt: skip
    found = run(*words, "--json")
    assert found.exit_code == 0, found.output
    said: dict[str, Any] = json.loads(found.stdout)
    assert said["sizes"] == [20, 40]
    assert {row["quantity"] for row in said["uniformity"]} == {"t", "log likelihood"}  # its prior is flat
    assert said["verdict"] == "Too few simulations to tell"
    assert {row["interval"] for row in said["coverage"]} == {"wald", "eti", "hdi"}
    assert (tmp_path / "page" / "index.html").is_file()
    assert (tmp_path / "page" / "calibration.nc").is_file()
    again = run(*words)  # from the store
    assert again.exit_code == 0, again.output
    assert "where there is one" in again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["genetic_linkage", "--sizes", "20,many"], "--sizes"),
        (["genetic_linkage", "--sizes", "1"], "sizes"),
        (["genetic_linkage", "--store", "anywhere"], "seed"),
        (["no_such_model"], "no_such_model"),
        (["wide.py", "--sizes", "20"], "defend"),
    ],
)
def test_bad_input_is_named_and_ends_with_2(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide.py").write_text(
        "import emvsmcmc as ev\n\ndef spec():\n    with ev.Spec() as s:\n        sd = ev.InverseGamma('sd', 0.001, 0.001)\n"
        "        ev.Normal('x', 0.0, sd, dims='row')\n    return s\n"
    )
    found = run(*words)
    assert found.exit_code == 2, found.output
    assert said in found.stderr
    assert not (tmp_path / "anywhere").exists()


def nothing(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    raise ev.errors.SamplingFailed("it would not start")


def test_a_run_in_which_nothing_succeeds_fails_by_name() -> None:
    """Maximum likelihood has no answer (the scale of the mean occurs in a prior only), and the sampler fails."""
    with ev.Spec() as spec:
        scale = ev.HalfNormal("scale", 2.0)
        mean = ev.Normal("mean", 0.0, scale)
        ev.Normal("x", mean, 1.0, dims="row")
    with pytest.raises(ev.errors.SamplingFailed, match="neither engine"):
        ev.calibrate(spec, [8], simulations=2, posterior=nothing, random_seed=1, bootstrap=0, workers=0, progress=False)
    found = ev.calibrate(spec, [8], simulations=2, random_seed=1, **FEW)
    assert (found["em_status"] == "Unidentified").all()
    assert (found["mcmc_status"] == "sampled").all()
    assert found["pit"].notnull().all()

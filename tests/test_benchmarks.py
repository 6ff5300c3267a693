"""The protocol of the benchmarks: no time without proof, no peer that vanishes, and a page with every figure on it."""

import html
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import bench
import numpy as np
import page
import peers
import protocol
import pytest
import workers
from protocol import Absent, Curve, Findings, Proof, Timed, Unequal
from rows import PROGRAMS, ROWS

import emvsmcmc as ev

HERE = Path(protocol.__file__).parent


def measured(found: Findings, key: str, proofs: list[Proof], peer: str = "somebody") -> None:
    with found.row(key) as row:
        row.measured(peer, Timed.of([1.0, 2.0, 4.0], [30.0, 80.0, 100.0]), proofs, version="7.8.9", note=f"A note on {key}.")


def proof(key: str) -> Proof:
    return protocol.equal(f"log-likelihood of {key}", -1234.5, -1234.5, 1e-9)


def everything(folder: Path) -> None:
    """What programs would have written, with a figure for every row."""
    for name, keys in PROGRAMS.items():
        if name == bench.AGREEMENT:
            continue
        found = Findings(folder / f"{name}.json", {"somebody": "7.8.9"}, notes=[f"{name}: its profile."])
        for key in keys:
            measured(found, key, [proof(key)])
        found.curve(
            Curve(f"growth-{name}", f"Growth of {name}", "rows", {"emvsmcmc": [(1e4, 0.1), (1e6, 9.0)], "other": [(1e4, 1.0)]})
        )
        assert found.finish() == 0
    figures = [
        {"case": "old_faithful", "quantity": "mean", "package": "somebody", "figure": "1.23", "ours": 1.23, "agrees": True}
    ]
    Path(folder, "agreement.json").write_text(json.dumps({"rows": figures, "absent": ["lavaan"]}))


def report_of(folder: Path, programs: list[dict] | None = None) -> dict:
    """The report as it is after its way through JSON."""
    ran = programs if programs is not None else [{"name": name, "seconds": 1.5, "failed": None} for name in PROGRAMS]
    return json.loads(json.dumps(bench.collate(ran, folder, {}), allow_nan=False))


def words(report: dict) -> str:
    return re.sub(r"\s+", " ", html.unescape(page.render(report)))


@pytest.mark.parametrize("theirs", [-1234.6, float("nan"), float("inf")])
def test_unequal_log_likelihoods_are_refused(theirs, capsys):
    found = Findings(None)
    with found.row("optimum-sklearn") as row:
        same = protocol.equal("log-likelihood", -1234.5, theirs, 1e-6)
        row.measured("somebody", Timed.of([1.0], [100.0]), [same])
    assert not found.measurements
    assert "log-likelihood" in found.refused["optimum-sklearn"]
    assert found.finish() == 1
    assert "REFUSED" in capsys.readouterr().out


def test_equal_log_likelihoods_are_not_refused():
    found = Findings(None)
    measured(found, "optimum-sklearn", [protocol.equal("log-likelihood", -1234.5, -1234.5 * (1 + 1e-10), 1e-9)])
    assert [m.key for m in found.measurements] == ["optimum-sklearn"]
    assert found.finish() == 0
    with pytest.raises(Unequal, match="1e-06"):
        protocol.equal("log-likelihood", -1e6, -1e6 - 1e-3, 1e-6, absolute=True)
    assert protocol.equal("log-likelihood", -1e6, -1e6 - 1e-3, 1e-6).difference == pytest.approx(1e-9)


@pytest.mark.parametrize("key", ROWS)
def test_a_time_without_proof_is_refused_unless_nobody_computes_the_same(key):
    found = Findings(None)
    measured(found, key, [])
    assert (key in found.refused) != ROWS[key].alone
    assert bool(found.measurements) == ROWS[key].alone


def test_ratios_say_how_much_better_ours_is():
    pairs = Timed.of([1.0, 2.0, 4.0], [30.0, 80.0, 100.0])
    cost = ROWS["iteration-sklearn"]
    assert pairs.ratios(cost) == [30, 40, 25]
    assert pairs.ratios(replace(cost, rate=True)) == [1 / 30, 1 / 40, 1 / 25]
    assert pairs.ratios(replace(cost, sense="at most")) == [1 / 30, 1 / 40, 1 / 25]
    found = Findings(None)
    measured(found, "iteration-sklearn", [proof("x")])
    (m,) = found.measurements
    assert (m.ratio, m.least, m.most, m.repeats, m.met) == (30, 25, 40, 3, True)
    assert not replace(m, asked=31).met
    assert replace(m, asked=31, sense="at most").met
    assert replace(m, asked=None).met is None


def test_each_side_gets_the_loosest_tolerance_that_reaches_the_optimum():
    tried = []
    found = protocol.loosest([1e-1, 1e-3, 1e-5], lambda tol: tried.append(tol) or -7.0 - tol, -7.0, 1e-2)
    assert (found, tried) == (1e-3, [1e-1, 1e-3])
    with pytest.raises(Unequal, match="more than 1e-07"):
        protocol.loosest([1e-1, 1e-3], lambda tol: -7.0 - tol, -7.0, 1e-7)


def test_sides_take_turns_and_a_worker_reports_its_own_seconds():
    order = []
    timed = protocol.alternate(lambda: order.append("ours"), lambda: order.append("theirs") or 12.5, 2)
    assert order == ["ours", "theirs"] * 3
    assert timed.theirs == (12.5, 12.5)
    assert all(0 < s < 1 for s in timed.ours)


def test_peers_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peers, "DONE", tmp_path / "none")
    monkeypatch.setattr(peers, "REASON", tmp_path / "reason")
    assert "is not installed" in peers.make()
    found = Findings(tmp_path / "em_iteration.json")
    with found.row("iteration-mclust"), workers.r("mclust"):
        raise AssertionError("a worker without R")
    with found.row("iteration-pomegranate"), workers.pomegranate():
        raise AssertionError("a worker without its environment")
    found.finish()
    told = words(report_of(tmp_path))
    assert "<b>mclust</b>: Rscript is not installed" in told
    assert "<b>pomegranate</b>: its environment has not been made" in told
    peers.REASON.write_text("no such torch\n")
    with pytest.raises(Absent, match="no such torch"), workers.pomegranate():
        pass


ANSWERS = """
import json, sys
print("a greeting that is no answer")
print(json.dumps({"version": "1.2"}), flush=True)
for line in sys.stdin:
    if "die" in line:
        sys.exit("it broke in /some/place")
    print(json.dumps({"seconds": float(line.split()[1])}), flush=True)
"""


def test_a_worker_answers_and_one_that_dies_is_absent_with_its_reason():
    with workers._running("somebody", [sys.executable, "-c", ANSWERS]) as worker:
        assert worker.about == {"version": "1.2"}
        assert worker.seconds(0.25) == 0.25
        with pytest.raises(Absent, match="it broke"):
            worker.fit("die")


def test_the_page_has_every_measurement(tmp_path):
    everything(tmp_path)
    report = report_of(tmp_path)
    told = words(report)
    assert len(report["measurements"]) == len(ROWS)
    for key, asked in ROWS.items():
        assert asked.work in told
        assert asked.against in told
        assert f"log-likelihood of {key}" in told
        assert f"A note on {key}." in told
    for name in PROGRAMS:
        if name != bench.AGREEMENT:
            assert f"Growth of {name}" in told
            assert f"{name}: its profile." in told
    assert told.count('<tr><th scope="row">') >= len(ROWS)
    assert told.count("30.0 ×") + told.count("0.0333 ×") == len(ROWS)
    assert "7.8.9" in told
    assert "1 of 1 agree" in told
    assert "<b>lavaan</b>: it is not installed" in told
    assert report["machine"]["processor"] in told
    assert "not measured" not in told.partition("Every row")[2]
    assert not re.search(r"(?:src|href)=\"(?!#)", page.render(report)), "the page loads something"


def test_the_page_tells_what_was_refused_what_failed_and_what_was_not_run(tmp_path):
    everything(tmp_path)
    found = Findings(tmp_path / "em_optimum.json")
    with found.row("optimum-sklearn"):
        raise Unequal("log-likelihoods are two different numbers")
    found.finish()
    for name in ("em_factors", "em_growth"):
        (tmp_path / f"{name}.json").unlink()
    ran = [
        {"name": n, "seconds": 2.0, "failed": "it ended with status 3: no such file" if n == "em_factors" else None}
        for n in PROGRAMS
    ]
    report = report_of(tmp_path, [p for p in ran if p["name"] != "em_growth"])
    told = words(report)
    assert "log-likelihoods are two different numbers" in told
    assert "its program, em_factors, failed: it ended with status 3: no such file" in told
    assert "its program, em_growth, was not run" in told
    assert len(report["measurements"]) == len(ROWS) - 4
    assert not any(m["key"] == "optimum-sklearn" for m in report["measurements"])


def test_a_program_that_fails_is_told_without_the_paths_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "HERE", tmp_path / "tests" / "benchmarks")
    bench.HERE.mkdir(parents=True)
    (bench.HERE / "em_growth.py").write_text("print('working'); open(__file__ + '.nothing')")
    lines = []
    done = bench.run("em_growth", tmp_path, [], lines.append)
    assert lines[0] == "working"
    assert "status 1" in done["failed"]
    assert "em_growth.py.nothing" in done["failed"]
    assert str(tmp_path) not in done["failed"]


def test_a_program_run_again_replaces_its_own_findings_only(tmp_path, monkeypatch):
    everything(tmp_path)
    ledger = [{"name": n, "seconds": 2.0, "failed": None} for n in PROGRAMS]
    (tmp_path / bench.LEDGER).write_text(json.dumps([*ledger, {"name": "gone", "seconds": 1.0, "failed": None}]))
    assert bench.remembered(tmp_path) == ledger
    (tmp_path / "em_growth.json").unlink()
    assert [p["name"] for p in bench.remembered(tmp_path)] == [n for n in PROGRAMS if n != "em_growth"]

    monkeypatch.setattr(bench, "HERE", tmp_path / "tests" / "benchmarks")
    bench.HERE.mkdir(parents=True)
    (bench.HERE / "em_factors.py").write_text("raise SystemExit('no data')")
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "em_factors", "--findings", str(tmp_path), "--out", str(tmp_path)])
    bench.main()
    report = json.loads((tmp_path / "benchmarks.json").read_text())
    ran = {p["name"]: p["failed"] for p in report["programs"]}
    assert list(ran) == [n for n in PROGRAMS if n != "em_growth"]
    assert [n for n, failed in ran.items() if failed] == ["em_factors"]
    assert {m["key"] for m in report["measurements"]} == set(ROWS) - {k for n in ("em_growth", "em_factors") for k in PROGRAMS[n]}


def test_every_row_has_one_program_that_measures_it():
    keys = [key for of_program in PROGRAMS.values() for key in of_program]
    assert sorted(keys) == sorted(ROWS)
    for name, of_program in PROGRAMS.items():
        path = HERE / f"{name}.py"
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        if "import protocol" in source:
            assert not [key for key in of_program if key not in source and f'f"{key.rpartition("-")[0]}-{{' not in source], name


def test_passes_are_counted_however_deep(monkeypatch):
    import em_passes

    import emvsmcmc.em.steps

    before = emvsmcmc.em.steps.expect
    x = np.random.default_rng(0).normal(size=200)
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 3, dims="component")
        z = ev.Categorical("z", weight, dims="row")
        ev.Normal("x", mean[z], 1.0, dims="row")
    fit, passes = em_passes.fitted(ev.condition(spec, {"x": x + 2 * (x > 0)}), 0, accelerate=False)
    assert passes >= fit.starts[0].passes > fit.iterations
    assert emvsmcmc.em.steps.expect is before
    monkeypatch.setattr(emvsmcmc.em.steps, "expect", lambda *a, **k: before(*a, **k))  # under a name of its own
    with pytest.raises(RuntimeError, match="uncounted"):
        em_passes.fitted(ev.condition(spec, {"x": x + 2 * (x > 0)}), 0, accelerate=False)

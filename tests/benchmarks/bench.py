"""`make bench`: every benchmark program in turn, and one report of what they found.

Figures of public packages are compared with ours first (`agreement.py`): times of programs that answer differently say nothing.
Each program then runs in a process of its own, one at a time, with threads held at the number of cores. What fails or is absent
is named in the report and stops nothing. A whole run writes index.html and benchmarks.json; a partial one only where --out says.
With --findings, what each program found is kept in that folder, and a later run with --only replaces those programs' figures.

    python tests/benchmarks/bench.py [--only PROGRAM ...] [--out FOLDER] [--findings FOLDER] [--repeats N] [--small]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import protocol
from protocol import Findings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rows import PROGRAMS, ROWS

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "reports" / "benchmarks"
PACKAGES = ("emvsmcmc", "numpy", "scipy", "numba", "pymc", "pytensor", "nutpie", "arviz", "scikit-learn")
TAIL = 20  # lines of a program that failed that are looked through for its reason
LEDGER = "programs.json"  # which programs ran, in how many seconds, and which of them failed
AGREEMENT = "agreement"  # the one program with a file of its own kind


def run(name: str, folder: Path, extra: list[str], told: Callable[[str], None]) -> dict[str, Any]:
    """Run one program; its name, seconds, and why it failed (None where it did not). Its lines go to `told` as they come."""
    extra = [] if name == AGREEMENT else extra
    command = [sys.executable, "-u", str(HERE / f"{name}.py"), "--json", str(folder / f"{name}.json"), *extra]
    began = time.perf_counter()
    lines: list[str] = []
    environment = os.environ | protocol.THREADS
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                lines.append(line.rstrip())
                told(line.strip())
    status = process.returncode
    failed = None
    try:
        (protocol.read if name != AGREEMENT else agreed)(folder / f"{name}.json")
    except (OSError, ValueError, KeyError, TypeError):  # no file, or not one of findings
        (folder / f"{name}.json").unlink(missing_ok=True)
        failed = f"it ended with status {status}: {plain_reason(lines)}"
    return {"name": name, "seconds": time.perf_counter() - began, "failed": failed}


def remembered(folder: Path) -> list[dict[str, Any]]:
    """The programs of earlier runs whose findings are still there, or that failed."""
    ledger = folder / LEDGER
    known = json.loads(ledger.read_text(encoding="utf-8")) if ledger.is_file() else []
    return [p for p in known if p["name"] in PROGRAMS and (p["failed"] or (folder / f"{p['name']}.json").is_file())]


def plain_reason(lines: list[str]) -> str:
    """The last line of what a program printed, without the paths of this machine."""
    last = lines[-TAIL:][-1].strip() if lines else "it printed nothing"
    return last.replace(str(HERE.parents[1]), "").replace(str(Path.home()), "~")


def collate(programs: list[dict[str, Any]], folder: Path, peers: dict[str, str], small: bool = False) -> dict[str, Any]:
    """The report: what all programs found, and a reason for every row of `ROWS` without a figure."""
    findings = [protocol.read(path) for name in PROGRAMS if name != AGREEMENT and (path := folder / f"{name}.json").is_file()]
    measurements = [m for f in findings for m in f.measurements]
    measured = {m.key for m in measurements}
    refused = {key: why for f in findings for key, why in f.refused.items()}
    unmeasured = {key: why for f in findings for key, why in f.unmeasured.items() if key not in measured}
    ran = {p["name"]: p["failed"] for p in programs}
    for name, keys in PROGRAMS.items():
        for key in keys:
            if key not in measured | refused.keys() | unmeasured.keys():
                why = "was not run" if name not in ran else f"failed: {ran[name]}" if ran[name] else "did not come to it"
                unmeasured[key] = f"its program, {name}, {why}"
    figures = folder / f"{AGREEMENT}.json"
    agreement = agreed(figures) if figures.is_file() else None
    absent = peers | {name: why for f in findings for name, why in f.missing.items()}
    absent |= {name: "it is not installed" for name in (agreement or {}).get("absent", []) if name not in absent}
    order = list(ROWS)
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "small": small,
        "machine": machine(),
        "versions": versions(findings),
        "programs": programs,
        "agreement": agreement,
        "measurements": [asdict(m) | {"met": m.met} for m in sorted(measurements, key=lambda m: order.index(m.key))],
        "curves": [asdict(c) for f in findings for c in f.curves],
        "refused": refused,
        "unmeasured": unmeasured,
        "absent": absent,
        "notes": [note for f in findings for note in f.notes],
    }


def agreed(path: Path) -> dict[str, Any]:
    """What `agreement.py` found, in short."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {
        "figures": len(found["rows"]),
        "sources": dict(Counter(row["package"] for row in found["rows"])),
        "disagree": [row for row in found["rows"] if not row["agrees"]],
        "absent": found["absent"],
    }


def machine() -> dict[str, Any]:
    """What the times depend on, and nothing that names the machine."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "cores": protocol.CORES,
        "threads of every library": protocol.CORES,
        "memory, GB": round(pages / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "BLAS of NumPy": f"{blas['name']} {blas['version']}",
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def versions(findings: list[Findings]) -> dict[str, str]:
    """Of our side's packages and of every peer that was measured."""
    out = {}
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    for f in findings:
        out |= f.versions | {m.peer: m.version for m in f.measurements if m.version and ROWS[m.key].alone is False}
    return out


def nothing_to_compare() -> dict[str, str]:
    """Peers of models that emvsmcmc does not have."""
    import emvsmcmc as ev

    return {} if hasattr(ev, "MarkovChain") else {"hmmlearn": "nothing to compare: emvsmcmc has no Markov chains"}


def write(report: dict[str, Any], folder: Path) -> None:
    """index.html and benchmarks.json."""
    import page

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("benchmarks.json", json.dumps(report, indent=1, allow_nan=False) + "\n"),
        ("index.html", page.render(report)),
    ):
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("row", "asked", "measured", ""):
        table.add_column(heading, justify="right" if heading in ("asked", "measured") else "left", no_wrap=True)
    found = {m["key"]: m for m in report["measurements"]}
    for key, asked in ROWS.items():
        wanted = "" if asked.ratio is None else f"{asked.sense} {asked.ratio:g}"
        m = found.get(key)
        if m is None:
            told = "refused" if key in report["refused"] else "not measured"
            table.add_row(key, wanted, "", f"[yellow]{told}[/]")
            continue
        verdict = "" if m["met"] is None else "[green]met[/]" if m["met"] else "[red]not met[/]"
        spread = f"{protocol.figure(m['ratio'])} ({protocol.figure(m['least'])} to {protocol.figure(m['most'])})"
        table.add_row(key, wanted, spread, verdict)
    console.print(table)
    for name, why in report["absent"].items():
        console.print(f"Absent: {name}, {why}.")
    for program in report["programs"]:
        if program["failed"]:
            console.print(f"[red]Failed:[/] {program['name']}, {program['failed']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, metavar="PROGRAM", help=f"of {', '.join(PROGRAMS)}")
    parser.add_argument("--out", type=Path, help="folder of the report; a whole run has reports/benchmarks")
    parser.add_argument("--findings", type=Path, help="folder where what each program found is kept for a later run")
    parser.add_argument("--repeats", type=int, help="of every measurement, instead of each program's own numbers")
    parser.add_argument("--small", action="store_true", help="small data: shows that everything runs, measures nothing")
    options = parser.parse_args()
    chosen = [name for name in PROGRAMS if options.only is None or name in options.only]
    out = options.out or (None if options.only or options.small else OUT)
    extra = [*(["--repeats", str(options.repeats)] if options.repeats else []), *(["--small"] if options.small else [])]
    console = Console()
    busy = os.getloadavg()[0]
    if busy > 0.5:
        console.print(f"[yellow]The machine is busy (load {busy:.1f}): times taken now say little.[/]")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as name, Progress(*columns, console=console) as bar:
        folder = (options.findings or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        programs = [p for p in remembered(folder) if p["name"] not in chosen]
        task = bar.add_task("benchmarks", total=len(chosen))
        for program in chosen:
            bar.update(task, description=program)
            # the last line of a program is what it is doing now
            (folder / f"{program}.json").unlink(missing_ok=True)
            programs.append(
                run(program, folder, extra, lambda line, p=program: bar.update(task, description=f"{p}: {line[:80]}"))  # type: ignore[misc]
            )
            programs.sort(key=lambda p: list(PROGRAMS).index(p["name"]))
            (folder / LEDGER).write_text(json.dumps(programs) + "\n", encoding="utf-8")
            done = next(p for p in programs if p["name"] == program)
            bar.advance(task)
            ended = done["failed"] or "done"
            bar.console.print(f"{program:<18} {done['seconds']:7.1f} s  {ended}")
        bar.update(task, description="benchmarks")
        report = collate(programs, folder, nothing_to_compare(), options.small)
    report["machine"]["load when it began"] = round(busy, 1)
    show(report, console)
    if out is not None:
        write(report, out)
        console.print(f"Wrote {out / 'index.html'} and {out / 'benchmarks.json'}")
    wrong = report["refused"] or (report["agreement"] or {}).get("disagree") or [p for p in programs if p["failed"]]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

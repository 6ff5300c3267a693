"""What every benchmark program shares: how a figure is measured, when it is refused, and the file it is written to.

A program is one file of this folder that the driver `bench.py` runs in a process of its own:

    python tests/benchmarks/NAME.py [--json FILE] [--repeats N] [--small]

`--repeats` overrides the program's own number, `--small` shrinks the data to a size that only shows that the program runs. It
prints what it does, one line at a time (the driver shows the last one), and its exit status is 0, or 1 where it refused a figure.
In outline:

    options = protocol.arguments(__doc__)                       # .json, .repeats (None where not given), .small
    found = protocol.Findings(options.json, {"scikit-learn": sklearn.__version__})
    with found.row("iteration-sklearn") as row:                 # a key of rows.ROWS, which knows the work and what was asked
        proof = protocol.equal("log-likelihood after 20 iterations", mine, theirs, 1e-9)      # raises Unequal: row refused
        timed = protocol.alternate(run_mine, run_theirs, repeats)                             # seconds, A B A B
        row.measured("scikit-learn", timed, [proof], note="...")
    found.absent("pomegranate", "python3.11 is not installed")  # named in the report; nothing stops
    found.curve(Curve(...))                                     # how time grows
    sys.exit(found.finish())

Within `found.row`, `Unequal` refuses that row and `Absent` names the peer and leaves the row unmeasured; the program goes on.
`alternate` calls each side once unmeasured, then in turn, and takes the time around the call; a side that returns a float is a
worker that took its own time, around the fit only. `Timed.of(ours, theirs)` takes pairs that were measured elsewhere, of any
unit (effective draws a second, passes over the data). `loosest` finds the tolerance that each side is given where all run to the
same log-likelihood. The ratio is what the row of `rows.ROWS` says: how many times better
ours is ("at least"), or the share of the peer's cost that ours takes ("at most"). Ratios are formed pair by pair; the figure is
their median, its spread the least and the largest.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rows import ROWS, Asked

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# every library that starts threads of its own reads one of these when it is loaded
THREADS = {f"{name}_NUM_THREADS": str(CORES) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "BLIS", "VECLIB", "NUMEXPR")}


class Unequal(Exception):
    """The two sides did not compute the same thing: their times cannot be compared."""


class Absent(Exception):
    """A peer that is not there. name : the peer. reason : why, for the report."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True)
class Proof:
    """One number that both sides computed. difference : relative to the larger of |theirs| and 1, unless `absolute`."""

    quantity: str
    ours: float
    theirs: float
    difference: float
    tolerance: float
    absolute: bool = False


def equal(quantity: str, ours: float, theirs: float, tolerance: float, absolute: bool = False) -> Proof:
    """The proof that both sides found the same number. Raises Unequal where they differ by more than `tolerance`, or where
    either is no number."""
    ours, theirs = float(ours), float(theirs)
    difference = abs(ours - theirs) / (1.0 if absolute else max(abs(theirs), 1.0))
    if not difference <= tolerance:  # a NaN is not equal to anything
        kind = "" if absolute else " relatively"
        raise Unequal(f"{quantity}: {ours!r} and {theirs!r} differ by {difference:.2g}{kind}, more than {tolerance:.2g}")
    return Proof(quantity, ours, theirs, difference, tolerance, absolute)


def loosest(tolerances: Sequence[float], log_likelihood: Callable[[float], float], top: float, within: float) -> float:
    """The first of `tolerances`, loosest first, at which a side ends within `within` nats of `top`: a tighter one would only make
    it slower. Raises Unequal where none does."""
    off = math.inf
    for tol in tolerances:
        off = abs(log_likelihood(tol) - top)
        if off <= within:
            return tol
    raise Unequal(f"with a tolerance of {tolerances[-1]:g} it still ended {off:.2g} nats from {top!r}, more than {within:g}")


@dataclass(frozen=True)
class Timed:
    """What each side took, pair by pair."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Timed:
        if len(ours) != len(theirs) or not ours:
            raise ValueError(f"pairs are wanted, {len(ours)} and {len(theirs)} values came")
        return cls(tuple(map(float, ours)), tuple(map(float, theirs)))

    def ratios(self, asked: Asked) -> list[float]:
        """Pair by pair, as the row defines it: cost is better small, a rate is better large."""
        shares = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return shares if (asked.sense == "at most") != asked.rate else [1 / s for s in shares]


def taken(run: Callable[[], Any]) -> float:
    """Seconds around one call, or what it returns where that is a float: a worker took the time around its fit."""
    began = time.perf_counter()
    own = run()
    seconds = time.perf_counter() - began
    return own if isinstance(own, float) else seconds


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int, warm: bool = True) -> Timed:
    """Both sides in turn, ours first, `repeats` times each, after one unmeasured call of both (`warm=False` spares a side that
    takes minutes, and has nothing to warm)."""
    if warm:
        ours(), theirs()
    pairs = [(taken(ours), taken(theirs)) for _ in range(repeats)]
    return Timed.of([a for a, _ in pairs], [b for _, b in pairs])


@dataclass(frozen=True)
class Measurement:
    """One row of the report: the work, what was asked, what came out and why it is comparable."""

    key: str
    work: str
    peer: str
    version: str
    asked: float | None
    sense: Literal["at least", "at most"]
    unit: str
    ours: float  # median, in `unit`
    theirs: float
    ratio: float  # median of the ratios of pairs
    least: float
    most: float
    repeats: int
    proofs: list[Proof]
    threads: int
    dtype: str
    note: str

    @property
    def met(self) -> bool | None:
        """None where nothing was asked."""
        if self.asked is None:
            return None
        return self.ratio >= self.asked if self.sense == "at least" else self.ratio <= self.asked


@dataclass(frozen=True)
class Curve:
    """How a cost grows. sides : {name: [(x, seconds), ...]}, ours first. along : what x counts, as an axis label."""

    key: str
    title: str
    along: str
    sides: dict[str, list[tuple[float, float]]]
    note: str = ""
    unit: str = "time"


class Row:
    """One row being measured."""

    def __init__(self, key: str, versions: dict[str, str]) -> None:
        self.key, self.asked, self._versions = key, ROWS[key], versions
        self.found: Measurement | None = None

    def measured(
        self,
        peer: str,
        timed: Timed,
        proofs: Sequence[Proof],
        note: str = "",
        dtype: str = "float64",
        threads: int = CORES,
        version: str | None = None,
    ) -> Measurement:
        """Keep the figures. version : of the peer, where `Findings` was not told it."""
        if not proofs and not self.asked.alone:
            raise Unequal("no proof that both sides computed the same thing")
        ratios = timed.ratios(self.asked)
        self.found = Measurement(
            key=self.key,
            work=self.asked.work,
            peer=peer,
            version=self._versions.get(peer, "") if version is None else version,
            asked=self.asked.ratio,
            sense=self.asked.sense,
            unit=self.asked.unit,
            ours=statistics.median(timed.ours),
            theirs=statistics.median(timed.theirs),
            ratio=statistics.median(ratios),
            least=min(ratios),
            most=max(ratios),
            repeats=len(ratios),
            proofs=list(proofs),
            threads=threads,
            dtype=dtype,
            note=note,
        )
        return self.found


@dataclass
class Findings:
    """All that one program found. path : where `finish` writes it, or None. versions : {package: version} of what took part."""

    path: Path | None
    versions: dict[str, str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # {peer: why it is absent}
    refused: dict[str, str] = field(default_factory=dict)  # {row: why its figures were refused}
    unmeasured: dict[str, str] = field(default_factory=dict)  # {row: why there are none}
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def guarded(self, key: str) -> Iterator[None]:
        """Within, `Unequal` refuses `key` and `Absent` names a peer; the program goes on behind it."""
        try:
            yield
        except Unequal as why:
            self.refused[key] = str(why)
            print(f"{key}: REFUSED. {why}", flush=True)
        except Absent as why:
            self.absent(why.name, why.reason)
            self.unmeasured[key] = f"{why.name} is absent: {why.reason}"

    @contextmanager
    def row(self, key: str) -> Iterator[Row]:
        """Measure one row of `rows.ROWS`."""
        row = Row(key, self.versions)
        with self.guarded(key):
            yield row
            if row.found is not None:
                self.measurements.append(row.found)
                print(told(row.found), flush=True)

    def absent(self, name: str, reason: str) -> None:
        """Name a peer that is not there."""
        if name not in self.missing:
            print(f"{name} is absent: {reason}", flush=True)
        self.missing[name] = reason

    def curve(self, curve: Curve) -> None:
        self.curves.append(curve)

    def as_json(self) -> dict[str, Any]:
        out = asdict(self)
        del out["path"]
        return out

    def finish(self) -> int:
        """Write the file; the exit status."""
        if self.path is not None:
            self.path.write_text(json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return 1 if self.refused else 0


def read(path: Path) -> Findings:
    """What a program wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    measurements = [Measurement(**m | {"proofs": [Proof(**p) for p in m["proofs"]]}) for m in found.pop("measurements")]
    sides = [{name: [(float(x), float(y)) for x, y in points] for name, points in c["sides"].items()} for c in found["curves"]]
    curves = [Curve(**c | {"sides": s}) for c, s in zip(found.pop("curves"), sides, strict=True)]
    return Findings(path, measurements=measurements, curves=curves, **found)


def figure(value: float) -> str:
    """Three digits, without an exponent where it can be read without one."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}" if abs(value) >= 1e-3 else f"{value:.2e}"


def told(m: Measurement) -> str:
    """One line for the terminal."""
    end = "" if m.asked is None else f", {m.sense} {m.asked:g} asked: {'met' if m.met else 'NOT MET'}"
    return (
        f"{m.key}: ours {figure(m.ours)}, {m.peer} {figure(m.theirs)} {m.unit}; ratio {figure(m.ratio)} "
        f"({figure(m.least)} to {figure(m.most)}, {m.repeats} repeats){end}"
    )


def arguments(doc: str | None, parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """The options that every program has, added to those of `parser`; threads of this process held at the number of cores.

    Libraries read the variables of `THREADS` when they are loaded, so that a program run alone starts itself anew with them.
    """
    parser = parser or argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--repeats", type=int, help="of every measurement, instead of the program's own numbers")
    parser.add_argument("--small", action="store_true", help="small data: shows that the program runs, measures nothing")
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats counts: at least 1")
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.environ.update(THREADS)
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return options

"""Peers that live in a process of their own: R's packages, and pomegranate in its own environment.

A worker reads its data from files in a folder, answers one line of JSON with its versions, and then one for each line it is
sent: `{"seconds": ..., "log_likelihood": ..., ...}`, the seconds taken around the fit only. Starting it, reading data and
loading packages cost its peer nothing; calls alternate with ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import peers
from protocol import Absent

HERE = Path(__file__).resolve().parent
TAIL = 1500  # characters of a worker's error that are worth showing


class Worker:
    """A peer that answers. about : what it said first (version, and what else its program tells)."""

    def __init__(self, peer: str, process: subprocess.Popen[str]) -> None:
        self.peer, self._process = peer, process
        self.about = self._answer()

    def fit(self, *options: Any) -> dict[str, Any]:
        """One fit. Raises Absent with the peer's own message where the worker dies of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(["fit", *map(str, options)]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def seconds(self, *options: Any) -> float:
        return float(self.fit(*options)["seconds"])

    def _answer(self) -> dict[str, Any]:
        """The next line of JSON; what a package prints on its own is passed over."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                if "absent" in found:
                    raise Absent(self.peer, found["absent"])
                return found
        self._process.wait()
        raise Absent(self.peer, f"its program ended with status {self._process.returncode}: {self.complaint()}")

    def complaint(self) -> str:
        assert self._process.stderr is not None
        self._process.stderr.seek(0)
        return " ".join(self._process.stderr.read()[-TAIL:].split())


@contextmanager
def r(package: str, **arrays: np.ndarray) -> Iterator[Worker]:
    """An R package at work on `arrays` (peers.R). Raises Absent where R or the package is not there."""
    if shutil.which("Rscript") is None:
        raise Absent(package, "Rscript is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            x = np.atleast_1d(np.asarray(array, dtype=float))
            Path(folder, f"{name}.bin").write_bytes(x.tobytes(order="F"))
            Path(folder, f"{name}.dim").write_text(" ".join(map(str, x.shape)) + "\n", encoding="ascii")
        with _running(package, ["Rscript", "--vanilla", str(HERE / "peers.R"), package, folder]) as worker:
            yield worker


@contextmanager
def pomegranate(**arrays: np.ndarray) -> Iterator[Worker]:
    """pomegranate at work on `arrays`. Raises Absent where its environment could not be made."""
    python = peers.pomegranate_python()
    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            np.save(Path(folder, f"{name}.npy"), np.asarray(array, dtype=float))
        with _running("pomegranate", [str(python), str(HERE / "pomegranate_worker.py"), folder]) as worker:
            yield worker


@contextmanager
def _running(peer: str, command: list[str]) -> Iterator[Worker]:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True)
        process.stderr = complaints
        try:
            yield Worker(peer, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

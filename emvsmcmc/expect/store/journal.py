"""A journal of expectations on disk, so that a fit that was stopped goes on where it was.

EM decides nothing by chance once its starts are drawn: the same coefficients have the same statistics. So every pass over the
rows is written down when it ends, and a fit that starts again finds the passes it has already made, comes to the same parameters
by M-steps alone, and goes on from there with the same numbers as one that was never stopped.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ...errors import Degenerate, DifferentFit
from ...spec.evaluate import Environment
from ..layout import Coefficients, Statistics, Sums

PASSES, PARAMETERS = "passes.log", "parameters.npz"
DIGEST = 32


class Journal:
    """Expectations of one problem, in a folder.

    passes.log : a frame for each pass: its length, a checksum, and an npz of the coefficients' digest and what came out. A frame
    that was cut off by the end of a process does not count. parameters.npz : parameters and objective of the last iteration,
    replaced as a whole.

    fingerprint : of the rows and the model. Raises DifferentFit where the folder holds passes over others.
    """

    def __init__(self, folder: str | Path, fingerprint: str, names: list[str]) -> None:
        self.folder, self.names = Path(folder), names
        self.folder.mkdir(parents=True, exist_ok=True)
        self.known: dict[bytes, Any] = {}
        self.iterations = 0
        self.recalled, self.made = 0, 0
        self._lock = Lock()
        frames, good = _frames(self.folder / PASSES)
        if frames and frames[0] != fingerprint.encode():
            raise DifferentFit(
                "checkpoint",
                "the passes of a fit of the same rows, in the same chunks, by the same model",
                f"those of another in {str(self.folder)!r}",
                "Give another folder, or remove this one.",
            )
        for frame in frames[1:]:
            self._read(frame)
        with (self.folder / PASSES).open("ab") as file:
            file.truncate(good)
        if not frames:
            self._append(fingerprint.encode())

    def recall(self, C: Coefficients, hard: bool) -> Sums | None:
        """What came out of a pass with these coefficients; None where there was none. Raises Degenerate where it did."""
        recorded = self.known.get(_digest(C, hard))
        if recorded is None:
            return None
        self.recalled += 1
        if isinstance(recorded, Degenerate):
            raise Degenerate(recorded.variable, recorded.reason)
        value, S = recorded
        return value, S

    def record(self, C: Coefficients, hard: bool, outcome: Callable[[], Sums]) -> Sums:
        """Make a pass, and write down what came out."""
        self.made += 1
        try:
            sums = outcome()
        except Degenerate as end:
            self._write(C, hard, {"variable": np.array(end.variable), "reason": np.array(end.reason)})
            raise
        value, S = sums
        self._write(C, hard, {"value": np.array(value), **S.arrays()})
        return sums

    def note(self, env: Environment, objective: float) -> None:
        """Keep the parameters of an iteration."""
        with self._lock:
            self.iterations += 1
            values = {f"parameter.{name}": env.values[name].array for name in self.names}
            content = io.BytesIO()
            np.savez(content, iteration=self.iterations, objective=objective, **values)  # type: ignore[arg-type]
            handle, draft = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(content.getbuffer())
            os.replace(draft, self.folder / PARAMETERS)

    def _write(self, C: Coefficients, hard: bool, arrays: dict[str, np.ndarray]) -> None:
        content = io.BytesIO()
        np.savez(content, key=np.frombuffer(_digest(C, hard), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
        with self._lock:
            self._append(content.getvalue())
            self._read(content.getvalue())

    def _append(self, frame: bytes) -> None:
        with (self.folder / PASSES).open("ab") as file:
            file.write(len(frame).to_bytes(8, "little") + hashlib.sha256(frame).digest() + frame)
            file.flush()
            os.fsync(file.fileno())

    def _read(self, frame: bytes) -> None:
        with np.load(io.BytesIO(frame), allow_pickle=False) as stored:
            key = stored["key"].tobytes()
            if "reason" in stored:
                self.known[key] = Degenerate(str(stored["variable"]), str(stored["reason"]))
                return
            self.known[key] = float(stored["value"]), Statistics.from_arrays(stored)


def parameters_kept(folder: str | Path) -> tuple[int, float, dict[str, np.ndarray]]:
    """(iteration, objective, {parameter: values}) of the last iteration that a checkpoint saw, to look at or to start from."""
    with np.load(Path(folder) / PARAMETERS, allow_pickle=False) as stored:
        values = {name.removeprefix("parameter."): stored[name] for name in stored if name.startswith("parameter.")}
        return int(stored["iteration"]), float(stored["objective"]), values


def _digest(C: Coefficients, hard: bool) -> bytes:
    digest = hashlib.sha256(b"hard" if hard else b"soft")
    for field in fields(C):
        x = np.ascontiguousarray(getattr(C, field.name), dtype=np.float64)
        digest.update(repr((field.name, x.shape)).encode() + x.tobytes())
    return digest.digest()


def _frames(path: Path) -> tuple[list[bytes], int]:
    """Whole frames of a log, and where the last of them ends."""
    if not path.exists():
        return [], 0
    content, at, out = path.read_bytes(), 0, []
    while at + 8 + DIGEST <= len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        frame = content[at + 8 + DIGEST : at + 8 + DIGEST + size]
        if len(frame) < size or hashlib.sha256(frame).digest() != content[at + 8 : at + 8 + DIGEST]:
            break
        out.append(frame)
        at += 8 + DIGEST + size
    return out, at

"""A folder that holds the results of a sweep, one file a task, readable while the sweep runs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from ...errors import BadInput, DifferentSweep, StoreBusy
from ...files import unfinished, write_whole
from ...version import __version__
from .fingerprint import digest
from .task import Outcome, Task, plain

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; two sweeps in one folder are then the user's to avoid
    fcntl = None  # type: ignore[assignment]

SWEEP, LOG, LOCK, RESULTS = "sweep.json", "log.jsonl", "lock", "results"
SUFFIX = ".npz"
STATUS, MESSAGE = "__status__", "__message__"
LONGEST = 200  # characters of a quoted name: with what a temporary file adds it must fit into 255 bytes


class Store:
    """Results by task name, in `folder`.

    sweep.json       what the sweep is: version, and digests of each task's function, seed and arguments
    results/NAME.npz an outcome, written to a temporary file, flushed to disk and renamed: it is there wholly or not at all
    log.jsonl        one line for each start and end of a task, only ever appended to
    lock             held while a sweep writes; the system releases it when the process ends, however it ends

    Reading needs no lock: `names`, `outcome`, `outcomes` and `log` see what has ended so far.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    # ------------------------------------------------------------------------------------------------------------------ read

    def names(self) -> list[str]:
        """Names of the tasks that have ended, sorted."""
        return sorted(unquote(path.name[: -len(SUFFIX)]) for path in (self.folder / RESULTS).glob(f"*{SUFFIX}"))

    def outcome(self, name: str) -> Outcome:
        """How a task ended. Raises FileNotFoundError where it has not."""
        with np.load(self._path(name), allow_pickle=False) as file:
            values = {key: plain(key, file[key]) for key in file.files}
        return Outcome(name, values.pop(STATUS), values.pop(MESSAGE), values)

    def outcomes(self) -> dict[str, Outcome]:
        """Every task that has ended."""
        return {name: self.outcome(name) for name in self.names()}

    def log(self) -> list[dict[str, Any]]:
        """The record of executions, oldest first. A line that a crash cut short is left out."""
        try:
            lines = (self.folder / LOG).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        return records

    # ----------------------------------------------------------------------------------------------------------------- write

    @contextlib.contextmanager
    def writing(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Hold the folder for this sweep: make it or check that it is this sweep's, and clear what a crash left.

        A sweep may have grown since (more tasks under new names); each task that the folder knows must be the same. Raises
        DifferentSweep, StoreBusy, BadInput for a folder that cannot be written or is not a store.
        """
        try:
            (self.folder / RESULTS).mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / LOCK, "ab")  # noqa: SIM115 - it is held for the length of the sweep
        except OSError as error:
            raise BadInput(f"store {str(self.folder)!r}", "a folder that can be written", str(error)) from None
        with lock:
            if fcntl is not None:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise StoreBusy(
                        f"store {str(self.folder)!r}",
                        "a folder in which no sweep is running",
                        "one that another process writes",
                        "Wait for it, or give another folder; reading needs no waiting.",
                    ) from None
            self._claim(fingerprint(tasks))
            for path in [*unfinished(self.folder / RESULTS), *unfinished(self.folder)]:
                path.unlink(missing_ok=True)
            yield

    def save(self, outcome: Outcome) -> None:
        """Keep an outcome, wholly or not at all. Raises BadInput for values that have a reserved name."""
        if {STATUS, MESSAGE} & outcome.values.keys():
            raise BadInput(outcome.name, f"values under other names than {STATUS} and {MESSAGE}", "one of them")
        content = io.BytesIO()
        arrays = {STATUS: outcome.status, MESSAGE: outcome.message, **outcome.values}
        np.savez(content, **{name: np.asarray(value) for name, value in arrays.items()})  # type: ignore[arg-type]
        write_whole(self._path(outcome.name), lambda path: path.write_bytes(content.getvalue()), durable=True)

    def note(self, event: str, task: str, **more: Any) -> None:
        """Append a line to the record."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, "task": task, **more}) + "\n"
        with open(self.folder / LOG, "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the last line was cut short by a crash
                    line = "\n" + line
            file.write(line.encode())

    def _path(self, name: str) -> Path:
        return self.folder / RESULTS / f"{file_name(name)}{SUFFIX}"

    def _claim(self, new: dict[str, Any]) -> None:
        path = self.folder / SWEEP
        if not path.exists():
            if names := self.names():
                raise BadInput(
                    f"store {str(self.folder)!r}", "an empty folder or a store", f"{len(names)} results without {SWEEP}"
                )
        else:
            try:
                old = json.loads(path.read_text(encoding="utf-8"))
                difference = _difference(old, new)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise BadInput(str(path), "the record of a sweep", "another file", "Give another folder.") from None
            if difference:
                raise DifferentSweep(
                    f"store {str(self.folder)!r}",
                    "the sweep that it was made for",
                    difference,
                    "Give another folder for this one.",
                )
            if old == new:
                return
        write_whole(path, lambda draft: draft.write_bytes(json.dumps(new, indent=0).encode()), durable=True)


def fingerprint(tasks: Sequence[Task]) -> dict[str, Any]:
    """{"version", "tasks": {name: {"function", "seed", argument: digest}}}: what a sweep is, without its results."""
    known: dict[int, str] = {}  # tasks share their large arguments

    def shown(value: Any) -> str:
        if id(value) not in known:
            known[id(value)] = digest(value)
        return known[id(value)]

    named = {
        t.name: {
            "function": f"{t.function.__module__}.{t.function.__qualname__}",
            "seed": t.seed,
            **{f"argument {k}": shown(v) for k, v in t.arguments.items()},
        }
        for t in tasks
    }
    return {"version": __version__, "tasks": named}


def file_name(name: str) -> str:
    """A task's name as the name of a file. Raises BadInput for an empty name and for one too long."""
    quoted = quote(name, safe="=,+ ()")
    if not 0 < len(quoted) <= LONGEST or name.startswith("."):
        raise BadInput(f"task {name!r}", f"a name of 1 to {LONGEST} plain characters that does not begin with a dot", repr(name))
    return quoted


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What of a recorded sweep is not in the new one, in words; nothing where all of it is."""
    if old["version"] != new["version"]:
        return f"one by version {old['version']}, and this is {new['version']}"
    for name, parts in old["tasks"].items():
        if name not in new["tasks"]:
            return f"one with a task {name!r}, which is not among these"
        other = new["tasks"][name]
        for part in [*parts, *other]:
            if parts.get(part) != other.get(part):
                return f"another {part} for the task {name!r}"
    return ""

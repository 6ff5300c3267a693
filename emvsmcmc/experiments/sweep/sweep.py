"""A sweep: independent, named, seeded tasks, run on this machine or on a cluster, resumable after any end.

    outcomes = run_sweep([Task("a", 1, fit, {"x": x}), Task("b", 2, fit, {"x": x})], store="results")

The same tasks and the same folder go on where the last run stopped; another folder starts afresh.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...errors import BadInput
from .cluster import connected, run_on
from .folder import Store, file_name
from .pool import cores, run_local
from .task import Outcome, Task, execute

__all__ = ["Outcome", "Store", "Task", "run_sweep", "seed_of"]

AHEAD = 2  # tasks that a cluster holds for each of its threads; more would only be harder to take back


def run_sweep(
    tasks: Sequence[Task],
    store: str | Path | Store | None = None,
    client: Any = None,
    workers: int | None = None,
    progress: bool = True,
    retry_failed: bool = False,
    each: Callable[[Outcome], None] | None = None,
) -> dict[str, Outcome]:
    """Run every task that the store does not have, and return all outcomes by name, in the order of `tasks`.

    Parameters
    ----------
    tasks : with distinct names. Tasks share nothing and may run in any order; each draws its randomness from its own seed, so a
        result depends neither on the order nor on how often the sweep was stopped.
    store : folder of the results (see `Store`). Without one they are kept until the sweep ends.
    client : a `dask.distributed.Client` or the address of its scheduler ("tcp://host:8786"). Results come back to this process,
        which alone writes; workers need the package and the module of the task functions, no common file system.
    workers : local processes, by default one a core; numerical libraries get the cores divided by their number. 0 runs the
        tasks in this process, one after the other.
    progress : a bar on standard error where that is a terminal: done, failed, left.
    retry_failed : run recorded failures again. Otherwise a failure is a result like any other.
    each : called with each outcome, after it is stored.

    A result is on disk, flushed and renamed into place, before the next one is looked at. A process killed at any moment loses
    the tasks it was at and nothing else. A worker that dies takes down its task alone: it is tried three times (on a cluster,
    as often as its `allowed-failures` says), then recorded as `worker_died`. Ctrl-C ends the workers and leaves the store to be
    resumed.

    Raises
    ------
    DifferentSweep : the store was made for another sweep. StoreBusy : another process writes it. BadInput : names that are used
    twice or cannot name a file, no scheduler at the address, no Dask. WorkersDie : local processes cannot start.
    """
    _names(tasks)
    if store is None:
        with tempfile.TemporaryDirectory(prefix="emvsmcmc-sweep-") as folder:
            return run_sweep(tasks, folder, client, workers, progress, retry_failed, each)
    store = store if isinstance(store, Store) else Store(store)
    with store.writing(tasks):
        ended = {name: store.outcome(name) for name in store.names()}
        known = {n: o for n, o in ended.items() if o.done or not retry_failed}
        left = [t for t in tasks if t.name not in known]
        finished = {t.name: known[t.name] for t in tasks if t.name in known}
        with _engine(client, workers, left, store.note) as outcomes, _bar(progress, len(tasks), list(finished.values())) as tick:
            for outcome in outcomes:
                store.save(outcome)
                store.note("end", outcome.name, status=outcome.status, seconds=round(outcome.seconds, 3))
                finished[outcome.name] = outcome
                tick(outcome)
                if each is not None:
                    each(outcome)
    return {t.name: finished[t.name] for t in tasks}


def seed_of(random_seed: int | None, *key: int) -> int:
    """A seed for the task with this key (a repeat, a size), the same whichever other tasks there are.

    Numpy's SeedSequence with the key as spawn key. Give `random_seed` a number wherever a store is to be resumed.
    """
    return int(np.random.SeedSequence(random_seed, spawn_key=key).generate_state(1, np.uint32)[0])


def _names(tasks: Sequence[Task]) -> None:
    seen: set[str] = set()
    for task in tasks:
        file_name(task.name)
        if task.name in seen:
            raise BadInput(f"task {task.name!r}", "names that are used once", "this one twice", "Name tasks by what they vary.")
        seen.add(task.name)


@contextmanager
def _engine(client: Any, workers: int | None, tasks: list[Task], note: Callable[..., None]) -> Iterator[Iterator[Outcome]]:
    """Outcomes as they come, from wherever the tasks run; whatever still runs is ended on the way out."""
    if not tasks:
        yield iter(())
        return
    if client is not None:
        with connected(client) as cluster:
            outcomes = run_on(cluster, tasks, AHEAD, note)
            try:
                yield outcomes
            finally:
                outcomes.close()
        return
    if workers is not None and workers < 0:
        raise BadInput("workers", "0 or more processes", str(workers), "Leave it out for one a core.")
    outcomes = _here(tasks, note) if workers == 0 else run_local(tasks, min(workers or cores(), len(tasks)), note)
    try:
        yield outcomes
    finally:
        outcomes.close()


def _here(tasks: list[Task], note: Callable[..., None]) -> Generator[Outcome]:
    for task in tasks:
        note("start", task.name, attempt=1)
        yield execute(task)


@contextmanager
def _bar(progress: bool, total: int, finished: list[Outcome]) -> Iterator[Callable[[Outcome], None]]:
    """Done, failed and left on standard error where it is a terminal; nothing elsewhere."""
    done, failed = sum(o.done for o in finished), sum(not o.done for o in finished)
    if not progress or not sys.stderr.isatty() or len(finished) == total:
        yield lambda outcome: None
        return
    text = TextColumn("{task.fields[done]} done, {task.fields[failed]} failed, {task.fields[left]} left")
    with Progress(BarColumn(), text, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        row = bar.add_task("", total=total, completed=len(finished), done=done, failed=failed, left=total - len(finished))

        def tick(outcome: Outcome) -> None:
            nonlocal done, failed
            done, failed = done + outcome.done, failed + (not outcome.done)
            bar.update(row, advance=1, done=done, failed=failed, left=total - done - failed)

        yield tick

"""Worker processes of this machine: one task at a time each, replaced when they die.

`concurrent.futures.ProcessPoolExecutor` gives up every task of the pool when one worker dies, and does not say which task killed
it. Here each worker has a pipe of its own, so the parent knows.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection, wait
from types import ModuleType

from ...errors import WorkersDie
from .task import ERROR, WORKER_DIED, Outcome, Task, execute

READY = "ready"  # a worker's first word, when it has loaded what it needs
ATTEMPTS = 3  # times that a task is tried which takes its worker with it
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "PYTHON_CPU_COUNT")


Waiting = tuple[Task, bytes, int]  # a task, the same pickled, and which try it is


class Worker:
    """A process, the pipe to it, and the task it is at."""

    def __init__(self, threads: int, main: bool, modules: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks of numba and BLAS in unknown states
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, modules), name="sweep", daemon=True)
        with _environment(threads), contextlib.nullcontext() if main else _without_main():
            self.process.start()
        theirs.close()
        self.ready = False
        self.at: Waiting | None = None

    def give(self, work: Waiting) -> None:
        """Hand a task over. A worker that is dead already is noticed by its sentinel."""
        self.at = work
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(work[1])

    def take(self) -> Outcome | str | None:
        """What the worker sent, READY first; None where it died before it could."""
        try:
            return self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process.close()


def run_local(tasks: Sequence[Task], workers: int, note: Callable[..., None]) -> Generator[Outcome]:
    """Outcomes as they come. `note(event, task name, **more)` hears of every start and of every death of a worker.

    A task whose worker dies (killed, out of memory, a crash of native code) is tried up to three times, then ends as
    `worker_died`. Workers are killed when the iterator is closed, and end by themselves when this process does. Raises
    WorkersDie where three in a row died before they took a task.
    """
    waiting: deque[Waiting] = deque()
    for task in tasks:
        try:
            waiting.append((task, pickle.dumps(task), 1))
        except Exception as error:
            yield Outcome(task.name, ERROR, f"it cannot be pickled: {error}")
    main = any(b"__main__" in pickled for _, pickled, _ in waiting)
    modules = sorted({t.function.__module__ for t in tasks} - {"__main__"})
    start = partial(Worker, max(1, cores() // max(1, workers)), main, modules)
    crew: list[Worker] = []
    stillborn = 0
    try:
        crew += [start() for _ in range(min(workers, len(waiting)))]
        while waiting or any(w.at for w in crew):
            for worker in _heard(crew):
                sent = worker.take()
                outcome = None
                if sent is None:
                    stillborn = 0 if worker.ready else stillborn + 1
                    outcome = _buried(worker, waiting, note, stillborn)
                    crew[crew.index(worker)] = worker = start()
                elif isinstance(sent, Outcome) and worker.at:
                    outcome = replace(sent, name=worker.at[0].name)  # one that could not read its task does not know the name
                    worker.at = None
                else:
                    worker.ready, stillborn = True, 0
                if worker.ready and waiting:
                    task, _, attempt = waiting[0]
                    note("start", task.name, attempt=attempt, worker=worker.process.pid)
                    worker.give(waiting.popleft())
                if outcome is not None:
                    yield outcome
    finally:
        for worker in crew:
            worker.end()


def _heard(crew: list[Worker]) -> list[Worker]:
    """Workers that have sent something or died, once some have. One that idles in a sweep near its end may die unheard."""
    heard = {w.pipe: w for w in crew if w.at or not w.ready} | {w.process.sentinel: w for w in crew if w.at or not w.ready}
    return list(dict.fromkeys(heard[ready] for ready in wait(list(heard))))  # type: ignore[index]


def _buried(worker: Worker, waiting: deque[Waiting], note: Callable[..., None], stillborn: int) -> Outcome | None:
    """End a dead worker and queue its task once more; the task's outcome where it has been tried often enough."""
    worker.process.join()
    how, work = _how(worker.process.exitcode), worker.at
    worker.end()
    if work is None:
        if stillborn >= ATTEMPTS:
            raise WorkersDie(f"{stillborn} worker processes in a row died {how} before they took a task")
        return None
    task, pickled, attempt = work
    note("died", task.name, attempt=attempt, how=how)
    if attempt >= ATTEMPTS:
        return Outcome(task.name, WORKER_DIED, f"its worker died {attempt} times, the last time {how}")
    waiting.appendleft((task, pickled, attempt + 1))
    return None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve(pipe: Connection, modules: Sequence[str]) -> None:
    """A worker's life: a task in, its outcome out, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        for name in modules:
            with contextlib.suppress(Exception):  # the task that needs it will say what is wrong
                import_module(name)
        pipe.send(READY)
        while True:
            pickled = pipe.recv_bytes()
            try:
                outcome = execute(pickle.loads(pickled))
            except Exception as error:  # it could not be read: its function is not importable here
                outcome = Outcome("", ERROR, f"{type(error).__name__}: {error}")
            pipe.send(outcome)


def _leave_with(sentinel: int) -> None:
    """End this process when its parent has: a sweep that was killed leaves nobody at work on it."""
    wait([sentinel])
    os._exit(1)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Numerical libraries read their number of threads when they load, before a worker could set it."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not run the user's script again: no task needs it, and a script may lack its `__main__` guard."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main

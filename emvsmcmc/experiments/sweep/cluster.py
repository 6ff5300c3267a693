"""Tasks on a `dask.distributed` cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import BadInput
from .task import ERROR, WORKER_DIED, Outcome, Task, execute

CONNECT = "10s"  # how long a scheduler may take to answer


@contextmanager
def connected(client: Any) -> Iterator[Any]:
    """The client given, or one for the address given, closed afterwards. Raises BadInput without Dask or a scheduler."""
    if not isinstance(client, str):
        if not hasattr(client, "submit") or not hasattr(client, "scheduler_info"):
            raise BadInput("client", "a dask.distributed.Client or the address of a scheduler", type(client).__name__)
        yield client
        return
    try:
        from distributed import Client
    except ImportError:
        raise BadInput(
            "client", "the package dask.distributed", "none installed", "pip install 'emvsmcmc[scale]', or leave the client out."
        ) from None
    try:
        own = Client(client, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        got = f"no answer ({type(error).__name__})" if isinstance(error, OSError) else str(error)
        raise BadInput(f"scheduler {client!r}", "the address of a scheduler, such as tcp://host:8786", got) from None
    with own:
        yield own


def run_on(client: Any, tasks: list[Task], ahead: int, note: Callable[..., None]) -> Generator[Outcome]:
    """Outcomes as they come; a few tasks for each thread are in the cluster's hands at a time.

    A worker that dies gives its task back to the scheduler, which tries it elsewhere as often as the cluster's `allowed-failures`
    says; then it is recorded as `worker_died`.
    """
    from distributed import as_completed

    waiting, names = deque(tasks), {}
    threads = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    room = ahead * max(1, threads)
    ended = as_completed()

    def submit() -> None:
        task = waiting.popleft()
        note("start", task.name, attempt=1)
        future = client.submit(execute, task, pure=False)
        names[future] = task.name
        ended.add(future)

    try:
        while waiting and len(names) < room:
            submit()
        for future in ended:
            name = names.pop(future)
            outcome = _outcome(name, future)
            if waiting:
                submit()
            yield outcome
    finally:
        if names:
            client.cancel(list(names))


def _outcome(name: str, future: Any) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if type(error).__name__ == "KilledWorker":
        return Outcome(name, WORKER_DIED, str(error))
    if future.status == "cancelled" or type(error).__name__ in ("CancelledError", "FutureCancelledError"):
        raise error  # the scheduler is gone or somebody cancelled the sweep: the store holds what has ended
    return Outcome(name, ERROR, f"{type(error).__name__}: {error}")

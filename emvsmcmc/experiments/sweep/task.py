"""A task of a sweep, and what became of it."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import EmvsmcmcError, FitFailed

DONE = "done"  # status of a task that returned a result
ERROR = "error"  # of one that raised something that is not a named error of this package
WORKER_DIED = "worker_died"  # of one that took its worker with it as often as it was tried

# One task at a time in a process, whatever threads a scheduler runs there: PyTensor does not compile in two threads at once.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Task:
    """An independent piece of work.

    name : stable, unique in its sweep; "/" may part it into levels. seed : all randomness of the task. function : of a module, so
    that other processes can import it; it is called as function(seed=seed, **arguments) and returns a dict of numpy arrays (of
    numbers, booleans or text), numbers and strings. arguments : anything that can be pickled.
    """

    name: str
    seed: int
    function: Callable[..., Mapping[str, Any]]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    status : "done"; or the name of a failure: the status of a fit ("degenerate"), the name of another error of this package
    ("SamplingFailed"), "error" for anything else, "worker_died". message : of the failure. values : what the function returned,
    numbers and strings as Python's own. seconds : how long it took; not part of the result, 0 where it was read from a store.
    """

    name: str
    status: str
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        return self.status == DONE


def execute(task: Task) -> Outcome:
    """Run a task; what it raises becomes its outcome."""
    with _ONE_AT_A_TIME:
        began = time.perf_counter()
        try:
            status, message, values = DONE, "", _checked(task.function(seed=task.seed, **task.arguments))
        except EmvsmcmcError as error:  # a plain FitFailed says by its status how; its subclasses have names that say more
            status = error.status.value if isinstance(error, FitFailed) and type(error) is FitFailed else type(error).__name__
            message, values = str(error), {}
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{at.filename.rpartition('/')[2]}:{at.lineno}"
            status, message, values = ERROR, f"{type(error).__name__}: {error} ({where})", {}
        return Outcome(task.name, status, message, values, time.perf_counter() - began)


def _checked(values: Any) -> dict[str, Any]:
    """Values as a store gives them back. Raises TypeError for what it could not keep."""
    if not isinstance(values, Mapping):
        raise TypeError(f"a task returns a dict, not {type(values).__name__}")
    return {str(name): plain(name, value) for name, value in values.items()}


def plain(name: Any, value: Any) -> Any:
    """An array as it is, a scalar as Python's own."""
    array = np.asarray(value)
    if array.dtype.kind not in "biufcU":
        raise TypeError(f"{name!r}: a task returns arrays, numbers and strings, not {type(value).__name__}")
    return array if array.ndim else array.item()

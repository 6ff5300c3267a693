"""Task functions of tests/test_sweep.py, in a module that worker processes can import."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import emvsmcmc as ev
from emvsmcmc.experiments.sweep.sweep import Task


def draw(seed: int, size: int, seconds: float = 0.0) -> dict[str, Any]:
    """Numbers that depend on the seed alone, after a while."""
    time.sleep(seconds)
    x = np.random.default_rng(seed).normal(size=size)
    return {"x": x, "mean": float(x.mean()), "size": size, "word": f"seed {seed}", "words": np.array(["a", "bc"])}


def em(seed: int, n: int) -> dict[str, Any]:
    """A real fit: two normal components."""
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims="component")
        sd = ev.HalfNormal("sd", 3)
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd, dims="row")
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(n) < 0.4, -2.0, 2.0) + rng.normal(size=n)
    fit = ev.fit_em(ev.condition(spec, {"x": x}), starts=2, random_seed=seed, progress=False)
    return {"mean": fit.estimate["mean"].values, "log_likelihood": fit.log_likelihood}


def fail(seed: int, how: str) -> dict[str, Any]:
    """Ends badly, in the way asked for."""
    if how == "status":
        raise ev.errors.FitFailed("all starts collapsed", ev.Status.DEGENERATE)
    if how == "named":
        raise ev.errors.SamplingFailed("it would not start")
    if how == "bug":
        return {"x": 1 / (seed - seed)}
    if how == "object":
        return {"x": object()}
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def die_once(seed: int, folder: str) -> dict[str, Any]:
    """Kills its worker the first time."""
    flag = Path(folder) / "died"
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"seed": seed}


def threads(seed: int) -> dict[str, Any]:
    """What numerical libraries are told in a worker, and whether the script that started it ran again."""
    return {"omp": os.environ["OMP_NUM_THREADS"], "main": sys.modules["__main__"].__name__ == "__mp_main__", "pid": os.getpid()}


def cheap() -> list[Task]:
    return [Task(f"size={10 + i % 3}/repeat={i}", 100 + i, draw, {"size": 10 + i % 3, "seconds": 0.02}) for i in range(60)]


def slow() -> list[Task]:
    return [Task(f"repeat={i}", i, draw, {"size": 2, "seconds": 60.0}) for i in range(2)]


def fits() -> list[Task]:
    return [Task(f"repeat={i}", i, em, {"n": 100}) for i in range(12)]

"""A sweep: nothing lost, nothing done twice, the same numbers however often it was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sweep_tasks
from distributed import WorkerPlugin
from sweep_tasks import cheap, die_once, draw, fail, fits, threads

import emvsmcmc
from emvsmcmc.errors import BadInput, DifferentSweep, StoreBusy
from emvsmcmc.experiments.sweep.sweep import Outcome, Store, Task, run_sweep, seed_of
from emvsmcmc.files import MARK


def equal(a: dict[str, Outcome], b: dict[str, Outcome]) -> bool:
    """The same tasks in the same order with the same outcomes, to the last bit."""

    def same(x: Any, y: Any) -> bool:
        return type(x) is type(y) and (np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y)

    return list(a) == list(b) and all(
        (a[k].status, a[k].message) == (b[k].status, b[k].message)
        and a[k].values.keys() == b[k].values.keys()
        and all(same(v, b[k].values[name]) for name, v in a[k].values.items())
        for k in a
    )


def few(count: int = 4) -> list[Task]:
    return [Task(f"repeat={i}", i, draw, {"size": 5}) for i in range(count)]


def starts_of(store: Store) -> list[str]:
    return [line["task"] for line in store.log() if line["event"] == "start"]


# ------------------------------------------------------------------------------------------------------------------ kill -9


# the package that is tested here, wherever it lies, and the module of the tasks
PLACES = str(Path(emvsmcmc.__file__).parents[1]), str(Path(sweep_tasks.__file__).parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)}


def outside(kind: str, folder: Path) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own."""
    program = (
        f"import sweep_tasks\nfrom emvsmcmc.experiments.sweep.sweep import run_sweep\n"
        f"run_sweep(sweep_tasks.{kind}(), {str(folder)!r}, workers=2)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], start_new_session=True, stderr=subprocess.PIPE, env=ENVIRONMENT
    )  # fmt: skip


def killed(
    kind: str, folder: Path, rng: np.random.Generator, kills: int, wait: tuple[int, int]
) -> tuple[list[set[str]], list[list[str]]]:
    """Run a sweep in a process group of its own, kill the group `kills` times, each at a random moment, then let it end.

    (names on disk after each kill, tasks started in each run).
    """
    store, on_disk, started, before = Store(folder), [], [], 0
    for run in range(kills + 1):
        process = outside(kind, folder)
        if run < kills:
            lines, results = len(store.log()) + 1, len(store.names()) + rng.integers(*wait)
            while (len(store.log()) < lines or len(store.names()) < results) and process.poll() is None:
                time.sleep(0.002)  # a kill while Python still loads would test nothing
            time.sleep(rng.uniform(0, 0.03))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        else:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()
        lines = store.log()
        started.append([line["task"] for line in lines[before:] if line["event"] == "start"])
        before = len(lines)
        on_disk.append(set(store.names()))
    return on_disk, started


@pytest.mark.parametrize(("kind", "tasks", "kills", "wait"), [("cheap", cheap, 10, (0, 6)), ("fits", fits, 3, (1, 3))])
def test_killed_at_random_moments(
    kind: str, tasks: Callable[[], list[Task]], kills: int, wait: tuple[int, int], tmp_path: Path
) -> None:
    straight = run_sweep(tasks(), workers=0)
    on_disk, started = killed(kind, tmp_path / "store", np.random.default_rng(9), kills, wait)
    store = Store(tmp_path / "store")
    assert equal(run_sweep(tasks(), store, workers=0), straight)
    assert sum(0 < len(names) < len(tasks()) for names in on_disk) >= kills // 2, "too few kills fell into the middle"
    for run in range(1, kills + 1):
        assert on_disk[run - 1] <= on_disk[run], "a result was lost"
        assert not on_disk[run - 1] & set(started[run]), "a task was done again"
    for names in started:
        assert len(names) == len(set(names))
    assert not list((tmp_path / "store").rglob(f".*{MARK}"))


def test_orphans_leave(tmp_path: Path) -> None:
    """Workers end with the process that started them, even when that alone is killed and they are in the middle of a task."""
    process = outside("slow", tmp_path)
    store = Store(tmp_path)
    while not starts_of(store):
        time.sleep(0.01)
    workers = {line["worker"] for line in store.log() if line["event"] == "start"}
    process.kill()
    process.wait()  # not for the end of its standard error, which the workers hold too
    process.stderr.close()  # type: ignore[union-attr]
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_interrupt_leaves_a_store_to_resume(tmp_path: Path) -> None:
    ended = []

    def stop(outcome: Outcome) -> None:
        ended.append(outcome.name)
        if len(ended) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(cheap(), tmp_path, workers=2, each=stop)
    assert set(Store(tmp_path).names()) == set(ended)
    assert equal(run_sweep(cheap(), tmp_path, workers=2), run_sweep(cheap(), workers=0))


def test_what_a_crash_leaves_is_cleared_and_survived(tmp_path: Path) -> None:
    run_sweep(few(2), tmp_path, workers=0)
    torn = [tmp_path / "results" / f".repeat=3.npz.123-1{MARK}", tmp_path / f".sweep.json.123-1{MARK}"]
    for path in torn:
        path.write_bytes(b"half")
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"event": "sta')
    found = run_sweep(few(4), tmp_path, workers=0)
    assert equal(found, run_sweep(few(4), workers=0))
    assert not any(path.exists() for path in torn)
    assert starts_of(Store(tmp_path)) == [f"repeat={i}" for i in range(4)]


# ------------------------------------------------------------------------------------------------------------------ engines


def test_every_engine_gives_the_same(tmp_path: Path) -> None:
    straight = run_sweep(few(), workers=0)
    assert equal(run_sweep(few(), tmp_path, workers=2), straight)
    assert equal(run_sweep(few(), tmp_path, workers=2), straight)
    assert starts_of(Store(tmp_path)) == [f"repeat={i}" for i in range(4)], "a resumed sweep did something again"
    other = [Task(t.name, t.seed + 1, t.function, t.arguments) for t in few()]
    assert not equal(run_sweep(other, workers=0), straight)


class _Path(WorkerPlugin):
    """Workers of a cluster find the module of the tasks."""

    def __init__(self, places: tuple[str, ...]) -> None:
        self.places = places

    def setup(self, worker: Any) -> None:
        sys.path[:0] = self.places


def test_on_a_cluster(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    tasks = [*few(30), Task("bad", 0, fail, {"how": "status"})]
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        found = run_sweep(tasks, tmp_path / "client", client)
        by_address = run_sweep(tasks, tmp_path / "address", cluster.scheduler_address)
    assert equal(found, run_sweep(tasks, workers=0))
    assert equal(found, by_address)
    assert sorted(starts_of(Store(tmp_path / "client"))) == sorted(t.name for t in tasks)


def test_workers_of_a_cluster_may_die(tmp_path: Path) -> None:
    """The scheduler tries elsewhere what a killed worker held; a task that kills every worker is recorded, and stops nobody."""
    from distributed import Client, LocalCluster

    tasks = [Task("dies", 5, die_once, {"folder": str(tmp_path)}), *few(12), Task("kills", 1, fail, {"how": "kill"})]
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        client.register_plugin(_Path(PLACES))
        found = run_sweep(tasks, tmp_path / "store", client)
    assert (tmp_path / "died").exists()
    assert found["dies"].values == {"seed": 5}
    assert found["kills"].status == "worker_died"
    assert equal({t.name: found[t.name] for t in few(12)}, run_sweep(few(12), workers=0))
    assert equal(run_sweep(tasks, tmp_path / "store", workers=2), found), "a recorded result is final"


def test_workers_are_told_their_threads_and_do_not_run_the_script() -> None:
    first, second = run_sweep([Task("a", 0, threads), Task("b", 0, threads)], workers=2).values()
    cores = len(os.sched_getaffinity(0))
    for outcome in (first, second):
        assert outcome.values["omp"] == str(max(1, cores // 2))
        assert outcome.values["main"] is False
        assert outcome.values["pid"] != os.getpid()


def test_a_script_without_a_guard_runs(tmp_path: Path) -> None:
    """Spawned workers run the user's script again, unless they are kept from it."""
    script = tmp_path / "script.py"
    script.write_text(
        "from sweep_tasks import draw\nfrom emvsmcmc.experiments.sweep.sweep import Task, run_sweep\n"
        "print('running')\nprint(len(run_sweep([Task('a', 1, draw, {'size': 2}), Task('b', 2, draw, {'size': 2})], workers=2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    assert done.stdout.split() == ["running", "2"], done.stderr


# ----------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("status", "degenerate", "all starts collapsed"),
        ("named", "SamplingFailed", "would not start"),
        ("bug", "error", "ZeroDivisionError"),
        ("object", "error", "arrays, numbers and strings"),
        ("exit", "worker_died", "exit code 7"),
        ("kill", "worker_died", "SIGKILL"),
    ],
)
def test_a_failure_is_named_and_stops_nobody(how: str, status: str, said: str, tmp_path: Path) -> None:
    tasks = [Task("bad", 1, fail, {"how": how}), *few()]
    found = run_sweep(tasks, tmp_path, workers=2)
    assert found["bad"].status == status
    assert said in found["bad"].message
    assert equal({k: v for k, v in found.items() if k != "bad"}, run_sweep(few(), workers=0))
    attempts = starts_of(Store(tmp_path)).count("bad")
    assert attempts == (3 if status == "worker_died" else 1)
    assert equal(run_sweep(tasks, tmp_path, workers=2), found)
    assert starts_of(Store(tmp_path)).count("bad") == attempts, "a recorded failure is a result"
    if status != "worker_died":
        run_sweep(tasks, tmp_path, workers=0, retry_failed=True)
        assert starts_of(Store(tmp_path)).count("bad") == attempts + 1


def test_a_worker_that_dies_once_costs_one_more_try(tmp_path: Path) -> None:
    tasks = [Task("dies", 5, die_once, {"folder": str(tmp_path)}), *few()]
    found = run_sweep(tasks, tmp_path / "store", workers=2)
    assert all(o.done for o in found.values())
    assert found["dies"].values == {"seed": 5}
    assert [line["event"] for line in Store(tmp_path / "store").log() if line["task"] == "dies"] == [
        "start",
        "died",
        "start",
        "end",
    ]


# --------------------------------------------------------------------------------------------------------------------- store


def changed(**changes: Any) -> list[Task]:
    first, *rest = few()
    task = {"name": first.name, "seed": first.seed, "function": first.function, "arguments": first.arguments, **changes}
    return [Task(**task), *rest]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (changed(seed=99), "seed"),
        (changed(arguments={"size": 6}), "size"),
        (changed(function=fail), "function"),
        (changed(name="other"), "repeat=0"),
        (few(3), "repeat=3"),
    ],
)
def test_another_sweep_is_refused(tasks: list[Task], said: str, tmp_path: Path) -> None:
    run_sweep(few(), tmp_path, workers=0)
    with pytest.raises(DifferentSweep, match=said):
        run_sweep(tasks, tmp_path, workers=0)
    assert len(run_sweep(few(6), tmp_path, workers=0)) == 6  # more of the same is the same sweep, grown


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sweep(few(), tmp_path, workers=0)
    monkeypatch.setattr("emvsmcmc.experiments.sweep.folder.__version__", "99")
    with pytest.raises(DifferentSweep, match="99"):
        run_sweep(few(), tmp_path, workers=0)


def test_one_sweep_at_a_time_and_readers_at_any_time(tmp_path: Path) -> None:
    seen = []

    def look(outcome: Outcome) -> None:
        seen.append(set(Store(tmp_path).outcomes()))
        with pytest.raises(StoreBusy):
            run_sweep(few(), tmp_path, workers=0)

    run_sweep(few(), tmp_path, workers=0, each=look)
    assert [len(names) for names in seen] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("tasks", "options"),
    [
        ([*few(), few()[0]], {}),
        ([Task("", 0, draw)], {}),
        ([Task(".hidden", 0, draw)], {}),
        ([Task("x" * 300, 0, draw)], {}),
        (few(), {"workers": -1}),
        (few(), {"client": 3}),
        (few(), {"store": "/proc/nowhere"}),
    ],
)
def test_bad_input_is_named(tasks: list[Task], options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        run_sweep(tasks, **{"workers": 0, **options})


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("[1, 2]")
    with pytest.raises(BadInput, match="another file"):
        run_sweep(few(), tmp_path, workers=0)


def test_names_and_values_come_back(tmp_path: Path) -> None:
    names = ["a/b=0.1", "ö &?%", "x" * 100]
    found = run_sweep([Task(name, 3, draw, {"size": 4}) for name in names], tmp_path, workers=0)
    assert equal({name: Store(tmp_path).outcome(name) for name in names}, found)
    assert sorted(names) == Store(tmp_path).names()


def test_seeds_depend_on_the_key_alone() -> None:
    assert seed_of(3, 1, 2) == seed_of(3, 1, 2)
    assert len({seed_of(3, i, j) for i in range(20) for j in range(20)}) == 400
    assert seed_of(3, 1) != seed_of(4, 1)

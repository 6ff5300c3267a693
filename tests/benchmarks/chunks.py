"""EM over rows on disk: one pass, in memory and in chunks, with one worker and with two.

A Gaussian mixture with three components in two columns is written to Zarr, uncompressed, chunk by chunk. Then, in this order:

* in memory: the row pass over `--memory` rows packed once, on one thread;
* in chunks: the rows are conditioned and laid out by a cluster of one worker with one thread (timed apart: it happens once for a
  fit), then passed over `--passes` times; the same with two workers. A worker's resident memory is the largest `VmRSS` of its
  process, read every twentieth of a second, and `VmHWM` at the end.

Before any time is taken the sums of the chunks are compared with those in memory. The file cache of the system is dropped where
that is allowed (--cold), so that the rows do come from the disk.

    python tests/benchmarks/chunks.py [--rows 100000000] [--chunk 1000000] [--folder DIR] [--passes 5] [--json FILE] [--cold]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import dask.array as da
import numpy as np
import zarr

import emvsmcmc as ev
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.kernel.pack import expect_compiled, pack
from emvsmcmc.expect.layout import Coefficients, Conventions
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.expect.store.chunks import plan_rows
from emvsmcmc.problem.chunked import ChunkedProblem

GIB = 2**30
K = 3
VALUES = {
    "weight": np.array([0.3, 0.3, 0.4]),
    "mean": np.array([[0.0, 0.0], [3.0, 3.0], [6.0, 1.0]]),
    "sd": np.array([[1.0, 0.8], [0.9, 1.2], [1.1, 1.0]]),
}


def model() -> ev.Spec:
    with ev.Spec(coords={"component": K, "column": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "column"))
        sd = ev.HalfNormal("sd", 5, dims=("component", "column"))
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims=("row", "column"))
    return spec


def write(folder: Path, rows: int, chunk: int) -> Path:
    """The rows on disk, a chunk at a time; kept from an earlier run of the same size."""
    path = folder / f"rows-{rows}-{chunk}.zarr"
    done = path / "done"
    if done.exists():
        return path
    shutil.rmtree(path, ignore_errors=True)
    array = zarr.create_array(path, shape=(rows, 2), chunks=(chunk, 2), dtype="f8", compressors=None)
    for i, at in enumerate(range(0, rows, chunk)):
        rng = np.random.default_rng([7, i])
        n = min(chunk, rows - at)
        z = rng.choice(K, n, p=VALUES["weight"])
        array[at : at + n] = VALUES["mean"][z] + VALUES["sd"][z] * rng.standard_normal((n, 2))
    done.touch()
    return path


def parameters(plan: Plan) -> Coefficients:
    return coefficients(plan, plan.environment(VALUES))


def in_memory(x: np.ndarray, passes: int) -> dict[str, float]:
    """Rows a second of the compiled pass over rows that are packed already, on one thread; the best of `passes`."""
    plan = make_plan(ev.condition(model(), {"x": x}))
    packed, C = pack(plan.layout, plan.K), parameters(plan)
    expect_compiled(packed, C)
    times = []
    for _ in range(passes):
        began = time.perf_counter()
        expect_compiled(packed, C)
        times.append(time.perf_counter() - began)
    return {"rows": len(x), "seconds": float(np.median(times)), "rows_per_second": len(x) / float(np.median(times))}


class Memory:
    """Largest resident memory of processes while it watches."""

    def __init__(self, pids: list[int]) -> None:
        self.pids, self.largest = pids, dict.fromkeys(pids, 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for pid in self.pids:
                self.largest[pid] = max(self.largest[pid], status(pid, "VmRSS"))


def status(pid: int, field: str) -> int:
    """Bytes of a line of /proc/<pid>/status; 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def drop_cache() -> bool:
    """Whether the system let go of its file cache."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def in_chunks(path: Path, workers: int, passes: int, cold: bool) -> dict[str, Any]:
    """Times of a cluster of so many workers, a thread each."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, memory_limit="2GiB", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        with Memory(pids) as memory:
            if cold:
                drop_cache()
            began = time.perf_counter()
            problem = ev.condition(model(), {"x": da.from_zarr(path)})
            assert isinstance(problem, ChunkedProblem)
            conditioned = time.perf_counter()
            plan = plan_rows(problem)
            laid_out = time.perf_counter()
            C = parameters(plan)
            found = expect(plan, C)
            times = []
            for _ in range(passes):
                if cold:
                    drop_cache()
                start = time.perf_counter()
                found = expect(plan, C)
                times.append(time.perf_counter() - start)
        n = problem.n
        return {
            "workers": workers,
            "blocks": len(problem.blocks),
            "condition_seconds": conditioned - began,
            "lay_out_seconds": laid_out - conditioned,
            "pass_seconds": times,
            "rows_per_second": n / float(np.median(times)),
            "peak_resident_gib": {
                "sampled": max(memory.largest.values()) / GIB,
                "high_water": max(status(pid, "VmHWM") for pid in pids) / GIB,
            },
            "log_likelihood": found[0],
            "centre": plan.centre.tolist(),
        }


def proof(path: Path, rows: int) -> float:
    """Largest relative difference between the sums of a file of few rows in chunks and in memory."""
    x = np.asarray(zarr.open_array(path, mode="r")[:])
    plan = make_plan(ev.condition(model(), {"x": x}))
    conventions = Conventions(plan.centre, plan.scale)
    whole = make_plan(ev.condition(model(), {"x": x}), conventions)
    C = parameters(whole)
    a = expect(whole, C)
    chunked = plan_rows(ev.condition(model(), {"x": da.from_zarr(path)}))
    D = parameters(chunked)
    b = expect(chunked, D)
    # about centres that differ in the seventh digit the moments differ: weights, means and squares in original units do not
    assert len(x) == rows
    return max(
        abs(a[0] - b[0]) / abs(a[0]),
        *(np.abs(u - v).max() / np.abs(u).max() for u, v in zip(moments(whole, a), moments(chunked, b), strict=True)),
    )


def moments(plan: Plan, found: Any) -> tuple[np.ndarray, np.ndarray]:
    """(N, sum of w r v v' in original units)."""
    _, S = found
    shift = np.eye(plan.d)
    out = np.empty_like(S.M)
    for k in range(plan.K):
        shift[1:, 0] = (plan.centre + S.rho[k])[1:]
        out[k] = shift @ S.M[k] @ shift.T
    return S.N, out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--chunk", type=int, default=1_000_000)
    parser.add_argument("--memory", type=int, default=10_000_000, help="rows of the pass in memory")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "emvsmcmc-chunks")
    parser.add_argument("--cold", action="store_true", help="drop the file cache before every pass (needs the right to)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    small = min(options.rows, 1_000_000)
    apart = proof(write(options.folder, small, min(options.chunk, 200_000)), small)
    print(f"sums of {small:,} rows in chunks and in memory differ by {apart:.1e} of their size")
    if not apart < 1e-10:
        return 1
    began = time.perf_counter()
    path = write(options.folder, options.rows, options.chunk)
    print(
        f"{options.rows:,} rows x 2 on disk ({16 * options.rows / GIB:.2f} GiB), written in {time.perf_counter() - began:.0f} s"
    )
    sample = np.asarray(zarr.open_array(path, mode="r")[: min(options.rows, options.memory)])
    memory = in_memory(sample, options.passes)
    del sample
    print(f"in memory, one thread: {memory['rows_per_second'] / 1e6:.1f} million rows a second")
    found = [in_chunks(path, workers, options.passes, options.cold) for workers in (1, 2)]
    for one in found:
        print(
            f"{one['workers']} worker(s): condition {one['condition_seconds']:.1f} s, lay out {one['lay_out_seconds']:.1f} s, "
            f"pass {np.median(one['pass_seconds']):.2f} s, {one['rows_per_second'] / 1e6:.1f} million rows a second, "
            f"{one['rows_per_second'] / memory['rows_per_second']:.2f} of in memory, "
            f"peak resident {one['peak_resident_gib']['high_water']:.2f} GiB a worker"
        )
    speedup = found[1]["rows_per_second"] / found[0]["rows_per_second"]
    ratio = found[0]["rows_per_second"] / memory["rows_per_second"]
    peak = max(one["peak_resident_gib"]["high_water"] for one in found)
    print(f"two workers: {speedup:.2f} times one (asked 1.7); one of in memory: {ratio:.2f} (asked 0.6); peak {peak:.2f} GiB (2)")
    if options.json:
        report = {
            "rows": options.rows,
            "apart": apart,
            "in_memory": memory,
            "in_chunks": found,
            "speedup": speedup,
            "ratio": ratio,
        }
        options.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

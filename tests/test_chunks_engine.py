"""What runs over chunks: what fails is tried again, what was killed goes on, every form is read, what is not there is said."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from examples import EXAMPLES, full_covariance_spec, normal_data, normal_mixture_spec, two_columns
from in_chunks import chunked, engine
from test_chunks import CLOSE, difference, start, sums_differ

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.expect.store.chunks import chunked_plan
from emvsmcmc.expect.store.journal import PASSES, Journal, parameters_kept
from emvsmcmc.problem import blocks as block
from emvsmcmc.problem.chunked import ChunkedProblem
from emvsmcmc.problem.conditioned import Conditioned

X, Z = normal_data(60)


@pytest.fixture(autouse=True)
def _in_this_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(block, "PAUSE", 0.001)
    with engine():
        yield


# ------------------------------------------------------------------------------------------------------------------ what is read


def test_every_form_is_the_same_rows(tmp_path: Path) -> None:
    """Arrays, Datasets, Zarr and Parquet on disk, DataArrays in any order of dims, columns of a frame."""
    y = two_columns()
    y[::7, 1] = np.nan
    w = np.random.default_rng(0).integers(1, 4, 60)
    spec = full_covariance_spec()
    problem = ev.condition(spec, {"y": y}, weights=w)
    whole, values = start(problem)
    dataset = xr.Dataset({"y": (("row", "feature"), y)}, coords={"feature": ["a", "b"]})
    dataset.chunk(row=11).to_zarr(tmp_path / "y.zarr", zarr_format=2)
    frame = pd.DataFrame({"a": y[:, 0], "b": y[:, 1], "w": w})
    (tmp_path / "y.parquet").mkdir()
    for i, part in enumerate(np.array_split(np.arange(60), 4)):
        frame.iloc[part].to_parquet(tmp_path / "y.parquet" / f"{i}.parquet")
    turned = dataset["y"].chunk(row=13).transpose("feature", "row").isel(feature=[1, 0])
    forms: dict[str, tuple[Any, Any]] = {
        "array": ({"y": da.from_array(y, chunks=(9, 1))}, w),
        "dataset": (dataset.chunk(row=8), da.from_array(w, chunks=60)),
        "zarr": (xr.open_zarr(tmp_path / "y.zarr"), w),
        "data array": ({"y": turned}, w),
        "frame": (dd.from_pandas(frame, npartitions=5), "w"),
        "parquet": (dd.read_parquet(tmp_path / "y.parquet"), "w"),
        "columns": ({"a": da.from_array(y[:, 0], chunks=20), "b": y[:, 1]}, w),
        "unknown lengths": ({"y": dd.from_pandas(frame[["a", "b"]], npartitions=3).to_dask_array()}, w),
    }
    for name, (data, weights) in forms.items():
        lazy = ev.condition(spec, data, weights)
        assert len(lazy.blocks) > 1, name
        assert lazy.n == 60, name
        assert sums_differ(whole, chunked_plan(lazy), values) < CLOSE, name


def test_small_chunks_are_read_together() -> None:
    with engine(merge=True):
        assert len(chunked(EXAMPLES["normal_mixture"].build(), 1).blocks) == 1
    assert len(chunked(EXAMPLES["normal_mixture"].build(), 1).blocks) == 40


# ----------------------------------------------------------------------------------------------------------------- what fails


def failing(times: int, marks: Path) -> da.Array:
    """X in chunks of ten, the third of which cannot be read the first few times."""

    def read(i: int) -> np.ndarray:
        if i == 2 and len(list(marks.iterdir())) < times:
            (marks / str(time.perf_counter_ns())).touch()
            raise OSError("the disk is away")
        return X[10 * i : 10 * i + 10]

    parts = [da.from_delayed(dask.delayed(read)(i), (10,), float) for i in range(6)]
    return da.concatenate(parts)


@pytest.mark.parametrize("times", [1, 2])
def test_a_chunk_that_fails_is_tried_again(times: int, tmp_path: Path) -> None:
    problem = ev.condition(normal_mixture_spec(), {"x": X})
    whole, values = start(problem)
    lazy = ev.condition(normal_mixture_spec(), {"x": failing(times, tmp_path)})
    assert len(list(tmp_path.iterdir())) == times
    assert sums_differ(whole, chunked_plan(lazy), values) < CLOSE


def test_a_chunk_that_always_fails_is_named(tmp_path: Path) -> None:
    """Negative control: it is tried so often and no more."""
    with pytest.raises(errors.ChunkFailed, match=r"rows 20 to 29: OSError: the disk is away \(tried 3 times\)"):
        ev.condition(normal_mixture_spec(), {"x": failing(100, tmp_path)})
    assert len(list(tmp_path.iterdir())) == block.TRIES


def test_bad_input_is_not_tried_again(tmp_path: Path) -> None:
    def read() -> np.ndarray:
        (tmp_path / str(time.perf_counter_ns())).touch()
        return np.r_[X[:9], np.inf]

    x = da.concatenate([da.from_array(X, chunks=10), da.from_delayed(dask.delayed(read)(), (10,), float)])
    with pytest.raises(errors.NotFinite, match="rows 60 to 69"):
        ev.condition(normal_mixture_spec(), {"x": x})
    assert len(list(tmp_path.iterdir())) == 1


def test_rows_that_are_gone_from_a_disk_are_laid_out_again() -> None:
    """Another machine has none of them; a full disk keeps none."""
    problem = ev.condition(normal_mixture_spec(), {"x": X})
    whole, values = start(problem)
    plan = chunked_plan(chunked(problem, 13))
    disk = plan.store.disk
    before = expect(plan, coefficients(plan, plan.environment(values)))
    disk.path(2, plan.store.kind).unlink()
    assert expect(plan, coefficients(plan, plan.environment(values)))[0] == before[0]
    assert disk.path(2, plan.store.kind).exists()
    disk.remove()
    disk.folder.touch()  # nothing can be written there
    assert sums_differ(whole, plan, values) < CLOSE
    disk.folder.unlink()


def test_nothing_is_left_on_the_disk() -> None:
    plan = chunked_plan(chunked(EXAMPLES["normal_mixture"].build(), 13))
    folder = plan.store.disk.folder
    assert len(list(folder.iterdir())) == 4
    del plan
    assert not folder.exists()


def test_a_row_of_probability_zero_ends_a_pass_by_name() -> None:
    """In whichever chunk it is, for numpy and compiled."""
    problem = EXAMPLES["linkage"].build()
    for compiled in (False, True):
        with engine(compiled=compiled):
            plan = chunked_plan(chunked(problem, 1))
            with np.errstate(divide="ignore"), pytest.raises(errors.Degenerate):
                expect(plan, coefficients(plan, plan.environment({"t": np.array(0.0)})))
    whole = make_plan(problem)
    with np.errstate(divide="ignore"), pytest.raises(errors.Degenerate):
        expect(whole, coefficients(whole, whole.environment({"t": np.array(0.0)})))


NEEDS_ROWS: dict[str, Callable[[Any], Any]] = {
    "its values": lambda p: p.given,
    "its weights": lambda p: p.weights,
    "labels of rows": lambda p: p.labels("row"),
    "a plan": make_plan,
    "to_pymc": ev.to_pymc,
    "compare": lambda p: ev.compare(p, draws=10, tune=10, chains=1, progress=False),
}


@pytest.mark.parametrize("what", NEEDS_ROWS)
def test_what_needs_rows_in_memory_says_so(what: str) -> None:
    """Never an answer from the sample alone."""
    with pytest.raises(errors.NotInMemory, match="compute"):
        NEEDS_ROWS[what](chunked(EXAMPLES["normal_mixture"].build(), 13))


def members(kind: type) -> set[str]:
    """Public names of a class and its fields."""
    return {name for name in (*vars(kind), *getattr(kind, "__annotations__", ())) if not name.startswith("_")}


def test_what_both_problems_have_is_written_down() -> None:
    """Rows in chunks answer alike to what `Conditioned` lists; whatever else a Problem has, they refuse by name."""
    problem = EXAMPLES["partial_labels"].build()
    lazy = chunked(problem, 13)
    common = members(Conditioned)
    assert common <= members(ev.Problem) & members(ChunkedProblem)
    for name in ("roles", "plate", "n", "observations", "sizes", "parameters", "row_variables"):
        assert getattr(lazy, name) == getattr(problem, name), name
    for v in problem.spec.variables.values():
        assert lazy.shape(v) == problem.shape(v)
        if v.discrete:
            assert (lazy.levels(v), lazy.level_labels(v)) == (problem.levels(v), problem.level_labels(v))
    assert lazy.entry("mean", ("component",), (1,)) == problem.entry("mean", ("component",), (1,))
    rest = members(ev.Problem) - common
    assert {"given", "weights", "evidence", "heard"} <= rest
    for name in rest:
        with pytest.raises(errors.NotInMemory, match=name):
            getattr(lazy, name)


def test_options_that_need_other_rows_are_refused(tmp_path: Path) -> None:
    problem = EXAMPLES["normal_mixture"].build()
    with pytest.raises(errors.BadInput, match="bootstrap"):
        ev.fit_em(chunked(problem, 13), standard_errors="bootstrap")
    with pytest.raises(errors.BadInput, match="checkpoint"):
        ev.fit_em(problem, checkpoint=tmp_path)
    with ev.Spec(coords={"row": 40}, plates=("row",)) as spec:
        ev.Normal("x", ev.Normal("m", 0, 1), 1.0, dims="row")
    with pytest.raises(errors.UnsupportedModel, match="coords"):
        ev.condition(spec, {"x": da.from_array(np.arange(40.0), chunks=10)})


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    x = da.from_array(X, chunks=10)
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(errors.DaskMissing, match=r"pip install 'emvsmcmc\[scale\]'"):
        ev.condition(normal_mixture_spec(), {"x": x})


def test_a_rate_for_every_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emvsmcmc.expect.store.chunks.MOST_LEVELS", 2)
    with pytest.raises(errors.UnsupportedModel, match="time: expected at most 2 different values"):
        chunked_plan(chunked(EXAMPLES["exposure"].build(), 9))


# ----------------------------------------------------------------------------------------------------------- what was stopped


def mixture(chunks: int = 15) -> Any:
    return ev.condition(normal_mixture_spec(), {"x": da.from_array(X, chunks=chunks)})


def same(a: ev.EMFit, b: ev.EMFit) -> bool:
    """To the last bit, standard errors and path included."""
    estimates = all(np.array_equal(a.estimate[n], b.estimate[n]) for n in a.estimate)
    deviations = all(np.array_equal(a.standard_error[n], b.standard_error[n], equal_nan=True) for n in a.estimate)
    return estimates and deviations and np.array_equal(a.path, b.path) and a.log_likelihood == b.log_likelihood


PROGRAM = """
    import sys
    sys.path.insert(0, {tests!r})
    import dask, emvsmcmc as ev
    from emvsmcmc.problem import blocks
    from test_chunks_engine import mixture
    blocks.CELLS = 1
    dask.config.set({{"scheduler": "synchronous", "temporary-directory": {folder!r}}})
    ev.fit_em(mixture(), starts=3, random_seed=4, checkpoint={folder!r})
    print("finished")
"""


def test_a_killed_fit_goes_on_to_the_same_result(tmp_path: Path) -> None:
    """kill -9 in the middle, twice, then a cut-off last line: what was passed over is not passed over again."""
    straight = ev.fit_em(mixture(), starts=3, random_seed=4)
    program = textwrap.dedent(PROGRAM.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    log = tmp_path / PASSES
    for least in (8, 20):  # passes, of about two and a half thousand bytes each
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        while process.poll() is None and (not log.exists() or log.stat().st_size < least * 2500):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.communicate()[0] == b""  # it had not finished
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 11)
    iteration, objective, values = parameters_kept(tmp_path)
    assert iteration > 0
    assert np.isfinite(objective)
    assert set(values) == {"weight", "mean", "sd"}
    fit = ev.fit_em(mixture(), starts=3, random_seed=4, checkpoint=tmp_path)
    journal = fit.plan.store.journal
    assert isinstance(journal, Journal)
    assert journal.recalled > 15
    assert journal.made > 0
    assert same(fit, straight)
    again = ev.fit_em(mixture(), starts=3, random_seed=4, checkpoint=tmp_path)
    assert again.plan.store.journal.made == 0
    assert same(again, straight)


def test_the_checkpoint_of_other_rows_is_refused(tmp_path: Path) -> None:
    ev.fit_em(mixture(), starts=1, random_seed=0, checkpoint=tmp_path)
    with pytest.raises(errors.DifferentFit):
        ev.fit_em(mixture(20), starts=1, random_seed=0, checkpoint=tmp_path)
    other = ev.condition(normal_mixture_spec(), {"x": da.from_array(X + 1e-9, chunks=15)})
    with pytest.raises(errors.DifferentFit):
        ev.fit_em(other, starts=1, random_seed=0, checkpoint=tmp_path)


def test_a_pass_that_was_written_down_is_believed(tmp_path: Path) -> None:
    """Negative control: a journal that holds a wrong sum gives a wrong fit, so it is read indeed."""
    right = ev.fit_em(mixture(), starts=1, random_seed=0, checkpoint=tmp_path)
    journal = Journal(tmp_path, right.plan.store.fingerprint, [])
    for key, (value, S) in list(journal.known.items()):
        journal.known[key] = (value + 1.0, S)
    right.plan.store.journal = journal
    value, _ = expect(right.plan, coefficients(right.plan, right.environment))
    assert np.isclose(value, right.log_likelihood + 1.0, rtol=1e-12)


# -------------------------------------------------------------------------------------------------------------------- a cluster


def test_on_a_cluster_and_when_a_worker_dies() -> None:
    """The same sums from processes; one that is killed while it works is replaced, and nothing is lost."""
    from distributed import Client, LocalCluster

    problem = EXAMPLES["missing_cells"].build()
    _, values = start(problem)
    direct = ev.fit_em(problem, init=values, standard_errors=None)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
        dask.config.set(scheduler="distributed"),
    ):
        lazy = chunked(problem, 11)
        import os

        victims = list(client.run(os.getpid).values())
        killer = threading.Timer(0.3, os.kill, (victims[0], signal.SIGKILL))
        killer.start()
        fit = ev.fit_em(lazy, init=values, standard_errors=None)
        killer.join()
        assert fit.iterations == direct.iterations
        for name in direct.estimate:
            assert difference(direct.estimate[name], fit.estimate[name]) < CLOSE


# ------------------------------------------------------------------------------------------------------------------------- NUTS


def test_nuts_where_moments_say_everything() -> None:
    """The same density as in memory at every draw, whatever the chunks; for rows that stay in the loop see test_chunks_nuts."""
    problem = EXAMPLES["all_labels"].build()
    tree = ev.fit_mcmc(chunked(problem, 7), draws=40, tune=60, chains=2, random_seed=3, progress=False)
    plan = make_plan(problem)
    draws = {name: tree["posterior"][name].values.reshape(80, -1) for name in ("weight", "mean", "sd")}
    told = tree["sample_stats"]["log_likelihood"].values.ravel()
    for i in range(0, 80, 16):
        env = plan.environment({name: x[i] for name, x in draws.items()})
        assert difference(expect(plan, coefficients(plan, env))[0], told[i]) < CLOSE
    assert np.ptp(told) > 0.1

"""The cached compile: the numbers of PyMC, the draws of stock nutpie, and the same posterior in whitened coordinates."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor
import pytensor.link.numba.cache as numba_cache
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from emvsmcmc.errors import BadInput, SamplingFailed, UnknownName, WrongDims
from emvsmcmc.mcmc.compile import compile as ec
from emvsmcmc.mcmc.compile import wrappers
from emvsmcmc.mcmc.compile.wrappers import graph_function
from emvsmcmc.mcmc.unconstrained import layout_of

POINT = {"w": [0.4, 0.6], "mu": [54.0, 80.0], "sd": [6.0, 5.0]}


def values(n: int = 60, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.4, rng.normal(54.0, 6.0, n), rng.normal(80.0, 5.0, n))


def mixture(x: np.ndarray | None = None) -> pm.Model:
    """A 2-component normal mixture; every hyperparameter float64, as PyTensor halves the precision of a Python 2.5."""
    x = values() if x is None else x
    with pm.Model(coords={"component": ["short", "long"], "eruption": range(len(x))}) as model:
        w = pm.Dirichlet("w", np.ones(2), dims="component")
        mu = pm.Normal("mu", np.array([55.0, 80.0]), np.float64(10), dims="component")
        sd = pm.HalfNormal("sd", np.float64(20), dims="component")
        pm.Deterministic("gap", mu[1] - mu[0])
        pm.NormalMixture("x", w, mu, sigma=sd, observed=pm.Data("rows", x, dims="eruption"), dims="eruption")
    return model


def zoo() -> pm.Model:
    """Scalars, a matrix, a bound that is another variable, a variable without a transform, an observed integer."""
    with pm.Model(coords={"row": range(3), "column": range(2)}) as model:
        top = pm.HalfNormal("top", np.float64(2))
        low = pm.Uniform("low", np.float64(-1), top)
        table = pm.Normal("table", low, np.float64(1), dims=("row", "column"))
        p = pm.Dirichlet("p", np.ones((3, 4)), shape=(3, 4))
        pm.Deterministic("product", table @ table.T)
        pm.Deterministic("fixed", pt.as_tensor(np.arange(3.0)))
        pm.Categorical("k", p[0], observed=pm.Data("codes", np.array([0, 1, 3, 3])))
    return model


def reference(model: pm.Model) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """x -> (log posterior, gradient) by PyMC itself, without numba."""
    layout = layout_of(model)
    f = model.compile_fn([model.logp(), model.dlogp()], inputs=model.value_vars, mode="FAST_COMPILE", point_fn=False)

    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = f(*layout.split(x))
        return float(value), gradient

    return density


def flat(tree: object) -> np.ndarray:
    """(chain, draw, n)"""
    return tree["unconstrained_posterior"]["x"].values  # type: ignore[index]


@pytest.fixture(scope="module")
def model() -> pm.Model:
    return mixture()


@pytest.fixture(scope="module")
def compiled(model: pm.Model) -> ec.Compiled:
    return ec.compile_model(model)


@pytest.fixture(scope="module")
def mode(model: pm.Model, compiled: ec.Compiled) -> ec.Whitening:
    found = ec.whitening_at(ec.log_density(compiled), ec.unconstrained(model, POINT))
    assert found is not None
    return found


# ---- the numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [mixture, zoo])
def test_density_and_gradient_are_pymcs(build: Callable[[], pm.Model]) -> None:
    model = build()
    ours, theirs = ec.log_density(model), reference(model)
    rng = np.random.default_rng(1)
    for _ in range(5):
        x = rng.normal(size=layout_of(model).n)
        value, gradient = ours(x)
        expected, slope = theirs(x)
        assert value == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-10)


def test_density_outside_the_support_is_not_finite(compiled: ec.Compiled) -> None:
    x = np.zeros(compiled.layout.n)
    x[-1] = 1e4  # log sd: its exponential overflows
    value, gradient = ec.log_density(compiled)(x)
    assert not (np.isfinite(value) and np.isfinite(gradient).all())
    with pytest.raises(WrongDims):
        ec.log_density(compiled)(x[:-1])


def test_draws_are_those_of_stock_nutpie(model: pm.Model, compiled: ec.Compiled) -> None:
    nutpie = ec.import_nutpie()
    options = {"draws": 150, "tune": 150, "chains": 2, "seed": 3, "cores": 2}
    stock = nutpie.sample(nutpie.compile_pymc_model(model), progress_bar=False, **options)
    ours = ec.sample(compiled, **options)
    for name in ("w", "mu", "sd", "gap"):  # to rounding: the order of sums inside LLVM's loops is not ours to say
        np.testing.assert_allclose(ours["posterior"][name], stock["posterior"][name], rtol=1e-6)
    np.testing.assert_array_equal(ours["sample_stats"]["n_steps"], stock["sample_stats"]["n_steps"])


def test_whitened_gradient(model: pm.Model, compiled: ec.Compiled, mode: ec.Whitening) -> None:
    plain, white = ec.log_density(compiled), ec.log_density(compiled.whiten(mode), whitened=True)
    y = np.random.default_rng(2).normal(size=compiled.layout.n)
    value, gradient = white(y)
    expected, slope = plain(mode.to_x(y))
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, mode.L.T @ slope, rtol=1e-12)
    h = 1e-5
    steps = [(white(y + h * e)[0] - white(y - h * e)[0]) / (2 * h) for e in np.eye(y.size)]
    np.testing.assert_allclose(gradient, steps, rtol=1e-6, atol=1e-6)
    # the differences would have seen a transposed map, or none
    assert not np.allclose(mode.L @ slope, steps, rtol=1e-3)
    assert not np.allclose(slope, steps, rtol=1e-3)
    np.testing.assert_allclose(mode.to_y(mode.to_x(y)), y, rtol=1e-9, atol=1e-9)
    # whitened or not, a density is asked at x
    assert ec.log_density(compiled.whiten(mode))(mode.to_x(y))[0] == expected


def test_whitened_posterior_is_the_same(compiled: ec.Compiled, mode: ec.Whitening) -> None:
    def mean_and_error(c: ec.Compiled, seed: int) -> tuple[np.ndarray, np.ndarray]:
        chains = flat(ec.sample(c, draws=500, tune=300, chains=8, seed=seed)).mean(axis=1)
        return chains.mean(axis=0), chains.std(axis=0, ddof=1) / np.sqrt(len(chains))

    plain, white = mean_and_error(compiled, 1), mean_and_error(compiled.whiten(mode), 2)
    assert (np.abs(plain[0] - white[0]) < 5 * np.hypot(plain[1], white[1])).all()
    # the same yardstick tells another posterior: one more observation in ten
    other = mean_and_error(ec.compile_model(mixture(np.append(values(), [80.0] * 6))), 3)
    assert (np.abs(plain[0] - other[0]) > 5 * np.hypot(plain[1], other[1])).any()


# ---- sampling -------------------------------------------------------------------------------------------------------------


def test_same_seed_same_draws(compiled: ec.Compiled) -> None:
    runs = [flat(ec.sample(compiled, draws=50, tune=50, chains=3, seed=s, cores=c)) for s, c in ((7, 1), (7, 3), (8, 3))]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_each_chain_starts_where_it_is_told(model: pm.Model, compiled: ec.Compiled, mode: ec.Whitening) -> None:
    with pm.Model() as far:  # two modes that no chain leaves
        z = pm.Normal("z", 0.0, 1.0)
        pm.Potential("modes", pt.logaddexp(-0.5 * ((z - 50) / 0.1) ** 2, -0.5 * ((z + 50) / 0.1) ** 2) + 0.5 * z**2)
    points = [np.array([s]) for s in (50.0, -50.0, -50.0, -50.0)]  # not the same backwards
    bimodal = ec.compile_model(far)
    # a point taken for one in whitened coordinates would start below zero
    for c in (bimodal, bimodal.whiten(ec.Whitening(np.array([-200.0]), np.array([[3.0]])))):
        draws = ec.sample(c, draws=20, tune=20, chains=4, seed=1, initial_points=points)["posterior"]["z"]
        np.testing.assert_array_equal(np.sign(draws), np.sign(points) * np.ones((1, 20)))
    with pytest.raises(SamplingFailed, match="chain 1 cannot start"):
        ec.sample(compiled, chains=2, initial_points=[mode.mode, np.full(compiled.layout.n, 1e4)])
    with pytest.raises(BadInput, match="initial_points"):
        ec.sample(compiled, chains=2, initial_points=[mode.mode])


def test_only_the_requested_variables(model: pm.Model) -> None:
    tree = ec.sample(ec.compile_model(model, var_names=["gap", "mu"]), draws=10, tune=10, chains=2, seed=1)
    assert set(tree["posterior"].data_vars) == {"gap", "mu"}
    assert tree["posterior"]["mu"].dims == ("chain", "draw", "component")
    assert tree["posterior"]["component"].values.tolist() == ["short", "long"]
    np.testing.assert_allclose(tree["posterior"]["gap"], tree["posterior"]["mu"][..., 1] - tree["posterior"]["mu"][..., 0])
    with pytest.raises(UnknownName, match="nothing"):
        ec.compile_model(model, var_names=["nothing"])


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"tune": 0}, {"chains": 0}])
def test_impossible_sizes(compiled: ec.Compiled, wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        ec.sample(compiled, **wrong)


def test_interrupt_stops_the_chains(compiled: ec.Compiled) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        ec.sample(compiled, draws=1_000_000, tune=10, chains=2, seed=1)
    assert time.perf_counter() - began < 20
    assert flat(ec.sample(compiled, draws=10, tune=10, chains=2, seed=1)).shape == (2, 10, compiled.layout.n)


def test_interrupt_while_starts_are_asked_for(compiled: ec.Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    """nutpie's own waiting would swallow it, and the chains would run to their end."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")

    class Slow(threading.Barrier):
        def wait(self, timeout: float | None = None) -> int:
            time.sleep(1.0)
            return super().wait(timeout)

    monkeypatch.setattr(ec.threading, "Barrier", Slow)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ec.sample(compiled, draws=20, tune=10, chains=2, seed=1)


# ---- caching --------------------------------------------------------------------------------------------------------------


def test_other_data_and_sizes_load_the_same_machine_code(compiled: ec.Compiled) -> None:
    assert ec.is_cached(compiled)
    other = ec.compile_model(mixture(values(35, seed=9)))
    assert other.sampler.compiled_logp_func.cache_hits == 1
    x = np.array([0.1, 54.0, 80.0, 1.5, 1.6])
    assert ec.log_density(other)(x)[0] == pytest.approx(reference(other.model)(x)[0], rel=1e-12)


def test_data_are_read_again(compiled: ec.Compiled) -> None:
    model, x = mixture(), np.array([0.1, 54.0, 80.0, 1.5, 1.6])
    before = ec.compile_model(model)
    with model:
        pm.set_data({"rows": values(60, seed=3)})
    after = ec.compile_model(model)
    assert after.sampler.compiled_logp_func is before.sampler.compiled_logp_func
    assert ec.log_density(before)(x)[0] == ec.log_density(compiled)(x)[0]
    assert ec.log_density(after)(x)[0] == pytest.approx(reference(model)(x)[0], rel=1e-12)


class Opaque(Op):
    """y = 2 x, without a numba implementation."""

    __props__ = ()

    def make_node(self, x: object) -> Apply:
        x = pt.as_tensor(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: list, output_storage: list) -> None:
        output_storage[0][0] = np.asarray(2 * inputs[0])

    def pullback(self, inputs: list, outputs: list, cotangents: list) -> list:
        return [2 * cotangents[0]]


def test_one_opaque_node_uncaches_the_model() -> None:
    with pm.Model() as model:
        z = pm.Normal("z", 0.0, 1.0)
        pm.Potential("extra", Opaque()(z))
    with pytest.warns(UserWarning, match="object mode"):
        function = graph_function(model, [()])
    assert not ec.is_cached(function)
    with pm.Model() as plain:
        pm.Normal("z", 0.0, 1.0)
    assert ec.is_cached(graph_function(plain, [()]))


def test_nothing_keeps_a_model_alive() -> None:
    with pm.Model() as model:
        pm.Normal("z", 0.0, 1.0)
    ec.sample(ec.compile_model(model), draws=5, tune=5, chains=1, seed=1, initial_points=[ec.unconstrained(model, {"z": 0.5})])
    gone = weakref.ref(model)
    del model
    import gc

    gc.collect()
    assert gone() is None


SECOND_PROCESS = """
import sys
sys.path.insert(0, {tests!r})
from test_compile import POINT, mixture, ec, flat
compiled = ec.compile_model(mixture())
tree = ec.sample(compiled, draws=20, tune=20, chains=2, seed=5)
assert compiled.sampler.compiled_logp_func.cache_hits == 1, "compiled again"
loaded = [name for name in ("arviz", "matplotlib") if name in sys.modules]
print(repr(flat(tree)[:, -1].tolist()), loaded)
"""


def test_another_process_loads_machine_code(compiled: ec.Compiled) -> None:
    from pathlib import Path

    script = SECOND_PROCESS.format(tests=str(Path(__file__).parent))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    here = flat(ec.sample(compiled, draws=20, tune=20, chains=2, seed=5))[:, -1]
    there, _, loaded = run.stdout.strip().rpartition(" ")
    np.testing.assert_allclose(np.array(eval(there)), here, rtol=1e-6)
    assert loaded == "[]"


def test_falls_back_to_stock_nutpie(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def build() -> pm.Model:
        with pm.Model() as model:
            pm.LogNormal("z", np.float64(0), np.float64(1), shape=2)
        return model

    native = ec.sample(ec.compile_model(build()), draws=100, tune=100, chains=2, seed=1)
    monkeypatch.delattr(numba_cache, "compile_numba_function_src")  # a private name that only our wrappers reach this way
    monkeypatch.setattr(ec, "_FALLBACK_REASONS", set())
    with caplog.at_level(logging.WARNING, logger=ec.__name__):
        white = ec.Whitening(np.zeros(2), np.eye(2))
        compiled, _ = (ec.compile_model(build(), transform=white) for _ in range(2))
    assert "compile_numba_function_src" in caplog.records[0].message
    assert len(caplog.records) == 1
    assert not compiled.native
    assert compiled.whitening is None
    with pytest.raises(BadInput):
        compiled.whiten(white)
    stock = ec.sample(compiled, draws=100, tune=100, chains=2, seed=1)
    np.testing.assert_allclose(stock["posterior"]["z"], native["posterior"]["z"], rtol=1e-6)
    x = np.array([0.3, -0.2])
    value, gradient = ec.log_density(compiled)(x)
    assert value == pytest.approx(-0.5 * x @ x - np.log(2 * np.pi), rel=1e-6)
    np.testing.assert_allclose(gradient, -x, rtol=1e-6)


# ---- the replaced nodes ---------------------------------------------------------------------------------------------------


def lean(inputs: list, outputs: list) -> Callable:
    from pytensor.compile.mode import Mode, get_mode

    numba_mode = get_mode("NUMBA")
    query = numba_mode.provided_optimizer.register((wrappers.dfs_rewriter(wrappers.lean), 1000))
    return pytensor.function(inputs, outputs, mode=Mode(numba_mode.linker, query))


def test_replaced_nodes_compute_and_refuse_the_same() -> None:
    from pytensor.tensor.basic import Split
    from pytensor.tensor.blas import BatchedDot

    rng = np.random.default_rng(6)
    x, sizes, y = pt.dmatrix("x"), pt.lvector("sizes"), pt.dtensor3("y")
    a, b = pt.tensor("a", shape=(2, 3, 4)), pt.tensor("b", shape=(2, 4, None))
    m = pt.tensor("m", shape=(4, 5))
    outputs = [
        *Split(2, 1)(x, sizes),
        pt.specify_shape(y, (None, 2, None)),
        BatchedDot()(a, b),
        a.sum(axis=1),
        a.sum(axis=(0, 2)),
        a[0] @ m,
    ]
    f = lean([x, sizes, y, a, b, m], outputs)
    used = {type(node.op).__name__ for node in f.maker.fgraph.apply_nodes}
    assert {"_LeanSplit", "_LeanSpecifyShape", "_SmallBatchedDot", "_SmallDot", "_SmallSum"} <= used
    X, Y, A, B = rng.normal(size=(3, 5)), rng.normal(size=(4, 2, 1)), rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 40))
    M = rng.normal(size=(5, 4)).T
    left, right, same, product, one, two, plain = f(X, np.array([2, 3]), Y, A, B, M)
    np.testing.assert_allclose(plain, A[0] @ M, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(left, X[:, :2])
    np.testing.assert_array_equal(right, X[:, 2:])
    np.testing.assert_array_equal(same, Y)
    np.testing.assert_allclose(product, A @ B, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(one, A.sum(axis=1), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(two, A.sum(axis=(0, 2)), rtol=1e-13, atol=1e-14)
    for bad in ((X, np.array([2, 2]), Y), (X, np.array([6, -1]), Y), (X, np.array([2, 3]), X[..., None])):
        with pytest.raises((ValueError, AssertionError)):
            f(*bad, A, B, M)


def test_large_arrays_keep_pytensors_own_nodes() -> None:
    from pytensor.tensor.blas import BatchedDot

    a, b = pt.tensor("a", shape=(2, None, None)), pt.tensor("b", shape=(2, None, 3))
    m = pt.tensor("m", shape=(30, 40))
    f = lean([a, b, m], [BatchedDot()(a, b), a.sum(axis=1), m @ m.T])
    assert not {"_SmallBatchedDot", "_SmallDot", "_SmallSum"} & {type(node.op).__name__ for node in f.maker.fgraph.apply_nodes}

"""The compiled row pass against a small oracle: one row, one configuration, one multivariate normal at a time."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

from emvsmcmc.expect.kernel import loops
from emvsmcmc.expect.kernel.pack import expect_compiled, expected_gradient, pack, row_pass
from emvsmcmc.expect.layout import Coefficients, Collapsed, Layout, Statistics
from emvsmcmc.mcmc.fused_op import Expectation

K, D, R, L = 4, 5, 6, 9  # L: rows 0, 1 single-level terms; 2-4 and 5-8 the levels of two categories


@dataclass(frozen=True)
class Rows:
    """Rows as data give them, before they are sorted into patterns."""

    V: np.ndarray
    w: np.ndarray
    X: np.ndarray
    phi: np.ndarray
    level: np.ndarray
    E: np.ndarray
    hidden: np.ndarray  # (n, d)
    allowed: np.ndarray  # (n, K)

    def __getitem__(self, at: np.ndarray) -> Rows:
        return Rows(*(getattr(self, f.name)[at] if len(getattr(self, f.name)) else self.E for f in dataclasses.fields(self)))


def random_rows(rng: np.random.Generator, n: int = 60, hiding: bool = True, evidence: bool = True) -> Rows:
    masks = np.zeros((4, D), dtype=bool)
    if hiding:
        masks[1, [1, 3]], masks[2, 4], masks[3, 1:] = True, True, True
    sets = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=bool)
    hidden, allowed = masks[rng.integers(4, size=n)], sets[rng.integers(4, size=n)]
    V = np.where(hidden, 0.0, np.hstack([np.ones((n, 1)), rng.normal(size=(n, D - 1))]))
    X = rng.poisson(1.0, size=(n, 2)).astype(float)
    X[:, 1] *= V[:, 1] == 0  # zero in many rows: there, its entry of T is not read
    phi = rng.integers(0, 2, size=(n, 2)) * rng.integers(1, 3, size=(n, 2)).astype(float)
    level = np.column_stack([rng.integers(2, 5, size=n), rng.integers(5, 9, size=n)])
    E = rng.normal(size=(n, K)) if evidence else np.zeros((0, K))
    return Rows(V, rng.uniform(0.5, 2.0, size=n), X, phi, level, E, hidden, allowed)


def random_coefficients(rng: np.random.Generator, about: bool = True) -> Coefficients:
    B = rng.normal(size=(K, R, D))
    B[:, :, 1:] += 2 * np.eye(R, D - 1)
    T = rng.normal(size=(L, K))
    T[2, 0] = T[6, 3] = T[1, 0] = -np.inf  # never for all of a row's configurations
    rho = np.zeros((K, D))
    if about:
        rho[1:, 1:] = rng.normal(size=(K - 1, D - 1))  # one configuration keeps the centre
    return Coefficients(rng.normal(size=K), B, T, rho)


def layout_of(rows: Rows, collapse: bool = True) -> Layout:
    """Sorted by pattern; patterns of one configuration become moments, as `plan` does it."""
    patterns, code = np.unique(np.hstack([rows.hidden, rows.allowed]), axis=0, return_inverse=True)
    hidden, allowed = patterns[:, :D].astype(bool), patterns[:, D:].astype(bool)
    single = (allowed.sum(1) == 1) & collapse
    parts, open_ = [np.flatnonzero(code == p) for p in range(len(patterns))], np.flatnonzero(~single)
    order = np.concatenate([parts[p] for p in open_] or [np.zeros(0, dtype=int)])
    start = np.cumsum([0, *(len(parts[p]) for p in open_)])
    kept, collapsed = rows[order], []
    for p in np.flatnonzero(single):
        part, k = rows[parts[p]], int(np.flatnonzero(allowed[p])[0])
        triangle = np.zeros((D, D))
        square_root = np.linalg.qr(part.V * np.sqrt(part.w)[:, None], mode="r")
        triangle[: len(square_root)] = square_root
        S = np.zeros(L)
        for n in range(len(part.V)):
            S[:2] += part.w[n] * part.X[n]
            np.add.at(S, part.level[n], part.w[n] * part.phi[n])
        constant = float(part.w @ part.E[:, k]) if len(part.E) else 0.0
        collapsed.append((k, hidden[p], part.w.sum(), triangle, S, constant))
    columns = list(zip(*collapsed, strict=True)) or [[]] * 6
    shapes, kinds = [(), (D,), (), (D, D), (L,), ()], [np.int64, bool, float, float, float, float]
    arrays = [np.array(x, dtype=t).reshape(len(collapsed), *s) for x, s, t in zip(columns, shapes, kinds, strict=True)]
    return Layout(
        kept.V, kept.w, kept.X, np.arange(2), kept.phi, kept.level, kept.E, start, hidden[open_], allowed[open_],
        Collapsed(*arrays), L,
    )  # fmt: skip


def one_pattern(V: np.ndarray, k: int, hidden: np.ndarray | None = None) -> Layout:
    """Rows without tables, every one of k configurations allowed."""
    (n, d), t = V.shape, np.zeros((len(V), 0))
    none = Collapsed(np.zeros(0, int), np.zeros((0, d), bool), np.zeros(0), np.zeros((0, d, d)), np.zeros((0, 0)), np.zeros(0))
    mask = np.zeros((1, d), dtype=bool) if hidden is None else hidden
    start, no_level = np.array([0, n]), np.zeros(0, int)
    return Layout(V, np.ones(n), t, no_level, t, t.astype(int), np.zeros((0, k)), start, mask, np.ones((1, k), bool), none, 0)


def oracle(rows: Rows, C: Coefficients, hard: bool = False) -> tuple[float, Statistics]:
    """The definition, row by row: hidden coordinates by the Schur complement of the precision B'B."""
    N, M, S, total = np.zeros(K), np.zeros((K, D, D)), np.zeros((L, K)), 0.0
    for n in range(len(rows.V)):
        h, o = np.flatnonzero(rows.hidden[n]), np.flatnonzero(~rows.hidden[n])
        lp, second = np.full(K, -np.inf), np.zeros((K, D, D))
        for k in np.flatnonzero(rows.allowed[n]):
            u, precision = rows.V[n] - C.rho[k], C.B[k].T @ C.B[k]
            P = np.linalg.inv(precision[np.ix_(h, h)])
            u[h] = -P @ precision[np.ix_(h, o)] @ u[o]
            lp[k] = C.c[k] - 0.5 * np.sum((C.B[k] @ u) ** 2) + (rows.E[n, k] if len(rows.E) else 0.0)
            second[k] = np.outer(u, u)
            if not hard:
                lp[k] += 0.5 * len(h) * np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(P)[1]
                second[k][np.ix_(h, h)] += P
            for x, at in [*zip(rows.X[n], (0, 1), strict=True), *zip(rows.phi[n], rows.level[n], strict=True)]:
                lp[k] += x * C.T[at, k] if x else 0.0
        top = lp.max()
        r = (np.arange(K) == lp.argmax()).astype(float) if hard else np.exp(lp - top) / np.exp(lp - top).sum()
        total += rows.w[n] * (top if hard else top + np.log(np.exp(lp - top).sum()))
        r *= rows.w[n]
        N += r
        M += r[:, None, None] * second
        for x, at in [*zip(rows.X[n], (0, 1), strict=True), *zip(rows.phi[n], rows.level[n], strict=True)]:
            S[at] += x * r
    return total, Statistics(N, M, S, C.rho)


def run(rows: Rows, C: Coefficients, collapse: bool = True, hard: bool = False) -> tuple[float, Statistics]:
    return expect_compiled(pack(layout_of(rows, collapse), K), C, hard)


def assert_same(got: tuple[float, Statistics], wanted: tuple[float, Statistics], tolerance: float = 1e-10) -> None:
    assert got[0] == pytest.approx(wanted[0], rel=tolerance)
    for name in ("N", "M", "S"):
        a, b = getattr(got[1], name), getattr(wanted[1], name)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max(initial=0.0)), err_msg=name)


def differences(value: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a scalar function at every finite entry of x; zero at the others."""
    out = np.zeros_like(x)
    for i in zip(*np.nonzero(np.isfinite(x)), strict=True):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        out[i] = (value(up) - value(down)) / (2 * step)
    return out


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("evidence", [False, True])
@pytest.mark.parametrize("hiding", [False, True])
def test_equals_the_oracle(hiding: bool, evidence: bool, collapse: bool, hard: bool) -> None:
    rng = np.random.default_rng([hiding, evidence, collapse, hard])
    rows, C = random_rows(rng, hiding=hiding, evidence=evidence), random_coefficients(rng)
    assert_same(run(rows, C, collapse, hard), oracle(rows, C, hard))


def test_the_general_pass_equals_the_simple_one() -> None:
    rng = np.random.default_rng(1)
    packed, C = pack(layout_of(random_rows(rng, hiding=False)), K), random_coefficients(rng, about=False)
    for a, b in zip(*(expected_gradient(packed, C.c, C.B, C.T, general) for general in (False, True)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("hiding", [False, True])
def test_several_blocks_and_the_full_triangle(hiding: bool) -> None:
    rng = np.random.default_rng(2)  # a pattern of many rows is triangularised, and passed in blocks
    rows, C = random_rows(rng, n=1500, hiding=hiding), random_coefficients(rng)
    assert_same(run(rows, C), oracle(rows, C))


def test_many_configurations_in_small_blocks() -> None:
    rng, many, n = np.random.default_rng(3), 3000, 70
    V = np.hstack([np.ones((n, 1)), rng.normal(size=(n, 1))])
    c, B = rng.normal(size=many), rng.normal(size=(many, 1, 2))
    lp = c - 0.5 * (V @ B[:, 0].T) ** 2
    r = np.exp(lp - np.logaddexp.reduce(lp, axis=1)[:, None])
    ll, S = expect_compiled(pack(one_pattern(V, many), many), Coefficients(c, B, np.zeros((0, many)), np.zeros((many, 2))))
    assert ll == pytest.approx(np.logaddexp.reduce(lp, axis=1).sum(), rel=1e-12)
    np.testing.assert_allclose(S.M, np.einsum("nk,ni,nj->kij", r, V, V), rtol=0, atol=1e-12)


def test_responsibilities_keep_their_digits_down_to_nothing() -> None:
    many = 1000
    c = -np.linspace(0, 1500, many)
    T, rho = np.zeros((0, many)), np.zeros((many, 1))
    ll, S = expect_compiled(pack(one_pattern(np.ones((1, 1)), many), many), Coefficients(c, np.zeros((many, 0, 1)), T, rho))
    assert ll == pytest.approx(np.logaddexp.reduce(c), rel=1e-15)
    np.testing.assert_allclose(S.N, np.where(c < -700, 0.0, np.exp(c - np.logaddexp.reduce(c))), rtol=1e-12)


def test_tables_alone() -> None:
    rng = np.random.default_rng(4)
    rows, C = random_rows(rng, hiding=False), random_coefficients(rng, about=False)
    layout, one = layout_of(rows), layout_of(rows).collapsed
    one = dataclasses.replace(one, hidden=one.hidden[:, :1], R=np.sqrt(one.weight)[:, None, None])
    bare = dataclasses.replace(layout, V=layout.V[:, :1], hidden=layout.hidden[:, :1], collapsed=one)
    got = expect_compiled(pack(bare, K), Coefficients(C.c, np.zeros((K, 0, 1)), C.T, np.zeros((K, 1))))
    wanted = oracle(rows, dataclasses.replace(C, B=np.zeros((K, R, D))))
    assert got[0] == pytest.approx(wanted[0], rel=1e-12)
    np.testing.assert_allclose(got[1].S, wanted[1].S, atol=1e-10)
    np.testing.assert_allclose(got[1].M[:, 0, 0], wanted[1].N, atol=1e-10)


@pytest.mark.parametrize("hiding", [False, True])
def test_statistics_are_the_gradient(hiding: bool) -> None:
    rng = np.random.default_rng(5)
    rows, C = random_rows(rng, hiding=hiding), random_coefficients(rng, about=False)
    packed = pack(layout_of(rows), K)
    ll, dc, dB, dT = expected_gradient(packed, C.c, C.B, C.T)
    assert ll == pytest.approx(oracle(rows, C)[0], rel=1e-12)
    np.testing.assert_allclose(dc, differences(lambda x: expected_gradient(packed, x, C.B, C.T)[0], C.c), atol=1e-6)
    np.testing.assert_allclose(dT, differences(lambda x: expected_gradient(packed, C.c, C.B, x)[0], C.T), atol=1e-6)
    numerical = differences(lambda x: expected_gradient(packed, C.c, x, C.T)[0], C.B)
    np.testing.assert_allclose(dB, numerical, atol=1e-6)
    # negative controls: the same check must refuse a wrong sign, and rows that count the hidden coordinates' mean alone
    M = expect_compiled(packed, C)[1].M
    assert np.abs(C.B @ M - numerical).max() > 1
    if hiding:
        completed = expect_compiled(packed, C, hard=True)[1].M
        assert np.abs(-C.B @ completed - numerical).max() > 1e-2


def test_reference_points_change_nothing_but_rounding() -> None:
    rng = np.random.default_rng(6)
    rows, C = random_rows(rng), random_coefficients(rng)
    B = C.B.copy()
    B[:, :, 0] -= np.einsum("krd,kd->kr", C.B, C.rho)
    about, centred = run(rows, C), run(rows, dataclasses.replace(C, B=B, rho=np.zeros((K, D))))
    assert about[0] == pytest.approx(centred[0], rel=1e-12)
    shift = np.eye(D) - C.rho[:, :, None] * np.eye(D)[0]  # v - (0, rho) = shift v
    np.testing.assert_allclose(about[1].M, shift @ centred[1].M @ shift.swapaxes(1, 2), atol=1e-10)


@pytest.mark.parametrize("hiding", [False, True])
def test_far_clusters_keep_their_digits(hiding: bool) -> None:
    """Two clusters a million standard deviations apart: responsibilities are 0 and 1, so sums over each cluster are exact."""
    rng, n, d = np.random.default_rng(7), 200, 3
    point = np.array([[0.0, -(2.0**19), 2.0**18], [0.0, 2.0**19, -(2.0**18)]])
    k = np.arange(n) % 2
    u = np.hstack([np.ones((n, 1)), np.round(rng.normal(size=(n, d - 1)) * 2**20) / 2**20])  # exact after the shift
    V, hidden = u + point[k], np.zeros((1, d), dtype=bool)
    B = np.zeros((2, 2, d))
    B[:, :, 1:] = [[1.0, 0.5], [0.0, 2.0]]
    if hiding:
        hidden[0, 2], V[:, 2] = True, 0.0
        u[:, 2] = -0.5 * u[:, 1] / 4.25  # conditional mean: the residuals are z_1 + z_2 / 2 and 2 z_2
    packed, T, c = pack(one_pattern(V, 2, hidden), 2), np.zeros((0, 2)), np.zeros(2)
    P = np.diag([0.0, 0.0, 1 / 4.25]) if hiding else np.zeros((d, d))
    M = np.array([u[k == j].T @ u[k == j] + (k == j).sum() * P for j in range(2)])
    quadratic = -0.5 * np.sum((u @ B[0].T) ** 2) + (n * 0.5 * np.log(2 * np.pi / 4.25) if hiding else 0.0)

    ll, S = expect_compiled(packed, Coefficients(c, B, T, point))
    assert ll == pytest.approx(quadratic, rel=1e-13)
    np.testing.assert_allclose(S.M, M, atol=1e-11)

    centred = B.copy()
    centred[:, :, 0] = -np.einsum("krd,kd->kr", B, point)
    ll, _, dB, _ = expected_gradient(packed, c, centred, T)
    assert ll == pytest.approx(quadratic, rel=1e-12)
    recovered = dB - dB[:, :, :1] * point[:, None]  # about the clusters again
    np.testing.assert_allclose(recovered, -B @ M, atol=1e-6)
    # negative control: about the common centre B M cancels, and what is left of it are no digits at all
    naive = -centred @ expect_compiled(packed, Coefficients(c, centred, T, np.zeros((2, d))))[1].M
    naive[:, :, 1:] -= naive[:, :, :1] * point[:, None, 1:]
    assert np.abs(naive + B @ M).max() > 1e-3


def test_weight_w_is_the_row_w_times() -> None:
    rng = np.random.default_rng(8)
    rows, C = random_rows(rng), random_coefficients(rng)
    times = rng.integers(0, 4, size=len(rows.V))
    weighted = dataclasses.replace(rows, w=times.astype(float))
    repeated = dataclasses.replace(rows, w=np.ones(len(rows.V)))[np.repeat(np.arange(len(times)), times)]
    assert_same(run(weighted, C), run(repeated, C))


def test_statistics_add_over_rows_in_any_order() -> None:
    rng = np.random.default_rng(9)
    rows, C = random_rows(rng, n=400), random_coefficients(rng)
    whole, shuffled = run(rows, C), run(rows[rng.permutation(400)], C)
    assert_same(shuffled, whole, 1e-12)
    (a, x), (b, y) = run(rows[np.arange(150)], C), run(rows[np.arange(150, 400)], C)
    assert_same((a + b, Statistics(x.N + y.N, x.M + y.M, x.S + y.S, C.rho)), whole, 1e-12)


@pytest.mark.parametrize("collapse", [False, True])
def test_a_row_of_probability_zero(collapse: bool) -> None:
    rng = np.random.default_rng(10)
    rows, C = random_rows(rng), random_coefficients(rng)
    bad = int(np.flatnonzero(rows.allowed.sum(1) == 1)[0])
    rows.phi[bad, 0] = 1.0
    C.T[rows.level[bad, 0], rows.allowed[bad]] = -np.inf
    assert run(rows, C, collapse)[0] == -np.inf
    rows.w[bad] = 0.0  # without weight it does not matter
    possible = np.flatnonzero((rows.phi[:, 0] == 0) | (rows.level[:, 0] != rows.level[bad, 0]))
    assert_same(run(rows[np.append(possible, bad)], C, collapse), run(rows[possible], C, collapse))


def test_a_hidden_coordinate_that_nothing_holds() -> None:
    rng = np.random.default_rng(11)
    rows, C = random_rows(rng), random_coefficients(rng)
    C.B[:, :, 4] = 0.0
    assert run(rows, C)[0] == np.inf


def test_shapes_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(12)
    packed, C = pack(layout_of(random_rows(rng)), K), random_coefficients(rng)
    for wrong in ({"c": C.c[1:]}, {"B": C.B[:, :, 1:]}, {"T": C.T[1:]}, {"rho": C.rho[1:]}):
        with pytest.raises(ValueError, match="the rows take"):
            expect_compiled(packed, dataclasses.replace(C, **wrong))
    older = packed[1].copy()
    older[loops.VERSION_] -= 1
    with pytest.raises(ValueError, match="pack them again"):
        expect_compiled((packed[0], older), C)
    with pytest.raises(ValueError, match="general"):
        expected_gradient(packed, C.c, C.B, C.T, general=False)


def test_the_kernels_do_not_load_pytensor() -> None:
    code = "import sys, emvsmcmc.expect.kernel.pack; sys.exit(any(m in sys.modules for m in ('pytensor', 'pymc')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_work_memory_is_large_enough() -> None:
    """`work_size` states what `row_pass` carves out of it; a canary behind the end stays untouched."""
    rng = np.random.default_rng(13)
    rows, C = random_rows(rng), random_coefficients(rng, about=False)
    C.B[:, :, 1:] *= 1e3  # far enough for the second pass of the gradient, which uses all of it
    floats, ints = pack(layout_of(rows), K)
    size = loops.work_size(K, D, R, int(ints[loops.BLOCK]))
    work = np.full(size + 64, 12345.0)
    out = [np.empty(K), np.empty((K, D, D)), np.empty((L, K)), np.empty((K, R, D))]
    memory = [x.ctypes.data for x in (floats, ints, C.c, C.B, C.T, C.rho, *out, work)]
    row_pass(True)(*memory[:4], R, *memory[4:6], loops.GRADIENT, *memory[6:])
    assert (work[size:] == 12345.0).all()
    assert (work[size - K * R * D : size] != 12345.0).any()


Graph = tuple[list[pt.TensorVariable], list[pt.TensorVariable], list[np.ndarray]]


@pytest.fixture(params=[False, True], ids=["simple", "general"])
def graph(request: pytest.FixtureRequest) -> Graph:
    """The Op and the gradient of twice its value: symbolic inputs and outputs, and values for the inputs."""
    rng = np.random.default_rng(14)
    rows, C = random_rows(rng, hiding=request.param), random_coefficients(rng, about=False)
    inputs = [pt.dvector("floats"), pt.lvector("ints"), pt.dvector("c"), pt.dtensor3("B"), pt.dmatrix("T")]
    value = Expectation(general=request.param)(*inputs)[0]
    return inputs, [value, *pt.grad(2 * value, inputs[2:])], [*pack(layout_of(rows), K), C.c, C.B, C.T]


def test_op_equals_the_pass_in_every_mode(graph: Graph) -> None:
    inputs, outputs, values = graph
    ll, *gradient = expected_gradient((values[0], values[1]), *values[2:])
    python = pytensor.function(inputs, outputs, mode="FAST_COMPILE")
    compiled = pytensor.function(inputs, outputs, mode="NUMBA")
    for function in (python, compiled):
        for a, b in zip(function(*values), [ll, *(2 * x for x in gradient)], strict=True):
            np.testing.assert_array_equal(a, b)
    # one uncacheable Op would make every model that holds it compile anew in every process, in silence
    assert CACHED_SRC_FUNCTIONS.get(compiled.vm.jit_fn.py_func) is not None


def test_gradient_of_the_op(graph: Graph) -> None:
    inputs, outputs, values = graph
    function = pytensor.function(inputs, outputs, mode="FAST_COMPILE")
    for i, gradient in zip((2, 3, 4), function(*values)[1:], strict=True):
        numerical = differences(lambda x, i=i: 2 * function(*values[:i], x, *values[i + 1 :])[0], values[i])
        np.testing.assert_allclose(gradient, numerical, atol=2e-6)


def test_op_refuses_what_it_cannot_do(graph: Graph) -> None:
    inputs, outputs, values = graph
    with pytest.raises(NotImplementedError, match="Hessian"):
        pt.grad(outputs[1].sum(), inputs[2])
    with pytest.raises(TypeError, match="expected float64 and int64"):
        Expectation()(inputs[0], inputs[0], *inputs[2:])
    with pytest.raises(TypeError, match="axes"):
        Expectation()(*inputs[:4], inputs[3])
    for mode in ("FAST_COMPILE", "NUMBA"):
        function = pytensor.function(inputs, outputs, mode=mode)
        with pytest.raises(ValueError, match="the rows"):
            function(*values[:2], values[2][1:], *values[3:])
        if values[1][loops.ANY_HIDDEN]:
            simple = pytensor.function(inputs, Expectation(general=False)(*inputs)[0], mode=mode)
            with pytest.raises(ValueError, match="general"):
                simple(*values)

"""The language: what declarations mean, what expressions evaluate to, and which declarations are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.families import BY_NAME
from emvsmcmc.spec.arguments import argument_values, parents
from emvsmcmc.spec.evaluate import Environment, NotAffineHere, evaluate, value_of
from emvsmcmc.spec.expression import Expression
from emvsmcmc.spec.named import Named, lift, sum_over, union
from emvsmcmc.spec.walk import covariate_expressions, degree, index_names, names_in, value_names

RNG = np.random.default_rng(0)
N, K, F = 5, 2, 3


@pytest.fixture
def spec() -> ev.Spec:
    """Parameters, a covariate of each kind, latents: everything expressions are made of."""
    with ev.Spec(coords={"k": K, "f": F}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="k")
        ev.Normal("mean", 0, 1, dims=("k", "f"))
        ev.Normal("slope", 0, 1, dims="k")
        ev.Normal("offset", 0, 1)
        ev.Normal("loading", 0, 1, dims="f")
        ev.Data("x", dims="row")
        ev.Data("design", dims=("row", "f"))
        ev.Data("which", dims="row")
        ev.Categorical("z", weight, dims="row")
        ev.Normal("g", 0, 1, dims="row")
    return spec


def values(spec: ev.Spec) -> dict[str, Named]:
    return {
        "mean": Named(RNG.normal(size=(K, F)), ("k", "f")),
        "slope": Named(RNG.normal(size=K), ("k",)),
        "offset": Named(np.float64(0.7)),
        "loading": Named(RNG.normal(size=F), ("f",)),
        "x": Named(RNG.normal(size=N), ("row",)),
        "design": Named(RNG.normal(size=(N, F)), ("row", "f")),
        "which": Named(np.array([0.0, 1, 1, 0, 1]), ("row",)),
        "z": Named(np.array([1.0, 0, 1, 1, 0]), ("row",)),
        "g": Named(RNG.normal(size=N), ("row",)),
    }


EXPRESSIONS: dict[str, tuple[Callable[[Any], Any], Callable[[dict[str, np.ndarray]], np.ndarray], tuple[str, ...]]] = {
    "look-up": (lambda s: s("slope")[s("z")], lambda v: v["slope"][v["z"]], ("row",)),
    "look-up of rows": (lambda s: s("mean")[s("z")], lambda v: v["mean"][v["z"]], ("row", "f")),
    "look-up by data": (lambda s: s("mean")[s("which")], lambda v: v["mean"][v["which"]], ("row", "f")),
    "line": (
        lambda s: s("offset") + s("slope")[s("z")] * s("x") - 1.5, lambda v: 0.7 + v["slope"][v["z"]] * v["x"] - 1.5, ("row",),
    ),
    "outer by name": (lambda s: s("loading") * s("g"), lambda v: v["loading"][:, None] * v["g"], ("f", "row")),
    "dot": (lambda s: ev.dot(s("design"), s("mean")[s("z")]), lambda v: (v["design"] * v["mean"][v["z"]]).sum(1), ("row",)),
    "links": (lambda s: ev.exp(-s("x")) / ev.sqrt(ev.exp(s("x"))), lambda v: np.exp(-1.5 * v["x"]), ("row",)),
    "division by a number": (lambda s: (2 - s("x")) / 4, lambda v: (2 - v["x"]) / 4, ("row",)),
    "array on the left": (lambda s: np.float64(2.0) * s("x"), lambda v: 2 * v["x"], ("row",)),
    "looked up after": (lambda s: (s("slope") * s("x"))[s("z")], lambda v: v["slope"][v["z"]] * v["x"], ("row",)),
    "constant looked up twice": (
        lambda s: ev.constant(np.arange(4.0).reshape(2, 2))[s("z"), s("which")], lambda v: 2.0 * v["z"] + v["which"], ("row",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EXPRESSIONS)
def test_expressions_are_what_they_say(spec: ev.Spec, case: str) -> None:
    build, by_hand, dims = EXPRESSIONS[case]
    with spec:
        expression = build(lambda name: spec.variables.get(name, spec.data.get(name)))
    assert isinstance(expression, Expression)
    assert set(expression.dims) == set(dims)
    env = values(spec)
    plain = {k: v.array.astype(int) if k in ("z", "which") else v.array for k, v in env.items()}
    np.testing.assert_allclose(value_of(expression, Environment(env)).to(dims), by_hand(plain), rtol=1e-14)


@pytest.mark.parametrize("case", [c for c in EXPRESSIONS if c not in ("links", "looked up after")])
def test_row_coordinates_say_the_same(spec: ev.Spec, case: str) -> None:
    """value = coefficient of the constant + sum of coefficient x coordinate, whichever quantities are called coordinates."""
    build, _, dims = EXPRESSIONS[case]
    with spec:
        expression = build(lambda name: spec.variables.get(name, spec.data.get(name)))
    env = values(spec)
    whole = value_of(expression, Environment(env)).to(dims)
    coordinates = {"x": [], "g": [], "design": [("f", F)]}
    without = {k: v for k, v in env.items() if k not in coordinates}
    total: Any = 0.0
    for key, coefficient in evaluate(expression, Environment(without), coordinates).items():
        one = Named(np.float64(1.0)) if key is None else env[key].rename({d: f"~{d}" for d, _ in coordinates[key]})
        total = total + sum_over(lift(np.multiply, coefficient, one), {d for d in one.dims if d.startswith("~")}).to(dims)
    np.testing.assert_allclose(np.broadcast_to(total, whole.shape), whole, rtol=1e-13)


def test_hidden_indices_become_axes(spec: ev.Spec) -> None:
    v = spec.variables
    env = Environment({k: x for k, x in values(spec).items() if k not in ("z", "which")})
    looked_up = value_of(v["mean"][v["z"]], env)
    assert looked_up.dims == ("@z", "f")
    np.testing.assert_array_equal(looked_up.array, env.values["mean"].array)
    square = ev.constant(np.arange(4.0).reshape(2, 2))
    np.testing.assert_array_equal(value_of(square[v["z"], v["z"]], env).array, [0.0, 3.0])  # table[z, z] is the diagonal
    with pytest.raises(ValueError, match="given and hidden"):
        value_of(square[v["z"], spec.data["which"]], env.with_values({"which": Named(np.zeros(N), ("row",))}))


def test_a_batch_is_carried_along(spec: ev.Spec) -> None:
    v, env = spec.variables, values(spec)
    env["slope"] = Named(np.stack([env["slope"].array, 2 * env["slope"].array], -1), ("k", "#"))
    out = value_of(v["slope"][v["z"]] * spec.data["x"], Environment(env, batch=2))
    assert set(out.dims) == {"row", "#"}
    np.testing.assert_allclose(out.to(("row", "#"))[:, 1], 2 * out.to(("row", "#"))[:, 0])


def test_products_of_coordinates_are_refused(spec: ev.Spec) -> None:
    g, x = spec.variables["g"], spec.data["x"]
    for expression in (g * x, ev.exp(g), x / g):
        with pytest.raises(NotAffineHere):
            evaluate(expression, Environment({}), {"g": [], "x": []})
    with pytest.raises(KeyError, match="offset"):
        value_of(spec.variables["offset"] + 1.0, Environment({}))


def test_degree_is_symbolic(spec: ev.Spec) -> None:
    v, x = spec.variables, spec.data["x"]
    names = {"slope", "offset", "mean", "loading"}
    a, b = v["slope"][v["z"]], v["offset"]
    for expression, expected in (
        (a + b * x, 1), (a * b, 2), (a * x * x, 1), (ev.exp(a), np.inf), (ev.exp(x) + b, 1), (x, 0), (1 / (1.0 + b), np.inf),
        (ev.sqrt(ev.constant(2.0)) * b, 1), (b - b * b, 2), (-a, 1),
    ):  # fmt: skip
        assert degree(expression, names) == expected


def test_walks_stop_at_named_variables(spec: ev.Spec) -> None:
    v, x = spec.variables, spec.data["x"]
    mean = v["slope"][v["z"]] * x + v["g"]
    assert names_in(mean) == {"slope", "z", "x", "g"}  # not weight, which is behind z
    assert index_names(mean) == {"z"}
    assert value_names(mean) == {"slope", "x", "g"}
    assert parents(v["z"]) == {"weight"}
    assert covariate_expressions(mean + ev.exp(x) * 2.0 + v["offset"])[0] is x
    assert len(covariate_expressions(x * x + v["offset"] * ev.exp(x))) == 2


def test_arguments_broadcast_against_the_variable(spec: ev.Spec) -> None:
    with spec:
        cov = ev.InverseWishart("cov", 5, np.eye(F), dims=("k", "f", "f_bis"))
        y = ev.MvNormal("y", spec.variables["mean"][spec.variables["z"]], cov[spec.variables["z"]], dims=("row", "f"))
        u = ev.Categorical("u", ev.constant(np.full((K, 4), 0.25))[spec.variables["z"]], dims="row")
        lkj = ev.LKJCov("lkj", 2.0, ev.HalfNormal.dist(3.0), dims=("k", "f", "f_bis"))
    env = values(spec) | {"cov": Named(np.stack([np.eye(F)] * K), ("k", "f", "f_bis"))}
    assert {k: np.shape(a) for k, a in argument_values(y, Environment(env)).items()} == {"mu": (N, F), "cov": (N, F, F)}
    assert np.shape(argument_values(u, Environment(env))["p"]) == (N, 4)
    assert np.shape(argument_values(cov, Environment(env))["nu"]) == (1,)
    family, arguments = argument_values(lkj, Environment(env))["sd"]
    assert family is BY_NAME["HalfNormal"]
    assert np.shape(arguments["sigma"]) == (1, 1)
    assert spec.coords["f_bis"] == spec.coords["f"]


def test_named_arrays() -> None:
    a, b = Named(np.arange(6.0).reshape(2, 3), ("r", "c")), Named(np.arange(3.0), ("c",))
    assert union(a, b) == ("r", "c")
    np.testing.assert_array_equal(lift(np.multiply, b, a).to(("r", "c")), a.array * b.array)
    np.testing.assert_array_equal(sum_over(a, {"r"}).array, a.array.sum(0))
    assert a.to(("c", "new", "r")).shape == (3, 1, 2)
    assert a.rename({"r": "s"}).sizes == {"s": 2, "c": 3}
    for wrong in (lambda: Named(np.zeros(3), ()), lambda: Named(np.zeros((2, 2)), ("r", "r")), lambda: a.to(("r",))):
        with pytest.raises(ValueError):
            wrong()


def test_declarations_read_like_pymc() -> None:
    with ev.Spec(coords={"k": ["a", "b"], "d": 2}, plates=("site",)) as spec:
        by_position = ev.Normal("p", 1.0, 2.0, dims="k")
        by_name = ev.Normal("q", mu=1.0, sigma=2.0, dims=["k"])
        standard = ev.Normal("s")
        variance = ev.Normal("v", 0, variance=4.0)
        matrix = ev.InverseWishart("m", 4, np.eye(2), dims=("k", "d", "d_bis"))
        bernoulli = ev.Bernoulli("b", 0.5, dims="row")
        trailing = ev.Normal("t", [1.0, 2.0], 1.0, dims=("row", "k"))
    assert by_position.dims == by_name.dims == ("k",)
    assert set(standard.arguments) == {"mu", "sigma"}
    assert set(variance.arguments) == {"mu", "variance"}
    assert matrix.family.event_dims == 2
    assert (bernoulli.counts, bernoulli.discrete, standard.discrete) == (None, True, False)
    assert trailing.arguments["mu"].dims == ("k",)
    assert trailing.arguments["mu"].value.dtype == np.float64
    assert spec.plates_of(trailing) == ("row",)
    assert spec.is_plate("site")
    assert not spec.is_plate("k")
    assert ev.Normal.dist(0, 1).name is None
    assert list(spec.variables) == ["p", "q", "s", "v", "m", "b", "t"]
    assert "Normal" in repr(standard)


def test_expressions_have_no_truth_and_no_length(spec: ev.Spec) -> None:
    mean = spec.variables["mean"]
    with pytest.raises(TypeError, match="truth"):
        bool(mean)
    with pytest.raises(TypeError, match="length"):
        iter(mean)


# Refused declarations: what is declared, the error, and words of its message


def declare(body: Callable[[], Any], **options: Any) -> Callable[[], None]:
    def run() -> None:
        with ev.Spec(**({"coords": {"k": 2, "f": 3}} | options)):
            body()

    return run


def with_latent(body: Callable[[Any], Any]) -> Callable[[], None]:
    return declare(lambda: body(ev.Categorical("z", ev.Dirichlet("w", 1.0, dims="k"), dims="row")))


BAD: list[tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = [
    (lambda: ev.Normal("x", 0, 1), errors.InvalidSpec, ("with ev.Spec",)),
    (declare(lambda: (ev.Normal("x"), ev.Normal("x"))), errors.DuplicateName, ("'x'", "Rename")),
    (declare(lambda: (ev.Normal("x"), ev.Data("x", dims="row"))), errors.DuplicateName, ("'x'",)),
    (declare(lambda: ev.Normal("k")), errors.DuplicateName, ("'k'", "dim")),
    (declare(lambda: ev.Normal("row", 0, 1, dims="row")), errors.DuplicateName, ("'row'", "dim")),
    (declare(lambda: (ev.Normal("row"), ev.Normal("x", 0, 1, dims="row"))), errors.DuplicateName, ("'row'", "dim")),
    (declare(lambda: (ev.Data("x", dims="row"), ev.Normal("row"))), errors.DuplicateName, ("'row'", "dim")),
    (declare(lambda: ev.Normal("a b")), errors.InvalidSpec, ("'a b'", "letters")),
    (declare(lambda: ev.Normal("_x")), errors.InvalidSpec, ("'_x'",)),
    (declare(lambda: ev.Normal(0.0, 1.0)), errors.InvalidSpec, ("Normal", "name")),
    (declare(lambda: None, coords={"k": 0}), errors.InvalidSpec, ("'k'", "0")),
    (declare(lambda: None, coords={"k": ["a", "a"]}), errors.InvalidSpec, ("'k'", "distinct")),
    (declare(lambda: None, coords={"k": []}), errors.InvalidSpec, ("'k'",)),
    (declare(lambda: None, coords={"k": True}), errors.InvalidSpec, ("'k'",)),
    (declare(lambda: ev.Normal("x", 0, 1, variance=1)), errors.InvalidSpec, ("sigma or variance", "both")),
    (declare(lambda: ev.Normal("x", 0, 1, 1, 1)), errors.InvalidSpec, ("4 positional",)),
    (declare(lambda: ev.Normal("x", 0, mu=1)), errors.InvalidSpec, ("twice",)),
    (declare(lambda: ev.Normal("x", loc=1)), errors.InvalidSpec, ("loc", "arguments")),
    (declare(lambda: ev.Poisson("x")), errors.InvalidSpec, ("'mu'", "nothing")),
    (declare(lambda: ev.Normal("x", "a")), errors.InvalidSpec, ("numbers", "'a'")),
    (declare(lambda: ev.Normal("x", np.nan)), errors.InvalidSpec, ("NaN",)),
    (declare(lambda: ev.Normal("x", 0, 0)), errors.InvalidSpec, ("x.sigma",)),
    (declare(lambda: ev.Normal("x", 0, -1)), errors.InvalidSpec, ("x.sigma",)),
    (declare(lambda: ev.Bernoulli("x", 1.5)), errors.InvalidSpec, ("x.p",)),
    (declare(lambda: ev.Poisson("x", -1)), errors.InvalidSpec, ("x.mu",)),
    (declare(lambda: ev.Gamma("x", 0, 1)), errors.InvalidSpec, ("x.alpha", "positive")),
    (declare(lambda: ev.HalfNormal("x", -1)), errors.InvalidSpec, ("x.sigma",)),
    (declare(lambda: ev.Dirichlet("x", [0.0, 0.0], dims="k")), errors.InvalidSpec, ("x.a",)),
    (declare(lambda: ev.Dirichlet("x", [1.0, 1.0, 1.0], dims="k")), errors.WrongDims, ("x.a", "2", "3")),
    (declare(lambda: ev.Categorical("x", [0.5, 0.6], dims="row")), errors.InvalidSpec, ("x", "sum to 1")),
    (declare(lambda: ev.Categorical("x", 0.5, dims="row")), errors.WrongDims, ("x", "last dim")),
    (declare(lambda: ev.Normal("x", ev.Normal("m", dims="k"), 1, dims="row")), errors.WrongDims, ("x.mu", "'k'", "Index")),
    (declare(lambda: ev.Normal("x", np.zeros(3), 1)), errors.WrongDims, ("x.mu", "more axes")),
    (declare(lambda: ev.Normal("x", np.zeros(4), 1, dims="f")), errors.WrongDims, ("x.mu", "3", "4")),
    (declare(lambda: ev.InverseWishart("c", 5, np.eye(3), dims="f")), errors.WrongDims, ("c", "two trailing dims")),
    (declare(lambda: ev.InverseWishart("c", 5, np.eye(3), dims=("f", "f"))), errors.WrongDims, ("c", "twice", "f_bis")),
    (declare(lambda: ev.InverseWishart("c", 5, np.eye(3), dims=("row", "row_bis"))), errors.WrongDims, ("c", "'row'")),
    (declare(lambda: ev.InverseWishart("c", 5, np.eye(3), dims=("f", "k"))), errors.WrongDims, ("c", "equal size")),
    (declare(lambda: ev.InverseWishart("c", 2, np.eye(3), dims=("f", "f_bis"))), errors.InvalidSpec, ("c.nu", "more than 2")),
    (declare(lambda: ev.InverseWishart("c", 5, -np.eye(3), dims=("f", "f_bis"))), errors.InvalidSpec, ("c.scale", "positive")),
    (declare(lambda: ev.InverseWishart("c", 5, np.eye(2), dims=("f", "f_bis"))), errors.InvalidSpec, ("c.scale", "3 x 3")),
    (declare(lambda: ev.MvNormal("x", 0, ev.HalfNormal("s", 1), dims=("row", "f"))), errors.WrongDims, ("x.cov", "matrix")),
    (with_latent(lambda z: ev.Normal("m", 0, 1, dims="f")[z]), errors.WrongDims, ("'z'", "'k'", "'f'")),
    (with_latent(lambda z: ev.Normal("m", 0, 1, dims="k")[z, z]), errors.WrongDims, ("index", "at most 1")),
    (with_latent(lambda z: ev.Normal("m", 0, 1, dims="k")[0:1]), errors.InvalidSpec, ("index", "slice 0:1")),
    (with_latent(lambda z: ev.constant([0, 1])[ev.Normal("g", 0, 1, dims="row")]), errors.InvalidSpec, ("'g'", "continuous")),
    (with_latent(lambda z: ev.dot(z, ev.Normal("m", 0, 1, dims="k"))), errors.WrongDims, ("dot", "exactly one dim")),
    (declare(lambda: ev.Switch("x", ev.Normal("g"), [ev.Dirac.dist(0)] * 2, dims="row")), errors.InvalidSpec, ("x", "Bernoulli")),
    (with_latent(lambda z: ev.Switch("x", z, [ev.Dirac.dist(0)], dims="row")), errors.InvalidSpec, ("x", "at least two")),
    (with_latent(lambda z: ev.Switch("x", z, [ev.Dirac.dist(0), ev.Normal("g")])), errors.InvalidSpec, ("x", ".dist")),
    (lambda: ev.constant(np.zeros((2, 2)), dims=("k",)), errors.WrongDims, ("constant", "2 dims")),
]  # fmt: skip


@pytest.mark.parametrize(("run", "error", "words"), BAD, ids=range(len(BAD)))
def test_bad_declarations_are_named(run: Callable[[], Any], error: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught:
        run()
    assert type(caught.value) is error
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "expected" in message
    assert "got" in message


def test_a_refused_declaration_leaves_no_open_spec() -> None:
    for run, error, _ in BAD:
        with pytest.raises(error):
            run()
    with pytest.raises(errors.InvalidSpec, match=r"with ev\.Spec"):
        ev.Normal("x")

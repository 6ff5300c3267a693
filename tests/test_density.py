"""The oracle against hand formulas, direct integrals and brute force: it answers to textbooks, as the engines answer to it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.problem.problem import Problem
from emvsmcmc.spec.named import Named

X = np.array([0.3, 4.1, -1.0, 2.2, 7.5])
TWO = {"weight": [0.4, 0.6], "mean": [0.0, 4.0], "sd": [1.0, 0.7]}
COV = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.6, -0.3], [-0.3, 0.9]]])
NAN = np.nan


def two_normals() -> ev.Spec:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.5, dims="component")
        mean = ev.Normal("mean", 2, 5, dims="component")
        sd = ev.HalfNormal("sd", 3, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    return spec


def by_hand() -> np.ndarray:
    """(n, 2) log weight + log normal."""
    return np.log(TWO["weight"]) + stats.norm.logpdf(X[:, None], TWO["mean"], TWO["sd"])


def test_a_complete_assignment() -> None:
    problem = ev.condition(two_normals(), {"x": X})
    group = np.array([0, 1, 0, 1, 1])
    found = density.log_joint(problem, {**TWO, "group": group})
    np.testing.assert_allclose(found, by_hand()[np.arange(5), group], rtol=1e-13)
    with pytest.raises(ValueError, match="group"):
        density.log_joint(problem, {**TWO, "group": np.where(group, 1.0, NAN)})


def test_the_prior() -> None:
    problem = ev.condition(two_normals(), {"x": X})
    expected = (
        stats.dirichlet.logpdf(TWO["weight"], [1.5, 1.5])
        + stats.norm.logpdf(TWO["mean"], 2, 5).sum()
        + stats.halfnorm.logpdf(TWO["sd"], scale=3).sum()
    )
    np.testing.assert_allclose(density.log_prior(problem, TWO), expected, rtol=1e-13)
    fixed = ev.condition(two_normals(), {"x": X, "sd": TWO["sd"]})
    without = {k: v for k, v in TWO.items() if k != "sd"}
    np.testing.assert_allclose(
        density.log_prior(fixed, without), expected - stats.halfnorm.logpdf(TWO["sd"], scale=3).sum(), rtol=1e-13
    )


def test_labels_hard_partial_soft_and_sets() -> None:
    table = by_hand()
    q = np.array([[0.2, 0.8], [1.0, 0.0], [NAN, NAN], [1.0, 1.0], [3.0, 1.5]])
    with np.errstate(divide="ignore"):
        log_q = np.where(np.isnan(q), 0.0, np.log(q))
    labels = np.array([1, -1, 0, -1, 1])
    known = np.where((labels[:, None] == -1) | (labels[:, None] == np.arange(2)), table, -np.inf)
    for data, expected in (
        ({}, table),
        ({"group": labels}, known),
        ({"group": q}, table + log_q),
        ({"group": (labels[:, None] == np.arange(2)) | (labels[:, None] == -1)}, known),
    ):
        problem = ev.condition(two_normals(), {"x": X, **data})
        found = density.log_table(problem, TWO)
        assert found.dims == ("row", "@group")
        np.testing.assert_allclose(found.array, expected, rtol=1e-13)
        np.testing.assert_allclose(density.log_likelihood(problem, TWO), logsumexp(expected, axis=1), rtol=1e-13)
    soft = ev.condition(two_normals(), {"x": X, "group": q})
    np.testing.assert_allclose(density.log_joint(soft, {**TWO, "group": np.zeros(5)}), (table + log_q)[:, 0], rtol=1e-13)


def vectors(full: bool) -> ev.Spec:
    with ev.Spec(coords={"component": 2, "feature": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "feature"))
        group = ev.Categorical("group", weight, dims="row")
        if full:
            cov = ev.InverseWishart("cov", 5, np.eye(2), dims=("component", "feature", "feature_bis"))
            ev.MvNormal("y", mean[group], cov[group], dims=("row", "feature"))
        else:
            variance = ev.InverseGamma("variance", 3, 1, dims="component")
            ev.Normal("y", mean[group], variance=variance[group], dims=("row", "feature"))
    return spec


VECTORS = {
    "weight": np.array([0.3, 0.7]),
    "mean": np.array([[0.0, 1.0], [3.0, -2.0]]),
    "cov": COV,
    "variance": np.array([0.5, 2.0]),
}
Y = np.array([[0.1, 0.9], [2.0, -1.0], [NAN, 1.4], [3.1, NAN], [NAN, NAN]])


@pytest.mark.parametrize("full", [True, False])
def test_vectors_with_missing_cells(full: bool) -> None:
    problem = ev.condition(vectors(full), {"y": Y})
    parameters = {k: v for k, v in VECTORS.items() if k != ("variance" if full else "cov")}
    covs = COV if full else VECTORS["variance"][:, None, None] * np.eye(2)
    expected = np.zeros((5, 2))
    for n, k in product(range(5), range(2)):
        o = ~np.isnan(Y[n])
        if o.any():
            expected[n, k] = stats.multivariate_normal.logpdf(Y[n, o], VECTORS["mean"][k, o], covs[k][np.ix_(o, o)])
    expected += np.log(VECTORS["weight"])
    np.testing.assert_allclose(density.log_table(problem, parameters).array, expected, rtol=1e-12)
    # the empty row tells nothing: its likelihood is 1
    np.testing.assert_allclose(density.log_likelihood(problem, parameters)[4], 0.0, atol=1e-14)


def test_missing_cells_of_a_complete_assignment_are_marked() -> None:
    problem = ev.condition(vectors(False), {"y": Y})
    values = {**{k: v for k, v in VECTORS.items() if k != "cov"}, "group": np.zeros(5)}
    with pytest.raises(ValueError, match="y"):
        density.log_joint(problem, values)
    found = density.log_joint(problem, values, missing={"y": np.isnan(Y)})
    np.testing.assert_allclose(found, density.log_table(problem, {k: v for k, v in values.items() if k != "group"}).array[:, 0])
    full = ev.condition(vectors(True), {"y": Y})
    with pytest.raises(ValueError, match="whole vector"):
        density.log_joint(
            full, {**{k: v for k, v in VECTORS.items() if k != "variance"}, "group": np.zeros(5)}, {"y": np.isnan(Y)}
        )


def factor_spec(link: bool) -> ev.Spec:
    """x = mean + loading f + noise; with `link`, y hangs on both f and the cells of x."""
    with ev.Spec(coords={"item": 3}) as spec:
        mean = ev.Normal("mean", 0, 5, dims="item")
        loading = ev.Normal("loading", 0, 2, dims="item")
        sd = ev.HalfNormal("sd", 2, dims="item")
        f = ev.Normal("f", 0.5, 1.5, dims="row")
        x = ev.Normal("x", mean + loading * f, sd, dims=("row", "item"))
        if link:
            t = ev.Data("t", dims="row")
            slope = ev.Normal("slope", 0, 1, dims="item")
            ev.Normal("y", ev.dot(slope, x) + t * f - 1.0, 0.3, dims="row")
    return spec


FACTOR = {"mean": np.array([0.0, 1.0, -1.0]), "loading": np.array([1.0, 0.5, -0.8]), "sd": np.array([0.4, 0.6, 0.5])}


@pytest.mark.parametrize("link", [False, True])
def test_a_factor_is_integrated(link: bool) -> None:
    """Against one-dimensional quadrature over the factor, row by row."""
    rng = np.random.default_rng(0)
    x, y, t = rng.normal(size=(4, 3)), rng.normal(size=4), np.array([0.0, 1.0, -2.0, 0.5])
    data: dict[str, Any] = {"x": x} | ({"y": y, "t": t} if link else {})
    slope = np.array([0.3, -0.2, 0.7])
    problem = ev.condition(factor_spec(link), data)
    parameters = FACTOR | ({"slope": slope} if link else {})

    def row(f: float, n: int) -> float:
        value = stats.norm.pdf(f, 0.5, 1.5) * stats.norm.pdf(x[n], FACTOR["mean"] + FACTOR["loading"] * f, FACTOR["sd"]).prod()
        return value * (stats.norm.pdf(y[n], slope @ x[n] + t[n] * f - 1, 0.3) if link else 1.0)

    expected = [np.log(quad(row, -12, 12, args=(n,), points=np.linspace(-4, 4, 17), epsrel=1e-12)[0]) for n in range(4)]
    np.testing.assert_allclose(density.log_likelihood(problem, parameters), expected, rtol=1e-9)


def test_a_missing_cell_above_a_child_is_integrated() -> None:
    """A hole in x is a hidden coordinate whose child y is observed: p(y) = integral of p(x) p(y | x)."""
    with ev.Spec() as spec:
        slope = ev.Normal("slope", 0, 1)
        x = ev.Normal("x", 1.0, 2.0, dims="row")
        ev.Normal("y", slope * x, 0.5, dims="row")
    problem = ev.condition(spec, {"x": [0.7, NAN, 1.2], "y": [1.0, 2.0, NAN]})
    expected = [
        stats.norm.logpdf(0.7, 1, 2) + stats.norm.logpdf(1.0, 1.5 * 0.7, 0.5),
        stats.norm.logpdf(2.0, 1.5, np.sqrt(0.25 + 1.5**2 * 4)),
        stats.norm.logpdf(1.2, 1, 2),
    ]
    np.testing.assert_allclose(density.log_likelihood(problem, {"slope": 1.5}), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_both_routes_over_complete_rows_agree(scale: float) -> None:
    """Complete rows take the product of univariate formulas, others the joint normal: the same number, whatever the units."""
    rng = np.random.default_rng(1)
    problem = ev.condition(vectors(True), {"y": rng.normal(size=(6, 2)) * [1, scale]})
    s = np.array([1.0, scale])
    parameters = {"weight": VECTORS["weight"], "mean": VECTORS["mean"] * s, "cov": COV * s[:, None] * s}
    env = density.environment(problem, parameters).with_values({"group": Named(np.zeros(6), ("row",))})
    joint = density._Gaussians(6)
    y = problem.spec.variables["y"]
    joint.add(problem, y, y, env)
    direct = density.log_table(problem, parameters).array[:, 0] - np.log(0.3)
    np.testing.assert_allclose(joint.log_marginal(np.ones(6, dtype=bool)), direct, rtol=1e-12)


def brute_force(problem: Problem, parameters: dict[str, Any], latents: dict[str, int]) -> np.ndarray:
    """log sum of `log_joint` over all assignments, one by one."""
    terms = []
    for codes in product(*[range(k) for k in latents.values()]):
        labels = {name: np.full(problem.n, code) for name, code in zip(latents, codes, strict=True)}
        terms.append(density.log_joint(problem, {**parameters, **labels}))
    return logsumexp(terms, axis=0)


def test_counts_and_a_switch() -> None:
    with ev.Spec() as spec:
        p = ev.Beta("p", 1, 1)
        rate = ev.Gamma("rate", 2, 1)
        moving = ev.Bernoulli("moving", p, dims="row")
        ev.Switch("count", moving, [ev.Dirac.dist(0), ev.Poisson.dist(rate)], dims="row")
    counts = np.array([0, 1, 3])
    problem = ev.condition(spec, {"count": counts})
    parameters = {"p": 0.3, "rate": 1.7}
    expected = np.log(0.7 * (counts == 0) + 0.3 * stats.poisson.pmf(counts, 1.7))
    np.testing.assert_allclose(density.log_likelihood(problem, parameters), expected, rtol=1e-12)
    np.testing.assert_allclose(brute_force(problem, parameters, {"moving": 2}), expected, rtol=1e-12)
    np.testing.assert_allclose(density.log_prior(problem, parameters), stats.gamma.logpdf(1.7, 2), rtol=1e-12)


def test_a_switch_between_normals_with_a_hole() -> None:
    with ev.Spec() as spec:
        outlier = ev.Bernoulli("outlier", 0.1, dims="row")
        mean = ev.Normal("mean", 0, 1)
        ev.Switch("x", outlier, [ev.Normal.dist(mean, 1.0), ev.Normal.dist(0.0, 10.0)], dims="row")
    problem = ev.condition(spec, {"x": [0.2, 9.0, NAN]})
    expected = np.log(0.9 * stats.norm.pdf([0.2, 9.0], 0.5) + 0.1 * stats.norm.pdf([0.2, 9.0], 0, 10))
    np.testing.assert_allclose(density.log_likelihood(problem, {"mean": 0.5}), [*expected, 0.0], rtol=1e-12, atol=1e-14)


def test_nested_latents_and_leaves_with_several_cells() -> None:
    """Two latents, one above the other; three answers a row, one of them missing; a table indexed by both."""
    rng = np.random.default_rng(2)
    with ev.Spec(coords={"a": 2, "b": 3, "item": 3}) as spec:
        first = ev.Dirichlet("first", 1.0, dims="a")
        second = ev.Dirichlet("second", 1.0, dims=("a", "b"))
        answer = ev.Beta("answer", 1, 1, dims=("b", "item"))
        rate = ev.Gamma("rate", 1, 1, dims=("a", "b"))
        exposure = ev.Data("exposure", dims="row")
        za = ev.Categorical("za", first, dims="row")
        zb = ev.Categorical("zb", second[za], dims="row")
        ev.Bernoulli("yes", answer[zb], dims=("row", "item"))
        ev.Poisson("events", rate[za, zb] * exposure, dims="row")
        ev.Binomial("hits", 5, answer[zb], dims=("row", "item"))
        ev.Exponential("wait", rate[za, zb], dims="row")
    first_, second_ = np.array([0.3, 0.7]), rng.dirichlet(np.ones(3), 2)
    answer_, rate_ = rng.random((3, 3)), rng.random((2, 3)) + 0.5
    yes = np.array([[1, 0, 1], [0, NAN, 1], [1, 1, 1], [NAN, NAN, NAN]])
    events, hits, wait = np.array([0, 2, NAN, 5]), rng.integers(0, 6, (4, 3)), rng.exponential(size=4)
    exposure_ = np.array([1.0, 2.0, 1.0, 0.5])
    problem = ev.condition(spec, {"yes": yes, "events": events, "exposure": exposure_, "hits": hits, "wait": wait})
    parameters = {"first": first_, "second": second_, "answer": answer_, "rate": rate_}
    expected = np.zeros((4, 2, 3))
    for n, a, b in product(range(4), range(2), range(3)):
        there = ~np.isnan(yes[n])
        expected[n, a, b] = np.log(first_[a]) + np.log(second_[a, b])
        expected[n, a, b] += stats.bernoulli.logpmf(yes[n, there].astype(int), answer_[b, there]).sum()
        expected[n, a, b] += stats.binom.logpmf(hits[n], 5, answer_[b]).sum() + stats.expon.logpdf(wait[n], scale=1 / rate_[a, b])
        if not np.isnan(events[n]):
            expected[n, a, b] += stats.poisson.logpmf(events[n], rate_[a, b] * exposure_[n])
    found = density.log_table(problem, parameters)
    assert found.dims == ("row", "@za", "@zb")
    np.testing.assert_allclose(found.array, expected, rtol=1e-12)
    missing = {"yes": np.isnan(yes), "events": np.isnan(events)}
    joint = density.log_joint(problem, {**parameters, "za": np.ones(4), "zb": np.full(4, 2)}, missing)
    np.testing.assert_allclose(joint, expected[:, 1, 2], rtol=1e-12)


def test_a_discrete_leaf_and_constants() -> None:
    """Linkage: a Categorical looked up in a constant table by three Bernoullis, probabilities 0 and 1 included."""
    table = np.zeros((2, 2, 2, 4))
    table[0, :, :, 0] = 1
    table[1, 1, 0, 0] = table[1, 1, 1, 3] = table[1, 0, 0, 1] = table[1, 0, 1, 2] = 1
    with ev.Spec() as spec:
        t = ev.Uniform("t", 0, 1)
        a, b, c = (
            ev.Bernoulli("a", 0.5, dims="animal"),
            ev.Bernoulli("b", t, dims="animal"),
            ev.Bernoulli("c", 0.5, dims="animal"),
        )
        ev.Categorical("cell", ev.constant(table)[a, b, c], dims="animal")
    problem = ev.condition(spec, {"cell": np.arange(4)})
    t_ = 0.6268
    np.testing.assert_allclose(
        np.exp(density.log_likelihood(problem, {"t": t_})), [0.5 + t_ / 4, (1 - t_) / 4, (1 - t_) / 4, t_ / 4], rtol=1e-12
    )


def test_what_it_cannot_sum_it_refuses() -> None:
    with ev.Spec() as spec:
        rate = ev.Gamma("rate", 1, 1)
        ev.Poisson("count", rate, dims="row")
        ev.Normal("x", 0, 1, dims="row")
    with pytest.raises(ValueError, match="count"):
        density.log_likelihood(ev.condition(spec, {"x": X}), {"rate": 1.0})


def test_a_wrong_formula_is_seen() -> None:
    """Negative control: forgetting one constant, a sqrt(2 pi) or a label, is far outside the tolerances above."""
    found = density.log_likelihood(ev.condition(two_normals(), {"x": X}), TWO)
    for wrong in (by_hand() + 0.5 * np.log(2 * np.pi), by_hand()[:, :1], by_hand() - np.log(TWO["weight"])):
        assert np.abs(found - logsumexp(wrong, axis=1)).max() > 1e-6


def test_the_oracle_shares_nothing_with_the_engine() -> None:
    with open(density.__file__, encoding="utf-8") as file:
        imports = [line for line in file if line.startswith(("from", "import"))]
    assert imports
    assert not any("expect" in line or "tables" in line for line in imports)

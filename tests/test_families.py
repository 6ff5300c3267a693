"""Laws that every family keeps, run over the list `families.ALL`; a family without a case here fails, it is not skipped."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from family_cases import CASES, COV, P3, Case, lkj_log_density
from scipy.optimize import minimize_scalar

from emvsmcmc.families import (
    ALL,
    BY_NAME,
    CollapsingFamily,
    ConjugateFamily,
    Family,
    GaussianFamily,
    Prior,
    TableFamily,
    ValueFamily,
)
from emvsmcmc.families.kinds import COVARIANCE, PROBABILITIES, PROBABILITY, RATE, SIGMA, VARIANCE, ConjugateKind, Kind
from emvsmcmc.families.support import Interval, whitener

DRAWS = 20_000
STEP = 1e-30  # of the complex step
EVERY = [pytest.param(family, case, id=f"{family.name}-{i}") for family in ALL for i, case in enumerate(CASES[family.name])]
PRIORS = [p for p in EVERY if isinstance(p.values[0], Prior)]
TABLES = [p for p in EVERY if isinstance(p.values[0], TableFamily | ValueFamily)]
MESSAGES = [p for p in EVERY if isinstance(p.values[0], ConjugateFamily)]


def seed(name: str) -> np.random.Generator:
    return np.random.default_rng(sum(map(ord, name)))


def test_every_family_has_a_case() -> None:
    assert set(CASES) == {family.name for family in ALL} == set(BY_NAME)
    assert len(BY_NAME) == len(ALL)


@pytest.mark.parametrize(("family", "case"), EVERY)
def test_logpdf_is_the_textbook_density(family: Family, case: Case) -> None:
    np.testing.assert_allclose(family.logpdf(case.values, **case.arguments), case.reference, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("family", "case"), EVERY)
def test_arguments_and_twin_agree(family: Family, case: Case) -> None:
    assert set(case.arguments) <= set(family.arguments)
    assert family.event_dims == len(case.shape)
    assert set(family.one_of) <= set(family.arguments)
    assert family.counted is None or family.counted in family.arguments
    for key, value in case.arguments.items():
        argument = family.arguments[key]
        if not argument.distribution:
            assert np.all(argument.admits(np.asarray(value, float))), key
    if family.twin is not None:
        import pymc

        accepted = inspect.signature(getattr(pymc, family.twin.name).dist).parameters
        assert set(family.twin.arguments(np, case.arguments)) <= set(accepted)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ALL, ids=lambda f: f.name)
def test_a_value_on_or_beyond_the_boundary_is_not_admitted(family: Family) -> None:
    """Negative control of the above: -1 where an argument is positive, 2 where it is a probability."""
    for argument in family.arguments.values():
        beyond = {"a positive number": 0.0, "a number of at least 0": -1.0, "a number from 0 to 1": 2.0}.get(argument.description)
        if beyond is not None and not argument.event_dims:
            assert not argument.admits(np.asarray(beyond))


def log_prior(family: Any, x: np.ndarray, arguments: dict[str, Any]) -> Any:
    """`log_prior` of a covariance takes its whitener."""
    return family.log_prior(np, whitener(x) if family.matrix else x, **arguments)


@pytest.mark.parametrize(("family", "case"), PRIORS)
def test_prior_is_the_same_density(family: Family, case: Case) -> None:
    inside = np.isfinite(case.reference)
    x = case.values[inside]
    np.testing.assert_allclose(log_prior(family, x, case.arguments), case.reference[inside], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("family", "case"), PRIORS)
def test_prior_is_holomorphic(family: Any, case: Case) -> None:
    """The complex step along every unconstrained coordinate equals the central difference."""
    support = family.support(**case.arguments)
    for x in case.values[np.isfinite(case.reference)]:
        u = support.to_real(x)
        if not np.isfinite(u).all():
            continue

        def density(u: np.ndarray, shape: tuple[int, ...] = x.shape) -> Any:
            value = support.whitener_from_real(u, shape) if family.matrix else support.from_real(u, shape)
            return family.log_prior(np, value, **case.arguments)

        for i in range(len(u)):
            e = np.eye(len(u))[i]
            exact = np.imag(density(u + 1j * STEP * e)) / STEP
            difference = (density(u + 1e-5 * e) - density(u - 1e-5 * e)) / 2e-5
            np.testing.assert_allclose(exact, difference, rtol=1e-6, atol=1e-6)


def split(family: Family, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """(estimated, fixed) arguments."""
    values = {k: np.asarray(v, float) for k, v in case.arguments.items()}
    fixed = {k: v for k, v in values.items() if family.arguments[k].fixed}
    return {k: v for k, v in values.items() if k not in fixed}, fixed


def terms(family: Any, case: Case) -> list[np.ndarray]:
    """What a child adds to the log density of each value: multipliers times tables, and the term at the value."""
    estimated, fixed = split(family, case)
    x, out = case.values.astype(float), []
    event = tuple(range(-family.event_dims, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(family, TableFamily):
            tables, multipliers = family.tables(np, **estimated), family.multipliers(x, **fixed)
            assert len(tables) == len(multipliers)
            # tables are looked up, never 0 x -inf
            out += [(m * np.where(m == 0, 0.0, t)).sum(event) for m, t in zip(multipliers, tables, strict=True)]
        if isinstance(family, ValueFamily):
            reads = {k: v for k, v in (estimated | fixed).items() if k in family.value_reads}
            at = family.at_value(np, None if family.counted is not None else x, **reads)
            out.append(at[x.astype(int)] if family.counted is not None else at)
    return out


@pytest.mark.parametrize(("family", "case"), TABLES)
def test_terms_are_the_density(family: Any, case: Case) -> None:
    products = terms(family, case)
    np.testing.assert_allclose(sum(products), case.reference, rtol=1e-10, atol=1e-12)
    # negative control: each term matters
    for left_out in range(len(products)):
        if np.any(products[left_out]):
            with np.errstate(invalid="ignore"):
                assert not np.allclose(sum(products) - products[left_out], case.reference)


@pytest.mark.parametrize(("family", "case"), TABLES)
def test_tables_are_holomorphic(family: Any, case: Case) -> None:
    """The complex step along every argument that may be estimated equals the central difference."""
    estimated, fixed = split(family, case)
    own = None if family.counted is not None else case.values[np.isfinite(case.reference)].astype(float)
    for key, value in estimated.items():

        def both(v: Any, key: str = key) -> list[Any]:
            given = {**estimated, key: v}
            found = list(family.tables(np, **given)) if isinstance(family, TableFamily) else []
            if isinstance(family, ValueFamily):
                found.append(family.at_value(np, own, **{k: x for k, x in (given | fixed).items() if k in family.value_reads}))
            return found

        inside = np.clip(value, 0.05, 0.95) if family.arguments[key].kind in (PROBABILITY, PROBABILITIES) else value
        h = 1e-6 * np.maximum(np.abs(inside), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = zip(both(inside + 1j * STEP), both(inside + h), both(inside - h), strict=True)
            for exact, up, down in steps:
                np.testing.assert_allclose(np.imag(exact) / STEP, (up - down) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("family", "case"), TABLES)
def test_a_missing_value_multiplies_nothing(family: Any, case: Case) -> None:
    """The constant of the missing count included."""
    _, fixed = split(family, case)
    if isinstance(family, TableFamily):
        x = np.stack([np.full(case.shape, np.nan), case.values[-1]])
        for multiplier in family.multipliers(x, **fixed):
            assert multiplier.shape == (2, *case.shape)
            assert not multiplier[0].any()


COLLAPSING = [p for p in TABLES if isinstance(p.values[0], CollapsingFamily)]


@pytest.mark.parametrize(("family", "case"), COLLAPSING)
def test_values_at_an_end_of_the_set_have_no_finite_density(family: Any, case: Case) -> None:
    """Where the family says so, the boundary is -inf for the oracle and inside the closed set only."""
    support = family.support(**case.arguments)
    ends = np.array([0.0, 1.0]) if isinstance(support, Interval) and support.upper == 1 else np.array([0.0])
    if not family.open_support:
        assert np.isfinite(family.logpdf(ends, **case.arguments)).all()
        return
    assert support.contains(ends).all()
    assert not support.interior(ends).any()
    assert np.isneginf(family.logpdf(ends, **case.arguments)).all()


@pytest.mark.parametrize(("family", "case"), COLLAPSING)
def test_the_relative_deviation_is_that_of_draws(family: Any, case: Case) -> None:
    """Of a narrow distribution: that of the values, of their logarithm or angle, over the size of them."""
    narrow = {
        "Gamma": {"alpha": 1e6, "beta": 3e5},
        "InverseGamma": {"alpha": 1e6, "beta": 3e5},
        "Beta": {"alpha": 4e5, "beta": 6e5},
        "LogNormal": {"mu": 0.0, "sigma": 1e-3},
        "Weibull": {"alpha": 1e3, "beta": 7.0},
        "VonMises": {"mu": 1.0, "kappa": 1e6},
    }[family.name]
    x = family.sample(seed(family.name), (DRAWS,), **narrow)
    size = min(x.mean(), 1 - x.mean()) if family.name == "Beta" else 1.0 if family.name == "VonMises" else x.mean()
    found = family.relative_deviation(**{k: np.asarray(v) for k, v in narrow.items()})
    np.testing.assert_allclose(found, x.std() / size, rtol=0.03)


def natural_form(kind: Kind, messages: Any, x: np.ndarray) -> float:
    """The log density that natural parameters of this kind stand for, up to a constant."""
    if kind is RATE:
        return messages[0] * np.log(x) - messages[1] * x
    if kind is PROBABILITY:
        return messages[0] * np.log(x) + messages[1] * np.log1p(-x)
    if kind is PROBABILITIES:
        return (messages[0] * np.log(x)).sum(-1)
    if kind is VARIANCE:
        return -messages[0] / 2 * np.log(x) - messages[1] / (2 * x)
    if kind is SIGMA:
        return -messages[0] * np.log(x) - messages[1] / (2 * x**2)
    assert kind is COVARIANCE
    return -messages[0] / 2 * np.linalg.slogdet(x)[1] - np.trace(messages[1] @ np.linalg.inv(x)) / 2


KINDS: tuple[ConjugateKind, ...] = (RATE, PROBABILITY, PROBABILITIES, VARIANCE, SIGMA, COVARIANCE)
CONJUGATE = {
    ("Dirichlet", PROBABILITIES),
    ("Beta", PROBABILITY),
    ("Gamma", RATE),
    ("Exponential", RATE),
    ("InverseGamma", VARIANCE),
    ("InverseWishart", COVARIANCE),
    *(("Uniform", kind) for kind in (PROBABILITY, RATE, SIGMA, VARIANCE)),
}


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_the_mode_of_a_kind_is_a_maximum(kind: ConjugateKind) -> None:
    """Of the log-likelihood that its messages stand for: nothing nearby is higher."""
    messages: tuple[Any, ...] = (np.array(7.0), np.array(3.0))
    if kind is PROBABILITIES:
        messages = (np.array([3.0, 1.0, 6.0]),)
    if kind is COVARIANCE:
        messages = (np.array(9.0), 9 * COV)
    best, rng = kind.mode(messages), seed(kind.name)
    for _ in range(20):
        if kind is COVARIANCE:
            a = np.eye(3) + 0.05 * rng.normal(size=(3, 3))
            other = a @ best @ a.T
        else:
            other = best * np.exp(0.05 * rng.normal(size=np.shape(best)))
            other = other / other.sum() if kind is PROBABILITIES else other
        assert natural_form(kind, messages, best) > natural_form(kind, messages, other)


@pytest.mark.parametrize(("family", "case"), [p for p in EVERY if isinstance(p.values[0], GaussianFamily)])
def test_precision_is_the_curvature(family: Any, case: Case) -> None:
    x = case.values[:1]
    found = family.precision(x.shape, **case.arguments).reshape(*[len(np.ravel(x))] * 2)
    size = len(np.ravel(x))
    h = 1e-3

    def at(v: np.ndarray) -> float:
        return float(np.sum(family.logpdf(v.reshape(x.shape), **case.arguments)))

    e = h * np.eye(size)
    flat = np.ravel(x).astype(float)
    curvature = [
        [(at(flat + a + b) - at(flat + a - b) - at(flat - a + b) + at(flat - a - b)) / (4 * h * h) for b in e] for a in e
    ]
    np.testing.assert_allclose(found, -np.array(curvature), rtol=1e-6, atol=1e-6)


def conjugate_arguments(family: Family, case: Case) -> dict[str, Any]:
    raw = {k: np.asarray(v, float) for k, v in case.arguments.items() if k != "sd"}
    return raw | {k: case.arguments[k] for k in case.arguments if k == "sd"}


@pytest.mark.parametrize(("family", "case"), PRIORS)
def test_conjugate_priors_are_taken_as_such(family: Any, case: Case) -> None:
    """`natural` is how the prior's log density looks as a function of the parameter; None wherever it looks otherwise."""
    arguments = conjugate_arguments(family, case)
    found = {kind for kind in KINDS if family.natural(kind, **arguments) is not None}
    assert {(family.name, kind) for kind in found} == {pair for pair in CONJUGATE if pair[0] == family.name}
    assert set(family.conjugate) <= found
    inside = family.support(**arguments)
    x = case.values[np.isfinite(case.reference)]
    for kind in found:
        probe = x if case.shape else x[(x > 0) & ((x < 1) | (kind is not PROBABILITY))]
        forms = np.array([natural_form(kind, family.natural(kind, **arguments), v) for v in probe])
        density = np.array([family.logpdf(v, **arguments) for v in probe])
        assert inside.contains(probe).all()
        np.testing.assert_allclose(np.diff(forms), np.diff(density), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("family", "case"), MESSAGES)
def test_messages_are_the_likelihood(family: Any, case: Case) -> None:
    """The message of a child's statistics, read as natural parameters, is its log-likelihood in the argument."""
    estimated, fixed = split(family, case)
    keys = [k for k in estimated if isinstance(family.arguments[k].kind, ConjugateKind)]
    assert keys
    x = case.values.astype(float)
    for key in keys:
        others = {k: v for k, v in estimated.items() if k != key}
        if isinstance(family, TableFamily):
            statistics = [m.sum(0) for m in family.multipliers(x, **fixed)]
        else:
            statistics = [np.bincount(x.astype(int), minlength=3 if family.counted is not None else 2).astype(float)]
        message = family.message(key, statistics, **others)
        simplex = family.arguments[key].kind is PROBABILITIES
        probe: list[Any] = [P3, np.full(3, 1 / 3), P3[::-1]] if simplex else [0.2, 0.55, 0.9]
        forms = np.array([np.sum(natural_form(family.arguments[key].kind, message, np.asarray(v))) for v in probe])
        likelihood = np.array([family.logpdf(case.values, **fixed, **others, **{key: v}).sum() for v in probe])
        np.testing.assert_allclose(np.diff(forms), np.diff(likelihood), rtol=1e-9)


@pytest.mark.parametrize(("family", "case"), PRIORS)
def test_closed_modes_are_maxima(family: Any, case: Case) -> None:
    """Where a prior that is not conjugate offers a formula, it is the maximiser that a search finds."""
    arguments = conjugate_arguments(family, case)
    assert (family.mode(SIGMA, (np.asarray(12.0), np.asarray(30.0)), **arguments) is not None) == (SIGMA in family.equations)
    for n, ss in ((12.0, 30.0), (5.0, 0.2), (400.0, 1e4)):
        mode = family.mode(SIGMA, (np.asarray(n), np.asarray(ss)), **arguments)
        if mode is None:
            continue

        def loss(log_x: float, n: float = n, ss: float = ss) -> float:
            x = np.exp(log_x)
            return -float(natural_form(SIGMA, (n, ss), x) + family.logpdf(x, **arguments))

        found = minimize_scalar(loss, bracket=(np.log(mode) - 1, np.log(mode) + 1), tol=1e-12)
        np.testing.assert_allclose(np.log(mode), found.x, atol=1e-5)
    # an empty component beside another: the prior's own mode, and no warning of a division
    both = family.mode(SIGMA, (np.array([0.0, 12.0]), np.array([0.0, 30.0])), **arguments)
    if both is not None:
        almost = family.mode(SIGMA, (np.asarray(1e-12), np.asarray(1e-12)), **arguments)
        np.testing.assert_allclose(both[0], almost, atol=1e-2)
        assert both[1] == family.mode(SIGMA, (np.asarray(12.0), np.asarray(30.0)), **arguments)


@pytest.mark.parametrize(("family", "case"), EVERY)
def test_draws_have_the_moments(family: Family, case: Case) -> None:
    """Averages lie within 5 standard errors of the expectation; those of draws scaled by 1.1 do not (negative control)."""
    size = DRAWS // 5 if family.name == "InverseWishart" else DRAWS  # it is drawn one by one
    draws = family.sample(seed(family.name), (size, *case.shape), **case.arguments)
    assert draws.shape == (size, *case.shape)
    assert family.support(**case.arguments).contains(np.asarray(draws, float)).all()
    off = []
    for statistic, expected in case.moments:
        for x in (draws, draws * 1.1):
            value = np.asarray(statistic(x), float)
            error = value.std(0) / np.sqrt(size)
            off.append((np.abs(value.mean(0) - expected) / np.maximum(error, 1e-9)).max())
    assert max(off[::2]) < 5
    assert max(off[1::2]) > 5


@pytest.mark.parametrize(("family", "case"), EVERY)
def test_seeds_reproduce(family: Family, case: Case) -> None:
    one, two, other = (family.sample(np.random.default_rng(s), (50, *case.shape), **case.arguments) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.ptp(one) or not np.array_equal(one, other)  # a certain draw is always the same


@pytest.mark.parametrize("eta", [2.0, np.array([1.5])])
def test_lkj_takes_several_matrices(eta: Any) -> None:
    family, arguments = BY_NAME["LKJCov"], {"eta": eta, "sd": (BY_NAME["HalfNormal"], {"sigma": 2.0})}
    x = family.sample(seed("LKJ"), (4, 3, 3), **arguments)
    expected = lkj_log_density(x, float(np.ravel(eta)[0]), 2.0)
    np.testing.assert_allclose(family.logpdf(x, **arguments), expected)
    np.testing.assert_allclose(log_prior(family, x, arguments), expected)


def test_dirichlet_draws_survive_tiny_shapes() -> None:
    draws = BY_NAME["Dirichlet"].sample(seed("tiny"), (2000, 3), a=np.full(3, 1e-4))
    assert np.isfinite(draws).all()
    np.testing.assert_allclose(draws.sum(-1), 1)

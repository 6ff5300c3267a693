"""Other arguments than a family's own, by PyMC's names: the same distribution as PyMC's, and written as it was declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytest
from language_specs import LANGUAGE

import emvsmcmc as ev
from emvsmcmc.families import ALL, BY_NAME
from emvsmcmc.spec.arguments import argument_values
from emvsmcmc.spec.evaluate import Environment
from emvsmcmc.spec.named import Named

GIVEN: list[tuple[str, dict[str, Any], Any]] = [
    ("Normal", {"mu": 0.3, "tau": 2.5}, np.array([-1.0, 0.5])),
    ("StudentT", {"nu": 4.0, "mu": 0.3, "lam": 2.5}, np.array([-1.0, 0.5])),
    ("HalfNormal", {"tau": 2.5}, np.array([0.2, 1.5])),
    ("Gamma", {"mu": 2.0, "sigma": 0.7}, np.array([0.5, 2.5])),
    ("InverseGamma", {"mu": 2.0, "sigma": 0.7}, np.array([0.5, 2.5])),
    ("Beta", {"mu": 0.3, "sigma": 0.2}, np.array([0.1, 0.6])),
    ("Beta", {"mu": 0.3, "nu": 4.0}, np.array([0.1, 0.6])),
    ("Exponential", {"scale": 3.0}, np.array([0.1, 6.0])),
    ("Bernoulli", {"logit_p": -0.7}, np.array([0, 1])),
    ("Binomial", {"n": 5, "logit_p": -0.7}, np.array([0, 4])),
    ("NegativeBinomial", {"n": 2.5, "p": 0.3}, np.array([0, 7])),
    ("LogNormal", {"mu": 0.3, "tau": 2.5}, np.array([0.2, 1.5])),
    ("Categorical", {"logit_p": np.array([0.5, -1.0, 0.2])}, np.array([0, 2])),
]


def test_every_other_parametrisation_is_tried() -> None:
    tried = {(name, frozenset(given)) for name, given, _ in GIVEN}
    for family in ALL:
        for p in family.parametrisations:
            assert any(name == family.name and set(p.arguments) <= given for name, given in tried), (family.name, p.arguments)


@pytest.mark.parametrize(("name", "given", "x"), GIVEN)
@pytest.mark.parametrize("symbolic", [False, True])
def test_it_is_pymc_s_distribution(name: str, given: dict[str, Any], x: np.ndarray, symbolic: bool) -> None:
    """From numbers, and from expressions of known values."""
    known = {k: Named(np.asarray(v, dtype=float), ("level",) * np.ndim(v)) for k, v in given.items()}
    with ev.Spec(coords={"level": 3}) as spec:
        data = {k: ev.Data(f"{k}_known", dims=v.dims) for k, v in known.items()}
        getattr(ev, name)("x", **(data if symbolic else given), dims="row")
    env = Environment({f"{k}_known": v for k, v in known.items()})
    arguments = argument_values(spec.variables["x"], env)
    ours = BY_NAME[name].logpdf(x, **{k: np.asarray(v) for k, v in arguments.items()})
    theirs = pm.logp(getattr(pm, name).dist(**{k: np.asarray(v) for k, v in given.items()}), x).eval()  # float64, not 32
    assert np.allclose(ours, theirs, rtol=1e-12)


def test_explain_writes_what_was_declared() -> None:
    text = str(LANGUAGE["parametrised_children"]().spec.explain())
    for line in (
        "z[row] ~ Categorical(logit_p=[0, odds])",
        "y[row] ~ Normal(mean[z], tau=tau[z])",
        "wait[row] ~ Exponential(scale=scale[z])",
        "hit[row] ~ Bernoulli(logit_p=eta[z])",
        "hits[row] ~ Binomial(4, logit_p=0.3 · slope − 0.2)",
        "answer[row] ~ Categorical(logit_p=[0, table[z, 1], table[z, 2]])",
        "far[row] ~ StudentT(4, 0.5, lam=lam)",
        "lam ~ Gamma(mu=1, sigma=1)",
    ):
        assert line in text, line
    assert "tau: events over exposure" in text
    assert "lam: events over exposure" in text
    text = str(LANGUAGE["parametrised_priors"]().spec.explain())
    assert "mean[k] ~ Normal(1, tau=[0.1, 0.2][k])" in text
    assert "sd[k] ~ HalfNormal(tau=hyper)" in text
    assert "y[row] ~ Normal([mean[0], mean[1]][z], variance=sd[0]^2)" in text
    assert "v ~ InverseGamma(mu=scale, sigma=1.5)" in text


def test_conjugacy_is_seen_through_another_parametrisation() -> None:
    """A Gamma by mean and standard deviation is the Gamma of its shape and rate, to the last bit of the answer."""
    x = np.random.default_rng(0).poisson(3, 50)
    fits = []
    for prior in ({"alpha": 4.0, "beta": 2.0}, {"mu": 2.0, "sigma": 1.0}):
        with ev.Spec() as spec:
            ev.Poisson("x", ev.Gamma("rate", **prior), dims="row")
        problem = ev.condition(spec, {"x": x})
        assert "rate: mode of a Gamma" in str(spec.explain(problem))
        fits.append(float(ev.fit_em(problem, "map").estimate["rate"]))
    assert fits[0] == fits[1] == pytest.approx((x.sum() + 3) / 52, rel=1e-15)


def test_a_branch_of_a_switch_takes_them_too() -> None:
    with ev.Spec() as spec:
        z = ev.Bernoulli("z", logit_p=ev.Normal("a", 0, 1), dims="row")
        ev.Switch("y", z, [ev.Normal.dist(0, tau=4.0), ev.Normal.dist(3, tau=ev.Gamma("t", 2, 1))], dims="row")
    y = np.concatenate([np.random.default_rng(1).normal(0, 0.5, 30), np.random.default_rng(2).normal(3, 1, 30)])
    fit = ev.fit_em(ev.condition(spec, {"y": y}), random_seed=0)
    assert fit.converged
    assert "Normal(0, tau=4)" in str(spec.explain())


def test_simulated_values_follow_it() -> None:
    with ev.Spec() as spec:
        ev.Exponential("x", scale=4.0, dims="row")
        ev.Normal("y", 0, tau=0.25, dims="row")
    data = ev.simulate(spec, {"row": 20_000}, random_seed=0)
    assert float(data["x"].mean()) == pytest.approx(4, rel=0.03)
    assert float(data["y"].std()) == pytest.approx(2, rel=0.03)

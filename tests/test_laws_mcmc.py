"""Laws of the PyMC side over every example: the same number as EM by both likelihoods, the same gradient, and zero at EM's
answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytest
from examples import EXAMPLES
from factors import FACTORS

import emvsmcmc as ev
from emvsmcmc.expect.coefficients import coefficients, log_prior
from emvsmcmc.expect.coordinates import Coordinates
from emvsmcmc.expect.inside import typical
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.mcmc.model import build_model, log_posterior
from emvsmcmc.mcmc.parameters import starting_point
from emvsmcmc.spec.evaluate import Environment

EVERY = pytest.mark.parametrize("name", EXAMPLES)
MODE = pytensor.compile.mode.Mode(linker="py", optimizer=None)


def functions(model: pm.Model) -> Any:
    """point -> (log-likelihood, log posterior without Jacobian, its gradient in unconstrained coordinates)."""
    likelihood, posterior = log_posterior(model, prior=False), log_posterior(model)
    gradient = pytensor.gradient.grad(posterior, model.value_vars)
    return model.compile_fn(
        [likelihood, posterior, *gradient], inputs=model.value_vars, mode=MODE, point_fn=True, on_unused_input="ignore"
    )


def point(model: pm.Model, plan: Plan, env: Environment) -> dict[str, np.ndarray]:
    """Unconstrained values of the free variables at given parameters."""
    given = starting_point(plan, env)
    out = {}
    for rv in model.free_RVs:
        value, transform = model.rvs_to_values[rv], model.rvs_to_transforms[rv]
        x = pytensor.tensor.as_tensor(np.asarray(given[rv.name], dtype=float))
        if transform is not None:
            x = transform.forward(x, *rv.owner.inputs)
        out[value.name] = np.asarray(pytensor.function([], x, mode=MODE, on_unused_input="ignore")())
    return out


def newton_step(f: Any, at: dict[str, np.ndarray], flat: int) -> float:
    """Largest component of the Newton step to the mode, in posterior standard errors, by PyMC's gradient and its differences. Its
    Hessian is flat along as many directions as the posterior has rotations, and the gradient is nothing along them.
    """
    names, shapes = list(at), [np.shape(x) for x in at.values()]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])

    def gradient(x: np.ndarray) -> np.ndarray:
        parts = {n: p.reshape(s) for n, s, p in zip(names, shapes, np.split(x, ends[:-1]), strict=True)}
        return np.concatenate([np.ravel(g) for g in f(parts)[2:]])

    x = np.concatenate([np.ravel(v) for v in at.values()])
    h = 1e-5
    H = np.array([(gradient(x + h * e) - gradient(x - h * e)) / (2 * h) for e in np.eye(len(x))])
    d = np.sqrt(np.maximum(-np.diag(H), 1e-300))
    values, vectors = np.linalg.eigh(-0.5 * (H + H.T) / np.outer(d, d))
    assert (np.abs(values[:flat]) < 1e-6).all()
    assert (values[flat:] > 1e-6).all()
    vectors = vectors / d[:, None]
    covariance = (vectors[:, flat:] / values[flat:]) @ vectors[:, flat:].T
    g = gradient(x)
    assert np.abs(vectors[:, :flat].T @ g).max(initial=0.0) < 1e-4
    return float(np.max(np.abs(covariance @ g) / np.sqrt(np.diag(covariance))))


def somewhere(plan: Plan) -> Environment:
    chart = Coordinates(plan, plan.environment({v.label: typical(v, plan) for v in plan.parameters}))
    return chart.unpack(chart.pack(chart.env) + 0.3 * np.random.default_rng(0).normal(size=chart.size))


@EVERY
def test_both_likelihoods_are_em_and_stationary_at_its_answer(name: str) -> None:
    """Contract (law 1) at a random point, equal gradients, and a zero gradient at the MAP (law 2)."""
    problem = EXAMPLES[name].build()
    plan = make_plan(problem)
    env = somewhere(plan)
    value, _ = expect(plan, coefficients(plan, env))
    prior = float(log_prior(plan, env))
    fit = ev.fit_em(problem, "map", starts=2, random_seed=3)
    flat = FACTORS[name][2] if name in FACTORS else 0
    gradients = []
    for likelihood in ("native", "fused"):
        model = build_model(plan, likelihood, "all")
        f = functions(model)
        log_likelihood, posterior, *gradient = f(point(model, plan, env))
        assert float(log_likelihood) == pytest.approx(value, rel=1e-9, abs=1e-9), likelihood
        assert float(posterior) == pytest.approx(value + prior, rel=1e-9, abs=1e-9), likelihood
        gradients.append(np.concatenate([np.ravel(g) for g in gradient]))
        assert newton_step(f, point(model, plan, fit.environment), flat) < 1e-5, likelihood
    assert np.allclose(*gradients, rtol=1e-9, atol=1e-9 * np.abs(gradients[0]).max())

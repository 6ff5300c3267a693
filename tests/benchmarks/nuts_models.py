"""The models of the NUTS benchmarks, declared here and built by hand, and the proof that both are the same density.

A proof evaluates the log posterior of both sides, as densities of the same parameters, at random points, and compares their
differences from the first point: a constant between them does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import protocol
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
FAITHFUL = HERE.parents[1] / "models" / "data" / "faithful.csv"
COMPONENTS, FEATURES = 3, 4
POINTS = 5
TOLERANCE = 1e-9  # of a log-likelihood of the size of the data

Array = NDArray[np.float64]
Point = Mapping[str, Array]


@cache
def waiting() -> Array:
    """(272,) minutes."""
    import pandas as pd

    return pd.read_csv(FAITHFUL)["waiting"].to_numpy(float)


@cache
def rows(n: int) -> Array:
    """(n, 4) of three components that are apart."""
    import by_hand_mixture

    return by_hand_mixture.simulate(n, COMPONENTS, FEATURES)[0]


def old_faithful() -> Any:
    """The problem as the gallery declares it, with the priors of `by_hand_old_faithful.build`."""
    import emvsmcmc as ev

    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 65, 30, dims="component")
        sd = ev.HalfNormal("sd", 20, dims="component")
        group = ev.Categorical("group", weight, dims="eruption")
        ev.Normal("waiting", mean[group], sd[group], dims="eruption")
    return ev.condition(spec, {"waiting": waiting()})


def mixture(n: int, conjugate: bool = False) -> Any:
    """The problem with the priors of `by_hand_mixture.build`, LKJ correlations and half-normal scales.

    conjugate : with an inverse-Wishart prior in their place, for runs that start from EM: its steps are then closed.
    """
    import emvsmcmc as ev

    with ev.Spec(coords={"component": COMPONENTS, "feature": FEATURES, "feature_bis": FEATURES}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 10, dims=("component", "feature"))
        dims = ("component", "feature", "feature_bis")
        if conjugate:
            cov = ev.InverseWishart("cov", FEATURES + 2, np.eye(FEATURES), dims=dims)
        else:
            cov = ev.LKJCov("cov", 2, ev.HalfNormal.dist(5), dims=dims)
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("x", mean[group], cov[group], dims=("row", "feature"))
    return ev.condition(spec, {"x": rows(n)})


# ---- effective draws --------------------------------------------------------------------------------------------------------


def effective(draws: Mapping[str, Array]) -> float:
    """The smallest bulk ESS, by ArviZ, over every scalar of every parameter, components in the order of their means.

    draws : {parameter: (chain, draw, component, ...)}, "mean" among them. One order for each chain, by the chain's mean of the
    first feature: right where components are well apart and never switch within a chain; raises Unequal where they do.
    """
    import arviz as az

    first = draws["mean"].reshape(*draws["mean"].shape[:3], -1)[..., 0]
    order = first.mean(axis=1).argsort(axis=1)
    placed = np.take_along_axis(first, order[:, None, :], axis=2)
    if (np.diff(placed, axis=2) < 0).any():
        raise protocol.Unequal("components change places within a chain: an order for each chain does not align them")
    least = np.inf
    for x in draws.values():
        aligned = np.take_along_axis(x, order.reshape(len(order), 1, -1, *[1] * (x.ndim - 3)), axis=2)
        flat = aligned.reshape(*x.shape[:2], -1)
        least = min(least, *(float(az.ess(flat[..., i])) for i in range(flat.shape[2]) if np.ptp(flat[..., i]) > 0))
    return least


def means(draws: Mapping[str, Array]) -> Array:
    """Posterior means of "mean", each chain's components in the order of their first feature."""
    x = draws["mean"].reshape(*draws["mean"].shape[:3], -1)
    order = x[..., 0].mean(axis=1).argsort(axis=1)
    out: Array = np.take_along_axis(x, order[:, None, :, None], axis=2).mean(axis=(0, 1))
    return out


def values(posterior: Any, names: tuple[str, ...]) -> dict[str, Array]:
    """{name: (chain, draw, ...)} of a Dataset."""
    return {name: posterior[name].transpose("chain", "draw", ...).to_numpy() for name in names}


def covariances(posterior: Any) -> Array:
    """(chain, draw, component, 4, 4) from the packed Cholesky factors of `by_hand_mixture.build`."""
    i, j = np.tril_indices(FEATURES)
    packed = [posterior[f"packed_{k}"].transpose("chain", "draw", ...).to_numpy() for k in range(COMPONENTS)]
    factor = np.zeros((*packed[0].shape[:2], COMPONENTS, FEATURES, FEATURES))
    factor[..., i, j] = np.stack(packed, axis=2)
    product: Array = factor @ factor.swapaxes(-1, -2)
    return product


# ---- proofs -----------------------------------------------------------------------------------------------------------------


def same_density(quantity: str, ours: Callable[[Point], float], theirs: Callable[[Point], float], points: list[Point]) -> Any:
    """`protocol.Proof` of the largest difference over the points. Raises Unequal."""
    mine, hand = (np.array([f(p) for p in points]) for f in (ours, theirs))
    mine, hand = mine - mine[0], hand - hand[0]
    worst = int(np.abs(mine - hand).argmax())
    where = f"{quantity}, point {worst} less point 0 (the worst of {len(points)} random points)"
    return protocol.equal(where, mine[worst], hand[worst], TOLERANCE)


def our_density(problem: Any, likelihood: Any = "fused") -> Callable[[Point], float]:
    """Parameters -> log posterior in the parameters as declared (no Jacobian), by the graph that is sampled."""
    from emvsmcmc.expect.planner import make_plan
    from emvsmcmc.mcmc.model import build_model, log_posterior
    from emvsmcmc.mcmc.parameters import starting_point

    plan = make_plan(problem)
    model = build_model(plan, likelihood, "all")
    evaluate = density_of(model, log_posterior(model))
    return lambda point: float(evaluate(starting_point(plan, plan.environment(dict(point)))))


def density_of(model: Any, logp: Any) -> Callable[[Mapping[str, Array]], Array]:
    """{free variable: value} -> log densities of a PyMC model, a graph of its value variables."""
    from emvsmcmc.mcmc.unconstrained import layout_of, no_c_compiler, unconstrained

    with no_c_compiler():
        function = model.compile_fn(logp, inputs=model.value_vars, mode="FAST_COMPILE", point_fn=True)
    layout = layout_of(model)
    kinds = {v.name: v.dtype for v in model.value_vars}

    def evaluate(point: Mapping[str, Array]) -> Array:
        parts = zip(layout.names, layout.split(unconstrained(model, point)), strict=True)
        return np.asarray(function({name: x.astype(kinds[name]) for name, x in parts}))

    return evaluate


def old_faithful_points() -> list[Point]:
    rng = np.random.default_rng(1)
    return [
        {"weight": rng.dirichlet([2.0, 2.0]), "mean": rng.normal([55, 80], 5), "sd": rng.uniform(3, 12, 2)} for _ in range(POINTS)
    ]


def mixture_points() -> list[Point]:
    rng = np.random.default_rng(2)
    noise = [rng.normal(size=(COMPONENTS, FEATURES, 3 * FEATURES)) for _ in range(POINTS)]
    return [
        {
            "weight": rng.dirichlet(np.full(COMPONENTS, 5.0)),
            "mean": rng.normal(0, 4, (COMPONENTS, FEATURES)),
            "cov": x @ x.swapaxes(1, 2) / FEATURES,
        }
        for x in noise
    ]


def old_faithful_proof() -> Any:
    import by_hand_old_faithful

    model = by_hand_old_faithful.build(waiting())
    evaluate = density_of(model, model.logp(jacobian=False))
    theirs = lambda point: float(evaluate(point))  # noqa: E731
    return same_density("log posterior of Old Faithful", our_density(old_faithful()), theirs, old_faithful_points())


def mixture_proof(n: int) -> Any:
    """By hand the density stands on Cholesky factors L of cov = L L': |d cov / d L| = 2^p prod L_ii^(p - i + 1) lies between."""
    import by_hand_mixture

    model = by_hand_mixture.build(rows(n))
    evaluate = density_of(model, model.logp(jacobian=False))
    i, j = np.tril_indices(FEATURES)

    def theirs(point: Point) -> float:
        factor = np.linalg.cholesky(point["cov"])
        packed = {f"packed_{k}": factor[k][i, j] for k in range(COMPONENTS)}
        diagonal = np.log(np.diagonal(factor, axis1=1, axis2=2))
        between = (diagonal * np.arange(FEATURES, 0, -1)).sum()
        return float(evaluate({"weight": point["weight"], "mean": point["mean"], **packed}) - between)

    return same_density(f"log posterior of the mixture, {n} rows", our_density(mixture(n)), theirs, mixture_points())

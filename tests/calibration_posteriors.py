"""Exact posteriors, and spoilt ones, for tests of calibration: a Normal mean under a Normal prior, with known noise."""

import numpy as np

import emvsmcmc as ev

PRIOR_SD, NOISE, CHAINS, DRAWS = 2.0, 1.5, 2, 150


def spec() -> ev.Spec:
    with ev.Spec() as found:
        mean = ev.Normal("mean", 1.0, PRIOR_SD)
        ev.Normal("x", mean, NOISE, dims="row")
    return found


def exact(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    return _draws(problem, seed, PRIOR_SD)


def another_prior(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    """The posterior under a prior of a quarter of the width."""
    return _draws(problem, seed, PRIOR_SD / 4)


def shrunk(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    """Draws moved towards their mean by 0.7."""
    x = _draws(problem, seed, PRIOR_SD)["mean"]
    return {"mean": x.mean() + 0.7 * (x - x.mean())}


def of_the_prior(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    """Draws that have not seen the data."""
    return {"mean": np.random.default_rng(seed).normal(1.0, PRIOR_SD, (CHAINS, DRAWS))}


def _draws(problem: ev.Problem, seed: int, prior_sd: float) -> dict[str, np.ndarray]:
    x = problem.given["x"].array
    precision = prior_sd**-2 + len(x) / NOISE**2
    mean = (1.0 / prior_sd**2 + x.sum() / NOISE**2) / precision
    return {"mean": np.random.default_rng(seed).normal(mean, precision**-0.5, (CHAINS, DRAWS))}


def fails_often(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    """Fails by name for one seed in three."""
    if seed % 3 == 0:
        raise ev.errors.SamplingFailed("this chain would not start")
    return exact(problem, seed)


# ---------------------------------------------------------------------------------------- two components that may change names

SD, GRID = 1.0, np.linspace(-7, 7, 71)


def mixture() -> ev.Spec:
    with ev.Spec(coords={"component": 2}) as found:
        mean = ev.Normal("mean", 0.0, 2.0, dims="component")
        group = ev.Categorical("group", ev.constant([0.5, 0.5], dims="component"), dims="row")
        ev.Normal("x", mean[group], SD, dims="row")
    return found


def every_labelling(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    """Draws of both means by inversion on a grid, labels at random."""
    x = problem.given["x"].array
    rng = np.random.default_rng(seed)
    near = np.exp(-0.5 * ((x[:, None] - GRID) / SD) ** 2)
    with np.errstate(divide="ignore"):
        log = np.log(near[:, :, None] + near[:, None, :]).sum(axis=0)
    log -= 0.5 * (GRID[:, None] / 2.0) ** 2 + 0.5 * (GRID[None] / 2.0) ** 2
    p = np.exp(log - log.max()).ravel()
    cell = rng.choice(len(p), CHAINS * DRAWS, p=p / p.sum())
    i, j = np.unravel_index(cell, (len(GRID), len(GRID)))
    width = GRID[1] - GRID[0]
    draws = np.stack([GRID[i], GRID[j]], axis=1) + width * (rng.random((len(i), 2)) - 0.5)
    return {"mean": draws.reshape(CHAINS, DRAWS, 2)}


def one_labelling(problem: ev.Problem, seed: int) -> dict[str, np.ndarray]:
    """The same draws as a chain gives them that never changes labels."""
    return {"mean": np.sort(every_labelling(problem, seed)["mean"], axis=-1)}

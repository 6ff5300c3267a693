"""Stack loss: a regression that four bad days do not bend.

A plant oxidises ammonia to nitric acid. On each of 21 days the flow of air, the temperature of the cooling water and
the concentration of the circulating acid were noted, and ten times the percentage of ammonia that escaped unabsorbed.
Days 1, 3, 4 and 21 are odd, and least squares lets them pull the plane. Noise with a heavier tail does not:

    loss[day] ~ StudentT(nu, intercept + slope . x[day], sigma).

A Student-t value is a Normal one whose variance is divided by a scale u of its own, u ~ Gamma(nu/2, nu/2). Nobody sees
u, so EM fills it in: given the residual e in units of sigma, its expectation is (nu + 1) / (nu + e^2). The M-step is
least squares with these weights, and the odd days get small ones: with nu = 4, .69, .56, .31 and .20, the others about
1. The smaller nu, the less they count. nu may be fixed (4 is a customary choice), or estimated (`free`): maximum
likelihood then takes it almost to 1, a Cauchy distribution, and the posterior says how little 21 days tell of it.

The likelihood has no upper bound once nu may go below 4/17: a plane through four days, with sigma shrinking to zero,
beats everything. The estimate is the local maximum inside.

Brownlee (1965), Statistical Theory and Methodology in Science and Engineering, pages 491-500. Lange, Little and Taylor
(1989), Robust statistical modeling using the t distribution, JASA 84, 881-896. The prior of nu is that of Juarez and
Steel (2010), Model-based clustering of non-Gaussian panel data based on skew-t distributions, Journal of Business and
Economic Statistics 28, 52-66.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"nu": "degrees of freedom, a whole number", "free": "estimate the degrees of freedom"}
COVARIATES = ["air_flow", "water_temperature", "acid"]


def spec(nu: int = 4, free: bool = False) -> ev.Spec:
    """A plane with Student-t noise."""
    with ev.Spec(coords={"covariate": COVARIATES}) as spec:
        intercept = ev.Normal("intercept", 0, 50)
        slope = ev.Normal("slope", 0, 2, dims="covariate")
        sigma = ev.HalfNormal("sigma", 5)
        degrees = ev.Gamma("nu", 2, 0.1) if free else float(nu)
        x = ev.Data("x", dims=("day", "covariate"))
        ev.StudentT("loss", degrees, intercept + ev.dot(x, slope), sigma, dims="day")
    return spec


def data() -> dict[str, np.ndarray]:
    """x: the flow of air, the temperature of the cooling water, and the concentration of the acid, per 1000, minus 500.
    loss: ten times the percentage of ammonia lost."""
    frame = pd.read_csv(Path(__file__).parent / "data" / "stackloss.csv")
    return {"x": frame[COVARIATES].to_numpy(), "loss": frame["loss"].to_numpy()}


SOLVED = "the score of the textbook density set to zero by scipy.optimize.root from 40 starts, the highest of its solutions"
REFERENCE = [
    {
        "options": {},
        "estimate": {"intercept": -40.068093, "slope": [0.857091, 0.745269, -0.115125], "sigma": 2.024534},
        "standard_error": {"slope": [0.11623, 0.29238, 0.09912], "sigma": 0.46627},
        "log_likelihood": -51.423337,
        "source": SOLVED,
    },
    {
        "options": {"nu": 1},
        "estimate": {"intercept": -38.632063, "slope": [0.851906, 0.488797, -0.068304], "sigma": 0.873246},
        "log_likelihood": -49.581020,
        "source": SOLVED,
    },
    {
        "options": {"free": True},
        "estimate": {"intercept": -38.482663, "slope": [0.851990, 0.490247, -0.070565], "sigma": 0.914767, "nu": 1.076701},
        "log_likelihood": -49.567677,
        "source": SOLVED,
    },
]

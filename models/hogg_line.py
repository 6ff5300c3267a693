"""A straight line through points with known errors, some of which do not belong to it.

Twenty points were measured, each y with an error of its own that is known, as astronomers are used to. Four of them lie
far from the line that the others follow, and least squares, however well weighted, lets them pull it. A point is either
good, and then its error is what the table says, or bad, and then the table's error means nothing:

    outlier[point] ~ Bernoulli(bad)
    y[point]       ~ Normal(intercept + slope * x[point], error[point])  if it is good,
                     Normal(middle, spread)                             if it is bad.

Nobody says which points are bad. EM weights each by the probability that it is good, and the line is then weighted least
squares. With `scaled`, errors of bad points are those of the table times a factor, error[point] * spread, which is estimated.

The likelihood has no upper bound: a bad distribution centred at one point, with its spread shrinking to zero, beats
everything. The estimate is the local maximum inside.

Hogg, Bovy and Lang (2010), Data analysis recipes: Fitting a model to data, arXiv:1008.4686, table 1 and section 3. There
the variance of a bad point is the sum of the table's and that of the bad ones, which is not of this form.
"""

import numpy as np

import emvsmcmc as ev

OPTIONS = {"scaled": "the errors of bad points are those of the table times a factor"}


def spec(scaled: bool = False) -> ev.Spec:
    """A line for good points, a wide Normal for bad ones."""
    with ev.Spec() as spec:
        bad = ev.Beta("bad", 1, 3)
        intercept = ev.Normal("intercept", 0, 200)
        slope = ev.Normal("slope", 0, 10)
        middle = ev.Normal("middle", 400, 200)
        spread = ev.HalfNormal("spread", 10 if scaled else 200)
        x = ev.Data("x", dims="point")
        error = ev.Data("error", dims="point")
        outlier = ev.Bernoulli("outlier", bad, dims="point")
        good = ev.Normal.dist(intercept + slope * x, error)
        ev.Switch("y", outlier, [good, ev.Normal.dist(middle, error * spread if scaled else spread)], dims="point")
    return spec


def data() -> dict[str, np.ndarray]:
    """The points of table 1, with the errors of y alone."""
    x = [201, 244, 47, 287, 203, 58, 210, 202, 198, 158, 165, 201, 157, 131, 166, 160, 186, 125, 218, 146]
    y = [592, 401, 583, 402, 495, 173, 479, 504, 510, 416, 393, 442, 317, 311, 400, 337, 423, 334, 533, 344]
    error = [61, 25, 38, 15, 21, 15, 27, 14, 30, 16, 14, 25, 52, 16, 34, 31, 42, 26, 16, 22]
    return {"x": np.array(x, dtype=float), "y": np.array(y, dtype=float), "error": np.array(error, dtype=float)}


SOLVED = "the highest of the local maxima inside that scipy.optimize.minimize finds for the textbook density from 10 starts"
REFERENCE = [
    {
        "options": {},
        "estimate": {"bad": 0.247618, "intercept": 32.19565, "slope": 2.257478, "middle": 453.3343, "spread": 84.2041},
        "log_likelihood": -105.378887,
        "source": SOLVED,
    },
    {
        "options": {"scaled": True},
        "estimate": {"bad": 0.277978, "intercept": 30.95815, "slope": 2.266476, "middle": 417.8198, "spread": 2.372375},
        "log_likelihood": -104.000820,
        "source": SOLVED,
    },
]

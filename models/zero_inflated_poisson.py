"""Movements of a fetal lamb: counts with more zeros than a Poisson distribution allows.

A lamb was watched by ultrasound in 240 intervals of five seconds. In 182 of them it did not move, although one Poisson
distribution with the same mean would leave only 168 empty. The zero-inflated Poisson says that in some intervals the lamb
rests, where nothing can be counted, and in the others the count is Poisson, and may be zero as well:

    resting[n]    ~ Bernoulli(rest)
    movements[n]  = 0                   where resting,
                  ~ Poisson(rate)       elsewhere.

Its likelihood equations have the answer on one line: rate / (1 - exp(-rate)) is the mean of the counts above zero, and
(1 - rest) (1 - exp(-rate)) their share. EM must find the same numbers.

The data come as frequencies: a row is a count, its weight the number of intervals that had it.

Leroux and Puterman (1992), Maximum-penalized-likelihood estimation for independent and Markov-dependent mixture models,
Biometrics 48, 545-558. Lambert (1992), Zero-inflated Poisson regression, Technometrics 34, 1-14.
"""

from pathlib import Path

import pandas as pd

import emvsmcmc as ev

WEIGHTS = "frequency"  # this column of the data, where it is there, holds row weights


def spec() -> ev.Spec:
    """A Switch between a certain zero and a Poisson count."""
    with ev.Spec() as spec:
        rest = ev.Beta("rest", 1, 1)
        rate = ev.Gamma("rate", 2, 1)
        resting = ev.Bernoulli("resting", rest, dims="interval")
        ev.Switch("count", resting, [ev.Poisson.dist(rate), ev.Dirac.dist(0)], dims="interval")
    return spec


def data() -> pd.DataFrame:
    """One row for each count: `count` movements were seen in `frequency` intervals."""
    return pd.read_csv(Path(__file__).parent / "data" / "fetal_lamb.csv")


REFERENCE = [
    {
        "options": {},
        "estimate": {"rest": 0.5770771, "rate": 0.8472781},
        "log_likelihood": -190.4370006,
        "source": "the two likelihood equations above, solved by root finding (scipy.optimize.brentq)",
    },
]

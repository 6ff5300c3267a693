"""Major earthquakes of the world, a year at a time: a mixture of Poisson counts.

The number of earthquakes of magnitude 7 or more in each year from 1900 to 2006 has mean 19.4 and variance 51.6, far too
much for one Poisson distribution. A mixture lets years be of different kinds, each with its own rate,

    kind[year]   ~ Categorical(weight)
    count[year]  ~ Poisson(rate[kind[year]]).

Independent years are the first model that Zucchini and MacDonald fit to these counts, before they let the kinds follow a
Markov chain.

Zucchini and MacDonald (2009), Hidden Markov Models for Time Series: An Introduction Using R, section 1.2 and tables 1.1, 1.2.
"""

from pathlib import Path

import pandas as pd

import emvsmcmc as ev

OPTIONS = {"components": "how many kinds of year (2 or 3)"}


def spec(components: int = 2) -> ev.Spec:
    """A mixture of two or more Poisson distributions."""
    with ev.Spec(coords={"component": components}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        rate = ev.Gamma("rate", 4, 0.2, dims="component")
        kind = ev.Categorical("kind", weight, dims="year")
        ev.Poisson("count", rate[kind], dims="year")
    return spec


def data(components: int = 2) -> pd.DataFrame:
    """Earthquakes of magnitude 7 or more in each year, 1900 to 2006."""
    return pd.read_csv(Path(__file__).parent / "data" / "earthquakes.csv")


REFERENCE = [
    {
        "options": {},
        "estimate": {"weight": [0.676, 0.324], "rate": [15.777, 26.840]},
        "log_likelihood": -360.3690,
        "source": "Zucchini and MacDonald (2009), table 1.2",
    },
    {
        "options": {"components": 3},
        "estimate": {"weight": [0.278, 0.593, 0.130], "rate": [12.736, 19.785, 31.629]},
        "log_likelihood": -356.8489,
        "source": "Zucchini and MacDonald (2009), table 1.2",
    },
]

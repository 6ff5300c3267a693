"""Genetic linkage of 197 animals: the example that opens the EM paper.

197 animals fall into four cells, 125, 18, 20 and 34 of them, and theory gives the cells the probabilities

    1/2 + t/4,     (1 - t)/4,     (1 - t)/4,     t/4.

The first cell is two in one: 1/2, which says nothing about t, and t/4. If it were known how many of the 125 belong to
the second part, t would be a simple share; EM puts in the number to be expected, 125 (t/4) / (1/2 + t/4), and takes the
share. Here three coins are tossed for each animal, and the cell shows what they say:

    mixed  ~ Bernoulli(1/2)        0: the first cell, whatever the others say
    linked ~ Bernoulli(t)          1: the first or the last cell; 0: one of the middle two
    second ~ Bernoulli(1/2)        0: the former of the two; 1: the latter
    cell   ~ Categorical(a table of zeros and ones, looked up by all three).

The data come as counts: a row is a cell, its weight the animals in it. The likelihood equation

    125 / (2 + t)  -  38 / (1 - t)  +  34 / t  =  0,        197 t^2 - 15 t - 68 = 0,

has the root t = (15 + sqrt(53809)) / 394 = .6268215, and its second derivative gives the standard error .0515.

Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm, Journal of the Royal
Statistical Society B 39, 1-38, section 1; the data from Rao (1965), Linear Statistical Inference and its Applications,
pages 368-369.
"""

import numpy as np
import pandas as pd

import emvsmcmc as ev

WEIGHTS = "frequency"  # the column of the data that holds row weights


def spec() -> ev.Spec:
    """Three coins and a table."""
    cell_of = np.zeros((2, 2, 2, 4))  # mixed, linked, second -> cell
    cell_of[0, :, :, 0] = 1
    cell_of[1, 1, 0, 0] = cell_of[1, 1, 1, 3] = 1
    cell_of[1, 0, 0, 1] = cell_of[1, 0, 1, 2] = 1
    with ev.Spec() as spec:
        t = ev.Uniform("t", 0, 1)
        mixed = ev.Bernoulli("mixed", 0.5, dims="animal")
        linked = ev.Bernoulli("linked", t, dims="animal")
        second = ev.Bernoulli("second", 0.5, dims="animal")
        ev.Categorical("cell", ev.constant(cell_of)[mixed, linked, second], dims="animal")
    return spec


def data() -> pd.DataFrame:
    """One row for each cell, with the number of animals in it."""
    return pd.DataFrame({"cell": [0, 1, 2, 3], "frequency": [125, 18, 20, 34]})


REFERENCE = [
    {
        "options": {},
        "estimate": {"t": 0.626821498},
        "standard_error": {"t": 0.0514673},
        "log_likelihood": -205.715887,
        "source": "the root above and the second derivative there; table 1 of Dempster, Laird and Rubin (1977)",
    },
]

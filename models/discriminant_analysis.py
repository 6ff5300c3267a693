"""Fisher's irises: discriminant analysis with all, some or none of the labels.

Sepals and petals of 150 irises, 50 of each of three species, were measured in centimetres. Within a species the four
measures are normal:

    species[n]  ~ Categorical(weight)
    measures[n] ~ MvNormal(mean[species[n]], cov[species[n]]).

What is given of `species` decides what the fit is. `labels` says how many flowers in each hundred keep theirs. With 100
this is quadratic discriminant analysis, whose answer is written down: shares, means and covariances of the classes.
With 30 the other flowers join in through their probabilities. With 0 it is clustering, and the classes have no names.
With `tied` all species share one covariance matrix, the borders are straight, and the supervised fit is Fisher's linear
discriminant analysis.

Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of Eugenics 7, 179-188; measured by
Anderson (1935), The irises of the Gaspé Peninsula, Bulletin of the American Iris Society 59, 2-5. Partly labelled:
O'Neill (1978), Normal discrimination with unclassified observations, JASA 73, 821-826.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"tied": "one covariance matrix for all species", "labels": "how many flowers in each hundred keep their label"}
SPECIES = ["setosa", "versicolor", "virginica"]
MEASURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SEED = 1936


def spec(tied: bool = False) -> ev.Spec:
    """Normal classes, each with its own covariance matrix or all with one."""
    matrix = ("measure", "measure_bis")
    with ev.Spec(coords={"class": SPECIES, "measure": MEASURES}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        mean = ev.Normal("mean", [6, 3, 4, 1], 3, dims=("class", "measure"))
        cov = ev.InverseWishart("cov", 6, np.diag([0.2, 0.1, 0.1, 0.03]), dims=matrix if tied else ("class", *matrix))
        species = ev.Categorical("species", weight, dims="flower")
        ev.MvNormal("measures", mean[species], cov if tied else cov[species], dims=("flower", "measure"))
    return spec


def data(labels: int = 30) -> pd.DataFrame:
    """150 flowers, in centimetres, 50 of each species; `labels` per cent of each species, drawn at random, keep their name."""
    if not 0 <= labels <= 100:
        raise ev.errors.BadInput("labels", "0 to 100 of each hundred", str(labels))
    frame = pd.read_csv(Path(__file__).parent / "data" / "iris.csv")
    rng = np.random.default_rng(SEED)
    rank = np.concatenate([rng.permutation(50) for _ in SPECIES])
    return frame.assign(species=frame["species"].where(rank < labels / 2))


MEANS = [[5.006, 3.428, 1.462, 0.246], [5.936, 2.770, 4.260, 1.326], [6.588, 2.974, 5.552, 2.026]]
REFERENCE = [
    {
        "options": {"labels": 100},
        "estimate": {
            "mean": MEANS,
            "cov": [
                [
                    [0.121764, 0.097232, 0.016028, 0.010124],
                    [0.097232, 0.140816, 0.011464, 0.009112],
                    [0.016028, 0.011464, 0.029556, 0.005948],
                    [0.010124, 0.009112, 0.005948, 0.010884],
                ],
                [
                    [0.261104, 0.083480, 0.179240, 0.054664],
                    [0.083480, 0.096500, 0.081000, 0.040380],
                    [0.179240, 0.081000, 0.216400, 0.071640],
                    [0.054664, 0.040380, 0.071640, 0.038324],
                ],
                [
                    [0.396256, 0.091888, 0.297224, 0.048112],
                    [0.091888, 0.101924, 0.069952, 0.046676],
                    [0.297224, 0.069952, 0.298496, 0.047848],
                    [0.048112, 0.046676, 0.047848, 0.073924],
                ],
            ],
        },
        "log_likelihood": -188.375555,
        "source": "means and covariances (divided by 50) of the three species, by numpy; R datasets::iris",
    },
    {
        "options": {"tied": True, "labels": 100},
        "estimate": {
            "mean": MEANS,
            "cov": [
                [0.259708, 0.090867, 0.164164, 0.037633],
                [0.090867, 0.113080, 0.054139, 0.032056],
                [0.164164, 0.054139, 0.181484, 0.041812],
                [0.037633, 0.032056, 0.041812, 0.041044],
            ],
        },
        "log_likelihood": -263.203743,
        "source": "the mean of the three covariances, by numpy",
    },
    {
        "options": {"labels": 0},
        "estimate": {
            "weight": [0.333333, 0.299193, 0.367474],
            "mean": [
                [5.006000, 3.428000, 1.462000, 0.246000],
                [5.914970, 2.777844, 4.201553, 1.296967],
                [6.544549, 2.948661, 5.479553, 1.984605],
            ],
        },
        "log_likelihood": -180.185477,
        "source": "R 4.2.2, mclust 6.0.0, Mclust(G = 3, modelNames = 'VVV', control = emControl(tol = 1e-14))",
    },
    {
        "options": {"tied": True, "labels": 0},
        "estimate": {
            "weight": [0.333333, 0.329608, 0.337059],
            "mean": [
                [5.006000, 3.428000, 1.462000, 0.246000],
                [5.942321, 2.760760, 4.258687, 1.319195],
                [6.574612, 2.980781, 5.539003, 2.024917],
            ],
        },
        "log_likelihood": -256.354043,
        "source": "R 4.2.2, mclust 6.0.0, Mclust(G = 3, modelNames = 'EEE', control = emControl(tol = 1e-14))",
    },
]

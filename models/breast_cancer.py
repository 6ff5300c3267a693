"""Breast cancer: benign or malignant, from the nuclei of a few cells, most of them without a diagnosis.

Cells were drawn with a fine needle from 569 breast lumps, 357 of them benign. Ten properties of the cell nuclei were measured
in a digitised image of each; the file holds the means of all ten. Five that do not repeat each other are used here (perimeter
and area follow from the radius, the concavity from the compactness), as logarithms, since all are positive and skewed:

    diagnosis[n] ~ Categorical(weight)
    nuclei[n]    ~ MvNormal(mean[diagnosis[n]], cov[diagnosis[n]])

A measurement is cheap and a biopsy is not: `labels` says how many lumps in each hundred have a diagnosis. With 100 this is
quadratic discriminant analysis. The two classes overlap and are not quite normal, so that the likelihood of unlabelled lumps
also serves what normal classes cannot describe: whether they help is to be seen, not assumed.

Street, Wolberg and Mangasarian (1993), Nuclear feature extraction for breast tumor diagnosis, SPIE 1905, 861-870. Unlabelled
rows under models that are not quite right: Cozman, Cohen and Cirelo (2003), Semi-supervised learning of mixture models, ICML.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"labels": "how many lumps in each hundred have a diagnosis"}
DIAGNOSES = ["benign", "malignant"]
NUCLEI = ["radius", "texture", "smoothness", "compactness", "symmetry"]
SEED = 1993


def spec() -> ev.Spec:
    """Two normal classes, each with its own covariance matrix."""
    with ev.Spec(coords={"class": DIAGNOSES, "nucleus": NUCLEI}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        mean = ev.Normal("mean", [2.6, 3.0, -2.4, -2.4, -1.7], 1.0, dims=("class", "nucleus"))
        cov = ev.InverseWishart("cov", 7, np.diag([0.05, 0.05, 0.02, 0.2, 0.02]), dims=("class", "nucleus", "nucleus_bis"))
        diagnosis = ev.Categorical("diagnosis", weight, dims="lump")
        ev.MvNormal("nuclei", mean[diagnosis], cov[diagnosis], dims=("lump", "nucleus"))
    return spec


def data(labels: int = 10) -> pd.DataFrame:
    """569 lumps, logarithms of the five measurements; `labels` per cent of each class, drawn at random, keep their diagnosis."""
    if not 0 <= labels <= 100:
        raise ev.errors.BadInput("labels", "0 to 100 of each hundred", str(labels))
    frame = pd.read_csv(Path(__file__).parent / "data" / "breast_cancer.csv")
    rng = np.random.default_rng(SEED)
    share = np.empty(len(frame))
    for rows in frame.groupby("diagnosis").indices.values():
        share[rows] = (rng.permutation(len(rows)) + 0.5) / len(rows)
    return np.log(frame[NUCLEI]).assign(diagnosis=frame["diagnosis"].where(share < labels / 100))


REFERENCE = [
    {
        "options": {"labels": 100},
        "estimate": {
            "weight": [0.627417, 0.372583],
            "mean": [
                [2.485875, 2.862456, -2.391093, -2.607534, -1.757494],
                [2.843529, 3.057882, -2.281366, -1.998231, -1.655332],
            ],
            "cov": [
                [
                    [2.29360e-02, -9.44000e-04, -3.70000e-03, 4.34900e-03, -4.88000e-03],
                    [-9.44000e-04, 4.53110e-02, -6.92500e-03, -3.40800e-03, -1.61600e-03],
                    [-3.70000e-03, -6.92500e-03, 2.05330e-02, 3.50190e-02, 8.90300e-03],
                    [4.34900e-03, -3.40800e-03, 3.50190e-02, 1.66775e-01, 2.13320e-02],
                    [-4.88000e-03, -1.61600e-03, 8.90300e-03, 2.13320e-02, 1.96130e-02],
                ],
                [
                    [3.31220e-02, 3.39400e-03, -3.27500e-03, 1.05770e-02, -2.38600e-03],
                    [3.39400e-03, 3.03430e-02, -3.11700e-03, -1.17000e-04, -2.45000e-03],
                    [-3.27500e-03, -3.11700e-03, 1.46450e-02, 3.18090e-02, 9.58400e-03],
                    [1.05770e-02, -1.17000e-04, 3.18090e-02, 1.41278e-01, 3.46920e-02],
                    [-2.38600e-03, -2.45000e-03, 9.58400e-03, 3.46920e-02, 1.92930e-02],
                ],
            ],
        },
        "log_likelihood": 658.11606,
        "source": "shares, means and covariances (divided by n) of the classes, by numpy",
    },
]

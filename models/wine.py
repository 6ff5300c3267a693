"""Wines of three growers, told apart by thirteen measurements.

178 wines from one region of Italy come from the vines of three cultivators: 59, 71 and 48 bottles. With thirteen measures
and few labelled bottles a full covariance matrix for each grower is out of reach, so the measures of a grower's wines are
taken as independent, each with its own mean and standard deviation ("naive Bayes"):

    cultivator[n] ~ Categorical(weight)
    measures[n]   ~ Normal(mean[cultivator[n]], sd[cultivator[n]])

With `tied` they may be correlated, alike for all growers, and the borders are straight: Fisher's linear discriminant analysis.
`labels` says how many bottles in each hundred keep the name of their grower. The three clouds lie well apart: with five labels
in each hundred the others are found from the unlabelled bottles, and the fit without any label errs in a few bottles only.

Forina, Lanteri, Armanino and others, PARVUS: an extendible package of programs for data exploration, classification and
correlation, Genoa; Aeberhard, Coomans and de Vel (1994), Comparative analysis of statistical pattern recognition methods in
high dimensional settings, Pattern Recognition 27, 1065-1077. Few labels and naive Bayes: Nigam, McCallum, Thrun and Mitchell
(2000), Text classification from labeled and unlabeled documents using EM, Machine Learning 39, 103-134.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {
    "tied": "correlated measures, one covariance matrix for all growers",
    "labels": "how many bottles in each hundred keep the name of their grower",
}
CULTIVATORS = ["first", "second", "third"]
MEASURES = [
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols",
    "proanthocyanins", "color_intensity", "hue", "od280_od315", "proline",
]  # fmt: skip
# what such wines have, and how far they spread about it: the scale of the priors
USUAL = [13, 2, 2.4, 20, 100, 2.3, 2, 0.4, 1.6, 5, 1, 2.6, 750]
SPREAD = np.array([1, 1, 0.3, 3, 15, 0.6, 1, 0.1, 0.6, 2, 0.2, 0.7, 300])
SEED = 1991


def spec(tied: bool = False) -> ev.Spec:
    """Normal classes: independent measures with the class' own spread, or correlated ones with a common covariance matrix."""
    with ev.Spec(coords={"class": CULTIVATORS, "measure": MEASURES}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        mean = ev.Normal("mean", USUAL, 3 * SPREAD, dims=("class", "measure"))
        cultivator = ev.Categorical("cultivator", weight, dims="bottle")
        if tied:
            cov = ev.InverseWishart("cov", 15, np.diag(SPREAD**2), dims=("measure", "measure_bis"))
            ev.MvNormal("measures", mean[cultivator], cov, dims=("bottle", "measure"))
        else:
            variance = ev.InverseGamma("variance", 2.0, SPREAD**2 / 2, dims=("class", "measure"))
            ev.Normal("measures", mean[cultivator], variance=variance[cultivator], dims=("bottle", "measure"))
    return spec


def data(labels: int = 5) -> pd.DataFrame:
    """178 bottles; `labels` per cent of each grower's, drawn at random, keep his name."""
    if not 0 <= labels <= 100:
        raise ev.errors.BadInput("labels", "0 to 100 of each hundred", str(labels))
    frame = pd.read_csv(Path(__file__).parent / "data" / "wine.csv")
    rng = np.random.default_rng(SEED)
    share = np.empty(len(frame))
    for rows in frame.groupby("cultivator").indices.values():
        share[rows] = (rng.permutation(len(rows)) + 0.5) / len(rows)
    return frame.assign(cultivator=frame["cultivator"].where(share < labels / 100))


REFERENCE = [
    {
        "options": {"labels": 100},
        "estimate": {
            "weight": [0.331461, 0.398876, 0.269663],
            "mean": [
                [
                    1.37447500e01,
                    2.01068000e00,
                    2.45559000e00,
                    1.70372900e01,
                    1.06338980e02,
                    2.84017000e00,
                    2.98237000e00,
                    2.90000000e-01,
                    1.89932000e00,
                    5.52831000e00,
                    1.06203000e00,
                    3.15780000e00,
                    1.11571186e03,
                ],
                [
                    1.22787300e01,
                    1.93268000e00,
                    2.24479000e00,
                    2.02380300e01,
                    9.45493000e01,
                    2.25887000e00,
                    2.08085000e00,
                    3.63660000e-01,
                    1.63028000e00,
                    3.08662000e00,
                    1.05628000e00,
                    2.78535000e00,
                    5.19507040e02,
                ],
                [
                    1.31537500e01,
                    3.33375000e00,
                    2.43708000e00,
                    2.14166700e01,
                    9.93125000e01,
                    1.67875000e00,
                    7.81460000e-01,
                    4.47500000e-01,
                    1.15354000e00,
                    7.39625000e00,
                    6.82710000e-01,
                    1.68354000e00,
                    6.29895830e02,
                ],
            ],
            "variance": [
                [
                    2.09940000e-01,
                    4.66060000e-01,
                    5.07300000e-02,
                    6.37386000e00,
                    1.08359670e02,
                    1.12950000e-01,
                    1.55320000e-01,
                    4.82000000e-03,
                    1.66960000e-01,
                    1.50806000e00,
                    1.33400000e-02,
                    1.25340000e-01,
                    4.82397305e04,
                ],
                [
                    2.85330000e-01,
                    1.01685000e00,
                    9.81200000e-02,
                    1.10629200e01,
                    2.76726440e02,
                    2.93230000e-01,
                    4.91000000e-01,
                    1.51500000e-02,
                    3.57380000e-01,
                    8.43440000e-01,
                    4.06000000e-02,
                    2.43110000e-01,
                    2.43672640e04,
                ],
                [
                    2.75300000e-01,
                    1.15888000e00,
                    3.34000000e-02,
                    4.99306000e00,
                    1.16131510e02,
                    1.24770000e-01,
                    8.43500000e-02,
                    1.50900000e-02,
                    1.63660000e-01,
                    5.22919000e00,
                    1.28200000e-02,
                    7.25000000e-02,
                    1.29713433e04,
                ],
            ],
        },
        "log_likelihood": -3308.189089,
        "source": "shares, means and variances (divided by n) of the classes, by numpy",
    },
    {
        "options": {"tied": True, "labels": 100},
        "estimate": {
            "weight": [0.331461, 0.398876, 0.269663],
            "mean": [
                [
                    1.37447500e01,
                    2.01068000e00,
                    2.45559000e00,
                    1.70372900e01,
                    1.06338980e02,
                    2.84017000e00,
                    2.98237000e00,
                    2.90000000e-01,
                    1.89932000e00,
                    5.52831000e00,
                    1.06203000e00,
                    3.15780000e00,
                    1.11571186e03,
                ],
                [
                    1.22787300e01,
                    1.93268000e00,
                    2.24479000e00,
                    2.02380300e01,
                    9.45493000e01,
                    2.25887000e00,
                    2.08085000e00,
                    3.63660000e-01,
                    1.63028000e00,
                    3.08662000e00,
                    1.05628000e00,
                    2.78535000e00,
                    5.19507040e02,
                ],
                [
                    1.31537500e01,
                    3.33375000e00,
                    2.43708000e00,
                    2.14166700e01,
                    9.93125000e01,
                    1.67875000e00,
                    7.81460000e-01,
                    4.47500000e-01,
                    1.15354000e00,
                    7.39625000e00,
                    6.82710000e-01,
                    1.68354000e00,
                    6.29895830e02,
                ],
            ],
        },
        "log_likelihood": -3173.212119,
        "source": "means of the classes and the mean of their covariances, by numpy and scipy",
    },
]

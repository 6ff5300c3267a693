"""Clusters that are flat: a mixture of factor analysers.

Points in six columns fall into two clusters, and within a cluster they vary along one direction (or a plane, with
`factors` 2) far more than across it. A full covariance matrix would spend 21 parameters on each cluster; a factor
analyser in each spends 6:

    cluster[n]    ~ Categorical(weight)
    position[n]   ~ Normal(0, 1)                     along the factors, within its cluster
    x[n, i]       ~ Normal(mean[z, i] + sum_j loading[z, i, j] position[n, j], sd[i])        with z = cluster[n].

The noise belongs to the column, whatever the cluster. Both hidden things are inferred together: a point's probability
of a cluster comes from its marginal normal, with covariance loading[z] loading[z]' + diag(sd^2), and its position from
the regression within each cluster.

Ghahramani and Hinton (1996), The EM algorithm for mixtures of factor analyzers, technical report CRG-TR-96-1,
University of Toronto. McLachlan and Peel (2000), Finite Mixture Models, chapter 8.
"""

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"factors": "how many factors each cluster has (1 or 2)"}
COLUMNS = ["x1", "x2", "x3", "x4", "x5", "x6"]
SEED = 1996
ROWS = 400


def spec(factors: int = 1) -> ev.Spec:
    """Two clusters, each with its own mean and loadings."""
    with ev.Spec(coords={"component": 2, "column": COLUMNS, "factor": factors}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "column"))
        loading = ev.Normal("loading", 0, 2, dims=("component", "column", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="column")
        cluster = ev.Categorical("cluster", weight, dims="point")
        position = ev.Normal("position", 0, 1, dims=("point", "factor"))
        ev.Normal("x", mean[cluster] + ev.dot(loading[cluster], position), sd, dims=("point", "column"))
    return spec


def truth(factors: int = 1) -> dict[str, np.ndarray]:
    """The parameters that `data` were drawn with."""
    if factors not in (1, 2):
        raise ev.errors.BadInput("factors", "1 or 2, for which loadings are known", str(factors), "Bring data of your own.")
    loading = np.array(
        [
            [[1.5, 0.0], [1.2, 0.4], [0.9, -0.8], [0.6, 1.0], [-0.3, 1.2], [0.0, 0.6]],
            [[0.0, 1.0], [-0.9, 0.5], [1.2, 0.7], [-1.0, 0.0], [1.4, -0.5], [0.8, 0.9]],
        ]
    )
    return {
        "weight": np.array([0.35, 0.65]),
        "mean": np.array([[-1.0, 0.0, 1.0, 0.0, -1.0, 0.0], [1.0, 1.0, 0.0, 1.5, 0.0, -1.0]]),
        "loading": loading[:, :, :factors],
        "sd": np.array([0.5, 0.6, 0.5, 0.4, 0.6, 0.5]),
    }


def data(factors: int = 1) -> pd.DataFrame:
    """The same 400 rows every time."""
    rng = np.random.default_rng(SEED)
    true = truth(factors)
    cluster = rng.choice(2, ROWS, p=true["weight"])
    position = rng.normal(size=(ROWS, 1, factors))
    mean = true["mean"][cluster] + (true["loading"][cluster] * position).sum(axis=2)
    return pd.DataFrame(rng.normal(mean, true["sd"]), columns=COLUMNS)


SOURCE = "scipy.optimize (BFGS) from the truth, on the mixture of multivariate normals"
REFERENCE = [
    {
        "options": {},
        "estimate": {
            "weight": [0.3443, 0.6557],
            "mean": [
                [-1.1212, -0.0256, 1.0187, 0.0045, -0.9863, -0.0452],
                [1.0421, 1.0234, -0.0776, 1.5401, -0.0630, -1.0529],
            ],
            "sd": [0.5015, 0.6053, 0.4761, 0.3925, 0.5836, 0.5109],
        },
        "log_likelihood": -2650.49571,
        "source": SOURCE,
    },
    {
        "options": {"factors": 2},
        "estimate": {
            "weight": [0.3514, 0.6486],
            "mean": [
                [-0.9814, -0.0778, 1.0010, 0.0369, -0.9560, -0.0093],
                [1.0975, 1.1161, -0.0505, 1.5917, -0.2108, -0.9796],
            ],
            "sd": [0.4970, 0.5827, 0.5244, 0.3733, 0.5828, 0.4981],
        },
        "log_likelihood": -3172.65794,
        "source": SOURCE,
    },
]

"""The textbook mixture of three Gaussians, simulated, so that the truth is known.

On the line, 500 draws with weights .4, .2, .4, means 2, 5, 10 and standard deviations .6, .8, .5: well separated, so that
EM and the posterior must agree. In the plane (`two`), 150 points in groups of 40, 60 and 50 whose covariances differ in size and
direction, one of them long and thin, two of them overlapping:

    group[n] ~ Categorical(weight)
    x[n]     ~ Normal(mean[group[n]], sd[group[n]])        or        MvNormal(mean[group[n]], cov[group[n]])

Bishop (2006), Pattern Recognition and Machine Learning, section 9.2; McLachlan and Peel (2000), Finite Mixture Models.
"""

import numpy as np

import emvsmcmc as ev

OPTIONS = {"two": "two dimensions with full covariance matrices, 150 points"}
SEED = 3
ROWS = 500
SIZES = (40, 60, 50)


def spec(two: bool = False) -> ev.Spec:
    """One dimension, or two."""
    if two:
        return _two()
    with ev.Spec(coords={"component": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 5, 5, dims="component")
        sd = ev.HalfNormal("sd", 2, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    return spec


def _two() -> ev.Spec:
    with ev.Spec(coords={"component": 3, "axis": ["x", "y"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", [1, 3], 5, dims=("component", "axis"))
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("component", "axis", "axis_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("point", mean[group], cov[group], dims=("row", "axis"))
    return spec


def truth(two: bool = False) -> dict[str, np.ndarray]:
    """The parameters that `data` were drawn with."""
    if two:
        mean = [[2.6, 2.2], [-0.9, 1.7], [0.9, 5.5]]
        cov = [[[0.6, 0.2], [0.2, 0.3]], [[0.6, -0.55], [-0.55, 0.6]], [[0.1, 0.01], [0.01, 4.3]]]
        return {"weight": np.array(SIZES) / sum(SIZES), "mean": np.array(mean), "cov": np.array(cov)}
    return {"weight": np.array([0.4, 0.2, 0.4]), "mean": np.array([2.0, 5.0, 10.0]), "sd": np.array([0.6, 0.8, 0.5])}


def data(two: bool = False) -> dict[str, np.ndarray]:
    """The same draws every time."""
    rng = np.random.default_rng(SEED)
    true = truth(two)
    if two:
        groups = zip(true["mean"], true["cov"], SIZES, strict=True)
        return {"point": np.concatenate([rng.multivariate_normal(mean, cov, n, method="cholesky") for mean, cov, n in groups])}
    group = rng.choice(3, ROWS, p=true["weight"])
    return {"x": rng.normal(true["mean"][group], true["sd"][group])}


REFERENCE = [
    {
        "options": {},
        "estimate": {
            "weight": [0.40969, 0.19231, 0.39799],
            "mean": [2.05395, 5.10987, 9.99695],
            "sd": [0.65090, 0.78362, 0.47962],
        },
        "log_likelihood": -963.82822,
        "source": "scikit-learn 1.9, GaussianMixture(tol=1e-13, reg_covar=0) from the true means",
    },
    {
        "options": {"two": True},
        "estimate": {
            "weight": [0.25519, 0.39828, 0.34653],
            "mean": [[2.61210, 2.09079], [-0.84487, 1.71403], [0.93634, 5.41899]],
            "cov": [
                [[0.63751, 0.20262], [0.20262, 0.27670]],
                [[0.59648, -0.53618], [-0.53618, 0.56805]],
                [[0.13793, -0.01609], [-0.01609, 3.26425]],
            ],
        },
        "log_likelihood": -434.41429,
        "source": "scikit-learn 1.9, GaussianMixture(tol=1e-13, reg_covar=0) from the true means",
    },
]

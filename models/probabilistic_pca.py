"""Principal components with a likelihood: probabilistic PCA.

Factor analysis in which all columns share one noise:

    score[n, j] ~ Normal(0, 1)
    x[n, i]     ~ Normal(mean[i] + sum_j loading[i, j] score[n, j], sd).

That tie is all it takes to make the loadings principal components, and it gives the maximum in closed form. With q
factors and the eigenvalues l_1 >= ... >= l_d of the sample covariance matrix (divided by n), sd^2 is the mean of the d
- q smallest, the noise left over in a direction that no factor explains, and

    loading = U_q (diag(l_1, ..., l_q) - sd^2 I)^(1/2) R,        R any rotation,
    log likelihood = -n/2 ( d log(2 pi) + sum_(j <= q) log l_j + (d - q) log sd^2 + d ).

EM finds the same numbers without an eigenvalue, and goes on working where cells are missing, which the formula does
not.

Tipping and Bishop (1999), Probabilistic principal component analysis, Journal of the Royal Statistical Society B 61,
611-622.
"""

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"factors": "how many principal components (1 to 4)"}
COLUMNS = ["x1", "x2", "x3", "x4", "x5", "x6"]
SEED = 1999
ROWS = 300


def spec(factors: int = 2) -> ev.Spec:
    """Six columns, some components, one noise."""
    with ev.Spec(coords={"column": COLUMNS, "factor": factors}) as spec:
        mean = ev.Normal("mean", 0, 5, dims="column")
        loading = ev.Normal("loading", 0, 2, dims=("column", "factor"))
        sd = ev.HalfNormal("sd", 2)
        score = ev.Normal("score", 0, 1, dims=("point", "factor"))
        ev.Normal("x", mean + ev.dot(loading, score), sd, dims=("point", "column"))
    return spec


def truth(factors: int = 2) -> dict[str, np.ndarray]:
    """The parameters that `data` were drawn with: directions at right angles, each half as long again as the next."""
    cosines = np.cos(np.pi * (np.arange(6)[:, None] + 0.5) * np.arange(1, factors + 1) / 6)
    return {"mean": np.linspace(-1, 1, 6), "loading": 1.2 * cosines * 1.5 ** -np.arange(factors), "sd": np.array(0.4)}


def data(factors: int = 2) -> pd.DataFrame:
    """The same 300 rows every time."""
    rng = np.random.default_rng(SEED)
    true = truth(factors)
    score = rng.normal(size=(ROWS, factors))
    return pd.DataFrame(rng.normal(true["mean"] + score @ true["loading"].T, true["sd"]), columns=COLUMNS)


REFERENCE = [
    {
        "options": {},
        "estimate": {"mean": [-0.99231, -0.60435, -0.21869, 0.15296, 0.65905, 1.06537], "sd": 0.4015505},
        "log_likelihood": -1814.89976,
        "source": "the formulas above, from numpy.linalg.eigvalsh of the covariance matrix",
    },
    {
        "options": {"factors": 1},
        "estimate": {"mean": [-1.05562, -0.61403, -0.19084, 0.19667, 0.65011, 1.06901], "sd": 0.3957023},
        "log_likelihood": -1396.76309,
        "source": "the formulas above, from numpy.linalg.eigvalsh of the covariance matrix",
    },
]

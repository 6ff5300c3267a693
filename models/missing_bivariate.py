"""A correlation from pairs of which half lost their second number.

Of 40 pairs from a bivariate normal with means 1.85 and 1, standard deviations 1 and .75 and correlation .82, the last
20 lost their second number. A pair without it still says something:

    x[n] ~ MvNormal(mean, cov),

and what is missing has the regression of the second number on the first as its mean, and the residual variance of that
regression as its variance. Soft EM puts both into the sums of squares, and so maximises the likelihood of what was
seen. Hard EM puts in the regression line alone, mean imputation made consistent: twenty points that lie exactly on a
line. They make the correlation too large and the second standard deviation too small, and more rows do not mend it.

Where the holes are monotone, as here, maximum likelihood needs no iteration: the mean and variance of the first number
come from all 40 rows, the regression of the second on the first from the 20 whole rows, and together they give the
rest. With `columns` above 2 the holes are anywhere, there is no such formula, and the declaration is the same.

Anderson (1957), Maximum likelihood estimates for a multivariate normal distribution when some observations are missing,
JASA 52, 200-203. Little and Rubin (2002), Statistical Analysis with Missing Data, chapters 7 and 11.
"""

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"columns": "2, or more columns with one cell in five missing anywhere"}
SEED = 24


def spec(columns: int = 2) -> ev.Spec:
    """One normal distribution with a full covariance matrix."""
    with ev.Spec(coords={"coordinate": _names(columns)}) as spec:
        mean = ev.Normal("mean", 0, 10, dims="coordinate")
        cov = ev.InverseWishart("cov", columns + 2, np.eye(columns), dims=("coordinate", "coordinate_bis"))
        ev.MvNormal("x", mean, cov, dims=("case", "coordinate"))
    return spec


def truth(columns: int = 2) -> dict[str, np.ndarray]:
    """The parameters that `data` were drawn with: means halve, sds shrink, every correlation is .82."""
    mean = np.array([1.85, 1.0, *np.zeros(columns - 2)])
    sd = np.array([1.0, 0.75, *np.full(columns - 2, 0.5)])
    correlation = np.where(np.eye(columns, dtype=bool), 1, 0.82)
    return {"mean": mean, "cov": sd[:, None] * correlation * sd}


def data(columns: int = 2) -> pd.DataFrame:
    """40 pairs with a monotone pattern of holes; 200 rows with holes anywhere for more columns."""
    rng = np.random.default_rng(SEED)
    true, rows = truth(columns), 40 if columns == 2 else 200
    x = rng.multivariate_normal(true["mean"], true["cov"], rows, method="cholesky")
    if columns == 2:
        x[20:, 1] = np.nan
    else:
        x[rng.random(x.shape) < 0.2] = np.nan
    return pd.DataFrame(x, columns=_names(columns))


def _names(columns: int) -> list[str]:
    if columns < 2:
        raise ev.errors.BadInput("columns", "2 or more", str(columns))
    return [f"x{i + 1}" for i in range(columns)]


REFERENCE = [
    {
        "options": {},
        "estimate": {"mean": [1.77714, 0.95109], "cov": [[1.09193, 0.61708], [0.61708, 0.49831]]},
        "log_likelihood": -67.89649,
        "source": "Anderson's formula: the regression of x2 on x1 in the 20 whole rows, the moments of x1 in all 40",
    },
    {
        "options": {"columns": 4},
        "estimate": {
            "mean": [1.8119, 1.0057, -0.0423, -0.0009],
            "cov": [
                [1.0511, 0.6879, 0.4470, 0.4256],
                [0.6879, 0.6162, 0.3279, 0.3343],
                [0.4470, 0.3279, 0.2629, 0.2160],
                [0.4256, 0.3343, 0.2160, 0.2578],
            ],
        },
        "log_likelihood": -356.17201,
        "source": "scipy.optimize (BFGS) on the sum of the rows' marginal multivariate normal log densities",
    },
]

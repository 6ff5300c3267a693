"""Factor analysis of nine ability tests.

301 pupils of two schools in Chicago took tests of visual perception, cubes and lozenges (x1 to x3), of paragraphs,
sentences and word meaning (x4 to x6), and of speeded addition, counting and discrimination (x7 to x9). A few abilities
are to explain how the nine scores vary together:

    ability[n, j] ~ Normal(0, 1)
    score[n, i]   ~ Normal(mean[i] + sum_j loading[i, j] ability[n, j], sd[i]),

so that a row of scores is normal with covariance loading loading' + diag(sd^2). Everything the rows say is in their
means and covariances: they are collapsed to those once, and an iteration costs the same for a thousand pupils as for a
million.

Turning the axes of the abilities changes nothing, so loadings are known up to a rotation, and 9 means, 9 k loadings and
9 sds count as 18 + 9 k - k (k - 1) / 2 parameters. The share of a test's variance that no other test shares, its
uniqueness, does not turn: sd^2 over the whole variance. With three abilities all is well. With four the likelihood is
highest where the sd of x7 is zero and one ability is that test itself: a Heywood case, which says that there is
one ability too many.

Holzinger and Swineford (1939), A study in factor analysis: the stability of a bi-factor solution, University of
Chicago. The maximum likelihood solution: Jöreskog (1967), Some contributions to maximum likelihood factor analysis,
Psychometrika 32, 443-482; by EM: Rubin and Thayer (1982), EM algorithms for ML factor analysis, Psychometrika 47,
69-76.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"factors": "how many abilities (1 to 5)", "simulated": "scores of 1,000 pupils drawn at known loadings instead"}
TESTS = ["x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9"]
SEED = 1939
ROWS = 1000


def spec(factors: int = 3) -> ev.Spec:
    """Nine tests and some abilities."""
    with ev.Spec(coords={"test": TESTS, "factor": factors}) as spec:
        mean = ev.Normal("mean", 4, 5, dims="test")
        loading = ev.Normal("loading", 0, 1, dims=("test", "factor"))
        sd = ev.HalfNormal("sd", 2, dims="test")
        ability = ev.Normal("ability", 0, 1, dims=("pupil", "factor"))
        ev.Normal("score", mean + ev.dot(loading, ability), sd, dims=("pupil", "test"))
    return spec


def truth(factors: int = 3, simulated: bool = False) -> dict[str, np.ndarray] | None:
    """The parameters that the simulated scores were drawn with: each test leans on one ability, and a little on the others."""
    if not simulated:
        return None
    own = np.arange(9)[:, None] * factors // 9 == np.arange(factors)
    return {"mean": np.linspace(3, 6, 9), "loading": np.where(own, 0.9, 0.15), "sd": np.tile([0.5, 0.7, 0.9], 3)}


def data(factors: int = 3, simulated: bool = False) -> pd.DataFrame:
    """Scores on the nine tests: 301 pupils, or 1,000 simulated ones."""
    true = truth(factors, simulated)
    if true is None:
        return pd.read_csv(Path(__file__).parent / "data" / "HolzingerSwineford1939.csv")[TESTS]
    rng = np.random.default_rng(SEED)
    ability = rng.normal(size=(ROWS, factors))
    return pd.DataFrame(rng.normal(true["mean"] + ability @ true["loading"].T, true["sd"]), columns=TESTS)


SOURCE = "scipy.optimize (BFGS) on the multivariate normal likelihood; R 4.2.2 factanal agrees to its printed digits"
REFERENCE = [
    {
        "options": {},
        "estimate": {
            "mean": [4.93577, 6.08804, 2.25042, 3.06091, 4.34053, 2.18557, 4.18590, 5.52708, 5.37412],
            "sd": [0.83439, 1.01715, 0.83184, 0.61408, 0.63492, 0.60427, 0.77083, 0.69199, 0.74256],
        },
        "log_likelihood": -3706.54053,
        "source": SOURCE,
    },
    {
        "options": {"factors": 1},
        "estimate": {
            "mean": [4.93577, 6.08804, 2.25042, 3.06091, 4.34053, 2.18557, 4.18590, 5.52708, 5.37412],
            "sd": [1.04778, 1.14659, 1.10072, 0.61654, 0.69681, 0.59671, 1.06986, 0.99026, 0.95889],
        },
        "log_likelihood": -3851.22425,
        "source": SOURCE,
    },
    {
        "options": {"factors": 2},
        "estimate": {
            "mean": [4.93577, 6.08804, 2.25042, 3.06091, 4.34053, 2.18557, 4.18590, 5.52708, 5.37412],
            "sd": [0.95601, 1.11862, 0.99914, 0.60832, 0.66253, 0.60087, 0.97415, 0.80221, 0.68176],
        },
        "log_likelihood": -3760.24532,
        "source": SOURCE,
    },
    {
        "options": {"simulated": True},
        "estimate": {
            "mean": [3.00243, 3.38291, 3.70346, 4.13344, 4.50868, 4.92527, 5.28065, 5.66123, 6.01771],
            "sd": [0.52125, 0.70264, 0.91078, 0.48136, 0.70140, 0.91812, 0.53080, 0.67718, 0.88289],
        },
        "log_likelihood": -12178.16717,
        "source": SOURCE,
    },
]

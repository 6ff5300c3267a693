"""One factor behind four indicators: a regression whose covariate nobody saw.

Four indicators of 1,000 rows lean on one quantity z, each with its own intercept, slope and noise:

    z[n]      ~ Normal(0, 1)
    x[n, k]   ~ Normal(intercept[k] + slope[k] z[n], sd[k]).

Where z is in the data (`observed`) these are four least-squares lines. Where it is not, each row says how much it knows
of its own z: given the parameters, z[n] is Normal with precision and mean

    J = 1 + sum_k slope[k]^2 / sd[k]^2,        h[n] = sum_k slope[k] (x[n, k] - intercept[k]) / sd[k]^2,        h[n] / J.

Soft EM puts E[z] = h / J and E[z^2] = 1 / J + (h / J)^2 into the normal equations of the regression. Started at the
truth it stays within sampling error of it. Hard EM puts z = h / J in as if it had been seen, and leaves out the 1 / J.
What it climbs, the likelihood of the data together with z, has no maximum: let z be one indicator and that indicator's
noise can shrink to nothing. So it leaves the truth at once, one sd falls step by step to zero, and the run ends
`unbounded`; its path is the result.

The four slopes may change sign together with z; nothing in the data tells which sign is right.

Spearman (1904), "General intelligence", objectively determined and measured, American Journal of Psychology 15,
201-292. EM for factors: Rubin and Thayer (1982), EM algorithms for ML factor analysis, Psychometrika 47, 69-76.
"""

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {"observed": "put z into the data: four regressions"}
INDICATORS = ["x1", "x2", "x3", "x4"]
SEED = 1904
ROWS = 1000


def spec() -> ev.Spec:
    """The same declaration, whether z is in the data or not."""
    with ev.Spec(coords={"indicator": INDICATORS}) as spec:
        intercept = ev.Normal("intercept", 0, 10, dims="indicator")
        slope = ev.Normal("slope", 0, 3, dims="indicator")
        sd = ev.HalfNormal("sd", 3, dims="indicator")
        z = ev.Normal("z", 0, 1, dims="person")
        ev.Normal("x", intercept + slope * z, sd, dims=("person", "indicator"))
    return spec


def truth() -> dict[str, np.ndarray]:
    """The parameters that `data` were drawn with."""
    return {
        "intercept": np.array([0.0, 1.0, 2.0, -1.0]),
        "slope": np.array([1.0, 0.8, -0.6, 1.4]),
        "sd": np.array([0.5, 0.6, 0.7, 0.8]),
    }


def data(observed: bool = False) -> pd.DataFrame:
    """The same 1,000 rows every time."""
    rng = np.random.default_rng(SEED)
    true = truth()
    z = rng.normal(size=ROWS)
    x = rng.normal(true["intercept"] + true["slope"] * z[:, None], true["sd"])
    frame = pd.DataFrame(x, columns=INDICATORS)
    return frame.assign(z=z) if observed else frame


REFERENCE = [
    {
        "options": {},
        "estimate": {"intercept": [-0.00573, 0.99148, 2.03775, -1.05829], "sd": [0.48614, 0.59645, 0.69232, 0.79188]},
        "log_likelihood": -4982.70599,
        "source": "scipy.optimize (BFGS) on the multivariate normal likelihood; R 4.2.2 factanal agrees",
    },
    {
        "options": {"observed": True},
        "estimate": {
            "intercept": [0.01779, 1.00980, 2.02381, -1.02647],
            "slope": [1.02401, 0.79721, -0.60686, 1.38498],
            "sd": [0.48720, 0.60041, 0.69595, 0.79052],
        },
        "log_likelihood": -5209.48290,
        "source": "least squares (numpy.linalg.lstsq); the log-likelihood is that of x and z together",
    },
]

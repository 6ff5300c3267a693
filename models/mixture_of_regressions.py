"""Two straight lines in one cloud of points: a mixture of regressions.

Each point was made by one of two lines, with probability `weight`, and nobody noted which:

    line[n] ~ Categorical(weight)
    y[n]    ~ Normal(intercept[line[n]] + slope[line[n]] x[n], sd[line[n]]).

Given the probabilities that line j made point n, the M-step is a weighted least-squares fit of each line. What the
lines share is said by leaving out a dim: with `shared_slope` they are parallel, with `shared_noise` they have one sd.
With `covariates` above 1 the slope is a vector, and x a design matrix.

`tone` takes Cohen's experiment instead. A musician tuned an adjustable tone to the octave of a fundamental whose
overtones had been stretched. Two theories predict two lines: memory of intervals (tuned = 2, whatever the stretch) and
matching of partials (tuned = stretch ratio). Eight of the 150 points lie exactly on a line. With a noise of its own
that line could shrink to them and the likelihood would grow without limit, so the noise is shared here.

Quandt and Ramsey (1978), Estimating mixtures of normal distributions and switching regressions, JASA 73, 730-738. Cohen
(1980), Inharmonic tone perception; analysed by De Veaux (1989), Mixtures of linear regressions, Computational
Statistics and Data Analysis 8, 227-245.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emvsmcmc as ev

OPTIONS = {
    "rows": "how many points are simulated",
    "shared_slope": "parallel lines",
    "shared_noise": "one sd for both lines",
    "covariates": "how many covariates; with 2 or more, slopes are vectors",
    "tone": "Cohen's tone perception data, with shared noise",
}
SEED = 1978


def spec(shared_slope: bool = False, shared_noise: bool = False, covariates: int = 1, tone: bool = False) -> ev.Spec:
    """Two lines; what has no component dim is shared."""
    own_slope = () if shared_slope else ("component",)
    own_noise = () if shared_noise or tone else ("component",)
    vector = ("covariate",) if covariates > 1 else ()
    with ev.Spec(coords={"component": 2, "covariate": covariates}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        intercept = ev.Normal("intercept", 0, 5, dims="component")
        slope = ev.Normal("slope", 0, 5, dims=(*own_slope, *vector))
        sd = ev.HalfNormal("sd", 2, dims=own_noise)
        x = ev.Data("x", dims=("point", *vector))
        line = ev.Categorical("line", weight, dims="point")
        each = slope[line] if own_slope else slope
        mean = intercept[line] + (ev.dot(x, each) if vector else each * x)
        ev.Normal("y", mean, sd[line] if own_noise else sd, dims="point")
    return spec


def truth(
    shared_slope: bool = False, shared_noise: bool = False, covariates: int = 1, tone: bool = False
) -> dict[str, np.ndarray] | None:
    """The parameters that the simulated points were drawn with."""
    if tone:
        return None
    slope = np.array([[1.5, *np.full(covariates - 1, 1.0)], [-1.0, *np.full(covariates - 1, -0.5)]])
    slope = slope[0] if shared_slope else slope
    return {
        "weight": np.array([0.4, 0.6]),
        "intercept": np.array([0.0, 3.0]),
        "slope": slope if covariates > 1 else slope[..., 0],
        "sd": np.array(0.5) if shared_noise else np.array([0.4, 0.8]),
    }


def data(
    rows: int = 100, shared_slope: bool = False, shared_noise: bool = False, covariates: int = 1, tone: bool = False
) -> dict[str, np.ndarray]:
    """Simulated points, or the tone data: x the stretch ratio, y the tuned ratio."""
    true = truth(shared_slope, shared_noise, covariates, tone)
    if true is None:
        frame = pd.read_csv(Path(__file__).parent / "data" / "tonedata.csv")
        return {"x": frame["stretchratio"].to_numpy(), "y": frame["tuned"].to_numpy()}
    rng = np.random.default_rng(SEED)
    x = rng.uniform(-1, 3, (rows, covariates))
    line = rng.choice(2, rows, p=true["weight"])
    slope = np.broadcast_to(true["slope"].reshape(-1, covariates), (2, covariates))
    mean = true["intercept"][line] + (slope[line] * x).sum(axis=1)
    y = rng.normal(mean, np.broadcast_to(true["sd"], 2)[line])
    return {"x": x if covariates > 1 else x[:, 0], "y": y}


REFERENCE = [
    {
        "options": {},
        "estimate": {
            "weight": [0.408071, 0.591929],
            "intercept": [0.062349, 2.823593],
            "slope": [1.454306, -0.837401],
            "sd": [0.326597, 0.769477],
        },
        "log_likelihood": -135.116744,
        "source": "R 4.2.2, mixtools 2.0.0, regmixEM(epsilon = 1e-12)",
    },
    {
        "options": {"shared_noise": True},
        "estimate": {
            "weight": [0.414819, 0.585181],
            "intercept": [0.081065, 2.873582],
            "slope": [1.440645, -0.905041],
            "sd": 0.453084,
        },
        "log_likelihood": -119.711159,
        "source": "R 4.2.2, mixtools 2.0.0, regmixEM(arbvar = FALSE, epsilon = 1e-12)",
    },
    {
        "options": {"covariates": 3},
        "estimate": {
            "weight": [0.449942, 0.550058],
            "intercept": [-0.296777, 2.859890],
            "slope": [[1.545992, 1.070961, 1.064677], [-1.163306, -0.473476, -0.491703]],
            "sd": [0.353114, 0.752781],
        },
        "log_likelihood": -135.226438,
        "source": "R 4.2.2, mixtools 2.0.0, regmixEM(epsilon = 1e-12)",
    },
    {
        "options": {"tone": True},
        "estimate": {
            "weight": [0.674643, 0.325357],
            "intercept": [1.892331, -0.039007],
            "slope": [0.055904, 1.008368],
            "sd": 0.083568,
        },
        "log_likelihood": 107.256698,
        "source": "R 4.2.2, mixtools 2.0.0, regmixEM(arbvar = FALSE, epsilon = 1e-12)",
    },
]

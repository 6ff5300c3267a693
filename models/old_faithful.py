"""Old Faithful: two kinds of eruption behind one distribution of waiting times.

272 eruptions of the geyser in Yellowstone National Park, August 1985. The histogram of the minutes until the next
eruption has two humps: after a short eruption the wait is about 55 minutes, after a long one about 80. The classroom's
mixture of two Normals,

    group[n]    ~ Categorical(weight)
    waiting[n]  ~ Normal(mean[group[n]], sd[group[n]]),

finds them without having seen how long an eruption took. With `both`, the length of the eruption joins the wait, and each
group has a full covariance matrix.

Azzalini and Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics 39, 357-365. The fit by EM:
Dempster, Laird and Rubin (1977); McLachlan and Peel (2000), Finite Mixture Models, section 1.
"""

from pathlib import Path

import pandas as pd

import emvsmcmc as ev

OPTIONS = {"both": "use both columns, eruptions and waiting, with full covariance matrices"}


def spec(both: bool = False) -> ev.Spec:
    """Waiting times alone, or both columns."""
    if both:
        return _both()
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 65, 30, dims="component")
        sd = ev.HalfNormal("sd", 20, dims="component")
        group = ev.Categorical("group", weight, dims="eruption")
        ev.Normal("waiting", mean[group], sd[group], dims="eruption")
    return spec


def _both() -> ev.Spec:
    with ev.Spec(coords={"component": 2, "measure": ["eruptions", "waiting"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", [3.5, 65], [2, 30], dims=("component", "measure"))
        cov = ev.InverseWishart("cov", 4, [[0.25, 0], [0, 100]], dims=("component", "measure", "measure_bis"))
        group = ev.Categorical("group", weight, dims="eruption")
        ev.MvNormal("geyser", mean[group], cov[group], dims=("eruption", "measure"))
    return spec


def data(both: bool = False) -> pd.DataFrame:
    """Minutes: the length of each eruption, and the wait for the next one."""
    frame = pd.read_csv(Path(__file__).parent / "data" / "faithful.csv")
    return frame if both else frame[["waiting"]]


REFERENCE = [
    {
        "options": {},
        "estimate": {"weight": [0.3609, 0.6391], "mean": [54.6149, 80.0911], "sd": [5.8712, 5.8677]},
        "log_likelihood": -1034.00175,
        "source": "Benaglia et al. (2009), mixtools: An R package for analyzing mixture models; scikit-learn 1.9 agrees",
    },
    {
        "options": {"both": True},
        "estimate": {
            "weight": [0.35587, 0.64413],
            "mean": [[2.03639, 54.47852], [4.28966, 79.96812]],
            "cov": [[[0.069168, 0.435168], [0.435168, 33.697282]], [[0.169968, 0.940609], [0.940609, 36.046211]]],
        },
        "log_likelihood": -1130.2640,
        "source": "scikit-learn 1.9, GaussianMixture(tol=1e-13, reg_covar=0)",
    },
]

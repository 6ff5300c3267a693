"""Clusters from a table with holes.

Three measures were meant to be taken of each of 300 shells of three kinds. One cell in seven is empty, for no reason
that has to do with its value, so four rows in ten are not whole, and throwing those away would throw away most of what
was measured:

    kind[n]     ~ Categorical(weight)
    measures[n] ~ MvNormal(mean[kind[n]], cov[kind[n]]).

A row with holes is judged by the measures that it has: its probabilities come from the marginal normal of those. What
is missing then has a regression on what is there, one for each kind, and the M-step adds the means and the covariances
of these regressions to the sums.

With `hints` a helper looked at two fifths of the shells. Of some he says which kind it is, and is right 8 times in 10:
a soft label, .8 for the kind he names and .1 for each other. Of others he says only which kind it is not, and is right:
a label that is a set.

Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach, NIPS 6, 120-127. Little and
Rubin (2002), Statistical Analysis with Missing Data, chapter 11.
"""

import numpy as np

import emvsmcmc as ev

OPTIONS = {"hints": "a helper's uncertain labels for two fifths of the shells"}
SEED = 2002
ROWS = 300


def spec() -> ev.Spec:
    """Three normal kinds with full covariance matrices."""
    with ev.Spec(coords={"component": 3, "measure": ["length", "width", "height"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "measure"))
        cov = ev.InverseWishart("cov", 5, np.eye(3), dims=("component", "measure", "measure_bis"))
        kind = ev.Categorical("kind", weight, dims="shell")
        ev.MvNormal("measures", mean[kind], cov[kind], dims=("shell", "measure"))
    return spec


def truth() -> dict[str, np.ndarray]:
    """The parameters that `data` were drawn with."""
    return {
        "weight": np.array([0.5, 0.3, 0.2]),
        "mean": np.array([[-3.0, 0.0, 1.0], [1.0, 4.0, 0.0], [4.0, -1.0, -1.0]]),
        "cov": np.array(
            [
                [[1.0, 0.7, 0.3], [0.7, 1.0, 0.2], [0.3, 0.2, 0.6]],
                [[0.8, -0.4, 0.0], [-0.4, 0.7, 0.2], [0.0, 0.2, 1.0]],
                [[0.5, 0.0, 0.4], [0.0, 1.2, 0.0], [0.4, 0.0, 1.0]],
            ]
        ),
    }


def data(hints: bool = False) -> dict[str, np.ndarray]:
    """The same 300 rows every time, with NaN in 15% of the cells."""
    rng = np.random.default_rng(SEED)
    true = truth()
    kind = rng.choice(3, ROWS, p=true["weight"])
    noise = rng.normal(size=(ROWS, 3))
    measures = true["mean"][kind] + np.einsum("nij,nj->ni", np.linalg.cholesky(true["cov"])[kind], noise)
    measures[rng.random(measures.shape) < 0.15] = np.nan
    if not hints:
        return {"measures": measures}
    label = np.full((ROWS, 3), np.nan)
    told = np.where(rng.random(ROWS) < 0.8, kind, (kind + rng.integers(1, 3, ROWS)) % 3)
    label[:60] = np.where(np.arange(3) == told[:60, None], 0.8, 0.1)
    ruled_out = (kind + rng.integers(1, 3, ROWS)) % 3
    label[60:120] = np.arange(3) != ruled_out[60:120, None]
    return {"measures": measures, "kind": label}


REFERENCE = [
    {
        "options": {},
        "estimate": {
            "weight": [0.4901, 0.2891, 0.2208],
            "mean": [[-3.0634, -0.1107, 1.0127], [0.8289, 4.1052, -0.0712], [4.0188, -0.8184, -1.0052]],
            "cov": [
                [[1.0629, 0.6895, 0.3378], [0.6895, 1.0529, 0.2080], [0.3378, 0.2080, 0.5314]],
                [[0.7868, -0.3889, -0.0355], [-0.3889, 0.6238, 0.2019], [-0.0355, 0.2019, 0.7888]],
                [[0.4002, 0.0796, 0.3490], [0.0796, 1.0196, 0.0517], [0.3490, 0.0517, 1.1628]],
            ],
        },
        "log_likelihood": -1214.59576,
        "source": "scipy.optimize (BFGS) from the truth, on the mixture of the marginal normals of what each row has",
    },
]

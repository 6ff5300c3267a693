"""pomegranate at work, in an environment that holds torch and pomegranate only. See `workers.py` for what it reads and answers.

Its folder holds rows.npy (n, d), weight.npy (K), mean.npy (K, d), covariance.npy (K, d, d), the start of every fit. A line is
"fit ITERATIONS DTYPE"; seconds are those of `GeneralMixtureModel.fit`, from a tensor that is there already. The log-likelihood
is that of the last E-step's parameters, which is what its own loop looks at, and is evaluated apart from the timed fit.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pomegranate.distributions import Normal
from pomegranate.gmm import GeneralMixtureModel


def main() -> None:
    folder = Path(sys.argv[1])
    given = {name: np.load(folder / f"{name}.npy") for name in ("rows", "weight", "mean", "covariance")}
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    about = {"version": version("pomegranate"), "torch": version("torch"), "threads": torch.get_num_threads()}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        _, iterations, dtype = line.split()
        kind = getattr(torch, dtype)
        torch.set_default_dtype(kind)
        arrays = {name: torch.tensor(x, dtype=kind) for name, x in given.items()}

        def model(arrays: dict = arrays, iterations: int = int(iterations)) -> GeneralMixtureModel:
            pairs = zip(arrays["mean"], arrays["covariance"], strict=True)
            normals = [Normal(m, c, covariance_type="full") for m, c in pairs]
            # a tolerance that no change can fall below: all iterations are done
            return GeneralMixtureModel(normals, priors=arrays["weight"], max_iter=iterations, tol=-float("inf"))

        timed = model()
        began = time.perf_counter()
        timed.fit(arrays["rows"])
        seconds = time.perf_counter() - began
        found = {"seconds": seconds}
        if int(iterations) > 1:
            before = model(iterations=int(iterations) - 1).fit(arrays["rows"])
            found["log_likelihood"] = float(before.log_probability(arrays["rows"]).to(torch.float64).sum())
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

"""Random specs on data that break careless arithmetic, and what every fit of them must come to.

The law of `test_random_fits.py`. `python tests/random_fits.py 5000` (`make fuzz`) runs so many of them on both cores and prints
the kinds of end; a failure prints the number that makes it again.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import emvsmcmc as ev
from emvsmcmc.errors import BadInput, EmvsmcmcError, FitFailed, NotMonotone

LARGEST_ERROR = 1e6  # standard errors, in units of the parameter's scale: beyond it a number says nothing and needs a reason
REAL = ("gmm", "tied", "t", "mixreg", "fa")
MODELS = (*REAL, "pois", "expo", "bern", "binom", "cat", "zip")
TROUBLES = ("duplicated", "constant", "collinear", "missing", "outlying", "rounded", "rescaled")


@dataclass(frozen=True)
class Fit:
    """One random fit. data : as for `condition`; null cells are NaN."""

    model: str
    components: int
    columns: int
    objective: str
    seed: int
    data: dict[str, Any]
    weights: np.ndarray | None
    starts: int = 2


@cache
def spec_of(model: str, k: int, d: int) -> ev.Spec:
    """The models of the law: k components (or factors), d columns."""
    coords: dict[str, Any] = {"k": k, "d": d, "level": 3}
    with ev.Spec(coords=coords) as spec:
        if model == "fa":
            loading = ev.Normal("L", 0, 5, dims=("d", "k"))
            m = ev.Normal("m", 0, 10, dims="d")
            v = ev.InverseGamma("v", 2, 1, dims="d")
            f = ev.Normal("f", 0, 1, dims=("row", "k"))
            ev.Normal("x", ev.dot(loading, f) + m, variance=v, dims=("row", "d"))
            return spec
        z = ev.Categorical("z", ev.Dirichlet("w", 1.0, dims="k"), dims="row")
        if model in ("gmm", "tied"):
            m = ev.Normal("m", 0, 10, dims=("k", "d"))
            lead = ("k",) if model == "gmm" else ()
            C = ev.InverseWishart("C", d + 2, np.eye(d), dims=(*lead, "d", "d_bis"))
            ev.MvNormal("x", m[z], C[z] if lead else C, dims=("row", "d"))
        elif model == "t":
            m, sd = ev.Normal("m", 0, 10, dims=("k", "d")), ev.HalfNormal("sd", 5, dims=("k", "d"))
            ev.StudentT("x", 4, m[z], sd[z], dims=("row", "d"))
        elif model == "mixreg":
            c = ev.Data("c", dims=("row", "d"))
            b, sd = ev.Normal("b", 0, 10, dims=("k", "d")), ev.HalfNormal("sd", 5, dims="k")
            ev.Normal("x", ev.dot(c, b[z]), sd[z], dims="row")
        elif model in ("pois", "expo"):
            r = ev.Gamma("r", 1, 0.1, dims=("k", "d"))
            (ev.Poisson if model == "pois" else ev.Exponential)("x", r[z], dims=("row", "d"))
        elif model == "zip":
            r, never = ev.Gamma("r", 1, 0.1, dims="k"), ev.Bernoulli("never", ev.Beta("q", 1, 1), dims="row")
            ev.Switch("x", never, [ev.Poisson.dist(r[z]), ev.Dirac.dist(0)], dims="row")
        elif model == "cat":
            table = ev.Dirichlet("r", 1.0, dims=("k", "d", "level"))
            ev.Categorical("x", table[z], dims=("row", "d"))
        else:
            r = ev.Beta("r", 1, 1, dims=("k", "d"))
            if model == "bern":
                ev.Bernoulli("x", r[z], dims=("row", "d"))
            else:
                ev.Binomial("x", 7, r[z], dims=("row", "d"))
    return spec


def random_fit(seed: int) -> Fit:
    """Everything about one fit, from one number."""
    rng = np.random.default_rng(seed)
    model = str(rng.choice(MODELS))
    return fit_of(
        model, int(rng.integers(1, 5)), int(rng.integers(1, 5)), int(np.exp(rng.uniform(0, np.log(201)))),
        str(rng.choice(["ml", "map"])), {t for t in TROUBLES if rng.random() < 0.25}, bool(rng.random() < 0.3),
        bool(rng.random() < 0.3), seed,
    )  # fmt: skip


def fit_of(
    model: str, k: int, d: int, n: int, objective: str, troubles: set[str], labelled: bool, weighted: bool, seed: int
) -> Fit:
    """A fit of the given shape; the numbers come from the seed."""
    rng = np.random.default_rng([seed, 1])
    group = rng.integers(0, k, n)
    x = _values(model, rng, group, k, d)
    if "duplicated" in troubles:
        x = x[rng.integers(0, max(1, n // 3), n)]
    if "constant" in troubles:
        x[:, rng.integers(d)] = x[0, 0]
    if "collinear" in troubles and d > 1 and model in REAL:
        x[:, 1] = 2 * x[:, 0] + 1
    if "outlying" in troubles:
        x[rng.integers(n), rng.integers(d)] = 1e12 if model in (*REAL, "expo") else x.max()
    if "rounded" in troubles and model in REAL:
        x = np.round(x)
    if "rescaled" in troubles and model in (*REAL, "expo"):
        x = x * 10.0 ** rng.uniform(-9, 12) + (10.0 ** rng.uniform(0, 6) if model in REAL and rng.random() < 0.5 else 0.0)
    if "missing" in troubles:
        x = np.where(rng.random(x.shape) < 0.3, np.nan, x)
    data: dict[str, Any] = {"x": x}
    if model == "mixreg":
        covariates = rng.normal(size=(n, d))
        covariates[:, 0] = 1.0
        if "collinear" in troubles and d > 2:
            covariates[:, 2] = covariates[:, 1]
        data = {"c": covariates, "x": x[:, 0]}
    if model == "zip":
        data = {"x": x[:, 0]}
    if labelled and model != "fa":
        data["z"] = np.where(rng.random(n) < 0.5, group, -1)
    weights = rng.choice([0, 0.5, 1, 3, 1e6], n) if weighted else None
    return Fit(model, k, d, objective, seed, data, weights)


def _values(model: str, rng: np.random.Generator, group: np.ndarray, k: int, d: int) -> np.ndarray:
    """(n, d) values in the support of the model."""
    shape = (len(group), d)
    if model in ("pois", "zip"):
        x = rng.poisson(rng.gamma(1.0, 5.0, (k, d))[group]).astype(float)
        return np.where(rng.random(shape) < 0.3, 0.0, x) if model == "zip" else x
    if model == "expo":
        return rng.exponential(rng.gamma(1.0, 5.0, (k, d))[group])
    if model == "cat":
        return rng.integers(0, 3, shape).astype(float)
    if model in ("bern", "binom"):
        return rng.binomial(1 if model == "bern" else 7, rng.beta(1, 1, (k, d))[group]).astype(float)
    return rng.normal(3.0 * rng.normal(size=(k, d))[group], 1.0)


def end(fit: Fit) -> str:
    """How the fit ended, in a word; raises AssertionError, or what was raised, where the law does not hold.

    Law: a finished fit with finite numbers, whose standard errors are NaN with a reason or below `LARGEST_ERROR` scales of their
    parameter; or a named error. No warning, no objective that falls.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            problem = ev.condition(spec_of(fit.model, fit.components, fit.columns), fit.data, fit.weights)
            em = ev.fit_em(problem, fit.objective, starts=fit.starts, max_iter=2000, random_seed=fit.seed, progress=False)  # type: ignore[arg-type]
        except NotMonotone:
            raise
        except (BadInput, FitFailed) as named:
            return type(named).__name__
    assert np.isfinite(em.log_likelihood), f"log likelihood {em.log_likelihood}"
    assert np.isfinite(em.bic), f"BIC {em.bic}"
    for name, value in em.estimate.data_vars.items():
        error = em.standard_error[name].values
        assert np.isfinite(value.values).all(), f"{name} is {value.values}"
        assert not np.isinf(error).any(), f"standard error of {name} is infinite"
        assert (~np.isnan(error)).all() or em.reasons.get(str(name)), f"{name} has a NaN standard error without a reason"
        with np.errstate(invalid="ignore"):
            large = error > LARGEST_ERROR * _scale(fit, str(name), value.values)
        assert not large.any(), (
            f"standard error of {name} is {np.nanmax(error):.3g}, the value {value.values[large].ravel()[0]:.3g}"
        )
    return em.status.value


def _scale(fit: Fit, name: str, value: np.ndarray) -> np.ndarray:
    """Size of a parameter: 1 for a probability, its own for a rate of waiting times, that of the values elsewhere."""
    if name in ("w", "q") or fit.model in ("bern", "binom", "cat"):
        return np.ones(value.shape)
    if fit.model == "expo":
        return np.abs(value)
    x = np.asarray(fit.data["x"], dtype=float)
    spread = float(np.nanmax(np.abs(x))) if np.isfinite(x).any() else 1.0
    return np.maximum(np.abs(value), max(1.0, spread))


def outcome(seed: int) -> tuple[int, str, str]:
    """(seed, kind of end, what was wrong or nothing)."""
    try:
        return seed, end(random_fit(seed)), ""
    except EmvsmcmcError as named:
        return seed, type(named).__name__, str(named)
    except Exception as failure:
        fit = random_fit(seed)
        what = f"{fit.model} k={fit.components} d={fit.columns} n={len(fit.data['x'])} {fit.objective}"
        return seed, f"{type(failure).__name__}", f"{what}: {failure}"


def main(count: int, first: int = 0) -> int:
    """Run seeds first, first + 1, ...; exit status 1 where any breaks the law."""
    ends: Counter[str] = Counter()
    failures = 0
    with ProcessPoolExecutor(2) as pool:
        for seed, kind, wrong in pool.map(outcome, range(first, first + count), chunksize=10):
            ends[kind] += 1
            if wrong:
                failures += 1
                print(f"seed {seed}: {kind}: {wrong[:300]}", flush=True)
    print("\n".join(f"{n:6d}  {kind}" for kind, n in ends.most_common()))
    print(f"{count} runs, {failures} failures")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(*(int(a) for a in sys.argv[1:3] or ["5000"])))

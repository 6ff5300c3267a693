"""Families against R's packages: mclust's noise component, mixtools' gamma mixture, MASS' and VGAM's single distributions.

    python tests/benchmarks/family_agreement.py

Prints a line a figure: ours, theirs, and their difference relative to the larger. Needs Rscript; a package that is not
installed is named. Data are simulated here (fixed seeds), except the noise case, which adds noise to Old Faithful's waits.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import emvsmcmc as ev

HERE = Path(__file__).parent
FAITHFUL = HERE.parents[1] / "models" / "data" / "faithful.csv"
SEED = 20
Figures = dict[str, float]
Columns = Mapping[str, np.ndarray]


def noise() -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    """Two Normals and a Uniform over the range of the data, known bounds: mclust's noise component in one dimension."""
    with FAITHFUL.open(newline="") as file:
        waits = np.array([float(row["waiting"]) for row in csv.DictReader(file)])
    x = np.concatenate([waits, np.random.default_rng(SEED).uniform(-50, 250, 40)])
    with ev.Spec(coords={"component": 2, "kind": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="kind")
        mean = ev.Normal("mean", 65, 50, dims="component")
        sd = ev.HalfNormal("sd", 20, dims="component")
        kind = ev.Categorical("kind_of_row", weight, dims="row")
        branches = [ev.Normal.dist(mean[k], sd[k]) for k in range(2)]
        ev.Switch("x", kind, [*branches, ev.Uniform.dist(x.min(), x.max())], dims="row")

    def figures(problem: ev.Problem) -> Figures:
        fit = best(problem)
        order = np.argsort(fit.estimate["mean"].values)
        out = {"log likelihood": fit.log_likelihood, "share of noise": float(fit.estimate["weight"].values[2])}
        for name in ("mean", "sd"):
            out |= {f"{name}[{i}]": float(fit.estimate[name].values[k]) for i, k in enumerate(order)}
        return out

    return {"x": x}, figures, spec


def gamma() -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    rng = np.random.default_rng(SEED)
    x = np.concatenate([rng.gamma(3.0, 0.5, 250), rng.gamma(9.0, 1.0, 250)])
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        alpha = ev.Exponential("alpha", 0.1, dims="component")
        rate = ev.Exponential("rate", 0.1, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Gamma("x", alpha[group], rate[group], dims="row")

    def figures(problem: ev.Problem) -> Figures:
        fit = best(problem)
        alpha, rate = fit.estimate["alpha"].values, fit.estimate["rate"].values
        order = np.argsort(alpha / rate)
        out = {"log likelihood": fit.log_likelihood}
        for i, k in enumerate(order):
            out |= {f"alpha[{i}]": float(alpha[k]), f"rate[{i}]": float(rate[k])}
        return out

    return {"x": x}, figures, spec


def single(columns: Columns, declare: Callable[[], Any]) -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    """One distribution without anything hidden: every parameter is a number."""
    with ev.Spec() as spec:
        declare()

    def figures(problem: ev.Problem) -> Figures:
        fit = best(problem)
        return {"log likelihood": fit.log_likelihood} | {str(k): float(v) for k, v in fit.estimate.items()}

    return columns, figures, spec


def negative_binomial() -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=400)
    y = rng.poisson(np.exp(0.7 + 0.5 * x) * rng.gamma(1.7, 1 / 1.7, 400))

    def declare() -> None:
        mu = ev.exp(ev.Normal("a", 0, 5) + ev.Normal("b", 0, 5) * ev.Data("x", dims="row"))
        ev.NegativeBinomial("y", mu, ev.Exponential("alpha", 1.0), dims="row")

    return single({"x": x, "y": y}, declare)


def beta() -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    y = np.random.default_rng(SEED).beta(2.5, 1.3, 300)
    return single({"y": y}, lambda: ev.Beta("y", ev.Exponential("alpha", 1.0), ev.Exponential("beta", 1.0), dims="row"))


def beta_binomial() -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    rng = np.random.default_rng(SEED)
    n = rng.integers(5, 30, 400)
    y = rng.binomial(n, rng.beta(2.0, 5.0, 400))

    def declare() -> None:
        alpha, beta = ev.Exponential("alpha", 1.0), ev.Exponential("beta", 1.0)
        ev.BetaBinomial("y", alpha=alpha, beta=beta, n=ev.Data("n", dims="row"), dims="row")

    return single({"y": y, "n": n}, declare)


def weibull() -> tuple[Columns, Callable[[ev.Problem], Figures], ev.Spec]:
    y = 3.0 * np.random.default_rng(SEED).weibull(1.6, 300)
    return single({"y": y}, lambda: ev.Weibull("y", ev.Exponential("alpha", 1.0), ev.Exponential("beta", 1.0), dims="row"))


CASES = {f.__name__: f for f in (noise, gamma, negative_binomial, beta, beta_binomial, weibull)}


def best(problem: ev.Problem) -> ev.EMFit:
    return ev.fit_em(problem, starts=10, tol=1e-13, max_iter=20_000, random_seed=SEED, standard_errors=None, progress=False)


def main() -> None:
    ours: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            columns, figures, spec = case()
            with (Path(folder) / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*[[repr(float(v)) for v in x] for x in columns.values()], strict=True))
            problem = ev.condition(spec, dict(columns))
            assert isinstance(problem, ev.Problem)
            ours[name] = figures(problem)
        command = ["Rscript", str(HERE / "family_agreement.R"), folder]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    print(f"{'case':18s}  {'quantity':16s}  {'ours':>16s}  {'theirs':>16s}  difference")
    for line in lines:
        where, quantity, figure = line.split("\t")
        if quantity == "absent":
            print(f"{where:18s}  {figure} is not installed")
            continue
        mine, theirs = ours[where][quantity], float(figure)
        print(f"{where:18s}  {quantity:16s}  {mine:16.9f}  {theirs:16.9f}  {abs(mine / theirs - 1):.1e}")


if __name__ == "__main__":
    main()

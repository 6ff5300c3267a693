"""The gallery against public packages on the same data: one table, and exit status 1 if a printed digit disagrees.

R's packages (stats, mixtools, flexmix, mclust, lavaan, pscl) are run by `agreement.R` through Rscript, scikit-learn in this
process; published figures stand beside them. What is not installed is named as absent. Each package is run far past its default
tolerance, prints a figure to so many digits, and ours must lie within half a unit of the last one. Our fits are told no
answer: each is the best of random starts.

    python tests/benchmarks/agreement.py [--json FILE] [--all]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import emvsmcmc as ev
from emvsmcmc import gallery

HERE = Path(__file__).resolve().parent
STARTS, SEED = 10, 1
TOL = 1e-15  # nats: nine printed digits are finer than the usual 1e-11, which is a few 1e-6 standard errors
HALF = 0.51  # of a unit of the last printed digit: both sides are rounded
_CASES: list[tuple[str, dict[str, Any]]] = [
    ("old_faithful", {}),
    ("old_faithful", {"both": True}),
    ("gaussian_mixture", {}),
    ("gaussian_mixture", {"two": True}),
    ("poisson_mixture", {}),
    ("poisson_mixture", {"components": 3}),
    ("zero_inflated_poisson", {}),
    ("one_factor", {}),
    ("one_factor", {"observed": True}),
    ("factor_analysis", {}),
    ("factor_analysis", {"factors": 1}),
    ("factor_analysis", {"factors": 2}),
    ("factor_analysis", {"simulated": True}),
    ("missing_bivariate", {}),
    ("missing_bivariate", {"columns": 4}),
    ("mixture_of_regressions", {}),
    ("mixture_of_regressions", {"shared_noise": True}),
    ("mixture_of_regressions", {"covariates": 3}),
    ("mixture_of_regressions", {"tone": True}),
    ("discriminant_analysis", {"labels": 100}),
    ("discriminant_analysis", {"labels": 100, "tied": True}),
    ("discriminant_analysis", {"labels": 0}),
    ("discriminant_analysis", {"labels": 0, "tied": True}),
    ("probabilistic_pca", {}),
    ("probabilistic_pca", {"factors": 1}),
    ("genetic_linkage", {}),
]
CASES = {" ".join([model, *(f"{k}={v}" for k, v in options.items())]): (model, options) for model, options in _CASES}
# parameter of each mixture by whose first number components are put in order, here and in agreement.R
KEYS = {"mixture_of_regressions": "intercept", "poisson_mixture": "rate"}
PUBLISHED = [
    ("Benaglia et al. (2009)", "old_faithful", {"weight": "0.3609 0.6391", "mean": "54.6149 80.0911", "sd": "5.8712 5.8677"}),
    ("Zucchini and MacDonald (2009)", "poisson_mixture", {"weight": "0.676 0.324", "rate": "15.777 26.840"}),
    ("Zucchini and MacDonald (2009)", "poisson_mixture", {"log likelihood": "-360.3690"}),
    ("Zucchini and MacDonald (2009)", "poisson_mixture components=3", {"log likelihood": "-356.8489"}),
    ("Dempster, Laird and Rubin (1977)", "genetic_linkage", {"t": "0.626821498"}),
]


@dataclass(frozen=True)
class Figure:
    """One number that a package printed."""

    package: str
    case: str
    quantity: str
    printed: str


@dataclass(frozen=True)
class Row:
    """That number beside ours."""

    case: str
    quantity: str
    package: str
    figure: str
    ours: float
    difference: float
    agrees: bool


def from_r(folder: Path) -> tuple[list[Figure], list[str]]:
    """What agreement.R prints, and the packages that it misses."""
    if shutil.which("Rscript") is None:
        return [], ["R, with stats, mixtools, flexmix, mclust, lavaan, pscl"]
    command = ["Rscript", "--vanilla", str(HERE / "agreement.R"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [Figure(*line) for line in lines if len(line) == 4], [line[0] for line in lines if len(line) == 2]


def from_sklearn(data: dict[str, pd.DataFrame]) -> Iterator[Figure]:
    """Figures of scikit-learn 1.9, to six significant digits. PCA divides by n - 1: undone here."""
    from sklearn.decomposition import PCA, FactorAnalysis
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
    from sklearn.mixture import GaussianMixture

    def say(case: str, quantity: str, x: float, digits: int = 6) -> Figure:
        return Figure("scikit-learn", case, quantity, format(float(x), f"#.{digits}g"))

    for case in ("factor_analysis factors=1", "factor_analysis factors=2", "factor_analysis"):
        frame = data[case]
        k = gallery.load("factor_analysis").default("factors") if "=" not in case else int(case[-1])
        fit = FactorAnalysis(k, tol=1e-9, max_iter=100_000, svd_method="lapack").fit(frame)
        yield say(case, "log likelihood", fit.score(frame) * len(frame), 8)
        yield from (say(case, f"sd[{c}]", v, 4) for c, v in zip(frame, np.sqrt(fit.noise_variance_), strict=True))
    for case in ("probabilistic_pca factors=1", "probabilistic_pca"):
        frame = data[case]
        fit = PCA(1 if "=" in case else 2, svd_solver="full").fit(frame)
        yield say(case, "sd", np.sqrt(fit.noise_variance_ * (len(frame) - 1) / len(frame)))
    for case, kind in (
        ("gaussian_mixture", "full"),
        ("gaussian_mixture two=True", "full"),
        ("old_faithful both=True", "full"),
        ("discriminant_analysis labels=0", "full"),
        ("discriminant_analysis labels=0 tied=True", "tied"),
    ):
        frame = data[case].select_dtypes("number")
        k = 2 if case.startswith("old") else 3
        fit = GaussianMixture(k, covariance_type=kind, tol=1e-13, reg_covar=0, max_iter=100_000, n_init=10, random_state=0)
        yield say(case, "log likelihood", fit.fit(frame).score(frame) * len(frame), 8)
        labels = ["setosa", "versicolor", "virginica"] if case.startswith("disc") else range(k)
        order = np.argsort(fit.means_[:, 0])
        for label, i in zip(labels, order, strict=True):
            yield say(case, f"weight[{label}]", fit.weights_[i])
            columns = [f", {c}" for c in frame] if frame.shape[1] > 1 else [""]
            yield from (say(case, f"mean[{label}{c}]", m) for c, m in zip(columns, fit.means_[i], strict=True))
    case = "discriminant_analysis labels=100"
    frame = data[case]
    measures = frame.columns[:4]
    quadratic = QuadraticDiscriminantAnalysis(store_covariance=True).fit(frame[measures], frame["species"])
    for name, cov in zip(quadratic.classes_, quadratic.covariance_, strict=True):
        pairs = zip(measures, measures[[1, 2, 3, 0]], strict=True)
        yield from (say(case, f"cov[{name}, {a}, {b}]", cov[measures.get_loc(a), measures.get_loc(b)]) for a, b in pairs)
    linear = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(frame[measures], frame["species"])
    for (i, a), (j, b) in product(enumerate(measures), repeat=2):
        yield say(f"{case} tied=True", f"cov[{a}, {b}]", linear.covariance_[i, j])


def from_print() -> Iterator[Figure]:
    """Published figures; several of one parameter are those of its positions."""
    for source, case, found in PUBLISHED:
        for name, text in found.items():
            many = text.split()
            for i, printed in enumerate(many):
                yield Figure(source, case, f"{name}[{i}]" if len(many) > 1 else name, printed)


def csv_of(case: str) -> pd.DataFrame:
    """The model's data as columns; those of a matrix are named by its coords, or x1, x2, ... where it has only a size."""
    name, options = CASES[case]
    model = gallery.load(name)
    spec, data = model.spec(**options), model.data(**options)
    if isinstance(data, pd.DataFrame):
        return data
    columns: dict[str, np.ndarray] = {}
    for key, value in data.items():
        if np.ndim(value) == 1:
            columns[key] = value
            continue
        dim = {**spec.variables, **spec.data}[key].dims[1]
        named = [label if isinstance(label, str) else f"{key}{j + 1}" for j, label in enumerate(spec.coords[dim])]
        columns |= dict(zip(named, np.asarray(value).T, strict=True))
    return pd.DataFrame(columns)


@cache
def ours(case: str) -> dict[str, float]:
    """Every figure of our fit: parameters, "s.e. of ..." them, uniquenesses, log likelihood."""
    model, options = CASES[case]
    fit = ev.fit_em(gallery.load(model).problem(**options), starts=STARTS, random_seed=SEED, tol=TOL, progress=False)
    if not fit.converged:
        sys.exit(f"{case}: our fit ended as {fit.status.value}")
    out = {"log likelihood": fit.log_likelihood}
    estimate, error = (in_order(model, fit, values) for values in (fit.estimate, fit.standard_error))
    if model == "one_factor" and "z" in fit.latent:
        estimate = estimate.assign(slope=estimate["slope"] * np.sign(estimate["slope"][0]))  # z has no sign of its own
    out |= scalars(estimate)
    out |= {f"s.e. of {k}": v for k, v in scalars(error).items()}
    shared = {"factor_analysis": "loading", "one_factor": "slope"}.get(model)
    if shared is not None:
        loading = estimate[shared].to_numpy().reshape(estimate["sd"].size, -1)
        share = estimate["sd"] ** 2 / ((loading**2).sum(axis=1) + estimate["sd"] ** 2)
        out |= scalars(xr.Dataset({"uniqueness": share}))
    return out


def in_order(model: str, fit: ev.EMFit, values: xr.Dataset) -> xr.Dataset:
    """Positions of the dim that a hidden label counts, in ascending order of the model's key; labels stay where they are."""
    problem = fit.problem
    hidden = [v for v in problem.spec.variables.values() if problem.roles[v.label] == "assignment"]
    dim = next((str(v.counts) for v in hidden if getattr(v, "counts", None) in fit.estimate.dims), None)
    if dim is None:
        return values
    key = fit.estimate[KEYS.get(model, "mean")].transpose(dim, ...).to_numpy()
    order = np.argsort(key.reshape(len(key), -1)[:, 0])
    return values.isel({dim: order}).assign_coords({dim: values[dim].to_numpy()})


def scalars(values: xr.Dataset) -> dict[str, float]:
    """{"mean[0, x]": number}."""
    out = {}
    for name, array in values.data_vars.items():
        for at in np.ndindex(*array.shape):
            labels = ", ".join(str(array[d].to_numpy()[i]) for d, i in zip(array.dims, at, strict=True))
            out[f"{name}[{labels}]" if at else str(name)] = float(array.to_numpy()[at])
    return out


def beside(figure: Figure) -> Row:
    """Ours next to it. They agree when the difference is at most half a unit of the last digit that was printed."""
    found = ours(figure.case)
    if figure.quantity not in found:
        sys.exit(f"{figure.package}, {figure.case}: our fit has no {figure.quantity!r}")
    mine, theirs = found[figure.quantity], float(figure.printed)
    unit = 10.0 ** -len(re.sub(r"e.*", "", figure.printed).partition(".")[2])
    difference = mine - theirs
    return Row(
        figure.case, figure.quantity, figure.package, figure.printed, mine, difference, bool(abs(difference) <= HALF * unit)
    )


def show(rows: list[Row], every: bool) -> None:
    """The table. Without `every`, of a parameter with many positions only the one farthest off is printed."""
    shown = rows if every else farthest(rows)
    widths = [max(len(getattr(r, c)) for r in shown) for c in ("case", "quantity", "package", "figure")]
    heads = ("model", "quantity", "package", "its figure")
    print("  ".join(h.ljust(w) for h, w in zip(heads, widths, strict=True)) + f"  {'ours':>14}  difference")
    for r in shown:
        cells = [r.case.ljust(widths[0]), r.quantity.ljust(widths[1]), r.package.ljust(widths[2]), r.figure.rjust(widths[3])]
        print("  ".join(cells) + f"  {r.ours:>14.9g}  {r.difference:>+10.1e}{'' if r.agrees else '  DISAGREES'}")


def farthest(rows: list[Row]) -> list[Row]:
    """Of each package's figures of one parameter, the one with the largest difference, and all that disagree."""
    worst: dict[tuple[str, ...], Row] = {}
    for r in rows:
        key = (r.case, r.package, r.quantity.partition("[")[0])
        if key not in worst or abs(r.difference) > abs(worst[key].difference):
            worst[key] = r
    return [r for r in rows if not r.agrees or r in worst.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every row to this file")
    parser.add_argument("--all", action="store_true", help="print every figure, not the farthest of each parameter")
    options = parser.parse_args()

    data = {case: csv_of(case) for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for case, frame in data.items():
            frame.to_csv(Path(folder, case.replace(" ", "_") + ".csv"), index=False)
        figures, absent = from_r(Path(folder))
    try:
        figures += from_sklearn(data)
    except ModuleNotFoundError:
        absent.append("scikit-learn")
    figures += from_print()

    rows = sorted((beside(f) for f in figures), key=lambda r: list(CASES).index(r.case))
    show(rows, options.all)
    wrong = [r for r in rows if not r.agrees]
    if options.json is not None:
        options.json.write_text(
            json.dumps({"rows": [asdict(r) for r in rows], "absent": absent}, indent=1) + "\n", encoding="utf-8"
        )
    print(f"\n{len(rows)} figures of {len({r.package for r in rows})} sources; {len(wrong)} disagree.")
    if absent:
        print(f"Absent: {', '.join(absent)}.")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

"""Data for calibration: parameters from the prior, rows from the model, holes and covariates where real data have them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import BadEvidence, BadInput, UnsupportedModel, WidePrior
from ...families.support import Covariance, Positive
from ...problem.chunked import in_memory
from ...problem.condition import condition
from ...problem.problem import Problem
from ...simulation import simulate
from ...spec.model import Spec
from ...spec.roles import usually_hidden
from ...spec.variable import Variable

TRIES = 100  # draws from the prior that are looked at before anything is fitted
DECADES = 6.0  # powers of ten that the central 95% of a scale, a rate or a variance may span
FAR = 1e6  # widths of the noise that the central 95% of a location may span


@dataclass(frozen=True)
class Design:
    """What a simulated data set is like beside its values.

    spec : the model. plate : its row dim. observed : row variables that the fits see. template : data whose covariates, holes
    and fixed parameters simulated rows take over, its rows repeated in one fixed order; None where all is seen and there are no
    covariates.
    """

    spec: Spec
    plate: str
    observed: tuple[str, ...]
    template: Problem | None = None


def design_of(spec: Spec, data: Any = None) -> Design:
    """How to simulate from a spec, with the covariates, holes, labels and fixed values of `data` where given.

    Raises UnsupportedModel without exactly one row dim of free size, BadEvidence for soft labels, and what `condition` raises.
    """
    plates = list(dict.fromkeys(d for v in spec.variables.values() for d in spec.plates_of(v)))
    free = [d for d in plates if d not in spec.coords]
    if len(plates) != 1 or len(free) != 1:
        raise UnsupportedModel(
            "spec",
            "exactly one row dim, without coords, of which there can be any number of rows",
            f"{plates or 'none'}" + (f", of which {[d for d in plates if d in spec.coords]} have coords" if plates else ""),
            "Leave the coords of the row dim out of the Spec.",
        )
    if data is None:
        hidden = usually_hidden(spec)
        rows = [v.label for v in spec.variables.values() if spec.plates_of(v)]
        return Design(spec, free[0], tuple(name for name in rows if name not in hidden))
    problem = data if isinstance(data, Problem) else in_memory(condition(spec, data, ignore_extra=True), "calibrate")
    if problem.evidence:
        name = next(iter(problem.evidence))
        raise BadEvidence(name, "labels, or none", "soft labels", "They are no part of the model, so they cannot be simulated.")
    rows = [v.label for v in problem.row_variables if v.label in problem.given]
    return Design(spec, free[0], tuple(rows), problem)


def simulated(design: Design, n: int, seed: int) -> tuple[dict[str, np.ndarray], Problem]:
    """(true parameters, the problem of n rows that their data make). Raises what `simulate` and `condition` raise."""
    spec, template = design.spec, design.template
    rows = np.zeros(0, dtype=int)
    covariates: dict[str, np.ndarray] = {}
    fixed: dict[str, np.ndarray] = {}
    if template is not None:
        order = np.random.default_rng(0).permutation(template.n)  # neighbours in a file may be alike
        rows = np.resize(order, n)
        covariates = {k: _rows_of(x.array, x.dims, design.plate, rows) for k, x in template.covariates.items()}
        fixed = {k: x.array for k, x in template.fixed.items()}
    sizes = {} if any(design.plate in spec.data[k].dims for k in covariates) else {design.plate: n}
    drawn = simulate(spec, sizes, fixed, seed, covariates)
    data: dict[str, Any] = dict(covariates)
    for name in design.observed:
        variable = spec.variables[name]
        x = drawn[name].transpose(*variable.dims).values
        if template is not None:
            holes = np.isnan(_rows_of(template.given[name].array, variable.dims, design.plate, rows))
            x = np.where(holes, -1, x) if variable.discrete else np.where(holes, np.nan, x)
        data[name] = x
    truth = {v.label: drawn[v.label].transpose(*v.dims).values for v in _parameters(spec) if v.label not in fixed}
    return truth, in_memory(condition(spec, data, fixed=fixed), "calibrate")


def _rows_of(array: np.ndarray, dims: tuple[str, ...], plate: str, rows: np.ndarray) -> np.ndarray:
    return np.take(array, rows, axis=dims.index(plate)) if plate in dims else array


def _parameters(spec: Spec) -> list[Variable]:
    return [v for v in spec.variables.values() if not spec.plates_of(v)]


# ------------------------------------------------------------------------------------------------------------------ the prior


def check_prior(design: Design, n: int, seed: int) -> None:
    """Refuse a prior under which simulating says nothing: it is improper, overflows, or spreads a scale over more than DECADES
    powers of ten or a location over more than FAR times the noise. Raises WidePrior; what the model lacks, as `simulate` does.
    """
    draws: dict[str, list[np.ndarray]] = {}
    unusable = 0
    for i in range(TRIES):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                truth = simulated(design, min(n, 20), seed + i)[0]
            except UnsupportedModel:
                raise
            except BadInput as error:
                if type(error).__name__ in ("MissingData", "WrongDims", "UnknownName"):
                    raise
                unusable += 1  # a constant column, an empty class: the sweep will count such data
                continue
            except (ValueError, ZeroDivisionError, FloatingPointError, np.linalg.LinAlgError) as error:
                raise WidePrior(
                    "prior", "one from which data can be drawn", f"a draw that fails ({error})", _remedy("its parameters")
                ) from error
        for name, x in truth.items():
            draws.setdefault(name, []).append(x)
    if unusable == TRIES:
        simulated(design, min(n, 20), seed)
    stacked = {name: np.stack(x) for name, x in draws.items()}
    noise = _noise(design.spec, stacked)
    for v in _parameters(design.spec):
        if v.label in stacked:
            _wide(v, stacked[v.label], noise)


def _wide(v: Variable, x: np.ndarray, noise: float) -> None:
    if not np.isfinite(x).all():
        raise WidePrior(v.label, "a prior whose draws are finite numbers", "infinite ones", _remedy(v.label))
    support = v.family.support()
    if isinstance(support, Covariance):
        x = np.diagonal(x, axis1=-2, axis2=-1)
    low, high = np.quantile(x.reshape(len(x), -1), [0.025, 0.975], axis=0)
    scale = isinstance(support, (Positive, Covariance))
    with np.errstate(divide="ignore"):
        width = np.log10(high / np.maximum(low, np.finfo(float).tiny)) if scale else (high - low) / noise
    worst = int(np.argmax(width))
    if width[worst] > (DECADES if scale else FAR):
        wanted = (
            f"a prior whose central 95% spans at most {DECADES:g} powers of ten"
            if scale
            else f"a prior whose central 95% spans at most {FAR:g} times the noise (about {noise:.2g})"
        )
        raise WidePrior(v.label, wanted, f"draws from {low[worst]:.3g} to {high[worst]:.3g}", _remedy(v.label))


def _noise(spec: Spec, draws: dict[str, np.ndarray]) -> float:
    """Median of the smallest standard deviation (or scale) in each draw; 1 where there is none."""
    parts = []
    for v in _parameters(spec):
        if v.label in draws and isinstance(v.family.support(), Covariance):
            parts.append(np.sqrt(np.diagonal(draws[v.label], axis1=-2, axis2=-1)).reshape(_count(draws), -1))
        elif v.label in draws and isinstance(v.family.support(), Positive):
            parts.append(draws[v.label].reshape(_count(draws), -1))
    smallest = float(np.median(np.concatenate(parts, axis=1).min(axis=1))) if parts else 1.0
    return smallest if smallest > 0 and np.isfinite(smallest) else 1.0


def _count(draws: dict[str, np.ndarray]) -> int:
    return len(next(iter(draws.values())))


def _remedy(name: str) -> str:
    return (
        f"Calibration draws {name} from the prior: declare one that you would defend before seeing data, with a scale of the "
        "size you expect (HalfNormal(5) for a scale of a few units, Normal(65, 30) for a location), and calibrate that model."
    )

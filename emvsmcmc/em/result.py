"""EMFit: the answer of EM, with every start, its uncertainty, and what it says about hidden variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr

from ..errors import Degenerate, Status
from ..expect.coefficients import coefficients
from ..expect.layout import RowOutput
from ..expect.plan import Plan
from ..expect.rows import expect_rows
from ..expect.store.base import Groups
from ..expect.store.chunks import plan_rows
from ..problem.chunked import AnyProblem
from ..problem.condition import condition
from ..problem.covariates import determined
from ..problem.problem import Problem
from ..spec.evaluate import Environment
from ..spec.private_dims import is_unnamed
from .recession import Recession
from .uncertainty import Uncertainty


@dataclass(frozen=True)
class Start:
    """How one start went. `optimum` numbers the distinct optima from the best (0); -1 where the start reached none."""

    objective: float
    iterations: int
    passes: int
    status: Status
    reason: str
    optimum: int
    path: np.ndarray


@dataclass(frozen=True)
class EMFit:
    """A fit by EM.

    Attributes
    ----------
    estimate, standard_error : Datasets, one variable for each parameter of the spec, in its dims and coords. A standard error
        that does not exist is NaN, and `reasons` says why.
    missing_information : fraction of missing information of each value: 1 - (its variance were everything hidden given) / (its
        variance as observed). EM converges at the rate of the largest (`predicted_rate`), and it says what knowing the hidden
        values would be worth.
    log_likelihood : of the returned parameters, observed data, whatever the objective was.
    objective : "ml" or "map"; `objective_value` its value in nats (log likelihood, plus the log prior in declared space for
    "map").
    path : objective of each iteration of the best start. history : with `init`, the parameters of each of them, over (iteration,
        dims), and their objective.
    starts : every start, in order. `optima` : parameters at each distinct optimum, best first.
    probability : posterior probabilities of each discrete latent, (plate, counted dim). latent : posterior mean and sd of each
        hidden Gaussian variable and cell. Both are of the size of the data, and worked out when first asked for; for rows in
        chunks they are Dask arrays.
    status, reason, sentence, converged, iterations : of the best start. `sentence` : what the status means here, and the way out.
    recession : the direction along which the likelihood rises for ever, where it has no maximum (separation), else
    None. `gain` : nats still to gain when it ended. `rate` : of convergence.
    n_parameters : free parameters: packed length, without those on a boundary and without the angles of rotations.
    uncertainty : information matrices in unconstrained coordinates, and standard errors of functions of the parameters.
    """

    problem: AnyProblem
    estimate: xr.Dataset
    standard_error: xr.Dataset
    reasons: dict[str, str]
    log_likelihood: float
    objective: str
    objective_value: float
    assignment: str
    path: np.ndarray
    starts: list[Start]
    optima: list[Environment] = field(repr=False)
    status: Status
    reason: str
    iterations: int
    gain: float
    rate: float
    n_parameters: int
    missing_information: xr.Dataset
    uncertainty: Uncertainty = field(repr=False)
    environment: Environment = field(repr=False)
    plan: Plan = field(repr=False)
    history: xr.Dataset | None = field(default=None, repr=False)
    random_seed: int | None = None
    seconds: float = float("nan")
    notes: tuple[str, ...] = ()
    recession: Recession | None = field(default=None, repr=False)

    @property
    def probability(self) -> xr.Dataset:
        return self._hidden["probability"]

    @property
    def latent(self) -> xr.Dataset:
        return self._hidden["latent"]

    @cached_property
    def _hidden(self) -> Groups:
        """Empty where an unbounded path ended outside the model."""
        values = {v.label: self.environment.values[v.label].array for v in self.plan.parameters}
        try:
            return self.plan.map_rows(partial(hidden_variables, values, with_holes(self.plan)))
        except (Degenerate, np.linalg.LinAlgError):
            return {"probability": xr.Dataset(), "latent": xr.Dataset()}

    @property
    def information(self) -> np.ndarray | None:
        """Observed information in unconstrained coordinates; None where standard errors did not ask for it."""
        return self.uncertainty.information

    @property
    def predicted_rate(self) -> float:
        """Rate of plain EM near the optimum, from the information matrices: the error left after each iteration, of that
        before."""
        return self.uncertainty.rate

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def sentence(self) -> str:
        return self.status.sentence if self.recession is None else self.recession.sentence

    @property
    def aic(self) -> float:
        """-2 log likelihood + 2 p."""
        return -2 * self.log_likelihood + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """-2 log likelihood + p log n, n the rows that say something, weights as repetitions."""
        return -2 * self.log_likelihood + self.n_parameters * float(np.log(self.problem.observations))

    def predict(self, data: Any) -> xr.Dataset:
        """Posterior probabilities of every discrete latent for new rows, at the estimate.

        data : like that of `condition`, one row or many; whatever is left out is predicted, and columns that the spec
        does not name are left out. Returns one (plate, counted dim) variable
        a latent, lazy where Dask holds the data, and "log_likelihood" of each row. Raises the same named errors as `condition`.
        """
        estimated = {name: value.array for name, value in self.environment.values.items() if name in self.estimate}
        known = {name: value.array for name, value in self.plan.problem.fixed.items()} | estimated
        problem = condition(self.problem.spec, data, fixed=known, ignore_extra=True)
        return plan_rows(problem).map_rows(predictions)["predictions"]

    def to_datatree(self) -> xr.DataTree:
        """The fit as a DataTree with groups estimate, standard_error, probability and latent; scalars are attributes."""
        tree = xr.DataTree.from_dict(
            {
                "estimate": self.estimate,
                "standard_error": self.standard_error,
                "missing_information": self.missing_information,
                "probability": self.probability,
                "latent": self.latent,
            }
        )
        tree.attrs = {
            "objective": self.objective,
            "objective_value": self.objective_value,
            "log_likelihood": self.log_likelihood,
            "assignment": self.assignment,
            "status": self.status.value,
            "iterations": self.iterations,
            "n_parameters": self.n_parameters,
            "aic": self.aic,
            "bic": self.bic,
        }
        return tree

    def __repr__(self) -> str:
        return (
            f"EMFit({self.objective}, log likelihood {self.log_likelihood:.5f}, {self.n_parameters} parameters, "
            f"{self.status.value} after {self.iterations} iterations)"
        )


def parameter_dataset(problem: Problem, values: dict[str, np.ndarray]) -> xr.Dataset:
    """Values of parameters, and of named functions of them, as a Dataset in their dims and coords."""
    own = {v.label: v.dims for v in problem.parameters} | {d.name: d.dims for d in problem.spec.deterministics.values()}
    dims = {d for v in problem.parameters for d in v.dims} | {d for name in values for d in own[name]}
    return xr.Dataset(
        {name: (own[name], np.asarray(value, dtype=float)) for name, value in values.items()},
        coords={d: problem.labels(d) for d in sorted(dims)},
    )


def parameter_history(problem: Problem, trace: list[Environment], path: list[float]) -> xr.Dataset:
    """Parameters after each iteration, (iteration, dims), and "objective"."""
    columns = {v.label: (("iteration", *v.dims), np.stack([e.values[v.label].array for e in trace])) for v in problem.parameters}
    dims = sorted({d for v in problem.parameters for d in v.dims})
    history = xr.Dataset(columns, coords={d: problem.labels(d) for d in dims})
    return history.assign(objective=("iteration", path[: len(trace)]))


def row_output(plan: Plan, values: Mapping[str, np.ndarray]) -> RowOutput:
    """What is of the size of the data, at parameter values in declared shape."""
    return expect_rows(plan, coefficients(plan, plan.environment(dict(values))))[2]


def hidden_variables(values: Mapping[str, np.ndarray], gaussians: list[str], plan: Plan) -> Groups:
    """{"probability": of discrete latents, "latent": of the Gaussian variables that are named} for the rows of a plan."""
    rows = row_output(plan, values)
    return {"probability": assignment_probabilities(plan, rows), "latent": hidden_gaussians(plan, rows, gaussians)}


def predictions(plan: Plan) -> Groups:
    """`assignment_probabilities`, and "log_likelihood" of each row, of a plan whose parameters are all fixed."""
    rows = row_output(plan, {})
    probabilities = assignment_probabilities(plan, rows)
    return {"predictions": probabilities.assign(log_likelihood=(plan.problem.plate, rows.log_likelihood))}


def assignment_probabilities(plan: Plan, rows: RowOutput) -> xr.Dataset:
    """(plate, counted dim) marginal posterior of each discrete latent from the joint responsibilities."""
    problem = plan.problem
    plate = problem.plate
    out: dict[str, tuple[tuple[str, str], np.ndarray]] = {}
    coords: dict[str, np.ndarray] = {plate: problem.labels(plate)}
    joint = rows.responsibility.reshape(len(rows.responsibility), *plan.shape)
    for latent in plan.latents:
        axis = list(plan.axes).index(latent.label)
        marginal = joint.sum(axis=tuple(i + 1 for i in range(len(plan.shape)) if i != axis))
        dim = latent.counts if latent.counts is not None and not is_unnamed(latent.counts) else f"{latent.label}_value"
        out[latent.label] = ((plate, dim), marginal)
        coords[dim] = problem.labels(dim) if dim in problem.sizes else np.arange(marginal.shape[1])
    return xr.Dataset(out, coords=coords)


def with_holes(plan: Plan) -> list[str]:
    """Gaussian variables that are hidden, wholly or in some cells."""
    given = plan.problem.given
    names = dict.fromkeys(p.variable.label for p in plan.gaussians)
    return [name for name in names if name not in given or np.isnan(given[name].array).any()]


def hidden_gaussians(plan: Plan, rows: RowOutput, names: list[str] | None = None) -> xr.Dataset:
    """Variables `<name>` and `<name>_sd` for each Gaussian variable with hidden cells, or those named: posterior mean and sd
    (given cells have sd 0; NaN where a covariate that it depends on is missing).
    """
    problem = plan.problem
    plate = problem.plate
    out: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    coords: dict[str, np.ndarray] = {}
    for name in with_holes(plan) if names is None else names:
        variable = problem.spec.variables[name]
        where = plan.slices[variable.label]
        dims = (plate, *[d for d in variable.dims if d != plate])
        shape = tuple(problem.sizes[d] for d in dims)
        out[variable.label] = (dims, determined(problem, variable, dims, rows.mean[:, where].reshape(shape)))
        sd = np.sqrt(np.maximum(rows.second[:, where], 0.0)).reshape(shape)
        out[f"{variable.label}_sd"] = (dims, determined(problem, variable, dims, sd))
        coords |= {d: problem.labels(d) for d in dims}
    return xr.Dataset(out, coords=coords)

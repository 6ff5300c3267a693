"""Leaving rows out, one at a time, by Pareto-smoothed importance sampling: what the page shows and `choose` compares.

Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC,
Statistics and Computing 27, 1413-1432; Magnusson, Andersen, Jonasson and Vehtari (2020), Leave-one-out cross-validation for
Bayesian model comparison in large data, for the sample of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from arviz_stats.utils import ELPDDataLOO

from ..numerics import logsumexp
from ..problem.problem import Problem

LOO_ROWS = 1000  # distinct rows beyond which leave-one-out works on a sample
PARETO_K = 0.7  # index above which importance sampling of a row is not to be trusted
STILL = 1e-12  # relative spread of a row's log-likelihood over the draws below which no draw tells it apart


@dataclass(frozen=True)
class LeaveOneOut:
    """Log predictive densities of rows given all the others, in nats. A unit is a set of identical rows, evaluated once.

    row : (units used,) first original row of each unit used. rows : how many original rows it stands for. weight : the sum of
    their weights. elpd : log p(one such row | all the others). loss : log p(row | all rows) less elpd. pareto_k : tail index of
    the importance weights; 0 where the row's likelihood is the same in all draws. density : sum of w log p(row | all rows) over
    all units. units : how many units there are with a positive weight. draws : draws behind it.
    """

    row: np.ndarray
    rows: np.ndarray
    weight: np.ndarray
    elpd: np.ndarray
    loss: np.ndarray
    pareto_k: np.ndarray
    density: float
    units: int
    draws: int

    @property
    def share(self) -> float:
        """Units there are for each one used; above 1 where the units are a sample."""
        return self.units / len(self.row)

    @property
    def p(self) -> float:
        """Effective number of parameters: the sum of w loss (estimated from the sample of units)."""
        return self.share * float(self.weight @ self.loss)

    @property
    def total(self) -> float:
        """Sum of w elpd over all rows; where units are a sample, by the difference estimator: density less the loss."""
        return self.density - self.p

    @property
    def se(self) -> float:
        """Standard error of `total` for other rows of the same kind: sqrt(n / (n - 1) sum of w (elpd - mean)^2), n the sum of
        the weights.
        """
        n = self.share * float(self.weight.sum())
        return self._spread(self.elpd) * float(np.sqrt(n / (n - 1))) if n > 1 else float("nan")

    @property
    def unreliable(self) -> int:
        """Original rows, of those used, whose Pareto k is above 0.7."""
        return int(self.rows[self.pareto_k > PARETO_K].sum())

    def less(self, other: LeaveOneOut) -> tuple[float, float]:
        """(total of this less that of `other`, its standard error) on the same units, row by row.

        The error is sqrt(sum of w (d - mean d)^2) with d the difference of one row's elpd, as in ArviZ's `compare` (which leaves
        out the factor n / (n - 1) that its `loo` has); where units are a sample, the error of drawing them is added.
        """
        m, differing = len(self.row), self.weight * (self.loss - other.loss)
        sampling = self.units**2 * (1 - m / self.units) * np.var(differing, ddof=1) / m if self.units > m else 0.0
        return self.total - other.total, float(np.hypot(self._spread(self.elpd - other.elpd), np.sqrt(sampling)))

    def _spread(self, x: np.ndarray) -> float:
        return float(np.sqrt(self.share * self.weight @ (x - np.average(x, weights=self.weight)) ** 2))

    def dataset(self) -> xr.Dataset:
        """Variables elpd and pareto_k over the rows used; attributes elpd, se, p, and sampled: 1 where the rows are a sample."""
        attrs = {"elpd": self.total, "se": self.se, "p": self.p, "sampled": int(self.share > 1)}
        return xr.Dataset({"elpd": ("row", self.elpd), "pareto_k": ("row", self.pareto_k)}, {"row": self.row}, attrs)


def likelihood_name(problem: Problem) -> str:
    """Name of the rows' log-likelihood: that of the observed variable where one alone is observed, one value a row, so that ArviZ
    finds it among observed_data and posterior_predictive; else "rows", as it is of several values jointly.
    """
    names = [v.label for v in problem.row_variables if v.label in problem.given or v.label in problem.evidence]
    if len(names) != 1 or problem.spec.variables[names[0]].dims != tuple(problem.plates) or names[0] in problem.plates:
        return "rows"
    return names[0]


def rowwise(posterior: xr.DataTree) -> xr.DataArray:
    """(chain, draw, plate) log-likelihood of each row, under whatever name."""
    (array,) = posterior["log_likelihood"].to_dataset().data_vars.values()
    return array


def leave_one_out(posterior: xr.DataTree, weights: np.ndarray, groups: np.ndarray) -> LeaveOneOut:
    """PSIS-LOO of every distinct row once, weighted by the rows that share it.

    posterior : the tree of `fit_mcmc`. weights : (n,) row weights; a row of weight 2 is two rows, of which one is left out.
    groups : (n,) code of each row; rows of one code have the same log-likelihood under every draw. Beyond LOO_ROWS distinct rows
    a random sample of them, the same for the same codes and weights, corrects the log predictive density of all.
    """
    drawn = rowwise(posterior)
    pointwise = drawn.values.reshape(-1, drawn.shape[-1])
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    w, rows = np.bincount(inverse, weights), np.bincount(inverse)
    there = np.flatnonzero(w > 0)
    used = there if len(there) <= LOO_ROWS else np.random.default_rng(0).choice(there, LOO_ROWS, replace=False)
    density = logsumexp(pointwise[:, first[there]], axis=0) - np.log(len(pointwise))
    own = pointwise[:, first[used]].T
    elpd, pareto_k = own.mean(axis=1), np.zeros(len(used))
    moves = np.ptp(own, axis=1) > STILL * np.maximum(1.0, np.abs(elpd))
    if moves.any():
        kept = posterior["posterior"].to_dataset().sel(draw=drawn["draw"])
        log_weights, k = array_stats.psislw(own[moves], r_eff=efficiency(kept))  # it takes the log-likelihood itself
        elpd[moves], pareto_k[moves] = logsumexp(log_weights + own[moves], axis=1), k
    position = np.searchsorted(there, used)
    return LeaveOneOut(
        row=first[used],
        rows=rows[used],
        weight=w[used],
        elpd=elpd,
        loss=density[position] - elpd,
        pareto_k=pareto_k,
        density=float(w[there] @ density),
        units=len(there),
        draws=len(pointwise),
    )


def elpd_data(loo: LeaveOneOut, problem: Problem, groups: np.ndarray) -> Any:
    """`found` as ArviZ's ELPDDataLOO, over all rows. groups : (n,) as given to `leave_one_out`.

    elpd_i : w elpd of each row, which sum to `elpd`; 0 for a row that does not count. Where the rows are a sample, elpd_i and
    pareto_k are NaN for those that were not looked at. n_data_points : `Problem.observations`, rounded.
    """
    w, plate = problem.heard, problem.plate
    elpd, pareto_k = np.full(groups.max() + 1, np.nan), np.full(groups.max() + 1, np.nan)
    elpd[groups[loo.row]], pareto_k[groups[loo.row]] = loo.elpd, loo.pareto_k
    coords = {plate: problem.labels(plate)}
    return ELPDDataLOO(
        elpd=loo.total,
        se=loo.se,
        p=loo.p,
        n_samples=loo.draws,
        n_data_points=round(problem.observations),
        scale="log",
        warning=loo.unreliable > 0,
        good_k=PARETO_K,
        elpd_i=xr.DataArray(np.where(w > 0, w * elpd[groups], 0.0), coords, [plate]),
        pareto_k=xr.DataArray(np.where(w > 0, pareto_k[groups], 0.0), coords, [plate]),
    )


def efficiency(posterior: xr.Dataset) -> float:
    """Effective draws of the mean for each draw, averaged over all scalar parameters; 1 for a single chain, as in ArviZ."""
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if chains == 1:
        return 1.0
    scalars = [v.transpose("chain", "draw", ...).values.reshape(chains, draws, -1) for v in posterior.data_vars.values()]
    ess = array_stats.ess(np.concatenate(scalars, axis=2), chain_axis=0, draw_axis=1, method="mean")
    mean = float(np.mean(ess)) / (chains * draws)
    return mean if np.isfinite(mean) and mean > 0 else 1.0

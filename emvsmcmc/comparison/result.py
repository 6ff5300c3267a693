"""Comparison: everything a run found, to look at, to save, and to make a page of."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..em.result import EMFit
from ..errors import BadFile
from ..expect.heywood import zero_uniquenesses
from ..files import write_whole
from ..invariance.axes import rotations
from ..problem.problem import Problem
from .contract import Contract
from .curves import fitted
from .hard import hidden, side_by_side
from .invariant import turned_parameters
from .loo import LeaveOneOut, elpd_data, leave_one_out
from .metrics import scalar_names
from .pages import write_report
from .verdict import Verdict

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """EM and MCMC on the same problem.

    Attributes
    ----------
    table : DataFrame, one row a scalar parameter (see `metrics.table` for the columns).
    invariant : the same columns for what no rotation of latents changes (see `invariant`); empty without hidden latents. Where
        latents may be turned it decides the verdict instead of their coefficients.
    hard : EMFit with hard assignment from the truth or from EM's estimate, with its path (`history`).
    verdict : one of six, with the figures that decided it. contract : agreement of all routes to the log-likelihood.
    em, map : EMFit of the maximum likelihood and of the posterior mode. posterior : the DataTree of `fit_mcmc`.
    k_hat : Pareto tail index of the posterior under EM's normal approximation. chain_optima : EM optimum that each chain sits in.
    exchangeable : {dim: None if its labels were aligned, else what tells its positions apart}.
    """

    name: str
    problem: Problem
    em: EMFit
    map: EMFit
    posterior: xr.DataTree
    table: pd.DataFrame
    invariant: pd.DataFrame
    verdict: Verdict
    contract: Contract
    k_hat: float
    chain_optima: list[int]
    exchangeable: dict[str, str | None]
    truth: dict[str, np.ndarray] | None = None
    hard: EMFit | None = None

    @property
    def timings(self) -> dict[str, float]:
        """Seconds of each stage, and effective draws a second of sampling (smallest bulk ESS)."""
        attrs = self.posterior.attrs
        sampling = float(attrs["sampling_seconds"])
        return {
            "EM": self.em.seconds,
            "compile": float(attrs["compile_seconds"]),
            "sampling": sampling,
            "recovery": float(attrs["recovery_seconds"]),
            "effective draws a second": float(self.table["ess_bulk"].min()) / sampling,
        }

    @property
    def optima(self) -> pd.DataFrame:
        """The map of optima: hits, log-likelihood below the best, chains that sit there."""
        best = max(s.objective for s in self.em.starts if s.optimum >= 0)
        rows = []
        for i in range(len(self.em.optima)):
            hits = [s for s in self.em.starts if s.optimum == i]
            below = best - max(s.objective for s in hits)
            rows.append({"optimum": i, "hits": len(hits), "below_best": below, "chains": self.chain_optima.count(i)})
        failed = sum(s.optimum < 0 for s in self.em.starts)
        if failed:
            rows.append({"optimum": -1, "hits": failed, "below_best": float("nan"), "chains": 0})
        return pd.DataFrame(rows).set_index("optimum")

    @property
    def loo(self) -> Any:
        """PSIS-LOO of the posterior, leaving out one row at a time (arviz ELPDData), the figures of the page: a row of weight w
        is w rows, of which one is left out; rows without a value take no part. See `loo.elpd_data`.
        """
        return elpd_data(self._left_out, self.problem, self.em.plan.inverse)

    @cached_property
    def _left_out(self) -> LeaveOneOut:
        return leave_one_out(self.posterior, self.problem.heard, self.em.plan.inverse)

    def report(self, folder: str | os.PathLike[str]) -> Path:
        """Write the page: `folder`/index.html, one self-contained file. Returns its path."""
        return write_report(self.to_datatree(), folder)

    def to_dict(self) -> dict[str, Any]:
        """The result for programs: JSON-ready, NaN as None."""

        def clean(x: Any) -> Any:
            if isinstance(x, dict):
                return {str(k): clean(v) for k, v in x.items()}
            if isinstance(x, (list, tuple)):
                return [clean(v) for v in x]
            if isinstance(x, (bool, np.bool_)):
                return bool(x)
            if isinstance(x, (int, np.integer)):
                return int(x)
            if isinstance(x, (float, np.floating)):
                return float(x) if np.isfinite(x) else None
            return x

        return clean(
            {
                "model": self.name,
                "verdict": self.verdict.name,
                "reasons": list(self.verdict.reasons),
                "table": self.table.reset_index().to_dict(orient="records"),
                "invariant": self.invariant.reset_index().to_dict(orient="records"),
                "predicted_rate": self.em.predicted_rate,
                "hard": None if self.hard is None else {"status": self.hard.status.value, "iterations": self.hard.iterations},
                "log_likelihood": self.em.log_likelihood,
                "status": self.em.status.value,
                "n_parameters": self.em.n_parameters,
                "aic": self.em.aic,
                "bic": self.em.bic,
                "k_hat": self.k_hat,
                "contract": asdict(self.contract) | {"holds": self.contract.holds},
                "optima": self.optima.reset_index().to_dict(orient="records"),
                "timings": self.timings,
                "versions": versions(),
            }
        )

    def to_datatree(self) -> xr.DataTree:
        """Everything the run found: what `save` writes and the page is made of.

        The posterior's groups; em/estimate, em/standard_error, em/probability, em/latent; em/starts, every start with its path;
        table; loo (see `leave_one_out`); fitted/... (see `fitted`); rows, their weights. `attrs["comparison"]` is `to_dict()`,
        `attrs["about"]` what else there is to know of problem and run, both as JSON.
        """
        return self._tree.copy()

    @cached_property
    def _tree(self) -> xr.DataTree:
        tree = self.posterior.copy()
        groups = {f"em/{k}": child.to_dataset() for k, child in self.em.to_datatree().children.items()}
        plate = self.problem.plate
        groups |= {
            "em/starts": self._starts(),
            "table": xr.Dataset.from_dataframe(self.table.astype(float)),
            **self._optional(),
            "loo": self._left_out.dataset(),
            "rows": xr.Dataset({"weight": (plate, self.problem.weights)}),
        }
        groups |= {f"fitted/{k}": v for k, v in fitted(self.em, self.posterior["posterior"].to_dataset()).items()}
        for name, dataset in groups.items():
            tree[name] = xr.DataTree(dataset)
        tree.attrs = {k: v for k, v in tree.attrs.items() if v is not None} | {
            "model": self.name,
            "comparison": json.dumps(self.to_dict()),
            "about": json.dumps(self._about()),
        }
        return tree

    def _optional(self) -> dict[str, xr.Dataset]:
        """Groups that not every run has: invariant; hard/estimate, hard/history and hard/values (see `side_by_side`)."""
        out = {}
        if len(self.invariant):
            out["invariant"] = xr.Dataset.from_dataframe(self.invariant.astype(float))
        if self.hard is not None:
            out["hard/estimate"] = self.hard.estimate
            out["hard/values"] = side_by_side(self.em, self.hard)
            if self.hard.history is not None:
                out["hard/history"] = self.hard.history
        return out

    def _about(self) -> dict[str, Any]:
        starts = self.em.starts
        return {
            "roles": self.problem.roles,
            "plate": self.problem.plate,
            "rows": self.problem.n,
            "total_weight": float(self.problem.weights.sum()),
            "observations": self.problem.observations,
            "notes": list(self.problem.notes),
            "contract": self.contract.sentence,
            "exchangeable": self.exchangeable,
            "carriers": {d: [v.label for v in self.problem.parameters if d in v.dims] for d in self.exchangeable},
            "chain_optima": self.chain_optima,
            "status_sentence": self.em.sentence,
            "iterations": self.em.iterations,
            "objective": self.em.objective,
            "standard_error_reasons": self.em.reasons,
            "at_zero": self._at_zero(),
            "rotations": [
                {
                    "latent": r.latent,
                    "dim": r.dim,
                    "size": r.size,
                    "carriers": list(r.carriers),
                    "density": r.density.name.lower(),
                    "posterior": r.posterior.name.lower(),
                }
                for r in rotations(self.em.plan)
            ],
            "turned": sorted(turned_parameters(self.em.plan)),
            "hidden": hidden(self.em),
            **self._about_hard(),
            "starts": len(starts),
            "em_seed": self.em.random_seed,
        }

    def _at_zero(self) -> list[str]:
        """Residual scales that are zero at EM's estimate (Heywood cases)."""
        zero = zero_uniquenesses(self.em.plan, self.em.environment)
        shaped = {k: x.reshape(self.em.estimate[k].shape) for k, x in zero.items()}
        return [label for label, name, at in scalar_names(self.em.estimate) if name in shaped and shaped[name][at]]

    def _about_hard(self) -> dict[str, Any]:
        """How hard assignment ended, and whether it began at the true values or at EM's estimate."""
        if self.hard is None:
            return {}
        known = self.truth is not None and {v.label for v in self.problem.parameters} <= set(self.truth)
        return {
            "hard_start": "truth" if known else "estimate",
            "hard_status": self.hard.status.value,
            "hard_sentence": self.hard.sentence,
            "hard_reason": self.hard.reason,
            "hard_recedes": self.hard.recession is not None,
            "hard_iterations": self.hard.iterations,
        }

    def _starts(self) -> xr.Dataset:
        starts = self.em.starts
        path = np.full((len(starts), max([len(s.path) for s in starts], default=0)), np.nan)
        for row, s in zip(path, starts, strict=True):
            row[: len(s.path)] = s.path
        return xr.Dataset(
            {
                "path": (("start", "iteration"), path),
                "objective": ("start", [s.objective for s in starts]),
                "iterations": ("start", [s.iterations for s in starts]),
                "status": ("start", [s.status.value for s in starts]),
                "optimum": ("start", [s.optimum for s in starts]),
            }
        )

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Save `to_datatree()` as NetCDF; `load` reads it back. Nothing half-written stays."""
        tree = self.to_datatree()
        return write_whole(Path(file), lambda path: tree.to_netcdf(path, engine="h5netcdf"))


def load(file: str | os.PathLike[str]) -> xr.DataTree:
    """A saved comparison as a DataTree; `.attrs["comparison"]` is its `to_dict()` as JSON. Raises BadFile where it is none."""
    path = Path(file)
    if not path.is_file():
        raise BadFile(str(path), "a file saved by Comparison.save", "no such file", "Run `emvsmcmc compare` first.")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf")
        tree.load()
        tree.close()
    except (OSError, ValueError) as error:
        raise BadFile(str(path), "a NetCDF file saved by Comparison.save", f"{type(error).__name__}") from None
    if "comparison" not in tree.attrs:
        raise BadFile(str(path), "a file saved by Comparison.save", "another NetCDF file")
    return tree


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    names = ("emvsmcmc", "numpy", "scipy", "xarray", "pymc", "pytensor", "nutpie", "arviz", "numba")
    versions_by_name = {"python": platform.python_version()}
    for name in names:
        try:
            versions_by_name[name] = version(name)
        except PackageNotFoundError:  # a package run from a bare checkout has no metadata
            continue
    return versions_by_name

"""Calibration: is NUTS' posterior the posterior, and from which size on does EM's interval cover?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...errors import BadInput, FitFailed, SamplingFailed, Status, UnsupportedModel
from ...expect.planner import make_plan
from ...seed import checked_seed
from ...spec.model import Spec
from .. import accessor  # noqa: F401 - gives the Dataset its .ev
from ..options import CalibrationOptions, changed
from ..sweep.sweep import Outcome, Task, run_sweep, seed_of
from .data import Design, check_prior, design_of, simulated
from .task import LEVELS, METHODS, NUMBERS, Posterior, simulation

OF_EM = ("starts", "tol", "max_iter", "accelerate")  # options that are the user's
OF_NUTS = ("draws", "tune", "chains", "likelihood")
STATUSES = ("em_status", "em_message", "bootstrap_status", "bootstrap_message", "mcmc_status", "mcmc_message")


def calibrate(
    spec: Spec,
    sizes: Sequence[int],
    *,
    simulations: int = CalibrationOptions.simulations,
    data: Any = None,
    bootstrap: int = CalibrationOptions.bootstrap,
    ranked: int = CalibrationOptions.ranked,
    em_options: Mapping[str, Any] | None = None,
    mcmc_options: Mapping[str, Any] | None = None,
    posterior: Posterior | None = None,
    random_seed: int | None = None,
    store: str | Path | None = None,
    client: Any = None,
    workers: int | None = None,
    progress: bool = True,
    retry_failed: bool = False,
    name: str = "model",
) -> xr.Dataset:
    """Simulation-based calibration of the posterior, and coverage of EM's intervals on the same simulated data.

    Each simulation draws parameters from the prior and n rows from the model, fits both engines on the same rows, and notes where
    the true value lies: its rank among thinned posterior draws, and whether the intervals of both hold it.

    Ranks. With (theta, y) from the joint distribution and theta_1, ..., theta_L from p(theta | y), theta is one more draw, so the
    rank of f(theta, y) among the f(theta_l, y) is uniform for every function f of a parameter value and the data (Talts,
    Betancourt, Simpson, Vehtari and Gelman 2018, Validating Bayesian inference algorithms with simulation-based calibration;
    Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman and Vehtari 2023, Simulation-based calibration checking for Bayesian
    computation: the choice of test quantities shapes sensitivity, for functions that depend on the data, such as the
    log-likelihood, which sees errors that no single parameter shows). Where labels may be permuted or axes turned, a parameter is
    no such function until labels are fixed: draws and truth are aligned, by the same lines of code, to EM's estimate. That
    estimate depends on y alone, so an aligned parameter is a function of (theta, y), and one that is the same for every labelling
    of theta: the ranks stay exact, also for chains that never change labels. What is ranked: every aligned parameter, the implied
    covariances and communalities of latents, the log-likelihood and the log prior density. A simulation without a rank because of
    its data (EM finds no reference) leaves the others exact, since ranks are uniform given y.

    Intervals. `wald`: estimate +- z standard error; `bootstrap`: percentiles of the B replicates of the weighted-likelihood
    bootstrap, order statistics (B + 1) p; `eti`, `hdi`: the posterior's equal-tailed and highest-density intervals; at 50, 80
    and 95%, the truth aligned as above.

    Parameters
    ----------
    sizes : numbers of rows, each calibrated on its own. simulations : of each size; more may be added later to the same store.
    data : rows whose covariates, holes, given labels and fixed parameters simulated rows take over, repeated in one fixed order
        to each size. Needed where the spec has covariates. Row weights of it do not enter: a simulated row counts once.
    bootstrap : replicates, 39 or more; 0 for none. ranked : posterior draws among which the truth is ranked, fewer where the
        effective sample size is smaller.
    em_options, mcmc_options : of `fit_em` (default 10 starts) and of the sampler (draws 250, tune 200, chains 2, likelihood).
        Chains start around EM's optima (init="em"). The rows are data: one compiled model serves all simulations.
    posterior : a function of a module, (problem, seed) -> {parameter: draws (chain, draw, *shape)}, to be calibrated in the place
        of NUTS.
    store, client, workers, progress, retry_failed : see `run_sweep`. A store needs a `random_seed`.

    Returns
    -------
    Dataset over (size, simulation, quantity): truth, rank, ranked (of how many draws), pit ((rank + u) / (ranked + 1), u uniform:
    the randomised rank, uniform on (0, 1) under a right posterior), estimate and se (EM), mean, sd, ess, r_hat (posterior); lower
    and upper over (interval, level) as well, NaN where there is no interval; over (size, simulation): em_status, bootstrap_status
    and mcmc_status, each with its message, and divergent, the share of divergent transitions. A simulation that failed as a whole
    has the name of its error as the status of both engines. `kind` of a quantity: parameter, invariant or density.
    `calibration_judge.uniformity` and `.coverage` make tables of it; `dataset.ev.report(folder)` writes the page.

    Raises
    ------
    WidePrior : the prior is improper or too wide to simulate from. UnsupportedModel, NotAffine : see `plan`. BadInput : options
    that cannot be met. DifferentSweep, StoreBusy : see `run_sweep`. FitFailed, SamplingFailed : not one simulation succeeded.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec() as spec:
    ...     rate = ev.Gamma("rate", 2, 0.1)
    ...     _ = ev.Poisson("count", rate, dims="day")
    >>> short = {"draws": 40, "tune": 40}
    >>> calibration = ev.calibrate(
    ...     spec, [10], simulations=2, bootstrap=0, mcmc_options=short, random_seed=1, workers=0, progress=False
    ... )
    >>> calibration["rank"].dims, calibration["quantity"].values.tolist()
    (('size', 'simulation', 'quantity'), ['rate', 'log likelihood', 'log prior'])
    >>> calibration["em_status"].values.tolist(), calibration["mcmc_status"].values.tolist()
    ([['converged', 'converged']], [['sampled', 'sampled']])
    """
    rows = _checked(sizes, random_seed, store)
    options = CalibrationOptions(simulations=simulations, bootstrap=bootstrap, ranked=ranked)
    em, em_told = changed("em_options", options.em, em_options, OF_EM)
    nuts, nuts_told = changed("mcmc_options", options.nuts, mcmc_options, OF_NUTS)
    design = design_of(spec, data)
    check_prior(design, rows[0], 0)
    _check_model(design, rows[0])
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if random_seed is None else random_seed
    shared = {"design": design, "em": em, "nuts": nuts, "replicates": bootstrap, "ranked": ranked}
    shared |= {"posterior": posterior}
    tasks = [
        Task(_task_name(n, i), seed_of(seed, n, i), simulation, {**shared, "n": n}) for i in range(simulations) for n in rows
    ]
    outcomes = run_sweep(tasks, store, client, workers, progress, retry_failed)
    result = _dataset(outcomes, rows, simulations)
    about = {
        "model": name,
        "observed": list(design.observed),
        "template": design.template is not None,
        "sampler": "NUTS" if posterior is None else posterior.__name__,
        "bootstrap": bootstrap,
        "ranked": ranked,
        "em_options": em_told,
        "mcmc_options": nuts_told if posterior is None else {},
    }
    result.attrs = {"experiment": "calibration", "random_seed": seed, "about": json.dumps(about)}
    return result


def _check_model(design: Design, n: int) -> None:
    """What the model itself cannot do is said before the sweep; what single data sets cannot, is counted in it."""
    for i in range(20):
        try:
            make_plan(simulated(design, n, i)[1])
        except UnsupportedModel:
            raise
        except BadInput:
            continue
        return


def _dataset(outcomes: Mapping[str, Outcome], sizes: Sequence[int], simulations: int) -> xr.Dataset:
    """All simulations side by side. Raises FitFailed or SamplingFailed where none has anything to say."""
    values = {name: o.values for name, o in outcomes.items() if o.done}
    if not values:
        first = next(iter(outcomes.values()))
        raise FitFailed(f"none of {len(outcomes)} simulations could be fitted; the first: {first.message}", Status.DEGENERATE)
    some = next(iter(values.values()))
    names, kinds = some["names"], some["kinds"]
    shape = len(sizes), simulations
    numbers = {k: np.full((*shape, len(names)), np.nan) for k in NUMBERS}
    ends = {k: np.full((*shape, len(METHODS), len(names), len(LEVELS)), np.nan) for k in ("lower", "upper")}
    words = {k: np.full(shape, "", dtype=object) for k in STATUSES}
    divergent = np.full(shape, np.nan)
    for i, j in np.ndindex(*shape):
        outcome = outcomes[_task_name(sizes[i], j)]
        if not outcome.done:
            for k in STATUSES:
                words[k][i, j] = outcome.message if k.endswith("message") else outcome.status
            continue
        answer = outcome.values
        for k, x in {**numbers, **ends}.items():
            x[i, j] = answer[k]
        for k, w in words.items():
            w[i, j] = answer[k]
        divergent[i, j] = answer["divergent"]
    if not np.isfinite(numbers["pit"]).any() and not np.isfinite(numbers["estimate"]).any():
        raise SamplingFailed(f"neither engine ended in any simulation; the first: {words['em_message'].ravel()[0]}")
    dims = ("size", "simulation")
    return xr.Dataset(
        {k: ((*dims, "quantity"), x) for k, x in numbers.items()}
        | {k: ((*dims, "interval", "quantity", "level"), x) for k, x in ends.items()}
        | {k: (dims, w.astype(str)) for k, w in words.items()}
        | {"divergent": (dims, divergent)},
        coords={
            "size": list(sizes),
            "simulation": np.arange(simulations),
            "quantity": names,
            "kind": ("quantity", kinds),
            "interval": list(METHODS),
            "level": list(LEVELS),
        },
    )


def _task_name(n: int, i: int) -> str:
    return f"n={n}/simulation={i:04d}"


def _checked(sizes: Sequence[int], seed: int | None, store: Any) -> list[int]:
    checked_seed(seed)
    wanted = list(sizes)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 2 for n in wanted)
    if not wanted or not whole or len(set(wanted)) < len(wanted):
        raise BadInput("sizes", "different whole numbers of rows, 2 or more each", str(wanted), "Such as sizes=[50, 200, 800].")
    if store is not None and seed is None:
        raise BadInput("random_seed", "a seed, without which a store could never be resumed", "none")
    return sorted(int(n) for n in wanted)

"""Which rows keep their label, which are held out, and the Problems that this makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import BadInput, MissingData, UnknownName, WrongDims
from ...problem.align import Plate
from ...problem.check import enough_data
from ...problem.labels import hint
from ...problem.problem import Problem
from ...spec.named import Named
from ...spec.private_dims import configuration_dim
from ...spec.variable import Variable

MASK, HELD_OUT, NOISE = 0, 1, 2  # streams of a repeat's seed


@dataclass(frozen=True)
class Rows:
    """One mask. All are positions of rows: `training` (all that are not held out), `kept` and `hidden` (of those, with a known
    label that the fit sees or does not see), `held_out`.
    """

    training: np.ndarray
    kept: np.ndarray
    hidden: np.ndarray
    held_out: np.ndarray


def label_variable(problem: Problem, name: str | None) -> Variable:
    """The discrete variable whose labels are to be hidden. Raises BadInput where it cannot be, UnknownName."""
    discrete = [v.label for v in problem.row_variables if v.discrete]
    if name is None:
        known = [v for v in discrete if v in problem.given]
        if len(known) != 1:
            raise BadInput("labels", "the name of the variable that holds the labels", "none", f"Discrete variables: {discrete}.")
        name = known[0]
    if name not in discrete:
        raise UnknownName(f"labels {name!r}", "a discrete variable of the rows", "none of that name", hint(name, discrete))
    variable = problem.spec.variables[name]
    if len(problem.plates) != 1 or len(variable.dims) != 1:
        raise WrongDims(name, "one label for each row of the only plate", f"dims {variable.dims}")
    if name not in problem.given:
        raise MissingData(name, "known labels, to hide and to judge by", "none", "Pass the labels, -1 where they are not known.")
    return variable


def sampled_rows(codes: np.ndarray, fraction: float, seed: int, held_out: float | np.ndarray | None) -> Rows:
    """Stratified and seeded: within each class rows are put in random order, and the first `fraction` of those that are not held
    out keep their label. A larger fraction keeps those of a smaller one and more. A class of n rows keeps
    #{i: (i + 1/2) / n < fraction}, which is n times the fraction, rounded.
    """
    n, known = len(codes), np.isfinite(codes)
    if held_out is None:
        out = np.zeros(n, dtype=bool)
    elif isinstance(held_out, np.ndarray):
        out = np.zeros(n, dtype=bool)
        out[held_out] = True
    else:
        out = _first(codes, known, held_out, np.random.default_rng([seed, HELD_OUT]))
    kept = _first(codes, known & ~out, fraction, np.random.default_rng([seed, MASK]))
    return Rows(*(np.flatnonzero(m) for m in (~out, kept, known & ~out & ~kept, out & known)))


def _first(codes: np.ndarray, among: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of the first `fraction` of each class in random order."""
    out = np.zeros(len(codes), dtype=bool)
    for k in np.unique(codes[np.isfinite(codes)]):
        rows = np.flatnonzero((codes == k) & among)
        out[rows[rng.permutation(len(rows))[: int(np.ceil(len(rows) * fraction - 0.5))]]] = fraction > 0
    return out


def evidence_of(
    codes: np.ndarray, K: int, noise: np.ndarray | None, sets: np.ndarray | int | None, seed: int
) -> np.ndarray | None:
    """(n, K) log-evidence of what is seen of each label were it not hidden, NaN rows where nothing is known; None for hard
    labels.

    noise : (K, K) C[true, observed] = p(observed | true). The observed label is drawn from the row of the true one, and its
        column is the likelihood of the true one: soft labels. sets : (n, K) booleans of the labels that each row may have, or how
        many: the true one and others at random.
    """
    if noise is None and sets is None:
        return None
    rng = np.random.default_rng([seed, NOISE])
    known = np.isfinite(codes)
    true = np.where(known, codes, 0).astype(int)
    if noise is not None:
        observed = (rng.random((len(codes), 1)) >= np.cumsum(noise, axis=1)[true][:, :-1]).sum(axis=1)
        weights = noise.T[observed]
    elif isinstance(sets, np.ndarray):
        weights = sets.astype(float)
    else:
        assert sets is not None
        order = rng.random((len(codes), K))
        order[np.arange(len(codes)), true] = -1.0
        weights = (order.argsort(axis=1).argsort(axis=1) < sets).astype(float)
    with np.errstate(divide="ignore"):
        return np.where(known[:, None], np.log(weights), np.nan)


def masked(problem: Problem, name: str, rows: Rows, seen: np.ndarray | None, training: np.ndarray | None = None) -> Problem:
    """The problem of the training rows (or of those given), with the labels of the kept rows as they are seen, and no others."""
    where = rows.training if training is None else training
    kept = np.isin(where, rows.kept)
    codes = np.where(kept, problem.given[name].array[where], np.nan)
    log = None if seen is None else np.where(kept[:, None], seen[where], 0.0)
    return with_labels(subset(problem, where), name, codes if seen is None else None, log)


def subset(problem: Problem, rows: np.ndarray) -> Problem:
    """These rows of the problem, in this order."""
    plate = problem.plate

    def take(value: Named) -> Named:
        return Named(np.take(value.array, rows, axis=value.dims.index(plate)), value.dims) if plate in value.dims else value

    return replace(
        problem,
        plates={plate: Plate(len(rows), problem.plates[plate].labels[rows])},
        given={k: take(v) for k, v in problem.given.items()},
        evidence={k: take(v) for k, v in problem.evidence.items()},
        weights=problem.weights[rows],
        notes=(),
    )


def with_labels(problem: Problem, name: str, codes: np.ndarray | None = None, log_evidence: np.ndarray | None = None) -> Problem:
    """The same rows with other labels: codes with NaN for what is hidden, log-evidence, or nothing. Raises as `condition` does
    where too few rows are left."""
    plate = problem.plate
    given = {k: v for k, v in problem.given.items() if k != name}
    evidence = {k: v for k, v in problem.evidence.items() if k != name}
    role = "assignment"
    if codes is not None and np.isfinite(codes).any():
        given = {k: given.get(k, Named(codes, (plate,))) for k in problem.given}
        role = "assignment" if np.isnan(codes).any() else "observed"
    elif log_evidence is not None and log_evidence.any():
        evidence |= {name: Named(log_evidence, (plate, configuration_dim(name)))}
    new = replace(problem, given=given, evidence=evidence, roles={**problem.roles, name: role})
    enough_data(new)
    return new


def checked_noise(noise: Any, K: int) -> np.ndarray | None:
    """A confusion matrix. Raises BadInput for one whose rows are no distributions over K observed labels."""
    if noise is None:
        return None
    C = np.asarray(noise, dtype=float)
    if C.shape != (K, K) or not (C >= 0).all() or not np.allclose(C.sum(axis=1), 1.0):
        got = f"shape {C.shape}" if C.shape != (K, K) else "rows that do not sum to 1 or have negative entries"
        raise BadInput("noise", f"a ({K}, {K}) matrix C[true, observed] of probabilities, each row summing to 1", got)
    return C


def checked_sets(sets: Any, codes: np.ndarray, K: int) -> np.ndarray | int | None:
    """Candidate labels. Raises BadInput for sets without the true label and for sizes that are none."""
    if sets is None:
        return None
    if isinstance(sets, (int, np.integer)) and not isinstance(sets, bool):
        if not 1 <= sets <= K:
            raise BadInput("sets", f"a number of candidate labels from 1 to {K}", str(sets))
        return int(sets)
    S = np.asarray(sets, dtype=bool)
    if S.shape != (len(codes), K):
        raise BadInput("sets", f"({len(codes)}, {K}) booleans, or a number of candidates", f"shape {S.shape}")
    known = np.flatnonzero(np.isfinite(codes))
    wrong = known[~S[known, codes[known].astype(int)]]
    if len(wrong):
        raise BadInput("sets", "sets that hold the true label", f"one that does not in row {wrong[0]}")
    return S


def checked_held_out(held_out: Any, n: int) -> float | np.ndarray | None:
    """A share, or positions of rows. Raises BadInput."""
    if held_out is None or (np.ndim(held_out) == 0 and held_out == 0):
        return None
    if np.ndim(held_out) == 0:
        if not 0 < float(held_out) < 1:
            raise BadInput("held_out", "a share of the rows from 0 to 1, or their positions", str(held_out))
        return float(held_out)
    rows = np.asarray(held_out)
    rows = np.flatnonzero(rows) if rows.dtype == bool and rows.shape == (n,) else rows
    if rows.dtype.kind not in "iu" or rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= n:
        raise BadInput("held_out", f"positions from 0 to {n - 1}, or one boolean for each row", f"{rows.dtype} {rows.shape}")
    return np.unique(rows)

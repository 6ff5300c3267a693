"""Scores of predicted labels: log probabilities (n, K) against the true codes (n,). An empty set of rows scores NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

BINS = 10  # of equal width, of the probability of the most probable label


def accuracy(log_p: np.ndarray, true: np.ndarray) -> float:
    """Share of rows whose most probable label is the true one; among equals the first counts."""
    return float((log_p.argmax(axis=1) == true).mean())


def adjusted_rand(log_p: np.ndarray, true: np.ndarray) -> float:
    """Adjusted Rand index of the most probable labels: agreement of two partitions whatever their names, 0 on average by chance,
    1 when equal. Hubert and Arabie (1985), Comparing partitions, Journal of Classification 2, 193-218.
    """
    return rand_index(log_p.argmax(axis=1), true)


def rand_index(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted Rand index of two vectors of codes. Two partitions that are both trivial agree: 1."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)

    def pairs(x: np.ndarray) -> float:
        return float((x * (x - 1) / 2).sum())

    together, left, right, all_ = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0)), pairs(np.array([len(a)]))
    expected = left * right / all_ if all_ else 0.0
    most = (left + right) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def log_score(log_p: np.ndarray, true: np.ndarray) -> float:
    """Mean log probability of the true label, nats; 0 is best, -inf where the truth had been ruled out. Good (1952)."""
    return float(log_p[np.arange(len(true)), true].mean())


def brier(log_p: np.ndarray, true: np.ndarray) -> float:
    """Mean of sum_k (p_k - 1[k is true])^2, from 0 to 2. Brier (1950), Monthly Weather Review 78, 1-3."""
    return float(np.square(np.exp(log_p) - np.eye(log_p.shape[1])[true]).sum(axis=1).mean())


def calibration_error(log_p: np.ndarray, true: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the most probable label: sum over bins b of n_b / n |accuracy_b - mean probability_b|, `bins`
    bins of equal width in (0, 1].

    Never negative, so a few hundred rows give some hundredths even where the probabilities are right. Naeini, Cooper and
    Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI.
    """
    sure, right = np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == true
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(bin_of, weights=right - sure, minlength=bins)
    return float(np.abs(gap).sum() / len(true))


SCORES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "adjusted_rand": adjusted_rand,
    "log_score": log_score,
    "brier": brier,
    "calibration_error": calibration_error,
}


def scores(log_p: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Every score of these rows; NaN without rows."""
    return {name: score(log_p, true) if len(true) else float("nan") for name, score in SCORES.items()}


def matching(log_p: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(K,) the cluster that stands for each class: the assignment with the largest share of rows in agreement.

    Ties, and clusters that are most probable nowhere, are settled by the probabilities. Use as log_p[:, matching(log_p, true)].
    """
    K = log_p.shape[1]
    agreement = np.zeros((K, K))
    rows = np.eye(K)[log_p.argmax(axis=1)] + 1e-6 * np.exp(log_p)
    np.add.at(agreement, true, rows)
    return linear_sum_assignment(agreement, maximize=True)[1]


def parameter_error(
    estimate: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], unit: Mapping[str, np.ndarray]
) -> float:
    """Root mean square of (estimate - reference) / unit over all entries that have a unit; NaN where none has."""
    z = np.concatenate([((np.asarray(estimate[k]) - reference[k]) / unit[k]).ravel() for k in reference])
    z = z[np.isfinite(z)]
    return float(np.sqrt(np.square(z).mean())) if len(z) else float("nan")

"""What a label would tell, from draws of the parameters: about the parameters themselves, and about the other hidden labels.

`probability` (draws, n, K) holds p(label of row i is a | row i, theta_s). Under the weights w_s of the draws (1/S of posterior
draws) the label of row i and the parameters share

    I(z_i; theta) = H( sum_s w_s p_si ) - sum_s w_s H( p_si )                                            (information, nats)

which is by how much the entropy of the parameters is expected to fall when z_i is told, and the labels of two rows share

    I(z_i; z_j) = sum_ab q_ab log( q_ab / (q_a. q_.b) ),   q_ab = sum_s w_s p_sia p_sjb

which is by how much the log score of predicting z_j is expected to rise. Both are exact for the distribution that the draws are;
from S posterior draws they are too large by the order of 1/S.

Labels are independent given the parameters, so hypothetical labels of rows chosen before only reweight the draws: w_s p_sia, for
each label a in turn. A batch is chosen row by row, each for what it adds on average over the labels that the others may have.

Lindley (1956), On a measure of the information provided by an experiment, Annals of Mathematical Statistics 27, 986-1005;
MacKay (1992), Information-based objective functions for active data selection, Neural Computation 4, 590-604; Houlsby, Huszár,
Ghahramani and Lengyel (2011), Bayesian active learning for classification and preference learning (BALD), arXiv:1112.5745;
Roy and McCallum (2001), Toward optimal active learning through sampling estimation of error reduction, ICML; Kirsch, van
Amersfoort and Gal (2019), BatchBALD, NeurIPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import Degenerate
from ...expect.draws import CHUNK, joint_log_densities
from ...expect.plan import Plan

TARGETS = 1000  # rows whose log score is looked at; of more, a random sample of so many stands for all
FUTURES = 16  # combinations of hypothetical labels that a batch is chosen under
SHORTLIST = 60  # rows that the second and later ones of a batch are chosen from: the best ones on their own


def label_log_probabilities(plan: Plan, label: str, draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """(draws, n, K) log p(label | row, draw) of every original row, -inf where the data rule a label out; all other hidden
    variables are summed and integrated out.

    Raises Degenerate where a draw leaves a row impossible.
    """
    value = plan.configurations(label)
    K = int(value.max()) + 1
    size = len(next(iter(draws.values())))
    out = np.empty((size, plan.problem.n, K))
    for at, lp in joint_log_densities(plan, draws):
        top = lp.max(axis=1, keepdims=True)
        if not np.isfinite(top).all():
            raise Degenerate("rows", "a row has probability zero in every configuration under some draw")
        p = np.exp(lp - top)
        by_label = np.stack([p[:, value == k].sum(axis=1) for k in range(K)], axis=1)
        with np.errstate(divide="ignore"):
            out[at] = np.moveaxis(np.log(by_label) - np.log(by_label.sum(axis=1, keepdims=True)), -1, 0)[:, plan.inverse]
    return out


def entropy(p: np.ndarray, axis: int = -1) -> np.ndarray:
    """-sum p log p in nats; 0 log 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0.0).sum(axis=axis)


def information(probability: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(n,) I(z_i; theta), nats, of probabilities (draws, n, K) and weights (draws,) that sum to one."""
    w = _weights(probability, weights)
    mean = np.tensordot(w, probability, 1)
    return np.maximum(entropy(mean) - w @ entropy(probability), 0.0)


def log_score(probability: np.ndarray, targets: np.ndarray, rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(rows,) sum over the targets j, other than i itself, of I(z_i; z_j), nats, for each i in `rows`.

    The expected rise of the total log score of predicting the labels of the targets.
    """
    w = _weights(probability, weights)
    S, _, K = probability.shape
    T = len(targets)
    # the last label's probabilities are what the others leave
    seen = probability[:, targets, :-1].reshape(S, -1)
    mean = np.tensordot(w, probability, 1)
    out = np.empty(len(rows))
    step = max(1, CHUNK // max(1, T * K * K))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        m = len(some)
        weighted = probability[:, some, :-1].reshape(S, -1) * w[:, None]
        q = np.empty((m, T, K, K))
        q[:, :, :-1, :-1] = (weighted.T @ seen).reshape(m, K - 1, T, K - 1).swapaxes(1, 2)
        q[:, :, :-1, -1] = mean[some, None, :-1] - q[:, :, :-1, :-1].sum(axis=3)
        q[:, :, -1] = mean[targets] - q[:, :, :-1].sum(axis=2)
        joint = entropy(q.reshape(m, T, K * K))
        shared = np.maximum(entropy(mean[some])[:, None] + entropy(mean[targets]) - joint, 0.0)
        out[start : start + step] = np.where(targets == some[:, None], 0.0, shared).sum(axis=1)
    return out


@dataclass(frozen=True)
class Criterion:
    """What is ranked: gain(rows, weights, targets) -> (rows,) nats."""

    probability: np.ndarray
    hidden: np.ndarray
    scored: bool
    scale: float = 1.0
    targets: np.ndarray | None = None

    @classmethod
    def of(cls, probability: np.ndarray, hidden: np.ndarray, scored: bool, rng: np.random.Generator) -> Criterion:
        """scored : the log score of the other hidden rows; else information about the parameters. hidden : positions of rows."""
        if not scored or len(hidden) <= TARGETS:
            return cls(probability, hidden, scored, 1.0, hidden)
        return cls(probability, hidden, scored, len(hidden) / TARGETS, np.sort(rng.choice(hidden, TARGETS, replace=False)))

    def gain(self, rows: np.ndarray, weights: np.ndarray | None = None, without: list[int] | None = None) -> np.ndarray:
        """(rows,) expected gain of labelling each; rows in `without` have a label by then and are no targets."""
        if not self.scored:
            return information(self.probability[:, rows], weights)
        assert self.targets is not None
        return self.scale * log_score(self.probability, np.setdiff1d(self.targets, without or []), rows, weights)


def choose(criterion: Criterion, n: int, rng: np.random.Generator, first: np.ndarray | None = None) -> list[tuple[int, float]]:
    """(row, gain beyond those before it) of the n rows to label, best first; greedy. `first` : gains of `criterion.hidden`."""
    hidden = criterion.hidden
    alone = criterion.gain(hidden) if first is None else first
    order = np.argsort(-alone, kind="stable")
    left = list(hidden[order[: max(SHORTLIST, 2 * n)]])
    picks = [(int(left.pop(0)), float(alone[order[0]]))]
    futures = [(1.0, _weights(criterion.probability, None))]
    while len(picks) < n and left:
        futures = _split(futures, criterion.probability[:, picks[-1][0]], rng)
        chosen = [row for row, _ in picks]
        rows = np.array(left)
        gain = sum(p * criterion.gain(rows, w, chosen) for p, w in futures)
        best = int(np.argmax(gain))
        picks.append((int(left.pop(best)), float(np.asarray(gain)[best])))
    return picks


def _split(futures: list[tuple[float, np.ndarray]], p: np.ndarray, rng: np.random.Generator) -> list[tuple[float, np.ndarray]]:
    """Each future split by the labels of one more row, p (draws, K); a sample of FUTURES of them where there are more."""
    out = []
    for share, w in futures:
        for k in range(p.shape[1]):
            mass = float(w @ p[:, k])
            if mass > 0:
                out.append((share * mass, w * p[:, k] / mass))
    if len(out) <= FUTURES:
        return out
    # one uniform, equally spaced: each future comes as often as its share, give or take one
    places = (rng.random() + np.arange(FUTURES)) / FUTURES
    at = np.minimum(np.searchsorted(np.cumsum([share for share, _ in out]), places), len(out) - 1)
    return [(1 / FUTURES, out[i][1]) for i in at]


def _weights(probability: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.full(len(probability), 1 / len(probability)) if weights is None else weights

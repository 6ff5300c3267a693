"""What a label would tell, from the observed information at EM's estimate.

Row i alone tells -d2 log p(row i) about the parameters, with its label a -d2 log p(row i, a). By Louis' identity the difference,
averaged over the labels as the row itself predicts them, is the information in the label given the row:

    F_i = sum_a r_ia J_i(a) - J_i = sum_a r_ia g_ia g_ia',   g_ia = d log r_ia / d u,   r_ia = p(label a | row i, theta)

in the unconstrained coordinates u of the fit: first derivatives are enough. With I the observed information (of the posterior
where the objective is that), the expected information once row i has a label is I + F_i, and

    log_determinant_i = 1/2 log( det(I + F_i) / det I ) = 1/2 log det( 1 + W' I^-1 W ),   W = [ sqrt(r_ia) g_ia ]

is by how much the entropy of the normal approximation falls, in nats; to first order in F_i it is the mutual information of
`gain_draws`. Rows of a batch add their F.

Louis (1982), Finding the observed information matrix when using the EM algorithm, JRSS B 44, 226-233; Chaloner and Verdinelli
(1995), Bayesian experimental design: a review, Statistical Science 10, 273-304; MacKay (1992), Neural Computation 4, 590-604.
"""

from __future__ import annotations

import numpy as np

from ...em.result import EMFit
from ...errors import Degenerate
from ...expect.draws import CHUNK
from .draws import label_log_probabilities

STEP = 1e-4  # of a standard error: log probabilities then differ by 1e-4 or more and keep ten digits


def covariance_of(fit: EMFit) -> np.ndarray:
    """(size, size) inverse of the observed information of a fit, zero along rotations.

    Raises Degenerate where the fit has none.
    """
    covariance = fit.uncertainty.covariance
    if covariance is None or not np.isfinite(covariance).all():
        reason = next(iter(fit.reasons.values()), "the fit has no standard errors")
        raise Degenerate("information", reason)
    return covariance


def approximate_draws(fit: EMFit, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """{parameter: (size, *shape)} draws from Normal(estimate, information^-1) in unconstrained coordinates."""
    chart, covariance = fit.uncertainty.coordinates, covariance_of(fit)
    values, vectors = np.linalg.eigh(covariance)
    z = rng.standard_normal((chart.size, size))
    u = chart.pack(fit.environment)[:, None] + (vectors * np.sqrt(np.maximum(values, 0.0))) @ z
    return _declared(fit, u)


def label_scores(fit: EMFit, label: str, rows: np.ndarray) -> np.ndarray:
    """(rows, size, K) columns sqrt(r_ia) d log r_ia / d u of the rows, by central differences: F_i = W_i W_i'."""
    chart, covariance = fit.uncertainty.coordinates, covariance_of(fit)
    u = chart.pack(fit.environment)
    here = label_log_probabilities(fit.plan, label, _declared(fit, u[:, None]))[0, rows]
    r = np.exp(here)
    with np.errstate(divide="ignore"):
        spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    steps = STEP * np.where(spread > 0, np.minimum(spread, 1.0), 1.0)
    out = np.empty((len(rows), chart.size, r.shape[1]))
    block = max(1, CHUNK // max(1, fit.problem.n * r.shape[1]))
    for start in range(0, chart.size, block):
        e = np.diag(steps)[:, start : start + block]
        up, down = (label_log_probabilities(fit.plan, label, _declared(fit, u[:, None] + s * e))[:, rows] for s in (1, -1))
        with np.errstate(invalid="ignore"):  # labels ruled out are -inf on both sides
            slope = (up - down) / (2 * steps[start : start + block, None, None])
        out[:, start : start + block] = np.moveaxis(np.where(r > 0, np.sqrt(r) * slope, 0.0), 0, 1)
    return out


def log_determinant(W: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(rows,) 1/2 log det(1 + W' covariance W), nats, of W (rows, size, K)."""
    inner = np.einsum("npa,nqa->npq", W, W) if W.shape[1] < W.shape[2] else None
    if inner is not None:
        return 0.5 * np.linalg.slogdet(np.eye(W.shape[1]) + inner @ covariance)[1]
    return 0.5 * np.linalg.slogdet(np.eye(W.shape[2]) + W.swapaxes(1, 2) @ (covariance @ W))[1]


def choose(W: np.ndarray, covariance: np.ndarray, n: int) -> list[tuple[int, float]]:
    """(position in W, gain beyond those before it) of the n rows to label, best first: greedy, each adds its F."""
    picks: list[tuple[int, float]] = []
    left = np.ones(len(W), dtype=bool)
    C = covariance
    while len(picks) < n and left.any():
        gain = np.where(left, log_determinant(W, C), -np.inf)
        best = int(np.argmax(gain))
        picks.append((best, float(gain[best])))
        left[best] = False
        CW = C @ W[best]
        C = C - CW @ np.linalg.solve(np.eye(W.shape[2]) + W[best].T @ CW, CW.T)
    return picks


def _declared(fit: EMFit, u: np.ndarray) -> dict[str, np.ndarray]:
    """{parameter: (draws, *shape)} of packed coordinates (size, draws)."""
    chart = fit.uncertainty.coordinates
    env = chart.unpack(u)
    moved = {b.variable.label for b in chart.blocks}
    out = {}
    for v in fit.plan.parameters:
        x = env.values[v.label].array
        out[v.label] = np.moveaxis(x, -1, 0) if v.label in moved else np.broadcast_to(x, (u.shape[1], *x.shape))
    return out

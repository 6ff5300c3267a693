"""The row pass in plain numpy: the reference for the compiled pass, and the only one that gives what is of the data's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import Degenerate
from ..gaussian import Elimination, eliminate
from ..layout import Coefficients, Layout, RowOutput, Statistics, Sums
from ..radial import add_radial, expected_logs, radial_part, without_holes
from ..roots import add_lifted_root


class Output:
    """Collects what is of the size of the data, pattern by pattern. `result` is in the order of a layout's rows."""

    def __init__(self, layout: Layout) -> None:
        n, d = layout.V.shape
        self.layout = layout
        self.responsibility = np.zeros((n, layout.K))
        self.log_likelihood = np.zeros(n)
        self.mean = np.zeros((n, d))
        self.second = np.zeros((n, d))

    def add(self, rows: slice, ks: np.ndarray, block: _Block, C: Coefficients) -> None:
        self.responsibility[rows, ks] = block.r
        self.log_likelihood[rows] = block.log_likelihood
        o, l, e = block.observed, block.hidden, block.elimination
        V = self.layout.V[rows]
        self.mean[rows, o] = V[:, o]
        if len(l):
            Z = V[:, None, o] - C.rho[ks][:, o]
            parts = np.einsum("klo,nko->nkl", e.map, Z) + C.rho[ks][:, l]
            mean = np.einsum("nk,nkl->nl", block.r, parts)
            spread = np.einsum("nk,nkl->nl", block.r, (parts - mean[:, None]) ** 2 + np.einsum("kll->kl", e.covariance))
            self.mean[rows, l], self.second[rows, l] = mean, spread

    def result(self, inverse: np.ndarray, centre: np.ndarray) -> RowOutput:
        """Of the original rows. inverse (n,) : the layout's row of each. centre (d,) : what was subtracted from v."""
        return RowOutput(
            self.responsibility[inverse], self.log_likelihood[inverse], self.mean[inverse] + centre, self.second[inverse]
        )


@dataclass(frozen=True)
class _Block:
    """One pattern's rows: responsibilities and the elimination that made them."""

    r: np.ndarray
    log_likelihood: np.ndarray
    observed: np.ndarray
    hidden: np.ndarray
    elimination: Elimination


def row_pass(layout: Layout, C: Coefficients, hard: bool = False, careful: bool = False, output: Output | None = None) -> Sums:
    """Log-likelihood and statistics of the rows of a layout, with those that are collapsed in it.

    careful : whether square roots of the moments are kept as well, for covariates that are nearly collinear (`roots`).
    output : collects what is of the size of the data. `hard` and the errors are those of `rows.expect`.
    """
    d, K = layout.V.shape[1], layout.K
    roots = np.zeros((K, d, d)) if careful else None
    N, M, S = np.zeros(K), np.zeros((K, d, d)), np.zeros_like(C.T)
    radial, groups = layout.radial, len(layout.radial.column)
    U, W = np.zeros((K, groups, d, d)), np.zeros((K, groups))
    total = 0.0
    for p in range(len(layout.start) - 1):
        at = slice(layout.start[p], layout.start[p + 1])
        if at.start == at.stop:
            continue
        ks = np.flatnonzero(layout.allowed[p])
        block = _pattern(layout, C, p, at, ks, hard)
        w = layout.w[at]
        wr = block.r * w[:, None]
        total += float(w[w > 0] @ block.log_likelihood[w > 0])
        N[ks] += wr.sum(0)
        _add_moments(M, roots, layout, C, at, ks, wr, block)
        add_tables(S, layout, at, ks, wr)
        if groups:
            for i, k in enumerate(ks):
                add_radial(U, W, layout, C, at, int(k), wr[:, i])
        if output is not None:
            output.add(at, ks, block, C)
    total += _collapsed(layout, C, hard, N, M, S, roots)
    if not groups:
        return total, Statistics(N, M, S, C.rho, root=roots)
    without_holes(layout, M, U)
    L = expected_logs(W, S[layout.x_row[radial.column]].T, C.nu, radial.lengths)
    return total, Statistics(N, M, S, C.rho, U, L, root=roots)


def _pattern(layout: Layout, C: Coefficients, p: int, at: slice, ks: np.ndarray, hard: bool) -> _Block:
    observed, hidden = np.flatnonzero(~layout.hidden[p]), np.flatnonzero(layout.hidden[p])
    e = eliminate(C.B[ks], observed, hidden, hard)
    V = layout.V[at][:, observed]
    lp = np.tile(C.c[ks] + e.constant, (len(V), 1))
    if len(layout.E):
        lp += layout.E[at][:, ks]
    for i, k in enumerate(ks):
        # about the configuration's own reference point: clusters a million standard deviations apart keep their digits
        residual = (V - C.rho[k, observed]) @ e.rows[i].T
        lp[:, i] -= 0.5 * np.einsum("nr,nr->n", residual, residual)
        if len(layout.radial.column):
            lp[:, i] += radial_part(layout, C, at, int(k))
    lp += tables_part(layout, C.T[:, ks], at)
    top = lp.max(axis=1)
    if not np.isfinite(top).all():
        never = np.isneginf(top) & (layout.w[at] == 0)
        if not (np.isfinite(top) | never).all():
            raise Degenerate("rows", "a row has probability zero in every configuration")
        lp[never] = 0.0  # it does not count, and nothing is known of its configuration
    if hard:
        r = (np.arange(len(ks)) == lp.argmax(axis=1)[:, None]).astype(float)
        return _Block(r, top, observed, hidden, e)
    r = np.exp(lp - lp.max(axis=1, keepdims=True))
    s = r.sum(axis=1)
    return _Block(r / s[:, None], top + np.log(s), observed, hidden, e)


def tables_part(layout: Layout, T: np.ndarray, at: slice) -> np.ndarray:
    """(rows, K) sum of the table terms; a table entry is not read where its multiplier is zero, since it may be -inf."""
    single = T[layout.x_row]
    X = layout.X[at]
    if np.isfinite(single).all():
        out = X @ single
    else:
        out = np.zeros((len(X), T.shape[1]))
        for f in range(X.shape[1]):
            read = X[:, f] != 0
            out[read] += X[read, f, None] * single[f]
    phi, level = layout.phi[at], layout.level[at]
    for t in range(phi.shape[1]):
        read = phi[:, t] != 0
        out[read] += phi[read, t, None] * T[level[read, t]]
    return out


def _add_moments(
    M: np.ndarray,
    roots: np.ndarray | None,
    layout: Layout,
    C: Coefficients,
    at: slice,
    ks: np.ndarray,
    wr: np.ndarray,
    block: _Block,
) -> None:
    o, l, e = block.observed, block.hidden, block.elimination
    V = layout.V[at][:, o]
    for i, k in enumerate(ks):
        Z = V - C.rho[k, o]
        add_lifted(M[k], (Z * wr[:, [i]]).T @ Z, wr[:, i].sum(), o, l, e.map[i], e.covariance[i])
        if roots is not None:
            add_lifted_root(roots[k], Z * np.sqrt(wr[:, [i]]), wr[:, i].sum(), o, l, e.map[i], e.root[i])


def add_lifted(
    M: np.ndarray, moments: np.ndarray, weight: float, o: np.ndarray, l: np.ndarray, map_: np.ndarray, covariance: np.ndarray
) -> None:
    """M += A S_oo A' + weight blockdiag(0, P), A = stack(identity, map): from the observed moments alone, never row by row."""
    M[np.ix_(o, o)] += moments
    if len(l):
        cross = map_ @ moments
        M[np.ix_(l, o)] += cross
        M[np.ix_(o, l)] += cross.T
        M[np.ix_(l, l)] += cross @ map_.T + weight * covariance


def add_tables(S: np.ndarray, layout: Layout, at: slice, ks: np.ndarray, wr: np.ndarray) -> None:
    """S[u, k] += sum over the rows `at` of phi [level = u] wr, in the configurations `ks`. wr : (rows, ks) weights times
    responsibilities.
    """
    if layout.X.shape[1]:
        S[np.ix_(layout.x_row, ks)] += layout.X[at].T @ wr
    phi, level = layout.phi[at], layout.level[at]
    for t in range(phi.shape[1]):
        part = wr * phi[:, [t]]
        for i, k in enumerate(ks):
            S[:, k] += np.bincount(level[:, t], weights=part[:, i], minlength=len(S))


def _collapsed(
    layout: Layout, C: Coefficients, hard: bool, N: np.ndarray, M: np.ndarray, S: np.ndarray, roots: np.ndarray | None
) -> float:
    """Patterns with one configuration, from their moments: the cost does not depend on their number of rows."""
    total, rows = 0.0, layout.collapsed
    for q in range(len(rows.configuration)):
        k, weight = int(rows.configuration[q]), float(rows.weight[q])
        o, l = np.flatnonzero(~rows.hidden[q]), np.flatnonzero(rows.hidden[q])
        e = eliminate(C.B[[k]], o, l, hard)
        R = rows.R[q][:, o]
        Z = R - R[:, [0]] * C.rho[k, o]
        read = rows.S[q] != 0
        linear = float(rows.S[q][read] @ C.T[read, k]) if read.any() else 0.0
        total += (
            weight * float(C.c[k] + e.constant[0])
            - 0.5 * float(((Z @ e.rows[0].T) ** 2).sum())
            + linear
            + float(rows.constant[q])
        )
        N[k] += weight
        add_lifted(M[k], Z.T @ Z, weight, o, l, e.map[0], e.covariance[0])
        if roots is not None:
            add_lifted_root(roots[k], Z, weight, o, l, e.map[0], e.root[0])
        S[:, k] += rows.S[q]
    if not np.isfinite(total):
        raise Degenerate("rows", "a labelled row has probability zero")
    return total

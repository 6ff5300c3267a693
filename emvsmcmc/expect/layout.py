"""What rows and parameters look like where they meet: three records of plain arrays.

`Layout` holds the rows (made once, by `plan`), `Coefficients` the parameters, `Statistics` what one expectation returns.
For row n and configuration k

    log p(row n, k) = c_k - 1/2 |B_k v_n|^2 + sum_f X_nf T[x_row_f, k] + sum_t phi_nt T[level_nt, k] + E_nk

where v = (1, covariates, Gaussian variables), so that `Statistics` is the gradient of the log-likelihood (Fisher's identity):
d/dc = N,  d/dB_k = -B_k M_k,  d/dT = S.

A Student-t variable has radial rows A instead, in groups: one row for a number, p whitened ones for a vector of length p. Group g
adds, where its value is there,

    -(nu_kg + p_g)/2 log(1 + |e|^2 / nu_kg),  e_j = A_kj v_n for its p_g rows j

(its constant is a term with a row of T, so that a missing value drops it). Its latent scale u ~ Gamma(nu/2, nu/2) has
E[u | e] = (nu + p)/(nu + |e|^2), which weights a second moment matrix of its own: d/dA_kj = -A_kj U_kg for all its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from .sums import ROOT, SAME, Additive, Joined

Array = np.ndarray
ROWS, PATTERNS = {"along": "rows"}, {"along": "patterns"}  # what the first axis of an array of a layout counts


@dataclass(frozen=True)
class Conventions:
    """What layouts of different rows have to share for their statistics to be added.

    centre (d,), scale (d,): as those of `Plan`. levels : {slot: (levels, columns) its distinct values}, see `distinct`.
    """

    centre: Array
    scale: Array
    levels: Mapping[Any, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Radial:
    """What rows bring to the g groups of t radial rows. Those of group j are start[j] <= row < start[j + 1]."""

    start: Array  # (g + 1,) int64
    own: Array  # (t,) int64: the coordinate of v that holds the value, 0 about the centre where it is missing
    column: Array  # (g,) int64: the column of X that is 1 where the group's values are there
    holes: Array  # (g,) bool: whether they are missing anywhere
    reads: Array  # (g, d) bool: coordinates that the residuals may read; they are never hidden

    @cached_property
    def lengths(self) -> Array:
        """(g,) rows of each group."""
        return np.diff(self.start)

    @cached_property
    def group(self) -> Array:
        """(t,) the group of each row."""
        return np.repeat(np.arange(len(self.column)), self.lengths)

    def summed(self, x: Array) -> Array:
        """(..., g) sums over the rows of each group, from (..., t)."""
        return x if len(self.own) == len(self.column) else np.add.reduceat(x, self.start[:-1], axis=-1)


_NONE = np.zeros(0, np.int64)
NO_RADIAL = Radial(np.zeros(1, np.int64), _NONE, _NONE, np.zeros(0, dtype=bool), np.zeros((0, 0), dtype=bool))


@dataclass(frozen=True)
class Collapsed(Additive):
    """Patterns whose rows allow one configuration only, reduced once to their moments (they stay out of the row loop).

    With R of a QR of sqrt(w) v, the rows of pattern q contribute
    weight_q c_k - 1/2 |B_k R_q'|^2 + <T[:, k], S_q> + constant_q, whatever their number. Those of other rows come after them.
    """

    RULE = Joined()

    configuration: Array  # (q,) int64: the one configuration allowed
    hidden: Array  # (q, d) bool: coordinates of v not observed in the pattern
    weight: Array  # (q,) sum of the row weights
    R: Array  # (q, d, d) upper triangular, about `Plan.centre`, columns of hidden coordinates zero; R'R = sum w v v'
    S: Array  # (q, L) statistics of the table rows
    constant: Array  # (q,) weighted log-evidence of the rows for that configuration

    def taken(self, patterns: Any) -> Collapsed:
        """Some patterns, by an index, mask or slice."""
        return Collapsed(**{f.name: getattr(self, f.name)[patterns] for f in fields(self)})


@dataclass(frozen=True)
class Layout:
    """The rows that need a pass, sorted by pattern. n rows, d coordinates, K configurations, L table rows.

    A pattern is (hidden coordinates, allowed configurations). Rows of pattern p are start[p] <= n < start[p + 1].
    """

    # (n, d) float64, C order: 1, then covariates and Gaussian variables about the plan's centre; hidden cells 0
    V: Array = field(metadata=ROWS)
    w: Array = field(metadata=ROWS)  # (n,) weights, >= 0
    X: Array = field(metadata=ROWS)  # (n, f) multipliers of the terms that have one level
    x_row: Array  # (f,) int64: their row of T
    phi: Array = field(metadata=ROWS)  # (n, t) multipliers of the terms with several levels
    # (n, t) int64: row of T of each; where phi is 0 the row is not read (T may be -inf there)
    level: Array = field(metadata=ROWS)
    E: Array = field(metadata=ROWS)  # (n, K) log-evidence of soft labels, or (0, K) where there is none
    start: Array  # (p + 1,) int64
    hidden: Array = field(metadata=PATTERNS)  # (p, d) bool; column 0 is never hidden
    allowed: Array = field(metadata=PATTERNS)  # (p, K) bool
    collapsed: Collapsed
    n_tables: int  # L
    radial: Radial = field(default_factory=lambda: NO_RADIAL)

    @property
    def K(self) -> int:
        """Number of configurations."""
        return self.allowed.shape[1]

    @property
    def pattern(self) -> Array:
        """(n,) the pattern of every row."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def taken(self, rows: Any, sizes: Array, patterns: Any = slice(None), collapsed: Collapsed | None = None) -> Layout:
        """Some rows, still sorted by pattern.

        rows, patterns : an index, mask or slice of each. sizes : how many rows are taken of each of those patterns. collapsed :
        what stands beside them, that of this layout if None.
        """
        arrays: dict[str, Any] = {}
        for f in fields(self):
            x, along = getattr(self, f.name), f.metadata.get("along")
            if along == "patterns":
                arrays[f.name] = x[patterns]
            elif along == "rows":
                arrays[f.name] = x[rows] if len(x) else x  # without soft labels there is no log-evidence
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return replace(self, start=start, collapsed=self.collapsed if collapsed is None else collapsed, **arrays)


@dataclass(frozen=True)
class Coefficients:
    """Parameters as rows meet them. B and A are about the reference points: they multiply v - (0, rho_k)."""

    c: Array  # (K,)
    B: Array  # (K, R, d) residual rows, whitened
    T: Array  # (L, K) tables; entries may be -inf: they are looked up, never multiplied by zero
    rho: Array  # (K, d) reference point of each configuration about the plan's centre; rho[:, 0] = 0
    A: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))  # (K, t, d) radial rows, whitened, as B is
    nu: Array = field(default_factory=lambda: np.zeros((0, 0)))  # (K, g) degrees of freedom of their groups


@dataclass(frozen=True)
class Statistics(Additive):
    """Expected complete-data statistics, the gradient of the log-likelihood with respect to `Coefficients`."""

    N: Array  # (K,) sum of w r
    M: Array  # (K, d, d) sum of w r E[v v'], about rho; see `radial.without_holes` for Student-t values with holes
    S: Array  # (L, K) sum of w r phi at each table row
    rho: Array = field(metadata=SAME)  # (K, d) the reference points M is about
    # (K, d, d) with root'root = M, where covariates are nearly collinear
    root: Array | None = field(default=None, kw_only=True, metadata=ROOT)
    U: Array = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))  # (K, g, d, d) sum of w r E[u] v v', about rho
    L: Array = field(default_factory=lambda: np.zeros((0, 0)))  # (K, g) sum of w r (E[log u] - E[u] + 1)


Sums = tuple[float, Statistics]  # log-likelihood, and its gradient


@dataclass(frozen=True)
class RowOutput:
    """What is of the size of the data, made only when asked for; in the order of the original rows."""

    responsibility: Array  # (n, K)
    log_likelihood: Array  # (n,) unweighted
    mean: Array  # (n, d) E[v | row], in original units
    second: Array  # (n, d) Var[v | row] of each coordinate

"""Dirichlet: the prior over probabilities of the labels of a dim."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln

from .argument import Argument
from .base import Array, Family, Prior, Twin, times_log
from .kinds import PROBABILITIES, Kind
from .support import Positive, Simplex, Support


def _open(a: Array) -> np.ndarray | None:
    """Where a concentration lets an entry be positive; None where that is everywhere, as of one that is not known yet."""
    if not isinstance(a, np.ndarray | float | int | np.number):
        return None
    free = np.asarray(a) > 0
    return None if free.all() else free


class Dirichlet(Family, Prior):
    """p(x) proportional to prod_k x_k^(a_k - 1) over the last dim; a scalar `a` stands for every entry.

    A concentration of 0 says that the entry is 0 (a structural zero): the density is that of the others, on the simplex that they
    span, and with one entry left x is a unit vector. Only constants may hold zeros, and they may differ from row to row.
    """

    name = "Dirichlet"
    arguments = {"a": Argument(Positive(), boundary=True, event_dims=1, decides=True)}
    event_dims = 1
    twin = Twin("Dirichlet")
    conjugate = {PROBABILITIES: "mode of a Dirichlet"}

    def support(self, **arguments: Array) -> Support:
        return Simplex(_open(arguments.get("a", 1.0)))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        # on the log scale (Marsaglia and Tsang's boost), since a small shape underflows to 0 / 0
        a = np.broadcast_to(arguments["a"], shape)
        logs = np.log(rng.gamma(a + 1)) + np.log(rng.random(shape)) / np.where(a > 0, a, 1.0)
        logs = np.where(a > 0, logs, -np.inf)
        e = np.exp(logs - logs.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a = np.broadcast_to(arguments["a"], np.shape(x))
        free = a > 0
        inside = (free | (np.asarray(x) == 0)).all(-1)
        terms = (np.where(free, a, 1.0) - 1) * np.log(np.where(free, x, 1.0)) - gammaln(np.where(free, a, 1.0))
        return np.where(inside, terms.sum(-1) + gammaln(a.sum(-1)), -np.inf)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a = xp.broadcast_to(arguments["a"], x.shape)  # a scalar stands for every entry, and its sum needs them all
        lgamma = gammaln if xp is np else xp.gammaln
        if (free := _open(arguments["a"])) is None:
            return times_log(xp, a - 1, x).sum(-1) + lgamma(a.sum(-1)) - lgamma(a).sum(-1)
        total, a = lgamma(a.sum(-1)), xp.where(free, a, 1.0)
        terms = times_log(xp, a - 1, xp.where(free, x, 1.0)) - lgamma(a)
        return xp.where(xp.logical_or(free, x.real <= 0).all(-1), terms.sum(-1) + total, -np.inf)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        if kind is not PROBABILITIES:
            return None
        a = np.asarray(arguments["a"], dtype=float)
        return (np.where(a > 0, a - 1, 0.0),)  # nothing is counted where nothing can be

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

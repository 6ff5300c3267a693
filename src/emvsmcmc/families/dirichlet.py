"""Dirichlet: the prior over probabilities of the labels of a dim."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln

from .base import REQUIRED, Array, Family, Prior, Twin, times_log
from .support import Simplex, Support


class Dirichlet(Family, Prior):
    """p(x) proportional to prod_k x_k^(a_k - 1) over the last dim; a scalar `a` stands for every entry."""

    name = "Dirichlet"
    arguments = {"a": REQUIRED}
    event_dims = 1
    twin = Twin("Dirichlet", {"a": "a"})

    def support(self, **arguments: Array) -> Support:
        return Simplex()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        # on the log scale (Marsaglia and Tsang's boost), since a small shape underflows to 0 / 0
        a = np.broadcast_to(arguments["a"], shape)
        logs = np.log(rng.gamma(a + 1)) + np.log(rng.random(shape)) / a
        e = np.exp(logs - logs.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a = np.broadcast_to(arguments["a"], np.shape(x))
        return ((a - 1) * np.log(x)).sum(-1) + gammaln(a.sum(-1)) - gammaln(a).sum(-1)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a = xp.broadcast_to(arguments["a"], x.shape)  # a scalar stands for every entry, and its sum needs them all
        lgamma = gammaln if xp is np else xp.gammaln
        terms = times_log(xp, a - 1, x)
        return terms.sum(-1) + lgamma(a.sum(-1)) - lgamma(a).sum(-1)

    def natural(self, kind: str, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return (arguments["a"] - 1,) if kind == "probabilities" else None

    def mode(self, kind: str, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

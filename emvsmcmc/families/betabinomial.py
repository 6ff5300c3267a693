"""BetaBinomial: counts out of a known number of trials that vary more than a Binomial's."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import betaln

from .argument import Argument
from .base import Array, Family, Limiting, Twin, ValueFamily
from .log_gamma import gamma_factor, log_ratio, times_log_ratio
from .support import Positive, Support
from .uncharted import Counts


class BetaBinomial(Family, ValueFamily, Limiting):
    """log p(x | alpha, beta, n) = log C(n, x) + log B(x + alpha, n - x + beta) - log B(alpha, beta); n is known.

    B is the Beta function. The same as x | p ~ Binomial(n, p), p ~ Beta(alpha, beta): mean n alpha / (alpha + beta). As alpha and
    beta go to infinity together it becomes a Binomial. One row of a table for each distinct pair of a count and its trials.
    """

    name = "BetaBinomial"
    arguments = {
        "alpha": Argument(Positive()),
        "beta": Argument(Positive()),
        "n": Argument(Counts(), fixed=True, boundary=True, decides=True),
    }
    discrete = True
    mass = True
    value_reads = ("alpha", "beta", "n")
    endless = ("alpha", "beta")
    limit = "no more spread than a Binomial"
    departure_reads = ("beta", "n")
    twin = Twin("BetaBinomial")

    def support(self, **arguments: Array) -> Support:
        return Counts(arguments.get("n", np.inf))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        n = np.broadcast_to(arguments["n"], shape).astype(int)
        return rng.binomial(n, rng.beta(np.broadcast_to(arguments["alpha"], shape), np.broadcast_to(arguments["beta"], shape)))

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        alpha, beta, n = arguments["alpha"], arguments["beta"], arguments["n"]
        inside = (np.asarray(x) >= 0) & (x <= n) & (x == np.floor(x))
        x = np.where(inside, x, 0)
        choose = -np.log1p(n) - betaln(n - x + 1.0, x + 1.0)
        return np.where(inside, choose + betaln(x + alpha, n - x + beta) - betaln(alpha, beta), -np.inf)

    def at_value(self, xp: ModuleType, value: np.ndarray | None, **arguments: Array) -> Array:
        alpha, beta, n, x = arguments["alpha"], arguments["beta"], arguments["n"], value
        assert x is not None
        # where cells have trials of their own, a count also meets those of another cell: no row reads it, and it is finite
        y, total, trials = xp.maximum(n - x, 0.0), alpha + beta, xp.where(n > 0, n, 1.0)
        away = x * beta - y * alpha  # how far the share of x is from alpha / total, times both denominators
        pooled = (total + n) / total
        # the shares of the prior and of the counts, each against that of both together
        deviance = alpha * log_ratio(xp, alpha * pooled, alpha + x, -away / total)
        deviance = deviance + beta * log_ratio(xp, beta * pooled, beta + y, away / total)
        both = (total + n) / trials
        deviance = deviance + times_log_ratio(xp, x, x * both, alpha + x, away / trials)
        deviance = deviance + times_log_ratio(xp, y, y * both, beta + y, -away / trials)
        return gamma_factor(xp, alpha, x) + gamma_factor(xp, beta, y) - gamma_factor(xp, total, n) - deviance

    def departure(self, **arguments: np.ndarray) -> np.ndarray:
        return np.maximum(arguments["n"], 1.0) / arguments["beta"]

"""InverseGamma: positive values with a heavy upper tail; as a prior over variances too."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import gammaln

from .argument import Argument
from .base import Array, CollapsingFamily, ConjugateFamily, Family, Parametrisation, Prior, TableFamily, Twin, inside_or_one
from .kinds import RATE, SIGMA, VARIANCE, Kind
from .special import log_gamma
from .support import Positive, Support


def _by_sd(math: Any, mu: Any, sigma: Any) -> dict[str, Any]:
    alpha = 2 + mu**2 / sigma**2
    return {"alpha": alpha, "beta": mu * (alpha - 1)}


class InverseGamma(Family, TableFamily, ConjugateFamily, CollapsingFamily, Prior):
    """p(x) proportional to x^(-alpha - 1) exp(-beta / x) on x > 0."""

    name = "InverseGamma"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive(), RATE)}
    open_support = True
    twin = Twin("InverseGamma")
    parametrisations = (Parametrisation(("mu", "sigma"), ("alpha", "beta"), _by_sd, "mu > 0 and sigma > 0", ("mu", "sigma")),)
    conjugate = {VARIANCE: "mode of an inverse Gamma"}
    equations = {SIGMA: ("quadratic", "(N + {alpha} + 1) s² − {beta} s − SS = 0")}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return 1 / rng.gamma(arguments["alpha"], 1 / np.asarray(arguments["beta"]), shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        inside, x = inside_or_one(np.asarray(x) > 0, x)
        return np.where(inside, a * np.log(b) - gammaln(a) - (a + 1) * np.log(x) - b / x, -np.inf)

    def multipliers(self, x: np.ndarray, **fixed: np.ndarray) -> list[np.ndarray]:
        there, value = inside_or_one(np.isfinite(x), x)
        return [there.astype(float), np.log(value), there / value]

    def tables(self, xp: ModuleType, **arguments: Array) -> list[Array]:
        a, b = arguments["alpha"], arguments["beta"]
        return [a * xp.log(b) - log_gamma(xp, a), -a - 1, -b]

    def message(self, key: str, statistics: list[np.ndarray], **others: np.ndarray) -> tuple[np.ndarray, ...]:
        return others["alpha"] * statistics[0], statistics[2]

    def relative_deviation(self, **arguments: np.ndarray) -> np.ndarray:
        return arguments["alpha"] ** -0.5

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        return a * xp.log(b) - log_gamma(xp, a) - (a + 1) * xp.log(x) - b / x

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        # messages to a variance are (n, sum of squares): log-likelihood -n/2 log v - ss / 2v
        return (2 * (arguments["alpha"] + 1), 2 * arguments["beta"]) if kind is VARIANCE else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        # on a standard deviation: (n + alpha + 1) x^2 - beta x - ss = 0
        n, ss = messages
        a, b = arguments["alpha"], arguments["beta"]
        if kind is SIGMA:
            return (b + np.sqrt(b**2 + 4 * (n + a + 1) * ss)) / (2 * (n + a + 1))
        return None

"""Priors over one number: Beta, Uniform, Gamma, InverseGamma, HalfNormal, HalfCauchy."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln

from .argument import Argument
from .base import Array, Family, Parametrisation, Prior, Restricted, Twin, times_log
from .kinds import PROBABILITY, RATE, SIGMA, VARIANCE, Kind
from .support import Interval, Positive, Support


def _lgamma(xp: ModuleType, a: Array) -> Array:
    if xp is not np:
        return xp.gammaln(a)
    # along a complex step, whose square is nothing, by the derivative
    return gammaln(a.real) + 1j * a.imag * digamma(a.real) if np.iscomplexobj(a) else gammaln(a)


def _beta_by_sd(math: Any, mu: Any, sigma: Any) -> dict[str, Any]:
    nu = mu * (1 - mu) / sigma**2 - 1
    return {"alpha": mu * nu, "beta": (1 - mu) * nu}


def _inverse_gamma_by_sd(math: Any, mu: Any, sigma: Any) -> dict[str, Any]:
    alpha = 2 + mu**2 / sigma**2
    return {"alpha": alpha, "beta": mu * (alpha - 1)}


class Beta(Family, Prior):
    """p(x) proportional to x^(alpha - 1) (1 - x)^(beta - 1) on (0, 1)."""

    name = "Beta"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive())}
    twin = Twin("Beta")
    parametrisations = (
        Parametrisation(
            ("mu", "sigma"), ("alpha", "beta"), _beta_by_sd, "0 < mu < 1 and 0 < sigma**2 < mu * (1 - mu)", ("mu", "sigma")
        ),
        Parametrisation(
            ("mu", "nu"),
            ("alpha", "beta"),
            lambda math, mu, nu: {"alpha": mu * nu, "beta": (1 - mu) * nu},
            "0 < mu < 1 and nu > 0",
            ("mu", "nu"),
        ),
    )
    conjugate = {PROBABILITY: "mode of a Beta"}

    def support(self, **arguments: Array) -> Support:
        return Interval(0.0, 1.0)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.beta(arguments["alpha"], arguments["beta"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        return (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        constant = _lgamma(xp, a + b) - _lgamma(xp, a) - _lgamma(xp, b)
        return times_log(xp, a - 1, x) + times_log(xp, b - 1, 1 - x) + constant

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return (arguments["alpha"] - 1, arguments["beta"] - 1) if kind is PROBABILITY else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


class Uniform(Family, Restricted, Prior):
    """p(x) = 1 / (upper - lower) between two constants."""

    name = "Uniform"
    arguments = {"lower": Argument(default=0.0, decides=True), "upper": Argument(default=1.0, decides=True)}
    twin = Twin("Uniform")

    def support(self, **arguments: Array) -> Support:
        # without its bounds, as a kind of support only
        return Interval(arguments.get("lower", 0.0), arguments.get("upper", 1.0))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.uniform(arguments["lower"], arguments["upper"], shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        inside = (x >= arguments["lower"]) & (x <= arguments["upper"])
        return np.where(inside, -np.log(arguments["upper"] - arguments["lower"]), -np.inf)

    def complaint(self, **known: np.ndarray) -> tuple[str, str, str] | None:
        if not {"lower", "upper"} <= known.keys() or np.all(np.asarray(known["lower"]) < known["upper"]):
            return None
        got = f"{np.asarray(known['lower']).tolist()} and {np.asarray(known['upper']).tolist()}"
        return "lower, upper", "a lower bound below the upper one", got

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        return -xp.log(arguments["upper"] - arguments["lower"]) + 0.0 * x

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        # flat, and every look-up objective is unimodal: the mode is the unrestricted one moved to the nearer bound
        zero = np.zeros_like(np.asarray(arguments["lower"], float))
        return (zero, zero) if kind in (PROBABILITY, RATE, SIGMA, VARIANCE) else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


class Gamma(Family, Prior):
    """p(x) proportional to x^(alpha - 1) exp(-beta x) on x > 0; beta is a rate."""

    name = "Gamma"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive())}
    twin = Twin("Gamma")
    parametrisations = (
        Parametrisation(
            ("mu", "sigma"),
            ("alpha", "beta"),
            lambda math, mu, sigma: {"alpha": mu**2 / sigma**2, "beta": mu / sigma**2},
            "mu > 0 and sigma > 0",
            ("mu", "sigma"),
        ),
    )
    conjugate = {RATE: "mode of a Gamma"}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return rng.gamma(arguments["alpha"], 1 / np.asarray(arguments["beta"]), shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        return (a - 1) * np.log(x) - b * x + a * np.log(b) - gammaln(a)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        return times_log(xp, a - 1, x) - b * x + a * xp.log(b) - _lgamma(xp, a)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return (arguments["alpha"] - 1, arguments["beta"]) if kind is RATE else None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


class InverseGamma(Family, Prior):
    """p(x) proportional to x^(-alpha - 1) exp(-beta / x) on x > 0."""

    name = "InverseGamma"
    arguments = {"alpha": Argument(Positive()), "beta": Argument(Positive())}
    twin = Twin("InverseGamma")
    parametrisations = (
        Parametrisation(("mu", "sigma"), ("alpha", "beta"), _inverse_gamma_by_sd, "mu > 0 and sigma > 0", ("mu", "sigma")),
    )
    conjugate = {VARIANCE: "mode of an inverse Gamma"}
    equations = {SIGMA: ("quadratic", "(N + {alpha} + 1) s² − {beta} s − SS = 0")}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return 1 / rng.gamma(arguments["alpha"], 1 / np.asarray(arguments["beta"]), shape)

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        a, b = arguments["alpha"], arguments["beta"]
        return a * np.log(b) - gammaln(a) - (a + 1) * np.log(x) - b / x

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        a, b = arguments["alpha"], arguments["beta"]
        return a * xp.log(b) - _lgamma(xp, a) - (a + 1) * xp.log(x) - b / x

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


class HalfNormal(Family, Prior):
    """p(x) proportional to exp(-x^2 / 2 sigma^2) on x > 0."""

    name = "HalfNormal"
    arguments = {"sigma": Argument(Positive(), default=1.0)}
    twin = Twin("HalfNormal")
    parametrisations = (
        Parametrisation(("tau",), ("sigma",), lambda math, tau: {"sigma": 1 / math.sqrt(tau)}, "tau > 0", ("tau",)),
    )
    equations = {SIGMA: ("quadratic in its square", "s⁴ / {sigma}² + N s² − SS = 0")}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.abs(rng.standard_normal(shape)) * arguments["sigma"]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        s = arguments["sigma"]
        return 0.5 * np.log(2 / np.pi) - np.log(s) - x**2 / (2 * np.asarray(s) ** 2)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        s = arguments["sigma"]
        return -0.5 * (x / s) ** 2 - xp.log(s) + 0.5 * np.log(2 / np.pi)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        # -n/x + ss/x^3 - x/s^2 = 0 is a quadratic in x^2; written so that no difference of large numbers remains
        n, ss = messages
        s2 = np.asarray(arguments["sigma"], dtype=float) ** 2
        if kind is SIGMA:
            below = n + np.sqrt(n**2 + 4 * ss / s2)
            # without rows the prior alone speaks, and it is highest at zero
            return np.sqrt(np.divide(2 * ss, below, out=np.zeros_like(below), where=below > 0))
        return None


class HalfCauchy(Family, Prior):
    """p(x) = 2 / (pi beta (1 + (x / beta)^2)) on x > 0."""

    name = "HalfCauchy"
    arguments = {"beta": Argument(Positive(), default=1.0)}
    twin = Twin("HalfCauchy")
    equations = {SIGMA: ("quadratic in its square", "(N + 2) s⁴ + (N {beta}² − SS) s² − SS {beta}² = 0")}

    def support(self, **arguments: Array) -> Support:
        return Positive()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        return np.abs(rng.standard_cauchy(shape)) * arguments["beta"]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        b = np.asarray(arguments["beta"])
        return np.log(2 / np.pi) + np.log(b) - np.log(b**2 + x**2)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        b = arguments["beta"]
        return np.log(2 / np.pi) - xp.log(b) - xp.log1p((x / b) ** 2)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        # -n/x + ss/x^3 - 2x/(b^2 + x^2) = 0 is (n + 2) v^2 + (n b^2 - ss) v - ss b^2 = 0 in v = x^2
        n, ss = messages
        b2 = np.asarray(arguments["beta"], dtype=float) ** 2
        if kind is SIGMA:
            half = (n * b2 - ss) / 2
            root = np.sqrt(half**2 + (n + 2) * ss * b2)
            above = np.divide(ss * b2, half + root, out=np.zeros_like(root), where=half > 0)
            return np.sqrt(np.where(half > 0, above, (root - half) / (n + 2)))
        return None

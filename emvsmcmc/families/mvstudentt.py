"""MvStudentT: the Gaussian vector whose precision is multiplied by one Gamma variable for all its entries, as a child and as a
prior over real vectors."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.special import gammaln

from .argument import Argument
from .base import FACTOR, WHITENER, Array, Family, Prior, RadialFamily, Twin
from .kinds import COVARIANCE, MEAN, TAIL, Kind
from .radial import LARGEST_NU, log_constant
from .support import Covariance, Interval, Real, Support, whitener


class MvStudentT(Family, RadialFamily, Prior):
    """log p(x | nu, mu, scale) = log G((nu + p)/2) - log G(nu/2) - p/2 log(nu pi) - 1/2 log det scale
    - (nu + p)/2 log(1 + e^2 / nu), x over the last dim, of length p.

    G is the Gamma function and e^2 = (x - mu)' scale^-1 (x - mu). The same as x | u ~ MvNormal(mu, scale / u),
    u ~ Gamma(nu/2, nu/2): a row that is far off in any direction counts less in all of them (Lange, Little and Taylor 1989).
    scale is a scale matrix, not the covariance, which is nu / (nu - 2) times as large.
    """

    name = "MvStudentT"
    arguments = {
        "nu": Argument(Interval(0.0, LARGEST_NU), TAIL),
        "mu": Argument(Real(), MEAN, event_dims=1),
        "scale": Argument(Covariance(), COVARIANCE, event_dims=2),
    }
    event_dims = 1
    twin = Twin("MvStudentT")

    def support(self, **arguments: Array) -> Support:
        return Real()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        # rows of the same component have the same factor: who looks matrices up by row may look their factors up instead
        factor = arguments[FACTOR] if FACTOR in arguments else np.linalg.cholesky(arguments["scale"])
        z = (factor @ rng.standard_normal(shape)[..., None])[..., 0]
        u = rng.chisquare(np.broadcast_to(arguments["nu"], shape[:-1])) / arguments["nu"]
        return arguments["mu"] + z / np.sqrt(u)[..., None]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        nu, scale, residual = arguments["nu"], arguments["scale"], x - arguments["mu"]
        p = x.shape[-1]
        square = (residual * np.linalg.solve(scale, residual[..., None])[..., 0]).sum(-1)
        constant = gammaln((nu + p) / 2) - gammaln(nu / 2) - p / 2 * np.log(nu * np.pi)
        return constant - 0.5 * np.linalg.slogdet(scale)[1] - (nu + p) / 2 * np.log1p(square / nu)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        # the scale of a prior is a constant or another parameter's value; its whitener keeps the formula holomorphic in x
        w = arguments[WHITENER] if WHITENER in arguments else whitener(arguments["scale"])
        residual = (w * (x - arguments["mu"])[..., None, :]).sum(-1)
        logs = xp.log(xp.diagonal(w, axis1=-2, axis2=-1)).sum(-1)
        nu, p = arguments["nu"], int(w.shape[-1])
        return log_constant(xp, nu, p) + logs - 0.5 * (nu + p) * xp.log1p((residual**2).sum(-1) / nu)

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

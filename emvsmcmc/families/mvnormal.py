"""MvNormal: the Gaussian vector, as a child and as a prior over real vectors."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..numerics import LOG_2PI
from .argument import Argument
from .base import FACTOR, WHITENER, Array, Family, GaussianFamily, Prior, Twin
from .kinds import COVARIANCE, MEAN, Kind
from .support import Covariance, Real, Support, whitener


class MvNormal(Family, GaussianFamily, Prior):
    """log p(x | mu, cov) = -1/2 (x - mu)' cov^-1 (x - mu) - 1/2 log det(2 pi cov), x over the last dim."""

    name = "MvNormal"
    arguments = {"mu": Argument(Real(), MEAN, event_dims=1), "cov": Argument(Covariance(), COVARIANCE, event_dims=2)}
    event_dims = 1
    twin = Twin("MvNormal")

    def support(self, **arguments: Array) -> Support:
        return Real()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        # rows of the same component have the same factor: who looks covariances up by row may look their factors up instead
        factor = arguments[FACTOR] if FACTOR in arguments else np.linalg.cholesky(arguments["cov"])
        return arguments["mu"] + (factor @ rng.standard_normal(shape)[..., None])[..., 0]

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        cov, residual = arguments["cov"], x - arguments["mu"]
        solved = np.linalg.solve(cov, residual[..., None])[..., 0]
        logdet = np.linalg.slogdet(cov)[1]
        return -0.5 * (residual * solved).sum(-1) - 0.5 * logdet - 0.5 * x.shape[-1] * np.log(2 * np.pi)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        # the covariance of a prior is a constant or another parameter's value; its whitener keeps the formula holomorphic in x
        w = arguments[WHITENER] if WHITENER in arguments else whitener(arguments["cov"])
        residual = (w * (x - arguments["mu"])[..., None, :]).sum(-1)
        logs = xp.log(xp.diagonal(w, axis1=-2, axis2=-1)).sum(-1)
        return -0.5 * (residual**2).sum(-1) + logs - 0.5 * LOG_2PI * x.shape[-1]

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None

    def precision(self, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        p = shape[-1]
        return np.linalg.inv(np.broadcast_to(arguments["cov"], (*shape, p)).reshape(-1, p, p))

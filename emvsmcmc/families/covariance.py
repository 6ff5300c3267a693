"""Priors over covariance matrices, with their density on the matrix itself: InverseWishart and LKJCov."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import gammaln, multigammaln

from .argument import Argument
from .base import INVERSE_WHITENER, Array, Family, Prior, Restricted
from .kinds import COVARIANCE, Kind
from .support import Covariance, Positive, Support


class InverseWishart(Family, Restricted, Prior):
    """log p(S) = nu/2 log|scale| - nu p/2 log 2 - log Gamma_p(nu/2) - (nu + p + 1)/2 log|S| - 1/2 tr(scale S^-1).

    Needs nu > p - 1. PyMC has no twin: `mcmc` writes this density in W coordinates (S^-1 = W'W).
    """

    name = "InverseWishart"
    arguments = {"nu": Argument(Positive()), "scale": Argument(Covariance(), event_dims=2)}
    event_dims = 2
    matrix = True
    conjugate = {COVARIANCE: "mode of an inverse Wishart"}

    def support(self, **arguments: Array) -> Support:
        return Covariance()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: np.ndarray) -> np.ndarray:
        lead, p = shape[:-2], shape[-1]
        nu, scale = np.broadcast_to(arguments["nu"], lead), np.broadcast_to(arguments["scale"], shape)
        out = np.empty(shape)
        for at in np.ndindex(*lead):
            out[at] = np.reshape(stats.invwishart.rvs(float(nu[at]), scale[at], random_state=rng), (p, p))
        return out

    def logpdf(self, x: np.ndarray, **arguments: np.ndarray) -> np.ndarray:
        lead = np.shape(x)[:-2]
        nu, scale = np.broadcast_to(arguments["nu"], lead), np.broadcast_to(arguments["scale"], np.shape(x))
        out = np.empty(lead)
        for at in np.ndindex(*lead):
            out[at] = stats.invwishart.logpdf(x[at], float(nu[at]), scale[at])
        return out

    def complaint(self, **known: np.ndarray) -> tuple[str, str, str] | None:
        """It is proper for nu > p - 1."""
        if not {"nu", "scale"} <= known.keys():
            return None
        p = np.shape(known["scale"])[-1]
        if (np.asarray(known["nu"]) > p - 1).all():
            return None
        return "nu", f"more than {p - 1} degrees of freedom for a {p} x {p} matrix", str(np.asarray(known["nu"]).tolist())

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Array) -> Array:
        """x is the whitener W of the covariance (S^-1 = W'W), which both engines carry beside the matrix."""
        nu, scale, p = arguments["nu"], arguments["scale"], int(arguments["scale"].shape[-1])
        half = xp.log(xp.diagonal(x, axis1=-2, axis2=-1)).sum(-1)  # 1/2 log |S^-1|
        # tr(scale W'W) = sum_i W_i scale W_i'
        trace = (x[..., :, :, None] * x[..., :, None, :] * scale[..., None, :, :]).sum((-1, -2, -3))
        multigamma = multigammaln(nu / 2, p) if xp is np and np.ndim(nu) == 0 else _multigamma(xp, nu / 2, p)
        logdet = np.linalg.slogdet(scale)[1]
        return (nu + p + 1) * half - 0.5 * trace + 0.5 * nu * logdet - 0.5 * nu * p * np.log(2.0) - multigamma

    def natural(self, kind: Kind, **arguments: np.ndarray) -> tuple[np.ndarray, ...] | None:
        # messages to a covariance are (n, sum of outer products)
        if kind is not COVARIANCE:
            return None
        return arguments["nu"] + arguments["scale"].shape[-1] + 1, arguments["scale"]

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


class LKJCov(Family, Prior):
    """Covariance diag(s) R diag(s) with R ~ LKJ(eta) and s_i from `sd`; its density is on the covariance matrix.

    log p(S) = (eta - 1) log|R| + sum_i log p(s_i) - p log 2 - p sum_i log s_i - log Z_p(eta). (Lewandowski, Kurowicka and Joe
    2009 for Z.) `pm.LKJCholeskyCov` has its density on the Cholesky factor instead, so its mode is another one.
    """

    name = "LKJCov"
    arguments = {"eta": Argument(Positive()), "sd": Argument(Positive(), distribution=True)}  # sd: HalfNormal.dist(2)
    event_dims = 2
    matrix = True

    def support(self, **arguments: Array) -> Support:
        return Covariance()

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], **arguments: Any) -> np.ndarray:
        family, given = arguments["sd"]
        s = family.sample(rng, shape[:-1], **given)
        return s[..., :, None] * _lkj_sample(rng, shape, np.asarray(arguments["eta"])) * s[..., None, :]

    def logpdf(self, x: np.ndarray, **arguments: Any) -> np.ndarray:
        family, given = arguments["sd"]
        p = np.shape(x)[-1]
        s = np.sqrt(np.diagonal(x, axis1=-2, axis2=-1))
        eta = np.asarray(arguments["eta"])  # one for all matrices, or one each
        logdet = np.linalg.slogdet(x / (s[..., :, None] * s[..., None, :]))[1]
        sds = family.logpdf(s, **given).sum(-1)
        return (eta - 1) * logdet + sds - p * np.log(2) - p * np.log(s).sum(-1) + lkj_constant(p, eta)

    def log_prior(self, xp: ModuleType, x: Array, **arguments: Any) -> Array:
        """x is the whitener W; log|R| = -2 sum log W_ii - 2 sum log s_i and s_i^2 = (W^-1 W^-1')_ii."""
        family, given = arguments["sd"]
        inverse = np.linalg.inv(x) if xp is np else arguments[INVERSE_WHITENER]
        s = xp.sqrt((inverse**2).sum(-1))
        static = x if isinstance(x, np.ndarray) else x.type  # a symbolic tensor keeps its static shape there
        eta, p = np.asarray(arguments["eta"]), int(static.shape[-1])
        logdet = -2 * xp.log(xp.diagonal(x, axis1=-2, axis2=-1)).sum(-1) - 2 * xp.log(s).sum(-1)
        sds = family.log_prior(xp, s, **given).sum(-1)
        return (eta - 1) * logdet + sds - p * np.log(2.0) - p * xp.log(s).sum(-1) + lkj_constant(p, eta)

    def natural(self, kind: Kind, **arguments: Any) -> tuple[np.ndarray, ...] | None:
        return None

    def mode(self, kind: Kind, messages: tuple[np.ndarray, ...], **arguments: np.ndarray) -> np.ndarray | None:
        return None


def _multigamma(xp: ModuleType, a: Array, p: int) -> Array:
    lgamma = gammaln if xp is np else xp.gammaln
    return p * (p - 1) / 4 * np.log(np.pi) + sum(lgamma(a - j / 2) for j in range(p))


def lkj_constant(p: int, eta: np.ndarray) -> np.ndarray:
    """-log Z_p(eta), Z the integral of |R|^(eta - 1) over correlation matrices (Lewandowski, Kurowicka and Joe 2009, eq. 16)."""
    total = np.zeros(np.shape(eta))
    for k in range(1, p):
        b = eta + (p - 1 - k) / 2
        total = total + (2 * eta - 2 + p - k) * (p - k) * np.log(2) + (p - k) * (2 * gammaln(b) - gammaln(2 * b))
    return -total


def _lkj_sample(rng: np.random.Generator, shape: tuple[int, ...], eta: np.ndarray) -> np.ndarray:
    """Correlation matrices by the onion method: each new row of the Cholesky factor is a random direction and a Beta length."""
    p, lead = shape[-1], shape[:-2]
    factor = np.zeros(shape)
    factor[..., 0, 0] = 1.0
    for i in range(1, p):
        length2 = rng.beta(i / 2, eta + (p - 1 - i) / 2, lead)
        direction = rng.standard_normal((*lead, i))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        factor[..., i, :i] = np.sqrt(length2)[..., None] * direction
        factor[..., i, i] = np.sqrt(1 - length2)
    return factor @ factor.swapaxes(-1, -2)

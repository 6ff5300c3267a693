"""Made by `python tests/stub.py` from the lists of the front door and from `families.ALL`: do not edit."""

from collections.abc import Sequence
from typing import Any

from . import errors as errors
from .comparison.choice.choose import Choice as Choice
from .comparison.choice.choose import choose as choose
from .comparison.result import Comparison as Comparison
from .comparison.run import compare as compare
from .comparison.run import fit_mcmc as fit_mcmc
from .em.fit import fit_em as fit_em
from .em.result import EMFit as EMFit
from .errors import Status as Status
from .experiments.calibration.calibrate import calibrate as calibrate
from .experiments.labels.semisupervised import semisupervised as semisupervised
from .experiments.suggest.suggest import suggest as suggest
from .mcmc.model import to_pymc as to_pymc
from .mcmc.recover import recover as recover
from .problem.condition import condition as condition
from .problem.problem import Problem as Problem
from .simulation import simulate as simulate
from .spec import math as math
from .spec.deterministic import Deterministic as Deterministic
from .spec.expression import Data as Data
from .spec.expression import constant as constant
from .spec.math import dot as dot
from .spec.math import exp as exp
from .spec.math import sqrt as sqrt
from .spec.model import Spec as Spec
from .spec.variable import Switch as Switch
from .spec.variable import Variable
from .version import __version__ as __version__

class _Normal:
    def __call__(
        self,
        name: str,
        mu: Any = 0.0,
        sigma: Any = None,
        variance: Any = None,
        *,
        tau: Any = None,
        dims: str | Sequence[str] | None = None,
    ) -> Variable: ...
    def dist(self, mu: Any = 0.0, sigma: Any = None, variance: Any = None, *, tau: Any = None) -> Variable: ...

class _MvNormal:
    def __call__(self, name: str, mu: Any, cov: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, mu: Any, cov: Any) -> Variable: ...

class _StudentT:
    def __call__(
        self, name: str, nu: Any, mu: Any = 0.0, sigma: Any = 1.0, *, lam: Any = None, dims: str | Sequence[str] | None = None
    ) -> Variable: ...
    def dist(self, nu: Any, mu: Any = 0.0, sigma: Any = 1.0, *, lam: Any = None) -> Variable: ...

class _MvStudentT:
    def __call__(self, name: str, nu: Any, mu: Any, scale: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, nu: Any, mu: Any, scale: Any) -> Variable: ...

class _Categorical:
    def __call__(self, name: str, p: Any = None, *, logit_p: Any = None, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, p: Any = None, *, logit_p: Any = None) -> Variable: ...

class _Bernoulli:
    def __call__(self, name: str, p: Any = None, *, logit_p: Any = None, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, p: Any = None, *, logit_p: Any = None) -> Variable: ...

class _Binomial:
    def __call__(
        self, name: str, n: Any, p: Any = None, *, logit_p: Any = None, dims: str | Sequence[str] | None = None
    ) -> Variable: ...
    def dist(self, n: Any, p: Any = None, *, logit_p: Any = None) -> Variable: ...

class _Poisson:
    def __call__(self, name: str, mu: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, mu: Any) -> Variable: ...

class _NegativeBinomial:
    def __call__(
        self,
        name: str,
        mu: Any = None,
        alpha: Any = None,
        *,
        n: Any = None,
        p: Any = None,
        dims: str | Sequence[str] | None = None,
    ) -> Variable: ...
    def dist(self, mu: Any = None, alpha: Any = None, *, n: Any = None, p: Any = None) -> Variable: ...

class _Geometric:
    def __call__(self, name: str, p: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, p: Any) -> Variable: ...

class _BetaBinomial:
    def __call__(self, name: str, alpha: Any, beta: Any, n: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, alpha: Any, beta: Any, n: Any) -> Variable: ...

class _Multinomial:
    def __call__(self, name: str, n: Any, p: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, n: Any, p: Any) -> Variable: ...

class _Exponential:
    def __call__(self, name: str, lam: Any = None, *, scale: Any = None, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, lam: Any = None, *, scale: Any = None) -> Variable: ...

class _Dirac:
    def __call__(self, name: str, c: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, c: Any) -> Variable: ...

class _Dirichlet:
    def __call__(self, name: str, a: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, a: Any) -> Variable: ...

class _Beta:
    def __call__(
        self,
        name: str,
        alpha: Any = None,
        beta: Any = None,
        *,
        mu: Any = None,
        sigma: Any = None,
        nu: Any = None,
        dims: str | Sequence[str] | None = None,
    ) -> Variable: ...
    def dist(self, alpha: Any = None, beta: Any = None, *, mu: Any = None, sigma: Any = None, nu: Any = None) -> Variable: ...

class _Uniform:
    def __call__(self, name: str, lower: Any = 0.0, upper: Any = 1.0, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, lower: Any = 0.0, upper: Any = 1.0) -> Variable: ...

class _Gamma:
    def __call__(
        self,
        name: str,
        alpha: Any = None,
        beta: Any = None,
        *,
        mu: Any = None,
        sigma: Any = None,
        dims: str | Sequence[str] | None = None,
    ) -> Variable: ...
    def dist(self, alpha: Any = None, beta: Any = None, *, mu: Any = None, sigma: Any = None) -> Variable: ...

class _InverseGamma:
    def __call__(
        self,
        name: str,
        alpha: Any = None,
        beta: Any = None,
        *,
        mu: Any = None,
        sigma: Any = None,
        dims: str | Sequence[str] | None = None,
    ) -> Variable: ...
    def dist(self, alpha: Any = None, beta: Any = None, *, mu: Any = None, sigma: Any = None) -> Variable: ...

class _LogNormal:
    def __call__(
        self, name: str, mu: Any = 0.0, sigma: Any = 1.0, *, tau: Any = None, dims: str | Sequence[str] | None = None
    ) -> Variable: ...
    def dist(self, mu: Any = 0.0, sigma: Any = 1.0, *, tau: Any = None) -> Variable: ...

class _Weibull:
    def __call__(self, name: str, alpha: Any, beta: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, alpha: Any, beta: Any) -> Variable: ...

class _VonMises:
    def __call__(self, name: str, mu: Any = 0.0, kappa: Any = 1.0, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, mu: Any = 0.0, kappa: Any = 1.0) -> Variable: ...

class _HalfNormal:
    def __call__(self, name: str, sigma: Any = 1.0, *, tau: Any = None, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, sigma: Any = 1.0, *, tau: Any = None) -> Variable: ...

class _HalfCauchy:
    def __call__(self, name: str, beta: Any = 1.0, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, beta: Any = 1.0) -> Variable: ...

class _InverseWishart:
    def __call__(self, name: str, nu: Any, scale: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, nu: Any, scale: Any) -> Variable: ...

class _LKJCov:
    def __call__(self, name: str, eta: Any, sd: Any, *, dims: str | Sequence[str] | None = None) -> Variable: ...
    def dist(self, eta: Any, sd: Any) -> Variable: ...

Normal: _Normal
MvNormal: _MvNormal
StudentT: _StudentT
MvStudentT: _MvStudentT
Categorical: _Categorical
Bernoulli: _Bernoulli
Binomial: _Binomial
Poisson: _Poisson
NegativeBinomial: _NegativeBinomial
Geometric: _Geometric
BetaBinomial: _BetaBinomial
Multinomial: _Multinomial
Exponential: _Exponential
Dirac: _Dirac
Dirichlet: _Dirichlet
Beta: _Beta
Uniform: _Uniform
Gamma: _Gamma
InverseGamma: _InverseGamma
LogNormal: _LogNormal
Weibull: _Weibull
VonMises: _VonMises
HalfNormal: _HalfNormal
HalfCauchy: _HalfCauchy
InverseWishart: _InverseWishart
LKJCov: _LKJCov

__all__ = [
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "Binomial",
    "Categorical",
    "Choice",
    "Comparison",
    "Data",
    "Deterministic",
    "Dirac",
    "Dirichlet",
    "EMFit",
    "Exponential",
    "Gamma",
    "Geometric",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "InverseWishart",
    "LKJCov",
    "LogNormal",
    "Multinomial",
    "MvNormal",
    "MvStudentT",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "Problem",
    "Spec",
    "Status",
    "StudentT",
    "Switch",
    "Uniform",
    "VonMises",
    "Weibull",
    "calibrate",
    "choose",
    "compare",
    "condition",
    "constant",
    "dot",
    "errors",
    "exp",
    "fit_em",
    "fit_mcmc",
    "math",
    "recover",
    "semisupervised",
    "simulate",
    "sqrt",
    "suggest",
    "to_pymc",
]

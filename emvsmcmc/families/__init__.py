"""The families: one explicit tuple. Adding one means its file and its name here; then every law runs on it."""

from __future__ import annotations

from .argument import REQUIRED, Argument
from .base import ConjugateFamily, Family, GaussianFamily, Prior, RadialFamily, Restricted, TableFamily, Twin, ValueFamily
from .bernoulli import Bernoulli
from .binomial import Binomial
from .categorical import Categorical
from .covariance import InverseWishart, LKJCov
from .dirac import Dirac
from .dirichlet import Dirichlet
from .exponential import Exponential
from .mvnormal import MvNormal
from .normal import Normal
from .poisson import Poisson
from .priors import Beta, Gamma, HalfCauchy, HalfNormal, InverseGamma, Uniform
from .studentt import StudentT

ALL: tuple[Family, ...] = (
    Normal(),
    MvNormal(),
    StudentT(),
    Categorical(),
    Bernoulli(),
    Binomial(),
    Poisson(),
    Exponential(),
    Dirac(),
    Dirichlet(),
    Beta(),
    Uniform(),
    Gamma(),
    InverseGamma(),
    HalfNormal(),
    HalfCauchy(),
    InverseWishart(),
    LKJCov(),
)
BY_NAME = {family.name: family for family in ALL}

__all__ = [
    "ALL",
    "BY_NAME",
    "REQUIRED",
    "Argument",
    "ConjugateFamily",
    "Family",
    "GaussianFamily",
    "Prior",
    "RadialFamily",
    "Restricted",
    "TableFamily",
    "Twin",
    "ValueFamily",
]

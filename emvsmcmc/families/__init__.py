"""The families: one explicit tuple. Adding one means its file and its name here; then every law runs on it."""

from __future__ import annotations

from .argument import REQUIRED, Argument
from .base import (
    CollapsingFamily,
    ConjugateFamily,
    Family,
    GaussianFamily,
    Limiting,
    Prior,
    RadialFamily,
    Restricted,
    TableFamily,
    Twin,
    ValueFamily,
)
from .bernoulli import Bernoulli
from .beta import Beta
from .betabinomial import BetaBinomial
from .binomial import Binomial
from .categorical import Categorical
from .covariance import InverseWishart, LKJCov
from .dirac import Dirac
from .dirichlet import Dirichlet
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .inversegamma import InverseGamma
from .lognormal import LogNormal
from .multinomial import Multinomial
from .mvnormal import MvNormal
from .mvstudentt import MvStudentT
from .negativebinomial import NegativeBinomial
from .normal import Normal
from .poisson import Poisson
from .priors import HalfCauchy, HalfNormal
from .studentt import StudentT
from .uniform import Uniform
from .vonmises import VonMises
from .weibull import Weibull

ALL: tuple[Family, ...] = (
    Normal(),
    MvNormal(),
    StudentT(),
    MvStudentT(),
    Categorical(),
    Bernoulli(),
    Binomial(),
    Poisson(),
    NegativeBinomial(),
    Geometric(),
    BetaBinomial(),
    Multinomial(),
    Exponential(),
    Dirac(),
    Dirichlet(),
    Beta(),
    Uniform(),
    Gamma(),
    InverseGamma(),
    LogNormal(),
    Weibull(),
    VonMises(),
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
    "CollapsingFamily",
    "ConjugateFamily",
    "Family",
    "GaussianFamily",
    "Limiting",
    "Prior",
    "RadialFamily",
    "Restricted",
    "TableFamily",
    "Twin",
    "ValueFamily",
]

"""emvsmcmc: declare a latent-variable model once, fit it by EM and by MCMC, and learn whether the point estimate would do.

Nothing heavy is imported here: PyMC, numba and matplotlib load when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import Status
from .version import __version__

_WHERE = {
    "spec.model": ["Spec"],
    "spec.expression": ["Data", "constant", "dot", "exp", "sqrt"],
    "spec.variable": [
        "Normal", "MvNormal", "Categorical", "Bernoulli", "Binomial", "Poisson", "Exponential", "Dirac", "Dirichlet", "Beta",
        "StudentT", "MvStudentT", "Uniform", "Gamma", "InverseGamma", "LogNormal", "Weibull", "VonMises", "HalfNormal", "HalfCauchy",
        "NegativeBinomial", "Geometric", "BetaBinomial", "Multinomial", "InverseWishart", "LKJCov", "Switch",
    ],
    "problem.condition": ["condition"],
    "problem.problem": ["Problem"],
    "simulation": ["simulate"],
    "em.fit": ["fit_em"],
    "em.result": ["EMFit"],
    "mcmc.model": ["to_pymc"],
    "mcmc.recover": ["recover"],
    "comparison.run": ["compare", "fit_mcmc"],
    "comparison.result": ["Comparison"],
    "comparison.choice.choose": ["choose", "Choice"],
    "experiments.calibration.calibrate": ["calibrate"],
    "experiments.labels.semisupervised": ["semisupervised"],
    "experiments.suggest.suggest": ["suggest"],
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = [*_MODULE_OF, "Status", "errors"]

if TYPE_CHECKING:
    from .comparison.choice.choose import Choice, choose
    from .comparison.result import Comparison
    from .comparison.run import compare, fit_mcmc
    from .em.fit import fit_em
    from .em.result import EMFit
    from .experiments.calibration.calibrate import calibrate
    from .experiments.labels.semisupervised import semisupervised
    from .experiments.suggest.suggest import suggest
    from .mcmc.model import to_pymc
    from .mcmc.recover import recover
    from .problem.condition import condition
    from .problem.problem import Problem
    from .simulation import simulate
    from .spec.expression import Data, constant, dot, exp, sqrt
    from .spec.model import Spec
    from .spec.variable import (
        Bernoulli,
        Beta,
        BetaBinomial,
        Binomial,
        Categorical,
        Dirac,
        Dirichlet,
        Exponential,
        Gamma,
        Geometric,
        HalfCauchy,
        HalfNormal,
        InverseGamma,
        InverseWishart,
        LKJCov,
        LogNormal,
        Multinomial,
        MvNormal,
        MvStudentT,
        NegativeBinomial,
        Normal,
        Poisson,
        StudentT,
        Switch,
        Uniform,
        VonMises,
        Weibull,
    )


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""emvsmcmc: declare a latent-variable model once, fit it by EM and by MCMC, and learn whether the point estimate would do.

Nothing heavy is imported here: PyMC, numba and matplotlib load when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

_WHERE = {
    "spec.model": ["Spec"],
    "spec.expression": ["Data", "constant"],
    "spec.math": ["dot", "exp", "sqrt"],
    "spec.variable": [
        "Normal", "MvNormal", "Categorical", "Bernoulli", "Binomial", "Poisson", "Exponential", "Dirac", "Dirichlet", "Beta",
        "StudentT", "Uniform", "Gamma", "InverseGamma", "HalfNormal", "HalfCauchy", "InverseWishart", "LKJCov", "Switch",
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
    "errors": ["Status"],
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = [*_MODULE_OF, "errors", "math"]

if TYPE_CHECKING:
    from . import errors
    from .comparison.choice.choose import Choice, choose
    from .comparison.result import Comparison
    from .comparison.run import compare, fit_mcmc
    from .em.fit import fit_em
    from .em.result import EMFit
    from .errors import Status
    from .experiments.calibration.calibrate import calibrate
    from .experiments.labels.semisupervised import semisupervised
    from .experiments.suggest.suggest import suggest
    from .mcmc.model import to_pymc
    from .mcmc.recover import recover
    from .problem.condition import condition
    from .problem.problem import Problem
    from .simulation import simulate
    from .spec import math
    from .spec.expression import Data, constant
    from .spec.math import dot, exp, sqrt
    from .spec.model import Spec
    from .spec.variable import (
        Bernoulli,
        Beta,
        Binomial,
        Categorical,
        Dirac,
        Dirichlet,
        Exponential,
        Gamma,
        HalfCauchy,
        HalfNormal,
        InverseGamma,
        InverseWishart,
        LKJCov,
        MvNormal,
        Normal,
        Poisson,
        StudentT,
        Switch,
        Uniform,
    )


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".errors", __name__)
    if name == "math":
        return import_module(".spec.math", __name__)
    if name in ("compare", "Comparison"):
        result = import_module(".comparison.result", __name__)
        result.pages_by(lambda: import_module(".report.comparison.page", __name__).write)
    if name in ("semisupervised", "calibrate"):
        accessor = import_module(".experiments.accessor", __name__)
        accessor.pages_by("labels", lambda: import_module(".report.labels", __name__).write)
        accessor.pages_by("calibration", lambda: import_module(".report.calibration", __name__).write)
    if name in _MODULE_OF:
        return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""emvsmcmc: declare a latent-variable model once, fit it by EM and by MCMC, and learn whether the point estimate would do.

Nothing heavy is imported here: PyMC, numba and matplotlib load when they are first needed. What there is follows from the lists
below and from `families.ALL`; `__init__.pyi` says it to type checkers, and `tests/stub.py` writes that.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import errors
from .errors import Status
from .spec.habits import pymc_name
from .version import __version__

_WHERE = {
    "spec.model": ["Spec"],
    "spec.deterministic": ["Deterministic"],
    "spec.expression": ["Data", "constant"],
    "spec.math": ["dot", "exp", "sqrt"],
    "spec.variable": ["Switch"],
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
_MODULES = {"math": "spec.math"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name == "__all__":
        return [*_MODULE_OF, *_MODULES, "Status", "errors", *_constructors()]
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULE_OF:
        return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    if (constructor := _constructors().get(name)) is not None:
        return constructor
    raise AttributeError(pymc_name(name, __getattr__("__all__")))


def _constructors() -> Any:
    """{name: constructor} of every family. Not imported at the top: the command line answers faster without."""
    return import_module(".spec.constructors", __name__).CONSTRUCTORS


def __dir__() -> list[str]:
    return sorted([*globals(), *__getattr__("__all__")])

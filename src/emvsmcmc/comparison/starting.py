"""Where chains start: at the optima of EM that can hold posterior mass."""

from __future__ import annotations

from ..chunks import ChunkedProblem
from ..em.fit import fit_em
from ..em.result import EMFit
from ..errors import FitFailed
from ..problem import Problem
from ..spec.graph import Environment

REACH = 10.0  # nats


def within_reach(fit: EMFit) -> list[Environment]:
    """EM's best optimum, then the others at most REACH nats below it: where chains start, so that R-hat sees several modes.

    An optimum farther down holds no posterior mass worth a chain; one that started there would stay and spoil the run.
    """
    heights = [max(s.objective for s in fit.starts if s.optimum == i) for i in range(len(fit.optima))]
    return [env for env, height in zip(fit.optima, heights, strict=True) if height >= heights[0] - REACH]


def map_optima(problem: Problem | ChunkedProblem, random_seed: int | None) -> list[Environment] | None:
    """Modes of the posterior for chains to start at; None where EM found none, and the prior's support points serve."""
    try:
        fit = fit_em(problem, "map", starts=8, tol=1e-8, standard_errors=None, random_seed=random_seed, progress=False)
        return within_reach(fit)
    except FitFailed:
        return None

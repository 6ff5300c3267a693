"""Where chains start: at the optima of EM that can hold posterior mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..em.fit import run_em
from ..em.options import EMOptions
from ..em.result import EMFit
from ..errors import FitFailed
from ..expect.coefficients import coefficients
from ..expect.plan import Plan
from ..expect.rows import expect_rows
from ..invariance.labels import by_prior_alone, named_alike, namings
from ..problem.chunked import AnyProblem
from ..spec.evaluate import Environment
from .align import align

# for modes to start chains at, where maximum likelihood is not fitted anyway
SEARCH = EMOptions(objective="map", starts=8, tol=1e-8, standard_errors=None, progress=False)
REACH = 10.0  # nats
NAMING = 1 / 50  # of the better naming's mass, below which another naming of the same optimum gets no chain
SAME_ROWS = 1.0  # nats of a row's log-likelihood up to which two optima are namings of one, each a little moved by the prior


def within_reach(fit: EMFit) -> list[Environment]:
    """EM's best optimum, then the others at most REACH nats below it: where chains start, so that R-hat sees several modes.

    An optimum farther down holds no posterior mass worth a chain; one that started there would stay and spoil the run. Another
    naming of the same optimum, where only the prior tells names apart, is as wide as the first: its height is its mass, and one
    with less than NAMING of the other's is left out.
    """
    heights = [max(s.objective for s in fit.starts if s.optimum == i) for i in range(len(fit.optima))]
    kept: list[tuple[Environment, float]] = []
    for env, height in zip(fit.optima, heights, strict=True):
        light = (better for better, top in kept if height < top + np.log(NAMING) and other_naming(fit.plan, env, better))
        if height >= heights[0] - REACH and not any(True for _ in light):
            kept.append((env, height))
    return [env for env, _ in kept]


def other_naming(plan: Plan, a: Environment, b: Environment) -> bool:
    """Whether two optima are one under names that only the prior tells apart."""
    if not by_prior_alone(plan) or named_alike(plan, a, b):
        return False
    one, two = (expect_rows(plan, coefficients(plan, env))[2].log_likelihood for env in (a, b))
    return bool(np.abs(one - two).max() < SAME_ROWS)


def map_optima(problem: AnyProblem, random_seed: int | None) -> list[Environment] | None:
    """Modes of the posterior for chains to start at; None where EM found none, and the prior's support points serve."""
    try:
        return within_reach(run_em(problem, replace(SEARCH, random_seed=random_seed)))
    except FitFailed:
        return None


def other_modes(em: EMFit, mode: EMFit, options: EMOptions) -> list[EMFit]:
    """MAP fits from EM's estimate under the names that only the prior tells apart, with `mode` among them, best first."""
    fits = [mode]
    options = replace(options, objective="map", starts=1, standard_errors=None, random_seed=None, progress=False)
    for env in namings(em.plan, em.environment):
        init = {v.label: env.values[v.label].array for v in em.plan.parameters}
        try:
            fit = run_em(em.problem, options, init)
        except FitFailed:
            continue
        if not any(named_alike(em.plan, fit.environment, other.environment) for other in fits):
            fits.append(fit)
    return sorted(fits, key=lambda f: -f.objective_value)


def with_mass(modes: list[EMFit]) -> list[Environment]:
    """Of the namings of one optimum, best first, those with at least NAMING of the best one's mass."""
    return [m.environment for m in modes if m.objective_value >= modes[0].objective_value + np.log(NAMING)]


def chain_starts(em: EMFit, mode: EMFit, options: EMOptions) -> tuple[EMFit, list[Environment]]:
    """(MAP fit of the best naming, where chains start): `mode`, from EM's estimate, stands for its best optimum and gets chains
    in every naming with mass; the likelihood's other optima within reach get chains of their own. options : of EM's runs to them.
    """
    fits = other_modes(em, mode, options)
    return fits[0], [*with_mass(fits), *within_reach(em)[1:]]


def names_by_chain(plan: Plan, draws: Mapping[str, np.ndarray], reference: Environment, chains: int) -> tuple[str, list[int]]:
    """Where chains sit in modes that differ in names that only the prior tells apart, a sentence that says so, else empty; and
    the chains that mostly have the names of the reference (of the first chain, where none has them).

    draws : {parameter: (chains * draws, *shape)}. A draw's names are those that alignment would give it by the rows' assignments.
    """
    sentences, kept = [], np.ones(chains, dtype=bool)
    if chains > 1 and (dims := by_prior_alone(plan)):
        for dim, orders in align(plan, draws, reference, by_row=False, dims=dims).orders.items():
            parts = np.array_split(orders, chains)
            of_chain = [np.unique(part, axis=0, return_counts=True) for part in parts]
            common = [tuple(naming[np.argmax(count)].tolist()) for naming, count in of_chain]
            same = tuple(range(len(common[0])))
            kept &= [o == (same if same in common else common[0]) for o in common]
            if len(set(common)) > 1:
                where = ", ".join(f"chain {i} in {list(o)}" for i, o in enumerate(common))
                crossed = "" if any(len(naming) > 1 for naming, _ in of_chain) else " and none crosses"
                sentences.append(
                    f"chains sit in modes that differ in the names of {dim}, which only the prior tells apart "
                    f"({where}{crossed}): means over all chains belong to no mode"
                )
    return "; ".join(sentences), np.flatnonzero(kept).tolist() or list(range(chains))

"""Names that only the prior tells apart: the likelihood cannot, an informative prior can."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emvsmcmc as ev
from emvsmcmc import density
from emvsmcmc.comparison.starting import names_by_chain, within_reach
from emvsmcmc.expect.objective import ML
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.invariance.labels import by_prior_alone, exchangeable

WAITING = pd.read_csv(Path(__file__).parents[1] / "models" / "data" / "faithful.csv")["waiting"].to_numpy(dtype=float)


def faithful(centers: list[float], width: float, half_normal: bool = False) -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        p = ev.Dirichlet("p", 1, dims="component")
        mean = ev.Normal("centers", np.array(centers), width, dims="component")
        sd = ev.HalfNormal("sds", 10, dims="component") if half_normal else ev.Uniform("sds", 0, 40, dims="component")
        z = ev.Categorical("z", p, dims="row")
        ev.Normal("x", mean[z], sd[z], dims="row")
    return ev.condition(spec, {"x": WAITING})


def values(fit: ev.EMFit) -> dict[str, np.ndarray]:
    return {str(k): v.values for k, v in fit.estimate.data_vars.items()}


def fit(problem: ev.Problem, objective: str = "ml", **options) -> ev.EMFit:  # type: ignore[no-untyped-def]
    return ev.fit_em(problem, objective, starts=4, progress=False, **({"random_seed": 0, "standard_errors": None} | options))  # type: ignore[arg-type]


def test_symmetries_of_the_likelihood_and_of_the_posterior_are_two_things() -> None:
    plan = make_plan(faithful([50, 80], 20))
    assert "centers" in str(exchangeable(plan)["component"])
    assert exchangeable(plan, ML) == {"component": None}
    assert by_prior_alone(plan) == ["component"]
    assert by_prior_alone(make_plan(faithful([65, 65], 20))) == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("centers", [[50, 80], [80, 50]])
def test_maximum_likelihood_is_reported_in_the_naming_that_the_prior_prefers(centers: list[float], seed: int) -> None:
    problem = faithful(centers, 20)
    found = values(fit(problem, random_seed=seed))
    order = [0, 1] if centers[0] < centers[1] else [1, 0]
    assert found["centers"][order] == pytest.approx([54.61, 80.09], abs=0.02)
    other = {k: v[::-1] for k, v in found.items()}
    assert density.log_prior(problem, found) - density.log_prior(problem, other) == pytest.approx(1.905, abs=0.01)
    assert density.log_likelihood(problem, found).sum() == pytest.approx(density.log_likelihood(problem, other).sum())


@pytest.mark.parametrize("centers", [[5, -5, 0], [0, 5, -5], [-5, 5, 0]])
def test_three_components_against_every_naming(centers: list[float]) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(np.repeat([-4.0, 0.5, 4.0], [40, 60, 80]), 0.8)
    with ev.Spec(coords={"component": 3}) as spec:
        p = ev.Dirichlet("p", np.array([3.0, 2.0, 2.0]), dims="component")
        mean = ev.Normal("mean", np.array(centers), 4, dims="component")
        z = ev.Categorical("z", p, dims="row")
        ev.Normal("x", mean[z], ev.HalfNormal("sd", 3), dims="row")
    problem = ev.condition(spec, {"x": x})
    for objective in ("ml", "map"):
        found = values(fit(problem, objective))
        of = [density.log_prior(problem, found | {k: found[k][list(o)] for k in ("p", "mean")}) for o in permutations(range(3))]
        assert of[0] == max(of)
        assert of[0] > sorted(of)[-2] + 0.1


def test_the_mode_is_the_best_of_all_namings_and_every_naming_is_an_optimum() -> None:
    """Both namings of a weak prior, 1.9 nats apart, hold mass; of a strong one only the better does."""
    problem = faithful([50, 80], 20)
    best = fit(problem, "map")
    assert best.estimate["centers"].values == pytest.approx([54.6, 80.1], abs=0.1)
    starts = [env.values["centers"].array for env in within_reach(best)]
    assert [c[0] < c[1] for c in starts] == [True, False]
    for strong in (faithful([50, 80], 5), faithful([55, 80], 10, half_normal=True)):
        for seed in range(3):
            top = fit(strong, "map", random_seed=seed)
            assert top.estimate["centers"].values[0] < 60
            assert len(within_reach(top)) == 1


def test_chains_in_different_namings_are_said_to_be() -> None:
    best = fit(faithful([50, 80], 20), "map")
    one = {k: np.repeat(v[None], 5, axis=0) for k, v in values(best).items()}
    other = {k: v[:, ::-1] for k, v in one.items()}
    apart, alike = names_by_chain(best.plan, {k: np.concatenate([one[k], other[k]]) for k in one}, best.environment, 2)
    assert "names of component" in apart
    assert "none crosses" in apart
    assert alike == [0]
    together = {k: np.concatenate([one[k], one[k]]) for k in one}
    assert names_by_chain(best.plan, together, best.environment, 2) == ("", [0, 1])


def test_a_comparison_reports_no_mean_over_chains_in_different_namings() -> None:
    """Both namings hold mass (.87 and .13): chains start in each, none crosses, and the figures are those of the better one."""
    both = ev.compare(faithful([50, 80], 20), starts=3, draws=200, tune=200, chains=2, random_seed=1, progress=False)
    assert both.verdict.name == "MCMC has not converged: no verdict"
    assert "the figures are those of chain 0, in the better mode" in both.verdict.reasons[0]
    table = both.table
    np.testing.assert_allclose(table.loc[["centers[0]", "centers[1]"], "mean"], [54.6, 80.1], atol=0.5)
    pooled = both.posterior["posterior"]["centers"].mean(("chain", "draw")).values
    assert np.abs(pooled - [54.6, 80.1]).min() > 5  # what would have been said


def test_chunks_say_that_chains_are_in_different_namings() -> None:
    """As in memory; a prior so narrow that the other naming holds nothing is the control."""
    da = pytest.importorskip("dask.array")
    for width, modes in ((20, True), (5, False)):
        problem = ev.condition(faithful([50, 80], width).spec, {"x": da.from_array(WAITING, 100)})
        tree = ev.fit_mcmc(problem, draws=30, tune=60, chains=2, random_seed=1, progress=False)
        assert ("names of component" in tree.attrs["modes"]) == modes
        assert tree.attrs["chains_of_mode"] == ([0] if modes else [0, 1])

"""Named functions of parameters: their values, standard errors and draws wherever parameters are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.cli.show import show_fit
from emvsmcmc.comparison.metrics import scalar_names


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mixture() -> ev.Spec:
    with ev.Spec(coords={"k": 2, "f": ["u", "v"]}) as spec:
        weight = ev.Dirichlet("weight", [2.0, 2.0], dims="k")
        mean = ev.Normal("mean", 0, 5, dims="k")
        sd = ev.HalfNormal("sd", 3)
        z = ev.Categorical("z", weight, dims="row")
        effect = ev.Deterministic("effect", mean / sd)
        ev.Deterministic("table", effect * ev.constant([1.0, -2.0], dims="f") + 0.0 * weight, dims=("f", "k"))
        ev.Deterministic("log_sd", ev.math.log(sd))
        ev.Normal("y", effect[z] * sd, sd, dims="row")
    return spec


def data(n: int = 80) -> np.ndarray:
    return rng(1).normal(np.where(rng(2).random(n) < 0.4, 3.0, -1.0), 0.8)


@pytest.fixture(scope="module")
def problem() -> ev.Problem:
    found: ev.Problem = ev.condition(mixture(), {"y": data()})
    return found


@pytest.mark.parametrize("objective", ["ml", "map"])
def test_em_gives_its_value_and_the_delta_method_s_error(problem: ev.Problem, objective: Any) -> None:
    fit = ev.fit_em(problem, objective, starts=2, random_seed=0)
    at = fit.estimate
    assert np.allclose(at["effect"], at["mean"] / at["sd"], rtol=1e-14)
    assert at["table"].dims == ("f", "k")
    assert np.allclose(at["table"].sel(f="v"), -2 * at["effect"])
    # by differences of the packed vector, apart from the code under test
    chart, covariance = fit.uncertainty.coordinates, fit.uncertainty.covariance
    assert covariance is not None
    u, h = chart.pack(fit.environment), 1e-6

    def effect(x: np.ndarray) -> np.ndarray:
        env = chart.unpack(x)
        return np.append(env.values["mean"].array / env.values["sd"].array, np.log(env.values["sd"].array))

    J = np.stack([(effect(u + h * e) - effect(u - h * e)) / (2 * h) for e in np.eye(len(u))], axis=1)
    expected = np.sqrt(np.diag(J @ covariance @ J.T))
    assert np.allclose(fit.standard_error["effect"], expected[:2], rtol=1e-6)
    assert float(fit.standard_error["log_sd"]) == pytest.approx(expected[2], rel=1e-6)
    assert float(fit.standard_error["log_sd"]) == pytest.approx(float(fit.standard_error["sd"] / at["sd"]), rel=1e-8)
    assert float(fit.missing_information["log_sd"]) == pytest.approx(float(fit.missing_information["sd"]), rel=1e-8)


def test_it_is_no_parameter(problem: ev.Problem) -> None:
    fit = ev.fit_em(problem, starts=2, random_seed=0)
    assert fit.n_parameters == 4
    assert "effect" not in {v.label for v in problem.parameters}
    assert fit.bic == pytest.approx(-2 * fit.log_likelihood + 4 * np.log(80))
    again = ev.fit_em(problem, init=fit.estimate, random_seed=0)  # the estimate as it is may start, fix and simulate
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)
    assert ev.condition(problem.spec, {"y": data()}, fixed=fit.estimate).parameters == []
    assert fit.predict({"y": data()[:3]})["log_likelihood"].shape == (3,)


def test_components_that_change_names_take_it_with_them(problem: ev.Problem) -> None:
    fits = [ev.fit_em(problem, starts=1, random_seed=seed) for seed in range(4)]
    for fit in fits:
        assert np.allclose(fit.estimate["effect"], fits[0].estimate["effect"], atol=1e-5)
        assert float(fit.estimate["effect"][0]) < float(fit.estimate["effect"][1])


def test_the_bootstrap_gives_the_spread_of_its_replicates(problem: ev.Problem) -> None:
    fit = ev.fit_em(problem, starts=1, standard_errors="bootstrap", random_seed=0)
    found = fit.uncertainty.replicates
    assert found is not None
    assert np.allclose(fit.standard_error["log_sd"], np.log(found["sd"]).std(ddof=1), rtol=1e-12)


def test_the_command_line_shows_it(problem: ev.Problem, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ev.fit_em(problem, starts=2, random_seed=0, progress=False)
    show_fit("mine", fit)
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == ["log_sd"]]
    expected = [float(fit.estimate["log_sd"]), float(fit.standard_error["log_sd"])]
    assert [float(x) for x in line.split()[1:3]] == pytest.approx(expected, abs=5e-5)
    assert all(name in shown for name in ("effect[0]", "table[u, 1]"))


def test_simulation_shows_it_and_data_may_carry_it() -> None:
    spec = mixture()
    drawn = ev.simulate(spec, {"row": 30}, random_seed=3)
    assert np.allclose(drawn["effect"], drawn["mean"] / drawn["sd"])
    assert drawn["table"].dims == ("f", "k")
    problem = ev.condition(spec, drawn)
    assert "effect" not in problem.given


def test_the_pymc_model_has_it(problem: ev.Problem) -> None:
    model = ev.to_pymc(problem)
    assert {d.name for d in model.deterministics} >= {"effect", "table", "log_sd"}
    drawn = pm.draw([model["mean"], model["sd"], model["effect"], model["table"]], random_seed=0)
    assert np.allclose(drawn[2], drawn[0] / drawn[1])
    assert np.allclose(drawn[3][1], -2 * drawn[2])
    assert model.named_vars_to_dims["table"] == ("f", "k")


def test_explain_writes_it() -> None:
    text = str(mixture().explain())
    assert "effect[k] = mean[k] / sd" in text
    assert "log_sd = log(sd)" in text
    assert "effect  function" in text


def test_what_no_data_tell_has_a_reason() -> None:
    with ev.Spec(coords={"k": 2}) as spec:
        a, b = ev.Normal("a", 0, 1), ev.Normal("b", 0, 1)
        ev.Deterministic("difference", a - b)
        ev.Deterministic("total", a + b)
        ev.Deterministic("number", ev.constant(2.0))
        ev.Poisson("x", ev.exp(a + b), dims="row")
    fit = ev.fit_em(ev.condition(spec, {"x": rng(0).poisson(3, 40)}), "map", random_seed=0)
    assert float(fit.standard_error["total"]) < 0.2
    assert "number" not in fit.estimate


@pytest.fixture(scope="module")
def comparison(problem: ev.Problem) -> ev.Comparison:
    truth = {"weight": [0.6, 0.4], "mean": [-1.0, 3.0], "sd": 0.8}
    return ev.compare(problem, starts=2, draws=200, tune=200, chains=2, truth=truth, random_seed=0, progress=False)


def test_draws_table_and_page_have_it(comparison: ev.Comparison, tmp_path: Path) -> None:
    for group in ("posterior", "posterior_unaligned"):
        draws = comparison.posterior[group].to_dataset()
        assert np.allclose(draws["effect"], draws["mean"] / draws["sd"])
        assert draws["table"].dims == ("chain", "draw", "f", "k")
    labels = [label for label, _, _ in scalar_names(comparison.em.estimate)]
    assert {"effect[0]", "effect[1]", "log_sd", "table[u, 0]"} <= set(labels) == set(comparison.table.index)
    row = comparison.table.loc["log_sd"]
    assert row["se_ratio"] == pytest.approx(1, abs=0.3)
    assert row["truth"] == pytest.approx(np.log(0.8))
    assert np.isfinite(row[["em", "se", "map", "mean", "sd", "gap"]].astype(float)).all()
    page = comparison.report(tmp_path / "page").read_text(encoding="utf-8")
    assert "log_sd" in page
    comparison.save(tmp_path / "kept.nc")
    with xr.open_datatree(tmp_path / "kept.nc", engine="h5netcdf") as kept:
        assert "effect" in kept["posterior"].to_dataset()


def row_function() -> None:
    x = ev.Data("x", dims="row")
    ev.Deterministic("twice", 2 * x)


BAD: list[tuple[Any, type[Exception], tuple[str, ...]]] = [
    (row_function, errors.InvalidSpec, ("'twice'", "function of parameters", "x")),
    (lambda: ev.Deterministic("d", ev.Normal("a", 0, 1, dims="k"), dims="f"), errors.WrongDims, ("'d'", "dims ('f',)", "('k',)")),
    (lambda: ev.Deterministic("d", ev.Normal("a", 0, 1) * np.ones(3)), errors.WrongDims, ("unnamed axes", "ev.constant")),
    (lambda: (ev.Normal("d", 0, 1), ev.Deterministic("d", ev.constant(1.0))), errors.DuplicateName, ("'d'",)),
    (lambda: ev.Normal("d", ev.Deterministic("d", ev.Normal("a", 0, 1)), 1), errors.DuplicateName, ("'d'",)),
    (lambda: ev.Deterministic(ev.constant(1.0), "d"), errors.InvalidSpec, ("name",)),
]


@pytest.mark.parametrize(("body", "error", "words"), BAD, ids=range(len(BAD)))
def test_what_is_none_is_refused(body: Any, error: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught, ev.Spec(coords={"k": 2, "f": 2}):
        body()
    for word in words:
        assert word in str(caught.value)

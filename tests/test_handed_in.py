"""What is handed in beside the data: starting and fixed values, rows to predict, priors, seeds, and a Spec for a Problem."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.cli.app import app
from emvsmcmc.density import log_likelihood, log_prior
from emvsmcmc.expect.planner import make_plan

GOOD = {"w": [0.4, 0.6], "mu": [-3.0, 3.0], "sd": [1.0, 1.0]}


def mixture():
    with ev.Spec(coords={"k": 2}) as spec:
        w = ev.Dirichlet("w", np.ones(2), dims="k")
        z = ev.Categorical("z", w, dims="row")
        mu = ev.Normal("mu", 0, 10, dims="k")
        sd = ev.HalfNormal("sd", 5, dims="k")
        ev.Normal("y", mu[z], sd[z], dims="row")
    return spec


def rows():
    rng = np.random.default_rng(0)
    return np.r_[rng.normal(-3, 1, 40), rng.normal(3, 1, 60)]


def plane():
    """A Gaussian with a covariance to estimate."""
    with ev.Spec(coords={"f": 2, "g": 2}) as spec:
        mu = ev.Normal("mu", 0, 10, dims="f")
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("f", "g"))
        ev.MvNormal("y", mu, cov, dims=("row", "f"))
    return spec


def fit(problem, **options):
    return ev.fit_em(problem, standard_errors=None, progress=False, random_seed=1, **options)


# ---------------------------------------------------------------------------------------------------------------- starting values


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w": [0.5, 0.6]}, errors.OutOfSupport, "w"),
        ({"w": [1.005, -0.005]}, errors.OutOfSupport, "w"),
        ({"sd": [-1.0, 1.0]}, errors.OutOfSupport, "sd"),
        ({"sd": [0.0, 1.0]}, errors.OutOfSupport, "sd"),
        ({"mu": [np.nan, 1.0]}, errors.MissingData, "mu"),
        ({"mu": [np.inf, 1.0]}, errors.NotFinite, "mu"),
        ({"mu": [1.0, 2.0, 3.0]}, errors.WrongDims, "mu"),
        ({"mu": ["a", "b"]}, errors.NotNumeric, "mu"),
        ({"mux": [1.0, 1.0]}, errors.UnknownName, "mean 'mu'"),
    ],
)
def test_a_starting_value_that_is_none_is_refused_by_name(change, error, words):
    with pytest.raises(error, match=words):
        fit(ev.condition(mixture(), {"y": rows()}), init=GOOD | change)


def test_weights_off_by_rounding_are_normalised_with_a_note():
    problem = ev.condition(mixture(), {"y": rows()})
    found, right = fit(problem, init=GOOD | {"w": [0.404, 0.606]}), fit(problem, init=GOOD)
    assert found.log_likelihood == right.log_likelihood
    assert any("divided by their sum" in note for note in found.notes)
    assert not right.notes
    fixed = ev.condition(mixture(), {"y": rows()}, fixed={"w": [0.404, 0.606]})
    np.testing.assert_allclose(fixed.fixed["w"].array, [0.4, 0.6], rtol=1e-14)
    assert any("divided by their sum" in note for note in fixed.notes)
    with pytest.raises(errors.OutOfSupport):
        ev.condition(mixture(), {"y": rows()}, fixed={"w": [0.42, 0.6]})
    drawn = ev.simulate(mixture(), {"row": 3}, GOOD | {"w": [0.404, 0.606]}, random_seed=0)
    np.testing.assert_allclose(drawn["w"], [0.4, 0.6], rtol=1e-14)


def test_a_starting_value_of_a_fixed_parameter_is_refused():
    with pytest.raises(errors.BadInput, match="fixed"):
        fit(ev.condition(mixture(), {"y": rows()}, fixed={"w": [0.4, 0.6]}), init=GOOD)


@pytest.mark.parametrize("cov", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]], ids=["indefinite", "asymmetric"])
def test_a_starting_covariance_is_symmetric_and_positive_definite(cov):
    problem = ev.condition(plane(), {"y": np.random.default_rng(0).normal(size=(20, 2))})
    with pytest.raises(errors.OutOfSupport, match="positive definite"):
        fit(problem, init={"mu": [0.0, 0.0], "cov": cov})
    fit(problem, init={"mu": [0.0, 0.0], "cov": [[1.0, 0.5], [0.5, 1.0]]})


def test_an_estimate_is_a_starting_value_whatever_the_order_of_its_dims():
    problem = ev.condition(plane(), {"y": np.random.default_rng(0).normal(size=(20, 2))})
    found = fit(problem, starts=1)
    again = fit(problem, init=found.estimate.transpose("g", "f"))
    assert again.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)


# -------------------------------------------------------------------------------------------------------------------- predictions


def test_predictions_know_what_was_fixed():
    found = fit(ev.condition(mixture(), {"y": rows()}, fixed={"sd": [1.0, 1.0]}), starts=2)
    whole, one = found.predict({"y": rows()}), found.predict({"y": rows()[:1]})
    np.testing.assert_allclose(whole["z"], found.probability["z"], atol=1e-12)
    np.testing.assert_allclose(one["z"], whole["z"][:1], atol=1e-14)


def test_predictions_leave_other_columns_out_and_refuse_no_row():
    found = fit(ev.condition(mixture(), {"y": rows()}), starts=2)
    frame = pd.DataFrame({"y": rows(), "who": "x"})
    np.testing.assert_array_equal(found.predict(frame)["z"], found.predict({"y": rows()})["z"])
    with pytest.raises(errors.TooFewRows, match="at least one row"):
        found.predict(frame[:0])


# ------------------------------------------------------------------------------------------------------------------------- priors


@pytest.mark.parametrize(
    "declare",
    [
        lambda: ev.Uniform("p", 3, 1),
        lambda: ev.Uniform("p", 1, 1),
        lambda: ev.Binomial("y", -3, 0.5, dims="row"),
        lambda: ev.Binomial("y", 2.5, 0.5, dims="row"),
        lambda: ev.Normal("p", 0, -1),
        lambda: ev.StudentT("y", 3, 0, 0, dims="row"),
        lambda: ev.Gamma("p", 0, 1),
    ],
)
def test_constants_of_a_prior_lie_in_their_range(declare):
    with pytest.raises(errors.InvalidSpec), ev.Spec():
        declare()


# ------------------------------------------------------------------------------------------------ a Spec for a Problem, and seeds


@pytest.mark.parametrize("ask", [ev.fit_em, ev.compare, ev.fit_mcmc, ev.to_pymc, lambda s: ev.recover(s, None)])
def test_a_spec_is_no_problem(ask):
    with pytest.raises(errors.BadInput, match=r"a Problem.*ev\.condition\(spec, data\)"):
        ask(mixture())


@pytest.mark.parametrize("seed", ["abc", -1, 1.5, True])
def test_a_seed_is_a_whole_number_wherever_it_enters(seed):
    problem = ev.condition(mixture(), {"y": rows()})
    for ask in (
        lambda: ev.fit_em(problem, random_seed=seed),
        lambda: ev.fit_mcmc(problem, random_seed=seed),
        lambda: ev.simulate(mixture(), {"row": 3}, random_seed=seed),
        lambda: ev.recover(problem, None, random_seed=seed),
        lambda: ev.choose([mixture(), mixture()], {"y": rows()}, random_seed=seed),
        lambda: ev.calibrate(mixture(), [50], random_seed=seed),
        lambda: ev.semisupervised(mixture(), {"y": rows()}, random_seed=seed),
    ):
        with pytest.raises(errors.BadInput, match="random_seed"):
            ask()


# -------------------------------------------------------------------------------------------------------- models that are refused


def refused(declare, data):
    with ev.Spec() as spec:
        declare()
    with pytest.raises(errors.UnsupportedModel) as found:
        fit(ev.condition(spec, data))
    return str(found.value)


def test_a_given_label_may_depend_on_a_covariate():
    """Its probability is then that of one trial: the same fit as a Binomial of n = 1."""
    x, y = np.linspace(0.1, 0.9, 20), (np.arange(20) % 3 == 0).astype(int)

    def found(declare):
        with ev.Spec() as spec:
            declare(ev.Data("x", dims="row") * ev.Beta("b", 1, 1))
        return fit(ev.condition(spec, {"x": x, "y": y}))

    one = found(lambda p: ev.Bernoulli("y", p, dims="row"))
    other = found(lambda p: ev.Binomial("y", 1, p, dims="row"))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-10)
    assert float(one.estimate["b"]) == pytest.approx(float(other.estimate["b"]), rel=1e-8)


def test_probabilities_of_several_labels_may_not_depend_on_a_covariate():
    x, y = np.linspace(0.1, 0.9, 20), np.arange(20) % 2
    p = ev.constant([0.5, 0.5], dims="label")
    assert "['x']" in refused(lambda: ev.Categorical("y", ev.Data("x", dims="row") * p, dims="row"), {"x": x, "y": y})


def test_a_rate_may_depend_on_a_covariate():
    x = np.linspace(0.5, 2, 30)
    y = np.arange(30) % 4
    with ev.Spec() as spec:
        ev.Poisson("y", ev.Data("x", dims="row") * ev.Gamma("b", 1, 1), dims="row")
    found = fit(ev.condition(spec, {"x": x, "y": y}))
    assert float(found.estimate["b"]) == pytest.approx(y.sum() / x.sum(), rel=1e-9)


def test_trials_are_not_estimated():
    assert "['n']" in refused(
        lambda: ev.Binomial("y", ev.Gamma("n", 1, 1), ev.Beta("b", 1, 1), dims="row"), {"y": np.arange(20) % 2}
    )


def test_the_branch_that_is_no_child_is_the_one_named():
    def declare():
        z = ev.Bernoulli("z", 0.5, dims="row")
        ev.Switch("y", z, [ev.Normal.dist(ev.Normal("m", 0, 1), 1.0), ev.HalfNormal.dist(1)], dims="row")

    words = refused(declare, {"y": np.linspace(0, 1, 20)})
    assert "HalfNormal, which serves as a prior" in words


def test_effects_of_groups_are_named_for_what_they_are():
    def declare():
        effect = ev.Normal("effect", 0, 1, dims="school")
        ev.Normal("y", effect[ev.Data("g", dims="row")], 1.0, dims="row")

    data = {"y": np.linspace(0, 1, 20), "g": np.arange(20) % 3}
    words = refused(declare, data)
    assert all(name in words for name in ("'effect'", "'school'", "'g'"))
    assert "misspelt" not in words


def test_the_oracle_names_two_plates():
    with ev.Spec() as spec:
        effect = ev.Normal("effect", 0, 1, dims="school")
        ev.Normal("y", effect[ev.Data("g", dims="row")], 1.0, dims="row")
    with pytest.raises(errors.UnsupportedModel, match="'row', 'school'"):
        log_likelihood(ev.condition(spec, {"y": np.linspace(0, 1, 20), "g": np.arange(20) % 3}), {})


def test_a_look_up_in_an_index_is_shown_as_it_was_written():
    with ev.Spec(coords={"k": 3, "s": 2}):
        table = ev.Normal("a", 0, 1, dims="k")
        inner = ev.Categorical("g", np.ones(3) / 3, dims="s")
        sub = ev.Data("sub", dims="row")
        with pytest.raises(errors.InvalidSpec, match=r"g\[sub\]"):
            table[inner[sub]]


# ------------------------------------------------------------------------------------------------------------------ other columns


MODEL = """
import numpy as np
import emvsmcmc as ev

def spec():
    with ev.Spec(coords={"k": ["a", "b"]}) as spec:
        z = ev.Categorical("z", ev.Dirichlet("w", np.ones(2), dims="k"), dims="row")
        mu = ev.Normal("mu", 0, 10, dims="k")
        ev.Normal("y", mu[z], ev.HalfNormal("sd", 5), dims="row")
    return spec
"""


def test_the_labels_command_leaves_other_columns_out_with_a_note(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    frame = pd.DataFrame({"y": rows(), "z": ["a"] * 40 + ["b"] * 60, "who": "x"})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    words = ["labels", tmp_path / "model.py", "--data", tmp_path / "rows.csv", "--fractions", "0.5", "--repeats", "1"]
    words += ["--methods", "supervised", "--starts", "1", "--seed", "1", "--workers", "0"]
    done = CliRunner().invoke(app, [str(w) for w in words])
    assert done.exit_code == 0, done.output
    assert "left out: who" in done.output


def test_a_generator_is_a_seed_only_where_one_is_taken():
    problem = ev.condition(mixture(), {"y": rows()})
    with pytest.raises(errors.BadInput, match="random_seed"):
        ev.fit_em(problem, random_seed=np.random.default_rng(0), progress=False)
    drawn = [ev.simulate(mixture(), {"row": 5}, random_seed=seed)["y"].values for seed in (3, np.random.default_rng(3))]
    np.testing.assert_array_equal(*drawn)


def test_any_name_may_be_a_parameter():
    """The sampler's own inputs were called so, and the compiled model did not know which was meant."""
    from emvsmcmc.mcmc.model import build_model

    with ev.Spec() as spec:
        mean = ev.Normal("centre", 0, 10) + ev.Normal("layout", 0, 10) * ev.Data("x", dims="row")
        ev.Normal("y", mean, ev.HalfNormal("rows", 5), dims="row")
    problem = ev.condition(spec, {"x": np.arange(9.0), "y": np.sin(np.arange(9.0))})
    plan = make_plan(problem)
    at = {"centre": 0.1, "layout": 0.2, "rows": 1.5}
    logp = build_model(plan, "fused", "all").compile_logp(jacobian=False, mode="FAST_COMPILE")
    found = float(logp({"centre": 0.1, "layout": 0.2, "rows_log__": np.log(1.5)}))
    assert found == pytest.approx(log_likelihood(problem, at).sum() + log_prior(problem, at), rel=1e-9)

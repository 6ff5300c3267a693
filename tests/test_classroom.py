"""What the classroom shows: when EM is a regression, where hard assignment goes wrong, what labels are worth."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import emvsmcmc as ev
from emvsmcmc import gallery

# ---------------------------------------------------------------------------------------------------------------- one factor


def one_factor(observed: bool = False) -> tuple[ev.Problem, np.ndarray]:
    model = gallery.load("one_factor")
    frame = model.data(observed=observed)
    return model.problem(observed=observed), frame[["x1", "x2", "x3", "x4"]].to_numpy()


def customary(x: np.ndarray) -> dict[str, np.ndarray]:
    """Means, ones, and standard deviations: the start that textbooks give."""
    return {"intercept": x.mean(axis=0), "slope": np.ones(4), "sd": x.std(axis=0)}


def truth() -> dict[str, np.ndarray]:
    found = gallery.load("one_factor").truth()
    assert found is not None
    return found


def test_with_the_factor_given_it_is_least_squares() -> None:
    problem, x = one_factor(observed=True)
    z = problem.given["z"].array
    fit = ev.fit_em(problem, starts=1, random_seed=0, progress=False)
    X = np.column_stack([np.ones(len(z)), z])
    coefficients = np.linalg.lstsq(X, x, rcond=None)[0]
    residual = x - X @ coefficients
    np.testing.assert_allclose(fit.estimate["intercept"], coefficients[0], rtol=1e-10)
    np.testing.assert_allclose(fit.estimate["slope"], coefficients[1], rtol=1e-10)
    np.testing.assert_allclose(fit.estimate["sd"], residual.std(axis=0), rtol=1e-10)
    inverse = np.linalg.inv(X.T @ X)
    errors = residual.std(axis=0) * np.sqrt(np.diag(inverse))[:, None]
    np.testing.assert_allclose(fit.standard_error["intercept"], errors[0], rtol=1e-5)
    np.testing.assert_allclose(fit.standard_error["slope"], errors[1], rtol=1e-5)
    assert "z" not in fit.latent


def test_without_it_the_information_parameters_infer_it() -> None:
    problem, x = one_factor()
    fit = ev.fit_em(problem, starts=1, random_seed=0, progress=False, standard_errors=None)
    intercept, slope, sd = (fit.estimate[k].values for k in ("intercept", "slope", "sd"))
    J = 1 + (slope**2 / sd**2).sum()
    h = ((x - intercept) * slope / sd**2).sum(axis=1)
    np.testing.assert_allclose(fit.latent["z"], h / J, atol=1e-10)
    np.testing.assert_allclose(fit.latent["z_sd"], J**-0.5, atol=1e-10)


def test_soft_em_does_not_drift() -> None:
    """From the truth and from the customary start it ends at the same place, within sampling error of the truth."""
    problem, x = one_factor()
    fits = [ev.fit_em(problem, init=start, progress=False) for start in (truth(), customary(x))]
    assert all(fit.converged for fit in fits)
    assert fits[0].log_likelihood == pytest.approx(fits[1].log_likelihood, abs=1e-9)
    for k, v in truth().items():
        np.testing.assert_allclose(fits[0].estimate[k], fits[1].estimate[k], atol=1e-6)
        assert (np.abs(fits[0].estimate[k] - v) < 4 * fits[0].standard_error[k]).all(), k
    assert fits[0].path[0] < fits[0].log_likelihood < fits[0].path[0] + 12  # chi-squared with 12 degrees of freedom, halved


def hard(problem: ev.Problem, start: dict[str, np.ndarray], iterations: int) -> ev.EMFit:
    return ev.fit_em(
        problem, assignment="hard", init=start, max_iter=iterations, standard_errors=None, accelerate=False, progress=False
    )


@pytest.mark.parametrize("start", ["truth", "customary"])
def test_hard_em_has_no_maximum(start: str) -> None:
    """It leaves the start at once; one sd falls at every step, faster and faster; the objective rises past any bound."""
    problem, x = one_factor()
    begin = truth() if start == "truth" else customary(x)
    end = hard(problem, begin, 1000)
    assert end.status is ev.Status.UNBOUNDED
    assert not end.converged
    assert "no maximum" in end.status.sentence
    assert end.iterations < 50
    first = end.estimate["indicator"].values[0]
    falling = [float(hard(problem, begin, k).estimate["sd"].sel(indicator=first)) for k in range(1, end.iterations, 2)]
    assert (np.diff(np.log([begin["sd"][0], *falling])) < 0).all()
    assert float(end.estimate["sd"].sel(indicator=first)) == float(end.estimate["sd"].min()) < 1e-5
    if start == "truth":
        assert falling[0] < 0.35  # the true one is .5
    assert (np.diff(end.path) > 0).all()
    assert end.path[-1] > end.path[0] + 5000
    assert np.isnan(end.standard_error.to_array()).all()


def test_hard_em_from_random_starts_is_unbounded_too() -> None:
    fit = ev.fit_em(one_factor()[0], assignment="hard", starts=3, random_seed=1, standard_errors=None, progress=False)
    assert {s.status for s in fit.starts} == {ev.Status.UNBOUNDED}


def test_hard_em_is_sound_once_nothing_is_hidden() -> None:
    """Negative control: `unbounded` is what the model does, not what the word hard does."""
    problem, _ = one_factor(observed=True)
    assert hard(problem, truth(), 100).converged


# -------------------------------------------------------------------------------------------------------------- missing cells


def spread(fit: ev.EMFit) -> tuple[np.ndarray, float]:
    cov = fit.estimate["cov"].values
    sd = np.sqrt(np.diag(cov))
    return sd, float(cov[0, 1] / sd.prod())


def test_mean_imputation_overstates_the_correlation() -> None:
    problem = gallery.load("missing_bivariate").problem()
    soft, imputed = (
        ev.fit_em(problem, assignment=kind, starts=2, random_seed=0, standard_errors=None, progress=False)  # type: ignore[arg-type]
        for kind in ("soft", "hard")
    )
    assert soft.converged
    assert imputed.converged
    (sd, rho), (sd_hard, rho_hard) = spread(soft), spread(imputed)
    assert rho == pytest.approx(0.82, abs=0.05)
    assert rho_hard > rho + 0.05
    assert sd_hard[1] < 0.95 * sd[1]
    np.testing.assert_allclose(sd_hard[0], sd[0], rtol=1e-9)  # the first column has no hole
    np.testing.assert_allclose(imputed.estimate["mean"], soft.estimate["mean"], rtol=1e-6)


def test_mean_imputation_is_no_matter_of_luck() -> None:
    """The same in ten other samples, and what it overstates is the share of variance that the line leaves out."""
    model = gallery.load("missing_bivariate")
    true = model.truth()
    assert true is not None
    rng = np.random.default_rng(5)
    for _ in range(10):
        x = rng.multivariate_normal(true["mean"], true["cov"], 40)
        x[20:, 1] = np.nan
        problem = model.problem({"x": x})
        fits = [
            ev.fit_em(problem, assignment=kind, starts=1, random_seed=0, standard_errors=None, progress=False)  # type: ignore[arg-type]
            for kind in ("soft", "hard")
        ]
        (sd, rho), (sd_hard, rho_hard) = map(spread, fits)
        assert abs(rho_hard) > abs(rho)
        assert sd_hard[1] < sd[1]
        # residual variance: all of it where the cell was seen, none where it was imputed
        residual, residual_hard = sd[1] ** 2 * (1 - rho**2), sd_hard[1] ** 2 * (1 - rho_hard**2)
        assert residual_hard == pytest.approx(0.5 * residual, rel=1e-4)


# ------------------------------------------------------------------------------------------------------ mixture of regressions


@cache
def lines(rows: int) -> ev.EMFit:
    return ev.fit_em(gallery.load("mixture_of_regressions").problem(rows=rows), starts=3, random_seed=1, progress=False)


@pytest.mark.parametrize("rows", [100, 10_000])
def test_two_lines_are_found(rows: int) -> None:
    fit = lines(rows)
    assert fit.converged
    true = gallery.load("mixture_of_regressions").truth()
    assert true is not None
    order = np.argsort(fit.estimate["intercept"].values)
    for k, v in true.items():
        off = np.abs(fit.estimate[k].values[order] - v) / fit.standard_error[k].values[order]
        assert (off < 4).all(), k


def test_a_hundred_times_the_rows_make_a_tenth_of_the_error() -> None:
    few, many = (lines(rows).standard_error.to_array().values for rows in (100, 10_000))
    np.testing.assert_allclose(few / many, 10, rtol=0.4)


# ----------------------------------------------------------------------------------------------------------------------- iris

IRIS = gallery.load("discriminant_analysis")
NAMES = IRIS.data(labels=100)["species"].to_numpy()


@cache
def iris(labels: int, tied: bool = False) -> ev.EMFit:
    problem = IRIS.problem(labels=labels, tied=tied)
    return ev.fit_em(problem, starts=6, random_seed=1, standard_errors=None, progress=False)


def named(probability) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The most probable species of each flower, by name."""
    return probability["class"].values[probability.argmax("class").values]


def test_one_spec_is_supervised_semi_supervised_and_unsupervised() -> None:
    roles = {labels: IRIS.problem(labels=labels).roles["species"] for labels in (100, 30, 0)}
    assert roles == {100: "observed", 30: "assignment", 0: "assignment"}
    assert iris(100).starts[0].iterations <= 2
    given = IRIS.data(labels=30)["species"]
    assert given.notna().sum() == 45
    probability = iris(30).probability["species"]
    assert list(probability["class"].values) == ["setosa", "versicolor", "virginica"]
    held = given.notna().to_numpy()
    assert (probability.max("class").values[held] == 1).all()
    assert (named(probability)[held] == given[held]).all()
    assert (named(probability)[~held] == NAMES[~held]).mean() > 0.95
    # without labels the classes have no names; every species is most of one of them
    table = pd.crosstab(NAMES, iris(0).probability["species"].argmax("class").values)
    assert sorted(table.to_numpy().argmax(axis=1)) == [0, 1, 2]
    assert table.to_numpy().max(axis=1).sum() == 145  # as mclust 6.0.0 classifies them


def test_more_labels_bring_the_fit_nearer_to_the_supervised_one() -> None:
    whole = iris(100).estimate["mean"]
    distance = [float(np.abs(iris(labels).estimate["mean"] - whole).max()) for labels in (30, 60, 90)]
    assert distance[0] > distance[1] > distance[2] > 0


@pytest.mark.parametrize("tied", [False, True])
def test_prediction_of_new_flowers_is_bayes_rule(tied: bool) -> None:
    """Trained on the even rows with names, asked about the odd ones without."""
    frame = IRIS.data(labels=100)
    columns = frame.columns[:4]
    fit = ev.fit_em(IRIS.problem(frame[::2], tied=tied), starts=1, standard_errors=None, progress=False)
    new = frame[columns][1::2].reset_index(drop=True)
    probability = fit.predict(new)["species"]
    assert list(probability["class"].values) == ["setosa", "versicolor", "virginica"]
    np.testing.assert_allclose(probability.sum("class"), 1)
    density = np.stack(
        [
            float(fit.estimate["weight"].sel({"class": name}))
            * multivariate_normal(
                fit.estimate["mean"].sel({"class": name}).values,
                (fit.estimate["cov"] if tied else fit.estimate["cov"].sel({"class": name})).values,
            ).pdf(new.to_numpy())
            for name in probability["class"].values
        ],
        axis=1,
    )
    np.testing.assert_allclose(probability, density / density.sum(axis=1, keepdims=True), atol=1e-10)
    assert (named(probability) == NAMES[1::2]).mean() > 0.95
    assert ((probability > 0.01) & (probability < 0.99)).any()  # probabilities, not verdicts


def test_prediction_of_a_flower_half_measured() -> None:
    new = pd.DataFrame({name: [np.nan] for name in IRIS.data().columns[:4]}).assign(petal_length=1.4, petal_width=0.2)
    probability = iris(100).predict(new)["species"]
    assert named(probability)[0] == "setosa"
    assert probability.max() > 0.999


def test_a_name_that_is_no_species_is_refused() -> None:
    frame = IRIS.data(labels=100)
    frame.loc[3, "species"] = "setsa"
    with pytest.raises(ev.errors.UnknownLabel, match=r"species.*'setsa' in row 3.*Did you mean 'setosa'"):
        IRIS.problem(frame)

"""What `explain` says of Gaussian latents holds in numbers: information parameters, free axes; and where brackets are put."""

import numpy as np
import pytest
from test_explain import SPECS, factors, section

import emvsmcmc as ev
from emvsmcmc.families.writing import bracketed, grouped, outside


def test_information_parameters_hold() -> None:
    """J and h as the text writes them, with e and D of this model by hand, give the conditional mean and sd that EM reports."""
    spec = factors()
    y = np.random.default_rng(2).normal(size=(60, 5)) @ np.diag([1, 2, 3, 1, 2]) + 1
    fit = ev.fit_em(ev.condition(spec, {"y": y}), "map", starts=1, random_seed=0, progress=False)
    loading, mean, noise = (fit.estimate[name].values for name in ("loading", "mean", "noise"))
    D_score, e_score, D_y, e_y = np.eye(2), np.zeros((60, 2)), -loading, y - mean
    J = D_score.T @ D_score + D_y.T @ np.diag(1 / noise) @ D_y
    h = -(e_score @ D_score + e_y @ np.diag(1 / noise) @ D_y)
    np.testing.assert_allclose(fit.latent["score"].values, np.linalg.solve(J, h.T).T, rtol=1e-8, atol=1e-10)
    sd = np.sqrt(np.diag(np.linalg.inv(J)))
    np.testing.assert_allclose(fit.latent["score_sd"].values, np.broadcast_to(sd, (60, 2)), rtol=1e-8)


def test_axes_that_something_tells_apart() -> None:
    """A prior that points somewhere fixes what the likelihood leaves free; a coefficient of one leaves nothing free."""
    with ev.Spec(coords={"item": 4, "factor": 2}) as spec:
        loading = ev.Normal("loading", 1, 1, dims=("item", "factor"))
        score = ev.Normal("score", 0, 1, dims=("person", "factor"))
        ev.Normal("y", ev.dot(loading, score), ev.HalfNormal("sd", 1, dims="item"), dims=("person", "item"))
    assert "the 2 axes of score may be turned, loading with them: no density changes, but the prior does" in section(
        str(spec.explain()), "Rotation"
    )
    with ev.Spec(coords={"item": 4}) as spec:
        z = ev.Normal("z", 0, ev.HalfNormal("spread", 1), dims="person")
        ev.Normal("y", z, ev.HalfNormal("sd", 1, dims="item"), dims=("person", "item"))
    text = section(str(spec.explain()), "Rotation")
    assert "the model tells the axes of z apart: none may be turned" in text
    assert "5 free parameters" in text
    assert "Rotation" not in str(SPECS["old_faithful-"]().explain())


@pytest.mark.parametrize(
    ("text", "bare", "sum_in_brackets", "product_in_brackets"),
    [
        ("N[k]", "N", "N[k]", "N[k]"),
        ("N[k, j]", "N", "N[k, j]", "N[k, j]"),
        ("(a + b)", "", "(a + b)", "(a + b)"),
        ("a + b", "a + b", "(a + b)", "(a + b)"),
        ("Σ_n r[n, k] x[n]", "Σ_n r x", "Σ_n r[n, k] x[n]", "(Σ_n r[n, k] x[n])"),
    ],
)
def test_brackets(text: str, bare: str, sum_in_brackets: str, product_in_brackets: str) -> None:
    assert (outside(text), grouped(text), bracketed(text)) == (bare, sum_in_brackets, product_in_brackets)

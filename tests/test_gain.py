"""What one more label buys: the formulas against brute force over every label, and bad input by name."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from examples import EXAMPLES, full_covariance_spec, nested_latents, normal_data, normal_mixture_spec, two_columns
from scipy.stats import norm

import emvsmcmc as ev
from emvsmcmc.em.information import observed_information
from emvsmcmc.errors import BadInput, Degenerate, UnknownName
from emvsmcmc.expect.objective import MAP, Objective
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.experiments.suggest import draws as gain_draws
from emvsmcmc.experiments.suggest import information as gain_information
from emvsmcmc.experiments.suggest.suggest import suggest
from emvsmcmc.spec.named import Named


def with_holes() -> ev.Problem:
    """Two columns with missing cells, a third of the rows labelled."""
    y = two_columns()[:36]
    z = (y[:, 0] > 2).astype(int)
    y -= 2.2 * z[:, None]  # near enough for labels to matter
    y[3, 1] = y[10, 0] = np.nan
    return ev.condition(full_covariance_spec(), {"y": y, "group": np.where(np.arange(36) % 3, -1, z)})


def nested() -> ev.Problem:
    """Two hidden labels a row; only the second is partly known."""
    problem = nested_latents()
    x = problem.given["x"].array
    data = {"y": problem.given["y"].array[:40], "x": x[:40], "zb": np.where(np.arange(40) % 2, -1, x[:40] > 2.5)}
    return ev.condition(problem.spec, data)


CASES: dict[str, tuple[Callable[[], ev.Problem], str]] = {
    "partial_labels": (EXAMPLES["partial_labels"].build, "group"),
    "soft_labels_and_weights": (EXAMPLES["soft_labels_and_weights"].build, "group"),
    "with_holes": (with_holes, "group"),
    "nested": (nested, "zb"),
}


def labelled(problem: ev.Problem, label: str, row: int, code: int) -> ev.Problem:
    """The problem with one more label, as evidence, which keeps the layout of the latents."""
    variable = problem.spec.variables[label]
    K = problem.levels(variable)
    log = problem.evidence[label].array.copy() if label in problem.evidence else np.zeros((problem.n, K))
    log[row] = np.where(np.arange(K) == code, log[row], -np.inf)
    return replace(problem, evidence={**problem.evidence, label: Named(log, (*variable.dims, f"@{label}"))})


def fitted(case: str, objective: str = "map") -> tuple[ev.EMFit, str]:
    build, label = CASES[case]
    return ev.fit_em(build(), objective, starts=3, random_seed=0, progress=False), label  # type: ignore[arg-type]


def information_at(problem: ev.Problem, fit: ev.EMFit, objective: Objective) -> np.ndarray:
    plan = make_plan(problem)
    env = plan.environment({str(k): v.values for k, v in fit.estimate.data_vars.items()})
    return observed_information(plan, env, None, objective)[1]


def scaled(matrix: np.ndarray, by: np.ndarray) -> np.ndarray:
    d = np.sqrt(np.diag(by))
    return matrix / np.outer(d, d)


@pytest.mark.parametrize("case", CASES)
def test_information_of_a_label_is_what_relabelling_gives(case: str) -> None:
    """Every label of a row tried, the information differenced anew: its mean is I + F, and half its log determinant the gain."""
    fit, label = fitted(case)
    before = information_at(fit.problem, fit, MAP)
    draws = {str(k): v.values[None] for k, v in fit.estimate.data_vars.items()}
    r = np.exp(gain_draws.label_log_probabilities(fit.plan, label, draws))[0]
    undecided = np.argsort(-gain_draws.entropy(r))[:4]
    W = gain_information.label_scores(fit, label, undecided)
    gains = gain_information.log_determinant(W, gain_information.covariance_of(fit))
    for i, row in enumerate(undecided):
        w = fit.problem.weights[row]
        after = sum(
            p * information_at(labelled(fit.problem, label, int(row), k), fit, MAP) for k, p in enumerate(r[row]) if p > 0
        )
        F = W[i] @ W[i].T
        np.testing.assert_allclose(scaled(before + w * F, before), scaled(after, before), atol=2e-6)
        assert i or np.abs(scaled(F, before)).max() > 1e-3  # so that leaving F out would fail
        if w == 1:
            wanted = 0.5 * (np.linalg.slogdet(after)[1] - np.linalg.slogdet(before)[1])
            assert gains[i] == pytest.approx(wanted, abs=1e-5)


def test_one_likely_label_is_not_the_mean_over_labels() -> None:
    """Negative control: the information once the most probable label is told is something else."""
    fit, label = fitted("partial_labels")
    draws = {str(k): v.values[None] for k, v in fit.estimate.data_vars.items()}
    r = np.exp(gain_draws.label_log_probabilities(fit.plan, label, draws))[0]
    row = int(np.argmax(gain_draws.entropy(r)))
    W = gain_information.label_scores(fit, label, np.array([row]))[0]
    before = information_at(fit.problem, fit, MAP)
    after = information_at(labelled(fit.problem, label, row, int(r[row].argmax())), fit, MAP)
    assert np.abs(scaled(before + W @ W.T, before) - scaled(after, before)).max() > 1e-3


def test_a_batch_adds_its_information() -> None:
    fit, label = fitted("partial_labels")
    hidden = np.flatnonzero(np.isnan(fit.problem.given[label].array))
    W, covariance = gain_information.label_scores(fit, label, hidden), gain_information.covariance_of(fit)
    found = gain_information.choose(W, covariance, 3)
    total = np.linalg.inv(covariance) + sum(W[i] @ W[i].T for i, _ in found)
    wanted = 0.5 * (np.linalg.slogdet(total)[1] + np.linalg.slogdet(covariance)[1])
    assert sum(gain for _, gain in found) == pytest.approx(wanted, rel=1e-9)
    first, second = found[0][0], found[1][0]
    pair = [
        np.linalg.slogdet(np.linalg.inv(covariance) + W[first] @ W[first].T + w @ w.T)[1] if i != first else -np.inf
        for i, w in enumerate(W)
    ]
    assert second == int(np.argmax(pair))


# ----------------------------------------------------------------------------------------------- draws, against a known posterior

SIZE = 60


def known_posterior() -> tuple[ev.Problem, dict[str, np.ndarray], np.ndarray]:
    """Parameters of SIZE possible values alike, so that the posterior is a table: (problem, values, posterior)."""
    r = np.random.default_rng(5)
    x, z = normal_data(12)
    values = {
        "weight": r.dirichlet([4, 4], SIZE),
        "mean": np.array([0.0, 3.0]) + r.normal(size=(SIZE, 2)),
        "sd": r.uniform(0.6, 1.6, (SIZE, 2)),
    }
    problem = ev.condition(normal_mixture_spec(), {"x": x, "group": np.where(np.arange(12) % 4, -1, z)})
    return problem, values, bayes(values, x, problem.given["group"].array)


def joint(values: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """(values, n, 2) p(x, z) by scipy."""
    return values["weight"][:, None] * norm.pdf(x[:, None], values["mean"][:, None], values["sd"][:, None])


def bayes(values: dict[str, np.ndarray], x: np.ndarray, code: np.ndarray) -> np.ndarray:
    """(values,) posterior of the parameters given measurements and those labels that are not NaN."""
    p = joint(values, x)
    told = np.where(
        np.isnan(code), p.sum(axis=2), np.take_along_axis(p, np.nan_to_num(code).astype(int)[None, :, None], 2)[..., 0]
    )
    posterior = told.prod(axis=1)
    return posterior / posterior.sum()


def H(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def told(code: np.ndarray, *labels: tuple[int, int]) -> np.ndarray:
    out = code.copy()
    for row, k in labels:
        out[row] = k
    return out


def test_gains_are_what_bayes_would_learn() -> None:
    """Each label of each row tried, the posterior worked out anew: the entropies of parameters and other labels fall by the
    gains.
    """
    problem, values, w = known_posterior()
    x, code = problem.given["x"].array, problem.given["group"].array
    hidden = np.flatnonzero(np.isnan(code))
    p = np.exp(gain_draws.label_log_probabilities(make_plan(problem), "group", values))
    r = joint(values, x) / joint(values, x).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(p[:, hidden], r[:, hidden], rtol=1e-9)
    information, score = gain_draws.information(p, w), gain_draws.log_score(p, hidden, hidden, w)
    for i, row in enumerate(hidden):
        share = w @ r[:, row]
        after = [bayes(values, x, told(code, (row, k))) for k in (0, 1)]
        assert information[row] == pytest.approx(H(w) - sum(s * H(a) for s, a in zip(share, after, strict=True)), abs=1e-10)
        others = [j for j in hidden if j != row]
        now = sum(H(w @ r[:, j]) for j in others)
        later = sum(s * sum(H(a @ r[:, j]) for j in others) for s, a in zip(share, after, strict=True))
        assert score[i] == pytest.approx(now - later, abs=1e-10)
    assert information[~np.isnan(code)] == pytest.approx(0.0, abs=1e-12)
    # negative control: with other weights of the draws the gains are not these
    assert np.abs(gain_draws.information(p) - information)[hidden].max() > 1e-3


@pytest.mark.parametrize("scored", [False, True])
def test_a_batch_counts_what_is_left_to_learn(scored: bool) -> None:
    """The second row of a batch gains what it adds on average over the labels that the first may have."""
    problem, values, w = known_posterior()
    x, code = problem.given["x"].array, problem.given["group"].array
    hidden = np.flatnonzero(np.isnan(code))
    p = np.exp(gain_draws.label_log_probabilities(make_plan(problem), "group", values))
    # draws that come as often as the posterior says, so that they need no weights
    often = np.repeat(np.arange(SIZE), np.round(w * 400).astype(int))
    p, r = p[often], joint(values, x)[often] / joint(values, x)[often].sum(axis=2, keepdims=True)
    rng = np.random.default_rng(0)
    (first, alone), (second, gain), *_ = gain_draws.choose(gain_draws.Criterion.of(p, hidden, scored, rng), 3, rng)

    def wanted(row: int) -> float:
        total = 0.0
        for k in (0, 1):
            v = r[:, first, k] / r[:, first, k].sum()
            share = v @ r[:, row]
            after = [v * r[:, row, a] / share[a] for a in (0, 1)]
            if scored:
                others = [j for j in hidden if j not in (first, row)]
                fall = sum(H(v @ r[:, j]) - sum(share[a] * H(after[a] @ r[:, j]) for a in (0, 1)) for j in others)
            else:
                fall = H(v) - sum(share[a] * H(after[a]) for a in (0, 1))
            total += r[:, first, k].mean() * fall
        return total

    gains = {int(row): wanted(int(row)) for row in hidden if row != first}
    assert second == max(gains, key=gains.__getitem__)
    assert gain == pytest.approx(gains[second], abs=1e-10)
    if not scored:
        assert gain < alone


def test_many_futures_are_sampled_in_proportion() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1, 1, 1], size=(200, 8))
    futures = [(1.0, np.full(200, 1 / 200))]
    for i in range(8):
        futures = gain_draws._split(futures, p[:, i], rng)
        assert len(futures) <= gain_draws.FUTURES
        assert sum(share for share, _ in futures) == pytest.approx(1.0)
        assert all(w.sum() == pytest.approx(1.0) for _, w in futures)


def test_more_rows_than_targets_are_scaled_up() -> None:
    """The score over a sample of targets stands for all: within a few standard errors of a mean over a fifth of them."""
    rng = np.random.default_rng(2)
    theta = rng.normal(size=(300, 1))
    a = 1 / (1 + np.exp(-theta * rng.normal(size=400)))
    p, hidden = np.stack([a, 1 - a], axis=2), np.arange(400)
    whole = gain_draws.Criterion.of(p, hidden, True, rng).gain(hidden)
    some = gain_draws.Criterion(p, hidden, True, 5.0, np.sort(rng.choice(hidden, 80, replace=False))).gain(hidden)
    np.testing.assert_allclose(some, whole, rtol=0.35)


# --------------------------------------------------------------------------------------------------------------------- suggest


def test_the_normal_approximation_and_nuts_agree_where_the_posterior_is_normal() -> None:
    """Both engines and the log determinant say much the same of 200 rows, half labelled, and share most of their best rows."""
    r = np.random.default_rng(8)
    z = r.integers(0, 2, 200)
    x = r.normal(np.array([0.0, 2.0])[z], np.array([1.0, 0.7])[z])
    problem = ev.condition(normal_mixture_spec(), {"x": x, "group": np.where(np.arange(200) % 2, -1, z)})
    found = suggest(problem, 4, draws=500, tune=300, random_seed=4, progress=False)
    em, mcmc = (found.gains.isel(method=i) for i in (0, 1))
    # the log score multiplies two rows' uncertainties, and so varies more from one set of draws to the next
    for measure, alike, within in (("information", 0.94, 0.3), ("log_score", 0.85, 0.5)):
        a, b = em[measure].values, mcmc[measure].values
        assert np.corrcoef(a, b)[0, 1] > alike
        assert a.sum() == pytest.approx(b.sum(), rel=within)
    assert np.corrcoef(em["information"], em["log_determinant"])[0, 1] > 0.97
    assert float(em["information"].sum()) == pytest.approx(float(em["log_determinant"].sum()), rel=0.15)
    assert np.isnan(mcmc["log_determinant"]).all()
    best = [set(np.argsort(-x["information"].values)[:20]) for x in (em, mcmc)]
    assert len(best[0] & best[1]) >= 13  # by chance four of a hundred
    assert set(found.rows["method"]) == {"em", "mcmc"}
    assert found.chosen("mcmc").shape == (4,)
    assert found.posterior is not None


def small() -> ev.Problem:
    return EXAMPLES["partial_labels"].build()


@pytest.mark.parametrize("by", ["information", "log_score", "log_determinant"])
def test_suggestions(by: str) -> None:
    problem = small()
    runs = [suggest(problem, 5, by=by, methods=("em",), draws=100, random_seed=1, progress=False) for _ in range(2)]  # type: ignore[arg-type]
    found = runs[0]
    assert found.rows.equals(runs[1].rows)
    chosen = found.chosen("em")
    assert len(set(chosen)) == 5
    assert np.isnan(problem.given["group"].array[chosen]).all()
    assert found.rows["rank"].tolist() == [1, 2, 3, 4, 5]
    own = found.gains[by].values[0]
    assert found.rows["gain"][0] == pytest.approx(own.max())
    assert found.gains.sizes["row"] == int(np.isnan(problem.given["group"].array).sum())
    np.testing.assert_allclose(found.gains["probability"].sum("component"), 1)
    told = found.to_dict()
    assert [line["position"] for line in told["suggestions"]["em"]] == chosen.tolist()
    only = suggest(problem, 5, by=by, methods=("em",), draws=100, all_measures=False, random_seed=1, progress=False)  # type: ignore[arg-type]
    assert np.isnan(only.gains[[m for m in ("information", "log_score", "log_determinant") if m != by]].to_array()).all()
    np.testing.assert_allclose(only.gains[by], found.gains[by])


def test_certain_rows_are_not_suggested() -> None:
    """A soft label that leaves one class only is a label; a weight of zero is no row."""
    problem = EXAMPLES["soft_labels_and_weights"].build()
    weights = problem.weights.copy()
    weights[7] = 0
    found = suggest(problem.with_weights(weights), 3, methods=("em",), draws=50, random_seed=0, progress=False)
    rows = found.gains["row"].values
    assert 1 not in rows  # soft label (0, 1)
    assert 7 not in rows
    assert len(rows) == problem.n - 2


def test_without_any_label_a_note_says_so() -> None:
    x, _ = normal_data()
    found = suggest(ev.condition(normal_mixture_spec(), {"x": x}), 2, methods=("em",), draws=50, random_seed=0, progress=False)
    assert "tells the values of group apart" in found.notes[0]
    assert not suggest(small(), 2, methods=("em",), draws=50, random_seed=0, progress=False).notes


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"n": 0}, BadInput, "^n: expected at least 1"),
        ({"by": "entropy"}, BadInput, "^by: expected one of log_score"),
        ({"methods": ()}, BadInput, "^methods: expected some of em, mcmc"),
        ({"methods": ("em", "em")}, BadInput, "^methods"),
        ({"methods": ("hmc",)}, BadInput, "^methods"),
        ({"by": "log_determinant"}, BadInput, "^by: expected a measure that NUTS has"),
        ({"labels": "grou", "methods": ("em",)}, UnknownName, "Did you mean 'group'"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        suggest(small(), **options, progress=False)


def test_nothing_hidden_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="labels: expected one discrete variable with hidden values; got none"):
        suggest(EXAMPLES["all_labels"].build(), methods=("em",))
    with pytest.raises(BadInput, match="labels: expected one discrete variable with hidden values; got 2: za, zb"):
        suggest(nested_latents(), methods=("em",))


def test_a_fit_without_information_has_no_approximation() -> None:
    problem = small()
    fit = ev.fit_em(problem, starts=1, random_seed=0, standard_errors=None, progress=False)
    with pytest.raises(Degenerate, match="information: standard_errors=None"):
        suggest(problem, methods=("em",), fit=fit)

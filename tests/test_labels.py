"""Partial labels: scores, masks, and what must hold of every learning curve."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn import metrics

import emvsmcmc as ev
from emvsmcmc.em.options import EMOptions
from emvsmcmc.errors import BadInput, DifferentSweep, MissingData, UnknownName
from emvsmcmc.experiments.labels import masks, scores
from emvsmcmc.experiments.labels.semisupervised import Design, learned
from emvsmcmc.experiments.sweep.sweep import Store

SIZE = 90


def spec() -> ev.Spec:
    with ev.Spec(coords={"class": ["a", "b", "c"], "column": ["x", "y"]}) as declared:
        weight = ev.Dirichlet("weight", 1.0, dims="class")
        mean = ev.Normal("mean", 0, 5, dims=("class", "column"))
        sd = ev.HalfNormal("sd", 3, dims=("class", "column"))
        kind = ev.Categorical("kind", weight, dims="row")
        ev.Normal("point", mean[kind], sd[kind], dims=("row", "column"))
    return declared


def data(order: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """90 rows of three classes, `order` their names."""
    rng = np.random.default_rng(5)
    kind = np.repeat([0, 1, 2], SIZE // 3)
    point = np.array([[-2, 0], [2, 0], [0, 3]])[kind] + rng.normal(size=(SIZE, 2))
    return {"point": point, "kind": np.array(["a", "b", "c"])[np.array(order)[kind]]}


def curves(**options: Any) -> xr.Dataset:
    given = {"repeats": 2, "methods": ("em", "supervised"), "random_seed": 4, "workers": 0, "progress": False}
    return ev.semisupervised(options.pop("spec", spec()), options.pop("data", data()), **{**given, **options})


def close(a: xr.Dataset, b: xr.Dataset, tolerance: float = 1e-6) -> bool:
    return all(np.allclose(a[k], b[k], atol=tolerance, equal_nan=True) for k in scores.SCORES)


# ------------------------------------------------------------------------------------------------------------------- scores


def predicted(seed: int, sharp: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, 200)
    p = rng.dirichlet(np.ones(4), 200) + sharp * np.eye(4)[true] * rng.random((200, 1))
    return np.log(p / p.sum(axis=1, keepdims=True)), true


@pytest.mark.parametrize(("seed", "sharp"), [(0, 0.0), (1, 0.5), (2, 5.0)])
def test_scores_are_those_of_scikit_learn(seed: int, sharp: float) -> None:
    log_p, true = predicted(seed, sharp)
    found, p, guess = scores.scores(log_p, true), np.exp(log_p), log_p.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, guess))
    assert found["adjusted_rand"] == pytest.approx(metrics.adjusted_rand_score(true, guess))
    assert found["log_score"] == pytest.approx(-metrics.log_loss(true, p))
    assert found["brier"] == pytest.approx(np.mean([(p[i] - np.eye(4)[t]) @ (p[i] - np.eye(4)[t]) for i, t in enumerate(true)]))


@pytest.mark.parametrize(("a", "b"), [([0, 0, 0], [0, 0, 0]), ([0, 1, 2], [2, 0, 1]), ([0, 0, 1, 1], [0, 1, 0, 1]), ([3], [0])])
def test_rand_index_of_small_partitions(a: list[int], b: list[int]) -> None:
    assert scores.rand_index(np.array(a), np.array(b)) == pytest.approx(metrics.adjusted_rand_score(a, b))


def test_calibration_error_by_hand() -> None:
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.62, 0.38], [0.65, 0.35], [0.5, 0.5]])
    true = np.array([0, 1, 0, 0, 1])
    bins = [(2, 0.5 - 0.95), (2, 1.0 - 0.635), (1, 0.0 - 0.5)]
    assert scores.calibration_error(np.log(p), true) == pytest.approx(sum(n * abs(gap) for n, gap in bins) / 5)


def test_probabilities_that_are_right_are_calibrated_and_others_are_not() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 20_000)
    true = (rng.random((len(p), 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
    sharpened = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert scores.calibration_error(np.log(p), true) < 0.015
    assert scores.calibration_error(np.log(sharpened), true) > 0.1


def test_matching_undoes_every_permutation() -> None:
    log_p, true = predicted(2, 5.0)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [1, 2, 3, 0]):
        shuffled = log_p[:, order]
        assert np.array_equal(shuffled[:, scores.matching(shuffled, true)], log_p)


def test_scores_of_no_rows_are_nan() -> None:
    assert all(np.isnan(x) for x in scores.scores(np.zeros((0, 3)), np.zeros(0, dtype=int)).values())


def test_parameter_error_counts_entries_that_have_a_unit() -> None:
    reference, unit = {"a": np.zeros(3), "b": np.array(1.0)}, {"a": np.array([1.0, 2.0, np.nan]), "b": np.array(0.5)}
    assert scores.parameter_error({"a": np.array([3, 4, 99]), "b": 3.0}, reference, unit) == pytest.approx(
        np.sqrt((9 + 4 + 16) / 3)
    )  # type: ignore[dict-item]
    assert np.isnan(scores.parameter_error(reference, reference, {k: v * np.nan for k, v in unit.items()}))


# -------------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("held_out", [None, 0.2, np.arange(7)])
def test_masks_are_stratified_nested_and_disjoint(held_out: Any) -> None:
    codes = np.array([0] * 50 + [1] * 31 + [2] * 9 + [np.nan] * 5)
    before: set[int] = set()
    for fraction in (0.0, 0.02, 0.1, 0.5, 0.9, 1.0):
        rows = masks.sampled_rows(codes, fraction, 11, held_out)
        parts = [set(p.tolist()) for p in (rows.kept, rows.hidden, rows.held_out)]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 90, "every known label is in one part"
        assert set(rows.training) == parts[0] | parts[1] | set(range(90, 95))
        for k in range(3):
            of_class = (codes[rows.training] == k).sum()
            assert abs((codes[rows.kept] == k).sum() - fraction * of_class) <= 0.5
        assert before <= parts[0]
        before = parts[0]
    if held_out is None or not isinstance(held_out, float):
        return
    assert [(codes[rows.held_out] == k).sum() for k in range(3)] == [10, 6, 2]
    assert set(masks.sampled_rows(codes, 0.5, 12, held_out).kept) != set(masks.sampled_rows(codes, 0.5, 11, held_out).kept)


def test_noisy_labels_follow_the_confusion_matrix() -> None:
    codes = np.repeat([0.0, 1.0, np.nan], [6000, 6000, 10])
    C = np.array([[0.9, 0.1], [0.3, 0.7]])
    log = masks.evidence_of(codes, 2, C, None, 1)
    assert log is not None
    seen = np.isclose(np.exp(log), C[:, 1]).all(axis=1)
    assert seen[:6000].mean() == pytest.approx(0.1, abs=0.02)
    assert seen[6000:12000].mean() == pytest.approx(0.7, abs=0.02)
    assert np.isnan(log[12000:]).all()


def test_random_sets_have_their_size_and_hold_the_truth() -> None:
    codes = np.tile([0.0, 1.0, 2.0, 3.0], 500)
    log = masks.evidence_of(codes, 4, None, 2, 1)
    assert log is not None
    inside = log == 0
    assert (inside.sum(axis=1) == 2).all()
    assert inside[np.arange(2000), codes.astype(int)].all()
    assert inside[codes == 0].mean(axis=0)[1:] == pytest.approx([1 / 3] * 3, abs=0.07)


# --------------------------------------------------------------------------------------------------------------------- laws


def test_with_every_label_em_is_the_closed_form() -> None:
    found = curves(fractions=[1.0])
    em, alone = found.sel({"method": "em"}), found.sel({"method": "supervised"})
    assert close(em, alone, 1e-9)
    assert np.allclose(found["parameter_error"], 0, atol=1e-6)
    assert np.isnan(found["accuracy"].sel(evaluation="hidden")).all()
    assert (found["labelled"] == SIZE - 3 * 7).all()  # of 30 rows a class, those with (i + 1/2) / 30 < 1/4 are held out


def test_the_supervised_fit_is_the_textbook_one() -> None:
    """Class shares, means and standard deviations (divided by n) of the labelled rows, and Bayes' rule."""
    problem = ev.condition(spec(), data())
    seed = 77
    found = learned(3, Design(problem, "kind", 0.2, em=EMOptions(starts=2, tol=1e-8)), 0.4, "supervised", seed)
    rows = masks.sampled_rows(problem.given["kind"].array, 0.4, seed, 0.2)
    x, z = data()["point"], problem.given["kind"].array
    lp = np.empty((len(rows.held_out), 3))
    for k in range(3):
        own = x[rows.kept][z[rows.kept] == k]
        deviation = (x[rows.held_out] - own.mean(axis=0)) / own.std(axis=0)
        lp[:, k] = np.log(len(own) / len(rows.kept)) - np.log(own.std(axis=0)).sum() - 0.5 * np.square(deviation).sum(axis=1)
    p = np.exp(lp) / np.exp(lp).sum(axis=1, keepdims=True)
    want = np.log(p[np.arange(len(p)), z[rows.held_out].astype(int)]).mean()
    assert found["log_score"][1] == pytest.approx(want, rel=1e-8)
    assert found["rows"].tolist() == [len(rows.hidden), len(rows.held_out)]


def test_labels_are_of_use() -> None:
    """Unlabelled rows of a right model help: a negative control of `close` at the same time."""
    found = curves(fractions=[0.1, 1.0], repeats=4)
    few = found.sel(fraction=0.1, evaluation="held_out")["log_score"].mean("repeat")
    assert float(few.sel({"method": "em"})) > float(few.sel({"method": "supervised"})) + 0.05
    assert not close(found.sel(fraction=0.1), found.sel(fraction=1.0), 1e-3)


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_names_of_classes_change_nothing(order: tuple[int, ...]) -> None:
    """Without a label clusters take the names that agree best, so other names give the same scores."""
    options = {"fractions": [0.0], "methods": ("em",), "repeats": 1, "held_out": np.arange(0, SIZE, 4)}
    first, other = curves(**options), curves(data=data(order), **options)
    assert close(first, other)
    assert float(first["accuracy"].sel(evaluation="hidden")[0, 0, 0]) > 0.8
    assert np.allclose(first["parameter_error"], other["parameter_error"], atol=1e-4)


@pytest.mark.parametrize(
    ("seen", "same_as"),
    [
        ({"noise": np.eye(3)}, {}),
        ({"sets": 1}, {}),
        ({"sets": np.eye(3, dtype=bool)[np.repeat([0, 1, 2], 30)]}, {}),
    ],
)
def test_certain_evidence_is_a_label(seen: dict[str, Any], same_as: dict[str, Any]) -> None:
    assert close(curves(fractions=[0.4], repeats=1, **seen), curves(fractions=[0.4], repeats=1, **same_as))


def test_noise_costs_and_sets_of_everything_say_nothing() -> None:
    options = {"fractions": [0.4], "repeats": 1, "methods": ("em",)}
    C = np.full((3, 3), 0.2) + 0.4 * np.eye(3)
    assert not close(curves(noise=C, **options), curves(**options))
    nothing = curves(sets=3, **options), curves(**{**options, "fractions": [0.0]})
    assert close(*(found.sel(evaluation="held_out") for found in nothing))


def test_a_truth_is_what_parameters_are_held_against() -> None:
    truth = {"weight": np.full(3, 1 / 3), "mean": np.array([[-2, 0], [2, 0], [0, 3]]), "sd": np.ones((3, 2))}
    found = curves(fractions=[1.0], repeats=1, methods=("em",), truth=truth)
    assert 0.3 < float(found["parameter_error"][0, 0, 0]) < 2.0  # standard errors


def test_what_gives_no_fit_has_its_name() -> None:
    found = curves(fractions=[0.0, 0.03, 0.3], repeats=1)
    alone = found.sel({"method": "supervised"})["status"].values[:, 0].tolist()
    assert alone[0] == "EmptyClass"
    assert alone[1] not in ("converged", "error")  # one row of each class has no standard deviation
    assert alone[2] == "converged"
    assert found["message"].sel({"method": "supervised"}).values[0, 0]
    assert np.isnan(found["accuracy"].sel({"method": "supervised", "fraction": 0.0})).all()


def test_rows_without_a_known_label_are_fitted_and_never_judged() -> None:
    given = data()
    given["kind"] = np.where(np.arange(SIZE) % 3 == 0, None, given["kind"].astype(object))
    found = curves(data=given, fractions=[0.5], repeats=1, held_out=None)
    assert found["evaluation"].values.tolist() == ["hidden"]
    assert float(found["labelled"][0, 0]) + float(found["rows"][0, 0, 0, 0]) == SIZE * 2 / 3


def test_a_store_resumes_grows_and_refuses_other_data(tmp_path: Any) -> None:
    first = curves(fractions=[0.2, 0.6], store=tmp_path)
    starts = len([line for line in Store(tmp_path).log() if line["event"] == "start"])
    assert curves(fractions=[0.2, 0.6], store=tmp_path).identical(first)
    grown = curves(fractions=[0.2, 0.4, 0.6], repeats=3, store=tmp_path)
    assert grown.sel(fraction=[0.2, 0.6], repeat=[0, 1]).drop_attrs().identical(first.drop_attrs())
    assert len([line for line in Store(tmp_path).log() if line["event"] == "start"]) == starts + 3 * 3 * 2 - 2 * 2 * 2
    other = data()
    other["point"] = other["point"] + 1e-12
    for change in ({"data": other}, {"random_seed": 5}, {"em_options": {"starts": 3}}):
        with pytest.raises(DifferentSweep):
            curves(fractions=[0.2, 0.4, 0.6], repeats=3, store=tmp_path, **change)


def test_processes_give_what_this_process_gives() -> None:
    assert curves(fractions=[0.3], workers=2).identical(curves(fractions=[0.3], workers=0))


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (BadInput, {"fractions": []}),
        (BadInput, {"fractions": [0.5, 1.5]}),
        (BadInput, {"fractions": [0.5, 0.5]}),
        (BadInput, {"repeats": 0}),
        (BadInput, {"methods": ("em", "em")}),
        (BadInput, {"methods": ("knn",)}),
        (BadInput, {"held_out": 1.5}),
        (BadInput, {"held_out": np.array([SIZE])}),
        (BadInput, {"noise": np.ones((3, 3))}),
        (BadInput, {"noise": np.eye(2)}),
        (BadInput, {"noise": np.eye(3), "sets": 2}),
        (BadInput, {"sets": 4}),
        (BadInput, {"sets": np.zeros((SIZE, 3), dtype=bool)}),
        (BadInput, {"truth": {"mean": 1}}),
        (BadInput, {"em_options": {"random_seed": 3}}),
        (BadInput, {"mcmc_options": {"draw": 3}}),
        (BadInput, {"store": "somewhere", "random_seed": None}),
        (UnknownName, {"labels": "kinds"}),
        (MissingData, {"labels": "kind", "data": {"point": data()["point"]}}),
        (BadInput, {"data": {"point": data()["point"]}}),
    ],
)
def test_bad_input_is_named(error: type[BadInput], options: dict[str, Any]) -> None:
    with pytest.raises(error):
        curves(**options)


# --------------------------------------------------------------------------------------------------------------------- mcmc


def test_mcmc_averages_over_its_draws_and_compiles_once() -> None:
    from emvsmcmc.expect.planner import make_plan
    from emvsmcmc.mcmc.compile.compile import compile_model
    from emvsmcmc.mcmc.model import build_model
    from emvsmcmc.mcmc.options import NUTSOptions

    problem = ev.condition(spec(), data())
    options = {"draws": 60, "tune": 60, "chains": 2}
    seed = 21
    design = Design(problem, "kind", 0.2, em=EMOptions(starts=3, tol=1e-8), nuts=NUTSOptions(**options))
    found = learned(8, design, 0.3, "mcmc", seed)
    rows = masks.sampled_rows(problem.given["kind"].array, 0.3, seed, 0.2)
    fitted = masks.masked(problem, "kind", rows, None)
    tree = ev.fit_mcmc(fitted, **options, random_seed=8, progress=False)
    p = tree["assignment"]["kind"].values[np.isin(rows.training, rows.hidden)]
    true = problem.given["kind"].array[rows.hidden].astype(int)
    assert found["log_score"][0] == pytest.approx(np.log(p[np.arange(len(true)), true]).mean(), rel=1e-8)
    assert found["status"] == "sampled"
    assert found["r_hat"] > 0.9
    assert found["accuracy"][1] > 0.7
    assert np.isfinite(found["parameter_error"])
    other = masks.masked(problem, "kind", masks.sampled_rows(problem.given["kind"].array, 0.7, 22, 0.3), None)
    compile_model(build_model(make_plan(fitted), "fused", "all"))
    again = compile_model(build_model(make_plan(other), "fused", "all"))
    assert again.cached
    assert again.sampler.compiled_logp_func.cache_hits == 1, "another mask was compiled again"

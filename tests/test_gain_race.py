"""Following the suggestions beats labelling at random, and doing the reverse does not."""

from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emvsmcmc as ev
from emvsmcmc.errors import BadInput
from emvsmcmc.experiments.suggest.race import hide, paired, race
from emvsmcmc.report.race import write

REPEATS = 32
TRUTH = {"weight": np.array([0.1, 0.1, 0.8]), "mean": np.array([-1.0, 1.0, 10.0])}


def spec() -> ev.Spec:
    """Two rare classes that overlap, and a common one that lies apart: most labels say next to nothing."""
    with ev.Spec(coords={"kind": 3}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="kind")
        mean = ev.Normal("mean", 0, 20, dims="kind")
        z = ev.Categorical("z", weight, dims="row")
        ev.Normal("x", mean[z], 1.0, dims="row")
    return spec


def rows(seed: int, n: int = 100) -> dict[str, np.ndarray]:
    drawn = ev.simulate(spec(), {"row": n}, TRUTH, seed)
    return {"x": drawn["x"].values, "z": drawn["z"].values}


def small(**options) -> xr.Dataset:  # type: ignore[no-untyped-def]
    common = {"first": 2, "batch": 3, "rounds": 1, "repeats": 2, "starts": 1, "random_seed": 0, "workers": 0}
    return race(spec(), rows, "z", rows(99), **{**common, "draws": 50, **options})


@cache
def long() -> xr.Dataset:
    """As many data sets of 200 rows; ten labels are added to nine."""
    return race(
        spec(), partial(rows, n=200), "z", rows(99, 4000), first=3, batch=10, rounds=1, repeats=REPEATS, starts=1, random_seed=1,
        progress=False, draws=50,
    )  # fmt: skip


def test_suggested_rows_beat_random_rows() -> None:
    """They bring the fit nearer to the one with every label, by more than two standard errors; new rows gain with it."""
    found = long()
    assert (found["status"] == "done").all()
    mean, error = paired(found, "suggested", "random", "parameter_error")
    assert -mean > 2 * error, (mean, error)
    # the log score of new rows differs far less, and more from one data set to the next
    assert paired(found, "suggested", "random", "log_score")[0] > 0


def test_the_rows_of_least_gain_do_not() -> None:
    """Negative control: the reverse of the suggestions is no better than chance, and worse than the suggestions."""
    found = long()
    mean, error = paired(found, "reversed", "random", "parameter_error")
    assert -mean < 2 * error, (mean, error)
    mean, error = paired(found, "suggested", "reversed", "parameter_error")
    assert -mean > 2 * error, (mean, error)


def test_all_strategies_start_alike_and_repeats_repeat() -> None:
    found, again = small(), small()
    xr.testing.assert_identical(found, again)
    start = found[["log_score", "accuracy", "parameter_error"]].isel(round=0).to_array()
    assert (start == start.isel(strategy=0)).all()
    assert found["labelled"].values.tolist() == [6, 9]
    assert not np.allclose(found["log_score"].isel(round=1, strategy=0), found["log_score"].isel(round=1, strategy=1))


def test_a_label_that_is_hidden_is_not_seen() -> None:
    """What is suggested does not change with the labels that are still hidden."""
    problem = ev.condition(spec(), rows(5))
    hidden = np.arange(100) >= 30
    changed = {**rows(5), "z": np.where(hidden, (rows(5)["z"] + 1) % 3, rows(5)["z"])}
    other = ev.condition(spec(), changed)
    one, two = (hide(p, "z", hidden) for p in (problem, other))
    np.testing.assert_array_equal(one.given["z"].array, two.given["z"].array)
    assert one.roles["z"] == "assignment"
    assert hide(problem, "z", hidden & False).roles["z"] == problem.roles["z"]


def test_a_failed_repeat_is_recorded() -> None:
    """Options that `suggest` refuses end a repeat with their name, not the sweep."""
    found = small(n=3, draws=0)
    assert set(found["status"].values) != {"done"}
    assert found["log_score"].isnull().all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"first": 0}, "first, batch, rounds, repeats: expected at least 1"),
        ({"batch": 200}, "first, batch, rounds: expected at most 100 labels in all"),
        ({"strategies": ("best",)}, "strategies: expected some of suggested, random, reversed"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict, told: str) -> None:
    with pytest.raises(BadInput, match=f"^{told}"):
        small(**options)


def test_rows_without_a_label_are_refused_by_name() -> None:
    data = rows(1)
    with pytest.raises(BadInput, match=r"^z: expected a label in every row.*got 3 without"):
        race(spec(), {**data, "z": np.where(np.arange(100) < 3, -1, data["z"])}, "z", data)
    with pytest.raises(BadInput, match=r"^z: expected a label in every row.*got none"):
        race(spec(), data, "z", {"x": data["x"]})


def test_a_difference_needs_two_repeats() -> None:
    with pytest.raises(BadInput, match="repeats: expected at least 2"):
        paired(small(repeats=1), "suggested", "random")


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    found = small(repeats=3, rounds=2)
    page = write(found, tmp_path, "Three kinds", "race(spec, ...)").read_text(encoding="utf-8")
    assert "Three kinds" in page
    assert page.count("<svg") == 3
    assert "rows at random" in page
    mean, error = paired(found, "suggested", "random", "parameter_error")
    assert f"{mean:+.4f}".replace("-", "−") in page
    assert f"{error:.4f}" in page
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(("ahead", "told"), [(1.0, "beat rows at random in parameter error"), (-1.0, "Rows at random beat")])
def test_the_headline_follows_the_numbers(ahead: float, told: str, tmp_path: Path) -> None:
    """Negative control: with the strategies exchanged the page says the opposite; without a difference, that there is none."""
    found = small(repeats=3)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(3, 2))
    same = found.isel(strategy=1)["parameter_error"].values
    error = np.stack([same - ahead * np.array([0, 1]) + noise, same, same], axis=1)
    quiet = {k: (found[k].dims, np.repeat(found[k].values[:, 1:2], 3, axis=1)) for k in ("log_score", "accuracy")}
    made = found.assign(parameter_error=(found["parameter_error"].dims, error), **quiet)
    assert told in write(made, tmp_path, "x", "y").read_text(encoding="utf-8")
    none = made.assign(parameter_error=(found["parameter_error"].dims, np.repeat(error[:, 1:2], 3, axis=1)))
    assert "No difference beyond chance" in write(none, tmp_path, "x", "y").read_text(encoding="utf-8")

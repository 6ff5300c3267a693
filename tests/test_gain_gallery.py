"""Partly labelled models of the gallery: where unlabelled rows help, and where, under a wrong model, they hurt."""

import numpy as np
import pandas as pd
import pytest

import emvsmcmc as ev
from emvsmcmc import gallery

LABELS = {"wine": "cultivator", "breast_cancer": "diagnosis", "unlabelled_help": "kind", "unlabelled_hurt": "sex"}


def columns(name: str, labels: int) -> dict[str, np.ndarray]:
    """Rows as measurements and codes, -1 where a label is hidden."""
    problem = gallery.load(name).problem(labels=labels)
    code = problem.given.get(LABELS[name])
    return {
        next(k for k in problem.given if k != LABELS[name]): next(x.array for k, x in problem.given.items() if k != LABELS[name]),
        LABELS[name]: np.full(problem.n, -1) if code is None else np.nan_to_num(code.array, nan=-1).astype(int),
    }


def right(name: str, labels: int, alone: bool, init: dict | None = None) -> tuple[float, float]:
    """(share of the rows with hidden labels that are classified right, log-likelihood): by all rows, or the labelled alone."""
    label, spec = LABELS[name], gallery.load(name).spec()
    truth, data = columns(name, 100)[label], columns(name, labels)
    known = data[label] >= 0
    rows = {k: v[known] for k, v in data.items()} if alone else data
    fit = ev.fit_em(ev.condition(spec, rows), starts=4, random_seed=0, standard_errors=None, progress=False, init=init)
    hidden = {k: v[~known] for k, v in data.items() if k != label}
    guess = fit.predict(hidden)[label].values.argmax(axis=1)
    return float((guess == truth[~known]).mean()), fit.log_likelihood


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("labels", [0, 3, 40, 100])
def test_labels_are_hidden_class_by_class(name: str, labels: int) -> None:
    truth, kept = columns(name, 100)[LABELS[name]], columns(name, labels)[LABELS[name]]
    known = kept >= 0
    assert (kept[known] == truth[known]).all()
    size = np.bincount(truth)
    np.testing.assert_allclose(np.bincount(truth[known], minlength=len(size)), size * labels / 100, atol=0.5)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("labels", [-1, 101])
def test_labels_out_of_range_are_refused_by_name(name: str, labels: int) -> None:
    with pytest.raises(ev.errors.BadInput, match=f"^labels: expected 0 to 100 .* got {labels}"):
        gallery.load(name).data(labels=labels)


def test_unlabelled_rows_help() -> None:
    together, alone = (right("unlabelled_help", 2, alone)[0] for alone in (False, True))
    assert together > 0.94
    assert together - alone > 0.05


def test_unlabelled_rows_hurt() -> None:
    """With few labels the fit to all rows takes size for sex; with most of them it does not (the negative control)."""
    together, alone = (right("unlabelled_hurt", 5, alone)[0] for alone in (False, True))
    assert abs(together - 0.5) < 0.05
    assert alone > 0.85
    assert right("unlabelled_hurt", 60, False)[0] > 0.9


def test_small_and_large_is_what_this_likelihood_prefers() -> None:
    """From the fit without labels, maxima that no border between the sexes reaches, as far above as the page says."""
    unlabelled = ev.fit_em(gallery.load("unlabelled_hurt").problem(labels=0), starts=1, random_seed=0, progress=False)
    by_size = [{str(k): v.values[::s] for k, v in unlabelled.estimate.data_vars.items()} for s in (1, -1)]
    by_sex = gallery.load("unlabelled_hurt").reference(labels=100)["estimate"]  # type: ignore[index]
    for labels, above in ((10, 115), (20, 39), (30, 0)):
        wrong, height = max((right("unlabelled_hurt", labels, False, start) for start in by_size), key=lambda x: x[1])
        correct, other = right("unlabelled_hurt", labels, False, by_sex)
        assert correct > 0.9
        assert wrong < 0.65
        assert (height - other) == pytest.approx(above, abs=0.6)


@pytest.mark.parametrize(
    ("name", "label", "sizes", "column", "total"),
    [
        ("wine", "cultivator", {"first": 59, "second": 71, "third": 48}, "alcohol", 2314.11),
        ("breast_cancer", "diagnosis", {"benign": 357, "malignant": 212}, "radius", 8038.429),
    ],
)
def test_the_files_hold_what_their_page_says(name: str, label: str, sizes: dict, column: str, total: float) -> None:
    frame = pd.read_csv(gallery.load(name).path.parent / "data" / f"{name}.csv")
    assert frame[label].value_counts().to_dict() == sizes
    assert frame[column].sum() == pytest.approx(total, abs=1e-6)
    assert not frame.isna().any().any()

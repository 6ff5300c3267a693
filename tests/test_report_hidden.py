"""What the page says about hidden values: missing information, what no rotation changes, axes, and filling the values in."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fabricated import fabricate, factor_spec, factors, pairs
from test_report import line_data, line_spec, text_of

import emvsmcmc as ev
from emvsmcmc.comparison.hard import hidden, side_by_side
from emvsmcmc.comparison.result import Comparison, load
from emvsmcmc.em.result import EMFit
from emvsmcmc.errors import Status
from emvsmcmc.report import svg as canvas
from emvsmcmc.report.comparison import hard_path as paths
from emvsmcmc.report.comparison import hidden as words
from emvsmcmc.report.comparison import page, tables
from emvsmcmc.report.tree_view import View

PROBLEMS = {
    "line": lambda: ev.condition(line_spec(), {"x": line_data()}),
    "factor": factors,
    "factors": lambda: factors(2),
    "pairs": pairs,
}


@pytest.fixture(scope="module")
def comparisons() -> dict[str, Comparison]:
    return {name: fabricate(make(), name) for name, make in PROBLEMS.items()}


@pytest.fixture(scope="module")
def views(comparisons: dict[str, Comparison]) -> dict[str, View]:
    return {name: View(comparison.to_datatree()) for name, comparison in comparisons.items()}


@pytest.fixture(scope="module")
def pages(views: dict[str, View]) -> dict[str, str]:
    return {name: page.render(view.tree) for name, view in views.items()}


def section(html: str, anchor: str) -> str:
    """The words of a section, figures left out."""
    found = re.search(rf'<h[23] id="{anchor}">.*?(?=<h2|</main)', html, flags=re.DOTALL)
    return "" if found is None else re.sub(r"\s+", " ", text_of(re.sub(r"<svg.*?</svg>", "", found[0], flags=re.DOTALL)))


def about(tree: xr.DataTree, **changes: object) -> xr.DataTree:
    tree.attrs["about"] = json.dumps(json.loads(tree.attrs["about"]) | changes)
    return tree


# ------------------------------------------------------------------------------------------------------- missing information


def test_the_rate_of_em_is_what_the_page_says(comparisons: dict[str, Comparison], views: dict[str, View]) -> None:
    """Plain EM, watched, needs as many iterations for a digit as the page foretells."""
    comparison, said = comparisons["pairs"], words.missing_information(views["pairs"])
    rate = comparison.em.predicted_rate
    assert f"is {rate:.3f}. It is the rate" in said
    (told,) = re.findall(r"costs about ([\d.]+) iterations", said)
    start = {str(k): v.values * 1.01 for k, v in comparison.em.estimate.data_vars.items()}
    plain = ev.fit_em(comparison.problem, accelerate=False, standard_errors=None, init=start, progress=False)
    error = np.abs(plain.history["mean"].values - comparison.em.estimate["mean"].values).max(axis=1)
    at = np.flatnonzero((error < 1e-3) & (error > 1e-9))
    slope = np.polyfit(at, np.log10(error[at]), 1)[0]
    assert -1 / slope == pytest.approx(float(told), rel=0.1)


def test_what_one_more_value_is_worth(views: dict[str, View]) -> None:
    """Where 20 of 60 values of one column are lost, a row has two thirds of a value, so that a value is worth 1.5 rows."""
    with ev.Spec() as spec:
        mean, sd = ev.Normal("mean", 0, 5), ev.HalfNormal("sd", 5)
        ev.Normal("x", mean, sd, dims="row")
    values = np.random.default_rng(5).normal(size=60)
    values[:20] = np.nan
    said = words.missing_information(View(fabricate(ev.condition(spec, {"x": values})).to_datatree()))
    assert "33% of what the data could say" in said
    assert "Knowing one more of the missing cells would on average tell as much about it as 1.5 further rows" in said
    assert "Knowing one more label" in words.missing_information(views["line"])
    assert "Knowing what is hidden in one more row" in words.missing_information(views["factor"])


def test_missing_information_is_a_column_where_it_is_known(line: Comparison) -> None:
    html = page.render(line.to_datatree())
    assert "how much of what the data could say" in text_of(html)
    assert 'id="missing"' in html
    unknown = replace(line, table=line.table.assign(fmi=np.nan))
    for tree in (unknown.to_datatree(), replace(line, table=line.table.drop(columns="fmi")).to_datatree()):
        html = page.render(tree)
        assert "could say" not in html
        assert 'id="missing"' not in html
    result = json.loads(line.to_datatree().attrs["comparison"])
    for rate, said in ((None, ""), (1.0, ""), (0.99999999, "nearly 1"), (1e-9, "Nothing that is hidden takes information away")):
        tree = line.to_datatree()
        tree.attrs["comparison"] = json.dumps(result | {"predicted_rate": rate})
        found = words.missing_information(View(tree))
        assert said in found
        assert bool(said) == bool(found)


@pytest.fixture(scope="module")
def line(comparisons: dict[str, Comparison]) -> Comparison:
    return comparisons["line"]


def test_what_is_hidden_is_counted() -> None:
    values = line_data()
    labels = ["short", *[None] * (len(values) - 1)]
    weights = np.where(np.arange(len(values)) < 10, 2.0, 1.0)
    problem = ev.condition(line_spec(), {"x": values, "group": labels}, weights=weights)
    fit = ev.fit_em(problem, starts=2, random_seed=0, progress=False)
    whole = weights[1:].sum()
    assert hidden(fit) == {"assignment": ["group"], "latent": [], "cells": [], "rows": whole, "values": whole}
    fit = ev.fit_em(factors(2), starts=2, random_seed=0, progress=False)
    assert hidden(fit) == {"assignment": [], "latent": ["f"], "cells": [], "rows": 120, "values": 240}
    fit = ev.fit_em(pairs(), starts=1, random_seed=0, progress=False)
    assert hidden(fit) == {"assignment": [], "latent": [], "cells": ["point"], "rows": 20, "values": 20}


# ------------------------------------------------------------------------------------------------- rotations and Heywood cases


def test_what_no_rotation_changes_has_a_table(views: dict[str, View], pages: dict[str, str]) -> None:
    html = pages["factors"]
    said = section(html, "invariant")
    assert "this table decides the verdict in the place of loading" in said
    first, second = tables.invariant_blocks(views["factors"])
    assert [label for label, _ in first.rows] == [f"communality[x{i}]" for i in range(1, 8)]
    assert (first.summary, second.summary[:2], len(second.rows)) == ("", "28", 28)
    assert html.count("<details>") == 2  # covariances; what hard assignment hardly moves
    (whole,) = tables.invariant_blocks(views["factor"])
    assert [label.split("[")[0] for label, _ in whole.rows] == ["communality"] * 4 + ["implied_cov"] * 10
    assert "Only a sign is free here, so both tables count" in section(pages["factor"], "invariant")
    for name in ("line", "pairs"):
        assert 'id="invariant"' not in pages[name]


def test_turned_coefficients_decide_nothing(comparisons: dict[str, Comparison]) -> None:
    """Neither the tiles nor a flag reads them; with one axis, which has standard errors, both do."""
    for name, decides in (("factors", False), ("factor", True)):
        c = comparisons[name]
        numbers = c.table.copy()
        chosen = next(k for k in numbers.index if k.startswith("loading"))
        numbers.loc[chosen, ["gap", "r_hat", "in_hdi"]] = [7.0, 1.5, False]
        view = View(replace(c, table=numbers).to_datatree())
        cells = dict(tables.parameter_rows(view))[chosen]
        flags = {cell.flag for cell in cells} - {""}
        html = page.render(view.tree)
        assert bool(flags) == decides
        assert ("7.00 sd" in html) == decides
        turned = 0 if decides else 14
        assert len(view.deciding) == len(numbers) - turned + len(c.invariant)


def test_the_axes_are_spoken_of(comparisons: dict[str, Comparison], pages: dict[str, str]) -> None:
    html = pages["factors"]
    said = section(html, "draws")
    assert "turned by more than 60° in 50.0% of them" in said
    assert "After alignment" in said
    assert "R-hat of loading is 1.900 before and 1.002 after" in said
    assert "congruence (cosine of its coefficients) of at least 0.85" in said
    tree = comparisons["factors"].to_datatree()
    tree.attrs |= {"turned": "{'f': 0.0}", "undetermined": "{'f': 0.125}"}
    said = section(page.render(tree), "draws")
    assert "in none of them" in said
    assert "In 12.5% of the draws some axis stays undetermined" in said
    assert "a sign changed in 50.0% of them" in section(pages["factor"], "draws")
    rotation = json.loads(tree.attrs["about"])["rotations"][0] | {"posterior": "none"}
    assert "but the prior of loading does" in section(page.render(about(tree, rotations=[rotation])), "draws")
    assert "axes" not in section(pages["line"], "draws")


def test_names_that_change_are_not_axes_that_turn(views: dict[str, View]) -> None:
    assert views["factors"].relabelled == 0
    assert views["line"].relabelled == 0.5


def test_coefficients_are_drawn_by_axis(pages: dict[str, str]) -> None:
    html = pages["factors"]
    for title in ("loading, axis 0", "loading, axis 1"):
        assert f">{title}</figcaption>" in html
    assert html.count("after alignment: EM&#39;s estimates") == 2
    assert "Posterior density of loading" not in html  # they are not drawn twice
    html = pages["factor"]
    assert html.count("after alignment: EM&#39;s estimates") == 1
    assert "Posterior density of loading" in html
    assert "Coefficients after alignment" not in pages["line"]


def test_an_axis_of_length_one_needs_no_label() -> None:
    """Loadings of each component on a single axis: the items are component and column."""
    with ev.Spec(coords={"component": 2, "column": ["a", "b", "c"], "axis": 1}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "column"))
        loading = ev.Normal("loading", 0, 2, dims=("component", "column", "axis"))
        z = ev.Categorical("z", weight, dims="row")
        f = ev.Normal("f", 0, 1, dims=("row", "axis"))
        sd = ev.HalfNormal("sd", 2, dims="column")
        ev.Normal("x", mean[z] + ev.dot(loading[z], f), sd, dims=("row", "column"))
    rng = np.random.default_rng(8)
    x = (
        rng.normal(size=(120, 1)) * [1.5, 1.0, 0.8]
        + rng.normal(0, 0.4, (120, 3))
        + np.repeat([[0, 0, 0], [8, 0, -8]], 60, axis=0)
    )
    view = View(fabricate(ev.condition(spec, {"x": x})).to_datatree())
    with canvas.style():
        (drawn,) = paths.coefficients(view)
    assert (drawn.title, "of 6 coefficients" in drawn.alt) == ("loading", True)
    assert "1, c<" in drawn.body
    assert "1, c, 0<" not in drawn.body


def test_a_heywood_case_is_named_beside_the_estimates(comparisons: dict[str, Comparison], pages: dict[str, str]) -> None:
    """The second column is the latent itself: its residual sd is zero."""
    rng = np.random.default_rng(3)
    f = rng.normal(size=120)
    x = np.stack([f + rng.normal(0, 1, 120), 2 * f, *(0.5 * f + rng.normal(0, 1, 120) for _ in range(2))], axis=1)
    x[:, 1] += 0.02 * x[:, 0]
    fit = ev.fit_em(ev.condition(factor_spec(1), {"x": x}), starts=3, random_seed=0, progress=False)
    assert fit.status is Status.HEYWOOD
    tree = replace(comparisons["factor"], em=fit).to_datatree()
    assert json.loads(tree.attrs["about"])["at_zero"] == ["sd[x2]"]
    html = page.render(tree)
    assert f"sd[x2]: {Status.HEYWOOD.sentence}" in text_of(html).replace("\n", " ")
    assert html.index("sd[x2]: A residual variance") < html.index('id="posterior"')
    assert "Heywood" not in pages["factor"]


# ----------------------------------------------------------------------------------------------------------- hard assignment


def test_standard_deviations_and_correlations_have_standard_errors() -> None:
    """Of a normal without holes: sd / sqrt(2 n) and (1 - rho^2) / sqrt(n)."""
    fit = ev.fit_em(pairs(0), starts=1, random_seed=0, progress=False)
    found = side_by_side(fit, fit)
    assert [str(p) for p in found["parameter"].values] == [
        "mean[x]", "mean[y]", "sd of cov[x]", "sd of cov[y]", "correlation of cov[x, y]",
    ]  # fmt: skip
    sd = np.sqrt(np.diag(fit.estimate["cov"].values))
    rho = fit.estimate["cov"].values[0, 1] / sd.prod()
    assert found["soft"].values[2:] == pytest.approx([*sd, rho])
    assert found["se"].values == pytest.approx([*sd / np.sqrt(60), *sd / np.sqrt(120), (1 - rho**2) / np.sqrt(60)], rel=1e-5)
    assert found["scale"].values.tolist() == [0, 0, 1, 1, 0]


def test_the_path_is_that_of_the_run(comparisons: dict[str, Comparison]) -> None:
    for name in ("factor", "factors", "pairs"):
        c = comparisons[name]
        assert c.hard is not None
        found = side_by_side(c.em, c.hard)
        assert found["path"].values[:, -1] == pytest.approx(found["hard"].values, rel=1e-6, abs=1e-9)
        assert found["start"].values == pytest.approx(found["soft"].values)
        assert found.sizes["iteration"] == c.hard.iterations + 1
        assert {str(p).split("[")[0] for p in found["parameter"].values[found["scale"].values > 0]} <= {"sd", "sd of cov"}


@pytest.mark.parametrize(
    ("name", "kind", "others"),
    [
        ("line", "classification EM", ["imputation", "nobody saw"]),
        ("pairs", "imputation by the conditional mean", ["classification", "nobody saw"]),
        ("factor", "That has no maximum", ["classification", "imputation"]),
    ],
)
def test_the_words_depend_on_what_is_hidden(name: str, kind: str, others: list[str], pages: dict[str, str]) -> None:
    said = section(pages[name], "hard")
    assert kind in said
    for other in others:
        assert other not in said


def test_an_unbounded_path_is_shown(comparisons: dict[str, Comparison], pages: dict[str, str]) -> None:
    hard = comparisons["factor"].hard
    assert hard is not None
    assert hard.status is Status.UNBOUNDED
    smallest = int(hard.estimate["sd"].values.argmin())
    html = pages["factor"]
    assert f"On the way sd[x{smallest + 1}] falls from" in section(html, "hard")
    assert f"ended as unbounded after {hard.iterations} iterations" in section(html, "hard")
    assert re.search(rf"sd\[x{smallest + 1}\] falls to [\d.]+ × 10⁻", html)
    assert "Objective of hard assignment against the iteration" in html
    assert " nan" not in html.lower().replace("banana", "")
    tree = about(comparisons["factor"].to_datatree(), hard_start="truth")
    assert "So even the truth is left at once" in section(page.render(tree), "hard")


def test_imputation_is_measured(comparisons: dict[str, Comparison], views: dict[str, View], pages: dict[str, str]) -> None:
    html = pages["pairs"]
    said = section(html, "hard")
    assert "the correlation is stronger and the standard deviation is smaller" in said
    found = views["pairs"].hard
    assert found is not None
    soft, last = (float(found[k].sel(parameter="correlation of cov[x, y]")) for k in ("soft", "hard"))
    assert last > soft + 0.01
    assert f"correlation of cov[x, y] {soft:.3f} {last:.3f} +" in said
    assert "Distance from soft EM against the iteration" not in html  # one step from soft EM's estimate is no way
    c = comparisons["pairs"]
    start = {"mean": np.zeros(2), "cov": np.eye(2)}
    hard = ev.fit_em(c.problem, assignment="hard", starts=1, accelerate=False, standard_errors=None, init=start, progress=False)
    html = page.render(replace(c, hard=hard).to_datatree())
    assert "Distance from soft EM against the iteration of hard assignment, of sd of cov[y], correlation of cov[x, y]" in html


def test_a_run_that_comes_to_the_same_says_so(comparisons: dict[str, Comparison]) -> None:
    c = comparisons["line"]
    same = replace(c, hard=as_hard(c.em))
    assert "comes to the same as soft EM" in section(page.render(same.to_datatree()), "hard")
    moved = c.em.estimate.assign(mean=c.em.estimate["mean"] + 3 * c.em.standard_error["mean"])
    other = replace(c, hard=replace(as_hard(c.em), estimate=moved))
    assert "comes to the same" not in section(page.render(other.to_datatree()), "hard")


def as_hard(fit: EMFit, **changes: object) -> EMFit:
    """A soft fit that passes for a hard one, without a history."""
    return replace(fit, assignment="hard", history=None, **changes)


def test_a_run_that_is_still_on_its_way(comparisons: dict[str, Comparison]) -> None:
    c = comparisons["factor"]
    assert c.hard is not None
    grown = c.hard.history.copy()
    grown["loading"][-1] = 3 * grown["loading"][0]
    hard = replace(c.hard, status=Status.MAX_ITER, history=grown)
    said = section(page.render(replace(c, hard=hard).to_datatree()), "hard")
    assert "still on its way" in said
    assert "to where hard assignment was stopped" in said
    assert "loading is 3.0 times as large as at the start" in said
    assert "may have no maximum" in said


def test_no_section_where_nothing_is_hidden() -> None:
    with ev.Spec() as spec:
        mean, sd = ev.Normal("mean", 0, 5), ev.HalfNormal("sd", 5)
        ev.Normal("x", mean, sd, dims="row")
    c = fabricate(ev.condition(spec, {"x": line_data()}))
    assert c.hard is None
    html = page.render(c.to_datatree())
    assert 'id="hard"' not in html
    assert "Nothing that is hidden takes information away" in html


def test_files_from_before_have_their_page(comparisons: dict[str, Comparison], tmp_path: Path) -> None:
    """Without the groups, columns and entries that are new."""
    for name in ("factors", "pairs"):
        tree = load(comparisons[name].save(tmp_path / f"{name}.nc"))
        for group in ("invariant", "hard"):
            if group in tree:
                del tree[group]
        old = tree["table"].to_dataset().drop_vars("fmi")
        tree["table"] = xr.DataTree(old)
        known = json.loads(tree.attrs["about"])
        new = ("at_zero", "rotations", "turned", "hidden")
        tree.attrs["about"] = json.dumps({k: v for k, v in known.items() if k not in new and not k.startswith("hard_")})
        result = json.loads(tree.attrs["comparison"])
        tree.attrs["comparison"] = json.dumps(
            {k: v for k, v in result.items() if k not in ("predicted_rate", "hard", "invariant")}
        )
        for attribute in ("turned", "undetermined"):
            del tree.attrs[attribute]
        html = page.render(tree)
        for anchor in ("missing", "invariant", "hard", "coefficients"):
            assert f'id="{anchor}"' not in html
        assert text_of(html)

"""The page: everything on it, from a live comparison and from a file alike, and nothing from elsewhere.

The comparisons are fabricated: EM is real, the posterior is EM's own normal approximation with its labels shuffled and its axes
turned, so that no sampler runs.
"""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import arviz_stats
import numpy as np
import pytest
import xarray as xr
from fabricated import fabricate, factors, pairs

import emvsmcmc as ev
from emvsmcmc.comparison.result import Comparison, load
from emvsmcmc.comparison.verdict import MISLEADS, UNDECIDED, Verdict
from emvsmcmc.report import svg as canvas
from emvsmcmc.report import words as content
from emvsmcmc.report.comparison import data_figures, figures, page
from emvsmcmc.report.tree_view import View


def line_spec() -> ev.Spec:
    with ev.Spec(coords={"component": ["short", "long"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 5, 10, dims="component")
        sd = ev.HalfNormal("sd", 2, dims="component")
        group = ev.Categorical("group", weight, dims="row")
        ev.Normal("x", mean[group], sd[group], dims="row")
    return spec


def line_data() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(0, 1, 40), rng.normal(7, 1.5, 60)])


def plane() -> ev.Problem:
    with ev.Spec(coords={"component": 2, "axis": ["x", "y"]}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 0, 5, dims=("component", "axis"))
        cov = ev.InverseWishart("cov", 4, np.eye(2), dims=("component", "axis", "axis_bis"))
        group = ev.Categorical("group", weight, dims="row")
        ev.MvNormal("point", mean[group], cov[group], dims=("row", "axis"))
    rng = np.random.default_rng(4)
    return ev.condition(spec, {"point": np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal([6, 3], [1, 2], (50, 2))])})


def counts() -> ev.Problem:
    with ev.Spec(coords={"component": 2}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        rate = ev.Gamma("rate", 2, 0.2, dims="component")
        kind = ev.Categorical("kind", weight, dims="day")
        ev.Poisson("count", rate[kind], dims="day")
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.poisson(2, 60), rng.poisson(12, 60)])
    found, times = np.unique(values, return_counts=True)
    return ev.condition(spec, {"count": found, "times": times}, weights="times")


def regression() -> ev.Problem:
    """Covariates, no exchangeable dim, several yes/no answers."""
    with ev.Spec(coords={"item": 3}) as spec:
        slope = ev.Normal("slope", 0, 5)
        sd = ev.HalfNormal("sd", 2)
        share = ev.Beta("share", 1, 1, dims="item")
        x = ev.Data("x", dims="row")
        ev.Normal("y", slope * x, sd, dims="row")
        ev.Bernoulli("answer", share, dims=("row", "item"))
    rng = np.random.default_rng(6)
    x = rng.normal(size=50)
    return ev.condition(spec, {"x": x, "y": 2 * x + rng.normal(size=50), "answer": rng.integers(0, 2, (50, 3))})


def labelled() -> ev.Problem:
    values = line_data()
    labels = [("short" if v < 3.5 else "long") if i % 2 else None for i, v in enumerate(values)]
    return ev.condition(line_spec(), {"x": values, "group": labels})


PROBLEMS = {
    "line": lambda: ev.condition(line_spec(), {"x": line_data()}),
    "plane": plane,
    "counts": counts,
    "regression": regression,
    "labelled": labelled,
    "factor": factors,
    "factors": lambda: factors(2),
    "pairs": pairs,
}


@pytest.fixture(scope="module")
def comparisons() -> dict[str, Comparison]:
    return {name: fabricate(make(), name) for name, make in PROBLEMS.items()}


@pytest.fixture(scope="module")
def trees(comparisons: dict[str, Comparison]) -> dict[str, xr.DataTree]:
    return {name: comparison.to_datatree() for name, comparison in comparisons.items()}


@pytest.fixture(scope="module")
def pages(trees: dict[str, xr.DataTree]) -> dict[str, str]:
    return {name: page.render(tree) for name, tree in trees.items()}


@pytest.fixture(scope="module")
def line(comparisons: dict[str, Comparison]) -> Comparison:
    return comparisons["line"]


class Balance(HTMLParser):
    """Counts what is opened and closed."""

    VOID = ("meta", "br", "hr", "img", "input", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(html: str) -> str:
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return " ".join(parser.text)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_page_says_it_all(comparisons: dict[str, Comparison], pages: dict[str, str], name: str) -> None:
    comparison, html = comparisons[name], pages[name]
    text = text_of(html)
    assert comparison.verdict.name in text
    assert "largest gap 0.02 posterior sd (mean[0])" in text.lower()
    for label in comparison.table.index:
        assert label in text
    assert comparison.contract.sentence in text
    assert f"emvsmcmc compare {name}" in text
    assert "numpy" in text
    assert len(html.encode()) < 1_000_000


@pytest.mark.parametrize("name", PROBLEMS)
def test_nothing_comes_from_elsewhere(pages: dict[str, str], name: str) -> None:
    html = pages[name]
    assert not re.search(r"https?:|<script|<link|<img|<iframe|@import|src=|url\((?!#)", html)
    assert set(re.findall(r'href="(.)', html)) == {"#"}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_saved_file_gives_the_same_page(
    comparisons: dict[str, Comparison], pages: dict[str, str], name: str, tmp_path: Path
) -> None:
    tree = load(comparisons[name].save(tmp_path / "saved.nc"))
    path = page.write(tree, tmp_path / "reports" / name)
    assert path == tmp_path / "reports" / name / "index.html"
    assert path.read_text(encoding="utf-8") == pages[name]
    assert [f.name for f in path.parent.iterdir()] == ["index.html"]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["reports", "saved.nc"]


def test_figures_are_drawings_with_words(pages: dict[str, str]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", pages["line"], flags=re.DOTALL)
    assert len(drawings) == 6 + 1 + 1 + 2  # densities, histogram, starts, traces before and after
    for drawing in drawings:
        root = ElementTree.fromstring(drawing.replace("<svg", '<svg xmlns:xlink="x"', 1))
        assert len(root.get("aria-label", "")) > 20
        assert "#0a0b" not in drawing  # a colour that did not become the page's
        assert "nan" not in drawing


def test_every_kind_of_data_is_drawn(trees: dict[str, xr.DataTree]) -> None:
    with canvas.style():
        drawn = {name: [f.alt for f in data_figures.over_data(View(tree))] for name, tree in trees.items()}
    assert "density fitted by EM" in drawn["line"][0]
    assert "ellipses" in drawn["plane"][0]
    assert "frequencies" in drawn["counts"][0]
    assert [a.split()[0] for a in drawn["regression"]] == ["Histogram", "Share"]


def test_missing_standard_errors(line: Comparison) -> None:
    numbers = line.table.copy()
    numbers.loc[["mean[short]", "sd[long]"], ["se", "se_ratio"]] = np.nan
    em = replace(line.em, reasons={"sd": "on the boundary of its support: it has no standard error there"})
    html = page.render(replace(line, table=numbers, em=em, k_hat=float("nan")).to_datatree())
    text = text_of(html)
    assert "sd: on the boundary" in text
    assert "(2 missing)" in text
    assert "k-hat could not be computed" in text
    assert "nan" not in text.lower()


def test_no_standard_error_at_all(line: Comparison) -> None:
    numbers = line.table.assign(se=np.nan, se_ratio=np.nan)
    assert "none exist" in text_of(page.render(replace(line, table=numbers).to_datatree()))


def test_a_run_that_did_not_converge(line: Comparison) -> None:
    numbers = line.table.assign(r_hat=1.4, ess_bulk=12.0)
    verdict = Verdict(UNDECIDED, ("R-hat 1.400 for mean[short] (at most 1.01 is wanted)",))
    html = page.render(replace(line, table=numbers, verdict=verdict).to_datatree())
    assert 'class="verdict undecided"' in html
    assert "cannot be trusted" in text_of(html)
    assert html.count('title="above 1.01"') == len(numbers)


def test_an_estimate_far_away(line: Comparison) -> None:
    """EM outside everything the posterior knows is pointed at, and the posterior stays visible."""
    numbers = line.table.copy()
    numbers.loc["mean[short]", ["em", "gap", "in_hdi"]] = [900.0, 850.0, False]
    html = page.render(replace(line, table=numbers, verdict=Verdict(MISLEADS, ("it is far",))).to_datatree())
    assert "EM 900 →" in html
    assert 'class="verdict bad"' in html
    assert "EM&#39;s estimate lies outside" in html


def test_other_optima_and_failed_starts(line: Comparison) -> None:
    best, second, third = line.em.starts
    em = replace(
        line.em,
        starts=[best, replace(second, optimum=1, objective=second.objective - 4), replace(third, optimum=-1)],
        optima=[line.em.optima[0]] * 2,
    )
    tree = replace(line, em=em, chain_optima=[0, 1]).to_datatree()
    text = text_of(page.render(tree))
    assert "another optimum" in text
    assert "ended without one" in text
    rows = content.optima(View(tree))
    assert [(r["name"], r["hits"], r["chains"]) for r in rows] == [("best", 1, 1), ("optimum 2", 1, 1), ("no optimum", 1, 0)]
    assert rows[1]["below"] == "4.00"


def test_truth_is_shown_where_there_is_one(line: Comparison, pages: dict[str, str]) -> None:
    assert "simulated with" not in pages["line"]
    numbers = line.table.assign(truth=line.table["em"])
    assert "simulated with" in text_of(page.render(replace(line, table=numbers).to_datatree()))


def test_labels_say_that_nothing_was_aligned(pages: dict[str, str]) -> None:
    text = text_of(pages["labelled"])
    assert "labels of group are given" in text
    assert "Draws before and after alignment" not in text
    assert "50% of the draws" in text_of(pages["line"])


def test_names_are_text(line: Comparison) -> None:
    html = page.render(replace(line, name="<b>&").to_datatree())
    assert "<b>&" not in html
    assert "emvsmcmc compare '<b>&' " in text_of(html)


def test_nothing_half_written_stays(line: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = "what was there before"
    (tmp_path / "index.html").write_text(first, encoding="utf-8")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="full"):
            replace(line, name="another").report(tmp_path)
        with pytest.raises(OSError, match="full"):
            line.save(tmp_path / "saved.nc")
    with monkeypatch.context() as patch:
        patch.setattr(figures, "starts", fail)
        with pytest.raises(OSError, match="full"):
            line.report(tmp_path / "never")
    assert [f.name for f in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == first


def test_fitted_curves_are_the_model(comparisons: dict[str, Comparison], trees: dict[str, xr.DataTree]) -> None:
    """Curves integrate to the weights, ellipses are the declared means and covariances."""
    curves = trees["line"]["fitted/x"].to_dataset()
    weights = comparisons["line"].em.estimate["weight"].values
    assert curves["em"].integrate("x").values == pytest.approx(weights, abs=0.01)
    assert curves["em_total"].integrate("x") == pytest.approx(1.0, abs=0.01)
    assert ((curves["lower"] <= curves["mean"]) & (curves["mean"] <= curves["upper"])).all()
    plane = comparisons["plane"]
    ellipses = trees["plane"]["fitted/gaussian"].to_dataset()
    assert ellipses["mean"].values[:, 0] == pytest.approx(plane.em.estimate["mean"].values, rel=1e-6)
    assert ellipses["cov"].values[:, 0] == pytest.approx(plane.em.estimate["cov"].values, rel=1e-5)
    assert trees["counts"]["fitted/count"]["em_total"].sum() == pytest.approx(1.0, abs=0.02)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_leave_one_out_is_arviz_s(comparisons: dict[str, Comparison], trees: dict[str, xr.DataTree]) -> None:
    ours, same = trees["line"]["loo"].attrs, comparisons["line"].loo
    assert (ours["elpd"], ours["p"], ours["se"]) == (same.elpd, same.p, same.se)
    groups = {name: trees["line"][name].to_dataset() for name in ("posterior", "log_likelihood")}
    theirs = arviz_stats.loo(xr.DataTree.from_dict(groups))
    assert ours["elpd"] == pytest.approx(theirs.elpd, abs=0.05)  # they estimate the efficiency of each row apart
    assert ours["p"] == pytest.approx(theirs.p, abs=0.05)
    assert ours["se"] == pytest.approx(theirs.se, abs=0.05)
    whole = comparisons["counts"].em.log_likelihood  # rows of weight w stand for w rows
    assert whole - 15 < trees["counts"]["loo"].attrs["elpd"] < whole


def test_densities_integrate_to_one() -> None:
    rng = np.random.default_rng(0)
    for draws in (rng.normal(5, 2, 4000), rng.beta(1, 6, 4000), rng.beta(6, 1, 4000), rng.exponential(1, 4000)):
        x, y = figures.kernel_density(draws)
        assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.02)
        assert x[0] >= 0 or draws.min() < 0 or draws.min() > 1


def test_whole_numbers_get_whole_bins() -> None:
    values = np.array([1, 2, 2, 3, 5, 8, 8, 9, 20.0])
    edges = data_figures.edges(values, np.ones(9))
    assert (edges % 1 == 0.5).all()
    assert edges[0] < 1
    assert edges[-1] > 20
    assert len(data_figures.edges(np.full(4, 0.3), np.ones(4))) >= 2


@pytest.mark.parametrize(
    ("x", "decimals", "text"),
    [
        (-0.0004, 2, "0.00"),
        (-1.5, 1, "−1.5"),
        (12345.6, 1, "12\u202f345.6"),
        (np.nan, 2, "–"),
        (None, 2, "–"),
        (-np.inf, 2, "−∞"),
    ],
)
def test_numbers(x: float | None, decimals: int, text: str) -> None:
    assert content.number(x, decimals) == text


def test_labels_keep_their_distance() -> None:
    assert figures.spaced(np.array([1.0, 5.0, 1.1]), 0.5) == pytest.approx([13 / 15, 73 / 15, 41 / 30])


def test_precision_follows_the_uncertainty() -> None:
    assert [content.decimals_for(sd) for sd in (0.031, 0.7, 12.0, 400.0, np.nan)] == [3, 2, 0, 0, 3]

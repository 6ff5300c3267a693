"""`emvsmcmc choose`: options of a model, several models, data of one's own, bad commands."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp, xlogy
from typer.testing import CliRunner, Result

import emvsmcmc as ev
from emvsmcmc.cli.app import app
from emvsmcmc.comparison.choice import choose as module
from emvsmcmc.gallery import load

QUAKES = load("poisson_mixture")
SIZES = (1, 2, 3)


@pytest.fixture(scope="module")
def quakes() -> ev.Choice:
    """One, two and three kinds of year."""
    specs = [QUAKES.spec(components=k) for k in SIZES]
    return ev.choose(specs, QUAKES.data(), mcmc=False, starts=5, random_seed=1, progress=False)


def by_hand(fit: ev.EMFit, y: np.ndarray, w: np.ndarray | float = 1.0) -> tuple[float, float]:
    """(log-likelihood, entropy of the assignments) of a Poisson mixture, weighted."""
    lp = np.log(fit.estimate["weight"].values) + stats.poisson.logpmf(y[:, None], fit.estimate["rate"].values)
    r = np.exp(lp - logsumexp(lp, axis=1, keepdims=True))
    return float((w * logsumexp(lp, axis=1)).sum()), float(-(w * xlogy(r, r).sum(axis=1)).sum())


# --------------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["choose", *map(str, words)])


BARE = ["--no-mcmc", "--starts", "3", "--seed", "1"]


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    "words",
    [
        ["poisson_mixture", "--components", "1,2,3"],
        ["--components=1,2,3", "poisson_mixture"],
        ["poisson_mixture", "--option", "components=1,2,3"],
    ],
    ids=" ".join,
)
def test_one_model_under_several_values_of_an_option(words: list[str], quakes: ev.Choice) -> None:
    result = run(*words, *BARE, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["best"] == quakes.best
    assert [row["model"] for row in answer["table"]] == ["1", "2", "3"]
    assert [row["bic"] for row in answer["table"]] == pytest.approx(quakes.table["bic"].tolist(), abs=1e-6)
    assert answer["sentences"] == list(quakes.sentences)


OTHER = '''"""One kind of year."""
import emvsmcmc as ev

def spec():
    with ev.Spec() as spec:
        rate = ev.Gamma("rate", 2, 0.1)
        ev.Poisson("count", rate, dims="row")
    return spec
'''


@pytest.mark.usefixtures("_own_folder")
def test_several_models_and_data_of_ones_own() -> None:
    Path("plain.py").write_text(OTHER, encoding="utf-8")
    counts = "count,remark\n" + "\n".join(f"{c},x" for c in QUAKES.data()["count"][:60])
    Path("mine.csv").write_text(counts, encoding="utf-8")
    words = ["plain.py", "poisson_mixture", "--components", "2,3", "--data", "mine.csv", *BARE]
    result = run(*words)
    assert result.exit_code == 0, result.output
    for text in ("Model choice", "plain", "poisson_mixture components 2", "poisson_mixture components 3", "AIC", "converged"):
        assert text in result.stdout
    assert "elpd" not in result.stdout
    assert result.stderr.count("left out: remark") == 1
    answer = json.loads(run(*words, "--json").stdout)
    assert answer["table"][0]["n_parameters"] == 1
    y = QUAKES.data()["count"].to_numpy()[:60]
    assert answer["table"][0]["log_likelihood"] == pytest.approx(stats.poisson.logpmf(y, y.mean()).sum(), abs=1e-6)


@pytest.mark.usefixtures("_own_folder")
def test_what_the_command_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def stub(problems: dict[str, ev.Problem], **options: Any) -> SimpleNamespace:
        asked.update(options, models=list(problems), rows=[p.n for p in problems.values()])
        print("chatter")  # noqa: T201
        table = pd.DataFrame({"aic": [1.0], "elpd_loo": [np.nan], "status": ["converged"]}, index=["2"])
        return SimpleNamespace(table=table, sentences=("First.", "Second [x]."), best=asked.get("best", {"aic": "2"}))

    monkeypatch.setattr(module, "choose", stub)
    words = ["poisson_mixture", "--components", "2,3", "--draws", 50, "--tune", 9, "--chains", 3, "--starts", 4, "--seed", 5]
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert (asked["draws"], asked["tune"], asked["chains"], asked["starts"], asked["random_seed"]) == (50, 9, 3, 4, 5)
    assert (asked["mcmc"], asked["progress"], asked["models"], asked["rows"]) == (True, False, ["2", "3"], [107, 107])
    assert "chatter" in result.stderr
    for text in ("First.", "Second [x].", "elpd LOO", "–"):
        assert text in result.stdout
    asked["best"] = {"aic": None, "loo": None}
    assert run(*words).exit_code == 1


@pytest.mark.usefixtures("_own_folder")
def test_a_choice_without_a_model_fails() -> None:
    Path("mine.csv").write_text("waiting\n" + "\n".join(["50"] * 5 + ["80"] * 5), encoding="utf-8")
    text = Path("two.py")
    text.write_text(WAITING, encoding="utf-8")
    result = run("two.py", "--components", "2,3", "--data", "mine.csv", *BARE)
    assert result.exit_code == 1, result.output
    assert "No criterion can judge any of the models." in result.stdout
    assert "degenerate" in result.stdout
    assert "–" in result.stdout


WAITING = '''"""Waiting times."""
import emvsmcmc as ev

def spec(components: int = 2, other: bool = False):
    with ev.Spec(coords={"component": components}) as spec:
        weight = ev.Dirichlet("weight", 1.0, dims="component")
        mean = ev.Normal("mean", 65, 30, dims="component")
        sd = ev.HalfNormal("sd", 20, dims="component")
        group = ev.Categorical("group", weight, dims="eruption")
        ev.Normal("waiting", mean[group], sd[group], dims="eruption")
    return spec
'''


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "Missing argument"),
        ("poisson_mixture", "choose: expected two models at least; got one. Name several models, or list"),
        ("poisson_mixture --components 2", "two models at least"),
        ("poisson_mixture poisson_mixture", "poisson_mixture: expected each model once; got the same one again"),
        ("poisson_mixture --components 2,2", "2: expected each model once"),
        ("poisson_mixture --components 2,many", "--components: expected a whole number; got 'many'"),
        ("poisson_mixture --components", "--components: expected a whole number; got nothing"),
        ("poisson_mixture --component 1,2", "Did you mean --components?"),
        ("poisson_mixture --both=true,false", "--both=true,false: expected an option, or one of this model: --components"),
        ("poisson_mixture -c 1,2", "-c: expected an option"),
        ("poisson_mixture --option components", "--option components: expected NAME=VALUES"),
        ("poisson_mixture --option kinds=1,2", "--kinds=1,2: expected an option, or one of this model: --components"),
        ("poison_mixture --components 1,2", "Did you mean 'poisson_mixture'?"),
        ("poisson_mixture zero --components 1,2", "zero: expected a model of the gallery"),
        ("poisson_mixture zero_inflated_poisson", "expected the 107 rows of model 'poisson_mixture'; got 6 rows"),
        ("old_faithful --both=false,true", "'both true': expected the observed cells of model 'both false'; got also geyser"),
        ("poisson_mixture --components 1,200", "kind: expected at least 200 rows"),
        ("poisson_mixture --components 1,2 --data nowhere.csv", "nowhere.csv: expected a .csv"),
        ("poisson_mixture --components 1,2 --draws 0", "--draws"),
    ],
)  # fmt: skip
def test_bad_commands(words: str, text: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2, result.output
    assert text in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not list(Path().iterdir())

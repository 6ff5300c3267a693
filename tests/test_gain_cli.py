"""`emvsmcmc labels MODEL --suggest N`: a table or JSON, and bad input in a sentence with status 2."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from emvsmcmc import gallery
from emvsmcmc.cli.app import app
from emvsmcmc.experiments.suggest.suggest import suggest

EM = ["--methods", "em", "--starts", "2", "--draws", "50", "--seed", "1"]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["labels", *[str(w) for w in words]])


def rows(folder: Path, hidden: int) -> Path:
    """Iris with the species of the last `hidden` flowers of each left out."""
    frame = gallery.load("discriminant_analysis").data(labels=100)
    late = frame.groupby("species").cumcount() >= 50 - hidden
    path = folder / "rows.csv"
    frame.assign(species=frame["species"].where(~late)).to_csv(path, index=False)
    return path


def test_rows_of_a_model_as_json() -> None:
    """The same as the library's, which ranks the posterior mode's unless told otherwise."""
    result = run("discriminant_analysis", "--labels", 20, "--suggest", 3, *EM, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    problem = gallery.load("discriminant_analysis").problem(labels=20)
    found = suggest(problem, 3, methods=("em",), starts=2, draws=50, random_seed=1, progress=False)
    assert [line["position"] for line in told["suggestions"]["em"]] == found.chosen("em").tolist()
    assert told["suggestions"]["em"][0]["gain"] == pytest.approx(found.rows["gain"][0], rel=1e-6)
    assert (told["model"], told["label"], told["by"]) == ("discriminant_analysis", "species", "information")
    assert set(told["suggestions"]) == {"em"}
    other = run("discriminant_analysis", "--labels", 20, "--suggest", 3, *EM, "--json", "--objective", "ml")
    assert json.loads(other.stdout)["suggestions"]["em"][0]["gain"] != told["suggestions"]["em"][0]["gain"]


def test_rows_of_a_file_as_a_table(tmp_path: Path) -> None:
    path = rows(tmp_path, 40)
    result = run("discriminant_analysis", "--data", path, "--suggest", 2, *EM, "--by", "log_score")
    assert result.exit_code == 0, result.output
    assert "log score of the other hidden labels" in result.stdout
    assert "log determinant" in result.stdout
    assert sum(kind in result.stdout for kind in ("versicolor (", "virginica (", "setosa (")) >= 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--labels", 100, "--suggest", 2], "labels: expected one discrete variable with hidden values"),
        (["--suggest", 2, "--by", "entropy"], "by: expected one of log_score"),
        (["--suggest", 2, "--label", "kind"], "labels 'kind': expected a discrete variable"),
        (["--suggest", 2, "--methods", "supervised"], "methods: expected some of em, mcmc"),
    ],
)
def test_bad_input_ends_with_its_name(words: list, told: str) -> None:
    result = run("discriminant_analysis", *EM, *words)
    assert result.exit_code == 2
    assert told in result.output
    assert "Traceback" not in result.output


def test_the_number_of_rows_is_at_least_one() -> None:
    assert run("discriminant_analysis", "--suggest", 0).exit_code == 2

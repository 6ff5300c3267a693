"""The gallery: every model loads, simulates what it says, and EM finds its published answers; bad files are refused by name."""

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.errors import BadFile, BadInput, InvalidSpec, MissingData, NotAModel

MODELS = Path(__file__).parents[1] / "models"
NAMES = gallery.names()
CASES = [(name, options) for name in NAMES for options in gallery.load(name).cases]


def label(x: object) -> str | None:
    return "-".join(map(str, x)) or "plain" if isinstance(x, dict) else None


def matched(fit: ev.EMFit, reference: dict) -> dict[str, np.ndarray]:
    """The estimate with its components in the reference's order: the permutation that comes nearest."""
    found = {k: fit.estimate[k].values for k in reference}
    wanted = {k: np.asarray(v, dtype=float) for k, v in reference.items()}
    if "component" not in fit.estimate.dims:
        return found
    K = fit.estimate.sizes["component"]

    def distance(order: tuple[int, ...]) -> float:
        return sum(np.abs(found[k][list(order)] - wanted[k]).sum() for k in wanted)

    best = list(min(itertools.permutations(range(K)), key=distance))
    return {k: v[best] for k, v in found.items()}


def test_the_gallery_is_what_it_should_be() -> None:
    assert {"old_faithful", "gaussian_mixture", "poisson_mixture", "zero_inflated_poisson"} <= set(NAMES)


@pytest.mark.parametrize(("name", "options"), CASES, ids=label)
def test_em_finds_the_published_answer(name: str, options: dict) -> None:
    model = gallery.load(name)
    reference = model.reference(**options)
    assert reference is not None
    assert reference["source"]
    fit = ev.fit_em(model.problem(**options), starts=6, random_seed=1, standard_errors=None, progress=False)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(reference["log_likelihood"], abs=6e-5)
    for parameter, value in matched(fit, reference["estimate"]).items():
        expected = np.asarray(reference["estimate"][parameter], dtype=float)
        digits = max(len(str(x).partition(".")[2]) for x in expected.ravel())
        np.testing.assert_allclose(value, expected, atol=1.01 * 10.0**-digits, err_msg=parameter)


def test_old_faithful_from_twenty_starts() -> None:
    fit = ev.fit_em(gallery.load("old_faithful").problem(), starts=20, random_seed=7, progress=False)
    order = np.argsort(fit.estimate["mean"].values)
    np.testing.assert_allclose(fit.estimate["weight"].values[order], [0.3609, 0.6391], atol=5e-5)
    np.testing.assert_allclose(fit.estimate["mean"].values[order], [54.6149, 80.0911], atol=5e-5)
    np.testing.assert_allclose(fit.estimate["sd"].values[order], [5.8712, 5.8677], atol=5e-5)
    assert fit.log_likelihood == pytest.approx(-1034.00175, abs=5e-6)
    assert [s.optimum for s in fit.starts] == [0] * 20
    assert {s.status for s in fit.starts} == {ev.Status.CONVERGED}
    objectives = [s.objective for s in fit.starts]
    assert max(objectives) - min(objectives) < 1e-8
    assert (fit.standard_error.to_array() > 0).all()


@pytest.mark.parametrize(("name", "options"), CASES, ids=label)
def test_truth_fits_the_spec(name: str, options: dict) -> None:
    model = gallery.load(name)
    truth = model.truth(**options)
    if truth is None:
        assert name != "gaussian_mixture"
        return
    parameters = {v.label: v for v in model.problem(**options).parameters}
    assert set(truth) == set(parameters)
    spec = model.spec(**options)
    for key, value in truth.items():
        assert np.shape(value) == tuple(spec.size(d) for d in parameters[key].dims)


def test_row_weights_come_from_the_column_that_the_file_names() -> None:
    model = gallery.load("zero_inflated_poisson")
    assert model.problem().weights.sum() == 240
    # rows of one's own have no frequencies
    assert model.problem({"count": [0, 0, 0, 1, 2, 0, 1, 3]}).weights.tolist() == [1.0] * 8


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.py")), ids=lambda p: p.stem)
def test_models_use_public_names_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert modules <= {"emvsmcmc", "numpy", "pandas", "pathlib"}
    used = {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "ev"
    }
    assert used <= set(ev.__all__)
    docstring = ast.get_docstring(tree) or ""
    assert len(docstring.splitlines()) > 8
    assert any(year in docstring for year in ("19", "20"))  # it cites what it comes from


def test_every_data_file_has_its_provenance() -> None:
    told = (MODELS / "data" / "README.md").read_text(encoding="utf-8")
    assert all(f"| {path.name} |" in told for path in (MODELS / "data").glob("*.csv"))


def test_the_fields_of_a_model() -> None:
    model = gallery.load("old_faithful")
    assert (model.name, model.path.name) == ("old_faithful", "old_faithful.py")
    assert model.title.startswith("Old Faithful")
    assert list(model.options) == ["both"]
    assert "both columns" in model.options["both"]
    assert model.default("both") is False
    assert gallery.load(model.path).name == model.name
    assert model.reference(both=False) is model.reference()
    assert gallery.load("poisson_mixture").reference(components=4) is None
    with pytest.raises(BadInput, match="both"):
        model.spec(two=True)


HEAD = "import emvsmcmc as ev\n"
SPEC = """
def spec():
    with ev.Spec(coords={"c": 2}) as s:
        z = ev.Categorical("z", ev.Dirichlet("w", 1, dims="c"), dims="row")
        ev.Normal("x", ev.Normal("m", 0, 9, dims="c")[z], ev.HalfNormal("s", 1, dims="c")[z], dims="row")
    return s
"""


@pytest.mark.parametrize(
    ("file", "text", "error", "told"),
    [
        ("old_fathful", None, NotAModel, r"old_fathful.*Did you mean 'old_faithful'\?"),
        ("xyz", None, NotAModel, "a model of the gallery .*old_faithful"),
        ("missing.py", None, BadFile, "missing.py.*no such file"),
        ("empty.py", "", NotAModel, r"defines spec\(\)"),
        ("text.py", "spec = 3", NotAModel, r"defines spec\(\)"),
        ("syntax.py", "def spec(:\n", BadFile, "invalid syntax in line 2"),
        ("raises.py", "print(unknown)\n", BadFile, "NameError.*in line 2"),
        ("inside.py", "def spec():\n    return 1 / 0\n", BadFile, r"a spec\(\) that runs.*ZeroDivisionError.*in line 3"),
        ("nothing.py", "def spec():\n    pass\n", NotAModel, "returns an ev.Spec.*NoneType"),
        ("nodata.py", SPEC, MissingData, "nodata.*none come with this model"),
        (
            "reads.py",
            SPEC + "def data():\n    return open('/nowhere.csv')\n",
            BadFile,
            r"a data\(\) that runs.*FileNotFoundError",
        ),
        ("named.py", "def spec():\n    with ev.Spec():\n        ev.Normal('m', 0, -1)\n", InvalidSpec, "m.sigma"),
        ("notes.txt", SPEC, NotAModel, "a file ending in '.txt'"),
    ],
)
def test_bad_models_are_refused_by_name(tmp_path: Path, file: str, text: str | None, error: type[Exception], told: str) -> None:
    path = tmp_path / file
    if text is not None:
        path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(error, match=told):
        gallery.load(file if text is None and not file.endswith(".py") else path).problem()
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + SPEC, encoding="utf-8")
    model = gallery.load(path)
    assert (model.name, model.title, model.options) == ("mine", "mine", {})
    problem = model.problem({"x": [0.0, 0.1, 5.0, 5.2, 0.3], "unused": [1] * 5})
    assert problem.roles["z"] == "assignment"
    assert "unused" in problem.notes[0]

"""The gallery: every model loads, EM finds its published answers and its truth; bad files are refused by name."""

import ast
import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.cli.app import app
from emvsmcmc.errors import BadFile, BadInput, InvalidSpec, MissingData, NotAModel

MODELS = Path(__file__).parents[1] / "models"
NAMES = gallery.names()
CASES = [(name, options) for name in NAMES for options in gallery.load(name).cases]
REFERRED = [(name, options) for name, options in CASES if gallery.load(name).reference(**options) is not None]
# options that no reference covers; those of the size of a simulation are in test_classroom.py
MORE = [
    ("mixture_of_regressions", {"shared_slope": True}),
    ("mixture_of_regressions", {"covariates": 2, "shared_slope": True}),
    ("mixture_of_regressions", {"rows": 400}),
    ("mixture_missing", {"hints": True}),
    ("factor_analysis", {"simulated": True, "factors": 1}),
]
SIMULATED = [(name, options) for name, options in [*CASES, *MORE] if gallery.load(name).truth(**options) is not None]
# parameters that the data know only up to a rotation (a sign) of the hidden factors: what no rotation changes is compared
TURNED = {"one_factor": "slope", "factor_analysis": "loading", "mixture_of_factor_analysers": "loading"}
TURNED |= {"probabilistic_pca": "loading"}
AT_ZERO = ("eight_schools",)  # models whose likelihood is highest where a variance is zero


def label(x: object) -> str | None:
    return "-".join(map(str, x)) or "plain" if isinstance(x, dict) else None


def fitted(name: str, options: dict) -> ev.EMFit:
    return _fitted(name, tuple(options.items()))


@cache
def _fitted(name: str, options: tuple) -> ev.EMFit:
    case = (name, dict(options))
    starts = 6 if case in REFERRED else 3
    needed = case in SIMULATED or "standard_error" in (gallery.load(name).reference(**case[1]) or {})
    problem, errors = gallery.load(name).problem(**case[1]), "observed" if needed else None
    return ev.fit_em(problem, starts=starts, standard_errors=errors, random_seed=1, progress=False)  # type: ignore[arg-type]


def orders(fit: ev.EMFit, wanted: dict[str, np.ndarray]) -> tuple[str | None, list[int]]:
    """The dim that a hidden label counts, and the order of its positions that brings the estimate nearest to `wanted`."""
    problem = fit.problem
    counted = {getattr(v, "counts", None) for v in problem.spec.variables.values() if problem.roles[v.label] == "assignment"}
    dim = next((d for d in counted if d in fit.estimate.dims), None)
    if dim is None:
        return None, []

    def distance(order: tuple[int, ...]) -> float:
        return sum(np.abs(reordered(fit.estimate, k, dim, list(order)) - wanted[k]).sum() for k in wanted)

    return dim, list(min(itertools.permutations(range(fit.estimate.sizes[dim])), key=distance))


def reordered(values, name: str, dim: str | None, order: list[int]) -> np.ndarray:  # type: ignore[no-untyped-def]
    return (values[name].isel({dim: order}) if dim in values[name].dims else values[name]).values


def digits(expected: np.ndarray) -> int:
    return max(len(str(x).partition(".")[2]) for x in expected.ravel())


def test_the_gallery_is_what_it_should_be() -> None:
    assert {
        "old_faithful", "gaussian_mixture", "poisson_mixture", "zero_inflated_poisson", "one_factor", "factor_analysis",
        "missing_bivariate", "mixture_of_regressions", "discriminant_analysis", "mixture_of_factor_analysers", "mixture_missing",
        "probabilistic_pca", "genetic_linkage",
    } <= set(NAMES)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_told_and_tried(name: str) -> None:
    model = gallery.load(name)
    tried = {option for other, options in [*CASES, *MORE] if other == name for option in options}
    assert model.reference() is not None or model.truth() is not None or any(other == name for other, _ in REFERRED)
    assert all(model.options.values())
    assert tried == set(model.options)


@pytest.mark.parametrize(("name", "options"), REFERRED, ids=label)
def test_em_finds_the_published_answer(name: str, options: dict) -> None:
    reference = gallery.load(name).reference(**options)
    assert reference is not None
    assert reference["source"]
    fit = fitted(name, options)
    assert fit.status is (ev.Status.HEYWOOD if name in AT_ZERO else ev.Status.CONVERGED)
    assert fit.log_likelihood == pytest.approx(reference["log_likelihood"], abs=6e-5)
    wanted = {k: np.asarray(v, dtype=float) for k, v in reference["estimate"].items()}
    dim, order = orders(fit, wanted)
    for k, v in wanted.items():
        np.testing.assert_allclose(reordered(fit.estimate, k, dim, order), v, atol=1.01 * 10.0 ** -digits(v), err_msg=k)
    for k, v in reference.get("standard_error", {}).items():
        error = np.asarray(v, dtype=float)
        np.testing.assert_allclose(reordered(fit.standard_error, k, dim, order), error, atol=1.01 * 10.0 ** -digits(error))


def misses(name: str, fit: ev.EMFit, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """{parameter: largest distance of the estimate from the truth, in standard errors}, after alignment.

    Loadings are compared by loading loading', each entry in standard errors of a covariance of as many rows as the cluster has.
    """
    turned = TURNED.get(name) if any(role == "latent" for role in fit.problem.roles.values()) else None
    dim, order = orders(fit, {k: v for k, v in truth.items() if k != turned})
    out = {}
    for k, v in truth.items():
        estimate = reordered(fit.estimate, k, dim, order)
        if k != turned:
            error = reordered(fit.standard_error, k, dim, order)
            assert np.isfinite(error).all(), k
            out[k] = float(np.abs((estimate - v) / error).max())
            continue
        by_component = dim in fit.estimate[k].dims
        found, true = (x if by_component else x[None] for x in (estimate, v))
        found, true = (x if "factor" in fit.estimate.dims else x[..., None] for x in (found, true))
        noise = np.broadcast_to(truth["sd"] ** 2, true.shape[1:2])
        share = truth["weight"] if by_component else np.ones(1)
        worst = []
        for A, B, p in zip(found, true, share, strict=True):
            spread = np.diag(B @ B.T) + noise
            worst.append(np.abs(A @ A.T - B @ B.T) / np.sqrt(2 * np.outer(spread, spread) / (p * fit.problem.n)))
        out[k] = float(np.max(worst))
    return out


@pytest.mark.parametrize(("name", "options"), SIMULATED, ids=label)
def test_em_finds_the_truth(name: str, options: dict) -> None:
    truth = gallery.load(name).truth(**options)
    assert truth is not None
    found = misses(name, fitted(name, options), truth)
    assert set(found) == set(truth)
    assert max(found.values()) < 4, found


@pytest.mark.parametrize("parameter", ["intercept", "slope", "sd"])
def test_another_truth_is_not_found(parameter: str) -> None:
    """Negative control: a truth that is a fifth off is further off than its standard errors allow."""
    truth = gallery.load("one_factor").truth()
    assert truth is not None
    found = misses("one_factor", fitted("one_factor", {}), {**truth, parameter: truth[parameter] * 1.2 + 0.1})
    assert found[parameter] > 4


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


def test_options_of_data_are_options_of_the_model() -> None:
    model = gallery.load("one_factor")
    assert list(model.options) == ["observed"]
    assert model.default("observed") is False
    assert (model.problem().roles["z"], model.problem(observed=True).roles["z"]) == ("latent", "observed")
    assert model.spec(observed=True).variables.keys() == model.spec().variables.keys()
    assert model.reference(observed=True) is not model.reference()
    assert list(gallery.load("discriminant_analysis").options) == ["tied", "labels"]
    with pytest.raises(BadInput, match=r"options of 'one_factor': observed.*Did you mean 'observed'"):
        model.data(observd=True)


def test_options_of_data_on_the_command_line() -> None:
    words = ["fit", "one_factor", "--observed", "--json", "--starts", "1", "--standard-errors", "none"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["estimate"]["slope"] == pytest.approx([1.02401, 0.79721, -0.60686, 1.38498], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("missing_bivariate", "columns", 1),
        ("discriminant_analysis", "labels", 130),
        ("discriminant_analysis", "labels", -1),
        ("mixture_of_factor_analysers", "factors", 3),
    ],
)
def test_options_out_of_range_are_refused_by_name(name: str, option: str, value: int) -> None:
    with pytest.raises(BadInput, match=f"^{option}: expected .* got {value}"):
        gallery.load(name).problem(**{option: value})


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
        (
            "twice.py",
            SPEC.replace("spec()", "spec(size=2)") + "def data(size=3):\n    return {}\n",
            NotAModel,
            r"one default for option 'size'; got 2 in spec\(\) and 3 in data\(\)",
        ),
        ("told.py", SPEC + "OPTIONS = {'size': 'of it'}\n", NotAModel, r"keywords of spec\(\) or data\(\): none; got 'size'"),
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

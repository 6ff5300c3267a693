"""The order of the house: imports run one way, heavy libraries stay in their rooms, no file grows past 400 lines.

A *room* is a module or sub-package directly under `emvsmcmc`. `NEXT` says which rooms each leans on; a room may also import
whatever those may import. Imports inside functions and under TYPE_CHECKING count like any other: hiding an import does not
turn it round.
"""

import ast
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "emvsmcmc"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 400

NEXT = {
    "version": (),
    "errors": ("version",),
    "numerics": ("errors",),
    "families": ("numerics",),
    "spec": ("families",),
    "density": ("problem",),
    "simulation": ("problem",),
    "problem": ("spec",),
    "expect": ("problem",),
    "invariance": ("expect",),
    "em": ("invariance",),
    "mcmc": ("invariance", "simulation"),  # posterior predictive draws come from our own simulator
    "comparison": ("em", "mcmc", "density"),  # the contract is checked against the oracle
    "experiments": ("comparison",),
    "report": ("experiments",),
    "explain": ("em", "simulation"),  # reads the EM steps off the compiled M-step; without data it simulates a few rows
    "gallery": ("report", "explain"),
    "cli": ("gallery",),
}
DOWNSTREAM = {("emvsmcmc.spec.model", "emvsmcmc.explain.explanation.explain")}  # lazy imports against the order, all there are
ARVIZ = ("arviz", "arviz_base", "arviz_plots", "arviz_stats")
HOME = {  # library -> the rooms that may import it
    "pymc": {"mcmc"},
    "pytensor": {"mcmc"},
    "nutpie": {"mcmc"},
    **{library: {"mcmc", "comparison", "experiments", "report"} for library in ARVIZ},
    "numba": {"numerics", "expect", "mcmc"},
    "llvmlite": {"expect", "mcmc"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "typer": {"cli"},
    "distributed": {"experiments"},
    "dask": {"problem", "expect", "em", "experiments"},
}
HEAVY = ("pymc", "pytensor", "nutpie", "numba", "matplotlib", *ARVIZ)


def allowed(room: str) -> set[str]:
    """The room itself and everything upstream of it."""
    return {room}.union(*(allowed(upstream) for upstream in NEXT[room]))


def imported(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import in `source`, wherever it stands; `from a import b` gives a.b."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                dots = len(name.value) - len(name.value.lstrip("."))
                base = package.split(".")[: len(package.split(".")) - dots + 1] if dots else []
                yield node.lineno, ".".join([*base, name.value.lstrip(".")])


def offences(source: str, module: str, is_package: bool = False) -> list[str]:
    """One sentence for every import in `source` that the house does not allow.

    The front door, `emvsmcmc/__init__.py`, may open any room, but loads no library of theirs.
    """
    parts = module.split(".")
    if len(parts) == 1:
        return [
            f"{module}:{line}: the front door loads {name}"
            for line, name in imported(source, module, True)
            if name.split(".")[0] in HOME
        ]
    room = parts[1]
    if room not in NEXT:
        return [f"{module}: no such room; give {room!r} its place in NEXT"]
    found = []
    for line, name in imported(source, module, is_package):
        top, *rest = name.split(".")
        other = rest[0] if rest else ""
        if (module, name) in DOWNSTREAM:
            continue
        if top == "emvsmcmc" and other not in NEXT:
            found.append(f"{module}:{line}: imports {name} through the front door; import it from its room")
        elif top == "emvsmcmc" and other not in allowed(room):
            found.append(f"{module}:{line}: {room} may not import {other}")
        elif room not in HOME.get(top, {room}):
            found.append(f"{module}:{line}: {top} is imported only under {', '.join(sorted(HOME[top]))}")
    return found


def module_of(path: Path) -> tuple[str, bool]:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if is_package else parts), is_package


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8"), *module_of(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_is_two_things(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_every_room_of_the_table_exists() -> None:
    """Otherwise a renamed room would leave its rule behind, checking nothing."""
    there = {path.stem if path.is_file() else path.name for path in SOURCE.iterdir()}
    assert set(NEXT) <= there


def test_em_and_mcmc_are_strangers() -> None:
    assert "mcmc" not in allowed("em")
    assert "em" not in allowed("mcmc")


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("emvsmcmc.em.fit", "from ..mcmc.sample import fit_mcmc", "em may not import mcmc"),
        ("emvsmcmc.mcmc.sample", "from ..em import starts", "mcmc may not import em"),
        ("emvsmcmc.mcmc.sample", "def f():\n    import emvsmcmc.em.fit", "mcmc may not import em"),
        ("emvsmcmc.spec.evaluate", "from ..problem import Problem", "spec may not import problem"),
        ("emvsmcmc.families.normal", "from .. import spec", "families may not import spec"),
        ("emvsmcmc.errors", "from emvsmcmc import numerics", "errors may not import numerics"),
        ("emvsmcmc.problem.problem", "from .. import simulation", "problem may not import simulation"),
        (
            "emvsmcmc.report.comparison.page",
            "from importlib import import_module\nimport_module('...cli', __package__)",
            "report may not import cli",
        ),
        ("emvsmcmc.spec.model", "import emvsmcmc as ev", "front door"),
        ("emvsmcmc.spec.model", "from emvsmcmc import Spec", "front door"),
        ("emvsmcmc.em.fit", "if True:\n    import pymc as pm", "pymc is imported only under mcmc"),
        ("emvsmcmc.comparison.run", "from pytensor import tensor", "pytensor is imported only under mcmc"),
        ("emvsmcmc.comparison.run", "import matplotlib.pyplot as plt", "matplotlib is imported only under report"),
        ("emvsmcmc.em.uncertainty", "from arviz_stats.base import array_stats", "arviz_stats is imported only under"),
        ("emvsmcmc.spec.evaluate", "from ..problem.read import read", "spec may not import problem"),
        ("emvsmcmc.cellar", "", "no such room"),
        ("emvsmcmc", "import pymc", "front door loads pymc"),
    ],
)
def test_an_offender_is_caught(module: str, source: str, complaint: str) -> None:
    """Negative control: without it an empty list of offences could mean a blind checker."""
    (found,) = offences(source, module)
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "emvsmcmc.em.fit",
            "from ..expect.plan import Plan\nfrom ..errors import Status\nfrom .starts import starts\nimport numpy as np",
        ),
        ("emvsmcmc.mcmc.fused_op", "import pymc as pm\nfrom ..families.normal import Normal"),
        (
            "emvsmcmc.report.comparison.page",
            "import matplotlib\nfrom ..em.result import EMFit\nfrom ..version import __version__",
        ),
    ],
)
def test_a_good_citizen_is_not(module: str, source: str) -> None:
    assert offences(source, module) == []


def loaded_after(program: str, tmp_path: Path) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after running `program`."""
    report = tmp_path / "loaded.json"
    ending = f"\nimport json, sys\nopen({str(report)!r}, 'w').write(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))))"
    # Without coverage or other start-up hooks of the test run; warnings are errors here too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTHONWARNINGS"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program) + ending],
        capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(report.read_text()))


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after("import emvsmcmc", tmp_path) == set()


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    program = """
        import sys
        from emvsmcmc.cli.app import main
        sys.argv = ["emvsmcmc", "--help"]
        try:
            status = main()
        except SystemExit as end:
            status = end.code
        assert not status, status
    """
    assert loaded_after(program, tmp_path) == set()


def test_em_on_small_data_loads_nothing_heavy(tmp_path: Path) -> None:
    """EM never loads PyMC, and small data never wait for a compiler."""
    program = """
        import numpy as np
        import emvsmcmc as ev
        with ev.Spec(coords={"component": 2}) as spec:
            weight = ev.Dirichlet("weight", 1.0, dims="component")
            mean = ev.Normal("mean", 65, 30, dims="component")
            sd = ev.HalfNormal("sd", 20, dims="component")
            group = ev.Categorical("group", weight, dims="eruption")
            ev.Normal("waiting", mean[group], sd[group], dims="eruption")
        rng = np.random.default_rng(0)
        waiting = np.concatenate([rng.normal(55, 6, 100), rng.normal(80, 6, 172)])
        fit = ev.fit_em(ev.condition(spec, {"waiting": waiting}), starts=2, random_seed=0, progress=False)
        assert fit.converged
    """
    assert loaded_after(program, tmp_path) == set()


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    """Negative control of the three tests above."""
    assert "numba" in loaded_after("import numba", tmp_path)

"""Imports run one way and never in a circle, and what is imported late is late for a reason: the laws, and that they can fail."""

from pathlib import Path

import pytest
from imports import (
    DOWNSTREAM,
    FILES,
    LONGEST,
    NEXT,
    SOURCE,
    Graph,
    allowed,
    circle,
    graph_of,
    late_without_reason,
    module_of,
    offences,
    package,
)  # fmt: skip


def test_no_circle() -> None:
    assert circle(package()) == []


def test_what_is_imported_late_is_late_for_a_reason() -> None:
    assert late_without_reason(package()) == []


def test_both_imports_against_the_order_are_there() -> None:
    """Otherwise the list would allow what nobody needs."""
    graph = package()
    assert {
        (module, other) for module, imports in graph.items() for _, other in imports if (module, other) in DOWNSTREAM
    } == DOWNSTREAM
    assert all(i.late for module, imports in graph.items() for i, other in imports if (module, other) in DOWNSTREAM)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8"), *module_of(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_is_two_things(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_the_table_has_every_room() -> None:
    """Otherwise a renamed room would leave its rule behind, checking nothing, and a new folder would count as its parent."""
    folders = {path.parent.relative_to(SOURCE) for path in FILES}
    files = {path.relative_to(SOURCE).with_suffix("") for path in SOURCE.glob("*.py")}
    assert set(NEXT) == {".".join(path.parts) for path in folders | files} - {"", "__init__"}


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
            "report.comparison may not import cli",
        ),
        ("emvsmcmc.spec.model", "import emvsmcmc as ev", "front door"),
        ("emvsmcmc.spec.model", "from emvsmcmc import Spec", "front door"),
        ("emvsmcmc.em.fit", "if True:\n    import pymc as pm", "pymc is imported only under mcmc"),
        ("emvsmcmc.comparison.run", "from pytensor import tensor", "pytensor is imported only under mcmc"),
        ("emvsmcmc.comparison.run", "import matplotlib.pyplot as plt", "matplotlib is imported only under report"),
        ("emvsmcmc.em.uncertainty", "from arviz_stats.base import array_stats", "arviz_stats is imported only under"),
        ("emvsmcmc.spec.evaluate", "from ..problem.read import read", "spec may not import problem"),
        ("emvsmcmc.cellar", "", "no such room"),
        ("emvsmcmc.expect.kernel.pack", "from ..store.chunks import Chunks", "expect.kernel may not import expect.store"),
        ("emvsmcmc.expect.plan", "from ..em.fit import fit_em", "expect may not import em"),
        ("emvsmcmc.experiments.sweep.pool", "from ..labels import masks", "experiments.sweep may not import experiments.labels"),
        ("emvsmcmc.invariance.axes", "from ..expect.kernel.pack import pack", "invariance may not import expect.kernel"),
        ("emvsmcmc.spec.model", "def f():\n    from ..explain.msteps import m_step", "spec may not import explain"),
        ("emvsmcmc.comparison.result", "def f():\n    from ..report.pages import write", "comparison may not import report"),
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
        ("emvsmcmc.spec.model", "def f():\n    from ..explain.explanation import explain"),
        ("emvsmcmc.expect.rows", "from .store.compiled import expect_compiled_plan"),
        (
            "emvsmcmc.report.comparison.page",
            "import matplotlib\nfrom ...em.result import EMFit\nfrom ...version import __version__",
        ),
    ],
)
def test_a_good_citizen_is_not(module: str, source: str) -> None:
    assert offences(source, module) == []


def small(**sources: str) -> Graph:
    """A package of a few files of `spec`."""
    return graph_of({f"emvsmcmc.spec.{name}": (source, False) for name, source in sources.items()})


@pytest.mark.parametrize(
    "back",
    [
        "from .a import f",
        "def g():\n    from .a import f",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a",
        "from importlib import import_module\ndef g():\n    import_module('.a', __package__)",
    ],
)
def test_a_circle_is_seen(back: str) -> None:
    """Negative control: wherever the import stands that closes it."""
    assert circle(small(a="from . import b", b="from .c import f", c=back)) == [f"emvsmcmc.spec.{x}" for x in "abca"]
    assert circle(small(a="from . import b", b="from .c import f", c="")) == []


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        ({"a": "def f():\n    from .b import g", "b": "import numpy"}, "emvsmcmc.spec.b.g may be imported at the top"),
        ({"a": "def f():\n    import json"}, "json may be imported at the top"),
        ({"a": "import numba\ndef f():\n    from . import b", "b": "import numba"}, "emvsmcmc.spec.b may be imported at the top"),
        (
            {"a": "from . import c\ndef f():\n    from . import b", "b": "import pymc", "c": "import pymc"},
            "emvsmcmc.spec.b may be",
        ),
        ({"a": "def f():\n    from . import b", "b": "def g():\n    import pymc"}, "emvsmcmc.spec.b may be imported at the top"),
        ({"a": "if TYPE_CHECKING:\n    from . import b", "b": ""}, "emvsmcmc.spec.b may be imported at the top"),
    ],
)
def test_a_late_import_without_a_reason_is_seen(sources: dict[str, str], complaint: str) -> None:
    """Negative control."""
    (found,) = late_without_reason(small(**sources))
    assert complaint in found


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "def f():\n    from . import b", "b": "from . import c", "c": "import pymc"},
        {"a": "def f():\n    import dask"},
        {"a": "if TYPE_CHECKING:\n    from . import b", "b": "import numba"},
        {"a": "import numpy\nfrom . import b", "b": "import numba"},
    ],
)
def test_a_late_import_with_a_reason_is_not(sources: dict[str, str]) -> None:
    assert late_without_reason(small(**sources)) == []


def test_the_command_line_waits_for_less() -> None:
    source = {
        "emvsmcmc.cli.show": ("def f():\n    import pandas", False),
        "emvsmcmc.spec.a": ("def f():\n    import pandas", False),
    }
    (found,) = late_without_reason(graph_of(source))
    assert "emvsmcmc.spec.a" in found

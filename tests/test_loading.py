"""What a fresh interpreter has loaded: nothing heavy before it is needed."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from imports import HEAVY, SLOW

COMMANDS = ("list", "explain", "simulate", "fit", "sample", "compare", "choose", "labels", "calibrate", "report")


def loaded_after(program: str, tmp_path: Path, of: tuple[str, ...] = HEAVY) -> set[str]:
    """The libraries `of` those given that a fresh interpreter holds after running `program`."""
    report = tmp_path / "loaded.json"
    ending = f"\nimport json, sys\nopen({str(report)!r}, 'w').write(json.dumps(sorted(set(sys.modules) & set({of!r}))))"
    # Without coverage or other start-up hooks of the test run; warnings are errors here too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTHONWARNINGS"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program) + ending],
        capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(report.read_text()))


def test_import_loads_nothing_slow(tmp_path: Path) -> None:
    assert loaded_after("import emvsmcmc", tmp_path, HEAVY + SLOW) == set()


def test_help_loads_nothing_slow(tmp_path: Path) -> None:
    """Of the command line and of each command."""
    program = f"""
        import sys
        from emvsmcmc.cli.app import main
        for words in [], *([command] for command in {COMMANDS!r}):
            sys.argv = ["emvsmcmc", *words, "--help"]
            try:
                status = main()
            except SystemExit as end:
                status = end.code
            assert not status, status
    """
    assert loaded_after(program, tmp_path, HEAVY + SLOW) == set()


def test_every_command_is_asked() -> None:
    from emvsmcmc.cli.app import app

    assert sorted(COMMANDS) == sorted(c.name or c.callback.__name__ for c in app.registered_commands)


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
    """Negative control of the tests above."""
    assert "numba" in loaded_after("import numba", tmp_path)
    assert "numpy" in loaded_after("import numpy", tmp_path, SLOW)

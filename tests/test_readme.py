"""Everything shown is executed: the README's model, and its command lines as far as they name a gallery model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["em"].log_likelihood == pytest.approx(-1034.00175, abs=1e-5)
    assert names["post"]["posterior"]["mean"].sizes["component"] == 2
    assert "EM suffices" in capsys.readouterr().out
    assert (tmp_path / "reports/old_faithful/index.html").stat().st_size < 1_000_000


def test_its_command_lines_are_commands() -> None:
    from emvsmcmc.cli.app import app

    lines = [
        line for block in re.findall(r"```\n(emvsmcmc .*?)```", TEXT, flags=re.DOTALL) for line in block.strip().splitlines()
    ]
    assert len(lines) > 6
    for line in lines:
        words = line.partition("  # ")[0].split()
        result = CliRunner().invoke(app, [words[1], "--help"])
        assert result.exit_code == 0, line
        for option in (w for w in words if w.startswith("--")):
            assert option in result.output, line

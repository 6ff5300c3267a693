"""The wheel carries the gallery, and works away from the repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        check=True, capture_output=True, text=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    (built,) = folder.glob("emvsmcmc-*.whl")
    return built


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_it_carries_the_package_and_the_whole_gallery(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    gallery = files(ROOT / "models")
    assert {"old_faithful.py", "data/faithful.csv", "data/README.md"} <= gallery
    expected = {f"emvsmcmc/models/{name}" for name in gallery} | {f"emvsmcmc/{name}" for name in files(ROOT / "emvsmcmc")}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_it_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere and put first on the path, it lists the gallery from its own copy, with its data."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})
from emvsmcmc.cli.app import main
sys.argv = ["emvsmcmc", *sys.argv[1:]]
sys.exit(main())
"""
    for command in (["list"], ["fit", "old_faithful", "--json", "--seed", "1"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *command], capture_output=True, text=True, cwd=tmp_path, timeout=300
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "54.61" in done.stdout

"""The environment of pomegranate, which needs a torch that runs on Python 3.11: made beside the one that runs the benchmarks.

python tests/benchmarks/peers.py        make it; where that fails the reason is kept, and the exit status is 0 all the same
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from protocol import Absent

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-bench-pomegranate"
PYTHON = "python3.11"
PACKAGES = ("torch==2.13.0", "pomegranate==1.1.2")
REASON = ENVIRONMENT.with_name(f"{ENVIRONMENT.name}.absent")
DONE = ENVIRONMENT / ".installed"


def pomegranate_python() -> Path:
    """Its interpreter. Raises Absent with the reason why there is none."""
    if DONE.is_file() and DONE.read_text(encoding="utf-8").split() == list(PACKAGES):
        return ENVIRONMENT / "bin" / "python"
    if REASON.is_file():
        raise Absent("pomegranate", REASON.read_text(encoding="utf-8").strip())
    raise Absent("pomegranate", "its environment has not been made: python tests/benchmarks/peers.py makes it")


def make() -> str | None:
    """Make the environment; the reason where it cannot be made."""
    python = shutil.which(PYTHON)
    if python is None or _run([python, "-c", ""]) is not None:
        return f"{PYTHON} is not installed, and torch has no build for every Python that emvsmcmc runs on"
    if (why := _run([python, "-m", "venv", "--clear", str(ENVIRONMENT)])) is not None:
        return f"no environment could be made with {PYTHON}: {why}"
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    if (why := _run(pip)) is not None:
        return f"pip could not install {' and '.join(PACKAGES)} for {PYTHON}: {why}"
    DONE.write_text("\n".join(PACKAGES) + "\n", encoding="utf-8")
    return None


def _run(command: list[str]) -> str | None:
    """None, or the last error that a command that fails prints, without the paths of this machine."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    told = [line.strip() for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line and "/" not in line]
    return (told or [f"status {done.returncode}"])[-1]


def main() -> None:
    try:
        pomegranate_python()
    except Absent:
        print(f"Installing {' and '.join(PACKAGES)} into an environment with {PYTHON} (a few minutes the first time)", flush=True)
        why = make()
        if why is None:
            REASON.unlink(missing_ok=True)
        else:
            REASON.write_text(why + "\n", encoding="utf-8")
            print(f"pomegranate will be absent: {why}", file=sys.stderr)


if __name__ == "__main__":
    main()

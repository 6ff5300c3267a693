"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MARK = ".part"  # ends the name of a file that is still being written, whatever it will be


def write_whole(path: Path, write: Callable[[Path], Any], durable: bool = False) -> Path:
    """Let `write` fill a file beside `path`, which then takes its name in one step. Returns `path`.

    Nothing is left of it where writing fails; where the process dies, `unfinished` finds it. durable : the file survives a crash
    of the machine, not of the process alone. Raises what `write` raises, and OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{MARK}")
    try:
        write(temporary)
        if durable:
            _flush(temporary)
        temporary.replace(path)
        if durable and os.name == "posix":
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def unfinished(folder: Path) -> Iterator[Path]:
    """What processes that died while they wrote have left in a folder."""
    return folder.glob(f".*{MARK}")


def _flush(path: Path) -> None:
    """Onto the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""`emvsmcmc report`: the page of a saved comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files import write_folder
from ..options import Json, stdout_kept
from ..show import print_json, say


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A comparison saved by `compare` or Comparison.save.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; else that of the file.")] = None,
    as_json: Json = False,
) -> None:
    """Write the page of a saved comparison again."""
    folder = out if out is not None else file.parent
    from ...comparison.result import load

    saved = load(file)
    from ...report.pages import write

    with stdout_kept():
        write_folder(folder, lambda temporary: write(saved, temporary))
    if as_json:
        print_json({"report": str(folder / "index.html")})
    else:
        say(f"Page: {folder / 'index.html'}")

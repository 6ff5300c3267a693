"""The command line: the library's verbs on a model of the gallery or a file of one's own.

Exit status: 0 done; 1 the fit failed, with its named status; 2 bad input, with the sentence and no traceback.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..version import __version__
from .commands.calibrate import calibrate
from .commands.choose import choose
from .commands.compare import compare
from .commands.explain import explain
from .commands.fit import fit
from .commands.labels import labels
from .commands.list import list_models
from .commands.report import report
from .commands.sample import sample
from .commands.simulate import simulate
from .options import DONE, MODEL_OPTIONS, guarded

app = typer.Typer(
    help="Declare a latent-variable model once, fit it by EM and by NUTS, and see whether the point estimate would do.",
    epilog="MODEL is a name that `emvsmcmc list` shows, or the path of a Python file that defines spec().",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> int:
    """Entry point. Returns the exit status, or leaves by SystemExit as typer does."""
    try:
        app()
    except BrokenPipeError:  # the reader of a pipe had enough
        sys.stderr.close()
    return DONE


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """The version, and that is all."""
    if show:
        typer.echo(f"emvsmcmc {__version__}")
        raise typer.Exit(DONE)


app.command("list")(guarded(list_models))
for verb in (explain, simulate, fit, sample, compare, choose, labels, calibrate):
    app.command(context_settings=MODEL_OPTIONS)(guarded(verb))
app.command()(guarded(report))


if __name__ == "__main__":
    sys.exit(main())

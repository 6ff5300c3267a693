"""What the commands share: options that mean the same everywhere, and how a command ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import BadInput, EmvsmcmcError, FitFailed
from .show import print_json, warn

DONE, FAILED, BAD = 0, 1, 2

# options of the model itself (--both) are not known before its file is read
MODEL_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A name of the gallery or a path to a Python file.")]
Data = Annotated[Path | None, typer.Option("--data", metavar="FILE", help="Your rows: CSV, Parquet or NetCDF.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result for programs.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Repeats a run.")]
Starts = Annotated[int, typer.Option("--starts", min=1, help="Random starts of EM.")]
Errors = Annotated[Literal["observed", "bootstrap", "none"], typer.Option("--standard-errors", help="Where they come from.")]
Draws = Annotated[int, typer.Option("--draws", min=4, help="Draws kept of each chain.")]
Tune = Annotated[int, typer.Option("--tune", min=0, help="Draws that tune the sampler.")]
Chains = Annotated[int, typer.Option("--chains", min=1, help="Chains.")]
Likelihood = Annotated[
    Literal["fused", "native"], typer.Option("--likelihood", help="The shared expectation, or plain PyTensor.")
]

# of experiments, which are many fits
EachStarts = Annotated[int, typer.Option("--starts", min=1, help="Random starts of each EM fit.")]
EachTune = Annotated[int, typer.Option("--tune", min=1, help="Draws that tune the sampler.")]
Store = Annotated[Path | None, typer.Option("--store", metavar="DIR", help="Keep results there; a stopped run resumes.")]
Scheduler = Annotated[str | None, typer.Option("--scheduler", metavar="tcp://...", help="Run on a Dask cluster.")]
Workers = Annotated[int | None, typer.Option("--workers", min=0, help="Local processes; else one a core.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run recorded failures again.")]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Named errors end the command with their sentence and status; anything else is a bug and keeps its traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except EmvsmcmcError as error:
            if isinstance(error, FitFailed) and kwargs.get("as_json"):
                print_json({"status": error.status.value, "error": str(error)})
            warn(f"emvsmcmc: {error}")
            raise typer.Exit(BAD if isinstance(error, BadInput) else FAILED) from None

    return run


def watched() -> bool:
    """Progress bars are for a terminal."""
    return sys.stderr.isatty()


@contextmanager
def stdout_kept() -> Iterator[None]:
    """What a library prints while it works goes to standard error, so that standard output holds the result alone."""
    with redirect_stdout(sys.stderr):
        yield


def as_typed() -> str:
    """The command line, for the page's "to run it again"."""
    return shlex.join(["emvsmcmc", *sys.argv[1:]])

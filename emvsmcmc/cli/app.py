"""The command line: the library's verbs on a model of the gallery or a file of one's own.

Exit status: 0 done; 1 the fit failed, with its named status; 2 bad input, with the sentence and no traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..em.options import EMOptions
from ..errors import Status
from ..mcmc.options import NUTSOptions
from ..version import __version__
from .commands.calibrate import calibrate
from .commands.labels import labels
from .model import chosen, problem_of
from .options import (
    DONE,
    FAILED,
    MODEL_OPTIONS,
    Chains,
    Data,
    Draws,
    Errors,
    Json,
    Likelihood,
    ModelName,
    Seed,
    Starts,
    Tune,
    as_typed,
    guarded,
    stdout_kept,
    watched,
)

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
    if show:
        typer.echo(f"emvsmcmc {__version__}")
        raise typer.Exit(DONE)


@app.command("list")
@guarded
def list_models(as_json: Json = False) -> None:
    """The models that come with the package."""
    from .. import gallery
    from .show import print_json, table

    models = [gallery.load(name) for name in gallery.names()]
    if as_json:
        print_json([{"name": m.name, "title": m.title, "options": m.options} for m in models])
        return
    rows = [[m.name, m.title, ", ".join(f"--{o}" for o in m.options)] for m in models]
    table("", ["model", "what it is", "options"], rows, numbers=False)


@app.command(context_settings=MODEL_OPTIONS)
@guarded
def explain(context: typer.Context, model: ModelName, data: Data = None, as_json: Json = False) -> None:
    """The model in mathematics, the EM steps derived from it, and what PyMC samples."""
    from .show import print_json, say

    found, options = chosen(model, context.args)
    spec = found.spec(**options)
    has_data = data is not None or hasattr(found.module, "data")
    text = str(spec.explain(problem_of(found, options, data) if has_data else None))
    if as_json:
        print_json({"model": found.name, "title": found.title, "text": text})
    else:
        say(f"{found.docstring}\n\n{text}" if found.docstring else text)


@app.command(context_settings=MODEL_OPTIONS)
@guarded
def simulate(
    context: typer.Context,
    model: ModelName,
    size: Annotated[int, typer.Option("--size", min=1, help="Rows.")] = 100,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="CSV, Parquet or NetCDF; else printed.")] = None,
    seed: Seed = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Draw data from the model: at its known parameters where it has them, else at parameters drawn from the priors.

    Columns that begin with true_ hold what is hidden; a fit leaves them out. Covariates are taken from the model's data or
    --data, and then give the rows.
    """
    from ..problem.align import plate_dims
    from ..simulation import simulate as draw
    from . import files
    from .show import print_json, say, warn

    if out is not None:
        files.check_file(out, (*files.CSV, *files.PARQUET, *files.NETCDF), files.FORMATS)
    found, options = chosen(model, context.args)
    spec, truth = found.spec(**options), found.truth(**options)
    covariates = None
    if spec.data:
        covariates = files.read_data(data) if data is not None else found.data(**options)
    sizes = {} if spec.data else {d: size for d in plate_dims(spec) if d not in spec.coords}
    drawn = draw(spec, sizes, truth, seed, covariates)
    columns = files.simulated_columns(spec, drawn)
    parameters = {v.label: drawn[v.label].values for v in spec.variables.values() if not spec.plates_of(v)}
    if out is not None:
        files.write_file(out, lambda path: files.write_data(path, spec, columns))
    if as_json:
        rows = {} if out is not None else {"data": files.as_frame(spec, columns).to_dict(orient="list")}
        print_json({"model": found.name, "parameters": parameters, "file": None if out is None else str(out), **rows})
        return
    at = "at the model's known parameters" if truth is not None else "at parameters drawn from the priors"
    if out is None:
        sys.stdout.write(files.as_frame(spec, columns).to_csv(index=False))
        warn(f"Simulated {at}.")
    else:
        say(f"Wrote {out}, simulated {at}.")


@app.command(context_settings=MODEL_OPTIONS)
@guarded
def fit(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    objective: Annotated[
        Literal["ml", "map"], typer.Option("--objective", help="Likelihood, or posterior mode.")
    ] = EMOptions.objective,
    assignment: Annotated[
        Literal["soft", "hard"], typer.Option("--assignment", help="Hard: classification EM.")
    ] = EMOptions.assignment,
    starts: Starts = EMOptions.starts,
    standard_errors: Errors = EMOptions.standard_errors or "none",
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Fit by EM: estimates, standard errors, every start."""
    from ..em.fit import fit_em
    from .show import fit_dict, print_json, show_fit, warn

    found, options = chosen(model, context.args)
    problem = problem_of(found, options, data)
    errors = None if standard_errors == "none" else standard_errors
    with stdout_kept():
        result = fit_em(problem, objective, assignment=assignment, starts=starts, standard_errors=errors, random_seed=seed)
    if as_json:
        print_json(fit_dict(found.name, result))
    else:
        show_fit(found.name, result)
    if result.status is not Status.CONVERGED:
        warn(f"{result.status.value}: {result.sentence}")
    if result.status not in (Status.CONVERGED, Status.STALLED, Status.HEYWOOD):
        raise typer.Exit(FAILED)


@app.command(context_settings=MODEL_OPTIONS)
@guarded
def sample(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    draws: Draws = NUTSOptions.draws,
    tune: Tune = NUTSOptions.tune,
    chains: Chains = NUTSOptions.chains,
    likelihood: Likelihood = NUTSOptions.likelihood,
    marginalize: Annotated[
        Literal["all", "discrete", "none"], typer.Option("--marginalize", help="What is summed out.")
    ] = NUTSOptions.marginalize,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save the draws as NetCDF.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Sample the posterior by NUTS, with discrete latents summed out."""
    from .files import NETCDF, check_file, write_file
    from .show import print_json, say, show_posterior

    if out is not None:
        check_file(out, NETCDF, "a .nc file")
    found, options = chosen(model, context.args)
    problem = problem_of(found, options, data)
    from ..comparison.posterior import summary
    from ..comparison.run import fit_mcmc  # PyMC loads here, after bad input has been refused

    with stdout_kept():
        tree = fit_mcmc(
            problem, draws=draws, tune=tune, chains=chains, likelihood=likelihood, marginalize=marginalize, random_seed=seed,
            progress=watched(),
        )  # fmt: skip
    if out is not None:
        write_file(out, lambda path: tree.to_netcdf(path, engine="h5netcdf"))
    numbers = summary(problem, tree["posterior"].to_dataset())
    if as_json:
        rows = numbers.reset_index().to_dict(orient="records")
        print_json({"model": found.name, "parameters": rows, "run": dict(tree.attrs), "file": None if out is None else str(out)})
        return
    show_posterior(found.name, numbers, {str(k): v for k, v in tree.attrs.items()})
    if out is not None:
        say(f"Draws: {out}")


@app.command(context_settings=MODEL_OPTIONS)
@guarded
def compare(
    context: typer.Context,
    model: ModelName,
    data: Data = None,
    starts: Starts = EMOptions.starts,
    standard_errors: Annotated[Literal["observed", "bootstrap"], typer.Option("--standard-errors")] = EMOptions.standard_errors,  # type: ignore[assignment]
    draws: Draws = NUTSOptions.draws,
    tune: Tune = NUTSOptions.tune,
    chains: Chains = NUTSOptions.chains,
    likelihood: Likelihood = NUTSOptions.likelihood,
    marginalize: Annotated[
        Literal["all", "discrete"], typer.Option("--marginalize", help="What is summed out.")
    ] = NUTSOptions.marginalize,  # type: ignore[assignment]
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; else reports/MODEL.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Fit by EM and by NUTS on the same data, compare, and write a page with the verdict."""
    from .files import check_folder, write_folder
    from .show import print_json, say, show_comparison

    found, options = chosen(model, context.args)
    folder = out if out is not None else Path("reports") / found.name
    check_folder(folder)
    problem = problem_of(found, options, data)
    truth = found.truth(**options) if data is None else None
    from ..comparison.run import compare as both  # PyMC loads here, after bad input has been refused

    with stdout_kept():
        result = both(
            problem, starts=starts, standard_errors=standard_errors, draws=draws, tune=tune, chains=chains, likelihood=likelihood,
            marginalize=marginalize, truth=truth, random_seed=seed, progress=watched(), name=found.name,
        )  # fmt: skip

        result.posterior.attrs["command"] = as_typed()

        def write(temporary: Path) -> None:
            from ..comparison.result import pages_by
            from ..report.comparison.page import write as write_page

            pages_by(lambda: write_page)
            result.save(temporary / f"{found.name}.nc")
            result.report(temporary)

        write_folder(folder, write)
    page, saved = folder / "index.html", folder / f"{found.name}.nc"
    if as_json:
        print_json({**result.to_dict(), "report": str(page), "file": str(saved)})
        return
    show_comparison(result)
    say(f"Page: {page}")


@app.command(context_settings=MODEL_OPTIONS)
@guarded
def choose(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL...", help="Names of the gallery or paths to Python files.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=A,B", help="Values of a model's option; or as --NAME A,B.")
    ] = None,
    data: Data = None,
    mcmc: Annotated[bool, typer.Option("--mcmc/--no-mcmc", help="LOO from the posterior, beside AIC, BIC and ICL.")] = True,
    starts: Starts = EMOptions.starts,
    draws: Draws = NUTSOptions.draws,
    tune: Tune = NUTSOptions.tune,
    chains: Chains = NUTSOptions.chains,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Choose among several models of the same data, or one under several values of an option: --option components=1,2,3."""
    from .commands.choose import candidates, show_choice
    from .show import print_json

    problems = candidates([model, *context.args], option or [], data)
    from ..comparison.choice.choose import choose as judge

    with stdout_kept():
        choice = judge(
            problems, mcmc=mcmc, starts=starts, draws=draws, tune=tune, chains=chains, random_seed=seed, progress=watched()
        )
    if as_json:
        print_json(choice.to_dict())
    else:
        show_choice(choice)
    if not any(choice.best.values()):
        raise typer.Exit(FAILED)


app.command(context_settings=MODEL_OPTIONS)(guarded(labels))
app.command(context_settings=MODEL_OPTIONS)(guarded(calibrate))


@app.command()
@guarded
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A comparison saved by `compare` or Comparison.save.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; else that of the file.")] = None,
    as_json: Json = False,
) -> None:
    """Write the page of a saved comparison again."""
    from .files import write_folder
    from .show import print_json, say

    folder = out if out is not None else file.parent
    from ..comparison.result import load

    saved = load(file)
    from ..report.comparison.page import write

    with stdout_kept():
        write_folder(folder, lambda temporary: write(saved, temporary))
    if as_json:
        print_json({"report": str(folder / "index.html")})
    else:
        say(f"Page: {folder / 'index.html'}")


if __name__ == "__main__":
    sys.exit(main())

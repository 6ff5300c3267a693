"""`emvsmcmc fit`: EM."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ...em.options import EMOptions
from ...errors import Status
from ..model import chosen, problem_of
from ..options import FAILED, Data, Errors, Json, ModelName, Seed, Starts, stdout_kept
from ..show import fit_dict, print_json, show_fit, warn


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
    from ...em.fit import fit_em

    chosen_model, options = chosen(model, context.args)
    problem = problem_of(chosen_model, options, data)
    errors = None if standard_errors == "none" else standard_errors
    with stdout_kept():
        result = fit_em(problem, objective, assignment=assignment, starts=starts, standard_errors=errors, random_seed=seed)
    if as_json:
        print_json(fit_dict(chosen_model.name, result))
    else:
        show_fit(chosen_model.name, result)
    if result.status is not Status.CONVERGED:
        warn(f"{result.status.value}: {result.sentence}")
    if not result.status.finished:
        raise typer.Exit(FAILED)

"""`emvsmcmc explain`: a model in mathematics."""

from __future__ import annotations

import typer

from ..model import chosen, problem_of
from ..options import Data, Json, ModelName
from ..show import print_json, say


def explain(context: typer.Context, model: ModelName, data: Data = None, as_json: Json = False) -> None:
    """The model in mathematics, the EM steps derived from it, and what PyMC samples."""
    chosen_model, options = chosen(model, context.args)
    spec = chosen_model.spec(**options)
    has_data = data is not None or hasattr(chosen_model.module, "data")
    text = str(spec.explain(problem_of(chosen_model, options, data) if has_data else None))
    if as_json:
        print_json({"model": chosen_model.name, "title": chosen_model.title, "text": text})
    else:
        say(f"{chosen_model.docstring}\n\n{text}" if chosen_model.docstring else text)

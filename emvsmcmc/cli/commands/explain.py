"""`emvsmcmc explain`: a model in mathematics."""

from __future__ import annotations

import typer

from ..model import chosen, problem_of
from ..options import Data, Json, ModelName
from ..show import print_json, say


def explain(context: typer.Context, model: ModelName, data: Data = None, as_json: Json = False) -> None:
    """The model in mathematics, the EM steps derived from it, and what PyMC samples."""
    found, options = chosen(model, context.args)
    spec = found.spec(**options)
    has_data = data is not None or hasattr(found.module, "data")
    text = str(spec.explain(problem_of(found, options, data) if has_data else None))
    if as_json:
        print_json({"model": found.name, "title": found.title, "text": text})
    else:
        say(f"{found.docstring}\n\n{text}" if found.docstring else text)

"""`emvsmcmc list`: the models of the gallery."""

from __future__ import annotations

from ..options import Json
from ..show import print_json, table


def list_models(as_json: Json = False) -> None:
    """The models that come with the package."""
    from ... import gallery

    models = [gallery.load(name) for name in gallery.names()]
    if as_json:
        print_json([{"name": m.name, "title": m.title, "options": m.options} for m in models])
        return
    rows = [[m.name, m.title, ", ".join(f"--{o}" for o in m.options)] for m in models]
    table("", ["model", "what it is", "options"], rows, numbers=False)

"""What the pages share: templates, and the file that each of them is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from ..files import write_whole

FILE = "index.html"


def write_page(html: str, folder: Path) -> Path:
    """Write `folder`/index.html and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_whole(folder / FILE, lambda path: path.write_text(html, encoding="utf-8"))


def filled(template: str, context: dict[str, Any]) -> str:
    """A template of `templates` beside this module, filled in."""
    return environment().get_template(template).render(context)


@cache
def environment() -> jinja2.Environment:
    """Jinja with the templates beside this module: HTML is escaped, and a name that a template does not get is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

"""What the pages share: templates, and a file that appears whole or not at all."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

FILE = "index.html"


def write_page(html: str, folder: Path) -> Path:
    """Write `folder`/index.html and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.part"
    try:
        temporary.write_text(html, encoding="utf-8")
        temporary.replace(folder / FILE)
    finally:
        temporary.unlink(missing_ok=True)
    return folder / FILE


def filled(template: str, context: dict[str, Any]) -> str:
    """A template of `templates` beside this module, filled in."""
    return environment().get_template(template).render(context)


@cache
def environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

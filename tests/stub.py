"""`emvsmcmc/__init__.pyi`: what type checkers and editors see of the front door, made from its lists and from the families.

`python tests/stub.py` writes it; `test_front_door.py` holds it to be what this makes.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from pathlib import Path

import emvsmcmc as ev
from emvsmcmc.families import ALL
from emvsmcmc.spec.constructors import CONSTRUCTORS

STUB = Path(ev.__file__).parent / "__init__.pyi"
HEAD = '''"""Made by `python tests/stub.py` from the lists of the front door and from `families.ALL`: do not edit."""

from collections.abc import Sequence
from typing import Any

'''
CALL = "    def __call__(self, name: str, {arguments}dims: str | Sequence[str] | None = None) -> Variable: ..."
DIST = "    def dist(self{arguments}) -> Variable: ..."


def written() -> str:
    """The text of the stub."""
    lines = []
    modules = defaultdict(list)
    for name, module in ev._MODULE_OF.items():  # type: ignore[attr-defined]
        modules[module].append(name)
    modules["spec.variable"].append("Variable")
    modules["version"].append("__version__")
    modules["errors"].append("Status")
    modules[""].append("errors")
    for module in ev._MODULES.values():  # type: ignore[attr-defined]
        room, _, leaf = module.rpartition(".")
        modules[room].append(leaf)
    for module in sorted(modules):
        names = sorted(set(modules[module]))
        lines += [f"from .{module} import {n} as {n}" if n != "Variable" else f"from .{module} import {n}" for n in names]
    for family in ALL:
        lines += ["", *constructor(family.name)]
    lines += ["", *[f"{family.name}: _{family.name}" for family in ALL], ""]
    lines += ["__all__ = [", *[f'    "{n}",' for n in sorted(ev.__all__)], "]"]  # type: ignore[attr-defined]
    return HEAD + "\n".join(lines) + "\n"


def constructor(name: str) -> list[str]:
    """A class with the signatures of one constructor, declaring and unnamed."""
    parameters = [p for p in inspect.signature(CONSTRUCTORS[name]).parameters.values() if p.name not in ("name", "dims")]
    own = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    texts = [_one(p) for p in own] + (["*"] if named else []) + [_one(p) for p in named]
    call = CALL.format(arguments=", ".join(texts + ([] if named else ["*"])) + ", ")
    dist = DIST.format(arguments="".join(f", {t}" for t in texts))
    return [f"class _{name}:", *_wrapped(call), *_wrapped(dist)]


def _one(p: inspect.Parameter) -> str:
    return f"{p.name}: Any" if p.default is p.empty else f"{p.name}: Any = {p.default!r}"


def _wrapped(line: str) -> list[str]:
    """As ruff would break it."""
    if len(line) <= 130:
        return [line]
    head, _, rest = line.partition("(")
    inside, _, tail = rest.rpartition(") -> ")
    return (
        [f"{head}(", f"        {inside}", f"    ) -> {tail}"]
        if len(inside) <= 122
        else [f"{head}(", *[f"        {part}," for part in inside.split(", ")], f"    ) -> {tail}"]
    )


if __name__ == "__main__":
    STUB.write_text(written(), encoding="utf-8")

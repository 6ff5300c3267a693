"""The tables of docs/formulas.md that follow from the code. `python tests/formulas.py` writes them into the page."""

import inspect
import re
from pathlib import Path

from emvsmcmc.families import (
    ALL,
    REQUIRED,
    Argument,
    Family,
    GaussianFamily,
    Prior,
    RadialFamily,
    TableFamily,
    ValueFamily,
    kinds,
)
from emvsmcmc.families.kinds import ConjugateKind, Kind
from emvsmcmc.spec import private_dims

PAGE = Path(__file__).parents[1] / "docs" / "formulas.md"
ROWS = {GaussianFamily: "residual rows", RadialFamily: "radial rows", TableFamily: "terms", ValueFamily: "a term at the value"}
PRIVATE = {  # what a name or a function of private_dims gives, shown for a latent z and a dim "feature"
    "BATCH": private_dims.BATCH,
    "LEVELS": private_dims.LEVELS,
    "SAMPLE": private_dims.SAMPLE,
    "DRAW": private_dims.DRAW,
    "REPLICATE": private_dims.REPLICATE,
    "DISTINCT": f"{private_dims.DISTINCT}error",
    "WEIGHTS": private_dims.WEIGHTS,
    "configuration_dim": private_dims.configuration_dim("z"),
    "coordinate_dim": private_dims.coordinate_dim("feature"),
    "second_dim": private_dims.second_dim("feature"),
    "unnamed_dim": private_dims.unnamed_dim(7, 0),
}


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    cells = [[text.replace("|", r"\|") for text in row] for row in [heads, *rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], ["---"] * len(heads), *cells[1:]])


def argument(family: Family, name: str) -> str:
    """`sigma` (sigma; 1): its kind and default, or that it is known."""
    own: Argument = family.arguments[name]
    notes = [str(own.kind)] if own.kind is not None else []
    notes += ["known"] if own.fixed else []
    notes += [f"default {own.default:g}"] if own.default not in (REQUIRED, None) else []
    return f"`{name}`" + (f" ({', '.join(notes)})" if notes else "")


def first_paragraph(family: Family) -> str:
    """What the class says first: its density."""
    return " ".join((inspect.getdoc(type(family)) or "").split("\n\n")[0].split())


def families_table() -> str:
    """A row a family."""
    rows = []
    for family in ALL:
        ways = [words for ability, words in ROWS.items() if isinstance(family, ability)]
        serves = ", ".join(ways) + (" and a prior" if ways and isinstance(family, Prior) else "" if ways else "a prior only")
        rows.append([family.name, first_paragraph(family), ", ".join(argument(family, a) for a in family.arguments), serves])
    return table(["family", "density", "arguments", "rows"], rows)


def all_kinds() -> list[Kind]:
    """Every kind of argument that there is."""
    return [kind for kind in vars(kinds).values() if isinstance(kind, Kind)]


def kinds_table() -> str:
    """A row a kind."""
    rows = []
    for kind in all_kinds():
        if not isinstance(kind, ConjugateKind):
            joining = [f.name for f in ALL if isinstance(f, GaussianFamily) and isinstance(f, Prior)]
            regression = [kind.name, "one weighted regression", "H step = g", f"{', '.join(joining)} (join the equations)"]
            rows.append(regression if kind is kinds.MEAN else [kind.name, "Newton on Q", "", ""])
            continue
        conjugate = [f"{f.name} ({f.conjugate[kind]})" for f in ALL if isinstance(f, Prior) and kind in f.conjugate]
        equations = [f"{f.name}: {f.equations[kind][1]}" for f in ALL if isinstance(f, Prior) and kind in f.equations]
        scale = isinstance(kind, kinds.ScaleKind)
        first, second = ("SS", "N") if scale else ("first", "second")
        rows.append([kind.name, kind.title, kind.formula("x", first, second, "label"), "; ".join([*conjugate, *equations])])
    return table(["kind", "step", "mode of the messages", "priors with a formula"], rows)


def dims_table() -> str:
    """A row a private dim, its sentence from the module."""
    source = inspect.getsource(private_dims)
    rows = []
    for name, shown in PRIVATE.items():
        member = getattr(private_dims, name)
        comment = re.search(rf"^{name} = .*?#(?!\") (.*)$", source, re.M)
        sentence = " ".join((inspect.getdoc(member) or "").split()) if callable(member) else comment[1] if comment else ""
        rows.append([f"`{shown}`", f"`{name}`", sentence])
    return table(["written", "from", "what it is"], rows)


TABLES = {"kinds": kinds_table, "families": families_table, "dims": dims_table}


def filled(page: str) -> str:
    """The page with its tables as they follow from the code."""
    for name, make in TABLES.items():
        text = f"<!-- {name} -->\n\n{make()}\n\n<!-- /{name} -->"
        page = re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, text=text: text, page, flags=re.S)
    return page


def cells(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[2:]]


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""The order of the house: imports run one way and never in a circle, heavy libraries stay in their rooms, and what is imported
late is late for a reason.

A *room* is a folder with files of its own, or a file directly under `emvsmcmc`. `NEXT` says which rooms each leans on; a room may
also import whatever those may import, and the files of a room its own sub-rooms. Imports inside functions, under TYPE_CHECKING
and by `import_module` count like any other: hiding an import does not turn it round.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "emvsmcmc"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 400

NEXT = {
    "version": (),
    "words": (),
    "files": (),
    "errors": ("version",),
    "seed": ("errors",),
    "numerics": ("seed",),
    "families": ("numerics",),
    "spec": ("families", "words"),
    "problem": ("spec",),
    "density": ("problem",),
    "simulation": ("problem",),
    "expect": ("problem",),
    "expect.kernel": ("expect",),
    "expect.store": ("expect.kernel",),
    "invariance": ("expect",),
    "em": ("invariance", "expect.store"),
    "em.identify": ("em",),
    "mcmc": ("invariance", "expect.store", "simulation"),  # posterior predictive draws come from our own simulator
    "mcmc.compile": ("mcmc",),
    "comparison": ("em", "mcmc", "density", "files"),  # the contract is checked against the oracle
    "comparison.choice": ("comparison",),
    "experiments": ("comparison",),
    "experiments.sweep": ("experiments",),
    "experiments.suggest": ("experiments.sweep",),
    "experiments.labels": ("experiments.suggest",),
    "experiments.calibration": ("experiments.sweep",),
    "report": ("experiments.labels", "experiments.calibration"),
    "report.comparison": ("report",),
    "explain": ("em.identify", "simulation"),  # reads the EM steps off the compiled M-step; without data it simulates a few rows
    "gallery": ("report", "explain"),
    "cli": ("gallery", "comparison.choice"),
    "cli.commands": ("cli",),
}
DOWNSTREAM = {  # imports against the order, all there are: both are made when they are called, and not before
    ("emvsmcmc.spec.model", "emvsmcmc.explain.explanation"),  # Spec.explain reads the steps that `em` derives
    ("emvsmcmc.comparison.pages", "emvsmcmc.report.pages"),  # Comparison.report and dataset.ev.report write pages
}
ARVIZ = ("arviz", "arviz_base", "arviz_plots", "arviz_stats")
HOME = {  # library -> the rooms, with their sub-rooms, that may import it
    "pymc": {"mcmc"},
    "pytensor": {"mcmc"},
    "nutpie": {"mcmc"},
    **{library: {"mcmc", "comparison", "experiments", "report"} for library in ARVIZ},
    "numba": {"numerics", "expect", "mcmc"},
    "llvmlite": {"expect", "mcmc"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "typer": {"cli"},
    "distributed": {"experiments"},
    "dask": {"problem", "expect", "em", "experiments"},
}
HEAVY = ("pymc", "pytensor", "nutpie", "numba", "matplotlib", *ARVIZ)
SLOW = ("numpy", "scipy", "pandas", "xarray")  # half a second each: `import emvsmcmc` and `--help` do not wait for them either
AT_ONCE = ("", "cli", "cli.commands")  # rooms that are there at once: the front door and the command line
OPTIONAL = ("dask", "distributed", "cloudpickle", "pyarrow")  # not everybody has them


@dataclass(frozen=True)
class Import:
    """An import: absolute dotted name (`from a import b` gives a.b), and whether it waits in a function or is for types alone."""

    line: int
    name: str
    late: bool


def imported(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """Every import in `source`, wherever it stands."""
    package = module if is_package else module.rpartition(".")[0]

    def origin(level: int, name: str | None) -> str:
        parents = package.split(".")
        base = ".".join(parts) if (parts := parents[: len(parents) - level + 1]) and level else ""
        return ".".join(part for part in (base, name) if part)

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(node.lineno, f"{origin(node.level, node.module)}.{alias.name}", late) for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                bare = name.value.lstrip(".")
                yield Import(node.lineno, origin(len(name.value) - len(bare), bare), late)
        late = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        late = late or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, late)

    yield from visit(ast.parse(source), False)


def room_of(name: str) -> str | None:
    """The room of a module or of something in it; "" for the front door, None for what is not in the table."""
    parts = name.split(".")[1:]
    return next((room for n in range(len(parts), 0, -1) if (room := ".".join(parts[:n])) in NEXT), None if parts else "")


@cache
def allowed(room: str) -> frozenset[str]:
    """The room itself and everything upstream of it."""
    return frozenset({room}).union(*(allowed(upstream) for upstream in NEXT[room]))


def offences(source: str, module: str, is_package: bool = False) -> list[str]:
    """One sentence for every import in `source` that the order does not allow.

    The front door, `emvsmcmc/__init__.py`, may open any room, but loads no library of theirs.
    """
    imports = list(imported(source, module, is_package))
    room = room_of(module)
    if room is None:
        return [f"{module}: no such room; give {module.split('.')[1]!r} its place in NEXT"]
    found = []
    for line, name in ((i.line, i.name) for i in imports):
        top = name.split(".")[0]
        if not room:
            if top in HOME:
                found.append(f"{module}:{line}: the front door loads {name}")
        elif top == "emvsmcmc":
            other = room_of(name)
            if not other:
                found.append(f"{module}:{line}: imports {name} through the front door; import it from its room")
            elif other not in allowed(room) and not other.startswith(f"{room}.") and not _listed(module, name):
                found.append(f"{module}:{line}: {room} may not import {other}")
        elif room.split(".")[0] not in HOME.get(top, {room.split(".")[0]}):
            found.append(f"{module}:{line}: {top} is imported only under {', '.join(sorted(HOME[top]))}")
    return found


def _listed(module: str, name: str) -> bool:
    return any(module == a and f"{name}.".startswith(f"{b}.") for a, b in DOWNSTREAM)


Sources = Mapping[str, tuple[str, bool]]  # {module: (source, whether it is a package)}
Graph = Mapping[str, list[tuple[Import, str | None]]]  # {module: its imports, each with the module of ours that it means}


def graph_of(sources: Sources) -> Graph:
    """Which file imports which."""

    def file_of(name: str) -> str | None:
        return name if name in sources else parent if (parent := name.rpartition(".")[0]) in sources else None

    return {
        module: [(i, file if (file := file_of(i.name)) != module else None) for i in imported(source, module, is_package)]
        for module, (source, is_package) in sources.items()
    }


def circle(graph: Graph) -> list[str]:
    """A circle of files that import one another, the first again at the end; none where there is none."""
    state: dict[str, bool] = {}  # False while a file is looked at, True when it is done
    way: list[str] = []

    def follow(module: str) -> list[str]:
        state[module] = False
        way.append(module)
        for _, other in graph[module]:
            if other is None or (module, other) in DOWNSTREAM or state.get(other):
                continue
            if other in state:
                return [*way[way.index(other) :], other]
            if found := follow(other):
                return found
        way.pop()
        state[module] = True
        return []

    return next((found for module in graph if module not in state and (found := follow(module))), [])


def late_without_reason(graph: Graph) -> list[str]:
    """Imports inside functions or for types alone that spare their file nothing: what they load is light, or there already."""

    @cache
    def loads(module: str) -> frozenset[str]:
        """Libraries that importing a file loads, through all files that it imports."""
        seen, waiting, found = {module}, [module], set()
        while waiting:
            for i, other in graph[waiting.pop()]:
                if not i.late and other is None:
                    found.add(i.name.split(".")[0])
                elif not i.late and other not in seen and other is not None:
                    seen.add(other)
                    waiting.append(other)
        return frozenset(found)

    told = []
    for module, imports in graph.items():
        spared = {*HEAVY, *OPTIONAL, *(SLOW if room_of(module) in AT_ONCE else ())} - loads(module)
        for i, other in imports:
            what = loads(other) if other is not None else {i.name.split(".")[0]}
            if i.late and not what & spared and (module, other) not in DOWNSTREAM:
                told.append(f"{module}:{i.line}: {i.name} may be imported at the top; it loads nothing heavy that is not there")
    return told


def module_of(path: Path) -> tuple[str, bool]:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if is_package else parts), is_package


def package() -> Graph:
    """The whole package."""
    named = {module_of(path): path.read_text(encoding="utf-8") for path in FILES}
    return graph_of({module: (source, is_package) for (module, is_package), source in named.items()})

"""Reading the package as text: where private dims are spelled, what has no docstring, which names say how a value came."""

import ast
from collections.abc import Iterator

VAGUE = ("found", "told", "said")  # a value has a noun: what it holds, not how it came
NO_DIMS = ("path.stem", "declared", "name", "_name")  # what may be asked whether it starts with an underscore: names and files


def spelled_dims(source: str) -> list[int]:
    """Lines with a string that spells a private dim, or what one starts or ends with. Docstrings may."""
    tree = ast.parse(source)
    parent = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return sorted(
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _spells(node.value, node, parent[id(node)])
    )


def _spells(text: str, node: ast.Constant, parent: ast.AST) -> bool:
    if isinstance(parent, ast.Expr):
        return False
    if text.startswith("@") or "_bis" in text or text in ("#", "distinct "):
        return True
    if text.startswith(("~", "%")) and text[1:].isidentifier():
        return True
    if isinstance(parent, ast.JoinedStr):
        return text in ("~", "_") and parent.values[0] is node
    asked = parent.func if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute) else None
    if text == "_":
        return asked is not None and asked.attr == "startswith" and ast.unparse(asked.value) not in NO_DIMS
    return text == "%" and (asked is None or asked.attr != "endswith")


def undocumented(source: str) -> list[str]:
    """Public functions and classes of a module without a docstring. An overload is documented where it is implemented."""
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not any(ast.unparse(d) == "overload" for d in node.decorator_list)
        and not ast.get_docstring(node)
    ]


def bound_names(source: str) -> Iterator[str]:
    """Every name that the source binds: assigned, looped over, or a parameter."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg

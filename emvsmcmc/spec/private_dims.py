"""Names of dims that nobody declares: each spelled here and nowhere else.

A variable's name is letters, digits and underscores and starts with no underscore (`check.name`), so that no axis named after one
can be mistaken for another; what each axis holds is in docs/formulas.md.
"""

from __future__ import annotations

BATCH = "#"  # trailing dim of all derivatives, or of many draws, in one evaluation
LEVELS = "%"  # distinct values of the row data that a table depends on
SAMPLE = "%sample"  # leading dim of draws from the model
DRAW = "%draw"  # dim of draws of the parameters
REPLICATE = "%replicate"  # dim of replicates of the bootstrap
DISTINCT = "distinct "  # starts the name of the axis of configurations that stands for row data in a scale: "distinct error"
WEIGHTS = "@weights"  # the column of row weights among columns of data; no variable can be called so

_CONFIGURATION = "@"  # before a latent's name
_COORDINATE = "~"  # before a dim of a block of the row
_SECOND = "_bis"  # after a dim that a matrix has twice
_UNNAMED = "_"  # before the axes of a constant without names
UNNAMED = rf"{_UNNAMED}(\d+)_(\d+)"  # pattern of those: whose they are, and the axis


def configuration_dim(name: str) -> str:
    """The axis of configurations of a discrete latent, or of its soft labels: named by variable and not by the dim that it
    counts, since two latents may count the same one.
    """
    return f"{_CONFIGURATION}{name}"


def is_configuration(dim: str) -> bool:
    """True for an axis of configurations or of soft labels."""
    return dim.startswith(_CONFIGURATION)


def latent_of(dim: str) -> str:
    """The name whose axis `configuration_dim` called so."""
    return dim.removeprefix(_CONFIGURATION)


def coordinate_dim(dim: str) -> str:
    """The dim of a block of the row v that a coefficient of that block multiplies; `dim` itself counts the child's elements."""
    return f"{_COORDINATE}{dim}"


def second_dim(dim: str) -> str:
    """The second dim of a matrix over `dim`: what is proposed where it has to be declared, and taken where it need not."""
    return f"{dim}{_SECOND}"


def unnamed_dim(owner: int, axis: int) -> str:
    """The dim of an axis without a name: of nobody else, so that it matches by position only."""
    return f"{_UNNAMED}{owner}_{axis}"


def is_unnamed(dim: str | None) -> bool:
    """True for the axis of a constant without names. None, the dim that nothing counts, is none."""
    return dim is not None and dim.startswith(_UNNAMED)

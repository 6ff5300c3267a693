"""Which branches of a Switch a row may belong to, by its values alone: where each branch lives, and that mass outweighs density.

Measured against counting measure on the atoms and length elsewhere, a density is 0 at a value that has mass under another branch,
whatever the unit of the data: such a row belongs to a branch with mass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .datacheck import columns_of, lives
from .errors import OutOfSupport, UnsupportedModel
from .spec.variable import Switch, Variable

if TYPE_CHECKING:
    from .problem import Problem


def inside_cells(problem: Problem, variable: Variable, distribution: Variable) -> np.ndarray:
    """(n, cells) whether each given value lies where a distribution has mass or density; True for holes."""
    given = problem.given[variable.label]
    found = np.broadcast_to(lives(problem, variable, distribution, given.array)[0], given.array.shape)
    (plate,) = problem.spec.plates_of(variable)
    axis = variable.dims.index(plate)
    return np.moveaxis(found, axis, 0).reshape(problem.plates[plate].size, -1)


def at_atoms(problem: Problem, variable: Switch) -> np.ndarray:
    """(n, cells) given values at which some branch has mass."""
    x = columns_of(problem, variable)
    atoms = np.zeros(x.shape, dtype=bool)
    for branch in variable.branches:
        if branch.family.mass:
            atoms |= inside_cells(problem, variable, branch)
    return atoms & ~np.isnan(x)


def possible(problem: Problem, variable: Switch) -> np.ndarray:
    """(n, branches) branches under which a row's values have mass, or density where none has mass; all where nothing is given."""
    if variable.label not in problem.given or any(b.family.event_dims for b in variable.branches):
        return np.ones((problem.n, len(variable.branches)), dtype=bool)
    atoms = at_atoms(problem, variable)
    found = []
    for branch in variable.branches:
        cells = inside_cells(problem, variable, branch)
        found.append((cells if branch.family.mass else cells & ~atoms).all(axis=1))
    return np.stack(found, axis=1)


def allowed_values(problem: Problem, index: str, allowed: np.ndarray) -> np.ndarray:
    """`allowed` (n, values) of a latent, less the values whose branches the data exclude.

    Raises OutOfSupport, naming the first row for which none is left.
    """
    for variable in problem.row_variables:
        if isinstance(variable, Switch) and variable.index.label == index:
            _no_vector_beside_mass(variable)
        if isinstance(variable, Switch) and variable.index.label == index and len(variable.branches) == allowed.shape[1]:
            allowed = allowed & possible(problem, variable)
            if not allowed.any(axis=1).all():
                row = int(np.flatnonzero(~allowed.any(axis=1))[0])
                raise OutOfSupport(
                    f"{variable.label} in row {row}",
                    f"a value that the branches its labels of {index!r} allow can have (a density weighs nothing at a value at "
                    "which another branch has mass)",
                    str(columns_of(problem, variable)[row].tolist()).strip("[]"),
                    "Mend the value or the label, or declare another distribution.",
                )
    return allowed


def _no_vector_beside_mass(variable: Switch) -> None:
    """The oracle has no Switch between vectors, so nothing could check what mass beside the density of a vector gives."""
    vectors = [b.family.name for b in variable.branches if b.family.event_dims]
    if vectors and any(b.family.mass for b in variable.branches):
        raise UnsupportedModel(
            variable.label,
            "branches that all have mass, or all have a density, where one is a distribution of vectors",
            f"mass beside {vectors[0]}",
            "Declare the columns as independent (Normal) branches, or leave the rows at the atom out.",
        )


def atom_notes(problem: Problem) -> list[str]:
    """What mass beside density means for the data at hand."""
    out = []
    for variable in problem.row_variables:
        if not isinstance(variable, Switch) or variable.label not in problem.given:
            continue
        mass = [b for b in variable.branches if b.family.mass]
        if not mass or len(mass) == len(variable.branches):
            continue
        atoms = at_atoms(problem, variable)
        if not (rows := int(atoms.any(axis=1).sum())):
            continue
        values = np.unique(columns_of(problem, variable)[atoms])
        what = f"the atom {values[0]:g}" if len(values) == 1 else "atoms"
        names = " or ".join(dict.fromkeys(f"`{b.family.name}`" for b in mass))
        equal, belong = ("equals", "belongs") if rows == 1 else ("equal", "belong")
        out.append(
            f"{variable.label}: {rows:,} of {problem.n:,} rows {equal} {what} and {belong} to {names}: a density weighs nothing "
            "where another branch has mass."
        )
    return out

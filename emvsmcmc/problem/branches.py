"""Which branches of a Switch a row may belong to, by its values alone: where each branch lives, and that mass outweighs density.

Measured against counting measure on the atoms and length elsewhere, a density is 0 at a value that has mass under another branch,
whatever the unit of the data: such a row belongs to a branch with mass.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import OutOfSupport, UnsupportedModel
from ..spec.model import Spec
from ..spec.variable import Switch, Variable
from .check import lives
from .problem import Problem


def inside_cells(problem: Problem, variable: Variable, distribution: Variable) -> np.ndarray:
    """(n, cells) whether each given value lies where a distribution has mass or density; True for holes."""
    given = problem.given[variable.label]
    inside = np.broadcast_to(lives(problem, variable, distribution, given.array)[0], given.array.shape)
    (plate,) = problem.spec.plates_of(variable)
    axis = variable.dims.index(plate)
    return np.moveaxis(inside, axis, 0).reshape(problem.plates[plate].size, -1)


def at_atoms(problem: Problem, variable: Switch) -> np.ndarray:
    """(n, cells) given values at which some branch has mass."""
    x = problem.columns(variable)
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
    columns = []
    for branch in variable.branches:
        cells = inside_cells(problem, variable, branch)
        columns.append((cells if branch.family.mass else cells & ~atoms).all(axis=1))
    return np.stack(columns, axis=1)


def consistent(problem: Problem) -> None:
    """Raise OutOfSupport where a row's labels, or several of its values together, leave no branch. See `allowed_values`."""
    if len(problem.plates) != 1:
        return
    for index in {v.index.label: v.index for v in problem.row_variables if isinstance(v, Switch)}.values():
        allowed = np.ones((problem.n, problem.levels(index)), dtype=bool)
        if index.label in problem.given:
            code = problem.given[index.label].array
            allowed = np.isnan(code)[:, None] | (code[:, None] == np.arange(allowed.shape[1]))
        if index.label in problem.evidence:
            allowed = allowed & np.isfinite(problem.evidence[index.label].array)
        allowed_values(problem, index.label, allowed)


def allowed_values(problem: Problem, index: str, allowed: np.ndarray) -> np.ndarray:
    """`allowed` (n, values) of a latent, less the values whose branches the data exclude.

    Raises OutOfSupport, naming the first row for which none is left, and UnsupportedModel for mass beside a density of vectors.
    """
    labelled = ~allowed.all(axis=1)
    for variable in problem.row_variables:
        if not isinstance(variable, Switch) or variable.index.label != index or len(variable.branches) != allowed.shape[1]:
            continue  # a wrong number of branches is refused by the plan
        _no_vector_beside_mass(variable)
        allowed = allowed & possible(problem, variable)
        if allowed.any(axis=1).all():
            continue
        row = int(np.flatnonzero(~allowed.any(axis=1))[0])
        who = f"the label of {index!r} allows" if labelled[row] else f"one value of {index!r} stands for"
        raise OutOfSupport(
            f"{variable.label} in row {row}",
            f"values that the branches that {who} can have (where a branch has mass, a density weighs nothing, cell by cell)",
            str(problem.columns(variable)[row].tolist()).strip("[]"),
            f"Mend the values{' or the label' if labelled[row] else ''}, or declare another distribution.",
        )
    return allowed


def _no_vector_beside_mass(variable: Switch) -> None:
    """The oracle has no Switch between vectors, so nothing could check what mass beside the density of a vector gives."""
    vectors = [b.family.name for b in variable.branches if b.family.event_dims]
    if counts := [b.family.name for b in variable.branches if b.family.event_dims and b.family.mass]:
        raise UnsupportedModel(
            variable.label,
            "branches that are distributions of numbers, or densities of vectors",
            f"{counts[0]}, counts that go together",
            "Look its probabilities up by a discrete variable instead of a Switch.",
        )
    if vectors and any(b.family.mass for b in variable.branches):
        raise UnsupportedModel(
            variable.label,
            "branches that all have mass, or all have a density, where one is a distribution of vectors",
            f"mass beside {vectors[0]}",
            "Declare the columns as independent (Normal) branches, or leave the rows at the atom out.",
        )


def atom_rows(problem: Problem) -> dict[str, tuple[int, tuple[float, ...]]]:
    """{Switch of mass beside density: (rows with a value that has mass, up to two such values)}."""
    out = {}
    for variable in problem.row_variables:
        if not isinstance(variable, Switch) or variable.label not in problem.given:
            continue
        if len({b.family.mass for b in variable.branches}) == 2:
            atoms = at_atoms(problem, variable)
            values = np.unique(problem.columns(variable)[atoms])[:2]
            out[variable.label] = int(atoms.any(axis=1).sum()), tuple(values.tolist())
    return out


def atom_notes(spec: Spec, atoms: Mapping[str, tuple[int, tuple[float, ...]]], n: int) -> list[str]:
    """What mass beside density means for n rows. found : as `atom_rows` tells."""
    out = []
    for name, (rows, values) in atoms.items():
        if rows:
            atom = f"the atom {values[0]:g}" if len(values) == 1 else "atoms"
            mass = (b.family.name for b in spec.variables[name].branches if b.family.mass)
            equal, belong = ("equals", "belongs") if rows == 1 else ("equal", "belong")
            out.append(
                f"{name}: {rows:,} of {n:,} rows {equal} {atom} and {belong} to "
                f"{' or '.join(dict.fromkeys(f'`{m}`' for m in mass))}: a density weighs nothing where another branch has mass."
            )
    return out

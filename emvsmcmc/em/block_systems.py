"""The normal equations of a regression, cut into systems that share no unknown, and those of equal size solved together.

The loadings of one column of a factor model meet only with each other and with that column's mean: fifty columns are fifty
systems of six unknowns, not one of three hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..expect.layout import Statistics
from ..expect.plan import Plan, ResidualPart
from ..spec.variable import Variable


@dataclass(frozen=True)
class Weighted:
    """A part at current values: A (K, m, d) residual rows about origin (K, d); inverse (K, m) of a Normal's sd, or whiteners (K,
    lead, q, q); moments (K, 1 or m, d, d); whether roots of the moments serve it.
    """

    A: np.ndarray
    origin: np.ndarray
    inverse: np.ndarray | None
    whiteners: np.ndarray | None
    moments: np.ndarray
    gaussian: bool


@dataclass(frozen=True)
class Block:
    """The residual rows of one part that belong to each system: configuration k and row m, (systems, r) each, whole whitened
    blocks in order; design (systems, r, c, p) on the columns (c,), of which the first is the constant.
    """

    part: int
    k: np.ndarray
    m: np.ndarray
    columns: np.ndarray
    design: np.ndarray


@dataclass(frozen=True)
class Systems:
    """Systems of one size: unknowns (systems, p), positions among all parameters of the regression."""

    unknowns: np.ndarray
    blocks: tuple[Block, ...]

    def equations(self, parts: Sequence[Weighted], S: Statistics) -> tuple[np.ndarray, np.ndarray]:
        """H (systems, p, p) and g (systems, p), without the prior."""
        count, p = self.unknowns.shape
        H, g = np.zeros((count, p, p)), np.zeros((count, p))
        for block in self.blocks:
            D, A = _whitened(block, parts[block.part])
            if S.root is not None and parts[block.part].gaussian:
                R = S.root[block.k]  # (systems, r, d, d)
                RD, RA = R[..., block.columns] @ D, R @ A[..., None]  # never R'R: its digits are what roots are there for
                H += (RD.swapaxes(-1, -2) @ RD).sum(axis=1)
                g += (RD.swapaxes(-1, -2) @ RA)[..., 0].sum(axis=1)
                continue
            M = parts[block.part].moments[:, :, block.columns]
            M = M[block.k, 0] if M.shape[1] == 1 else M[block.k, block.m]
            DM = D.swapaxes(-1, -2) @ M  # (systems, r, p, d)
            H += (DM[..., block.columns] @ D).sum(axis=1)
            g += (DM @ A[..., None])[..., 0].sum(axis=1)
        return H, g


def _whitened(block: Block, part: Weighted) -> tuple[np.ndarray, np.ndarray]:
    """Design (systems, r, c, p) and residual rows (systems, r, d) about the reference points, whitened."""
    D, k = block.design.copy(), block.k
    # about the reference points only the constant column changes
    D[:, :, 0] += np.einsum("crep,cre->crp", D[:, :, 1:], part.origin[k][..., block.columns[1:]])
    A = part.A[k, block.m]
    if part.inverse is not None:
        inverse = part.inverse[k, block.m]
        return D * inverse[..., None, None], A * inverse[..., None]
    assert part.whiteners is not None
    q = part.whiteners.shape[-1]
    count, r = k.shape
    W = part.whiteners[k[:, ::q], block.m[:, ::q] // q]  # (systems, blocks, q, q)
    D = (W @ D.reshape(count, r // q, q, -1)).reshape(D.shape)
    return D, (W @ A.reshape(count, r // q, q, -1)).reshape(A.shape)


def systems(
    plan: Plan, parts: Sequence[ResidualPart], designs: Sequence[np.ndarray], parameters: Sequence[Variable], sizes: Sequence[int]
) -> tuple[Systems, ...]:
    """Group the unknowns by the residual rows (and MvNormal priors) in which they meet, and the groups by their size."""
    P = sum(sizes)
    rows, names, at = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)], 0
    meets = []
    for part, D in zip(parts, designs, strict=True):
        there = (D != 0).any(axis=2) & part.on[:, None, None]  # (K, m, P)
        q = part.elements[-1][1] if part.scale_kind.matrix else 1
        there = np.repeat(there.reshape(plan.K, -1, q, P).any(axis=2), q, axis=1)  # whitening mixes the rows of a block
        meets.append(there)
        k, m, p = np.nonzero(there)
        rows.append(at + k * part.size + m)
        names.append(p)
        at += plan.K * part.size
    first = 0
    for v, n in zip(parameters, sizes, strict=True):
        if v.family.event_dims:
            length = plan.problem.shape(v)[-1]
            rows.append(at + np.arange(n) // length)
            names.append(first + np.arange(n))
            at += n // length
        first += n
    i, j = np.concatenate(rows), np.concatenate(names) + at
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(at + P, at + P))
    label = connected_components(graph, directed=False)[1][at:]
    groups: dict[tuple[int, ...], list[tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]]] = {}
    for name in np.unique(label):
        unknowns = np.flatnonzero(label == name)
        own = [_places(there[:, :, unknowns].any(axis=2)) for there in meets]
        groups.setdefault((len(unknowns), *[len(k) for k, _ in own]), []).append((unknowns, own))
    return tuple(_together(members, designs) for members in groups.values())


def _places(there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k, m = np.nonzero(there)
    return k, m


def _together(members: list[tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]], designs: Sequence[np.ndarray]) -> Systems:
    unknowns = np.stack([u for u, _ in members])
    blocks = []
    for part, D in enumerate(designs):
        k, m = (np.stack([own[part][i] for _, own in members]) for i in (0, 1))
        if not k.size:
            continue
        design = np.stack([D[k[c], m[c]][:, :, unknowns[c]] for c in range(len(members))])
        used = (design != 0).any(axis=(0, 1, 3))
        columns = np.concatenate([[0], np.flatnonzero(used[1:]) + 1])
        blocks.append(Block(part, k, m, columns, np.ascontiguousarray(design[:, :, columns])))
    return Systems(unknowns, tuple(blocks))

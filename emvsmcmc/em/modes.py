"""Mode of a look-up slot: ML = mode(sum of messages), MAP = mode(natural(prior) + sum of messages). Once, for every family."""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate
from ..families.kinds import ConjugateKind

Messages = tuple[np.ndarray, ...]


def mode(name: str, kind: ConjugateKind, messages: Messages) -> np.ndarray:
    """The maximiser, by kind of argument (`families.kinds`).

    Raises Degenerate where there is no interior mode: nothing was counted, or a prior with a pole outweighs the data.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = kind.mode(messages)
    if not np.isfinite(value).all():
        raise Degenerate(name, "a component has no rows left")
    if kind.bounded and (value < 0).any():
        raise Degenerate(name, "the prior has a pole on the boundary and there are too few rows for an interior mode")
    return value

"""Mode of a look-up slot: ML = mode(sum of messages), MAP = mode(natural(prior) + sum of messages). Once, for every family."""

from __future__ import annotations

import numpy as np

from ..errors import Degenerate

Messages = tuple[np.ndarray, ...]


def mode(name: str, kind: str, messages: Messages) -> np.ndarray:
    """The maximiser, by kind of slot.

    probabilities: m / sum m.  probability: (successes, failures).  rate: (events, exposure).  variance, sigma: (n, ss).  cov:
    (n, SS).
    Raises Degenerate where there is no interior mode: nothing was counted, or a prior with a pole outweighs the data.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "probabilities":
            total = messages[0].sum(-1, keepdims=True)
            value = messages[0] / total
        elif kind == "probability":
            value = messages[0] / (messages[0] + messages[1])
        elif kind == "rate":
            value = messages[0] / messages[1]
        elif kind in ("variance", "sigma"):
            value = np.maximum(messages[1], 0.0) / messages[0]  # rounding of a sum of squares that is nothing
            value = np.sqrt(value) if kind == "sigma" else value
        else:
            value = messages[1] / messages[0][..., None, None]
    if not np.isfinite(value).all():
        raise Degenerate(name, "a component has no rows left")
    if kind in ("probabilities", "probability", "rate") and (value < 0).any():
        raise Degenerate(name, "the prior has a pole on the boundary and there are too few rows for an interior mode")
    return value

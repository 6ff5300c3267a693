"""Which axes of hidden Gaussian variables the model leaves free, and what is left to count."""

from __future__ import annotations

import numpy as np

from ..em.identify.check import free_parameters
from ..em.identify.empty import anywhere
from ..em.identify.open_directions import direction_text, structural
from ..em.mstep import MStep
from ..em.starts import random_start
from ..errors import Degenerate
from ..expect.coordinates import Coordinates
from ..expect.heywood import hidden_latents
from ..expect.objective import ML
from ..invariance.axes import Rotation, Turn, generators, rotations
from .plan_view import View


def free_axes(view: View) -> list[str]:
    """One line a latent whose axes may be turned or reflected, and the number of free parameters; nothing without latents."""
    plan = view.plan
    latents = hidden_latents(plan)
    if not latents:
        return []
    turns = rotations(plan)
    fixed = [v.label for v in latents if v.label not in {r.latent for r in turns}]
    lines = [*map(_turned, turns), *[f"the model tells the axes of {name} apart: none may be turned" for name in fixed]]
    size, free = anywhere(plan).size, free_parameters(plan)
    angles = size - free
    less = f", {size} coordinates less {angles} angle{'s' if angles > 1 else ''} of these turns" if angles else ""
    return [*lines, f"{free} free parameters{less}"]


def left_open(view: View) -> list[str]:
    """What the data at hand leave open at any parameter values, under maximum likelihood; nothing where they leave nothing.

    Looked for from a random start: far from the data rows differ by less than their rounding.
    """
    plan = view.plan
    try:
        chart = Coordinates(plan, random_start(plan, MStep(plan, ML), np.random.default_rng(0)))
    except (Degenerate, np.linalg.LinAlgError):  # a fit would say so
        return []
    flat = structural(plan, chart)
    if flat.shape[1] <= generators(plan, chart, ML).shape[1]:  # turns have lines of their own
        return []
    return [f"left open: the likelihood does not change {direction_text(chart, flat)}, at any values"]


def _turned(r: Rotation) -> str:
    names = ", ".join(r.carriers)
    if r.density is Turn.ROTATION:
        turn = f"the {r.size} axes of {r.latent} may be turned"
    else:
        turn = f"the sign of {r.latent} may change" if r.size == 1 else f"the signs of the {r.size} axes of {r.latent} may change"
    each = f", at each {r.by} on its own" if r.by is not None else ""
    if r.posterior is r.density:
        unchanged = "no density changes, nor the posterior"
    elif r.posterior is Turn.NONE:
        unchanged = "no density changes, but the prior does"
    else:
        unchanged = "no density changes; of the posterior, only signs are free"
    return f"{turn}, {names} with {'it' if r.size == 1 else 'them'}{each}: {unchanged}"

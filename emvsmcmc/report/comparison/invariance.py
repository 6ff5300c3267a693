"""What the page says about names and axes that can change without changing the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...invariance.axes import DETERMINED
from ...words import name_of
from ..tree_view import View
from ..words import listed, number, percent


def alignment(view: View) -> list[str]:
    """What alignment did, and how sure it was."""
    out = [
        f"The positions of {dim} are told apart by the model or the data ({reason}), so their labels needed no alignment."
        for dim, reason in view.about["exchangeable"].items()
        if reason is not None
    ]
    uncertain = view.shares("label_uncertainty")
    for dim in view.exchangeable:
        share = uncertain.get(dim, 0.0)
        changed = (
            f"Names changed in {percent(view.relabelled)} of the draws." if view.relabelled else "No draw had to be renamed."
        )
        sure = (
            "In every draw one naming was clearly the best."
            if share == 0
            else f"In {100 * share:.1f}% of the draws the second best naming was nearly as good: there the components overlap "
            "and their labels mean little."
        )
        out.append(
            f"The model does not care which {dim} comes first, so a chain may call them by any name, or swap names on the "
            f"way. Each draw was given the names under which it agrees best with EM about which row belongs where. "
            f"{changed} {sure}"
        )
    out += [_turned(view, rotation) for rotation in view.rotations]
    return out or [
        "Nothing in this model can change its name without changing the model, so the draws are shown as they were sampled."
    ]


def _turned(view: View, rotation: dict[str, Any]) -> str:
    """How the axes of one latent were aligned."""
    latent, carriers, one = rotation["latent"], listed(rotation["carriers"]), rotation["size"] == 1
    freedom = "sign" if one else "signs of the axes" if rotation["density"] == "signs" else "directions of the axes"
    if rotation["posterior"] == "none":
        return (
            f"The likelihood does not care about the {freedom} of {latent}, but the prior of {carriers} does, so the draws are "
            "shown as they were sampled."
        )
    turned, loose = (view.shares(name).get(latent, 0.0) for name in ("turned", "undetermined"))
    if rotation["posterior"] == "signs":
        done = f"Each draw took the signs that bring {carriers} nearest to EM's"
        how_many = f"a sign changed in {_share(turned)} of them"
    else:
        done = f"Each draw was turned to EM's axes (orthogonal Procrustes on {carriers})"
        how_many = f"an axis changed its sign or turned by more than 60° in {_share(turned)} of them"
    sure = (
        f"Afterwards every axis has a congruence (cosine of its coefficients) of at least {DETERMINED} with EM's."
        if loose == 0
        else f"In {_share(loose)} of the draws some axis stays undetermined: even then its congruence (cosine of its "
        f"coefficients) with EM's is below {DETERMINED}, and what it stands for is not settled there."
    )
    free = (
        f"The model does not care about the {freedom} of {latent} as long as {carriers} turn{_s(rotation['carriers'])} with it."
    )
    return " ".join([free, f"{done}: {how_many}.", sure, _mixing(view, rotation["carriers"])]).strip()


def _share(x: float) -> str:
    return "none" if x == 0 else f"{100 * x:.1f}%"


def _s(words: list[str]) -> str:
    return "s" if len(words) == 1 else ""


def _mixing(view: View, carriers: list[str]) -> str:
    t = view.table[[name_of(k) in carriers for k in view.table.index]]
    before, after = t["r_hat_unaligned"].max(), t["r_hat"].max()
    if not np.isfinite([before, after]).all():
        return ""
    return f"The largest R-hat of {listed(carriers)} is {number(before, 3)} before and {number(after, 3)} after it."


def invariant(view: View) -> list[str]:
    """Why there is a second table, for those who do not know factor analysis."""
    if not len(view.invariant):
        return []
    free = [r for r in view.rotations if r["density"] == "rotation"]
    latents = listed(view.about["hidden"]["latent"])
    compared = ["the communalities, the share of each column's variance that the latents explain"]
    if (~view.invariant.index.str.startswith("communality")).any():
        compared.insert(0, "the variances and covariances that the model implies for what was measured")
    lines = [
        f"Nobody saw {latents}. The axes of such latents can be turned, like those of a map, without changing anything that the "
        "model says about the data, so their coefficients are compared after turning each draw to EM's axes (orthogonal "
        "Procrustes; a change of sign where there is one axis).",
        f"What no turn changes is compared always: {listed(compared)}.",
    ]
    if free:
        carriers = [c for r in free for c in r["carriers"]]
        lines.append(
            f"The axes of {listed([r['latent'] for r in free])} are free here: this table decides the verdict in the place of "
            f"{listed(carriers)}, which has no standard errors."
        )
    elif view.rotations:
        one = all(r["size"] == 1 for r in view.rotations)
        lines.append(f"Only {'a sign is' if one else 'signs are'} free here, so both tables count for the verdict.")
    else:
        lines.append("Nothing can be turned here, and both tables count for the verdict.")
    return lines

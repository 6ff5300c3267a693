"""The sections that `Spec.explain` adds to the mathematics of a spec."""

from __future__ import annotations

import numpy as np

from ..errors import EmvsmcmcError
from ..expect.objective import MAP, ML
from ..expect.planner import make_plan
from ..problem.problem import Problem
from ..spec.model import Spec
from .estep import e_step, summed_out
from .example_problem import tiny_problem
from .free_axes import free_axes, left_open
from .msteps import m_step
from .plan_view import View
from .sampler import free_variables

Section = tuple[str, list[str]]  # heading, lines


def derive(spec: Spec, problem: Problem | None = None) -> list[Section]:
    """E-step, M-steps, what PyMC samples, axes that may be turned, and what is summed out; for a problem, what its data hide too.

    A model that cannot be computed is explained by the sentence that refuses it.
    """
    try:
        view = View(make_plan(problem if problem is not None else tiny_problem(spec)))
    except EmvsmcmcError as refusal:
        return [("Inference", [f"No steps can be derived. {refusal}"])]
    given = problem is not None
    sections = [("E-step", e_step(view))]
    if view.plan.parameters:
        sections += [("M-step, maximum likelihood", m_step(view, ML)), ("M-step, posterior mode (MAP)", m_step(view, MAP))]
        sections += [("PyMC samples", free_variables(view))]
    if axes := free_axes(view):
        sections += [("Rotation", axes)]
    sections += [("Summed out", [*summed_out(view), *(view.levels_note() if given else [])])]
    return [*sections, ("Data", data_lines(view))] if given else sections


def data_lines(view: View) -> list[str]:
    """Rows, patterns, holes, labels, and what conditioning did."""
    problem, plan = view.problem, view.plan
    layout, full = plan.layout, plan.full
    lines = [
        f"{problem.n} {view.plate} rows, {len(full.V)} distinct"
        + (f", total weight {problem.weights.sum():g}" if view.weighted else "")
    ]
    collapsed = len(layout.collapsed.weight)
    patterns = f"{len(full.hidden)} pattern{'s' if len(full.hidden) > 1 else ''} of hidden cells and allowed configurations"
    if collapsed:
        weight = layout.collapsed.weight.sum()
        patterns += (
            f"; {collapsed} with one configuration, collapsed to moments (total weight {weight:g}, which EM never reads again)"
        )
    lines.append(patterns)
    for v in problem.row_variables:
        given = problem.given.get(v.label)
        if v in plan.latents:
            soft = ", soft or set-valued labels given" if v.label in problem.evidence else ""
            labels = 0 if given is None else int(np.isfinite(given.array).sum())
            lines.append(f"{v.label}: {labels} of {problem.n} labels given{soft}")
        elif given is not None and np.isnan(given.array).any():
            lines.append(f"{v.label}: {int(np.isnan(given.array).sum())} of {given.array.size} cells missing")
        elif given is None:
            lines.append(f"{v.label}: hidden in every row")
    return [*lines, *left_open(view), *[f"note: {note}" for note in problem.notes]]

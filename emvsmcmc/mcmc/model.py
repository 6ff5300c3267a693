"""to_pymc: a Problem as a pm.Model, by the native or the fused likelihood, with as much summed out as asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from ..errors import BadInput, UnsupportedModel
from ..expect.coefficients import coefficients
from ..expect.derived import derived
from ..expect.inside import possible
from ..expect.plan import Plan
from ..expect.planner import make_plan
from ..problem.chunked import AnyProblem
from ..spec.evaluate import Environment, value_of
from ..spec.named import Named
from .native import NativeLikelihood
from .options import Likelihood, Marginalize
from .parameters import JACOBIAN, declare

ROWS = "_rows"  # names of inputs start with "_", as no declared variable can
LIKELIHOOD = "likelihood"  # name of the Potential that holds log p(data | parameters)


def to_pymc(problem: AnyProblem, likelihood: Likelihood = "native", marginalize: Marginalize = "all") -> pm.Model:
    """A pm.Model of the problem, to do with as you like.

    Parameters
    ----------
    likelihood : "native" is plain PyTensor, each family's PyMC twin with discrete latents summed out by log-sum-exp; "fused"
        is one Op on the shared expectation, with Fisher's gradient. Both are the same number. The fused Op sums everything
        out, so where something hidden is to be sampled the likelihood is native.
    marginalize : "all" sums or integrates out discrete latents, Gaussian latents and missing cells; "discrete" only the first;
        "none" samples the assignments themselves (needs the native likelihood and a compound step).

    The likelihood is the Potential "likelihood". A covariance is a Deterministic over unconstrained coordinates
    "<name>_whitener", with its density in the Potential "<name>_prior" and the change of variables in "<name>_jacobian".
    Probabilities with entries that are zero by declaration are a Deterministic over free variables "<name>_open_<m>", one for the
    rows with m entries that are not.
    Named functions of parameters (`ev.Deterministic`) are Deterministics.
    Raises UnsupportedModel, NotAffine, TooManyConfigurations as `plan` does, and BadInput for an unknown option.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec() as spec:
    ...     rate = ev.Gamma("rate", 2, 0.1)
    ...     _ = ev.Poisson("count", rate, dims="day")
    >>> model = ev.to_pymc(ev.condition(spec, {"count": [3, 5, 4]}))
    >>> model.free_RVs, model.potentials
    ([rate], [likelihood])
    """
    plan = make_plan(problem)
    problem = plan.problem
    model = build_model(plan, likelihood, marginalize)
    parameters = {v.label: Named(model[v.label], v.dims) for v in problem.parameters}
    env = Environment({**problem.fixed, **parameters}, xp=pt)
    with model:
        for d in derived(problem):
            shape = tuple(problem.sizes[x] for x in d.dims)
            pm.Deterministic(d.name, pt.broadcast_to(value_of(d.expression, env).to(d.dims), shape), dims=d.dims or None)
    return model


def build_model(
    plan: Plan,
    likelihood: Likelihood,
    marginalize: Marginalize,
    near: Environment | None = None,
    threads: bool = False,
) -> pm.Model:
    """`to_pymc` for a plan that is there already. threads : let several threads share the rows of an evaluation, as is
    always done where not all of them are in memory (`pooled`). near : parameters about whose means their sums are taken.
    """
    if likelihood not in ("fused", "native"):
        raise BadInput("likelihood", "'fused' or 'native'", repr(likelihood))
    if marginalize not in ("all", "discrete", "none"):
        raise BadInput("marginalize", "'all', 'discrete' or 'none'", repr(marginalize))
    problem = plan.problem
    hidden_gaussian = _hidden_gaussian(plan)
    if marginalize == "none" or (marginalize == "discrete" and hidden_gaussian):
        likelihood = "native"  # the fused Op sums everything out
    with pm.Model(coords={d: problem.labels(d) for d in problem.sizes}) as model:
        env = declare(plan)
        if likelihood == "fused":
            if threads or not plan.store.in_core:
                from .pooled_op import pooled

                pm.Potential(LIKELIHOOD, pooled(plan, env, near))
            else:
                pm.Potential(LIKELIHOOD, fused(plan, env))
        else:
            hidden = _sampled_cells(plan, hidden_gaussian) if marginalize != "all" else {}
            if marginalize == "none":
                hidden |= _sampled_assignments(plan, env)
            rows = NativeLikelihood(plan, env, hidden).rows()
            w = problem.weights
            pm.Potential(LIKELIHOOD, rows.sum() if (w == 1).all() else (w * rows).sum())
    return model


def fused(plan: Plan, env: Environment) -> Any:
    """The log-likelihood as one Op on the rows, which enter as data, and the coefficients."""
    from .fused_op import Expectation

    floats, ints = plan.store.packed.whole
    # as a constant it would be part of the compiled code, and other rows would be compiled anew
    C = coefficients(plan, env, centre=pytensor.shared(plan.centre, name="_centre"))
    # pm.Data would turn the 64-bit offsets into 32-bit ones
    rows, layout = pm.Data(ROWS, floats), pytensor.shared(ints, name="_layout")
    op = Expectation(general=bool(plan.layout.hidden.any() or plan.layout.collapsed.hidden.any()))
    if plan.radials:
        B = pt.concatenate([pt.as_tensor(C.B), pt.as_tensor(C.A)], axis=1)
        radial = Expectation(radial=True)
        return radial(rows, layout, pt.as_tensor(C.c), B, pt.as_tensor(C.T), pt.as_tensor(C.nu))[0]
    return op(rows, layout, pt.as_tensor(C.c), pt.as_tensor(C.B), pt.as_tensor(C.T))[0]


def log_posterior(model: pm.Model, jacobian: bool = False, prior: bool = True) -> Any:
    """The model's log density as a graph. Without Jacobian it is EM's MAP objective; without prior, the log-likelihood.

    The Jacobians of PyMC's own transforms and those of covariances ("<name>_jacobian") go together.
    """
    if not prior:
        return model.logp(vars=[model[LIKELIHOOD]], jacobian=False)
    terms = [*model.free_RVs, *model.observed_RVs, *[p for p in model.potentials if jacobian or not p.name.endswith(JACOBIAN)]]
    return model.logp(vars=terms, jacobian=jacobian)


def _hidden_gaussian(plan: Plan) -> dict[str, np.ndarray]:
    """{variable: mask of hidden cells in declared dims} of Gaussian variables."""
    out = {}
    for variable in {p.variable.label: p.variable for p in plan.gaussians}.values():
        given = plan.problem.given.get(variable.label)
        mask = np.ones(plan.problem.shape(variable), dtype=bool) if given is None else np.isnan(given.array)
        if mask.any():
            out[variable.label] = mask
    return out


def _sampled_cells(plan: Plan, hidden: dict[str, np.ndarray]) -> dict[str, Named]:
    """Hidden Gaussian cells as free variables; their density is the child's own, so the variable itself is flat."""
    out = {}
    for name, mask in hidden.items():
        dims = plan.problem.spec.variables[name].dims
        if mask.all():
            out[name] = Named(pm.Flat(name, dims=dims, initval=np.zeros(mask.shape)), dims)
            continue
        where = np.nonzero(mask)
        given = plan.problem.given[name].array
        start = np.broadcast_to(np.nanmean(given, axis=dims.index(plan.problem.plate), keepdims=True), mask.shape)[where]
        cells = pm.Flat(f"{name}_hidden", shape=len(where[0]), initval=start)
        out[name] = Named(pt.as_tensor(np.where(mask, 0.0, given))[where].set(cells), dims)
    return out


def _first_possible(plan: Plan) -> np.ndarray | None:
    """(n,) a configuration of each row that has a probability, where some have none by declaration; else PyMC's own will do."""
    likely = possible(plan, plan.full)
    if likely.all():
        return None
    likely &= np.repeat(plan.full.allowed, np.diff(plan.full.start), axis=0)
    return likely.argmax(axis=1)[plan.inverse]


def _sampled_assignments(plan: Plan, env: Environment) -> dict[str, Named]:
    """Every discrete latent as a free Categorical or Bernoulli; given labels are filled in. The classroom version."""
    problem = plan.problem
    plate = problem.plate
    first = _first_possible(plan)
    out: dict[str, Named] = {}
    for name in plan.axes:
        if name in problem.covariates:
            out[name] = Named(pt.as_tensor(problem.given[name].array.astype("int64")), (plate,))
    for latent in plan.latents:
        if latent.label in problem.evidence:
            raise UnsupportedModel(latent.label, "hard labels with marginalize='none'", "soft labels", "Use marginalize='all'.")
        assert latent.family.twin is not None
        (p,) = (value_of(e, env.with_values(out)) for e in latent.arguments.values())
        extra = [d for d in p.dims if d != plate]
        array = p.to((plate, *extra))
        given = problem.given.get(latent.label)
        mask = np.ones(problem.n, dtype=bool) if given is None else np.isnan(given.array)
        at = np.flatnonzero(mask)
        probabilities = pt.broadcast_to(array, (problem.n, *array.shape[1:]))
        family = getattr(pm, latent.family.twin.name)
        begin = None if first is None else plan.configurations(latent.label)[first]
        if mask.all():
            value: Any = family(latent.label, p=probabilities, dims=latent.dims, initval=begin)
        else:
            assert given is not None
            codes = np.where(mask, 0, given.array).astype("int64")
            # given labels are data about p too: they enter the likelihood as an observed variable
            seen = np.flatnonzero(~mask)
            family(f"{latent.label}_given", p=probabilities[seen], observed=codes[seen])
            value = pt.as_tensor(codes)
            if len(at):
                start = None if begin is None else begin[at]
                value = value[at].set(family(f"{latent.label}_hidden", p=probabilities[at], shape=len(at), initval=start))
        out[latent.label] = Named(value, (plate,))
    return out


__all__ = ["JACOBIAN", "LIKELIHOOD", "build_model", "fused", "log_posterior", "to_pymc"]

"""Hidden variables of every row, drawn from their exact distribution given the row and the parameters of each posterior draw.

What `marginalize="all"` sums out comes back here: assignments first, from the responsibilities, then Gaussian latents and
missing cells from the normal that the row and its configuration leave them. Drawn this way the parts of a row belong together.
"""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np
import xarray as xr

from ..errors import BadInput, Degenerate, MissingData, NotFinite, WrongDims
from ..expect.coefficients import coefficients
from ..expect.draws import draws_environment, joint_log_densities
from ..expect.gaussian import eliminate
from ..expect.plan import Plan
from ..expect.planner import make_plan
from ..problem.chunked import AnyProblem, in_memory
from ..problem.covariates import determined
from ..problem.problem import Problem
from ..seed import checked_seed
from ..simulation import draw_variable
from ..spec.evaluate import Environment
from ..spec.named import Named
from ..spec.private_dims import SAMPLE
from ..spec.variable import Variable

MAX_RECOVERED = 4_000_000  # numbers in the result; beyond it draws are thinned


def recover(
    problem: AnyProblem, posterior: xr.Dataset | xr.DataTree, random_seed: int | np.random.Generator | None = None
) -> xr.Dataset:
    """Draw the hidden variables of every row, once for each draw of the parameters.

    With r the responsibilities of row n at a draw, its configuration is k ~ Categorical(r). Its hidden Gaussian coordinates are
    then Normal(-R_ll^-1 R_lo v_o, (R_ll' R_ll)^-1), R of the QR of configuration k's residual rows with the hidden coordinates
    first (`expect.gaussian`). Missing cells of other families follow their distribution given all of these.

    Parameters
    ----------
    posterior : draws of all parameters of the problem, over (chain, draw) or any dims of their own, or over none; or the tree
        of `fit_mcmc`, whose aligned draws are taken.
    random_seed : seed or numpy Generator.

    Returns
    -------
    Dataset over (chain, draw, plate, further dims) with a variable for each that is hidden, wholly or partly: assignments and
    other categories as codes, the others in the units of the data. Given cells hold their values; those that depend on a
    covariate which is missing there are NaN. Where it would hold more than MAX_RECOVERED numbers, draws are left out evenly (of
    the last dim; one of them always stays); their coordinates tell which are there.

    Raises
    ------
    MissingData, WrongDims, NotFinite : draws that are not those of this problem's parameters. Degenerate : a draw that leaves a
    row impossible. What `plan` raises for models that cannot be computed.

    Source: Dempster, Laird and Rubin (1977), section 4, for the conditional distributions; Tanner and Wong (1987), The
    calculation of posterior distributions by data augmentation, JASA 82, 528-540.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as spec:
    ...     share = ev.Dirichlet("share", 1, dims="kind")
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")
    ...     _ = ev.Poisson("count", rate[z], dims="day")
    >>> problem = ev.condition(spec, {"count": [0, 1, 18, 22], "z": ["quiet", None, None, None]})
    >>> em = ev.fit_em(problem, random_seed=1, progress=False)
    >>> ev.recover(problem, em.estimate, random_seed=1)["z"].values.tolist()  # or the draws of fit_mcmc
    [0, 0, 1, 1]
    """
    checked_seed(random_seed, generator=True)
    problem = in_memory(problem, "recover")
    plan = make_plan(problem)
    hidden = _Hidden(plan)
    lead, kept = _checked(problem, posterior, hidden.cells)
    shape = tuple(kept.sizes[d] for d in lead)
    draws = {
        v.label: kept[v.label].transpose(*lead, *v.dims).to_numpy().reshape(-1, *problem.shape(v)) for v in problem.parameters
    }
    values = hidden.drawn(draws, np.random.default_rng(random_seed))
    out = {name: ((*lead, *x.dims[1:]), x.array.reshape(*shape, *x.array.shape[1:])) for name, x in values.items()}
    dims = {d for x in values.values() for d in x.dims[1:]}
    coords = {d: problem.labels(d) for d in problem.sizes if d in dims}
    return xr.Dataset(out, coords={**{d: kept[d] for d in lead if d in kept.coords}, **coords})


class _Hidden:
    """What is hidden in a problem, and how it is drawn."""

    def __init__(self, plan: Plan) -> None:
        problem = plan.problem
        self.plan, self.problem, self.plate = plan, problem, problem.plate
        self.assignments = [z for z in plan.latents if problem.roles[z.label] == "assignment"]
        self.gaussians = [v for v in {p.variable.label: p.variable for p in plan.gaussians}.values() if _has_holes(problem, v)]
        known = {v.label for v in (*plan.latents, *self.gaussians)}
        self.others = [v for v in problem.row_variables if v.label not in known and _has_holes(problem, v)]
        at = [np.arange(plan.slices[v.label].start, plan.slices[v.label].stop) for v in self.gaussians]
        self.columns = np.concatenate([np.zeros(0, dtype=int), *at])
        # pattern of each original row: identical rows share a pattern and probabilities, never a draw
        self.pattern = plan.pattern

    @property
    def cells(self) -> int:
        """Numbers that one draw takes."""
        return sum(prod(self.problem.shape(v)) for v in (*self.assignments, *self.gaussians, *self.others))

    def drawn(self, draws: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, Named]:
        """{variable: (draws, plate, *further dims)}, in order of declaration."""
        plan, problem = self.plan, self.problem
        size = len(next(iter(draws.values())))
        configuration = np.zeros((size, problem.n), dtype=np.int64)
        x = np.zeros((size, problem.n, len(self.columns)))
        if self.cells:
            for at, lp in joint_log_densities(plan, draws):
                configuration[at] = self._configurations(lp, rng)
                if len(self.columns):
                    x[at] = self._normals({k: v[at] for k, v in draws.items()}, configuration[at], rng)
        out = {z.label: Named(plan.configurations(z.label)[configuration], (SAMPLE, self.plate)) for z in self.assignments}
        first = 0
        for v in self.gaussians:
            width = plan.slices[v.label].stop - plan.slices[v.label].start
            out[v.label] = self._filled(v, x[:, :, first : first + width])
            first += width
        for v in self.others:
            out[v.label] = self._filled(v, self._leaf(v, draws, out, size, rng))
        measured = {v: out[v.label] for v in problem.row_variables if v.label in out}
        return {v.label: Named(determined(problem, v, x.dims[1:], x.array), x.dims) for v, x in measured.items()}

    def _configurations(self, lp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(draws, n) a configuration of each original row from log p(row, configuration | draw), (distinct rows, K, draws)."""
        top = lp.max(axis=1, keepdims=True)
        if not np.isfinite(top).all():
            raise Degenerate("rows", "a row has probability zero in every configuration under some draw")
        cumulative = np.cumsum(np.exp(lp - top), axis=1)
        cumulative /= cumulative[:, -1:]  # the last is 1 exactly, so that a uniform below 1 always finds its place
        out = np.empty((lp.shape[2], self.problem.n), dtype=np.int64)
        for s, chosen in enumerate(out):
            u = rng.random((self.problem.n, 1))
            chosen[:] = (u >= cumulative[self.plan.inverse, :, s]).sum(axis=1)
        return out

    def _normals(self, draws: dict[str, np.ndarray], configuration: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(draws, n, columns) hidden Gaussian coordinates in original units; zero where they are given."""
        plan, layout, size = self.plan, self.plan.full, len(configuration)
        with np.errstate(divide="ignore"):
            C = coefficients(plan, draws_environment(plan, draws))
        B = np.moveaxis(np.broadcast_to(C.B, (*C.B.shape[:3], size)), -1, 1)
        place = np.zeros(plan.d, dtype=int)
        place[self.columns] = np.arange(len(self.columns))
        out = np.zeros((size, self.problem.n, len(self.columns)))
        for p in range(len(layout.start) - 1):
            l, o = np.flatnonzero(layout.hidden[p]), np.flatnonzero(~layout.hidden[p])
            rows = np.flatnonzero(self.pattern == p)
            if not len(l) or not len(rows):
                continue
            V = layout.V[plan.inverse[rows]][:, o]
            z = rng.standard_normal((size, len(rows), len(l)))
            x = np.zeros_like(z)
            for k in np.flatnonzero(layout.allowed[p]):
                here = configuration[:, rows] == k
                if here.any():
                    e = eliminate(B[k], o, l)
                    x[here] = (V @ e.map.swapaxes(1, 2) + z @ e.root.swapaxes(1, 2))[here]
            out[:, rows[:, None], place[l]] = x + plan.centre[l]
        return out

    def _leaf(
        self, variable: Variable, draws: dict[str, np.ndarray], hidden: dict[str, Named], size: int, rng: np.random.Generator
    ) -> np.ndarray:
        """(draws, n, cells) a variable of another family: nothing depends on it, so its own distribution is what is left."""
        problem = self.problem
        parameters = {v.label: Named(draws[v.label], (SAMPLE, *v.dims)) for v in problem.parameters}
        given = {k: x for k, x in problem.given.items() if k not in hidden and k != variable.label}
        env = Environment({**given, **parameters, **hidden})
        array = Named(draw_variable(problem, variable, env, rng, size), (SAMPLE, *variable.dims))
        return array.to((SAMPLE, self.plate, *self._further(variable))).reshape(size, problem.n, -1)

    def _further(self, variable: Variable) -> tuple[str, ...]:
        return tuple(d for d in variable.dims if d != self.plate)

    def _filled(self, variable: Variable, drawn: np.ndarray) -> Named:
        """Draws (draws, n, cells) in the variable's shape, given cells at their values."""
        dims = (self.plate, *self._further(variable))
        array = drawn.reshape(len(drawn), *[self.problem.sizes[d] for d in dims])
        if variable.label in self.problem.given:
            given = self.problem.given[variable.label].to(dims)
            array = np.where(np.isnan(given), array, given)
        return Named(array.astype(np.int64) if drawn.dtype.kind in "biu" else array, (SAMPLE, *dims))


def _has_holes(problem: Problem, variable: Variable) -> bool:
    given = problem.given.get(variable.label)
    return given is None or bool(np.isnan(given.array).any())


def _checked(problem: Problem, posterior: Any, cells: int) -> tuple[list[str], xr.Dataset]:
    """(dims of the draws, every parameter over all of them), thinned along the last to MAX_RECOVERED numbers."""
    if isinstance(posterior, xr.DataTree):
        posterior = posterior["posterior"].to_dataset() if "posterior" in posterior.children else posterior.to_dataset()
    if not isinstance(posterior, xr.Dataset):
        raise BadInput("posterior", "an xarray Dataset of draws, or the tree of fit_mcmc", type(posterior).__name__)
    if not problem.parameters:
        raise MissingData("posterior", "draws of at least one parameter", "a problem whose parameters are all fixed")
    for v in problem.parameters:
        if v.label not in posterior:
            raise MissingData(v.label, "draws of every parameter of the problem", "none", "Pass the posterior of this problem.")
    own = {d for v in problem.parameters for d in v.dims}
    draws = posterior[[v.label for v in problem.parameters]]
    lead = [d for d in dict.fromkeys(str(d) for v in problem.parameters for d in draws[v.label].dims) if d not in own]
    for v in problem.parameters:
        x = draws[v.label]
        if not {*v.dims} <= {*x.dims} or {*lead} & {*problem.sizes}:
            raise WrongDims(v.label, f"dims {(*(lead or ('chain', 'draw')), *v.dims)}", f"{x.dims}")
        for d in v.dims:
            labels = problem.labels(d)
            if x.sizes[d] != len(labels) or (d in x.coords and not np.array_equal(x[d].values, labels)):
                got = f"{x[d].values.tolist()}"[:80] if d in x.coords else f"length {x.sizes[d]}"
                raise WrongDims(v.label, f"labels {str(labels.tolist())[:80]} along {d!r}", got)
        if not x.size or not np.isfinite(x.values).all():
            raise NotFinite(v.label, "draws that are numbers", "none" if not x.size else "a draw that is NaN or infinite")
    if lead:
        total, longest = cells * prod(draws.sizes[d] for d in lead), draws.sizes[lead[-1]]
        step = min(longest, max(1, ceil(total / MAX_RECOVERED)))
        draws = draws.isel({lead[-1]: slice(None, None, step)})
    arrays = xr.broadcast(*[draws[v.label] for v in problem.parameters], exclude=own)
    return lead, xr.Dataset({str(x.name): x for x in arrays})

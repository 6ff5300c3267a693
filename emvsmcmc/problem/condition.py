"""`condition`: a spec and data become a Problem."""

from __future__ import annotations

from typing import Any

from ..errors import UnknownName
from ..spec.model import Spec
from .align import named
from .chunked import AnyProblem, in_chunks
from .known import condition_raws, parameter_values
from .labels import hint
from .read import read
from .survey import condition_chunks


def condition(spec: Spec, data: Any, weights: Any = None, *, fixed: Any = None, ignore_extra: bool = False) -> AnyProblem:
    """Condition a spec on data: what is given is known, what is not is hidden.

    Parameters
    ----------
    spec : the declaration.
    data : dict of arrays, pandas or polars frame, or xarray Dataset; dict values may be arrays, lists, masked arrays, Series,
        frames and DataArrays. Dask arrays, Dask frames and xarray objects backed by Dask stay where they are, and what is
        returned is a `ChunkedProblem` for `fit_em` and `fit_mcmc`. Any variable may be given, wholly or partly; covariates must
        be, parameters wholly or not at all (they are then fixed). Axes follow `dims` by position, in xarray by name; labels in
        the data are matched to coords.
        Holes are NaN, None, NA, masked entries, and -1 in a label vector. Labels are coordinate values or codes. An array with
        one axis more than a discrete variable holds soft labels, non-negative weights q that multiply p(row, label); 0/1 rows
        are sets.
    weights : (n,) row weights, or the name of a column; weight 2 equals the row twice.
    fixed : values of parameters beside those that `data` hold, so that a frame can be conditioned on known parameters.
    ignore_extra : leave out columns that the spec does not name, with a note, instead of refusing them.

    Returns a `Problem`, or a `ChunkedProblem` of rows that Dask holds.

    Raises
    ------
    A named `errors.BadInput` that says which variable, what was expected, what came, and the way out.

    Example
    -------
    >>> import emvsmcmc as ev
    >>> with ev.Spec(coords={"kind": ["quiet", "busy"]}) as spec:
    ...     share = ev.Dirichlet("share", 1, dims="kind")
    ...     rate = ev.Gamma("rate", 2, 0.1, dims="kind")
    ...     z = ev.Categorical("z", share, dims="day")
    ...     _ = ev.Poisson("count", rate[z], dims="day")
    >>> problem = ev.condition(spec, {"count": [0, 2, 18, None], "z": ["quiet", None, None, None]})
    >>> problem.n, [v.label for v in problem.parameters]
    (4, ['share', 'rate'])
    >>> ev.condition(spec, {"count": [0, -2, 18]})
    Traceback (most recent call last):
    emvsmcmc.errors.OutOfSupport: count: expected a whole number of at least 0 (Poisson); got -2 in row 1. ...
    """
    if in_chunks(data):
        return condition_chunks(spec, data, weights, fixed, ignore_extra)
    notes: list[str] = []
    raws = read(data)
    columns = list(raws)
    if isinstance(weights, str):
        if weights not in raws:
            raise UnknownName(f"weights {weights!r}", "the name of a column of the data", "no such column", hint(weights, raws))
        weights = raws.pop(weights)
    raws, own_labels = named(spec, raws, ignore_extra, notes)
    raws |= parameter_values(spec, fixed)
    return condition_raws(spec, raws, weights, notes, own_labels, columns)

"""Every named error and every named status. Bad input says which variable, what was expected, what came, and the way out."""

from __future__ import annotations

from enum import Enum


class EmvsmcmcError(Exception):
    """Base of everything this package raises on purpose."""


class BadInput(EmvsmcmcError, ValueError):
    """Input that cannot be used. The message has four parts: variable, expected, got, remedy."""

    def __init__(self, variable: str, expected: str, got: str, remedy: str = "") -> None:
        self.variable, self.expected, self.got, self.remedy = variable, expected, got, remedy
        message = f"{variable}: expected {expected}; got {got}."
        super().__init__(f"{message} {remedy}" if remedy else message)


class UnknownName(BadInput):
    """A name that the spec does not declare."""


class DuplicateName(BadInput):
    """A name declared twice."""


class WrongDims(BadInput):
    """Dims, lengths or coordinates that do not fit the spec."""


class NotNumeric(BadInput):
    """Text or objects where numbers are needed."""


class NotFinite(BadInput):
    """An infinity in the data."""


class OutOfSupport(BadInput):
    """A value outside the support of its distribution: a negative or fractional count, a negative waiting time."""


class UnknownLabel(BadInput):
    """A label that is out of range or not a coordinate of the dim it counts."""


class CovariateHole(BadInput):
    """A hole in a covariate: covariates have no distribution, so nothing can fill it."""


class EmptyColumn(BadInput):
    """A measured column without a single value."""


class ConstantColumn(BadInput):
    """A measured column without variation whose scale is to be estimated."""


class TooFewRows(BadInput):
    """Fewer rows than components."""


class BadWeights(BadInput):
    """Row weights that are negative, NaN, infinite, or all zero."""


class BadEvidence(BadInput):
    """Soft labels that are negative, NaN, or zero for every component."""


class MissingData(BadInput):
    """A variable that must be given and is not."""


class InvalidSpec(BadInput):
    """A declaration that does not make a model."""


class UnsupportedModel(BadInput):
    """A model that is well defined but outside what can be computed here; raised by `plan` only."""


class NotAffine(UnsupportedModel):
    """A mean that is not jointly affine in its parameters and Gaussian latents."""


class TooManyConfigurations(UnsupportedModel):
    """A joint enumeration of the discrete latents that is too large."""


class Unidentified(UnsupportedModel):
    """A parameter on which the objective does not depend."""


class Collinear(BadInput):
    """Covariates that are linear combinations of each other or of the intercept: no data can tell their coefficients apart."""


class DifferentData(BadInput):
    """Models to choose among that do not describe the same rows and the same observed cells."""


class BadFile(BadInput):
    """A file or a column that is not there or cannot be read."""


class NotAModel(BadInput):
    """A model file without `spec()`, or an unknown gallery name."""


class DifferentSweep(BadInput):
    """A folder that holds the results of another sweep: other data, another spec, other options, another version."""


class NotInMemory(BadInput, AttributeError):
    """Something that needs all rows in memory, asked of rows in chunks."""

    @classmethod
    def rows(cls, what: str) -> NotInMemory:
        """The error for `what`."""
        return cls(
            what, "rows in memory", "rows in chunks, held by Dask", "Read them into memory (.compute()), or fit_em in chunks."
        )


class DaskMissing(BadInput):
    """Data in chunks without Dask to read them."""


class DifferentFit(BadInput):
    """A checkpoint of another fit: other data, other chunks, another spec."""


class StoreBusy(BadInput):
    """A folder in which another sweep is running."""


class WidePrior(BadInput):
    """A prior from which no data can be simulated in earnest: improper, or spread over many powers of ten."""


class FitFailed(EmvsmcmcError):
    """No start reached an optimum. `status` says how the starts ended, `starts` holds every one of them."""

    def __init__(self, message: str, status: Status, starts: list | None = None) -> None:
        self.status, self.starts = status, starts or []
        super().__init__(message)


class EmptyClass(BadInput, FitFailed):
    """A class, or a level of an index, that no row can belong to: under maximum likelihood its parameters have no estimate.

    It is bad input that is seen before the first start, and the `degenerate` end that every start would come to.
    """

    def __init__(self, variable: str, expected: str, got: str, remedy: str = "") -> None:
        self.variable, self.expected, self.got, self.remedy = variable, expected, got, remedy
        FitFailed.__init__(self, str(BadInput(variable, expected, got, remedy)), Status.DEGENERATE)


class NotMonotone(FitFailed):
    """The soft objective fell by more than rounding: an error in an M-step, never convergence."""


class SamplingFailed(EmvsmcmcError):
    """NUTS could not start or finish."""


class ChunkFailed(EmvsmcmcError):
    """A chunk of rows that could not be read, however often it was tried."""


class WorkersDie(EmvsmcmcError):
    """Worker processes of a sweep cannot start. What had ended is in the store."""


class Degenerate(EmvsmcmcError):
    """Raised inside an EM iteration: a component collapsed or emptied, or a parameter has no information. Ends that start."""

    def __init__(self, variable: str, reason: str) -> None:
        self.variable, self.reason = variable, reason
        super().__init__(f"{variable}: {reason}")


class Status(Enum):
    """How a start ended. Only `CONVERGED` is an answer without qualification."""

    CONVERGED = "converged"
    STALLED = "stalled"
    MAX_ITER = "max_iter"
    DEGENERATE = "degenerate"
    UNBOUNDED = "unbounded"
    HEYWOOD = "heywood"

    @property
    def sentence(self) -> str:
        """What the status means and what can be done about it."""
        return _SENTENCES[self]

    @property
    def finished(self) -> bool:
        """Whether the start came to an optimum, if one with a qualification."""
        return self in (Status.CONVERGED, Status.HEYWOOD, Status.STALLED)

    @property
    def usable(self) -> bool:
        """Whether there is an estimate at all."""
        return self.finished or self is Status.MAX_ITER

    def __str__(self) -> str:
        return self.value


# the advice where there are no components of which fewer could be used
NO_COMPONENTS = (
    "A scale went to zero or lost its rows: the mean follows the data exactly; use more rows or fewer parameters in the mean, or "
    "objective='map' with a prior that vanishes at zero fast enough (InverseGamma, InverseWishart)."
)
_SENTENCES = {
    Status.CONVERGED: "The objective cannot rise by more than the tolerance any further.",
    Status.STALLED: "Rounding stops the iteration before the tolerance is met; the estimate is as good as float64 allows here.",
    Status.MAX_ITER: "The iterations ran out before the tolerance was met; raise max_iter.",
    Status.DEGENERATE: "A component collapsed on a point or lost its rows; use fewer components, or objective='map' with a "
    "prior that vanishes at zero fast enough (InverseGamma, InverseWishart; HalfNormal does not, nor does Gamma where as many "
    "rows are equal as its alpha).",
    Status.UNBOUNDED: "The objective has no maximum: it rises for ever along the path, and the path is the result.",
    Status.HEYWOOD: "A residual variance is zero at the maximum (a Heywood case): the latents explain that column entirely "
    "(or, where it is a latent's own, it adds nothing to its causes or mean), and its standard error does not exist; use fewer "
    "latents or more columns, or objective='map' with a prior that vanishes at zero (InverseGamma, or Gamma with alpha > 1).",
}

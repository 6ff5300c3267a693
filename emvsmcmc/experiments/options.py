"""The options of the experiments: a record each, with the options of EM and NUTS that so many fits call for.

Nothing heavy loads here, so that the command line can say its defaults.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from ..em.options import EMOptions
from ..errors import BadInput
from ..mcmc.options import NUTSOptions

Fitted = Literal["em", "mcmc", "supervised"]
Method = Literal["em", "mcmc"]
By = Literal["log_score", "information", "log_determinant"]
Strategy = Literal["suggested", "random", "reversed"]
FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
REPLICATES = 39  # the fewest whose least and greatest are the ends of a 95% interval
# what an experiment repeats hundreds of times: fewer draws than a fit, and a tolerance in nats that no other mask would notice
LABELS_EM, LABELS_NUTS = EMOptions(starts=10, tol=1e-8), NUTSOptions(draws=250, tune=250, chains=2)
CALIBRATION_EM, CALIBRATION_NUTS = EMOptions(starts=10), NUTSOptions(draws=250, tune=200, chains=2)
SUGGEST_EM, SUGGEST_NUTS = EMOptions(objective="map", starts=8), NUTSOptions(draws=500, tune=500, chains=2)
RACE_EM = EMOptions(objective="map", starts=4, tol=1e-8)


@dataclass(frozen=True, kw_only=True)
class LabelsOptions:
    """Of `semisupervised`, which says what each means. Raises BadInput for values that mean nothing."""

    fractions: Sequence[float] = FRACTIONS
    repeats: int = 20
    methods: Sequence[Fitted] = get_args(Fitted)
    held_out: Any = 0.25
    em: EMOptions = LABELS_EM
    nuts: NUTSOptions = LABELS_NUTS

    def __post_init__(self) -> None:
        shares = list(self.fractions)
        if not shares or len({f"{f:g}" for f in shares}) < len(shares) or not all(0 <= f <= 1 for f in shares):
            raise BadInput("fractions", "distinct shares from 0 to 1", str(shares), "0.1 is one label in ten.")
        if self.repeats < 1:
            raise BadInput("repeats", "1 or more", str(self.repeats))
        _some_of("methods", self.methods, get_args(Fitted))


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """Of `calibrate`, which says what each means. Raises BadInput for values that mean nothing."""

    simulations: int = 200
    bootstrap: int = 100
    ranked: int = 99
    em: EMOptions = CALIBRATION_EM
    nuts: NUTSOptions = CALIBRATION_NUTS

    def __post_init__(self) -> None:
        if self.simulations < 1 or self.ranked < 1 or not (self.bootstrap == 0 or self.bootstrap >= REPLICATES):
            raise BadInput(
                "simulations, ranked, bootstrap",
                f"at least 1 simulation, 1 draw to rank among, and 0 or at least {REPLICATES} replicates",
                f"{self.simulations}, {self.ranked}, {self.bootstrap}",
            )


@dataclass(frozen=True, kw_only=True)
class SuggestOptions:
    """Of `suggest`, which says what each means. Raises BadInput for values that mean nothing."""

    n: int = 5
    by: By = "information"
    methods: Sequence[Method] = get_args(Method)
    em: EMOptions = SUGGEST_EM
    nuts: NUTSOptions = SUGGEST_NUTS
    all_measures: bool = True

    def __post_init__(self) -> None:
        if self.n < 1:
            raise BadInput("n", "at least 1 row", str(self.n))
        if self.by not in get_args(By):
            raise BadInput("by", f"one of {', '.join(get_args(By))}", repr(self.by))
        _some_of("methods", self.methods, get_args(Method))
        if self.by == "log_determinant" and "mcmc" in self.methods:
            wanted, got = "a measure that NUTS has too", "'log_determinant'"
            raise BadInput("by", wanted, got, "Give methods=('em',), or by='information'.")

    @property
    def measures(self) -> tuple[str, ...]:
        """What is worked out for every row."""
        return get_args(By) if self.all_measures else (self.by,)


@dataclass(frozen=True, kw_only=True)
class RaceOptions:
    """Of `race`, which says what each means. Raises BadInput for values that mean nothing."""

    first: int = 2
    batch: int = 5
    rounds: int = 4
    repeats: int = 20
    strategies: Sequence[Strategy] = get_args(Strategy)
    by: By = SuggestOptions.by
    method: Method = "em"
    em: EMOptions = RACE_EM

    def __post_init__(self) -> None:
        if min(self.first, self.batch, self.rounds, self.repeats) < 1:
            got = f"{self.first}, {self.batch}, {self.rounds}, {self.repeats}"
            raise BadInput("first, batch, rounds, repeats", "at least 1", got)
        if not self.strategies or not set(self.strategies) <= set(get_args(Strategy)):
            raise BadInput("strategies", f"some of {', '.join(get_args(Strategy))}", f"{list(self.strategies)}")


def _some_of(name: str, given: Sequence[str], known: Sequence[str]) -> None:
    if not given or len(set(given)) < len(given) or not set(given) <= set(known):
        raise BadInput(name, f"some of {', '.join(known)}, each once", str(list(given)))


def changed[Record: (EMOptions, NUTSOptions)](
    name: str, options: Record, given: Mapping[str, Any] | None, allowed: Collection[str]
) -> tuple[Record, dict[str, Any]]:
    """An experiment's options of EM or NUTS with those that a user gave, and both for the page: what differs from the defaults of
    the library.

    allowed : the names that a user may give; the others the experiment itself decides. Raises BadInput for them.
    """
    new = dict(given or {})
    if unknown := sorted(set(new) - set(allowed)):
        raise BadInput(name, f"some of {', '.join(sorted(allowed))}", unknown[0])
    own = {f.name: getattr(options, f.name) for f in fields(options) if getattr(options, f.name) != f.default}
    return replace(options, **new), {**own, **new}

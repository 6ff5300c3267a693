"""The options of NUTS: one record with one set of defaults, checked in one place. No library of the sampler loads here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import BadInput
from ..seed import checked_seed

Likelihood = Literal["fused", "native"]
Marginalize = Literal["all", "discrete", "none"]
Init = Literal["em", "prior"]
FEWEST_DRAWS = 4  # of a chain, of which R-hat and the effective sample size can be told


@dataclass(frozen=True, kw_only=True)
class NUTSOptions:
    """How to sample; `fit_mcmc` says what each option means. Raises BadInput for values that mean nothing."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    likelihood: Likelihood = "fused"
    marginalize: Marginalize = "all"
    init: Init = "em"
    random_seed: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.draws < FEWEST_DRAWS or self.tune < 1 or self.chains < 1:
            raise BadInput(
                "draws, tune, chains",
                f"at least {FEWEST_DRAWS} draws, 1 tuning step and 1 chain",
                f"{self.draws}, {self.tune}, {self.chains}",
            )
        if self.likelihood not in get_args(Likelihood):
            raise BadInput("likelihood", "'fused' or 'native'", repr(self.likelihood))
        if self.marginalize not in get_args(Marginalize):
            raise BadInput("marginalize", "'all', 'discrete' or 'none'", repr(self.marginalize))
        if self.init not in get_args(Init):
            raise BadInput("init", "'em' or 'prior'", repr(self.init))
        checked_seed(self.random_seed)

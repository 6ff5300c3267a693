"""What is maximised: the likelihood, or the posterior density of the parameters as they are declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..spec.evaluate import Environment
from .coefficients import log_prior
from .plan import Plan


@dataclass(frozen=True)
class Objective:
    """The log-likelihood, with the log prior density of the parameters or without it, in nats and with no Jacobian.

    name : as `fit_em` takes it. prior : whether the priors count. words : what an M-step maximises.
    """

    name: Literal["ml", "map"]
    prior: bool
    words: str

    def log_prior(self, plan: Plan, env: Environment) -> Any:
        """The priors' part, 0 where they do not count; one of each member where env holds a batch."""
        return log_prior(plan, env) if self.prior else 0.0


ML = Objective("ml", False, "Q")
MAP = Objective("map", True, "Q + log prior")
OBJECTIVES = {objective.name: objective for objective in (ML, MAP)}

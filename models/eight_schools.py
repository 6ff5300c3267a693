"""Eight schools: a scale at its boundary, and what the posterior says instead.

Eight schools coached their pupils for the verbal part of the SAT. For each school an analysis of its own gave the effect
of coaching in points, with a standard error that is as good as known. How much do schools differ?

    theta[school]  ~ Normal(mu, tau)
    effect[school] ~ Normal(theta[school], error[school]),

with `error` given. The effects of the eight schools differ by no more than their errors would make them differ anyway, so
that the likelihood is highest at tau = 0: all schools alike, each effect estimated by the weighted mean mu = 7.69. This is
a boundary, and hardly a finding: at tau = 5 the log-likelihood is a third of a nat lower. The posterior keeps all these values
of tau and averages over them. Its schools lie between the common mean and what each reported, which the estimate by
maximum likelihood cannot tell: it has every school at mu.

Rubin (1981), Estimation in parallel randomized experiments, Journal of Educational Statistics 6, 377-401, table 1. Gelman
and others (2013), Bayesian Data Analysis, 3rd edition, section 5.5. The weighted mean and the likelihood at tau = 0 are
sums over eight numbers.
"""

import numpy as np

import emvsmcmc as ev


def spec() -> ev.Spec:
    """Normal effects of schools, each reported with a known standard error."""
    with ev.Spec() as spec:
        mu = ev.Normal("mu", 0, 20)
        tau = ev.HalfNormal("tau", 10)
        error = ev.Data("error", dims="school")
        theta = ev.Normal("theta", mu, tau, dims="school")
        ev.Normal("effect", theta, error, dims="school")
    return spec


def data() -> dict[str, np.ndarray]:
    """Points of the SAT: the effect of coaching in schools A to H, and its standard error."""
    return {
        "effect": np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
        "error": np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
    }


REFERENCE = [
    {
        "options": {},
        "estimate": {"mu": 7.6856, "tau": 0.000},
        "log_likelihood": -29.67424,
        "source": "the weighted mean of the effects and its normal likelihood; the profile likelihood falls with tau",
    },
]

"""Cases of the families of counts for the laws of `test_families`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

P3 = np.array([0.2, 0.5, 0.3])
VECTORS = np.array([[1, 4, 1], [0, 6, 0], [3, 1, 2], [0, 0, 6]])


def count_cases(case: Callable[..., Any], from_scipy: Callable[..., Any]) -> dict[str, list[Any]]:
    """case : a record of arguments, values, log densities and moments. from_scipy : the same of a frozen distribution."""
    second = 36 * np.outer(P3, P3) + 6 * (np.diag(P3) - np.outer(P3, P3))
    return {
        "NegativeBinomial": [
            from_scipy(stats.nbinom(2.5, 2.5 / (2.5 + 4.0)), [0, 1, 4, 60], mu=4.0, alpha=2.5),
            from_scipy(stats.nbinom(0.3, 0.3 / (0.3 + 2.0)), [0, 1, 4, 60], mu=2.0, alpha=0.3),
            from_scipy(stats.nbinom(40.0, 40.0 / (40.0 + 9.0)), [0, 3, 9, 40], mu=9.0, alpha=40.0),
        ],
        "Geometric": [from_scipy(stats.geom(0.3), [1, 2, 5, 30], p=0.3), from_scipy(stats.geom(0.9), [1, 2, 4], p=0.9)],
        "BetaBinomial": [
            from_scipy(stats.betabinom(7, 2.5, 1.2), [0, 1, 5, 7], alpha=2.5, beta=1.2, n=7),
            from_scipy(stats.betabinom(30, 0.4, 0.7), [0, 1, 12, 30], alpha=0.4, beta=0.7, n=30),
            from_scipy(stats.betabinom(20, 30.0, 50.0), [0, 7, 20], alpha=30.0, beta=50.0, n=20),
        ],
        "Multinomial": [
            case(
                {"n": 6, "p": P3},
                VECTORS,
                stats.multinomial(6, P3).logpmf(VECTORS),
                [(lambda x: x, 6 * P3), (lambda x: x[:, :, None] * x[:, None, :], second)],
                (3,),
            )
        ],
    }

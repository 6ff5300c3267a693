"""What data leave open: starts of one objective, and directions in which the likelihood does not change."""

from __future__ import annotations

from types import SimpleNamespace

import emvsmcmc as ev
from emvsmcmc.em.fit import _best


def test_of_starts_with_one_objective_the_least_qualified_end_is_reported() -> None:
    def run(objective, status):
        return SimpleNamespace(objective=objective, status=status)

    S = ev.Status
    heywood = [run(-100.0 - 1e-9 * i, S.HEYWOOD) for i in range(19)]
    assert _best([run(-100.0 + 1e-9, S.STALLED), *heywood]) is heywood[0]
    assert _best([run(-100.0 + 1e-9, S.MAX_ITER), *heywood, run(-100.0, S.CONVERGED)]).status is S.CONVERGED
    # negative control: a start that is higher by more than rounding wins whatever its end
    assert _best([run(-99.999, S.STALLED), *heywood]).status is S.STALLED


def test_every_status_that_is_finished_is_usable() -> None:
    assert {s.value for s in ev.Status if s.finished} == {"converged", "stalled", "heywood"}
    assert all(s.usable for s in ev.Status if s.finished)
    assert not ev.Status.DEGENERATE.usable
    assert not ev.Status.UNBOUNDED.usable

"""The stopping rule alone, on sequences made by hand: linear maps whose rest is known, paths that stall, falls, and ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emvsmcmc.em import stopping
from emvsmcmc.em.stopping import (
    Cycle,
    End,
    Judgement,
    StoppingRule,
    Verdict,
    Watch,
    at_a_zero,
    broken_off,
    out_of_iterations,
)
from emvsmcmc.errors import Degenerate, NotMonotone, Status

TOL = 1e-11


def linear(rate: float, distance: float, plain: bool = True, risen: float = 1.0) -> Cycle:
    """A cycle of EM where the objective is -(information / 2) u^2 and EM's step is u -> rate u. That step is the score over the
    complete-data information, here 1, so that the information is 1 - rate, and (1 - rate) u1^2 / 2 nats are left at u1.
    """
    u = distance * np.array([1.0, rate, rate**2])
    return Cycle(u[:1], u[1:2], u[2:], lambda step: float(-(1 - rate) * u[1] * step[0]), risen, plain)


def left(rate: float, distance: float) -> float:
    return 0.5 * (1 - rate) * (rate * distance) ** 2


def asked(rule: StoppingRule, watch: Watch, cycle: Cycle) -> Judgement:
    """With a look due."""
    return rule.judge(replace(watch, wait=1), cycle)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9, 0.9999])
@pytest.mark.parametrize("distance", [1.0, -1e-3, 40.0])
def test_the_gain_of_a_linear_map_is_what_is_left(rate: float, distance: float) -> None:
    judged = asked(StoppingRule(TOL, 1e-12), Watch(), linear(rate, distance))
    if rate == 0:
        assert judged.verdict is Verdict.FIXED
        return
    assert judged.gain == pytest.approx(left(rate, distance), rel=1e-7)
    assert judged.rate == pytest.approx(rate)
    assert judged.verdict is Verdict.GO_ON


@pytest.mark.parametrize("rate", [0.3, 0.99])
def test_it_converges_just_where_less_than_the_tolerance_is_left(rate: float) -> None:
    rule = StoppingRule(TOL, 1e-12)
    distance = np.sqrt(TOL / (0.5 * (1 - rate))) / rate
    assert asked(rule, Watch(), linear(rate, 0.999 * distance)).verdict is Verdict.CONVERGED
    assert asked(rule, Watch(), linear(rate, 1.001 * distance)).verdict is Verdict.GO_ON
    # the step itself is far smaller than what is left: a rule on steps, or on the rise of one iteration, would stop too soon
    slow = linear(rate, 1.001 * distance)
    assert abs(slow.u2 - slow.u1)[0] < 1.01 * distance * (1 - rate)


def test_after_an_extrapolation_it_asks_again() -> None:
    rule = StoppingRule(TOL, 1e-12, accelerated=True)
    judged = asked(rule, Watch(), linear(0.5, 1e-8, plain=False))
    assert judged.verdict is Verdict.CONFIRM
    assert np.isnan(judged.watch.rate)  # that of quick directions is not kept
    assert rule.judge(judged.watch, linear(0.5, 1e-8)).verdict is Verdict.CONVERGED


def test_a_step_that_rounding_swallows_ends_the_run() -> None:
    u = np.array([3.0, 0.0])
    cycle = Cycle(u - 1e-15, u, u * (1 + 2e-16), lambda step: 0.0, 0.0)
    assert StoppingRule(TOL, 1e-12).judge(Watch(rate=0.7), cycle) == Judgement(Verdict.FIXED, 0.0, 0.7, Watch(rate=0.7))
    moved = replace(cycle, u2=u + np.array([1e-12, 0.0]))
    assert StoppingRule(TOL, 1e-12).judge(Watch(), moved).verdict is not Verdict.FIXED


def test_an_arrival_at_a_bound_says_nothing() -> None:
    def never(step: np.ndarray) -> float:
        raise AssertionError("no gain is asked for")

    watch = Watch(gain=1.0, rate=0.5)
    for end in (-np.inf, np.nan):
        cycle = Cycle(np.zeros(1), np.ones(1), np.array([end]), never, 1.0)
        assert StoppingRule(TOL, 1e-12).judge(watch, cycle) == Judgement(Verdict.GO_ON, np.inf, 0.5, watch)
    both = Cycle(np.zeros(1), np.full(1, -np.inf), np.full(1, -np.inf), never, 1.0)
    assert StoppingRule(TOL, 1e-12).judge(watch, both).verdict is Verdict.GO_ON


def test_steps_that_grow_are_never_the_end() -> None:
    """On the way to infinity, or away from a saddle, the rate is one or more and no gain can be told."""
    rule = StoppingRule(TOL, 1e-12)
    cycle = Cycle(np.zeros(1), np.array([1e-9]), np.array([3e-9]), lambda step: 1e-20, 1.0)
    judged = rule.judge(Watch(), cycle)
    assert (judged.verdict, judged.gain, judged.rate) == (Verdict.GO_ON, np.inf, pytest.approx(2.0))
    assert judged.watch.unimproved == 1


def run(rule: StoppingRule, rate: float, distance: float) -> tuple[list[int], Judgement, float]:
    """(cycles in which the gain was asked for, the last judgement, the distance at its u1) of a whole run of plain steps."""
    watch, looks = Watch(), list[int]()
    for cycle in range(100_000):
        one = linear(rate, distance)

        def slope(step: np.ndarray, one: Cycle = one, cycle: int = cycle) -> float:
            looks.append(cycle)
            return one.slope(step)

        judged = rule.judge(watch, replace(one, slope=slope))
        if judged.verdict is not Verdict.GO_ON:
            return looks, judged, distance * rate
        watch, distance = judged.watch, distance * rate**2
    raise AssertionError("no end")


@pytest.mark.parametrize("rate", [0.2, 0.9, 0.999])
def test_waiting_between_looks_misses_no_end_by_much(rate: float) -> None:
    looks, judged, distance = run(StoppingRule(TOL, 1e-12), rate, 10.0)
    assert judged.verdict is Verdict.CONVERGED
    assert judged.gain < TOL
    assert np.all(np.diff(looks) <= 50)
    if rate > 0.5:
        assert len(looks) < 0.3 * looks[-1]
        # of the iterations that were needed at least, few more were taken
        needed = np.log(np.sqrt(TOL / (0.5 * (1 - rate))) / 10) / np.log(rate)
        assert np.log(distance / 10) / np.log(rate) < 1.02 * needed + 4
    every = run(StoppingRule(TOL, 1e-12, accelerated=True), rate, 10.0)[0]
    assert every == list(range(len(every)))  # no rate of an accelerated run says how long it will take


def test_a_quicker_run_is_looked_at_before_its_time() -> None:
    rule = StoppingRule(TOL, 1e-12)
    watch = rule.judge(Watch(), linear(0.99, 1.0)).watch
    assert watch.wait > 5
    assert rule.judge(watch, linear(0.98, 1e-9)).verdict is Verdict.GO_ON
    assert rule.judge(watch, linear(0.4, 1e-9)).verdict is Verdict.CONVERGED


def stalled(rule: StoppingRule, risen: float, gains: float = 1e-8) -> int | None:
    """After how many cycles a run whose gain no longer falls has stalled; None where it has not in a thousand."""
    watch = Watch()
    for cycle in range(1000):
        noisy = linear(0.5, np.sqrt(gains) * (1.0 if cycle == 0 else 1.01), risen=risen)
        judged = rule.judge(replace(watch, wait=1), noisy)
        if judged.verdict is Verdict.STALLED:
            assert judged.watch.unimproved == 0
            return cycle
        watch = judged.watch
    return None


def test_a_run_whose_gain_falls_no_more_has_stalled_when_the_objective_no_longer_rises() -> None:
    rule = StoppingRule(TOL, 1e-10)
    assert stalled(rule, risen=0.0) == stopping.PATIENCE + 1
    assert stalled(rule, risen=1e-11) == stopping.PATIENCE + 1
    assert stalled(rule, risen=1e-9) is None
    assert stalled(StoppingRule(1e-7, 1e-10), risen=0.0) is None  # it has converged long before


def test_any_new_least_gain_buys_patience() -> None:
    rule, watch = StoppingRule(TOL, 1e-10), Watch()
    for cycle in range(20 * stopping.PATIENCE):
        creeping = linear(0.5, 1e-2 * 0.9 ** (cycle // stopping.PATIENCE), risen=0.0)
        judged = rule.judge(replace(watch, wait=1), creeping)
        assert judged.verdict is Verdict.GO_ON
        watch = judged.watch


def test_the_least_gain_is_remembered_and_not_the_last() -> None:
    rule, watch = StoppingRule(TOL, 1e-10), Watch()
    for distance, least, unimproved in ((1.0, 1.0, 0), (3.0, 1.0, 1), (2.0, 1.0, 2), (0.5, 0.5, 0)):
        watch = asked(rule, watch, linear(0.5, distance)).watch
        assert (watch.gain, watch.unimproved) == (pytest.approx(left(0.5, least)), unimproved)


# -------------------------------------------------------------------------------------------------------------------- monotone


def test_only_rounding_may_fall() -> None:
    rule = StoppingRule.of(TOL, 500.0, accelerated=False)
    assert rule.rounding == pytest.approx(500 * stopping.ROUNDING)
    assert not rule.falls(-100.0, -100.0)
    assert not rule.falls(-100.0, -99.0)
    assert not rule.falls(-100.0, -100.0 - 4e-10)
    assert rule.falls(-100.0, -100.0 - 6e-10)
    assert not rule.falls(-1e6, -1e6 - 9e-7)  # a large objective carries its own rounding
    assert rule.falls(-1e6, -1e6 - 2e-6)
    assert StoppingRule.of(TOL, 1e-3, accelerated=False).rounding == stopping.ROUNDING  # of a row at least


def test_what_explains_a_fall() -> None:
    rule = StoppingRule.of(TOL, 500.0, accelerated=False)
    fall = 0.1 * 500 * stopping.ROUNDING_AT_ZERO
    assert rule.explained(-100.0, -100.0 - fall, at_zero=True, sums=0.0)
    assert not rule.explained(-100.0, -100.0 - fall, at_zero=False, sums=0.0)
    assert not rule.explained(-100.0, -100.0 - 1e3 * fall, at_zero=True, sums=0.0)
    assert rule.explained(-100.0, -101.0, at_zero=False, sums=2.0)  # sums over rows that may err by more
    assert not rule.explained(-100.0, -101.0, at_zero=False, sums=0.5)


def test_a_fall_that_nothing_explains_is_named() -> None:
    wrong = StoppingRule.fault(-100.0, -101.0, 7, at_rounding=False)
    assert isinstance(wrong, NotMonotone)
    assert wrong.status is Status.STALLED
    for part in ("-100.0", "-101.0", "iteration 7", "M-step"):
        assert part in str(wrong)
    assert isinstance(StoppingRule.fault(-100.0, -101.0, 7, at_rounding=True), Degenerate)


# ------------------------------------------------------------------------------------------------------------------------- ends


def test_how_runs_end() -> None:
    watch = Watch(gain=1e-3, rate=0.98)
    assert out_of_iterations(watch) == End(Status.MAX_ITER, Status.MAX_ITER.sentence, 1e-3, 0.98)
    gone = Degenerate("sd", "a component collapsed on a point")
    assert broken_off(gone, hard=False, factors=True).status is Status.DEGENERATE
    assert broken_off(gone, hard=True, factors=False).status is Status.DEGENERATE
    unbounded = broken_off(gone, hard=True, factors=True)
    assert unbounded.status is Status.UNBOUNDED
    assert unbounded.reason == str(gone)
    assert not np.isfinite(unbounded.gain)


def test_only_the_score_makes_a_heywood_case_of_a_zero() -> None:
    converged = End.of(Status.CONVERGED, 1e-13, 0.9)
    assert at_a_zero(converged) == End(Status.STALLED, stopping.HALTED, np.inf, 0.9)
    climbed = at_a_zero(replace(converged, climbed=True))
    assert (climbed.status, climbed.gain) == (Status.HEYWOOD, 1e-13)

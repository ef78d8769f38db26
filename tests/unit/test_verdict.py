"""The verdict on whom the robot held on to: what a good run passes, and what a bad one fails."""

from collections.abc import Callable

from drivers.body import load
from sim.faults import Dark
from sim.scenario import Scenario, Stand, Throughout
from sim.verdict import Judge, Verdict

FRAME_S = 0.05
DARK = Dark(at_s=4.0, for_s=2.0)


def verdict(who: Callable[[float], str | None], throughout: Throughout) -> Verdict:
    """Of ten seconds in which the lock truly points at `who`."""
    stand = Stand(position_m=(0.0, 0.0, 0.75))
    scenario = Scenario(
        name="dark", about="", duration_s=10.0, robot=stand, fault=(DARK,), throughout=throughout
    )
    judge = Judge(scenario, 1, load())
    for number in range(200):
        judge.see_lock(number * FRAME_S, who(number * FRAME_S))
    return judge.verdict(10.0, 1.0)


def test_a_person_who_is_held_on_to_again_in_time_passes() -> None:
    asked = Throughout(regains_within_s=2.0)
    assert verdict(lambda t: "Anna" if t < 4.2 or t > 7.5 else None, asked).failures == ()
    failures = verdict(lambda t: "Anna" if t < 4.2 or t > 8.5 else None, asked).failures
    assert failures == ("at 8.00 s: it does not hold on to Anna again 2 s after dark",)


def test_somebody_else_is_not_the_person() -> None:
    asked = Throughout(regains_within_s=2.0, max_lock_changes=0)
    told = verdict(lambda t: "Anna" if t < 4.2 else "Ben", asked)
    assert told.lock_changes == 1
    assert len(told.failures) == 2


def test_nobody_before_a_fault_proves_nothing() -> None:
    failures = verdict(lambda t: "Anna" if t > 7.0 else None, Throughout(regains_within_s=2.0)).failures
    assert failures == ("at 4.00 s: it held on to nobody when dark came",)


def test_a_look_that_wanders_fails() -> None:
    asked = Throughout(max_lock_changes=3)
    assert verdict(lambda t: "Anna" if t < 5 else "Ben", asked).failures == ()
    wandering = verdict(lambda t: "Anna" if int(t) % 2 else "Ben", asked)
    assert "from one person to another 9 times, more than 3" in wandering.failures[0]

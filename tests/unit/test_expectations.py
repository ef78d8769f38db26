"""Whom the robot must hold on to: a run that does, and runs that don't."""

from sim.expectations import lock_failures
from sim.scenario import Expect, LockPart

HELD = [(k / 20, "Anna" if k < 100 else None if k < 160 else "Ben") for k in range(200)]


def test_the_right_person_at_a_time() -> None:
    at = (
        LockPart(at_s=4.0, names=("Anna", "Ben")),
        LockPart(at_s=7.0, names=("nobody",)),
        LockPart(at_s=9.5, names=("Ben",)),
        LockPart(at_s=30.0, names=("Hans",)),  # after the end of the run
    )
    assert lock_failures(Expect(locked_onto_at=at, never_locked_onto=("Hans",)), HELD) == []


def test_the_wrong_person_is_told() -> None:
    at = (LockPart(at_s=4.0, names=("Ben", "nobody")), LockPart(at_s=7.0, names=("Anna",)))
    assert lock_failures(Expect(locked_onto_at=at), HELD) == [
        "at 4 s it held on to Anna, not to Ben or nobody",
        "at 7 s it held on to nobody, not to Anna",
    ]


def test_never_means_in_no_frame() -> None:
    assert lock_failures(Expect(never_locked_onto=("Ben",)), HELD) == ["at 8.00 s it held on to Ben"]
    assert lock_failures(Expect(never_locked_onto=("anybody",)), HELD) == ["at 0.00 s it held on to somebody"]
    assert lock_failures(Expect(never_locked_onto=("anybody",)), [(0.0, None)]) == []


def test_a_run_without_frames_fails_what_it_should_have_seen() -> None:
    assert lock_failures(Expect(locked_onto_at=(LockPart(at_s=0.2, names=("Anna",)),)), []) != []

"""Whom the robot must hold on to, and whom never: the expectations about people."""

from collections.abc import Sequence

from sim.scenario import Expect

JUDGED_S = 1.0  # at a time means: in most frames of so long before it
NOBODY, ANYBODY = "nobody", "anybody"
Held = Sequence[tuple[float, str | None]]
"""For each frame its time since the start, and whom the robot's lock truly pointed at."""


def lock_failures(expect: Expect, held: Held) -> list[str]:
    """What was expected of the lock and is not so. A time after the end of the run is not judged."""
    failures = []
    last_s = held[-1][0] if held else 0.0
    for part in expect.locked_onto_at:
        if part.at_s > last_s + JUDGED_S / 2:
            continue
        seen = [who or NOBODY for time_s, who in held if part.at_s - JUDGED_S < time_s <= part.at_s]
        share = sum(who in part.names for who in seen) / len(seen) if seen else 0.0
        if share <= 0.5:
            whom = ", ".join(dict.fromkeys(seen)) or NOBODY
            failures.append(f"at {part.at_s:g} s it held on to {whom}, not to {' or '.join(part.names)}")
    for name in expect.never_locked_onto:
        first = next((time_s for time_s, who in held if who is not None and name in (who, ANYBODY)), None)
        if first is not None:
            failures.append(f"at {first:.2f} s it held on to {name if name != ANYBODY else 'somebody'}")
    return failures

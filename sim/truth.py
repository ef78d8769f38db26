"""What is truly so in the simulated world, which the robot itself cannot know."""

import msgspec

TRUTH_S = 0.01  # between two of them
TRUTH_OFFSET_S = 0.001  # between two steps of the servos, so that each truth is the same number of steps on


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The body at a time: where its joints are, and the pulses they are given in µs, 0 for none (empty: a bus).

    `tilt_rad` is None where the body cannot tip; `person` is whom the lock truly points at.
    """

    time_s: float
    angles_rad: tuple[float, ...]
    pulse_us: tuple[int, ...]
    tilt_rad: float | None = None
    person: str | None = None

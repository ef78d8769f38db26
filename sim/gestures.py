"""What a head does on top of where its owner looks: nods, shakes, tilts, sway, blinks."""

import math
from collections.abc import Sequence

import msgspec

from sim.speech import Said, small_talk
from sim.timeline import Nod, Say, Shake, Step, Talk, Tilt

NOD_HZ, NOD_RAD = 1.3, 0.21  # twelve degrees, a clear nod
SHAKE_HZ, SHAKE_RAD = 1.2, 0.3
TILT_RAD, TILT_IN_S = 0.26, 0.4
BLINK_EVERY_S, BLINK_S = 4.3, 0.25


class Turn(msgspec.Struct, frozen=True):
    """Angles to add to a head's: chin down, to the left, to the own right shoulder."""

    pitch_rad: float = 0.0
    yaw_rad: float = 0.0
    roll_rad: float = 0.0


STILL = Turn()


def gesture(steps: Sequence[Step], time_s: float) -> Turn:
    """What the gestures of a timeline add at a time."""
    pitch = yaw = roll = 0.0
    for step in steps:
        if step.at_s > time_s:
            break
        into_s = time_s - step.at_s
        match step:
            case Nod(times=times) if into_s < times / NOD_HZ:
                pitch += NOD_RAD * (1 - math.cos(2 * math.pi * NOD_HZ * into_s)) / 2
            case Shake(times=times) if into_s < times / SHAKE_HZ:
                ease = min(into_s, times / SHAKE_HZ - into_s, 0.2) / 0.2
                yaw += SHAKE_RAD * ease * math.sin(2 * math.pi * SHAKE_HZ * into_s)
            case Tilt(for_s=for_s) if into_s < for_s + TILT_IN_S:
                roll += TILT_RAD * smooth(min(into_s, for_s + TILT_IN_S - into_s) / TILT_IN_S)
            case _:
                pass
    return Turn(pitch, yaw, roll) if pitch or yaw or roll else STILL


def sayings(steps: Sequence[Step], seed: str) -> tuple[Said, ...]:
    """Every sentence of a timeline, in order."""
    said: list[Said] = []
    for step in steps:
        match step:
            case Say(text=text):
                said.append(Said(step.at_s, text))
            case Talk(for_s=for_s):
                said += small_talk(step.at_s, step.at_s + for_s, f"{seed} {step.at_s}")
            case _:
                pass
    return tuple(said)


def sway(time_s: float) -> Turn:
    """Nobody holds quite still."""
    return Turn(
        0.03 * math.sin(0.7 * time_s + 1.0), 0.04 * math.sin(0.9 * time_s), 0.02 * math.sin(0.5 * time_s)
    )


def blink(time_s: float) -> float:
    """How far the eyes are closed."""
    into_s = time_s % BLINK_EVERY_S
    return math.sin(math.pi * into_s / BLINK_S) if into_s < BLINK_S else 0.0


def smooth(share: float) -> float:
    """From 0 to 1 without a jerk."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def between(from_rad: float, to_rad: float, share: float) -> float:
    """An angle on the shorter way from one to another."""
    return from_rad + share * ((to_rad - from_rad + math.pi) % (2 * math.pi) - math.pi)

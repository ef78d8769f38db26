"""Senses of touch that a base has: bumper switches all around, and cliff sensors that look down at the floor."""

import math
import random

import msgspec

from sim.floor import Bump, Pose
from sim.room import Room
from sim.turns import turn, turn_back

FEELS_M_S = 0.02  # a slower touch does not close a switch
RELEASE_S = 0.05  # a switch bounces: it counts as closed for so long after the last touch
OVERLAP_RAD = 0.15  # where two segments meet, a bump closes both
SEES_M = 0.12  # a cliff sensor's infrared comes back from no further
CLIFF_M = 0.03  # a door's sill and a rug are lower, a stair and a table are higher
DROP_NOISE_M = 0.003  # one sigma


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One switch of the bumper: the bearings that close it, positive to the left."""

    name: str
    from_rad: float
    to_rad: float


HALF_FRONT_RAD = math.pi / 6
SEGMENTS = (
    Segment(name="left", from_rad=HALF_FRONT_RAD, to_rad=math.pi / 2),
    Segment(name="front", from_rad=-HALF_FRONT_RAD, to_rad=HALF_FRONT_RAD),
    Segment(name="right", from_rad=-math.pi / 2, to_rad=-HALF_FRONT_RAD),
)


class Bumper:
    """Switches around the front half; behind, the base is blind."""

    def __init__(self, segments: tuple[Segment, ...] = SEGMENTS) -> None:
        self._segments = segments
        self._closed_s = {segment.name: -math.inf for segment in segments}

    def feel(self, bump: Bump | None, now_s: float) -> tuple[str, ...]:
        """The names of the switches that are closed, in the order of the segments."""
        for segment in self._segments:
            if bump is not None and _closes(segment, bump):
                self._closed_s[segment.name] = now_s
        return tuple(name for name, then_s in self._closed_s.items() if now_s - then_s <= RELEASE_S)


def _closes(segment: Segment, bump: Bump) -> bool:
    low, high = segment.from_rad - OVERLAP_RAD / 2, segment.to_rad + OVERLAP_RAD / 2
    return bump.speed_m_s >= FEELS_M_S and low <= bump.bearing_rad <= high


class CliffSensors:
    """Sensors under the rim. They measure how far below the wheels the next thing is, with noise from a seed."""

    def __init__(self, places_m: tuple[tuple[float, float], ...], seed: int) -> None:
        self._places_m = places_m
        self._random = random.Random(f"{seed} cliff")

    def look(self, room: Room, pose: Pose, level_m: float) -> tuple[bool, ...]:
        """Of each sensor, whether it looks over an edge. `level_m` is the height of what the wheels stand on."""
        return tuple(self._is_over(room, pose, place, level_m) for place in self._places_m)

    def _is_over(self, room: Room, pose: Pose, place_m: tuple[float, float], level_m: float) -> bool:
        x, y = turn(math.cos(pose.yaw_rad), math.sin(pose.yaw_rad), *place_m)
        noise_m = self._random.gauss(0.0, DROP_NOISE_M)
        drop = drop_m(room, pose.x_m + x, pose.y_m + y, level_m)
        return drop is None or drop > SEES_M or drop + noise_m > CLIFF_M


def drop_m(room: Room, x_m: float, y_m: float, level_m: float) -> float | None:
    """How far below a level the highest thing at a place is; None: nothing, as in a stairwell."""
    tops = []
    for box in room.boxes:
        cos, sin = math.cos(box.yaw_rad), math.sin(box.yaw_rad)
        along, across = turn_back(cos, sin, x_m - box.centre_m[0], y_m - box.centre_m[1])
        top_m = box.centre_m[2] + box.size_m[2] / 2
        if (
            abs(along) <= box.size_m[0] / 2
            and abs(across) <= box.size_m[1] / 2
            and top_m <= level_m + CLIFF_M
        ):
            tops.append(top_m)
    return level_m - max(tops) if tops else None

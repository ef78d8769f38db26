"""Who is where: people who walk between their spots, pause, look about, talk and blink.

Where somebody is depends on the seed and the time alone, so that a picture can be drawn for any moment.
"""

import math
import random
from bisect import bisect_right
from typing import NamedTuple

from sim.people import Actor
from sim.scenario import CallerPart, PersonPart, Scenario

TURN_S = 0.6  # to turn the head or the body to somewhere else
NOD_HZ = 1.3
NOD_RAD = 0.21  # twelve degrees, a clear nod
CALLER_DISTANCE_M = 0.75


class _Leg(NamedTuple):
    """A stretch of somebody's day: from one spot to the next (the same one for a pause)."""

    start_s: float
    end_s: float
    origin: tuple[float, float]
    goal: tuple[float, float]
    look_rad: float | None  # where the face turns, None: at the robot
    talking: bool


class Wanderer:
    """One person's day, unrolled as far as it was asked for."""

    def __init__(self, part: PersonPart, seed: int, robot_m: tuple[float, float, float]) -> None:
        self._part = part
        self._robot_m = robot_m
        self._random = random.Random(f"{seed} {part.name}")
        self._phase = self._random.uniform(0.0, 5.0)
        self._legs: list[_Leg] = []
        self._starts: list[float] = []
        self._spot = 0
        self._pause(0.0)

    @property
    def name(self) -> str:
        return self._part.name

    def at(self, time_s: float) -> Actor:
        """Where this person is and how they look at a time."""
        while self._legs[-1].end_s <= time_s:
            self._unroll()
        place = bisect_right(self._starts, time_s) - 1
        leg, before = self._legs[place], self._legs[max(place - 1, 0)]
        share = (time_s - leg.start_s) / (leg.end_s - leg.start_s)
        x = leg.origin[0] + share * (leg.goal[0] - leg.origin[0])
        y = leg.origin[1] + share * (leg.goal[1] - leg.origin[1])
        walking = leg.origin != leg.goal
        step = math.sin(2 * math.pi * time_s * 1.8) if walking else 0.0
        blend = min((time_s - leg.start_s) / TURN_S, 1.0)
        yaw = _between(self._facing(before, x, y), self._facing(leg, x, y), blend * blend * (3 - 2 * blend))
        t = time_s + self._phase
        return Actor(
            name=self._part.name,
            position_m=(x, y, self._part.eye_height_m + 0.015 * abs(step)),
            yaw_rad=yaw + 0.04 * math.sin(0.9 * t),
            pitch_rad=0.03 * math.sin(0.7 * t + 1.0),
            roll_rad=0.02 * math.sin(0.5 * t),
            body_yaw_rad=yaw,
            mouth=_mouth(t) if leg.talking else 0.0,
            blink=_blink(t),
            smile=0.3 * max(0.0, math.sin(0.2 * t)),
        )

    def _facing(self, leg: _Leg, x: float, y: float) -> float:
        if leg.origin != leg.goal and leg.look_rad is not None:
            return math.atan2(leg.goal[1] - leg.origin[1], leg.goal[0] - leg.origin[0])
        if leg.look_rad is not None:
            return leg.look_rad
        return math.atan2(self._robot_m[1] - y, self._robot_m[0] - x)

    def _unroll(self) -> None:
        last = self._legs[-1]
        spots = self._part.spots_m
        if last.origin != last.goal or len(spots) == 1:
            self._pause(last.end_s)
            return
        choice = self._random.randrange(len(spots) - 1)
        self._spot = (self._spot + 1 + choice) % len(spots)
        origin, goal = last.goal, spots[self._spot]
        walk_s = max(math.dist(origin, goal) / self._part.pace_m_s, 2 * TURN_S)
        looks = self._random.random() < self._part.looks_at_robot
        self._add(_Leg(last.end_s, last.end_s + walk_s, origin, goal, None if looks else 0.0, False))

    def _pause(self, start_s: float) -> None:
        spot = self._part.spots_m[self._spot]
        long_s = max(self._random.uniform(*self._part.pause_s), 2 * TURN_S)
        looks = self._random.random() < self._part.looks_at_robot
        towards = math.atan2(self._robot_m[1] - spot[1], self._robot_m[0] - spot[0])
        away = towards + self._random.choice((-1, 1)) * self._random.uniform(0.4, 1.1)
        talking = self._random.random() < self._part.talks
        self._add(_Leg(start_s, start_s + long_s, spot, spot, None if looks else away, talking))

    def _add(self, leg: _Leg) -> None:
        self._legs.append(leg)
        self._starts.append(leg.start_s)


class Caller:
    """The other side of a simulated call: faces their camera, talks now and then, and nods."""

    def __init__(self, part: CallerPart, seed: int) -> None:
        self._part = part
        self._phase = random.Random(f"{seed} caller").uniform(0.0, part.nods_every_s / 2)

    def at(self, time_s: float) -> Actor:
        """How the caller looks at a time, before a camera in front of their face."""
        t = time_s + self._phase
        into_s = t % self._part.nods_every_s
        nod = 0.0
        if into_s < 2 / NOD_HZ:
            nod = NOD_RAD * (1 - math.cos(2 * math.pi * NOD_HZ * into_s)) / 2
        return Actor(
            name=self._part.name,
            position_m=(0.0, 0.0, 1.5),
            yaw_rad=0.03 * math.sin(0.6 * t),
            pitch_rad=nod,
            roll_rad=0.02 * math.sin(0.4 * t),
            mouth=_mouth(t) if into_s > self._part.nods_every_s * 0.6 else 0.0,
            blink=_blink(t),
            smile=0.2,
        )


class World:
    """Everybody in a scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._wanderers = [Wanderer(part, seed, scenario.robot.position_m) for part in scenario.person]
        self.caller = Caller(scenario.caller, seed) if scenario.caller else None

    def actors(self, time_s: float) -> tuple[Actor, ...]:
        """Everybody in the room at a time."""
        return tuple(wanderer.at(time_s) for wanderer in self._wanderers)


def _between(from_rad: float, to_rad: float, share: float) -> float:
    turn = (to_rad - from_rad + math.pi) % (2 * math.pi) - math.pi
    return from_rad + share * turn


def _mouth(t: float) -> float:
    """Syllables at four a second, uneven."""
    return max(0.0, 0.5 * math.sin(2 * math.pi * 4.1 * t) + 0.35 * math.sin(2 * math.pi * 2.7 * t + 1.0))


def _blink(t: float) -> float:
    into = t % 4.3
    return math.sin(math.pi * into / 0.25) if into < 0.25 else 0.0

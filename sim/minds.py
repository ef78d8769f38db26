"""What somebody wants to do next: by their timeline, or by chance for those who wander.

Minds remember nothing: what has been done so far is counted in the mover's state (`sim.crowd`), and chance is
drawn anew from the seed, the name and that count. So the same state always wants the same.
"""

import math
import random
from functools import lru_cache
from typing import Protocol

import msgspec

from sim.gestures import sayings
from sim.places import Places, Point
from sim.scenario import PersonPart
from sim.speech import Said, small_talk
from sim.timeline import Enter, Leave, Look, Sit, Stand, TurnAway, Walk

LEAST_PAUSE_S = 1.2
AWAY_RAD = 1.3  # the face is turned so far aside, and no camera sees it from the front
TALK_AFTER_S = 0.4  # somebody who stops first stands, then talks


class GoTo(msgspec.Struct, frozen=True):
    """Walk to a place."""

    to_m: Point
    pace_m_s: float


class SitOn(msgspec.Struct, frozen=True):
    """Walk to a seat and sit down."""

    seat: str
    pace_m_s: float


class GetUp(msgspec.Struct, frozen=True):
    """Stand up."""


class GoOut(msgspec.Struct, frozen=True):
    """Walk to a door and out."""

    door: str | None
    pace_m_s: float


class ComeIn(msgspec.Struct, frozen=True):
    """Come in by a door and walk to a place."""

    door: str | None
    to_m: Point
    pace_m_s: float


class Rest(msgspec.Struct, frozen=True):
    """Stay for a while."""

    until_s: float


Wish = GoTo | SitOn | GetUp | GoOut | ComeIn | Rest


class Gaze(msgspec.Struct, frozen=True):
    """Where somebody looks: at the robot or a person by name, or else at a bearing off the robot or the room."""

    at: str | None = "robot"
    off_robot_rad: float = 0.0
    bearing_rad: float | None = None


AT_ROBOT = Gaze()


class Mind(Protocol):
    """Pure: `done` is how many wishes this mind has had granted, `since_s` when the last one began."""

    def wish(self, done: int, place_m: Point, time_s: float) -> Wish | None:
        """What to do next; None for nothing yet."""

    def gaze(self, done: int, time_s: float) -> Gaze:
        """Where to look."""

    def sayings(self, done: int, since_s: float) -> tuple[Said, ...]:
        """The sentences around now, by their start."""


class Timeline:
    """Somebody who does what the scenario says, step by step."""

    def __init__(self, part: PersonPart, seed: int) -> None:
        self._pace_m_s = part.pace_m_s
        self._moves = [step for step in part.does if isinstance(step, Walk | Sit | Stand | Leave | Enter)]
        self._looks = [step for step in part.does if isinstance(step, Look | TurnAway)]
        self._said = sayings(part.does, f"{seed} {part.name}")
        self._side = random.Random(f"{seed} {part.name} side").choice((-1, 1))

    def wish(self, done: int, place_m: Point, time_s: float) -> Wish | None:
        """The next step, once its time has come."""
        if done >= len(self._moves) or self._moves[done].at_s > time_s:
            return None
        match step := self._moves[done]:
            case Walk():
                return GoTo(step.to_m, step.pace_m_s or self._pace_m_s)
            case Sit():
                return SitOn(step.on, self._pace_m_s)
            case Stand():
                return GetUp()
            case Leave():
                return GoOut(step.by, self._pace_m_s)
            case Enter():
                return ComeIn(step.by, step.to_m, step.pace_m_s or self._pace_m_s)

    def gaze(self, done: int, time_s: float) -> Gaze:
        """By the last look whose time has come."""
        last: Look | TurnAway | None = None
        for step in self._looks:
            if step.at_s > time_s:
                break
            last = step
        match last:
            case None:
                return AT_ROBOT
            case TurnAway():
                return Gaze(None, math.pi)
            case Look(bearing_rad=float() as bearing_rad):
                return Gaze(None, 0.0, bearing_rad)
            case Look(at="away"):
                return Gaze(None, self._side * AWAY_RAD)
            case Look(at=at):
                return Gaze(at)

    def sayings(self, done: int, since_s: float) -> tuple[Said, ...]:
        """All of them."""
        return self._said


class _Pause(msgspec.Struct, frozen=True):
    long_s: float
    gaze: Gaze
    talks: bool


class Wandering:
    """Somebody who walks between spots, rests, looks about and talks; even counts rest, odd ones walk."""

    def __init__(
        self,
        name: str,
        seed: int,
        spots_m: tuple[Point, ...],
        pace_m_s: float,
        pause_s: tuple[float, float],
        looks_at_robot: float = 0.0,
        talks: float = 0.0,
    ) -> None:
        self._key = f"{seed} {name}"
        self._spots = spots_m
        self._pace_m_s = pace_m_s
        self._pause_s = pause_s
        self._looks_at_robot, self._talks = looks_at_robot, talks
        self._pause = lru_cache(maxsize=8)(self._draw_pause)
        self._small_talk = lru_cache(maxsize=8)(self._talk)

    def wish(self, done: int, place_m: Point, time_s: float) -> Wish | None:
        """Rest, then another spot than the nearest, and so on."""
        if done % 2 == 0 or len(self._spots) == 1:
            return Rest(time_s + self._pause(done).long_s)
        x, y = place_m
        here = min(self._spots, key=lambda spot: (spot[0] - x) ** 2 + (spot[1] - y) ** 2)
        others = [spot for spot in self._spots if spot != here] or [here]
        return GoTo(random.Random(f"{self._key} {done}").choice(others), self._pace_m_s)

    def gaze(self, done: int, time_s: float) -> Gaze:
        """As drawn for this rest or walk."""
        return self._pause(max(done - 1, 0)).gaze

    def sayings(self, done: int, since_s: float) -> tuple[Said, ...]:
        """Of this rest."""
        return self._small_talk(done - 1, since_s)

    def _talk(self, rest: int, since_s: float) -> tuple[Said, ...]:
        pause = self._pause(max(rest, 0))
        if rest < 0 or not pause.talks or (rest % 2 and len(self._spots) > 1):
            return ()
        return small_talk(since_s + TALK_AFTER_S, since_s + pause.long_s, f"{self._key} {rest}")

    def _draw_pause(self, done: int) -> _Pause:
        rng = random.Random(f"{self._key} {done} pause")
        long_s = max(rng.uniform(*self._pause_s), LEAST_PAUSE_S)
        aside = rng.choice((-1, 1)) * rng.uniform(0.4, 1.1)
        looks, talks = rng.random() < self._looks_at_robot, rng.random() < self._talks
        return _Pause(long_s, AT_ROBOT if looks else Gaze(None, aside), talks)


def place_first(part: PersonPart, places: Places) -> Point:
    """Where somebody is when the scenario begins; outside a door for those who have yet to enter."""
    if part.spots_m is not None:
        return part.spots_m[0]
    return part.starts_m or places.door(None).outside_m

"""Who is where, and how they look and sound: people, pets, the caller and the light of a scenario.

All of it depends on the seed and the time alone, so that a picture can be drawn for any moment.
"""

import math
import random

from sim import gestures
from sim.crowd import SEATED_EYES, TICK_S, Crowd, Member, Mover
from sim.gestures import between, smooth
from sim.minds import Mind, Timeline, Wandering, place_first
from sim.paths import ground_for
from sim.people import Actor
from sim.pets import PetActor, pet_actor
from sim.places import PLACES, room_of
from sim.scenario import CallerPart, PersonPart, Scenario
from sim.speech import Speech, mouth, small_talk
from sim.timeline import Leave, Look, Nod, Return, Step
from sim.walking import Walker

CALLER_DISTANCE_M = 0.75
CALLER_AWAY_M = 1.6  # so far aside a caller is out of the picture
CALLER_GOES_S = 1.5
CALLER_ASIDE_RAD = 0.9  # where a caller looks who looks away
LOOK_S = 0.6
MOUTH_BELOW_M = 0.07  # the eyes
EASY_PACE_M_S = 0.7
STRIDE_RAD = 0.42  # swing of a leg at an easy walk
BOB_M = 0.015  # of the eyes, at an easy walk
ADULT_EYES_M = 1.6
LEAN_RAD = 0.2  # of the head, half-way down to a seat
PET_APART_M = 0.35


class World:
    """Everybody in a scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        room, places = room_of(scenario.room), PLACES[scenario.room]
        members = [
            Member(
                name=part.name,
                mind=_mind(part, seed),
                ground=ground_for(room),
                walker=Walker(size=part.eye_height_m / ADULT_EYES_M),
                start_m=place_first(part, places),
                starts_outside=part.spots_m is None and part.starts_m is None,
            )
            for part in scenario.person
        ]
        self._pet_names = [f"{pet.kind} {place}" for place, pet in enumerate(scenario.pet)]
        for name, pet in zip(self._pet_names, scenario.pet, strict=True):
            mind = Wandering(name, seed, pet.spots_m, pet.pace_m_s, pet.pause_s)
            walker = Walker(PET_APART_M, 0.4)
            members.append(Member(name, mind, ground_for(room, is_pet=True), walker, pet.spots_m[0]))
        self._phases = [random.Random(f"{seed} {part.name}").uniform(0.0, 5.0) for part in scenario.person]
        self._crowd = Crowd(tuple(members), places, scenario.robot.position_m[:2])
        self.caller = Caller(scenario.caller, seed) if scenario.caller else None

    def actors(self, time_s: float) -> tuple[Actor, ...]:
        """Everybody in the room at a time."""
        tick, share = _tick(time_s)
        before, after = self._crowd.at(tick), self._crowd.at(tick + 1)
        return tuple(
            self._actor(place, part, before[place], after[place], share, time_s)
            for place, part in enumerate(self._scenario.person)
            if before[place].is_here
        )

    def pets(self, time_s: float) -> tuple[PetActor, ...]:
        """All cats and dogs at a time."""
        tick, share = _tick(time_s)
        first = len(self._scenario.person)
        before, after = self._crowd.at(tick)[first:], self._crowd.at(tick + 1)[first:]
        return tuple(
            pet_actor(
                name,
                part.kind,
                (_mix(a.x_m, b.x_m, share), _mix(a.y_m, b.y_m, share)),
                yaw_rad=between(a.body_rad, b.body_rad, share),
                head_yaw_rad=between(a.head_rad, b.head_rad, share),
                gait_rad=between(a.gait_rad, b.gait_rad, share),
                speed_m_s=math.hypot(b.vx_m_s, b.vy_m_s),
            )
            for name, part, a, b in zip(self._pet_names, self._scenario.pet, before, after, strict=True)
        )

    def speech(self, from_s: float, to_s: float) -> tuple[Speech, ...]:
        """Every sentence whose first word falls into [from_s, to_s), by its start."""
        found: dict[tuple[float, str], Speech] = {}
        first, last = _tick(from_s)[0], _tick(to_s)[0] + 1
        for tick in range(first, last):
            movers = self._crowd.at(tick)
            for part, member, mover in zip(self._scenario.person, self._crowd.members, movers, strict=False):
                if not mover.is_here:
                    continue
                for said in member.mind.sayings(mover.done, mover.since_s):
                    if not max(from_s, tick * TICK_S) <= said.start_s < min(to_s, (tick + 1) * TICK_S):
                        continue
                    z = _eyes_m(part, smooth(mover.sitting)) - MOUTH_BELOW_M
                    speech = Speech(part.name, said.start_s, said.text, (mover.x_m, mover.y_m, z))
                    found[said.start_s, part.name] = speech
        return tuple(found[key] for key in sorted(found))

    def light(self, time_s: float) -> float:
        """How bright the room is at a time, 1 by day."""
        light = self._scenario.light
        if isinstance(light, float):
            return light
        level = 1.0
        for part in light:
            if part.at_s > time_s:
                break
            share = min((time_s - part.at_s) / part.over_s, 1.0) if part.over_s > 0 else 1.0
            level += share * (part.level - level)
        return level

    def _actor(
        self, place: int, part: PersonPart, before: Mover, after: Mover, share: float, time_s: float
    ) -> Actor:
        after = after if after.is_here else before
        t = time_s + self._phases[place]
        sway, turn = gestures.sway(t), gestures.gesture(part.does, time_s)
        gait = between(before.gait_rad, after.gait_rad, share)
        speed = math.hypot(after.vx_m_s, after.vy_m_s)
        down = _mix(before.sitting, after.sitting, share)
        sitting = smooth(down)
        bob = BOB_M * min(speed / EASY_PACE_M_S, 2.0) * abs(math.sin(gait))
        said = self._crowd.members[place].mind.sayings(before.done, before.since_s)
        body = between(before.body_rad, after.body_rad, share)
        return Actor(
            name=part.name,
            position_m=(
                _mix(before.x_m, after.x_m, share),
                _mix(before.y_m, after.y_m, share),
                _eyes_m(part, sitting) + bob,
            ),
            yaw_rad=between(before.head_rad, after.head_rad, share) + sway.yaw_rad + turn.yaw_rad,
            pitch_rad=sway.pitch_rad + turn.pitch_rad + LEAN_RAD * math.sin(math.pi * down),
            roll_rad=sway.roll_rad + turn.roll_rad,
            body_yaw_rad=body,
            mouth=mouth(said, time_s),
            blink=gestures.blink(t),
            smile=0.3 * max(0.0, math.sin(0.2 * t)),
            sitting=sitting,
            stride_rad=STRIDE_RAD * min(speed / EASY_PACE_M_S, 1.5) * math.sin(gait),
        )


class Caller:
    """The other side of a simulated call: faces their camera, talks and nods, or follows a timeline."""

    def __init__(self, part: CallerPart, seed: int) -> None:
        self._part = part
        self._seed = seed
        self._phase = random.Random(f"{seed} caller").uniform(0.0, part.nods_every_s / 2)
        self._said = gestures.sayings(part.does, f"{seed} caller")

    def at(self, time_s: float) -> Actor:
        """How the caller looks at a time, before a camera in front of their face; aside of it while away."""
        t = time_s + self._phase
        if self._part.does:
            steps: tuple[Step, ...] = self._part.does
            open_mouth, yaw, aside = mouth(self._said, time_s), self._aside(time_s), self._away(time_s)
            turn = gestures.gesture(steps, time_s)
        else:
            every_s = self._part.nods_every_s
            start_s = time_s - t % every_s
            turn = gestures.gesture((Nod(at_s=start_s, times=2),), time_s)
            talk = small_talk(start_s + every_s * 0.6, start_s + every_s, f"{self._seed} {start_s:.3f}")
            open_mouth, yaw, aside = mouth(talk, time_s), 0.0, 0.0
        return Actor(
            name=self._part.name,
            position_m=(0.0, aside, 1.5),
            yaw_rad=0.03 * math.sin(0.6 * t) + turn.yaw_rad + yaw,
            pitch_rad=turn.pitch_rad,
            roll_rad=0.02 * math.sin(0.4 * t) + turn.roll_rad,
            mouth=open_mouth,
            blink=gestures.blink(t),
            smile=0.2,
        )

    def _aside(self, time_s: float) -> float:
        yaw, goal = 0.0, 0.0
        for step in self._part.does:
            if isinstance(step, Look) and step.at_s <= time_s:
                start = yaw
                goal = CALLER_ASIDE_RAD if step.at == "away" else 0.0
                yaw = start + smooth((time_s - step.at_s) / LOOK_S) * (goal - start)
        return yaw

    def _away(self, time_s: float) -> float:
        aside = 0.0
        for step in self._part.does:
            if step.at_s <= time_s and isinstance(step, Leave | Return):
                goal = CALLER_AWAY_M if isinstance(step, Leave) else 0.0
                aside += smooth((time_s - step.at_s) / CALLER_GOES_S) * (goal - aside)
        return aside


def _mind(part: PersonPart, seed: int) -> Mind:
    if part.spots_m is None:
        return Timeline(part, seed)
    return Wandering(
        part.name, seed, part.spots_m, part.pace_m_s, part.pause_s, part.looks_at_robot, part.talks
    )


def _eyes_m(part: PersonPart, sitting: float) -> float:
    """How high the eyes are; seats are about as high as each other."""
    seated_m = 0.46 + SEATED_EYES * part.eye_height_m
    return part.eye_height_m + sitting * (min(seated_m, part.eye_height_m) - part.eye_height_m)


def _tick(time_s: float) -> tuple[int, float]:
    tick = math.floor(time_s / TICK_S)
    return tick, time_s / TICK_S - tick


def _mix(a: float, b: float, share: float) -> float:
    return a + share * (b - a)

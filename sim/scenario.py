"""Scenarios: short TOML files that say who is there, what happens when, and what must hold at the end."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from drivers.errors import ConfigError
from drivers.toml_lines import Source
from sim import faults, scene_check
from sim.faults import Fault
from sim.sensor import Sensor
from sim.timeline import CallerStep, Metre, Pace, PersonStep, Say, Second, Text, saying_s

FOLDER = Path(__file__).with_name("scenarios")
Level = Annotated[float, msgspec.Meta(ge=0.0, le=2.0)]
Spots = Annotated[tuple[tuple[Metre, Metre], ...], msgspec.Meta(min_length=1, max_length=20)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: a key that isn't known is an error."""


class Stand(_Part, frozen=True, kw_only=True):
    """Where the robot stands in the room."""

    position_m: tuple[Metre, Metre, Metre]
    yaw_rad: Annotated[float, msgspec.Meta(ge=-3.2, le=3.2)] = 0.0


class PersonPart(_Part, frozen=True, kw_only=True):
    """Somebody in the room. With `spots_m` they wander; else they do what `does` says, step by step.

    Without `starts_m` they are outside until they enter.
    """

    name: str
    spots_m: Spots | None = None
    starts_m: tuple[Metre, Metre] | None = None
    does: tuple[PersonStep, ...] = ()
    eye_height_m: Annotated[float, msgspec.Meta(ge=0.5, le=2.2)] = 1.6
    pace_m_s: Pace = 0.7
    pause_s: tuple[Second, Second] = (3.0, 8.0)
    looks_at_robot: Share = 0.7
    talks: Share = 0.3


class PetPart(_Part, frozen=True, kw_only=True):
    """A cat or a dog that wanders between spots, under the table too."""

    kind: Literal["cat", "dog"]
    spots_m: Spots
    pace_m_s: Pace = 0.6
    pause_s: tuple[Second, Second] = (2.0, 6.0)


class CallerPart(_Part, frozen=True, kw_only=True):
    """The other side of a simulated video call: nods now and then, or does what `does` says."""

    name: str
    nods_every_s: Annotated[float, msgspec.Meta(ge=1.0, le=3600.0)] = 8.0
    does: tuple[CallerStep, ...] = ()


class LightPart(_Part, frozen=True, kw_only=True):
    """From a time on the light fades to a level, over so many seconds. It begins at 1."""

    at_s: Second
    level: Level
    over_s: Second = 0.0


class OrderPart(_Part, frozen=True, kw_only=True):
    """A sentence typed to the robot at a time."""

    at_s: Second
    text: Text


class LockPart(_Part, frozen=True, kw_only=True):
    """Whom the robot holds on to at a time: anybody of `names`, or "nobody"."""

    at_s: Second
    names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Expect(_Part, frozen=True, kw_only=True):
    """What must hold at the end, as a person watching would put it."""

    lock_share: Share | None = None  # least share of frames in which it holds on to somebody
    same_person: bool = False  # the lock never moved to somebody else without being asked
    nods: Annotated[int, msgspec.Meta(ge=0)] | None = None  # dips of the screen that orders asked for
    replies: tuple[str, ...] = ()  # each must be part of some reply
    locked_onto_at: tuple[LockPart, ...] = ()  # in most frames of the second before
    never_locked_onto: tuple[str, ...] = ()  # names, or "anybody"
    most_nods: Annotated[int, msgspec.Meta(ge=0)] | None = None  # the screen nods no more often


class Throughout(_Part, frozen=True, kw_only=True):
    """What must hold all the time, beyond `sim.invariants`; and how far those are asked for here."""

    max_lock_changes: Annotated[int, msgspec.Meta(ge=0)] | None = None  # from one person to another
    rest_after_fault_s: Second = 0.25  # the pulses, where the robot or its board has to stop
    said_within_s: Second = 3.0  # that something is wrong
    moves_again_within_s: Second = 8.0  # after the fault's end
    regains_within_s: Second | None = None  # the person it held on to, after the fault's end
    min_margin_m: Metre = 0.0  # of the zero-moment point, from the edge of what the robot stands on inwards


class Scenario(_Part, frozen=True, kw_only=True):
    """One scene with its people, events and expectations."""

    name: str
    about: str
    duration_s: Annotated[float, msgspec.Meta(gt=0.0, le=86400.0)]
    room: Literal["living-room", "flat"] = "living-room"
    light: Level | tuple[LightPart, ...] = 1.0
    sensor: Sensor = Sensor()
    robot: Stand
    person: tuple[PersonPart, ...] = ()
    pet: tuple[PetPart, ...] = ()
    caller: CallerPart | None = None
    order: tuple[OrderPart, ...] = ()
    fault: tuple[Fault, ...] = ()
    throughout: Throughout = Throughout()
    expect: Expect = Expect()

    def orders(self) -> tuple[OrderPart, ...]:
        """All that is asked of the robot, by time: what is typed, and what people say, when they have said it."""
        said = [
            OrderPart(at_s=step.at_s + saying_s(step.text), text=step.text)
            for part in self.person
            for step in part.does
            if isinstance(step, Say)
        ]
        return tuple(sorted((*self.order, *said), key=lambda order: order.at_s))


def names() -> list[str]:
    """The scenarios that ship, by name."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, people: tuple[str, ...]) -> Scenario:
    """Read a scenario by its name, or by a path to a file, and check it whole.

    Raises ConfigError naming the file, the line and what is wrong: a typo, a wrong type, somebody who doesn't
    exist (`people` are those who do), a time that runs backwards, a step that makes no sense there.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        source = Source(str(path), path.read_bytes())
    except FileNotFoundError as exc:
        raise ConfigError(f"no scenario {name!r}; there are: {', '.join(names())}") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    except ValueError as exc:
        raise ConfigError(f"no scenario {name!r}: that is no name of a file") from exc
    scenario = source.decode(Scenario)
    for error in scene_check.errors(scenario, people):
        raise source.error(*error)
    try:
        faults.check(scenario.fault, scenario.duration_s, has_caller=scenario.caller is not None)
    except ConfigError as exc:
        raise source.error(("fault",), str(exc)) from exc
    return scenario

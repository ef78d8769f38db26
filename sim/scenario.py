"""Scenarios: short TOML files that say who is there, what happens when, and what must hold at the end."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from drivers.errors import ConfigError
from sim import faults
from sim.faults import Fault

FOLDER = Path(__file__).with_name("scenarios")
Metre = Annotated[float, msgspec.Meta(ge=-20.0, le=20.0)]
Second = Annotated[float, msgspec.Meta(ge=0.0, le=86400.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: a key that isn't known is an error."""


class Stand(_Part, frozen=True, kw_only=True):
    """Where the robot stands in the room."""

    position_m: tuple[Metre, Metre, Metre]
    yaw_rad: Annotated[float, msgspec.Meta(ge=-3.2, le=3.2)] = 0.0


class PersonPart(_Part, frozen=True, kw_only=True):
    """Somebody who wanders between spots, rests, looks about and talks."""

    name: str
    spots_m: Annotated[tuple[tuple[Metre, Metre], ...], msgspec.Meta(min_length=1, max_length=20)]
    eye_height_m: Annotated[float, msgspec.Meta(ge=0.5, le=2.2)] = 1.6
    pace_m_s: Annotated[float, msgspec.Meta(ge=0.1, le=3.0)] = 0.7
    pause_s: tuple[Second, Second] = (3.0, 8.0)
    looks_at_robot: Share = 0.7
    talks: Share = 0.3


class CallerPart(_Part, frozen=True, kw_only=True):
    """The other side of a simulated video call."""

    name: str
    nods_every_s: Annotated[float, msgspec.Meta(ge=1.0, le=3600.0)] = 8.0


class OrderPart(_Part, frozen=True, kw_only=True):
    """A sentence typed to the robot at a time."""

    at_s: Second
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Expect(_Part, frozen=True, kw_only=True):
    """What must hold at the end, as a person watching would put it."""

    lock_share: Share | None = None  # least share of frames in which it holds on to somebody
    same_person: bool = False  # the lock never moved to somebody else without being asked
    nods: Annotated[int, msgspec.Meta(ge=0)] | None = None  # dips of the screen that orders asked for
    replies: tuple[str, ...] = ()  # each must be part of some reply


class Throughout(_Part, frozen=True, kw_only=True):
    """What must hold all the time, beyond `sim.invariants`; and how far those are asked for here."""

    max_lock_changes: Annotated[int, msgspec.Meta(ge=0)] | None = None  # from one person to another
    rest_after_fault_s: Second = 0.25  # the pulses, where the robot or its board has to stop
    said_within_s: Second = 3.0  # that something is wrong
    moves_again_within_s: Second = 8.0  # after the fault's end
    regains_within_s: Second | None = None  # the person it held on to, after the fault's end
    min_margin_m: Metre = 0.0  # of the zero-moment point from the edge of what the robot stands on


class Scenario(_Part, frozen=True, kw_only=True):
    """One scene with its people, events and expectations."""

    name: str
    about: str
    duration_s: Annotated[float, msgspec.Meta(gt=0.0, le=86400.0)]
    room: Literal["living-room"] = "living-room"
    light: Annotated[float, msgspec.Meta(ge=0.0, le=2.0)] = 1.0
    robot: Stand
    person: tuple[PersonPart, ...] = ()
    caller: CallerPart | None = None
    order: tuple[OrderPart, ...] = ()
    fault: tuple[Fault, ...] = ()
    throughout: Throughout = Throughout()
    expect: Expect = Expect()


def names() -> list[str]:
    """The scenarios that ship, by name."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, people: tuple[str, ...]) -> Scenario:
    """Read a scenario by its name, or by a path to a file, and check it whole.

    Raises ConfigError naming the file and what is wrong: a typo, a wrong type, a person who doesn't exist
    (`people` are those who do), orders out of order.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        scenario = msgspec.toml.decode(path.read_bytes(), type=Scenario)
    except FileNotFoundError as exc:
        raise ConfigError(f"no scenario {name!r}; there are: {', '.join(names())}") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        hint = (
            f"; the faults are {', '.join(faults.NAMES)}"
            if ".fault" in str(exc) and ".what" in str(exc)
            else ""
        )
        raise ConfigError(f"{path}: {exc}{hint}") from exc
    cast = [part.name for part in scenario.person] + ([scenario.caller.name] if scenario.caller else [])
    for who in cast:
        if who not in people:
            raise ConfigError(f"{path}: nobody is called {who!r}; the people are {', '.join(people)}")
    if len(set(cast)) != len(cast):
        raise ConfigError(f"{path}: somebody is in it twice: {', '.join(cast)}")
    times = [part.at_s for part in scenario.order]
    if times != sorted(times):
        raise ConfigError(f"{path}: orders must come in the order of their at_s, these are {times}")
    try:
        faults.check(scenario.fault, scenario.duration_s, has_caller=scenario.caller is not None)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    if any(part.pause_s[0] > part.pause_s[1] for part in scenario.person):
        raise ConfigError(f"{path}: pause_s needs its smaller number first")
    return scenario

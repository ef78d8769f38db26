"""The words of a scenario's timelines: what a person, or the caller, does at a time."""

from typing import Annotated

import msgspec

Metre = Annotated[float, msgspec.Meta(ge=-20.0, le=20.0)]
Second = Annotated[float, msgspec.Meta(ge=0.0, le=86400.0)]
Pace = Annotated[float, msgspec.Meta(ge=0.1, le=3.0)]  # m/s; a child runs at three
Times = Annotated[int, msgspec.Meta(ge=1, le=20)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    """Base of all steps. One begins at its time, or when whoever does it has ended the one before it."""

    at_s: Second


class Walk(Step, frozen=True, kw_only=True, tag="walk"):
    """Go somewhere, around furniture and others; `pace_m_s` is the person's own unless given."""

    to_m: tuple[Metre, Metre]
    pace_m_s: Pace | None = None


class Sit(Step, frozen=True, kw_only=True, tag="sit"):
    """Go to a seat of the room and sit down."""

    on: str


class Stand(Step, frozen=True, kw_only=True, tag="stand"):
    """Stand up before the seat."""


class Leave(Step, frozen=True, kw_only=True, tag="leave"):
    """Go out by a door of the room, the nearest unless named. A caller leaves their picture."""

    by: str | None = None


class Enter(Step, frozen=True, kw_only=True, tag="enter"):
    """Come in by a door, for the first time or again, and go somewhere."""

    to_m: tuple[Metre, Metre]
    by: str | None = None
    pace_m_s: Pace | None = None


class Return(Step, frozen=True, kw_only=True, tag="return"):
    """A caller who left comes back into the picture."""


class Look(Step, frozen=True, kw_only=True, tag="look"):
    """Face the "robot" (a caller: the "camera"), somebody by name, "away", or a bearing in the room frame."""

    at: str | None = None
    bearing_rad: Annotated[float, msgspec.Meta(ge=-3.2, le=3.2)] | None = None


class TurnAway(Step, frozen=True, kw_only=True, tag="turn-away"):
    """Turn the back to the robot, until the next look."""


class Nod(Step, frozen=True, kw_only=True, tag="nod"):
    """Nod clearly, so many times."""

    times: Times = 1


class Shake(Step, frozen=True, kw_only=True, tag="shake"):
    """Shake the head, so many times to and fro."""

    times: Times = 1


class Tilt(Step, frozen=True, kw_only=True, tag="tilt"):
    """Lean the head to a shoulder for a while."""

    for_s: Annotated[float, msgspec.Meta(ge=0.5, le=60.0)] = 2.0


class Talk(Step, frozen=True, kw_only=True, tag="talk"):
    """Make small talk for so long: lips move, nothing that is said is an order."""

    for_s: Annotated[float, msgspec.Meta(ge=0.5, le=600.0)] = 3.0


class Say(Step, frozen=True, kw_only=True, tag="say"):
    """Say a sentence to the robot: lips move, and it is an order, as if heard.

    Until the robot hears, the order reaches it as typed text when the sentence ends.
    """

    text: Text


PersonStep = Walk | Sit | Stand | Leave | Enter | Look | TurnAway | Nod | Shake | Tilt | Talk | Say
CallerStep = Nod | Shake | Tilt | Talk | Look | Leave | Return

LETTERS_PER_S = 14.0  # of speech at an easy pace


def saying_s(text: str) -> float:
    """How long a sentence takes to say."""
    return max(len(text) / LETTERS_PER_S, 0.3)

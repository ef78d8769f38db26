"""Nod, shake, tilt: the three gestures of a head."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from agent.skill import Example, Robot, skill

Times: TypeAlias = Annotated[int, Meta(ge=1, le=5)]


@skill(
    examples=[
        "nod [your head|yes]",
        "nod [your head|yes] {times}",
        "give (me|us|them) a nod",
        "(say|signal) yes with your head",
    ]
)
async def nod(robot: Robot, times: Times = 1) -> None:
    """Nod, as for yes."""
    await robot.gesture("nod", times)


@skill(
    examples=[
        "shake [your head|no]",
        "shake [your head|no] {times}",
        "(say|signal) no with your head",
    ]
)
async def shake(robot: Robot, times: Times = 1) -> None:
    """Shake the head, as for no."""
    await robot.gesture("shake", times)


@skill(
    examples=[
        "tilt [your head] [to the side|sideways]",
        "tilt [your head] {times}",
        Example("(cock|lean) your head", {}),
    ]
)
async def tilt(robot: Robot, times: Times = 1) -> None:
    """Tilt the head to the side, as when curious."""
    await robot.gesture("tilt", times)

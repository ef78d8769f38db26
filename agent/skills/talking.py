"""Saying something, as text."""

from typing import Annotated

from msgspec import Meta

from agent.skill import Robot, skill


@skill(examples=["say {text}", "tell (us|everyone|everybody|them) {text}"])
async def say(robot: Robot, text: Annotated[str, Meta(min_length=1, max_length=120)]) -> str:
    """Say a short text."""
    await robot.say(text)
    return f"I said “{text}”"

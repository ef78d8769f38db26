"""Rest, and the gentle stop."""

from agent.skill import Robot, skill


@skill(
    examples=[
        "(rest|relax|sleep|go to sleep|take a (rest|break|nap))",
        "[go|move|return] [back] to [your] (rest|resting) [pose|position]",
        "go back to rest",
    ]
)
async def rest(robot: Robot) -> str:
    """Go to the rest pose."""
    await robot.rest()
    return "I am resting"


@skill(examples=["stop", "stop moving", "stop it"])
async def stop(robot: Robot) -> str:
    """End everything at once."""
    await robot.stop()
    return "I stopped"

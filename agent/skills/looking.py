"""Whom or where to look."""

from typing import Literal

from agent.skill import Example, Robot, skill

Where = Literal["left", "right", "middle", "nearest", "next", "up", "down", "ahead", "away"]
SOMEONE = "(person|one|man|woman|face|guy|somebody|someone)"
LOOK = "(look|watch|face|focus|turn|gaze)"


@skill(
    examples=[
        "(look|turn|face) [to] [the|your] {where}",
        Example(f"{LOOK} [at|to|on|towards] [the] {SOMEONE} (on|to|at) [the|your] left", {"where": "left"}),
        Example(f"{LOOK} [at|to|on|towards] the (left|leftmost) {SOMEONE}", {"where": "left"}),
        Example(f"{LOOK} [at|to|on|towards] [the] {SOMEONE} (on|to|at) [the|your] right", {"where": "right"}),
        Example(f"{LOOK} [at|to|on|towards] the (right|rightmost) {SOMEONE}", {"where": "right"}),
        Example(
            f"{LOOK} [at|to|on|towards] [the] {SOMEONE} in the (middle|centre|center)", {"where": "middle"}
        ),
        Example(f"{LOOK} [at|to|on|towards] the (middle|centre|center) {SOMEONE}", {"where": "middle"}),
        Example(f"{LOOK} [at|to|on|towards] the (nearest|closest) {SOMEONE}", {"where": "nearest"}),
        Example(f"{LOOK} [at|to|on|towards] (whoever|who) is (nearest|closest)", {"where": "nearest"}),
        Example(
            f"{LOOK} [at|to|on|towards] (the (next|other) {SOMEONE}|someone else|somebody else)",
            {"where": "next"},
        ),
        Example("look (straight ahead|straight|forward|forwards|to the front)", {"where": "ahead"}),
        Example("look (upwards|at the ceiling)", {"where": "up"}),
        Example("look (downwards|at the (floor|table|desk))", {"where": "down"}),
        Example("(look|turn) (elsewhere|somewhere else)", {"where": "away"}),
    ]
)
async def look(robot: Robot, where: Where) -> str:
    """Look at a person in view, or a way."""
    return await robot.look(where)

"""A host that swings one joint for ever, as a process of its own: `python -m sim.host PORT`. For killing it."""

import asyncio
import math
import sys

from drivers.body import load
from drivers.head import Head, Knot
from drivers.link import SerialStream

PERIOD_S = 0.01
LEAD_S = 0.05
SWING_RAD = 0.5
SWING_HZ = 0.4
SOFT_START_S = 1.0


async def swing(head: Head, joint_count: int) -> None:
    """Move the first joint to and fro from where it rests, for ever."""
    loop = asyncio.get_running_loop()
    start_s, number = loop.time(), 0
    rate = 2 * math.pi * SWING_HZ
    while True:
        number += 1
        elapsed_s = number * PERIOD_S
        share = min(elapsed_s / SOFT_START_S, 1.0)
        grown = share * share * (3 - 2 * share)
        growing = 6 * share * (1 - share) / SOFT_START_S
        angle, speed = math.sin(rate * elapsed_s), rate * math.cos(rate * elapsed_s)
        rest = (0.0,) * (joint_count - 1)
        head.command(
            Knot(
                time_s=start_s + elapsed_s + LEAD_S,
                position_rad=(SWING_RAD * grown * angle, *rest),
                velocity_rad_s=(SWING_RAD * (grown * speed + growing * angle), *rest),
            )
        )
        await asyncio.sleep(start_s + elapsed_s - loop.time())


async def main(port: str) -> None:
    """Connect, say so, and swing."""
    joints = load().joint
    head = Head(SerialStream(port), joints)
    await head.connect()
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    async with asyncio.TaskGroup() as group:
        group.create_task(head.serve(), name="serve")
        group.create_task(swing(head, len(joints)), name="swing")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

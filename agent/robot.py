"""The robot as a skill sees it while it carries out one order: look, gesture, rest, stop, say."""

import asyncio
import contextlib
from typing import Literal

from agent import gaze
from agent.arm import Arm
from agent.events import Bus, Order, Reply
from agent.eyes import DIRECTIONS_RAD, Watcher
from agent.motion import Act
from drivers.errors import Refused

SETTLE_TIMEOUT_S = 2.5  # a turn from stop to stop takes 1.5 s
SETTLED_RAD = 0.02  # one degree: the face is in the middle for anybody who looks
FIRST_ANSWER_S = 0.3  # vision needs a frame or two to answer before there is anything to settle
POLL_S = 0.02
GLANCE_S = 2.0  # a person who was asked to look for somebody looks this long
FRESH_SIGHT_S = 1.0  # older, and nobody knows who is there
PLACES: tuple[gaze.Place, ...] = ("left", "middle", "right", "nearest", "next")


class Robot:
    """What a skill may do (`agent.skill.Robot`). Every method that moves raises Refused with the reason."""

    def __init__(self, bus: Bus, arm: Arm, watcher: Watcher, order: Order) -> None:
        self._bus = bus
        self._arm = arm
        self._watcher = watcher
        self._order = order

    async def look(self, where: str) -> str:
        """Look at a person (PLACES) or a way (DIRECTIONS_RAD); returns when the arm has turned there."""
        self._may_move()
        if where in DIRECTIONS_RAD:
            self._watcher.turn_to(where)
            said = f"Looking {where}."
        else:
            place = next((place for place in PLACES if place == where), None)
            if place is None:
                raise Refused(
                    f"I don't know where {where!r} is; I know {', '.join((*PLACES, *DIRECTIONS_RAD))}."
                )
            if not await self._somebody():
                raise Refused("I see nobody to look at.")
            self._watcher.lock_on(gaze.LockOnto(place=place))
            said = "Looking at the next person." if place == "next" else f"Looking at the {place} person."
        await self._settle()
        return said

    async def gesture(self, kind: Literal["nod", "shake", "tilt"], times: int) -> None:
        """Nod, shake or tilt; returns when it is done. Cancelled, it ends where it is, smoothly."""
        self._may_move()
        act = Act(kind=kind, times=times)
        self._arm.begin(act, self._order)
        try:
            while self._arm.act is not None:
                self._may_move()
                await asyncio.sleep(POLL_S)
        except BaseException:
            self._arm.end_act()  # cancelled or refused: it must not be made later
            raise

    async def rest(self) -> None:
        """Go to the rest pose and stay there until the next order that moves."""
        self._may_move()
        self._arm.is_resting = True
        await self._settle()

    async def stop(self) -> None:
        """Everything comes to rest, gently, and stays until the next order that moves."""
        self._arm.is_held = True

    async def say(self, text: str) -> None:
        """Say something, as text."""
        self._bus.tell(Reply(order_id=self._order.id, kind="answer", text=text))

    def people(self) -> tuple[str, ...]:
        """Words for who is in view, left to right."""
        sight = self._bus.sight.get(FRESH_SIGHT_S)
        count = len(sight.faces) if sight else 0
        ends = {0: (), 1: ("middle",), 2: ("left", "right")}
        return ends.get(count, ("left", *("middle",) * (count - 2), "right"))

    async def _somebody(self) -> bool:
        """Whether anybody is in view, or comes into view within a moment: faces flicker."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GLANCE_S):
                while not self.people():
                    await self._bus.sight.after(self._bus.sight.count)
        return bool(self.people())

    def _may_move(self) -> None:
        """Raise Refused if nothing may move; otherwise an order to move ends rest and hold."""
        if self._arm.stopped_by is not None:
            raise Refused("I am stopped. Release the stop on the page first.")
        if not self._arm.is_connected:
            raise Refused(f"I can't move: {self._arm.line}")
        self._arm.is_held = self._arm.is_resting = False

    async def _settle(self) -> None:
        """Wait until the arm has turned where gaze wants it, but not for ever: people walk on."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + SETTLE_TIMEOUT_S
        await asyncio.sleep(FIRST_ANSWER_S)
        while loop.time() < give_up_s:
            left_rad = self._arm.turn_left_rad
            if left_rad is None or left_rad < SETTLED_RAD:
                await asyncio.sleep(self._arm.body.servo_lag_s)
                return
            await asyncio.sleep(POLL_S)

"""What the robot is doing and why, and how it is, in words for a person."""

import asyncio
from collections.abc import Callable

from agent.arm import Arm
from agent.events import Bus, Doing, Health
from agent.eyes import Eye, Watcher
from agent.figures import Figures

PERIOD_S = 0.25  # what a person reads needs no more
RATE_WINDOW_S = 2.0
FRESH_S = 0.5  # an older lock says nothing about now
TICKS = 100  # the worst of the last second
WHO = {  # pressed stop
    "page": "somebody on the page",
    "cli": "somebody in a terminal",
    "keyboard": "somebody at its keyboard",
    "mqtt": "somebody over MQTT",
    "button": "somebody at the robot",
}


class Status:
    """Puts `doing` and `health` on the bus, a few times a second."""

    def __init__(
        self,
        bus: Bus,
        arm: Arm,
        watcher: Watcher,
        eye: Eye,
        figures: Figures,
        recording: Callable[[], str] = lambda: "",
    ) -> None:
        self._bus = bus
        self._arm = arm
        self._watcher = watcher
        self._eye = eye
        self._figures = figures
        self._recording = recording

    async def report(self) -> None:
        """Report for ever."""
        loop = asyncio.get_running_loop()
        counts = [(loop.time(), self._bus.frames.count)]
        while True:
            now_s = loop.time()
            counts.append((now_s, self._bus.frames.count))
            while counts[0][0] < now_s - RATE_WINDOW_S:
                counts.pop(0)
            span_s = now_s - counts[0][0]
            self._bus.doing.put(self.doing())
            self._bus.health.put(
                Health(
                    link=self._arm.line,
                    is_link_up=self._arm.is_connected,
                    camera=self._eye.line,
                    is_camera_up=self._eye.is_open,
                    is_stopped=self._arm.stopped_by is not None,
                    stopped_by=self._arm.stopped_by or "",
                    frames_hz=(counts[-1][1] - counts[0][1]) / span_s if span_s else 0.0,
                    tick_late_s=max(self._figures.newest("tick_late_s", TICKS), default=0.0),
                    recording=self._recording(),
                )
            )
            await asyncio.sleep(PERIOD_S)

    def doing(self) -> Doing:
        """One line for a person: what, and why."""
        arm = self._arm
        if arm.stopped_by is not None:
            return Doing(
                what="Stopped.",
                why=f"{WHO.get(arm.stopped_by, arm.stopped_by)} pressed stop; release it to go on",
            )
        if not arm.is_connected:
            return Doing(what="Not moving.", why=arm.line)
        if arm.is_held:
            return Doing(what="Holding still.", why="you told me to stop; any order to move goes on")
        if arm.act is not None:
            return Doing(
                what=f"Making a gesture: {arm.act.kind}.", why=f"“{arm.order.text}”" if arm.order else ""
            )
        if arm.is_resting:
            return Doing(what="Resting.", why="you told me to; “look at the nearest person” wakes me")
        if self._watcher.direction is not None:
            return Doing(what=f"Looking {self._watcher.direction}.", why="you asked for it")
        lock = self._bus.lock.get(FRESH_S)
        if lock is None:
            return Doing(what="Seeing nothing.", why=f"camera: {self._eye.line}")
        what = "Looking at nobody." if lock.face is None else "Looking at somebody."
        return Doing(what=what, why=lock.reason)

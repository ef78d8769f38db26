"""What the page shows and may ask for, and the newest of it ready to be sent to every viewer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from agent.events import Bus, Latest
from agent.viewing import SIGHT_MAX_AGE_S, Clock, Pose, Scene, Standing, State, Tape

STATE_PERIOD_S = 1 / 25
ALIVE_PERIOD_S = 1.0  # the state is repeated so often, so that a page can tell a quiet robot from a hung one


class TapeDeck(Protocol):
    """Plays a recording to the sources below."""

    tape: Tape
    rate: float  # times as fast as it was recorded; 0: held

    @property
    def time_s(self) -> float: ...

    def seek(self, time_s: float) -> None: ...

    def play(self, rate: float) -> None: ...


class Sources(msgspec.Struct, kw_only=True):
    """Everything the page shows and everything it may ask for."""

    bus: Bus
    pose: Callable[[], tuple[float, ...]]
    people: Callable[[], tuple[Standing, ...]]
    scene: Scene
    urdf: str  # the body, for viewers of others
    stop: Callable[[str], None]
    release: Callable[[], Awaitable[None]]
    deck: TapeDeck | None = None  # a recording instead of a robot


class Newest:
    """The newest state, pose and time of the sources, encoded once for all viewers and only while there are any."""

    def __init__(self, sources: Sources, has_viewers: Callable[[], bool]) -> None:
        self.pose: Latest[bytes] = Latest()
        self.state: Latest[bytes] = Latest()
        self.clock: Latest[bytes] = Latest()  # of a recording
        self._sources = sources
        self._has_viewers = has_viewers

    async def run(self) -> None:
        """Prepare what viewers are sent; runs until cancelled."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        pose = state = b""
        while True:
            slot = int((loop.time() - start_s) / STATE_PERIOD_S) + 1
            await asyncio.sleep(start_s + slot * STATE_PERIOD_S - loop.time())
            if not self._has_viewers():
                continue
            new = msgspec.json.encode(
                Pose([round(angle, 4) for angle in self._sources.pose()], self._sources.people())
            )
            if new != pose:
                pose = new
                self.pose.put(pose)
            if self._sources.deck is not None:
                deck = self._sources.deck
                self.clock.put(msgspec.json.encode(Clock(round(deck.time_s, 3), deck.rate)))
            new = msgspec.json.encode(self.now())
            is_due = loop.time() - self.state.time_s > ALIVE_PERIOD_S
            if new != state or is_due:
                state = new
                self.state.put(state)

    def now(self) -> State:
        """The state at this moment."""
        bus = self._sources.bus
        health = bus.health.get()
        if health is not None:
            health = msgspec.structs.replace(
                health, frames_hz=round(health.frames_hz), tick_late_s=round(health.tick_late_s, 3)
            )
        sight = bus.sight.get(SIGHT_MAX_AGE_S)
        return State(
            bus.doing.get(),
            bus.planner.get(),
            health,
            bus.lock.get(),
            len(sight.faces) if sight else 0,
        )

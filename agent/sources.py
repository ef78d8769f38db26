"""What the page shows and may ask for, and the newest of it ready to be sent to every viewer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from agent.events import Doing, Health, Inbox, Latest, Lock, Order, PlannerStatus, Sight
from agent.viewing import SIGHT_MAX_AGE_S, Clock, Pose, Scene, Standing, State, Tape
from drivers.camera import Frame

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

    frames: Latest[Frame]
    sight: Latest[Sight]
    lock: Latest[Lock]
    call_frames: Latest[Frame]
    call_sight: Latest[Sight]
    doing: Latest[Doing]
    planner: Latest[PlannerStatus]
    health: Latest[Health]
    pose: Callable[[], tuple[float, ...]]
    people: Callable[[], tuple[Standing, ...]]
    scene: Scene
    urdf: str  # the body, for viewers of others
    orders: Inbox[Order]
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
        sources = self._sources
        health = sources.health.get()
        if health is not None:
            health = msgspec.structs.replace(
                health, frames_hz=round(health.frames_hz), tick_late_s=round(health.tick_late_s, 3)
            )
        sight = sources.sight.get(SIGHT_MAX_AGE_S)
        return State(
            sources.doing.get(),
            sources.planner.get(),
            health,
            sources.lock.get(),
            len(sight.faces) if sight else 0,
        )

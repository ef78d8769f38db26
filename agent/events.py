"""The two channels between tasks, and the messages that go through them.

`Latest` keeps the newest value and knows its age; `Inbox` keeps a bounded queue and counts what it drops.
"""

import asyncio
from collections import deque
from typing import Generic, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Latest(Generic[T]):
    """Newest wins. A reader names the oldest age it accepts; older is None."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._time_s = 0.0
        self._count = 0
        self._changed = asyncio.Condition()

    @property
    def count(self) -> int:
        """How many values were ever put."""
        return self._count

    @property
    def time_s(self) -> float:
        """Loop time at which the newest value was measured."""
        return self._time_s

    def get(self, max_age_s: float | None = None) -> T | None:
        """The newest value, or None if there is none or it is older than `max_age_s`."""
        if self._value is None:
            return None
        if max_age_s is not None and asyncio.get_running_loop().time() - self._time_s > max_age_s:
            return None
        return self._value

    async def put(self, value: T, time_s: float | None = None) -> None:
        """Replace the value. `time_s` is when it was measured; now, if not given."""
        self._value = value
        self._time_s = asyncio.get_running_loop().time() if time_s is None else time_s
        self._count += 1
        async with self._changed:
            self._changed.notify_all()

    async def after(self, count: int) -> T:
        """Wait until more than `count` values were put, then return the newest."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._count > count)
        assert self._value is not None
        return self._value


class Inbox(Generic[T]):
    """A bounded queue for one reader. When full it drops the oldest or refuses the newest, and counts."""

    def __init__(self, size: int, drop: Literal["oldest", "newest"]) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._drop = drop
        self._ready = asyncio.Event()
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Add an item; False if it was the one that had to go."""
        if len(self._items) >= self._size:
            self.dropped += 1
            if self._drop == "newest":
                return False
            self._items.popleft()
        self._items.append(item)
        self._ready.set()
        return True

    async def get(self) -> T:
        """Wait for the oldest item and take it."""
        while not self._items:
            self._ready.clear()
            await self._ready.wait()
        return self._items.popleft()

    def clear(self) -> None:
        """Throw away what waits; used by stop."""
        self._items.clear()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence that somebody gave the robot."""

    id: str
    text: str
    source: Literal["page", "mqtt", "cli", "sim"]
    time_s: float


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the robot says back, as text. `order_id` is empty when nobody asked."""

    order_id: str
    kind: Literal["answer", "plan", "step", "error"]
    text: str
    last: bool = False


class PlannerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the language model is there yet. `progress` runs from 0 to 1 while it is prepared."""

    state: Literal["off", "preparing", "loading", "ready", "failed"]
    progress: float = 0.0
    note: str = ""


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """What the robot is doing and why, in words for a person."""

    what: str
    why: str


class HeadPose(msgspec.Struct, frozen=True, kw_only=True):
    """A person's head against the line of sight; all zero looks straight at the camera.

    In the head's own frame (x out of the nose, y to its left, z up; REP 103): positive pitch is chin down,
    positive yaw turns to the person's own left, positive roll leans to their own right shoulder. The robot's
    joints have the same signs, so mimicry copies them.
    """

    pitch_rad: float
    yaw_rad: float
    roll_rad: float


class Box(msgspec.Struct, frozen=True):
    """A rectangle in pixels: left, top, width, height."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """One face in one frame. `track` is stable while the face is followed from frame to frame."""

    track: int
    box: Box
    score: float  # 0 … 1, that this is a whole face
    landmarks: NDArray[np.float32] | None = None  # 468 × 3, pixels
    pose: HeadPose | None = None
    distance_m: float | None = None  # along the line of sight, from the face's size
    embedding: NDArray[np.float32] | None = None  # 128; Euclidean distance, same person < .52


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What vision saw in one frame; `time_s` is when the frame was taken."""

    time_s: float
    frame: int
    faces: tuple[Face, ...]


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the robot holds on to and why. `face` is the place in the sight's faces, None if not in view or in doubt."""

    phase: Literal["idle", "enrol", "locked", "ambiguous", "lost"]
    face: int | None
    reason: str


class NodSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's head against their own neutral; drives the screen. `time_s` is when the frame was taken."""

    time_s: float
    pose: HeadPose
    confidence: float  # 0 … 1


class Gesture(msgspec.Struct, frozen=True, kw_only=True):
    """A head gesture that somebody made."""

    time_s: float
    kind: Literal["yes", "no", "tilt"]
    confidence: float

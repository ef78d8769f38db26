"""The two channels between tasks, and the messages that go through them.

`Latest` keeps the newest value and knows its age; `Inbox` keeps a bounded queue and counts what it drops.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.audio import Sound
from drivers.camera import Frame

if TYPE_CHECKING:  # these are made of what stands here
    from agent.glance import CallGlance, Glance
    from agent.record_format import Crowd

T = TypeVar("T")


class _Tapped(Generic[T]):
    """What the recorder can look in on."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[T, float], None], ...] = ()

    @property
    def is_tapped(self) -> bool:
        """Whether somebody is shown every value."""
        return bool(self._listeners)

    def tap(self, listen: Callable[[T, float], None]) -> None:
        """Have every value that is put shown to somebody more, with its time."""
        self._listeners = (*self._listeners, listen)


class Latest(_Tapped[T]):
    """Newest wins. A reader names the oldest age it accepts; older is None."""

    def __init__(self) -> None:
        super().__init__()
        self._value: T | None = None
        self._time_s = 0.0
        self._count = 0
        self._changed: asyncio.Event | None = None  # only while somebody waits: most values nobody waits for

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

    def put(self, value: T, time_s: float | None = None) -> None:
        """Replace the value. `time_s` is when it was measured; now, if not given."""
        self._value = value
        self._time_s = asyncio.get_running_loop().time() if time_s is None else time_s
        self._count += 1
        for listen in self._listeners:
            listen(value, self._time_s)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def after(self, count: int) -> T:
        """Wait until more than `count` values were put, then return the newest."""
        while self._count <= count:
            self._changed = self._changed or asyncio.Event()
            await self._changed.wait()
        assert self._value is not None
        return self._value


class Inbox(_Tapped[T]):
    """A bounded queue for one reader. When full it drops the oldest or refuses the newest, and counts."""

    def __init__(self, size: int, drop: Literal["oldest", "newest"]) -> None:
        super().__init__()
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
        for listen in self._listeners:
            listen(item, asyncio.get_running_loop().time())
        self._ready.set()
        return True

    async def get(self) -> T:
        """Wait for the oldest item and take it."""
        while not self._items:
            self._ready.clear()
            await self._ready.wait()
        return self._items.popleft()

    def take(self) -> T | None:
        """The oldest item if there is one."""
        return self._items.popleft() if self._items else None


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


def rounded(sight: Sight) -> Sight:
    """A sight in the digits that a recording keeps, far below the noise of its numbers.

    What is decided is decided on these, so that a recording decides the same again.
    """
    return msgspec.structs.replace(sight, faces=tuple(_rounded(face) for face in sight.faces))


def _rounded(face: Face) -> Face:
    box, pose, embedding = face.box, face.pose, face.embedding
    if pose is not None:
        pose = HeadPose(
            pitch_rad=round(float(pose.pitch_rad), 5),
            yaw_rad=round(float(pose.yaw_rad), 5),
            roll_rad=round(float(pose.roll_rad), 5),
        )
    return msgspec.structs.replace(
        face,
        box=Box(
            round(float(box.x_px), 2),
            round(float(box.y_px), 2),
            round(float(box.width_px), 2),
            round(float(box.height_px), 2),
        ),
        score=round(float(face.score), 4),
        pose=pose,
        distance_m=None if face.distance_m is None else round(float(face.distance_m), 4),
        embedding=None if embedding is None else embedding.astype(np.float16).astype(np.float32),
    )


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the robot holds on to and why. `face` is a place in the sight's faces; None: not in view, or in doubt."""

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


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """A point to look at, in the base frame, and the time of the frame that showed it."""

    time_s: float
    point_m: tuple[float, float, float]


class SetPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What went to the board: where the joints shall be at a time."""

    time_s: float
    position_rad: tuple[float, ...]
    velocity_rad_s: tuple[float, ...]


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """Where the joints were at a time, as the board told it."""

    time_s: float
    position_rad: tuple[float, ...]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine is. `link`, `camera` and `recording` are sentences: "simulated arm, true firmware", …"""

    link: str
    is_link_up: bool
    camera: str
    is_camera_up: bool
    is_stopped: bool = False
    stopped_by: str = ""
    frames_hz: float = 0.0
    tick_late_s: float = 0.0
    recording: str = ""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of channels. `most_hz` is recorded of those that say the same again and again."""

    name: str
    is_recorded: bool
    most_hz: float | None = None


CHANNELS = (
    Channel(name="frames", is_recorded=True),
    Channel(name="glance", is_recorded=True),
    Channel(name="sight", is_recorded=True),
    Channel(name="lock", is_recorded=True),
    Channel(name="aim", is_recorded=True),
    Channel(name="call_frames", is_recorded=True),
    Channel(name="call_glance", is_recorded=True),
    Channel(name="call_sight", is_recorded=True),
    Channel(name="nod", is_recorded=True),
    Channel(name="gesture", is_recorded=True),
    Channel(name="set_point", is_recorded=True),
    Channel(name="pose", is_recorded=True, most_hz=25.0),
    Channel(name="people", is_recorded=True),
    Channel(name="sound", is_recorded=True),
    Channel(name="doing", is_recorded=True),
    Channel(name="planner", is_recorded=True),
    Channel(name="health", is_recorded=True),
    Channel(name="orders", is_recorded=True),
    Channel(name="reply", is_recorded=True),
)


class Bus:
    """One `Latest` for each row of CHANNELS; orders are an `Inbox`. A tap sees every recorded value."""

    def __init__(self) -> None:
        self.frames: Latest[Frame] = Latest()
        self.glance: Latest[Glance] = Latest()
        self.sight: Latest[Sight] = Latest()
        self.lock: Latest[Lock] = Latest()
        self.aim: Latest[Aim] = Latest()
        self.call_frames: Latest[Frame] = Latest()
        self.call_glance: Latest[CallGlance] = Latest()
        self.call_sight: Latest[Sight] = Latest()
        self.nod: Latest[NodSignal] = Latest()
        self.gesture: Latest[Gesture] = Latest()
        self.set_point: Latest[SetPoint] = Latest()
        self.pose: Latest[Pose] = Latest()
        self.people: Latest[Crowd] = Latest()  # of a simulated room
        self.sound: Latest[Sound] = Latest()
        self.doing: Latest[Doing] = Latest()
        self.planner: Latest[PlannerStatus] = Latest()
        self.health: Latest[Health] = Latest()
        self.reply: Latest[Reply] = Latest()
        self.orders: Inbox[Order] = Inbox(8, drop="newest")
        self._reply_inboxes: list[Inbox[Reply]] = []

    def replies(self) -> Inbox[Reply]:
        """An inbox of one's own for every reply from now on."""
        inbox: Inbox[Reply] = Inbox(100, drop="oldest")
        self._reply_inboxes.append(inbox)
        return inbox

    def tell(self, reply: Reply) -> None:
        """Say something to everybody who listens."""
        self.reply.put(reply)
        for inbox in self._reply_inboxes:
            inbox.put(reply)

    def tap(self, listen: Callable[[str, object, float], None], *, has_sound: bool = True) -> None:
        """Call `listen(channel, value, time_s)` for every value that is recorded; of sound only if it is wanted."""
        for channel in CHANNELS:
            if channel.is_recorded and (has_sound or channel.name != "sound"):
                getattr(self, channel.name).tap(functools.partial(listen, channel.name))

"""What a viewer of the page is sent and may send, and the pictures on their way to all viewers."""

import asyncio
import logging
import struct
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
from aiohttp import web

from agent.events import Doing, Health, Inbox, Latest, Lock, PlannerStatus, Reply, Sight
from drivers.body import Body
from drivers.camera import Frame, Image

log = logging.getLogger(__name__)

PICTURE_PERIOD_S = 1 / 25
PICTURES_UNDER_WAY = 2  # one on the way while one is being drawn keeps a phone busy over a slow network
PICTURE_WIDTH_PX = 960  # wider pictures are scaled down: a phone shows no more
JPEG_QUALITY = 78
SIGHT_MAX_AGE_S = 0.5  # older boxes would mark where people were
ORDERS_PER_S = 4.0  # faster than a person can type
ORDERS_AT_ONCE = 12.0
HISTORY = 200  # orders and replies that a new viewer is shown


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One box of the room. `rgb` runs from 0 to 1."""

    centre_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    rgb: tuple[float, float, float] = (0.7, 0.7, 0.7)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while the robot runs: where it stands, what its URDF leaves out, and a simulated room."""

    name: str
    screen_m: tuple[float, float]
    camera_offset_m: tuple[float, float, float]
    base_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_yaw_rad: float = 0.0
    blocks: tuple[Block, ...] = ()
    is_body_simulated: bool = False
    is_camera_simulated: bool = False


class Tape(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that is shown instead of a robot; times are the recording's own."""

    name: str
    start_s: float
    end_s: float


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated person for the 3-D view; `z_m` is the height of the eyes, `yaw_rad` where it looks."""

    name: str
    x_m: float
    y_m: float
    z_m: float
    yaw_rad: float


def scene_of(body: Body) -> Scene:
    """A body in a room that nobody described; `msgspec.structs.replace` adds what is known of it."""
    return Scene(
        name=body.name,
        screen_m=body.screen_m,
        camera_offset_m=body.camera.offset_m,
    )


# What a browser may send, …


class Say(msgspec.Struct, frozen=True, tag="say", tag_field="type"):
    """An order in words."""

    text: str


class Stop(msgspec.Struct, frozen=True, tag="stop", tag_field="type"):
    """Freeze the arm now."""


class Release(msgspec.Struct, frozen=True, tag="release", tag_field="type"):
    """Let the arm move again after a stop."""


class Drawn(msgspec.Struct, frozen=True, tag="drawn", tag_field="type"):
    """A picture was drawn; the next may come."""

    stream: Literal["camera", "call"]


class Seek(msgspec.Struct, frozen=True, tag="seek", tag_field="type"):
    """Go to a time of the recording."""

    time_s: float


class Play(msgspec.Struct, frozen=True, tag="play", tag_field="type"):
    """Play the recording so many times as fast as it was; 0 holds it."""

    rate: Annotated[float, msgspec.Meta(ge=0.0, le=16.0)]


Message = Say | Stop | Release | Drawn | Seek | Play
decode_message = msgspec.json.Decoder(Message).decode
decode_say = msgspec.json.Decoder(Say).decode


# … and what it is sent.


class Mark(msgspec.Struct, frozen=True):
    """A face in the picture."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float
    is_locked: bool
    distance_m: float | None


class PictureHead(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before a picture's JPEG, as JSON after its length."""

    stream: str
    index: int
    width_px: int
    height_px: int
    age_s: float
    marks: list[Mark]


class Heard(msgspec.Struct, frozen=True, tag="order", tag_field="type"):
    """An order that somebody gave."""

    id: str
    text: str
    source: str


class Told(msgspec.Struct, frozen=True, tag="reply", tag_field="type"):
    """What the robot said to it."""

    order_id: str
    kind: str
    text: str
    last: bool


class Complaint(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """A line for this viewer alone: what it sent could not be taken."""

    text: str


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """The first message: all that came before."""

    scene: Scene
    history: list[Heard | Told]
    max_text: int
    tape: Tape | None = None


class Clock(msgspec.Struct, frozen=True, tag="clock", tag_field="type"):
    """Where a recording is, and how fast it goes."""

    time_s: float
    rate: float


class Pose(msgspec.Struct, frozen=True, tag="pose", tag_field="type"):
    """Where the body and the simulated people are now."""

    joints_rad: list[float]
    people: tuple[Standing, ...]


class State(msgspec.Struct, frozen=True, tag="state", tag_field="type"):
    """All that changes more slowly; `pose_rad` only where a program asks once."""

    doing: Doing | None
    planner: PlannerStatus | None
    health: Health | None
    lock: Lock | None
    faces: int
    pose_rad: list[float] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What `POST /api/say` answers."""

    order_id: str
    replies: list[Reply]
    error: str = ""


class Allowance:
    """A token bucket for orders: ORDERS_PER_S on average, ORDERS_AT_ONCE together."""

    def __init__(self) -> None:
        self._left = ORDERS_AT_ONCE
        self._time_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more may pass now."""
        self._left = min(ORDERS_AT_ONCE, self._left + (now_s - self._time_s) * ORDERS_PER_S)
        self._time_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Viewer:
    """One browser: what waits to be told to it, and how many pictures it has not drawn yet."""

    def __init__(self, socket_: web.WebSocketResponse) -> None:
        self.socket = socket_
        self.lines: Inbox[bytes] = Inbox(HISTORY, drop="oldest")
        self.under_way = {"camera": 0, "call": 0}
        self.drew = {"camera": asyncio.Event(), "call": asyncio.Event()}
        self.allowance = Allowance()
        self.ignored = 0
        self.is_releasing = False

    def complain(self, text: str) -> None:
        self.lines.put(msgspec.json.encode(Complaint(text)))


class Stream:
    """One camera's pictures, encoded once for everybody and only while somebody can take one."""

    def __init__(self, name: Literal["camera", "call"], frames: Latest[Frame], sight: Latest[Sight]) -> None:
        self.name = name
        self.locked_track: int | None = None
        self.pictures: Latest[bytes] = Latest()
        self._frames = frames
        self._sight = sight
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        seen = 0
        is_failing = False
        while True:
            await self._wanted.wait()
            frame = await self._frames.after(seen)
            seen = self._frames.count
            started_s = loop.time()
            self._wanted.clear()
            try:
                jpeg = await loop.run_in_executor(None, _encode, frame.image)
                is_failing = False
            except (cv2.error, ValueError) as exc:
                if not is_failing:
                    log.warning(
                        "%s: a picture could not be encoded (%s); waiting for a better one", self.name, exc
                    )
                is_failing = True
                self._wanted.set()
                await asyncio.sleep(PICTURE_PERIOD_S)
                continue
            head = msgspec.json.encode(self._head(frame, loop.time()))
            self.pictures.put(struct.pack("<I", len(head)) + head + jpeg)
            await asyncio.sleep(started_s + PICTURE_PERIOD_S - loop.time())

    async def feed(self, viewer: Viewer) -> None:
        """Send the newest picture whenever the viewer has room for one."""
        count = self.pictures.count
        while True:
            while viewer.under_way[self.name] >= PICTURES_UNDER_WAY:
                viewer.drew[self.name].clear()
                await viewer.drew[self.name].wait()
            self._wanted.set()
            picture = await self.pictures.after(count)
            count = self.pictures.count
            viewer.under_way[self.name] += 1
            await viewer.socket.send_bytes(picture)

    def _head(self, frame: Frame, now_s: float) -> PictureHead:
        sight = self._sight.get(SIGHT_MAX_AGE_S)
        height_px, width_px = frame.image.shape[:2]
        return PictureHead(
            stream=self.name,
            index=frame.index,
            width_px=width_px,
            height_px=height_px,
            age_s=round(now_s - frame.time_s, 3),
            marks=[
                Mark(
                    round(face.box.x_px, 1),
                    round(face.box.y_px, 1),
                    round(face.box.width_px, 1),
                    round(face.box.height_px, 1),
                    face.track == self.locked_track,
                    None if face.distance_m is None else round(face.distance_m, 2),
                )
                for face in (sight.faces if sight else ())
            ],
        )


def _encode(image: Image) -> bytes:
    """JPEG of a picture, no wider than a viewer can use. Raises cv2.error or ValueError for no picture."""
    if image.ndim not in (2, 3):
        raise ValueError(f"no JPEG can be made of {image.dtype} {image.shape}")
    width_px = image.shape[1]
    if width_px > PICTURE_WIDTH_PX:
        scale = PICTURE_WIDTH_PX / width_px
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    is_done, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    if not is_done:
        raise ValueError(f"no JPEG can be made of {image.dtype} {image.shape}")
    return data.tobytes()

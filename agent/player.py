"""A recording played on the page: forwards at any speed, held, or taken to any moment.

What it puts on its channels looks to the page like a robot that lives now; times are moved to the loop's clock.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np

from agent.events import Bus, Order, Reply, Sight
from agent.pictures import LEAD_S, Shown, with_images
from agent.record_format import Picture
from agent.recording import Message, Recording
from agent.remote import Remote, Scene, Sources
from agent.video import MOST_SIDE_PX
from agent.viewing import Tape
from drivers.camera import Frame
from drivers.errors import ConfigError, Refused

BEFORE_S = 3.0  # what holds at a moment was said at most so long before it
SPOKEN = ("orders", "reply")
AS_IT_WAS = ("pose", "people", "lock", "doing", "planner", "health")  # channels that are shown without change
BATCH = 200  # messages read at once, half a second of them


class Player:
    """Plays one recording to `sources`. `run` does the work; `seek` and `play` come from the page."""

    def __init__(self, recording: Recording) -> None:
        """Raises ConfigError if it holds no messages, or does not say where and what the robot was."""
        span_s, scene = recording.span_s(), recording.attachment("scene.json")
        if span_s is None:
            raise ConfigError(f"{recording.path}: it holds no messages; there is nothing to play")
        if scene is None:
            raise ConfigError(
                f"{recording.path}: its start, with room and body, is missing; it can't be shown"
            )
        try:
            room = msgspec.json.decode(scene, type=Scene)
        except (msgspec.DecodeError, UnicodeError) as exc:
            raise ConfigError(
                f"{recording.path}: its room is damaged, or of another version ({exc})"
            ) from exc
        self.tape = Tape(name=recording.path.name, start_s=span_s[0], end_s=span_s[1])
        self.rate = 1.0
        self._recording = recording
        self._bus = bus = Bus()
        self._at_s = self.tape.start_s  # where it was …
        self._since_s: float | None = None  # … at this loop time
        self._wound = asyncio.Event()
        self._said: list[tuple[float, Order | Reply]] = []
        self._told = 0  # notes about the file
        self.sources = Sources(
            bus=bus,
            pose=lambda: pose.position_rad if (pose := bus.pose.get()) else (),
            people=lambda: crowd.people if (crowd := bus.people.get()) else (),
            scene=room,
            urdf=(recording.attachment("body.urdf") or b"").decode(errors="replace"),
            stop=_nothing_moves,
            release=_nothing_to_release,
            deck=self,
        )

    @property
    def time_s(self) -> float:
        """Where the recording is."""
        if self._since_s is None:
            return self._at_s
        past_s = (asyncio.get_running_loop().time() - self._since_s) * self.rate
        return min(self._at_s + past_s, self.tape.end_s)

    def seek(self, time_s: float) -> None:
        """Go to a time of the recording; outside of it, to its nearer end."""
        self._at_s = min(max(time_s, self.tape.start_s), self.tape.end_s)
        self._since_s = asyncio.get_running_loop().time()
        self._wound.set()

    def play(self, rate: float) -> None:
        """So many times as fast as it was; 0 holds it. At its end it begins anew."""
        self._at_s = self.tape.start_s if rate and self.time_s >= self.tape.end_s else self.time_s
        self._since_s = asyncio.get_running_loop().time()
        self.rate = rate
        self._wound.set()

    async def run(self, remote: Remote) -> None:
        """Play for ever. `remote` is told what is said, and at each winding what had been said until then."""
        self._said = await asyncio.to_thread(self._read_said)
        self.seek(self._at_s)
        while True:
            self._wound.clear()
            time_s = self.time_s
            held = await asyncio.to_thread(self._held_at, time_s)
            remote.begin_anew(line for at_s, line in self._said if at_s <= time_s)
            for message in held:
                self._show(message)
            if not self._wound.is_set():
                await self._play_on(remote, time_s)
            await self._wound.wait()

    def _read_said(self) -> list[tuple[float, Order | Reply]]:
        """All that was said, with when."""
        messages = self._recording.messages(SPOKEN)
        return [(one.time_s, one.value) for one in messages if isinstance(one.value, Order | Reply)]

    def _held_at(self, time_s: float) -> list[Message]:
        """The newest message of each channel at a time."""
        newest: dict[str, Message] = {}
        for message in self._recording.messages(from_s=time_s - BEFORE_S, to_s=time_s):
            newest[message.channel] = message
        cameras = [name for name, message in newest.items() if isinstance(message.value, Picture)]
        pictures = self._recording.messages(cameras, time_s - LEAD_S, time_s) if cameras else ()
        for message in with_images(pictures):
            newest[message.channel] = message
        return list(newest.values())

    def _from(self, time_s: float) -> Iterator[Message]:
        """All messages after a time, with their pictures, which need older ones."""
        for message in with_images(self._recording.messages(from_s=time_s - LEAD_S)):
            if message.time_s > time_s:
                yield message

    async def _play_on(self, remote: Remote, from_s: float) -> None:
        """Until the end, or until somebody winds."""
        stream = self._from(from_s)

        def read() -> list[Message]:
            return list(itertools.islice(stream, BATCH))

        batch = await asyncio.to_thread(read)
        if not self._wound.is_set():  # reading took its time
            self._at_s, self._since_s = from_s, asyncio.get_running_loop().time()
        while batch:
            following = asyncio.get_running_loop().run_in_executor(None, read)
            try:
                for message in batch:
                    if await self._is_wound_before(message.time_s):
                        return
                    self._show(message)
                    match message.value:
                        case Order() as order:
                            remote.heard(order)
                        case Reply() as reply:
                            remote.tell(reply)
                        case _:
                            pass
            finally:
                batch = await following  # two threads must not read at once
                self._tell_notes(remote)

    def _tell_notes(self, remote: Remote) -> None:
        """Say on the page what could not be read, once."""
        for note in self._recording.notes[self._told :]:
            remote.tell(Reply(order_id="", kind="error", text=note, last=True))
        self._told = len(self._recording.notes)

    async def _is_wound_before(self, time_s: float) -> bool:
        """Wait until the recording has got there, or somebody winds."""
        while not self._wound.is_set() and (ahead_s := time_s - self.time_s) > 0:
            try:
                async with asyncio.timeout(ahead_s / self.rate if self.rate else None):
                    await self._wound.wait()
            except TimeoutError:
                continue
        return self._wound.is_set()

    def _show(self, message: Message) -> None:
        """Put what was recorded on its channel, as of now."""
        now_s = asyncio.get_running_loop().time()
        match message.value:
            case Shown(image=None):
                pass
            case Shown(picture=picture, image=image):
                size = (picture.width_px, picture.height_px)  # in which what was seen is told
                if not all(0 < side <= MOST_SIDE_PX for side in size):
                    return
                image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
                getattr(self._bus, message.channel).put(Frame(image=image, time_s=now_s, index=picture.index))
            case Sight() as sight:
                getattr(self._bus, message.channel).put(msgspec.structs.replace(sight, time_s=now_s))
            case value if message.channel in AS_IT_WAS:
                getattr(self._bus, message.channel).put(value)
            case _:
                pass  # nothing of it is on the page


async def view(file: Path, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve the page with a recording on it until cancelled; `ready` is told where.

    Raises ConfigError if the recording can't be shown, DeviceError if the port is taken.
    """
    with Recording(file) as recording:
        player = Player(recording)
        async with Remote(player.sources, port) as remote, asyncio.TaskGroup() as group:
            group.create_task(remote.serve(), name="page")
            group.create_task(player.run(remote), name="player")
            ready(remote.url)


def _nothing_moves(_: str) -> None:
    raise Refused("this is a recording; nothing moves")


async def _nothing_to_release() -> None:
    raise Refused("this is a recording; nothing is stopped")

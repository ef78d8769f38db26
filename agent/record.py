"""Recording: every message that the table of channels marks, with pictures and sound, to MCAP files.

What goes through the bus is only noted down by whoever put it; turning it into bytes and writing them happens
in a thread of its own. In virtual time it happens at once, so that the same seed gives the same bytes. A disk
that is full, or broken, ends the recording and never the robot; it is tried again later.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from agent.blur import FaceBlur
from agent.events import CHANNELS, Bus, Sight
from agent.record_files import About, Reel, Row, Single
from agent.record_format import FRAME_IDS, SEEN_IN, LogLine, audio_of, picture_of, stamped
from agent.video import FULL, LOW, Encoder, Quality
from drivers.audio import Sound
from drivers.camera import Frame
from drivers.errors import ConfigError, DeviceError

QUEUE = 4000  # messages that wait for the disk: ten seconds of them
FRAMES_WAITING = 20  # pictures among them; each is up to 6 MB
POLL_S = 0.2  # how often the thread looks
PAUSE_S = 0.0005  # between two messages: the motion tick gets the interpreter at once
RETRY_S = 60.0  # after the disk was full
ROOM_BYTES = 4_000_000  # written between two looks at the free space

log = logging.getLogger(__name__)

_Item = tuple[str, object, float]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What of pictures and sound is kept."""

    quality: Quality | None = LOW
    has_blur: bool = False
    has_sound: bool = True


class Recorder:
    """Writes what goes through a bus. Times are loop times; without a thread the bytes depend on nothing else."""

    def __init__(
        self,
        files: Path | Row,
        about: About | None = None,
        kept: Kept | None = None,
        *,
        has_thread: bool = False,
    ) -> None:
        self.line = "recording"
        self.dropped = 0
        self._row = Single(files) if isinstance(files, Path) else files
        self._files = files
        self._about = about or About()
        self._kept = kept or Kept()
        self._cameras = {name: _Camera(name, self._kept) for name in FRAME_IDS}
        self._gaps_s = {channel.name: 1 / channel.most_hz for channel in CHANNELS if channel.most_hz}
        self._due_s: dict[str, float] = {}
        self._reel: Reel | None = None
        self._checked_bytes = 0
        self._retry_s = float("-inf")
        self._queue: deque[_Item] = deque()
        self._frames_waiting = 0
        self._told_dropped = 0
        self._formless: set[str] = set()  # channels of which a message could not be written
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recording") if has_thread else None

    def __enter__(self) -> "Recorder":
        """Begin. Raises ConfigError if a file that a person named cannot be written."""
        if isinstance(self._files, Path):
            try:
                self._reel = self._row.next(self._about)
            except OSError as exc:
                raise ConfigError(
                    f"{self._files}: cannot be written ({exc.strerror}); name another file"
                ) from exc
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._reel is not None:
                self._reel.close()
        except OSError as error:
            self._fail(error, 0.0)

    def listen(self, bus: Bus) -> None:
        """Record everything that is put on this bus from now on; sound is asked for only if it is kept."""
        bus.tap(self.write, has_sound=self._kept.has_sound)

    def write(self, channel: str, value: object, time_s: float) -> None:
        """Note one message down; nothing is waited for. More than can be written is dropped and counted."""
        gap_s = self._gaps_s.get(channel)
        camera = self._cameras.get(channel)
        if camera is not None:
            if camera.quality is None:
                return
            gap_s = 1 / camera.quality.rate_hz
        if gap_s is not None:
            due_s = self._due_s.get(channel, time_s)
            if time_s < due_s - gap_s / 20:
                return
            self._due_s[channel] = max(due_s + gap_s, time_s)
        if self._thread is None:
            self._store(channel, value, time_s)
            return
        if len(self._queue) >= QUEUE or (camera is not None and self._frames_waiting >= FRAMES_WAITING):
            self.dropped += 1
            return
        self._frames_waiting += camera is not None
        self._queue.append((channel, value, time_s))

    def _work(self) -> None:
        is_ending = False
        while not is_ending:
            is_ending = self._ending.wait(POLL_S)
            while self._queue:
                channel, value, time_s = self._queue.popleft()
                self._frames_waiting -= channel in FRAME_IDS
                self._store(channel, value, time_s)
                if not is_ending:
                    self._ending.wait(PAUSE_S)
            if self.dropped > self._told_dropped:
                log.warning(
                    "recording: %d messages dropped; the disk or the machine is too slow for them",
                    self.dropped - self._told_dropped,
                )
                self._told_dropped = self.dropped

    def _store(self, channel: str, value: object, time_s: float) -> None:
        """Write one message where it belongs; a disk that refuses ends the recording for a while."""
        if self._reel is None and time_s < self._retry_s:
            return
        try:
            reel = self._reel_for_more()
            for name, message, at_s in self._messages(channel, value, time_s):
                reel.write(name, message, at_s)
        except OSError as exc:
            self._fail(exc, time_s)
        except (ValueError, TypeError, NotImplementedError) as exc:
            # It has no form; that must not cost the others.
            if channel not in self._formless:
                log.error("recording: a message of %s was left out (%s)", channel, exc)
            self._formless.add(channel)

    def _reel_for_more(self) -> Reel:
        if self._reel is not None and self._row.is_full(self._reel):
            reel, self._reel = self._reel, None
            reel.close()
        if self._reel is None:
            self._reel = self._row.next(self._about)
            self._checked_bytes = 0
            for camera in self._cameras.values():
                camera.begin()
            if self.line != "recording":
                log.info("recording: there is room again; it goes on")
                self.line = "recording"
        if self._reel.bytes - self._checked_bytes > ROOM_BYTES:
            self._checked_bytes = self._reel.bytes
            self._row.check_room()
        return self._reel

    def _messages(self, channel: str, value: object, time_s: float) -> list[_Item]:
        """What is written for a value: pictures wait for what is seen in them if faces are to be blurred."""
        match value:
            case Frame():
                return self._cameras[channel].take(value)
            case Sound():
                return [(channel, audio_of(value), time_s)] if self._kept.has_sound else []
            case Sight():
                return [(channel, value, time_s), *self._cameras[SEEN_IN[channel]].see(value)]
            case _:
                return [(channel, value, time_s)]

    def _fail(self, exc: OSError, time_s: float) -> None:
        if self.line == "recording":
            log.error("recording: stopped (%s); the robot goes on, and it is tried again", exc.strerror)
        self.line = f"stopped: {exc.strerror}"
        self._retry_s = time_s + RETRY_S
        reel, self._reel = self._reel, None
        if reel is not None:
            with contextlib.suppress(OSError):
                reel.drop()


class LogTap(logging.Handler):
    """Has the program's own messages recorded as well, from `with` to the end of it."""

    def __init__(self, recorder: Recorder, now_s: Callable[[], float]) -> None:
        super().__init__(logging.INFO)
        self._recorder = recorder
        self._now_s = now_s

    def __enter__(self) -> "LogTap":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._note(record)
        except Exception:  # noqa: BLE001  whoever logs must not fail for it
            self.handleError(record)

    def _note(self, record: logging.LogRecord) -> None:
        time_s = self._now_s()
        line = LogLine(
            timestamp=stamped(time_s),
            level=min(max(record.levelno // 10, 1), 5),
            message=record.getMessage().encode(errors="replace").decode(),
            name=record.name,
            file=record.filename,
            line=record.lineno,
        )
        self._recorder.write("log", line, time_s)


class _Camera:
    """One camera's pictures on their way to packets."""

    def __init__(self, name: str, kept: Kept) -> None:
        self.quality = kept.quality
        self._name = name
        self._blur = FaceBlur() if kept.has_blur else None
        self.begin()

    def begin(self) -> None:
        """A new file: its first picture needs no other."""
        self._encoder = Encoder(self.quality or LOW)
        self._retry_s = 0.0  # after it failed

    def take(self, frame: Frame) -> list[_Item]:
        if self._blur is not None:
            self._blur.hold(frame)
            return []
        return self._packet(frame)

    def see(self, sight: Sight) -> list[_Item]:
        if self._blur is None:
            return []
        return [item for frame in self._blur.see(sight) for item in self._packet(frame)]

    def _packet(self, frame: Frame) -> list[_Item]:
        if frame.image.size == 0 or frame.time_s < self._retry_s:
            return []
        try:
            packet = self._encoder.encode(frame.image)
        except DeviceError as exc:
            log.error("recording: no pictures of %s for %g s (%s)", self._name, RETRY_S, exc)
            self.begin()
            self._retry_s = frame.time_s + RETRY_S
            return []
        height_px, width_px = frame.image.shape[:2]
        picture = picture_of(self._name, packet, frame, (width_px, height_px))
        return [(self._name, picture, frame.time_s)]


QUALITIES: dict[str, Quality | None] = {"off": None, "low": LOW, "full": FULL}

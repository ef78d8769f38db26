"""The line to a board: a stream of bytes, three kinds of delivery over it, and the board's clock.

Reliable messages are answered once each and in order, stream messages are sent and forgotten, an urgent one
is repeated until the board says that it has it.
"""

import asyncio
import errno
import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import serial

from drivers import messages, wire
from drivers.board_clock import BoardClock
from drivers.errors import DeviceError, LinkLost, LinkTimeout, ProtocolError

BAUD = 500_000
READ_BYTES = 4096
# Ten milliseconds of line: what waits longer is old by then, and a stop must not queue behind it.
WRITE_BACKLOG_BYTES = 512
WINDOW = 8
RETRY_S = 0.05  # ten times the slowest usual round trip
RETRY_LEAST_S = 0.005  # a full window on the line takes that long
RETRY_TRIPS = 3  # this many usual round trips without an answer: it was lost
REQUEST_S = 1.0  # twenty tries and more
URGENT_REPEAT_S = 0.01
SILENCE_S = 0.5  # a board speaks every 20 ms; 25 lost in a row are no accident
PING_FAST_S = 0.02
PING_S = 0.25
PING_FAST_COUNT = 8


class ByteStream(Protocol):
    """Bytes to and from a board."""

    @property
    def name(self) -> str:
        """What a person calls it: a path, or `simulated board`."""
        ...

    async def read(self) -> bytes:
        """Wait for the next bytes. Raises LinkLost when there will be none."""
        ...

    def write(self, data: bytes) -> None:
        """Send without waiting. On a lost line the bytes are dropped and `read` tells."""
        ...

    async def aclose(self) -> None: ...


class SerialStream:
    """A serial port or pseudo-terminal, on the event loop, without threads.

    Raises DeviceError if the port is missing, busy or not allowed.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._backlog = bytearray()
        self._is_lost = False
        self._is_writing = False
        try:
            # An inter-byte timeout of 0 sets VMIN to 1: an empty read then means that the port is gone.
            self._port = serial.Serial(
                path, BAUD, timeout=0, write_timeout=0, inter_byte_timeout=0, exclusive=True
            )
        except (OSError, ValueError) as exc:
            raise DeviceError(why_not_open(path, exc)) from exc
        self._fd: int = self._port.fileno()
        os.set_blocking(self._fd, False)
        _keep_dtr(self._fd)

    async def read(self) -> bytes:
        while True:
            if self._is_lost or not self._port.is_open:
                raise LinkLost(f"{self.name}: the port is gone; check the cable")
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            except OSError as exc:
                self._is_lost = True
                raise LinkLost(f"{self.name}: the port is gone ({exc.strerror}); check the cable") from exc
            if not data:
                self._is_lost = True
                continue
            return data

    def write(self, data: bytes) -> None:
        if self._is_lost or not self._port.is_open:
            return
        if len(self._backlog) + len(data) > WRITE_BACKLOG_BYTES:
            self._backlog.clear()  # what waited is old; the zero ends whatever frame was cut
            data = b"\0" + data
        self._backlog += data
        self._flush()

    async def aclose(self) -> None:
        if self._port.is_open:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            loop.remove_writer(self._fd)
            self._port.close()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, _finish, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self._fd, self._backlog)
            del self._backlog[:written]
        except BlockingIOError:
            pass
        except OSError:
            self._is_lost = True
            self._backlog.clear()
        if self._backlog and not self._is_writing:
            loop.add_writer(self._fd, self._flush)
            self._is_writing = True
        elif not self._backlog and self._is_writing:
            loop.remove_writer(self._fd)
            self._is_writing = False


def _keep_dtr(fd: int) -> None:
    """Let DTR stay as it is when the port is closed: on many boards its edge is the reset, and a board that
    begins anew at every attempt to reach it sits in its bootloader each time."""
    attributes = termios.tcgetattr(fd)
    attributes[2] &= ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def why_not_open(path: str, exc: Exception) -> str:
    """What a person can do about a port that does not open."""
    code = getattr(exc, "errno", None)
    if code == errno.ENOENT or not Path(path).exists():
        return f"{path}: no such port; plug the board in, then `nod doctor` lists the ports"
    if code in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission; run `sudo usermod -aG dialout $USER` and log in again"
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusive" in str(exc):
        return f"{path}: busy, another program has it open; stop that one first"
    return f"{path}: cannot be opened as a serial port ({exc}); `nod doctor` lists the ports"


class _Request(msgspec.Struct):
    """A reliable message that waits for its answer."""

    frame: bytes
    answer: asyncio.Future[messages.Reason]
    sent_s: float
    is_repeated: bool = False


class Link:
    """Three kinds of delivery over a stream. `serve` must run for anything to come back."""

    def __init__(self, stream: ByteStream, on_message: Callable[[messages.Message], None]) -> None:
        self.clock = BoardClock()
        self._stream = stream
        self._on_message = on_message
        self._decoder = wire.Decoder()
        self._sequence = 0
        self._requests: dict[int, _Request] = {}  # in the order of their numbers
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        # How many may wait at once: fewer on a line that loses much, where all behind a lost one go again.
        self._window = float(WINDOW - 1)
        self._round_trip_s = RETRY_S / RETRY_TRIPS
        self._retry_timer: asyncio.TimerHandle | None = None
        self._welcome: asyncio.Future[messages.Welcome] | None = None
        self._urgent: messages.Stop | None = None
        self._urgent_timer: asyncio.TimerHandle | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._ping_number = 0
        self._pings: dict[int, float] = {}

    @property
    def name(self) -> str:
        return self._stream.name

    @property
    def errors(self) -> int:
        """Frames from the board that were thrown away."""
        return self._decoder.errors

    @property
    def is_urgent_pending(self) -> bool:
        """Whether a stop was sent that the board has not acknowledged yet."""
        return self._urgent is not None

    def send(self, message: messages.Message) -> None:
        """Stream: once, newest wins."""
        self._stream.write(wire.encode(message))

    def ping(self) -> int:
        """Ask for the board's clock now; the `Pong` of this number goes to `clock`, then to `on_message`."""
        now_s = asyncio.get_running_loop().time()
        self._ping_number = (self._ping_number + 1) & 0xFFFF
        self._pings = {n: s for n, s in self._pings.items() if now_s - s < REQUEST_S}
        self._pings[self._ping_number] = now_s
        self.send(messages.Ping(number=self._ping_number))
        return self._ping_number

    def urgent(self, message: messages.Stop) -> None:
        """At once, before every message that waits (behind the 10 ms of bytes already handed to the port at
        most), and again every 10 ms until the board has it."""
        self._urgent = message
        self._repeat_urgent()

    async def hello(self, session: int) -> None:
        """Open a session, before any request. Raises ProtocolError if the board has another message table."""
        self._sequence = 0
        frame = wire.encode(messages.Hello(table_hash=messages.TABLE_HASH, session=session), 0)
        try:
            async with asyncio.timeout(REQUEST_S):
                while True:
                    self._welcome = asyncio.get_running_loop().create_future()
                    self._stream.write(b"\0" + frame)  # the zero ends whatever noise came before
                    await asyncio.wait((self._welcome,), timeout=RETRY_S)
                    if self._welcome.done() and self._welcome.result().session == session:
                        break
        except TimeoutError as exc:
            raise LinkTimeout(
                f"{self.name}: no answer from a board in {REQUEST_S:g} s; check the cable and that "
                "the firmware is on it, then `nod doctor`"
            ) from exc
        theirs = self._welcome.result().table_hash
        if theirs != messages.TABLE_HASH:
            raise ProtocolError(
                f"{self.name}: the board's firmware has message table {theirs:08x}, this program "
                f"{messages.TABLE_HASH:08x}; flash this release's with `nod flash`, or run the release it came with"
            )

    async def request(self, message: messages.Message) -> messages.Reason:
        """Reliable: carried out exactly once, in order. The board's answer; LinkTimeout if none comes."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            while not self._has_room():
                self._room.clear()
                await self._room.wait()
            self._sequence = (self._sequence + 1) & 0xFF
            number = self._sequence
            request = _Request(wire.encode(message, number), loop.create_future(), loop.time())
            self._requests[number] = request
            self._stream.write(request.frame)
        self._await_answers()
        try:
            async with asyncio.timeout(REQUEST_S):
                return await request.answer
        except TimeoutError as exc:
            what = type(message).__name__.lower()
            raise LinkTimeout(
                f"{self.name}: no answer to {what!r} in {REQUEST_S:g} s; check the cable"
            ) from exc
        finally:
            self._requests.pop(number, None)
            self._room.set()

    async def serve(self) -> None:
        """Read until the line fails. Raises LinkLost, or LinkTimeout when the board falls silent."""
        loop = asyncio.get_running_loop()
        self._keep_time()
        try:
            heard_s = loop.time()
            while True:
                try:
                    async with asyncio.timeout_at(heard_s + SILENCE_S):
                        data = await self._stream.read()
                except TimeoutError as exc:
                    raise LinkTimeout(
                        f"{self.name}: the board has been silent for {SILENCE_S:g} s; check cable and power"
                    ) from exc
                for frame in self._decoder.feed(data):
                    heard_s = loop.time()
                    self._take(frame.message, heard_s)
        finally:
            if self._ping_timer is not None:
                self._ping_timer.cancel()

    async def aclose(self) -> None:
        for timer in (self._ping_timer, self._urgent_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        await self._stream.aclose()

    def _has_room(self) -> bool:
        oldest = next(iter(self._requests), None)
        return oldest is None or (self._sequence - oldest) & 0xFF < int(self._window)

    def _await_answers(self) -> None:
        """From now on, the usual time without any answer means that something was lost."""
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        wait_s = min(max(self._round_trip_s * RETRY_TRIPS, RETRY_LEAST_S), RETRY_S)
        self._retry_timer = asyncio.get_running_loop().call_later(wait_s, self._repeat, list(self._requests))

    def _repeat(self, numbers: list[int]) -> None:
        """Send these again, as far as they still wait."""
        now_s = asyncio.get_running_loop().time()
        waiting = [self._requests[number] for number in numbers if number in self._requests]
        for request in waiting:
            self._stream.write(request.frame)
            request.sent_s, request.is_repeated = now_s, True
        if waiting:
            self._window = max(self._window / 2, 2.0)
        if self._requests:
            self._await_answers()

    def _answered(self, number: int, reason: messages.Reason, now_s: float) -> None:
        request = self._requests.get(number)
        if request is None or request.answer.done():
            return
        request.answer.set_result(reason)
        if not request.is_repeated:
            self._round_trip_s += (now_s - request.sent_s - self._round_trip_s) / 8
        self._window = min(self._window + 1 / self._window, WINDOW - 1.0)
        # The board answers in order: what waits in front of this one was carried out, and its answer lost.
        overtaken = [
            earlier
            for earlier, other in self._requests.items()
            if 0 < (number - earlier) & 0xFF < WINDOW
            and not other.answer.done()
            and now_s - other.sent_s > self._round_trip_s
        ]
        if overtaken:
            self._repeat(overtaken)

    def _take(self, message: messages.Message, now_s: float) -> None:
        match message:
            case messages.Result():
                try:
                    reason = messages.Reason(message.reason)
                except ValueError as exc:
                    raise ProtocolError(f"{self.name}: the board answers {exc}; flash it again") from exc
                self._answered(message.number, reason, now_s)
            case messages.Gap():
                self._repeat([n for n in self._requests if (n - message.expected) & 0xFF < WINDOW])
            case messages.Welcome():
                if self._welcome is not None and not self._welcome.done():
                    self._welcome.set_result(message)
            case messages.StopAck():
                if self._urgent is not None and self._urgent.token == message.token:
                    self._urgent = None
            case messages.Pong():
                sent_s = self._pings.pop(message.number, None)
                if sent_s is not None:
                    self.clock.add(sent_s, now_s, message.time_us)
                    self._on_message(message)
            case _:
                self._on_message(message)

    def _repeat_urgent(self) -> None:
        if self._urgent_timer is not None:
            self._urgent_timer.cancel()
        if self._urgent is None:
            return
        self._stream.write(wire.encode(self._urgent))
        self._urgent_timer = asyncio.get_running_loop().call_later(URGENT_REPEAT_S, self._repeat_urgent)

    def _keep_time(self) -> None:
        is_new = self.ping() < PING_FAST_COUNT
        wait_s = PING_FAST_S if is_new else PING_S
        self._ping_timer = asyncio.get_running_loop().call_later(wait_s, self._keep_time)

"""Boards without a board: the true firmware core, as a library in lock step or as a process on a pty."""

import asyncio
import ctypes
import os
import struct
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Protocol

import msgspec

from drivers.errors import ConfigError, DeviceError, LinkLost

BUILD_DIR = Path(__file__).resolve().parents[1] / "firmware" / "build"
CHANNELS = 4
START_S = 5.0  # a process that has not named its port by then is not going to
END_S = 1.0
_RECORDS = 64  # servo frames a library call hands over at once: 1.3 s
_TRANSMIT_BYTES = 4096


class PwmFrame(msgspec.Struct, frozen=True):
    """What the servos see in one period: a pulse a channel in µs, 0 for none. `time_s` is loop time."""

    time_s: float
    pulse_us: tuple[int, ...]


class Board(Protocol):
    """What the simulated body needs of a board."""

    def advance(self, now_s: float) -> None:
        """Let the firmware run up to loop time `now_s`; one with a clock of its own needs no push."""
        ...

    def pulses(self) -> list[PwmFrame]:
        """The servo frames since the last call, oldest first."""
        ...


class _Record(ctypes.Structure):
    _fields_ = [("time_us", ctypes.c_uint64), ("pulse_us", ctypes.c_uint16 * CHANNELS)]


class LockstepBoard:
    """The core in this process, as a stream of bytes. It stands still until it is told how late it is.

    Firmware time passes only in `advance` and `write`, so under a virtual clock two runs give the same bytes.
    `first_us` is what the board's clock shows at the start. Raises ConfigError when the library is not built.
    """

    name = "simulated board"

    def __init__(self, joint_count: int, first_us: int = 0) -> None:
        self._library = _library()
        self._joint_count = joint_count
        self._offset_us: int | None = None
        self._first_us = first_us
        self._board = ctypes.c_void_p(self._library.nod_new(first_us))
        self._records = (_Record * _RECORDS)()
        self._out = ctypes.create_string_buffer(_TRANSMIT_BYTES)
        self._waiting = bytearray()
        self._frames: list[PwmFrame] = []
        self._ready = asyncio.Event()
        self._is_lost = False

    def __del__(self) -> None:
        board: ctypes.c_void_p | None = getattr(self, "_board", None)
        if board is not None:
            self._library.nod_free(board)

    async def read(self) -> bytes:
        while not self._waiting:
            if self._is_lost:
                raise LinkLost(f"{self.name}: the line was cut")
            self._ready.clear()
            await self._ready.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def write(self, data: bytes) -> None:
        if self._is_lost:
            return
        now_s = asyncio.get_running_loop().time()
        self.advance(now_s)
        self._library.nod_receive(self._board, data, len(data), self._board_us(now_s))
        self._drain()

    async def aclose(self) -> None:
        self.cut()

    def cut(self) -> None:
        """Pull the cable: the firmware runs on, no byte passes any more."""
        self._is_lost = True
        self._ready.set()

    def advance(self, now_s: float) -> None:
        until_us = self._board_us(now_s)
        while True:
            count = self._library.nod_advance(self._board, until_us, self._records, _RECORDS)
            for record in self._records[:count]:
                time_s = (record.time_us - self._first_us + (self._offset_us or 0)) * 1e-6
                self._frames.append(PwmFrame(time_s, tuple(record.pulse_us[: self._joint_count])))
            if count < _RECORDS:
                break
        self._drain()

    def pulses(self) -> list[PwmFrame]:
        frames, self._frames = self._frames, []
        return frames

    def _board_us(self, now_s: float) -> int:
        now_us = round(now_s * 1e6)
        if self._offset_us is None:
            self._offset_us = now_us  # its life begins when it is first looked at
        return now_us - self._offset_us + self._first_us

    def _drain(self) -> None:
        while size := self._library.nod_transmit(self._board, self._out, _TRANSMIT_BYTES):
            if not self._is_lost:
                self._waiting += self._out.raw[:size]
                self._ready.set()


class ProcessBoard:
    """The core as a process in real time; `port` is what a driver opens.

    Raises ConfigError when the program is not built, DeviceError when it does not start.
    """

    def __init__(self, joint_count: int) -> None:
        self._joint_count = joint_count
        self._process: Process | None = None
        self._pipe = -1
        self._rest = b""
        self.port = ""

    async def __aenter__(self) -> "ProcessBoard":
        program = _built("nod-host")
        self._pipe, far_end = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                program, "--pwm-fd", str(far_end), stdout=PIPE, pass_fds=(far_end,)
            )
        except OSError as exc:
            os.close(self._pipe)
            raise DeviceError(f"{program}: does not start ({exc.strerror}); build it again") from exc
        finally:
            os.close(far_end)
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                self.port = (await self._process.stdout.readline()).decode().strip()
        except TimeoutError:
            self.port = ""
        if not self.port:
            await self.__aexit__()
            raise DeviceError(f"{program}: named no port; is /dev/pts mounted?")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        # The transport closes its pipes only on the next turn of the loop.
        await asyncio.sleep(0)

    def kill(self) -> None:
        """What a dead board looks like: no farewell."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def advance(self, now_s: float) -> None:
        """Nothing to do: it has the machine's clock, which the loop reads too."""

    def pulses(self) -> list[PwmFrame]:
        frames: list[PwmFrame] = []
        while self._pipe >= 0:
            try:
                data = os.read(self._pipe, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            data = self._rest + data
            whole = len(data) // _RECORD.size * _RECORD.size
            self._rest = data[whole:]
            for time_us, *pulse_us in _RECORD.iter_unpack(data[:whole]):
                frames.append(PwmFrame(time_us * 1e-6, tuple(pulse_us[: self._joint_count])))
        return frames


_RECORD = struct.Struct(f"<Q{CHANNELS}H")


def _built(name: str) -> str:
    path = BUILD_DIR / name
    if not path.is_file():
        raise ConfigError(
            f"firmware/build/{name} is not built; `./nod run` builds it, or `make -C firmware` (needs gcc)"
        )
    return str(path)


def _library() -> ctypes.CDLL:
    path = _built("libnod.so")
    try:
        library = ctypes.CDLL(path)
    except OSError as exc:
        raise ConfigError("firmware/build/libnod.so does not load; run `make -C firmware clean all`") from exc
    board = ctypes.c_void_p
    library.nod_new.restype = board
    library.nod_new.argtypes = [ctypes.c_uint64]
    library.nod_free.argtypes = [board]
    library.nod_free.restype = None
    library.nod_receive.argtypes = [board, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    library.nod_receive.restype = None
    library.nod_advance.argtypes = [board, ctypes.c_uint64, ctypes.POINTER(_Record), ctypes.c_size_t]
    library.nod_advance.restype = ctypes.c_size_t
    library.nod_transmit.argtypes = [board, ctypes.c_char_p, ctypes.c_size_t]
    library.nod_transmit.restype = ctypes.c_size_t
    return library

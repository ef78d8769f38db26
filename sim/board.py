"""Boards without a board: the true firmware core, as a library in lock step or as a process on a pty."""

import asyncio
import ctypes
import os
import signal
import struct
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError, DeviceError, LinkLost

# Tests name another build of the same firmware, one that checks itself.
BUILD_DIR = Path(
    os.environ.get("NOD_FIRMWARE_BUILD") or Path(__file__).resolve().parents[1] / "firmware" / "build"
)
CHANNELS = 4
TICK_US = 1000
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

    def press_stop(self, is_pressed: bool) -> None:
        """The stop button at the board, or a cut in its wire."""
        ...

    def reset(self) -> None:
        """The chip begins anew, as by its reset pin."""
        ...

    def pulses(self) -> list[PwmFrame]:
        """The servo frames since the last call, oldest first."""
        ...


class _Record(ctypes.Structure):
    _fields_ = [("time_us", ctypes.c_uint64), ("pulse_us", ctypes.c_uint16 * CHANNELS)]


class Core:
    """One instance of the firmware core, in its own time: microseconds from `first_us`, nothing runs alone.

    Raises ConfigError when the library is not built.
    """

    def __init__(self, first_us: int = 0) -> None:
        self._library = load_library()
        self._core = ctypes.c_void_p(self._library.nod_new(first_us))
        self._records = (_Record * _RECORDS)()
        self._out = ctypes.create_string_buffer(_TRANSMIT_BYTES)
        self._rests: list[int] | None = None

    def __del__(self) -> None:
        core: ctypes.c_void_p | None = getattr(self, "_core", None)
        if core is not None:
            self._library.nod_free(core)

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes from the line."""
        if self._rests is None:
            self._library.nod_receive(self._core, data, len(data), now_us)
            return
        room = (ctypes.c_int32 * len(data))()
        count = self._library.nod_receive_and_tell(self._core, data, len(data), now_us, room, len(data))
        self._rests += room[:count]

    def tell_rests(self) -> list[int]:
        """From now on, joint 0's rest in µrad after each reliable message that was carried out, in this list."""
        self._rests = []
        return self._rests

    def advance(self, until_us: int) -> list[tuple[int, tuple[int, ...]]]:
        """Tick once a millisecond up to `until_us`; the servo frames on the way: time in µs, pulses in µs."""
        frames: list[tuple[int, tuple[int, ...]]] = []
        while True:
            count = self._library.nod_advance(self._core, until_us, self._records, _RECORDS)
            for place in range(count):
                record = self._records[place]
                frames.append((record.time_us, tuple(record.pulse_us)))
            if count < _RECORDS:
                return frames

    def trace(self, ticks: int, from_us: int) -> NDArray[np.float64]:
        """Tick so often from a time on: where each joint is commanded to be after each tick, in rad."""
        room = (ctypes.c_int32 * (CHANNELS * ticks))()
        until_us = from_us + ticks * TICK_US
        count = self._library.nod_trace(self._core, until_us, room, ticks)
        return np.array(room[: CHANNELS * count], dtype=np.float64).reshape(count, CHANNELS) * 1e-6

    def transmit(self) -> bytes:
        """Bytes for the line."""
        data = b""
        while size := self._library.nod_transmit(self._core, self._out, _TRANSMIT_BYTES):
            data += ctypes.string_at(self._out, size)
            if size < _TRANSMIT_BYTES:
                break
        return data

    def pulse_us(self, channel: int) -> int:
        """The channel's pulse this moment, 0 for none."""
        return int(self._library.nod_pulse_us(self._core, channel))

    def press_stop(self, is_pressed: bool) -> None:
        """The stop button, or a cut in its wire."""
        self._library.nod_open_stop_line(self._core, is_pressed)

    def reset(self, now_us: int) -> None:
        """The chip begins anew, as by its reset pin."""
        self._library.nod_reset(self._core, now_us)


class Firmware(Protocol):
    """What a board in lock step is made of: `Core`, or a whole simulated chip."""

    def receive(self, data: bytes, now_us: int) -> None: ...

    def advance(self, until_us: int) -> list[tuple[int, tuple[int, ...]]]: ...

    def transmit(self) -> bytes: ...

    def press_stop(self, is_pressed: bool) -> None: ...

    def reset(self, now_us: int) -> None: ...


class LockstepBoard:
    """Firmware as a stream of bytes, by default the core in this process. It stands still until it is told how
    late it is.

    Firmware time passes only in `advance` and `write`, so under a virtual clock two runs give the same bytes.
    `first_us` is what the board's clock shows when it is first looked at; it may run `drift_ppm` millionths fast.
    """

    name = "simulated board"

    def __init__(
        self, joint_count: int, first_us: int = 0, drift_ppm: int = 0, firmware: Firmware | None = None
    ) -> None:
        self._core = firmware or Core(first_us)
        self._joint_count = joint_count
        self._first_us = first_us
        self._rate = 1 + drift_ppm * 1e-6
        self._first_s: float | None = None
        self._waiting = bytearray()
        self._frames: list[PwmFrame] = []
        self._ready = asyncio.Event()
        self._is_cut = False

    async def __aenter__(self) -> "LockstepBoard":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cut()

    async def read(self) -> bytes:
        while not self._waiting:
            if self._is_cut:
                raise LinkLost(f"{self.name}: the line was cut")
            self._ready.clear()
            await self._ready.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def write(self, data: bytes) -> None:
        if self._is_cut:
            return
        now_s = asyncio.get_running_loop().time()
        self.advance(now_s)
        self._core.receive(data, self.clock_us(now_s))
        self._drain()

    async def aclose(self) -> None:
        """The host lets go of the port; it may be opened again. Who still reads waits in vain, as at a true one."""
        self._waiting.clear()
        self._ready = asyncio.Event()

    def cut(self) -> None:
        """Pull the cable: the firmware runs on, no byte passes any more."""
        self._is_cut = True
        self._waiting.clear()
        self._ready.set()

    def plug(self) -> None:
        """Put the cable back in."""
        self._is_cut = False

    def tell_rests(self) -> list[int]:
        """See `Core.tell_rests`."""
        assert isinstance(self._core, Core)
        return self._core.tell_rests()

    def press_stop(self, is_pressed: bool) -> None:
        self._core.press_stop(is_pressed)

    def reset(self) -> None:
        self._core.reset(self.clock_us(asyncio.get_running_loop().time()))

    def advance(self, now_s: float) -> None:
        for time_us, pulse_us in self._core.advance(self.clock_us(now_s)):
            time_s = (self._first_s or 0.0) + (time_us - self._first_us) * 1e-6 / self._rate
            self._frames.append(PwmFrame(time_s, pulse_us[: self._joint_count]))
        self._drain()

    def pulses(self) -> list[PwmFrame]:
        frames, self._frames = self._frames, []
        return frames

    def stand_still(self, seconds: float) -> None:
        """Let no time pass on the board for so long: the host's clock is about to leap ahead of it by that."""
        self._first_s = (self._first_s or 0.0) + seconds

    def clock_us(self, now_s: float) -> int:
        """What the board's clock shows at a loop time, not yet cut to 32 bits."""
        if self._first_s is None:
            self._first_s = now_s
        return round((now_s - self._first_s) * 1e6 * self._rate) + self._first_us

    def _drain(self) -> None:
        data = self._core.transmit()
        if data and not self._is_cut:
            self._waiting += data
            del self._waiting[:-_TRANSMIT_BYTES]  # as a port does whose host does not read
            self._ready.set()


class ProcessBoard:
    """Firmware as a process in real time; `port` is what a driver opens.

    `command` is a program with nod-host's `--pwm-fd`, first line and signals, and its other words; by default it is
    nod-host, whose clock may run `drift_ppm` millionths fast. Raises ConfigError when the program is not built,
    DeviceError when it does not start.
    """

    def __init__(self, joint_count: int, drift_ppm: int = 0, command: tuple[str, ...] = ()) -> None:
        self._joint_count = joint_count
        self._command = command
        self._drift_ppm = drift_ppm
        self._process: Process | None = None
        self._pipe = -1
        self._rest = b""
        self.port = ""

    async def __aenter__(self) -> "ProcessBoard":
        command = self._command or (built("nod-host"), "--drift-ppm", str(self._drift_ppm))
        program = command[0]
        self._pipe, far_end = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *("--pwm-fd", str(far_end)),
                stdout=PIPE,
                pass_fds=(far_end,),
                start_new_session=True,  # Ctrl-C in a terminal ends the robot, and the robot its board
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
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def press_stop(self, is_pressed: bool) -> None:
        self._signal(signal.SIGUSR1 if is_pressed else signal.SIGUSR2)

    def reset(self) -> None:
        self._signal(signal.SIGHUP)

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


def built(name: str, target: str = "all") -> str:
    """The path of what make has made. Raises ConfigError when it has not."""
    path = BUILD_DIR / name
    if not path.is_file():
        how = "`./nod run` builds it, or `make -C firmware` (needs gcc)"
        raise ConfigError(
            f"firmware/build/{name} is not built; {how if target == 'all' else f'run `make -C firmware {target}`'}"
        )
    return str(path)


def load_library() -> ctypes.CDLL:
    """The firmware as a library, its functions typed. Raises ConfigError when it is missing or broken."""
    path = built("libnod.so")
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
    numbers = ctypes.POINTER(ctypes.c_int32)
    library.nod_receive_and_tell.argtypes = [
        *library.nod_receive.argtypes,
        numbers,
        ctypes.c_size_t,
    ]
    library.nod_receive_and_tell.restype = ctypes.c_size_t
    library.nod_trace.argtypes = [board, ctypes.c_uint64, numbers, ctypes.c_size_t]
    library.nod_trace.restype = ctypes.c_size_t
    library.nod_advance.argtypes = [board, ctypes.c_uint64, ctypes.POINTER(_Record), ctypes.c_size_t]
    library.nod_advance.restype = ctypes.c_size_t
    library.nod_transmit.argtypes = [board, ctypes.c_char_p, ctypes.c_size_t]
    library.nod_transmit.restype = ctypes.c_size_t
    library.nod_pulse_us.argtypes = [board, ctypes.c_uint8]
    library.nod_pulse_us.restype = ctypes.c_uint16
    library.nod_open_stop_line.argtypes = [board, ctypes.c_bool]
    library.nod_open_stop_line.restype = None
    library.nod_reset.argtypes = [board, ctypes.c_uint64]
    library.nod_reset.restype = None
    byte = ctypes.c_uint8
    library.nod_encode.argtypes = [byte, byte, byte, ctypes.c_char_p, byte, ctypes.c_char_p]
    library.nod_encode.restype = ctypes.c_size_t
    return library

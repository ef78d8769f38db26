"""The AVR image on a simulated chip (simavr, a program of its own): stepped, measured, hung and reset."""

import os
import select
import struct
import subprocess
from types import TracebackType

import msgspec

from drivers.errors import DeviceError
from sim.board import CHANNELS, built

READ_S = 20.0  # a step of a second takes a quarter of one; a chip that says nothing for so long is lost
_BOOT_US = 1000  # from power-on until the firmware listens; a byte that came before would be lost
_REQUEST = struct.Struct("<cQH")
_COUNTS = struct.Struct("<3I")
_RECORD = struct.Struct(f"<Q{CHANNELS}H")
_PULSE = struct.Struct("<QII")
_FIGURES = struct.Struct("<6I")
_SEND_BYTES = 0xFFFF


class Pulse(msgspec.Struct, frozen=True):
    """One pulse as an oscilloscope sees it, in time since power-on."""

    start_ns: int
    width_ns: int
    pin: int


class Figures(msgspec.Struct, frozen=True):
    """What the chip was found to need."""

    overruns: int  # bytes that came when the chip's buffer was full
    free_stack_bytes: int  # never used
    tick_cycles: int  # the longest, interrupts included; 0 unless measured
    frame_cycles: int  # the same of receiving a frame
    late_cycles: int  # the longest that a byte waited for its interrupt
    watchdog_resets: int


def avr_command(pins: tuple[int, ...]) -> tuple[str, ...]:
    """The program that runs the image in real time, for `ProcessBoard`; `pins` are the channels'."""
    named = ",".join(str(pin) for pin in (*pins, 0, 0, 0, 0)[:CHANNELS])  # no servo hangs on pin 0, the line
    return built("nod-avr", "avr-twin"), "--image", built("avr/nod.elf", "avr"), "--pins", named


class AvrChip:
    """The image in lock step, to be the firmware of a `LockstepBoard`; a context manager.

    Its clock shows `first_us` at power-on. With `is_measured` the core's functions are timed. Raises ConfigError when
    it is not built, DeviceError when it does not run.
    """

    def __init__(self, pins: tuple[int, ...], first_us: int = 0, is_measured: bool = False) -> None:
        self._command = [*avr_command(pins), "--lockstep", "--first-us", str(first_us)]
        if is_measured:
            self._command.append("--measure")
        self._first_us = first_us
        self._process: subprocess.Popen[bytes] | None = None
        self._now_us = 0
        self._in = bytearray()
        self._out = bytearray()
        self._frames: list[tuple[int, tuple[int, ...]]] = []
        self._pulses: list[Pulse] = []

    def __enter__(self) -> "AvrChip":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._run(_BOOT_US)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes for the line, which takes its time for them."""
        self.advance(now_us)
        self._in += data

    def advance(self, until_us: int) -> list[tuple[int, tuple[int, ...]]]:
        """Run up to `until_us`; the servo frames that ended on the way: time in µs, pulses in µs."""
        self._run(_BOOT_US + until_us - self._first_us)
        frames, self._frames = self._frames, []
        return frames

    def transmit(self) -> bytes:
        """Bytes that came over the line."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def pulses(self) -> list[Pulse]:
        """The pulses that ended since the last call, to a cycle."""
        pulses, self._pulses = self._pulses, []
        return pulses

    def press_stop(self, is_pressed: bool) -> None:
        """The stop button, or a cut in its wire."""
        self._request(b"o" if is_pressed else b"c")

    def reset(self, now_us: int) -> None:
        """The reset pin."""
        self.advance(now_us)
        self._request(b"x")

    def hang(self) -> None:
        """From here on the chip runs in a circle, as a bug would make it."""
        self._request(b"h")

    def figures(self) -> Figures:
        """What it was found to need so far."""
        self._request(b"q")
        return Figures(*_FIGURES.unpack(self._read(_FIGURES.size)))

    def _run(self, until_us: int) -> None:
        if until_us < self._now_us or (until_us == self._now_us and not self._in):
            return
        self._now_us = until_us
        data = bytes(self._in[:_SEND_BYTES])
        del self._in[:_SEND_BYTES]
        self._request(b"r", until_us, data)
        byte_count, record_count, pulse_count = _COUNTS.unpack(self._read(_COUNTS.size))
        self._out += self._read(byte_count)
        for time_us, *pulse_us in _RECORD.iter_unpack(self._read(record_count * _RECORD.size)):
            self._frames.append((time_us - _BOOT_US + self._first_us, tuple(pulse_us)))
        for start_ns, width_ns, pin in _PULSE.iter_unpack(self._read(pulse_count * _PULSE.size)):
            self._pulses.append(Pulse(start_ns, width_ns, pin))

    def _request(self, command: bytes, until_us: int = 0, data: bytes = b"") -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(_REQUEST.pack(command, until_us, len(data)) + data)
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise DeviceError(f"{self._command[0]}: ended by itself ({self._process.wait()})") from exc

    def _read(self, size: int) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        data = bytearray()
        while len(data) < size:
            if not select.select([pipe], [], [], READ_S)[0]:
                raise DeviceError(f"{self._command[0]}: no answer in {READ_S:g} s")
            part = os.read(pipe, size - len(data))
            if not part:
                raise DeviceError(f"{self._command[0]}: ended by itself ({self._process.wait()})")
            data += part
        return bytes(data)

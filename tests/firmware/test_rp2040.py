"""The firmware on a simulated RP2040: the image that is flashed, from the ROM's check to the pulses on its pins."""

import asyncio
import json
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers import body as bodies
from drivers.body import Joint, PwmServo
from drivers.errors import ConfigError, LinkLost, Refused
from drivers.head import Head, Knot, Telemetry
from drivers.messages import ResetCause, State
from sim import clock

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
BUILD = FIRMWARE / "build" / "rp2040"
FLASH_START = 0x10000000
STACK = range(0x20040000, 0x20042000 + 1)
FLASH_BUDGET_BYTES = 16 * 1024
RAM_BUDGET_BYTES = 32 * 1024  # the image runs from there too

BODY = bodies.load()
JOINTS = BODY.joint
SERVO_PINS = range(2, 16)
PERIOD_S = 0.01
LEAD_S = 0.04
TICK_S = 0.001
EIGHTH_US = 0.125
BYTE_US = 20.0  # ten bits at 500 kBd
# Slave select has no register in this simulator; on the chip it is on already, and set once more.
EXPECTED_COMPLAINTS = ["SSI: Unimplemented peripheral write to 0x10: 0x1"]

pytestmark = pytest.mark.e2e


class Pulse(msgspec.Struct, frozen=True, array_like=True):
    """One pulse on a pin, its edges to a nanosecond."""

    pin: int
    start_us: float
    width_us: float


class Answer(msgspec.Struct, frozen=True):
    """What simulate.mjs tells after each step."""

    transmit: str
    sent_us: list[float]  # when each of these bytes was through
    pulses: list[Pulse]
    led: list[tuple[float, bool]]
    busy_share: float
    clock_hz: float
    boots: int
    complaints: list[str]


def make(target: str) -> None:
    done = subprocess.run(["make", "-s", "-C", str(FIRMWARE), target], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def image() -> bytes:
    """The flash from its beginning, out of the UF2 file."""
    make("rp2040")
    blocks = (BUILD / "nod.uf2").read_bytes()
    assert len(blocks) % 512 == 0
    flash = b""
    for number in range(len(blocks) // 512):
        block = blocks[512 * number : 512 * (number + 1)]
        *magic, flags, address, size, place, count, family = struct.unpack("<8I", block[:32])
        assert (magic, block[-4:]) == ([0x0A324655, 0x9E5D5157], struct.pack("<I", 0x0AB16F30))
        assert (flags, family) == (0x2000, 0xE48BFF56)
        assert (address, size) == (FLASH_START + 256 * number, 256)
        assert (place, count) == (number, len(blocks) // 512)
        flash += block[32 : 32 + size]
    return flash


@pytest.fixture(scope="module")
def simulator() -> Path:
    make("rp2040-simulator")
    return BUILD / "simulator" / "simulate.mjs"


def test_the_rom_takes_the_second_stage(image: bytes) -> None:
    def reverse(value: int, bits: int) -> int:
        return int(f"{value:0{bits}b}"[::-1], 2)

    # The ROM's CRC-32 is the usual one, with the bits of bytes and sum the other way round and not inverted.
    usual = zlib.crc32(bytes(reverse(byte, 8) for byte in image[:252]))
    assert struct.unpack("<I", image[252:256])[0] == reverse(usual ^ 0xFFFFFFFF, 32)


def test_the_image_is_small_and_begins_with_its_vectors(image: bytes) -> None:
    sizes = subprocess.run(
        ["arm-none-eabi-size", "-A", BUILD / "nod.elf"], capture_output=True, text=True, check=True
    ).stdout
    section = {
        words[0]: int(words[1])
        for words in map(str.split, sizes.splitlines())
        if words[:1] and words[0][0] == "."
    }
    flash_bytes = section[".boot2"] + section[".image"]
    ram_bytes = section[".image"] + section[".bss"]
    print(
        f"rp2040_flash {flash_bytes} bytes, rp2040_ram {ram_bytes} bytes with the code, {section['.bss']} without"
    )
    assert flash_bytes <= FLASH_BUDGET_BYTES
    assert ram_bytes <= RAM_BUDGET_BYTES
    stack, *handlers = struct.unpack("<42I", image[256 : 256 + 4 * 42])
    assert stack in STACK
    for handler in handlers:
        assert handler % 2 == 1  # Thumb
        assert 0x20000000 <= handler < 0x20000000 + section[".image"]


class Pico:
    """A stream of bytes to a simulated chip, whose time passes only in `advance`."""

    name = "simulated Pico"

    def __init__(self, simulator: Path) -> None:
        self._process = subprocess.Popen(
            ["node", str(simulator), str(BUILD / "nod.uf2")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._decoder = msgspec.json.Decoder(Answer)
        self._waiting = bytearray()
        self._ready = asyncio.Event()
        self._to_send = b""
        self.sent: list[tuple[float, int]] = []
        self.pulses: list[Pulse] = []
        self.led: list[tuple[float, bool]] = []
        self.busiest = 0.0
        self.boots = 0

    def advance(self, **more: Any) -> Answer:
        """Run the chip up to now; bytes that were written since the last time go out one after another."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        until_us = asyncio.get_running_loop().time() * 1e6
        request = {"until_us": until_us, "receive": self._to_send.hex(), **more}
        self._to_send = b""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the simulator ended with {self._process.wait()}"
        answer = self._decoder.decode(line)
        assert answer.complaints in ([], EXPECTED_COMPLAINTS)
        self.pulses += answer.pulses
        self.led += answer.led
        self.boots = answer.boots
        self.busiest = max(self.busiest, answer.busy_share)
        transmitted = bytes.fromhex(answer.transmit)
        self.sent += zip(answer.sent_us, transmitted, strict=True)
        self._waiting += transmitted
        if self._waiting:
            self._ready.set()
        return answer

    async def read(self) -> bytes:
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def write(self, data: bytes) -> None:
        self._to_send += data

    async def aclose(self) -> None:
        self._waiting.clear()

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def take_pulses(self) -> list[Pulse]:
        pulses, self.pulses = self.pulses, []
        return pulses


class Rig(msgspec.Struct):
    """A chip that runs, and a head on it."""

    pico: Pico
    head: Head
    group: asyncio.TaskGroup

    async def move(self, seconds: float, radians_per_second: float = 0.2) -> None:
        """Turn all joints evenly after a soft start, one knot every 10 ms."""
        loop = asyncio.get_running_loop()
        telemetry = self.head.telemetry
        assert telemetry is not None
        start_rad, start_s = telemetry.position_rad[0], loop.time()
        for number in range(round(seconds / PERIOD_S)):
            elapsed_s = number * PERIOD_S
            velocity = min(elapsed_s, radians_per_second)  # 1 rad/s²
            slow_s = min(elapsed_s, radians_per_second)
            way = slow_s**2 / 2 + radians_per_second * (elapsed_s - slow_s)
            self.head.command(
                Knot(
                    time_s=start_s + elapsed_s + LEAD_S,
                    position_rad=(start_rad + way,) * len(JOINTS),
                    velocity_rad_s=(velocity,) * len(JOINTS),
                )
            )
            await asyncio.sleep(start_s + elapsed_s + PERIOD_S - loop.time())

    async def telemetry_after(self, seconds: float) -> Telemetry:
        await asyncio.sleep(seconds)
        return await self.head.next_telemetry()


@asynccontextmanager
async def rig_of(
    simulator: Path, joints: tuple[Joint, ...] = JOINTS, pulse_rate_hz: float = 50.0
) -> AsyncIterator[Rig]:
    """A chip just switched on, with nobody connected yet."""
    pico = Pico(simulator)
    try:
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(tick(pico))
            yield Rig(pico, Head(pico, joints, pulse_rate_hz), group)
            ticking.cancel()
    finally:
        pico.end()


async def tick(pico: Pico) -> None:
    while True:
        pico.advance()
        await asyncio.sleep(TICK_S)


def play(simulator: Path, scenario: Callable[[Rig], Awaitable[None]], pulse_rate_hz: float = 50.0) -> None:
    """Play a scenario with a head that is connected and served."""

    async def scene() -> None:
        async with rig_of(simulator, pulse_rate_hz=pulse_rate_hz) as rig:
            telemetry = await rig.head.connect()
            assert (telemetry.state, telemetry.reset_cause) == (State.HOLDING, ResetCause.POWER)
            assert telemetry.position_rad == BODY.rest_rad
            serving = rig.group.create_task(rig.head.serve())
            await scenario(rig)
            serving.cancel()

    clock.run(scene())


def servo_of(joint: Joint) -> PwmServo:
    assert isinstance(joint.servo, PwmServo)
    return joint.servo


def widths_us(pulses: list[Pulse]) -> dict[int, list[float]]:
    """The widths on each pin, in order."""
    widths: dict[int, list[float]] = {}
    for pulse in pulses:
        widths.setdefault(pulse.pin, []).append(pulse.width_us)
    return widths


@pytest.mark.parametrize(("pulse_rate_hz", "period_us"), [(50, 20000), (100, 10000), (333, 3003)])
def test_the_pulses_follow_the_knots(simulator: Path, pulse_rate_hz: float, period_us: float) -> None:
    """Periods of three, two and one turns of the counter."""

    async def scenario(rig: Rig) -> None:
        rig.pico.take_pulses()
        await rig.move(0.5)
        telemetry = await rig.telemetry_after(0.3)
        assert (telemetry.refused, telemetry.accepted, telemetry.rx_errors) == (0, 50, 0)
        # The last knot lies at 0.02 + 0.29 × 0.2 rad; then it runs out and slows down.
        assert 0.077 <= telemetry.position_rad[0] <= 0.085
        pulses = rig.pico.take_pulses()
        widths = widths_us(pulses)
        assert set(widths) == {servo_of(joint).pin for joint in JOINTS}
        for joint, position in zip(JOINTS, telemetry.position_rad, strict=True):
            servo = servo_of(joint)
            of_pin = widths[servo.pin]
            assert of_pin == sorted(of_pin, reverse=servo.per_rad_us < 0)
            assert len(set(of_pin)) > 20
            assert abs(of_pin[-1] - (servo.centre_us + servo.per_rad_us * position)) <= EIGHTH_US
            starts = [pulse.start_us for pulse in pulses if pulse.pin == servo.pin]
            gaps = [after - before for before, after in zip(starts, starts[1:], strict=False)]
            assert all(abs(gap - period_us) <= 0.5 for gap in gaps)
        assert all(abs(width * 8 - round(width * 8)) < 1e-3 for of_pin in widths.values() for width in of_pin)
        print(f"rp2040_busiest_millisecond {rig.pico.busiest:.3f} at {pulse_rate_hz} Hz")
        assert rig.pico.busiest < 0.5

    play(simulator, scenario, pulse_rate_hz)


def test_the_clock_and_the_line_run_at_their_rates(simulator: Path) -> None:
    async def scenario(rig: Rig) -> None:
        assert rig.pico.advance().clock_hz == 128e6
        first = rig.head.telemetry
        assert first is not None
        # The head's clock is the board's, which began with the chip.
        assert abs(first.time_s - asyncio.get_running_loop().time()) < 0.025

    play(simulator, scenario)


def test_a_frame_goes_out_without_a_pause(simulator: Path) -> None:
    """A report is longer than the chip's buffer of 32 bytes, which has to be filled again on the way."""

    async def scenario(rig: Rig) -> None:
        rig.pico.sent.clear()
        await asyncio.sleep(0.5)
        sent = rig.pico.sent
        in_frame = [
            after_us - before_us
            for (before_us, before), (after_us, _) in zip(sent, sent[1:], strict=False)
            if before != 0
        ]
        assert len(in_frame) > 25 * 40
        assert max(in_frame) < BYTE_US * 1.01

    play(simulator, scenario)


def test_every_servo_pin_has_pulses_of_its_own(simulator: Path) -> None:
    async def scene(pins: tuple[int, ...]) -> None:
        joints = tuple(
            msgspec.structs.replace(
                joint, servo=PwmServo(pin=pin, centre_us=1400 + 10 * pin, per_rad_us=600.0)
            )
            for joint, pin in zip(JOINTS, pins, strict=False)
        )
        async with rig_of(simulator, joints) as rig:
            await rig.head.connect()
            await asyncio.sleep(0.1)
            assert {pin: set(widths) for pin, widths in widths_us(rig.pico.pulses).items()} == {
                pin: {1400.0 + 10 * pin} for pin in pins
            }

    for first in range(SERVO_PINS.start, SERVO_PINS.stop, 4):
        clock.run(scene(tuple(SERVO_PINS)[first - 2 : first + 2]))


@pytest.mark.parametrize("pin", [0, 1, 16, 22, 25, 31])
def test_other_pins_are_refused(simulator: Path, pin: int) -> None:
    async def scene() -> None:
        joint = msgspec.structs.replace(JOINTS[0], servo=PwmServo(pin=pin, centre_us=1500, per_rad_us=600.0))
        async with rig_of(simulator, (joint,)) as rig:
            with pytest.raises(ConfigError, match=f"no servo pin {pin}"):
                await rig.head.connect()
            assert rig.pico.pulses == []

    clock.run(scene())


def test_stop_freezes_the_pulses_and_release_gives_them_back(simulator: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.move(0.4)
        rig.head.stop()
        stopped_us = asyncio.get_running_loop().time() * 1e6
        telemetry = await rig.telemetry_after(0.3)
        assert telemetry.state is State.STOPPED
        # One servo frame, and a millisecond of line.
        frozen = [pulse for pulse in rig.pico.take_pulses() if pulse.start_us > stopped_us + 21_000]
        assert {pin: len(set(widths)) for pin, widths in widths_us(frozen).items()} == {
            servo_of(joint).pin: 1 for joint in JOINTS
        }
        assert len(frozen) >= 13 * len(JOINTS)
        await rig.head.release()
        await rig.move(0.2)
        assert (await rig.telemetry_after(0.1)).position_rad > telemetry.position_rad

    play(simulator, scenario)


def test_an_open_stop_line_stops_and_the_led_blinks(simulator: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.move(0.3)
        assert rig.pico.led[-1][1]  # on: there are pulses
        rig.pico.led.clear()
        rig.pico.advance(is_stop_line_open=True)
        with pytest.raises(Refused, match="stopped"):
            await rig.move(0.3)
        telemetry = await rig.telemetry_after(1.0)
        assert (telemetry.state, telemetry.is_stop_line_open) == (State.STOPPED, True)
        assert 6 <= len(rig.pico.led) <= 10  # four times a second, on and off
        with pytest.raises(Refused, match="button"):
            await rig.head.release()
        rig.pico.advance(is_stop_line_open=False)
        await asyncio.sleep(0.1)
        await rig.head.release()
        assert (await rig.head.next_telemetry()).state is State.HOLDING

    play(simulator, scenario)


def test_silence_slows_the_arm_down_after_200_ms(simulator: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.move(0.4)
        last = rig.head.telemetry
        assert last is not None
        silent_s = asyncio.get_running_loop().time()
        # One knot far ahead keeps it moving; then nobody speaks any more.
        rig.head.command(
            Knot(
                time_s=silent_s + 0.8,
                position_rad=(last.position_rad[0] + 0.17,) * 4,
                velocity_rad_s=(0.2,) * 4,
            )
        )
        telemetry = await rig.telemetry_after(0.6)
        assert (telemetry.state, telemetry.refused) == (State.HOLDING, 0)
        of_pin = [pulse for pulse in rig.pico.pulses if pulse.pin == servo_of(JOINTS[0]).pin]
        moved_us = [
            after.start_us
            for before, after in zip(of_pin, of_pin[1:], strict=False)
            if before.width_us != after.width_us
        ]
        assert 0.15e6 <= max(moved_us) - silent_s * 1e6 <= 0.25e6

    play(simulator, scenario)


def test_a_hung_chip_is_reset_and_says_so(simulator: Path) -> None:
    async def scene() -> None:
        async with rig_of(simulator) as rig:
            await rig.head.connect()
            serving = rig.group.create_task(lost(rig.head))
            await asyncio.sleep(0.1)
            hung_s = asyncio.get_running_loop().time()
            rig.pico.advance(event="hang")
            while rig.pico.boots == 1:
                await asyncio.sleep(TICK_S)
                assert asyncio.get_running_loop().time() - hung_s < 0.11
            print(f"rp2040_watchdog {asyncio.get_running_loop().time() - hung_s:.3f} s")
            rig.pico.take_pulses()
            assert "restarted" in await serving
            await asyncio.sleep(0.3)
            assert rig.pico.pulses == []
            again = Head(rig.pico, JOINTS)
            assert (await again.connect()).reset_cause is ResetCause.WATCHDOG
            await asyncio.sleep(0.1)
            assert set(widths_us(rig.pico.pulses)) == {servo_of(joint).pin for joint in JOINTS}

    clock.run(scene())


async def lost(head: Head) -> str:
    """Serve until the line is lost, and why."""
    with pytest.raises(LinkLost) as caught:
        await head.serve()
    return str(caught.value)


@pytest.mark.parametrize(("event", "cause"), [("reset", ResetCause.OTHER), ("power", ResetCause.POWER)])
def test_it_knows_the_reset_pin_from_the_switch(simulator: Path, event: str, cause: ResetCause) -> None:
    async def scene() -> None:
        async with rig_of(simulator) as rig:
            await rig.head.connect()
            rig.pico.advance(event=event)
            again = Head(rig.pico, JOINTS)
            assert (await again.connect()).reset_cause is cause
            assert rig.pico.boots == 2

    clock.run(scene())

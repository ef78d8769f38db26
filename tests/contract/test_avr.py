"""What only a chip's image can show: sizes, cycles, edges to half a microsecond, a watchdog that bites."""

import random
import subprocess

import numpy as np
import pytest

from drivers import messages, wire
from drivers.body import PwmServo, load
from drivers.head import limits_of
from drivers.messages import Reason, ResetCause, State
from sim.avr_board import AvrChip, Pulse
from sim.board import BUILD_DIR

BODY = load()
PINS = tuple(joint.servo.pin for joint in BODY.joint if isinstance(joint.servo, PwmServo))
LIMITS = [limits_of(place, joint) for place, joint in enumerate(BODY.joint)]
FIRST_US = (1 << 32) - 2_000_000  # every test crosses the clock's wrap
LINE_BYTES_S = 50_000  # 500 kBd
EDGE_NS = 500  # a count of the timer
CYCLES_MS = 16_000
STACK_LEAST_BYTES = 64  # never used, at the deepest
WATCHDOG_US = 70_000  # 60 ms, and what the oscillator may be off


class Host:
    """Whole frames to the chip at chosen times, and what it answers."""

    def __init__(self, chip: AvrChip) -> None:
        self.chip = chip
        self.now_us = FIRST_US
        self.sequence = 0
        self.status: messages.Status | None = None
        self._decoder = wire.Decoder()

    def say(self, message: messages.Message, sequence: int = 0) -> None:
        self.chip.receive(wire.encode(message, sequence), self.now_us)

    def run(self, seconds: float) -> list[messages.Message]:
        self.now_us += round(seconds * 1e6)
        self.chip.advance(self.now_us)
        heard = [frame.message for frame in self._decoder.feed(self.chip.transmit())]
        self.status = next((m for m in reversed(heard) if isinstance(m, messages.Status)), self.status)
        return heard

    def ask(self, message: messages.Message) -> Reason:
        self.sequence += 1
        self.say(message, self.sequence)
        (answer,) = (m for m in self.run(0.01) if isinstance(m, messages.Result))
        return Reason(answer.reason)

    def open(self, period_us: int) -> None:
        self.say(messages.Hello(table_hash=messages.TABLE_HASH, session=self.now_us % 65521 + 1))
        self.sequence = 0
        self.run(0.05)
        for limits in LIMITS:
            assert self.ask(limits) is Reason.NONE
        assert self.ask(messages.Enable(joint_count=len(LIMITS), pulse_period_us=period_us)) is Reason.NONE
        self.run(0.1)
        self.chip.pulses()

    def knot(self, ahead_us: int, positions: list[int], velocities: list[int]) -> None:
        time_us = (self.now_us + ahead_us) & 0xFFFFFFFF
        a, b, c, d = positions
        e, f, g, h = velocities
        self.say(
            messages.SetPoint(
                time_us=time_us,
                position_urad=(a, b, c, d),
                velocity_mrad_s=(e, f, g, h),
                previous_time_us=time_us,
                previous_position_urad=(a, b, c, d),
                previous_velocity_mrad_s=(e, f, g, h),
            )
        )

    def swing(self, seconds: float) -> None:
        """All joints to and fro, a knot every 10 ms."""
        rate = 2 * np.pi * 1.0
        for number in range(round(seconds / 0.01)):
            t = (number + 4) * 0.01
            share = min(t / 0.8, 1.0)
            grown, growing = share * share * (3 - 2 * share), 6 * share * (1 - share) / 0.8
            positions = [round(0.06e6 * grown * np.sin(rate * t))] * len(LIMITS)
            speed = 60.0 * (grown * rate * np.cos(rate * t) + growing * np.sin(rate * t))
            self.knot(40_000, positions, [round(speed)] * len(LIMITS))
            self.run(0.01)


def widths(pulses: list[Pulse], pin: int) -> list[int]:
    return [pulse.width_ns for pulse in pulses if pulse.pin == pin]


def test_it_fits_the_chip() -> None:
    """Sizes as the linker sees them, cycles and stack as simavr counts them, in motion on a busy line."""
    said = (BUILD_DIR / "avr" / "size.txt").read_text().split()
    flash_bytes, ram_bytes = int(said[said.index("flash_bytes") + 1]), int(said[said.index("ram_bytes") + 1])
    with AvrChip(PINS, FIRST_US, is_measured=True) as chip:
        host = Host(chip)
        host.open(3_000)
        host.swing(1.5)
        status, figures = host.status, chip.figures()
    print(
        f"flash_bytes {flash_bytes}, ram_bytes {ram_bytes}, never used of the stack {figures.free_stack_bytes}; "
        f"a tick at most {figures.tick_cycles} cycles of {CYCLES_MS}, a set-point {figures.frame_cycles}; "
        f"a byte waited at most {figures.late_cycles} cycles"
    )
    assert status is not None
    assert (status.refused, status.underruns, status.rx_errors) == (0, 0, 0)
    assert status.accepted > 140
    assert figures.overruns == 0
    assert figures.free_stack_bytes >= STACK_LEAST_BYTES
    assert 0 < figures.tick_cycles < 2 * CYCLES_MS  # with its interrupts; the next one catches up
    assert 0 < figures.frame_cycles < 5 * CYCLES_MS  # half of the time between two set-points
    assert figures.watchdog_resets == 0


@pytest.mark.parametrize("period_us", [20_000, 3_003])
def test_pulses_are_exact_while_the_line_is_full(period_us: int) -> None:
    with AvrChip(PINS, FIRST_US) as chip:
        host = Host(chip)
        host.open(period_us)
        ping = wire.encode(messages.Ping(number=1))
        for _ in range(40):  # as many bytes as the line can carry
            chip.receive(ping * (LINE_BYTES_S // 100 // len(ping)), host.now_us)
            host.run(0.01)
        pulses, figures = chip.pulses(), chip.figures()
    assert (
        figures.overruns == 0
    )  # the interrupt took every byte; what the main loop has no time for is dropped
    for joint, pin in zip(BODY.joint, PINS, strict=True):
        assert isinstance(joint.servo, PwmServo)
        expected_ns = (joint.servo.centre_us + joint.rest_rad * joint.servo.per_rad_us) * 1e3
        starts = [pulse.start_ns for pulse in pulses if pulse.pin == pin]
        gaps = np.diff(starts)
        print(
            f"pin {pin:2}: {len(starts)} pulses, width {min(widths(pulses, pin))}..{max(widths(pulses, pin))} ns, "
            f"period {gaps.min()}..{gaps.max()} ns"
        )
        assert len(starts) >= 0.4e6 / period_us - 2
        assert np.abs(np.array(widths(pulses, pin)) - expected_ns).max() <= EDGE_NS
        assert np.abs(gaps - period_us * 1000).max() <= EDGE_NS


def test_a_hung_chip_is_reset_and_moves_nothing_until_a_new_handshake() -> None:
    with AvrChip(PINS, FIRST_US) as chip:
        host = Host(chip)
        host.open(20_000)
        host.swing(0.5)
        chip.hang()
        hung_us = host.now_us
        host.run(1.0)
        ends = [pulse.start_ns + pulse.width_ns for pulse in chip.pulses()]
        assert chip.figures().watchdog_resets == 1
        assert max(ends) / 1000 < hung_us - FIRST_US + 1000 + WATCHDOG_US
        host.knot(40_000, [0, 0, 0, 0], [0, 0, 0, 0])
        host.run(0.2)
        assert chip.pulses() == []
        host.open(20_000)
        host.run(0.1)
    assert host.status is not None
    assert (host.status.state, host.status.reset_cause) == (State.HOLDING, ResetCause.WATCHDOG)


def test_the_stop_line_and_the_reset_pin() -> None:
    with AvrChip(PINS, FIRST_US) as chip:
        host = Host(chip)
        host.open(20_000)
        host.swing(0.5)
        chip.pulses()
        chip.press_stop(True)
        host.run(0.2)
        assert host.status is not None
        assert (host.status.state, host.status.is_stop_line_open) == (State.STOPPED, 1)
        # After three ticks to be sure, and a frame that was laid out before.
        frozen = widths(chip.pulses(), PINS[0])[2:]
        assert len(frozen) > 5
        assert max(frozen) - min(frozen) <= EDGE_NS
        chip.press_stop(False)
        host.run(0.1)
        assert host.ask(messages.Release(token=host.status.stop_token)) is Reason.NONE
        host.swing(0.3)
        chip.reset(host.now_us)
        chip.pulses()
        host.run(0.5)
        assert len(chip.pulses()) <= len(PINS)  # those that were high
        host.open(20_000)
        host.run(0.1)
        assert host.status.state == State.HOLDING
        assert host.status.reset_cause == ResetCause.OTHER


@pytest.mark.e2e
@pytest.mark.parametrize("period_us", [20_000, 3_003])
def test_from_a_command_to_the_edge_of_its_pulse(period_us: int) -> None:
    """Bytes on a 500 kBd line, the chip's own time, the pin: no computer's lateness in it."""
    chance = random.Random(period_us)
    fast = messages.Limits(
        joint=0,
        pin=PINS[0],
        min_urad=-900_000,
        max_urad=900_000,
        rest_urad=0,
        velocity_mrad_s=32_000,
        acceleration_mrad_s2=1_000_000,
        pulse_centre_us=1500,
        pulse_per_rad_ns=637_000,
    )
    took_ms = []
    with AvrChip(PINS, FIRST_US) as chip:
        host = Host(chip)
        host.say(messages.Hello(table_hash=messages.TABLE_HASH, session=3))
        host.run(0.05)
        assert host.ask(fast) is Reason.NONE
        assert host.ask(messages.Enable(joint_count=1, pulse_period_us=period_us)) is Reason.NONE
        host.run(0.2)
        for number in range(100):
            before = chip.pulses()[-1].width_ns
            sent_us = host.now_us
            host.knot(12_000, [16_000 if number % 2 == 0 else 0, 0, 0, 0], [0, 0, 0, 0])
            host.run(0.06)
            ends = [
                pulse.start_ns + pulse.width_ns
                for pulse in chip.pulses()
                if abs(pulse.width_ns - before) > EDGE_NS and pulse.start_ns / 1000 > sent_us - FIRST_US
            ]
            took_ms.append(ends[0] / 1e6 - (sent_us - FIRST_US + 1000) / 1e3)
            host.run(0.1 + chance.uniform(0.0, period_us * 1e-6))
    rate_hz = round(1e6 / period_us)
    p50, p99 = np.percentile(took_ms, [50, 99])
    print(f"cmd_to_pwm_{rate_hz}hz_p50_ms {p50:.2f}, p99 {p99:.2f} (n {len(took_ms)})")
    assert max(took_ms) < period_us / 1e3 + 6.0


def test_the_image_is_the_one_of_this_tree() -> None:
    """`make` finds nothing newer than the image that is judged here."""
    done = subprocess.run(["make", "-q", "-C", str(BUILD_DIR.parent), "avr"], capture_output=True)
    assert done.returncode == 0

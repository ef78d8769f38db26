"""What the line and the board do, measured against the simulated board: real time on a pty, noise in virtual time."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
import numpy as np

from drivers import messages
from drivers.body import Joint
from drivers.body import load as load_body
from drivers.errors import DeviceError, LinkError
from drivers.head import Head, Knot
from drivers.link import Link, SerialStream
from drivers.messages import Reason
from sim import clock
from sim.board import LockstepBoard, ProcessBoard, PwmFrame
from sim.line import SimulatedLine

STEP_RAD = 0.02  # as far as the limits below let it come in LEAD_S; seen in the pulse after 1.4 ms
LEAD_S = 0.012
SETTLE_S = 0.1
SENDERS = 7  # as many as may wait for their answers at once
HOST_SPEEDS_UP_S = 1.5
RESTED_S = 0.1  # no pulse has changed for so long: it rests
REST_LIMIT_S = 2.0
CONNECT_LIMIT_S = 10.0


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure."""

    name: str
    value: float
    unit: Literal["ms", "hz", "1"]
    n: int


def run(*, quick: bool) -> list[Trial]:
    """All of them; `quick` takes a minute, the whole some ten."""
    trials = asyncio.run(_round_trips(500 if quick else 5000))
    for rate_hz in (50, 333):
        trials += asyncio.run(_edges(rate_hz, 60 if quick else 400))
    trials += asyncio.run(_poses(40 if quick else 200))
    trials += asyncio.run(_emergency_stops(10 if quick else 100))
    trials += asyncio.run(_killed_hosts(2 if quick else 10))
    trials += asyncio.run(_clock_on_a_pty(5.0 if quick else 60.0))
    trials += clock.run(drifting_clock(30.0 if quick else 120.0, 5000))
    trials += noise("ber1e4", 1e-4, 20_000 if quick else 1_000_000)
    trials += noise("ber1e3", 1e-3, 10_000 if quick else 100_000)
    return trials


def fast_joint() -> Joint:
    """A joint with the widest limits that a board takes: what is measured is the line and the board, not them."""
    (first, *_) = load_body().joint
    return msgspec.structs.replace(
        first, max_velocity_rad_s=31.0, max_acceleration_rad_s2=800.0, max_jerk_rad_s3=1e6
    )


@contextlib.asynccontextmanager
async def _head_on_a_pty(rate_hz: float) -> AsyncIterator[tuple[Head, ProcessBoard]]:
    async with ProcessBoard(1) as board, asyncio.TaskGroup() as group:
        head = Head(SerialStream(board.port), (fast_joint(),), rate_hz)
        await head.connect()
        serving = group.create_task(head.serve(), name="head")
        yield head, board
        serving.cancel()
        await head.aclose()


@contextlib.asynccontextmanager
async def _link_on_a_pty() -> AsyncIterator[Link]:
    async with ProcessBoard(1) as board, asyncio.TaskGroup() as group:
        link = Link(SerialStream(board.port), lambda _: None)
        serving = group.create_task(link.serve(), name="link")
        await link.hello(1)
        yield link
        serving.cancel()
        await link.aclose()


async def _round_trips(count: int) -> list[Trial]:
    """A reliable command → its answer."""
    loop = asyncio.get_running_loop()
    values = []
    async with _link_on_a_pty() as link:
        for number in range(count):
            began_s = loop.time()
            await link.request(numbered(number))
            values.append(loop.time() - began_s)
            await asyncio.sleep(0.002)
    return [_share("roundtrip_p50_ms", values, 50), _share("roundtrip_p99_ms", values, 99)]


async def _edges(rate_hz: int, count: int) -> list[Trial]:
    """A set-point is handed to the driver → the end of the first pulse that is another one for it."""
    loop = asyncio.get_running_loop()
    chance = random.Random(rate_hz)
    values = []
    async with _head_on_a_pty(rate_hz) as (head, board):
        for number in range(count):
            await asyncio.sleep(SETTLE_S + chance.uniform(0.0, 1 / rate_hz))
            before = board.pulses()[-1].pulse_us
            began_s = loop.time()
            _step(head, STEP_RAD if number % 2 == 0 else 0.0)
            await asyncio.sleep(LEAD_S + 2 / rate_hz)
            changed = [
                frame for frame in board.pulses() if frame.time_s > began_s and frame.pulse_us != before
            ]
            if not changed:
                raise DeviceError(
                    "the simulated board did not follow a set-point; is the machine overloaded?"
                )
            values.append(changed[0].time_s + changed[0].pulse_us[0] * 1e-6 - began_s)
    name = f"cmd_to_pwm_{rate_hz}hz"
    return [_share(f"{name}_p50_ms", values, 50), _share(f"{name}_p99_ms", values, 99)]


async def _poses(count: int) -> list[Trial]:
    """A set-point → the report that shows the pose changed; as peers measure themselves in their mock-ups."""
    loop = asyncio.get_running_loop()
    chance = random.Random(1)
    values = []
    async with _head_on_a_pty(50) as (head, _):
        for number in range(count):
            await asyncio.sleep(SETTLE_S + chance.uniform(0.0, 0.02))
            before = (await head.next_telemetry()).position_rad
            await asyncio.sleep(chance.uniform(0.0, 0.02))
            began_s = loop.time()
            _step(head, STEP_RAD if number % 2 == 0 else 0.0)
            while (await head.next_telemetry()).position_rad == before:
                pass
            values.append(loop.time() - began_s)
    return [_share("cmd_to_pose_p50_ms", values, 50), _share("cmd_to_pose_p90_ms", values, 90)]


async def _emergency_stops(count: int) -> list[Trial]:
    """A stop in full motion → how many servo frames still change."""
    frames = []
    async with _head_on_a_pty(50) as (head, board):
        for number in range(count):
            begun_s = asyncio.get_running_loop().time()
            await _sweep(head, -2.0 if number % 2 else 2.0)
            stopped_s = asyncio.get_running_loop().time()
            head.stop()
            await asyncio.sleep(SETTLE_S)
            pulses = [frame for frame in board.pulses() if frame.time_s > begun_s]
            if len({frame.pulse_us for frame in pulses}) < 2:
                raise DeviceError("the simulated board was not in motion when it was to stop")
            frames.append(sum(change_s > stopped_s for change_s in _changes(pulses)))
            await head.release()
    return [Trial(name="estop_pwm_frames", value=max(frames), unit="1", n=count)]


async def _killed_hosts(count: int) -> list[Trial]:
    """The host is killed with SIGKILL in full motion → the last pulse that changes."""
    loop = asyncio.get_running_loop()
    values = []
    for _ in range(count):
        async with ProcessBoard(1) as board:
            host = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sim.host", board.port), stdout=asyncio.subprocess.PIPE
            )
            try:
                assert host.stdout is not None
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await host.stdout.readline()
                await asyncio.sleep(HOST_SPEEDS_UP_S)
                before = board.pulses()
            finally:
                host.kill()
            killed_s = loop.time()
            if before[-1].pulse_us == before[-5].pulse_us:
                raise DeviceError("the simulated board was not in motion when its host was killed")
            await host.wait()
            values.append(await _rests_after(board, killed_s))
    return [Trial(name="host_killed_stop_ms", value=max(values) * 1e3, unit="ms", n=count)]


async def _rests_after(board: ProcessBoard, since_s: float) -> float:
    """How long after a moment the last pulse changed."""
    loop = asyncio.get_running_loop()
    frames: list[PwmFrame] = []
    while loop.time() < since_s + REST_LIMIT_S:
        await asyncio.sleep(RESTED_S)
        frames += board.pulses()
        changes = _changes(frames)
        if not changes or frames[-1].time_s - changes[-1] > 4 * RESTED_S:
            return changes[-1] - since_s if changes else 0.0
    raise DeviceError(f"the simulated board still moves {REST_LIMIT_S:g} s later")


async def _clock_on_a_pty(seconds: float) -> list[Trial]:
    """The host's idea of the board's clock against the truth: on this machine both read the same one."""
    loop = asyncio.get_running_loop()
    values = []
    async with _link_on_a_pty() as link:
        await asyncio.sleep(1.0)
        for _ in range(round(seconds / 0.01)):
            await asyncio.sleep(0.01)
            now_s = loop.time()
            values.append(abs(_apart_us(link.clock.board_us(now_s), round(now_s * 1e6))) * 1e-6)
    return [_share("clock_error_p99_ms", values, 99)]


async def drifting_clock(seconds: float, drift_ppm: int) -> list[Trial]:
    """The same for a board whose resonator is off, behind an adapter that waits up to a millisecond."""
    loop = asyncio.get_running_loop()
    values = []
    board = LockstepBoard(1, first_us=(1 << 32) - 10_000_000, drift_ppm=drift_ppm)
    async with SimulatedLine(board, seed=1, late_s=0.001) as line, asyncio.TaskGroup() as group:
        ticking = group.create_task(tick(board), name="board")
        link = Link(line, lambda _: None)
        serving = group.create_task(link.serve(), name="link")
        await link.hello(1)
        await asyncio.sleep(2.0)
        for _ in range(round(seconds / 0.01)):
            await asyncio.sleep(0.01)
            now_s = loop.time()
            values.append(abs(_apart_us(link.clock.board_us(now_s), board.clock_us(now_s))) * 1e-6)
        serving.cancel()
        ticking.cancel()
        await link.aclose()
    return [_share(f"clock_error_{drift_ppm}ppm_p99_ms", values, 99)]


def noise(name: str, bit_error_rate: float, count: int) -> list[Trial]:
    """Reliable commands over a line that loses bits: how many were lost, doubled or wrong; how many a second."""
    return clock.run(_noise(name, bit_error_rate, count))


async def _noise(name: str, bit_error_rate: float, count: int) -> list[Trial]:
    loop = asyncio.get_running_loop()
    board = LockstepBoard(1)
    async with SimulatedLine(board, count, bit_error_rate) as line, asyncio.TaskGroup() as group:
        ticking = group.create_task(tick(board), name="board")
        link = Link(line, lambda _: None)
        serving = group.create_task(link.serve(), name="link")
        await link.hello(1)
        carried_out = board.tell_rests()
        numbers = iter(range(count))
        unanswered = 0

        async def send() -> None:
            nonlocal unanswered
            for number in numbers:
                try:
                    unanswered += await link.request(numbered(number)) is not Reason.NONE
                except LinkError:
                    unanswered += 1

        began_s = loop.time()
        async with asyncio.TaskGroup() as senders:
            for _ in range(SENDERS):
                senders.create_task(send(), name="sender")
        took_s = loop.time() - began_s
        serving.cancel()
        ticking.cancel()
        await link.aclose()
    expected = [_rest_urad(number) for number in range(count)]
    wrong = sum(a != b for a, b in zip(carried_out, expected, strict=False)) + abs(len(carried_out) - count)
    return [
        Trial(name=f"{name}_bad", value=wrong + unanswered, unit="1", n=count),
        Trial(name=f"{name}_goodput_hz", value=count / took_s, unit="hz", n=count),
    ]


def _rest_urad(number: int) -> int:
    return number % 1_000_000


def numbered(number: int) -> messages.Limits:
    """A command that can be told from its neighbours."""
    return messages.Limits(
        joint=0,
        pin=9,
        min_urad=-1,
        max_urad=1_000_000,
        rest_urad=_rest_urad(number),
        velocity_mrad_s=1000,
        acceleration_mrad_s2=1000,
        pulse_centre_us=1500,
        pulse_per_rad_ns=637_000,
    )


async def tick(board: LockstepBoard) -> None:
    """Let the board run along."""
    loop = asyncio.get_running_loop()
    while True:
        board.advance(loop.time())
        await asyncio.sleep(0.001)


def _step(head: Head, to_rad: float) -> None:
    """As fast as the limits let it; begins at once."""
    time_s = asyncio.get_running_loop().time() + LEAD_S
    head.command(Knot(time_s=time_s, position_rad=(to_rad,), velocity_rad_s=(0.0,)))


async def _sweep(head: Head, speed_rad_s: float) -> None:
    """Into full motion from where it stands, within a tenth of a second."""
    loop = asyncio.get_running_loop()
    telemetry = head.telemetry
    assert telemetry is not None
    start_s, (start_rad,) = loop.time(), telemetry.position_rad
    for number in range(1, 31):
        elapsed_s = number * 0.01
        share = min(elapsed_s / 0.1, 1.0)
        way_s = share * elapsed_s / 2 if share < 1.0 else elapsed_s - 0.05
        head.command(
            Knot(
                time_s=start_s + elapsed_s + LEAD_S,
                position_rad=(start_rad + speed_rad_s * way_s,),
                velocity_rad_s=(speed_rad_s * share,),
            )
        )
        await asyncio.sleep(start_s + elapsed_s - loop.time())


def _changes(frames: list[PwmFrame]) -> list[float]:
    """Beginnings of the pulses that differ from the one before."""
    return [b.time_s for a, b in zip(frames, frames[1:], strict=False) if a.pulse_us != b.pulse_us]


def _apart_us(one_us: int, other_us: int) -> int:
    return ((one_us - other_us + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def _share(name: str, values_s: list[float], percent: float) -> Trial:
    return Trial(name=name, value=float(np.percentile(values_s, percent)) * 1e3, unit="ms", n=len(values_s))

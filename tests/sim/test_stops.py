"""Whatever goes wrong in motion, the arm rests: when and where, in virtual time, so to the tick.

tests/e2e/test_stops.py does the same with processes, in real time.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine

import pytest

from drivers import messages, wire
from drivers.body import PwmServo, load
from drivers.errors import DeviceError, Refused
from drivers.head import Head
from sim import clock
from sim.board import LockstepBoard, PwmFrame
from sim.host import SWING_RAD, swing

BODY = load()
CAUSE_S = 2.1  # in full swing
WATCHED_S = 3.0  # shorter than the five seconds after which it parks
QUIET_STOP_S = 0.25  # without fresh set-points: the whole of it, slowing down included
AT_ONCE_S = 0.02  # a servo frame

Cause = Callable[["Scene"], None]


class Scene:
    """A host that swings the yaw joint on a lock-step board."""

    def __init__(self) -> None:
        self.board = LockstepBoard(len(BODY.joint), first_us=(1 << 32) - 1_500_000)
        self.head = Head(self.board, BODY.joint)
        self.swinging: asyncio.Task[None] | None = None
        self.speaking: asyncio.Task[None] | None = None
        self.group: asyncio.TaskGroup | None = None

    def speak(self, say: Callable[[], None]) -> None:
        """In place of set-points that make sense, say this a hundred times a second."""
        assert self.swinging is not None and self.group is not None
        self.swinging.cancel()

        async def for_ever() -> None:
            while True:
                say()
                await asyncio.sleep(0.01)

        self.speaking = self.group.create_task(for_ever())

    async def play(self, cause: Cause) -> tuple[float, float, list[PwmFrame]]:
        """How long after the cause the last pulse changed, yaw in rad there, and the frames since the cause."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self.group = group
            ticking = group.create_task(self.tick())
            await self.head.connect()
            serving = group.create_task(_until_lost(self.head.serve()))
            self.swinging = group.create_task(_until_lost(swing(self.head, len(BODY.joint))))
            await asyncio.sleep(CAUSE_S)
            before = self.board.pulses()[-1]
            cause_s = loop.time()
            cause(self)
            await asyncio.sleep(WATCHED_S)
            for task in (ticking, serving, self.swinging, self.speaking):
                if task is not None:
                    task.cancel()
        frames = [before, *(frame for frame in self.board.pulses() if frame.time_s > cause_s)]
        pairs = zip(frames, frames[1:], strict=False)
        changes = [b.time_s for a, b in pairs if a.pulse_us != b.pulse_us]
        return (changes[-1] - cause_s if changes else 0.0), _yaw_rad(frames[-1]), frames[1:]

    async def tick(self) -> None:
        """Let the board run along."""
        while True:
            self.board.advance(asyncio.get_running_loop().time())
            await asyncio.sleep(0.001)


async def _until_lost(work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(DeviceError, Refused):
        await work


def _yaw_rad(frame: PwmFrame) -> float:
    servo = BODY.joint[0].servo
    assert isinstance(servo, PwmServo)
    return (frame.pulse_us[0] - servo.centre_us) / servo.per_rad_us


def nonsense(scene: Scene) -> None:
    """Whole frames with a right checksum, about to come due, of senseless numbers."""
    chance = random.Random(5)
    loop = asyncio.get_running_loop()

    def say() -> None:
        def numbers(bits: int) -> tuple[int, int, int, int]:
            half = 1 << (bits - 1)
            a, b, c, d = (chance.randrange(-half, half) for _ in range(4))
            return a, b, c, d

        time_us = scene.board.clock_us(loop.time() + 0.05) & 0xFFFFFFFF
        point = messages.SetPoint(
            time_us=time_us,
            position_urad=numbers(24),
            velocity_mrad_s=numbers(16),
            previous_time_us=time_us - 10_000 & 0xFFFFFFFF,
            previous_position_urad=numbers(24),
            previous_velocity_mrad_s=numbers(16),
        )
        scene.board.write(wire.encode(point))

    scene.speak(say)


def frozen_clock(scene: Scene) -> None:
    """The host's clock stands: each set-point is for the same moment, and soon for one that is long past."""
    loop = asyncio.get_running_loop()
    time_us = scene.board.clock_us(loop.time() + 0.05) & 0xFFFFFFFF
    telemetry = scene.head.telemetry
    assert telemetry is not None
    yaw_urad = round(telemetry.position_rad[0] * 1e6)
    point = messages.SetPoint(
        time_us=time_us,
        position_urad=(yaw_urad, 0, 0, 0),
        velocity_mrad_s=(0, 0, 0, 0),
        previous_time_us=time_us,
        previous_position_urad=(yaw_urad, 0, 0, 0),
        previous_velocity_mrad_s=(0, 0, 0, 0),
    )
    scene.speak(lambda: scene.board.write(wire.encode(point)))


def silence(scene: Scene) -> None:
    """The host's motion task is gone; its link still sends pings."""
    assert scene.swinging is not None
    scene.swinging.cancel()


CAUSES: dict[str, tuple[Cause, float]] = {
    "emergency stop": (lambda scene: scene.head.stop(), AT_ONCE_S),
    "stop button": (lambda scene: scene.board.press_stop(True), AT_ONCE_S + 0.003),  # three ticks to be sure
    "pings only": (silence, QUIET_STOP_S),
    "cable pulled": (lambda scene: scene.board.cut(), QUIET_STOP_S),
    "host clock frozen": (frozen_clock, QUIET_STOP_S),
    "nonsense set-points": (nonsense, QUIET_STOP_S),
}


@pytest.mark.parametrize("name", list(CAUSES))
def test_the_arm_rests(name: str) -> None:
    cause, within_s = CAUSES[name]
    rested_s, at_rad, frames = clock.run(Scene().play(cause))
    print(f"{name:22} rests {rested_s * 1e3:5.0f} ms later at yaw {at_rad:+.3f} rad")
    assert rested_s <= within_s
    assert abs(at_rad) <= SWING_RAD
    assert len(frames) > 140  # the pulses go on: it holds itself where it is


def test_the_swing_would_have_gone_on() -> None:
    """Without a cause none of these tests would pass."""
    rested_s, _, _ = clock.run(Scene().play(lambda scene: None))
    assert rested_s > WATCHED_S - 0.1


def test_a_reset_in_motion_lets_go() -> None:
    *_, frames = clock.run(Scene().play(lambda scene: scene.board.reset()))
    assert {pulse for frame in frames for pulse in frame.pulse_us} == {0}


def test_a_board_that_began_anew_is_a_lost_link() -> None:
    """It answers pings as if nothing had happened, but knows no session."""

    async def play() -> float:
        scene = Scene()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(scene.tick())
            await scene.head.connect()
            serving = group.create_task(_until_lost(scene.head.serve()))
            await asyncio.sleep(1.0)
            scene.board.reset()
            reset_s = loop.time()
            await asyncio.wait((serving,), timeout=5.0)
            assert serving.done()
            again = Head(scene.board, BODY.joint)
            assert (await again.connect()).reset_cause is messages.ResetCause.OTHER
            ticking.cancel()
        return loop.time() - reset_s

    took_s = clock.run(play())
    print(f"reset: told, and connected anew, {took_s:.2f} s later")
    assert took_s < 1.5

"""Slow motion on a board in virtual time: never a jump, also after delays, stops, and under another zero."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from agent.calibrate import widened
from agent.glide import PERIOD_S, SLOW_RAD_S, Glide, Mover, Serving
from drivers import body as bodies
from drivers.body import Joint, PwmServo
from drivers.errors import Refused
from drivers.head import Head
from drivers.messages import State
from sim import clock
from sim.board import LockstepBoard

BODY = bodies.load()
FRAME_S = 0.02
MOST_US = SLOW_RAD_S * 637 * FRAME_S + 1.5  # in one servo frame, and rounding


class Bench(msgspec.Struct):
    """A board that is connected, and every pulse of its first joint."""

    board: LockstepBoard
    head: Head
    pulses: list[int]

    def take(self) -> list[int]:
        self.pulses += [frame.pulse_us[0] for frame in self.board.pulses()]
        return self.pulses

    def is_gentle(self) -> bool:
        """No jump, and no more than two frames without a pulse once they have begun."""
        pulses = self.take()
        begun = pulses[next(place for place, pulse in enumerate(pulses) if pulse) :]
        seen = [pulse for pulse in begun if pulse]
        steps = [abs(after - before) for before, after in zip(seen, seen[1:], strict=False)]
        return max(steps) <= MOST_US and begun.count(0) <= 2


def play(scene: Callable[[Bench], Awaitable[None]], joints: tuple[Joint, ...] = BODY.joint) -> None:
    async def whole() -> None:
        board = LockstepBoard(len(joints))

        async def tick() -> None:
            while True:
                board.advance(asyncio.get_running_loop().time())
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(tick())
            head = Head(board, joints)
            await head.connect()
            async with Serving(head):
                await scene(Bench(board, head, []))
            ticking.cancel()

    clock.run(whole())


async def arrive(mover: Mover, place: int, target_rad: float) -> None:
    mover.glide.target_rad[place] = target_rad
    while not mover.glide.is_there:
        await mover.tick()


def test_a_target_that_changes_on_the_way() -> None:
    glide = Glide(BODY.joint, BODY.rest_rad)
    before, fastest = 0.0, 0.0
    for number in range(300):
        glide.target_rad[0] = 1.0 if number < 60 else -0.2
        (position_rad, *_), (velocity_rad_s, *_) = glide.step()
        assert abs(position_rad - before) <= SLOW_RAD_S * PERIOD_S + 1e-9
        before, fastest = position_rad, max(fastest, abs(velocity_rad_s))
    assert glide.is_there and glide.pose_rad[0] == -0.2 and fastest == pytest.approx(SLOW_RAD_S)


def test_the_board_follows_and_refuses_nothing() -> None:
    async def scene(bench: Bench) -> None:
        mover = Mover(bench.head, BODY.joint)
        for target_rad in (0.3, -0.1, 0.0):
            await arrive(mover, 0, target_rad)
        telemetry = await bench.head.next_telemetry()
        assert (telemetry.refused, telemetry.underruns) == (0, 0)
        assert bench.is_gentle() and max(bench.pulses) == round(1500 + 637 * 0.3)

    play(scene)


def test_a_delay_is_made_good_without_a_jump() -> None:
    async def scene(bench: Bench) -> None:
        mover = Mover(bench.head, BODY.joint)
        mover.glide.target_rad[0] = 0.4
        for _ in range(30):
            await mover.tick()
        await asyncio.sleep(
            1.0
        )  # as on a machine that does something else; the board has slowed down by itself
        await arrive(mover, 0, 0.4)
        assert bench.is_gentle() and bench.pulses[-1] == pytest.approx(1500 + 637 * 0.4, abs=3)

    play(scene)


def test_while_stopped_nothing_is_sent() -> None:
    async def scene(bench: Bench) -> None:
        mover = Mover(bench.head, BODY.joint)
        mover.glide.target_rad[0] = 0.4
        for _ in range(40):
            await mover.tick()
        bench.head.stop()
        while (telemetry := await bench.head.next_telemetry()).state is not State.STOPPED:
            pass
        for _ in range(50):
            await mover.tick()
        assert (await bench.head.next_telemetry()).accepted == telemetry.accepted
        await bench.head.release()
        await mover.restart()
        await arrive(mover, 0, 0.4)
        assert bench.is_gentle()

    play(scene)


@pytest.mark.parametrize("shift_us", [-180, -1, 0, 1, 180])
@pytest.mark.parametrize("start_rad", [-0.4, 0.0, 0.55])
def test_another_zero_leaves_the_pulse_where_it_is(start_rad: float, shift_us: int) -> None:
    joint = BODY.joint[0]
    wide = widened(joint)
    assert isinstance(joint.servo, PwmServo)
    other = msgspec.structs.replace(
        joint,
        servo=msgspec.structs.replace(joint.servo, centre_us=1500 + shift_us),
        min_rad=-1.0,
        max_rad=1.1,
    )
    pose_rad = start_rad - shift_us / joint.servo.per_rad_us

    async def scene(bench: Bench) -> None:
        mover = Mover(bench.head, (wide, *BODY.joint[1:]))
        await arrive(mover, 0, start_rad)
        with pytest.raises(Refused, match="yaw in rad"):
            await bench.head.recalibrate(0, other, 1.2)
        await bench.head.recalibrate(0, other, pose_rad)
        telemetry = await bench.head.next_telemetry()
        assert telemetry.state is State.HOLDING
        assert telemetry.position_rad[0] == pytest.approx(pose_rad, abs=2e-6)
        await asyncio.sleep(0.1)
        assert bench.is_gentle() and bench.pulses[-1] == pytest.approx(1500 + 637 * start_rad, abs=1)
        await arrive(Mover(bench.head, (other, *BODY.joint[1:])), 0, 0.0)
        await asyncio.sleep(0.1)
        assert bench.is_gentle() and bench.pulses[-1] == 1500 + shift_us

    play(scene, (wide, *BODY.joint[1:]))

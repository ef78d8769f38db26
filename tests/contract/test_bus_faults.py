"""What can go wrong on a servo bus: each once, on the twin of both kinds of servo."""

import asyncio
import math
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from drivers.body import FOLDER, Joint, Sts3215Servo, Xl330Servo, load
from drivers.bus_servo import BusHead
from drivers.errors import ConfigError, DeviceError, LinkLost, LinkTimeout, ProtocolError, Refused
from drivers.head import Knot
from drivers.messages import State
from drivers.servo_bus import WATCHDOG_FIRED
from drivers.servo_registers import STEP_RAD, Register, fitting_of
from sim.bus_servo import Fault, ServoBus

pytestmark = pytest.mark.e2e  # in real time, and so alone on the machine

BODY = load(FOLDER / "tabletop_bus.toml")
PERIOD_S, LEAD_S = 0.01, 0.1
LIFT = BODY.index("lift")
Kind = type[Sts3215Servo] | type[Xl330Servo]


@pytest.fixture(params=[Sts3215Servo, Xl330Servo])
def joints(request: pytest.FixtureRequest) -> tuple[Joint, ...]:
    kind: Kind = request.param
    return tuple(
        msgspec.structs.replace(joint, servo=kind(id=place + 1), max_torque_nm=0.5)
        for place, joint in enumerate(BODY.joint)
    )


@asynccontextmanager
async def bus_of(joints: tuple[Joint, ...], loss: float = 0.0) -> AsyncIterator[ServoBus]:
    async with ServoBus(joints, asyncio.get_running_loop().time, loss=loss, seed=1) as bus:
        yield bus


async def turn(head: BusHead, seconds: float, speed_rad_s: float = 0.2, acceleration: float = 1.0) -> None:
    """Turn all joints evenly after a soft start."""
    loop = asyncio.get_running_loop()
    telemetry = head.telemetry
    assert telemetry is not None
    start_s = loop.time()
    for number in range(round(seconds / PERIOD_S)):
        elapsed_s = number * PERIOD_S
        slow_s = min(elapsed_s, speed_rad_s / acceleration)
        way = acceleration * slow_s**2 / 2 + speed_rad_s * (elapsed_s - slow_s)
        head.command(
            Knot(
                time_s=start_s + elapsed_s + LEAD_S,
                position_rad=tuple(angle + way for angle in telemetry.position_rad),
                velocity_rad_s=(acceleration * slow_s,) * len(telemetry.position_rad),
            )
        )
        await asyncio.sleep(start_s + elapsed_s + PERIOD_S - loop.time())


async def until_refused(head: BusHead) -> None:
    with pytest.raises(Refused, match="not connected"):
        await turn(head, 1.0)


async def failure(head: BusHead) -> DeviceError:
    """Connect and serve until it fails, and let go."""
    with pytest.raises(DeviceError) as error:
        async with asyncio.timeout(5.0):
            await head.connect()
            await head.serve()
    await head.aclose()
    return error.value


async def test_a_servo_that_is_missing_is_named(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus:
        bus.servos[LIFT].fault = Fault.MISSING
        said = await failure(BusHead(bus.port, joints))
    assert isinstance(said, LinkTimeout)
    assert "joint 'lift': servo 2 does not answer" in str(said)


async def test_another_model_is_named(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus:
        bus.servos[LIFT].put(Register.MODEL, 1060)
        said = await failure(BusHead(bus.port, joints))
    assert isinstance(said, ProtocolError)
    assert "joint 'lift': servo 2 says model 1060" in str(said)


async def test_a_servo_that_answers_noise_is_named(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus:
        bus.servos[LIFT].fault = Fault.BABBLING
        said = await failure(BusHead(bus.port, joints))
    assert isinstance(said, LinkTimeout)
    assert "joint 'lift'" in str(said)


async def test_a_joint_outside_its_limits_is_named_before_anything_holds(joints: tuple[Joint, ...]) -> None:
    wrong = msgspec.structs.replace(joints[LIFT], rest_rad=1.2)
    async with bus_of((*joints[:LIFT], wrong, *joints[LIFT + 1 :])) as bus:
        said = await failure(BusHead(bus.port, joints))
        assert bus.servos[LIFT].get(Register.TORQUE_ON) == 0
    assert "joint 'lift': servo 2 stands at 1.20 rad, outside -0.50 to 0.70" in str(said)


async def test_an_overload_in_motion_is_named_and_the_others_hold(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus, asyncio.TaskGroup() as group:
        head = BusHead(bus.port, joints)
        await head.connect()
        moving = group.create_task(turn(head, 0.3))
        await asyncio.sleep(0.2)
        moving.cancel()
        bus.servos[LIFT].overload()
        with pytest.raises(DeviceError, match="joint 'lift': servo 2: overload; take the load off"):
            await head.serve()
        await head.aclose()
        await asyncio.sleep(0.05)
        held = bus.angles_rad
        await asyncio.sleep(0.1)
        assert bus.angles_rad == held
        with pytest.raises(DeviceError, match="overload"):
            await BusHead(bus.port, joints).connect()


async def test_a_servo_that_falls_silent_in_motion_is_named(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus, asyncio.TaskGroup() as group:
        head = BusHead(bus.port, joints)
        await head.connect()
        moving = group.create_task(turn(head, 0.2))
        await asyncio.sleep(0.1)
        bus.servos[LIFT].fault = Fault.MISSING
        await moving
        with pytest.raises(LinkTimeout, match="joint 'lift': servo 2 does not answer"):
            async with asyncio.timeout(1.5):
                await head.serve()
        with pytest.raises(Refused, match="not connected"):
            head.command(Knot(time_s=0.0, position_rad=(0.0,) * 4, velocity_rad_s=(0.0,) * 4))
        head.stop()  # safe, and without effect
        await head.aclose()


async def test_lost_and_changed_bytes_cost_nothing_but_a_reading(joints: tuple[Joint, ...]) -> None:
    """At one byte in five hundred about every sixth answer of four servos is lost."""
    async with bus_of(joints, loss=0.002) as bus, asyncio.TaskGroup() as group:
        head = BusHead(bus.port, joints)
        await head.connect()
        serving = group.create_task(head.serve())
        await turn(head, 1.0)
        await asyncio.sleep(0.3)
        telemetry = await head.next_telemetry()
        assert (telemetry.accepted, telemetry.refused) == (100, 0)
        assert telemetry.rx_errors > 0
        # 0.02 + 0.79 × 0.2 rad, and what it takes to stop.
        assert all(abs(angle - 0.178) < 0.006 for angle in bus.angles_rad)
        serving.cancel()
        await head.aclose()


async def test_a_pulled_cable_is_a_lost_link_and_can_be_put_back(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus, asyncio.TaskGroup() as group:
        head = BusHead(bus.port, joints)
        await head.connect()
        moving = group.create_task(until_refused(head))
        await asyncio.sleep(0.1)
        bus.cut()
        cut_s = asyncio.get_running_loop().time()
        with pytest.raises(LinkLost, match="the port is gone"):
            await head.serve()
        assert asyncio.get_running_loop().time() - cut_s < 0.15
        await moving
        await head.aclose()
        bus.plug()
        again = BusHead(bus.port, joints)
        assert (await again.connect()).state is State.HOLDING
        await again.aclose()


async def test_a_port_that_is_missing_busy_or_none_says_so(joints: tuple[Joint, ...]) -> None:
    assert "no such port" in str(await failure(BusHead("/dev/ttyNOD0", joints)))
    assert "cannot be opened as a serial port" in str(await failure(BusHead("/dev/null", joints)))
    async with bus_of(joints) as bus:
        first = BusHead(bus.port, joints)
        await first.connect()
        assert "busy" in str(await failure(BusHead(bus.port, joints)))
        await first.aclose()


async def test_lasting_memory_is_written_once(joints: tuple[Joint, ...]) -> None:
    async with bus_of(joints) as bus:
        written = []
        for _ in range(3):
            head = BusHead(bus.port, joints)
            await head.connect()
            await head.aclose()
            written.append(sum(servo.kept_writes for servo in bus.servos))
        assert written[0] > 0
        assert written == [written[0]] * 3
        for servo, joint in zip(bus.servos, joints, strict=True):
            fitting = fitting_of(joint)
            assert servo.get(Register.LOW_POSITION) == round(2048 + joint.min_rad / STEP_RAD)
            assert servo.get(Register.HIGH_POSITION) == round(2048 + joint.max_rad / STEP_RAD)
            assert servo.get(Register.VELOCITY) == fitting.velocity > 0
            assert servo.get(Register.ACCELERATION) == fitting.acceleration > 0
            assert 0 < servo.get(Register.TORQUE_LIMIT) < fitting.kind.full_torque


async def test_under_a_load_it_starts_from_where_it_hangs_without_a_jump(joints: tuple[Joint, ...]) -> None:
    """Thirty steps are 2.6°: read back naively, the first knots would be refused or the arm would sag again."""
    async with bus_of(joints) as bus, asyncio.TaskGroup() as group:
        head = BusHead(bus.port, joints)
        await head.connect()
        serving = group.create_task(head.serve())
        bus.servos[LIFT].sag_steps = 30
        await asyncio.sleep(0.1)
        telemetry = await head.next_telemetry()
        hanging_rad = -30 * STEP_RAD
        assert math.isclose(telemetry.position_rad[LIFT], hanging_rad, abs_tol=1e-6)
        bus.samples()
        await turn(head, 0.1)
        assert (await head.next_telemetry()).refused == 0
        ways = [sample.steps[LIFT] for sample in bus.samples()]
        assert all(abs(after - before) <= 2 for before, after in zip(ways, ways[1:], strict=False))
        serving.cancel()
        await head.aclose()


HOST = """
import asyncio, sys
import msgspec
from drivers.body import Joint
from drivers.bus_servo import BusHead
from drivers.errors import DeviceError, Refused
from drivers.head import Knot

async def main(port, joints):
    head = BusHead(port, joints)
    start = (await head.connect()).position_rad
    async with asyncio.TaskGroup() as group:
        group.create_task(turn(head, start))
        try:
            await head.serve()
        except DeviceError as exc:
            print(exc)

async def turn(head, start):
    loop = asyncio.get_running_loop()
    start_s, number = loop.time(), 0
    while True:
        t = number * 0.01
        slow = min(t, 0.25)
        way = 4 * slow * slow / 2 + 1.0 * (t - slow)
        place = tuple(angle + (way if j == 0 else 0.0) for j, angle in enumerate(start))
        speed = (4 * slow, 0.0, 0.0, 0.0)
        try:
            head.command(Knot(time_s=start_s + t + 0.04, position_rad=place, velocity_rad_s=speed))
        except Refused:
            break
        number += 1
        await asyncio.sleep(start_s + number * 0.01 - loop.time())
    await asyncio.sleep(0.5)
    await head.aclose()

asyncio.run(main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=tuple[Joint, ...])))
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_host_killed_or_frozen_in_motion_leaves_no_joint_moving(
    joints: tuple[Joint, ...], blow: signal.Signals
) -> None:
    async with bus_of(joints) as bus:
        host = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOST, bus.port, msgspec.json.encode(joints).decode()),
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2000):
            if bus.angles_rad[0] >= 0.5:
                break
            await asyncio.sleep(0.005)
        host.send_signal(blow)
        blow_s = asyncio.get_running_loop().time()
        blow_rad = bus.angles_rad[0]
        await asyncio.sleep(0.6)
        at_rest_s, on_rad = last_move(bus, blow_s), bus.angles_rad[0] - blow_rad
        print(f"{blow.name}: at rest after {at_rest_s:.3f} s, {on_rad:.4f} rad further on")
        assert at_rest_s <= 0.25
        fitting = fitting_of(joints[0])
        profile = fitting.acceleration * fitting.kind.acceleration_rad_s2
        # At 1 rad/s it trails by v²/2a; one period passes before the next goal, and one sample here.
        assert on_rad <= 1.0 / (2 * profile) + 1.0 * 2 * PERIOD_S + 2 * STEP_RAD
        assert bus.servos[0].get(Register.TORQUE_ON) == 1
        if fitting.kind.watchdog:
            assert bus.servos[0].get(Register.WATCHDOG) == WATCHDOG_FIRED
        if blow is signal.SIGSTOP:
            host.send_signal(signal.SIGCONT)
            awake_s = asyncio.get_running_loop().time()
            await asyncio.sleep(0.6)
            # It goes to the end of the knots that it had, and brakes; watched over, it doesn't even do that.
            assert last_move(bus, awake_s) <= 0.25
            most = 0.0 if fitting.kind.watchdog else on_rad + LEAD_S * 1.0 + 1.0 / (2 * 17.5)
            assert bus.angles_rad[0] - blow_rad <= most + 0.02
        said, _ = await host.communicate()
        is_told = blow is signal.SIGSTOP and fitting.kind.watchdog > 0
        assert is_told == ("this computer stalled" in said.decode())
        again = BusHead(bus.port, joints)
        assert (await again.connect()).state is State.HOLDING
        assert not fitting.kind.watchdog or bus.servos[0].get(Register.WATCHDOG) == fitting.kind.watchdog
        await again.aclose()


def last_move(bus: ServoBus, since_s: float) -> float:
    samples = bus.samples()
    moved = [b.time_s - since_s for a, b in zip(samples, samples[1:], strict=False) if a.steps != b.steps]
    return max(moved, default=0.0)


async def test_thirty_seconds_of_silence_park_it_and_let_it_go() -> None:
    async def scene(kind: Kind) -> None:
        joints = tuple(
            msgspec.structs.replace(joint, servo=kind(id=place + 1), max_torque_nm=0.5)
            for place, joint in enumerate(BODY.joint)
        )
        async with bus_of(joints) as bus:
            head = BusHead(bus.port, joints)
            await head.connect()
            await turn(head, 0.5)
            with pytest.raises(LinkLost, match="let go after a long silence"):
                await head.serve()
            assert head.telemetry is not None
            assert head.telemetry.state is State.PARKED
            assert all(abs(angle) < 2 * STEP_RAD for angle in bus.angles_rad)
            await asyncio.sleep(0.2)  # the order is on the bus, and nobody answers it
            assert [servo.get(Register.TORQUE_ON) for servo in bus.servos] == [0] * 4
            await head.aclose()

    async with asyncio.TaskGroup() as group:
        group.create_task(scene(Sts3215Servo))
        group.create_task(scene(Xl330Servo))


def test_what_a_servo_cannot_give_is_a_config_error(joints: tuple[Joint, ...]) -> None:
    fast = msgspec.structs.replace(joints[0], max_velocity_rad_s=20.0)
    with pytest.raises(ConfigError, match="rad/s"):
        BusHead("", (fast,))
    with pytest.raises(ConfigError, match="joints"):
        BusHead("", ())


async def test_without_rustypot_one_line_says_which_extra_to_install() -> None:
    program = (
        "import sys; sys.modules['rustypot'] = None\n"  # what an import finds where it is not installed
        "from agent.__main__ import main; sys.exit(main())"
    )
    options = ("run", "--body", str(FOLDER / "tabletop_bus.toml"))
    robot = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *options), stderr=asyncio.subprocess.PIPE
    )
    _, said = await robot.communicate()
    assert robot.returncode == 2
    assert said.decode().count("\n") == 1
    assert ".[bus]" in said.decode()

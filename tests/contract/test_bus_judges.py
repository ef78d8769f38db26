"""Others judge the simulated servos' bytes and our tables: the makers' own libraries, rustypot, and their manuals."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import dynamixel_sdk
import msgspec
import pytest
import rustypot
import scservo_sdk
from hypothesis import given
from hypothesis import strategies as st

from drivers.body import FOLDER, Sts3215Servo, Xl330Servo, load
from drivers.servo_registers import STS3215, XL330, Kind, Register
from sim.bus_packets import DynamixelWire, FeetechWire, Ping, Read, Write
from sim.bus_servo import ServoBus

BODY = load(FOLDER / "tabletop_bus.toml")
IDS = [7, 9]
ARRIVAL_S = 0.3
NAMES = {
    Register.MODEL: ("model_number", "Model Number"),
    Register.RETURN_DELAY: ("return_delay_time", "Return Delay Time"),
    Register.DRIVE_MODE: ("drive_mode", "Drive Mode"),
    Register.MODE: ("operating_mode", "Operating Mode"),
    Register.LOW_POSITION: ("min_position_limit", "Min Position Limit"),
    Register.HIGH_POSITION: ("max_position_limit", "Max Position Limit"),
    Register.TORQUE_ON: ("torque_enable", "Torque Enable"),
    Register.LED: ("led", "LED"),
    Register.WATCHDOG: ("bus_watchdog", "Bus Watchdog"),
    Register.GOAL: ("goal_position", "Goal Position"),
    Register.PRESENT: ("present_position", "Present Position"),
    Register.LOCK: ("lock", ""),
    Register.TOP_ACCELERATION: ("maximum_acceleration", ""),
}
OWN_NAMES = {
    (STS3215.name, Register.ACCELERATION): "acceleration",
    (STS3215.name, Register.VELOCITY): "goal_velocity",
    (STS3215.name, Register.TORQUE_LIMIT): "torque_limit",
    (STS3215.name, Register.ERRORS): "status",
    (XL330.name, Register.ACCELERATION): "profile_acceleration",
    (XL330.name, Register.VELOCITY): "profile_velocity",
    (XL330.name, Register.TORQUE_LIMIT): "goal_pwm",
    (XL330.name, Register.ERRORS): "hardware_error_status",
}


@asynccontextmanager
async def bus_of(kind: type[Sts3215Servo] | type[Xl330Servo]) -> AsyncIterator[ServoBus]:
    joints = tuple(
        msgspec.structs.replace(joint, servo=kind(id=id_), max_torque_nm=0.5, rest_rad=0.1 * id_)
        for joint, id_ in zip(BODY.joint, IDS, strict=False)
    )
    async with ServoBus(joints, asyncio.get_running_loop().time) as bus:
        yield bus


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def patiently(port: Any) -> Any:
    """Their libraries wait 34 ms for an answer, which a busy test machine may need to give it."""
    port.setPacketTimeout = lambda _: port.setPacketTimeoutMillis(500)
    return port


def judge(kind: type[Sts3215Servo] | type[Xl330Servo], client: Callable[[ServoBus], None]) -> None:
    """Let a blocking client loose on a bus."""

    async def scene() -> None:
        async with bus_of(kind) as bus:
            await asyncio.to_thread(client, bus)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("kind", "theirs"), [(STS3215, rustypot.Sts3215PyController), (XL330, rustypot.Xl330PyController)]
)
def test_rustypot_has_the_same_registers(
    kind: Kind, theirs: type[rustypot.Sts3215PyController] | type[rustypot.Xl330PyController]
) -> None:
    for register, place in kind.table.items():
        name = OWN_NAMES.get((kind.name, register)) or NAMES[register][0]
        info = theirs.register(name)
        assert info is not None, name
        assert (info.addr, info.size) == (place.address, place.size), name
    assert set(kind.models) <= set(theirs.models().values())


def test_robotis_has_the_same_registers_and_velocity() -> None:
    text = files("dynamixel_easy_sdk").joinpath("control_table/xl330_m288_fw52.model").read_text()
    rows = [line.split("\t") for line in text.splitlines()]
    table = {row[2]: (int(row[0]), int(row[1])) for row in rows if len(row) == 3 and row[0].isdecimal()}
    own = {
        Register.ACCELERATION: "Profile Acceleration",
        Register.VELOCITY: "Profile Velocity",
        Register.TORQUE_LIMIT: "Goal PWM",
        Register.ERRORS: "Hardware Error Status",
    }
    for register, place in XL330.table.items():
        name = own.get(register) or NAMES[register][1]
        assert table[name] == (place.address, place.size), name
    (unit,) = [float(row[1]) for row in rows if row[0] == "Goal Velocity"]
    assert unit == pytest.approx(XL330.velocity_rad_s, rel=1e-3)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("kind", "theirs", "model"),
    [(Sts3215Servo, rustypot.Sts3215PyController, 777), (Xl330Servo, rustypot.Xl330PyController, 1200)],
)
def test_rustypot_finds_reads_and_moves_them(
    kind: type[Sts3215Servo] | type[Xl330Servo],
    theirs: type[rustypot.Sts3215PyController] | type[rustypot.Xl330PyController],
    model: int,
) -> None:
    def client(bus: ServoBus) -> None:
        line = theirs(bus.port, 1_000_000, 0.5)
        assert [line.read_register(id_, "model_number", 3) for id_ in IDS] == [model] * 2
        assert line.ping(7) and not line.ping(8)
        before = line.sync_read_register(IDS, "present_position")
        assert before == [round(2048 + 0.1 * id_ * 4096 / 6.283185307) for id_ in IDS]
        line.sync_write_register(IDS, "torque_enable", [1, 1])
        line.sync_write_register(IDS, "goal_position", [2100, 2200])
        assert line.read_register(7, "goal_position") == 2100
        pause(ARRIVAL_S)
        assert line.sync_read_register(IDS, "present_position") == [2100, 2200]
        bus.servos[1].overload()
        _, error = line.read_register_with_error(9, "torque_enable")
        assert error == (0x20 if kind is Sts3215Servo else 0x80)
        line.close()

    judge(kind, client)


@pytest.mark.e2e
def test_robotis_own_library_finds_reads_and_moves_them() -> None:
    def client(bus: ServoBus) -> None:
        port, packets = patiently(dynamixel_sdk.PortHandler(bus.port)), dynamixel_sdk.PacketHandler(2.0)
        assert port.openPort() and port.setBaudRate(1_000_000)
        assert packets.ping(port, 7) == (1200, dynamixel_sdk.COMM_SUCCESS, 0)
        found, result = packets.broadcastPing(port)
        assert (sorted(found), result) == (IDS, dynamixel_sdk.COMM_SUCCESS)
        for id_ in IDS:
            assert packets.write1ByteTxRx(port, id_, 64, 1) == (dynamixel_sdk.COMM_SUCCESS, 0)
        # Torque is on: what it keeps without power it does not take, and says so.
        assert packets.write1ByteTxRx(port, 7, 11, 4) == (dynamixel_sdk.COMM_SUCCESS, 7)
        goals = dynamixel_sdk.GroupSyncWrite(port, packets, 116, 4)
        for id_, steps in zip(IDS, (2100, 2200), strict=True):
            assert goals.addParam(id_, list(steps.to_bytes(4, "little")))
        assert goals.txPacket() == dynamixel_sdk.COMM_SUCCESS
        pause(ARRIVAL_S)
        poses = dynamixel_sdk.GroupSyncRead(port, packets, 132, 4)
        assert all(poses.addParam(id_) for id_ in IDS)
        assert poses.txRxPacket() == dynamixel_sdk.COMM_SUCCESS
        assert [poses.getData(id_, 132, 4) for id_ in IDS] == [2100, 2200]
        bus.servos[1].overload()
        assert packets.read1ByteTxRx(port, 9, 70) == (0x20, dynamixel_sdk.COMM_SUCCESS, 0x80)
        port.closePort()

    judge(Xl330Servo, client)


@pytest.mark.e2e
def test_feetechs_own_library_finds_reads_and_moves_them() -> None:
    def client(bus: ServoBus) -> None:
        port, packets = patiently(scservo_sdk.PortHandler(bus.port)), scservo_sdk.PacketHandler(0)
        assert port.openPort() and port.setBaudRate(1_000_000)
        assert packets.ping(port, 7) == (777, scservo_sdk.COMM_SUCCESS, 0)
        assert packets.ping(port, 8)[1] == scservo_sdk.COMM_RX_TIMEOUT
        for id_ in IDS:
            assert packets.write1ByteTxRx(port, id_, 40, 1) == (scservo_sdk.COMM_SUCCESS, 0)
        goals = scservo_sdk.GroupSyncWrite(port, packets, 42, 2)
        for id_, steps in zip(IDS, (2100, 2200), strict=True):
            assert goals.addParam(id_, list(steps.to_bytes(2, "little")))
        assert goals.txPacket() == scservo_sdk.COMM_SUCCESS
        pause(ARRIVAL_S)
        poses = scservo_sdk.GroupSyncRead(port, packets, 56, 2)
        assert all(poses.addParam(id_) for id_ in IDS)
        assert poses.txRxPacket() == scservo_sdk.COMM_SUCCESS
        assert [poses.getData(id_, 56, 2) for id_ in IDS] == [2100, 2200]
        bus.servos[1].overload()
        assert packets.read1ByteTxRx(port, 9, 40) == (0, scservo_sdk.COMM_SUCCESS, 0x20)
        port.closePort()

    judge(Sts3215Servo, client)


def test_the_manuals_examples_byte_for_byte() -> None:
    """Protocol 2.0: ping, read, sync write; Feetech: read, write with the sums of its manual."""
    assert DynamixelWire().feed(bytes.fromhex("fffffd0001030001194e")) == [Ping(1)]
    assert DynamixelWire().answer(1, 0, bytes.fromhex("060426")) == bytes.fromhex(
        "fffffd000107005500060426655d"
    )
    asked = bytes.fromhex("fffffd0001070002840004001d15")
    assert DynamixelWire().feed(asked) == [Read((1,), 132, 4)]
    assert DynamixelWire().answer(1, 0, bytes.fromhex("a6000000")) == bytes.fromhex(
        "fffffd000108005500a60000008cc0"
    )
    told = bytes.fromhex("fffffd00fe11008374000400019600000002aa0000008287")
    assert DynamixelWire().feed(told) == [
        Write(1, 116, bytes.fromhex("96000000"), False),
        Write(2, 116, bytes.fromhex("aa000000"), False),
    ]
    assert FeetechWire().feed(bytes.fromhex("ffff0104023802be")) == [Read((1,), 56, 2)]
    assert FeetechWire().answer(1, 0, bytes.fromhex("1805")) == bytes.fromhex("ffff0104001805dd")


@given(st.binary(max_size=30), st.integers(1, 9))
def test_noise_before_a_packet_and_bytes_in_pieces_cost_nothing(noise: bytes, piece: int) -> None:
    for wire, packet, request in (
        (DynamixelWire(), bytes.fromhex("fffffd0001030001194e"), Ping(1)),
        (FeetechWire(), bytes.fromhex("ffff010201fb"), Ping(1)),
    ):
        wire.feed(noise)
        wire.forget()  # the line was quiet
        got = []
        for at in range(0, len(packet), piece):
            got += wire.feed(packet[at : at + piece])
        assert got == [request]


def test_a_header_within_the_data_is_stuffed_both_ways() -> None:
    data = bytes.fromhex("fffffd01")
    answer = DynamixelWire().answer(1, 0, data)
    assert bytes.fromhex("00fffffdfd01") in answer
    packets = dynamixel_sdk.Protocol2PacketHandler()
    packet = [0xFF, 0xFF, 0xFD, 0, 1, 9, 0, 3, 116, 0, *data, 0, 0]
    packets.addStuffing(packet)
    size = packet[5] + 7
    crc = packets.updateCRC(0, packet, size - 2)
    stuffed = bytes(packet[: size - 2]) + crc.to_bytes(2, "little")
    assert DynamixelWire().feed(stuffed) == [Write(1, 116, data, True)]

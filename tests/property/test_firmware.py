"""Whatever comes in, the firmware core neither falls over nor leaves its limits."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import messages, wire
from drivers.messages import State
from sim.board import Core

LIMITS = messages.Limits(
    joint=0,
    pin=9,
    min_urad=-500_000,
    max_urad=700_000,
    rest_urad=0,
    velocity_mrad_s=2000,
    acceleration_mrad_s2=10_000,
    pulse_centre_us=1500,
    pulse_per_rad_ns=637_000,
)
FIRST_US = (1 << 32) - 150_000  # every run crosses the clock's wrap
STEP_US = 1000


def enabled() -> Core:
    core = Core(FIRST_US)
    opening: tuple[messages.Message, ...] = (
        messages.Hello(table_hash=messages.TABLE_HASH, session=9),
        LIMITS,
        messages.Enable(joint_count=1, pulse_period_us=20_000),
    )
    for sequence, message in enumerate(opening):
        core.receive(wire.encode(message, sequence), FIRST_US)
    answers = [frame.message for frame in wire.Decoder().feed(core.transmit())]
    assert answers[1:] == [messages.Result(number=1, reason=0), messages.Result(number=2, reason=0)]
    return core


def reports(data: bytes) -> list[messages.Status]:
    decoder = wire.Decoder()
    frames = decoder.feed(data)
    assert decoder.errors == 0
    return [frame.message for frame in frames if isinstance(frame.message, messages.Status)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=12))
def test_garbage_never_moves_anything(pieces: list[bytes]) -> None:
    core = enabled()
    before = core.pulse_us(0)
    now_us = FIRST_US
    for piece in pieces:
        core.receive(piece, now_us)
        now_us += 7 * STEP_US
        core.advance(now_us)
    core.receive(b"\0", now_us)
    core.advance(now_us + 50_000)
    (*_, last) = reports(core.transmit())
    assert core.pulse_us(0) == before
    assert last.state == State.HOLDING
    assert last.accepted == 0


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=48, max_size=48), st.integers(0, 255))
def test_whole_frames_of_senseless_numbers_leave_no_limit(body: bytes, sequence: int) -> None:
    core = enabled()
    for kind in messages.BY_TYPE.values():
        if kind not in (messages.Limits, messages.Detach, messages.Enable, messages.Hello):
            core.receive(wire.encode(kind.unpack(body[: kind.SIZE]), sequence), FIRST_US)
    frames = core.advance(FIRST_US + 400_000)
    assert all(1500 - 319 <= pulse[0] <= 1500 + 446 for _, pulse in frames)
    assert all(-500_000 <= report.position_urad[0] <= 700_000 for report in reports(core.transmit()))


KNOTS = st.lists(
    st.tuples(
        st.integers(1, 12),  # time to the next frame, in 5 ms
        st.integers(-5, 60),  # how far ahead, in 5 ms
        st.integers(-520_000, 720_000),
        st.integers(-2100, 2100),
    ),
    min_size=1,
    max_size=40,
)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(4, 10),
        st.floats(-0.02, 0.02),
        st.floats(-0.4, 0.4),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(KNOTS)
def test_wild_knots_leave_no_limit(knots: list[tuple[int, int, int, int]]) -> None:
    core = enabled()
    now_us = FIRST_US
    before = (0, 0, 0)
    positions = []
    for wait, ahead, position, velocity in knots:
        knot = (now_us + ahead * 5000, position, velocity)
        core.receive(frame_of(knot, before), now_us)
        before = knot
        for _ in range(wait):
            now_us += 5000
            core.advance(now_us)
            positions += [report.position_urad[0] for report in reports(core.transmit())]
    core.advance(now_us + 1_000_000)
    last = reports(core.transmit())
    positions += [report.position_urad[0] for report in last]
    assert all(-500_000 <= position <= 700_000 for position in positions)
    assert last[-1].state == State.HOLDING


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_near_knots_keep_velocity_and_acceleration(steps: list[tuple[int, int, float, float]]) -> None:
    """Knots near the present pose are often accepted, so that true motion is judged and not refusals."""
    core = enabled()
    now_us = FIRST_US
    at_urad = 0
    before = (0, 0, 0)
    positions: list[int] = []
    for wait, ahead, way_rad, velocity_rad_s in steps:
        knot = (now_us + ahead * 10_000, at_urad + round(way_rad * 1e6), round(velocity_rad_s * 1e3))
        core.receive(frame_of(knot, before), now_us)
        before = knot
        for _ in range(wait * 10):
            now_us += STEP_US
            core.advance(now_us)
            positions += [report.position_urad[0] for report in reports(core.transmit())]
        at_urad = positions[-1] if positions else 0
    for _ in range(500):
        now_us += STEP_US  # a report is written when it is fetched: fetch often, and they come evenly
        core.advance(now_us)
        positions += [report.position_urad[0] for report in reports(core.transmit())]
    # Reports come every 20 ms: mean velocities over that time, and their changes.
    ways = [after - earlier for earlier, after in zip(positions, positions[1:], strict=False)]
    changes = [after - earlier for earlier, after in zip(ways, ways[1:], strict=False)]
    assert all(abs(way) <= 2.0 * 20_000 + 20 for way in ways)
    # One hundredth and the rounding of a knot's velocity (1 mrad/s) on top.
    assert all(abs(change) <= 1.01 * 10.0 * 400 + 40 for change in changes)


def frame_of(knot: tuple[int, int, int], before: tuple[int, int, int]) -> bytes:
    return wire.encode(
        messages.SetPoint(
            time_us=knot[0] & 0xFFFFFFFF,
            position_urad=(knot[1], 0, 0, 0),
            velocity_mrad_s=(knot[2], 0, 0, 0),
            previous_time_us=before[0] & 0xFFFFFFFF,
            previous_position_urad=(before[1], 0, 0, 0),
            previous_velocity_mrad_s=(before[2], 0, 0, 0),
        )
    )

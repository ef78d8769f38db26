"""The follower for bus servos against the true firmware core: the same knots, the same answers, the same way."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import messages, wire
from drivers.follow import Bounds, Follower
from drivers.head import Knot
from drivers.messages import Reason, State
from sim.board import Core

BOUNDS = Bounds(low_rad=-0.5, high_rad=0.7, rest_rad=0.1, velocity_rad_s=2.0, acceleration_rad_s2=10.0)
LIMITS = messages.Limits(
    joint=0,
    pin=9,
    min_urad=-500_000,
    max_urad=700_000,
    rest_urad=100_000,
    velocity_mrad_s=2000,
    acceleration_mrad_s2=10_000,
    pulse_centre_us=1500,
    pulse_per_rad_ns=637_000,
)
REPORT_US = 20_000
ERROR_RAD = 3e-4  # velocities on the wire are whole mrad/s, and the core rounds at each step

# Time until it is sent, then how far ahead of the knot before, how far from there, and how fast.
KNOTS = st.lists(
    st.tuples(
        st.sampled_from((1, 1, 1, 1, 2, 3, 20)),
        st.integers(-3, 60),
        st.integers(-4000, 4000),
        st.integers(-1100, 1100),
    ),
    min_size=1,
    max_size=40,
)


def connected() -> Core:
    core = Core(0)
    opening: tuple[messages.Message, ...] = (
        messages.Hello(table_hash=messages.TABLE_HASH, session=9),
        LIMITS,
        messages.Enable(joint_count=1, pulse_period_us=20_000),
    )
    for sequence, message in enumerate(opening):
        core.receive(wire.encode(message, sequence), 0)
    core.transmit()
    return core


def report(core: Core) -> messages.Status:
    frames = wire.Decoder().feed(core.transmit())
    return [frame.message for frame in frames if isinstance(frame.message, messages.Status)][-1]


def tell(core: Core, now_us: int, time_us: int, position_urad: int, velocity_mrad_s: int) -> None:
    position, velocity = (position_urad, 0, 0, 0), (velocity_mrad_s, 0, 0, 0)
    point = messages.SetPoint(
        time_us=time_us,
        position_urad=position,
        velocity_mrad_s=velocity,
        previous_time_us=time_us,  # not before it: there is none
        previous_position_urad=position,
        previous_velocity_mrad_s=velocity,
    )
    core.receive(wire.encode(point), now_us)


@settings(max_examples=300, deadline=None)
@given(KNOTS)
def test_it_answers_and_moves_as_the_firmware_does(knots: list[tuple[int, int, int, int]]) -> None:
    core, follower = connected(), Follower((BOUNDS,))
    follower.stand((0.1,), 0.0)
    accepted = refused = 0
    now_us = 0
    tail = (0, 100_000)
    for wait, later, way, velocity in knots:
        now_us += wait * REPORT_US
        core.advance(now_us)
        follower.step((now_us + 0.5) * 1e-6)  # so that 0.2 s are not a rounding less
        status = report(core)
        assert status.state == follower.state
        assert math.isclose(status.position_urad[0] * 1e-6, follower.goal_rad[0], abs_tol=ERROR_RAD)
        assert (status.accepted, status.refused) == (accepted, refused)
        assert status.underruns == follower.underruns
        time_us = max(tail[0], now_us) + later * 1000
        position = tail[1] + way * 10
        if time_us < 0:
            continue
        tell(core, now_us, time_us, position, velocity)
        knot = Knot(time_s=time_us * 1e-6, position_rad=(position * 1e-6,), velocity_rad_s=(velocity * 1e-3,))
        if follower.take(knot, now_us * 1e-6) is Reason.NONE:
            accepted += 1
            tail = (time_us, position)
        else:
            refused += 1
            tail = (now_us, round(follower.goal_rad[0] * 1e6)) if follower.state is State.HOLDING else tail


@settings(max_examples=5, deadline=None)
@given(st.integers(-500, 700).filter(lambda start: abs(start - 100) > 50))
def test_it_parks_and_lets_go_as_the_firmware_does(start_mrad: int) -> None:
    core, follower = connected(), Follower((BOUNDS,))
    follower.stand((0.1,), 0.0)
    tell(core, 0, 900_000, start_mrad * 1000, 0)
    knot = Knot(time_s=0.9, position_rad=(start_mrad * 1e-3,), velocity_rad_s=(0.0,))
    assert follower.take(knot, 0.0) is Reason.NONE
    seen: list[tuple[int, State, State]] = []
    for now_us in range(REPORT_US, 31_000_000, REPORT_US):
        core.advance(now_us)
        follower.step((now_us + 0.5) * 1e-6)
        status = report(core)
        assert math.isclose(status.position_urad[0] * 1e-6, follower.goal_rad[0], abs_tol=2e-3)
        seen.append((now_us, State(status.state), follower.state))
    pairs = list(zip(seen, seen[1:], strict=False))
    theirs = [(after[1], after[0]) for before, after in pairs if before[1] != after[1]]
    ours = [(after[2], after[0]) for before, after in pairs if before[2] != after[2]]
    assert [state for state, _ in theirs] == [state for state, _ in ours]
    assert ours[-1][0] is State.DETACHED
    for (_, theirs_us), (_, ours_us) in zip(theirs, ours, strict=True):
        # The firmware parks in whole µrad, so its last crawl is a little longer or shorter.
        assert abs(theirs_us - ours_us) <= 3 * REPORT_US

"""Motion: smooth, inside the limits, and still when it shall be."""

import math

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.events import HeadPose
from agent.motion import PERIOD_S, Act, Intent, State, Trajectory, start, step
from drivers.body import Body, load

ANGLE = st.floats(-2.0, 2.0)
BODY = load()


@pytest.fixture(scope="module")
def body() -> Body:
    return BODY


@pytest.fixture
def trajectory(body: Body) -> Trajectory:
    return Trajectory(body)


def play(state: State, intent: Intent, seconds: float, body: Body, trajectory: Trajectory) -> list[State]:
    states = []
    for _ in range(round(seconds / PERIOD_S)):
        state = step(state, intent, body, trajectory)
        intent = msgspec.structs.replace(intent, begin=None)
        states.append(state)
    return states


def test_a_nod_dips_twice_and_comes_back(body: Body, trajectory: Trajectory) -> None:
    tilt = body.index("tilt")
    nod = Intent(begin=Act(kind="nod", times=2), idle="off")
    path = [s.position_rad[tilt] for s in play(start(body.rest_rad), nod, 2.5, body, trajectory)]
    dips = sum(a < 0.1 <= b for a, b in zip(path, path[1:], strict=False))
    assert dips == 2
    assert max(path) == pytest.approx(0.22, abs=0.04)
    assert path[-1] == pytest.approx(0.0, abs=1e-3)


def test_a_shake_stays_level(body: Body, trajectory: Trajectory) -> None:
    shake = Intent(begin=Act(kind="shake", times=2), idle="off")
    states = play(start(body.rest_rad), shake, 2.5, body, trajectory)
    yaws = [s.position_rad[body.index("yaw")] for s in states]
    assert min(yaws) < -0.1 < 0.1 < max(yaws)
    assert all(abs(s.position_rad[body.index("tilt")]) < 1e-6 for s in states)


def test_it_turns_towards_a_point_without_overshoot(body: Body, trajectory: Trajectory) -> None:
    point = (1.2, 1.2 * math.tan(math.radians(30)), 0.4)
    intent = Intent(look_at_m=point, idle="off")
    yaws = [
        s.position_rad[body.index("yaw")] for s in play(start(body.rest_rad), intent, 2.0, body, trajectory)
    ]
    assert yaws[-1] == pytest.approx(math.radians(30), abs=0.01)
    assert max(yaws) < math.radians(30) + math.radians(1.0)


def test_a_still_person_is_not_chased(body: Body, trajectory: Trajectory) -> None:
    settled = play(start(body.rest_rad), Intent(look_at_m=(1.5, 0.3, 0.4), idle="off"), 2.0, body, trajectory)
    state, moved = settled[-1], []
    for number in range(100):
        jitter = 0.004 * math.sin(number * 2.3)  # a pixel or two of the box
        state = step(state, Intent(look_at_m=(1.5, 0.3 + jitter, 0.4), idle="off"), body, trajectory)
        moved.append(state.position_rad)
    assert all(m == pytest.approx(moved[0], abs=1e-3) for m in moved)


def test_hold_brakes_and_stays(body: Body, trajectory: Trajectory) -> None:
    moving = play(start(body.rest_rad), Intent(look_at_m=(1.0, 1.0, 0.5)), 0.3, body, trajectory)[-1]
    assert max(map(abs, moving.velocity_rad_s)) > 0.5
    held = play(moving, Intent(look_at_m=(1.0, -1.0, 0.5), hold=True), 1.5, body, trajectory)
    assert max(map(abs, held[-1].velocity_rad_s)) < 1e-3
    assert held[-1].position_rad == pytest.approx(held[-30].position_rad, abs=1e-3)


def test_mimicry_copies_the_callers_pitch(body: Body, trajectory: Trajectory) -> None:
    pose = HeadPose(pitch_rad=0.2, yaw_rad=0.0, roll_rad=0.0)
    state = play(start(body.rest_rad), Intent(mimic=pose, idle="off"), 1.0, body, trajectory)[-1]
    assert state.position_rad[body.index("tilt")] == pytest.approx(0.2, abs=0.01)


def test_idle_off_is_dead_still(body: Body, trajectory: Trajectory) -> None:
    states = play(start(body.rest_rad), Intent(idle="off"), 3.0, body, trajectory)
    assert all(s.position_rad == pytest.approx(body.rest_rad, abs=1e-9) for s in states)


@settings(max_examples=30, deadline=None)
@given(
    points=st.lists(
        st.tuples(st.floats(0.3, 4), st.floats(-3, 3), st.floats(-0.5, 2)), min_size=1, max_size=6
    ),
    pitch=ANGLE,
    yaw=ANGLE,
    kind=st.sampled_from(["nod", "shake", "tilt"]),
)
@example(  # once ruckig found no time at which all joints arrive together
    points=[
        (0.99, 2.577518016845426, 0.0),
        (3.6675860044898845, 2.4225968118660717, 0.0),
        (3.625, 2.375, 0.0),
    ],
    pitch=1.0,
    yaw=-1.9999999999999998,
    kind="nod",
)
def test_whatever_is_asked_the_limits_hold(
    points: list[tuple[float, float, float]], pitch: float, yaw: float, kind: str
) -> None:
    body = BODY
    trajectory = Trajectory(body)
    state = start(body.rest_rad)
    for point in points:
        intent = Intent(
            look_at_m=point,
            mimic=HeadPose(pitch_rad=pitch, yaw_rad=yaw, roll_rad=-pitch),
            begin=Act(kind=kind, times=3),  # type: ignore[arg-type]  # drawn from the three kinds
        )
        for after in play(state, intent, 0.4, body, trajectory):
            for p, v, joint in zip(after.position_rad, after.velocity_rad_s, body.joint, strict=True):
                assert joint.min_rad <= p <= joint.max_rad
                assert abs(v) <= joint.max_velocity_rad_s * 1.001
            caps = [joint.max_acceleration_rad_s2 for joint in body.joint]
            speeds = zip(state.velocity_rad_s, after.velocity_rad_s, caps, strict=True)
            assert all(abs(b - a) / PERIOD_S <= 1.3 * cap + 0.5 for a, b, cap in speeds)
            state = after

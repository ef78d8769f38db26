"""Balance: the formula against momentum that is differentiated, and the cap against everything it lets pass."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.balance import (
    BOARD_SAFETY,
    GRAVITY_M_S2,
    TIP_SAFETY,
    Array,
    acceleration_limits,
    zmp_margin,
    zmp_margins,
)
from drivers.body import (
    ACCELERATION_MARGIN,
    DEFAULT_BODY,
    FOLDER,
    VELOCITY_MARGIN,
    Body,
    Foot,
    Joint,
    forward,
    inset_m,
    load,
    read,
)
from drivers.errors import ConfigError

BODIES = {name: load(FOLDER / f"{name}.toml") for name in ("tabletop", "wheeled")}
BOTH = pytest.mark.parametrize("name", list(BODIES))
LEAST_RAD_S2 = {"yaw": 8.0, "lift": 4.0, "tilt": 36.0, "roll": 12.0}  # nods of 8° at 2.5 Hz take 34


def momentum(body: Body, angles: Array, rates: Array) -> tuple[Array, Array]:
    """Linear momentum, and angular momentum about the origin, from positions half a microsecond apart."""
    step_s = 1e-5
    linear, angular = np.zeros(3), np.zeros(3)
    before, here, after = (forward(body, tuple(angles + rates * step_s * t))[:-1] for t in (-1, 0, 1))
    for joint, first, middle, last in zip(body.joint, before, here, after, strict=True):
        centre = np.array([*joint.link.centre_m, 1.0])
        speed = ((last - first) @ centre)[:3] / (2 * step_s)
        spin = (last[:3, :3] - first[:3, :3]) @ middle[:3, :3].T / (2 * step_s)
        inertia = middle[:3, :3] @ np.diag(joint.link.inertia_kg_m2) @ middle[:3, :3].T
        linear += joint.link.mass_kg * speed
        angular += np.cross((middle @ centre)[:3], joint.link.mass_kg * speed)
        angular += inertia @ (spin[2, 1], spin[0, 2], spin[1, 0])
    return linear, angular


@BOTH
@given(seed=st.integers(0, 2**32 - 1))
def test_the_zero_moment_point_is_where_the_momentum_says(name: str, seed: int) -> None:
    body = BODIES[name]
    random = np.random.default_rng(seed)
    angles, rates, pushes = (random.uniform(-1, 1, 4) * scale for scale in (0.7, 3.0, 30.0))
    step_s = 1e-5
    (linear0, angular0), (linear1, angular1) = (
        momentum(body, angles + rates * t + pushes * t * t / 2, rates + pushes * t) for t in (-step_s, step_s)
    )
    force, moment = (linear1 - linear0) / (2 * step_s), (angular1 - angular0) / (2 * step_s)
    masses = [(joint.link.mass_kg, joint.link.centre_m) for joint in body.joint]
    for (mass, centre), pose in zip(masses, forward(body, tuple(angles))[:-1], strict=True):
        weight = (0.0, 0.0, mass * GRAVITY_M_S2)
        force, moment = force + weight, moment + np.cross((pose @ (*centre, 1.0))[:3], weight)
    weight = (0.0, 0.0, body.base.mass_kg * GRAVITY_M_S2)
    force, moment = force + weight, moment + np.cross(body.base.centre_m, weight)
    expected = inset_m(body.base.support_m, -moment[1] / force[2], moment[0] / force[2])
    assert zmp_margin(body, tuple(angles), tuple(rates), tuple(pushes)) == pytest.approx(expected, abs=2e-4)


def test_one_mass_on_a_foot_gives_the_familiar_formula() -> None:
    """a = g (m (r − x) + m_b r) / (m h), at which the foot just lifts."""
    body = BODIES["tabletop"]
    joint = msgspec.structs.replace(
        body.joint[1],
        offset_m=(0.0, 0.0, 0.0),
        link=msgspec.structs.replace(
            body.joint[1].link, mass_kg=0.5, centre_m=(0.02, 0.0, 0.3), size_m=(0.001, 0.001, 0.001)
        ),
    )
    body = msgspec.structs.replace(body, joint=(joint,), base=Foot(radius_m=0.1, height_m=0.02, mass_kg=1.0))
    radius_m = inset_m(body.base.support_m, 0.0, 0.0)
    assert radius_m == pytest.approx(0.1, rel=2e-3)
    sideways_m_s2 = GRAVITY_M_S2 * (0.5 * (0.1 - 0.02) + 1.0 * 0.1) / (0.5 * 0.3)
    # The mass turns about the origin, so it also falls by x times the angular acceleration.
    angular_rad_s2 = -GRAVITY_M_S2 * (0.5 * (0.1 - 0.02) + 0.1) / (0.5 * (0.3**2 + 0.02**2 - 0.02 * 0.1))
    assert abs(zmp_margin(body, (0.0,), (0.0,), (angular_rad_s2,))) < 3e-4
    assert -angular_rad_s2 * 0.3 == pytest.approx(sideways_m_s2, rel=0.02)


def least_margin(body: Body, count: int = 40_000) -> float:
    """In metres, at random corners of what the board lets pass, all that moves BOARD_SAFETY times over."""
    random = np.random.default_rng(1)
    shape = (count, len(body.joint))
    low = np.array([joint.min_rad for joint in body.joint])
    high = np.array([joint.max_rad for joint in body.joint])
    speed = VELOCITY_MARGIN * np.array([joint.max_velocity_rad_s for joint in body.joint])
    push = ACCELERATION_MARGIN * np.array([joint.max_acceleration_rad_s2 for joint in body.joint])
    share = np.where(
        random.random(shape) < 0.7, random.choice([-1.0, 0.0, 1.0], shape), random.uniform(-1, 1, shape)
    )
    bearing = random.uniform(-math.pi, math.pi, count)
    base = body.base
    drive = BOARD_SAFETY * base.max_acceleration_m_s2
    turn = math.sqrt(BOARD_SAFETY) * base.max_turn_rad_s * random.choice([-1.0, 0.0, 1.0, 1.0], count)
    turn_change = BOARD_SAFETY * base.max_turn_rad_s2 * random.choice([-1.0, 1.0], count)
    margins = zmp_margins(
        body,
        (low + high) / 2 + share * (high - low) / 2,
        speed * random.choice([-1.0, 0.0, 1.0, 1.0], shape) * math.sqrt(BOARD_SAFETY),
        push * random.choice([-1.0, 1.0], shape) * BOARD_SAFETY,
        np.column_stack([drive * np.cos(bearing), drive * np.sin(bearing), turn, turn_change]),
    )
    return float(margins.min())


@BOTH
def test_whatever_the_board_lets_pass_keeps_the_safety(name: str) -> None:
    least_m = least_margin(BODIES[name])
    print(
        f"{name}: least margin of 40,000 corners, {BOARD_SAFETY:g} times the motion: {abs(least_m) * 1e3:.1f} mm"
    )
    assert -1e-9 <= least_m < 0.015  # the cap is not far from what is needed


@BOTH
def test_half_more_than_the_cap_leaves_the_safety(name: str) -> None:
    body = BODIES[name]
    assert least_margin(msgspec.structs.replace(body, joint=scaled(body, 1.5))) < 0.0


def scaled(body: Body, factor: float) -> tuple[Joint, ...]:
    return tuple(
        msgspec.structs.replace(joint, max_acceleration_rad_s2=joint.max_acceleration_rad_s2 * factor)
        for joint in body.joint
    )


@BOTH
def test_wishes_are_capped_by_one_factor_to_the_same_box(name: str) -> None:
    wishes = read(FOLDER / f"{name}.toml")
    limits = acceleration_limits(wishes)
    shares = [
        limit / joint.max_acceleration_rad_s2 for limit, joint in zip(limits, wishes.joint, strict=True)
    ]
    assert max(shares) - min(shares) < 1e-9 and max(shares) < 1.0
    assert tuple(joint.max_acceleration_rad_s2 for joint in BODIES[name].joint) == limits
    for factor in (1.0, 3.0, 50.0):
        bolder = msgspec.structs.replace(wishes, joint=scaled(wishes, factor))
        assert acceleration_limits(bolder) == pytest.approx(limits, rel=1e-6)
    timid = msgspec.structs.replace(wishes, joint=scaled(wishes, 0.1))
    assert acceleration_limits(timid) == tuple(joint.max_acceleration_rad_s2 for joint in timid.joint)


@BOTH
def test_the_cap_leaves_a_lively_robot(name: str) -> None:
    joints = {joint.name: joint.max_acceleration_rad_s2 for joint in BODIES[name].joint}
    assert all(joints[joint] >= least for joint, least in LEAST_RAD_S2.items())


@pytest.mark.parametrize(
    ("old", "new"), [("mass_kg = 1.62", "mass_kg = 0.2"), ("radius_m = 0.11", "radius_m = 0.02")]
)
def test_a_body_that_nothing_keeps_upright_is_refused(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "body.toml"
    file.write_text(DEFAULT_BODY.read_text().replace(old, new, 1))
    assert read(file)
    with pytest.raises(ConfigError, match=r"body\.toml:9: base: .* tip it over"):
        load(file)


def test_the_board_has_what_is_left_of_the_safety() -> None:
    assert BOARD_SAFETY * ACCELERATION_MARGIN == TIP_SAFETY == 2.0

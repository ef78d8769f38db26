"""The wheeled base alone: it goes where its wheels push it, believes its encoders, and furniture stops it."""

import math

import pytest

from drivers.body import FOLDER, load
from drivers.errors import ConfigError
from sim.floor import Disc, Pose, way_out
from sim.room import Footprint
from sim.wheels import CARPET, STEP_S, WOOD, Base, Surface

BODY = load(FOLDER / "wheeled.toml")
WALL = Footprint(name="wall", centre_m=(1.0, 0.0), size_m=(0.2, 4.0), yaw_rad=0.0)


def drive(base: Base, speed_m_s: float, turn_rad_s: float, until_s: float, from_s: float = 0.0) -> None:
    """Up to speed in a second, as gently as the body's file says."""
    steps = round((until_s - from_s) / 0.02)
    for step in range(steps):
        share = min((step + 1) / 50, 1.0)
        base.drive(speed_m_s * share, turn_rad_s * share)
        base.advance(from_s + (step + 1) * 0.02)


def test_straight_ahead_it_goes_as_far_as_its_wheels_turn() -> None:
    base = Base(BODY)
    drive(base, 0.3, 0.0, 3.0)
    assert base.pose.x_m == pytest.approx(0.3 * 2.5, rel=0.03)
    assert (base.pose.y_m, base.pose.yaw_rad) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert base.odometry.pose.x_m == pytest.approx(base.pose.x_m, abs=0.002)


def test_a_full_turn_on_the_spot_comes_back() -> None:
    base = Base(BODY, start=Pose(x_m=1.0, y_m=2.0, yaw_rad=0.5))
    drive(base, 0.0, 0.8, 0.5 + 2 * math.pi / 0.8)
    assert base.pose.yaw_rad == pytest.approx(0.5 + 2 * math.pi, abs=0.05)
    assert (base.pose.x_m, base.pose.y_m) == pytest.approx((1.0, 2.0), abs=0.001)


def test_gently_driven_its_odometry_holds_and_with_a_kick_it_drifts() -> None:
    gentle, kicked = Base(BODY, CARPET), Base(BODY, CARPET)
    drive(gentle, 0.4, 0.3, 4.0)
    for step in range(40):  # full speed in a curve, then a halt: more than the wheels can grip
        kicked.drive(*((1.2, 3.0) if step % 4 == 0 else (0.0, 0.0)))
        kicked.advance((step + 1) * 0.1)
    apart = [
        math.hypot(b.pose.x_m - b.odometry.pose.x_m, b.pose.y_m - b.odometry.pose.y_m)
        for b in (gentle, kicked)
    ]
    print(f"odometry off by {apart[0] * 1e3:.1f} mm driven gently, {apart[1] * 1e3:.0f} mm kicked")
    assert apart[0] < 0.01 < 0.03 < apart[1]


def test_ice_leaves_it_where_it_is() -> None:
    base = Base(BODY, Surface(friction=0.001, rolling=0.0))
    base.drive(0.5)
    base.advance(1.0)
    assert base.pose.x_m < 0.01
    assert base.odometry.pose.x_m > 0.3


def test_a_wall_stops_it_and_it_can_back_away() -> None:
    base = Base(BODY, WOOD, footprints=(WALL,))
    drive(base, 0.3, 0.0, 5.0)
    radius_m = BODY.base.outline_radius_m
    assert base.pose.x_m == pytest.approx(0.9 - radius_m, abs=0.005)
    assert base.bump is not None and base.bump.bearing_rad == pytest.approx(0.0, abs=1e-6)
    assert base.odometry.pose.x_m > base.pose.x_m + 0.1  # wheels spun on
    drive(base, -0.3, 0.0, 8.0, from_s=5.0)
    assert base.bump is None
    assert base.pose.x_m < 0.5


def test_at_a_slant_it_scrapes_along_a_wall() -> None:
    base = Base(BODY, footprints=(WALL,), start=Pose(x_m=0.5, yaw_rad=1.2))
    drive(base, 0.3, 0.0, 5.0)
    assert base.pose.x_m <= 0.9 - BODY.base.outline_radius_m + 0.005
    assert base.pose.y_m > 0.28 * math.tan(1.2) + 0.05
    assert base.bump is not None and base.bump.bearing_rad == pytest.approx(-1.2, abs=0.1)


def test_a_leg_is_run_into_like_a_chair() -> None:
    base = Base(BODY)
    base.discs = (Disc(x_m=0.6, y_m=0.02, radius_m=0.06),)
    drive(base, 0.2, 0.0, 2.8)
    assert base.bump is not None
    assert math.hypot(base.pose.x_m - 0.6, base.pose.y_m - 0.02) >= BODY.base.outline_radius_m + 0.059


def test_it_does_not_matter_how_often_one_looks() -> None:
    ends = []
    for looks in (1, 50):
        base = Base(BODY, CARPET)
        base.drive(0.4, 0.5)
        for look in range(looks):
            base.advance(2.0 * (look + 1) / looks)
        ends.append(base.pose)
    assert ends[0] == ends[1]
    assert STEP_S < 0.01


def test_a_foot_cannot_drive() -> None:
    with pytest.raises(ConfigError, match="foot"):
        Base(load())


@pytest.mark.parametrize("yaw", [0.0, 0.4, 2.0])
def test_out_of_a_box_leads_the_shortest_way(yaw: float) -> None:
    box = Footprint(name="box", centre_m=(1.0, -1.0), size_m=(1.0, 0.4), yaw_rad=yaw)
    cos, sin = math.cos(yaw), math.sin(yaw)
    for along, across, way in ((0.0, 0.15, 0.15), (0.0, 0.35, 0.05), (0.58, 0.0, 0.12), (0.0, 0.41, None)):
        x, y = 1.0 + cos * along - sin * across, -1.0 + sin * along + cos * across
        found = way_out(box, x, y, 0.2)
        if way is None:
            assert found is None
        else:
            assert found is not None and math.hypot(*found) == pytest.approx(way if across != 0.15 else 0.25)

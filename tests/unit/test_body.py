"""Kinematics and balance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.body import PoseHistory, aim, pixel_to_point
from drivers.body import camera_place, camera_pose, forward, load, rotation, transform
from drivers.camera import lens_for

BODY = load()
LENS = lens_for(640, 480, 1.09)


@given(st.floats(0.5, 4.0), st.floats(-0.9, 0.9), st.floats(-0.3, 1.2), st.floats(-0.2, 0.4))
def test_aiming_brings_the_point_to_the_middle(x: float, bearing: float, z: float, lift: float) -> None:
    point = (x * math.cos(bearing), x * math.sin(bearing), z)
    angles = aim(BODY, point, lift)
    ends = ((a, end) for a, j in zip(angles, BODY.joint, strict=True) for end in (j.min_rad, j.max_rad))
    if any(math.isclose(a, end) for a, end in ends):
        return  # out of reach: it looks as near as it can
    _, y, up = np.linalg.inv(forward(BODY, angles)[-1])[:3] @ (*point, 1.0)
    assert abs(y) < 0.01 and abs(up) < 0.01


@given(st.floats(10, 630), st.floats(10, 470), st.floats(0.4, 5.0))
def test_a_pixel_and_a_distance_give_the_point_that_it_shows(x_px: float, y_px: float, metres: float) -> None:
    pose = forward(BODY, (0.3, 0.1, -0.2, 0.05))[-1]
    x, y, z = np.linalg.inv(pose)[:3] @ (*pixel_to_point(LENS, pose, x_px, y_px, metres), 1.0)
    assert math.hypot(x, y, z) == pytest.approx(metres)
    assert LENS.width_px / 2 - LENS.focal_px * y / x == pytest.approx(x_px, abs=1e-6)
    assert LENS.height_px / 2 - LENS.focal_px * z / x == pytest.approx(y_px, abs=1e-6)


@given(st.tuples(*(st.floats(joint.min_rad, joint.max_rad) for joint in BODY.joint)))
def test_poses_are_the_product_of_turns_and_offsets(angles: tuple[float, ...]) -> None:
    pose = np.eye(4)
    poses = forward(BODY, angles)
    for joint, angle, found in zip(BODY.joint, angles, poses, strict=False):
        pose = pose @ transform(np.eye(3), joint.offset_m) @ transform(rotation(joint.axis, angle), (0, 0, 0))
        assert found == pytest.approx(pose, abs=1e-12)
    pose = pose @ transform(np.eye(3), BODY.camera.offset_m)
    assert poses[-1] == pytest.approx(pose, abs=1e-12)
    assert camera_place(BODY, angles) == tuple(poses[-1][:3, 3])
    assert (camera_pose(BODY, angles) == poses[-1]).all()


def test_positive_pitch_looks_down_and_positive_yaw_left() -> None:
    ahead = forward(BODY, (0.0, 0.0, 0.2, 0.0))[-1][:3, 0]
    assert ahead[2] < 0
    assert forward(BODY, (0.2, 0.0, 0.0, 0.0))[-1][1, 0] > 0


def test_the_history_gives_the_pose_at_the_time_of_the_frame() -> None:
    history = PoseHistory((0.0,))
    assert history.at(5.0) == (0.0,)
    history.put(1.0, (1.0,))
    history.put(2.0, (3.0,))
    history.put(1.5, (9.0,))  # out of order: ignored
    assert history.at(1.25) == (1.5,)
    assert history.at(0.0) == (1.0,)
    assert history.at(9.0) == (3.0,)

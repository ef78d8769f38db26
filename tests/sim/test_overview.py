"""The room from its corner: the robot is drawn where its base truly is."""

import numpy as np
import pytest

from drivers.body import FOLDER, Matrix, load, rotation, transform
from sim.mujoco_body import MujocoBody
from sim.overview import Overview
from sim.room import ROOMS
from sim.scenario import Stand

BODY = load(FOLDER / "wheeled.toml")
FAR = transform(np.eye(3), (0.0, 0.0, -100.0))  # under the floor: the room without the robot


@pytest.fixture(scope="module")
def overview() -> Overview:
    stand = Stand(position_m=(0.0, 0.0, 0.75))
    return Overview(BODY, ROOMS["living-room"](), stand, ())


def middle_px(overview: Overview, base_pose: Matrix) -> tuple[float, float]:
    """Across and down, of all pixels that the robot covers."""
    room, image = (overview.draw(pose, BODY.rest_rad, (), 1.0) for pose in (FAR, base_pose))
    down, across = np.nonzero((room != image).any(axis=2))
    assert len(down) > 500
    return float(across.mean()), float(down.mean())


def test_a_base_that_has_rolled_is_drawn_where_it_is(overview: Overview) -> None:
    plant = MujocoBody(BODY)
    start = middle_px(overview, plant.base_pose)
    plant.drive(0.3)
    plant.advance(1.5)
    ahead = middle_px(overview, plant.base_pose)
    assert plant.base_pose[0, 3] > 0.3
    # The corner is behind the robot and to its right: what rolls ahead moves up and to the right.
    assert ahead[0] > start[0] + 20.0 and ahead[1] < start[1] - 20.0


def test_what_its_camera_sees_goes_with_its_base(overview: Overview) -> None:
    before, turned = (
        overview.robot_view(transform(rotation("z", yaw_rad), (0.0, 0.0, 0.0)), BODY.rest_rad, (), 1.0)
        for yaw_rad in (0.0, 0.5)
    )
    assert np.abs(before.astype(np.float64) - turned).mean() > 10.0

"""Kinematics: where to turn to look at a point, and where the camera was when it saw one.

Pure functions over `drivers.body.Body`. Angles are in radians, points in metres in the base frame.
"""

import math
from bisect import bisect_left
from collections import deque
from functools import lru_cache

import numpy as np

from drivers.body import Body, Matrix, camera_place
from drivers.camera import Lens

AIM_ROUNDS = 4  # the camera moves as the arm turns; four rounds leave less than .001 rad at half a metre
HISTORY_S = 2.0  # longer than any frame takes from lens to set-point

Point = tuple[float, float, float]

_TO_IMAGE = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # x right, y down, z ahead


def pixel_to_point(lens: Lens, camera_pose: Matrix, x_px: float, y_px: float, distance_m: float) -> Point:
    """The point that a pixel shows at a distance from the lens, in `camera_pose`'s outer frame."""
    ray = np.array(
        [1.0, (lens.width_px / 2 - x_px) / lens.focal_px, (lens.height_px / 2 - y_px) / lens.focal_px]
    )
    ray *= distance_m / float(np.linalg.norm(ray))
    x, y, z = camera_pose[:3, :3] @ ray + camera_pose[:3, 3]
    return float(x), float(y), float(z)


def view_shift(lens: Lens, before: Matrix, after: Matrix) -> Matrix:
    """3×3 homography from pixels seen from camera pose `before` to those seen from `after`.

    K·R·K⁻¹ for the turn R between the two; what the camera's own travel adds is less than a pixel a frame.
    """
    camera, inverse = _to_pixels(lens)
    turn = _TO_IMAGE @ after[:3, :3].T @ before[:3, :3] @ _TO_IMAGE.T
    shift: Matrix = camera @ turn @ inverse
    return shift


@lru_cache(maxsize=8)  # of each lens once: every frame asks
def _to_pixels(lens: Lens) -> tuple[Matrix, Matrix]:
    """K, from directions in the image's axes to pixels, and its inverse."""
    camera = np.array(
        [[lens.focal_px, 0.0, lens.width_px / 2], [0.0, lens.focal_px, lens.height_px / 2], [0.0, 0.0, 1.0]]
    )
    return camera, np.linalg.inv(camera)


def carried_by(shift: Matrix, x_px: float, y_px: float) -> tuple[float, float]:
    """How far a homography moves a pixel, right and down."""
    x, y, scale = shift @ (x_px, y_px, 1.0)
    return float(x / scale) - x_px, float(y / scale) - y_px


def aim(body: Body, point_m: Point, lift_rad: float) -> tuple[float, ...]:
    """Joint angles, inside the limits, that bring a point to the middle of the picture; lift is given."""
    angles = list(body.rest_rad)
    yaw, lift, tilt = body.index("yaw"), body.index("lift"), body.index("tilt")
    angles[lift] = lift_rad
    x, y, z = point_m
    for _ in range(AIM_ROUNDS):
        camera_x, camera_y, camera_z = camera_place(body, tuple(angles))
        # The camera hangs in front of the yaw axis, on a line through it, so the axis sees the same bearing.
        angles[yaw] = math.atan2(y, x)
        pitch = -math.atan2(z - camera_z, math.hypot(x - camera_x, y - camera_y))
        angles[tilt] = pitch - lift_rad
        angles = [min(max(a, j.min_rad), j.max_rad) for a, j in zip(angles, body.joint, strict=True)]
    return tuple(angles)


class PoseHistory:
    """Where the joints were: a frame is judged by the pose at the time it was taken, not by the present one."""

    def __init__(self, start_rad: tuple[float, ...]) -> None:
        self._start_rad = start_rad
        self._times: deque[float] = deque()
        self._poses: deque[tuple[float, ...]] = deque()

    def put(self, time_s: float, pose_rad: tuple[float, ...]) -> None:
        """Add a pose. Times that don't increase are ignored."""
        if self._times and time_s <= self._times[-1]:
            return
        self._times.append(time_s)
        self._poses.append(pose_rad)
        while self._times[0] < time_s - HISTORY_S:
            self._times.popleft()
            self._poses.popleft()

    def clear(self) -> None:
        """Forget everything: the link was lost and the clock may have been reset."""
        self._times.clear()
        self._poses.clear()

    def at(self, time_s: float) -> tuple[float, ...]:
        """The pose at a time, between the two nearest; the oldest or newest one outside what is known."""
        if not self._times:
            return self._start_rad
        after = bisect_left(self._times, time_s)
        if after == 0:
            return self._poses[0]
        if after == len(self._times):
            return self._poses[-1]
        before_s, after_s = self._times[after - 1], self._times[after]
        share = (time_s - before_s) / (after_s - before_s)
        return tuple(
            a + share * (b - a) for a, b in zip(self._poses[after - 1], self._poses[after], strict=True)
        )

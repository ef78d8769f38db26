"""The room with the robot in it, as somebody in a corner sees it; and what the robot's own camera would show."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.body import Body, Foot, Matrix, camera_pose, forward, rotation, transform
from drivers.camera import Image, lens_for
from sim.people import Actor
from sim.raster import NEAR_M
from sim.render import KEY_LIGHT, Renderer
from sim.room import Room
from sim.scenario import Stand

WIDTH_PX, HEIGHT_PX = 640, 480
VIEW_RAD = 1.15
BEHIND_M, ASIDE_M, ABOVE_M = 1.15, 1.75, 1.25  # of the robot: inside the room, high, the people's faces ahead
AHEAD_M = 1.1  # of the robot is what the picture's middle shows
FOOT_BGR, LINK_BGR, SCREEN_BGR = (90, 90, 96), (225, 225, 230), (60, 45, 40)
SCREEN_THICK_M = 0.02
FOOT_CORNERS = 12

Corners = NDArray[np.float64]


class Overview:
    """Two views of one scene; not for use by two threads at once."""

    def __init__(self, body: Body, room: Room, stand: Stand, names: tuple[str, ...]) -> None:
        self._body = body
        self._stand = transform(rotation("z", stand.yaw_rad), stand.position_m)
        self._pose = _looking(
            self._stand @ (-BEHIND_M, -ASIDE_M, ABOVE_M, 1.0), self._stand @ (AHEAD_M, 0, 0.3, 1.0)
        )
        self._lens = lens_for(WIDTH_PX, HEIGHT_PX, VIEW_RAD)
        self._eye = Renderer(lens_for(WIDTH_PX, HEIGHT_PX, body.camera.field_of_view_rad), room, names)
        self._corner = Renderer(self._lens, room, names)

    def robot_view(
        self, base_pose: Matrix, angles_rad: tuple[float, ...], actors: tuple[Actor, ...], light: float
    ) -> Image:
        """What the robot's camera has before it: 480 × 640 × 3, blue first. `base_pose` as `Plant.base_pose`."""
        return self._eye.draw(self._stand @ base_pose @ camera_pose(self._body, angles_rad), actors, light)

    def draw(
        self, base_pose: Matrix, angles_rad: tuple[float, ...], actors: tuple[Actor, ...], light: float
    ) -> Image:
        """The room from its corner, the robot as blocks where its base is now: 480 × 640 × 3, blue first."""
        base = self._stand @ base_pose
        robot_m = float(np.linalg.norm(base[:3, 3] - self._pose[:3, 3]))

        def is_nearer(actor: Actor) -> bool:
            return float(np.linalg.norm(np.array(actor.position_m) - self._pose[:3, 3])) < robot_m

        behind = self._corner.draw(self._pose, tuple(each for each in actors if not is_nearer(each)), light)
        image = behind.copy()
        for corners, colour in self._parts(base, angles_rad):
            self._fill(image, corners, colour, light)
        if any(map(is_nearer, actors)):  # they stand before the robot
            whole = self._corner.draw(self._pose, actors, light)
            covers = (whole != behind).any(axis=2)
            image[covers] = whole[covers]
        return image

    def _parts(
        self, base: Matrix, angles_rad: tuple[float, ...]
    ) -> list[tuple[Corners, tuple[int, int, int]]]:
        """Prisms (2 × n × 3, room frame) from the foot up, which is from far to near for who looks from above."""
        body, parts = self._body, []
        if isinstance(body.base, Foot):
            radius_m, height_m = body.base.radius_m, body.base.height_m
            turns = np.arange(FOOT_CORNERS) * 2 * math.pi / FOOT_CORNERS
            ring = np.stack([radius_m * np.cos(turns), radius_m * np.sin(turns)], axis=1)
        else:
            x, y, height_m = body.base.size_m
            ring = np.array([(x, y), (-x, y), (-x, -y), (x, -y)]) / 2
        parts.append((_prism(base, ring, 0.0, height_m), FOOT_BGR))
        poses = [base @ pose for pose in forward(body, angles_rad)[:-1]]
        for joint, pose in zip(body.joint[:-1], poses, strict=False):
            parts.append((_box(pose, joint.link.centre_m, joint.link.size_m), LINK_BGR))
        screen = (SCREEN_THICK_M, *body.screen_m)
        parts.append((_box(poses[-1], body.joint[-1].link.centre_m, screen), SCREEN_BGR))
        return parts

    def _fill(self, image: Image, corners: Corners, colour: tuple[int, int, int], light: float) -> None:
        """Paint the sides of one convex prism that face the camera."""
        bottom, top = corners
        middle = corners.reshape(-1, 3).mean(axis=0)
        sides = [bottom, top]
        for place in range(len(bottom)):
            after = (place + 1) % len(bottom)
            sides.append(np.array([bottom[place], bottom[after], top[after], top[place]]))
        for side in sides:
            normal = np.cross(side[1] - side[0], side[2] - side[1])
            if normal @ (side.mean(axis=0) - middle) < 0:
                normal = -normal
            if normal @ (self._pose[:3, 3] - side[0]) <= 0:
                continue
            seen = (side - self._pose[:3, 3]) @ self._pose[:3, :3]
            if seen[:, 0].min() < NEAR_M:
                continue
            flat = np.stack(
                [
                    WIDTH_PX / 2 - self._lens.focal_px * seen[:, 1] / seen[:, 0],
                    HEIGHT_PX / 2 - self._lens.focal_px * seen[:, 2] / seen[:, 0],
                ],
                axis=1,
            )
            lamp = float(normal @ KEY_LIGHT) / float(np.linalg.norm(normal) * np.linalg.norm(KEY_LIGHT))
            shade = min((0.72 + 0.3 * max(lamp, 0.0)) * light, 1.0)
            points = np.round(flat * 16).astype(np.int32)  # four bits below the pixel
            cv2.fillConvexPoly(image, points, [value * shade for value in colour], cv2.LINE_AA, 4)


def _prism(pose: Matrix, ring: Corners, low_m: float, high_m: float) -> Corners:
    levels = [np.column_stack([ring, np.full(len(ring), z_m)]) for z_m in (low_m, high_m)]
    return np.array([level @ pose[:3, :3].T + pose[:3, 3] for level in levels])


def _box(pose: Matrix, centre_m: tuple[float, float, float], size_m: tuple[float, float, float]) -> Corners:
    x, y, z = size_m
    ring = np.array([(x, y), (-x, y), (-x, -y), (x, -y)]) / 2
    return _prism(pose @ transform(np.eye(3), centre_m), ring, -z / 2, z / 2)


def _looking(from_m: NDArray[np.float64], at_m: NDArray[np.float64]) -> Matrix:
    """A camera's pose, level, that looks from one point at another (room frame, the first three numbers)."""
    x, y, z = (at_m - from_m)[:3]
    turn = rotation("z", math.atan2(y, x)) @ rotation("y", -math.atan2(z, math.hypot(x, y)))
    return transform(turn, (float(from_m[0]), float(from_m[1]), float(from_m[2])))

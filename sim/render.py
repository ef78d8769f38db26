"""Pictures of the room and its people, as the robot's camera or a caller's would take them."""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.body import Matrix, rotation
from drivers.camera import Image, Lens
from sim import mesh, patterns, people
from sim.people import Actor, Person
from sim.raster import NEAR_M, blend_triangles, fill_face, fill_triangles, pose_vertices
from sim.room import Block, Room

KEY_LIGHT = (-0.55, 0.55, 0.62)  # towards the lamp beside the robot, room frame
FILL_LIGHT = (-0.5, -0.8, 0.1)
LIGHT_SHARES = (0.5, 0.5, 0.2)  # of sky, lamp and fill
GLOSS = np.array([16.0, 110.0, 110.0, 26.0, 4.0, 40.0, 0.0], dtype=np.float32)  # per kind of surface
TEXEL_M = 0.00037  # of a person's atlas
DOUBLED_BELOW_PX = 70_000  # people who cover less are drawn at twice the size, then averaged
FAR_M = 1e6
CALL_BACKGROUND = (150, 158, 162)


class Renderer:
    """Draws one room and its people for one lens. Not for use by two threads at once."""

    def __init__(self, lens: Lens, room: Room, names: tuple[str, ...]) -> None:
        """Load and paint `names`. Raises ConfigError for a name that is not in `people.NAMES`."""
        self._lens = lens
        self._faces = _faces(room)
        self._textures = patterns.textures()
        self._people: dict[str, Person] = {name: people.person(name) for name in names}
        self._room_pose: Matrix | None = None
        self._room_image = np.zeros((lens.height_px, lens.width_px, 3), dtype=np.uint8)
        self._room_depth = np.full((lens.height_px, lens.width_px), FAR_M, dtype=np.float32)
        self._points = np.zeros((0, 3), dtype=np.float32)
        self._shade = np.zeros((0, 4), dtype=np.float32)

    def add(self, person: Person) -> None:
        """Make somebody known who is not in the cast, or replace who has that name."""
        self._people[person.name] = person

    def draw(self, camera_pose: Matrix, actors: tuple[Actor, ...], light: float = 1.0) -> Image:
        """The picture from `camera_pose` (4×4 in the room frame; looks along its +x, y left, z up).

        `light` multiplies all brightness. Raises ValueError if a pose or the light is not finite.
        """
        _check(camera_pose, actors, light)
        if self._room_pose is None or not np.array_equal(camera_pose, self._room_pose):
            self._draw_room(camera_pose)
            self._room_pose = camera_pose.copy()
        image = self._room_image.copy()
        if light != 1.0:
            image = np.clip(image.astype(np.float32) * light, 0, 255).astype(np.uint8)
        self._draw_people(camera_pose, actors, light, self._room_depth, image)
        return image

    def draw_portrait(
        self, actor: Actor, distance_m: float = 0.6, light: float = 1.0, aside_m: float = 0.0
    ) -> Image:
        """A caller before a plain wall; the camera is level with their eyes and looks along the room's -x."""
        _check(np.eye(4), (actor,), light)
        pose = portrait_pose(actor, distance_m, aside_m)
        image = np.empty_like(self._room_image)
        shade = np.linspace(1.06, 0.9, self._lens.height_px)[:, None, None]
        image[:] = np.clip(np.array(CALL_BACKGROUND) * shade * light, 0, 255).astype(np.uint8)
        depth = np.full_like(self._room_depth, FAR_M)
        self._draw_people(pose, (actor,), light, depth, image, lamp_yaw_rad=math.pi)
        return image

    def _draw_room(self, camera_pose: Matrix) -> None:
        lens = self._lens
        to_camera = np.linalg.inv(camera_pose)
        self._room_image[:] = 0
        self._room_depth[:] = FAR_M
        eye = camera_pose[:3, 3]
        seen = [face for face in self._faces if float(face.normal @ (eye - face.corners_m[0])) > 0.0]
        seen.sort(key=lambda face: float(np.linalg.norm(face.corners_m.mean(axis=0) - eye)))
        for face in seen:
            corners = face.corners_m @ to_camera[:3, :3].T + to_camera[:3, 3]
            if corners[:, 0].max() < NEAR_M:
                continue
            fill_face(
                corners, face.uv, face.texture, self._textures, face.colour, face.texel_m,
                lens.focal_px, lens.width_px / 2.0, lens.height_px / 2.0, self._room_depth, self._room_image,
            )  # fmt: skip

    def _draw_people(
        self,
        camera_pose: Matrix,
        actors: tuple[Actor, ...],
        light: float,
        room_depth: NDArray[np.float32],
        image: Image,
        lamp_yaw_rad: float = 0.0,
    ) -> None:
        to_camera: Matrix = np.linalg.inv(camera_pose).astype(np.float64)
        lamp = rotation("z", lamp_yaw_rad)
        placed = [(float(to_camera[0] @ (*actor.position_m, 1.0)), actor) for actor in actors]
        placed.sort(key=lambda pair: (-pair[0], pair[1].name))
        for depth_m, actor in placed:
            if actor.name not in self._people:
                self._people[actor.name] = people.person(actor.name)
            if depth_m > NEAR_M:
                self._draw_person(to_camera, lamp, depth_m, actor, light, room_depth, image)

    def _draw_person(
        self,
        to_camera: Matrix,
        lamp: Matrix,
        depth_m: float,
        actor: Actor,
        light: float,
        room_depth: NDArray[np.float32],
        image: Image,
    ) -> None:
        person = self._people[actor.name]
        shape = person.shape
        lens = self._lens
        count = len(shape.points)
        if len(self._points) < count:
            self._points = np.zeros((count, 3), dtype=np.float32)
            self._shade = np.zeros((count, 4), dtype=np.float32)
        points, shade = self._points[:count], self._shade[:count]
        body = rotation("z", actor.body_yaw_rad)
        turn = (
            rotation("z", actor.yaw_rad - actor.body_yaw_rad)
            @ rotation("y", actor.pitch_rad)
            @ rotation("x", actor.roll_rad)
        )
        whole = to_camera[:3, :3] @ body
        at = to_camera[:3, :3] @ np.array(actor.position_m) + to_camera[:3, 3]
        eye = -at / np.linalg.norm(at)
        lights = np.zeros((4, 3))
        lights[0] = body.T @ lamp @ KEY_LIGHT / np.linalg.norm(KEY_LIGHT)
        lights[1] = body.T @ lamp @ FILL_LIGHT / np.linalg.norm(FILL_LIGHT)
        half = lights[0] + whole.T @ eye
        lights[2] = half / max(float(np.linalg.norm(half)), 1e-9)
        lights[3] = LIGHT_SHARES
        bent = people.bent(shape, actor)
        pose_vertices(
            bent.points, shape.deltas, np.array([actor.mouth, actor.blink, actor.smile], dtype=np.float32),
            bent.normals, shape.sky, shape.with_head, shape.legs,
            np.float32(bent.stretch_m), turn.astype(np.float32),
            shape.pivot, whole.astype(np.float32), at.astype(np.float32), lights.astype(np.float32),
            np.float32(lens.focal_px), np.float32(lens.width_px / 2), np.float32(lens.height_px / 2),
            points, shade,
        )  # fmt: skip
        ahead = points[points[:, 2] > NEAR_M]
        if not len(ahead):
            return
        left = max(0, math.floor(float(ahead[:, 0].min())))
        top = max(0, math.floor(float(ahead[:, 1].min())))
        width = min(lens.width_px, math.ceil(float(ahead[:, 0].max())) + 1) - left
        height = min(lens.height_px, math.ceil(float(ahead[:, 1].max())) + 1) - top
        if width <= 0 or height <= 0:
            return
        factor = 2 if width * height < DOUBLED_BELOW_PX else 1
        depth = np.full((height * factor, width * factor), FAR_M, dtype=np.float32)
        ids = np.full((height * factor, width * factor), -1, dtype=np.int32)
        blur = depth_m / (lens.focal_px * factor * TEXEL_M)
        level = min(len(person.atlas) - 1, max(0, round(math.log2(max(blur, 1.0)) - 0.3)))
        scale = np.float32(0.5**level)
        texture = person.atlas[level]
        fill_triangles(
            points, shape.triangles, shape.uv, shape.kind, texture, scale, np.float32(left), np.float32(top),
            np.float32(factor), depth, ids,
        )  # fmt: skip
        blend_triangles(
            points, shade, shape.triangles, shape.uv, shape.kind, GLOSS, texture, scale,
            np.float32(mesh.SKIN_ROWS_PX), left, top, factor, depth, ids, np.float32(light), room_depth,
            image,
        )  # fmt: skip


def portrait_pose(actor: Actor, distance_m: float, aside_m: float = 0.0) -> Matrix:
    """Where a caller's camera is, and so far to the left of its middle the caller."""
    x, y, z = actor.position_m
    pose = np.eye(4)
    pose[:3, :3] = rotation("z", math.pi)
    pose[:3, 3] = (x + distance_m, y - aside_m, z - 0.02)
    return pose


def _check(camera_pose: Matrix, actors: tuple[Actor, ...], light: float) -> None:
    if camera_pose.shape != (4, 4) or not np.isfinite(camera_pose).all():
        raise ValueError("renderer: the camera's pose must be a finite 4×4 matrix")
    if not (math.isfinite(light) and light >= 0.0):
        raise ValueError(f"renderer: light must be finite and not negative, not {light}")
    for actor in actors:
        turns = (actor.yaw_rad, actor.pitch_rad, actor.roll_rad, actor.body_yaw_rad)
        bends = (actor.mouth, actor.blink, actor.smile, actor.sitting, actor.hand_up, actor.stride_rad)
        if not all(map(math.isfinite, (*actor.position_m, *turns, *bends))):
            raise ValueError(f"renderer: where {actor.name} is must be finite: {actor}")


class _Face:
    """One side of a block, ready for `fill_face`."""

    def __init__(self, block: Block, axis: int, sign: float) -> None:
        size = np.array(block.size_m)
        across, up = ((1, 2), (0, 2), (0, 1))[axis]
        local = np.zeros((4, 3))
        local[:, axis] = sign * size[axis] / 2.0
        local[:, across] = np.array([-1, 1, 1, -1]) * size[across] / 2.0
        local[:, up] = np.array([-1, -1, 1, 1]) * size[up] / 2.0
        turn = rotation("z", block.yaw_rad)
        self.corners_m = local @ turn.T + np.array(block.centre_m)
        self.normal = turn[:, axis] * sign
        repeat = (size[across] / block.tile_m, size[up] / block.tile_m) if block.tile_m > 0.0 else (1.0, 1.0)
        unit = np.array([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
        self.uv = unit * repeat * 0.9999
        self.texture = patterns.INDEX[block.pattern]
        self.texel_m = (block.tile_m or float(max(size[across], size[up]))) / patterns.SIZE_PX
        lamp = max(0.0, float(self.normal @ KEY_LIGHT) / float(np.linalg.norm(KEY_LIGHT)))
        strength = 0.72 + 0.3 * lamp + 0.08 * float(self.normal[2])
        self.colour = np.array(block.colour[::-1]) * strength


def _faces(room: Room) -> list[_Face]:
    return [_Face(block, axis, sign) for block in room.boxes for axis in range(3) for sign in (-1.0, 1.0)]

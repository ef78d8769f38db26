"""Pictures of the room and its people, as the robot's camera or a caller's would take them."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.body import Matrix, rotation
from drivers.camera import Image, Lens
from sim import mesh, patterns, people
from sim.people import Actor, Person
from sim.pets import person_or_pet
from sim.raster import NEAR_M, Reals, Whole, blend_triangles, bounds_of, fill_triangles, pose_vertices
from sim.room import Block, Room
from sim.walls import Faces, mark_faces, paint_faces

KEY_LIGHT = (-0.55, 0.55, 0.62)  # towards the lamp beside the robot, room frame
FILL_LIGHT = (-0.5, -0.8, 0.1)
LIGHT_SHARES = (0.5, 0.5, 0.2)  # of sky, lamp and fill
TEXEL_M = 0.00037  # of a person's atlas
DOUBLED_BELOW_PX = (20_000, 40_000)  # a body or head that covers less gets twice the samples across
CALL_BACKGROUND = (150, 158, 162)


class Renderer:
    """Draws one room and its people for one lens. Not for use by two threads at once."""

    def __init__(self, lens: Lens, room: Room, names: tuple[str, ...]) -> None:
        """Load and paint `names`. Raises ConfigError for a name that is not in `people.NAMES`."""
        self._lens = lens
        self._faces = _faces(room)
        self._textures = patterns.textures()
        self._people: dict[str, Person] = {}
        self._halves: dict[str, tuple[_Half, _Half]] = {}
        for name in names:
            self.add(people.person(name))
        size = (lens.height_px, lens.width_px)
        self._seen: tuple[Matrix, float] | None = None  # the pose and light of what the next five hold
        self._room_image = np.zeros((*size, 3), dtype=np.uint8)
        self._room_nearness = np.zeros(size, dtype=np.float32)
        self._room_ids = np.zeros(size, dtype=np.int32)
        self._planes = np.zeros((len(self._faces.texture), 3, 3), dtype=np.float32)
        self._nearness = np.zeros(size, dtype=np.float32)
        self._store: list[_Samples] = []

    def add(self, person: Person) -> None:
        """Make somebody known who is not in the cast, or replace who has that name."""
        self._people[person.name] = person
        self._halves[person.name] = _halves(person.shape)

    def draw(self, camera_pose: Matrix, actors: tuple[Actor, ...], light: float = 1.0) -> Image:
        """The picture from `camera_pose` (4×4 in the room frame; looks along its +x, y left, z up).

        `light` multiplies all brightness. Raises ValueError if a pose or the light is not finite.
        """
        _check(camera_pose, actors, light)
        seen = self._seen
        if seen is None or light != seen[1] or not np.array_equal(camera_pose, seen[0]):
            self._draw_room(camera_pose, light)
            self._seen = (camera_pose.copy(), light)
        image = self._room_image.copy()
        self._nearness[:] = self._room_nearness
        self._draw_people(camera_pose, actors, light, image)
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
        self._nearness[:] = 0.0
        self._draw_people(pose, (actor,), light, image, lamp_yaw_rad=math.pi)
        return image

    def _draw_room(self, camera_pose: Matrix, light: float) -> None:
        lens, faces = self._lens, self._faces
        mark_faces(
            faces.corners_m, faces.normals, faces.uv, np.linalg.inv(camera_pose).astype(np.float64),
            np.ascontiguousarray(camera_pose[:3, 3]), lens.focal_px, lens.width_px / 2.0, lens.height_px / 2.0,
            self._planes, self._room_nearness, self._room_ids,
        )  # fmt: skip
        paint_faces(
            self._planes, faces.texture, self._textures, faces.colours, faces.texel_m,
            np.float32(lens.focal_px), np.float32(light), self._room_nearness, self._room_ids, self._room_image,
        )  # fmt: skip

    def _draw_people(
        self,
        camera_pose: Matrix,
        actors: tuple[Actor, ...],
        light: float,
        image: Image,
        lamp_yaw_rad: float = 0.0,
    ) -> None:
        """Everybody's visibility first, so that nobody is painted where somebody nearer will be."""
        to_camera: Matrix = np.linalg.inv(camera_pose).astype(np.float64)
        lamp = rotation("z", lamp_yaw_rad)
        placed = [(float(to_camera[0] @ (*actor.position_m, 1.0)), actor) for actor in actors]
        placed.sort(key=lambda pair: (-pair[0], pair[1].name))
        parts: list[_Part] = []
        self._store += [_Samples() for _ in range(len(placed) - len(self._store))]
        for (depth_m, actor), samples in zip(placed, self._store, strict=False):
            if depth_m > NEAR_M:
                person = self._person(actor)
                self._pose(to_camera, lamp, actor, person, samples)
                parts += self._fill(depth_m, person, samples)
        for part in parts:
            level = part.person.atlas[part.level]
            blend_triangles(
                part.samples.points, part.samples.shade, part.half.triangles, part.half.uv, part.half.kind,
                part.person.gloss, level, np.float32(0.5**part.level), np.float32(mesh.SKIN_ROWS_PX), part.left,
                part.top, part.factor, part.depth, part.ids, np.float32(light), self._nearness, image,
            )  # fmt: skip

    def _person(self, actor: Actor) -> Person:
        if actor.name not in self._people:
            self.add(person_or_pet(actor))
        return self._people[actor.name]

    def _pose(
        self, to_camera: Matrix, lamp: Matrix, actor: Actor, person: Person, samples: "_Samples"
    ) -> None:
        """Bend, turn, project and light one person's vertices."""
        shape, lens = person.shape, self._lens
        samples.hold(len(shape.points))
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
            samples.points, samples.shade,
        )  # fmt: skip

    def _fill(self, depth_m: float, person: Person, samples: "_Samples") -> list["_Part"]:
        """Mark where a posed person's body and head are, as far as they are in the picture."""
        parts, lens = [], self._lens
        for half, store, doubled_below in zip(
            self._halves[person.name], samples.stores, DOUBLED_BELOW_PX, strict=True
        ):
            x0, y0, x1, y1 = bounds_of(samples.points, half.triangles)
            left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
            width = min(lens.width_px, math.ceil(x1) + 1) - left
            height = min(lens.height_px, math.ceil(y1) + 1) - top
            if width <= 0 or height <= 0:
                continue
            factor = 2 if width * height < doubled_below else 1
            depth, ids = store.part(height * factor, width * factor)
            blur = depth_m / (lens.focal_px * factor * TEXEL_M)
            level = min(len(person.atlas) - 1, max(0, round(math.log2(max(blur, 1.0)) - 0.1)))
            fill_triangles(
                samples.points, half.triangles, half.uv, half.kind, person.atlas[level], np.float32(0.5**level),
                left, top, factor, depth, ids, self._nearness,
            )  # fmt: skip
            parts.append(_Part(person, samples, half, left, top, factor, level, depth, ids))
        return parts


class _Half(NamedTuple):
    """The triangles of a person's body or head, as `Shape` has them for both."""

    triangles: Whole
    kind: Whole
    uv: Reals


def _halves(shape: mesh.Shape) -> tuple[_Half, _Half]:
    """Body, all plain, and head with neck and collar, which deserves more samples."""
    first = shape.body
    body = _Half(shape.triangles[first:], shape.kind[first:], shape.uv[first:])
    head = _Half(shape.triangles[:first], shape.kind[:first], shape.uv[:first])
    return body, head


class _Part(NamedTuple):
    """Where in the picture a body or a head is, and which of its triangles each sample shows."""

    person: Person
    samples: "_Samples"
    half: _Half
    left: int
    top: int
    factor: int
    level: int
    depth: Reals
    ids: Whole


class _Samples:
    """Memory for one person's vertices and samples, used again in each frame."""

    def __init__(self) -> None:
        self.points: Reals = np.zeros((0, 3), dtype=np.float32)
        self.shade: Reals = np.zeros((0, 4), dtype=np.float32)
        self.stores = (_Store(), _Store())  # of the body and the head

    def hold(self, vertices: int) -> None:
        """Make room for so many vertices."""
        if len(self.points) != vertices:
            self.points = np.zeros((vertices, 3), dtype=np.float32)
            self.shade = np.zeros((vertices, 4), dtype=np.float32)


class _Store:
    def __init__(self) -> None:
        self._depth: Reals = np.zeros(0, dtype=np.float32)
        self._ids: Whole = np.zeros(0, dtype=np.int32)

    def part(self, high: int, wide: int) -> tuple[Reals, Whole]:
        """Depth and ids of so many samples, with anything in them."""
        if self._ids.size < high * wide:
            self._depth = np.empty(high * wide, dtype=np.float32)
            self._ids = np.empty(high * wide, dtype=np.int32)
        return self._depth[: high * wide].reshape(high, wide), self._ids[: high * wide].reshape(high, wide)


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


def _faces(room: Room) -> Faces:
    """Both sides of every block along each of its axes."""
    sides = [_side(block, axis, sign) for block in room.boxes for axis in range(3) for sign in (-1.0, 1.0)]
    corners, normals, uv, texture, texel_m, colours = zip(*sides, strict=True)
    return Faces(
        corners_m=np.array(corners),
        normals=np.array(normals),
        uv=np.array(uv),
        texture=np.array(texture, dtype=np.int32),
        texel_m=np.array(texel_m, dtype=np.float32),
        colours=np.minimum(np.arange(256)[None, :, None] * np.array(colours)[:, None, :], 255.0).astype(
            np.uint8
        ),
    )


def _side(
    block: Block, axis: int, sign: float
) -> tuple[Matrix, Matrix, Matrix, int, float, NDArray[np.float64]]:
    size = np.array(block.size_m)
    across, up = ((1, 2), (0, 2), (0, 1))[axis]
    local = np.zeros((4, 3))
    local[:, axis] = sign * size[axis] / 2.0
    local[:, across] = np.array([-1, 1, 1, -1]) * size[across] / 2.0
    local[:, up] = np.array([-1, -1, 1, 1]) * size[up] / 2.0
    turn = rotation("z", block.yaw_rad)
    normal = turn[:, axis] * sign
    repeat = (size[across] / block.tile_m, size[up] / block.tile_m) if block.tile_m > 0.0 else (1.0, 1.0)
    unit = np.array([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
    texel_m = (block.tile_m or float(max(size[across], size[up]))) / patterns.SIZE_PX
    lamp = max(0.0, float(normal @ KEY_LIGHT) / float(np.linalg.norm(KEY_LIGHT)))
    strength = 0.72 + 0.3 * lamp + 0.08 * float(normal[2])
    return (
        local @ turn.T + np.array(block.centre_m), normal, unit * repeat * 0.9999, patterns.INDEX[block.pattern],
        texel_m, np.array(block.colour[::-1]) * strength,
    )  # fmt: skip

"""Short clips of scenes at random, and the pictures that the simulated cameras take of them: for fitting and
checking landmarks mode.

The whole cast; near and far, turned, one behind another, cut off by the edge, in every light; a tenth before the
call's camera.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.body import Matrix, rotation, transform
from drivers.camera import Image, Lens, lens_for
from sim import people, sightlines
from sim.people import Actor
from sim.render import Renderer, portrait_pose
from sim.room import living_room
from sim.sensor import Imager, Sensor
from sim.stage import CALL_VIEW_RAD, HEIGHT_PX, RATE_HZ, WIDTH_PX

LENS = lens_for(WIDTH_PX, HEIGHT_PX, 1.1)
CALL_LENS = lens_for(WIDTH_PX // 2, HEIGHT_PX // 2, CALL_VIEW_RAD)
CALL_SHARE = 0.1
ROOM = living_room()
NAMES = tuple(people.CAST)

Doubles = NDArray[np.float64]


class Clip(NamedTuple):
    """A few frames of one scene, and the light in it. `lens` tells which camera."""

    lens: Lens
    poses: list[Matrix]
    actors: list[tuple[Actor, ...]]
    light: float

    @property
    def blocks(self) -> Doubles:
        return sightlines.blocks_of(ROOM if self.lens is LENS else None)

    def view(self, k: int) -> Doubles:
        return sightlines.faces_in_view(self.poses[k], self.lens, self.actors[k], self.blocks)


def clip(rng: np.random.Generator, frames: int) -> Clip:
    """A scene at random."""
    light = 1.0 if rng.random() < 0.6 else float(np.exp(rng.uniform(math.log(0.0003), math.log(2.0))))
    names = [str(name) for name in rng.permutation(NAMES)[:3]]
    if rng.random() < CALL_SHARE:
        steps = [_portrait(rng, names[0])] * frames
        moves = _moves(rng, frames)
        actors = [(_moved(actor, move, k),) for k, (actor, move) in enumerate(zip(steps, moves, strict=True))]
        far_m = float(rng.uniform(0.45, 1.3))
        return Clip(CALL_LENS, [portrait_pose(actor, far_m) for (actor,) in actors], actors, 1.0)
    eye = transform(
        rotation("z", rng.uniform(-0.3, 0.3)) @ rotation("y", rng.uniform(-0.35, 0.05)), (0, 0, 1.1)
    )
    turn = rng.normal(0.0, 0.01, 2)  # radians a frame
    poses = [
        eye @ transform(rotation("z", turn[0] * k) @ rotation("y", turn[1] * k), (0, 0, 0))
        for k in range(frames)
    ]
    main_m = float(np.exp(rng.uniform(math.log(0.55), math.log(3.8))))
    bearing = float(rng.uniform(-0.55, 0.55))
    cast = [_somebody(rng, eye, names[0], main_m, bearing)]
    if rng.random() < 0.6 and main_m > 0.9:  # somebody before them, who hides a part
        near_m = main_m - float(rng.uniform(0.35, main_m - 0.5))
        cast.append(_somebody(rng, eye, names[1], near_m, bearing + float(rng.normal(0.0, 0.15)) / near_m))
    if rng.random() < 0.6:
        cast.append(
            _somebody(rng, eye, names[2], float(rng.uniform(1.0, 4.2)), float(rng.uniform(-0.5, 0.5)))
        )
    moves = [_moves(rng, frames) for _ in cast]
    actors = [
        tuple(_moved(actor, move[k], k) for actor, move in zip(cast, moves, strict=True))
        for k in range(frames)
    ]
    return Clip(LENS, poses, actors, light)


def _somebody(rng: np.random.Generator, eye: Matrix, name: str, far_m: float, bearing_rad: float) -> Actor:
    ahead = eye[:3, :3] @ rotation("z", bearing_rad) @ (1.0, 0.0, 0.0)
    x, y, _ = eye[:3, 3] + far_m * ahead / math.hypot(ahead[0], ahead[1])
    yaw, pitch, roll = _turned(rng)
    towards = math.atan2(eye[1, 3] - y, eye[0, 3] - x)
    body = towards + yaw * float(rng.uniform(0.3, 1.0))
    z = float(np.clip(eye[2, 3] + far_m * (ahead[2] + rng.uniform(-0.3, 0.3)), 1.05, 1.8))
    return Actor(
        name=name, position_m=(float(x), float(y), z), yaw_rad=towards + yaw, pitch_rad=pitch, roll_rad=roll,
        body_yaw_rad=body, mouth=float(max(0.0, rng.normal(0.0, 0.4))), smile=float(rng.uniform(0.0, 0.4)),
    )  # fmt: skip


def _portrait(rng: np.random.Generator, name: str) -> Actor:
    yaw, pitch, roll = _turned(rng)
    mouth = float(max(0.0, rng.normal(0.0, 0.4)))
    return Actor(
        name=name, position_m=(0.0, 0.0, 1.5), yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll, mouth=mouth
    )


def _turned(rng: np.random.Generator) -> tuple[float, float, float]:
    yaw = rng.normal(0.0, 0.45) if rng.random() < 0.75 else rng.uniform(-math.pi, math.pi)
    pitch = rng.normal(0.0, 0.15) if rng.random() < 0.8 else rng.uniform(-0.7, 0.7)
    return float(yaw), float(pitch), float(rng.normal(0.0, 0.1))


def _moves(rng: np.random.Generator, frames: int) -> list[tuple[float, ...]]:
    """Per frame: metres along x and y, radians of yaw, pitch and roll."""
    steady = rng.normal(0.0, (0.02, 0.02, 0.025, 0.01, 0.005)) * (rng.random() < 0.7)
    return [tuple(float(value) for value in steady)] * frames


def _moved(actor: Actor, move: tuple[float, ...], k: int) -> Actor:
    x, y, z = actor.position_m
    return msgspec.structs.replace(
        actor,
        position_m=(x + k * move[0], y + k * move[1], z),
        yaw_rad=actor.yaw_rad + k * move[2],
        pitch_rad=actor.pitch_rad + k * move[3],
        roll_rad=actor.roll_rad + k * move[4],
    )


class Studio:
    """Draws clips, as the simulated cameras do."""

    def __init__(self) -> None:
        self._room = Renderer(LENS, ROOM, NAMES)
        self._call = Renderer(CALL_LENS, ROOM, NAMES)
        self._scene: Clip | None = None
        self._imager = Imager(Sensor(), LENS, "")

    def picture(self, scene: Clip, k: int) -> Image:
        """Frame `k` of a clip; a clip's frames in their order."""
        if scene is not self._scene:
            self._scene, self._imager = scene, Imager(Sensor(), scene.lens, f"{scene.light}")
        actor, pose = scene.actors[k][0], scene.poses[k]
        if scene.lens is LENS:
            drawn = self._room.draw(pose, scene.actors[k])
        else:
            drawn = self._call.draw_portrait(actor, float(pose[0, 3]) - actor.position_m[0])
        return self._imager.develop(drawn, scene.light, pose, k / RATE_HZ)

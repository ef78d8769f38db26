"""What a camera truly has in view: each face's place and turn, and how much of it something else hides.

Everything in one pass of machine code, because the simulator asks twenty times a second. Rays are written as
tangents (left, up) at one metre ahead of the camera; poses follow REP 103, as `agent.events.HeadPose` says.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.body import Matrix
from drivers.camera import Lens
from sim.compiled import compiled
from sim.people import Actor
from sim.room import Room
from sim.turns import turn_back

Doubles = NDArray[np.float64]

# Columns of what `faces_in_view` gives, one row an actor.
X_PX, Y_PX, SIZE_PX, RANGE_M, PITCH_RAD, YAW_RAD, ROLL_RAD, HIDDEN, CUT, BY, MOUTH, BLINK = range(12)
COLUMNS = 12

# Middle values of the cast, in metres from the point between the eyes: where the neck turns, the middle of
# the face, the middle of the skull; then half sizes as seen from in front.
_NECK_M = (-0.110, 0.0, -0.137)
_FACE_M = (0.0, 0.0, -0.03)
_SKULL_M = (-0.08, 0.0, 0.0)
_FACE_HALF_M = (0.068, 0.09)
_SKULL_HALF_M = (0.095, 0.13)
_NECK_HALF_M, _SHOULDERS_HALF_M = 0.065, 0.2
_CHIN_M, _SHOULDERS_M = -0.1, -0.27  # heights of the neck's two ends
FACE_HEIGHT_M = 0.18
_NEARER_M = 0.08  # whoever is nearer by less does not hide anybody
_NEAR_M = 0.15  # nearer than this is not in view
_SAMPLES = 25  # points of a face that are looked for behind others


def blocks_of(room: Room | None) -> Doubles:
    """The room's blocks as rows: centre, half size, cosine and sine of the turn."""
    if room is None:
        return np.zeros((0, 8))
    return np.array(
        [
            (*box.centre_m, *(side / 2 for side in box.size_m), math.cos(box.yaw_rad), math.sin(box.yaw_rad))
            for box in room.boxes
        ]
    )


def faces_in_view(camera_pose: Matrix, lens: Lens, actors: tuple[Actor, ...], blocks: Doubles) -> Doubles:
    """One row of the columns above for each actor. A size of 0 px is behind the camera.

    `SIZE_PX` is the height of a face seen from in front; `RANGE_M` lies along the line of sight; `HIDDEN` and
    `CUT` are the shares of the face behind others and outside of the picture; `BY` is the actor who hides
    most of it, -1 for nobody. A head that looks into the lens has pose zero wherever it is in the picture.
    """
    rows = np.array(
        [
            (
                *actor.position_m,
                actor.yaw_rad,
                actor.pitch_rad,
                actor.roll_rad,
                actor.body_yaw_rad,
                actor.mouth,
                actor.blink,
            )
            for actor in actors
        ]
    ).reshape(-1, 9)
    return _look(camera_pose, lens.focal_px, lens.width_px / 2, lens.height_px / 2, rows, blocks, _DISC)


def _disc() -> Doubles:
    """Points spread evenly over the unit disc (a sunflower's seeds)."""
    k = np.arange(_SAMPLES) + 0.5
    radius, angle = np.sqrt(k / _SAMPLES), k * math.pi * (3.0 - math.sqrt(5.0))
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


_DISC = _disc()


@compiled
def _look(
    pose: Doubles, focal: float, cx: float, cy: float, actors: Doubles, blocks: Doubles, disc: Doubles
) -> Doubles:
    count = len(actors)
    out = np.zeros((count, COLUMNS))
    face = np.zeros((count, 3))  # middle of the face, camera frame
    skull = np.zeros((count, 3))
    eyes = np.zeros((count, 3))
    turn = np.zeros((3, 3))
    for i in range(count):
        yaw, pitch, roll, body = actors[i, 3], actors[i, 4], actors[i, 5], actors[i, 6]
        a, b, c, d, e, f = (
            math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
        )  # fmt: skip
        # Rz(yaw) Ry(pitch) Rx(roll)
        turn[0, 0], turn[0, 1], turn[0, 2] = a * c, a * d * f - b * e, a * d * e + b * f
        turn[1, 0], turn[1, 1], turn[1, 2] = b * c, b * d * f + a * e, b * d * e - a * f
        turn[2, 0], turn[2, 1], turn[2, 2] = -d, c * f, c * e
        cb, sb = math.cos(body), math.sin(body)
        neck = (
            actors[i, 0] + cb * _NECK_M[0] - sb * _NECK_M[1],
            actors[i, 1] + sb * _NECK_M[0] + cb * _NECK_M[1],
            actors[i, 2] + _NECK_M[2],
        )
        for k in range(3):
            for row in range(3):
                middle, back = neck[row] - pose[row, 3], neck[row] - pose[row, 3]
                for column in range(3):
                    middle += turn[row, column] * (_FACE_M[column] - _NECK_M[column])
                    back += turn[row, column] * (_SKULL_M[column] - _NECK_M[column])
                face[i, k] += pose[row, k] * middle
                skull[i, k] += pose[row, k] * back
                eyes[i, k] += pose[row, k] * (actors[i, row] - pose[row, 3])
        out[i, BY] = -1.0
        out[i, MOUTH], out[i, BLINK] = actors[i, 7], actors[i, 8]
        x, y, z = face[i]
        if x < _NEAR_M:
            continue
        out[i, X_PX], out[i, Y_PX] = cx - focal * y / x, cy - focal * z / x
        out[i, SIZE_PX] = focal * FACE_HEIGHT_M / x
        far = math.sqrt(x * x + y * y + z * z)
        out[i, RANGE_M] = far
        # The head in the camera's frame, then in that of a camera turned by the shortest way to look at it.
        x, y, z = x / far, y / far, z / far
        look = np.array(
            [
                [x, y, z],
                [-y, 1 - y * y / (1 + x), -y * z / (1 + x)],
                [-z, -y * z / (1 + x), 1 - z * z / (1 + x)],
            ]
        )
        head = np.zeros((3, 3))
        for row in range(3):
            for column in range(3):
                for k in range(3):
                    inner = 0.0
                    for m in range(3):
                        inner += pose[m, k] * turn[m, column]
                    head[row, column] += look[row, k] * inner
        # Somebody who looks into the lens has their axes turned by half a turn about z.
        out[i, YAW_RAD] = math.atan2(-head[1, 0], -head[0, 0])
        out[i, PITCH_RAD] = math.asin(min(max(-head[2, 0], -1.0), 1.0))
        out[i, ROLL_RAD] = math.atan2(head[2, 1], head[2, 2])
    covers = np.zeros(count)
    for i in range(count):
        if out[i, SIZE_PX] <= 0.0:
            continue
        x = face[i, 0]
        near_block = np.zeros(len(blocks), dtype=np.bool_)
        for k in range(len(blocks)):
            near_block[k] = _crosses(pose, face[i], blocks[k], _FACE_HALF_M[1])
        covers[:] = 0.0
        hidden = cut = 0.0
        for s in range(len(disc)):
            left = face[i, 1] / x + disc[s, 0] * _FACE_HALF_M[0] / x
            up = face[i, 2] / x + disc[s, 1] * _FACE_HALF_M[1] / x
            if abs(focal * left) > cx or abs(focal * up) > cy:
                cut += 1.0
                continue
            is_hidden = False
            for j in range(count):
                if j != i and out[j, SIZE_PX] > 0.0 and face[j, 0] < x - _NEARER_M:
                    if _covers(skull[j], eyes[j], left, up):
                        covers[j] += 1.0
                        is_hidden = True
            if not is_hidden:
                point = np.array([x, left * x, up * x])
                for k in range(len(blocks)):
                    if near_block[k] and _crosses(pose, point, blocks[k], 0.0):
                        is_hidden = True
                        break
            if is_hidden:
                hidden += 1.0
        out[i, HIDDEN], out[i, CUT] = hidden / len(disc), cut / len(disc)
        for j in range(count):
            if covers[j] > 0.0 and (out[i, BY] < 0.0 or covers[j] > covers[int(out[i, BY])]):
                out[i, BY] = float(j)
    return out


@compiled
def _covers(skull: Doubles, eyes: Doubles, left: float, up: float) -> bool:
    """Whether somebody stands in a ray's way: a skull, a neck and shoulders down to the floor."""
    across = (left * skull[0] - skull[1]) / _SKULL_HALF_M[0]
    high = (up * skull[0] - skull[2]) / _SKULL_HALF_M[1]
    if across * across + high * high < 1.0:
        return True
    across, high = abs(left * eyes[0] - eyes[1]), up * eyes[0] - eyes[2]
    if high > _CHIN_M:
        return False
    return bool(across < (_NECK_HALF_M if high > _SHOULDERS_M else _SHOULDERS_HALF_M))


@compiled
def _crosses(pose: Doubles, point: Doubles, block: Doubles, grown_m: float) -> bool:
    """Whether the way from the camera to a point in its frame goes through a block, grown on all sides."""
    start = np.zeros(3)
    step = np.zeros(3)
    for row in range(3):
        start[row] = pose[row, 3] - block[row]
        for k in range(3):
            step[row] += pose[row, k] * point[k]
    c, s = block[6], block[7]
    start[0], start[1] = turn_back(c, s, start[0], start[1])
    step[0], step[1] = turn_back(c, s, step[0], step[1])
    first, last = 0.0, 1.0
    for row in range(3):
        half = block[3 + row] + grown_m
        if abs(step[row]) < 1e-12:
            if abs(start[row]) > half:
                return False
            continue
        one, other = (-half - start[row]) / step[row], (half - start[row]) / step[row]
        first, last = max(first, min(one, other)), min(last, max(one, other))
    return bool(first < last)

"""Glasses: two rims, a bridge and two temples as thin tubes on one person's head, and lenses that glint.

Built in decimetres from the middle between the eyes: x left, y up, z out of the nose.
"""

import math

import msgspec
import numpy as np

from sim.mesh import EYE_LEFT, HAIR, LENS_PX, Shape, patch_centre_px
from sim.surfaces import Doubles, Floats, Whole, sweep, vertex_normals

_THICK_DM = 0.019
_AROUND = 6  # corners of a tube
_RIM_POINTS = 28
_OUT_DM = 0.27  # of the lens before the middle of the eye
_HALF_DM = {"round": (0.225, 0.215), "square": (0.26, 0.185)}
_CORNERS = {"round": 2.0, "square": 4.5}  # exponent of the rim's superellipse
_BEHIND_EARS_DM = 1.05


def put_on(shape: Shape, apart_dm: float, half_width_dm: float, form: str) -> Shape:
    """The shape with glasses of a form, for eyes so far from the middle and a head so wide at the temples."""
    points, frame, lenses, on_lens = _build(apart_dm, half_width_dm, form)
    first = len(shape.points)
    own = (points[:, [2, 0, 1]] * 0.1).astype(np.float32)
    triangles = np.concatenate([frame, lenses])
    lens_left, lens_top, lens_wide, lens_high = LENS_PX
    uv = np.concatenate(
        [
            np.full((len(frame), 3, 2), patch_centre_px("frame")),
            on_lens * (lens_wide, lens_high) + (lens_left, lens_top),
        ]
    )
    kind = np.repeat([EYE_LEFT, HAIR], [len(frame), len(lenses)])  # as glossy as an eye; with holes like hair
    count, at = len(own), shape.body

    def more(old: Floats, value: float) -> Floats:
        return np.concatenate([old, np.full(count, value, dtype=np.float32)])

    return msgspec.structs.replace(
        shape,
        points=np.concatenate([shape.points, own]),
        normals=np.concatenate([shape.normals, vertex_normals(own, triangles).astype(np.float32)]),
        triangles=np.insert(shape.triangles, at, (triangles + first).astype(np.int32), axis=0),
        kind=np.insert(shape.kind, at, kind.astype(np.int32)),
        uv=np.insert(shape.uv, at, uv.astype(np.float32), axis=0),
        with_head=more(shape.with_head, 1.0),
        legs=more(shape.legs, 0.0),
        sky=more(shape.sky, 1.0),
        deltas=np.concatenate([shape.deltas, np.zeros((len(shape.deltas), count, 3), np.float32)], axis=1),
        body=at + len(triangles),
    )


def _build(apart: float, half_width: float, form: str) -> tuple[Doubles, Whole, Whole, Doubles]:
    """Points; triangles of the frame and of the lenses; where on its lens each lens corner is (0 … 1)."""
    wide, high = _HALF_DM[form]
    wide = min(wide, apart - 0.045)
    centre_y, front = -0.015, _OUT_DM
    points: list[Doubles] = []
    frame: list[Whole] = []
    start = 0

    def add(path: Doubles, is_closed: bool) -> None:
        nonlocal start
        tube, triangles = sweep(path, np.full(len(path), _THICK_DM), _AROUND, is_closed)
        points.append(tube)
        frame.append(triangles + start)
        start += len(tube)

    turn = np.arange(_RIM_POINTS) * (2.0 * math.pi / _RIM_POINTS)
    power = 2.0 / _CORNERS[form]
    across = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * wide
    up = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * high
    rims = []
    for side in (1.0, -1.0):
        x = side * apart + side * 0.01 + across
        rim = np.column_stack([x, centre_y + up, front - 0.16 * (x / 0.6) ** 2])  # frames curve around a face
        rims.append(rim)
        add(rim, True)
        hinge_x = apart + wide + 0.01
        hinge = (side * hinge_x, centre_y + 0.09, front - 0.16 * (hinge_x / 0.6) ** 2)
        bow = (side * half_width, centre_y + 0.11, front - 0.42)
        ear = (side * half_width, centre_y + 0.08, front - _BEHIND_EARS_DM)
        add(np.array([hinge, bow, ear]), False)
    inner = apart - wide + 0.01
    add(
        np.array(
            [
                (inner, centre_y + 0.05, front),
                (0.0, centre_y + 0.09, front + 0.03),
                (-inner, centre_y + 0.05, front),
            ]
        ),
        False,
    )
    lenses, on_lens = [], []
    for rim in rims:
        middle = rim.mean(axis=0)
        points.append(np.vstack([middle, rim]) - (0.0, 0.0, 0.005))
        flat = (points[-1][:, :2] - middle[:2]) / (2.0 * wide, -2.0 * high) + 0.5
        for k in range(_RIM_POINTS):
            corners = [0, 1 + k, 1 + (k + 1) % _RIM_POINTS]
            lenses.append([start + corner for corner in corners])
            on_lens.append(flat[corners])
        start += len(points[-1])
    place = np.clip(np.array(on_lens), 0.0, 1.0)
    return np.concatenate(points), np.concatenate(frame), np.array(lenses, dtype=np.int32), place

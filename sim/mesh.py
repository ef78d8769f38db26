"""Shapes of people: MakeHuman's head with its morphs, and a plain clothed body below it.

A person's frame: metres, x out of the nose, y to the person's left, z up, the origin between the eyes. The
morph data keeps its own decimetres (x left, y up, z out of the nose); `assemble` turns them.
"""

import math
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int32]

DATA = Path(__file__).parent / "data" / "head_morphs.npz"
SKIN, EYE_LEFT, EYE_RIGHT, HAIR, LASH, TEETH, CLOTH = range(7)
ATLAS_WIDTH_PX, SKIN_ROWS_PX, STRIP_PX = 1280, 896, 192  # the strip holds what is not skin
EYE_PX = 192
PATCH_PX = 64
PATCHES = ("lash", "teeth", "shirt", "trousers", "hand", "shoe")  # squares of one colour in the strip
HAIR_LEFT_PX = 640
AXIS_DM = 0.35  # the atlas is a cylinder around this vertical through the head
TOP_DM, BOTTOM_DM = 8.75, 5.0  # heights of the atlas' first and last skin row
STANDING_EYE_M = 1.54  # height of the eyes for which the legs have their own length


class Base(msgspec.Struct, frozen=True):
    """MakeHuman's mean head in decimetres, and what goes with each vertex and triangle."""

    vertices: Floats
    triangles: Whole
    kind: Whole  # per triangle: SKIN … CLOTH
    uv: Floats  # per triangle and corner, atlas pixels
    with_head: Floats
    sky: Floats
    lips: Floats
    lids: Floats
    inside: Floats
    morphs: dict[str, tuple[NDArray[np.int64], Floats]]
    joints: dict[str, NDArray[np.int64]]


class Shape(msgspec.Struct, frozen=True):
    """One person's mesh in their own frame, ready to be drawn."""

    points: Floats
    normals: Floats
    triangles: Whole
    kind: Whole
    uv: Floats
    with_head: Floats
    legs: Floats  # how far each vertex goes down when the person grows by a metre
    sky: Floats
    deltas: Floats  # mouth, blink, smile × vertex × 3
    pivot: Floats  # where the neck turns


@cache
def base() -> Base:
    """The mean head, read once."""
    with np.load(DATA) as data:
        arrays = {key: data[key] for key in data.files}
    morphs = {
        key[:-2]: (
            arrays[key].astype(np.int64),
            arrays[key[:-2] + ".d"].astype(np.float32) * np.float32(1e-3),
        )
        for key in arrays
        if key.endswith(".i")
    }
    vertices = arrays["V"].astype(np.float32)
    triangles = arrays["tri"].astype(np.int32)
    kind = _dress(vertices, triangles, arrays["mat"].astype(np.int32))
    joints = {key: arrays["joint-" + key].astype(np.int64) for key in ("head", "neck", "l-eye", "r-eye")}
    return Base(
        vertices=vertices,
        triangles=triangles,
        kind=kind,
        uv=_atlas(vertices, triangles, kind, joints),
        with_head=_share_of_head(vertices, triangles, kind, arrays["hw"]),
        sky=arrays["sky"].astype(np.float32) / np.float32(255.0),
        lips=arrays["lips"].astype(np.float32) / np.float32(255.0),
        lids=arrays["lids"].astype(np.float32) / np.float32(255.0),
        inside=arrays["inside"].astype(np.float32) / np.float32(255.0),
        morphs=morphs,
        joints=joints,
    )


def vertex_normals(points: NDArray[np.floating], triangles: Whole) -> NDArray[np.float64]:
    """Unit normals, each the mean of the faces around it weighted by area."""
    a, b, c = (points[triangles[:, k]].astype(np.float64) for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.stack(
        [
            sum(np.bincount(triangles[:, k], face[:, axis], len(points)) for k in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))


def smoothstep(x: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def assemble(vertices: Floats, kept: NDArray[np.bool_]) -> Shape:
    """Turn a morphed head into a person: origin between the eyes, body added, what is not `kept` dropped."""
    mean = base()
    eyes = (vertices[mean.joints["l-eye"]].mean(axis=0) + vertices[mean.joints["r-eye"]].mean(axis=0)) / 2.0
    pivot = ((vertices[mean.joints["neck"]].mean(axis=0) - eyes) * 0.1)[[2, 0, 1]]
    head = ((vertices - eyes) * 0.1)[:, [2, 0, 1]]
    stub = np.abs(mean.vertices[mean.triangles][..., 0]).min(axis=1) > _ARM_STUB_DM
    kept = kept & ~(stub & np.isin(mean.kind, (SKIN, CLOTH)))
    used = np.unique(mean.triangles[kept])
    place = np.zeros(len(vertices), dtype=np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    triangles = place[mean.triangles[kept]]
    normals = vertex_normals(head, mean.triangles)[used]
    deltas = np.stack([_expression(weights)[used] for weights in EXPRESSIONS])
    body_points, body_triangles, body_uv = _body(vertices, eyes)
    count = len(body_points)
    below_hip = np.clip((-0.66 - body_points[:, 2]) / (STANDING_EYE_M - 0.66), 0.0, 1.0)
    zeros = np.zeros(count, dtype=np.float32)
    return Shape(
        points=np.concatenate([head[used], body_points]).astype(np.float32),
        normals=np.concatenate([normals, vertex_normals(body_points, body_triangles)]).astype(np.float32),
        triangles=np.concatenate([triangles, body_triangles + len(used)]).astype(np.int32),
        kind=np.concatenate([mean.kind[kept], np.full(len(body_triangles), CLOTH)]).astype(np.int32),
        uv=np.concatenate([mean.uv[kept], body_uv]).astype(np.float32),
        with_head=np.concatenate([mean.with_head[used], zeros]).astype(np.float32),
        legs=np.concatenate([np.zeros(len(used)), below_hip]).astype(np.float32),
        sky=np.concatenate([mean.sky[used], zeros + np.float32(1.0)]).astype(np.float32),
        deltas=np.concatenate([deltas, np.zeros((len(EXPRESSIONS), count, 3))], axis=1).astype(np.float32),
        pivot=pivot.astype(np.float32),
    )


EXPRESSIONS: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.75, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {
        "mouthSmileLeft": 0.8,
        "mouthSmileRight": 0.8,
        "cheekSquintLeft": 0.4,
        "cheekSquintRight": 0.4,
    },
)
"""What each of an actor's `mouth`, `blink` and `smile` does at 1, in MakeHuman's expression units."""


def patch_centre_px(name: str) -> tuple[float, float]:
    """Middle of one of the strip's one-colour squares, in atlas pixels."""
    return EYE_PX + PATCH_PX * (PATCHES.index(name) + 0.5), SKIN_ROWS_PX + PATCH_PX / 2.0


def _dress(vertices: Floats, triangles: Whole, kind: Whole) -> Whole:
    """Skin that lies wholly under the shirt becomes cloth; the neckline itself is painted."""
    x, y, z = np.moveaxis(vertices[triangles], -1, 0)
    is_under = (y.max(axis=1) < 5.35) | ((np.hypot(x, z - 0.15).min(axis=1) > 0.8) & (y.max(axis=1) < 6.0))
    return np.where(is_under & (kind == SKIN), CLOTH, kind).astype(np.int32)


def _expression(weights: dict[str, float]) -> Floats:
    mean = base()
    total = np.zeros_like(mean.vertices)
    for name, weight in weights.items():
        index, delta = mean.morphs["fu." + name]
        total[index] += np.float32(weight * 0.1) * delta
    return total[:, [2, 0, 1]]


def _share_of_head(vertices: Floats, triangles: Whole, kind: Whole, weights: NDArray[np.generic]) -> Floats:
    x, y, z = vertices.T
    share = np.asarray(weights, dtype=np.float32).copy()
    share[(y > 6.15) & (z > 0.45) | (y > 6.6)] = 1.0  # the skull and the jaw are stiff
    hair = np.unique(triangles[kind == HAIR])
    share[hair] = smoothstep(y[hair], 5.2, 6.6)
    share[np.unique(triangles[np.isin(kind, (EYE_LEFT, EYE_RIGHT, LASH, TEETH))])] = 1.0
    return share


def _atlas(vertices: Floats, triangles: Whole, kind: Whole, joints: dict[str, NDArray[np.int64]]) -> Floats:
    corner = vertices[triangles].astype(np.float64)
    azimuth = np.arctan2(corner[..., 0], corner[..., 2] - AXIS_DM)
    u = (0.5 + azimuth / (2.0 * math.pi)) * ATLAS_WIDTH_PX
    v = (TOP_DM - corner[..., 1]) / (TOP_DM - BOTTOM_DM) * SKIN_ROWS_PX
    wraps = np.ptp(u, axis=1) > ATLAS_WIDTH_PX / 2
    u = np.where(wraps[:, None] & (u < ATLAS_WIDTH_PX / 2), u + ATLAS_WIDTH_PX, u)
    for side, joint in ((EYE_LEFT, "l-eye"), (EYE_RIGHT, "r-eye")):
        is_eye = kind == side
        ray = corner[is_eye] - vertices[joints[joint]].mean(axis=0)
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        off_axis = np.arccos(np.clip(ray[..., 2], -1.0, 1.0)) / math.pi * EYE_PX / 2
        across = np.maximum(np.hypot(ray[..., 0], ray[..., 1]), 1e-9)
        u[is_eye] = EYE_PX / 2 + off_axis * ray[..., 0] / across
        v[is_eye] = SKIN_ROWS_PX + EYE_PX / 2 - off_axis * ray[..., 1] / across
    for material, patch in ((LASH, "lash"), (TEETH, "teeth"), (CLOTH, "shirt")):
        u[kind == material], v[kind == material] = patch_centre_px(patch)
    is_hair = kind == HAIR
    azimuth = np.abs(azimuth[is_hair])  # mirrored, so that no strand crosses the back's seam
    u[is_hair] = HAIR_LEFT_PX + 10 + azimuth / math.pi * (ATLAS_WIDTH_PX - HAIR_LEFT_PX - 20)
    v[is_hair] = SKIN_ROWS_PX + 4 + (8.6 - corner[is_hair][..., 1]) / 6.6 * (STRIP_PX - 8)
    return np.stack([u, v], axis=-1).astype(np.float32)


# The body: rings around a line, in decimetres of the mean figure. Each: centre (x left, y up, z front), then
# its half width across and half depth.
_Ring = tuple[float, float, float, float, float]
_TORSO: tuple[_Ring, ...] = (
    (0, 5.3, 0.15, 1.0, 0.4), (0, 5.0, 0.28, 1.5, 0.78), (0, 4.5, 0.42, 1.72, 1.02),
    (0, 3.9, 0.55, 1.74, 1.18), (0, 3.4, 0.58, 1.7, 1.18), (0, 2.8, 0.55, 1.6, 1.06),
    (0, 1.9, 0.5, 1.45, 0.92), (0, 0.8, 0.42, 1.6, 0.92), (0, 0.2, 0.35, 1.7, 0.94),
    (0, -0.15, 0.32, 1.7, 0.92), (0, -0.16, 0.32, 0.2, 0.2),
)  # fmt: skip
_HIPS: tuple[_Ring, ...] = (
    (0, 0.4, 0.35, 1.6, 0.85), (0, -0.2, 0.3, 1.66, 0.9), (0, -0.7, 0.28, 1.5, 0.8),
    (0, -0.95, 0.28, 0.6, 0.4),
)  # fmt: skip
_LEG: tuple[_Ring, ...] = (
    (0.85, -0.2, 0.3, 0.82, 0.88), (0.88, -1.5, 0.3, 0.8, 0.85), (0.92, -3.6, 0.28, 0.62, 0.64),
    (0.95, -5.4, 0.18, 0.55, 0.6), (0.98, -7.6, 0.12, 0.44, 0.5), (0.98, -7.9, 0.12, 0.46, 0.5),
)  # fmt: skip
_SHOE: tuple[_Ring, ...] = (
    (1.0, -7.55, 0.2, 0.2, 0.3), (1.0, -7.7, 0.35, 0.4, 0.75), (1.02, -7.95, 0.6, 0.46, 1.2),
    (1.02, -8.12, 0.65, 0.46, 1.3), (1.02, -8.13, 0.65, 0.1, 0.3),
)  # fmt: skip
_ARM: tuple[_Ring, ...] = (
    (1.5, 5.72, 0.06, 0.08, 0.1), (1.58, 5.6, 0.06, 0.36, 0.34), (1.66, 5.4, 0.06, 0.48, 0.5),
    (1.76, 5.1, 0.06, 0.55, 0.58), (1.85, 4.6, 0.06, 0.55, 0.6), (1.93, 3.6, 0.05, 0.5, 0.56),
    (2.04, 2.2, 0.02, 0.44, 0.48), (2.1, 1.0, 0.14, 0.4, 0.43), (2.1, -0.2, 0.35, 0.31, 0.34),
    (2.1, -0.22, 0.35, 0.1, 0.1),
)  # fmt: skip
_HAND: tuple[_Ring, ...] = (
    (2.1, 0.0, 0.33, 0.2, 0.25), (2.08, -0.4, 0.4, 0.2, 0.4), (2.06, -0.9, 0.46, 0.2, 0.42),
    (2.03, -1.5, 0.52, 0.17, 0.34), (2.02, -1.85, 0.55, 0.08, 0.15),
)  # fmt: skip
_ARM_STUB_DM = 1.9  # MakeHuman's arms stand away from the body; from here out ours hang down instead
_SEGMENTS = 16


def _body(vertices: Floats, eyes: NDArray[np.floating]) -> tuple[Floats, Whole, Floats]:
    """Torso, arms and legs that fit this head's shoulders: points in the person's frame, triangles and uv."""
    mean = base()
    rest_eyes = (
        mean.vertices[mean.joints["l-eye"]].mean(axis=0) + mean.vertices[mean.joints["r-eye"]].mean(axis=0)
    ) / 2.0
    chest = (mean.vertices[:, 1] < 5.0) & (mean.vertices[:, 1] > 3.9) & (np.abs(mean.vertices[:, 0]) < 2.0)
    width = float(np.ptp(vertices[chest, 0]) / np.ptp(mean.vertices[chest, 0]))
    depth = float(np.ptp(vertices[chest, 2]) / np.ptp(mean.vertices[chest, 2]))
    lift = (vertices[chest] - eyes).mean(axis=0) - (mean.vertices[chest] - rest_eyes).mean(axis=0)
    parts: list[tuple[tuple[_Ring, ...], float, str]] = [(_TORSO, 1.0, "shirt"), (_HIPS, 1.0, "trousers")]
    for side in (1.0, -1.0):
        parts += [
            (_LEG, side, "trousers"),
            (_SHOE, side, "shoe"),
            (_ARM, side, "shirt"),
            (_HAND, side, "hand"),
        ]
    points, triangles, uv = [], [], []
    start = 0
    angle = np.arange(_SEGMENTS) * (2.0 * math.pi / _SEGMENTS)
    for rings, side, patch in parts:
        for x, y, z, across, deep in rings:
            upper = float(smoothstep(np.array(y), -1.0, 3.5))  # feet stay whatever the shoulders do
            ring = np.stack(
                [
                    (x * side + across * np.cos(angle)) * (1.0 + upper * (width - 1.0)),
                    np.full(_SEGMENTS, y) - rest_eyes[1] + upper * lift[1],
                    (z + deep * np.sin(angle) - 0.3) * (1.0 + upper * (depth - 1.0)) + 0.3 - rest_eyes[2]
                    + upper * lift[2],
                ],
                axis=1,
            )  # fmt: skip
            points.append(ring[:, [2, 0, 1]] * 0.1)
        for ring_index in range(len(rings) - 1):
            for s in range(_SEGMENTS):
                a = start + ring_index * _SEGMENTS + s
                b = start + ring_index * _SEGMENTS + (s + 1) % _SEGMENTS
                triangles += [(a, b, a + _SEGMENTS), (b, b + _SEGMENTS, a + _SEGMENTS)]
                uv += [(patch_centre_px(patch),) * 3] * 2
        start += len(rings) * _SEGMENTS
    return (
        np.concatenate(points).astype(np.float32),
        np.array(triangles, dtype=np.int32),
        np.array(uv, dtype=np.float32),
    )

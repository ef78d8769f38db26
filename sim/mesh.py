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

from sim import figure, pullover
from sim.figure import CHEST_DM, Fit
from sim.posture import Limbs
from sim.surfaces import smoothstep, vertex_normals

Floats = NDArray[np.float32]
Whole = NDArray[np.int32]

DATA = Path(__file__).parent / "data" / "head_morphs.npz"
SKIN, EYE_LEFT, EYE_RIGHT, HAIR, LASH, TEETH, CLOTH = range(7)
ATLAS_WIDTH_PX, SKIN_ROWS_PX, STRIP_PX = 1280, 896, 192  # the strip holds what is not skin
EYE_PX = 192
PATCH_PX = 64
PATCHES = (
    "lash",
    "teeth",
    "shirt",
    "trousers",
    "hand",
    "shoe",
    "frame",
)  # squares in the strip, all but teeth plain
HAIR_LEFT_PX = 640
LENS_PX = (580, 964, 56, 116)  # left, top, width and height of the lenses' place, below the frame's square
TEETH_DM = (0.36, 6.42, 6.84)  # half width, lowest and highest point of the teeth
AXIS_DM = 0.35  # the atlas is a cylinder around this vertical through the head
TOP_DM, BOTTOM_DM = 8.75, 5.0  # heights of the atlas' first and last skin row
STANDING_EYE_M = 1.54  # height of a grown-up's eyes for which the legs have their own length
_HIP_BELOW_EYES_M = 0.66


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
    body: int  # the first triangle of what is below head, neck and collar
    limbs: Limbs
    standing_eye_m: float  # height of the eyes for which the legs have their own length


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


def assemble(vertices: Floats, kept: NDArray[np.bool_], tall: float = 1.0) -> Shape:
    """Turn a morphed head into a person: origin between the eyes, body added, what is not `kept` dropped.

    `tall` is the body's size as a share of a grown-up's.
    """
    mean = base()
    eyes = (vertices[mean.joints["l-eye"]].mean(axis=0) + vertices[mean.joints["r-eye"]].mean(axis=0)) / 2.0
    pivot = ((vertices[mean.joints["neck"]].mean(axis=0) - eyes) * 0.1)[[2, 0, 1]]
    fit = _fit(vertices, eyes, tall)
    dressed, cloth_normals, share = _wear(vertices, fit)
    head = ((dressed - eyes) * 0.1)[:, [2, 0, 1]]
    corners = np.abs(mean.vertices[mean.triangles])
    stub = corners[..., 0].min(axis=1) > np.where(corners[..., 1].max(axis=1) < 5.2, 1.2, _ARM_STUB_DM)
    low = mean.vertices[mean.triangles][..., 1].max(axis=1) < CHEST_DM
    kept = kept & ~(stub & np.isin(mean.kind, (SKIN, CLOTH))) & ~(low & (mean.kind == CLOTH))
    used = np.unique(mean.triangles[kept])
    place = np.zeros(len(vertices), dtype=np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    triangles = place[mean.triangles[kept]]
    normals = vertex_normals((vertices - eyes)[:, [2, 0, 1]] * np.float32(0.1), mean.triangles)
    normals += (cloth_normals - normals) * share[:, None]
    normals = (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))[used]
    deltas = np.stack([_expression(weights)[used] for weights in EXPRESSIONS])
    body = figure.body(fit)
    count = len(body.points)
    standing_eye_m = STANDING_EYE_M * tall
    hip_m = _HIP_BELOW_EYES_M * tall
    below_hip = np.clip((-hip_m - body.points[:, 2]) / (standing_eye_m - hip_m), 0.0, 1.0)
    patches = np.array([patch_centre_px(name) for name in PATCHES], dtype=np.float32)
    body_uv = np.repeat(patches[[PATCHES.index(name) for name in body.patches], None], 3, axis=1)
    zeros = np.zeros(count, dtype=np.float32)
    return Shape(
        points=np.concatenate([head[used], body.points]).astype(np.float32),
        normals=np.concatenate([normals, body.normals]).astype(np.float32),
        triangles=np.concatenate([triangles, body.triangles + len(used)]).astype(np.int32),
        kind=np.concatenate([mean.kind[kept], np.full(len(body.triangles), CLOTH)]).astype(np.int32),
        uv=np.concatenate([mean.uv[kept], body_uv]).astype(np.float32),
        with_head=np.concatenate([mean.with_head[used], zeros]).astype(np.float32),
        legs=np.concatenate([np.zeros(len(used)), below_hip]).astype(np.float32),
        sky=np.concatenate([(mean.sky + (1.0 - mean.sky) * share)[used], zeros + 1.0]).astype(np.float32),
        deltas=np.concatenate([deltas, np.zeros((len(EXPRESSIONS), count, 3))], axis=1).astype(np.float32),
        pivot=pivot.astype(np.float32),
        body=len(triangles),
        limbs=figure.limbs(fit, body, len(used)),
        standing_eye_m=standing_eye_m,
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
    for material, patch in ((LASH, "lash"), (CLOTH, "shirt")):
        u[kind == material], v[kind == material] = patch_centre_px(patch)
    is_lower = (kind == LASH) & (corner[..., 1].mean(axis=1) < vertices[joints["l-eye"]].mean(axis=0)[1])
    v[is_lower] += PATCH_PX  # lower lashes are thinner, so they have a colour of their own
    left, top = patch_centre_px("teeth")[0] - PATCH_PX / 2 + 2, SKIN_ROWS_PX + 2
    is_teeth = kind == TEETH
    wide, low, high = TEETH_DM
    u[is_teeth] = left + (corner[is_teeth][..., 0] / wide + 1.0) / 2.0 * (PATCH_PX - 4)
    v[is_teeth] = top + (high - corner[is_teeth][..., 1]) / (high - low) * (PATCH_PX - 4)
    is_hair = kind == HAIR
    azimuth = np.abs(azimuth[is_hair])  # mirrored, so that no strand crosses the back's seam
    u[is_hair] = HAIR_LEFT_PX + 10 + azimuth / math.pi * (ATLAS_WIDTH_PX - HAIR_LEFT_PX - 20)
    v[is_hair] = SKIN_ROWS_PX + 4 + (8.6 - corner[is_hair][..., 1]) / 6.6 * (STRIP_PX - 8)
    return np.stack([u, v], axis=-1).astype(np.float32)


_ARM_STUB_DM = 1.9  # MakeHuman's arms stand away from the body; from here out ours hang down instead


def _fit(vertices: Floats, eyes: NDArray[np.floating], tall: float) -> Fit:
    mean = base()
    rest_eyes = (
        mean.vertices[mean.joints["l-eye"]].mean(axis=0) + mean.vertices[mean.joints["r-eye"]].mean(axis=0)
    ) / 2.0
    chest = (mean.vertices[:, 1] < 5.0) & (mean.vertices[:, 1] > 3.9) & (np.abs(mean.vertices[:, 0]) < 2.0)
    lift = (vertices[chest] - eyes).mean(axis=0) - tall * (mean.vertices[chest] - rest_eyes).mean(axis=0)
    return Fit(
        width=float(np.ptp(vertices[chest, 0]) / np.ptp(mean.vertices[chest, 0])) / tall,
        depth=float(np.ptp(vertices[chest, 2]) / np.ptp(mean.vertices[chest, 2])) / tall,
        lift_dm=lift.astype(np.float64),
        eyes_dm=rest_eyes.astype(np.float64),
        tall=tall,
    )


def _wear(vertices: Floats, fit: Fit) -> tuple[Floats, NDArray[np.float64], NDArray[np.float64]]:
    """Draw the shoulders onto the pullover: vertices, the cloth's normals, and each vertex' share of cloth.

    What is bare, and the neckline around it, has no share and stays where it is.
    """
    mean = base()
    x, y, z = mean.vertices.T.astype(np.float64)
    share = smoothstep(np.maximum(np.hypot(x, z - 0.15) - 0.85, 5.4 - y), 0.0, 0.55) * (y < 6.0)
    skin = np.zeros(len(y), dtype=np.bool_)
    skin[np.unique(mean.triangles[np.isin(mean.kind, (SKIN, CLOTH))])] = True
    share *= skin
    under = share > 0.0
    eyes = (vertices[mean.joints["l-eye"]].mean(axis=0) + vertices[mean.joints["r-eye"]].mean(axis=0)) / 2.0
    on = pullover.draw_on(fit.bare(vertices[under].astype(np.float64) - eyes))
    dressed = vertices.copy()
    moved = fit.worn(on) + eyes
    dressed[under] += (share[under, None] * (moved - vertices[under])).astype(np.float32)
    normals = np.zeros((len(y), 3))
    normals[under] = fit.lean(pullover.outward(on))
    return dressed, normals, share

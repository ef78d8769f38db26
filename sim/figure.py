"""A plain clothed body below the head: torso, arms and legs as tubes, and how they bend.

Decimetres of the mean body: x left, y up, z out of the chest; `Fit` takes them to one person's frame.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim import pullover
from sim.posture import Limb, Limbs
from sim.surfaces import Doubles, Floats, Ring, Whole, smoothstep, tube, vertex_normals

_HIPS: tuple[Ring, ...] = (
    (0, 0.4, 0.35, 1.6, 0.85), (0, -0.2, 0.3, 1.66, 0.9), (0, -0.7, 0.28, 1.5, 0.8),
    (0, -0.95, 0.28, 0.6, 0.4),
)  # fmt: skip
_LEG: tuple[Ring, ...] = (
    (0.85, -0.2, 0.3, 0.82, 0.88), (0.86, -0.7, 0.3, 0.81, 0.87), (0.88, -1.5, 0.3, 0.8, 0.85),
    (0.9, -2.6, 0.29, 0.71, 0.75), (0.92, -3.3, 0.28, 0.65, 0.67), (0.92, -3.7, 0.27, 0.61, 0.63),
    (0.93, -4.0, 0.25, 0.6, 0.62), (0.94, -4.4, 0.23, 0.58, 0.62), (0.95, -5.4, 0.18, 0.55, 0.6),
    (0.98, -7.6, 0.12, 0.44, 0.5), (0.98, -7.9, 0.12, 0.46, 0.5),
)  # fmt: skip
_SHOE: tuple[Ring, ...] = (
    (1.0, -7.55, 0.2, 0.2, 0.3), (1.0, -7.7, 0.35, 0.4, 0.75), (1.02, -7.95, 0.6, 0.46, 1.2),
    (1.02, -8.12, 0.65, 0.46, 1.3), (1.02, -8.13, 0.65, 0.1, 0.3),
)  # fmt: skip
_HAND: tuple[Ring, ...] = (
    (2.1, 0.0, 0.33, 0.2, 0.25), (2.08, -0.4, 0.4, 0.2, 0.4), (2.06, -0.9, 0.46, 0.2, 0.42),
    (2.03, -1.5, 0.52, 0.17, 0.34), (2.02, -1.85, 0.55, 0.08, 0.15),
)  # fmt: skip
CHEST_DM = 4.4  # below here MakeHuman's chest is left out, for the torso's rings are all there is to see
_INSET_DM = 0.08
_HIP_DM, _KNEE_DM = (0.85, -0.3, 0.3), (0.93, -3.9, 0.25)
_SHOULDER_DM, _ELBOW_DM = (1.7, 5.1, 0.08), (1.98, 2.55, 0.02)
_ANKLE_DM, _SOLE_DM = -7.6, -8.13
# Each part: its rings, the side it is on (0 the middle), the patch of one colour it is painted with.
_PARTS: tuple[tuple[tuple[Ring, ...], int, str], ...] = (
    (pullover.TORSO, 0, "shirt"),
    (_HIPS, 0, "trousers"),
    *(
        (rings, side, patch)
        for side in (1, -1)
        for rings, patch in (
            (_LEG, "trousers"), (_SHOE, "shoe"), (pullover.SLEEVE, "shirt"), (_HAND, "hand"),
        )
    ),
)  # fmt: skip
_LEG_PATCHES, _ARM_PATCHES = ("trousers", "shoe"), ("shirt", "hand")


class Fit(msgspec.Struct, frozen=True):
    """How the mean body is widened, deepened and lifted to sit below one person's head."""

    width: float
    depth: float
    lift_dm: NDArray[np.float64]
    eyes_dm: NDArray[np.float64]  # of the mean head
    tall: float  # size, 1 for a grown-up

    def worn(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the mean body to the person's; from MakeHuman's origin to one between the eyes."""
        upper = smoothstep(points[:, 1], -1.0, 3.5)  # feet stay whatever the shoulders do
        x = points[:, 0] * (1.0 + upper * (self.width - 1.0))
        z = (points[:, 2] - 0.3) * (1.0 + upper * (self.depth - 1.0)) + 0.3
        lift = self.lift_dm * (0.0, 1.0, 1.0)
        own = self.tall * (np.stack([x, points[:, 1], z], axis=1) - self.eyes_dm)
        return np.asarray(own + upper[:, None] * lift)

    def bare(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `worn`, above the waist."""
        points = (points - self.lift_dm * (0.0, 1.0, 1.0)) / self.tall + self.eyes_dm
        return (points - (0.0, 0.0, 0.3)) / (self.width, 1.0, self.depth) + (0.0, 0.0, 0.3)

    def lean(self, normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Normals of the mean body's cloth as the person wears it, in the person's frame."""
        turned = (normals / (self.width, 1.0, self.depth))[:, [2, 0, 1]]
        return np.asarray(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12))


class BodyMesh(msgspec.Struct, frozen=True):
    """A body in the person's frame (metres)."""

    points: Floats
    normals: Doubles
    triangles: Whole
    patches: tuple[str, ...]  # per triangle
    mean: Doubles  # the same points on the mean body
    part: NDArray[np.int64]  # per point, which of `_PARTS`


def body(fit: Fit) -> BodyMesh:
    """Torso, arms and legs."""
    points, triangles, patches, part, start = [], [], [], [], 0
    for place, (rings, side, patch) in enumerate(_PARTS):
        ring_points, ring_triangles = tube(rings, mirrored=side < 0)
        points.append(ring_points)
        triangles.append(ring_triangles + start)
        patches += [patch] * len(ring_triangles)
        part += [place] * len(ring_points)
        start += len(ring_points)
    mean, parts = np.concatenate(points), np.array(part)
    is_cloth = np.array([_PARTS[place][2] == "shirt" for place in part])
    shoulders = is_cloth & (mean[:, 1] > 3.6)
    mean[shoulders] = on = pullover.draw_on(mean[shoulders])
    outward = pullover.outward(on)
    # MakeHuman's shoulders, which meet the neck, lie over the rings where there are both.
    inset = _INSET_DM * smoothstep(on[:, 1], CHEST_DM, 5.0) * smoothstep(-np.abs(on[:, 0]), -1.45, -1.15)
    mean[shoulders] -= inset[:, None] * outward
    own = (fit.worn(mean)[:, [2, 0, 1]] * 0.1).astype(np.float32)
    faces = np.concatenate(triangles).astype(np.int32)
    normals = vertex_normals(own, faces)
    normals[shoulders] = fit.lean(outward)
    normals[is_cloth] += pullover.folds(mean[is_cloth])[:, [2, 0, 1]]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return BodyMesh(own, normals, faces, tuple(patches), mean, parts)


def limbs(fit: Fit, whole: BodyMesh, first: int) -> Limbs:
    """What of a body turns about which joint, where its vertices are those from `first` on."""
    height = whole.mean[:, 1]

    def limb(
        joint_dm: tuple[float, float, float], side: int, patches: tuple[str, ...], soft_dm: float
    ) -> Limb:
        x, y, z = joint_dm
        joint = fit.worn(np.array([[x * side, y, z]]))[0, [2, 0, 1]] * 0.1
        of = [place for place, part in enumerate(_PARTS) if part[1] == side and part[2] in patches]
        share = smoothstep(y - height, -soft_dm, soft_dm) * np.isin(whole.part, of)
        chosen = np.flatnonzero(share > 0.0)
        at = (float(joint[0]), float(joint[1]), float(joint[2]))
        return Limb(joint=at, vertices=chosen + first, shares=share[chosen].astype(np.float32))

    def both(
        joint_dm: tuple[float, float, float], patches: tuple[str, ...], soft_dm: float
    ) -> tuple[Limb, Limb]:
        return limb(joint_dm, 1, patches, soft_dm), limb(joint_dm, -1, patches, soft_dm)

    return Limbs(
        shins=both(_KNEE_DM, _LEG_PATCHES, 0.6),
        thighs=both(_HIP_DM, _LEG_PATCHES, 0.6),
        forearms=both(_ELBOW_DM, _ARM_PATCHES, 0.6),
        arms=both(_SHOULDER_DM, _ARM_PATCHES, 0.7),
        shin_m=0.1 * fit.tall * (_KNEE_DM[1] - _ANKLE_DM),
    )

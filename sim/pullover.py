"""The cut of a pullover: one smooth surface over torso and sleeves, onto which all cloth is drawn.

Decimetres of the mean body: x left, y up, z out of the chest. The parts of a person's mesh that wear the shirt
overlap; because each of their vertices is drawn to this one surface, no seam and nothing of the body shows.
"""

import numpy as np

from sim.surfaces import Doubles, Ring, smoothstep

TORSO: tuple[Ring, ...] = (
    (0, 5.8, 0.0, 0.5, 0.3), (0, 5.66, 0.05, 0.95, 0.42), (0, 5.5, 0.1, 1.3, 0.56), (0, 5.3, 0.18, 1.48, 0.7),
    (0, 5.0, 0.27, 1.56, 0.84), (0, 4.5, 0.36, 1.58, 1.0), (0, 3.9, 0.42, 1.54, 1.08), (0, 3.4, 0.44, 1.5, 1.06),
    (0, 2.8, 0.43, 1.45, 1.0), (0, 2.3, 0.42, 1.4, 0.94), (0, 1.8, 0.4, 1.37, 0.89), (0, 1.3, 0.38, 1.4, 0.87),
    (0, 0.8, 0.36, 1.5, 0.9), (0, 0.35, 0.33, 1.62, 0.94), (0, 0.0, 0.31, 1.64, 0.93), (0, -0.15, 0.3, 1.58, 0.87),
    (0, -0.16, 0.3, 0.2, 0.2),
)  # fmt: skip
SLEEVE: tuple[Ring, ...] = (
    (1.42, 5.52, 0.08, 0.1, 0.1), (1.5, 5.42, 0.08, 0.3, 0.3), (1.6, 5.22, 0.08, 0.42, 0.44),
    (1.7, 4.9, 0.08, 0.48, 0.52), (1.78, 4.5, 0.07, 0.49, 0.54), (1.85, 3.9, 0.06, 0.47, 0.51),
    (1.91, 3.3, 0.04, 0.45, 0.48), (1.97, 2.7, 0.01, 0.43, 0.46), (2.01, 2.2, 0.01, 0.42, 0.45),
    (2.04, 1.7, 0.05, 0.41, 0.43), (2.07, 1.0, 0.14, 0.37, 0.4), (2.09, 0.4, 0.25, 0.34, 0.37),
    (2.1, 0.05, 0.31, 0.33, 0.36), (2.1, -0.2, 0.35, 0.28, 0.31), (2.1, -0.22, 0.35, 0.1, 0.1),
)  # fmt: skip
_BLEND_DM = 0.45  # how softly sleeve and torso run into each other at the shoulder
_STEP_DM = 0.01


def height_above(points: Doubles) -> Doubles:
    """How far points lie outside the cloth, roughly in decimetres; negative within."""
    mirrored = points * (-1.0, 1.0, 1.0)
    torso = _outside(points, TORSO)
    sleeves = np.minimum(_outside(points, SLEEVE), _outside(mirrored, SLEEVE))
    blend = np.maximum(_BLEND_DM * smoothstep(points[:, 1], 3.9, 5.0), 1e-6)
    near = np.maximum(blend - np.abs(torso - sleeves), 0.0) / blend
    return np.asarray(np.minimum(torso, sleeves) - 0.25 * blend * near * near)


def outward(points: Doubles) -> Doubles:
    """The surface's unit normals at points on or near it."""
    slope = np.stack(
        [height_above(points + step) - height_above(points - step) for step in np.eye(3) * _STEP_DM], axis=1
    )
    return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9))


def draw_on(points: Doubles) -> Doubles:
    """Each point moved to the surface along its slope."""
    points = points.copy()
    for _ in range(8):
        height = np.clip(height_above(points), -0.25, 0.25)  # short steps, for the slope turns
        points -= height[:, None] * outward(points)
    return points


def folds(points: Doubles) -> Doubles:
    """How cloth leans (x, y, z, to be added to normals) where it gathers: above the hem, in the elbows."""
    x, y, z = points.T
    is_sleeve = smoothstep(np.abs(x), 1.45, 1.65)
    gather = (1.0 - is_sleeve) * (
        0.20 * np.exp(-(((y - 0.75) / 0.45) ** 2)) * np.sin(9.0 * y + 1.6 * np.sin(2.1 * x + 1.0) + z)
    )
    gather += is_sleeve * 0.24 * np.exp(-(((y - 2.1) / 0.6) ** 2)) * np.sin(8.0 * y + 1.5 * z + 2.0 * x)
    zero = np.zeros_like(y)
    return np.stack([zero, gather, zero], axis=1)


def _outside(points: Doubles, rings: tuple[Ring, ...]) -> Doubles:
    """As `height_above`, for one stack of ellipses."""
    table = np.array(rings)[::-1]
    table = table[np.array([ring[3] > 0.25 or ring[1] > 3.0 for ring in rings[::-1]])]  # not the closing lids
    x, y, z = points.T
    cx, cz, across, deep = (np.interp(y, table[:, 1], table[:, k]) for k in (0, 2, 3, 4))
    around = (np.hypot((x - cx) / across, (z - cz) / deep) - 1.0) * np.minimum(across, deep)
    beyond = np.maximum(y - table[-1, 1], 0.0)
    return np.asarray(around + beyond)

"""Meshes: smooth steps, normals, and tubes of rings."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Whole = NDArray[np.int32]
Ring = tuple[float, float, float, float, float]  # centre x, y, z; half width, half depth

SEGMENTS = 16


def smoothstep(x: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


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


def tube(rings: tuple[Ring, ...], mirrored: bool = False) -> tuple[Doubles, Whole]:
    """Points and triangles of a skin around level ellipses, from the top down; `mirrored` to the other side in x."""
    side = -1.0 if mirrored else 1.0
    angle = np.arange(SEGMENTS) * (2.0 * math.pi / SEGMENTS)
    x, y, z, across, deep = np.array(rings, dtype=np.float64).T[:, :, None]
    points = np.stack(
        np.broadcast_arrays(x * side + across * np.cos(angle), y, z + deep * np.sin(angle)), axis=-1
    ).reshape(-1, 3)
    triangles = []
    for ring in range(len(rings) - 1):
        for s in range(SEGMENTS):
            a, b = ring * SEGMENTS + s, ring * SEGMENTS + (s + 1) % SEGMENTS
            triangles += [(a, b, a + SEGMENTS), (b, b + SEGMENTS, a + SEGMENTS)]
    return points, np.array(triangles, dtype=np.int32)


def sweep(path: Doubles, radii: Doubles, corners: int, is_closed: bool) -> tuple[Doubles, Whole]:
    """Points and triangles of a round tube along a path, with a radius and so many corners at each of its points."""
    after = np.roll(path, -1, axis=0) - path
    before = path - np.roll(path, 1, axis=0)
    if not is_closed:
        after[-1], before[0] = before[-1], after[0]
    along = after / np.linalg.norm(after, axis=1)[:, None] + before / np.linalg.norm(before, axis=1)[:, None]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    reference = np.where(np.abs(along[:, 2:]) > 0.7, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    one = np.cross(along, reference)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    two = np.cross(along, one)
    angle = np.arange(corners) * (2.0 * math.pi / corners)
    points = path[:, None] + radii[:, None, None] * (
        np.cos(angle)[:, None] * one[:, None] + np.sin(angle)[:, None] * two[:, None]
    )
    count = len(path)
    triangles = []
    for ring in range(count if is_closed else count - 1):
        for s in range(corners):
            a, b = ring * corners + s, ring * corners + (s + 1) % corners
            c, d = ((index + corners) % (count * corners) for index in (a, b))
            triangles += [(a, b, c), (b, d, c)]
    return points.reshape(-1, 3), np.array(triangles, dtype=np.int32)

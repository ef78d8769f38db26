"""The loops that turn a room's flat faces into pixels, compiled by numba.

First every face marks where it is the nearest, then each pixel is painted once. No fast-math and no threads,
so that the same scene always gives the same bytes. Camera frame as in `raster`.
"""

import msgspec
import numpy as np

from sim.compiled import compiled
from sim.patterns import SIZE_PX
from sim.raster import NEAR_M, Bytes, Doubles, Reals, Whole

_CORNERS = 4
_MOST = 8  # corners of a face after a cut: one more than before, and some to spare


class Faces(msgspec.Struct, frozen=True, kw_only=True):
    """All faces of a room, a row each: corners (n × 4 × 3, metres), outward normals, uv in texture tiles."""

    corners_m: Doubles
    normals: Doubles
    uv: Doubles
    texture: Whole
    texel_m: Reals
    colours: Bytes  # n × 256 × 3: what becomes of a texture's byte on this face


@compiled
def mark_faces(
    corners_m: Doubles, normals: Doubles, uv: Doubles, to_camera: Doubles, eye: Doubles,
    focal: float, cx: float, cy: float, planes: Reals, nearness: Reals, ids: Whole,
) -> None:  # fmt: skip
    """Where each face is the nearest: `ids` gets its row or -1, `nearness` one over its depth or 0.

    `planes` gets, for each face, how 1/depth, u/depth and v/depth grow with column and row, and what they are
    at the first pixel: they are planes over the picture.
    """
    height, width = ids.shape
    ids[:] = -1
    nearness[:] = 0.0
    cut = np.empty((_MOST, 5))
    column = np.empty(_MOST)
    row = np.empty(_MOST)
    points = np.empty((_CORNERS, 3))
    for face in range(corners_m.shape[0]):
        toward = 0.0
        for c in range(3):
            toward += normals[face, c] * (eye[c] - corners_m[face, 0, c])
        if toward <= 0.0:
            continue
        for a in range(_CORNERS):
            x, y, z = corners_m[face, a, 0], corners_m[face, a, 1], corners_m[face, a, 2]
            for c in range(3):
                points[a, c] = (
                    to_camera[c, 0] * x + to_camera[c, 1] * y + to_camera[c, 2] * z + to_camera[c, 3]
                )
        count = _cut(points, uv[face], cut)
        if count < 3:
            continue
        for a in range(count):
            column[a] = cx - focal * cut[a, 1] / cut[a, 0]
            row[a] = cy - focal * cut[a, 2] / cut[a, 0]
        if not _planes(cut, column, row, count, planes[face]):
            continue
        step, down, first = planes[face, 0, 0], planes[face, 0, 1], planes[face, 0, 2]
        y0 = max(0, int(np.ceil(max(row[:count].min(), -1.0))))
        y1 = min(height - 1, int(np.floor(min(row[:count].max(), height + 0.0))))
        for y in range(y0, y1 + 1):
            low, high = 1e9, -1e9
            for a in range(count):
                b = a + 1 if a + 1 < count else 0
                if (row[a] <= y) != (row[b] <= y):
                    x = column[a] + (y - row[a]) / (row[b] - row[a]) * (column[b] - column[a])
                    low = min(low, x)
                    high = max(high, x)
            if low > high:
                continue
            x0 = int(np.ceil(min(max(low, 0.0), width + 1.0)))
            x1 = int(np.floor(min(max(high, -1.0), width - 1.0)))
            begin = down * np.float32(y) + first
            near_row, id_row = nearness[y], ids[y]
            for x in range(x0, x1 + 1):  # without branches, so that eight are done at once
                near = step * np.float32(x) + begin
                old, old_id = near_row[x], id_row[x]
                is_nearer = near > old
                near_row[x] = near if is_nearer else old
                id_row[x] = face if is_nearer else old_id


@compiled
def paint_faces(
    planes: Reals, texture: Whole, textures: Bytes, colours: Bytes, texel_m: Reals, focal: np.float32,
    light: np.float32, nearness: Reals, ids: Whole, image: Bytes,
) -> None:  # fmt: skip
    """Colour every pixel of `image` by the face that `ids` names; where there is none it is black."""
    height, width = ids.shape
    one = np.float32(1.0)
    lit = np.empty((colours.shape[0], 256, 3), dtype=np.uint8)
    for face in range(colours.shape[0]):
        for value in range(256):
            for c in range(3):
                lit[face, value, c] = np.uint8(
                    min(np.float32(255.0), np.float32(colours[face, value, c]) * light)
                )
    for y in range(height):
        fy = np.float32(y)
        x = 0
        while x < width:
            face = ids[y, x]
            end = x + 1
            while end < width and ids[y, end] == face:
                end += 1
            if face < 0:
                image[y, x:end] = 0
                x = end
                continue
            u_step, u_row = planes[face, 1, 0], planes[face, 1, 1] * fy + planes[face, 1, 2]
            v_step, v_row = planes[face, 2, 0], planes[face, 2, 1] * fy + planes[face, 2, 2]
            small = one / (focal * texel_m[face])
            picture, table = textures[texture[face]], lit[face]
            for column in range(x, end):
                depth = one / nearness[y, column]
                blur = depth * small
                side, offset = SIZE_PX, 0
                while blur > np.float32(1.5) and side > 4:
                    blur *= np.float32(0.5)
                    offset += side
                    side >>= 1
                u = (u_step * np.float32(column) + u_row) * depth
                v = (v_step * np.float32(column) + v_row) * depth
                tu = (np.int32(np.floor(u * np.float32(side))) & np.int32(side - 1)) + offset
                tv = np.int32(np.floor(v * np.float32(side))) & np.int32(side - 1)
                image[y, column, 0] = table[picture[tv, tu, 0], 0]
                image[y, column, 1] = table[picture[tv, tu, 1], 1]
                image[y, column, 2] = table[picture[tv, tu, 2], 2]
            x = end


@compiled
def _cut(points: Doubles, uv: Doubles, out: Doubles) -> int:
    """The part of a face before the camera: rows of x, y, z, u, v; how many there are."""
    count = 0
    for a in range(points.shape[0]):
        b = a + 1 if a + 1 < points.shape[0] else 0
        za, zb = points[a, 0], points[b, 0]
        if za >= NEAR_M:
            for c in range(3):
                out[count, c] = points[a, c]
            out[count, 3] = uv[a, 0]
            out[count, 4] = uv[a, 1]
            count += 1
        if (za >= NEAR_M) != (zb >= NEAR_M):
            part = (NEAR_M - za) / (zb - za)
            for c in range(3):
                out[count, c] = points[a, c] + part * (points[b, c] - points[a, c])
            out[count, 3] = uv[a, 0] + part * (uv[b, 0] - uv[a, 0])
            out[count, 4] = uv[a, 1] + part * (uv[b, 1] - uv[a, 1])
            count += 1
    return count


@compiled
def _planes(cut: Doubles, column: Doubles, row: Doubles, count: int, out: Reals) -> bool:
    """The planes of `mark_faces` from the three corners that span most; False for a face seen edge-on."""
    best = 0.0
    q, r = 1, 2
    for a in range(1, count - 1):
        for b in range(a + 1, count):
            area = abs(
                (column[a] - column[0]) * (row[b] - row[0]) - (column[b] - column[0]) * (row[a] - row[0])
            )
            if area > best:
                best = area
                q, r = a, b
    if best < 1e-3:
        return False
    dx1, dy1 = column[q] - column[0], row[q] - row[0]
    dx2, dy2 = column[r] - column[0], row[r] - row[0]
    det = dx1 * dy2 - dx2 * dy1
    for c in range(3):
        at = (1.0 if c == 0 else cut[0, 2 + c]) / cut[0, 0]
        to_q = (1.0 if c == 0 else cut[q, 2 + c]) / cut[q, 0] - at
        to_r = (1.0 if c == 0 else cut[r, 2 + c]) / cut[r, 0] - at
        across = (to_q * dy2 - to_r * dy1) / det
        down = (to_r * dx1 - to_q * dx2) / det
        out[c, 0] = across
        out[c, 1] = down
        out[c, 2] = at - across * column[0] - down * row[0]
    return True

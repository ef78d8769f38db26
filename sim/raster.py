"""The loops that turn people's triangles into pixels, compiled by numba.

No fast-math and no threads, so that the same scene always gives the same bytes. Camera frame: x forward,
y left, z up; a point is at column cx - f*y/x and row cy - f*z/x. The compiled code is kept on disk.
"""

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled, within

Reals = NDArray[np.float32]
Doubles = NDArray[np.float64]
Whole = NDArray[np.int32]
Bytes = NDArray[np.uint8]

NEAR_M = 0.05
FAR_M = 1e6
STEP_M = 0.01  # samples of a pixel that lie farther apart in depth show two things
HAIR, LASH, PLAIN = 3, 4, 6  # kinds of triangle: with holes, seen from both sides, of one colour


@compiled
def pose_vertices(
    rest: Reals, deltas: Reals, amounts: Reals, normals: Reals, sky: Reals, with_head: Reals, legs: Reals,
    stretch_m: np.float32, turn: Reals, pivot: Reals, to_camera: Reals, at_camera: Reals, lights: Reals,
    focal: np.float32, cx: np.float32, cy: np.float32, points: Reals, shade: Reals,
) -> None:  # fmt: skip
    """Bend, turn and project every vertex; `points` gets column, row and depth, `shade` red…blue and gloss.

    `lights` is in the person's frame: rows of key, fill and gloss direction, then how strong sky, key and
    fill are.
    """
    for i in range(rest.shape[0]):
        x = rest[i, 0]
        y = rest[i, 1]
        z = rest[i, 2] - legs[i] * stretch_m
        for k in range(deltas.shape[0]):
            x += amounts[k] * deltas[k, i, 0]
            y += amounts[k] * deltas[k, i, 1]
            z += amounts[k] * deltas[k, i, 2]
        a = x - pivot[0]
        b = y - pivot[1]
        c = z - pivot[2]
        w = with_head[i]
        x += w * (turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c - a)
        y += w * (turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c - b)
        z += w * (turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c - c)
        depth = to_camera[0, 0] * x + to_camera[0, 1] * y + to_camera[0, 2] * z + at_camera[0]
        left = to_camera[1, 0] * x + to_camera[1, 1] * y + to_camera[1, 2] * z + at_camera[1]
        up = to_camera[2, 0] * x + to_camera[2, 1] * y + to_camera[2, 2] * z + at_camera[2]
        points[i, 2] = depth
        safe = max(depth, np.float32(NEAR_M))
        points[i, 0] = cx - focal * left / safe
        points[i, 1] = cy - focal * up / safe
        a = normals[i, 0]
        b = normals[i, 1]
        c = normals[i, 2]
        nx = a + w * (turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c - a)
        ny = b + w * (turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c - b)
        nz = c + w * (turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c - c)
        n = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
        nx *= n
        ny *= n
        nz *= n
        toward = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
        key = max(np.float32(0.0), toward * np.float32(0.85) + np.float32(0.15))
        toward = nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2]
        fill = max(np.float32(0.0), toward * np.float32(0.75) + np.float32(0.25))
        gloss = max(np.float32(0.0), nx * lights[2, 0] + ny * lights[2, 1] + nz * lights[2, 2])
        gloss *= gloss
        gloss *= gloss
        gloss *= gloss
        gloss *= gloss * gloss  # to the 24th
        open_sky = sky[i]
        half = np.float32(0.4) + np.float32(0.6) * open_sky
        for k in range(3):
            warm = open_sky + (np.float32(1.0) - open_sky) * np.float32(0.12) * k  # light bleeds red in skin
            shade[i, k] = lights[3, 0] * warm + lights[3, 1] * key * half + lights[3, 2] * fill * open_sky
        shade[i, 3] = gloss * open_sky * lights[3, 1]


@compiled
def bounds_of(points: Reals, triangles: Whole) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Least column and row, greatest column and row of the corners that lie before the camera."""
    left, top, right, bottom = np.float32(FAR_M), np.float32(FAR_M), np.float32(-FAR_M), np.float32(-FAR_M)
    for t in range(triangles.shape[0]):
        for c in range(3):
            i = triangles[t, c]
            if points[i, 2] > NEAR_M:
                left, right = min(left, points[i, 0]), max(right, points[i, 0])
                top, bottom = min(top, points[i, 1]), max(bottom, points[i, 1])
    return left, top, right, bottom


@compiled
def fill_triangles(
    points: Reals, triangles: Whole, uv: Reals, kind: Whole, texture: Bytes, scale: np.float32,
    left: int, top: int, factor: int, depth: Reals, ids: Whole, nearness: Reals,
) -> None:  # fmt: skip
    """Visibility: the nearest triangle of each sample. Hair and lashes show both sides; hair has holes.

    `depth` and `ids` (-1: none) hold factor × factor samples a pixel of the picture's part at `left`, `top`;
    `nearness`, of the whole picture, rises to one over the depth of what covers a pixel wholly.
    """
    height, width = ids.shape
    depth[:] = np.float32(FAR_M)
    ids[:] = -1
    edge = np.float32(-1e-5)
    one = np.float32(1.0)
    size = np.float32(factor)
    half = np.float32(0.5) * size - np.float32(0.5)
    shift_x, shift_y = np.float32(left), np.float32(top)
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = points[i, 0], points[i, 1]
        bx, by = points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        if (bx - ax) * (cy - ay) - (cx - ax) * (by - ay) >= 0.0 and (kind[t] < HAIR or kind[t] > LASH):
            continue
        za, zb, zc = points[i, 2], points[j, 2], points[k, 2]
        if za < NEAR_M or zb < NEAR_M or zc < NEAR_M:
            continue
        ax, ay = (ax - shift_x) * size + half, (ay - shift_y) * size + half
        bx, by = (bx - shift_x) * size + half, (by - shift_y) * size + half
        cx, cy = (cx - shift_x) * size + half, (cy - shift_y) * size + half
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-6:
            continue
        x0 = int(np.ceil(max(min(ax, bx, cx), np.float32(0.0))))
        x1 = int(np.floor(min(max(ax, bx, cx), last_x)))
        y0 = int(np.ceil(max(min(ay, by, cy), np.float32(0.0))))
        y1 = int(np.floor(min(max(ay, by, cy), last_y)))
        if x0 > x1 or y0 > y1:
            continue
        inverse = one / area
        step0 = (by - cy) * inverse
        step1 = (cy - ay) * inverse
        step_z = step0 * (za - zc) + step1 * (zb - zc)
        fx = np.float32(x0)
        if kind[t] != HAIR:
            tiny = np.float32(1e-12)  # an edge along the row: everything lies on its one side
            step2 = -step0 - step1
            per0 = one / (step0 if step0 != 0.0 else tiny)
            per1 = one / (step1 if step1 != 0.0 else tiny)
            per2 = one / (step2 if step2 != 0.0 else tiny)
            fy = np.float32(y0)
            w0 = ((bx - fx) * (cy - fy) - (cx - fx) * (by - fy)) * inverse
            w1 = ((cx - fx) * (ay - fy) - (ax - fx) * (cy - fy)) * inverse
            down0, down1 = (cx - bx) * inverse, (ax - cx) * inverse
            for y in range(y0, y1 + 1):
                low, high = _span(np.float32(0.0), np.float32(x1 - x0), w0 - edge, per0)
                low, high = _span(low, high, w1 - edge, per1)
                low, high = _span(low, high, one - w0 - w1 - edge, per2)
                z0 = zc + w0 * (za - zc) + w1 * (zb - zc)
                deep_row, id_row = depth[y], ids[y]
                first, last = int(np.ceil(low)), int(np.floor(high))
                for x in range(first, last + 1):  # without branches, so that eight are done at once
                    z = z0 + step_z * np.float32(x)
                    old, old_id = deep_row[x0 + x], id_row[x0 + x]
                    is_nearer = z < old
                    deep_row[x0 + x] = z if is_nearer else old
                    id_row[x0 + x] = t if is_nearer else old_id
                w0 += down0
                w1 += down1
            continue
        for y in range(y0, y1 + 1):
            fy = np.float32(y)
            w0 = ((bx - fx) * (cy - fy) - (cx - fx) * (by - fy)) * inverse
            w1 = ((cx - fx) * (ay - fy) - (ax - fx) * (cy - fy)) * inverse
            for x in range(x0, x1 + 1):
                w2 = one - w0 - w1
                z = w0 * za + w1 * zb + w2 * zc
                if w0 >= edge and w1 >= edge and w2 >= edge and z < depth[y, x]:
                    u = int((w0 * uv[t, 0, 0] + w1 * uv[t, 1, 0] + w2 * uv[t, 2, 0]) * scale)
                    v = int((w0 * uv[t, 0, 1] + w1 * uv[t, 1, 1] + w2 * uv[t, 2, 1]) * scale)
                    u = min(max(u, 0), texture.shape[1] - 1)
                    v = min(max(v, 0), texture.shape[0] - 1)
                    if texture[v, u, 3] > 110:
                        depth[y, x] = z
                        ids[y, x] = t
                w0 += step0
                w1 += step1
    for row in range(height // factor):
        for column in range(width // factor):
            y, x = row * factor, column * factor
            deepest = depth[y, x]
            if factor == 2:
                deepest = max(deepest, depth[y, x + 1], depth[y + 1, x], depth[y + 1, x + 1])
            if deepest < FAR_M:
                near = nearness[top + row, left + column]
                nearness[top + row, left + column] = max(near, one / deepest)


@within
def _span(
    low: np.float32, high: np.float32, first: np.float32, per_step: np.float32
) -> tuple[np.float32, np.float32]:
    """The part of `low` … `high` where `first` + x / `per_step` is not negative."""
    x = -first * per_step
    return max(low, x if per_step > 0.0 else low), min(high, x if per_step < 0.0 else high)


@compiled
def blend_triangles(
    points: Reals, shade: Reals, triangles: Whole, uv: Reals, kind: Whole, gloss: Reals, texture: Bytes,
    scale: np.float32, skin_rows: np.float32, left: int, top: int, factor: int, depth: Reals, ids: Whole,
    light: np.float32, nearness: Reals, image: Bytes,
) -> None:  # fmt: skip
    """Lay one person over the picture where nothing else is nearer.

    A pixel's samples that show one triangle, or one plain surface, are coloured once, others each.
    """
    height = ids.shape[0] // factor
    width = ids.shape[1] // factor
    samples = factor * factor
    share = np.float32(1.0) / np.float32(samples)
    step = np.float32(1.0) / np.float32(factor)
    begin = np.float32(0.5) * step - np.float32(0.5)  # from a pixel's middle to its first sample
    lowest_skin = skin_rows * scale - np.float32(1.0)
    colour = np.zeros(3, dtype=np.float32)
    total = np.zeros(3, dtype=np.float32)
    shown = np.zeros(4, dtype=np.int32)
    deep = np.zeros(4, dtype=np.float32)
    slope = np.zeros((4, 3), dtype=np.float32)
    last = np.uintp(triangles.shape[0])
    for row in range(height):
        for column in range(width):
            y, x = row * factor, column * factor
            first = ids[y, x]
            is_one = factor == 1 or (
                first == ids[y, x + 1] and first == ids[y + 1, x] and first == ids[y + 1, x + 1]
            )
            if is_one and first < 0:
                continue
            hidden = np.float32(1.0005) / max(nearness[top + row, left + column], np.float32(1e-9))
            covered = 0
            if is_one:
                if depth[y, x] > hidden:
                    continue
                covered = samples
                shown[0] = first
            else:
                for s in range(samples):
                    deep[s] = depth[y + (s >> 1), x + (s & 1)]
                    shown[s] = ids[y + (s >> 1), x + (s & 1)] if deep[s] <= hidden else -1
                    covered += shown[s] >= 0
                if covered == 0:
                    continue
            total[:] = 0.0
            for s in range(1 if is_one else samples):
                if shown[s] < 0:
                    continue
                t = np.uintp(shown[s])
                fx, fy = np.float32(left + column), np.float32(top + row)
                alike = 1
                if is_one:
                    alike = samples
                else:
                    for other in range(s + 1, samples):
                        t2 = shown[other]
                        if t2 == t or (
                            t2 >= 0
                            and kind[t] == PLAIN
                            and kind[t2] == PLAIN
                            and abs(deep[other] - deep[s]) < STEP_M
                            and uv[t2, 0, 0] == uv[t, 0, 0]
                        ):
                            shown[other] = -1
                            alike += 1
                    fx += begin + step * np.float32(s & 1)
                    fy += begin + step * np.float32(s >> 1)
                if kind[t] != PLAIN:
                    _colour(
                        points, shade, triangles, uv, kind, gloss, texture, scale, lowest_skin, t, fx, fy,
                        light, colour,
                    )  # fmt: skip
                else:  # plain and large: how the colour changes over it serves its next pixels too
                    if t != last:
                        last = t
                        _slope(points, shade, triangles, uv, texture, scale, t, light, slope)
                    dx, dy = fx - slope[0, 0], fy - slope[0, 1]
                    for c in range(3):
                        colour[c] = slope[1, c] + slope[2, c] * dx + slope[3, c] * dy
                for c in range(3):
                    total[c] += min(np.float32(255.0), max(np.float32(0.0), colour[c])) * np.float32(alike)
            rest = np.float32(1.0) - np.float32(covered) * share
            for c in range(3):
                value = image[top + row, left + column, c] * rest + total[c] * share
                image[top + row, left + column, c] = np.uint8(value + np.float32(0.5))


@within
def _colour(
    points: Reals, shade: Reals, triangles: Whole, uv: Reals, kind: Whole, gloss: Reals, texture: Bytes,
    scale: np.float32, lowest_skin: np.float32, t: np.uintp, fx: np.float32, fy: np.float32, light: np.float32,
    out: Reals,
) -> None:  # fmt: skip
    """The colour of triangle `t` at column `fx` and row `fy` of the picture, 0 … 255."""
    one = np.float32(1.0)
    rows, columns = texture.shape[0], texture.shape[1]
    i, j, k = np.uintp(triangles[t, 0]), np.uintp(triangles[t, 1]), np.uintp(triangles[t, 2])
    ax, ay = points[i, 0], points[i, 1]
    bx, by = points[j, 0], points[j, 1]
    cx, cy = points[k, 0], points[k, 1]
    inverse = one / ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
    w0 = ((bx - fx) * (cy - fy) - (cx - fx) * (by - fy)) * inverse
    w1 = ((cx - fx) * (ay - fy) - (ax - fx) * (cy - fy)) * inverse
    w2 = one - w0 - w1
    u = (w0 * uv[t, 0, 0] + w1 * uv[t, 1, 0] + w2 * uv[t, 2, 0]) * scale - np.float32(0.5)
    v = (w0 * uv[t, 0, 1] + w1 * uv[t, 1, 1] + w2 * uv[t, 2, 1]) * scale - np.float32(0.5)
    v = min(max(v, np.float32(0.0)), np.float32(rows - 1))
    if kind[t] == 0:
        v = min(v, lowest_skin)
    u = u + np.float32(columns) if u < 0.0 else u
    u0 = np.uintp(np.int64(u))
    v0 = np.uintp(np.int64(v))
    fu = u - np.float32(u0)
    fv = v - np.float32(v0)
    u0 = u0 - np.uintp(columns) if u0 >= columns else u0
    u1 = u0 + np.uintp(1) if u0 + 1 < columns else np.uintp(0)
    v1 = min(v0 + np.uintp(1), np.uintp(rows - 1))
    shine = gloss[kind[t]] * (w0 * shade[i, 3] + w1 * shade[j, 3] + w2 * shade[k, 3])
    for c in range(3):
        above = np.float32(texture[v0, u0, c]) * (one - fu) + np.float32(texture[v0, u1, c]) * fu
        below = np.float32(texture[v1, u0, c]) * (one - fu) + np.float32(texture[v1, u1, c]) * fu
        lit = w0 * shade[i, c] + w1 * shade[j, c] + w2 * shade[k, c]
        out[c] = ((above * (one - fv) + below * fv) * lit + shine) * light


@within
def _slope(
    points: Reals, shade: Reals, triangles: Whole, uv: Reals, texture: Bytes, scale: np.float32, t: np.uintp,
    light: np.float32, out: Reals,
) -> None:  # fmt: skip
    """A plain triangle's colour: its first corner (column, row), the colour there, its slopes along both."""
    i, j, k = np.uintp(triangles[t, 0]), np.uintp(triangles[t, 1]), np.uintp(triangles[t, 2])
    ax, ay = points[i, 0], points[i, 1]
    bx, by = points[j, 0] - ax, points[j, 1] - ay
    cx, cy = points[k, 0] - ax, points[k, 1] - ay
    inverse = np.float32(1.0) / (bx * cy - cx * by)
    row, column = np.uintp(uv[t, 0, 1] * scale), np.uintp(uv[t, 0, 0] * scale)
    out[0, 0] = ax
    out[0, 1] = ay
    for c in range(3):
        value = np.float32(texture[row, column, c]) * light
        to_b, to_c = shade[j, c] - shade[i, c], shade[k, c] - shade[i, c]
        out[1, c] = value * shade[i, c]
        out[2, c] = value * (to_b * cy - to_c * by) * inverse
        out[3, c] = value * (to_c * bx - to_b * cx) * inverse


@compiled
def bake(
    uv: Reals, triangles: Whole, kinds: Whole, values: Reals, priority: Reals, out: Reals, best: Reals
) -> None:
    """Spread per-vertex `values` over the atlas for skin; where two meet, the greater priority wins."""
    height, width = best.shape
    for t in range(triangles.shape[0]):
        if kinds[t] != 0:
            continue
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = uv[t, 0, 0], uv[t, 0, 1]
        bx, by = uv[t, 1, 0], uv[t, 1, 1]
        cx, cy = uv[t, 2, 0], uv[t, 2, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        for y in range(max(0, int(min(ay, by, cy))), min(height - 1, int(max(ay, by, cy)) + 1) + 1):
            for x in range(int(np.floor(min(ax, bx, cx))), int(max(ax, bx, cx)) + 2):
                w0 = ((bx - x - 0.5) * (cy - y - 0.5) - (cx - x - 0.5) * (by - y - 0.5)) / area
                w1 = ((cx - x - 0.5) * (ay - y - 0.5) - (ax - x - 0.5) * (cy - y - 0.5)) / area
                w2 = 1.0 - w0 - w1
                if w0 < -0.02 or w1 < -0.02 or w2 < -0.02:
                    continue
                rank = w0 * priority[i] + w1 * priority[j] + w2 * priority[k]
                column = x % width
                if rank <= best[y, column]:
                    continue
                best[y, column] = rank
                for c in range(values.shape[1]):
                    out[y, column, c] = w0 * values[i, c] + w1 * values[j, c] + w2 * values[k, c]

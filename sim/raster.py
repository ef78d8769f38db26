"""The loops that turn triangles and walls into pixels, compiled by numba.

No fast-math and no threads, so that the same scene always gives the same bytes. Camera frame: x forward,
y left, z up; a point is at column cx - f*y/x and row cy - f*z/x. The compiled code is kept on disk.
"""

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

Reals = NDArray[np.float32]
Doubles = NDArray[np.float64]
Whole = NDArray[np.int32]
Bytes = NDArray[np.uint8]

NEAR_M = 0.05


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
def fill_triangles(
    points: Reals, triangles: Whole, uv: Reals, kind: Whole, texture: Bytes, scale: np.float32,
    left: np.float32, top: np.float32, factor: np.float32, depth: Reals, ids: Whole,
) -> None:  # fmt: skip
    """Visibility: the nearest triangle of each sample. Kinds 3, 4 show both sides; 3 has holes."""
    height, width = ids.shape
    edge = np.float32(-1e-5)
    half = np.float32(0.5) * factor - np.float32(0.5)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        za, zb, zc = points[i, 2], points[j, 2], points[k, 2]
        if za < NEAR_M or zb < NEAR_M or zc < NEAR_M:
            continue
        ax = (points[i, 0] - left) * factor + half
        ay = (points[i, 1] - top) * factor + half
        bx = (points[j, 0] - left) * factor + half
        by = (points[j, 1] - top) * factor + half
        cx = (points[k, 0] - left) * factor + half
        cy = (points[k, 1] - top) * factor + half
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if (area >= 0.0 and (kind[t] < 3 or kind[t] > 4)) or abs(area) < 1e-6:
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx))))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
        y0 = max(0, int(np.ceil(min(ay, by, cy))))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy))))
        if x0 > x1 or y0 > y1:
            continue
        inverse = np.float32(1.0) / area
        step0 = (by - cy) * inverse
        step1 = (cy - ay) * inverse
        fx = np.float32(x0)
        for y in range(y0, y1 + 1):
            fy = np.float32(y)
            w0 = ((bx - fx) * (cy - fy) - (cx - fx) * (by - fy)) * inverse
            w1 = ((cx - fx) * (ay - fy) - (ax - fx) * (cy - fy)) * inverse
            for x in range(x0, x1 + 1):
                w2 = np.float32(1.0) - w0 - w1
                if w0 >= edge and w1 >= edge and w2 >= edge:
                    z = w0 * za + w1 * zb + w2 * zc
                    if z < depth[y, x]:
                        is_solid = True
                        if kind[t] == 3:
                            u = int((w0 * uv[t, 0, 0] + w1 * uv[t, 1, 0] + w2 * uv[t, 2, 0]) * scale)
                            v = int((w0 * uv[t, 0, 1] + w1 * uv[t, 1, 1] + w2 * uv[t, 2, 1]) * scale)
                            u = min(max(u, 0), texture.shape[1] - 1)
                            v = min(max(v, 0), texture.shape[0] - 1)
                            is_solid = texture[v, u, 3] > 110
                        if is_solid:
                            depth[y, x] = z
                            ids[y, x] = t
                w0 += step0
                w1 += step1


@compiled
def blend_triangles(
    points: Reals, shade: Reals, triangles: Whole, uv: Reals, kind: Whole, gloss: Reals, texture: Bytes,
    scale: np.float32, skin_rows: np.float32, left: int, top: int, factor: int, depth: Reals, ids: Whole,
    light: np.float32, room_depth: Reals, image: Bytes,
) -> None:  # fmt: skip
    """Colour the samples of one person and lay them over the picture where nothing of the room is nearer."""
    height = ids.shape[0] // factor
    width = ids.shape[1] // factor
    half = np.float32(0.5) * np.float32(factor) - np.float32(0.5)
    share = np.float32(1.0) / np.float32(factor * factor)
    rows, columns = texture.shape[0], texture.shape[1]
    lowest_skin = skin_rows * scale - np.float32(1.0)
    samples = factor * factor
    size = np.float32(factor)
    one = np.float32(1.0)
    shift_x = np.float32(left)
    shift_y = np.float32(top)
    total = np.zeros(3, dtype=np.float32)
    for row in range(height):
        for column in range(width):
            covered = 0
            total[:] = 0.0
            y_first = row * factor
            x_first = column * factor
            first = ids[y_first, x_first]
            is_one = True
            for sy in range(factor):
                for sx in range(factor):
                    is_one = is_one and ids[y_first + sy, x_first + sx] == first
            if is_one and first < 0:
                continue
            sx = -1
            sy = 0
            for _ in range(samples):
                sx += 1
                if sx == factor:
                    sx = 0
                    sy += 1
                y = y_first + sy
                x = x_first + sx
                t = ids[y, x]
                if t < 0 or depth[y, x] > room_depth[top + row, left + column]:
                    continue
                if is_one and covered == 1:  # a flat spot: its first sample stands for all
                    covered = samples
                    total *= np.float32(samples)
                    break
                covered += 1
                i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                ax = (points[i, 0] - shift_x) * size + half
                ay = (points[i, 1] - shift_y) * size + half
                bx = (points[j, 0] - shift_x) * size + half
                by = (points[j, 1] - shift_y) * size + half
                cx = (points[k, 0] - shift_x) * size + half
                cy = (points[k, 1] - shift_y) * size + half
                inverse = one / ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
                fx = np.float32(x)
                fy = np.float32(y)
                w0 = ((bx - fx) * (cy - fy) - (cx - fx) * (by - fy)) * inverse
                w1 = ((cx - fx) * (ay - fy) - (ax - fx) * (cy - fy)) * inverse
                w2 = one - w0 - w1
                u = (w0 * uv[t, 0, 0] + w1 * uv[t, 1, 0] + w2 * uv[t, 2, 0]) * scale - np.float32(0.5)
                v = (w0 * uv[t, 0, 1] + w1 * uv[t, 1, 1] + w2 * uv[t, 2, 1]) * scale - np.float32(0.5)
                v = min(max(v, np.float32(0.0)), np.float32(rows - 1))
                if kind[t] == 0:
                    v = min(v, lowest_skin)
                u0 = int(np.floor(u))
                v0 = int(v)
                fu = u - np.float32(u0)
                fv = v - np.float32(v0)
                u0 = u0 + columns if u0 < 0 else (u0 - columns if u0 >= columns else u0)
                u1 = u0 + 1 if u0 + 1 < columns else 0
                v1 = min(v0 + 1, rows - 1)
                shine = gloss[kind[t]] * (w0 * shade[i, 3] + w1 * shade[j, 3] + w2 * shade[k, 3])
                is_even = kind[t] == 6
                for c in range(3):
                    value = np.float32(texture[v0, u0, c])
                    if not is_even:
                        above = value * (one - fu) + np.float32(texture[v0, u1, c]) * fu
                        below = (
                            np.float32(texture[v1, u0, c]) * (one - fu) + np.float32(texture[v1, u1, c]) * fu
                        )
                        value = above * (one - fv) + below * fv
                    lit = w0 * shade[i, c] + w1 * shade[j, c] + w2 * shade[k, c]
                    value = (value * lit + shine) * light
                    total[c] += min(np.float32(255.0), max(np.float32(0.0), value))
            if covered:
                rest = one - np.float32(covered) * share
                for c in range(3):
                    value = image[top + row, left + column, c] * rest + total[c] * share
                    image[top + row, left + column, c] = np.uint8(value + np.float32(0.5))


@compiled
def fill_face(
    corners: Doubles, uv: Doubles, texture_index: int, textures: Reals, colour: Doubles, texel_m: float,
    focal: float, cx: float, cy: float, depth: Reals, image: Bytes,
) -> None:  # fmt: skip
    """One flat, convex face of a block: `corners` in the camera frame (at most 8), `uv` in texture tiles."""
    height, width = depth.shape
    count = 0
    clipped = np.empty((16, 5), dtype=np.float64)
    for a in range(corners.shape[0]):
        b = (a + 1) % corners.shape[0]
        za, zb = corners[a, 0], corners[b, 0]
        if za >= NEAR_M:
            for c in range(3):
                clipped[count, c] = corners[a, c]
            clipped[count, 3] = uv[a, 0]
            clipped[count, 4] = uv[a, 1]
            count += 1
        if (za >= NEAR_M) != (zb >= NEAR_M):
            part = (NEAR_M - za) / (zb - za)
            for c in range(3):
                clipped[count, c] = corners[a, c] + part * (corners[b, c] - corners[a, c])
            clipped[count, 3] = uv[a, 0] + part * (uv[b, 0] - uv[a, 0])
            clipped[count, 4] = uv[a, 1] + part * (uv[b, 1] - uv[a, 1])
            count += 1
    if count < 3:
        return
    column = np.empty(count)
    row = np.empty(count)
    for a in range(count):
        column[a] = cx - focal * clipped[a, 1] / clipped[a, 0]
        row[a] = cy - focal * clipped[a, 2] / clipped[a, 0]
    # 1/depth, u/depth and v/depth are planes over the picture; three far corners give them.
    best = 0.0
    p, q, r = 0, 1, 2
    for a in range(1, count - 1):
        for b in range(a + 1, count):
            across_a, down_a = column[a] - column[0], row[a] - row[0]
            area = abs(across_a * (row[b] - row[0]) - (column[b] - column[0]) * down_a)
            if area > best:
                best = area
                p, q, r = 0, a, b
    if best < 1e-3:
        return
    dx1, dy1 = column[q] - column[p], row[q] - row[p]
    dx2, dy2 = column[r] - column[p], row[r] - row[p]
    det = dx1 * dy2 - dx2 * dy1
    plane = np.empty((3, 3))
    for c in range(3):
        fp = (1.0 if c == 0 else clipped[p, 2 + c]) / clipped[p, 0]
        fq = (1.0 if c == 0 else clipped[q, 2 + c]) / clipped[q, 0]
        fr = (1.0 if c == 0 else clipped[r, 2 + c]) / clipped[r, 0]
        gx = ((fq - fp) * dy2 - (fr - fp) * dy1) / det
        gy = ((fr - fp) * dx1 - (fq - fp) * dx2) / det
        plane[c, 0] = gx
        plane[c, 1] = gy
        plane[c, 2] = fp - gx * column[p] - gy * row[p]
    size = textures.shape[1]
    y0 = max(0, int(np.ceil(row.min())))
    y1 = min(height - 1, int(np.floor(row.max())))
    for y in range(y0, y1 + 1):
        x_low, x_high = 1e9, -1e9
        for a in range(count):
            b = (a + 1) % count
            if (row[a] <= y) != (row[b] <= y):
                x = column[a] + (y - row[a]) / (row[b] - row[a]) * (column[b] - column[a])
                x_low = min(x_low, x)
                x_high = max(x_high, x)
        if x_low > x_high:
            continue
        x0 = int(np.ceil(min(max(x_low, 0.0), width + 1.0)))
        x1 = int(np.floor(min(max(x_high, -1.0), width - 1.0)))
        for x in range(x0, x1 + 1):
            inverse = plane[0, 0] * x + plane[0, 1] * y + plane[0, 2]
            z = 1.0 / inverse
            if z >= depth[y, x]:
                continue
            depth[y, x] = z
            blur = z / focal / texel_m
            offset = 0
            side = size
            while blur > 1.5 and side > 4:
                blur *= 0.5
                offset += side
                side //= 2
            u = (plane[1, 0] * x + plane[1, 1] * y + plane[1, 2]) * z
            v = (plane[2, 0] * x + plane[2, 1] * y + plane[2, 2]) * z
            tu = min(int((u - np.floor(u)) * side), side - 1) + offset
            tv = min(int((v - np.floor(v)) * side), side - 1)
            for c in range(3):
                value = textures[texture_index, tv, tu, c] * colour[c]
                image[y, x, c] = np.uint8(min(255.0, value))


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

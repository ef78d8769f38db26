"""From a face's points to where the head is turned, and how far away it is.

The points are first seen through a camera turned to look straight at the face, so that a head that looks at
the lens has pose zero wherever it is in the picture. Then the canonical face is laid over them (weighted
Procrustes; Umeyama, "Least-squares estimation of transformation parameters between two point patterns").
"""

from importlib import resources

import numpy as np
from numpy.typing import NDArray

from agent.events import HeadPose
from agent.landmarks import Points
from drivers.camera import Lens

Matrix = NDArray[np.float64]

# Depth of MediaPipe's points against their width. 1.0 fitted heads that are truly three-dimensional; 1.3 fits
# photographs bent over a mesh, and gives yaw a gain of 1.25 on real heads.
DEPTH_SCALE = 1.0

# Columns: the head's axes (out of the nose, to its left, up) in the camera's (right, down, into the scene),
# for a head that looks straight at the camera.
_FACING = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])


class CanonicalFace:
    """The points of an average face that move least with its expression, in metres, camera axes."""

    def __init__(self) -> None:
        text = resources.files("agent").joinpath("data", "canonical_face.csv").read_text(encoding="utf-8")
        rows = [line for line in text.splitlines() if line[:1].isdigit()]
        table = np.array([[float(cell) for cell in row.split(",")] for row in rows])
        self.numbers = table[:, 0].astype(np.intp)
        self.weights = table[:, 1] / table[:, 1].sum()
        points = table[:, 2:] * (0.01, -0.01, -0.01)
        self.points = points - self.weights @ points


def measure(points: Points, lens: Lens, face: CanonicalFace) -> tuple[HeadPose, float] | None:
    """Pose against the line of sight, and distance along it in metres; None if the points make no face."""
    observed = points[face.numbers].astype(np.float64)
    if not np.isfinite(observed).all():
        return None
    seen = _look_straight_at(observed, lens, face.weights)
    centred = seen - face.weights @ seen
    spread = (face.weights[:, None] * face.points).T @ centred
    left, stretch, right = np.linalg.svd(spread)
    # A reflection would fit as well; the sign keeps it a turn.
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    turn = (right.T * signs) @ left.T
    pixels_per_metre = (stretch * signs).sum() / (face.weights @ (face.points**2).sum(axis=1))
    if pixels_per_metre <= 0.0:
        return None
    return _angles(_FACING.T @ turn @ _FACING), float(lens.focal_px / pixels_per_metre)


def _look_straight_at(observed: Matrix, lens: Lens, weights: Matrix) -> Matrix:
    """The points as a camera would see them that is turned, by the shortest way, towards their centre."""
    rays = np.empty_like(observed)
    rays[:, 0] = (observed[:, 0] - lens.width_px / 2) / lens.focal_px
    rays[:, 1] = (observed[:, 1] - lens.height_px / 2) / lens.focal_px
    rays[:, 2] = 1.0
    centre = weights @ rays
    x, y, z = centre / np.linalg.norm(centre)
    turn = np.array(
        [[1 - x * x / (1 + z), -x * y / (1 + z), -x], [-x * y / (1 + z), 1 - y * y / (1 + z), -y], [x, y, z]]
    )
    straight = rays @ turn.T
    seen = np.empty_like(observed)
    seen[:, :2] = straight[:, :2] / straight[:, 2:] * lens.focal_px
    # The face grows in the turned picture by as much as its centre's pixels did; so does its depth.
    seen[:, 2] = observed[:, 2] * DEPTH_SCALE * _growth(observed, seen, weights)
    return seen


def _growth(before: Matrix, after: Matrix, weights: Matrix) -> float:
    def size(points: Matrix) -> float:
        return float(weights @ ((points - weights @ points) ** 2).sum(axis=1))

    return float(np.sqrt(size(after[:, :2]) / max(size(before[:, :2]), 1e-9)))


def _angles(turn: Matrix) -> HeadPose:
    """Yaw, then pitch, then roll, about the head's own axes (REP 103)."""
    return HeadPose(
        pitch_rad=float(np.arcsin(np.clip(-turn[2, 0], -1.0, 1.0))),
        yaw_rad=float(np.arctan2(turn[1, 0], turn[0, 0])),
        roll_rad=float(np.arctan2(turn[2, 1], turn[2, 2])),
    )

"""From pixels to faces and their 468 points: MediaPipe's detector and face mesh, run by LiteRT.

The detector finds faces anywhere in a picture; the mesh needs to be told where a face is, and says whether
one was there. A region comes from a detection once, and from the last frame's points from then on.
"""

from pathlib import Path

import cv2
import msgspec
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from agent.events import Box
from drivers.camera import Image
from drivers.errors import ConfigError

Points = NDArray[np.float32]

RIGHT_EYE, LEFT_EYE = 33, 263  # the eyes' outer corners, as the person calls right and left

_DETECTOR_SIDE_PX = 192
_DETECTOR_CELLS = 48
_OVERLAP_OF_ONE_FACE = 0.3  # MediaPipe's face_detection graph: boxes that overlap more are averaged
_MESH_SIDE_PX = 192
_REGION_SCALE = 1.5  # MediaPipe's face_landmark graph: the mesh was trained with this much margin


_BYTE = np.arange(256, dtype=np.float32)
_ZERO_TO_ONE = _BYTE / np.float32(255.0)
_MINUS_ONE_TO_ONE = _BYTE / np.float32(127.5) - np.float32(1.0)


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A square in the picture that holds one upright face: centre, side and its turn in the picture."""

    x_px: float
    y_px: float
    side_px: float
    angle_rad: float


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """A face that the detector found."""

    box: Box
    score: float
    region: Region


class Network:
    """One LiteRT model with one input. Raises ConfigError if the file is not such a model."""

    def __init__(self, file: Path, threads: int) -> None:
        try:
            self._interpreter = Interpreter(str(file), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"vision: {file} is not a model that LiteRT can run; delete it: {error}"
            ) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class FaceDetector:
    """MediaPipe's full-range detector: faces down to about 40 px at 640 × 480."""

    def __init__(self, file: Path, *, threads: int = 1, least_score: float = 0.5) -> None:
        self._network = Network(file, threads)
        self._least_score = least_score
        row, column = np.mgrid[:_DETECTOR_CELLS, :_DETECTOR_CELLS]
        cells = np.stack([column, row], axis=-1).reshape(-1, 2)
        self._anchors = ((cells + 0.5) / _DETECTOR_CELLS).astype(np.float32)

    def find(self, image: Image) -> list[Detection]:
        """All faces, the surest first."""
        height, width = image.shape[:2]
        ratio = _DETECTOR_SIDE_PX / max(height, width)
        inner = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        left, top = (_DETECTOR_SIDE_PX - inner[0]) // 2, (_DETECTOR_SIDE_PX - inner[1]) // 2
        square = np.zeros((_DETECTOR_SIDE_PX, _DETECTOR_SIDE_PX, 3), np.uint8)
        square[top : top + inner[1], left : left + inner[0]] = cv2.resize(
            image, inner, interpolation=cv2.INTER_AREA
        )
        regressed, scored = self._network(reals(square, _MINUS_ONE_TO_ONE))
        scores = 1.0 / (1.0 + np.exp(-np.clip(scored[0, :, 0], -80.0, 80.0)))
        kept = np.flatnonzero(scores > self._least_score)
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        # Each row holds eight points: centre (from the anchor), size, right eye, left eye, four more.
        points = regressed[0, kept].reshape(-1, 8, 2) / _DETECTOR_SIDE_PX
        points[:, [0, 2, 3]] += self._anchors[kept][:, None]
        pixels = points * _DETECTOR_SIDE_PX
        pixels[:, [0, 2, 3]] -= (left, top)
        return _merge(pixels[:, :4] / ratio, scores[kept])


class FaceMesh:
    """MediaPipe's face mesh: 468 points of the face in a region."""

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        self._network = Network(file, threads)

    def fit(self, image: Image, region: Region) -> tuple[Points, float]:
        """Points (468 × 3, pixels; depth grows away from the camera) and the score that a face was there."""
        scale = region.side_px / _MESH_SIDE_PX
        cosine, sine = scale * np.cos(region.angle_rad), scale * np.sin(region.angle_rad)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        centre = np.array([region.x_px, region.y_px])
        shift = centre - turn @ np.full(2, _MESH_SIDE_PX / 2)
        crop = cv2.warpAffine(
            image,
            np.column_stack([turn, shift]),
            (_MESH_SIDE_PX, _MESH_SIDE_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        raw, flag = self._network(reals(crop, _ZERO_TO_ONE))
        local = raw.reshape(468, 3)
        points = np.empty((468, 3), np.float32)
        points[:, :2] = local[:, :2] @ turn.T + shift
        points[:, 2] = local[:, 2] * scale
        return points, float(1.0 / (1.0 + np.exp(-np.clip(flag.ravel()[0], -80.0, 80.0))))


def reals(picture: Image, table: NDArray[np.float32] = _BYTE) -> NDArray[np.float32]:
    """A picture as networks want it: 1 × height × width × red, green, blue, each byte as `table` has it."""
    return np.asarray(cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), table)[None], dtype=np.float32)


def region_of(points: Points) -> Region:
    """The region in which to look for this face in the next frame."""
    right, left = points[RIGHT_EYE, :2], points[LEFT_EYE, :2]
    angle_rad = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    upright = np.array([[cosine, sine], [-sine, cosine]])
    turned = points[:, :2] @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = upright.T @ ((low + high) / 2)
    side_px = float((high - low).max()) * _REGION_SCALE
    return Region(x_px=float(centre[0]), y_px=float(centre[1]), side_px=side_px, angle_rad=angle_rad)


def box_of(points: Points) -> Box:
    """The upright rectangle around a face's points."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def shared(one: Box, other: Box) -> float:
    """Area that both boxes cover, in square pixels."""
    width = min(one.x_px + one.width_px, other.x_px + other.width_px) - max(one.x_px, other.x_px)
    height = min(one.y_px + one.height_px, other.y_px + other.height_px) - max(one.y_px, other.y_px)
    return max(0.0, width) * max(0.0, height)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 … 1."""
    both = shared(one, other)
    return both / max(one.width_px * one.height_px + other.width_px * other.height_px - both, 1e-6)


def _merge(points: NDArray[np.floating], scores: NDArray[np.floating]) -> list[Detection]:
    """Average the boxes that mean the same face, weighted by score; the rows come the surest first."""
    boxes = [
        Box(*map(float, (*(row[0] - row[1] / 2), *row[1]))) for row in points
    ]  # centre and size → left, top, width, height
    left = list(range(len(boxes)))
    found = []
    while left:
        same = [i for i in left if i == left[0] or overlap(boxes[left[0]], boxes[i]) > _OVERLAP_OF_ONE_FACE]
        weight = scores[same] / scores[same].sum()
        centre, size, right_eye, left_eye = np.tensordot(weight, points[same], axes=1)
        tilt = left_eye - right_eye
        found.append(
            Detection(
                box=Box(*map(float, (*(centre - size / 2), *size))),
                score=float(scores[same[0]]),
                region=Region(
                    x_px=float(centre[0]),
                    y_px=float(centre[1]),
                    side_px=_REGION_SCALE * float(size.max()),
                    angle_rad=float(np.arctan2(tilt[1], tilt[0])),
                ),
            )
        )
        left = [i for i in left if i not in same]
    return found

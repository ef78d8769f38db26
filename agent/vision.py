"""Pictures in, faces out: who is where in the frame, turned how far, at what distance.

Each face keeps its number while it is followed. Detection is dear and runs on every third frame or when a
face got lost; in between the points of the last frame say where to look. Blocking and deterministic: call it
from one worker thread, with frames in their order.
"""

import math
from collections.abc import Set

import cv2
import msgspec
import numpy as np

from agent import weights
from agent.body import carried_by
from agent.events import Box, Face, Sight
from agent.headpose import CanonicalFace, measure
from agent.identity import FaceNetwork
from agent.landmarks import (
    Detection,
    FaceDetector,
    FaceMesh,
    Points,
    Region,
    box_of,
    region_of,
    shared,
)
from drivers.body import Matrix
from drivers.camera import Image, Lens
from drivers.errors import ConfigError, DeviceError


class VisionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of following faces, each with its reason."""

    detect_every: int = 3  # frames; five people on one core: 198 frames/s against 47 with detection on each
    least_score: float = 0.5  # the mesh's own "this is a face"; MediaPipe's default
    coast_s: float = (
        0.5  # a face that got lost is looked for where it was heading; later it gets a new number
    )
    unconfirmed_s: float = 2.0  # the mesh can drift onto hair or a wall; the detector must agree this often
    same_face: float = 0.45  # share of the smaller box that both cover, from which they are on one face
    most_faces: int = 8  # 8 × 2 ms of points a frame


class _Track(msgspec.Struct, kw_only=True):
    number: int
    region: Region
    box: Box
    x_px_s: float = 0.0
    y_px_s: float = 0.0
    points: Points | None = None
    score: float = 0.0
    frames: int = 0
    strayed: float = 0.0  # how far the last fit lies from where the face was heading, in face widths
    lost_s: float = 0.0
    unconfirmed_s: float = 0.0


class Vision:
    """Finds and follows the faces of one camera. Raises ConfigError without weights or with an odd lens."""

    def __init__(
        self,
        lens: Lens,
        threads: int = 1,
        *,
        identity: bool = True,
        config: VisionConfig | None = None,
    ) -> None:
        if not (lens.width_px > 0 and lens.height_px > 0 and 0.0 < lens.focal_px < math.inf):
            raise ConfigError(f"vision: no camera has a lens like {lens}; check the camera's field of view")
        self._lens = lens
        self._config = config or VisionConfig()
        self._detector = FaceDetector(weights.path("face_detection"), threads=threads)
        self._mesh = FaceMesh(weights.path("face_landmark"), threads=threads)
        self._network = FaceNetwork(threads) if identity else None
        self._canonical = CanonicalFace()
        self._tracks: list[_Track] = []
        self._next_number = 1
        self._time_s: float | None = None
        self._frames_since_detection = 0

    def see(
        self,
        image: Image,
        time_s: float,
        frame: int,
        wanted: Set[int] | None = None,
        shift: Matrix | None = None,
    ) -> Sight:
        """What is in this picture, which was taken at `time_s`.

        `wanted` are the tracks whose faces get an embedding, beside those that are new; None means all.
        `shift` is the homography by which the camera's own turn moved everything since the last picture.
        Raises DeviceError if it is not a picture: H × W × 3 or H × W, uint8.
        """
        picture = _checked(image, frame)
        lens = _scaled(self._lens, picture)
        dt_s = 0.0 if self._time_s is None else time_s - self._time_s
        dt_s = dt_s if 0.0 <= dt_s < math.inf else 0.0
        self._time_s = time_s
        if shift is not None:
            for track in self._tracks:
                _carry(track, shift)
        self._follow(picture, dt_s)
        self._frames_since_detection += 1
        due = self._frames_since_detection >= self._config.detect_every
        if due or not self._tracks or any(track.points is None for track in self._tracks):
            self._detect(picture)
            self._frames_since_detection = 0
        self._drop()
        seen = [track for track in self._tracks if track.points is not None]
        return Sight(
            time_s=time_s,
            frame=frame,
            faces=tuple(self._face(picture, lens, track, wanted) for track in seen),
        )

    def _follow(self, picture: Image, dt_s: float) -> None:
        """Look for each face where it was, and remember how it moves."""
        for track in self._tracks:
            track.unconfirmed_s += dt_s
            expected = _moved(track.box, track.x_px_s * dt_s, track.y_px_s * dt_s)
            if track.points is not None:
                # Looked for where its points were: prediction overshoots when heads turn back.
                points, score = self._mesh.fit(picture, track.region)
                if score >= self._config.least_score and _inside(points, picture):
                    self._take(track, points, score, expected, dt_s)
                    continue
                track.points = None
            track.box = expected
            track.lost_s += dt_s

    def _take(self, track: _Track, points: Points, score: float, expected: Box, dt_s: float) -> None:
        box = box_of(points)
        x_px, y_px = _centre(box)[0] - _centre(track.box)[0], _centre(box)[1] - _centre(track.box)[1]
        if track.frames and dt_s > 0.0:
            gain = 0.4  # about three frames' memory: longer overshoots, shorter shakes with the points
            track.x_px_s += gain * (x_px / dt_s - track.x_px_s)
            track.y_px_s += gain * (y_px / dt_s - track.y_px_s)
        away = math.dist(_centre(box), _centre(expected))
        track.strayed = away / max(box.width_px, 1.0)
        track.points, track.score, track.box = points, score, box
        track.region = region_of(points)
        track.lost_s = 0.0
        track.frames += 1

    def _detect(self, picture: Image) -> None:
        """Confirm the faces that are followed, take up lost ones again, and begin new ones."""
        free = self._detector.find(picture)
        pairs = [(_match(track, match), track, match) for track in self._tracks for match in free]
        confirmed: set[int] = set()
        # The visible first: a lost one searches in a wide circle and would take their detections.
        for fit, track, match in sorted(pairs, key=lambda pair: (pair[1].points is None, -pair[0])):
            if fit <= 0.0 or match not in free or track.number in confirmed:
                continue
            free.remove(match)
            confirmed.add(track.number)
            track.unconfirmed_s = 0.0
            if track.points is None:
                points, score = self._mesh.fit(picture, match.region)
                if score >= self._config.least_score and _inside(points, picture):
                    track.x_px_s = track.y_px_s = 0.0
                    self._take(track, points, score, track.box, 0.0)
        for detection in free[: max(0, self._config.most_faces - len(self._tracks))]:
            points, score = self._mesh.fit(picture, detection.region)
            if score < self._config.least_score or not _inside(points, picture):
                continue
            track = _Track(number=self._next_number, region=detection.region, box=detection.box)
            self._take(track, points, score, detection.box, 0.0)
            self._next_number += 1
            self._tracks.append(track)

    def _drop(self) -> None:
        """Forget the faces that are gone, and of two tracks on one face the one that the detector denies."""
        config = self._config
        kept: list[_Track] = []
        visible = [track for track in self._tracks if track.points is not None]
        for track in sorted(visible, key=lambda track: (track.unconfirmed_s, track.strayed)):
            if all(_common(track.box, other.box) < config.same_face for other in kept):
                kept.append(track)
            else:
                track.points = None  # it coasts on: the face it followed may come out again
        self._tracks = [
            track
            for track in self._tracks
            if track.lost_s <= config.coast_s
            and track.unconfirmed_s <= config.unconfirmed_s
            and (track.points is not None or track.frames > 3)
        ]

    def _face(self, picture: Image, lens: Lens, track: _Track, wanted: Set[int] | None) -> Face:
        assert track.points is not None
        measured = measure(track.points, lens, self._canonical)
        embedding = None
        if self._network and (wanted is None or track.number in wanted or track.frames <= 2):
            embedding = self._network.embed(picture, track.points)
        return Face(
            track=track.number,
            box=track.box,
            score=track.score,
            landmarks=track.points,
            pose=measured[0] if measured else None,
            distance_m=measured[1] if measured else None,
            embedding=embedding,
        )


def _checked(image: Image, frame: int) -> Image:
    """The picture with three channels, or a DeviceError that says what came instead."""
    if not isinstance(image, np.ndarray):
        raise DeviceError(f"camera: frame {frame} is {type(image).__name__}, not a picture; check the camera")
    grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    if image.dtype != np.uint8 or image.size == 0 or not (grey or (image.ndim == 3 and image.shape[2] == 3)):
        raise DeviceError(
            f"camera: frame {frame} is {image.dtype} of shape {image.shape}, not a picture "
            "(height × width × 3, uint8); check the camera's format"
        )
    if grey:
        return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    return image


def _scaled(lens: Lens, picture: Image) -> Lens:
    """The lens for a picture that came larger or smaller than announced."""
    height_px, width_px = picture.shape[:2]
    if (width_px, height_px) == (lens.width_px, lens.height_px):
        return lens
    focal_px = lens.focal_px * width_px / lens.width_px
    return Lens(width_px=width_px, height_px=height_px, focal_px=focal_px)


def _carry(track: _Track, shift: Matrix) -> None:
    """Move what is known of a face by the camera's own turn."""
    x_px, y_px = carried_by(shift, *_centre(track.box))
    track.box = _moved(track.box, x_px, y_px)
    region = track.region
    x_px, y_px = carried_by(shift, region.x_px, region.y_px)
    track.region = msgspec.structs.replace(region, x_px=region.x_px + x_px, y_px=region.y_px + y_px)


def _centre(box: Box) -> tuple[float, float]:
    return box.x_px + box.width_px / 2, box.y_px + box.height_px / 2


def _moved(box: Box, x_px: float, y_px: float) -> Box:
    return Box(box.x_px + x_px, box.y_px + y_px, box.width_px, box.height_px)


def _inside(points: Points, picture: Image) -> bool:
    """Whether the face's centre is in the picture: the mesh follows a face that left out of the edge."""
    height_px, width_px = picture.shape[:2]
    x_px, y_px = points[:, :2].mean(axis=0)
    return bool(0 <= x_px < width_px and 0 <= y_px < height_px)


def _common(one: Box, other: Box) -> float:
    """What both boxes cover, as a share of the smaller: a mesh that slid onto a chin lies inside the face."""
    least = min(one.width_px * one.height_px, other.width_px * other.height_px)
    return shared(one, other) / max(least, 1.0)


def _match(track: _Track, detection: Detection) -> float:
    """How well a detection fits a track; 0 is not at all. A lost face is searched for in a wider circle."""
    size = max(detection.box.width_px, track.box.width_px, 1.0)
    near = 1.0 - math.dist(_centre(track.box), _centre(detection.box)) / size
    if track.points is None:
        ratio = abs(math.log(max(detection.box.width_px, 1.0) / max(track.box.width_px, 1.0)))
        return near + 0.4 if near > -0.4 and ratio < 0.45 else 0.0
    return near if _common(track.box, detection.box) > 0.4 else 0.0

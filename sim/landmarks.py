"""What vision would have seen, without a picture: true geometry, and errors like vision's.

Faces are found, followed, lost and numbered by the rules of `agent.vision`; whether a face is there, and how
wrong its box, pose and distance are, comes from the true view of it.
"""

import math
import zlib
from collections.abc import Callable, Set
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.body import Matrix
from drivers.camera import Lens
from sim import sightlines
from sim.people import Actor
from sim.sightlines import Doubles

Vector = NDArray[np.float32]
Row = list[float]

# As `agent.vision.VisionConfig` and `agent.landmarks` have them; a test holds them together.
DETECT_EVERY = 3
COAST_S = 0.5
UNCONFIRMED_S = 2.0
SAME_FACE = 0.45
MOST_FACES = 8
MERGED_OVERLAP = 0.3

# Columns of a look at one face; logits above zero mean yes.
FOUND, FITTED, X_PX, Y_PX, WIDTH_PX, HEIGHT_PX, PITCH_RAD, YAW_RAD, ROLL_RAD, DISTANCE_M = range(10)


class Instant(NamedTuple):
    """All that a picture would have shown."""

    time_s: float
    camera_pose: Matrix
    actors: tuple[Actor, ...]
    light: float


class SeenFace(msgspec.Struct, frozen=True, kw_only=True):
    """One face, as `agent.events.Face` has it: box in pixels, pose against the line of sight."""

    track: int
    x_px: float
    y_px: float
    width_px: float
    height_px: float
    score: float
    pitch_rad: float
    yaw_rad: float
    roll_rad: float
    distance_m: float
    embedding: Vector | None


class _Track(msgspec.Struct, kw_only=True):
    number: int
    place: int  # of the actor whose face it is on
    is_visible: bool = True
    frames: int = 1
    lost_s: float = 0.0
    unconfirmed_s: float = 0.0


class Landmarks:
    """Stands in for the vision of one camera."""

    def __init__(
        self,
        lens: Lens,
        instant: Callable[[float], Instant],
        blocks: Doubles,
        *,
        has_identity: bool = True,
    ) -> None:
        """`instant` tells what was before the camera at a frame's time."""
        self._lens = lens
        self._instant = instant
        self._blocks = blocks
        self._has_identity = has_identity
        self._tracks: list[_Track] = []
        self._next_number = 1
        self._time_s: float | None = None
        self._frames_since_detection = 0

    def see(self, time_s: float, frame: int, wanted: Set[int] | None = None) -> tuple[SeenFace, ...]:
        """The faces in the frame taken at `time_s`; embeddings for new tracks and those `wanted`, None: all."""
        instant = self._instant(time_s)
        view = sightlines.faces_in_view(instant.camera_pose, self._lens, instant.actors, self._blocks)
        looks = _looks(view)
        dt_s = 0.0 if self._time_s is None else max(time_s - self._time_s, 0.0)
        self._time_s = time_s
        self._follow(looks, dt_s)
        self._frames_since_detection += 1
        if (
            self._frames_since_detection >= DETECT_EVERY
            or not self._tracks
            or not all(track.is_visible for track in self._tracks)
        ):
            self._detect(looks)
            self._frames_since_detection = 0
        self._drop(looks, view)
        return tuple(
            self._face(looks[track.place], track, instant.actors[track.place].name, wanted)
            for track in self._tracks
            if track.is_visible
        )

    def _follow(self, looks: list[Row], dt_s: float) -> None:
        for track in self._tracks:
            track.unconfirmed_s += dt_s
            if track.is_visible and self._fits(looks[track.place]):
                track.frames += 1
                track.lost_s = 0.0
            else:
                track.is_visible = False
                track.lost_s += dt_s

    def _detect(self, looks: list[Row]) -> None:
        """Confirm, take up again, begin: as vision does with what the detector finds."""
        found: list[int] = []
        for place in sorted(range(len(looks)), key=lambda place: -looks[place][FOUND]):
            if looks[place][FOUND] <= 0.0:
                break
            if all(_overlap(looks[place], looks[other]) <= MERGED_OVERLAP for other in found):
                found.append(place)
        followed = {track.place: track for track in self._tracks}
        for place in found:
            track = followed.get(place)
            if track is not None:
                track.unconfirmed_s = 0.0
                if not track.is_visible and self._fits(looks[place]):
                    track.is_visible, track.lost_s = True, 0.0
                    track.frames += 1
            elif len(self._tracks) < MOST_FACES and self._fits(looks[place]):
                self._tracks.append(_Track(number=self._next_number, place=place))
                self._next_number += 1

    def _drop(self, looks: list[Row], view: Doubles) -> None:
        """Forget faces that are gone; of two that lie on each other the nearer one is kept."""
        kept: list[Row] = []
        visible = [track for track in self._tracks if track.is_visible]
        for track in sorted(visible, key=lambda track: view[track.place, sightlines.RANGE_M]):
            look = looks[track.place]
            if all(_common(look, other) < SAME_FACE for other in kept):
                kept.append(look)
            else:
                track.is_visible = False
        self._tracks = [
            track
            for track in self._tracks
            if track.lost_s <= COAST_S
            and track.unconfirmed_s <= UNCONFIRMED_S
            and (track.is_visible or track.frames > 3)
        ]

    def _fits(self, look: Row) -> bool:
        return (
            look[FITTED] > 0.0
            and 0.0 <= look[X_PX] < self._lens.width_px
            and 0.0 <= look[Y_PX] < self._lens.height_px
        )

    def _face(self, look: Row, track: _Track, name: str, wanted: Set[int] | None) -> SeenFace:
        embedding = None
        if self._has_identity and (wanted is None or track.number in wanted or track.frames <= 2):
            embedding = _embedding(name)
        return SeenFace(
            track=track.number,
            x_px=look[X_PX] - look[WIDTH_PX] / 2,
            y_px=look[Y_PX] - look[HEIGHT_PX] / 2,
            width_px=look[WIDTH_PX],
            height_px=look[HEIGHT_PX],
            score=1.0 / (1.0 + math.exp(-look[FITTED])),
            pitch_rad=look[PITCH_RAD],
            yaw_rad=look[YAW_RAD],
            roll_rad=look[ROLL_RAD],
            distance_m=look[DISTANCE_M],
            embedding=embedding,
        )


def _looks(view: Doubles) -> list[Row]:
    """Seen without errors, from 40 px on, turned by at most 63° and at most half hidden."""
    clear = (
        (view[:, sightlines.SIZE_PX] > 40.0)
        & (np.abs(view[:, sightlines.YAW_RAD]) < 1.1)
        & (view[:, sightlines.HIDDEN] + view[:, sightlines.CUT] < 0.5)
    )
    looks = np.empty((len(view), 10))
    looks[:, FOUND] = looks[:, FITTED] = np.where(clear, 6.0, -6.0)
    looks[:, X_PX : Y_PX + 1] = view[:, sightlines.X_PX : sightlines.Y_PX + 1]
    looks[:, HEIGHT_PX], looks[:, WIDTH_PX] = view[:, sightlines.SIZE_PX], 0.75 * view[:, sightlines.SIZE_PX]
    looks[:, PITCH_RAD : ROLL_RAD + 1] = view[:, sightlines.PITCH_RAD : sightlines.ROLL_RAD + 1]
    looks[:, DISTANCE_M] = view[:, sightlines.RANGE_M]
    return [[float(value) for value in look] for look in looks]


def _embedding(name: str) -> Vector:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.normal(0.0, 0.05, 128).astype(np.float32)


def _shared(one: Row, other: Row) -> float:
    width = min(one[X_PX] + one[WIDTH_PX] / 2, other[X_PX] + other[WIDTH_PX] / 2) - max(
        one[X_PX] - one[WIDTH_PX] / 2, other[X_PX] - other[WIDTH_PX] / 2
    )
    height = min(one[Y_PX] + one[HEIGHT_PX] / 2, other[Y_PX] + other[HEIGHT_PX] / 2) - max(
        one[Y_PX] - one[HEIGHT_PX] / 2, other[Y_PX] - other[HEIGHT_PX] / 2
    )
    return max(0.0, width) * max(0.0, height)


def _overlap(one: Row, other: Row) -> float:
    both = _shared(one, other)
    return both / max(one[WIDTH_PX] * one[HEIGHT_PX] + other[WIDTH_PX] * other[HEIGHT_PX] - both, 1e-6)


def _common(one: Row, other: Row) -> float:
    least = min(one[WIDTH_PX] * one[HEIGHT_PX], other[WIDTH_PX] * other[HEIGHT_PX])
    return _shared(one, other) / max(least, 1.0)
